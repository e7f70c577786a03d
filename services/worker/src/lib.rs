//! What nobody waits for: expiry, purge, reclaim, orphans, partitions, and the sums of usage. Any number of workers may run, without a
//! leader: every step of [`mailstore::Sweeper`] may run twice and beside itself.

use std::sync::LazyLock;
use std::time::Duration;

use mailstore::{Check, ExpiryReport, SweepReport, SweepSettings, Sweeper};
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

/// `[worker]`: how often what is done, and when what is gone is gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seconds between rounds of purge, reclaim and orphans.
    pub sweep_interval_seconds: u64,
    /// Seconds between sums of usage.
    pub usage_interval_seconds: u64,
    /// Seconds between rounds of expiring mail whose account's policy keeps it for so many days only.
    pub expire_interval_seconds: u64,
    /// Seconds between marks: what was restored to a moment since the last one cannot be told from a fail-over.
    pub mark_interval_seconds: u64,
    /// Segments read whole and compared in a minute, those first that were not for longest; 0: none.
    pub verify_segments_per_minute: u32,
    /// Graces and batches.
    pub sweep: SweepSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sweep_interval_seconds: 60,
            usage_interval_seconds: 10,
            expire_interval_seconds: 3_600,
            mark_interval_seconds: 60,
            verify_segments_per_minute: 60,
            sweep: SweepSettings::default(),
        }
    }
}

/// Runs until draining begins; a round under way is finished, or given up at the deadline.
pub async fn run(config: Config, sweeper: Sweeper, check: Check, shutdown: Shutdown) {
    let hands = Hands { sweeper, check, verify: config.verify_segments_per_minute.div_ceil(60 / VERIFY_SECONDS) };
    let sweeping = every(Work::Sweep, config.sweep_interval_seconds, &hands, &shutdown);
    let summing = every(Work::Usage, config.usage_interval_seconds, &hands, &shutdown);
    let marking = every(Work::Mark, config.mark_interval_seconds, &hands, &shutdown);
    let verifying = async {
        if hands.verify > 0 {
            every(Work::Verify, VERIFY_SECONDS.into(), &hands, &shutdown).await;
        }
    };
    let expiring = every(Work::Expire, config.expire_interval_seconds, &hands, &shutdown);
    tokio::select! {
        _ = async { tokio::join!(sweeping, summing, expiring, marking, verifying) } => {}
        () = shutdown.deadline() => {}
    }
}

/// Seconds between rounds of verifying: short, so that a process that drains need not wait for one.
const VERIFY_SECONDS: u32 = 10;

/// What the work is done with.
struct Hands {
    sweeper: Sweeper,
    check: Check,
    /// Segments of a round.
    verify: u32,
}

#[derive(Clone, Copy)]
enum Work {
    Sweep,
    Usage,
    Expire,
    Mark,
    Verify,
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Usage => "usage",
            Self::Expire => "expire",
            Self::Mark => "mark",
            Self::Verify => "verify",
        }
    }

    async fn round(
        self,
        Hands { sweeper, check, verify }: &Hands,
        shutdown: &Shutdown,
    ) -> Result<(), mailstore::Error> {
        match self {
            Self::Expire => note_expiry(&sweeper.expire(|| !shutdown.is_draining()).await?),
            Self::Sweep => note(&sweeper.sweep().await?),
            Self::Usage => sweeper.roll_up_usage().await?,
            Self::Mark => drop(sweeper.marker().mark().await?),
            Self::Verify => {
                let (verified, damaged) = check.verify_oldest(*verify).await?;
                SWEPT.with_label_values(&["verified_segments"]).inc_by(verified);
                SWEPT.with_label_values(&["damage_found"]).inc_by(damaged);
            }
        }
        Ok(())
    }
}

/// A kind of work, at once and then at its interval, until draining begins. A failure is logged once when it begins and once
/// when it is over.
async fn every(work: Work, seconds: u64, hands: &Hands, shutdown: &Shutdown) {
    let kind = work.name();
    let mut timer = tokio::time::interval(Duration::from_secs(seconds.max(1)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let failing = FAILING.with_label_values(&[kind]);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            () = shutdown.draining() => return,
        }
        match work.round(hands, shutdown).await {
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

fn note(report: &SweepReport) {
    let counts = [
        ("hastened_messages", report.hastened),
        ("purged_messages", report.purged),
        ("emptied_segments", report.emptied),
        ("reclaimed_segments", report.reclaimed),
        ("condemned_segments", report.condemned),
        ("made_partitions", report.partitions),
    ];
    for (kind, count) in counts {
        SWEPT.with_label_values(&[kind]).inc_by(count);
    }
    if *report != SweepReport::default() {
        tracing::info!(
            hastened = report.hastened,
            purged = report.purged,
            emptied = report.emptied,
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

    use mail_types::{Secret, SystemRandom};
    use mailstore::StoreSettings;
    use runtime::database::DbRole;
    use runtime::keys::MasterKeys;

    use super::*;

    #[tokio::test]
    async fn it_works_at_once_and_stops_when_asked() {
        let database = testkit::database().await;
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings::default();
        let store = mailstore::open_store(&format!("file://{}", directory.path().display()), None, &settings).unwrap();
        let sweeper =
            Sweeper::new(database.pool(DbRole::Worker).await, Arc::clone(&store), &settings, SweepSettings::default());
        let check = Check::new(
            database.pool(DbRole::Worker).await,
            DbRole::Worker,
            store,
            &settings,
            MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap(),
            Arc::new(SystemRandom),
        );
        let shutdown = Shutdown::new();
        let running = tokio::spawn(run(Config::default(), sweeper, check, shutdown.clone()));
        let (marks, verifies) =
            (ROUNDS.with_label_values(&["mark", "ok"]), ROUNDS.with_label_values(&["verify", "ok"]));
        let sums = ROUNDS.with_label_values(&["usage", "ok"]);
        let sweeps = ROUNDS.with_label_values(&["sweep", "ok"]);
        let expiries = ROUNDS.with_label_values(&["expire", "ok"]);
        while [&sums, &sweeps, &expiries, &marks, &verifies].iter().any(|rounds| rounds.get() == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.begin_drain();
        running.await.unwrap();
        assert!(SWEPT.with_label_values(&["made_partitions"]).get() > 0);
    }
}
