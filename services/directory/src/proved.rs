//! What this process has verified lately, so that a mail client that polls every minute costs one argon2 an hour: secrets that
//! were right, and secrets that were wrong. Nothing is kept of a secret but a hash under a key that this process made and that
//! dies with it. The verifier is part of what is hashed: with another verifier (a new password, a rehash) nothing is known.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::{CredentialId, Random, Secret};
use prometheus::{IntCounterVec, register_int_counter_vec};
use sha2::Sha256;
use zeroize::Zeroizing;

use std::sync::LazyLock;

use crate::memory::Memory;
use crate::{Error, Result};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static LOOKED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help =
        "Passwords that were looked for among those verified lately: known to be right, known to be wrong, unknown.";
    register_int_counter_vec!("restante_password_cache_total", help, &["result"]).expect("a new metric")
});

/// A keyed hash of who and what.
pub(crate) type Fingerprint = [u8; 32];

/// The memory of verified secrets.
#[derive(Debug)]
pub(crate) struct Proved {
    key: ProcessKey,
    right: Memory<Fingerprint, ()>,
    wrong: Memory<Fingerprint, ()>,
}

/// The key of the process.
struct ProcessKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for ProcessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Proved {
    pub(crate) fn new(random: &dyn Random, most: usize, right_for: Duration, wrong_for: Duration) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(key.as_mut_slice());
        Self { key: ProcessKey(key), right: Memory::new(most, right_for), wrong: Memory::new(most, wrong_for) }
    }

    /// Of a secret for one credential with this verifier.
    pub(crate) fn of_credential(&self, id: CredentialId, verifier: &str, secret: &Secret) -> Result<Fingerprint> {
        self.fingerprint(&[b"credential", &id.0.to_be_bytes(), verifier.as_bytes(), secret.expose()])
    }

    /// A hash of these parts under the key of the process; each with its length, so that no two lists are alike.
    pub(crate) fn fingerprint(&self, parts: &[&[u8]]) -> Result<Fingerprint> {
        let mac = Hmac::<Sha256>::new_from_slice(self.key.0.as_slice());
        let mut mac = mac.map_err(|_| Error::Internal("hmac key"))?;
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Ok(mac.finalize().into_bytes().into())
    }

    /// Whether the secret is known to be right or wrong.
    pub(crate) fn is_right(&self, fingerprint: &Fingerprint, now: Instant) -> Option<bool> {
        let known = if self.right.contains(fingerprint, now) {
            Some(true)
        } else if self.wrong.contains(fingerprint, now) {
            Some(false)
        } else {
            None
        };
        let result = match known {
            Some(true) => "right",
            Some(false) => "wrong",
            None => "unknown",
        };
        LOOKED.with_label_values(&[result]).inc();
        known
    }

    /// Remembers what was found. What is right is forgotten a while after it was verified, not after it was last used.
    pub(crate) fn learn(&self, fingerprint: Fingerprint, right: bool, now: Instant) {
        let memory = if right { &self.right } else { &self.wrong };
        memory.put(fingerprint, (), now);
    }
}

#[cfg(test)]
mod tests {
    use mail_types::{Clock as _, SystemClock, SystemRandom};

    use super::*;

    #[test]
    fn a_secret_is_known_for_its_verifier_and_its_time() {
        let proved = Proved::new(&SystemRandom, 10, Duration::from_secs(10), Duration::from_secs(5));
        let of =
            |id, verifier, secret| proved.of_credential(CredentialId(id), verifier, &Secret::from(secret)).unwrap();
        let start = SystemClock.monotonic();
        proved.learn(of(1, "hash", "right"), true, start);
        proved.learn(of(1, "hash", "wrong"), false, start);
        assert_eq!(proved.is_right(&of(1, "hash", "right"), start), Some(true));
        assert_eq!(proved.is_right(&of(1, "hash", "wrong"), start), Some(false));
        for other in [of(2, "hash", "right"), of(1, "other", "right"), of(1, "hashr", "ight")] {
            assert_eq!(proved.is_right(&other, start), None);
        }
        let later = start + Duration::from_secs(5);
        assert_eq!(proved.is_right(&of(1, "hash", "wrong"), later), None);
        assert_eq!(proved.is_right(&of(1, "hash", "right"), later), Some(true));
        assert_eq!(proved.is_right(&of(1, "hash", "right"), start + Duration::from_secs(10)), None);
        let other_process = Proved::new(&SystemRandom, 10, Duration::from_secs(10), Duration::from_secs(5));
        let elsewhere = other_process.of_credential(CredentialId(1), "hash", &Secret::from("right")).unwrap();
        assert_ne!(elsewhere, of(1, "hash", "right"));
        assert!(!format!("{proved:?}").contains("ProcessKey"));
    }
}
