//! Every refusal is a precise problem.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Answer, World};

#[track_caller]
fn check(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let body = answer.json();
    assert_eq!(body["type"], format!("/problems/{code}"), "{what}: {}", answer.text);
    assert_eq!(body["status"], status, "{what}");
    assert!(body["title"].is_string() && body["detail"].is_string(), "{what}");
    assert_eq!(body["request_id"], answer.header("x-request-id"), "{what}");
}

#[track_caller]
fn check_fields(what: &str, answer: &Answer, expected: &[(&str, &str)]) {
    check(what, answer, 422, "invalid");
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    let mut got: Vec<_> =
        errors.iter().map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())).collect();
    got.sort_unstable();
    assert_eq!(got, expected, "{what}: {}", answer.text);
}

#[tokio::test]
async fn who_has_no_valid_key_gets_one_answer() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for value in
        ["", "Bearer", "Bearer x", "Basic x", "Bearer rsk-0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"]
    {
        let mut request = Request::builder().uri("/v1/tenants");
        if !value.is_empty() {
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        check(value, &answer, 401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"restante\"");
        answers.push(answer.without_request_id());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Nothing of the body is looked at before the key.
    let request = Request::builder().method("POST").uri("/v1/tenants").body(Body::from("{")).unwrap();
    check("no key, bad body", &world.send(request).await, 401, "unauthorized");
}

#[tokio::test]
async fn paths_methods_and_media_types() {
    let world = World::new().await;
    let key = &world.platform;
    for path in ["/nothing", "/v1", "/v1/nothing", "/docs/nothing.js", "/v1/tenants/acme/nothing", "/problems/nothing"]
    {
        check(path, &world.call(key, "GET", path, Value::Null).await, 404, "not-found");
    }
    let answer = world.call(key, "PUT", "/v1/tenants", json!({})).await;
    check("PUT", &answer, 405, "method-not-allowed");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
    let bad_path = world.call(key, "GET", "/v1/tenants/%ff", Value::Null).await;
    check("a path that is not UTF-8", &bad_path, 400, "bad-request");

    let send = async |media_type: Option<&str>, body: Body| {
        let mut request = Request::builder().method("POST").uri("/v1/tenants");
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        world.send(request.body(body).unwrap()).await
    };
    check("no type", &send(None, Body::from("{}")).await, 415, "unsupported-media-type");
    check("text", &send(Some("text/plain"), Body::from("{}")).await, 415, "unsupported-media-type");
    let json = Some("application/json; charset=utf-8");
    for body in ["", "{", "{\"slug\":}", "nonsense", "{} {}", "\u{feff}{}"] {
        check(body, &send(json, Body::from(body)).await, 400, "not-json");
    }
    check("not UTF-8", &send(json, Body::from(vec![b'"', 0xff, b'"'])).await, 400, "not-json");
    check("deep", &send(json, Body::from("[".repeat(10_000))).await, 400, "not-json");
    check("large", &send(json, Body::from(vec![b' '; 300_000])).await, 413, "too-large");
    for body in ["[]", "1", "null", "\"x\""] {
        check_fields(body, &send(json, Body::from(body)).await, &[("", "invalid_type")]);
    }
}

#[tokio::test]
async fn fields_of_tenants_and_domains() {
    let world = World::new().await;
    world.tenant("acme").await;
    let key = &world.platform;
    let post = async |path: &str, body: Value| world.call(key, "POST", path, body).await;
    for (body, expected) in [
        (json!({}), vec![("/name", "required"), ("/slug", "required")]),
        (json!({"slug": "a", "name": "A", "colour": 1}), vec![("/colour", "unknown_field")]),
        (json!({"slug": "A B", "name": 1}), vec![("/name", "invalid_type"), ("/slug", "invalid")]),
        (json!({"slug": "a".repeat(64), "name": "A"}), vec![("/slug", "invalid")]),
        (json!({"slug": "a", "name": "A".repeat(201)}), vec![("/name", "too_long")]),
        (json!({"slug": "a", "name": " "}), vec![("/name", "required")]),
        (
            json!({"slug": "a", "name": "A", "quota": {"octets": -1, "domains": 1.5, "x": 0}}),
            vec![("/quota/domains", "invalid_type"), ("/quota/octets", "out_of_range"), ("/quota/x", "unknown_field")],
        ),
        (
            json!({"slug": "a", "name": "A", "policy": {"over_quota": "shrug", "retention_days": 0, "kept_quota_percent": 1001}}),
            vec![
                ("/policy/kept_quota_percent", "out_of_range"),
                ("/policy/over_quota", "invalid"),
                ("/policy/retention_days", "out_of_range"),
            ],
        ),
    ] {
        let answer = post("/v1/tenants", body.clone()).await;
        check_fields(&body.to_string(), &answer, &expected);
    }
    check("slug taken", &post("/v1/tenants", json!({"slug": "acme", "name": "A"})).await, 409, "duplicate");
    check("in use", &world.call(key, "DELETE", "/v1/tenants/acme", Value::Null).await, 409, "in-use");
    check_fields(
        "status",
        &world.call(key, "PATCH", "/v1/tenants/acme", json!({"status": null, "slug": "b"})).await,
        &[("/slug", "unknown_field"), ("/status", "invalid_type")],
    );

    for (body, expected) in [
        (json!({"name": "no_underscores.test", "tenant": "acme"}), ("/name", "invalid")),
        (json!({"name": "[127.0.0.1]", "tenant": "acme"}), ("/name", "invalid")),
        (json!({"name": "a.".repeat(200), "tenant": "acme"}), ("/name", "invalid")),
        (json!({"name": "x.test"}), ("/tenant", "required")),
        (json!({"name": "x.test", "tenant": "nobody"}), ("/tenant", "not_found")),
        (
            json!({"name": "x.test", "tenant": "acme", "policy": {"retention_days": 3}}),
            ("/policy/retention_days", "unknown_field"),
        ),
    ] {
        let answer = post("/v1/domains", body.clone()).await;
        check_fields(&body.to_string(), &answer, &[expected]);
    }
    check("name taken", &post("/v1/domains", json!({"name": "Acme.test", "tenant": "acme"})).await, 409, "duplicate");
    check("in use", &world.call(key, "DELETE", "/v1/domains/acme.test", Value::Null).await, 409, "in-use");
    check_fields(
        "vouch",
        &post("/v1/domains/acme.test/verify", json!({"vouch": "yes"})).await,
        &[("/vouch", "invalid_type")],
    );
}

#[tokio::test]
async fn fields_of_accounts_aliases_and_credentials() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let post = async |path: &str, body: Value| world.call(key, "POST", path, body).await;
    for (body, expected) in [
        (json!({"address": "no-at"}), ("/address", "invalid")),
        (json!({"address": format!("{}@acme.test", "x".repeat(65))}), ("/address", "invalid")),
        (json!({"address": "a b@acme.test"}), ("/address", "invalid")),
        (json!({"address": "a+b@acme.test"}), ("/address", "invalid")),
        (json!({"address": "*@acme.test"}), ("/address", "invalid")),
        (json!({"address": "a@elsewhere.test"}), ("/address", "not_found")),
        (json!({"address": "a@acme.test", "password": "short"}), ("/password", "too_short")),
        (json!({"address": "a@acme.test", "password": "x".repeat(1025)}), ("/password", "too_long")),
        (json!({"address": "a@acme.test", "password": "with\r\nbreak"}), ("/password", "invalid")),
        (
            json!({"address": "a@acme.test", "quota": {"messages": 3_000_000_000_u64}}),
            ("/quota/messages", "out_of_range"),
        ),
        (json!({"address": "a@acme.test", "quota": 5}), ("/quota", "invalid_type")),
    ] {
        let answer = post("/v1/accounts", body.clone()).await;
        check_fields(&body.to_string(), &answer, &[expected]);
        assert!(!answer.text.contains("break"), "no secret comes back");
    }
    for taken in ["alice@acme.test", "Info@acme.test"] {
        check(taken, &post("/v1/accounts", json!({"address": taken})).await, 409, "duplicate");
    }
    check("in use", &world.call(key, "DELETE", "/v1/accounts/alice@acme.test", Value::Null).await, 409, "in-use");

    for (body, expected) in [
        (json!({"address": "x@acme.test"}), ("/targets", "required")),
        (json!({"address": "x@acme.test", "targets": []}), ("/targets", "required")),
        (json!({"address": "x@acme.test", "targets": "alice@acme.test"}), ("/targets", "invalid_type")),
        (json!({"address": "x@acme.test", "targets": vec!["alice@acme.test"; 101]}), ("/targets", "too_long")),
        (
            json!({"address": "x@acme.test", "targets": ["alice@acme.test", "nobody@acme.test"]}),
            ("/targets/1", "not_found"),
        ),
        (json!({"address": "x@acme.test", "targets": ["info@acme.test"]}), ("/targets/0", "not_found")),
        (json!({"address": "x+y@acme.test", "targets": ["alice@acme.test"]}), ("/address", "invalid")),
        (json!({"address": "x@elsewhere.test", "targets": ["alice@acme.test"]}), ("/address", "not_found")),
    ] {
        let answer = post("/v1/aliases", body.clone()).await;
        check_fields(&body.to_string(), &answer, &[expected]);
    }
    let taken = json!({"address": "bob@acme.test", "targets": ["alice@acme.test"]});
    check("taken", &post("/v1/aliases", taken).await, 409, "duplicate");

    for (body, expected) in [
        (json!({"name": ""}), ("/name", "required")),
        (json!({"name": "x".repeat(101)}), ("/name", "too_long")),
        (json!({"name": "x", "scopes": ["delete"]}), ("/scopes", "invalid")),
        (json!({"name": "x", "scopes": ["read", "write"]}), ("/scopes/1", "invalid")),
        (json!({"name": "x", "allowed_networks": ["example.com"]}), ("/allowed_networks/0", "invalid")),
        (json!({"name": "x", "expires_at": "tomorrow"}), ("/expires_at", "invalid")),
        (json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}), ("/expires_at", "out_of_range")),
        (json!({"name": "x", "legacy": true}), ("/legacy", "not_allowed")),
        (json!({"name": "x", "policy": {"view": "some"}}), ("/policy/view", "invalid")),
        (json!({"name": "x", "policy": {"view": {"last_days": 0}}}), ("/policy/view/last_days", "out_of_range")),
        (json!({"name": "x", "policy": {"exclusive": true}}), ("/policy/exclusive", "unknown_field")),
    ] {
        let answer = post("/v1/accounts/alice@acme.test/app-passwords", body.clone()).await;
        check_fields(&body.to_string(), &answer, &[expected]);
    }
    let answer = world.call(key, "PUT", "/v1/accounts/alice@acme.test/password", json!({"password": "short"})).await;
    check_fields("short", &answer, &[("/password", "too_short")]);
    for (body, expected) in [
        (json!({}), ("/password", "required")),
        (json!({"hash": "correct horse"}), ("/hash", "invalid")),
        (
            json!({"hash": "{SSHA}11HOqKcACeLy7xxeFJPOfoprDVSMMykT", "password": "correct horse"}),
            ("/password", "unknown_field"),
        ),
    ] {
        let answer = world.call(key, "PUT", "/v1/accounts/alice@acme.test/password", body.clone()).await;
        check_fields(&body.to_string(), &answer, &[expected]);
    }

    check_fields("role", &post("/v1/api-keys", json!({"name": "x", "role": "god"})).await, &[("/role", "invalid")]);
    check("role", &post("/v1/api-keys", json!({"name": "x", "role": "platform-admin"})).await, 403, "forbidden");
}

