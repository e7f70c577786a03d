//! OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's form that came before it): a bearer token in one response. A refusal is told
//! in a challenge of JSON, to which the client answers with something that means nothing, and only then is the exchange over.

use mail_types::Secret;
use serde::Serialize;

use crate::exchange::State;
use crate::scram::gs2::{self, Binding};
use crate::{SaslError, Step, prep};

const SEPARATOR: char = '\x01';

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    OauthBearer,
    Xoauth2,
}

/// A token that is being checked.
#[derive(Debug)]
pub struct TokenCheck(Form);

/// Why a token is refused, as far as its bearer may know. It may depend on the domain of the login name, not on whether
/// there is such an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRefusal {
    /// What is wrong.
    pub status: TokenStatus,
    /// The scope that a token needs, if it is known.
    pub scope: Option<String>,
    /// Where the issuer describes itself (RFC 7628 section 3.2.2; an https URL), if it is known.
    pub openid_configuration: Option<String>,
}

/// The error codes of RFC 6750 section 3.1 that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// Expired, not of the issuer, not for us, or not that account's.
    InvalidToken,
    /// Good, but not for fetching mail.
    InsufficientScope,
}

impl TokenStatus {
    /// In OAUTHBEARER.
    fn code(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }

    /// In XOAUTH2: the HTTP status that goes with the code.
    fn http(self) -> &'static str {
        match self {
            Self::InvalidToken => "401",
            Self::InsufficientScope => "403",
        }
    }
}

/// Both forms' JSON object.
#[derive(Serialize)]
struct ErrorObject<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(rename = "openid-configuration", skip_serializing_if = "Option::is_none")]
    openid_configuration: Option<&'a str>,
}

impl TokenCheck {
    /// The token is refused: tells the client in a challenge, and the exchange ends after its response.
    pub fn refused(self, refusal: &TokenRefusal) -> Step {
        let scope = refusal.scope.as_deref();
        let error = match self.0 {
            Form::OauthBearer => ErrorObject {
                status: refusal.status.code(),
                schemes: None,
                scope,
                openid_configuration: refusal.openid_configuration.as_deref(),
            },
            Form::Xoauth2 => ErrorObject {
                status: refusal.status.http(),
                schemes: Some("bearer"),
                scope,
                openid_configuration: None,
            },
        };
        // Text always becomes JSON; were it not so, an object without details would still be a refusal.
        let json = serde_json::to_string(&error).unwrap_or_else(|_| "{}".to_owned());
        State::TokenRefused.challenge(json)
    }
}

impl Form {
    pub(crate) fn response(self, response: &[u8]) -> Result<Step, SaslError> {
        let text = std::str::from_utf8(response).map_err(|_| SaslError::Malformed)?;
        let (login, token) = match self {
            Self::OauthBearer => oauth_bearer(text)?,
            Self::Xoauth2 => xoauth2(text)?,
        };
        Ok(Step::Token { login, token, check: TokenCheck(self) })
    }
}

/// `gs2-header kvsep *(key "=" value kvsep) kvsep` (RFC 7628 section 3.1). Of the keys only `auth` matters here.
fn oauth_bearer(text: &str) -> Result<(Option<String>, Secret), SaslError> {
    let (header, pairs) = text.split_once(SEPARATOR).ok_or(SaslError::Malformed)?;
    let (header, rest) = gs2::parse(header)?;
    // There is no variant with channel binding, so a client that would have liked one is told the truth.
    let unbound = matches!(header.binding, Binding::Unsupported | Binding::NotOffered);
    if !rest.is_empty() || !unbound {
        return Err(SaslError::Malformed);
    }
    // The last pair's separator and one more; there is at least one pair.
    let pairs = pairs.strip_suffix("\x01\x01").ok_or(SaslError::Malformed)?;
    let mut authorization = None;
    for pair in pairs.split(SEPARATOR) {
        let (key, value) = pair.split_once('=').ok_or(SaslError::Malformed)?;
        if key.is_empty() || !key.bytes().all(|octet| octet.is_ascii_alphabetic()) || !value.bytes().all(is_value) {
            return Err(SaslError::Malformed);
        }
        if key == "auth" && authorization.replace(value).is_some() {
            return Err(SaslError::Malformed);
        }
    }
    let token = match authorization.ok_or(SaslError::Malformed)? {
        // RFC 7628 section 4.3: a client that has no token yet asks where to get one.
        "" => Secret::default(),
        authorization => bearer(authorization)?,
    };
    Ok((header.authzid, token))
}

/// `user=… ^A auth=Bearer … ^A ^A`
fn xoauth2(text: &str) -> Result<(Option<String>, Secret), SaslError> {
    let fields = text.strip_suffix("\x01\x01").and_then(|text| text.split_once(SEPARATOR));
    let (user, authorization) = fields.ok_or(SaslError::Malformed)?;
    let user = user.strip_prefix("user=").ok_or(SaslError::Malformed)?;
    let authorization = authorization.strip_prefix("auth=").ok_or(SaslError::Malformed)?;
    Ok((Some(prep::login(user)?), bearer(authorization)?))
}

