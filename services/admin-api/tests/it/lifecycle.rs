//! Everything can be made, read, listed, changed and deleted, in the bodies that others build on.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::World;

/// Takes out a time, having looked at its form.
fn without_time(mut body: Value, name: &str) -> Value {
    let taken = body.as_object_mut().unwrap().remove(name).unwrap();
    let text = taken.as_str().unwrap();
    assert!(text.len() >= 20 && text.ends_with('Z') && text.contains('T'), "{text} is RFC 3339 in UTC");
    body
}

/// A tenant's policy that decides nothing but this.
fn tenant_policy(decided: Value) -> Value {
    let mut policy = json!({
        "over_quota": null, "retention_days": null, "kept_quota_percent": null, "audit_days": null, "view": null, "dele": null, "exclusive": null,
        "login_delay_seconds": null, "expire_days": null, "scram_passwords": null, "legacy_mechanisms": null, "utf8": null,
        "sessions": {"per_account": null, "per_domain": null, "per_tenant": null, "per_address": null}, "oauth": null, "client_ca": null,
    });
    for (key, value) in decided.as_object().unwrap() {
        policy[key] = value.clone();
    }
    policy
}

#[tokio::test]
async fn a_tenant_lives() {
    let world = World::new().await;
    let key = &world.platform;
    let made = world.call(key, "POST", "/v1/tenants", json!({"slug": "acme", "name": "Acme"})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.header("location"), "/v1/tenants/acme");
    let expected = json!({
        "slug": "acme", "name": "Acme", "status": "active",
        "quota": {"octets": null, "messages": null, "accounts": null, "domains": null, "deliveries_per_hour": null}, "deleted_at": null,
        "policy": tenant_policy(json!({})),
    });
    assert_eq!(without_time(made.json(), "created_at"), expected);
    let read = world.call(key, "GET", "/v1/tenants/acme", Value::Null).await;
    assert_eq!(read.json(), made.json());
    assert_eq!(read.header("etag"), made.header("etag"));

    let patch = json!({"status": "suspended", "quota": {"octets": 1000}, "policy": {"over_quota": "defer", "retention_days": 30}});
    let tag = [("if-match", read.header("etag"))];
    let changed = world.call_with(key, "PATCH", "/v1/tenants/acme", patch, &tag).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.json()["status"], "suspended");
    assert_eq!(
        changed.json()["quota"],
        json!({"octets": 1000, "messages": null, "accounts": null, "domains": null, "deliveries_per_hour": null})
    );
    assert_eq!(changed.json()["policy"], tenant_policy(json!({"over_quota": "defer", "retention_days": 30})));
    let stale = world.call_with(key, "PATCH", "/v1/tenants/acme", json!({"name": "X"}), &tag).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let reset = world
        .call(
            key,
            "PATCH",
            "/v1/tenants/acme",
            json!({"quota": null, "status": "active", "policy": {"over_quota": null}}),
        )
        .await;
    assert_eq!(reset.json()["quota"]["octets"], Value::Null);
    assert_eq!(reset.json()["policy"], tenant_policy(json!({"retention_days": 30})));

    let usage = world.call(key, "GET", "/v1/tenants/acme/usage", Value::Null).await;
    let limits = json!({"domains": null, "accounts": null, "messages": null, "octets": null, "deliveries": null, "sessions": null});
    assert_eq!(
        usage.json(),
        json!({"domains": 0, "accounts": 0, "messages": 0, "octets": 0, "expunged_octets": 0, "deliveries": 0, "sessions": 0,
               "at": null, "limits": limits})
    );
    assert_eq!(world.call(key, "DELETE", "/v1/tenants/acme", Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(key, "GET", "/v1/tenants/acme", Value::Null).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        world.call(key, "GET", "/v1/tenants", Value::Null).await.json(),
        json!({"items": [], "next_cursor": null})
    );
}

