//! APOP (RFC 1939 section 7): no SASL, but the same kind of proof.

use mail_types::Secret;
use subtle::ConstantTimeEq as _;

use crate::lookup::Waiting;
use crate::{Lookup, SaslError, cram_md5, digest, prep};

/// What a client answered.
#[derive(Debug)]
pub(crate) struct Answer {
    timestamp: String,
    digest: [u8; 16],
}

/// Takes the command's arguments. `timestamp` is what [`crate::Challenges::timestamp`] put in this session's greeting, its
/// angle brackets included.
///
/// # Errors
/// [`SaslError::Malformed`]: no 32 hexadecimal digits, or a name that is no UTF-8. [`SaslError::LoginName`].
pub fn apop(timestamp: &str, name: &[u8], digest: &[u8]) -> Result<Lookup, SaslError> {
    let name = std::str::from_utf8(name).map_err(|_| SaslError::Malformed)?;
    let digest = cram_md5::parse_digest(digest).ok_or(SaslError::Malformed)?;
    let answer = Answer { timestamp: timestamp.to_owned(), digest };
    Ok(Lookup::new(prep::login(name)?, Waiting::Apop(answer)))
}

impl Answer {
    pub(crate) fn proves(&self, secret: &Secret) -> bool {
        digest::md5(&[self.timestamp.as_bytes(), secret.expose()]).ct_eq(&self.digest).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1939 section 7.
    const TIMESTAMP: &str = "<1896.697170952@dbc.mtview.ca.us>";
    const DIGEST: &[u8] = b"c4c9334bac560ecc979e58001b3e22fb";

    #[test]
    fn the_digest_is_of_timestamp_and_secret() {
        assert_eq!(apop(TIMESTAMP, b"mrose", DIGEST).unwrap().login(), "mrose");
        let digest = cram_md5::parse_digest(DIGEST).unwrap();
        let answer = Answer { timestamp: TIMESTAMP.to_owned(), digest };
        assert!(answer.proves(&Secret::from("tanstaaf")));
        assert!(!answer.proves(&Secret::from("tanstaaF")));
    }

    #[test]
    fn arguments_have_a_form() {
        let error = |name: &[u8], digest: &[u8]| apop(TIMESTAMP, name, digest).err();
        assert_eq!(error(b"mrose", b"c4c9"), Some(SaslError::Malformed));
        assert_eq!(error(b"mrose", b"c4c9334bac560ecc979e58001b3e22fx"), Some(SaslError::Malformed));
        assert_eq!(error(b"\xff", DIGEST), Some(SaslError::Malformed));
        assert_eq!(error(b"", DIGEST), Some(SaslError::LoginName));
    }
}
