//! Commits the copies of a durable segment, and learns each recipient's verdict.
//!
//! A call whose answer was lost is made again: the catalog finds what it has already and says so, after waiting for the first
//! call if that is still under way. So the driver asks until it knows; only when the database stays away does a sender get a
//! temporary error without knowledge.

use std::collections::HashMap;
use std::time::Duration;

use mail_types::AccountId;
use runtime::fail_point;
use tokio::time::{Instant, sleep};

use super::group::Placed;
use super::{DeliveryVerdict, Engine, Stay};
use crate::Error;
use crate::catalog::deliver::{self, Copy, CopyResult};

impl Engine {
    /// Commits, and answers everybody; `first` ends when the first call has.
    pub(super) async fn commit(&self, placed: Placed, first: Stay) {
        let mut first = Some(first);
        let Placed { segment, octets, copies, mut answers } = placed;
        let started = Instant::now();
        let busy_until = started + Duration::from_millis(self.settings.busy_deadline_ms);
        let away_until = started + Duration::from_millis(self.settings.commit_deadline_ms);
        // Calls to make: first everybody together; recipients that may have been refused only for a neighbour's sake come again, alone.
        let mut calls: Vec<Vec<usize>> = vec![(0..answers.recipients()).collect()];
        let mut pauses = Pauses::default();
        while let Some(recipients) = calls.pop() {
            let asked: Vec<Copy> = copies.iter().filter(|c| recipients.contains(&c.recipient)).cloned().collect();
            let called = deliver::deliver(&self.pool, self.role, segment, octets, &asked).await;
            drop(first.take());
            let results = match called {
                Ok(results) => results,
                Err(error) if worth_another_try(&error) && Instant::now() < away_until => {
                    tracing::debug!(%segment, kind = error.kind(), %error, "a commit is tried again");
                    sleep(pauses.next()).await;
                    calls.push(recipients);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%segment, kind = error.kind(), %error, copies = asked.len(), "copies could not be committed");
                    for recipient in recipients {
                        answers.set(recipient, DeliveryVerdict::Unavailable);
                    }
                    continue;
                }
            };
            fail_point::reach("deliver.after_commit").await;
            let results: HashMap<u32, CopyResult> = results.into_iter().collect();
            let mut busy = Vec::new();
            for &recipient in &recipients {
                let own: Vec<&Copy> = asked.iter().filter(|c| c.recipient == recipient).collect();
                // A recipient's copies have one result between them.
                let result = own.iter().find_map(|c| results.get(&c.ordinal)).copied();
                let verdict = match result {
                    Some(CopyResult::Stored) => {
                        DeliveryVerdict::Stored { unique_ids: own.iter().map(|c| c.guid.unique_id()).collect() }
                    }
                    Some(CopyResult::OverQuota { .. }) if shares_an_account(&asked, recipient) => {
                        calls.push(vec![recipient]);
                        continue;
                    }
                    Some(CopyResult::OverQuota { defer }) => DeliveryVerdict::OverQuota { defer },
                    Some(CopyResult::NoSuchAccount) => DeliveryVerdict::NoSuchAccount,
                    Some(CopyResult::Suspended) => DeliveryVerdict::Suspended,
                    Some(CopyResult::Busy) if Instant::now() < busy_until => {
                        busy.push(recipient);
                        continue;
                    }
                    Some(CopyResult::Busy) => DeliveryVerdict::Busy,
                    None => DeliveryVerdict::Unavailable,
                };
                answers.set(recipient, verdict);
            }
            if !busy.is_empty() {
                sleep(pauses.next()).await;
                calls.push(busy);
            }
        }
    }
}

/// Whether another recipient of the call wants the same account, so that the quota counted both.
fn shares_an_account(asked: &[Copy], recipient: usize) -> bool {
    let own: Vec<AccountId> = asked.iter().filter(|c| c.recipient == recipient).map(|c| c.account).collect();
    asked.iter().any(|c| c.recipient != recipient && own.contains(&c.account))
}

fn worth_another_try(error: &Error) -> bool {
    error.is_temporary() && !deliver::is_condemned(error)
}

/// How long to wait before the next try: 20, 50, 100, then 200 ms.
#[derive(Default)]
struct Pauses(usize);

impl Pauses {
    fn next(&mut self) -> Duration {
        const MS: [u64; 4] = [20, 50, 100, 200];
        let ms = MS.get(self.0).copied().unwrap_or(200);
        self.0 += 1;
        Duration::from_millis(ms)
    }
}
