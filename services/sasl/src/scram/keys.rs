//! What is kept of a password for SCRAM (RFC 5802 section 3).

use std::num::NonZeroU32;

use mail_types::Secret;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::prep;

/// The hash that a SCRAM mechanism is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-1 (RFC 5802).
    Sha1,
}

impl ScramHash {
    /// Octets of its output.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }
}

/// StoredKey and ServerKey of one password, salt and iteration count. Who has them cannot log in, but can pretend to be the
/// server, and can try passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    stored: Secret,
    server: Secret,
}

impl ScramKeys {
    /// Makes them from a password. It takes as many HMACs as there are iterations: not for the reactor's threads.
    pub fn derive(hash: ScramHash, password: &Secret, salt: &[u8], iterations: NonZeroU32) -> Self {
        let prepared = prep::password(password);
        let mut salted = vec![0; hash.length()];
        match hash {
            ScramHash::Sha256 => pbkdf2_hmac::<Sha256>(prepared.expose(), salt, iterations.get(), &mut salted),
            ScramHash::Sha1 => pbkdf2_hmac::<Sha1>(prepared.expose(), salt, iterations.get(), &mut salted),
        }
        let salted = Secret::new(salted);
        let client = Secret::new(hash.hmac(salted.expose(), b"Client Key"));
        Self {
            stored: Secret::new(hash.digest(client.expose())),
            server: Secret::new(hash.hmac(salted.expose(), b"Server Key")),
        }
    }

    /// From `StoredKey | ServerKey`, as it is kept; nothing if the length is not that of the hash.
    pub fn parse(hash: ScramHash, octets: &[u8]) -> Option<Self> {
        let (stored, server) = octets.split_at_checked(hash.length())?;
        (server.len() == hash.length())
            .then(|| Self { stored: Secret::new(stored.to_vec()), server: Secret::new(server.to_vec()) })
    }

    /// `StoredKey | ServerKey`, as it is kept.
    pub fn to_octets(&self) -> Vec<u8> {
        [self.stored.expose(), self.server.expose()].concat()
    }

    /// Whether the client's proof shows that it knows the password; in constant time. Keys of another hash prove nothing.
    pub(crate) fn verify(&self, hash: ScramHash, auth_message: &[u8], proof: &[u8]) -> bool {
        let signature = hash.hmac(self.stored.expose(), auth_message);
        let client = signature.iter().zip(proof).map(|(signature, proof)| signature ^ proof).collect();
        let client = Secret::new(client);
        hash.digest(client.expose()).ct_eq(self.stored.expose()).into()
    }

    /// What shows the client that the server has the keys.
    pub(crate) fn server_signature(&self, hash: ScramHash, auth_message: &[u8]) -> Vec<u8> {
        hash.hmac(self.server.expose(), auth_message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_octets() {
        for hash in [ScramHash::Sha256, ScramHash::Sha1] {
            let keys = ScramKeys::derive(hash, &Secret::from("pencil"), b"salt", NonZeroU32::MIN);
            let octets = keys.to_octets();
            assert_eq!(octets.len(), 2 * hash.length());
            assert_eq!(ScramKeys::parse(hash, &octets).as_ref(), Some(&keys));
            assert_eq!(ScramKeys::parse(hash, octets.get(1..).unwrap()), None);
            assert_eq!(ScramKeys::parse(hash, &[]), None);
            assert!(!format!("{keys:?}").contains(char::is_numeric), "{keys:?}");
        }
    }

    #[test]
    fn a_password_is_prepared_before_it_is_hashed() {
        let derive =
            |password: &str| ScramKeys::derive(ScramHash::Sha256, &Secret::from(password), b"s", NonZeroU32::MIN);
        assert_eq!(derive("I\u{ad}X"), derive("IX"));
        assert_ne!(derive("ix"), derive("IX"));
    }
}
