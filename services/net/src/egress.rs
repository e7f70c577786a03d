//! The one way out to addresses that tenants can choose. Whoever may choose an address must not reach, by us, what only we
//! reach: the database, the metadata of a cloud, other tenants' networks. So:
//!
//! - the host is resolved once, by the DNS alone; every address must be of the public internet, or be allowed by the operator;
//! - the connection goes to such an address, never to the name again, and through no proxy: what the name means a moment later
//!   does not matter;
//! - TLS always for a URL, with the certificate verified for its host by the authorities that the machine trusts; in clear only
//!   what is sent to a network of `egress.allow`;
//! - redirects are not followed, an answer is bounded in octets and in time, and connections are not kept.

mod names;
mod permission;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use hickory_resolver::net::NetError;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use prometheus::{IntCounterVec, register_int_counter_vec};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Position, Url};

pub use self::names::{Record, RecordKind};
use self::{names::Names, permission::Permission};

/// The most addresses of a host that are tried, one after the other.
const MAX_TRIED: usize = 4;
/// How long each may take to accept.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// The longest head of an answer, in octets.
const MAX_HEAD: usize = 32 * 1024;

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests to addresses that tenants chose, by what they came to.";
    register_int_counter_vec!("restante_egress_requests_total", help, &["outcome"]).expect("a new metric")
});

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static LOOKUPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Questions to the DNS about names of tenants, by what they came to.";
    register_int_counter_vec!("restante_egress_lookups_total", help, &["outcome"]).expect("a new metric")
});

/// `[egress]`: what tenants' choices may reach, besides the public internet and less than it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Networks that may be reached although they are private or refused. Default: none.
    pub allow: Vec<IpNet>,
    /// Networks that must not be reached although they look public: a cluster's own. Default: none.
    pub refuse: Vec<IpNet>,
}

/// `[dns]`: who says which addresses and records a name has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsSettings {
    /// A name server to ask in place of the machine's, `ADDRESS:PORT`. Default: none.
    pub resolver: Option<SocketAddr>,
    /// How long a question about a tenant's domain may take, milliseconds; then the DNS has not answered. Default 5000.
    pub timeout_ms: u64,
    /// Such questions at once; more wait, within their time. Default 64.
    pub questions_at_once: usize,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { resolver: None, timeout_ms: 5000, questions_at_once: 64 }
    }
}

/// The DNS did not answer in time, or with an error: that a record is not there it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the DNS did not answer")]
pub struct Unanswered;

/// The most that a request may take; then it has failed.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Octets of the answer's body.
    pub octets: usize,
    /// From the first question to the DNS to the last octet.
    pub time: Duration,
}

/// Why there is no answer. The text is for the operator: it tells addresses that the tenant is not to learn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another scheme, no host, or a password in it.
    #[error("not an https URL with a host and no user")]
    Url,
    /// The DNS knows no address.
    #[error("the host has no address: {0}")]
    NoAddress(#[source] Box<NetError>),
    /// None of the host's addresses may be reached; one of them.
    #[error("{0} is not of the public internet, and not in egress.allow")]
    Refused(IpAddr),
    /// No address accepts connections.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// TLS failed: most often the certificate.
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    /// It does not speak HTTP, or stopped to.
    #[error("no HTTP: {0}")]
    Http(#[source] hyper::Error),
    /// It answered with something else than 200; redirects are not followed.
    #[error("answered with status {0}")]
    Status(u16),
    /// The answer is over the bound.
    #[error("the answer has more than {0} octets")]
    TooLarge(usize),
    /// Not all of the answer came in time.
    #[error("took longer than {0:?}")]
    TimedOut(Duration),
}

impl Error {
    /// For metrics, and for whoever chose the address: it says what went wrong and no address.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::NoAddress(_) => "no_address",
            Self::Refused(_) => "refused",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Http(_) => "http",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
            Self::TimedOut(_) => "timed_out",
        }
    }
}

/// The way out. Clones share it.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    permission: Permission,
    names: Names,
    /// Asks every time: whoever mends a record and looks again sees it.
    records: Names,
    questions: Semaphore,
    patience: Duration,
    tls: TlsConnector,
}

/// How many answers are kept for as long as they may be: addresses of hosts that are asked again and again.
const KEPT_ANSWERS: u64 = 1024;

/// A request on its way out.
struct Outgoing<'a> {
    method: Method,
    headers: &'a [(&'static str, String)],
    body: Bytes,
    /// Whether it may go in clear, to where the operator allows it.
    may_be_clear: bool,
}

