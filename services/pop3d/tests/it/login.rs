//! Connections and logins.

use mail_types::DomainName;
use tokio::{io::BufReader, net::TcpStream};

use crate::support::{Client, PASSWORD, config, world};

#[tokio::test]
async fn nothing_said_in_clear_survives_stls() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    client.send("USER alice@acme.test\r\nSTLS\r\nUSER alice@acme.test\r\nPASS ").await;
    assert_eq!(client.line().await, "+OK now PASS");
    assert_eq!(client.line().await, "+OK begin TLS");
    let stream = world.handshake(client.0.into_inner()).await.unwrap();
    let mut client = Client(BufReader::new(stream));
    assert_eq!(client.ask(&format!("PASS {PASSWORD}")).await, "-ERR USER comes before PASS");
    assert!(!client.lines("CAPA").await.contains(&"STLS".to_owned()));
    client.log_in().await;
}

#[tokio::test]
async fn passwords_in_clear_are_refused_where_they_are_not_allowed() {
    let world = world(config()).await;
    let mut client = world.client(world.strict).await;
    let capabilities = client.lines("CAPA").await;
    assert!(
        capabilities.contains(&"STLS".to_owned()) && !capabilities.contains(&"USER".to_owned()),
        "{capabilities:?}"
    );
    let refused = "-ERR passwords are refused on a connection without TLS";
    assert_eq!(client.ask("USER alice@acme.test").await, refused);
    assert_eq!(client.ask("AUTH PLAIN AGEAYg==").await, refused);
}

#[tokio::test]
async fn auth_plain_logs_in() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    assert_eq!(client.ask("AUTH PLAIN").await, "+ ");
    // NUL alice@acme.test NUL a long enough password
    let answer = client.ask("AGFsaWNlQGFjbWUudGVzdABhIGxvbmcgZW5vdWdoIHBhc3N3b3Jk").await;
    assert_eq!(answer, "+OK 0 messages (0 octets)");
}

#[tokio::test]
async fn a_bare_login_name_takes_the_default_domain() {
    let default_domain = Some(DomainName::parse("acme.test").unwrap());
    let world = world(pop3d::Config { default_domain, ..config() }).await;
    let mut client = world.client(world.clear).await;
    assert_eq!(client.ask("USER ALICE").await, "+OK now PASS");
    assert_eq!(client.ask(&format!("PASS {PASSWORD}")).await, "+OK 0 messages (0 octets)");
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_no_more() {
    let world = world(pop3d::Config { max_sessions_per_account: 1, ..config() }).await;
    let mut first = world.alice().await;
    let mut second = world.client(world.clear).await;
    assert_eq!(second.ask("USER alice@acme.test").await, "+OK now PASS");
    assert_eq!(
        second.ask(&format!("PASS {PASSWORD}")).await,
        "-ERR [IN-USE] too many sessions of this account on this server (at most 1)"
    );
    assert_eq!(first.ask("QUIT").await, "+OK bye");
    first.closed().await;
    drop(first);
    // The place is free once the server has seen our side closed, too.
    loop {
        assert_eq!(second.ask("USER alice@acme.test").await, "+OK now PASS");
        if second.ask(&format!("PASS {PASSWORD}")).await.starts_with("+OK") {
            break;
        }
    }
}

#[tokio::test]
async fn a_browser_is_turned_away() {
    let world = world(config()).await;
    let mut client = Client(BufReader::new(TcpStream::connect(world.clear).await.unwrap()));
    client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER alice@acme.test\r\n").await;
    assert!(client.line().await.starts_with("+OK POP3 ready"));
    assert_eq!(client.line().await, "-ERR this is a POP3 server, not an HTTP server");
    client.closed().await;
}
