//! The accept loop, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed step is a failed test")]

use std::{sync::Arc, time::Duration};

use net::{Endpoint, Limits, Listener, Peer, Stream, tls};
use runtime::shutdown::Shutdown;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer},
};

const REFUSAL: &[u8] = b"-ERR [SYS/TEMP] too many connections\r\n";

/// Sends back what it reads, until the peer closes or draining begins.
async fn echo(mut stream: Stream, _: Peer, shutdown: Shutdown) {
    let mut octets = [0; 64];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut octets) => read.unwrap_or(0),
            () = shutdown.draining() => return,
        };
        if read == 0 || stream.write_all(&octets[..read]).await.is_err() {
            return;
        }
    }
}

async fn start(endpoint: &str, limits: Limits) -> (Endpoint, Shutdown, tokio::task::JoinHandle<()>) {
    let listener = Listener::bind(&endpoint.parse().unwrap(), "echo").await.unwrap();
    let bound = listener.bound().unwrap();
    let shutdown = Shutdown::new();
    let (inner, outer) = (shutdown.clone(), shutdown.clone());
    let served = tokio::spawn(async move {
        let handler = inner.clone();
        listener.serve(limits, REFUSAL, &inner, move |stream, peer| echo(stream, peer, handler.clone())).await;
    });
    (bound, outer, served)
}

async fn tcp(endpoint: &Endpoint) -> TcpStream {
    let Endpoint::Tcp(address) = endpoint else { panic!("{endpoint} is TCP") };
    TcpStream::connect(address).await.unwrap()
}

async fn says_back(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> bool {
    let mut answer = [0; 5];
    stream.write_all(b"hello").await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && &answer == b"hello"
}

#[tokio::test]
async fn over_the_limit_the_peer_reads_the_refusal_and_then_the_end() {
    let (endpoint, shutdown, served) =
        start("127.0.0.1:0", Limits { connections: 10, connections_per_address: 2 }).await;
    let (mut first, mut second) = (tcp(&endpoint).await, tcp(&endpoint).await);
    assert!(says_back(&mut first).await && says_back(&mut second).await);
    let mut third = tcp(&endpoint).await;
    // What the peer has already sent must not cost it the refusal.
    third.write_all(b"USER alice\r\n").await.unwrap();
    let mut answer = Vec::new();
    third.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, REFUSAL);
    assert!(says_back(&mut first).await, "those within the limit go on");

    drop(first);
    // Its place is free as soon as the server has seen the end, which the client cannot see: so it asks until it is let in.
    loop {
        let mut next = tcp(&endpoint).await;
        if says_back(&mut next).await {
            break;
        }
    }
    shutdown.begin_drain();
    served.await.unwrap();
    let mut end = Vec::new();
    second.read_to_end(&mut end).await.unwrap();
    assert!(end.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_still_runs_after_the_deadline_is_cut_off() {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), "stuck").await.unwrap();
    let endpoint = listener.bound().unwrap();
    let shutdown = Shutdown::new();
    let entered = Arc::new(tokio::sync::Notify::new());
    let (inner, notify) = (shutdown.clone(), Arc::clone(&entered));
    let served = tokio::spawn(async move {
        let handler = move |_: Stream, _: Peer| {
            let notify = Arc::clone(&notify);
            async move {
                notify.notify_one();
                std::future::pending().await
            }
        };
        listener.serve(Limits::default(), REFUSAL, &inner, handler).await;
    });
    let _stream = tcp(&endpoint).await;
    entered.notified().await;
    shutdown.stop();
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_file_of_a_dead_process_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let text = format!("unix:{}", path.display());
    let (endpoint, shutdown, served) = start(&text, Limits::default()).await;
    assert_eq!(endpoint.to_string(), text);
    assert!(says_back(&mut UnixStream::connect(&path).await.unwrap()).await);
    let error = Listener::bind(&endpoint, "again").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(&text), "{error}");
    shutdown.begin_drain();
    served.await.unwrap();
}

#[tokio::test]
async fn tls_1_2_and_1_3_with_and_without_a_server_name() {
    let directory = tempfile::tempdir().unwrap();
    let tls_directory = tls::self_signed(directory.path()).unwrap();
    let server = tls::ServerTls::from_directory(&tls_directory).unwrap();
    let certificate: CertificateDer =
        rustls::pki_types::pem::PemObject::from_pem_file(tls_directory.join("cert.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();

    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), "tls").await.unwrap();
    let endpoint = listener.bound().unwrap();
    let shutdown = Shutdown::new();
    let inner = shutdown.clone();
    let served = tokio::spawn(async move {
        let handler = {
            let shutdown = inner.clone();
            move |stream: Stream, peer: Peer| {
                let (server, shutdown) = (server.clone(), shutdown.clone());
                async move {
                    assert!(!stream.is_tls());
                    let stream = stream.into_tls(&server).await.unwrap();
                    assert!(stream.is_tls());
                    echo(stream, peer, shutdown).await;
                }
            }
        };
        listener.serve(Limits::default(), b"", &inner, handler).await;
    });
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        // An IP address is never sent as a server name.
        for name in ["localhost", "127.0.0.1", "::1"] {
            let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let connector = TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name.try_into().unwrap(), tcp(&endpoint).await).await.unwrap();
            assert!(says_back(&mut stream).await, "{version:?} {name}");
        }
    }
    shutdown.begin_drain();
    served.await.unwrap();
}
