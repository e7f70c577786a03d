//! A process of its own, as far as a crash goes: its tasks and connections live in a runtime that can be stopped between two
//! steps, and nothing of it is closed or answered any more.

use std::sync::Arc;
use std::time::Duration;

use mail_types::{Clock, Secret, SystemClock, SystemRandom, Timestamp};
use mailstore::{
    CompactSettings, Compactor, Mailstore, Parts, Settings, StoreSettings, SweepReport, SweepSettings, Sweeper,
};
use object_store::ObjectStore;
use runtime::database::{DbRole, Pool};
use runtime::fail_point::{Held, hold};
use runtime::keys::MasterKeys;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::world::{MASTER_KEY, World};

/// The time of day, late by three hours: what is written now is old enough for a sweep that looks at what is older than its hour.
#[derive(Debug)]
pub(crate) struct ThreeHoursLate;

impl Clock for ThreeHoursLate {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(SystemClock.now().unix_ms() - 3 * 3_600_000)
    }

    fn monotonic(&self) -> std::time::Instant {
        SystemClock.monotonic()
    }
}

/// No grace, no age, no pause.
pub(crate) const SWEEP: SweepSettings = SweepSettings {
    grace_seconds: 0,
    orphan_age_seconds: 0,
    orphan_interval_seconds: 0,
    unreferenced_seconds: 0,
    reconcile_interval_seconds: 0,
    reconcile_pause_ms: 0,
    purge_per_second: 1_000_000,
    delete_per_second: 1_000_000,
    partitions_ahead_days: 2,
    ..SweepSettings::DEFAULT
};

/// Everything is worth compacting, at once.
pub(crate) const COMPACT: CompactSettings = CompactSettings {
    thin_age_seconds: 0,
    small_age_seconds: 0,
    at_least_segments: 1,
    segment_octets: 50_000,
    switch_messages: 5,
    claim_seconds: 0,
    pause_ms: 0,
    octets_per_second: 1 << 40,
    ..CompactSettings::DEFAULT
};

/// What the database calls a process's connections.
const NAME: &str = "a process";

async fn named(pool: Pool) -> Pool {
    pool.set_connect_options(pool.connect_options().as_ref().clone().application_name(NAME));
    // It has been opened with one connection.
    sqlx::query(sqlx::AssertSqlSafe(format!("SET application_name = '{NAME}'"))).execute(&pool).await.unwrap();
    pool
}

pub(crate) struct Process {
    runtime: Option<Runtime>,
    pub(crate) lmtp: Mailstore,
    pub(crate) pop3: Mailstore,
    pub(crate) admin: Mailstore,
    pub(crate) worker: Mailstore,
    pub(crate) sweeper: Sweeper,
    /// The same beside work that is under way: what is younger than a late commit may be is no orphan yet, as configurations say too.
    pub(crate) patient_sweeper: Sweeper,
    pub(crate) compactor: Compactor,
}

impl Process {
    pub(crate) fn start(world: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // What is opened, the connections too, belongs to that runtime, and nothing of the test's own does: hence another thread.
        let opened = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(Self::open(world))).join());
        let mut process = opened.unwrap();
        process.runtime = Some(runtime);
        process
    }

    async fn open(world: &World) -> Self {
        let settings = Settings { busy_deadline_ms: 2_000, ..Settings::default() };
        let (memory, frames) = (settings.memory_budget(), settings.frame_cache(true));
        let parts = async |role| Parts {
            pool: named(world.database.pool(role).await).await,
            role,
            store: Arc::new(world.store.clone()) as Arc<dyn ObjectStore>,
            store_settings: StoreSettings::default(),
            settings: settings.clone(),
            memory: memory.clone(),
            frames: frames.clone(),
            master: MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap(),
            clock: Arc::new(ThreeHoursLate),
            random: Arc::new(SystemRandom),
        };
        let lmtp = Mailstore::open(parts(DbRole::Lmtp).await).await.unwrap();
        let pop3 = Mailstore::open(parts(DbRole::Pop3).await).await.unwrap();
        let admin = Mailstore::open(parts(DbRole::Admin).await).await.unwrap();
        let worker = parts(DbRole::Worker).await;
        let sweeping =
            |settings| Sweeper::new(worker.pool.clone(), worker.store.clone(), &worker.store_settings, settings);
        let sweeper = sweeping(SWEEP);
        let patient_sweeper = sweeping(SweepSettings { orphan_age_seconds: 13 * 3_600, ..SWEEP });
        let compactor = Compactor::new(&worker, COMPACT);
        let worker = Mailstore::open(worker).await.unwrap();
        Self { runtime: None, lmtp, pop3, admin, worker, sweeper, patient_sweeper, compactor }
    }

    /// Runs something in it.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().unwrap().spawn(work)
    }

    /// It stops, at once and wherever it is. Afterwards none of its threads does anything any more.
    pub(crate) fn stop(mut self) {
        let runtime = self.runtime.take().unwrap();
        // Waiting for them is not allowed on a thread that runs tasks, as the caller's does.
        std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(30))).join().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What became of work that was to stop at a fail point.
