//! `?dry_run=true`: a change is judged as it would be, told, and not done.

use serde_json::{Value, json};

use crate::support::{World, operations};

/// What a change answers and records, tried first and then done, must be the same but for what is made anew each time.
async fn tried_then_done(world: &World, method: &str, path: &str, body: Value) {
    let before = world.fingerprint().await;
    let tried = world.call(&world.platform, method, &trial_of(path), body.clone()).await;
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

fn trial_of(path: &str) -> String {
    format!("{path}{}dry_run=true", if path.contains('?') { '&' } else { '?' })
}

/// The value without numbers and moments that are new each time.
fn lasting(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let new = [
                "id",
                "secret",
                "created_at",
                "verified_at",
                "challenge",
                "unique_id",
                "received_at",
                "etag",
                "deleted_at",
                "next_attempt_at",
                "old_secret_until",
            ];
            let rest = object.into_iter().filter(|(name, _)| !new.contains(&name.as_str()));
            Value::Object(rest.map(|(name, value)| (name, lasting(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lasting).collect()),
        Value::String(text) if ["key_", "cred_", "hook_", "dlv_", "evt_"].iter().any(|kind| text.starts_with(kind)) => {
            "an id".into()
        }
        other => other,
    }
}

/// Every change that the document has is tried and done here.
#[tokio::test]
async fn what_is_tried_is_what_is_done() {
    let world = World::new().await;
    let mut done: Vec<(&str, String)> = Vec::new();
    for (method, path, body) in [
        ("POST", "/v1/tenants", json!({"slug": "acme", "name": "Acme"})),
        ("PATCH", "/v1/tenants/acme", json!({"quota": {"accounts": 7}})),
        ("POST", "/v1/domains", json!({"name": "acme.test", "tenant": "acme"})),
        ("PATCH", "/v1/domains/acme.test", json!({"policy": {"legacy_mechanisms": true}})),
        ("POST", "/v1/domains/acme.test/verify", json!({"vouch": true})),
        ("POST", "/v1/accounts", json!({"address": "alice@acme.test", "password": "correct horse battery"})),
        ("POST", "/v1/accounts", json!({"address": "bob@acme.test"})),
        ("PATCH", "/v1/accounts/bob@acme.test", json!({"status": "suspended", "quota": {"messages": 5}})),
        ("PUT", "/v1/accounts/bob@acme.test/password", json!({"password": "correct horse battery"})),
        ("DELETE", "/v1/accounts/bob@acme.test/password", Value::Null),
        ("POST", "/v1/accounts/alice@acme.test/app-passwords", json!({"name": "phone"})),
        ("DELETE", "/v1/accounts/alice@acme.test/app-passwords/<id>", Value::Null),
        ("POST", "/v1/aliases", json!({"address": "info@acme.test", "targets": ["alice@acme.test"]})),
        ("PATCH", "/v1/aliases/info@acme.test", json!({"targets": ["bob@acme.test"]})),
        ("POST", "/v1/api-keys", json!({"name": "ci", "tenant": "acme", "role": "auditor"})),
        ("DELETE", "/v1/api-keys/<id>", Value::Null),
        ("DELETE", "/v1/aliases/info@acme.test", Value::Null),
        ("DELETE", "/v1/accounts/bob@acme.test", Value::Null),
        ("POST", "/v1/accounts/bob@acme.test/restore", Value::Null),
        ("DELETE", "/v1/domains/acme.test?cascade=true", Value::Null),
        ("POST", "/v1/domains/acme.test/restore", Value::Null),
        ("DELETE", "/v1/tenants/acme?cascade=true", Value::Null),
        ("POST", "/v1/tenants/acme/restore", Value::Null),
    ] {
        let path = of_the_newest(&world, path).await;
        tried_then_done(&world, method, &path, body).await;
        done.push((method, path));
    }

    // A claim is vouched for, and given up.
    world.make("/v1/tenants", json!({"slug": "gone", "name": "Gone"})).await;
    let key = world.make("/v1/api-keys", json!({"name": "own", "tenant": "gone", "role": "tenant-admin"})).await;
    let claim = world.call(key["secret"].as_str().unwrap(), "POST", "/v1/domains", json!({"name": "gone.test"})).await;
    assert_eq!(claim.status, 201, "{}", claim.text);
    world.call(&world.platform, "DELETE", &format!("/v1/api-keys/{}", key["id"].as_str().unwrap()), Value::Null).await;
    for (method, path, body) in [
        ("POST", "/v1/domains/gone.test/verify", json!({"vouch": true})),
        ("DELETE", "/v1/domains/gone.test", Value::Null),
        ("DELETE", "/v1/tenants/gone", Value::Null),
    ] {
        tried_then_done(&world, method, path, body).await;
        done.push((method, path.to_owned()));
    }

    // What comes and goes through a maildrop.
    let inbox = "/v1/accounts/alice@acme.test/messages";
    world.post_message(&world.platform, "alice@acme.test", "").await;
    world.post_message(&world.platform, "alice@acme.test", "").await;
    let first = world.quit("alice@acme.test", 1, &[1]).await;
    let second = world.quit("alice@acme.test", 1, &[2]).await;
    for (method, path, body) in [
        ("POST", format!("/v1/accounts/alice@acme.test/sessions/{first}/undo"), Value::Null),
        ("POST", format!("{inbox}/restore"), json!({"session": second})),
    ] {
        tried_then_done(&world, method, &path, body).await;
        done.push((method, path));
    }
    a_delivery_is_tried_and_done(&world).await;
    done.push(("POST", inbox.to_owned()));

    // An operation that is new has no line above yet.
    let without = operations().into_iter().filter(|one| {
        let tried = |(method, path): &(&str, String)| one.method == method.to_lowercase() && one.takes(path);
        one.has_parameter("dry_run") && !done.iter().any(tried)
    });
    let without: Vec<String> = without.map(|one| format!("{} {}", one.method, one.path)).collect();
    assert!(without.is_empty(), "never tried: {without:?}");
}

/// `<id>` in a path is the newest thing of its list.
async fn of_the_newest(world: &World, path: &str) -> String {
    let Some((list, rest)) = path.split_once("/<id>") else { return path.to_owned() };
    let items = world.call(&world.platform, "GET", list, Value::Null).await.json();
    let newest = items["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    format!("{list}/{newest}{rest}")
}

#[tokio::test]
async fn webhooks_are_tried() {
    let world = World::new().await;
    world.tenant("acme").await;
    let new = json!({"url": "https://hooks.acme.test/", "events": ["account.*"], "tenant": "acme"});
    tried_then_done(&world, "POST", "/v1/webhooks", new.clone()).await;
    let hook = world.make("/v1/webhooks", new).await["id"].as_str().unwrap().to_owned();
    let at = |rest: &str| format!("/v1/webhooks/{hook}{rest}");
    tried_then_done(&world, "PATCH", &at(""), json!({"enabled": false, "description": "x"})).await;
    tried_then_done(&world, "POST", &at("/rotate-secret"), Value::Null).await;
    tried_then_done(&world, "POST", &at("/test"), Value::Null).await;
    let list = world.call(&world.platform, "GET", &at("/deliveries"), Value::Null).await.json();
    let delivery = list["items"][0]["id"].as_str().unwrap().to_owned();
    tried_then_done(&world, "POST", &at(&format!("/deliveries/{delivery}/redeliver")), Value::Null).await;
    tried_then_done(&world, "DELETE", &at(""), Value::Null).await;
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

/// A message has no unique-id and no moment before it is there.
async fn a_delivery_is_tried_and_done(world: &World) {
    let before = world.fingerprint().await;
    let tried = world.post_message(&world.platform, "alice@acme.test", "?dry_run=true").await;
    assert_eq!((tried.status.as_u16(), tried.json()["status"].as_u64()), (200, Some(201)), "{}", tried.text);
    assert_eq!(world.fingerprint().await, before);
    let done = world.post_message(&world.platform, "alice@acme.test", "").await;
    assert_eq!(tried.json()["result"]["octets"], done.json()["octets"]);
}

/// Whatever changes something can be tried; who signs in changes nothing that could.
#[test]
fn every_change_can_be_tried() {
    for one in operations() {
        let changes = one.method != "get" && one.document["x-permission"] != "none";
        assert_eq!(one.has_parameter("dry_run"), changes, "{} {}", one.method, one.path);
    }
}
