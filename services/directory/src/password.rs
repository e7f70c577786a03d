//! Passwords of people: what may be set, and how it is kept.

use std::time::Duration;

use mail_types::{Secret, TenantId};
use sasl::prep;

use crate::network::Network;
use crate::scram::{Salt, StoredKeys};
use crate::{Directory, FieldError, Result, verifier};

/// The shortest password that may be set, in characters (NIST SP 800-63B section 5.1.1.2).
pub const MIN_CHARACTERS: usize = 8;
/// The longest, in octets.
pub const MAX_OCTETS: usize = 1024;

/// How long an administrator waits for a hash.
const PATIENCE: Duration = Duration::from_secs(10);

/// A password to be set.
#[derive(Debug, Clone)]
pub enum NewPassword {
    /// As its owner types it.
    Clear(Secret),
    /// As another server kept it, with its scheme's name: `{SHA512-CRYPT}`, `{BLF-CRYPT}`, `{SSHA}`, `{PBKDF2}`,
    /// `{ARGON2ID}`. The next login with it makes it our own.
    Hashed(Secret),
}

impl From<Secret> for NewPassword {
    fn from(password: Secret) -> Self {
        Self::Clear(password)
    }
}

/// What is kept of a password.
#[derive(Debug, Clone)]
pub(crate) struct KeptPassword {
    pub(crate) verifier: String,
    pub(crate) scram: Option<StoredKeys>,
}

/// Checks a password that is to be set; one that exists may be anything.
pub(crate) fn check_policy(password: &Secret) -> Result<(), FieldError> {
    let refuse = |code, detail: String| Err(FieldError::new("/password", code, detail));
    let Some(text) = password.expose_str() else {
        return refuse("invalid", "a password must be UTF-8 text".to_owned());
    };
    if text.chars().any(char::is_control) {
        return refuse("invalid", "a password must have no control characters".to_owned());
    }
    if text.chars().count() < MIN_CHARACTERS {
        return refuse("too_short", format!("a password must have at least {MIN_CHARACTERS} characters"));
    }
    if text.len() > MAX_OCTETS {
        return refuse("too_long", format!("a password must have at most {MAX_OCTETS} octets"));
    }
    Ok(())
}

impl Directory {
    /// What to keep of a new password, which was checked; with SCRAM's keys if there is a salt for them.
    pub(crate) async fn keep(&self, of: TenantId, password: &Secret, salt: Option<Salt>) -> Result<KeptPassword> {
        // As SCRAM's clients derive their keys from it, and as PLAIN's is tried first.
        let prepared = prep::password(password);
        let work = move || {
            let scram = salt.map(|salt| salt.keys(&prepared));
            Ok(KeptPassword { verifier: verifier::argon2id_of(&prepared)?, scram })
        };
        self.logins.hashes.run((Network::Local, Some(of)), PATIENCE, work).await
    }

    /// The keys of a secret that the server made.
    pub(crate) async fn scram_keys(&self, of: TenantId, secret: Secret, salt: Salt) -> Result<StoredKeys> {
        self.logins.hashes.run((Network::Local, Some(of)), PATIENCE, move || Ok(salt.keys(&secret))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_bounds_length_and_characters() {
        let code = |text: &str| check_policy(&Secret::from(text)).err().map(|error| error.code);
        assert_eq!(code("12345678"), None);
        assert_eq!(code("1234567"), Some("too_short"));
        assert_eq!(code("\u{e9}\u{e9}\u{e9}\u{e9}"), Some("too_short"), "characters count, not octets");
        assert_eq!(code(&"x".repeat(1024)), None);
        assert_eq!(code(&"x".repeat(1025)), Some("too_long"));
        assert_eq!(code("1234567\r\n8"), Some("invalid"));
        assert_eq!(check_policy(&Secret::new(vec![0xff; 9])).err().map(|error| error.code), Some("invalid"));
    }
}
