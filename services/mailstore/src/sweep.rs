//! What the worker does to the mailstore: expiry, purge, reclaim, orphans, partitions, usage. Every step is a short transaction, may be
//! the last before a crash, may run twice and beside other workers. Only the database's clock decides what is old enough.

use std::sync::Arc;
use std::time::Duration;

use mail_types::SegmentUuid;
use object_store::ObjectStore;
use runtime::database::Pool;
use runtime::fail_point;
use serde::Deserialize;

use crate::bodies::Bodies;
use crate::catalog::jobs::{self, Progress};
use crate::catalog::{erase, expire, hasten, sizes, sweep};
use crate::mark::{Following, Marker};
use crate::pace::Pace;
use crate::{Error, StoreSettings};

pub use crate::catalog::sweep::Backlog;

/// `[worker.sweep]`: when what is gone is gone, and how much of it at a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepSettings {
    /// How long octets outlive their last row, seconds; never shorter than the database's backup window. Default 8 days.
    pub grace_seconds: u64,
    /// How old an object without a row must be to be condemned, seconds; the grace counts if it is longer. Default 1 day.
    pub orphan_age_seconds: u64,
    /// Seconds between passes over all objects in search of those without a row.
    pub orphan_interval_seconds: u64,
    /// How old a segment that nobody refers to must be before it counts as empty, seconds: its commit may still be under way.
    pub unreferenced_seconds: u64,
    /// Seconds between passes that compare all counters with a recount.
    pub reconcile_interval_seconds: u64,
    /// Rows that a slice of such a pass counts.
    pub reconcile_rows: u32,
    /// How long it rests between slices, milliseconds.
    pub reconcile_pause_ms: u64,
    /// The most messages that are purged in a second, in this process.
    pub purge_per_second: u32,
    /// The most objects that are deleted in a second, in this process.
    pub delete_per_second: u32,
    /// The most batches of each step in a round: what is left, the next round does, so that no step starves the others.
    pub batches_per_round: u32,
    /// Rows or objects a step takes at once.
    pub batch: u32,
    /// Days for which partitions are made ahead: the longest retention and 8 days.
    pub partitions_ahead_days: u32,
    /// The most messages that expiry by policy expunges in a second, in this process; at least 1.
    pub expire_per_second: u32,
    /// Days that the support desk keeps what happened at accounts: sessions (never less than what they expunged can be restored) and
    /// refused logins.
    pub activity_days: u32,
    /// Days that it keeps transcripts of sessions.
    pub transcript_days: u32,
}

impl SweepSettings {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        grace_seconds: 8 * DAY,
        orphan_age_seconds: DAY,
        orphan_interval_seconds: DAY / 4,
        unreferenced_seconds: 3_600,
        reconcile_interval_seconds: DAY,
        reconcile_rows: 20_000,
        reconcile_pause_ms: 100,
        purge_per_second: 5_000,
        delete_per_second: 200,
        batches_per_round: 100,
        batch: 1_000,
        partitions_ahead_days: 40,
        expire_per_second: 500,
        activity_days: 30,
        transcript_days: 7,
    };
}

const DAY: u64 = 86_400;

/// How long a doomed segment is one worker's to delete.
const DELETE_CLAIM: Duration = Duration::from_secs(600);

impl Default for SweepSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a round of sweeping did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Expunged messages over their account's bound, to be purged before their day.
    pub hastened: u64,
    /// Expunged messages gone for ever.
    pub purged: u64,
    /// Objects deleted with their rows.
    pub reclaimed: u64,
    /// Objects without a row, condemned.
    pub condemned: u64,
    /// Partitions made.
    pub partitions: u64,
    /// Rows and days of activity, and transcripts, that were old.
    pub forgotten: u64,
}

/// What a round of expiring did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExpiryReport {
    /// Messages expunged because they were over the days of their account's policy.
    pub expired: u64,
    /// Their octets.
    pub octets: u64,
    /// Maildrops that somebody else was changing, left to the next round.
    pub busy: u64,
}

/// The worker's hands on the mailstore (role worker).
#[derive(Debug, Clone)]
pub struct Sweeper {
    pub(crate) pool: Pool,
    bodies: Bodies,
    marker: Marker,
    pub(crate) settings: SweepSettings,
}

