//! Against a server and a name server on loopback, which the operator's exceptions let through.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::*;

const BOUNDS: Bounds = Bounds { octets: 1000, time: Duration::from_secs(20) };
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// An HTTPS server for `issuer.test` and 127.0.0.2, on the same port of two addresses, that counts connections to each.
struct Server {
    port: u16,
    connections: [Arc<AtomicUsize>; 2],
    roots: RootCertStore,
}

impl Server {
    async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["issuer.test".to_owned(), FIRST.to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let first = TcpListener::bind((FIRST, 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind((SECOND, port)).await.unwrap();
        let connections: [Arc<AtomicUsize>; 2] = Default::default();
        for (listener, count) in [first, second].into_iter().zip(&connections) {
            tokio::spawn(accept(listener, acceptor.clone(), Arc::clone(count)));
        }
        Self { port, connections, roots }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    fn counted(&self) -> [usize; 2] {
        self.connections.each_ref().map(|count| count.load(Ordering::SeqCst))
    }

    fn egress(&self, allow: &[&str], resolver: Option<SocketAddr>) -> Egress {
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        let settings = Settings { allow, refuse: Vec::new() };
        Egress::with_roots(&settings, &DnsSettings { resolver, ..DnsSettings::default() }, self.roots.clone()).unwrap()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, count: Arc<AtomicUsize>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut stream = acceptor.accept(socket).await?;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await?);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let answer = match request.split(' ').nth(1) {
                Some("/echo?a=b") => {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{request}", request.len())
                }
                Some("/moved") => "HTTP/1.1 302 Found\r\nLocation: /echo?a=b\r\nContent-Length: 0\r\n\r\n".to_owned(),
                Some("/declared") => "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_owned() + &"x".repeat(1001),
                Some("/full") => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_owned() + &"x".repeat(1000),
                Some("/head") => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD)),
                Some("/silent") => String::new(),
                _ => "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
            // Never ends by itself: sends more and more without having said how much, or nothing.
            while request.starts_with("GET /endless ") {
                stream.write_all(&[b'x'; 100]).await?;
                stream.flush().await?;
            }
            stream.flush().await?;
            stream.read_u8().await
        });
    }
}

/// A name server that answers each question for an IPv4 address with the next of these, and then with the last, never to be kept.
async fn name_server(answers: &'static [&'static [Ipv4Addr]]) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut octets = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut octets).await.unwrap();
            // RFC 1035 section 4.1: a header of 12 octets, then the question: labels up to an empty one, type and class.
            let question = &octets[12..length];
            let end = question.iter().position(|octet| *octet == 0).unwrap() + 5;
            let is_for_v4 = question[end - 4..end - 2] == [0, 1];
            let found = if is_for_v4 {
                let number = count.fetch_add(1, Ordering::SeqCst);
                answers[number.min(answers.len() - 1)]
            } else {
                &[]
            };
            let mut answer = octets[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(found.len()).unwrap(), 0, 0, 0, 0]);
            answer.extend(&question[..end]);
            for address in found {
                // The name of the question, type A, class IN, no time to live, four octets.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(address.octets());
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (address, asked)
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_public() {
    let server = Server::start().await;
    let (resolver, _) = name_server(&[&[FIRST, SECOND]]).await;
    let egress = server.egress(&[], Some(resolver));
    let hosts = [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "issuer.test",
        "169.254.169.254",
        "[fd00:ec2::254]",
    ];
    for host in hosts {
        let error = egress.get(&server.url(host, "/full"), BOUNDS).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{host}: {error}");
    }
    assert_eq!(server.counted(), [0, 0]);
}

#[tokio::test]
async fn other_urls_are_refused() {
    let server = Server::start().await;
    let egress = server.egress(&["127.0.0.0/8"], None);
    let urls = [
        "",
        "issuer.test",
        "http://127.0.0.2/",
        "file:///etc/passwd",
        "https://",
        "https://alice@127.0.0.2/",
        "https://:secret@127.0.0.2/",
        "unix:/run/x",
    ];
    for url in urls {
        let error = egress.get(url, BOUNDS).await.unwrap_err();
        assert!(matches!(error, Error::Url), "{url}: {error}");
    }
}

#[tokio::test]
async fn what_the_operator_allows_is_reached_and_nothing_beside_it() {
    let server = Server::start().await;
    let egress = server.egress(&["127.0.0.2/32"], None);
    let answer = egress.get(&server.url("127.0.0.2", "/echo?a=b#c"), BOUNDS).await.unwrap();
    let host = format!("host: 127.0.0.2:{}\r\n", server.port);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("GET /echo?a=b HTTP/1.1\r\n") && answer.contains(&host), "{answer}");
    let error = egress.get(&server.url("127.0.0.1", "/full"), BOUNDS).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert_eq!(server.counted(), [1, 0]);
}

