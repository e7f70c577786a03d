//! The pool and the migrations, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use mail_types::Secret;
use runtime::database::{
    DbRole, Error, MIGRATOR, PoolSettings, asked, commit_unknown, connect, create_database, is_transient, migrate, ping,
};
use sqlx::AssertSqlSafe;

async fn setting(pool: &sqlx::PgPool, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_connection_has_its_role_and_its_bounds() {
    let database = testkit::database().await;
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&database.superuser().await).await.unwrap();
    let weaker = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    sqlx::query(AssertSqlSafe(weaker)).execute(&database.superuser().await).await.unwrap();
    let settings = PoolSettings { statement_timeout_ms: 1234, ..PoolSettings::default() };
    let pool = connect(&database.url(), DbRole::Lmtp, &settings).await.unwrap();
    assert_eq!(setting(&pool, "role").await, "restante_lmtp");
    assert_eq!(setting(&pool, "statement_timeout").await, "1234ms");
    assert_eq!(setting(&pool, "idle_in_transaction_session_timeout").await, "30s");
    assert_eq!(setting(&pool, "synchronous_commit").await, "on", "an accepted message is never lost");
    assert_eq!(setting(&pool, "application_name").await, "restante-lmtp");
}

#[tokio::test]
async fn errors_say_whether_another_try_may_help() {
    let database = testkit::database().await;
    let settings = PoolSettings { max_connections: 1, acquire_timeout_ms: 200, statement_timeout_ms: 50 };
    let pool = connect(&database.url(), DbRole::Owner, &settings).await.unwrap();

    let slow = sqlx::query("SELECT pg_sleep(60)").execute(&pool).await.unwrap_err();
    assert!(is_transient(&slow) && !commit_unknown(&slow), "{slow}");
    let wrong = sqlx::query("SELECT * FROM restante.nothing").execute(&pool).await.unwrap_err();
    assert!(!is_transient(&wrong) && !commit_unknown(&wrong), "{wrong}");
    assert_eq!(Error::from(wrong).kind(), "fault");

    let held = pool.acquire().await.unwrap();
    let full = pool.acquire().await.unwrap_err();
    assert!(is_transient(&full) && !commit_unknown(&full), "{full}");
    drop(held);

    let mut transaction = pool.begin().await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await.unwrap();
    let superuser = database.superuser().await;
    sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(pid).execute(&superuser).await.unwrap();
    let broken = transaction.commit().await.unwrap_err();
    assert!(is_transient(&broken) && commit_unknown(&broken), "{broken}");
    ping(&pool).await.unwrap();
}

#[tokio::test]
async fn a_question_survives_that_all_connections_break() {
    let database = testkit::database().await;
    let pool = connect(&database.url(), DbRole::Owner, &PoolSettings::default()).await.unwrap();
    let superuser = database.superuser().await;
    let break_all = async || {
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(pool.acquire().await.unwrap());
        }
        drop(held);
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE application_name = 'restante-owner' AND datname = current_database()",
        )
        .execute(&superuser)
        .await
        .unwrap();
    };
    let question = || sqlx::query_scalar::<_, i32>("SELECT 7").fetch_one(&pool);
    break_all().await;
    assert!(is_transient(&question().await.unwrap_err()), "asked once, it fails");
    break_all().await;
    assert_eq!(asked(&pool, question).await.unwrap(), 7);
    assert!(asked(&pool, || sqlx::query_scalar::<_, i32>("SELECT nothing").fetch_one(&pool)).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_its_url_is_not_shown() {
    let settings = PoolSettings { acquire_timeout_ms: 500, ..PoolSettings::default() };
    let absent =
        connect(&Secret::from("postgres://x:hunter2@127.0.0.1:1/x"), DbRole::Pop3, &settings).await.unwrap_err();
    assert!(absent.is_temporary() && !absent.to_string().contains("hunter2"), "{absent}");
    let wrong = connect(&Secret::from("mysql://x:hunter2@h/x"), DbRole::Pop3, &settings).await.unwrap_err();
    assert!(!wrong.is_temporary() && !wrong.to_string().contains("hunter2"), "{wrong}");
}

#[tokio::test]
async fn a_user_that_may_not_act_as_the_role_is_a_fault_at_once() {
    let database = testkit::database().await;
    let own = database.url();
    // LOGIN, NOINHERIT, and a member of none of the others.
    let url = Secret::from(own.expose_str().unwrap().replacen("postgres://postgres@", "postgres://restante_pop3@", 1));
    connect(&url, DbRole::Pop3, &PoolSettings::default()).await.unwrap();
    let refused = connect(&url, DbRole::Lmtp, &PoolSettings::default()).await.unwrap_err();
    assert!(!refused.is_temporary() && refused.to_string().contains("restante_lmtp"), "{refused}");
}

#[tokio::test]
async fn of_several_migrations_at_once_one_does_the_work() {
    let database = testkit::database().await;
    let superuser = database.superuser().await;
    // Beside the test's own, and dropped with it.
    let name: String = sqlx::query_scalar("SELECT current_database() || '_empty'").fetch_one(&superuser).await.unwrap();
    create_database(&database.url(), &name).await.unwrap();
    create_database(&database.url(), &name).await.unwrap();
    let own = database.url();
    let url = Secret::from(own.expose_str().unwrap().replace(name.trim_end_matches("_empty"), &name));
    let (one, other, third) = tokio::join!(migrate(&url), migrate(&url), migrate(&url));
    let applied = [one.unwrap(), other.unwrap(), third.unwrap()];
    assert_eq!(applied.iter().sum::<usize>(), MIGRATOR.iter().count(), "{applied:?}");
    assert_eq!(applied.iter().filter(|&&applied| applied == 0).count(), 2, "{applied:?}");
    sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&superuser).await.unwrap();
}
