//! What a protocol may want to know of a connection under TLS.

use std::net::IpAddr;

use aws_lc_rs::digest::{self, Algorithm};
use rustls::{ProtocolVersion, ServerConnection, pki_types::CertificateDer};
use x509_parser::{extensions::GeneralName, oid_registry as oid, prelude::FromDer as _};

/// What is known of a connection under TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version: `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as it is registered.
    pub cipher_suite: &'static str,
    /// The name that the client asked for (SNI, RFC 6066 section 3), in lower case.
    pub server_name: Option<String>,
    /// The channel binding `tls-exporter` (RFC 9266). Only of TLS 1.3: of 1.2 it would need the extended master secret, of which
    /// rustls does not tell whether it was negotiated.
    pub exporter: Option<[u8; 32]>,
    /// The channel binding `tls-server-end-point` (RFC 5929 section 4.1).
    pub server_end_point: Option<Vec<u8>>,
    /// The client's certificate and what it sent with it (DER), if it has one; it holds the key. Nobody has looked at who issued
    /// it.
    pub client_certificates: Vec<Vec<u8>>,
}

impl TlsFacts {
    pub(super) fn new(connection: &ServerConnection, server_end_point: Option<&[u8]>) -> Self {
        let exporter = (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).ok())
            .flatten();
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLS",
            },
            cipher_suite: connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("?"),
            server_name: connection.server_name().map(str::to_ascii_lowercase),
            exporter,
            server_end_point: server_end_point.map(<[u8]>::to_vec),
            client_certificates: connection
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|one| one.to_vec())
                .collect(),
        }
    }
}

/// What clients compare a certificate with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    /// The DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// Until when, in seconds since 1970.
    pub expires_unix_seconds: u64,
}

/// Nothing of what is no certificate.
pub(super) fn certificate_names(certificate: &CertificateDer<'_>) -> Option<CertificateNames> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let four = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).map(|address| address.to_string()).ok()
        }
        _ => None,
    };
    Some(CertificateNames {
        names: alternative.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default(),
        expires_unix_seconds: u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0),
    })
}

/// The hash of a certificate with the hash of its own signature, but SHA-256 in place of MD5 and SHA-1 (RFC 5929 section 4.1).
/// Nothing for a signature without one hash function: then the binding is not defined.
pub(super) fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let signature = &parsed.signature_algorithm.algorithm;
    let is_any = |oids: &[oid::Oid<'static>]| oids.contains(signature);
    let algorithm: &Algorithm = if is_any(&[
        oid::OID_PKCS1_MD5WITHRSAENC,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
    ]) {
        &digest::SHA256
    } else if is_any(&[oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384]) {
        &digest::SHA384
    } else if is_any(&[oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512]) {
        &digest::SHA512
    } else {
        return None;
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the binding of a certificate that is signed so.
    fn octets(algorithm: &'static rcgen::SignatureAlgorithm) -> Option<usize> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        server_end_point(parameters.self_signed(&key).unwrap().der()).map(|hash| hash.len())
    }

    #[test]
    fn the_names_of_a_certificate() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["pop.acme.test".to_owned(), "*.example.test".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = rcgen::CertificateParams::new(names.clone()).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let found = certificate_names(parameters.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!((found.names.as_slice(), found.expires_unix_seconds), (names.as_slice(), 1_893_456_000));
        assert_eq!(certificate_names(&CertificateDer::from(vec![1, 2])), None);
    }

    #[test]
    fn the_certificate_is_hashed_as_it_is_signed() {
        assert_eq!(octets(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(octets(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(octets(&rcgen::PKCS_ED25519), None);
    }
}
