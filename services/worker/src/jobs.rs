//! The jobs of tenants: lines are claimed, done, and taken away, some at a time ([`directory::ClaimedChunk`]). A worker that dies loses
//! nothing: its claim ends by itself, and another does the same lines.

use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Duration;

use directory::{ClaimedChunk, Directory, Error, JobKind, WorkBounds};
use futures_util::future::join_all;
use prometheus::{IntCounterVec, IntGaugeVec, register_int_counter_vec, register_int_gauge_vec};
use runtime::fail_point;
use runtime::shutdown::Shutdown;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Migrations;

#[expect(clippy::expect_used, reason = "names are constants")]
static CHUNKS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Pieces of tenants' jobs that this worker took up, by kind and what became of them: done, lost (to another worker, or \
                because the job was stopped), or the kind of the error after which they are tried again";
    register_int_counter_vec!("restante_worker_job_chunks_total", help, &["kind", "result"])
        .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static LINES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "restante_worker_job_lines_total",
        "Lines of tenants' jobs that were done, by kind",
        &["kind"]
    )
    .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static WORKING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "restante_worker_jobs_working",
        "Pieces of tenants' jobs that are being done, by kind",
        &["kind"]
    )
    .expect("a well-formed metric")
});

/// `[worker.jobs]`: imports and migrations of tenants, and how little they may take from those who serve.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobsConfig {
    /// How often a worker looks for something to do, milliseconds.
    pub poll_ms: u64,
    /// Lines of imports that this worker does in a second, at most.
    pub accounts_per_second: u32,
    /// Maildrops that this worker brings over at once.
    pub migrations: u32,
    /// Maildrops of one migration that are brought over at once, by all workers together.
    pub migrations_per_job: u32,
    /// Passwords in clear that this worker hashes at once; each takes 19 MiB and a core.
    pub argon2_parallel: usize,
    /// How long what a worker took up is its own without a sign of life, seconds: so long after its death another goes on.
    pub claim_seconds: u64,
    /// After how long it is tried again when it failed, seconds.
    pub retry_seconds: u64,
    /// How often it is tried before the job is given up.
    pub attempts: u16,
    /// How long an ended job can be looked at, days.
    pub keep_days: u64,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            poll_ms: 1000,
            accounts_per_second: 500,
            migrations: 4,
            migrations_per_job: 4,
            argon2_parallel: 1,
            claim_seconds: 60,
            retry_seconds: 5,
            attempts: 10,
            keep_days: 14,
        }
    }
}

impl JobsConfig {
    fn claim(&self) -> Duration {
        Duration::from_secs(self.claim_seconds.max(1))
    }

    fn bounds(&self, kind: JobKind) -> WorkBounds {
        let at_once = match kind {
            // One after the other: which of two lines about one account comes first is then no matter of luck.
            JobKind::AccountsImport => 1,
            JobKind::MaildropMigration => self.migrations_per_job.max(1),
        };
        WorkBounds { at_once, claim: self.claim(), attempts: self.attempts }
    }
}

/// How long the end of a piece takes at most.
const SETTLED: Duration = Duration::from_secs(5);
/// Between looks at what is old.
const SWEEP: Duration = Duration::from_secs(600);

/// What jobs are done with.
struct Hands<'a> {
    config: &'a JobsConfig,
    directory: &'a Directory,
    migrations: &'a Migrations,
    shutdown: &'a Shutdown,
}

/// Works until draining begins; what is under way then is finished.
pub(crate) async fn run(config: &JobsConfig, directory: &Directory, migrations: &Migrations, shutdown: &Shutdown) {
    let hands = Hands { config, directory, migrations, shutdown };
    let importing = hands.looking(JobKind::AccountsImport);
    let migrating = join_all((0..config.migrations).map(|_| hands.looking(JobKind::MaildropMigration)));
    let sweeping = async {
        loop {
            match directory.sweep_jobs(Duration::from_secs(config.keep_days * 86_400)).await {
                Ok(0) => {}
                Ok(jobs) => tracing::info!(jobs, "old jobs are forgotten"),
                Err(error) => tracing::warn!(kind = error.kind(), "old jobs could not be swept"),
            }
            if !waited(SWEEP, shutdown).await {
                return;
            }
        }
    };
    tokio::join!(importing, migrating, sweeping);
}

