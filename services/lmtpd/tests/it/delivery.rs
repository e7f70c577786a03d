//! What becomes of messages.

use testkit::{Fault, Operation};

use crate::support::{config, world};

const DATE: &str = "Tue, 24 Nov 2026 06:35:16 +0000";

#[tokio::test]
async fn a_message_arrives_at_each_recipient_with_its_trace_headers() {
    let world = world(config()).await;
    let mut client = world.greeted().await;
    let envelope = "MAIL FROM:<s@sender.test>\r\nRCPT TO:<Alice+x@ACME.test>\r\nRCPT TO:<nobody@acme.test>\r\nRCPT TO:<bob@globex.test>\r\nDATA\r\n";
    assert_eq!(client.codes(envelope, 5).await, ["250 2.1.0", "250 2.1.5", "550 5.1.1", "250 2.1.5", "354 Send"]);
    client.send("Subject: x\r\n\r\n..a\nb\r\n.\r\n").await;
    let (first, second) = (client.line().await, client.line().await);
    let id = first.strip_prefix("250 2.0.0 Delivered, id ").unwrap();
    assert!(second.ends_with(id), "{second}");
    assert_eq!(client.codes("QUIT\r\n", 1).await, ["221 2.0.0"]);
    client.closed().await;

    let expected = |given: &str| {
        format!(
            "Return-Path: <s@sender.test>\r\nDelivered-To: {given}\r\nReceived: from client.test ([127.0.0.1]) by mx.restante.test with \
             LMTP id {id}; {DATE}\r\nSubject: x\r\n\r\n.a\r\nb\r\n"
        )
    };
    assert_eq!(world.messages("alice@acme.test").await, [expected("Alice+x@ACME.test")]);
    assert_eq!(world.messages("bob@globex.test").await, [expected("bob@globex.test")]);
}

#[tokio::test]
async fn a_full_maildrop_is_refused_at_once_where_that_is_known() {
    let world = world(config()).await;
    let mut client = world.greeted().await;
    let body = "x".repeat(400);
    let envelope = "MAIL FROM:<> SIZE=600\r\nRCPT TO:<full@acme.test>\r\nRCPT TO:<deferred@later.test>\r\nRSET\r\n";
    assert_eq!(client.codes(envelope, 4).await, ["250 2.1.0", "552 5.2.2", "452 4.2.2", "250 2.0.0"]);
    let envelope = "MAIL FROM:<>\r\nRCPT TO:<full@acme.test>\r\nRCPT TO:<alice@acme.test>\r\nRCPT TO:<deferred@later.test>\r\nDATA\r\n";
    assert_eq!(client.codes(envelope, 5).await, ["250 2.1.0", "250 2.1.5", "250 2.1.5", "250 2.1.5", "354 Send"]);
    assert_eq!(client.codes(&format!("{body}\r\n.\r\n"), 3).await, ["552 5.2.2", "250 2.0.0", "452 4.2.2"]);
    assert_eq!(world.messages("full@acme.test").await.len(), 0);
    assert_eq!(world.messages("alice@acme.test").await.len(), 1);
    assert_eq!(world.messages("deferred@later.test").await.len(), 0);
}

#[tokio::test]
async fn a_message_over_the_limit_is_read_to_its_end_and_refused() {
    let world = world(lmtpd::Config { max_message_octets: 1000, ..config() }).await;
    let mut client = world.greeted().await;
    let envelope = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nRCPT TO:<bob@globex.test>\r\nDATA\r\n";
    assert_eq!(client.codes(envelope, 4).await, ["250 2.1.0", "250 2.1.5", "250 2.1.5", "354 Send"]);
    let body = "RSET\r\n".repeat(100_000);
    assert_eq!(client.codes(&format!("{body}.\r\nNOOP\r\n"), 3).await, ["552 5.3.4", "552 5.3.4", "250 2.0.0"]);
    assert_eq!(world.messages("alice@acme.test").await.len(), 0);
    let envelope = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nBDAT 3 LAST\r\nx\r\n";
    assert_eq!(client.codes(envelope, 3).await, ["250 2.1.0", "250 2.1.5", "250 2.0.0"]);
    assert_eq!(world.messages("alice@acme.test").await.len(), 1);
}

#[tokio::test]
async fn half_a_message_is_no_message() {
    let mut world = world(config()).await;
    for half in ["x\r\n", "x\r\n.", "x\r\n.\r"] {
        let mut client = world.greeted().await;
        let envelope = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nDATA\r\n";
        assert_eq!(client.codes(envelope, 3).await, ["250 2.1.0", "250 2.1.5", "354 Send"]);
        client.send(half).await;
    }
    // All have ended when draining has.
    world.shutdown.begin_drain();
    (&mut world.served).await.unwrap().unwrap();
    assert_eq!(world.messages("alice@acme.test").await.len(), 0);
}

#[tokio::test]
async fn without_the_store_the_sender_is_told_to_come_again() {
    let world = world(config()).await;
    world.store.always(Operation::Put, Some(Fault::Fail));
    let mut client = world.greeted().await;
    let message = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nDATA\r\nx\r\n.\r\n";
    assert_eq!(client.codes(message, 4).await, ["250 2.1.0", "250 2.1.5", "354 Send", "451 4.3.0"]);
    world.store.always(Operation::Put, None);
    assert_eq!(client.codes(message, 4).await, ["250 2.1.0", "250 2.1.5", "354 Send", "250 2.0.0"]);
    assert_eq!(world.messages("alice@acme.test").await.len(), 1);
}
