//! Tokens of the issuer that a tenant trusts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::{
    AddressClaim, Directory, JwksFetch, JwksFuture, OauthIssuer, PolicyChange, Refusal, Settings, TokenOutcome,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mail_types::{Clock as _, Secret, SystemClock};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use runtime::database::DbRole;
use sasl::{TokenRefusal, TokenStatus};
use serde_json::{Value, json};
use testkit::FakeClock;

use crate::support::World;

const ALICE: &str = "alice@acme.test";

/// An issuer with one key, which counts how often it is asked for it.
#[derive(Debug)]
struct Issuer {
    key: KeyPair,
    asked: AtomicUsize,
    is_away: std::sync::atomic::AtomicBool,
}

impl Issuer {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { key, asked: AtomicUsize::new(0), is_away: false.into() }
    }

    fn sign(&self, header: &Header, claims: &Value) -> Secret {
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        Secret::from(encode(header, claims, &key).unwrap())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl JwksFetch for Issuer {
    fn fetch<'a>(&'a self, url: &'a str) -> JwksFuture<'a> {
        Box::pin(async move {
            assert_eq!(url, "https://id.acme.test/keys");
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.is_away.load(Ordering::SeqCst) {
                return Err("away".into());
            }
            let point = self.key.public_key_raw();
            let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(point.get(range).unwrap());
            let key =
                json!({"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": part(1..33), "y": part(33..65)});
            let unknown = json!({"kty": "PQ", "kid": "future"});
            Ok(json!({"keys": [unknown, key]}).to_string().into_bytes())
        })
    }
}

struct Tokens {
    issuer: Arc<Issuer>,
    clock: FakeClock,
    pop3: Directory,
    _world: World,
}

impl Tokens {
    async fn new() -> Self {
        let world = World::new().await;
        let acme = world.tenant("acme").await;
        world.account(ALICE, None).await;
        world.account("bob@acme.test", None).await;
        let oauth = OauthIssuer {
            issuer: "https://id.acme.test".to_owned(),
            audience: "mail".to_owned(),
            jwks_uri: "https://id.acme.test/keys".to_owned(),
            address_claim: AddressClaim::Email,
            scope: Some("pop".to_owned()),
        };
        world.set_tenant_policy(&acme, PolicyChange { oauth: Some(Some(oauth)), ..PolicyChange::default() }).await;
        let issuer = Arc::new(Issuer::new());
        let clock = FakeClock::at(SystemClock.now());
        let pop3 = world.with(DbRole::Pop3, clock.clone(), Settings::default()).await;
        Self { pop3: pop3.with_issuers(issuer.clone()), issuer, clock, _world: world }
    }

    fn claims(&self) -> Value {
        let expires = self.clock.now().unix_seconds() + 7200;
        json!({"iss": "https://id.acme.test", "aud": ["web", "mail"], "exp": expires, "email": ALICE, "scope": "openid pop"})
    }

    fn header() -> Header {
        Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::ES256) }
    }

    fn token(&self, changed: Value) -> Secret {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        self.issuer.sign(&Self::header(), &claims)
    }

    async fn log_in(&self, login: Option<&str>, token: &Secret) -> directory::Result<TokenOutcome> {
        self.pop3.token(Some("192.0.2.1".parse().unwrap()), login, None, token).await
    }
}

#[track_caller]
fn refused(outcome: TokenOutcome, status: TokenStatus) {
    let tell = TokenRefusal {
        status,
        scope: Some("pop".to_owned()),
        openid_configuration: Some("https://id.acme.test/.well-known/openid-configuration".to_owned()),
    };
    assert_eq!(outcome, TokenOutcome::Refused { refusal: Refusal::WrongCredentials, tell });
}

