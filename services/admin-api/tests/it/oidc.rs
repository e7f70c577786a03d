//! Signing in by an issuer: a real one, of our own, on loopback.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use admin_api::{Config, Issuers};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mail_types::{Clock as _, SystemClock};
use net::egress::{DnsSettings, Egress, Settings};
use net::{Endpoint, Limits, Listener, Stream, tls};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use runtime::shutdown::Shutdown;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::identity::tokens;
use crate::support::{Answer, World};

const PUBLIC: &str = "https://admin.mail.test";
const SECRET: &str = "issuer+secret/1";

/// An issuer: it describes itself, has a key, and answers each code once, to the client that it was given to.
struct Issuer {
    url: String,
    key: KeyPair,
    codes: Arc<Mutex<HashMap<String, Granted>>>,
}

/// What a code stands for.
#[derive(Clone)]
struct Granted {
    challenge: String,
    redirect_uri: String,
    id_token: String,
}

impl Issuer {
    async fn start(directory: &Path) -> Self {
        let server_tls = tls::ServerTls::from_directory(directory).unwrap();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), "issuer").await.unwrap();
        let Endpoint::Tcp(address) = listener.bound().unwrap() else { panic!("it is TCP") };
        let url = format!("https://{address}");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let point = key.public_key_raw();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let described = json!({"issuer": url, "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/keys")});
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": x, "y": y}]});
        let codes: Arc<Mutex<HashMap<String, Granted>>> = Arc::default();
        let granted = Arc::clone(&codes);
        tokio::spawn(async move {
            let shutdown = Shutdown::new();
            let serve = move |stream: Stream, _| {
                let (server_tls, granted) = (server_tls.clone(), Arc::clone(&granted));
                let pages = [("/.well-known/openid-configuration", described.to_string()), ("/keys", keys.to_string())];
                async move {
                    let mut stream = stream.into_tls(&server_tls).await.unwrap();
                    let (path, authorization, form) = request(&mut stream).await;
                    let answer = if path == "/token" {
                        token(&granted, authorization.as_deref(), &form)
                    } else {
                        pages.iter().find(|(at, _)| *at == path).map(|(_, page)| page.clone())
                    };
                    let status = if answer.is_some() { "200 OK" } else { "400 Bad Request" };
                    let body = answer.unwrap_or_else(|| json!({"error": "invalid_grant"}).to_string());
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.shutdown().await.ok();
                }
            };
            listener.serve(Limits::default(), b"", &shutdown, serve).await;
        });
        Self { url, key, codes }
    }

    /// Somebody signs in there, whom the claims speak of; answers the code that their browser brings back.
    fn grants(&self, asked: &HashMap<String, String>, claims: &Value) -> String {
        let now = SystemClock.now().unix_seconds();
        let mut all =
            json!({"iss": self.url, "aud": asked["client_id"], "nonce": asked["nonce"], "iat": now, "exp": now + 60});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        let granted = Granted {
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            id_token: jsonwebtoken::encode(&header, &all, &key).unwrap(),
        };
        codes.insert(code.clone(), granted);
        code
    }

    fn configuration(&self) -> Value {
        json!({"issuer": self.url, "client_id": "restante", "client_secret": SECRET})
    }
}

