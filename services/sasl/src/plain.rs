//! PLAIN (RFC 4616).

use mail_types::Secret;

use crate::SaslError;

/// What a client proves itself with in clear: by PLAIN, or by POP3's USER and PASS.
#[derive(Debug, PartialEq, Eq)]
pub struct PlainCredentials {
    /// Whom the client wants to act as; empty for whoever it authenticates as.
    pub authzid: String,
    /// Whom it authenticates as. Never empty.
    pub authcid: String,
    /// The password. Never empty.
    pub password: Secret,
}

impl PlainCredentials {
    /// Whether the client wants to act as somebody else than it authenticates as.
    pub fn acts_for_another(&self) -> bool {
        !self.authzid.is_empty() && self.authzid != self.authcid
    }
}

/// Parses `[authzid] NUL authcid NUL passwd`, the decoded octets (RFC 4616 section 2).
///
/// # Errors
/// [`SaslError::Malformed`]: not of this form, not UTF-8, or an empty name or password.
pub fn parse(response: &[u8]) -> Result<PlainCredentials, SaslError> {
    let mut parts = response.split(|&octet| octet == 0);
    let (Some(authzid), Some(authcid), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    if authcid.is_empty() || password.is_empty() {
        return Err(SaslError::Malformed);
    }
    let text = |octets: &[u8]| std::str::from_utf8(octets).map(str::to_owned).map_err(|_| SaslError::Malformed);
    Ok(PlainCredentials { authzid: text(authzid)?, authcid: text(authcid)?, password: Secret::new(password.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(response: &[u8], expected: Option<(&str, &str, &str)>) {
        let expected = expected.map(|(authzid, authcid, password)| PlainCredentials {
            authzid: authzid.to_owned(),
            authcid: authcid.to_owned(),
            password: Secret::from(password),
        });
        assert_eq!(parse(response).ok(), expected, "{}", response.escape_ascii());
    }

    #[test]
    fn a_response_has_three_parts() {
        check(b"\0alice\0secret", Some(("", "alice", "secret")));
        check(b"bob\0alice\0se cret", Some(("bob", "alice", "se cret")));
        check("\0j\u{f6}rg@acme.test\0\u{1f511}".as_bytes(), Some(("", "j\u{f6}rg@acme.test", "\u{1f511}")));
        check(b"", None);
        check(b"alice\0secret", None);
        check(b"\0\0secret", None);
        check(b"\0alice\0", None);
        check(b"\0alice\0secret\0", None);
        check(b"\0\xff\0secret", None);
    }

    #[test]
    fn acting_for_another_is_seen() {
        let acts = |response| parse(response).map(|credentials| credentials.acts_for_another());
        assert_eq!(acts(b"\0alice\0secret"), Ok(false));
        assert_eq!(acts(b"alice\0alice\0secret"), Ok(false));
        assert_eq!(acts(b"bob\0alice\0secret"), Ok(true));
    }
}
