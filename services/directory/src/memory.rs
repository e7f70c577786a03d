//! A bounded map whose entries are forgotten after a time: what a process remembers of logins is a hint, and may be lost.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// At most so many entries, each for so long after it was last put. When it is full, what was put longest ago goes first.
#[derive(Debug)]
pub(crate) struct Memory<K, V> {
    most: usize,
    lifetime: Duration,
    kept: Mutex<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// In the order of the puts; an entry that was put again stands here more than once, and only the last one counts.
    order: VecDeque<(u64, K)>,
    puts: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    put: u64,
    until: Instant,
}

impl<K: Hash + Eq + Clone, V: Clone> Memory<K, V> {
    pub(crate) fn new(most: usize, lifetime: Duration) -> Self {
        let kept = Kept { entries: HashMap::new(), order: VecDeque::new(), puts: 0 };
        Self { most: most.max(1), lifetime, kept: Mutex::new(kept) }
    }

    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.kept().entries.get(key).filter(|entry| entry.until > now).map(|entry| entry.value.clone())
    }

    pub(crate) fn contains(&self, key: &K, now: Instant) -> bool {
        self.get(key, now).is_some()
    }

    pub(crate) fn put(&self, key: K, value: V, now: Instant) {
        self.change(key, now, |_| value);
    }

    /// Puts what becomes of a value; answers that.
    pub(crate) fn change(&self, key: K, now: Instant, change: impl FnOnce(Option<&V>) -> V) -> V {
        let mut kept = self.kept();
        let before = kept.entries.get(&key).filter(|entry| entry.until > now);
        let value = change(before.map(|entry| &entry.value));
        kept.puts += 1;
        let put = kept.puts;
        kept.order.push_back((put, key.clone()));
        kept.entries.insert(key, Entry { value: value.clone(), put, until: now + self.lifetime });
        kept.shrink(self.most, now);
        value
    }

    pub(crate) fn remove(&self, key: &K) {
        self.kept().entries.remove(key);
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Kept<K, V> {
    fn shrink(&mut self, most: usize, now: Instant) {
        while let Some((put, key)) = self.order.front() {
            match self.entries.get(key) {
                Some(entry) if entry.put == *put => {
                    if self.entries.len() <= most && entry.until > now {
                        break;
                    }
                    self.entries.remove(key);
                }
                // Removed, or put again since.
                _ => {}
            }
            self.order.pop_front();
        }
        // What stands here twice must not outgrow the entries either.
        if self.order.len() > 2 * self.entries.len().max(16) {
            let entries = &self.entries;
            self.order.retain(|(put, key)| entries.get(key).is_some_and(|entry| entry.put == *put));
        }
    }
}

#[cfg(test)]
mod tests {
    use mail_types::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let start = SystemClock.monotonic();
        let at = |seconds| start + Duration::from_secs(seconds);
        let memory = Memory::new(2, Duration::from_secs(10));
        memory.put("a", 1, at(0));
        memory.put("b", 2, at(1));
        assert_eq!((memory.get(&"a", at(9)), memory.get(&"a", at(10))), (Some(1), None));
        memory.put("a", 3, at(5));
        memory.put("c", 4, at(6));
        assert_eq!(memory.get(&"b", at(6)), None, "put longest ago");
        assert_eq!((memory.get(&"a", at(6)), memory.get(&"c", at(6))), (Some(3), Some(4)));
        assert_eq!(memory.change("a", at(7), |before| before.copied().unwrap_or_default() + 1), 4);
        assert_eq!(memory.change("a", at(17), |before| before.copied().unwrap_or_default() + 1), 1);
        memory.remove(&"a");
        assert!(!memory.contains(&"a", at(17)));
        for _ in 0..1000 {
            memory.put("d", 1, at(18));
        }
        let kept = memory.kept();
        assert!(kept.order.len() <= 33 && kept.entries.len() == 1, "{kept:?}");
    }
}
