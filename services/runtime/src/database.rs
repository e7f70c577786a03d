//! PostgreSQL: a pool whose connections act as one database role, migrations, and what an error means for a retry.

use std::{str::FromStr as _, time::Duration};

use mail_types::Secret;
use serde::Deserialize;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use sqlx::PgPool as Pool;

use crate::config::{ConfigError, secret_env};

/// The migrations, compiled in.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// What a connection acts as. Each has grants of its own (see `migrations/`): a frontend cannot do what the API can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DbRole {
    /// May call `pop3_*` only.
    Pop3,
    /// May call `lmtp_*` only.
    Lmtp,
    /// Tables, under row-level security.
    Admin,
    /// The tables that it sweeps; never credentials.
    Worker,
    /// Owns everything: migrations, recovery, repairs.
    Owner,
}

impl DbRole {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pop3, Self::Lmtp, Self::Admin, Self::Worker, Self::Owner];

    /// `pop3`, `lmtp`, …: in metrics and in `application_name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3",
            Self::Lmtp => "lmtp",
            Self::Admin => "admin",
            Self::Worker => "worker",
            Self::Owner => "owner",
        }
    }

    /// The role in PostgreSQL: `restante_pop3`, …
    pub fn database_role(self) -> String {
        format!("restante_{}", self.name())
    }

    /// The URL for this role: `RESTANTE_DATABASE_URL_POP3` (…), else `RESTANTE_DATABASE_URL`, each also with `_FILE`.
    pub fn url_from_env(self) -> Result<Option<Secret>, ConfigError> {
        let own = secret_env(&format!("RESTANTE_DATABASE_URL_{}", self.name().to_uppercase()))?;
        if own.is_some() { Ok(own) } else { secret_env("RESTANTE_DATABASE_URL") }
    }
}

/// `[database]`: bounds on the use of PostgreSQL, for each role that the process runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Connections at most.
    pub max_connections: u32,
    /// How long to wait for a free connection, milliseconds; after that the database counts as unavailable.
    pub acquire_timeout_ms: u64,
    /// How long one statement may take, milliseconds.
    pub statement_timeout_ms: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { max_connections: 10, acquire_timeout_ms: 5_000, statement_timeout_ms: 20_000 }
    }
}

/// How long a connection may have lain idle before it is tried with a ping: a busy pool pays no round trip for it, and after
/// a fail-over the broken ones are found.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// No transaction anywhere is older.
const TRANSACTION_TIMEOUT_MS: u64 = 30_000;

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, is starting or stopping, or is too busy: the same call may succeed in a moment.
    #[error("database unavailable: {0}")]
    Unavailable(sqlx::Error),
    /// It answered, and the answer is an error: a fault in this program, its schema or its configuration.
    #[error("database fault: {0}")]
    Fault(sqlx::Error),
    /// A migration cannot be applied.
    #[error("migration: {0}")]
    Migration(sqlx::migrate::MigrateError),
    /// The URL is not one of PostgreSQL. The text does not hold it: it may have a password.
    #[error("the database URL for {0} is not postgres://USER@HOST/DATABASE")]
    Url(&'static str),
}

impl Error {
    /// For metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Fault(_) => "fault",
            Self::Migration(_) => "migration",
            Self::Url(_) => "url",
        }
    }

    /// Whether the same call may succeed in a moment.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::Unavailable(error) } else { Self::Fault(error) }
    }
}

/// Whether the connection broke, or may have: nobody knows what the server made of the last statement.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 08: connection exception; 57P0x: the server is shutting down, crashed or starting.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P0"))
        }
        _ => false,
    }
}

/// Whether trying again may help: a broken connection, a server that stops, starts, is full or has become a standby, a pool
/// without a free connection, a lost race (deadlock, serialisation, lock timeout), a statement over its time.
pub fn is_transient(error: &sqlx::Error) -> bool {
    if is_broken(error) {
        return true;
    }
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("53") || ["40001", "40P01", "55P03", "57014", "25006"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

/// Of an error of COMMIT: whether the transaction may have been committed all the same. Where it is false, it was not.
pub fn commit_unknown(error: &sqlx::Error) -> bool {
    is_broken(error)
}

/// Opens a pool whose connections act as `role`, and proves one connection. Where the URL's user is another than the role
/// itself, it must be allowed to SET ROLE to it.
pub async fn connect(url: &Secret, role: DbRole, settings: &PoolSettings) -> Result<Pool, Error> {
    let options = connect_options(url, role)?;
    let database_role = role.database_role();
    let set_role = (options.get_username() != database_role).then(|| format!("SET ROLE {database_role};"));
    // synchronous_commit: an accepted message is never lost, so a weaker default of the server does not count here.
    let setup: std::sync::Arc<str> = format!(
        "{} SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {TRANSACTION_TIMEOUT_MS}; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local');",
        set_role.unwrap_or_default(),
        settings.statement_timeout_ms,
    )
    .into();
    let acquire_timeout = Duration::from_millis(settings.acquire_timeout_ms);
    prove(&options, &setup, acquire_timeout).await?;
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(acquire_timeout)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let setup = setup.clone();
            Box::pin(async move { set_up(connection, &setup).await })
        })
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > PING_AFTER_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(pool)
}

