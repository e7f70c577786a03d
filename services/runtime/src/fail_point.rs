//! Fail points: named places between two steps at which a test stops the process, to see that what it leaves behind is what the
//! design says. They exist in builds with the feature `faults` only; elsewhere they are nothing.
//!
//! `RESTANTE_FAIL_POINT=NAME` or `NAME:N` ends the process at the place's N-th passing (the first, if it is not said), at once, as a
//! loss of power would: nothing is flushed, closed or answered. In a test's own process [`hold`] stops the task that passes instead.

/// Passes a fail point.
#[cfg(not(feature = "faults"))]
#[expect(clippy::unused_async, reason = "with the feature it waits")]
#[inline]
pub async fn reach(_name: &'static str) {}

#[cfg(feature = "faults")]
pub use faults::{hold, reach, release};

#[cfg(feature = "faults")]
mod faults {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static PLAN: LazyLock<Mutex<HashMap<String, Plan>>> = LazyLock::new(|| {
        let mut plan = HashMap::new();
        if let Ok(wanted) = std::env::var("RESTANTE_FAIL_POINT") {
            let (name, passing) = wanted.split_once(':').unwrap_or((&wanted, "1"));
            plan.insert(name.to_owned(), Plan { passing: passing.parse().unwrap_or(1), what: What::Abort });
        }
        Mutex::new(plan)
    });

    #[derive(Debug)]
    struct Plan {
        passing: u64,
        what: What,
    }

    #[derive(Debug, Clone, Copy)]
    enum What {
        Abort,
        Hold,
    }

    /// Passes a fail point: as planned the process ends here, or the task stays here until it is dropped.
    pub async fn reach(name: &'static str) {
        let what = {
            let mut plans = PLAN.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(plan) = plans.get_mut(name) else { return };
            plan.passing = plan.passing.saturating_sub(1);
            if plan.passing > 0 {
                return;
            }
            let what = plan.what;
            plans.remove(name);
            what
        };
        match what {
            What::Abort => std::process::abort(),
            What::Hold => std::future::pending().await,
        }
    }

    /// The task that passes the place for the `passing`-th time from now on (1: the next) stays there.
    pub fn hold(name: &str, passing: u64) {
        let plan = Plan { passing, what: What::Hold };
        PLAN.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), plan);
    }

    /// Nothing is planned for the place any more. Tells whether something still was: nobody came by.
    pub fn release(name: &str) -> bool {
        PLAN.lock().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }
}
