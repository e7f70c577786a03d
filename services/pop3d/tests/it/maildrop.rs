//! What a client does with its maildrop.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::support::{Client, World, config, world};

#[tokio::test]
async fn mail_is_listed_fetched_and_deleted() {
    let world = world(config()).await;
    for text in ["Subject: one\r\n\r\n.first\r\nsecond\r\n", "Subject: two\r\n\r\nx\r\n"] {
        world.deliver(text.as_bytes()).await;
    }
    let mut client = world.alice().await;
    let trace: Vec<String> = World::trace().lines().map(str::to_owned).collect();
    let octets = [World::trace().len() + 32, World::trace().len() + 19];
    assert_eq!(client.ask("STAT").await, format!("+OK 2 {}", octets[0] + octets[1]));
    assert_eq!(client.lines("LIST").await, [format!("1 {}", octets[0]), format!("2 {}", octets[1])]);
    let unique_ids = client.lines("UIDL").await;
    assert_eq!(unique_ids.len(), 2);
    let expected =
        |text: &[&str]| trace.iter().cloned().chain(text.iter().map(|line| (*line).to_owned())).collect::<Vec<_>>();
    assert_eq!(client.lines("RETR 1").await, expected(&["Subject: one", "", "..first", "second"]));
    assert_eq!(client.lines("RETR 2").await, expected(&["Subject: two", "", "x"]));
    assert_eq!(client.lines("TOP 1 0").await, expected(&["Subject: one", ""]));
    assert_eq!(client.lines("TOP 1 1").await, expected(&["Subject: one", "", "..first"]));
    assert_eq!(client.ask("DELE 1").await, "+OK marked as deleted");
    assert_eq!(client.ask("QUIT").await, "+OK bye, the marked messages are deleted");
    client.closed().await;

    let mut client = world.alice().await;
    assert_eq!(client.ask("STAT").await, format!("+OK 1 {}", octets[1]));
    assert_eq!(client.lines("UIDL").await, [unique_ids[1].replacen('2', "1", 1)], "the same unique-id for ever");
}

#[tokio::test]
async fn a_lost_connection_deletes_nothing() {
    let world = world(config()).await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let mut client = world.alice().await;
    assert_eq!(client.ask("DELE 1").await, "+OK marked as deleted");
    client.send("QUI").await;
    drop(client);
    let mut client = world.alice().await;
    assert_eq!(client.lines("LIST").await.len(), 1);
}

#[tokio::test]
async fn a_session_sees_what_was_there_at_login() {
    let world = world(config()).await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let mut first = world.alice().await;
    let mut second = world.alice().await;
    world.deliver(b"Subject: two\r\n\r\n").await;
    assert_eq!(first.lines("LIST").await.len(), 1);
    assert_eq!(first.ask("DELE 1").await, "+OK marked as deleted");
    assert_eq!(first.ask("QUIT").await, "+OK bye, the marked messages are deleted");
    assert_eq!(second.lines("RETR 1").await.len(), 5, "expunged, and still there for who saw it at login");
    let mut third = world.alice().await;
    assert_eq!(third.lines("LIST").await.len(), 1);
}

#[tokio::test]
async fn a_client_that_sends_all_and_then_closes_its_side_is_answered() {
    let world = world(config()).await;
    world.deliver(b"Subject: one\r\n\r\nx\r\n").await;
    let mut stream = TcpStream::connect(world.clear).await.unwrap();
    let commands = format!("USER alice@acme.test\r\nPASS {}\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n", crate::support::PASSWORD);
    stream.write_all(commands.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(
        answers.ends_with("x\r\n.\r\n+OK marked as deleted\r\n+OK bye, the marked messages are deleted\r\n"),
        "{answers}"
    );
}

#[tokio::test]
async fn two_sides_that_only_write_do_not_lock_each_other_up() {
    let world = world(config()).await;
    let line = format!("{}\r\n", "x".repeat(998));
    world.deliver(format!("Subject: large\r\n\r\n{}", line.repeat(200)).as_bytes()).await;
    let mut client = world.alice().await;
    // 20 MB of answers, far more than the sockets hold; the client reads nothing before it has asked for all.
    for _ in 0..100 {
        client.send("RETR 1\r\n").await;
    }
    client.send(&"NOOP\r\n".repeat(1000)).await;
    client.send("QUIT\r\n").await;
    let mut answers = Vec::new();
    client.0.read_to_end(&mut answers).await.unwrap();
    assert!(answers.ends_with(b"+OK bye\r\n"));
    let ends = answers.windows(5).filter(|window| *window == b"\r\n.\r\n").count();
    assert_eq!(ends, 100);
    assert!(answers.len() > 100 * 200 * 1000);
}

#[tokio::test]
async fn a_large_message_comes_over_tls_as_it_is() {
    let world = world(config()).await;
    let text: String = (0..100_000).map(|line| format!(".{line} {}\r\n", "y".repeat(20))).collect();
    world.deliver(format!("Subject: large\r\n\r\n{text}").as_bytes()).await;
    let stream = TcpStream::connect(world.tls).await.unwrap();
    let mut client = Client(BufReader::new(world.handshake(stream).await.unwrap()));
    assert!(client.line().await.starts_with("+OK POP3 ready"));
    client.log_in().await;
    let lines = client.lines("RETR 1").await;
    let body: String = lines[5..].iter().map(|line| format!("{}\r\n", line.strip_prefix('.').unwrap())).collect();
    assert!(body == text, "the octets differ");
    assert_eq!(client.ask("QUIT").await, "+OK bye");
    client.closed().await;
}

#[tokio::test]
async fn who_fetches_or_deletes_leaves_a_row_and_a_poll_does_not() {
    let world = world(config()).await;
    for text in ["Subject: one\r\n\r\n", "Subject: two\r\n\r\n"] {
        world.deliver(text.as_bytes()).await;
    }
    let mut polling = world.alice().await;
    assert_eq!(polling.lines("TOP 1 0").await.len(), 5);
    assert_eq!(polling.ask("QUIT").await, "+OK bye");
    let mut fetching = world.alice().await;
    assert_eq!(fetching.lines("RETR 1").await.len(), 5);
    assert_eq!(fetching.ask("QUIT").await, "+OK bye");
    let mut deleting = world.alice().await;
    assert_eq!(deleting.lines("RETR 1").await.len(), 5);
    assert_eq!(deleting.ask("DELE 1").await, "+OK marked as deleted");
    assert_eq!(deleting.ask("DELE 2").await, "+OK marked as deleted");
    assert_eq!(deleting.ask("QUIT").await, "+OK bye, the marked messages are deleted");
    drop((polling, fetching, deleting));
    world.shutdown.stop();
    world.served.await.unwrap();

    let superuser = world.database.superuser().await;
    let rows: Vec<(i16, i16, i32, i32)> =
        sqlx::query_as("SELECT mechanism, tls, fetched, expunged FROM restante.sessions ORDER BY expunged")
            .fetch_all(&superuser)
            .await
            .unwrap();
    assert_eq!(rows, [(1, 0, 1, 0), (1, 0, 1, 2)]);
}
