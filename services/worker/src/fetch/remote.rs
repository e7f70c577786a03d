//! A connection to the old server, in the clear or under TLS, bounded in time and in what it holds.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use mail_types::Secret;
use net::{client::ClientTls, egress::Egress};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(180);
/// The longest line of an answer, octets.
const LINE: usize = 64 * 1024;

/// USER@HOST:PORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What it knows the maildrop's owner as.
    pub user: String,
    /// A name or an address.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// TLS from the first octet; else it is begun where the server offers it.
    pub tls: bool,
}

impl Server {
    /// What follows `://`. The last `@` divides; in the user `%XX` stands for an octet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, port: u16, tls: bool) -> anyhow::Result<Self> {
        let (user, place) = text.rsplit_once('@').context("USER@HOST is expected")?;
        ensure!(
            !user.contains(':'),
            "a password does not belong into the source: see --password-file (a colon in the user is %3A)"
        );
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').context("the address ends in ]")?;
                (host, rest.strip_prefix(':').map_or(Ok(port), str::parse))
            }
            None => match place.rsplit_once(':') {
                Some((host, port)) => (host, port.parse()),
                None => (place, Ok(port)),
            },
        };
        let user = percent_decoded(user).context("the user's %XX are not UTF-8")?;
        ensure!(!user.is_empty() && !user.contains(['\r', '\n', '\0']), "USER@HOST is expected");
        ensure!(!host.is_empty() && !host.contains('/'), "USER@HOST[:PORT] is expected");
        Ok(Self { user, host: host.to_owned(), port: port.context("the port is a number")?, tls })
    }

    /// Whose unique-ids these are. Not the port and not whether under TLS: the messages are the same.
    pub(crate) fn account(&self) -> String {
        format!("{}@{}", self.user, self.host.to_lowercase())
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| octet == b'%') {
            Some(decoded) => {
                octets.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(octet);
                rest = after;
            }
        }
    }
    String::from_utf8(octets).ok()
}

/// How to log in.
#[derive(Debug, Clone)]
pub struct Access {
    /// What proves us.
    pub password: Secret,
    /// By what the server proves itself.
    pub tls: ClientTls,
    /// TLS is begun where the server offers it and it is not there from the first octet.
    pub begin_tls: bool,
    /// The password may travel in the clear.
    pub clear: bool,
    /// How the server is reached.
    pub way: Way,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub enum Way {
    /// Wherever it is: the operator named it, from the operator's shell.
    Direct,
    /// Where tenants may let us connect to: a tenant named it.
    Egress(Egress),
}

impl Way {
    async fn connect(&self, server: &Server) -> anyhow::Result<TcpStream> {
        match self {
            Self::Direct => Ok(within(TcpStream::connect((server.host.as_str(), server.port))).await??),
            Self::Egress(egress) => within(egress.connect(&server.host, server.port)).await?.map_err(|error| {
                // What is at which address is not for the tenant.
                tracing::info!(host = server.host, port = server.port, %error, "a migration's source is not reached");
                anyhow::anyhow!("it cannot be reached from here")
            }),
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

enum Socket {
    Plain(TcpStream),
    Tls(Box<dyn Duplex>),
}

/// A conversation.
pub(super) struct Connection {
    socket: Socket,
    /// Read and not used yet.
    pub(super) buffer: BytesMut,
}

impl Connection {
    pub(super) async fn open(server: &Server, access: &Access) -> anyhow::Result<Self> {
        let what = || format!("{}:{}", server.host, server.port);
        let socket = access.way.connect(server).await.with_context(what)?;
        socket.set_nodelay(true).with_context(what)?;
        let plain = Self { socket: Socket::Plain(socket), buffer: BytesMut::new() };
        if server.tls { plain.secure(server, &access.tls).await } else { Ok(plain) }
    }

    /// Negotiates TLS. What the server said before it, and we did not use, anybody may have put there.
    pub(super) async fn secure(self, server: &Server, tls: &ClientTls) -> anyhow::Result<Self> {
        ensure!(self.buffer.is_empty(), "the server went on talking before TLS began");
        let Socket::Plain(socket) = self.socket else { bail!("the connection is under TLS already") };
        let stream = tls.connect(&server.host, socket).await.with_context(|| format!("TLS with {}", server.host))?;
        Ok(Self { socket: Socket::Tls(Box::new(stream)), buffer: BytesMut::new() })
    }

    /// Whether a password may be sent now: under TLS, on this machine, or because the operator says so.
    pub(super) fn may_log_in(&self, access: &Access) -> anyhow::Result<()> {
        let local = match &self.socket {
            Socket::Tls(_) => true,
            Socket::Plain(socket) => {
                socket.peer_addr().is_ok_and(|peer| IpAddr::is_loopback(&peer.ip().to_canonical()))
            }
        };
        ensure!(local || access.clear, "the server offers no TLS: --clear sends the password without");
        Ok(())
    }

    /// Reads what has come, at least something, into the buffer.
    pub(super) async fn more(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(32 * 1024);
        let read = match &mut self.socket {
            Socket::Plain(socket) => within(socket.read_buf(&mut self.buffer)).await,
            Socket::Tls(stream) => within(stream.read_buf(&mut self.buffer)).await,
        };
        ensure!(read?.context("reading from the server")? > 0, "the server closed the connection");
        Ok(())
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        let written = match &mut self.socket {
            Socket::Plain(socket) => within(socket.write_all(octets)).await,
            Socket::Tls(stream) => {
                within(async {
                    stream.write_all(octets).await?;
                    stream.flush().await
                })
                .await
            }
        };
        written?.context("writing to the server")
    }

    /// The next line, without its line end.
    pub(super) async fn line(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                return Ok(line.strip_suffix(b"\r").map(|line_without| line.slice_ref(line_without)).unwrap_or(line));
            }
            ensure!(self.buffer.len() < LINE, "the server sends a line that does not end");
            self.more().await?;
        }
    }
}

async fn within<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| anyhow::anyhow!("the server says nothing for {PATIENCE:?}"))
}

/// A server's words, fit for a terminal.
pub(super) fn shown(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_a_user_and_no_password() {
        let parse = |text| Server::parse(text, 110, false).map(|s| (s.user, s.host, s.port)).ok();
        let is = |user: &str, host: &str, port| Some((user.to_owned(), host.to_owned(), port));
        assert_eq!(parse("a@h"), is("a", "h", 110));
        assert_eq!(parse("a@old.test@h:1110/"), is("a@old.test", "h", 1110));
        assert_eq!(parse("a%40old.test%3a%25@[::1]:7"), is("a@old.test:%", "::1", 7));
        assert_eq!(parse("a%zz@[::1]"), is("a%zz", "::1", 110));
        for wrong in ["h", "@h", "a@", "a:secret@h", "a@h:x", "a@h:70000", "a%0ab@h", "a@h/x", "a%ff@h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let error = Server::parse("a:secret@h", 110, false).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