/// A name that means another address a moment later: it was asked for once, and what was judged is what is connected to.
#[tokio::test]
async fn a_name_that_changes_its_meaning_is_resolved_once_for_each_request() {
    let server = Server::start().await;
    let (resolver, asked) = name_server(&[&[FIRST], &[SECOND], &[SECOND, FIRST]]).await;
    let egress = server.egress(&["127.0.0.2/32"], Some(resolver));
    let url = server.url("issuer.test", "/full");
    assert_eq!(egress.get(&url, BOUNDS).await.unwrap().len(), 1000);
    assert_eq!((asked.load(Ordering::SeqCst), server.counted()), (1, [1, 0]));
    let error = egress.get(&url, BOUNDS).await.unwrap_err();
    assert!(matches!(error, Error::Refused(address) if address == SECOND), "{error}");
    assert_eq!((asked.load(Ordering::SeqCst), server.counted()), (2, [1, 0]));
    // Of several, only the permitted one.
    egress.get(&url, BOUNDS).await.unwrap();
    assert_eq!((asked.load(Ordering::SeqCst), server.counted()), (3, [2, 0]));
}

#[tokio::test]
async fn the_certificate_is_that_of_the_host() {
    let server = Server::start().await;
    let (resolver, _) = name_server(&[&[FIRST]]).await;
    let egress = server.egress(&["127.0.0.0/8"], Some(resolver));
    egress.get(&server.url("issuer.test.", "/full"), BOUNDS).await.unwrap();
    for host in ["other.test", "127.0.0.1"] {
        let error = egress.get(&server.url(host, "/full"), BOUNDS).await.unwrap_err();
        assert!(matches!(error, Error::Tls(_)), "{host}: {error}");
    }
    let others = Server::start().await;
    let error = egress.get(&others.url("issuer.test", "/full"), BOUNDS).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "nobody vouches for it: {error}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start().await;
    let egress = server.egress(&["127.0.0.0/8"], None);
    let error = egress.get(&server.url("127.0.0.2", "/moved"), BOUNDS).await.unwrap_err();
    assert!(matches!(error, Error::Status(302)), "{error}");
    assert_eq!(server.counted(), [1, 0]);
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let server = Server::start().await;
    let egress = server.egress(&["127.0.0.0/8"], None);
    assert_eq!(egress.get(&server.url("127.0.0.2", "/full"), BOUNDS).await.unwrap().len(), 1000);
    for path in ["/declared", "/endless"] {
        let error = egress.get(&server.url("127.0.0.2", path), BOUNDS).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge(1000)), "{path}: {error}");
    }
    let error = egress.get(&server.url("127.0.0.2", "/head"), BOUNDS).await.unwrap_err();
    assert!(matches!(error, Error::Http(_)), "{error}");
}

#[tokio::test]
async fn a_request_ends_in_time_wherever_it_hangs() {
    let server = Server::start().await;
    // They take connections, or questions, and say nothing.
    let (no_tls, no_dns) = (TcpListener::bind((FIRST, 0)).await.unwrap(), UdpSocket::bind((FIRST, 0)).await.unwrap());
    let egress = server.egress(&["127.0.0.0/8"], Some(no_dns.local_addr().unwrap()));
    let short = Bounds { time: Duration::from_millis(200), ..BOUNDS };
    let urls = [
        server.url("127.0.0.2", "/silent"),
        server.url("127.0.0.2", "/unfinished"),
        format!("https://127.0.0.2:{}/", no_tls.local_addr().unwrap().port()),
        server.url("issuer.test", "/full"),
    ];
    for url in urls {
        let error = egress.get(&url, short).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(_)), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_bare_connection_goes_where_a_document_would_be_fetched() {
    let server = Server::start().await;
    let allowed = server.egress(&["127.0.0.2/32"], None);
    assert_eq!(allowed.connect("127.0.0.2", server.port).await.unwrap().peer_addr().unwrap().ip(), FIRST);
    for host in ["127.0.0.1", "127.1", "0x7f000001", "::1", "::ffff:127.0.0.1", "[::1]", "169.254.169.254"] {
        let refused = allowed.connect(host, server.port).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{host}: {refused:?}");
    }
    for host in ["", "a b", "127.0.0.1:80", "user@host"] {
        assert!(matches!(allowed.connect(host, server.port).await, Err(Error::Url)), "{host}");
    }
}
