//! The hashes and keyed hashes that the mechanisms are built on.

use hmac::digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use md4::Md4;
use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;

use crate::ScramHash;

impl ScramHash {
    pub(crate) fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha1 => Sha1::digest(message).to_vec(),
        }
    }

    pub(crate) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, &[message]).finalize().into_bytes().to_vec(),
            Self::Sha1 => keyed::<Hmac<Sha1>>(key, &[message]).finalize().into_bytes().to_vec(),
        }
    }
}

pub(crate) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) fn md4(message: &[u8]) -> [u8; 16] {
    Md4::digest(message).into()
}

/// Over the parts, one after another.
pub(crate) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    keyed::<Hmac<Md5>>(key, parts).finalize().into_bytes().into()
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 section 2)")]
fn keyed<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}
