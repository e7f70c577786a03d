//! How many sessions an account has in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mail_types::{AccountId, TenantId};

type Key = (TenantId, AccountId);

/// Counts the sessions of each account and holds them to a bound. Clones are the same count.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    max: u32,
    live: Arc<Mutex<HashMap<Key, u32>>>,
}

/// One session's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Sessions,
    key: Key,
}

impl Sessions {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, live: Arc::default() }
    }

    /// A place for a session of an account, if it has not as many as it may have.
    pub(crate) fn enter(&self, tenant: TenantId, account: AccountId) -> Option<Place> {
        let key = (tenant, account);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = live.entry(key).or_insert(0);
        if *sessions >= self.max {
            return None;
        }
        *sessions += 1;
        Some(Place { sessions: self.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.sessions.live.lock().unwrap_or_else(PoisonError::into_inner);
        match live.get_mut(&self.key) {
            Some(sessions) if *sessions > 1 => *sessions -= 1,
            _ => drop(live.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_sessions_and_no_more() {
        let sessions = Sessions::new(2);
        let enter = |account| sessions.enter(TenantId(1), AccountId(account));
        let first = enter(1).unwrap();
        let second = enter(1).unwrap();
        assert!(enter(1).is_none());
        assert!(enter(2).is_some());
        drop(first);
        let third = enter(1).unwrap();
        assert!(enter(1).is_none());
        drop((second, third));
        assert!(sessions.live.lock().unwrap().is_empty(), "nothing is kept of who left");
    }
}
