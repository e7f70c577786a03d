//! How fast a worker works: so much of something a second, on average since it began.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Holds one piece of work back; each process and each round has its own.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    free_at: Instant,
}

impl Pace {
    /// At least 1 a second: a pace of nothing would be a round without an end.
    pub(crate) fn new(per_second: impl Into<u64>) -> Self {
        Self { per_second: per_second.into().max(1) as f64, free_at: Instant::now() }
    }

    /// Notes what was done and waits until more may be. Time in which nothing was done is not saved up.
    pub(crate) async fn spend(&mut self, amount: u64) {
        let took = Duration::try_from_secs_f64(amount as f64 / self.per_second).unwrap_or(Duration::MAX / 2);
        let from = self.free_at.max(Instant::now());
        self.free_at = from.checked_add(took).unwrap_or(from);
        sleep_until(self.free_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_takes_its_time() {
        let begun = Instant::now();
        let mut pace = Pace::new(100_u32);
        for _ in 0..3 {
            pace.spend(50).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 1500);
        tokio::time::sleep(Duration::from_secs(60)).await;
        pace.spend(100).await;
        assert_eq!(begun.elapsed().as_millis(), 62_500, "rest is not saved up");
    }
}
