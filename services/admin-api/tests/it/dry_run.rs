//! `?dry_run=true`: a change is judged as it would be, told, and not done.

use serde_json::{Value, json};

use crate::support::World;

/// What a change answers and records, tried first and then done, must be the same but for what is made anew each time.
async fn tried_then_done(world: &World, method: &str, path: &str, body: Value) {
    let before = world.fingerprint().await;
    let tried = world.call(&world.platform, method, &format!("{path}?dry_run=true"), body.clone()).await;
    assert_eq!(tried.status, 200, "{method} {path}: {}", tried.text);
    assert_eq!(tried.header("dry-run"), "true");
    assert_eq!(world.fingerprint().await, before, "{method} {path}: something was done");
    let tried = tried.json();

    let done = world.call(&world.platform, method, path, body).await;
    assert_eq!(tried["status"], done.status.as_u16(), "{method} {path}: {}", done.text);
    assert_eq!(lasting(tried["result"].clone()), lasting(done.json()), "{method} {path}");
    let recorded = world.audited(done.header("x-request-id")).await;
    assert_eq!(lasting(tried["effects"].clone()), lasting(Value::Array(recorded)), "{method} {path}");
    assert!(method == "GET" || world.fingerprint().await != before, "{method} {path}: nothing was done");
}

/// The value without numbers and moments that are new each time.
fn lasting(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let new = ["id", "secret", "created_at", "verified_at", "challenge", "unique_id", "received_at", "etag"];
            let rest = object.into_iter().filter(|(name, _)| !new.contains(&name.as_str()));
            Value::Object(rest.map(|(name, value)| (name, lasting(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lasting).collect()),
        Value::String(text) if text.starts_with("key_") || text.starts_with("cred_") => "an id".into(),
        other => other,
    }
}

#[tokio::test]
async fn what_is_tried_is_what_is_done() {
    let world = World::new().await;
    for (method, path, body) in [
        ("POST", "/v1/tenants", json!({"slug": "acme", "name": "Acme"})),
        ("PATCH", "/v1/tenants/acme", json!({"quota": {"accounts": 7}})),
        ("POST", "/v1/domains", json!({"name": "acme.test", "tenant": "acme"})),
        ("PATCH", "/v1/domains/acme.test", json!({"policy": {"legacy_mechanisms": true}})),
        ("POST", "/v1/accounts", json!({"address": "alice@acme.test", "password": "correct horse battery"})),
        ("POST", "/v1/accounts", json!({"address": "bob@acme.test"})),
        ("PATCH", "/v1/accounts/bob@acme.test", json!({"status": "suspended", "quota": {"messages": 5}})),
        ("PUT", "/v1/accounts/bob@acme.test/password", json!({"password": "correct horse battery"})),
        ("DELETE", "/v1/accounts/bob@acme.test/password", Value::Null),
        ("POST", "/v1/accounts/alice@acme.test/app-passwords", json!({"name": "phone"})),
        ("POST", "/v1/aliases", json!({"address": "info@acme.test", "targets": ["alice@acme.test"]})),
        ("PATCH", "/v1/aliases/info@acme.test", json!({"targets": ["bob@acme.test"]})),
        ("POST", "/v1/api-keys", json!({"name": "ci", "tenant": "acme", "role": "auditor"})),
        ("DELETE", "/v1/aliases/info@acme.test", Value::Null),
        ("DELETE", "/v1/accounts/bob@acme.test", Value::Null),
    ] {
        tried_then_done(&world, method, path, body).await;
    }
}

#[tokio::test]
async fn changes_of_identity_are_tried() {
    let world = World::new().await;
    world.tenant("acme").await;
    let new = json!({"name": "dave@acme.test", "role": "auditor", "tenant": "acme", "password": "correct horse"});
    tried_then_done(&world, "POST", "/v1/admins", new).await;
    let carol = format!("/v1/admins/{}", world.admin("carol@acme.test", "auditor", Some("acme")).await);
    let (access, _) = world.sign_in("carol@acme.test").await;
    let me = world.call(&access, "GET", "/v1/me", Value::Null).await.json();
    let key = world.make("/v1/api-keys", json!({"name": "ci", "tenant": "acme", "role": "auditor"})).await;
    let key = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    let issuer = json!({"issuer": "https://id.acme.test", "client_id": "x", "client_secret": "hunter2"});
    for (method, path, body) in [
        ("PATCH", carol.as_str(), json!({"role": "helpdesk"})),
        ("DELETE", &format!("/v1/sessions/{}", me["session"].as_str().unwrap()), Value::Null),
        ("PUT", &format!("{carol}/password"), json!({"password": "battery staple"})),
        ("DELETE", &format!("{carol}/totp"), Value::Null),
        ("DELETE", &carol, Value::Null),
        ("PATCH", &key, json!({"name": "new", "allowed_networks": ["192.0.2.0/24"]})),
        ("DELETE", &key, Value::Null),
        ("PUT", "/v1/tenants/acme/oidc", issuer.clone()),
        ("PUT", "/v1/oidc", issuer),
        ("DELETE", "/v1/tenants/acme/oidc", Value::Null),
    ] {
        tried_then_done(&world, method, path, body).await;
    }
    // A trial shows no secret, and what was tried is not in force.
    let (access, _) = {
        world.admin("root@platform.test", "platform-admin", None).await;
        world.sign_in("root@platform.test").await
    };
    let before = world.fingerprint().await;
    let tried = world.call(&access, "POST", "/v1/me/totp?dry_run=true", json!({"password": "correct horse"})).await;
    assert_eq!((tried.status.as_u16(), tried.json()["result"].clone()), (200, json!({})), "{}", tried.text);
    assert_eq!(world.fingerprint().await, before);
}

#[tokio::test]
async fn a_trial_is_refused_as_the_change_would_be() {
    let world = World::new().await;
    world.tenant("acme").await;
    for (method, path, body) in [
        ("POST", "/v1/tenants", json!({"slug": "acme", "name": "again"})),
        ("POST", "/v1/accounts", json!({"address": "alice@acme.test"})),
        ("POST", "/v1/accounts", json!({"address": "x@nobody.test"})),
        ("DELETE", "/v1/accounts/alice@acme.test", Value::Null),
        ("DELETE", "/v1/tenants/acme", Value::Null),
        ("PATCH", "/v1/accounts/nobody@acme.test", json!({"status": "active"})),
    ] {
        let tried = world.call(&world.platform, method, &format!("{path}?dry_run=true"), body.clone()).await;
        let done = world.call(&world.platform, method, path, body).await;
        assert!(done.status.is_client_error(), "{method} {path}");
        assert_eq!(tried.status, done.status, "{method} {path}");
        assert_eq!(tried.without_request_id(), done.without_request_id(), "{method} {path}");
    }
    for (query, pointer) in [("dry_run=yes", "/dry_run"), ("dry_run=true&dry_run=true", "/dry_run"), ("x=1", "/x")] {
        let answer =
            world.call(&world.platform, "DELETE", &format!("/v1/accounts/alice@acme.test?{query}"), Value::Null).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn a_restore_is_tried_and_a_delivery_too() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.post_message(&acme.key, "alice@acme.test", "").await;
    let session = world.quit("alice@acme.test", 1, &[1]).await;
    let undo = format!("/v1/accounts/alice@acme.test/sessions/{session}/undo");
    tried_then_done(&world, "POST", &undo, Value::Null).await;
    let before = world.fingerprint().await;
    let tried = world.post_message(&acme.key, "alice@acme.test", "?dry_run=true").await;
    assert_eq!((tried.status.as_u16(), tried.json()["status"].as_u64()), (200, Some(201)), "{}", tried.text);
    assert_eq!(world.fingerprint().await, before);
    let done = world.post_message(&acme.key, "alice@acme.test", "").await;
    assert_eq!(tried.json()["result"]["octets"], done.json()["octets"]);
}
