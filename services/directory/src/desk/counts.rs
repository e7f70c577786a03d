//! Counts of domains by the minute, in bounded memory, until they are reported.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mail_types::Timestamp;
use serde::Serialize;

use super::tally::{DROPPED, MINUTE_MS};

/// How often something happened, by domain and minute.
#[derive(Debug)]
pub struct DomainCounts {
    /// What, in the metric of what was dropped.
    what: &'static str,
    /// The most domains and minutes held.
    most: usize,
    held: Mutex<HashMap<(String, u64), u64>>,
}

/// A domain's count of a minute, as it is reported.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct DomainCount {
    domain: String,
    at: u64,
    count: u64,
}

impl DomainCounts {
    /// Of nothing yet; `most` domains and minutes are held, what comes then is dropped and counted in a metric.
    pub fn new(what: &'static str, most: usize) -> Self {
        Self { what, most, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<(String, u64), u64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one.
    pub fn add(&self, domain: &str, at: Timestamp) {
        self.add_all(domain.to_owned(), at.unix_ms() / MINUTE_MS * MINUTE_MS, 1);
    }

    fn add_all(&self, domain: String, at: u64, count: u64) {
        let mut held = self.held();
        let key = (domain, at);
        if let Some(counted) = held.get_mut(&key) {
            *counted = counted.saturating_add(count);
        } else if held.len() < self.most {
            held.insert(key, count);
        } else {
            DROPPED.with_label_values(&[self.what]).inc_by(count);
        }
    }

    /// Whether there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Takes all of it.
    pub(crate) fn take(&self) -> Vec<DomainCount> {
        let held = std::mem::take(&mut *self.held());
        held.into_iter().map(|((domain, at), count)| DomainCount { domain, at, count }).collect()
    }

    /// Puts back what could not be reported.
    pub(crate) fn give_back(&self, counts: Vec<DomainCount>) {
        for DomainCount { domain, at, count } in counts {
            self.add_all(domain, at, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_counted_by_the_minute_up_to_a_bound() {
        let counts = DomainCounts::new("tests", 2);
        let add = |domain, ms| counts.add(domain, Timestamp::from_unix_ms(ms));
        add("acme.test", 60_000);
        add("acme.test", 119_999);
        add("acme.test", 120_000);
        let before = DROPPED.with_label_values(&["tests"]).get();
        add("globex.test", 60_000);
        assert_eq!(DROPPED.with_label_values(&["tests"]).get() - before, 1);
        let mut taken = counts.take();
        taken.sort_by_key(|one| one.at);
        let of = |at, count| DomainCount { domain: "acme.test".to_owned(), at, count };
        assert_eq!(taken, [of(60_000, 2), of(120_000, 1)]);
        assert!(counts.is_empty());
        add("acme.test", 60_001);
        counts.give_back(taken);
        assert_eq!(counts.take().iter().map(|one| one.count).sum::<u64>(), 4);
    }
}
