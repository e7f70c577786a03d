//! What waits for the next PUT, shared out between tenants, and when the next PUT may begin.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use mail_types::TenantId;

/// A queue in which the tenants take turns: one that sends ten thousand messages delays another's single one by one place.
#[derive(Debug)]
pub(super) struct Fair<T> {
    lanes: HashMap<TenantId, VecDeque<T>>,
    /// The tenants that have something, the next one first.
    turns: VecDeque<TenantId>,
    len: usize,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> Fair<T> {
    pub(super) fn push(&mut self, tenant: TenantId, item: T) {
        let lane = self.lanes.entry(tenant).or_default();
        if lane.is_empty() {
            self.turns.push_back(tenant);
        }
        lane.push_back(item);
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let tenant = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&tenant)?;
        let item = lane.pop_front()?;
        if lane.is_empty() {
            self.lanes.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.len -= 1;
        Some(item)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// PUTs whose durations are remembered.
const REMEMBERED: usize = 32;
/// How many medians make a PUT slow.
const SLOW: u32 = 3;

/// How long PUTs take lately.
#[derive(Debug)]
pub(super) struct Pace {
    recent: VecDeque<Duration>,
    /// No PUT is slow before that.
    least: Duration,
}

impl Pace {
    pub(super) const fn new(least: Duration) -> Self {
        Self { recent: VecDeque::new(), least }
    }

    /// Notes how long a PUT took that succeeded.
    pub(super) fn note(&mut self, took: Duration) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
    }

    /// The age at which a PUT is slow, so that the next one no longer waits for it.
    pub(super) fn slow_after(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        (median * SLOW).max(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns() {
        let mut queue = Fair::default();
        for n in 0..3 {
            queue.push(TenantId(1), (1, n));
        }
        queue.push(TenantId(2), (2, 0));
        queue.push(TenantId(2), (2, 1));
        assert_eq!(queue.len(), 5);
        let mut order: Vec<(i32, i32)> = (0..3).filter_map(|_| queue.pop()).collect();
        queue.push(TenantId(3), (3, 0));
        order.extend(std::iter::from_fn(|| queue.pop()));
        assert_eq!(order, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (3, 0)]);
        assert!(queue.is_empty());
        assert!(queue.lanes.is_empty() && queue.turns.is_empty(), "nothing is left of tenants that have nothing");
    }

    #[test]
    fn a_put_is_slow_after_three_medians() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(ms(20));
        assert_eq!(pace.slow_after(), ms(20), "nothing is known yet");
        for took in [10, 1_000, 12, 11, 10] {
            pace.note(ms(took));
        }
        assert_eq!(pace.slow_after(), ms(33), "one that hung does not count for much");
        for _ in 0..REMEMBERED {
            pace.note(ms(1));
        }
        assert_eq!(pace.slow_after(), ms(20));
    }
}
