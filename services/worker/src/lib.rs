//! What nobody waits for: expiry, erasure, purge, reclaim, orphans, partitions, compaction, recounts, verification, marks, the sums of
//! usage, what the directory forgets, what webhooks are told, and the jobs of tenants ([`JobsConfig`]). Any number of workers may run,
//! without a leader: every step of [`mailstore::Sweeper`], [`Compactor`] and [`Check`] may run twice and beside itself.

use std::sync::LazyLock;
use std::time::Duration;

use directory::{Deliveries, DeliverySettings, Directory, Housekeeper};
use mailstore::{Check, CompactSettings, Compactor, ExpiryReport, SweepReport, SweepSettings, Sweeper};
use net::egress::Egress;
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

pub mod fetch;
mod jobs;
mod metrics;
mod migrate;
mod webhooks;
pub use jobs::JobsConfig;
pub use migrate::Migrations;

/// `[worker]`: how often what is done, and when what is gone is gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds between rounds of purge, reclaim and orphans.
    pub sweep_interval_seconds: u64,
    /// Seconds between sums of usage.
    pub usage_interval_seconds: u64,
    /// Seconds between looks at the octets of each account, by which lists of them can be ordered.
    pub sizes_interval_seconds: u64,
    /// Seconds between rounds of expiring mail whose account's policy keeps it for so many days only.
    pub expire_interval_seconds: u64,
    /// Seconds between rounds of erasing what was deleted and whose retention has passed.
    pub erase_interval_seconds: u64,
    /// Seconds between marks: what was restored to a moment since the last one cannot be told from a fail-over.
    pub mark_interval_seconds: u64,
    /// Segments read whole and compared in a minute, those first that were not for longest; 0: none.
    pub verify_segments_per_minute: u32,
    /// Seconds between rounds of compaction.
    pub compact_interval_seconds: u64,
    /// Seconds between rounds of forgetting what the directory keeps for a while only.
    pub housekeeping_interval_seconds: u64,
    /// How webhooks are told.
    pub webhooks: DeliverySettings,
    /// Graces and batches.
    pub sweep: SweepSettings,
    /// What is compacted, and how fast.
    pub compact: CompactSettings,
    /// Imports and migrations.
    pub jobs: JobsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sweep_interval_seconds: 60,
            usage_interval_seconds: 10,
            sizes_interval_seconds: 300,
            expire_interval_seconds: 3_600,
            erase_interval_seconds: 600,
            mark_interval_seconds: 60,
            verify_segments_per_minute: 60,
            compact_interval_seconds: 60,
            housekeeping_interval_seconds: 600,
            webhooks: DeliverySettings::default(),
            sweep: SweepSettings::DEFAULT,
            compact: CompactSettings::DEFAULT,
            jobs: JobsConfig::default(),
        }
    }
}

/// Runs until draining begins; a round under way is finished, or given up at the deadline.
pub async fn run(config: Config, hands: Hands, shutdown: Shutdown) {
    let verify = config.verify_segments_per_minute.div_ceil(60 / VERIFY_SECONDS);
    let worker = Worker { hands, verify, shutdown: shutdown.clone() };
    let jobs = Box::pin(jobs::run(&config.jobs, &worker.hands.directory, &worker.hands.migrations, &shutdown));
    let sweeping = worker.every(Work::Sweep, config.sweep_interval_seconds);
    let summing = worker.every(Work::Usage, config.usage_interval_seconds);
    let sizing = worker.every(Work::Sizes, config.sizes_interval_seconds);
    let expiring = worker.every(Work::Expire, config.expire_interval_seconds);
    let erasing = worker.every(Work::Erase, config.erase_interval_seconds);
    let compacting = worker.every(Work::Compact, config.compact_interval_seconds);
    let keeping = worker.every(Work::Housekeeping, config.housekeeping_interval_seconds);
    // Whether a pass is due the catalog says.
    let recounting = worker.every(Work::Reconcile, config.sweep_interval_seconds);
    let marking = worker.every(Work::Mark, config.mark_interval_seconds);
    let telling = webhooks::tell(&worker.hands.deliveries, &worker.hands.egress, &shutdown);
    let verifying = async {
        if verify > 0 {
            worker.every(Work::Verify, VERIFY_SECONDS.into()).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(sweeping, summing, sizing, expiring, erasing, compacting, keeping, telling, recounting, marking, verifying, jobs) } => {}
        () = shutdown.deadline() => {}
    }
}