#[tokio::test]
async fn a_token_of_the_issuer_logs_its_address_in() {
    let tokens = Tokens::new().await;
    let token = tokens.token(json!({}));
    for login in [Some(ALICE), None, Some("ALICE%acme.test")] {
        let outcome = tokens.log_in(login, &token).await.unwrap();
        let TokenOutcome::Accepted(login) = outcome else { panic!("{outcome:?}") };
        assert_eq!(login.address, ALICE);
    }
    assert_eq!(tokens.issuer.asked(), 1);
    let wrong = [
        json!({"iss": "https://id.acme.test/"}),
        json!({"aud": "webmail"}),
        json!({"exp": tokens.clock.now().unix_seconds() - 31}),
        json!({"email": "bob@acme.test"}),
        json!({"email": "alice@elsewhere.test"}),
    ];
    for claims in wrong {
        refused(tokens.log_in(Some(ALICE), &tokens.token(claims)).await.unwrap(), TokenStatus::InvalidToken);
    }
    let unscoped = tokens.token(json!({"scope": "openid"}));
    refused(tokens.log_in(Some(ALICE), &unscoped).await.unwrap(), TokenStatus::InsufficientScope);
    let nobody = tokens.token(json!({"email": "nobody@acme.test"}));
    refused(tokens.log_in(None, &nobody).await.unwrap(), TokenStatus::InvalidToken);
    refused(tokens.log_in(Some(ALICE), &Secret::default()).await.unwrap(), TokenStatus::InvalidToken);
    refused(tokens.log_in(Some(ALICE), &Secret::from("a.b.c")).await.unwrap(), TokenStatus::InvalidToken);
    tokens.clock.advance(Duration::from_secs(7230));
    refused(tokens.log_in(Some(ALICE), &token).await.unwrap(), TokenStatus::InvalidToken);
}

#[tokio::test]
async fn what_others_signed_is_refused() {
    let tokens = Tokens::new().await;
    let others = Issuer::new().sign(&Tokens::header(), &tokens.claims());
    refused(tokens.log_in(Some(ALICE), &others).await.unwrap(), TokenStatus::InvalidToken);
    // A shared secret that everybody can see, and none at all.
    let public = EncodingKey::from_secret(tokens.issuer.key.public_key_pem().as_bytes());
    let confused = encode(&Header { alg: Algorithm::HS256, ..Tokens::header() }, &tokens.claims(), &public).unwrap();
    refused(tokens.log_in(Some(ALICE), &Secret::from(confused)).await.unwrap(), TokenStatus::InvalidToken);
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(tokens.claims().to_string())
    );
    refused(tokens.log_in(Some(ALICE), &Secret::from(unsigned)).await.unwrap(), TokenStatus::InvalidToken);
}

#[tokio::test]
async fn an_issuer_is_asked_seldom() {
    let tokens = Tokens::new().await;
    let token = tokens.token(json!({}));
    let unknown = Header { kid: Some("two".to_owned()), ..Header::new(Algorithm::ES256) };
    let unknown = tokens.issuer.sign(&unknown, &tokens.claims());
    assert!(matches!(tokens.log_in(None, &token).await.unwrap(), TokenOutcome::Accepted(_)));
    for _ in 0..3 {
        refused(tokens.log_in(None, &unknown).await.unwrap(), TokenStatus::InvalidToken);
    }
    assert_eq!(tokens.issuer.asked(), 1, "not again so soon");
    tokens.clock.advance(Duration::from_secs(30));
    refused(tokens.log_in(None, &unknown).await.unwrap(), TokenStatus::InvalidToken);
    assert_eq!(tokens.issuer.asked(), 2, "there might be a new key");
    tokens.clock.advance(Duration::from_secs(600));
    tokens.issuer.is_away.store(true, Ordering::SeqCst);
    assert!(matches!(tokens.log_in(None, &token).await.unwrap(), TokenOutcome::Accepted(_)));
    assert!(matches!(tokens.log_in(None, &token).await.unwrap(), TokenOutcome::Accepted(_)));
    assert_eq!(tokens.issuer.asked(), 3, "the old ones do for a day");
}

#[tokio::test]
async fn without_keys_nobody_can_tell() {
    let tokens = Tokens::new().await;
    tokens.issuer.is_away.store(true, Ordering::SeqCst);
    let token = tokens.token(json!({}));
    for _ in 0..2 {
        let error = tokens.log_in(None, &token).await.unwrap_err();
        assert!(matches!(error, directory::Error::IssuerUnavailable) && error.is_temporary());
    }
    assert_eq!(tokens.issuer.asked(), 1, "a failure is remembered");
    tokens.issuer.is_away.store(false, Ordering::SeqCst);
    tokens.clock.advance(Duration::from_secs(30));
    assert!(matches!(tokens.log_in(None, &token).await.unwrap(), TokenOutcome::Accepted(_)));
}
