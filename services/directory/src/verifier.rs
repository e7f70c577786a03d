//! What is kept of a password: argon2id of ours, or the hash that another server made of it, under its scheme's name, until
//! the next login with it: `$argon2id$…`, `{SHA512-CRYPT}$6$…`, `{BLF-CRYPT}$2y$…`, `{SSHA}…`, `{PBKDF2}$1$…`,
//! `{ARGON2ID}$argon2id$…`. Comparisons are in constant time.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_types::Secret;
use pbkdf2::pbkdf2_hmac;
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

use crate::{Error, FieldError, Result};

/// 19 MiB, two passes, one lane: the least that OWASP's cheat sheet names for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The longest hash that is taken over, in octets.
const MAX_HASH: usize = 512;
/// What a hash that is taken over may cost, at most: about a second.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ARGON2_WORK: u64 = 2 * 1024 * 1024;
const MAX_BCRYPT_COST: u32 = 14;
const MAX_CRYPT_ROUNDS: u32 = 500_000;
const MAX_PBKDF2_ROUNDS: u32 = 1_000_000;

/// Octets of SHA-1.
const SHA1: usize = 20;

/// The schemes whose hashes are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Argon2id,
    Sha512Crypt,
    BlfCrypt,
    Ssha,
    Pbkdf2,
}

impl Scheme {
    const ALL: [Self; 5] = [Self::Argon2id, Self::Sha512Crypt, Self::BlfCrypt, Self::Ssha, Self::Pbkdf2];

    const fn name(self) -> &'static str {
        match self {
            Self::Argon2id => "{ARGON2ID}",
            Self::Sha512Crypt => "{SHA512-CRYPT}",
            Self::BlfCrypt => "{BLF-CRYPT}",
            Self::Ssha => "{SSHA}",
            Self::Pbkdf2 => "{PBKDF2}",
        }
    }

    /// A verifier's scheme and the rest of it. One without a name is argon2id of ours.
    fn split(verifier: &str) -> Option<(Self, &str)> {
        if verifier.starts_with('$') {
            return Some((Self::Argon2id, verifier));
        }
        let named = |scheme: Self| {
            let (start, rest) = verifier.split_at_checked(scheme.name().len())?;
            start.eq_ignore_ascii_case(scheme.name()).then_some((scheme, rest))
        };
        Self::ALL.into_iter().find_map(named)
    }

    fn verify(self, hash: &str, secret: &[u8]) -> bool {
        match self {
            Self::Argon2id => argon2id_verifies(hash, secret),
            Self::Sha512Crypt => {
                let reference = sha_crypt::PasswordHashRef::new(hash).ok();
                let shape = crypt_rounds(hash).is_some();
                shape && reference.is_some_and(|hash| sha_crypt::ShaCrypt::SHA512.verify_password(secret, hash).is_ok())
            }
            // As every other implementation, it takes 72 octets and ends at a NUL: the hashes were made so.
            Self::BlfCrypt => bcrypt_cost(hash).is_some() && bcrypt::verify(secret, hash).unwrap_or(false),
            Self::Ssha => salted_sha1(hash).is_some_and(|(digest, salt)| {
                let computed = Sha1::new().chain_update(secret).chain_update(salt).finalize();
                computed.as_slice().ct_eq(&digest).into()
            }),
            Self::Pbkdf2 => pbkdf2_parts(hash).is_some_and(|(salt, rounds, digest)| {
                let mut computed = [0; SHA1];
                pbkdf2_hmac::<Sha1>(secret, salt.as_bytes(), rounds, &mut computed);
                computed.ct_eq(&digest).into()
            }),
        }
    }

    /// Whether it can be read, and costs no more than a login may.
    fn accepts(self, hash: &str) -> bool {
        match self {
            Self::Argon2id => argon2id_params(hash).is_some(),
            Self::Sha512Crypt => crypt_rounds(hash).is_some(),
            Self::BlfCrypt => bcrypt_cost(hash).is_some(),
            Self::Ssha => salted_sha1(hash).is_some(),
            Self::Pbkdf2 => pbkdf2_parts(hash).is_some(),
        }
    }
}

