//! Whom a tenant trusts to say who its people are: an issuer of tokens, a certification authority.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::FieldError;

/// The longest URL, audience or scope, in octets.
const MAX_TEXT: usize = 1000;
/// The longest bundle of certificates, in octets.
const MAX_PEM: usize = 32 * 1024;

/// Which claim of a token is the account's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClaim {
    /// `email`; refused where `email_verified` says no (OpenID Connect Core section 5.1).
    #[default]
    Email,
    /// `sub`, of issuers whose subjects are addresses.
    Sub,
    /// `preferred_username`, of issuers where people cannot choose it.
    PreferredUsername,
}

/// An issuer of tokens (RFC 9068; OpenID Connect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthIssuer {
    /// The claim `iss`, exactly.
    pub issuer: String,
    /// One of the claim `aud`, exactly.
    pub audience: String,
    /// Where its keys are (RFC 7517): an https URL.
    pub jwks_uri: String,
    /// Which claim is the address.
    #[serde(default)]
    pub address_claim: AddressClaim,
    /// A scope that the token must have (RFC 8693 section 4.2), if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl OauthIssuer {
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        let fields = [
            ("issuer", Some(&self.issuer)),
            ("audience", Some(&self.audience)),
            ("jwks_uri", Some(&self.jwks_uri)),
            ("scope", self.scope.as_ref()),
        ];
        for (name, text) in fields {
            let Some(text) = text else { continue };
            let pointer = format!("/policy/oauth/{name}");
            if text.is_empty() || text.len() > MAX_TEXT {
                errors.push(FieldError::new(pointer, "out_of_range", format!("must have 1 to {MAX_TEXT} octets")));
            } else if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
                errors.push(FieldError::new(pointer, "invalid", "must have neither spaces nor control characters"));
            } else if name != "audience" && name != "scope" && !text.starts_with("https://") {
                errors.push(FieldError::new(pointer, "invalid", "must be an https URL"));
            }
        }
    }

    /// Where the issuer describes itself (OpenID Connect Discovery section 4).
    pub(crate) fn configuration(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'))
    }
}

/// Certification authorities whose client certificates log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientCa {
    /// Their certificates (PEM).
    pub pem: String,
}

impl ClientCa {
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        let pointer = "/policy/client_ca";
        if self.pem.len() > MAX_PEM {
            errors.push(FieldError::new(pointer, "too_long", format!("must have at most {MAX_PEM} octets")));
        } else if self.roots().is_none() {
            errors.push(FieldError::new(pointer, "invalid", "must be one or more certificates in PEM"));
        }
    }

    /// The trust anchors; nothing if there is none, or one that cannot be read.
    pub(crate) fn roots(&self) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.pem.as_bytes()) {
            roots.add(certificate.ok()?).ok()?;
        }
        (!roots.is_empty()).then_some(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_has_urls() {
        let good = OauthIssuer {
            issuer: "https://id.acme.test/".to_owned(),
            audience: "mail".to_owned(),
            jwks_uri: "https://id.acme.test/keys".to_owned(),
            address_claim: AddressClaim::Email,
            scope: None,
        };
        let faults = |issuer: &OauthIssuer| {
            let mut errors = Vec::new();
            issuer.check(&mut errors);
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(faults(&good), [""; 0]);
        assert_eq!(good.configuration(), "https://id.acme.test/.well-known/openid-configuration");
        let bad = OauthIssuer {
            issuer: "http://id.acme.test".to_owned(),
            audience: String::new(),
            scope: Some("a b".to_owned()),
            ..good
        };
        assert_eq!(faults(&bad), ["/policy/oauth/issuer", "/policy/oauth/audience", "/policy/oauth/scope"]);
    }

    #[test]
    fn an_authority_has_certificates() {
        let signed = rcgen::generate_simple_self_signed(["ca.acme.test".to_owned()]).unwrap();
        assert_eq!(ClientCa { pem: signed.cert.pem() }.roots().map(|roots| roots.len()), Some(1));
        for pem in ["", "acme", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(ClientCa { pem: pem.to_owned() }.roots().is_none(), "{pem}");
        }
    }
}
