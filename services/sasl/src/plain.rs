//! PLAIN (RFC 4616).

use mail_types::Secret;

use crate::{SaslError, prep};

/// What a client proves itself with in clear.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainCredentials {
    /// Whom the client wants to act as, prepared; empty for whoever it authenticates as.
    pub(crate) authzid: String,
    /// Whom it authenticates as, prepared. Never empty.
    pub(crate) authcid: String,
    /// The password as it was sent: see [`prep::spellings`]. Never empty.
    pub(crate) password: Secret,
}

impl PlainCredentials {
    /// Whether the client wants to act as somebody else than it authenticates as.
    pub(crate) fn acts_for_another(&self) -> bool {
        !self.authzid.is_empty() && self.authzid != self.authcid
    }
}

/// Parses `[authzid] NUL authcid NUL passwd`, the decoded octets (RFC 4616 section 2).
///
/// # Errors
/// [`SaslError::Malformed`]: not of this form, not UTF-8, or an empty name or password. [`SaslError::LoginName`].
pub(crate) fn parse(response: &[u8]) -> Result<PlainCredentials, SaslError> {
    let mut parts = response.split(|&octet| octet == 0);
    let (Some(authzid), Some(authcid), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    if authcid.is_empty() || password.is_empty() {
        return Err(SaslError::Malformed);
    }
    let name = |octets| std::str::from_utf8(octets).map_err(|_| SaslError::Malformed).and_then(prep::login);
    let authzid = if authzid.is_empty() { String::new() } else { name(authzid)? };
    Ok(PlainCredentials { authzid, authcid: name(authcid)?, password: Secret::new(password.to_vec()) })
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
        check(b"\0al\x07ice\0secret", None);
    }

    #[test]
    fn acting_for_another_is_seen() {
        let acts = |response| parse(response).map(|credentials| credentials.acts_for_another());
        assert_eq!(acts(b"\0alice\0secret"), Ok(false));
        assert_eq!(acts(b"alice\0alice\0secret"), Ok(false));
        assert_eq!(acts(b"bob\0alice\0secret"), Ok(true));
    }
}
