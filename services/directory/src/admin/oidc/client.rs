//! What is asked of an issuer: its description (OpenID Connect Discovery 1.0), its tokens, its keys; all by the one way out that is
//! handed in. Descriptions are kept for a while.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, Validation};
use mail_types::{Clock, Secret};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::login::{JwksFetch, JwksFuture, KeySets};
use crate::memory::Memory;
use crate::{Error, Result};

/// What signs ID tokens: no shared secrets, no "none"; the token's header never chooses anything else.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How long a description is gone by.
const FRESH: Duration = Duration::from_secs(600);
/// How long an issuer may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most issuers whose descriptions are kept.
const MAX_ISSUERS: usize = 1000;
/// How far an issuer's clock may be from ours, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// Asks issuers, whose addresses tenants chose: through the one way out, which refuses private addresses and bounds what it reads.
pub trait IssuerHttp: Send + Sync + std::fmt::Debug {
    /// The document at an https URL.
    fn get<'a>(&'a self, url: &'a str) -> JwksFuture<'a>;
    /// The answer to a form (`application/x-www-form-urlencoded`) that is sent to an https URL, with an `Authorization` header if there
    /// is one.
    fn post_form<'a>(&'a self, url: &'a str, authorization: Option<&'a Secret>, form: &'a Secret) -> JwksFuture<'a>;
}

/// Key sets are plain documents.
#[derive(Debug)]
struct Keys(Arc<dyn IssuerHttp>);

impl JwksFetch for Keys {
    fn fetch<'a>(&'a self, url: &'a str) -> JwksFuture<'a> {
        self.0.get(url)
    }
}

/// The issuers, as this process knows them.
#[derive(Debug)]
pub(crate) struct OidcClient {
    http: Arc<dyn IssuerHttp>,
    clock: Arc<dyn Clock>,
    keys: KeySets,
    described: Memory<String, Arc<Described>>,
}

/// What is read of an issuer's description.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Who we are to an issuer.
pub(super) struct Client<'a> {
    pub(super) issuer: &'a str,
    pub(super) id: &'a str,
    pub(super) secret: Option<&'a Secret>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

/// What an ID token says.
pub(super) type Claims = Map<String, Value>;

impl OidcClient {
    pub(crate) fn new(http: Arc<dyn IssuerHttp>, clock: Arc<dyn Clock>) -> Self {
        let keys = KeySets::new(Arc::new(Keys(Arc::clone(&http))), Arc::clone(&clock));
        Self { http, clock, keys, described: Memory::new(MAX_ISSUERS, FRESH) }
    }

