//! Over real sockets.

use std::time::Duration;

use admin_api::Config;
use net::{Endpoint, Listener};
use runtime::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::World;

async fn start(
    world: &World,
    shutdown: &Shutdown,
) -> (std::net::SocketAddr, tokio::task::JoinHandle<std::io::Result<()>>) {
    let endpoint: Endpoint = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&endpoint, "admin").await.unwrap();
    let Endpoint::Tcp(address) = listener.bound().unwrap() else { panic!("bound elsewhere") };
    let serving = tokio::spawn(admin_api::serve(vec![listener], world.state.clone(), shutdown.clone()));
    (address, serving)
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"}") {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_are_answered_until_the_process_drains() {
    let world = World::new().await;
    let shutdown = Shutdown::new();
    let (address, serving) = start(&world, &shutdown).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", world.platform);
    for _ in 0..2 {
        let answer = exchange(&mut stream, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    shutdown.begin_drain();
    // The idle connection does not hold the end up.
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_process_drains() {
    let world = World::new().await;
    let shutdown = Shutdown::new();
    let (address, serving) = start(&world, &shutdown).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = r#"{"slug": "acme", "name": "Acme"}"#;
    let head = format!(
        "POST /v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        world.platform,
        body.len(),
        &body[..10]
    );
    // A second one, whose answer shows that the first has been begun: they are taken in order.
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    let asked = format!("GET /v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", world.platform);
    exchange(&mut other, &asked).await;
    shutdown.begin_drain();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(&body.as_bytes()[10..]).await.unwrap();
    let answer = exchange(&mut stream, "").await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    drop(stream);
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn garbage_and_half_requests_hurt_nobody() {
    let world = World::new().await;
    let shutdown = Shutdown::new();
    let (address, serving) = start(&world, &shutdown).await;
    for garbage in ["\0\0\0\r\n\r\n", "POP3 please\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(garbage.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").await.unwrap();
    drop(half);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, "GET /v1/tenants HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    drop(stream);
    shutdown.begin_drain();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_silent_connection_is_ended() {
    let world = World::with(Config { idle_timeout_ms: 200, ..Config::default() }).await;
    let shutdown = Shutdown::new();
    let (address, _serving) = start(&world, &shutdown).await;
    for begun in
        ["", "GET /v1/tenants HTTP/1.1\r\nHost:", "POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{begun:?} is still open");
    }
}
