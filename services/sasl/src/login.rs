//! LOGIN (draft-murchison-sasl-login): PLAIN's name and password one after the other. Never a standard, still what some
//! clients know only.

use mail_types::Secret;

use crate::{SaslError, Step, prep};

/// What clients look for, character by character.
pub(crate) const ASK_NAME: &str = "Username:";
pub(crate) const ASK_PASSWORD: &str = "Password:";

/// The name is known.
#[derive(Debug)]
pub(crate) struct Named(String);

impl Named {
    pub(crate) fn parse(response: &[u8]) -> Result<Self, SaslError> {
        let name = std::str::from_utf8(response).map_err(|_| SaslError::Malformed)?;
        Ok(Self(prep::login(name)?))
    }

    pub(crate) fn response(self, response: &[u8]) -> Result<Step, SaslError> {
        if response.is_empty() {
            return Err(SaslError::Malformed);
        }
        Ok(Step::Password { login: self.0, secret: Secret::new(response.to_vec()) })
    }
}
