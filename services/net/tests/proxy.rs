//! A listener behind load balancers, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use net::{Endpoint, Limits, Listen, Listener, Peer, ProxySettings, Stream};
use runtime::shutdown::Shutdown;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

const REFUSAL: &[u8] = b"-ERR too many\r\n";

/// Says who the peer is, and then what it sends.
async fn say(mut stream: Stream, peer: Peer, shutdown: Shutdown) {
    let address = peer.address.map_or_else(|| "unix".to_owned(), |address| address.to_string());
    let mut octets = [0; 64];
    let mut said = stream.write_all(format!("{address}\r\n").as_bytes()).await;
    while said.is_ok() {
        let read = tokio::select! {
            read = stream.read(&mut octets) => read.unwrap_or(0),
            () = shutdown.draining() => return,
        };
        if read == 0 {
            return;
        }
        said = stream.write_all(octets.get(..read).unwrap()).await;
    }
}

struct World {
    bound: Endpoint,
    shutdown: Shutdown,
    served: tokio::task::JoinHandle<()>,
}

async fn world(endpoint: &str, from: &[&str], name: &'static str, limits: Limits) -> World {
    let from: Vec<IpNet> = from.iter().map(|network| network.parse().unwrap()).collect();
    let listener = Listener::bind(&endpoint.parse().unwrap(), name).await.unwrap();
    let listener = listener.proxy_from(&from, ProxySettings::default());
    assert_eq!(listener.proxies(), from);
    let bound = listener.bound().unwrap();
    let shutdown = Shutdown::new();
    let inner = shutdown.clone();
    let served = tokio::spawn(async move {
        let handler = inner.clone();
        listener.serve(limits, REFUSAL, &inner, move |stream, peer| say(stream, peer, handler.clone())).await;
    });
    World { bound, shutdown, served }
}

impl World {
    async fn connect(&self) -> TcpStream {
        let Endpoint::Tcp(address) = &self.bound else { panic!("{} is TCP", self.bound) };
        TcpStream::connect(address).await.unwrap()
    }

    /// A connection that sends these octets at once.
    async fn sending(&self, octets: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(octets).await.unwrap();
        stream
    }

    async fn end(self) {
        self.shutdown.begin_drain();
        self.served.await.unwrap();
    }
}

/// Everything up to the end, which may be a reset: the server closes with octets unread.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer).await;
    answer
}

async fn line(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

fn refused(listener: &str, reason: &str) -> u64 {
    let families = prometheus::gather();
    let family = families.iter().find(|family| family.name() == "restante_connections_refused_total");
    let Some(family) = family else { return 0 };
    let of = |metric: &&prometheus::proto::Metric| {
        let has = |name: &str, value: &str| metric.get_label().iter().any(|l| l.name() == name && l.value() == value);
        has("listener", listener) && has("reason", reason)
    };
    family.get_metric().iter().find(of).map_or(0, |metric| metric.get_counter().get_value() as u64)
}

fn v2(command: u8, source: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = source;
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11, 0, 12, a, b, c, d, 198, 51, 100, 1, 0, 1, 0, 110][..]].concat()
}