/// An answer's head, and the connection that its body comes by.
type Answered = (Response<Incoming>, AbortOnDropHandle<Result<(), hyper::Error>>);

/// Why there is no way out at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The resolver.
    #[error("dns: {0}")]
    Dns(#[from] Box<NetError>),
    /// The TLS library.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Egress {
    /// With the authorities that the machine trusts (or those in the file that `SSL_CERT_FILE` names).
    pub fn new(settings: &Settings, dns: &DnsSettings) -> Result<Self, SetupError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(errors = ?found.errors, "no certification authorities: no TLS to addresses that tenants choose");
        }
        Self::with_roots(settings, dns, roots)
    }

    /// Trusting none but the authorities in `pem`: for tests with a server of their own.
    pub fn trusting(settings: &Settings, dns: &DnsSettings, pem: &[u8]) -> Result<Self, SetupError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
        Self::with_roots(settings, dns, roots)
    }

    fn with_roots(settings: &Settings, dns: &DnsSettings, roots: RootCertStore) -> Result<Self, SetupError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(Inner {
            permission: Permission::new(settings),
            names: Names::new(dns.resolver, KEPT_ANSWERS).map_err(Box::new)?,
            records: Names::new(dns.resolver, 0).map_err(Box::new)?,
            questions: Semaphore::new(dns.questions_at_once.clamp(1, Semaphore::MAX_PERMITS)),
            patience: Duration::from_millis(dns.timeout_ms),
            tls: TlsConnector::from(Arc::new(tls)),
        })))
    }

    /// A connection, without TLS yet, to a host that a tenant names: a name or an address.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let host = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Host::Ipv4(address),
            Ok(IpAddr::V6(address)) => Host::Ipv6(address),
            // Reads other spellings of addresses (`127.1`) as what they are.
            Err(_) => Host::parse(host).map_err(|_| Error::Url)?,
        };
        let host = match &host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        };
        let connected = self.0.connect(&host, port, false).await;
        REQUESTS.with_label_values(&[connected.as_ref().map_or_else(Error::kind, |_| "ok")]).inc();
        connected
    }

    /// The document at an https URL.
    pub async fn get(&self, url: &str, bounds: Bounds) -> Result<Vec<u8>, Error> {
        let outgoing = Outgoing { method: Method::GET, headers: &[], body: Bytes::new(), may_be_clear: false };
        self.fetch(url, outgoing, bounds).await
    }

    /// What is answered to a form that is sent to an https URL, with an `Authorization` header if there is one.
    pub async fn post_form(
        &self,
        url: &str,
        authorization: Option<&str>,
        form: &str,
        bounds: Bounds,
    ) -> Result<Vec<u8>, Error> {
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        headers.extend(authorization.map(|value| ("authorization", value.to_owned())));
        let body = Bytes::copy_from_slice(form.as_bytes());
        let outgoing = Outgoing { method: Method::POST, headers: &headers, body, may_be_clear: false };
        self.fetch(url, outgoing, bounds).await
    }

    async fn fetch(&self, url: &str, outgoing: Outgoing<'_>, bounds: Bounds) -> Result<Vec<u8>, Error> {
        let fetch = async {
            let (response, _connection) = self.0.send(url, outgoing).await?;
            match response.status() {
                StatusCode::OK => read(response.into_body(), bounds.octets).await,
                other => Err(Error::Status(other.as_u16())),
            }
        };
        bounded(fetch, bounds.time).await
    }

    /// Sends a body to a URL: https, or http where the address it leads to is in `egress.allow`. Answers the status, whatever it
    /// is; of the answer nothing but its head is read, which is bounded.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        time: Duration,
    ) -> Result<u16, Error> {
        let outgoing = Outgoing { method: Method::POST, headers, body: body.into(), may_be_clear: true };
        let send = async { Ok(self.0.send(url, outgoing).await?.0.status().as_u16()) };
        bounded(send, time).await
    }

    /// Refuses a URL that [`Egress::post`] would never send to: another scheme than https, or http where nothing is allowed in clear;
    /// a user or password in it; an address that may not be reached. What a name leads to is judged when it is sent to.
    pub fn may_post(&self, url: &str) -> Result<(), &'static str> {
        let url = Url::parse(url).map_err(|_| "must be a URL")?;
        let clear = match url.scheme() {
            "https" => false,
            "http" if self.0.permission.allows_any() => true,
            _ => return Err("must be an https URL"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user and no password");
        }
        let permits = |address: IpAddr| self.0.permission.permits(address, clear);
        match url.host() {
            None => Err("must have a host"),
            Some(Host::Ipv4(address)) if !permits(address.into()) => Err("must be of the public internet"),
            Some(Host::Ipv6(address)) if !permits(address.into()) => Err("must be of the public internet"),
            Some(_) => Ok(()),
        }
    }

    /// What the DNS says of a name now: nothing is kept between questions. An answer is one DNS message, so 64 KiB at most.
    pub async fn records(&self, name: &str, kind: RecordKind) -> Result<Vec<Record>, Unanswered> {
        self.ask(self.0.records.records(name, kind)).await
    }

    /// The addresses that a name has now; none where the DNS says that there are none.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unanswered> {
        let addresses = async {
            match self.0.records.addresses(name).await {
                Err(error) if error.is_no_records_found() => Ok(Vec::new()),
                other => other,
            }
        };
        self.ask(addresses).await
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, NetError>>) -> Result<T, Unanswered> {
        let asked = tokio::time::timeout(self.0.patience, async {
            let _turn = self.0.questions.acquire().await;
            question.await
        });
        let (outcome, answer) = match asked.await {
            Ok(Ok(answer)) => ("ok", Ok(answer)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the DNS answered with an error");
                ("failed", Err(Unanswered))
            }
            Err(_) => ("timed_out", Err(Unanswered)),
        };
        LOOKUPS.with_label_values(&[outcome]).inc();
        answer
    }
}