/// The verifier of a new password.
pub(crate) fn argon2id_of(secret: &Secret) -> Result<String> {
    let hash = ours()?.hash_password(secret.expose()).map_err(|_| Error::Internal("argon2 failed"))?;
    Ok(hash.to_string())
}

/// Whether the secret is the one of this verifier. One that cannot be read verifies nothing.
pub(crate) fn verify(verifier: &str, secret: &Secret) -> bool {
    let Some((scheme, hash)) = Scheme::split(verifier) else {
        tracing::warn!("a credential's verifier is of no known scheme: nothing verifies against it");
        return false;
    };
    scheme.verify(hash, secret.expose())
}

/// Whether a verifier is not what [`argon2id_of`] makes now: another scheme, or other parameters.
pub(crate) fn is_outdated(verifier: &str) -> bool {
    let is_ours = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES);
    !verifier.starts_with('$') || !argon2id_params(verifier).as_ref().is_some_and(is_ours)
}

/// The verifier of a password that another server hashed.
///
/// # Errors
/// What is wrong with it: no known scheme, not of its form, too costly.
pub(crate) fn import(hash: &Secret) -> Result<String, FieldError> {
    let refuse = |detail: &str| Err(FieldError::new("/hash", "invalid", detail));
    let Some(text) = hash.expose_str().filter(|text| text.len() <= MAX_HASH) else {
        return refuse("must be text of at most 512 octets");
    };
    let named = text.starts_with('{').then(|| Scheme::split(text)).flatten();
    let Some((scheme, rest)) = named else {
        return refuse("must begin with {SHA512-CRYPT}, {BLF-CRYPT}, {SSHA}, {PBKDF2} or {ARGON2ID}");
    };
    if !scheme.accepts(rest) {
        return refuse("is not a hash of its scheme, or one that takes too long to verify");
    }
    Ok(format!("{}{rest}", scheme.name()))
}

fn ours() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Error::Internal("argon2 parameters"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The parameters of an argon2id PHC string, within bounds.
fn argon2id_params(hash: &str) -> Option<Params> {
    let hash = PasswordHash::new(hash).ok().filter(|hash| hash.algorithm.as_str() == "argon2id")?;
    let params = Params::try_from(&hash).ok()?;
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    (params.m_cost() <= MAX_MEMORY_KIB && work <= MAX_ARGON2_WORK).then_some(params)
}

fn argon2id_verifies(hash: &str, secret: &[u8]) -> bool {
    let (Some(_), Ok(parsed)) = (argon2id_params(hash), PasswordHash::new(hash)) else { return false };
    // The parameters are the hash's own.
    Argon2::default().verify_password(secret, &parsed).is_ok()
}

/// The rounds of `$6$rounds=N$salt$hash` or `$6$salt$hash`, within bounds.
fn crypt_rounds(hash: &str) -> Option<u32> {
    let fields = hash.strip_prefix("$6$")?;
    let (rounds, rest) = match fields.strip_prefix("rounds=") {
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$')?;
            (rounds.parse().ok()?, rest)
        }
        None => (5000, fields),
    };
    let (salt, digest) = rest.split_once('$')?;
    let shape = salt.len() <= 16 && digest.len() == 86;
    (shape && (1000..=MAX_CRYPT_ROUNDS).contains(&rounds)).then_some(rounds)
}

/// The cost of `$2y$NN$…`, within bounds.
fn bcrypt_cost(hash: &str) -> Option<u32> {
    let parts: bcrypt::HashParts = hash.parse().ok()?;
    // 2x marks hashes of an implementation with a fault that this one does not have.
    (!hash.starts_with("$2x") && parts.get_cost() <= MAX_BCRYPT_COST).then(|| parts.get_cost())
}

/// Digest and salt of base64 of both, one after the other.
fn salted_sha1(hash: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut digest = STANDARD.decode(hash).ok()?;
    let salt = (digest.len() > SHA1).then(|| digest.split_off(SHA1))?;
    Some((digest, salt))
}