    /// The issuer's description of itself.
    pub(super) async fn describe(&self, issuer: &str) -> Result<Arc<Described>> {
        if let Some(described) = self.described.get(&issuer.to_owned(), self.clock.monotonic()) {
            return Ok(described);
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.asked(issuer, self.http.get(&url)).await?;
        let described: Described =
            serde_json::from_slice(&document).map_err(|_| unusable(issuer, "its description cannot be read"))?;
        // Section 4.3: it is the description of whom it was asked of, exactly.
        if described.issuer != issuer {
            return Err(unusable(issuer, "the description is of another issuer"));
        }
        let urls = [&described.authorization_endpoint, &described.token_endpoint, &described.jwks_uri];
        if !urls.into_iter().all(|url| url.starts_with("https://") && !url.contains('#')) {
            return Err(unusable(issuer, "its endpoints are not https URLs"));
        }
        let described = Arc::new(described);
        self.described.put(issuer.to_owned(), Arc::clone(&described), self.clock.monotonic());
        Ok(described)
    }

    /// Exchanges a code for an ID token, and that for its claims, if all of it is sound; nothing if it is not.
    pub(super) async fn claims(
        &self,
        client: &Client<'_>,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        nonce: &str,
    ) -> Result<Option<Claims>> {
        let described = self.describe(client.issuer).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let methods = described.token_endpoint_auth_methods_supported.as_deref();
        let basic = methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        let mut authorization = None;
        match client.secret.and_then(Secret::expose_str) {
            // RFC 6749 section 2.3.1: each encoded before they are joined.
            Some(secret) if basic => {
                let pair = format!("{}:{}", encoded(client.id), encoded(secret));
                authorization = Some(Secret::from(format!("Basic {}", STANDARD.encode(pair))));
            }
            Some(secret) => form.extend([("client_id", client.id), ("client_secret", secret)]),
            None => form.push(("client_id", client.id)),
        }
        let form = Secret::from(form_of(&form));
        let answer = self.http.post_form(&described.token_endpoint, authorization.as_ref(), &form);
        // An issuer that refuses the code answers 400, as one that is broken might: to whoever signs in, both are a refusal.
        let Ok(answer) = self.asked(client.issuer, answer).await else { return Ok(None) };
        let Ok(answer) = serde_json::from_slice::<TokenAnswer>(&answer) else { return Ok(None) };
        self.verified(client, &described, &Secret::from(answer.id_token), nonce).await
    }

    /// OpenID Connect Core 1.0 section 3.1.3.7.
    async fn verified(
        &self,
        client: &Client<'_>,
        described: &Described,
        token: &Secret,
        nonce: &str,
    ) -> Result<Option<Claims>> {
        let header = jsonwebtoken::decode_header(token.expose()).ok();
        let Some(header) = header.filter(|header| ALGORITHMS.contains(&header.alg)) else { return Ok(None) };
        let candidates = self.keys.find(&described.jwks_uri, header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[client.issuer]);
        validation.set_audience(&[client.id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // With our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let decode =
            |key| jsonwebtoken::decode::<Claims>(token.expose(), key, &validation).ok().map(|data| data.claims);
        let claims = candidates.iter().find_map(decode);
        let now = self.clock.now().unix_seconds();
        Ok(claims.filter(|claims| are_sound(claims, client.id, nonce, now)))
    }

    /// An answer, or that the issuer is unavailable: why is for the log.
    async fn asked(&self, issuer: &str, answer: JwksFuture<'_>) -> Result<Vec<u8>> {
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(octets)) => Ok(octets),
            Ok(Err(error)) => {
                tracing::info!(issuer, %error, "an issuer did not answer as it should");
                Err(Error::IssuerUnavailable)
            }
            Err(_) => Err(unusable(issuer, "it took too long")),
        }
    }
}

fn unusable(issuer: &str, why: &'static str) -> Error {
    tracing::info!(issuer, why, "an issuer cannot be used");
    Error::IssuerUnavailable
}

/// What the library does not check.
fn are_sound(claims: &Claims, client: &str, nonce: &str, now: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are below 2^53")]
    let now = now as f64;
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    let expires = number("exp").is_some_and(|at| now < at + LEEWAY_SECONDS);
    let issued = number("iat").is_some_and(|at| at <= now + LEEWAY_SECONDS);
    let begins = claims.get("nbf").is_none_or(|_| number("nbf").is_some_and(|at| at <= now + LEEWAY_SECONDS));
    let is_asked_for = claims.get("nonce").and_then(Value::as_str) == Some(nonce);
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|audiences| audiences.len() > 1);
    let party = claims.get("azp").and_then(Value::as_str);
    let is_for_us = party.map_or(!several, |party| party == client);
    let subject = claims.get("sub").and_then(Value::as_str).is_some_and(|sub| (1..=255).contains(&sub.len()));
    expires && issued && begins && is_asked_for && is_for_us && subject
}

/// A form's fields (the WHATWG's URL standard, section 5).
pub(super) fn form_of(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(octet)),
            b' ' => out.push('+'),
            octet => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_hold_for_us_here_and_now() {
        let check = |changes: Value| {
            let mut claims = json!({"exp": 1300, "iat": 1000, "nonce": "n", "aud": "us", "sub": "7"});
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            are_sound(claims.as_object().unwrap(), "us", "n", 1000)
        };
        for sound in
            [json!({}), json!({"exp": 941}), json!({"iat": 1060}), json!({"aud": ["us"]}), json!({"azp": "us"})]
        {
            assert!(check(sound.clone()), "{sound}");
        }
        for unsound in [
            json!({"exp": 940}),
            json!({"exp": "1300"}),
            json!({"iat": 1061}),
            json!({"iat": null}),
            json!({"nbf": 1061}),
            json!({"nonce": "m"}),
            json!({"nonce": null}),
            json!({"aud": ["us", "them"]}),
            json!({"azp": "them"}),
            json!({"sub": ""}),
            json!({"sub": "x".repeat(256)}),
        ] {
            assert!(!check(unsound.clone()), "{unsound}");
        }
        assert!(check(json!({"aud": ["us", "them"], "azp": "us"})));
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form_of(&[("a", "b c&d=e+f"), ("g", "\u{e9}~")]), "a=b+c%26d%3De%2Bf&g=%C3%A9%7E");
    }
}
