//! TLS as a client of a host that the operator names (never a tenant: that is [`crate::egress`]).

use std::{io, net::IpAddr, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a host may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Verifies hosts by the authorities that the machine trusts (or those in the file that `SSL_CERT_FILE` names), and by further ones.
#[derive(Clone)]
pub struct ClientTls(TlsConnector);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The file of further authorities.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// With the certificates of a PEM file as further authorities; a host's own certificate, if it signed itself, is one.
    pub fn new(authorities: Option<&Path>) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = authorities {
            let file = |reason: String| ClientTlsError::File { path: path.display().to_string(), reason };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| file(error.to_string()))?;
            let (added, _) = roots.add_parsable_certificates(certificates);
            if added == 0 {
                return Err(file("there is no certificate in it".to_owned()));
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Negotiates with `host`, a name or an address, whose certificate must be for it.
    pub async fn connect(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let name = match host.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(host.trim_end_matches('.').to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.0.connect(name, socket));
        let stream: TlsStream<TcpStream> =
            handshake.await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time"))??;
        Ok(stream)
    }
}
