//! The database or the store is away: a clear temporary error, and the connection stays.

use testkit::{Fault, Operation};

use crate::support::{PASSWORD, config, world};

#[tokio::test]
async fn without_the_database_no_login_is_possible_and_the_client_is_told() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    world.pool.close().await;
    for _ in 0..2 {
        assert_eq!(client.ask("USER alice@acme.test").await, "+OK now PASS");
        let answer = client.ask(&format!("PASS {PASSWORD}")).await;
        assert_eq!(answer, "-ERR [SYS/TEMP] no login is possible at the moment, try again later");
    }
    assert_eq!(client.ask("QUIT").await, "+OK bye");
    client.closed().await;
}

#[tokio::test]
async fn quit_that_cannot_be_committed_is_not_ok() {
    let world = world(config()).await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let mut client = world.alice().await;
    assert_eq!(client.ask("DELE 1").await, "+OK marked as deleted");
    world.pool.close().await;
    let answer = client.ask("QUIT").await;
    assert_eq!(answer, "-ERR [SYS/TEMP] the marked messages could not be deleted, try again later");
    client.closed().await;
}

#[tokio::test]
async fn without_the_store_a_message_cannot_be_read_and_the_session_goes_on() {
    let world = world(config()).await;
    world.deliver(b"Subject: one\r\n\r\nx\r\n").await;
    let mut client = world.alice().await;
    world.store.always(Operation::Get, Some(Fault::Fail));
    let refused = "-ERR [SYS/TEMP] the message cannot be read at the moment, try again later";
    assert_eq!(client.ask("RETR 1").await, refused);
    assert_eq!(client.ask("TOP 1 0").await, refused);
    assert_eq!(client.lines("LIST").await.len(), 1);
    world.store.always(Operation::Get, None);
    assert_eq!(client.lines("RETR 1").await.len(), 6);
    assert_eq!(client.ask("QUIT").await, "+OK bye");
    client.closed().await;
}