impl Sweeper {
    /// Over connections that act as the worker.
    pub fn new(
        pool: Pool,
        store: Arc<dyn ObjectStore>,
        store_settings: &StoreSettings,
        settings: SweepSettings,
    ) -> Self {
        let bodies = Bodies::new(store, store_settings);
        let marker = Marker::over(pool.clone(), bodies.clone());
        Self { pool, bodies, marker, settings }
    }

    /// Whether the database follows its mark in the bucket, and the next mark.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// One round of everything that deletes or makes room, as much of each step as a round may do. Steps that fail stop the round;
    /// the next one takes them up.
    pub async fn sweep(&self) -> Result<SweepReport, Error> {
        let grace = Duration::from_secs(self.settings.grace_seconds);
        let mut report = SweepReport {
            partitions: sweep::partitions(&self.pool, self.settings.partitions_ahead_days).await?,
            ..SweepReport::default()
        };
        if self.marker.check().await? != Following::Yes {
            return Ok(report);
        }
        report.hastened = hasten::over_bound(&self.pool, self.settings.batch).await?;
        if self.purge(&mut report.purged).await? {
            sweep::drop_purged(&self.pool).await?;
        }
        report.condemned =
            self.condemn_orphans(grace.max(Duration::from_secs(self.settings.orphan_age_seconds))).await?;
        self.reclaim(grace, &mut report.reclaimed).await?;
        let (activity, transcripts) = (self.settings.activity_days, self.settings.transcript_days);
        report.forgotten = sweep::forget(&self.pool, activity, transcripts, self.settings.batch).await?;
        Ok(report)
    }

    /// Purges what is due; whether nothing is left of it.
    async fn purge(&self, purged: &mut u64) -> Result<bool, Error> {
        let mut pace = Pace::new(self.settings.purge_per_second);
        for _ in 0..self.settings.batches_per_round {
            let done = sweep::purge_batch(&self.pool, self.settings.batch).await?;
            fail_point::reach("purge.after_batch").await;
            *purged += done.purged;
            if done.due == 0 {
                return Ok(true);
            }
            pace.spend(done.purged).await;
        }
        Ok(false)
    }

    /// Deletes the objects of segments whose grace is over.
    async fn reclaim(&self, grace: Duration, reclaimed: &mut u64) -> Result<(), Error> {
        let mut pace = Pace::new(self.settings.delete_per_second);
        for _ in 0..self.settings.batches_per_round {
            let doomed = sweep::doomed_segments(&self.pool, grace, DELETE_CLAIM, self.settings.batch).await?;
            if doomed.is_empty() {
                break;
            }
            fail_point::reach("reclaim.after_doom").await;
            for (done, &segment) in doomed.iter().enumerate() {
                if let Err(error) = self.delete(segment).await {
                    sweep::unclaim_doomed(&self.pool, doomed.get(done..).unwrap_or_default()).await?;
                    return Err(error);
                }
                *reclaimed += 1;
                pace.spend(1).await;
            }
        }
        Ok(())
    }

    async fn delete(&self, segment: SegmentUuid) -> Result<(), Error> {
        self.bodies.delete(segment).await?;
        fail_point::reach("reclaim.after_delete").await;
        sweep::forget_segment(&self.pool, segment).await
    }

    /// One round through all accounts: expunges what is over the days that its account's policy keeps it (RFC 2449 section 6.7),
    /// to be restored like what a session expunged. Stops between two batches when `goes_on` says so; what is left, the next
    /// round finds. Several at once share the work.
    pub async fn expire(&self, goes_on: impl Fn() -> bool) -> Result<ExpiryReport, Error> {
        let mut report = ExpiryReport::default();
        let mut after = None;
        while goes_on() {
            let page = expire::page(&self.pool, after, self.settings.batch).await?;
            for due in &page.due {
                self.expire_maildrop(due, &goes_on, &mut report).await?;
            }
            let Some(last) = page.last else { break };
            after = Some(last);
        }
        Ok(report)
    }

