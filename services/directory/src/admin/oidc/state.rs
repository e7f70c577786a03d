//! What a sign-in at an issuer remembers, without being kept: the request's `state` holds it, with a code of ours over it. What only the
//! issuer and we may know, the nonce and PKCE's verifier (RFC 7636), derive from it under keys of ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail_types::{Random, Secret, TenantSlug};
use runtime::keys::MasterKeys;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Result, token};

/// How long somebody may be at their issuer, in seconds.
pub(super) const PATIENCE_SECONDS: u64 = 600;

const STATE: &str = "restante/oidc-state/1";
const NONCE: &str = "restante/oidc-nonce/1";
const VERIFIER: &str = "restante/oidc-verifier/1";
const CODE: usize = 32;

/// A request to sign somebody in.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// 16 octets of chance, 8 of the second in which it is too late, then the tenant's slug, if it is one's.
    octets: Vec<u8>,
}

impl State {
    pub(super) fn new(random: &dyn Random, now_seconds: u64, of: Option<&TenantSlug>) -> Self {
        let until = (now_seconds + PATIENCE_SECONDS).to_be_bytes();
        let slug = of.map_or("", TenantSlug::as_str);
        Self { octets: [random.octets16().as_slice(), &until, slug.as_bytes()].concat() }
    }

    /// What the browser carries.
    pub(super) fn sealed(&self, keys: &MasterKeys) -> Result<String> {
        let code = token::hmac(&keys.derive(STATE), &self.octets)?;
        Ok(URL_SAFE_NO_PAD.encode([self.octets.as_slice(), &code].concat()))
    }

    /// From what the browser carries; nothing if it is not ours, or too late.
    pub(super) fn open(keys: &MasterKeys, text: &Secret, now_seconds: u64) -> Result<Option<Self>> {
        let octets =
            text.expose_str().filter(|text| text.len() <= 200).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let Some((octets, code)) =
            octets.as_deref().and_then(|octets| octets.split_at_checked(octets.len().checked_sub(CODE)?))
        else {
            return Ok(None);
        };
        let is_ours = bool::from(token::hmac(&keys.derive(STATE), octets)?.as_slice().ct_eq(code));
        let until =
            octets.get(16..24).and_then(|octets| octets.first_chunk::<8>()).map(|octets| u64::from_be_bytes(*octets));
        let holds = is_ours && until.is_some_and(|until| now_seconds < until);
        Ok(holds.then(|| Self { octets: octets.to_vec() }))
    }

    /// Whose issuer it is; `None`: the platform's.
    pub(super) fn tenant(&self) -> Option<&str> {
        let slug = self.octets.get(24..).and_then(|octets| std::str::from_utf8(octets).ok());
        slug.filter(|slug| !slug.is_empty())
    }

    pub(super) fn nonce(&self, keys: &MasterKeys) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(token::hmac(&keys.derive(NONCE), &self.octets)?))
    }

    pub(super) fn verifier(&self, keys: &MasterKeys) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(token::hmac(&keys.derive(VERIFIER), &self.octets)?))
    }

    /// PKCE's challenge, method S256.
    pub(super) fn challenge(&self, keys: &MasterKeys) -> Result<String> {
        Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(keys)?)))
    }
}

/// What is kept of a request that was answered, or of the code that answers it.
pub(super) fn hash(text: &Secret) -> Vec<u8> {
    Sha256::digest(text.expose()).to_vec()
}

#[cfg(test)]
mod tests {
    use mail_types::SystemRandom;

    use super::*;

    #[test]
    fn a_state_is_read_in_its_time_and_only_as_it_was_made() {
        let keys = |text: &str| MasterKeys::parse(&Secret::from(text)).unwrap();
        let one = keys("one:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let two = keys("two:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
        let acme = TenantSlug::parse("acme").unwrap();
        let made = State::new(&SystemRandom, 1000, Some(&acme));
        let text = made.sealed(&one).unwrap();
        let open = |keys: &MasterKeys, text: &str, now| State::open(keys, &Secret::from(text), now).unwrap();
        let opened = open(&one, &text, 1599).unwrap();
        assert_eq!(opened.tenant(), Some("acme"));
        assert_eq!(opened.nonce(&one).unwrap(), made.nonce(&one).unwrap());
        assert_ne!(opened.nonce(&one).unwrap(), opened.verifier(&one).unwrap());
        assert_eq!(opened.verifier(&one).unwrap().len(), 43, "RFC 7636 section 4.1");
        assert!(open(&one, &text, 1600).is_none() && open(&two, &text, 1000).is_none());
        for at in 0..text.len() - 1 {
            let other = if text.as_bytes()[at] == b'A' { "Q" } else { "A" };
            assert!(open(&one, &format!("{}{other}{}", &text[..at], &text[at + 1..]), 1000).is_none(), "{at}");
            assert!(open(&one, &text[..at], 1000).is_none(), "{at}");
        }
        let platform = State::new(&SystemRandom, 1000, None).sealed(&one).unwrap();
        assert_eq!(open(&one, &platform, 1000).unwrap().tenant(), None);
    }
}
