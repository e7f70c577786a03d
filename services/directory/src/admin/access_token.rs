//! Access tokens: JWTs (RFC 7519, of the type of RFC 9068) that hold for minutes. They say whose request it is; what that person may
//! do, and whether they may still do anything, is looked up with each request.

use jsonwebtoken::{Algorithm, Header, Validation};
use mail_types::{Secret, SessionUuid};
use serde::{Deserialize, Serialize};

use crate::{Directory, Error, Result};

/// What signs them; the header of a token never chooses anything else.
const ALGORITHM: Algorithm = Algorithm::EdDSA;
/// What they are (RFC 9068 section 2.1).
const TYPE: &str = "at+jwt";
/// Whom they are for.
const AUDIENCE: &str = "restante-admin-api";
/// How far the clocks of our own hosts may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 30;
/// The longest token, in octets.
const MAX_TOKEN: usize = 2048;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    ver: i64,
    iat: u64,
    exp: u64,
}

/// What a token says, that we signed and that holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) admin: i64,
    pub(super) session: SessionUuid,
    pub(super) version: i64,
}

/// Whether a bearer token has the form of a JWT.
pub(crate) fn is_access_token(token: &Secret) -> bool {
    let octets = token.expose();
    octets.len() <= MAX_TOKEN && octets.iter().filter(|octet| **octet == b'.').count() == 2
}

impl Directory {
    /// Signs what a token is to say.
    pub(super) async fn sign_access_token(&self, said: Said) -> Result<Secret> {
        let (key_id, key) = self.signing_key().await?;
        let now = self.clock.now().unix_seconds();
        let claims = Claims {
            iss: self.sign_in.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: format!("adm_{}", said.admin),
            sid: said.session.to_string(),
            ver: said.version,
            iat: now,
            exp: now + u64::from(self.sign_in.access_seconds),
        };
        let header = Header { typ: Some(TYPE.to_owned()), kid: Some(key_id), ..Header::new(ALGORITHM) };
        let token = jsonwebtoken::encode(&header, &claims, &key).map_err(|_| Error::Internal("signing failed"))?;
        Ok(Secret::from(token))
    }

    /// What a token says; nothing, whatever is wrong with it.
    pub(super) async fn read_access_token(&self, token: &Secret) -> Result<Option<Said>> {
        let Some(header) = header(token) else { return Ok(None) };
        let Some(key) = self.verifying_key(&header).await? else { return Ok(None) };
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[&self.sign_in.issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // With our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let decoded = jsonwebtoken::decode::<Claims>(token.expose(), &key, &validation).ok();
        Ok(decoded.and_then(|data| said(&data.claims, self.clock.now().unix_seconds())))
    }
}

/// The id of the key that a token names, if its header is one of ours.
fn header(token: &Secret) -> Option<String> {
    if !is_access_token(token) {
        return None;
    }
    let header = jsonwebtoken::decode_header(token.expose()).ok()?;
    let is_ours = header.alg == ALGORITHM && header.typ.as_deref() == Some(TYPE);
    header.kid.filter(|id| is_ours && id.len() == 32 && id.bytes().all(|octet| octet.is_ascii_hexdigit()))
}

fn said(claims: &Claims, now: u64) -> Option<Said> {
    let holds = claims.exp > now && claims.iat <= now + LEEWAY_SECONDS && claims.iat < claims.exp;
    let admin = claims.sub.strip_prefix("adm_")?.parse().ok()?;
    holds.then_some(Said { admin, session: SessionUuid::parse(&claims.sid)?, version: claims.ver })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_in_its_time() {
        let session = "0123456789abcdef0123456789abcdef";
        let holds = |iat, exp, now| {
            let [iss, aud] = ["restante", AUDIENCE].map(str::to_owned);
            let claims = Claims { iss, aud, sub: "adm_7".to_owned(), sid: session.to_owned(), ver: 1, iat, exp };
            said(&claims, now).is_some()
        };
        assert!(holds(1000, 1300, 1000) && holds(1000, 1300, 1299));
        assert!(!holds(1000, 1300, 1300), "expired");
        assert!(holds(1030, 1300, 1000) && !holds(1031, 1300, 1000), "from the future");
        assert!(!holds(1300, 1300, 1299), "of no time at all");
    }
}
