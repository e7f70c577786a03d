//! Tokens: JWTs (RFC 7519) of the issuer that a tenant trusts, for the audience it names, with an address in a claim. The
//! algorithms are a fixed list; the token's header never chooses anything else.

use std::net::IpAddr;

use jsonwebtoken::{Algorithm, Validation, dangerous};
use mail_types::{Address, CredentialId, DomainName, Secret};
use sasl::{TokenRefusal, TokenStatus};
use serde_json::{Map, Value};

mod keys;

pub(crate) use keys::KeySets;
pub use keys::{JwksFetch, JwksFuture};

use super::{Directory, Login, LoginOutcome, LookedUp, Refusal, parse_login};
use crate::policy::{AddressClaim, OauthIssuer};
use crate::{Error, RefusalReason, Result};

/// What signs tokens: no shared secrets, no "none".
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY_SECONDS: f64 = 30.0;
/// The longest token, in octets.
const MAX_TOKEN: usize = 8 * 1024;

/// What a token came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOutcome {
    /// Proved.
    Accepted(Login),
    /// Not.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What its bearer is told; depends on the domain, not on whether there is such an account.
        tell: TokenRefusal,
    },
}

type Claims = Map<String, Value>;

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Invalid,
    Scope,
}

impl Directory {
    /// Proves a login by a bearer token. `login`: whom the client says it is, if it does; else the token says it.
    ///
    /// # Errors
    /// As [`Directory::look_up`], and [`Error::IssuerUnavailable`] while the issuer's keys cannot be had.
    pub async fn token(
        &self,
        peer: Option<IpAddr>,
        login: Option<&str>,
        default_domain: Option<&DomainName>,
        token: &Secret,
    ) -> Result<TokenOutcome> {
        self.look_up_token(peer, login, default_domain, token).await?.token(token).await
    }

    /// Looks up whose token it says it is, to go on with [`LookedUp::token`].
    ///
    /// # Errors
    /// As [`Directory::look_up`].
    pub async fn look_up_token(
        &self,
        peer: Option<IpAddr>,
        login: Option<&str>,
        default_domain: Option<&DomainName>,
        token: &Secret,
    ) -> Result<LookedUp> {
        // Whose it says it is decides which issuer is asked; nothing of it is believed yet.
        let unproved = claims_unproved(token);
        let (name, address) = match login {
            Some(login) => (login.to_owned(), parse_login(login, default_domain)),
            None => {
                let claims = [AddressClaim::Email, AddressClaim::PreferredUsername, AddressClaim::Sub];
                let address = claims.into_iter().find_map(|claim| address_in(unproved.as_ref()?, claim));
                (String::new(), address)
            }
        };
        self.look_up_address(peer, &name, address).await
    }
}

impl LookedUp {
    /// Proves a login by a bearer token.
    ///
    /// # Errors
    /// As [`Directory::look_up`], and [`Error::IssuerUnavailable`] while the issuer's keys cannot be had.
    pub async fn token(self, token: &Secret) -> Result<TokenOutcome> {
        let Some(issuer) = self.tenant_policy.oauth.clone() else { return self.refuse_token(token, Fault::Invalid) };
        if let Err(fault) = self.check_token(&issuer, token).await? {
            return self.refuse_token(token, fault);
        }
        match self.accept_as(CredentialId(0), true, self.policy).await? {
            LoginOutcome::Accepted(login) => Ok(TokenOutcome::Accepted(login)),
            // Good, but there is no such account: as wrong as any.
            LoginOutcome::Refused(Refusal::WrongCredentials) => self.refuse_token(token, Fault::Invalid),
            LoginOutcome::Refused(refusal) => Ok(TokenOutcome::Refused { refusal, tell: self.told(Fault::Invalid) }),
        }
    }

    async fn check_token(&self, issuer: &OauthIssuer, token: &Secret) -> Result<std::result::Result<(), Fault>> {
        let Some(address) = &self.address else { return Ok(Err(Fault::Invalid)) };
        let Some(header) = header(token) else { return Ok(Err(Fault::Invalid)) };
        let keys = self.directory.key_sets.as_ref().ok_or(Error::IssuerUnavailable)?;
        let candidates = keys.find(&issuer.jwks_uri, header.kid.as_deref(), header.alg).await?;
        let now = self.directory.clock.now().unix_ms();
        let signed = candidates.iter().find_map(|key| signed_claims(token, key, header.alg, issuer));
        let fault = match signed {
            Some(claims) => check_claims(&claims, issuer, address, now),
            None => Err(Fault::Invalid),
        };
        Ok(fault)
    }

    fn refuse_token(&self, token: &Secret, fault: Fault) -> Result<TokenOutcome> {
        let tell = self.told(fault);
        self.witness.note(RefusalReason::TokenRefused);
        // A client that only asks where to get one has failed with nothing. Others cannot guess either, so they do not wait;
        // that they fail is counted, once for each place, so that a network that tries many accounts is seen.
        if !token.is_empty() {
            let key = self.key.unwrap_or_default();
            let network = format!("{:?}", self.network);
            let logins = &self.directory.logins;
            let fingerprint = logins.proved.fingerprint(&[b"token", network.as_bytes(), &key])?;
            logins.slow_down.failed(self.network, self.key, fingerprint, self.directory.clock.monotonic());
        }
        Ok(TokenOutcome::Refused { refusal: Refusal::WrongCredentials, tell })
    }

