//! What every test stands on: a database with two tenants' accounts, a store, a mailstore for each role.

use std::sync::Arc;

use mail_types::{
    AccountId, Clock, History, MaildropState, Octets, ReversePath, Secret, SystemClock, SystemRandom, TenantId,
};
use mailstore::{
    Access, CompactSettings, Compactor, Delivery, DeliveryVerdict, FrameCache, Mailstore, Part, Parts, Recipient,
    Selection, SessionReader, Settings, Snapshot, StoreSettings, SweepSettings, Sweeper, Target, Update,
};
use object_store::ObjectStore;
use runtime::database::{DbRole, Pool};
use runtime::keys::MasterKeys;
use sqlx::Row as _;
use testkit::{Fault, FaultyStore, Operation, TestDatabase};

use crate::expunge::session;
use crate::restore::administrator;

pub(crate) const MASTER_KEY: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) superuser: Pool,
    pub(crate) store: FaultyStore,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) lmtp: Mailstore,
    pub(crate) pop3: Mailstore,
    pub(crate) admin: Mailstore,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), Arc::new(SystemClock)).await
    }

    pub(crate) async fn with(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let database = testkit::database().await;
        let directory = tempfile::tempdir().unwrap();
        let local =
            mailstore::open_store(&format!("file://{}", directory.path().display()), None, &StoreSettings::default())
                .unwrap();
        let store = FaultyStore::new(local);
        let superuser = database.superuser().await;
        for slug in ["a", "b"] {
            sqlx::query(
                "WITH t AS (INSERT INTO restante.tenants (slug, display_name) VALUES ($1, $1) RETURNING tenant_id) \
                 INSERT INTO restante.domains (tenant_id, name, challenge, verified_at) SELECT tenant_id, $1 || '.test', '', now() FROM t",
            )
            .bind(slug)
            .execute(&superuser)
            .await
            .unwrap();
        }
        let frames = settings.frame_cache(false);
        let lmtp = open(&database, &store, &settings, &frames, &clock, DbRole::Lmtp).await;
        let pop3 = open(&database, &store, &settings, &frames, &clock, DbRole::Pop3).await;
        let admin = open(&database, &store, &settings, &frames, &clock, DbRole::Admin).await;
        Self { superuser, store, directory, lmtp, pop3, admin, database }
    }

    /// The mailstores of one more process, one that both takes mail in and serves it.
    pub(crate) async fn in_one_process(&self) -> (Mailstore, Mailstore) {
        let settings = Settings::default();
        let (frames, clock): (_, Arc<dyn Clock>) = (settings.frame_cache(true), Arc::new(SystemClock));
        let lmtp = open(&self.database, &self.store, &settings, &frames, &clock, DbRole::Lmtp).await;
        let pop3 = open(&self.database, &self.store, &settings, &frames, &clock, DbRole::Pop3).await;
        (lmtp, pop3)
    }

    /// The mailstore as a process that starts now has it, with these master keys.
    pub(crate) async fn reopen(&self, role: DbRole, master: &str) -> Mailstore {
        let settings = Settings::default();
        Mailstore::open(Parts {
            pool: self.database.pool(role).await,
            role,
            store: Arc::new(self.store.clone()),
            store_settings: StoreSettings::default(),
            memory: settings.memory_budget(),
            frames: settings.frame_cache(false),
            settings,
            master: MasterKeys::parse(&Secret::from(master)).unwrap(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        })
        .await
        .unwrap()
    }

    /// A copy of the database as it is now. The processes connect anew.
    pub(crate) async fn backup(&mut self) -> TestDatabase {
        let copy = self.database.copy().await;
        self.superuser = self.database.superuser().await;
        self.lmtp = self.reopen(DbRole::Lmtp, MASTER_KEY).await;
        self.pop3 = self.reopen(DbRole::Pop3, MASTER_KEY).await;
        copy
    }

    /// From now on on another database, with processes that start now; the store stays.
    pub(crate) async fn go_back(&mut self, database: TestDatabase) {
        self.superuser = database.superuser().await;
        self.database = database;
        self.lmtp = self.reopen(DbRole::Lmtp, MASTER_KEY).await;
        self.pop3 = self.reopen(DbRole::Pop3, MASTER_KEY).await;
    }

    /// A database that was just migrated: another catalog, and nobody in it.
    pub(crate) async fn empty(&self) {
        sqlx::query("UPDATE restante.catalog SET incarnation = gen_random_uuid()")
            .execute(&self.superuser)
            .await
            .unwrap();
    }

    /// A new account of tenant `a` or `b` with at most so many octets.
    pub(crate) async fn account(&self, slug: &str, max_octets: Option<i64>) -> Target {
        let row = sqlx::query(
            "WITH a AS (INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt, max_octets) \
                        SELECT d.tenant_id, d.domain_id, gen_random_uuid()::text, '', $2 FROM restante.domains d WHERE d.name = $1 || '.test' \
                        RETURNING tenant_id, account_id) \
             INSERT INTO restante.maildrops (tenant_id, account_id) SELECT * FROM a RETURNING tenant_id, account_id",
        )
        .bind(slug)
        .bind(max_octets)
        .fetch_one(&self.superuser)
        .await
        .unwrap();
        Target { tenant: TenantId(row.get(0)), account: AccountId(row.get(1)) }
    }

    pub(crate) async fn deliver(&self, text: &[u8], recipients: &[(&str, &[Target])]) -> Vec<DeliveryVerdict> {
        deliver(&self.lmtp, text, recipients).await
    }

    pub(crate) async fn state(&self, target: Target) -> MaildropState {
        let row = sqlx::query("SELECT shape, next_uid, live_messages, live_octets, c.incarnation FROM restante.maildrops, restante.catalog c WHERE tenant_id = $1 AND account_id = $2")
            .bind(target.tenant.0)
            .bind(target.account.0)
            .fetch_one(&self.superuser)
            .await
            .unwrap();
        MaildropState {
            history: History::new(row.get::<uuid::Uuid, _>(4).as_u128(), ""),
            shape: row.get(0),
            next_uid: row.get(1),
            messages: row.get::<i32, _>(2).try_into().unwrap(),
            octets: Octets(row.get::<i64, _>(3).try_into().unwrap()),
        }
    }

    pub(crate) async fn snapshot(&self, target: Target) -> Arc<Snapshot> {
        self.pop3.snapshot(target.tenant, target.account, self.state(target).await).await.unwrap()
    }

    /// All messages of a maildrop, whole.
    pub(crate) async fn read_all(&self, target: Target) -> Vec<Vec<u8>> {
        let snapshot = self.snapshot(target).await;
        let mut all = Vec::new();
        let mut reader = self.pop3.reader(target.tenant, snapshot.clone(), None);
        for (index, message) in snapshot.messages().iter().enumerate() {
            let octets = read(&mut reader, index, Part::Whole).await.unwrap();
            assert_eq!(octets.len() as u64, message.octets.0, "octets as listed");
            all.push(octets);
        }
        all
    }

    pub(crate) async fn read(&self, target: Target, index: usize, part: Part) -> Result<Vec<u8>, mailstore::Error> {
        let snapshot = self.snapshot(target).await;
        read(&mut self.pop3.reader(target.tenant, snapshot, None), index, part).await
    }

    pub(crate) async fn sweeper(&self, settings: SweepSettings) -> Sweeper {
        Sweeper::new(
            self.database.pool(DbRole::Worker).await,
            Arc::new(self.store.clone()),
            &StoreSettings::default(),
            settings,
        )
    }

    /// Delivers these texts to one recipient each, all in one segment.
    pub(crate) async fn deliver_together(&self, texts: &[String], target: Target) {
        self.deliver(b"first", &[("x@a.test", &[target])]).await;
        self.store.nth(Operation::Put, 1, Fault::Hang);
        let mut sent = tokio::task::JoinSet::new();
        let before = self.store.calls(Operation::Put);
        // One delivery's PUT hangs; the others queue up behind it and become one segment.
        for (n, text) in texts.iter().cloned().enumerate() {
            let lmtp = self.lmtp.clone();
            sent.spawn(async move { deliver(&lmtp, text.as_bytes(), &[("x@a.test", &[target])]).await });
            while n == 0 && self.store.calls(Operation::Put) == before {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..400 {
            tokio::task::yield_now().await;
        }
        self.store.release();
        while let Some(verdicts) = sent.join_next().await {
            assert!(is_stored(&verdicts.unwrap()[0]));
        }
    }

    /// Expunges some of a maildrop, those whose place (counted from 0) `which` takes.
    pub(crate) async fn expunge(&self, target: Target, which: impl Fn(usize) -> bool) -> usize {
        let snapshot = self.snapshot(target).await;
        let uids: Vec<i64> =
            snapshot.messages().iter().enumerate().filter(|(at, _)| which(*at)).map(|(_, m)| m.uid).collect();
        self.pop3.quit(target.tenant, target.account, &session(), &expunge(&uids)).await.unwrap();
        uids.len()
    }

    /// The retention of all that is expunged is over.
    pub(crate) async fn let_retention_pass(&self) {
        sqlx::query("UPDATE restante.expunged SET purge_day = purge_day - 8").execute(&self.superuser).await.unwrap();
    }

    /// Brings back what is expunged of a maildrop.
    pub(crate) async fn restore_all(&self, target: Target) {
        let all = Selection::Between { since: chrono::DateTime::UNIX_EPOCH, until: None };
        self.admin.restore(target.tenant, target.account, &all, &administrator()).await.unwrap();
    }

    /// Dead octets against a recount; only where every frame was given to somebody.
    pub(crate) async fn check_dead_octets(&self) {
        let wrong: Option<String> = sqlx::query_scalar(
            "SELECT string_agg(s::text || ' named ' || named, '; ') FROM restante.segments s, LATERAL \
             (SELECT coalesce(sum(len), 0) named FROM (SELECT frame_offset, max(frame_len) len FROM \
                (SELECT frame_offset, frame_len FROM restante.messages m WHERE m.segment_id = s.segment_id UNION ALL \
                 SELECT frame_offset, frame_len FROM restante.expunged x WHERE x.segment_id = s.segment_id) r GROUP BY 1) f) n \
             WHERE s.state = 1 AND s.dead_octets <> s.octets - 64 - named",
        )
        .fetch_one(&self.superuser)
        .await
        .unwrap();
        assert_eq!(wrong, None, "segments whose dead octets differ from a recount");
    }

    /// Octets and number of the segments in the store.
    pub(crate) fn stored(&self) -> (u64, usize) {
        let mut found = (0, 0);
        let Ok(hours) = std::fs::read_dir(self.directory.path().join("v1/seg")) else { return found };
        for hour in hours {
            for object in std::fs::read_dir(hour.unwrap().path()).unwrap() {
                found = (found.0 + object.unwrap().metadata().unwrap().len(), found.1 + 1);
            }
        }
        found
    }

    pub(crate) async fn compactor(&self, settings: CompactSettings) -> Compactor {
        let store: Arc<dyn ObjectStore> = Arc::new(self.store.clone());
        let parts = Parts {
            pool: self.database.pool(DbRole::Worker).await,
            role: DbRole::Worker,
            store,
            store_settings: StoreSettings::default(),
            settings: Settings::default(),
            memory: Settings::default().memory_budget(),
            frames: Settings::default().frame_cache(false),
            master: MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        };
        Compactor::new(&parts, settings)
    }

    /// The whole catalog and bucket, over connections of a role and with these master keys.
    pub(crate) async fn access(&self, role: DbRole, master: &str) -> Access {
        let (store, master) = (Arc::new(self.store.clone()), MasterKeys::parse(&Secret::from(master)).unwrap());
        Access::new(
            self.database.pool(role).await,
            role,
            store,
            &StoreSettings::default(),
            master,
            Arc::new(SystemRandom),
        )
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.superuser).await.unwrap()
    }

    /// The counters against a recount: nothing may differ.
    pub(crate) async fn check_counters(&self) {
        let wrong = self
            .count(
                "SELECT count(*) FROM restante.maildrops m \
                 LEFT JOIN (SELECT tenant_id, account_id, count(*) n, sum(octets) o, max(uid) u FROM restante.messages GROUP BY 1, 2) l USING (tenant_id, account_id) \
                 LEFT JOIN (SELECT tenant_id, account_id, count(*) n, sum(octets) o, max(uid) u FROM restante.expunged GROUP BY 1, 2) x USING (tenant_id, account_id) \
                 WHERE (m.live_messages, m.live_octets, m.kept_messages, m.kept_octets) \
                       IS DISTINCT FROM (coalesce(l.n, 0), coalesce(l.o, 0), coalesce(x.n, 0), coalesce(x.o, 0)) \
                    OR m.next_uid <= greatest(coalesce(l.u, 0), coalesce(x.u, 0))",
            )
            .await;
        assert_eq!(wrong, 0, "maildrops whose counters differ from a recount");
        let wrong = self
            .count(
                "SELECT count(*) FROM restante.segments s WHERE s.refs <> \
                 (SELECT count(*) FROM restante.messages m WHERE m.segment_id = s.segment_id) + (SELECT count(*) FROM restante.expunged x WHERE x.segment_id = s.segment_id)",
            )
            .await;
        assert_eq!(wrong, 0, "segments whose refs differ from a recount");
        assert_eq!(self.count("SELECT count(*) - count(DISTINCT guid) FROM (SELECT guid FROM restante.messages UNION ALL SELECT guid FROM restante.expunged) g").await, 0);
    }
}

async fn open(
    database: &TestDatabase,
    store: &FaultyStore,
    settings: &Settings,
    frames: &FrameCache,
    clock: &Arc<dyn Clock>,
    role: DbRole,
) -> Mailstore {
    Mailstore::open(Parts {
        pool: database.pool(role).await,
        role,
        store: Arc::new(store.clone()) as Arc<dyn ObjectStore>,
        store_settings: StoreSettings::default(),
        settings: settings.clone(),
        memory: settings.memory_budget(),
        frames: frames.clone(),
        master: MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap(),
        clock: clock.clone(),
        random: Arc::new(SystemRandom),
    })
    .await
    .unwrap()
}

pub(crate) async fn deliver(store: &Mailstore, text: &[u8], recipients: &[(&str, &[Target])]) -> Vec<DeliveryVerdict> {
    let mut incoming = store.incoming(recipients.iter().flat_map(|r| r.1).next().unwrap().tenant, 1 << 26);
    incoming.write(text).await.unwrap();
    store
        .deliver(Delivery {
            reverse_path: ReversePath::parse("sender@x.test").unwrap(),
            received: "Received: here".into(),
            source: "LMTP",
            recipients: recipients
                .iter()
                .map(|(given, targets)| Recipient { given: (*given).to_owned(), targets: targets.to_vec() })
                .collect(),
            body: incoming.finish(),
        })
        .await
}

pub(crate) fn is_stored(verdict: &DeliveryVerdict) -> bool {
    matches!(verdict, DeliveryVerdict::Stored { .. })
}

/// Short waits, so that what must give up gives up soon.
pub(crate) fn impatient() -> Settings {
    Settings { busy_deadline_ms: 300, commit_deadline_ms: 500, ..Settings::default() }
}

/// A QUIT that expunges these and nothing else.
pub(crate) fn expunge(uids: &[i64]) -> Update {
    Update { expunge: uids.to_vec(), ..Update::default() }
}

/// A message of a session, as far as it can be read.
pub(crate) async fn read(reader: &mut SessionReader, index: usize, part: Part) -> Result<Vec<u8>, mailstore::Error> {
    let mut body = reader.open(index, part).await.unwrap()?;
    let mut octets = Vec::new();
    while let Some(piece) = body.next().await? {
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}
