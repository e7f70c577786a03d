//! The one way out to addresses that tenants can choose. Whoever may choose an address must not reach, by us, what only we
//! reach: the database, the metadata of a cloud, other tenants' networks. So:
//!
//! - the host is resolved once, by the DNS alone; every address must be of the public internet, or be allowed by the operator;
//! - the connection goes to such an address, never to the name again, and through no proxy: what the name means a moment later
//!   does not matter;
//! - TLS always, with the certificate verified for the host of the URL by the authorities that the machine trusts;
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
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
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
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Position, Url};

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

/// `[egress]`: what tenants' choices may reach, besides the public internet and less than it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Networks that may be reached although they are private or refused. Default: none.
    pub allow: Vec<IpNet>,
    /// Networks that must not be reached although they look public: a cluster's own. Default: none.
    pub refuse: Vec<IpNet>,
}

/// `[dns]`: who says which addresses a name has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsSettings {
    /// A name server to ask in place of the machine's, `ADDRESS:PORT`. Default: none.
    pub resolver: Option<SocketAddr>,
}

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
    /// For metrics.
    const fn kind(&self) -> &'static str {
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
    tls: TlsConnector,
}

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
            names: Names::new(dns.resolver).map_err(Box::new)?,
            tls: TlsConnector::from(Arc::new(tls)),
        })))
    }

    /// The document at an https URL.
    pub async fn get(&self, url: &str, bounds: Bounds) -> Result<Vec<u8>, Error> {
        self.fetch(url, Ask::Document, bounds).await
    }

    /// What is answered to a form that is sent to an https URL, with an `Authorization` header if there is one.
    pub async fn post_form(
        &self,
        url: &str,
        authorization: Option<&str>,
        form: &str,
        bounds: Bounds,
    ) -> Result<Vec<u8>, Error> {
        self.fetch(url, Ask::Form { authorization, form }, bounds).await
    }

    async fn fetch(&self, url: &str, ask: Ask<'_>, bounds: Bounds) -> Result<Vec<u8>, Error> {
        let fetched = tokio::time::timeout(bounds.time, self.0.fetch(url, ask, bounds.octets)).await;
        let fetched = fetched.unwrap_or(Err(Error::TimedOut(bounds.time)));
        REQUESTS.with_label_values(&[fetched.as_ref().map_or_else(Error::kind, |_| "ok")]).inc();
        fetched
    }
}

/// What is asked of a URL.
enum Ask<'a> {
    Document,
    Form { authorization: Option<&'a str>, form: &'a str },
}

impl Inner {
    async fn fetch(&self, url: &str, ask: Ask<'_>, max_octets: usize) -> Result<Vec<u8>, Error> {
        let url = Url::parse(url).map_err(|_| Error::Url)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let (Some(host), "https", false) = (url.host(), url.scheme(), has_user) else { return Err(Error::Url) };
        let name = server_name(&host).ok_or(Error::Url)?;
        let socket = self.connect(&host, url.port().unwrap_or(443)).await?;
        let stream = self.tls.connect(name, socket).await.map_err(Error::Tls)?;
        let (mut requests, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(Error::Http)?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let (mut request, body) = match ask {
            Ask::Document => (Request::get(path), Bytes::new()),
            Ask::Form { authorization, form } => {
                let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                let request =
                    authorization.into_iter().fold(request, |request, value| request.header(AUTHORIZATION, value));
                (request, Bytes::copy_from_slice(form.as_bytes()))
            }
        };
        request = request.header(HOST, &url[Position::BeforeHost..Position::AfterPort]).header(USER_AGENT, "Restante");
        let request = request.body(Full::new(body)).map_err(|_| Error::Url)?;
        let response = requests.send_request(request).await.map_err(Error::Http)?;
        match response.status() {
            StatusCode::OK => read(response.into_body(), max_octets).await,
            other => Err(Error::Status(other.as_u16())),
        }
    }

    /// Connects to the first address that accepts, of those that the host has now and that are permitted.
    async fn connect(&self, host: &Host<&str>, port: u16) -> Result<TcpStream, Error> {
        let addresses = match *host {
            Host::Domain(name) => {
                self.names.addresses(name).await.map_err(|error| Error::NoAddress(Box::new(error)))?
            }
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
        };
        let (permitted, refused): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| self.permission.permits(*address));
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
