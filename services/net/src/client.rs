//! TLS as a client of a host that the operator names (never a tenant: that is [`crate::egress`]).

use std::{io, net::IpAddr, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
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
    /// There is nothing to verify a host by.
    #[error("TLS: this machine trusts no authorities, and none are named")]
    NoAuthorities,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// With the certificates of a PEM file: those of further authorities, and those of hosts themselves, which need no authority, name or
    /// date then (old servers have often signed their own).
    pub fn new(file: Option<&Path>) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut named = Vec::new();
        if let Some(path) = file {
            let wrong = |reason: String| ClientTlsError::File { path: path.display().to_string(), reason };
            named = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| wrong(error.to_string()))?;
            if named.is_empty() {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
            roots.add_parsable_certificates(named.iter().cloned());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let by_authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|_| ClientTlsError::NoAuthorities)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NamedOrTrusted { named, by_authority }))
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

/// Takes a host's certificate that was named itself; verifies all others as usual.
#[derive(Debug)]
struct NamedOrTrusted {
    named: Vec<CertificateDer<'static>>,
    by_authority: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for NamedOrTrusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.named.iter().any(|named| named == certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        self.by_authority.verify_server_cert(certificate, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::{ServerTls, self_signed};

    /// Whether a host with its own self-signed certificate is taken, with that file named.
    async fn taken(host: &str, file: Option<&Path>, of_server: &Path) -> bool {
        let tls = ServerTls::from_directory(of_server).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move { tls.accept(listener.accept().await.unwrap().0).await.is_ok() });
        let socket = TcpStream::connect(address).await.unwrap();
        let connected = ClientTls::new(file).unwrap().connect(host, socket).await.is_ok();
        let _ = accepting.await;
        connected
    }

    #[tokio::test]
    async fn a_certificate_is_trusted_by_an_authority_or_because_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let one = self_signed(&directory.path().join("1")).unwrap();
        let other = self_signed(&directory.path().join("2")).unwrap();
        let (named, another) = (one.join("cert.pem"), other.join("cert.pem"));
        assert!(taken("localhost", Some(&named), &one).await);
        assert!(taken("127.0.0.1", Some(&named), &one).await);
        assert!(taken("old.example", Some(&named), &one).await, "it is that very certificate");
        assert!(!taken("localhost", Some(&another), &one).await);
        assert!(ClientTls::new(Some(&one.join("key.pem"))).is_err());
        assert!(ClientTls::new(Some(&one.join("none.pem"))).is_err());
    }
}
