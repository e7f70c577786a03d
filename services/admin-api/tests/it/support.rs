//! The router over a database of its own, and requests to it.

use std::sync::Arc;

use admin_api::{AppState, Config, Console, Publish};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use directory::{Caller, Directory, bootstrap_admin_token, new_api_token};
use mail_types::{
    Address, Clock as _, CredentialId, Random, Secret, SessionUuid, SystemClock, SystemRandom, Timestamp,
};
use mailstore::{Frontend, Mailstore, Parts, SessionNotes, SessionOutcome, SessionRecord, Update};
use net::egress::{DnsSettings, Egress};
use runtime::database::{DbRole, Pool};
use runtime::keys::MasterKeys;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::{FakeClock, NameServer, TestDatabase};
use tower::ServiceExt as _;

pub(crate) struct World {
    database: TestDatabase,
    pub(crate) pool: Pool,
    pub(crate) state: AppState,
    router: Router,
    /// Whose answers count.
    pub(crate) dns: NameServer,
    /// A platform administrator's key.
    pub(crate) platform: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) octets: Vec<u8>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body with what differs between any two requests taken out.
    pub(crate) fn without_request_id(&self) -> Value {
        let mut json = self.json();
        if let Value::Object(body) = &mut json {
            body.remove("request_id");
        }
        json
    }
}

fn master_keys() -> MasterKeys {
    MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
}

async fn mailstore(pool: Pool, role: DbRole) -> Mailstore {
    let settings = mailstore::Settings::default();
    let parts = Parts {
        pool,
        role,
        store: Arc::new(object_store::memory::InMemory::new()),
        store_settings: mailstore::StoreSettings::default(),
        memory: settings.memory_budget(),
        frames: settings.frame_cache(false),
        settings,
        master: master_keys(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    Mailstore::open(parts).await.unwrap()
}

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    /// What the document says of it.
    pub(crate) document: Value,
}

impl Operation {
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        self.document["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == name)
    }

    /// Whether a path is one of this operation's.
    pub(crate) fn takes(&self, path: &str) -> bool {
        let path = path.split('?').next().unwrap();
        let (mut ours, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), given.next()) {
                (None, None) => return true,
                (Some(our), Some(one)) if our == one || our.starts_with('{') => {}
                _ => return false,
            }
        }
    }
}

/// Every operation of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let document = admin_api::openapi();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                let (method, path) = (method.to_owned(), path.clone());
                all.push(Operation { method, path, document: operation.clone() });
            }
        }
    }
    all
}

async fn state(
    pool: &Pool,
    config: Config,
    publish: Publish,
    issuers: Option<Arc<dyn directory::IssuerHttp>>,
    dns: &NameServer,
) -> AppState {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let settings = directory::Settings::default();
    let directory = Directory::new(pool.clone(), master_keys(), clock.clone(), random.clone(), settings);
    let directory = issuers.into_iter().fold(directory, Directory::with_oidc);
    let mailstore = mailstore(pool.clone(), DbRole::Admin).await;
    let settings = DnsSettings { resolver: Some(dns.address()), timeout_ms: 2000, ..DnsSettings::default() };
    let egress = Egress::new(&net::egress::Settings::default(), &settings).unwrap();
    let (config, publish) = (Arc::new(config), Arc::new(publish));
    let console = Console::of(&[]);
    AppState { directory, mailstore, config, egress, publish, console, host: "mail.test".into(), clock, random }
}

/// Where TOTP secrets are those of RFC 6238 appendix B.
#[derive(Debug)]
struct KnownTotp;

impl Random for KnownTotp {
    fn fill(&self, buffer: &mut [u8]) {
        match buffer.len() {
            20 => buffer.copy_from_slice(b"12345678901234567890"),
            _ => SystemRandom.fill(buffer),
        }
    }
}

/// What an authenticator shows at [`World::at_a_known_moment`].
pub(crate) const KNOWN_CODE: &str = "005924";