    fn told(&self, fault: Fault) -> TokenRefusal {
        let issuer = self.tenant_policy.oauth.as_ref();
        let status = match fault {
            Fault::Invalid => TokenStatus::InvalidToken,
            Fault::Scope => TokenStatus::InsufficientScope,
        };
        TokenRefusal {
            status,
            scope: issuer.and_then(|issuer| issuer.scope.clone()),
            openid_configuration: issuer.map(OauthIssuer::configuration),
        }
    }
}

fn claims_unproved(token: &Secret) -> Option<Claims> {
    let token = Some(token.expose()).filter(|token| token.len() <= MAX_TOKEN)?;
    dangerous::insecure_decode::<Claims>(token).ok().map(|data| data.claims)
}

fn header(token: &Secret) -> Option<jsonwebtoken::Header> {
    let token = Some(token.expose()).filter(|token| token.len() <= MAX_TOKEN)?;
    jsonwebtoken::decode_header(token).ok().filter(|header| ALGORITHMS.contains(&header.alg))
}

/// The claims, if the key signed them, by the issuer, for the audience. Their times are checked with our own clock.
fn signed_claims(
    token: &Secret,
    key: &jsonwebtoken::DecodingKey,
    algorithm: Algorithm,
    issuer: &OauthIssuer,
) -> Option<Claims> {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&issuer.issuer]);
    validation.set_audience(&[&issuer.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    jsonwebtoken::decode::<Claims>(token.expose(), key, &validation).ok().map(|data| data.claims)
}

fn check_claims(claims: &Claims, issuer: &OauthIssuer, address: &Address, now_ms: u64) -> Result<(), Fault> {
    // Exact enough: whole milliseconds are below 2^53.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
    let now = now_ms as f64 / 1000.0;
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or(Fault::Invalid)?;
    let begins = match claims.get("nbf") {
        None => now,
        Some(begins) => begins.as_f64().ok_or(Fault::Invalid)?,
    };
    if expires + LEEWAY_SECONDS <= now || begins - LEEWAY_SECONDS > now {
        return Err(Fault::Invalid);
    }
    let is_its = |named: &Address| named.local.key() == address.local.key() && named.domain == address.domain;
    if !address_in(claims, issuer.address_claim).as_ref().is_some_and(is_its) {
        return Err(Fault::Invalid);
    }
    match &issuer.scope {
        Some(scope) if !has_scope(claims, scope) => Err(Fault::Scope),
        _ => Ok(()),
    }
}

/// The address in a claim. One with a subaddress would name another's account by its key.
fn address_in(claims: &Claims, claim: AddressClaim) -> Option<Address> {
    let name = match claim {
        AddressClaim::Email => "email",
        AddressClaim::Sub => "sub",
        AddressClaim::PreferredUsername => "preferred_username",
    };
    let is_unverified = claim == AddressClaim::Email && claims.get("email_verified").is_some_and(is_no);
    let text = claims.get(name)?.as_str().filter(|_| !is_unverified)?;
    Address::parse(text).ok().filter(|address| !address.local.has_subaddress())
}

/// Some issuers write it as text.
fn is_no(value: &Value) -> bool {
    !matches!(value, Value::Bool(true)) && value.as_str() != Some("true")
}

/// `scope`: words with spaces between (RFC 8693 section 4.2); `scp`: the same, or a list, as others write it.
fn has_scope(claims: &Claims, wanted: &str) -> bool {
    ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)).any(|value| match value {
        Value::String(words) => words.split(' ').any(|word| word == wanted),
        Value::Array(words) => words.iter().any(|word| word.as_str() == Some(wanted)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer() -> OauthIssuer {
        OauthIssuer {
            issuer: "https://id.acme.test".to_owned(),
            audience: "mail".to_owned(),
            jwks_uri: "https://id.acme.test/keys".to_owned(),
            address_claim: AddressClaim::Email,
            scope: Some("pop".to_owned()),
        }
    }

    #[track_caller]
    fn check(changed: Value, expected: Result<(), Fault>) {
        let mut claims = json!({"exp": 1100, "email": "Alice@Acme.test", "scope": "imap pop"});
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let address = Address::parse("alice@acme.test").unwrap();
        let got = check_claims(claims.as_object().unwrap(), &issuer(), &address, 1_000_000);
        assert_eq!(got, expected, "{changed}");
    }

    #[test]
    fn claims_hold_here_and_now() {
        check(json!({}), Ok(()));
        check(json!({"exp": 971}), Ok(()));
        check(json!({"exp": 970}), Err(Fault::Invalid));
        check(json!({"exp": "soon"}), Err(Fault::Invalid));
        check(json!({"nbf": 1030}), Ok(()));
        check(json!({"nbf": 1031}), Err(Fault::Invalid));
        check(json!({"nbf": "x"}), Err(Fault::Invalid));
        check(json!({"email": "bob@acme.test"}), Err(Fault::Invalid));
        check(json!({"email": "alice+x@acme.test"}), Err(Fault::Invalid));
        check(json!({"email": 1}), Err(Fault::Invalid));
        check(json!({"email_verified": false}), Err(Fault::Invalid));
        check(json!({"email_verified": "true"}), Ok(()));
        check(json!({"scope": "population"}), Err(Fault::Scope));
        check(json!({"scope": null, "scp": ["pop"]}), Ok(()));
    }
}
