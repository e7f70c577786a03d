//! EXTERNAL (RFC 4422 appendix A): the client proved itself in the TLS handshake, by a certificate.

use crate::{SaslError, Step, prep};

/// `addresses` are those of the client's certificate; the response is empty, or says which of them the client wants to be.
pub(crate) fn response(addresses: &[String], response: &[u8]) -> Result<Step, SaslError> {
    if response.is_empty() {
        return match addresses {
            [only] => Ok(Step::Certificate { login: only.clone() }),
            [] => Ok(Step::Refused),
            _ => Err(SaslError::ChoiceMissing),
        };
    }
    let wanted = std::str::from_utf8(response).map_err(|_| SaslError::Malformed)?;
    let wanted = prep::login(wanted)?;
    let named = addresses.iter().find(|address| address.eq_ignore_ascii_case(&wanted));
    Ok(named.map_or(Step::Refused, |address| Step::Certificate { login: address.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &[&str], sent: &[u8], expected: Result<Option<&str>, SaslError>) {
        let addresses: Vec<_> = addresses.iter().map(|&address| address.to_owned()).collect();
        let login = response(&addresses, sent).map(|step| match step {
            Step::Certificate { login } => Some(login),
            _ => None,
        });
        assert_eq!(login, expected.map(|login| login.map(str::to_owned)));
    }

    #[test]
    fn the_certificate_says_who() {
        check(&["alice@acme.test"], b"", Ok(Some("alice@acme.test")));
        check(&["alice@acme.test"], b"Alice@ACME.test", Ok(Some("alice@acme.test")));
        check(&["alice@acme.test"], b"bob@acme.test", Ok(None));
        check(&["alice@acme.test", "info@acme.test"], b"info@acme.test", Ok(Some("info@acme.test")));
        check(&["alice@acme.test", "info@acme.test"], b"", Err(SaslError::ChoiceMissing));
        check(&["alice@acme.test"], b"\xff", Err(SaslError::Malformed));
        check(&["alice@acme.test"], b"a\0", Err(SaslError::LoginName));
        check(&[], b"", Ok(None));
    }
}