/// Path, authorization and body of a request.
async fn request(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> (String, Option<String>, HashMap<String, String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length = field("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), field("authorization"), fields(&String::from_utf8(body).unwrap()))
}

fn token(
    codes: &Mutex<HashMap<String, Granted>>,
    authorization: Option<&str>,
    form: &HashMap<String, String>,
) -> Option<String> {
    let pair = authorization?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
    // Each half is encoded as a form's field.
    let is_ours = pair == "restante:issuer%2Bsecret%2F1" && form.get("grant_type")? == "authorization_code";
    let granted = codes.lock().unwrap().remove(form.get("code")?)?;
    let verified = URL_SAFE_NO_PAD.encode(Sha256::digest(form.get("code_verifier")?)) == granted.challenge;
    let back = *form.get("redirect_uri")? == granted.redirect_uri;
    (is_ours && verified && back)
        .then(|| json!({"access_token": "x", "token_type": "Bearer", "id_token": granted.id_token}).to_string())
}

/// A form's or a query's fields.
fn fields(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let (mut octets, mut rest) = (Vec::new(), text.bytes());
        while let Some(octet) = rest.next() {
            octets.push(match octet {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(octets).unwrap()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// A browser at the beginning of a sign-in: what the issuer is asked, and the cookie.
struct Begun {
    asked: HashMap<String, String>,
    cookie: String,
}

impl World {
    /// A world that reaches issuers on loopback, which have the certificate in `directory`.
    async fn with_issuers(directory: &Path) -> Self {
        let files = tls::self_signed(directory).unwrap();
        let authority = std::fs::read(files.join("cert.pem")).unwrap();
        let settings = Settings { allow: vec!["127.0.0.1/32".parse().unwrap()], ..Settings::default() };
        let egress = Egress::trusting(&settings, &DnsSettings::default(), &authority).unwrap();
        let config = Config { refusal_ms: 0, public_url: Some(PUBLIC.to_owned()), ..Config::default() };
        Self::asking(config, Arc::new(Issuers::new(egress))).await
    }

    async fn begin(&self, query: &str) -> Begun {
        let request = Request::builder().uri(format!("/v1/sign-in/oidc{query}")).body(Body::empty());
        let answer = self.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let (endpoint, query) = answer.header("location").split_once('?').unwrap();
        assert!(endpoint.starts_with("https://127.0.0.1:") && endpoint.ends_with("/authorize"), "{endpoint}");
        let set = answer.header("set-cookie");
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/v1/sign-in"] {
            assert!(set.contains(attribute), "{set}");
        }
        Begun { asked: fields(query), cookie: set.split(';').next().unwrap().to_owned() }
    }

    /// The browser comes back from the issuer; answers what the console finds after the `#`.
    async fn come_back(&self, state: &str, cookie: &str, code: &str) -> String {
        let uri = format!("/v1/sign-in/oidc/callback?code={code}&state={state}&session_state=x");
        let request = Request::builder().uri(uri).header(header::COOKIE, format!("a=b; {cookie}"));
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let found = answer.header("location").strip_prefix("https://admin.mail.test/sign-in#");
        found.unwrap_or_else(|| panic!("{}", answer.header("location"))).to_owned()
    }

    async fn exchange(&self, found: &str, cookie: &str) -> Answer {
        let code = found.strip_prefix("code=").unwrap_or(found);
        let request = Request::builder()
            .method("POST")
            .uri("/v1/sign-in/code")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::COOKIE, cookie);
        self.send(request.body(Body::from(json!({"code": code}).to_string())).unwrap()).await
    }

    /// All of it; answers what the console finds, and the answer to its exchange.
    async fn by_issuer(&self, issuer: &Issuer, query: &str, claims: &Value) -> (String, Answer) {
        let begun = self.begin(query).await;
        let code = issuer.grants(&begun.asked, claims);
        let found = self.come_back(&begun.asked["state"], &begun.cookie, &code).await;
        let answer = self.exchange(&found, &begun.cookie).await;
        (found, answer)
    }
}

fn carol() -> Value {
    json!({"sub": "carol-1", "email": "Carol@acme.test", "email_verified": true})
}

#[tokio::test]
async fn an_issuer_signs_the_people_of_its_tenant_in() {
    let scratch = tempfile::tempdir().unwrap();
    let world = World::with_issuers(scratch.path()).await;
    let issuer = Issuer::start(&scratch.path().join("tls")).await;
    let acme = world.tenant("acme").await;
    let id = world.admin("carol@acme.test", "tenant-admin", Some("acme")).await;
    let set = world.call(&acme.key, "PUT", "/v1/tenants/acme/oidc", issuer.configuration()).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    assert_eq!(set.json()["redirect_uri"], format!("{PUBLIC}/v1/sign-in/oidc/callback"));
    assert!(set.json()["has_client_secret"] == true && !set.text.contains(SECRET), "{}", set.text);

    let begun = world.begin("?tenant=acme").await;
    assert_eq!(
        (begun.asked["response_type"].as_str(), begun.asked["code_challenge_method"].as_str()),
        ("code", "S256")
    );
    assert_eq!(
        (begun.asked["client_id"].as_str(), begun.asked["scope"].as_str()),
        ("restante", "openid email profile")
    );
    let code = issuer.grants(&begun.asked, &carol());
    let found = world.come_back(&begun.asked["state"], &begun.cookie, &code).await;
    assert!(found.starts_with("code=") && !found.contains('.'), "no token is in a URL: {found}");
    assert_eq!(world.exchange(&found, "").await.status, StatusCode::UNAUTHORIZED, "another browser");
    let other = world.begin("?tenant=acme").await;
    assert_eq!(world.exchange(&found, &other.cookie).await.status, StatusCode::UNAUTHORIZED, "of another sign-in");
    let answer = world.exchange(&found, &begun.cookie).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(world.exchange(&found, &begun.cookie).await.status, StatusCode::UNAUTHORIZED, "once");
    let (access, refresh) = tokens(&answer);
    let me = world.call(&access, "GET", "/v1/me", Value::Null).await.json();
    assert_eq!((me["id"].clone(), me["tenant"].clone()), (json!(id), json!("acme")));
    let sessions = world.call(&access, "GET", "/v1/sessions", Value::Null).await.json();
    assert_eq!(sessions["items"][0]["method"], "oidc");
    assert_eq!(world.refresh(&refresh).await.status, StatusCode::OK);

    // Linked, the subject counts, whatever the address has become.
    let moved = json!({"sub": "carol-1", "email": "dave@acme.test", "email_verified": true});
    let (_, answer) = world.by_issuer(&issuer, "?tenant=acme", &moved).await;
    let me = world.call(&tokens(&answer).0, "GET", "/v1/me", Value::Null).await.json();
    assert_eq!(me["id"], id);
}

#[tokio::test]
async fn what_an_issuer_says_must_be_for_this_moment_and_for_us() {
    let scratch = tempfile::tempdir().unwrap();
    let world = World::with_issuers(scratch.path()).await;
    let issuer = Issuer::start(&scratch.path().join("tls")).await;
    world.tenant("acme").await;
    world.admin("carol@acme.test", "tenant-admin", Some("acme")).await;
    world.call(&world.platform, "PUT", "/v1/tenants/acme/oidc", issuer.configuration()).await;
    let now = SystemClock.now().unix_seconds();
    for changes in [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"aud": "another"}),
        json!({"aud": ["restante", "another"]}),
        json!({"iss": "https://id.another.test"}),
        json!({"exp": now - 61}),
        json!({"iat": now + 120}),
        json!({"sub": null}),
        json!({"email_verified": false}),
        json!({"email": "nobody@acme.test"}),
    ] {
        let mut claims = carol();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let (found, _) = world.by_issuer(&issuer, "?tenant=acme", &claims).await;
        assert_eq!(found, "error=refused", "{changes}");
    }
    // A code of another sign-in: PKCE's verifier is not its.
    let (one, two) = (world.begin("?tenant=acme").await, world.begin("?tenant=acme").await);
    let code = issuer.grants(&one.asked, &carol());
    assert_eq!(world.come_back(&two.asked["state"], &two.cookie, &code).await, "error=refused", "a code of another");
    // The state of another browser, a changed one, none.
    let code = issuer.grants(&one.asked, &carol());
    for (state, cookie) in [
        (one.asked["state"].as_str(), two.cookie.as_str()),
        (one.asked["state"].as_str(), ""),
        ("", one.cookie.as_str()),
        ("AAAA", "restante-sign-in=AAAA"),
    ] {
        assert_eq!(world.come_back(state, cookie, &code).await, "error=refused", "{state} {cookie}");
    }
    // Taken once: the same answer again, and the same request with another code of the issuer, are refused.
    let found = world.come_back(&one.asked["state"], &one.cookie, &code).await;
    assert!(found.starts_with("code="), "{found}");
    assert_eq!(world.come_back(&one.asked["state"], &one.cookie, &code).await, "error=refused", "a replay");
    let another = issuer.grants(&one.asked, &carol());
    assert_eq!(world.come_back(&one.asked["state"], &one.cookie, &another).await, "error=refused", "a replayed state");
    assert_eq!(world.exchange(&found, &one.cookie).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_issuer_of_one_tenant_signs_nobody_of_another_in() {
    let scratch = tempfile::tempdir().unwrap();
    let world = World::with_issuers(scratch.path()).await;
    let issuer = Issuer::start(&scratch.path().join("tls")).await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.admin("carol@acme.test", "tenant-admin", Some("acme")).await;
    world.admin("root@platform.test", "platform-admin", None).await;
    // Everything that its tenant can allow it.
    let mut configuration = issuer.configuration();
    configuration["default_role"] = json!("tenant-admin");
    configuration["allowed_domains"] = json!(["globex.test", "acme.test", "platform.test"]);
    let set = world.call(&globex.key, "PUT", "/v1/tenants/globex/oidc", configuration.clone()).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    world.call(&acme.key, "PUT", "/v1/tenants/acme/oidc", issuer.configuration()).await;
    for email in ["carol@acme.test", "root@platform.test", "new@acme.test", "new@elsewhere.test"] {
        let claims = json!({"sub": email, "email": email, "email_verified": true});
        let (found, _) = world.by_issuer(&issuer, "?tenant=globex", &claims).await;
        assert_eq!(found, "error=refused", "{email}");
    }
    // The same issuer and subject, linked in one tenant, is nobody in the other.
    let (_, answer) = world.by_issuer(&issuer, "?tenant=acme", &carol()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let (found, _) = world.by_issuer(&issuer, "?tenant=globex", &carol()).await;
    assert_eq!(found, "error=refused");
    // A state of one tenant's request is not another's: the tenant is in it.
    let begun = world.begin("?tenant=globex").await;
    let code = issuer.grants(&begun.asked, &carol());
    assert_eq!(world.come_back(&begun.asked["state"], &begun.cookie, &code).await, "error=refused");

    // Somebody new, where the rules let them in.
    let gina = json!({"sub": "gina", "email": "gina@globex.test", "email_verified": true, "name": "Gina"});
    let (_, answer) = world.by_issuer(&issuer, "?tenant=globex", &gina).await;
    let me = world.call(&tokens(&answer).0, "GET", "/v1/me", Value::Null).await.json();
    assert_eq!((me["tenant"].clone(), me["role"].clone()), (json!("globex"), json!("tenant-admin")));
    assert_eq!((me["display_name"].clone(), me["has_password"].clone()), (json!("Gina"), json!(false)));

    // Roles by a claim, at each sign-in; the next request of an older one is refused then.
    configuration["role_claim"] = json!({"name": "groups", "roles": {"desk": "helpdesk", "boss": "tenant-admin"}});
    configuration["default_role"] = Value::Null;
    configuration["required_claim"] = json!({"name": "staff", "value": "yes"});
    let set = world.call(&globex.key, "PUT", "/v1/tenants/globex/oidc", configuration).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let claims = |groups: Value, staff: &str| json!({"sub": "gina", "email": "gina@globex.test", "email_verified": true, "groups": groups, "staff": staff});
    let (_, second) = world.by_issuer(&issuer, "?tenant=globex", &claims(json!(["desk"]), "yes")).await;
    let me = world.call(&tokens(&second).0, "GET", "/v1/me", Value::Null).await.json();
    assert_eq!(me["role"], "helpdesk", "{}", second.text);
    assert_eq!(world.me(&tokens(&answer).0).await, 401, "it says what is so no longer");
    for (groups, staff) in [(json!(["none"]), "yes"), (json!(["desk"]), "no")] {
        let (found, _) = world.by_issuer(&issuer, "?tenant=globex", &claims(groups, staff)).await;
        assert_eq!(found, "error=refused");
    }
}

#[tokio::test]
async fn who_may_set_an_issuer_and_what_it_may_be() {
    let scratch = tempfile::tempdir().unwrap();
    let world = World::with_issuers(scratch.path()).await;
    let issuer = Issuer::start(&scratch.path().join("tls")).await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let path = "/v1/tenants/acme/oidc";
    let set = issuer.configuration();
    assert_eq!(world.call(&acme.key, "GET", path, Value::Null).await.status, StatusCode::NOT_FOUND, "none yet");
    assert_eq!(world.call(&globex.key, "PUT", path, set.clone()).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        world.call(&acme.key, "PUT", "/v1/oidc", set.clone()).await.status,
        StatusCode::NOT_FOUND,
        "the platform's"
    );
    assert_eq!(world.call(&acme.key, "GET", "/v1/oidc", Value::Null).await.status, StatusCode::NOT_FOUND);
    for (changes, pointer) in [
        (json!({"issuer": "http://id.acme.test"}), "/issuer"),
        (json!({"issuer": "https://id.acme.test?x"}), "/issuer"),
        (json!({"client_id": ""}), "/client_id"),
        (json!({"default_role": "auditor"}), "/allowed_domains"),
        (json!({"default_role": "platform-admin", "allowed_domains": ["acme.test"]}), "/default_role"),
        (json!({"default_role": "domain-admin", "allowed_domains": ["acme.test"]}), "/default_role"),
        (json!({"role_claim": {"name": "g", "roles": {"x": "platform-admin"}}}), "/role_claim/roles"),
        (json!({"role_claim": {"name": "g", "roles": {"x": "god"}}}), "/role_claim/roles"),
        (json!({"role_claim": {"name": "g", "roles": {}}}), "/role_claim/roles"),
        (json!({"required_claim": {"name": ""}}), "/required_claim/value"),
        (json!({"extra_scopes": ["a b"]}), "/extra_scopes"),
    ] {
        let mut body = set.clone();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = world.call(&world.platform, "PUT", path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["errors"][0]["pointer"].as_str()),
            (422, Some(pointer)),
            "{changes}: {}",
            answer.text
        );
    }
    let first = world.call(&acme.key, "PUT", path, set.clone()).await;
    assert_eq!((first.status, first.header("etag")), (StatusCode::OK, "\"1\""), "{}", first.text);
    let stale = world.call_with(&acme.key, "PUT", path, set.clone(), &[("if-match", "\"7\"")]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let mut without = set.clone();
    without.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(world.call(&acme.key, "PUT", path, without.clone()).await.json()["has_client_secret"], true, "kept");
    without["client_id"] = json!("another");
    assert_eq!(
        world.call(&acme.key, "PUT", path, without.clone()).await.json()["has_client_secret"],
        false,
        "of another"
    );
    without["client_secret"] = Value::Null;
    assert_eq!(world.call(&acme.key, "PUT", path, without).await.json()["has_client_secret"], false);
    assert_eq!(world.call(&acme.key, "DELETE", path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(&acme.key, "DELETE", path, Value::Null).await.status, StatusCode::NOT_FOUND);

    // Without an issuer, without a tenant, and where the issuer is not to be reached.
    for (query, status) in [("?tenant=acme", 404), ("?tenant=nobody", 404), ("", 404)] {
        let answer = world.ask("GET", &format!("/v1/sign-in/oidc{query}"), Value::Null).await;
        assert_eq!(answer.status, status, "{query}");
    }
    let mut away = set;
    away["issuer"] = json!("https://169.254.169.254");
    world.call(&world.platform, "PUT", "/v1/oidc", away).await;
    let answer = world.ask("GET", "/v1/sign-in/oidc", Value::Null).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
}