#[tokio::test]
async fn limits_and_query_parameters() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let limit = json!({"quota": {"accounts": 2, "domains": 1}});
    assert_eq!(world.call(&world.platform, "PATCH", "/v1/tenants/acme", limit).await.status, StatusCode::OK);
    let full = world.call(&acme.key, "POST", "/v1/accounts", json!({"address": "third@acme.test"})).await;
    check("accounts", &full, 409, "limit-reached");
    check(
        "domains",
        &world.call(&acme.key, "POST", "/v1/domains", json!({"name": "x.test"})).await,
        409,
        "limit-reached",
    );

    let get = async |path: &str| world.call(&acme.key, "GET", path, Value::Null).await;
    for (query, pointer, code) in [
        ("limit=0", "/limit", "out_of_range"),
        ("limit=501", "/limit", "out_of_range"),
        ("limit=x", "/limit", "out_of_range"),
        ("limit=1&limit=2", "/limit", "invalid"),
        ("cursor=!", "/cursor", "invalid"),
        ("tenant=A%20B", "/tenant", "invalid"),
        ("domain=a_b", "/domain", "invalid"),
        ("order=name", "/order", "unknown_field"),
    ] {
        check_fields(query, &get(&format!("/v1/accounts?{query}")).await, &[(pointer, code)]);
    }
}

#[tokio::test]
async fn what_only_the_platform_may_do_is_forbidden_to_a_tenant() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    for (method, path, body) in [
        ("POST", "/v1/tenants", json!({"slug": "x", "name": "X"})),
        ("PATCH", "/v1/tenants/acme", json!({"quota": {"octets": 1}})),
        ("DELETE", "/v1/tenants/acme", Value::Null),
        ("POST", "/v1/domains/acme.test/verify", json!({"vouch": true})),
    ] {
        check(path, &world.call(&acme.key, method, path, body).await, 403, "forbidden");
    }
}

#[tokio::test]
async fn without_the_database_everything_is_to_be_tried_again() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.pool.close().await;
    for (method, path, body) in [
        ("GET", "/v1/accounts/alice@acme.test", Value::Null),
        ("POST", "/v1/accounts", json!({"address": "carol@acme.test", "password": "correct horse"})),
    ] {
        let answer = world.call(&acme.key, method, path, body).await;
        check(path, &answer, 503, "unavailable");
        assert_eq!(answer.header("retry-after"), "2");
    }
}
