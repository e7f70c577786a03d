//! Connections: TLS, who may come, how long one may stay.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{io::BufReader, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::{Client, config, world};

#[tokio::test]
async fn after_starttls_a_message_comes_by_lmtps() {
    let world = world(config()).await;
    let mut client = world.greeted().await;
    assert_eq!(client.codes("STARTTLS\r\n", 1).await, ["220 2.0.0"]);
    let certificate = CertificateDer::from_pem_file(world.directory.path().join("tls/cert.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, client.0.into_inner()).await.unwrap();
    let mut client = Client(BufReader::new(stream));
    assert_eq!(client.codes("MAIL FROM:<>\r\n", 1).await, ["503 5.5.1"], "LHLO has to be said anew");
    assert!(!client.lhlo().await.iter().any(|line| line.contains("STARTTLS")));
    let message = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nDATA\r\nx\r\n.\r\n";
    assert_eq!(client.codes(message, 4).await, ["250 2.1.0", "250 2.1.5", "354 Send", "250 2.0.0"]);
    let messages = world.messages("alice@acme.test").await;
    assert!(messages[0].contains(" by mx.restante.test with LMTPS id "), "{messages:?}");
}

#[tokio::test]
async fn a_drained_role_finishes_transactions_and_ends() {
    let world = world(config()).await;
    let mut idle = world.greeted().await;
    let mut busy = world.greeted().await;
    let envelope = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nDATA\r\n";
    assert_eq!(busy.codes(envelope, 3).await, ["250 2.1.0", "250 2.1.5", "354 Send"]);
    world.shutdown.begin_drain();
    assert_eq!(idle.codes("", 1).await, ["421 4.3.2"]);
    idle.closed().await;
    assert_eq!(busy.codes("x\r\n.\r\n", 2).await, ["250 2.0.0", "421 4.3.2"]);
    busy.closed().await;
    assert_eq!(world.messages("alice@acme.test").await.len(), 1);
    drop((idle, busy));
    world.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_silent_peer_is_told_so_and_closed() {
    let world = world(lmtpd::Config { idle_seconds: 1, ..config() }).await;
    let mut client = world.greeted().await;
    assert_eq!(client.codes("", 1).await, ["421 4.4.2"]);
    client.closed().await;
}

#[tokio::test]
async fn more_connections_than_the_limit_are_told_to_come_again() {
    let world = world(lmtpd::Config { max_connections: 2, ..config() }).await;
    let (_first, _second) = (world.greeted().await, world.greeted().await);
    let mut third = world.client().await;
    assert_eq!(third.codes("", 1).await, ["421 4.3.2"]);
    third.closed().await;
}

#[tokio::test]
async fn on_an_open_address_only_peers_are_served() {
    let listen = vec!["0.0.0.0:0".parse().unwrap()];
    let peers = vec!["192.0.2.0/24".parse().unwrap()];
    let world = world(lmtpd::Config { listen, peers, ..config() }).await;
    let mut client = world.client().await;
    assert_eq!(client.codes("", 1).await, ["421 4.7.0"]);
    client.closed().await;
}

#[tokio::test]
async fn garbage_is_answered_and_ended() {
    let world = world(config()).await;
    let mut client = world.greeted().await;
    let garbage = "\0\u{1}\u{2}garbage\r\n".repeat(20);
    let mut codes = client.codes(&garbage, 21).await;
    assert_eq!(codes.pop().as_deref(), Some("421 4.7.0"));
    assert!(codes.iter().all(|code| code == "500 5.5.1"), "{codes:?}");
    client.closed().await;

    // 10 MB without a line end are one bad command, held by nobody.
    let mut client = world.greeted().await;
    assert_eq!(client.codes(&"x".repeat(10_000_000), 1).await, ["500 5.5.2"]);
    assert_eq!(client.codes("\r\nNOOP\r\n", 1).await, ["250 2.0.0"]);
}
