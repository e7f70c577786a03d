//! CRAM-MD5 (RFC 2195).

use mail_types::Secret;
use subtle::ConstantTimeEq as _;

use crate::lookup::Waiting;
use crate::{Lookup, SaslError, digest, prep};

/// The challenge was sent.
#[derive(Debug)]
pub(crate) struct Challenged(pub(crate) String);

/// What a client answered.
#[derive(Debug)]
pub(crate) struct Answer {
    challenge: String,
    digest: [u8; 16],
}

impl Challenged {
    /// `name SP digest`: the name may have spaces, the digest has none (RFC 2195 section 2).
    pub(crate) fn response(self, response: &[u8]) -> Result<Lookup, SaslError> {
        let text = std::str::from_utf8(response).map_err(|_| SaslError::Malformed)?;
        let (name, digest) = text.rsplit_once(' ').ok_or(SaslError::Malformed)?;
        let digest = parse_digest(digest.as_bytes()).ok_or(SaslError::Malformed)?;
        Ok(Lookup::new(prep::login(name)?, Waiting::CramMd5(Answer { challenge: self.0, digest })))
    }
}

impl Answer {
    pub(crate) fn proves(&self, secret: &Secret) -> bool {
        digest::hmac_md5(secret.expose(), &[self.challenge.as_bytes()]).ct_eq(&self.digest).into()
    }
}

/// 32 hexadecimal digits. Lower-case in the standards; some clients send capitals.
pub(crate) fn parse_digest(hex: &[u8]) -> Option<[u8; 16]> {
    let hex: &[u8; 32] = hex.try_into().ok()?;
    let mut digest = [0; 16];
    for (octet, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *octet = pair.iter().try_fold(0, |octet, &digit| Some(octet << 4 | nibble(digit)?))?;
    }
    Some(digest)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 2195 section 2.
    const CHALLENGE: &str = "<1896.697170952@postoffice.reston.mci.net>";

    fn challenged() -> Challenged {
        Challenged(CHALLENGE.to_owned())
    }

    #[test]
    fn the_digest_is_keyed_by_the_secret() {
        let lookup = challenged().response(b"tim b913a602c7eda7a495b4e6e7334d3890").unwrap();
        assert_eq!(lookup.login(), "tim");
        let digest = parse_digest(b"B913A602C7EDA7A495B4E6E7334D3890").unwrap();
        let answer = Answer { challenge: CHALLENGE.to_owned(), digest };
        assert!(answer.proves(&Secret::from("tanstaaftanstaaf")));
        assert!(!answer.proves(&Secret::from("tanstaaftanstaaF")));
    }

    #[test]
    fn a_response_is_a_name_and_a_digest() {
        let login = |response: &[u8]| challenged().response(response).map(|lookup| lookup.login().to_owned());
        assert_eq!(login(b"tim tom b913a602c7eda7a495b4e6e7334d3890"), Ok("tim tom".to_owned()));
        assert_eq!(login(b"tim"), Err(SaslError::Malformed));
        assert_eq!(login(b"tim b913a602c7eda7a495b4e6e7334d389"), Err(SaslError::Malformed));
        assert_eq!(login(b"tim g913a602c7eda7a495b4e6e7334d3890"), Err(SaslError::Malformed));
        assert_eq!(login(b" b913a602c7eda7a495b4e6e7334d3890"), Err(SaslError::LoginName));
        assert_eq!(login(b"\xff b913a602c7eda7a495b4e6e7334d3890"), Err(SaslError::Malformed));
        assert_eq!(login(b""), Err(SaslError::Malformed));
    }
}
