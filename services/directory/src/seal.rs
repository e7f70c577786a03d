//! Secrets that the server has to know again, for mechanisms that need them: sealed with AES-256-GCM under a key derived from
//! the master key for their purpose, bound to what they are of.
//!
//! ```text
//! 1 octet version (1) | 1 octet length of the master key's id | id | 12 octets nonce | ciphertext | 16 octets tag
//! ```

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use mail_types::{AccountId, Random, Secret, TenantId};
use runtime::keys::MasterKeys;

use crate::{Error, Result};

const VERSION: u8 = 1;

/// What a sealed secret is for: each purpose has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A recoverable app password, of an account.
    LegacyAppPassword,
    /// What an administrator's one-time codes are made of.
    Totp,
    /// The private part of a key that signs access tokens, of its id.
    SigningKey,
    /// What proves us to a tenant's issuer.
    OidcClient,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::LegacyAppPassword => "restante/legacy-app-password/1",
            Self::Totp => "restante/totp/1",
            Self::SigningKey => "restante/signing-key/1",
            Self::OidcClient => "restante/oidc-client/1",
        }
    }
}

/// Seals a secret of an account.
pub(crate) fn seal(
    keys: &MasterKeys,
    random: &dyn Random,
    (tenant, account): (TenantId, AccountId),
    secret: &Secret,
) -> Result<Vec<u8>> {
    seal_for(keys, random, Purpose::LegacyAppPassword, &of_account(tenant, account), secret)
}

/// Opens it. Nothing if it is not one of this account's, or its master key is no longer configured.
pub(crate) fn open(keys: &MasterKeys, (tenant, account): (TenantId, AccountId), sealed: &[u8]) -> Option<Secret> {
    open_for(keys, Purpose::LegacyAppPassword, &of_account(tenant, account), sealed)
}

/// Seals a secret for a purpose, bound to what it is of.
pub(crate) fn seal_for(
    keys: &MasterKeys,
    random: &dyn Random,
    purpose: Purpose,
    of: &[u8],
    secret: &Secret,
) -> Result<Vec<u8>> {
    let (id, _) = keys.current();
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce);
    let mut octets = secret.expose().to_vec();
    key(&keys.derive(purpose.label()))?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(of), &mut octets)
        .map_err(|_| Error::Internal("sealing failed"))?;
    let length = u8::try_from(id.len()).map_err(|_| Error::Internal("a master key's id is too long"))?;
    Ok([&[VERSION, length], id.as_bytes(), &nonce, &octets].concat())
}

/// Opens it. Nothing if it was sealed for another purpose or as another's, or its master key is no longer configured.
pub(crate) fn open_for(keys: &MasterKeys, purpose: Purpose, of: &[u8], sealed: &[u8]) -> Option<Secret> {
    let (&[VERSION, length], rest) = sealed.split_first_chunk::<2>()? else { return None };
    let (id, rest) = rest.split_at_checked(usize::from(length))?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
    let derived = keys.derive_under(std::str::from_utf8(id).ok()?, purpose.label())?;
    let mut octets = rest.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = key(&derived).ok()?.open_in_place(nonce, Aad::from(of), &mut octets).ok()?;
    let length = opened.len();
    // Truncated, not copied: the one buffer is then wiped.
    octets.truncate(length);
    Some(Secret::new(octets))
}

/// The id of the master key that something is sealed under.
pub(crate) fn sealed_under(sealed: &[u8]) -> Option<&str> {
    let (&[VERSION, length], rest) = sealed.split_first_chunk::<2>()? else { return None };
    rest.get(..usize::from(length)).and_then(|id| std::str::from_utf8(id).ok())
}

fn key(octets: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, octets).map_err(|_| Error::Internal("aes key"))?;
    Ok(LessSafeKey::new(key))
}

fn of_account(tenant: TenantId, account: AccountId) -> [u8; 12] {
    let mut both = [0; 12];
    let (first, last) = both.split_at_mut(4);
    first.copy_from_slice(&tenant.0.to_be_bytes());
    last.copy_from_slice(&account.0.to_be_bytes());
    both
}

#[cfg(test)]
mod tests {
    use mail_types::SystemRandom;

    use super::*;

    #[test]
    fn a_secret_opens_for_its_account_only() {
        let keys = |text: &str| MasterKeys::parse(&Secret::from(text)).unwrap();
        let one = "one:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let two = "two:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let alice = (TenantId(1), AccountId(2));
        let secret = Secret::from("rst-0123456789");
        let sealed = seal(&keys(one), &SystemRandom, alice, &secret).unwrap();
        assert_ne!(sealed, seal(&keys(one), &SystemRandom, alice, &secret).unwrap());
        assert_eq!(open(&keys(one), alice, &sealed), Some(secret.clone()));
        assert_eq!(open(&keys(&format!("{two},{one}")), alice, &sealed), Some(secret), "an older key still opens");
        assert_eq!(open(&keys(two), alice, &sealed), None);
        assert_eq!(open(&keys(one), (TenantId(1), AccountId(3)), &sealed), None);
        assert_eq!(
            open_for(&keys(one), Purpose::Totp, &of_account(alice.0, alice.1), &sealed),
            None,
            "another purpose"
        );
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&keys(one), alice, &changed), None, "{at}");
            assert_eq!(open(&keys(one), alice, &sealed[..at]), None, "{at}");
        }
    }
}