/// Seconds between rounds of verifying: short, so that a process that drains need not wait for one.
const VERIFY_SECONDS: u32 = 10;

/// What the work is done with.
#[derive(Debug)]
pub struct Hands {
    /// Expires, purges, reclaims, counts.
    pub sweeper: Sweeper,
    /// Moves what lives to where it is read well.
    pub compactor: Compactor,
    /// Reads what is stored.
    pub check: Check,
    /// Forgets what the directory keeps for a while only.
    pub housekeeper: Housekeeper,
    /// What webhooks are to be told.
    pub deliveries: Deliveries,
    /// The way to them.
    pub egress: Egress,
    /// Makes accounts (under the role worker).
    pub directory: Directory,
    /// Brings mail over.
    pub migrations: Migrations,
}

#[derive(Clone, Copy)]
enum Work {
    Sweep,
    Usage,
    Sizes,
    Expire,
    Erase,
    Mark,
    Verify,
    Compact,
    Reconcile,
    Housekeeping,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Mailstore(#[from] mailstore::Error),
    #[error(transparent)]
    Directory(#[from] directory::Error),
}

impl RoundError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Mailstore(error) => error.kind(),
            Self::Directory(error) => error.kind(),
        }
    }
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Usage => "usage",
            Self::Sizes => "sizes",
            Self::Expire => "expire",
            Self::Erase => "erase",
            Self::Mark => "mark",
            Self::Verify => "verify",
            Self::Compact => "compact",
            Self::Reconcile => "reconcile",
            Self::Housekeeping => "housekeeping",
        }
    }
}

/// The hands, and the end of the work.
struct Worker {
    hands: Hands,
    /// Segments of a round of verifying.
    verify: u32,
    shutdown: Shutdown,
}

