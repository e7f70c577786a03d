//! People: they sign in, ask, refresh, sign out; and what is refused bites at once.

use admin_api::Config;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Answer, World};

pub(crate) const PASSWORD: &str = "correct horse";

/// A world whose failures are answered at once: their moment has a test of its own.
pub(crate) async fn world() -> World {
    World::with(Config { refusal_ms: 0, ..Config::default() }).await
}

impl World {
    /// A request of somebody who is not proved yet.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }

    /// Makes an administrator with the password; answers the id.
    pub(crate) async fn admin(&self, name: &str, role: &str, tenant: Option<&str>) -> String {
        let domains = (role == "domain-admin").then(|| json!([format!("{}.test", tenant.unwrap())]));
        let body = json!({"name": name, "role": role, "tenant": tenant, "password": PASSWORD, "domains": domains});
        self.make("/v1/admins", body).await["id"].as_str().unwrap().to_owned()
    }

    /// Signs in; answers access and refresh token.
    pub(crate) async fn sign_in(&self, name: &str) -> (String, String) {
        let answer = self.ask("POST", "/v1/sign-in", json!({"name": name, "password": PASSWORD})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        tokens(&answer)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.ask("POST", "/v1/sign-in/refresh", json!({"refresh_token": token})).await
    }

    /// The status of a request for oneself.
    pub(crate) async fn me(&self, token: &str) -> u16 {
        self.call(token, "GET", "/v1/me", Value::Null).await.status.as_u16()
    }
}

pub(crate) fn tokens(answer: &Answer) -> (String, String) {
    let (json, text) = (answer.json(), |value: &Value| value.as_str().unwrap_or_default().to_owned());
    (text(&json["access_token"]), text(&json["refresh_token"]))
}

#[tokio::test]
async fn a_person_signs_in_asks_refreshes_and_signs_out() {
    let world = world().await;
    world.tenant("acme").await;
    let id = world.admin("Carol@Acme.test", "tenant-admin", Some("acme")).await;
    let answer = world.ask("POST", "/v1/sign-in", json!({"name": "carol@acme.test", "password": PASSWORD})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(
        (answer.json()["token_type"].clone(), answer.json()["expires_in"].clone()),
        (json!("Bearer"), json!(300))
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let (access, refresh) = tokens(&answer);

    let me = world.call(&access, "GET", "/v1/me", Value::Null).await.json();
    assert_eq!((me["id"].clone(), me["name"].clone()), (json!(id), json!("carol@acme.test")));
    assert_eq!((me["role"].clone(), me["tenant"].clone()), (json!("tenant-admin"), json!("acme")));
    assert!(me["permissions"].as_array().unwrap().contains(&json!("admins:write")), "{me}");
    assert!(!me["permissions"].as_array().unwrap().contains(&json!("messages:raw")), "{me}");
    let domains = world.call(&access, "GET", "/v1/domains", Value::Null).await.json();
    assert_eq!(domains["items"][0]["name"], "acme.test");
    let forbidden = world.call(&access, "POST", "/v1/tenants", json!({"slug": "x", "name": "x"})).await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);

    let sessions = world.call(&access, "GET", "/v1/sessions", Value::Null).await.json();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (sessions["items"][0]["current"].clone(), sessions["items"][0]["id"].clone()),
        (json!(true), me["session"].clone())
    );

    let refreshed = world.refresh(&refresh).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text);
    let (newer, next) = tokens(&refreshed);
    assert_eq!((world.me(&access).await, world.me(&newer).await), (200, 200));
    let out = world.call(&newer, "POST", "/v1/sign-out", Value::Null).await;
    assert_eq!((out.status, out.json()), (StatusCode::OK, json!({"ended": 1})));
    assert_eq!((world.me(&access).await, world.me(&newer).await), (401, 401), "at once");
    assert_eq!(world.refresh(&next).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_failure_of_a_sign_in_is_one_answer() {
    let world = world().await;
    world.tenant("acme").await;
    world.admin("carol@acme.test", "tenant-admin", Some("acme")).await;
    let suspended = world.admin("sue@acme.test", "helpdesk", Some("acme")).await;
    let change = json!({"status": "suspended"});
    world.call(&world.platform, "PATCH", &format!("/v1/admins/{suspended}"), change).await;
    world.make("/v1/admins", json!({"name": "nopass@acme.test", "role": "auditor", "tenant": "acme"})).await;
    let mut answers = Vec::new();
    for (name, password) in [
        ("carol@acme.test", "wrong horse"),
        ("nobody@acme.test", PASSWORD),
        ("alice@acme.test", PASSWORD),
        ("no address", PASSWORD),
        ("sue@acme.test", PASSWORD),
        ("nopass@acme.test", ""),
        ("nopass@acme.test", PASSWORD),
        ("carol+x@acme.test", PASSWORD),
        ("carol@acme.test", &"x".repeat(1025)),
    ] {
        let answer = world.ask("POST", "/v1/sign-in", json!({"name": name, "password": password})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {}", answer.text);
        assert_eq!(answer.json()["type"], "/problems/sign-in-refused");
        answers.push(answer.without_request_id());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    world.sign_in("carol@acme.test").await;
}

#[tokio::test]
async fn failures_have_one_moment_and_slow_the_next_ones_down() {
    let world = World::with(Config { refusal_ms: 300, ..Config::default() }).await;
    world.tenant("acme").await;
    world.admin("carol@acme.test", "tenant-admin", Some("acme")).await;
    let attempt = async |name: &str, password: String| {
        let began = tokio::time::Instant::now();
        let answer = world.ask("POST", "/v1/sign-in", json!({"name": name, "password": password})).await;
        // Never before its moment; how much later is the machine's affair.
        assert!(began.elapsed().as_millis() >= 300, "{name}");
        answer
    };
    for name in ["carol@acme.test", "nobody@acme.test"] {
        let tries: Vec<_> = (0..10).map(|n| attempt(name, format!("wrong horse {n}"))).collect();
        let mut refused = Vec::new();
        for one in tries {
            refused.push(one.await.status);
        }
        assert_eq!(refused, [StatusCode::UNAUTHORIZED; 10], "{name}");
    }
    let mut answers = Vec::new();
    for name in ["carol@acme.test", "nobody@acme.test"] {
        let answer = attempt(name, PASSWORD.to_owned()).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{name}: {}", answer.text);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
        answers.push(answer.without_request_id());
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_refresh_token_that_is_shown_twice_ends_its_sign_in() {
    let world = world().await;
    world.admin("root@platform.test", "platform-admin", None).await;
    let (access, first) = world.sign_in("root@platform.test").await;
    let (other, _) = world.sign_in("root@platform.test").await;
    let (newer, second) = tokens(&world.refresh(&first).await);
    assert_eq!(world.refresh(&first).await.status, StatusCode::UNAUTHORIZED, "spent");
    assert_eq!((world.me(&access).await, world.me(&newer).await), (401, 401));
    assert_eq!(world.refresh(&second).await.status, StatusCode::UNAUTHORIZED, "the family has ended");
    assert_eq!(world.me(&other).await, 200, "another sign-in is another family");
    // What is no token of ours is refused, and ends nothing.
    let (_, token) = world.sign_in("root@platform.test").await;
    for forged in ["", "x", "rsf-", &token.replace('A', "B"), &token[..token.len() - 4]] {
        assert_eq!(world.refresh(forged).await.status, StatusCode::UNAUTHORIZED, "{forged}");
    }
    assert_eq!(world.refresh(&token).await.status, StatusCode::OK);
}