/// A second service over the same database.
pub(crate) struct Service {
    pub(crate) pool: Pool,
    router: Router,
}

impl Service {
    /// A request to read.
    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        let request = Request::builder().uri(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        answer(&self.router, request.body(Body::empty()).unwrap()).await
    }
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let octets = to_bytes(body, 10_000_000).await.unwrap();
    let text = String::from_utf8_lossy(&octets).into_owned();
    Answer { status: parts.status, headers: parts.headers, octets: octets.into(), text }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::made(config, Publish::default(), None).await
    }

    pub(crate) async fn publishing(config: Config, publish: Publish) -> Self {
        Self::made(config, publish, None).await
    }

    /// With a way to issuers.
    pub(crate) async fn asking(config: Config, issuers: Arc<dyn directory::IssuerHttp>) -> Self {
        Self::made(config, Publish::default(), Some(issuers)).await
    }

    async fn made(config: Config, publish: Publish, issuers: Option<Arc<dyn directory::IssuerHttp>>) -> Self {
        let database = testkit::database().await;
        let pool = database.pool(DbRole::Admin).await;
        let token = new_api_token(&SystemRandom);
        bootstrap_admin_token(&pool, "test", &token).await.unwrap();
        let dns = NameServer::start().await.unwrap();
        let state = state(&pool, config, publish, issuers, &dns).await;
        let router = admin_api::router(state.clone());
        let platform = token.expose_str().unwrap().to_owned();
        Self { database, pool, state, router, dns, platform }
    }

    /// Shows this console.
    pub(crate) fn show(&mut self, console: Console) {
        self.state.console = console;
        self.router = admin_api::router(self.state.clone());
    }

    /// Its clock stands at a moment of RFC 6238 appendix B, for the secrets of which it has the codes.
    pub(crate) async fn at_a_known_moment() -> Self {
        let mut world = Self::new().await;
        let clock = Arc::new(FakeClock::at(Timestamp::from_unix_ms(1_234_567_890_000)));
        let (pool, settings) = (world.pool.clone(), directory::Settings::default());
        world.state.directory = Directory::new(pool, master_keys(), clock, Arc::new(KnownTotp), settings);
        world.router = admin_api::router(world.state.clone());
        world
    }

    /// The directory as a frontend uses it, which beats: far ahead, for a walk over the whole API may take longer than a beat lasts.
    pub(crate) async fn frontend(&self, uuid: SessionUuid) -> Directory {
        let pool = self.database.pool(DbRole::Pop3).await;
        let frontend = Frontend { uuid, role: "pop3", address: "pop.test".to_owned() };
        mailstore(pool.clone(), DbRole::Pop3).await.beat(&frontend).await.unwrap();
        let ahead = "UPDATE restante.frontends SET beat_at = beat_at + interval '1 hour'";
        sqlx::query(ahead).execute(&self.superuser().await).await.unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Directory::new(pool, master_keys(), clock, random, directory::Settings::default())
    }

    /// The database under it.
    pub(crate) fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// The same service by connections of its own, which end with `pool`.
    pub(crate) async fn again(&self) -> Service {
        let pool = self.database.pool(DbRole::Admin).await;
        let state = state(&pool, Config::default(), Publish::default(), None, &self.dns).await;
        Service { pool, router: admin_api::router(state) }
    }

    /// The superuser's connections.
    pub(crate) async fn superuser(&self) -> Pool {
        self.database.superuser().await
    }

    /// A request whose answer's body is not read.
    pub(crate) async fn unread(&self, key: &str, path: &str) -> axum::response::Response {
        let request = Request::builder().uri(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Any request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answer(&self.router, request).await
    }

    /// A request with a JSON body, or none where it is null.
    pub(crate) async fn call(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        self.call_with(key, method, path, body, &[]).await
    }

    pub(crate) async fn call_with(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method: Method = method.parse().unwrap();
        let mut request = Request::builder().method(method.clone()).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = if body.is_null() {
            request.body(Body::empty())
        } else {
            let patch = method == Method::PATCH;
            let media_type = if patch { "application/merge-patch+json" } else { "application/json" };
            request.header(header::CONTENT_TYPE, media_type).body(Body::from(body.to_string()))
        };
        self.send(request.unwrap()).await
    }

    /// A POP3 session of the account that fetched one message and expunged these (counted from 1, as delivered); answers its id.
    pub(crate) async fn quit(&self, account: &str, credential: i64, expunge: &[i64]) -> String {
        let caller = Caller::service("test", uuid::Uuid::nil());
        let account = self.state.directory.account(&caller, &Address::parse(account).unwrap()).await.unwrap();
        let record = SessionRecord {
            session: SessionUuid::new(&SystemRandom),
            credential: CredentialId(credential),
            started: SystemClock.now(),
            address: [192, 0, 2, 1].into(),
            mechanism: 2,
            tls: 2,
            outcome: SessionOutcome::Quit,
            fetched: 1,
            fetched_octets: 10,
            notes: SessionNotes::default(),
        };
        let pop3 = mailstore(self.database.pool(DbRole::Pop3).await, DbRole::Pop3).await;
        let update = Update { expunge: expunge.to_vec(), ..Update::default() };
        let gone = pop3.quit(account.tenant_id, account.id, &record, &update).await.unwrap();
        assert_eq!(gone as usize, expunge.len());
        format!("sess_{}", record.session)
    }

    /// What the database holds, whatever it is about.
    pub(crate) async fn fingerprint(&self) -> String {
        let pool = self.database.pool(DbRole::Owner).await;
        let tables =
            // But for the use of keys, which is noted whatever they do.
            "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'api_key_use'
                         AND c.relnamespace = 'restante'::regnamespace ORDER BY 1";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&pool).await.unwrap();
        let mut all = String::new();
        for table in tables {
            let hash = format!("SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM {table} t");
            let hash: String = sqlx::query_scalar(AssertSqlSafe(hash)).fetch_one(&pool).await.unwrap();
            all.push_str(&format!("{table}={hash} "));
        }
        all
    }

    /// What the audit trail has of a request, as a trial tells it.
    pub(crate) async fn audited(&self, request: &str) -> Vec<Value> {
        let pool = self.database.pool(DbRole::Owner).await;
        sqlx::query_scalar(
            "SELECT jsonb_build_object('action', action, 'target', target, 'before', before, 'after', after)
               FROM restante.audit_events WHERE request_id = $1::uuid ORDER BY event_id",
        )
        .bind(request)
        .fetch_all(&pool)
        .await
        .unwrap()
    }

    /// What the worker works with.
    pub(crate) async fn sweeper(&self) -> mailstore::Sweeper {
        let pool = self.database.pool(DbRole::Worker).await;
        let store = Arc::new(object_store::memory::InMemory::new());
        mailstore::Sweeper::new(pool, store, &mailstore::StoreSettings::default(), mailstore::SweepSettings::default())
    }

    /// Lets the days pass that what was deleted is kept.
    pub(crate) async fn let_retention_pass(&self) {
        let pool = self.database.pool(DbRole::Owner).await;
        for table in ["accounts", "domains", "tenants"] {
            let sql = format!(
                "UPDATE restante.{table} SET deleted_at = deleted_at - interval '8 days' WHERE deleted_at IS NOT NULL"
            );
            sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        }
    }

    /// Takes away the account that was deleted last.
    pub(crate) async fn erase_by_hand(&self, address: &str) {
        let pool = self.database.pool(DbRole::Owner).await;
        let (local, _) = address.split_once('@').unwrap();
        let last = "(SELECT account_id FROM restante.accounts WHERE local_part = $1 AND status = 3 ORDER BY deleted_at DESC LIMIT 1)";
        for table in ["maildrops", "accounts"] {
            let sql = format!("DELETE FROM restante.{table} WHERE account_id = {last}");
            sqlx::query(AssertSqlSafe(sql)).bind(local).execute(&pool).await.unwrap();
        }
    }

    /// Rows of tables that name an account, but for what happened.
    pub(crate) async fn rows_of_accounts(&self) -> i64 {
        let pool = self.database.pool(DbRole::Owner).await;
        let tables = "SELECT c.oid::regclass::text FROM pg_attribute x JOIN pg_class c ON c.oid = x.attrelid
                       WHERE x.attname = 'account_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                         AND c.relnamespace = 'restante'::regnamespace AND c.relname <> 'sessions'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&pool).await.unwrap();
        let mut rows = 0;
        for table in tables {
            let count = format!("SELECT count(*) FROM {table} WHERE account_id IS NOT NULL");
            rows += sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).fetch_one(&pool).await.unwrap();
        }
        rows
    }

    /// Posts a small message to an account.
    pub(crate) async fn post_message(&self, key: &str, account: &str, query: &str) -> Answer {
        let request = Request::builder()
            .method("POST")
            .uri(format!("/v1/accounts/{account}/messages{query}"))
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "message/rfc822")
            .body(Body::from("Subject: x\r\n\r\nx\r\n"));
        self.send(request.unwrap()).await
    }

    /// Posts lines of an import.
    pub(crate) async fn import(&self, key: &str, path: &str, lines: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(lines.into());
        self.send(request.unwrap()).await
    }

    /// Gives a key scopes.
    pub(crate) async fn scope(&self, key_id: &str, scopes: &[&str]) {
        let pool = self.database.pool(DbRole::Owner).await;
        sqlx::query("UPDATE restante.api_keys SET scopes = $2 WHERE 'key_' || key_id = $1")
            .bind(key_id)
            .bind(scopes)
            .execute(&pool)
            .await
            .unwrap();
    }

    /// Jobs of tenants, those that nobody sees yet too.
    pub(crate) async fn jobs(&self) -> i64 {
        let pool = self.database.pool(DbRole::Owner).await;
        let jobs = "SELECT count(*) FROM restante.jobs WHERE created_by IS NOT NULL";
        sqlx::query_scalar(jobs).fetch_one(&pool).await.unwrap()
    }

    /// The directory as workers use it.
    pub(crate) async fn worker(&self) -> Directory {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let pool = self.database.pool(DbRole::Worker).await;
        Directory::new(pool, master_keys(), clock, random, directory::Settings::default())
    }

    /// Makes something as the platform's administrator.
    pub(crate) async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.call(&self.platform, "POST", path, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path}: {}", answer.text);
        answer.json()
    }

    /// A tenant with a domain, two accounts, an alias and an app password; answers its own key.
    pub(crate) async fn tenant(&self, slug: &str) -> Tenant {
        self.make("/v1/tenants", json!({"slug": slug, "name": slug})).await;
        self.make("/v1/domains", json!({"name": format!("{slug}.test"), "tenant": slug})).await;
        let address = |local: &str| format!("{local}@{slug}.test");
        for local in ["alice", "bob"] {
            self.make("/v1/accounts", json!({"address": address(local)})).await;
        }
        self.make("/v1/aliases", json!({"address": address("info"), "targets": [address("alice")]})).await;
        let path = format!("/v1/accounts/{}/app-passwords", address("alice"));
        let credential = self.make(&path, json!({"name": "phone"})).await["id"].as_str().unwrap().to_owned();
        let key = self.make("/v1/api-keys", json!({"name": "own", "tenant": slug, "role": "tenant-admin"})).await;
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        Tenant { key: text("secret"), key_id: text("id"), credential }
    }
}

/// What a test needs to know of a tenant besides its slug.
pub(crate) struct Tenant {
    pub(crate) key: String,
    pub(crate) key_id: String,
    pub(crate) credential: String,
}
