//! Passwords of people: argon2id, computed on threads of their own, a bounded number at a time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use mail_types::Secret;
use prometheus::{IntCounterVec, register_int_counter_vec};
use tokio::sync::Semaphore;

use crate::{Error, FieldError, Result};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static HASHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Password hashes computed, and those that found no place in time.";
    register_int_counter_vec!("restante_password_hashes_total", help, &["outcome"]).expect("a new metric")
});

/// The shortest password that may be set, in characters (NIST SP 800-63B section 5.1.1.2).
pub const MIN_CHARACTERS: usize = 8;
/// The longest, in octets.
pub const MAX_OCTETS: usize = 1024;

/// 19 MiB, two passes, one lane: the least that OWASP's cheat sheet names for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

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

/// Hashes and verifies, never more than a set number at once: each takes 19 MiB and tens of milliseconds of a core.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    permits: Arc<Semaphore>,
    patience: Duration,
}

impl Hasher {
    pub(crate) fn new(parallel: usize, patience: Duration) -> Self {
        Self { permits: Arc::new(Semaphore::new(parallel.max(1))), patience }
    }

    /// The PHC string of a new password.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String> {
        self.run(move || {
            let hash = argon2id()?.hash_password(password.expose()).map_err(|_| Error::Internal("argon2 failed"))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the secret is the one of this PHC string. A string that is none verifies nothing.
    pub(crate) async fn verify(&self, phc: String, secret: Secret) -> Result<bool> {
        self.run(move || {
            let Ok(hash) = PasswordHash::new(&phc) else {
                tracing::warn!("a credential's verifier is no PHC string: nothing verifies against it");
                return Ok(false);
            };
            Ok(argon2id()?.verify_password(secret.expose(), &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let permit = tokio::time::timeout(self.patience, Arc::clone(&self.permits).acquire_owned());
        let permit = permit
            .await
            .inspect_err(|_| HASHES.with_label_values(&["busy"]).inc())
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Internal("the semaphore is closed"))?;
        HASHES.with_label_values(&["computed"]).inc();
        // The permit goes with the work: a caller that gives up does not free its place while the hash is still computed.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Error::Internal("the hashing thread failed"))?
    }
}

fn argon2id() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Error::Internal("argon2 parameters"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher() -> Hasher {
        Hasher::new(1, Duration::from_secs(30))
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let phc = hasher().hash(Secret::from("correct horse")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(hasher().verify(phc.clone(), Secret::from("correct horse")).await.unwrap());
        assert!(!hasher().verify(phc, Secret::from("correct horsf")).await.unwrap());
        assert!(!hasher().verify("nonsense".to_owned(), Secret::from("x")).await.unwrap());
    }

    #[tokio::test]
    async fn who_waits_too_long_for_a_place_is_told_so() {
        let hasher = Hasher::new(1, Duration::from_millis(1));
        let _held = Arc::clone(&hasher.permits).acquire_owned().await.unwrap();
        assert!(matches!(hasher.hash(Secret::from("correct horse")).await, Err(Error::Busy)));
    }

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