impl Worker {
    async fn round(&self, work: Work) -> Result<(), RoundError> {
        let shutdown = self.shutdown.clone();
        let goes_on = move || !shutdown.is_draining();
        let Hands { sweeper, compactor, check, housekeeper, deliveries, .. } = &self.hands;
        match work {
            Work::Sweep => {
                note(&sweeper.sweep().await?);
                metrics::backlog(sweeper.backlog().await?);
            }
            Work::Usage => {
                sweeper.roll_up_usage().await?;
                SWEPT.with_label_values(&["told_quota_levels"]).inc_by(sweeper.tell_quota_levels().await?);
            }
            Work::Sizes => {
                SWEPT.with_label_values(&["noted_sizes"]).inc_by(sweeper.note_account_octets(goes_on).await?);
            }
            Work::Erase => {
                let (accounts, domains) = sweeper.erase(goes_on).await?;
                SWEPT.with_label_values(&["erased_accounts"]).inc_by(accounts);
                SWEPT.with_label_values(&["erased_domains"]).inc_by(domains);
            }
            Work::Expire => note_expiry(&sweeper.expire(goes_on).await?),
            Work::Compact => metrics::compacted(&compactor.compact(goes_on).await?),
            Work::Reconcile => metrics::reconciled(&sweeper.reconcile(goes_on).await?),
            Work::Housekeeping => {
                let claims = housekeeper.expire_claims().await?;
                SWEPT.with_label_values(&["expired_claims"]).inc_by(claims);
                SWEPT.with_label_values(&["forgotten_deliveries"]).inc_by(deliveries.forget().await?);
                let swept = housekeeper.sweep_audit().await?;
                SWEPT.with_label_values(&["deleted_audit_events"]).inc_by(swept.events);
                SWEPT.with_label_values(&["dropped_audit_months"]).inc_by(swept.months);
            }
            Work::Mark => drop(sweeper.marker().mark().await?),
            Work::Verify => {
                let (verified, damaged) = check.verify_oldest(self.verify).await?;
                SWEPT.with_label_values(&["verified_segments"]).inc_by(verified);
                SWEPT.with_label_values(&["damage_found"]).inc_by(damaged);
            }
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
            // Boxed: ten loops that each hold the largest of all rounds would fill the stack of a build without optimisation.
            match Box::pin(self.round(work)).await {
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
        ("hastened_messages", report.hastened),
        ("purged_messages", report.purged),
        ("reclaimed_segments", report.reclaimed),
        ("condemned_segments", report.condemned),
        ("made_partitions", report.partitions),
        ("forgotten_activity", report.forgotten),
    ];
    for (kind, count) in counts {
        SWEPT.with_label_values(&[kind]).inc_by(count);
    }
    if *report != SweepReport::default() {
        tracing::info!(
            hastened = report.hastened,
            purged = report.purged,
            reclaimed = report.reclaimed,
            condemned = report.condemned,
            partitions = report.partitions,
            "swept"
        );
    }
}

fn note_expiry(report: &ExpiryReport) {
    SWEPT.with_label_values(&["expired_messages"]).inc_by(report.expired);
    SWEPT.with_label_values(&["expired_octets"]).inc_by(report.octets);
    SWEPT.with_label_values(&["expiry_busy_maildrops"]).inc_by(report.busy);
    if *report != ExpiryReport::default() {
        tracing::info!(messages = report.expired, octets = report.octets, busy = report.busy, "expired");
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

    fn keys() -> MasterKeys {
        MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
    }

    #[tokio::test]
    async fn it_works_at_once_and_stops_when_asked() {
        let database = testkit::database().await;
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings::default();
        let store = mailstore::open_store(&format!("file://{}", directory.path().display()), None, &settings).unwrap();
        let pool = database.pool(DbRole::Worker).await;
        let sweeper = Sweeper::new(pool.clone(), Arc::clone(&store), &settings, SweepSettings::default());
        let master = keys();
        let check = Check::new(mailstore::Access::new(
            pool.clone(),
            DbRole::Worker,
            Arc::clone(&store),
            &settings,
            master.clone(),
            Arc::new(SystemRandom),
        ));
        let parts = Parts {
            pool,
            role: DbRole::Worker,
            store,
            store_settings: settings,
            settings: Settings::default(),
            memory: Settings::default().memory_budget(),
            frames: Settings::default().frame_cache(false),
            master,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        let compactor = Compactor::new(&parts, CompactSettings::default());
        let housekeeper = Housekeeper::new(database.pool(DbRole::Worker).await, &directory::Settings::default());
        let deliveries = Deliveries::new(
            database.pool(DbRole::Worker).await,
            keys(),
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
            DeliverySettings::default(),
        );
        let egress = Egress::new(&net::egress::Settings::default(), &net::egress::DnsSettings::default()).unwrap();
        let directory = Directory::new(
            parts.pool.clone(),
            parts.master.clone(),
            Arc::clone(&parts.clock),
            Arc::clone(&parts.random),
            directory::Settings::default(),
        );
        let mailstore = mailstore::Mailstore::open(parts).await.unwrap();
        let tls = net::client::ClientTls::new(None).unwrap();
        let migrations = Migrations { mailstore, egress: egress.clone(), tls };
        let shutdown = Shutdown::new();
        let hands = Hands { sweeper, compactor, check, housekeeper, deliveries, egress, directory, migrations };
        let running = tokio::spawn(run(Config::default(), hands, shutdown.clone()));
        let done =
            ["usage", "sizes", "sweep", "expire", "erase", "compact", "reconcile", "mark", "verify", "housekeeping"]
                .map(|kind| ROUNDS.with_label_values(&[kind, "ok"]));
        while done.iter().any(|rounds| rounds.get() == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.begin_drain();
        running.await.unwrap();
        assert!(SWEPT.with_label_values(&["made_partitions"]).get() > 0);
    }
}