    async fn expire_maildrop(
        &self,
        due: &expire::Due,
        goes_on: impl Fn() -> bool,
        report: &mut ExpiryReport,
    ) -> Result<(), Error> {
        // No batch takes longer than a second at the rate that is allowed.
        let batch = self.settings.batch.min(self.settings.expire_per_second).max(1);
        while goes_on() {
            let Some((expired, octets)) = expire::expire(&self.pool, due, batch).await? else {
                report.busy += 1;
                break;
            };
            report.expired += u64::from(expired);
            report.octets += octets;
            tokio::time::sleep(
                Duration::from_secs(1).mul_f64(f64::from(expired) / f64::from(self.settings.expire_per_second.max(1))),
            )
            .await;
            if expired < batch {
                break;
            }
        }
        Ok(())
    }

    /// Erases what was deleted, with all that lies beneath, once the retention has passed: mail goes to the purge as if its day had come,
    /// and when that has taken it the account is gone. Answers accounts and domains that are gone.
    pub async fn erase(&self, goes_on: impl Fn() -> bool) -> Result<(u64, u64), Error> {
        let (mut accounts, mut after) = (0, (0, 0));
        while goes_on() {
            let page = erase::deleted(&self.pool, after, self.settings.batch).await?;
            let Some(last) = page.last() else { break };
            after = *last;
            for key in page {
                // What is left the next round does: the purge has to take the messages first.
                let mut left = self.settings.batches_per_round;
                while left > 0 && goes_on() {
                    left -= 1;
                    match erase::account(&self.pool, key, self.settings.batch).await? {
                        erase::Erased::Some => {}
                        erase::Erased::Nothing => break,
                        erase::Erased::All => {
                            accounts += 1;
                            break;
                        }
                    }
                }
            }
        }
        Ok((accounts, erase::domains(&self.pool, self.settings.batch).await?))
    }

    /// Tells, in the audit trail, of quotas that have become 80 % or 100 % full, or no longer are.
    pub async fn tell_quota_levels(&self) -> Result<u64, Error> {
        sweep::quota_levels(&self.pool).await
    }

    /// Sums what domains and tenants use. A late roll-up is only late: nothing else depends on it.
    pub async fn roll_up_usage(&self) -> Result<(), Error> {
        sweep::roll_up_usage(&self.pool).await
    }

    /// Notes the octets of each account, for lists by size; answers of how many they had changed.
    pub async fn note_account_octets(&self, goes_on: impl Fn() -> bool) -> Result<u64, Error> {
        let (mut changed, mut after) = (0, (0, 0));
        while goes_on() {
            let (some, last) = sizes::note(&self.pool, after, self.settings.batch).await?;
            changed += some;
            let Some(last) = last else { break };
            after = last;
        }
        Ok(changed)
    }

    /// What waits to be swept or compacted.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        sweep::backlog(&self.pool).await
    }

    /// Condemns objects that no row names and that are older than `age`: the commit of a row, should one still come, then fails. A
    /// pass over all objects at an interval, hour by hour, as many of them as a round may do.
    async fn condemn_orphans(&self, age: Duration) -> Result<u64, Error> {
        let Some(before) = sweep::hour_before(&self.pool, age).await? else { return Ok(0) };
        let Some(slice) = jobs::claim(&self.pool, "orphans").await? else { return Ok(0) };
        let mut condemned = 0;
        let done = self.condemn_hours(slice.at.as_deref().unwrap_or_default(), &before, &mut condemned).await;
        let progress = done.as_ref().map_or(&Progress::Same, |progress| progress);
        jobs::give_back(&self.pool, &slice, progress).await?;
        done.map(|_| condemned)
    }

    async fn condemn_hours(&self, after: &str, before: &str, condemned: &mut u64) -> Result<Progress, Error> {
        let mut left = self.settings.batches_per_round;
        for hour in self.bodies.hours().await? {
            if hour.as_str() >= before {
                break;
            }
            if hour.as_str() <= after {
                continue;
            }
            let listed = self.bodies.segments(&hour).await?;
            for some in listed.chunks(self.settings.batch.max(1) as usize) {
                fail_point::reach("orphan.after_list").await;
                *condemned += sweep::condemn_unknown(&self.pool, some).await?;
                fail_point::reach("orphan.after_condemn").await;
                left = left.saturating_sub(1);
            }
            if left == 0 {
                return Ok(Progress::At(hour));
            }
        }
        Ok(Progress::Over(Duration::from_secs(self.settings.orphan_interval_seconds)))
    }
}
