//! An exchange of challenges and responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_types::Secret;

use crate::plain;
use crate::{Mechanism, PlainCredentials};

/// Why an exchange ended without credentials. The text is fit for the client; it never repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client sent `*`.
    #[error("authentication cancelled")]
    Cancelled,
    /// Not base64.
    #[error("the response is not valid base64")]
    NotBase64,
    /// Base64 of something that the mechanism does not know.
    #[error("the response does not have the form of the mechanism")]
    Malformed,
}

/// What to do now.
#[derive(Debug)]
#[must_use = "a step that is not followed leaves the client without an answer"]
pub enum Step {
    /// Send this challenge (base64, possibly empty) and go on with the client's response.
    Challenge(Exchange, String),
    /// Check these.
    Credentials(PlainCredentials),
}

/// An exchange that waits for a response of the client.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    /// PLAIN asks with an empty challenge; the response is all there is.
    Plain,
}

impl Exchange {
    /// Begins, with the client's initial response (base64 text, or `=` for an empty one) if it sent any.
    ///
    /// # Errors
    /// When that response ends the exchange.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> Result<Step, SaslError> {
        let exchange = match mechanism {
            Mechanism::Plain => Self(State::Plain),
        };
        match initial {
            None => Ok(Step::Challenge(exchange, String::new())),
            // RFC 5034 section 4: a single "=" stands for an initial response of no octets.
            Some(b"=") => exchange.response(b""),
            Some(response) => exchange.response(decode(response)?.expose()),
        }
    }

    /// Goes on with a response line of the client (base64 text; `*` cancels).
    ///
    /// # Errors
    /// When that response ends the exchange.
    pub fn respond(self, line: &[u8]) -> Result<Step, SaslError> {
        if line == b"*" {
            return Err(SaslError::Cancelled);
        }
        self.response(decode(line)?.expose())
    }

    fn response(self, response: &[u8]) -> Result<Step, SaslError> {
        match self.0 {
            State::Plain => Ok(Step::Credentials(plain::parse(response)?)),
        }
    }
}

/// As a [`Secret`], so that it is wiped when dropped: there is a password in it.
fn decode(text: &[u8]) -> Result<Secret, SaslError> {
    STANDARD.decode(text).map(Secret::new).map_err(|_| SaslError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// base64 of NUL alice NUL secret
    const ALICE: &[u8] = b"AGFsaWNlAHNlY3JldA==";

    fn alice() -> PlainCredentials {
        PlainCredentials { authzid: String::new(), authcid: "alice".to_owned(), password: Secret::from("secret") }
    }

    #[test]
    fn plain_in_one_line() {
        assert!(matches!(Exchange::begin(Mechanism::Plain, Some(ALICE)), Ok(Step::Credentials(c)) if c == alice()));
    }

    #[test]
    fn plain_in_two_lines() {
        let Ok(Step::Challenge(exchange, challenge)) = Exchange::begin(Mechanism::Plain, None) else {
            panic!("no challenge")
        };
        assert_eq!(challenge, "");
        assert!(matches!(exchange.respond(ALICE), Ok(Step::Credentials(c)) if c == alice()));
    }

    #[track_caller]
    fn check_response(line: &[u8], expected: SaslError) {
        let Ok(Step::Challenge(exchange, _)) = Exchange::begin(Mechanism::Plain, None) else { panic!("no challenge") };
        assert_eq!(exchange.respond(line).err(), Some(expected));
    }

    #[test]
    fn bad_responses_end_the_exchange() {
        check_response(b"*", SaslError::Cancelled);
        check_response(b"***", SaslError::NotBase64);
        check_response(b"AGFsaWNlAHNlY3JldA", SaslError::NotBase64);
        check_response(b"", SaslError::Malformed);
        check_response(b"YWxpY2U=", SaslError::Malformed);
        assert_eq!(Exchange::begin(Mechanism::Plain, Some(b"=")).err(), Some(SaslError::Malformed));
    }

    #[test]
    fn mechanisms_are_named_in_any_case() {
        assert_eq!(Mechanism::parse(b"plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse(b"PLAIN "), None);
        assert_eq!(Mechanism::parse(b"GSSAPI"), None);
    }
}
