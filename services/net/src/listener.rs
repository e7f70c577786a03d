//! The accept loop.

use std::{
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

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
    Endpoint, Limits, Peer, Stream,
    limits::{Gate, Refused},
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
        Ok(Self { socket, name })
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
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = shutdown.draining() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    log_panic(name, ended);
                    continue;
                }
                incoming = self.accept() => match incoming {
                    Ok(incoming) => incoming,
                    Err(error) => {
                        wait_after(name, &error).await;
                        continue;
                    }
                }
            };
            match gate.enter(&peer) {
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
        drop(self);
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
