use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    str::FromStr as _,
};

use mail_types::{Random as _, Secret, SystemRandom};
use runtime::database::{DbRole, MIGRATOR, Pool, PoolSettings, connect, migrate};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};

/// Where the server for tests is: a superuser's URL.
const SERVER: &str = "RESTANTE_TEST_DATABASE_URL";
/// Of the template's making, across all tests of the run.
const TEMPLATE_LOCK: i64 = 0x7265_7374_616e_7465;

/// A migrated database of its own for one test, dropped at the end.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
}

/// Makes a database with all migrations applied, on the server that `RESTANTE_TEST_DATABASE_URL` names (`tests/with-postgres`
/// starts one). The migrations run once for all tests: each database is a copy of that template.
#[expect(clippy::expect_used, reason = "a test without its database has failed")]
pub async fn database() -> TestDatabase {
    let server =
        std::env::var(SERVER).expect("RESTANTE_TEST_DATABASE_URL is not set: run the tests by tests/with-postgres");
    let name = format!("test_{:032x}", u128::from_be_bytes(SystemRandom.octets16()));
    let mut connection = PgConnection::connect(&server).await.expect("the test server answers");
    let template = template(&server, &mut connection).await;
    execute(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    connection.close().await.expect("the test server answers");
    TestDatabase { server, name }
}

/// The template of exactly these migrations, made by the first test that asks.
#[expect(clippy::expect_used, reason = "a test without its database has failed")]
async fn template(server: &str, connection: &mut PgConnection) -> String {
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATOR.iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    let template = format!("template_{:016x}", hasher.finish());
    let lock = || sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK);
    lock().execute(&mut *connection).await.expect("the test server answers");
    // Marked as a template only when it is complete: what an interrupted run left is made anew.
    let complete: Option<bool> = sqlx::query_scalar("SELECT datistemplate FROM pg_database WHERE datname = $1")
        .bind(&template)
        .fetch_optional(&mut *connection)
        .await
        .expect("the test server answers");
    if complete != Some(true) {
        execute(connection, format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)")).await;
        execute(connection, format!("CREATE DATABASE {template}")).await;
        migrate(&database_url(server, &template)).await.expect("the migrations apply");
        execute(connection, format!("ALTER DATABASE {template} IS_TEMPLATE true")).await;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(connection)
        .await
        .expect("the test server answers");
    template
}

#[expect(clippy::expect_used, reason = "a test without its database has failed")]
async fn connection(server: &str) -> PgConnection {
    PgConnection::connect(server).await.expect("the test server answers")
}

#[expect(clippy::panic, reason = "a test without its database has failed")]
async fn execute(connection: &mut PgConnection, statement: String) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await {
        panic!("{statement}: {error}");
    }
}

/// The server's URL with another database in it.
fn database_url(server: &str, name: &str) -> Secret {
    let (base, options) = server.split_once('?').map_or((server, None), |(base, options)| (base, Some(options)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base.get(authority..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| authority + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    Secret::from(format!("{}/{name}{options}", base.get(..end).unwrap_or(base)))
}

impl TestDatabase {
    /// A superuser's URL of this database.
    pub fn url(&self) -> Secret {
        database_url(&self.server, &self.name)
    }

    /// A copy of it as it is now, as a backup would have it. Whoever is connected is cut off: pools connect anew.
    pub async fn copy(&self) -> Self {
        let name = format!("test_{:032x}", u128::from_be_bytes(SystemRandom.octets16()));
        let mut connection = connection(&self.server).await;
        execute(&mut connection, format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name)).await;
        let others = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        execute(&mut connection, others).await;
        execute(&mut connection, format!("CREATE DATABASE {name} TEMPLATE {}", self.name)).await;
        execute(&mut connection, format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).await;
        Self { server: self.server.clone(), name }
    }

    /// A pool whose connections act as this role.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn pool(&self, role: DbRole) -> Pool {
        let settings = PoolSettings { max_connections: 5, ..PoolSettings::default() };
        connect(&self.url(), role, &settings).await.expect("the test server answers")
    }

    /// A pool of the superuser, for what a test itself has to look at or to break.
    #[expect(clippy::expect_used, reason = "a test without its database has failed")]
    pub async fn superuser(&self) -> Pool {
        let url = self.url();
        let options = PgConnectOptions::from_str(url.expose_str().expect("it was text")).expect("it was a URL");
        Pool::connect_with(options).await.expect("the test server answers")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), std::mem::take(&mut self.name));
        // A thread with a run time of its own: a destructor cannot wait inside the test's.
        let dropped = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&server).await {
                    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    drop(sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await);
                }
            });
        });
        drop(dropped.join());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_the_url_is_replaced() {
        for (server, expected) in [
            ("postgres://postgres@%2Ftmp%2Fx/postgres", "postgres://postgres@%2Ftmp%2Fx/t"),
            ("postgres://h", "postgres://h/t"),
            ("postgres:///postgres?host=/tmp/x", "postgres:///t?host=/tmp/x"),
        ] {
            assert_eq!(database_url(server, "t").expose_str(), Some(expected));
        }
    }

    #[tokio::test]
    async fn each_test_has_a_database_of_its_own_and_pools_act_as_their_role() {
        let (one, other) = (database().await, database().await);
        assert_ne!(one.name, other.name);
        let superuser = one.superuser().await;
        for role in DbRole::ALL {
            let pool = one.pool(role).await;
            let (user, name): (String, String) =
                sqlx::query_as("SELECT current_user::text, current_database()::text").fetch_one(&pool).await.unwrap();
            assert_eq!((user, name), (role.database_role(), one.name.clone()));
        }
        let name = one.name.clone();
        drop((one, superuser));
        let left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&other.superuser().await)
            .await
            .unwrap();
        assert!(!left);
    }
}
