//! Secrets that the server makes: app passwords (`rst-…`), API keys (`rsk-…`) and those of webhooks (`rsw-…`). They are random enough that a fast hash
//! keeps them: an app password under a pepper derived from the master key, an API key as plain SHA-256.

use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::{Random, Secret};
use runtime::keys::MasterKeys;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Error, Result};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const PEPPER_LABEL: &str = "restante/app-password/1";

/// What app passwords begin with.
pub(crate) const APP_PASSWORD_PREFIX: &str = "rst-";
/// What API keys begin with.
pub(crate) const API_KEY_PREFIX: &str = "rsk-";
/// What secrets of webhooks begin with.
const WEBHOOK_PREFIX: &str = "rsw-";
const APP_PASSWORD_DIGITS: usize = 26;
const API_KEY_DIGITS: usize = 52;

/// A new app password: `rst-` and 130 random bits as 26 digits of Crockford's base32.
pub(crate) fn new_app_password(random: &dyn Random) -> Secret {
    Secret::from(new_token(APP_PASSWORD_PREFIX, APP_PASSWORD_DIGITS, random))
}

/// A new API key: `rsk-` and 260 random bits as 52 digits.
pub(crate) fn new_api_key(random: &dyn Random) -> Secret {
    Secret::from(new_token(API_KEY_PREFIX, API_KEY_DIGITS, random))
}

/// A new webhook's secret: `rsw-` and 260 random bits. The server signs with it, so it is kept sealed, not hashed.
pub(crate) fn new_webhook_secret(random: &dyn Random) -> Secret {
    Secret::from(new_token(WEBHOOK_PREFIX, API_KEY_DIGITS, random))
}

fn new_token(prefix: &str, digits: usize, random: &dyn Random) -> String {
    format!("{prefix}{}", self::digits(digits, random))
}

/// Random digits of Crockford's base32, five bits each.
pub(crate) fn digits(digits: usize, random: &dyn Random) -> String {
    let mut octets = vec![0; digits];
    random.fill(&mut octets);
    // Five bits of each octet: 256 is a multiple of 32, so every digit is as likely as any other.
    let digit = |octet: &u8| ALPHABET.get(usize::from(octet & 31)).copied().map(char::from);
    octets.iter().filter_map(digit).collect()
}

/// Whether a secret has the form of an app password. The form is public; nothing is learned from the test.
pub(crate) fn is_app_password(secret: &Secret) -> bool {
    has_form(secret, APP_PASSWORD_PREFIX, APP_PASSWORD_DIGITS)
}

/// Whether a bearer token has the form of an API key.
pub(crate) fn is_api_key(secret: &Secret) -> bool {
    has_form(secret, API_KEY_PREFIX, API_KEY_DIGITS)
}

fn has_form(secret: &Secret, prefix: &str, digits: usize) -> bool {
    let rest = secret.expose_str().and_then(|text| text.strip_prefix(prefix));
    rest.is_some_and(|rest| rest.len() == digits && rest.bytes().all(|octet| ALPHABET.contains(&octet)))
}

/// What is kept of an API key.
pub(crate) fn api_key_hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}

/// What is kept of an app password: `k<master key id>$<hex of the HMAC>`.
pub(crate) fn app_password_verifier(keys: &MasterKeys, secret: &Secret) -> Result<String> {
    let (id, _) = keys.current();
    let mac = hmac(&keys.derive(PEPPER_LABEL), secret.expose())?;
    Ok(format!("k{id}${}", hex(&mac)))
}

/// Whether the secret is the one of this verifier; in constant time. A verifier under a master key that is no longer
/// configured verifies nothing.
pub(crate) fn verify_app_password(keys: &MasterKeys, verifier: &str, secret: &Secret) -> Result<bool> {
    let Some((id, kept)) = verifier.strip_prefix('k').and_then(|rest| rest.split_once('$')) else { return Ok(false) };
    let Some(pepper) = keys.derive_under(id, PEPPER_LABEL) else {
        tracing::warn!(master_key_id = id, "an app password was made under a master key that is not configured");
        return Ok(false);
    };
    let mac = hmac(&pepper, secret.expose())?;
    Ok(hex(&mac).as_bytes().ct_eq(kept.as_bytes()).into())
}

/// Whether a verifier was made under the master key with this id.
pub(crate) fn is_under(verifier: &str, id: &str) -> bool {
    verifier.strip_prefix('k').and_then(|rest| rest.split_once('$')).is_some_and(|(made_under, _)| made_under == id)
}

/// HMAC-SHA256 (RFC 2104).
pub(crate) fn hmac(key: &[u8; 32], message: &[u8]) -> Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::Internal("hmac key"))?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

/// HMAC-SHA256 under a key of any length.
pub(crate) fn hmac_under(key: &[u8], parts: &[&[u8]]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::Internal("hmac key"))?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(hex(&mac.finalize().into_bytes()))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use mail_types::SystemRandom;

    use super::*;

    fn keys(text: &str) -> MasterKeys {
        MasterKeys::parse(&Secret::from(text)).unwrap()
    }

    const ONE: &str = "one:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const TWO_ONE: &str =
        "two:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,one:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn tokens_have_their_form() {
        let app = new_app_password(&SystemRandom);
        assert!(is_app_password(&app) && !is_api_key(&app));
        assert_eq!(app.expose().len(), 30);
        let key = new_api_key(&SystemRandom);
        assert!(is_api_key(&key) && !is_app_password(&key));
        assert_ne!(new_app_password(&SystemRandom), app);
        assert!(!is_app_password(&Secret::from("rst-ABCDEFGHJKMNPQRSTVWXYZ0123")), "capitals are not ours");
    }

    #[test]
    fn an_app_password_verifies_under_the_key_it_was_made_with() {
        let secret = new_app_password(&SystemRandom);
        let verifier = app_password_verifier(&keys(ONE), &secret).unwrap();
        assert!(verifier.starts_with("kone$") && verifier.len() == 69, "{verifier}");
        assert!(verify_app_password(&keys(ONE), &verifier, &secret).unwrap());
        assert!(!verify_app_password(&keys(ONE), &verifier, &new_app_password(&SystemRandom)).unwrap());
        assert!(verify_app_password(&keys(TWO_ONE), &verifier, &secret).unwrap(), "an older key still verifies");
        let only_two = TWO_ONE.split(',').next().unwrap();
        assert!(!verify_app_password(&keys(only_two), &verifier, &secret).unwrap());
        assert!(!verify_app_password(&keys(ONE), "nonsense", &secret).unwrap());
    }
}
