//! Deadlines, and going down.

use pop3d::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    limits::{SESSIONS, metric},
    support::{World, config, world},
};

/// Lets the role end, whose sessions have ended or do so; then every one is counted.
async fn ended(world: World, how: &str) -> f64 {
    world.shutdown.begin_drain();
    world.served.await.unwrap();
    metric(SESSIONS, how)
}

#[tokio::test]
async fn an_idle_client_is_closed_without_a_word() {
    let world = world(Config { idle_seconds: 1, ..config() }).await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let mut client = world.alice().await;
    assert_eq!(client.ask("DELE 1").await, "+OK marked as deleted");
    // Half a command is no command.
    client.send("NOO").await;
    client.closed().await;
    drop(client);
    let mut client = world.alice().await;
    assert_eq!(client.lines("LIST").await.len(), 1, "and nothing is deleted");
    drop(client);
    assert!(ended(world, "idle").await >= 1.0);
}

#[tokio::test]
async fn a_client_that_does_not_log_in_is_closed_whatever_it_says() {
    let world = world(Config { login_seconds: 1, ..config() }).await;
    let client = world.client(world.clear).await;
    let (reader, mut writer) = tokio::io::split(client.0.into_inner());
    let reading = tokio::spawn(async move {
        let (mut reader, mut answers) = (reader, Vec::new());
        // The end may be a reset: the server closes without reading what is still on its way.
        let _ = reader.read_to_end(&mut answers).await;
        answers.windows(3).filter(|window| *window == b"+OK").count()
    });
    while writer.write_all(b"CAPA\r\n").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(reading.await.unwrap() > 1);
    drop(writer);
    assert!(ended(world, "no_login").await >= 1.0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let world = world(Config { write_seconds: 1, ..config() }).await;
    let line = format!("{}\r\n", "x".repeat(998));
    world.deliver(format!("Subject: large\r\n\r\n{}", line.repeat(20_000)).as_bytes()).await;
    let mut client = world.alice().await;
    assert!(client.ask("RETR 1").await.starts_with("+OK"));
    // Ends when every session has; the client reads nothing more and is still there.
    assert!(ended(world, "not_reading").await >= 1.0);
    let mut rest = Vec::new();
    let _ = client.0.read_to_end(&mut rest).await;
    assert!(rest.len() < 20_000_000, "the message is not complete");
    assert!(!rest.ends_with(b"\r\n.\r\n"));
}

#[tokio::test]
async fn a_server_that_goes_down_finishes_what_it_does() {
    let world = world(config()).await;
    let line = format!("{}\r\n", "x".repeat(998));
    world.deliver(format!("Subject: large\r\n\r\n{}", line.repeat(10_000)).as_bytes()).await;
    let mut silent = world.alice().await;
    let mut quitting = world.alice().await;
    assert_eq!(quitting.ask("DELE 1").await, "+OK marked as deleted");
    let mut fetching = world.alice().await;
    assert!(fetching.ask("RETR 1").await.starts_with("+OK "));

    world.shutdown.begin_drain();
    assert_eq!(quitting.ask("QUIT").await, "+OK bye, the marked messages are deleted");
    quitting.closed().await;
    let mut lines = 0;
    while fetching.line().await != "." {
        lines += 1;
    }
    assert_eq!(lines, 10_005);
    let down = "-ERR [SYS/TEMP] the server is going down for maintenance, try again at once";
    assert_eq!(fetching.ask("NOOP").await, down);
    fetching.closed().await;
    drop((quitting, fetching));

    world.shutdown.stop();
    silent.closed().await;
    drop(silent);
    world.served.await.unwrap();
}