/// One connection beside the pool: the pool tries again whatever is wrong, and says in the end only that it took too long.
async fn prove(options: &PgConnectOptions, setup: &str, patience: Duration) -> Result<(), Error> {
    let connect = async {
        let mut connection = PgConnection::connect_with(options).await?;
        set_up(&mut connection, setup).await?;
        connection.close().await
    };
    tokio::time::timeout(patience, connect).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(())
}

/// One simple query: no round trip for each setting.
async fn set_up(connection: &mut PgConnection, setup: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(setup.to_owned()))).await.map(drop)
}

/// Asks something that may be asked twice. Where the connection broke under the question, it is asked again on another; a fail-over
/// breaks all connections at once, so those that lie idle are tried first and the broken ones dropped.
pub async fn asked<T, Q>(pool: &Pool, mut question: impl FnMut() -> Q) -> Result<T, sqlx::Error>
where
    Q: Future<Output = Result<T, sqlx::Error>>,
{
    match question().await {
        Err(error) if is_broken(&error) => tracing::debug!(%error, "asked again on another connection"),
        answered => return answered,
    }
    // Those that answer are held until all were tried, else the same one would come again.
    let mut whole = Vec::new();
    for _ in 0..pool.num_idle() {
        let Some(mut connection) = pool.try_acquire() else { break };
        match connection.ping().await {
            Ok(()) => whole.push(connection),
            Err(_) => drop(connection.detach()),
        }
    }
    drop(whole);
    question().await
}

/// Asks the database for nothing: a readiness check.
pub async fn ping(pool: &Pool) -> Result<(), Error> {
    sqlx::query("SELECT 1").execute(pool).await?;
    Ok(())
}

/// Applies the migrations that are missing, under an advisory lock: of several processes that start at once, one does it.
/// Returns how many were applied. The user of the URL must be a superuser, or one that was given the roles before.
pub async fn migrate(url: &Secret) -> Result<usize, Error> {
    let mut connection = PgConnection::connect_with(&connect_options(url, DbRole::Owner)?).await?;
    // One at a time even where the pending list is read: sqlx's own lock begins only after this.
    sqlx::query("SELECT pg_advisory_lock(hashtext('restante migrate'))").execute(&mut connection).await?;
    let before = applied(&mut connection).await?;
    MIGRATOR.run(&mut connection).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) if is_broken(&error) => Error::Unavailable(error),
        other => Error::Migration(other),
    })?;
    let after = applied(&mut connection).await?;
    connection.close().await?;
    Ok(after.saturating_sub(before))
}

/// How many migrations this database has.
async fn applied(connection: &mut PgConnection) -> Result<usize, Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(0);
    }
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success").fetch_one(connection).await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Makes a database on the server of the URL if there is none of that name yet; the name must be an identifier.
pub async fn create_database(url: &Secret, name: &str) -> Result<(), Error> {
    let mut connection = PgConnection::connect_with(&connect_options(url, DbRole::Owner)?).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        let quoted = name.replace('"', "\"\"");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE \"{quoted}\""))).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Whether this is a URL of PostgreSQL; does not connect.
pub fn check_url(url: &Secret, role: DbRole) -> Result<(), Error> {
    connect_options(url, role).map(drop)
}

fn connect_options(url: &Secret, role: DbRole) -> Result<PgConnectOptions, Error> {
    // sqlx takes any scheme.
    let url = url.expose_str().filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"));
    let options = url.and_then(|url| PgConnectOptions::from_str(url).ok()).ok_or(Error::Url(role.name()))?;
    Ok(options.application_name(&format!("restante-{}", role.name())))
}
