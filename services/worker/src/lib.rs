//! What nobody waits for: purge, reclaim, orphans, partitions, compaction, recounts, and the sums of usage. Any number of workers may
//! run, without a leader: every step of [`mailstore::Sweeper`] and [`Compactor`] may run twice and beside itself.

use std::sync::LazyLock;
use std::time::Duration;

use mailstore::{CompactSettings, Compactor, SweepReport, SweepSettings, Sweeper};
use prometheus::{IntCounterVec, IntGaugeVec, register_int_counter_vec, register_int_gauge_vec};
use runtime::shutdown::Shutdown;
use serde::Deserialize;

#[expect(clippy::expect_used, reason = "names are constants")]
static ROUNDS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_worker_rounds_total", "Rounds of work, by kind and result", &["kind", "result"])
        .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static SWEPT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_worker_swept_total", "What sweeping did, by kind", &["kind"])
        .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static FAILING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("restante_worker_failing", "1 while the last round of a kind failed", &["kind"])
        .expect("a well-formed metric")
});

mod metrics;

/// `[worker]`: how often what is done, and when what is gone is gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds between rounds of purge, reclaim and orphans.
    pub sweep_interval_seconds: u64,
    /// Seconds between sums of usage.
    pub usage_interval_seconds: u64,
    /// Seconds between rounds of compaction.
    pub compact_interval_seconds: u64,
    /// Graces and batches.
    pub sweep: SweepSettings,
    /// What is compacted, and how fast.
    pub compact: CompactSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sweep_interval_seconds: 60,
            usage_interval_seconds: 10,
            compact_interval_seconds: 60,
            sweep: SweepSettings::DEFAULT,
            compact: CompactSettings::DEFAULT,
        }
    }
}

/// Runs until draining begins; a round under way is finished, or given up at the deadline.
pub async fn run(config: Config, sweeper: Sweeper, compactor: Compactor, shutdown: Shutdown) {
    let worker = Worker { sweeper, compactor, shutdown: shutdown.clone() };
    let sweeping = worker.every(Work::Sweep, config.sweep_interval_seconds);
    let summing = worker.every(Work::Usage, config.usage_interval_seconds);
    let compacting = worker.every(Work::Compact, config.compact_interval_seconds);
    // Whether a pass is due the catalog says.
    let recounting = worker.every(Work::Reconcile, config.sweep_interval_seconds);
    tokio::select! {
        _ = async { tokio::join!(sweeping, summing, compacting, recounting) } => {}
        () = shutdown.deadline() => {}
    }
}

#[derive(Clone, Copy)]
enum Work {
    Sweep,
    Usage,
    Compact,
    Reconcile,
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Usage => "usage",
            Self::Compact => "compact",
            Self::Reconcile => "reconcile",
        }
    }
}

/// The hands and the end of the work.
struct Worker {
    sweeper: Sweeper,
    compactor: Compactor,
    shutdown: Shutdown,
}

impl Worker {
    async fn round(&self, work: Work) -> Result<(), mailstore::Error> {
        let shutdown = self.shutdown.clone();
        let goes_on = move || !shutdown.is_draining();
        match work {
            Work::Sweep => {
                note(&self.sweeper.sweep().await?);
                metrics::backlog(self.sweeper.backlog().await?);
            }
            Work::Usage => self.sweeper.roll_up_usage().await?,
            Work::Compact => metrics::compacted(&self.compactor.compact(goes_on).await?),
            Work::Reconcile => metrics::reconciled(&self.sweeper.reconcile(goes_on).await?),
        }
        Ok(())
    }

    /// A kind of work, at once and then at its interval, until draining begins. A failure is logged once when it begins and once
    /// when it is over.
    async fn every(&self, work: Work, seconds: u64) {
        let kind = work.name();
        let mut timer = tokio::time::interval(Duration::from_secs(seconds.max(1)));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let failing = FAILING.with_label_values(&[kind]);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = self.shutdown.draining() => return,
            }
            match self.round(work).await {
                Ok(()) => {
                    ROUNDS.with_label_values(&[kind, "ok"]).inc();
                    if failing.get() != 0 {
                        failing.set(0);
                        tracing::info!(kind, "rounds succeed again");
                    }
                }
                Err(error) => {
                    ROUNDS.with_label_values(&[kind, error.kind()]).inc();
                    if failing.get() == 0 {
                        failing.set(1);
                        tracing::warn!(kind, error_kind = error.kind(), %error, "a round failed; it is tried again at each interval");
                    }
                }
            }
        }
    }
}

fn note(report: &SweepReport) {
    let counts = [
        ("purged_messages", report.purged),
        ("reclaimed_segments", report.reclaimed),
        ("condemned_segments", report.condemned),
        ("made_partitions", report.partitions),
    ];
    for (kind, count) in counts {
        SWEPT.with_label_values(&[kind]).inc_by(count);
    }
    if *report != SweepReport::default() {
        tracing::info!(
            purged = report.purged,
            reclaimed = report.reclaimed,
            condemned = report.condemned,
            partitions = report.partitions,
            "swept"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mail_types::{Secret, SystemClock, SystemRandom};
    use mailstore::{Parts, Settings, StoreSettings};
    use runtime::database::DbRole;
    use runtime::keys::MasterKeys;

    use super::*;

    #[tokio::test]
    async fn it_works_at_once_and_stops_when_asked() {
        let database = testkit::database().await;
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings::default();
        let store = mailstore::open_store(&format!("file://{}", directory.path().display()), None, &settings).unwrap();
        let pool = database.pool(DbRole::Worker).await;
        let sweeper = Sweeper::new(pool.clone(), Arc::clone(&store), &settings, SweepSettings::default());
        let parts = Parts {
            pool,
            role: DbRole::Worker,
            store,
            store_settings: settings,
            settings: Settings::default(),
            memory: Settings::default().memory_budget(),
            master: MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let compactor = Compactor::new(&parts, CompactSettings::default());
        let shutdown = Shutdown::new();
        let running = tokio::spawn(run(Config::default(), sweeper, compactor, shutdown.clone()));
        let done = ["usage", "sweep", "compact", "reconcile"].map(|kind| ROUNDS.with_label_values(&[kind, "ok"]));
        while done.iter().any(|rounds| rounds.get() == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.begin_drain();
        running.await.unwrap();
        assert!(SWEPT.with_label_values(&["made_partitions"]).get() > 0);
    }
}