#[tokio::test]
async fn a_domain_is_vouched_for_or_claimed() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let read = world.call(&acme.key, "GET", "/v1/domains/ACME.test", Value::Null).await;
    assert_eq!((read.json()["verified"].clone(), read.json()["tenant"].clone()), (json!(true), json!("acme")));

    let claimed = world.call(&acme.key, "POST", "/v1/domains", json!({"name": "b\u{fc}cher.test"})).await;
    assert_eq!(claimed.status, StatusCode::CREATED, "{}", claimed.text);
    assert_eq!(claimed.header("location"), "/v1/domains/xn--bcher-kva.test");
    assert_eq!((&claimed.json()["verified"], &claimed.json()["verified_at"]), (&json!(false), &Value::Null));
    assert!(claimed.json()["challenge"].as_str().unwrap().starts_with("restante-domain-verification="));
    let path = "/v1/domains/xn--bcher-kva.test/verify";
    assert_eq!(world.call(&acme.key, "POST", path, json!({"vouch": true})).await.status, StatusCode::FORBIDDEN);
    let vouched = world.call(&world.platform, "POST", &format!("{path}?tenant=acme"), json!({"vouch": true})).await;
    assert_eq!((vouched.status, vouched.json()["verified"].clone()), (StatusCode::OK, json!(true)));
    let changed = world
        .call(&acme.key, "PATCH", "/v1/domains/xn--bcher-kva.test", json!({"policy": {"over_quota": "reject"}}))
        .await;
    assert_eq!(changed.json()["policy"]["over_quota"], "reject");
    let list = world.call(&acme.key, "GET", "/v1/domains?tenant=acme", Value::Null).await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 2);
    let usage = world.call(&acme.key, "GET", "/v1/domains/acme.test/usage", Value::Null).await;
    assert_eq!(usage.status, StatusCode::OK);
    let deleted = world.call(&acme.key, "DELETE", "/v1/domains/xn--bcher-kva.test", Value::Null).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_account_lives() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let new = json!({
        "address": "Carol@acme.test", "password": "correct horse", "quota": {"octets": 1_000_000_000, "messages": 100_000},
    });
    let made = world.call(key, "POST", "/v1/accounts", new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("location"), "/v1/accounts/Carol@acme.test");
    let expected = json!({
        "address": "Carol@acme.test", "tenant": "acme", "domain": "acme.test", "status": "active", "has_password": true,
        "quota": {"octets": 1_000_000_000, "messages": 100_000, "deliveries_per_hour": null}, "deleted_at": null,
        "policy": {
            "over_quota": null, "view": null, "dele": null, "exclusive": null, "login_delay_seconds": null, "expire_days": null,
            "utf8": null, "sessions": {"per_account": null},
        },
    });
    assert_eq!(without_time(made.json(), "created_at"), expected);

    let path = "/v1/accounts/carol@acme.test";
    assert_eq!(world.call(key, "GET", path, Value::Null).await.json(), made.json());
    let suspended = world.call(key, "PATCH", path, json!({"status": "suspended", "quota": {"messages": null}})).await;
    assert_eq!(suspended.json()["status"], "suspended");
    assert_eq!(
        suspended.json()["quota"],
        json!({"octets": 1_000_000_000, "messages": null, "deliveries_per_hour": null})
    );
    assert_eq!(world.call(key, "PATCH", path, json!({"status": "active"})).await.json()["status"], "active");

    let password = format!("{path}/password");
    assert_eq!(
        world.call(key, "PUT", &password, json!({"password": "battery staple"})).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.call(key, "DELETE", &password, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(key, "GET", path, Value::Null).await.json()["has_password"], false);
    let hash = json!({"hash": "{SSHA}11HOqKcACeLy7xxeFJPOfoprDVSMMykT"});
    assert_eq!(world.call(key, "PUT", &password, hash).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(key, "GET", path, Value::Null).await.json()["has_password"], true);

    let policy =
        json!({"view": {"last_days": 30}, "dele": "hide", "expire_days": "never", "sessions": {"per_account": 2}});
    let changed = world.call(key, "PATCH", path, json!({"policy": policy})).await.json()["policy"].clone();
    assert_eq!((&changed["view"], &changed["sessions"]), (&policy["view"], &policy["sessions"]));
    let patch = json!({"policy": {"view": "new_for_device", "dele": null, "sessions": null}});
    let changed = world.call(key, "PATCH", path, patch).await.json()["policy"].clone();
    assert_eq!((&changed["view"], &changed["dele"]), (&json!("new_for_device"), &Value::Null));
    assert_eq!((&changed["expire_days"], &changed["sessions"]["per_account"]), (&json!("never"), &Value::Null));

    let usage = world.call(key, "GET", &format!("{path}/usage"), Value::Null).await;
    let limits = json!({"messages": null, "octets": 1_000_000_000, "deliveries": null, "sessions": null});
    assert_eq!(
        usage.json(),
        json!({"messages": 0, "octets": 0, "expunged_octets": 0, "deliveries": 0, "sessions": 0, "limits": limits})
    );
    assert_eq!(world.call(key, "DELETE", path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(key, "GET", path, Value::Null).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_app_password_shows_its_secret_once() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let path = "/v1/accounts/bob@acme.test/app-passwords";
    let new = json!({"name": "phone", "scopes": ["read"], "allowed_networks": ["192.0.2.7/24"], "expires_at": "2099-01-01T00:00:00Z"});
    let made = world.call(&acme.key, "POST", path, new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let mut body = made.json();
    let secret = body.as_object_mut().unwrap().remove("secret").unwrap();
    assert!(secret.as_str().unwrap().starts_with("rst-"));
    let id = body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("{path}/{id}"));
    assert_eq!(body["allowed_networks"], json!(["192.0.2.0/24"]));
    assert_eq!(body["scopes"], json!(["read"]));
    assert_eq!(world.call(&acme.key, "GET", &format!("{path}/{id}"), Value::Null).await.json(), body);
    assert_eq!(
        world.call(&acme.key, "GET", path, Value::Null).await.json(),
        json!({"items": [body], "next_cursor": null})
    );
    assert_eq!(
        world.call(&acme.key, "DELETE", &format!("{path}/{id}"), Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        world.call(&acme.key, "DELETE", &format!("{path}/{id}"), Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_alias_and_a_catch_all_live() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let new = json!({"address": "*@acme.test", "targets": ["alice@acme.test", "bob@acme.test"]});
    let made = world.call(key, "POST", "/v1/aliases", new.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("location"), "/v1/aliases/*@acme.test");
    let expected =
        json!({"address": "*@acme.test", "tenant": "acme", "domain": "acme.test", "targets": new["targets"]});
    assert_eq!(without_time(made.json(), "created_at"), expected);
    let got = world.call(key, "GET", "/v1/aliases/*@acme.test", Value::Null).await.json();
    assert_eq!(got, made.json());
    let tag = made.header("etag").to_owned();
    let changed = world
        .call_with(
            key,
            "PATCH",
            "/v1/aliases/*@acme.test",
            json!({"targets": ["bob@acme.test"]}),
            &[("if-match", &tag)],
        )
        .await;
    assert_eq!(changed.json()["targets"], json!(["bob@acme.test"]));
    let stale = world.call_with(key, "DELETE", "/v1/aliases/*@acme.test", Value::Null, &[("if-match", &tag)]).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let list = world.call(key, "GET", "/v1/aliases?domain=acme.test", Value::Null).await.json();
    let addresses: Vec<_> = list["items"].as_array().unwrap().iter().map(|alias| alias["address"].clone()).collect();
    assert_eq!(addresses, ["*@acme.test", "info@acme.test"]);
    assert_eq!(world.call(key, "DELETE", "/v1/aliases/*@acme.test", Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(key, "GET", "/v1/aliases/*@acme.test", Value::Null).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_api_key_works_until_it_is_revoked() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let made = world.call(&acme.key, "POST", "/v1/api-keys", json!({"name": "ci", "role": "tenant-admin"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let mut body = made.json();
    let secret = body.as_object_mut().unwrap().remove("secret").unwrap();
    let id = body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/api-keys/{id}"));
    assert_eq!(body["tenant"], "acme");
    let secret = secret.as_str().unwrap();
    assert!(secret.starts_with("rsk-"));
    let mut read = world.call(secret, "GET", &format!("/v1/api-keys/{id}"), Value::Null).await.json();
    assert!(read["last_used_at"].is_string(), "just now: {read}");
    read["last_used_at"] = Value::Null;
    assert_eq!(read, body);
    let list = world.call(secret, "GET", "/v1/api-keys", Value::Null).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        world.call(secret, "DELETE", &format!("/v1/api-keys/{id}"), Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.call(secret, "GET", "/v1/api-keys", Value::Null).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let mut seen = Vec::new();
    let mut path = "/v1/accounts?limit=1".to_owned();
    loop {
        let page = world.call(&acme.key, "GET", &path, Value::Null).await.json();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|account| account["address"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/accounts?limit=1&cursor={cursor}");
    }
    assert_eq!(seen, ["alice@acme.test", "bob@acme.test"]);
}
