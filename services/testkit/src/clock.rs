use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mail_types::{Clock, SystemClock, Timestamp};

/// A clock that stands still until a test moves it. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct FakeClock {
    start: Timestamp,
    start_monotonic: Instant,
    passed_ms: Arc<AtomicU64>,
}

impl FakeClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self { start, start_monotonic: SystemClock.monotonic(), passed_ms: Arc::default() }
    }

    /// Moves it on, in whole milliseconds.
    pub fn advance(&self, by: Duration) {
        self.passed_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

/// 2026-11-24T06:35:16Z.
impl Default for FakeClock {
    fn default() -> Self {
        Self::at(Timestamp::from_unix_ms(1_795_502_116_000))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.start.unix_ms() + self.passed_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Instant {
        self.start_monotonic + Duration::from_millis(self.passed_ms.load(Ordering::SeqCst))
    }
}