#[tokio::test]
async fn the_peer_is_whom_the_header_names_and_what_follows_is_untouched() {
    let world = world("127.0.0.1:0", &["127.0.0.0/8"], "proxied", Limits::default()).await;
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 110\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4000 110\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, [192, 0, 2, 8]), "192.0.2.8"),
        (v2(0x20, [192, 0, 2, 8]), "127.0.0.1"),
    ] {
        let mut at_once = world.sending(&[&header[..], b"CAPA\r\n"].concat()).await;
        assert_eq!(line(&mut at_once).await, expected);
        assert_eq!(line(&mut at_once).await, "CAPA");
        // Octet by octet; the server reads them as they come.
        let mut in_pieces = world.connect().await;
        in_pieces.set_nodelay(true).unwrap();
        for octet in header {
            in_pieces.write_all(&[octet]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(line(&mut in_pieces).await, expected);
    }
    world.end().await;
}

#[tokio::test]
async fn without_a_header_there_is_no_word() {
    let world = world("127.0.0.1:0", &["127.0.0.0/8"], "headless", Limits::default()).await;
    for octets in [&b"CAPA\r\n"[..], b"\x16\x03\x01\0", b"PROXY TCP4 192.0.2.7\r\n\r\n"] {
        assert_eq!(rest(&mut world.sending(octets).await).await, b"", "{octets:?}");
    }
    assert_eq!(refused("headless", "proxy_header"), 3);
    let mut half = world.sending(b"PROXY TCP4 ").await;
    half.shutdown().await.unwrap();
    assert_eq!(rest(&mut half).await, b"");
    assert_eq!(refused("headless", "proxy_lost"), 1);
    // Draining does not wait for who has not said whose it is.
    let mut waiting = world.sending(b"PROXY TCP4 ").await;
    world.end().await;
    assert_eq!(rest(&mut waiting).await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_header_has_its_time() {
    let world = world("127.0.0.1:0", &["127.0.0.0/8"], "late", Limits::default()).await;
    let mut stream = world.sending(b"PROXY TCP4 192.0.2.7 ").await;
    let began = tokio::time::Instant::now();
    assert_eq!(rest(&mut stream).await, b"");
    assert!(began.elapsed() >= Duration::from_secs(ProxySettings::default().header_seconds));
    assert_eq!(refused("late", "proxy_deadline"), 1);
    world.end().await;
}

#[tokio::test]
async fn nobody_else_may_claim_an_address() {
    let world = world("127.0.0.1:0", &["192.0.2.0/24", "::1/128"], "elsewhere", Limits::default()).await;
    let mut stream = world.sending(b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 110\r\n").await;
    assert_eq!(rest(&mut stream).await, b"");
    assert_eq!(refused("elsewhere", "proxy_network"), 1);
    world.end().await;
}

#[tokio::test]
async fn without_networks_a_header_is_never_read() {
    let world = world("127.0.0.1:0", &[], "direct", Limits::default()).await;
    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 4000 110";
    let mut stream = world.sending(format!("{header}\r\n").as_bytes()).await;
    assert_eq!(line(&mut stream).await, "127.0.0.1");
    assert_eq!(line(&mut stream).await, header);
    world.end().await;
}

#[tokio::test]
async fn limits_count_the_clients_address() {
    let limits = Limits { connections: 4, connections_per_address: 1 };
    let world = world("127.0.0.1:0", &["127.0.0.1/32"], "counted", limits).await;
    let from = async |last: u8| world.sending(&v2(0x21, [192, 0, 2, last])).await;
    let (mut first, mut second) = (from(1).await, from(2).await);
    assert_eq!(line(&mut first).await, "192.0.2.1");
    assert_eq!(line(&mut second).await, "192.0.2.2");
    assert_eq!(rest(&mut from(1).await).await, REFUSAL);
    assert_eq!(refused("counted", "connections_per_address"), 1);
    // Who has not said whose it is takes a place all the same.
    let (mut third, mut fourth) = (world.connect().await, world.connect().await);
    let mut fifth = from(5).await;
    assert_eq!(rest(&mut fifth).await, REFUSAL);
    assert_eq!(refused("counted", "connections"), 1);
    for (stream, last) in [(&mut third, 3), (&mut fourth, 4)] {
        stream.write_all(&v2(0x21, [192, 0, 2, last])).await.unwrap();
        assert_eq!(line(stream).await, format!("192.0.2.{last}"));
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_opens_a_unix_socket_is_a_load_balancer() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = format!("unix:{}", directory.path().join("s").display());
    let world = world(&endpoint, &["192.0.2.0/24"], "unix", Limits::default()).await;
    let mut stream = UnixStream::connect(directory.path().join("s")).await.unwrap();
    stream.write_all(b"PROXY TCP6 2001:db8::7 ::1 4000 110\r\n").await.unwrap();
    let address: IpAddr = line(&mut stream).await.parse().unwrap();
    assert_eq!(address.to_string(), "2001:db8::7");
    let mut stream = UnixStream::connect(directory.path().join("s")).await.unwrap();
    stream.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    assert_eq!(line(&mut stream).await, "unix");
    world.end().await;
}

#[test]
fn the_configuration_names_networks() {
    let listen = |text: &str| serde_json::from_str::<Listen>(text).map_err(|error| error.to_string());
    let plain = listen(r#""127.0.0.1:110""#).unwrap();
    assert!(plain.is_local() && plain.proxy_from.is_empty());
    let proxied = listen(r#"{ "address": "127.0.0.1:110", "proxy_from": ["10.0.0.0/8"] }"#).unwrap();
    assert_eq!((&proxied.endpoint, proxied.proxy_from.len()), (&plain.endpoint, 1));
    assert!(!proxied.is_local(), "whom the load balancer serves may be anywhere");
    for (text, named) in [
        (r#"{ "address": "127.0.0.1:110", "proxy_from": [] }"#, "proxy_from"),
        (r#"{ "address": "127.0.0.1:110" }"#, "proxy_from"),
        (r#"{ "address": "127.0.0.1:110", "proxy_from": ["10.0.0.0/8", "::/0"] }"#, "::/0"),
        (r#"{ "address": "127.0.0.1:110", "proxy": ["10.0.0.0/8"] }"#, "proxy"),
        (r#"{ "address": "localhost:110", "proxy_from": ["10.0.0.0/8"] }"#, "localhost:110"),
    ] {
        let error = listen(text).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