/// Ends a request in time, and counts it.
async fn bounded<T>(request: impl Future<Output = Result<T, Error>>, time: Duration) -> Result<T, Error> {
    let done = tokio::time::timeout(time, request).await.unwrap_or(Err(Error::TimedOut(time)));
    REQUESTS.with_label_values(&[done.as_ref().map_or_else(Error::kind, |_| "ok")]).inc();
    done
}

impl Inner {
    async fn send(&self, url: &str, outgoing: Outgoing<'_>) -> Result<Answered, Error> {
        let url = Url::parse(url).map_err(|_| Error::Url)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let (Some(host), false) = (url.host(), has_user) else { return Err(Error::Url) };
        let clear = match url.scheme() {
            "https" => false,
            "http" if outgoing.may_be_clear => true,
            _ => return Err(Error::Url),
        };
        let name = server_name(&host).ok_or(Error::Url)?;
        let mut request = Request::builder()
            .method(outgoing.method)
            .uri(&url[Position::BeforePath..Position::AfterQuery])
            .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
            .header(USER_AGENT, "Restante");
        for (name, value) in outgoing.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(outgoing.body)).map_err(|_| Error::Url)?;
        let socket = self.connect(&host, url.port_or_known_default().ok_or(Error::Url)?, clear).await?;
        if clear {
            return exchange(socket, request).await;
        }
        let stream = self.tls.connect(name, socket).await.map_err(Error::Tls)?;
        exchange(stream, request).await
    }

    /// Connects to the first address that accepts, of those that the host has now and that are permitted.
    /// In clear only what the operator allows is permitted.
    async fn connect(&self, host: &Host<&str>, port: u16, clear: bool) -> Result<TcpStream, Error> {
        let addresses = match *host {
            Host::Domain(name) => {
                self.names.addresses(name).await.map_err(|error| Error::NoAddress(Box::new(error)))?
            }
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
        };
        let (permitted, refused): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| self.permission.permits(*address, clear));
        let mut failed = match refused.first() {
            Some(address) => Error::Refused(*address),
            None => Error::Connect(io::ErrorKind::AddrNotAvailable.into()),
        };
        for address in permitted.into_iter().take(MAX_TRIED) {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            match tokio::time::timeout(CONNECT_PATIENCE, connecting).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => failed = Error::Connect(error),
                Err(_) => failed = Error::Connect(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(failed)
    }
}

/// One request over a connection of its own.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answered, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut requests, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(Error::Http)?;
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = requests.send_request(request).await.map_err(Error::Http)?;
    Ok((response, connection))
}

/// Whom the certificate must name.
fn server_name(host: &Host<&str>) -> Option<ServerName<'static>> {
    match *host {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(IpAddr::from(address))),
        Host::Ipv6(address) => Some(ServerName::from(IpAddr::from(address))),
    }
}

async fn read(mut body: Incoming, max_octets: usize) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(Error::Http)?.into_data() else { continue };
        if octets.len() + chunk.len() > max_octets {
            return Err(Error::TooLarge(max_octets));
        }
        octets.extend_from_slice(&chunk);
    }
    Ok(octets)
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Egress").field(&self.0.permission).finish()
    }
}

#[cfg(test)]
mod tests;