pub(crate) enum Ran<T> {
    /// It came to its end without passing there.
    Done(T),
    /// It stopped there, and the process with it.
    Stopped,
}

/// Runs work in a process until it ends or passes the fail point for the n-th time; the process then stops.
pub(crate) async fn run_until<T: Send + 'static>(
    process: Process,
    (point, passing): (&str, u64),
    work: impl Future<Output = T> + Send + 'static,
) -> (Ran<T>, Option<Process>) {
    let mut held: Held = hold(point, passing);
    let mut work = process.spawn(work);
    tokio::select! {
        done = &mut work => (Ran::Done(done.unwrap()), Some(process)),
        () = held.reached() => {
            process.stop();
            (Ran::Stopped, None)
        }
    }
}

impl World {
    /// Waits until the database has done with all processes, which have stopped: it goes on with what it has received, also with what
    /// a connection has not begun to read yet.
    pub(crate) async fn quiet(&self) {
        let left = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{NAME}'"
        );
        while self.count(&left).await > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sweeps until nothing is left to do, when the claims of those who stopped have run out.
    pub(crate) async fn settle(&self, process: &Process) {
        sqlx::raw_sql("UPDATE restante.jobs SET claimed_until = NULL; UPDATE restante.segments SET claimed_until = NULL WHERE claimed_until IS NOT NULL")
            .execute(&self.superuser)
            .await
            .unwrap();
        for _ in 0..20 {
            let (sweeper, compactor) = (process.sweeper.clone(), process.compactor.clone());
            let report = process
                .spawn(async move {
                    compactor.compact(|| true).await.unwrap();
                    // A delivery that stopped before the first of its recipients was committed leaves a segment that only a recount
                    // gives over to reclaim; it never finds a counter wrong.
                    let recount = sweeper.reconcile(|| true).await.unwrap();
                    assert_eq!((recount.maildrops, recount.segments), (0, 0), "{recount:?}");
                    sweeper.sweep().await.unwrap()
                })
                .await
                .unwrap();
            if report == (SweepReport { partitions: report.partitions, ..SweepReport::default() }) {
                return;
            }
        }
        panic!("sweeping never ends");
    }

    /// What must hold whenever nothing is under way: counters, a live segment with an object for every row.
    pub(crate) async fn check_rows(&self) {
        self.check_counters().await;
        let unfit = self
            .count(
                "SELECT count(*) FROM (SELECT segment_id FROM restante.messages UNION ALL SELECT segment_id FROM restante.expunged) r \
                 LEFT JOIN restante.segments s USING (segment_id) WHERE s.state IS DISTINCT FROM 1",
            )
            .await;
        assert_eq!(unfit, 0, "rows whose segment is not live");
        let named: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT replace(segment_uuid::text, '-', '') FROM restante.segments s \
             WHERE EXISTS (SELECT FROM restante.messages m WHERE m.segment_id = s.segment_id) OR EXISTS (SELECT FROM restante.expunged x WHERE x.segment_id = s.segment_id)",
        )
        .fetch_all(&self.superuser)
        .await
        .unwrap();
        let objects = self.objects();
        for segment in named {
            assert!(objects.contains(&segment), "segment {segment} has rows and no object");
        }
    }

    /// After sweeping: no object without a row, no row of a segment without references.
    pub(crate) async fn check_nothing_is_left(&self) {
        let mut named: Vec<String> = sqlx::query_scalar(
            "SELECT replace(segment_uuid::text, '-', '') FROM restante.segments WHERE state = 1 AND refs > 0 ORDER BY 1",
        )
        .fetch_all(&self.superuser)
        .await
        .unwrap();
        named.sort_unstable();
        let idle: Vec<String> = sqlx::query_scalar(
            "SELECT s::text FROM restante.segments s WHERE NOT (state = 1 AND refs > 0) ORDER BY segment_id",
        )
        .fetch_all(&self.superuser)
        .await
        .unwrap();
        assert!(idle.is_empty(), "segments that nobody refers to: {idle:?}");
        let mut objects: Vec<String> = self.objects().into_iter().collect();
        objects.sort_unstable();
        assert_eq!(objects, named, "objects, and segments that somebody refers to");
    }

    fn objects(&self) -> std::collections::HashSet<String> {
        let Ok(hours) = std::fs::read_dir(self.directory.path().join("v1/seg")) else { return Default::default() };
        hours
            .flat_map(|hour| std::fs::read_dir(hour.unwrap().path()).unwrap())
            .map(|object| object.unwrap().file_name().into_string().unwrap())
            // What a crashed writer began: the store cleans it up, nobody ever reads it.
            .filter(|name| name.len() == 32)
            .collect()
    }
}
