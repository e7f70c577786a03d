//! What the worker does to the mailstore: expiry, purge, reclaim, orphans, partitions, usage. Every step is a short transaction, may be
//! the last before a crash, may run twice and beside other workers. Only the database's clock decides what is old enough.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use runtime::database::Pool;
use serde::Deserialize;

use crate::bodies::Bodies;
use crate::catalog::{expire, hasten, sweep};
use crate::mark::{Following, Marker};
use crate::{Error, StoreSettings};

/// `[worker]`: when what is gone is gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepSettings {
    /// How long octets outlive their last row, seconds; never shorter than the database's backup window. Default 8 days.
    pub grace_seconds: u64,
    /// How old an object without a row must be to be condemned, seconds; the grace counts if it is longer. Default 1 day.
    pub orphan_age_seconds: u64,
    /// How old a segment that nobody refers to must be before it counts as empty, seconds: its commit may still be under way.
    pub unreferenced_seconds: u64,
    /// Rows or objects a step takes at once.
    pub batch: u32,
    /// Days for which partitions are made ahead: the longest retention and 8 days.
    pub partitions_ahead_days: u32,
    /// The most messages that expiry by policy expunges in a second, in this process; at least 1.
    pub expire_per_second: u32,
}

impl Default for SweepSettings {
    fn default() -> Self {
        let day = 86_400;
        Self {
            grace_seconds: 8 * day,
            orphan_age_seconds: day,
            unreferenced_seconds: 3_600,
            batch: 1_000,
            partitions_ahead_days: 40,
            expire_per_second: 500,
        }
    }
}

/// What a round of sweeping did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Expunged messages over their account's bound, to be purged before their day.
    pub hastened: u64,
    /// Expunged messages gone for ever.
    pub purged: u64,
    /// Segments found without references.
    pub emptied: u64,
    /// Objects deleted with their rows.
    pub reclaimed: u64,
    /// Objects without a row, condemned.
    pub condemned: u64,
    /// Partitions made.
    pub partitions: u64,
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
    pool: Pool,
    bodies: Bodies,
    marker: Marker,
    settings: SweepSettings,
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

    /// One round of everything that deletes or makes room. Steps that fail stop the round; the next one takes them up.
    pub async fn sweep(&self) -> Result<SweepReport, Error> {
        let mut report = SweepReport::default();
        let grace = Duration::from_secs(self.settings.grace_seconds);
        report.partitions = sweep::partitions(&self.pool, self.settings.partitions_ahead_days).await?;
        if self.marker.check().await? != Following::Yes {
            return Ok(report);
        }
        report.hastened = hasten::over_bound(&self.pool, self.settings.batch).await?;
        loop {
            let purged = sweep::purge_batch(&self.pool, self.settings.batch).await?;
            report.purged += purged;
            if purged == 0 {
                break;
            }
        }
        sweep::drop_purged(&self.pool).await?;
        report.emptied =
            sweep::empty_segments(&self.pool, Duration::from_secs(self.settings.unreferenced_seconds)).await?;
        report.condemned =
            self.condemn_orphans(grace.max(Duration::from_secs(self.settings.orphan_age_seconds))).await?;
        loop {
            let doomed = sweep::doomed_segments(&self.pool, grace, self.settings.batch).await?;
            if doomed.is_empty() {
                break;
            }
            for segment in doomed {
                self.bodies.delete(segment).await?;
                sweep::forget_segment(&self.pool, segment).await?;
                report.reclaimed += 1;
            }
        }
        Ok(report)
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

    /// Sums what domains and tenants use. A late roll-up is only late: nothing else depends on it.
    pub async fn roll_up_usage(&self) -> Result<(), Error> {
        sweep::roll_up_usage(&self.pool).await
    }

    /// Condemns objects that no row names and that are older than `age`: the commit of a row, should one still come, then fails.
    async fn condemn_orphans(&self, age: Duration) -> Result<u64, Error> {
        let Some(before) = sweep::hour_before(&self.pool, age).await? else { return Ok(0) };
        let mut condemned = 0;
        for hour in self.bodies.hours().await? {
            if hour >= before {
                break;
            }
            let listed = self.bodies.segments(&hour).await?;
            for some in listed.chunks(self.settings.batch as usize) {
                condemned += sweep::condemn_unknown(&self.pool, some).await?;
            }
        }
        Ok(condemned)
    }
}
