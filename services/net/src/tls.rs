//! TLS as the server: 1.2 and 1.3, by rustls with aws-lc-rs, one certificate for all names, also for clients that send none
//! (old POP3 clients); and what a protocol may want to know of a connection afterwards ([`TlsFacts`]).

mod client;
mod facts;

use std::{
    fmt, fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub use facts::{CertificateNames, TlsFacts};

use crate::Stream;

/// How long a peer may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a listener needs for TLS. Clones share one configuration and its session cache.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    /// The hash of our certificate (RFC 5929 section 4.1).
    server_end_point: Option<Arc<[u8]>>,
    /// What our certificate is for.
    names: Option<Arc<CertificateNames>>,
    /// Where certificate and key are.
    files: Arc<(PathBuf, PathBuf)>,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientCertificates {
    NotAsked,
    Asked,
}

/// Why a certificate cannot be used; the text names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate and the key do not go together, or are of no use to TLS.
    #[error("{certificate} with {key}: {reason}")]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No certificate could be made.
    #[error("a self-signed certificate cannot be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

impl ServerTls {
    /// From a certificate chain and its key, in PEM; clients are not asked for theirs.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::from_files_with(certificate, key, ClientCertificates::NotAsked)
    }

    /// The same certificate for a listener that asks clients for theirs, which they need not have. TLS makes sure that a client has
    /// its certificate's key; whom the certificate is from is for the protocol to decide, by
    /// [`TlsFacts::client_certificates`]. Reads the files again.
    pub fn asking_clients(&self) -> Result<Self, TlsError> {
        Self::from_files_with(&self.files.0, &self.files.1, ClientCertificates::Asked)
    }

    fn from_files_with(certificate: &Path, key: &Path, clients: ClientCertificates) -> Result<Self, TlsError> {
        let file = |path: &Path, reason: String| TlsError::File { path: path.to_owned(), reason };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| file(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(file(certificate, "there is no certificate in it".to_owned()));
        }
        let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error.to_string()))?;
        let pair = |error: rustls::Error| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            reason: error.to_string(),
        };
        let server_end_point = chain.first().and_then(facts::server_end_point).map(Arc::from);
        let names = chain.first().and_then(facts::certificate_names).map(Arc::new);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let builder = match clients {
            ClientCertificates::NotAsked => builder.with_no_client_auth(),
            ClientCertificates::Asked => builder.with_client_cert_verifier(Arc::new(client::KeyHolder::new(provider))),
        };
        let mut config = builder.with_single_cert(chain, private_key).map_err(pair)?;
        // Resumption without memory for each session: mail clients come back every few minutes.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(pair)?;
        let files = Arc::new((certificate.to_owned(), key.to_owned()));
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), server_end_point, names, files })
    }

    /// From `cert.pem` and `key.pem` in a directory; clients are not asked for theirs.
    pub fn from_directory(directory: &Path) -> Result<Self, TlsError> {
        Self::from_files(&directory.join("cert.pem"), &directory.join("key.pem"))
    }

    /// What the certificate that is shown is for.
    pub fn certificate_names(&self) -> Option<&CertificateNames> {
        self.names.as_deref()
    }

    /// What is known of a connection that this has accepted; nothing of one without TLS.
    pub fn facts(&self, stream: &Stream) -> Option<TlsFacts> {
        match stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Some(TlsFacts::new(stream.get_ref().1, self.server_end_point.as_deref())),
        }
    }

    /// Negotiates, within [`HANDSHAKE_TIMEOUT`].
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: S) -> io::Result<TlsStream<S>> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(socket))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time"))?
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Makes a self-signed certificate for localhost, 127.0.0.1 and ::1 in `DIR/tls/cert.pem` and its key in `DIR/tls/key.pem`
/// (mode 0600), unless both are there, and returns `DIR/tls`.
pub fn self_signed(directory: &Path) -> Result<PathBuf, TlsError> {
    let directory = directory.join("tls");
    let (certificate_file, key_file) = (directory.join("cert.pem"), directory.join("key.pem"));
    if certificate_file.exists() && key_file.exists() {
        return Ok(directory);
    }
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "localhost");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let write = |path: &Path, text: String, mode: u32| {
        let written = || {
            let mut options = fs::OpenOptions::new();
            // A file left of an earlier attempt keeps its mode: so it is removed first.
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            io::Write::write_all(&mut options.write(true).create_new(true).mode(mode).open(path)?, text.as_bytes())
        };
        written().map_err(|error| TlsError::File { path: path.to_owned(), reason: error.to_string() })
    };
    fs::create_dir_all(&directory)
        .map_err(|error| TlsError::File { path: directory.clone(), reason: error.to_string() })?;
    write(&key_file, key.serialize_pem(), 0o600)?;
    write(&certificate_file, certificate.pem(), 0o644)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_self_signed_certificate_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let tls = self_signed(directory.path()).unwrap();
        let first = fs::read(tls.join("cert.pem")).unwrap();
        assert_eq!(fs::metadata(tls.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(self_signed(directory.path()).unwrap(), tls);
        assert_eq!(fs::read(tls.join("cert.pem")).unwrap(), first);
        ServerTls::from_directory(&tls).unwrap();
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) =
            (self_signed(&directory.path().join("1")).unwrap(), self_signed(&directory.path().join("2")).unwrap());
        let error = ServerTls::from_files(&one.join("cert.pem"), &other.join("key.pem")).unwrap_err();
        assert!(matches!(error, TlsError::Pair { .. }), "{error}");
        let error = ServerTls::from_files(&one.join("key.pem"), &one.join("key.pem")).unwrap_err().to_string();
        assert!(error.contains("key.pem"), "{error}");
        let error = ServerTls::from_files(&one.join("none.pem"), &one.join("key.pem")).unwrap_err().to_string();
        assert!(error.contains("none.pem"), "{error}");
    }
}
