//! Exclusive access.

use directory::Policy;
use mail_types::Secret;

use crate::support::{PASSWORD, World, config, world_with};

const IN_USE: &str = "-ERR [IN-USE] another session has exclusive access to the maildrop";

async fn exclusive() -> World {
    let world = world_with(config(), Policy { exclusive: Some(true), ..Policy::default() }).await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    world
}

fn password() -> Secret {
    Secret::from(PASSWORD)
}

/// How long it may take until the server has seen that a client is gone.
async fn until_free(world: &World) {
    for _ in 0..1000 {
        let (_, answer) = world.log_in_with(&password()).await;
        if answer.starts_with("+OK") {
            return;
        }
        assert_eq!(answer, IN_USE);
    }
    panic!("the maildrop is not freed");
}

#[tokio::test]
async fn one_session_at_a_time_until_quit() {
    let world = exclusive().await;
    let mut first = world.alice().await;
    let (mut second, answer) = world.log_in_with(&password()).await;
    assert_eq!(answer, IN_USE);
    assert_eq!(first.ask("QUIT").await, "+OK bye");
    // No sooner than that, and no later.
    assert_eq!(second.ask("USER alice@acme.test").await, "+OK now PASS");
    assert!(second.ask(&format!("PASS {PASSWORD}")).await.starts_with("+OK 1 "));
    assert_eq!(second.ask("DELE 1").await, "+OK marked as deleted");
    assert_eq!(second.ask("QUIT").await, "+OK bye, the marked messages are deleted");
    let (_third, answer) = world.log_in_with(&password()).await;
    assert!(answer.starts_with("+OK 0 "), "{answer}");
}

#[tokio::test]
async fn a_lost_connection_frees_the_maildrop_and_deletes_nothing() {
    let world = exclusive().await;
    let mut lost = world.alice().await;
    assert_eq!(lost.ask("DELE 1").await, "+OK marked as deleted");
    drop(lost);
    until_free(&world).await;
    until_free(&world).await;
}

#[tokio::test]
async fn who_lost_the_lease_expunges_nothing() {
    let world = exclusive().await;
    let superuser = world.database.superuser().await;
    let mut first = world.alice().await;
    assert_eq!(first.ask("DELE 1").await, "+OK marked as deleted");
    // As if this frontend had not been able to beat.
    sqlx::query("UPDATE restante.frontends SET beat_at = beat_at - interval '1 minute'")
        .execute(&superuser)
        .await
        .unwrap();
    let answer = first.ask("QUIT").await;
    assert_eq!(answer, "-ERR [SYS/TEMP] the marked messages could not be deleted, try again later");
    first.closed().await;
    let live: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.messages").fetch_one(&superuser).await.unwrap();
    assert_eq!(live, 1);
}

#[tokio::test]
async fn a_dead_frontends_maildrop_is_taken_over() {
    let world = exclusive().await;
    let superuser = world.database.superuser().await;
    let mut first = world.alice().await;
    assert_eq!(first.ask("DELE 1").await, "+OK marked as deleted");
    // The lease is another frontend's that has not beaten for a minute.
    sqlx::query("UPDATE restante.leases SET frontend_uuid = gen_random_uuid()").execute(&superuser).await.unwrap();
    let (mut second, answer) = world.log_in_with(&password()).await;
    assert!(answer.starts_with("+OK 1 "), "{answer}");
    let refused = "-ERR [SYS/TEMP] the marked messages could not be deleted, try again later";
    assert_eq!(first.ask("QUIT").await, refused, "its fence is passed");
    assert_eq!(second.ask("STAT").await.split(' ').nth(1), Some("1"));
    let (_, answer) = world.log_in_with(&password()).await;
    assert_eq!(answer, IN_USE, "the first session's end did not free it for others");
}
