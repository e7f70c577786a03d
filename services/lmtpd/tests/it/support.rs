//! A role that listens, mailboxes behind it, and a client.

use std::sync::Arc;

use directory::{Caller, Directory, LoginOutcome, NewAccount, NewDomain, NewTenant, OverQuota, Policy, Quota};
use lmtpd::{Config, Server};
use mail_types::{Address, DomainName, Secret, SystemClock, SystemRandom, TenantSlug};
use mailstore::{Mailstore, Part, Parts, StoreSettings, open_store};
use net::{Endpoint, Listener, tls::ServerTls};
use runtime::{database::DbRole, keys::MasterKeys, shutdown::Shutdown};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use testkit::{FakeClock, FaultyStore, SeededRandom, TestDatabase};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::JoinHandle,
};
use uuid::Uuid;

const PASSWORD: &str = "a long enough password";

pub(crate) struct World {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) store: FaultyStore,
    pub(crate) shutdown: Shutdown,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    pub(crate) directory: TempDir,
    database: TestDatabase,
}

/// `alice@acme.test` and `bob@globex.test` without limits, `full@acme.test` for 500 octets, `deferred@later.test` for as many where
/// the policy defers.
pub(crate) async fn world(config: Config) -> World {
    let database = testkit::database().await;
    let admin = directory(&database, DbRole::Admin).await;
    let caller = Caller::service("test", Uuid::nil());
    for (slug, over_quota) in [("acme", None), ("globex", None), ("later", Some(OverQuota::Defer))] {
        let policy = Policy { over_quota, ..Policy::default() };
        let slug = TenantSlug::parse(slug).unwrap();
        let name = DomainName::parse(&format!("{slug}.test")).unwrap();
        let tenant = NewTenant { slug: slug.clone(), name: slug.to_string(), quota: Quota::default(), policy };
        admin.create_tenant(&caller, tenant).await.unwrap();
        admin
            .create_domain(
                &caller,
                NewDomain {
                    name,
                    tenant: Some(slug),
                    policy: directory::Policy::default(),
                    quota: directory::Quota::default(),
                },
            )
            .await
            .unwrap();
    }
    for (address, octets) in [
        ("alice@acme.test", None),
        ("bob@globex.test", None),
        ("full@acme.test", Some(500)),
        ("deferred@later.test", Some(500)),
    ] {
        let address = Address::parse(address).unwrap();
        let quota = Quota { octets, ..Quota::default() };
        let account = NewAccount { address, password: Some(Secret::from(PASSWORD)), quota };
        admin.create_account(&caller, account).await.unwrap();
    }

    let files = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", files.path().display());
    let store = FaultyStore::new(open_store(&url, None, &StoreSettings::default()).unwrap());
    let mailstore = mailstore(&database, DbRole::Lmtp, &store).await;
    let tls = ServerTls::from_directory(&net::tls::self_signed(files.path()).unwrap()).unwrap();
    let lmtp = directory(&database, DbRole::Lmtp).await;
    let config = Config { host: "mx.restante.test".to_owned(), ..config };
    let endpoint = config.listen.first().unwrap().endpoint.clone();
    let server =
        Server::new(config, Some(tls), lmtp, mailstore, Arc::new(FakeClock::default()), Arc::new(SeededRandom::new(1)))
            .unwrap();
    let listener = Listener::bind(&endpoint, "lmtp").await.unwrap();
    let Endpoint::Tcp(bound) = listener.bound().unwrap() else { panic!("not an address") };
    let address = ([127, 0, 0, 1], bound.port()).into();
    let shutdown = Shutdown::new();
    let served = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { server.serve(listener, &shutdown).await }
    });
    World { address, store, shutdown, served, directory: files, database }
}

pub(crate) fn config() -> Config {
    Config { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Config::default() }
}

async fn directory(database: &TestDatabase, role: DbRole) -> Directory {
    let keys = master_keys();
    let settings = directory::Settings::default();
    Directory::new(database.pool(role).await, keys, Arc::new(FakeClock::default()), Arc::new(SystemRandom), settings)
}

async fn mailstore(database: &TestDatabase, role: DbRole, store: &FaultyStore) -> Mailstore {
    let settings = mailstore::Settings::default();
    let memory = settings.memory_budget();
    let frames = settings.frame_cache(false);
    let parts = Parts {
        pool: database.pool(role).await,
        role,
        store: Arc::new(store.clone()),
        store_settings: StoreSettings::default(),
        settings,
        memory,
        frames,
        master: master_keys(),
        // The database refuses segments that claim to be of another day.
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    Mailstore::open(parts).await.unwrap()
}

impl World {
    pub(crate) async fn client(&self) -> Client<TcpStream> {
        Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }

    /// A client that has read the greeting and said LHLO.
    pub(crate) async fn greeted(&self) -> Client<TcpStream> {
        let mut client = self.client().await;
        assert_eq!(client.line().await, "220 mx.restante.test LMTP Restante");
        client.lhlo().await;
        client
    }

    /// What the worker works with.
    pub(crate) async fn sweeper(&self) -> mailstore::Sweeper {
        let pool = self.database.pool(DbRole::Worker).await;
        let store = Arc::new(self.store.clone());
        mailstore::Sweeper::new(pool, store, &StoreSettings::default(), mailstore::SweepSettings::default())
    }

    /// A statement, as the owner of the tables.
    pub(crate) async fn owner(&self, sql: &str) {
        let pool = self.database.pool(DbRole::Owner).await;
        sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let pool = self.database.pool(DbRole::Owner).await;
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    }

    pub(crate) async fn json(&self, sql: &str) -> serde_json::Value {
        let pool = self.database.pool(DbRole::Owner).await;
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    }

    /// Every message of a maildrop as RETR would send it.
    pub(crate) async fn messages(&self, address: &str) -> Vec<String> {
        let pop3 = directory(&self.database, DbRole::Pop3).await;
        let login = match pop3.login(address, &Secret::from(PASSWORD), None).await.unwrap() {
            LoginOutcome::Accepted(login) => login,
            LoginOutcome::Refused(refusal) => panic!("{refusal:?}"),
        };
        let mailstore = mailstore(&self.database, DbRole::Pop3, &self.store).await;
        let snapshot = mailstore.snapshot(login.tenant, login.account, login.maildrop).await.unwrap();
        let mut messages = Vec::new();
        let mut session = mailstore.reader(login.tenant, snapshot.clone(), None);
        for (index, message) in snapshot.messages().iter().enumerate() {
            let mut reader = session.open(index, Part::Whole).await.unwrap().unwrap();
            let mut octets = Vec::new();
            while let Some(piece) = reader.next().await.unwrap() {
                octets.extend_from_slice(&piece);
            }
            assert_eq!(octets.len() as u64, message.octets.0);
            messages.push(String::from_utf8(octets).unwrap());
        }
        messages
    }
}

pub(crate) struct Client<S>(pub(crate) BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next line, without its CRLF; empty at the end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    pub(crate) async fn lhlo(&mut self) -> Vec<String> {
        self.send("LHLO client.test\r\n").await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            assert!(line.starts_with("250"), "{line}");
            let last = line.starts_with("250 ");
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// Sends text and reads as many lines: their codes.
    pub(crate) async fn codes(&mut self, text: &str, lines: usize) -> Vec<String> {
        self.send(text).await;
        let mut codes = Vec::new();
        for _ in 0..lines {
            let line = self.line().await;
            codes.push(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        }
        codes
    }

    /// That the server closes, with nothing more said.
    pub(crate) async fn closed(&mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
    }
}

fn master_keys() -> MasterKeys {
    MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
}