/// Salt, rounds and digest of `$1$salt$rounds$hex`: PBKDF2 with HMAC-SHA-1, as Dovecot writes it.
fn pbkdf2_parts(hash: &str) -> Option<(&str, u32, [u8; SHA1])> {
    let mut fields = hash.strip_prefix("$1$")?.split('$');
    let (salt, rounds, hex) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?);
    if fields.next().is_some() || salt.is_empty() || !(1..=MAX_PBKDF2_ROUNDS).contains(&rounds) {
        return None;
    }
    let mut digest = [0; SHA1];
    if hex.len() != 2 * SHA1 {
        return None;
    }
    for (at, octet) in digest.iter_mut().enumerate() {
        *octet = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((salt, rounds, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "correct horse": by `doveadm pw`, and the second by crypt(3).
    const OTHERS: [&str; 6] = [
        "{SHA512-CRYPT}$6$Yy.8paLGGUoYr8G8$2ydSPzfVTX45bG/GE5zKshvlnzpVmOcfiKUwGrPl1wkCuGcC0THmgpMApxHXMTo4f/3iq2YtrxtQ1ynj5zqbs/",
        "{SHA512-CRYPT}$6$rounds=20000$saltysalt$3JLXXjIWxNVNzZSPBbwzl4eOWwyIAkJJF4knHAD25c4mnbIclBXNwiDtEmyJOlj139Und2bfWQV0II6R6QqEU.",
        "{BLF-CRYPT}$2y$05$GOkeZ5FcEnvCOIiuZVNiZuMHziwFr5FdLfah/MXrdnGCk2CDG13Xq",
        "{SSHA}11HOqKcACeLy7xxeFJPOfoprDVSMMykT",
        "{PBKDF2}$1$KXNohpuOPYUp3tC9$5000$eda3ddfe8c59765b85a69f141db422934a5dda8b",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$XZ+pH1kqfDt7wPUmSiBoBg$UbJI/p8k1RQiZK8Glh9f65o3aL28/IZwXijbCErLMrs",
    ];

    #[test]
    fn a_hash_verifies_its_password_only() {
        let phc = argon2id_of(&Secret::from("correct horse")).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(&phc, &Secret::from("correct horse")) && !is_outdated(&phc));
        assert!(!verify(&phc, &Secret::from("correct horsf")));
        assert!(!verify("nonsense", &Secret::from("x")) && is_outdated("nonsense"));
    }

    #[test]
    fn hashes_of_other_servers_verify() {
        for hash in OTHERS {
            let verifier = import(&Secret::from(hash)).expect(hash);
            assert!(verify(&verifier, &Secret::from("correct horse")), "{hash}");
            assert!(!verify(&verifier, &Secret::from("correct horsf")), "{hash}");
            assert!(!verify(&verifier, &Secret::from("")), "{hash}");
            assert!(is_outdated(&verifier), "{hash}");
        }
        // The examples of the specification of SHA-crypt.
        let examples = [
            (
                "Hello world!",
                "{sha512-crypt}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
            (
                "Hello world!",
                "{SHA512-CRYPT}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
            ),
        ];
        for (password, hash) in examples {
            assert!(verify(&import(&Secret::from(hash)).unwrap(), &Secret::from(password)), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_or_too_costly_is_refused() {
        let bcrypt_too_costly = OTHERS[2].replacen("$05$", "$15$", 1);
        for hash in [
            "",
            "correct horse",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "{PLAIN}correct horse",
            "{SHA512-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
            "{SHA512-CRYPT}$6$rounds=999999999$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "{SSHA}AAAA",
            "{PBKDF2}$1$salt$9999999$0000000000000000000000000000000000000000",
            "{PBKDF2}$1$salt$1000$00",
            "{ARGON2ID}$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            "{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=4$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            &bcrypt_too_costly,
            "{BLF-CRYPT}\u{fc}",
        ] {
            assert!(import(&Secret::from(hash)).is_err(), "{hash}");
        }
    }
}
