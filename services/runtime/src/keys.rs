//! Master keys: what wraps the tenants' keys and what every pepper derives from.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::Secret;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The operator's master keys, by id. The first of the list is current: what is new is made under it; the others still open
/// what was made under them.
#[derive(Clone)]
pub struct MasterKeys {
    current: MasterKey,
    others: Vec<MasterKey>,
}

#[derive(Clone)]
struct MasterKey {
    id: String,
    octets: Zeroizing<[u8; 32]>,
}

/// Why a list of master keys is refused; holds nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// There is none.
    #[error("there is no master key")]
    Missing,
    /// An entry is not `id:base64`.
    #[error("master key number {0} must be ID:BASE64, the ID 1 to 32 of a-z, 0-9, - and _")]
    Form(usize),
    /// A key is not 32 octets in base64.
    #[error("master key {0} must be base64 (standard alphabet, padded) of 32 octets")]
    Octets(String),
    /// Two keys have one id.
    #[error("there are two master keys with the id {0}")]
    Twice(String),
}

impl MasterKeys {
    /// Parses `id:base64` of 32 octets, or a comma list of them, of which the first is current.
    pub fn parse(text: &Secret) -> Result<Self, KeysError> {
        let text = text.expose_str().ok_or(KeysError::Form(1))?;
        if text.trim().is_empty() {
            return Err(KeysError::Missing);
        }
        let mut keys: Vec<MasterKey> = Vec::new();
        for (number, entry) in text.split(',').enumerate() {
            let key = MasterKey::parse(entry.trim(), number + 1)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeysError::Twice(key.id));
            }
            keys.push(key);
        }
        let others = keys.split_off(1);
        let current = keys.pop().ok_or(KeysError::Missing)?;
        Ok(Self { current, others })
    }

    /// The key that new things are made under, with its id.
    pub fn current(&self) -> (&str, &[u8; 32]) {
        (&self.current.id, &self.current.octets)
    }

    /// The key with this id.
    pub fn get(&self, id: &str) -> Option<&[u8; 32]> {
        self.all().find(|key| key.id == id).map(|key| &*key.octets)
    }

    /// The ids, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|key| key.id.as_str())
    }

    /// A key for one purpose: HMAC-SHA256 of the label under the current master key.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        self.current.derive(label)
    }

    /// [`MasterKeys::derive`] under the key with this id.
    pub fn derive_under(&self, id: &str, label: &str) -> Option<[u8; 32]> {
        self.all().find(|key| key.id == id).map(|key| key.derive(label))
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

/// The ids only.
impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl MasterKey {
    fn parse(entry: &str, number: usize) -> Result<Self, KeysError> {
        let (id, encoded) = entry.split_once(':').ok_or(KeysError::Form(number))?;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > 32 || !id.bytes().all(good) {
            return Err(KeysError::Form(number));
        }
        let wrong = || KeysError::Octets(id.to_owned());
        let decoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| wrong())?);
        let octets = <[u8; 32]>::try_from(decoded.as_slice()).map_err(|_| wrong())?;
        Ok(Self { id: id.to_owned(), octets: Zeroizing::new(octets) })
    }

    fn derive(&self, label: &str) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.octets.as_slice()).expect("any length is a key");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const B: &str = "b:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn parse(text: &str) -> Result<MasterKeys, KeysError> {
        MasterKeys::parse(&Secret::from(text))
    }

    #[test]
    fn the_first_key_is_current_and_the_others_are_found() {
        let keys = parse(&format!("{B}, {A}")).unwrap();
        assert_eq!(keys.current(), ("b", &[1; 32]));
        assert_eq!(keys.get("a"), Some(&[0; 32]));
        assert_eq!(keys.get("c"), None);
        assert_eq!(format!("{keys:?}"), r#"["b", "a"]"#);
        assert_eq!(Some(keys.derive("x")), keys.derive_under("b", "x"));
        assert_ne!(Some(keys.derive("x")), keys.derive_under("a", "x"));
        assert_ne!(keys.derive("x"), keys.derive("y"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        assert_eq!(parse("").unwrap_err(), KeysError::Missing);
        assert_eq!(parse("hunter2").unwrap_err(), KeysError::Form(1));
        assert_eq!(parse(&format!("{A},X:{}", &A[2..])).unwrap_err(), KeysError::Form(2));
        assert_eq!(parse("a:AAAA").unwrap_err(), KeysError::Octets("a".to_owned()));
        assert_eq!(parse("a:?").unwrap_err(), KeysError::Octets("a".to_owned()));
        assert_eq!(parse(&format!("{A},{A}")).unwrap_err(), KeysError::Twice("a".to_owned()));
    }
}
