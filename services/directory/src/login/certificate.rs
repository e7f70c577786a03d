//! Client certificates: the TLS layer takes any whose key the client has; which authority is to be believed depends on the
//! tenant, so it is checked here, when the account is known. No revocation lists: a tenant revokes by changing its authority,
//! or lets certificates be short-lived.

use std::sync::Arc;
use std::time::Duration;

use mail_types::{Address, CredentialId};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{LoginOutcome, LookedUp, Refusal};
use crate::policy::ClientCa;
use crate::{RefusalReason, Result};

/// What a client showed in the TLS handshake, in DER. Only that it has the key is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The client's own.
    pub end_entity: Vec<u8>,
    /// What it sent with it.
    pub intermediates: Vec<Vec<u8>>,
}

/// The addresses that a certificate has as subject alternative names of the kind rfc822Name (RFC 5280 section 4.2.1.6), in
/// order. Not proved.
pub fn certificate_addresses(end_entity: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(end_entity) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(address) => Some((*address).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(address).collect()
}

impl LookedUp {
    /// The client showed a certificate: good if it names this account and an authority that the tenant trusts has issued it.
    ///
    /// # Errors
    /// Trouble of ours only.
    pub async fn certificate(self, certificate: &ClientCertificate) -> Result<LoginOutcome> {
        let now = Duration::from_millis(self.directory.clock.now().unix_ms());
        let is_good = match (&self.tenant_policy.client_ca, &self.address) {
            (Some(ca), Some(address)) => names(certificate, address) && has_issued(ca, certificate, now),
            _ => false,
        };
        if !is_good {
            self.witness.note(RefusalReason::CertificateRefused);
            return self.refused();
        }
        match self.accept_as(CredentialId(0), true, self.policy).await? {
            LoginOutcome::Refused(Refusal::WrongCredentials) => self.refused(),
            outcome => Ok(outcome),
        }
    }
}

fn names(certificate: &ClientCertificate, address: &Address) -> bool {
    certificate_addresses(&certificate.end_entity)
        .iter()
        .filter_map(|name| Address::parse(name).ok())
        // One with a subaddress would name another's account by its key.
        .any(|name| {
            !name.local.has_subaddress() && name.local.key() == address.local.key() && name.domain == address.domain
        })
}

fn has_issued(ca: &ClientCa, certificate: &ClientCertificate, now: Duration) -> bool {
    let Some(roots) = ca.roots() else { return false };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let Ok(verifier) = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return false;
    };
    let end_entity = CertificateDer::from(certificate.end_entity.as_slice());
    let intermediates: Vec<_> =
        certificate.intermediates.iter().map(|one| CertificateDer::from(one.as_slice())).collect();
    verifier.verify_client_cert(&end_entity, &intermediates, UnixTime::since_unix_epoch(now)).is_ok()
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    };

    use super::*;

    fn ca() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn issued(ca: &CertifiedIssuer<'static, KeyPair>, address: &str) -> ClientCertificate {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = vec![SanType::Rfc822Name(Ia5String::try_from(address).unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, ca).unwrap();
        ClientCertificate { end_entity: certificate.der().to_vec(), intermediates: Vec::new() }
    }

    #[test]
    fn a_certificate_is_its_authoritys_and_its_addresss() {
        let (ours, others) = (ca(), ca());
        let trusted = ClientCa { pem: ours.pem() };
        let certificate = issued(&ours, "Alice@acme.test");
        let now = Duration::from_secs(1_795_502_116);
        assert_eq!(certificate_addresses(&certificate.end_entity), ["Alice@acme.test"]);
        let address = |text| Address::parse(text).unwrap();
        assert!(names(&certificate, &address("alice@acme.test")) && !names(&certificate, &address("bob@acme.test")));
        assert!(!names(&issued(&ours, "alice+x@acme.test"), &address("alice@acme.test")));
        assert!(has_issued(&trusted, &certificate, now));
        assert!(!has_issued(&trusted, &issued(&others, "Alice@acme.test"), now));
        assert!(!has_issued(&trusted, &certificate, Duration::ZERO), "not valid yet");
        let garbage = ClientCertificate { end_entity: vec![0; 100], intermediates: Vec::new() };
        assert!(!has_issued(&trusted, &garbage, now) && certificate_addresses(&garbage.end_entity).is_empty());
    }
}
