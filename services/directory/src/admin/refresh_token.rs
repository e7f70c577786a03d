//! Refresh tokens: `rsf-` and what names a sign-in and a generation of it, with a code of ours over both. Nothing of them is kept but
//! the generation that is in force, so that a token of an earlier one is known for what it is: used twice.
//!
//! ```text
//! base64url( 16 octets session | 8 octets generation | 32 octets HMAC-SHA-256 under a key derived from the master key )
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail_types::{Secret, SessionUuid};
use runtime::keys::MasterKeys;
use subtle::ConstantTimeEq as _;

use crate::{Result, token};

const PREFIX: &str = "rsf-";
const LABEL: &str = "restante/refresh-token/1";
const NAMED: usize = 24;

/// The token of a generation.
pub(super) fn make(keys: &MasterKeys, session: SessionUuid, generation: i64) -> Result<Secret> {
    let named = [session.as_u128().to_be_bytes().as_slice(), &generation.to_be_bytes()].concat();
    let code = token::hmac(&keys.derive(LABEL), &named)?;
    Ok(Secret::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([named.as_slice(), &code].concat()))))
}

/// What a token names, if we made it, under a master key that is still configured.
pub(super) fn read(keys: &MasterKeys, token: &Secret) -> Result<Option<(SessionUuid, i64)>> {
    let decoded = token.expose_str().and_then(|text| text.strip_prefix(PREFIX));
    let Some(octets) = decoded.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) else { return Ok(None) };
    let Some((named, code)) = octets.split_at_checked(NAMED) else { return Ok(None) };
    let mut is_ours = false;
    for id in keys.ids() {
        let Some(key) = keys.derive_under(id, LABEL) else { continue };
        is_ours |= bool::from(token::hmac(&key, named)?.as_slice().ct_eq(code));
    }
    let (Some((session, rest)), true) = (named.split_first_chunk::<16>(), is_ours) else { return Ok(None) };
    let generation = rest.first_chunk::<8>().map(|octets| i64::from_be_bytes(*octets));
    Ok(generation.map(|generation| (SessionUuid::from_u128(u128::from_be_bytes(*session)), generation)))
}

#[cfg(test)]
mod tests {
    use mail_types::SystemRandom;

    use super::*;

    #[test]
    fn only_what_was_made_is_read() {
        let keys = |text: &str| MasterKeys::parse(&Secret::from(text)).unwrap();
        let one = "one:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let two = "two:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let session = SessionUuid::new(&SystemRandom);
        let token = make(&keys(one), session, 7).unwrap();
        assert_eq!(read(&keys(one), &token).unwrap(), Some((session, 7)));
        assert_eq!(read(&keys(&format!("{two},{one}")), &token).unwrap(), Some((session, 7)), "an older key");
        assert_eq!(read(&keys(two), &token).unwrap(), None);
        let text = token.expose_str().unwrap();
        for at in 0..text.len() {
            // Two of the last character's bits count for nothing: the whole octets decide.
            let other = if text.as_bytes()[at] == b'A' { "E" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(read(&keys(one), &Secret::from(changed)).unwrap(), None, "{at}");
            assert_eq!(read(&keys(one), &Secret::from(&text[..at])).unwrap(), None, "{at}");
        }
    }
}
