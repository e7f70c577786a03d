//! Limits: each has its configuration, its metric and its words.

use std::time::Duration;

use directory::{Expire, Policy};
use mail_types::Secret;
use pop3d::Config;

use crate::support::{PASSWORD, config, world, world_with};

/// What a metric stands at, in all or under a label.
pub(crate) fn metric(name: &str, label: &str) -> f64 {
    let families = prometheus::gather();
    let family = families.iter().find(|family| family.name() == name);
    let values = family.into_iter().flat_map(|family| family.get_metric());
    let labelled =
        values.filter(|metric| label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label));
    labelled.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
}

pub(crate) const SESSIONS: &str = "restante_pop3_sessions_total";
const COMMANDS: &str = "restante_pop3_commands_total";
pub(crate) const LOGINS: &str = "restante_pop3_logins_total";

#[tokio::test]
async fn a_session_has_its_time() {
    let world = world(Config { session_seconds: 1, ..config() }).await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let before = metric(SESSIONS, "session_time");
    let (mut quitting, mut other) = (world.alice().await, world.alice().await);
    assert_eq!(quitting.ask("DELE 1").await, "+OK marked as deleted");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(other.ask("STAT").await, "-ERR [SYS/TEMP] the session has lasted too long, log in again");
    other.closed().await;
    drop(other);
    assert_eq!(quitting.ask("QUIT").await, "+OK bye, the marked messages are deleted", "QUIT is always executed");
    quitting.closed().await;
    drop(quitting);
    world.shutdown.begin_drain();
    world.served.await.unwrap();
    assert!(metric(SESSIONS, "session_time") >= before + 1.0);
}

#[tokio::test]
async fn nonsense_ends_a_session() {
    let world = world(Config { max_bad_commands: 3, ..config() }).await;
    let before = metric(SESSIONS, "bad_commands");
    let mut client = world.client(world.clear).await;
    assert_eq!(client.ask("XYZZY").await, "-ERR unknown command");
    assert_eq!(client.ask("XYZZY").await, "-ERR unknown command");
    assert_eq!(client.ask("XYZZY").await, "-ERR too many bad commands, closing");
    client.closed().await;
    drop(client);
    world.shutdown.begin_drain();
    world.served.await.unwrap();
    assert!(metric(SESSIONS, "bad_commands") >= before + 1.0);
}

#[tokio::test]
async fn lines_have_a_length() {
    let world = world(Config { max_command_octets: 300, ..config() }).await;
    let before = metric(COMMANDS, "too_long");
    let mut client = world.client(world.clear).await;
    assert_eq!(client.ask(&"x".repeat(298)).await, "-ERR unknown command");
    assert_eq!(client.ask(&"x".repeat(299)).await, "-ERR the line is too long");
    assert_eq!(client.ask(&"x".repeat(20_000)).await, "-ERR the line is too long");
    let long = format!("AUTH PLAIN {}", "A".repeat(12_000));
    assert_eq!(client.ask(&long).await, "-ERR the response does not have the form of the mechanism");
    assert!(metric(COMMANDS, "too_long") >= before + 2.0);
}

#[tokio::test]
async fn what_is_not_taken_is_not_held() {
    let world = world(Config { max_unread_octets: 4096, write_seconds: 1, ..config() }).await;
    for _ in 0..50 {
        world.deliver(b"Subject: one\r\n\r\n").await;
    }
    let before = metric("restante_pop3_output_full_total", "");
    let mut client = world.alice().await;
    client.send(&"UIDL\r\n".repeat(20_000)).await;
    assert_eq!(client.line().await, "+OK unique-ids follow");
    // Ends when the session has: its client is still there and has read next to nothing of 28 MB.
    world.shutdown.begin_drain();
    world.served.await.unwrap();
    assert!(metric("restante_pop3_output_full_total", "") > before);
}

#[tokio::test]
async fn sessions_are_counted_by_domain_by_tenant_and_by_address() {
    for (config, limit, text) in [
        (
            Config { max_sessions_per_domain: 1, ..config() },
            "sessions_of_domain",
            "too many sessions of this account's domain on this server (at most 1)",
        ),
        (
            Config { max_sessions_per_tenant: 1, ..config() },
            "sessions_of_tenant",
            "too many sessions of this account's organisation on this server (at most 1)",
        ),
        (
            Config { max_sessions_per_address: 1, ..config() },
            "sessions_of_address",
            "too many sessions from this network address on this server (at most 1)",
        ),
    ] {
        let before = metric(LOGINS, limit);
        let world = world(config).await;
        let _first = world.alice().await;
        let mut second = world.client(world.clear).await;
        assert_eq!(second.ask("USER bob@acme.test").await, "+OK now PASS");
        assert_eq!(second.ask(&format!("PASS {PASSWORD}")).await, format!("-ERR [SYS/TEMP] {text}"));
        assert!(metric(LOGINS, limit) >= before + 1.0);
    }
}

#[tokio::test]
async fn who_comes_too_often_is_told_so() {
    let policy = Policy { login_delay_seconds: Some(600), expire_days: Some(Expire::Days(30)), ..Policy::default() };
    // Before login the policies are told, too, where the configuration promises more.
    let world = world_with(config(), policy.clone()).await;
    let told = world.client(world.clear).await.lines("CAPA").await;
    for line in ["LOGIN-DELAY 600 USER", "EXPIRE 30 USER"] {
        assert!(told.contains(&line.to_owned()), "{told:?}");
    }
    let world = world_with(Config { announced_login_delay_seconds: 900, ..config() }, policy).await;
    let mut client = world.client(world.clear).await;
    assert!(client.lines("CAPA").await.contains(&"LOGIN-DELAY 900 USER".to_owned()));
    client.log_in().await;
    assert!(client.lines("CAPA").await.contains(&"LOGIN-DELAY 600".to_owned()));
    let (_, answer) = world.log_in_with(&Secret::from(PASSWORD)).await;
    assert_eq!(answer, "-ERR [LOGIN-DELAY] the last login was less than 600 seconds ago");
    let (_, answer) = world.log_in_with(&Secret::from("wrong")).await;
    assert_eq!(answer, "-ERR [AUTH] wrong login name or password", "said to nobody else");
    let superuser = world.database.superuser().await;
    sqlx::query("UPDATE restante.login_times SET last_at = last_at - interval '601 seconds'")
        .execute(&superuser)
        .await
        .unwrap();
    let (_, answer) = world.log_in_with(&Secret::from(PASSWORD)).await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

#[tokio::test]
async fn who_guesses_is_slowed_down() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    let mut answers = Vec::new();
    for guess in 0..40 {
        assert_eq!(client.ask("USER alice@acme.test").await, "+OK now PASS");
        answers.push(client.ask(&format!("PASS guess-{guess}")).await);
    }
    assert_eq!(answers.first().unwrap(), "-ERR [AUTH] wrong login name or password");
    assert_eq!(answers.last().unwrap(), "-ERR [SYS/TEMP] too many failed logins, try again later");
    // An app password is no guess.
    let secret = world.app_password(Policy::default(), false).await;
    assert!(world.log_in_with(&secret).await.1.starts_with("+OK"));
}
