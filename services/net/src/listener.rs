//! The accept loop.

use std::{
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use ipnet::IpNet;
use prometheus::{IntCounterVec, IntGaugeVec, register_int_counter_vec, register_int_gauge_vec};
use runtime::shutdown::Shutdown;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    Endpoint, Limits, Peer, ProxySettings, Stream,
    limits::{Gate, Place, Refused},
    proxied::{NoClient, Proxied},
};

/// The kernel's queue of connections not yet accepted.
const BACKLOG: i32 = 1024;
/// Silence after which the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(120);
/// How long a peer that is refused has to take its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Refusals under way; more are closed without a word.
const REFUSALS: usize = 256;
/// How long connections have after the deadline to end by themselves, before they are cut off.
const AFTER_DEADLINE: Duration = Duration::from_secs(1);

#[expect(clippy::expect_used, reason = "the names are constants: a wrong one is seen by the first test")]
static OPEN: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("restante_connections_open", "Connections now open.", &["listener"]).expect("a new metric")
});
#[expect(clippy::expect_used, reason = "the names are constants: a wrong one is seen by the first test")]
static ACCEPTED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_connections_accepted_total", "Connections taken.", &["listener"])
        .expect("a new metric")
});
#[expect(clippy::expect_used, reason = "the names are constants: a wrong one is seen by the first test")]
static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Connections refused, by the bound that was reached.";
    register_int_counter_vec!("restante_connections_refused_total", help, &["listener", "reason"])
        .expect("a new metric")
});

/// A bound socket. Dropping it closes it.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    name: &'static str,
    proxied: Option<Proxied>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds; `name` (`pop3s`) is for logs and metrics. A socket file left by a process that is gone is replaced.
    pub async fn bind(endpoint: &Endpoint, name: &'static str) -> io::Result<Self> {
        let bound = match endpoint {
            Endpoint::Tcp(address) => bind_tcp(*address).map(ListeningSocket::Tcp),
            Endpoint::Unix(path) => bind_unix(path).await.map(ListeningSocket::Unix),
        };
        let socket = bound
            .map_err(|error| io::Error::new(error.kind(), format!("{name} cannot listen on {endpoint}: {error}")))?;
        Ok(Self { socket, name, proxied: None })
    }

    /// With any networks: every connection has to come from one of them and to begin with a PROXY protocol header, which says
    /// who the peer is; others are closed without a word. With none the listener is as it was and reads no header.
    #[must_use]
    pub fn proxy_from(self, networks: &[IpNet], settings: ProxySettings) -> Self {
        let proxied = (!networks.is_empty()).then(|| Proxied { from: networks.to_vec(), settings });
        Self { proxied, ..self }
    }

    /// The networks whose load balancers say who the peer is; none if nobody does.
    pub fn proxies(&self) -> &[IpNet] {
        self.proxied.as_ref().map_or(&[], |proxied| &proxied.from)
    }

    /// Where it listens: what was asked for, with the port that was picked.
    pub fn bound(&self) -> io::Result<Endpoint> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            ListeningSocket::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().ok_or_else(|| io::Error::other("the socket has no name"))?;
                Ok(Endpoint::Unix(path.to_owned()))
            }
        }
    }

    /// Accepts until draining begins, and calls `serve` for each connection that is within the limits; to the others it
    /// writes `refusal` (complete lines of the protocol; empty where TLS comes first) and closes. Returns when all
    /// connections have ended; what still runs shortly after the deadline is cut off.
    pub async fn serve<F, Fut>(self, limits: Limits, refusal: &'static [u8], shutdown: &Shutdown, serve: F)
    where
        F: Fn(Stream, Peer) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let name = self.name;
        let gate = Gate::new(limits);
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let (open, accepted) = (OPEN.with_label_values(&[name]), ACCEPTED.with_label_values(&[name]));
        let mut connections = JoinSet::new();
        // Those whose header is not read yet. Who they are is not known, so draining just drops them.
        let mut unknown = JoinSet::new();
        loop {
            let (stream, peer, place) = tokio::select! {
                biased;
                () = shutdown.draining() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    log_panic(name, ended);
                    continue;
                }
                Some(known) = unknown.join_next(), if !unknown.is_empty() => match known {
                    Ok(Ok((stream, peer, place))) => (stream, peer, Place::known(place, &peer)),
                    Ok(Err(no_client)) => {
                        drop_unknown(name, &no_client);
                        continue;
                    }
                    Err(error) => {
                        log_panic(name, Err(error));
                        continue;
                    }
                },
                incoming = self.accept() => match (incoming, &self.proxied) {
                    (Ok((stream, peer)), None) => (stream, peer, gate.enter(&peer)),
                    (Ok((_, proxy)), Some(proxied)) if !proxied.trusts(&proxy) => {
                        drop_unknown(name, &NoClient::Network);
                        continue;
                    }
                    (Ok((mut stream, proxy)), Some(proxied)) => match gate.enter_unknown() {
                        Err(refused) => (stream, proxy, Err(refused)),
                        Ok(place) => {
                            let proxied = proxied.clone();
                            unknown.spawn(async move {
                                let peer = proxied.client(&mut stream, proxy).await?;
                                Ok((stream, peer, place))
                            });
                            continue;
                        }
                    },
                    (Err(error), _) => {
                        wait_after(name, &error).await;
                        continue;
                    }
                }
            };
            match place {
                Ok(place) => {
                    accepted.inc();
                    let open = Counted::new(open.clone());
                    let served = serve(stream, peer);
                    connections.spawn(async move {
                        served.await;
                        drop((place, open));
                    });
                }
                Err(refused) => refuse(name, refused, stream, refusal, &refusals),
            }
        }
        drop((self, unknown));
        let cut_off = async {
            shutdown.deadline().await;
            tokio::time::sleep(AFTER_DEADLINE).await;
        };
        tokio::pin!(cut_off);
        loop {
            tokio::select! {
                ended = connections.join_next() => match ended {
                    Some(ended) => log_panic(name, ended),
                    None => break,
                },
                () = &mut cut_off => {
                    tracing::warn!(listener = name, connections = connections.len(), "connections cut off at the deadline");
                    connections.shutdown().await;
                    break;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
                Ok((stream.into(), Peer { address: Some(address.ip().to_canonical()), unix: false }))
            }
            ListeningSocket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), Peer { address: None, unix: true }))
            }
        }
    }
}