/// The token of `Bearer b64token` (RFC 6750 section 2.1).
fn bearer(authorization: &str) -> Result<Secret, SaslError> {
    let (scheme, token) = authorization.split_once(' ').ok_or(SaslError::Malformed)?;
    let token = token.trim_start_matches(' ');
    let characters = token.trim_end_matches('=');
    let is_token = !characters.is_empty()
        && characters.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet));
    if !scheme.eq_ignore_ascii_case("Bearer") || !is_token {
        return Err(SaslError::Malformed);
    }
    Ok(Secret::from(token))
}

/// What a value may have (RFC 7628 section 3.1).
fn is_value(octet: u8) -> bool {
    octet.is_ascii_graphic() || b" \t\r\n".contains(&octet)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[track_caller]
    fn check(form: Form, response: &str, expected: Result<(Option<&str>, &str), SaslError>) {
        let given = form.response(response.as_bytes()).map(|step| match step {
            Step::Token { login, token, .. } => (login, token.expose_str().unwrap().to_owned()),
            other => panic!("{other:?}"),
        });
        let expected = expected.map(|(login, token)| (login.map(str::to_owned), token.to_owned()));
        assert_eq!(given, expected, "{}", response.escape_debug());
    }

    /// The examples of RFC 7628 section 4, and what must not pass for one.
    #[test]
    fn oauthbearer_carries_a_login_and_a_token() {
        let check = |response, expected| check(Form::OauthBearer, response, expected);
        check(
            "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            Ok((Some("user@example.com"), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")),
        );
        check("n,a=user@example.com,\x01auth=\x01\x01", Ok((Some("user@example.com"), "")));
        check("n,,\x01auth=bearer  a.b-c_d~+/\x01\x01", Ok((None, "a.b-c_d~+/")));
        check("y,,\x01auth=Bearer t\x01\x01", Ok((None, "t")));
        check("n,a=a=2Cb,\x01auth=Bearer t\x01\x01", Ok((Some("a,b"), "t")));
        for malformed in [
            "",
            "\x01",
            "n,,",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer t\x01",
            "n,,\x01auth=Bearer t",
            "n,,x\x01auth=Bearer t\x01\x01",
            "p=tls-exporter,,\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            "n,,\x01auth=Basic t\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer t\u{e9}\x01\x01",
            "n,,\x01k1=v\x01auth=Bearer t\x01\x01",
            "n,,\x01auth\x01\x01",
            "n,a=,\x01auth=Bearer t\x01\x01",
        ] {
            check(malformed, Err(SaslError::Malformed));
        }
    }

    #[test]
    fn xoauth2_carries_a_login_and_a_token() {
        let check = |response, expected| check(Form::Xoauth2, response, expected);
        check("user=alice@acme.test\x01auth=Bearer ya29.x-y\x01\x01", Ok((Some("alice@acme.test"), "ya29.x-y")));
        check("user=\x01auth=Bearer t\x01\x01", Err(SaslError::LoginName));
        check("user=a\x01auth=Bearer t\x01", Err(SaslError::Malformed));
        check("user=a\x01auth=Bearer t\x01x\x01\x01", Err(SaslError::Malformed));
        check("auth=Bearer t\x01user=a\x01\x01", Err(SaslError::Malformed));
    }

    #[track_caller]
    fn check_refusal(form: Form, refusal: &TokenRefusal, json: &str) {
        let Step::Challenge(awaiting, challenge) = TokenCheck(form).refused(refusal) else { panic!("no challenge") };
        assert_eq!(STANDARD.decode(challenge).unwrap(), json.as_bytes());
        assert!(matches!(awaiting.respond(b"AQ=="), Ok(Step::Refused)));
        for line in [&b""[..], b"*", b"not base64"] {
            let Step::Challenge(awaiting, _) = TokenCheck(form).refused(refusal) else { panic!("no challenge") };
            assert!(matches!(awaiting.respond(line), Ok(Step::Refused)));
        }
    }

    #[test]
    fn a_refusal_is_a_challenge_and_then_the_end() {
        let refusal = TokenRefusal {
            status: TokenStatus::InvalidToken,
            scope: Some("mail \"all\"".to_owned()),
            openid_configuration: Some("https://id.acme.test/.well-known/openid-configuration".to_owned()),
        };
        check_refusal(
            Form::OauthBearer,
            &refusal,
            r#"{"status":"invalid_token","scope":"mail \"all\"","openid-configuration":"https://id.acme.test/.well-known/openid-configuration"}"#,
        );
        check_refusal(Form::Xoauth2, &refusal, r#"{"status":"401","schemes":"bearer","scope":"mail \"all\""}"#);
        let bare = TokenRefusal { status: TokenStatus::InsufficientScope, scope: None, openid_configuration: None };
        check_refusal(Form::OauthBearer, &bare, r#"{"status":"insufficient_scope"}"#);
        check_refusal(Form::Xoauth2, &bare, r#"{"status":"403","schemes":"bearer"}"#);
    }
}
