//! The router over a database of its own, and requests to it.

use std::sync::Arc;

use admin_api::{AppState, Config};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use directory::{Caller, Directory, bootstrap_admin_token, new_api_token};
use mail_types::{Address, Clock as _, CredentialId, Secret, SessionUuid, SystemClock, SystemRandom};
use mailstore::{Mailstore, Parts, SessionOutcome, SessionRecord, Update};
use runtime::database::{DbRole, Pool};
use runtime::keys::MasterKeys;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::TestDatabase;
use tower::ServiceExt as _;

pub(crate) struct World {
    database: TestDatabase,
    pub(crate) pool: Pool,
    pub(crate) state: AppState,
    router: Router,
    /// A platform administrator's key.
    pub(crate) platform: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
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

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::made(config, None).await
    }

    /// With a way to issuers.
    pub(crate) async fn asking(config: Config, issuers: Arc<dyn directory::IssuerHttp>) -> Self {
        Self::made(config, Some(issuers)).await
    }

    async fn made(config: Config, issuers: Option<Arc<dyn directory::IssuerHttp>>) -> Self {
        let database = testkit::database().await;
        let pool = database.pool(DbRole::Admin).await;
        let token = new_api_token(&SystemRandom);
        bootstrap_admin_token(&pool, "test", &token).await.unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let keys = master_keys();
        let directory =
            Directory::new(pool.clone(), keys, clock.clone(), random.clone(), directory::Settings::default());
        let directory = issuers.into_iter().fold(directory, Directory::with_oidc);
        let mailstore = mailstore(pool.clone(), DbRole::Admin).await;
        let state =
            AppState { directory, mailstore, config: Arc::new(config), host: "mail.test".into(), clock, random };
        let router = admin_api::router(state.clone());
        let platform = token.expose_str().unwrap().to_owned();
        Self { database, pool, state, router, platform }
    }

    /// Any request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let octets = to_bytes(body, 10_000_000).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&octets).into_owned() }
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