/// One open connection in the gauge.
struct Counted(prometheus::IntGauge);

impl Counted {
    fn new(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Binds with SO_REUSEADDR, so that a restart need not wait for old connections; a v6 wildcard takes v4 as well.
fn bind_tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Binds a socket file for owner and group.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path)
        && metadata.file_type().is_socket()
    {
        match tokio::net::UnixStream::connect(path).await {
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            Err(_) => std::fs::remove_file(path)?,
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Tells the peer and closes; by a task of its own, so that a slow peer holds nobody up.
fn refuse(
    name: &'static str,
    refused: Refused,
    mut stream: Stream,
    refusal: &'static [u8],
    under_way: &Arc<Semaphore>,
) {
    REFUSED.with_label_values(&[name, refused.reason()]).inc();
    tracing::debug!(listener = name, reason = refused.reason(), "connection refused");
    if refusal.is_empty() {
        return;
    }
    let Ok(permit) = Arc::clone(under_way).try_acquire_owned() else { return };
    tokio::spawn(async move {
        let tell = async {
            stream.write_all(refusal).await?;
            stream.shutdown().await?;
            // Until the peer closes: closing first, with input unread, would reset the connection and lose the refusal.
            let mut unread = [0; 512];
            while stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        drop(tokio::time::timeout(REFUSAL_TIMEOUT, tell).await);
        drop(permit);
    });
}

/// Counts a connection that is closed because it does not say whose it is.
fn drop_unknown(name: &'static str, no_client: &NoClient) {
    REFUSED.with_label_values(&[name, no_client.reason()]).inc();
    match no_client {
        // Anybody can cause these.
        NoClient::Network | NoClient::Lost => {
            tracing::debug!(listener = name, reason = no_client.reason(), "connection closed");
        }
        // A load balancer of ours is not set up as it should be.
        NoClient::Header(error) => {
            tracing::warn!(listener = name, %error, "a load balancer sent no proper PROXY header")
        }
        NoClient::Deadline => tracing::warn!(listener = name, "a load balancer sent no PROXY header in time"),
    }
}

/// A connection that broke before it was accepted concerns nobody; without file descriptors it is of no use to try at once.
async fn wait_after(name: &'static str, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected) {
        return;
    }
    tracing::error!(listener = name, %error, "cannot accept");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn log_panic(name: &'static str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(listener = name, "a connection ended by a fault in this program");
    }
}
