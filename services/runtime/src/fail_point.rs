//! Fail points: named places between two steps at which a test stops the process, to see that what it leaves behind is what the
//! design says. They exist in builds with the feature `faults` only; elsewhere they are nothing.
//!
//! `RESTANTE_FAIL_POINT=NAME` or `NAME:N` ends the process at the place's N-th passing (the first, if it is not said), at once, as a
//! loss of power would: nothing is flushed, closed or answered. In a test's own process `hold` stops the task that passes instead.

/// Passes a fail point.
#[cfg(not(feature = "faults"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
#[inline]
pub async fn reach(_name: &'static str) {}

#[cfg(feature = "faults")]
pub use faults::{Held, hold, reach};

#[cfg(feature = "faults")]
mod faults {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use tokio::sync::oneshot;

    static PLANS: LazyLock<Mutex<HashMap<String, Plan>>> = LazyLock::new(|| {
        let mut plans = HashMap::new();
        if let Ok(wanted) = std::env::var("RESTANTE_FAIL_POINT") {
            let (name, passing) = wanted.split_once(':').unwrap_or((&wanted, "1"));
            plans.insert(name.to_owned(), Plan { passing: passing.parse().unwrap_or(1), held: None });
        }
        Mutex::new(plans)
    });

    #[derive(Debug)]
    struct Plan {
        passing: u64,
        /// Told when the task stops there; without it the process ends.
        held: Option<oneshot::Sender<()>>,
    }

    /// Passes a fail point: as planned the process ends here, or the task stays here until it is dropped.
    pub async fn reach(name: &'static str) {
        let plan = {
            let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(plan) = plans.get_mut(name) else { return };
            plan.passing = plan.passing.saturating_sub(1);
            if plan.passing > 0 {
                return;
            }
            plans.remove(name)
        };
        match plan.and_then(|plan| plan.held) {
            None => std::process::abort(),
            Some(held) => {
                // Whoever planned it may have gone; the task stays all the same.
                let _ = held.send(());
                std::future::pending().await
            }
        }
    }

    /// A planned stop of a task.
    #[derive(Debug)]
    pub struct Held {
        name: String,
        reached: oneshot::Receiver<()>,
    }

    impl Held {
        /// Waits until a task stops there.
        pub async fn reached(&mut self) {
            // An error means that the plan was replaced by another.
            let _ = (&mut self.reached).await;
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            PLANS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        }
    }

    /// The task that passes the place for the `passing`-th time from now on (1: the next) stays there. Nobody stops there any more
    /// when what is answered is dropped.
    pub fn hold(name: &str, passing: u64) -> Held {
        let (held, reached) = oneshot::channel();
        let plan = Plan { passing, held: Some(held) };
        PLANS.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), plan);
        Held { name: name.to_owned(), reached }
    }
}