/// False: draining has begun.
async fn waited(wait: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = sleep(wait) => !shutdown.is_draining(),
        () = shutdown.draining() => false,
    }
}

impl Hands<'_> {
    /// Does what there is of one kind, one piece after the other.
    async fn looking(&self, kind: JobKind) {
        let config = self.config;
        let mut failing = false;
        while !self.shutdown.is_draining() {
            let claimed = self.directory.claim_chunk(kind, config.bounds(kind)).await;
            let wait = match &claimed {
                Ok(Some(chunk)) => self.done(chunk).await,
                Ok(None) => Duration::from_millis(config.poll_ms.max(10)),
                Err(error) => {
                    if !failing {
                        tracing::warn!(kind = kind.as_str(), error_kind = error.kind(), %error, "jobs cannot be claimed; it is tried again");
                    }
                    Duration::from_secs(config.retry_seconds.max(1))
                }
            };
            failing = claimed.is_err();
            if !waited(wait, self.shutdown).await {
                return;
            }
        }
    }

    /// Does a piece of a job, and says how long to wait before the next one.
    async fn done(&self, chunk: &ClaimedChunk) -> Duration {
        let Self { config, directory, .. } = self;
        let kind = chunk.kind.as_str();
        let lines = chunk.numbered().count();
        let begun = Instant::now();
        let working = WORKING.with_label_values(&[kind]);
        working.inc();
        let worked = match chunk.kind {
            // On the heap: together with the rest of a worker's work they would not fit on a thread's stack.
            JobKind::AccountsImport => self.alive(chunk, Box::pin(directory.import_chunk(chunk))).await,
            JobKind::MaildropMigration => self.alive(chunk, Box::pin(self.migrations.migrate(directory, chunk))).await,
        };
        working.dec();
        let result = match &worked {
            Ok(true) => {
                LINES.with_label_values(&[kind]).inc_by(lines as u64);
                "done"
            }
            Ok(false) => "lost",
            Err(error) => error.kind(),
        };
        CHUNKS.with_label_values(&[kind, result]).inc();
        if let Err(error) = &worked {
            tracing::warn!(job = chunk.job, line = chunk.first_line, error_kind = error.kind(), %error, "a piece of a job failed; it is tried again");
            let pause = Duration::from_secs(config.retry_seconds);
            if let Err(error) = directory.give_chunk_back(chunk, pause, !error.is_temporary()).await {
                tracing::warn!(
                    job = chunk.job,
                    error_kind = error.kind(),
                    "it could not be given back: the claim ends by itself"
                );
            }
        }
        fail_point::reach("job.after_chunk").await;
        if chunk.kind != JobKind::AccountsImport {
            return Duration::ZERO;
        }
        let least = Duration::from_secs_f64(lines as f64 / f64::from(config.accounts_per_second.max(1)));
        least.saturating_sub(begun.elapsed())
    }

    /// The work, while the claim is renewed; `Ok(false)` as soon as the claim is another's or the job was stopped.
    async fn alive(
        &self,
        chunk: &ClaimedChunk,
        mut work: Pin<Box<impl Future<Output = Result<bool, Error>>>>,
    ) -> Result<bool, Error> {
        let Self { config, directory, .. } = self;
        loop {
            let next = Instant::now() + config.claim() / 3;
            tokio::select! {
                worked = &mut work => return worked,
                // What came over is kept; another worker goes on.
                () = self.shutdown.draining(), if chunk.kind == JobKind::MaildropMigration => return Err(Error::Busy),
                () = sleep_until(next) => {}
            }
            match directory.renew_chunk(chunk, config.claim()).await {
                // The work itself may just have taken it away: it says so in a moment.
                Ok(false) => return tokio::time::timeout(SETTLED, work).await.unwrap_or(Ok(false)),
                Ok(true) => {}
                Err(error) => tracing::debug!(error_kind = error.kind(), "a claim could not be renewed"),
            }
        }
    }
}
