//! What holds for every operation alike: bounds on how often one may ask, headers, compression, other origins.

use std::net::IpAddr;

use admin_api::{Config, Origin, RateLimitSettings};
use axum::body::Body;
use axum::http::{Request, header};
use net::Peer;
use serde_json::{Value, json};

use crate::support::{Answer, World, operations};

fn from(address: [u8; 4], key: &str) -> Request<Body> {
    let mut request = Request::builder().uri("/v1/tenants");
    if !key.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer { address: Some(IpAddr::from(address)), unix: false });
    request
}

fn limited(answer: &Answer) -> bool {
    let code = answer.json()["type"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), code.as_str()) == (429, "/problems/rate-limited")
}

#[tokio::test]
async fn a_caller_that_asks_too_often_waits() {
    // So slow that none comes back during the test.
    let rate_limit = RateLimitSettings { window_seconds: 3600, per_caller: 3, ..RateLimitSettings::default() };
    let world = World::with(Config { rate_limit, ..Config::default() }).await;
    for left in [2, 1, 0] {
        let answer = world.call(&world.platform, "GET", "/v1/tenants", Value::Null).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"caller\";q=3;w=3600");
        assert!(answer.header("ratelimit").starts_with(&format!("\"caller\";r={left};t=")), "{left}");
        assert_eq!(answer.header("retry-after"), "");
    }
    let refused = world.call(&world.platform, "GET", "/v1/tenants/nobody", Value::Null).await;
    assert!(limited(&refused), "{}", refused.text);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.header("ratelimit").starts_with("\"caller\";r=0;t=36"), "{}", refused.header("ratelimit"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
}

#[tokio::test]
async fn wrong_keys_are_bounded_by_address_and_lock_nobody_else_out() {
    let rate_limit =
        RateLimitSettings { window_seconds: 3600, failures_per_address: 2, ..RateLimitSettings::default() };
    let world = World::with(Config { rate_limit, ..Config::default() }).await;
    let (bad, good) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    assert_eq!(world.send(from(bad, &world.platform)).await.status, 200);
    for _ in 0..2 {
        assert_eq!(world.send(from(bad, "rsk-wrong")).await.status, 401);
    }
    let refused = world.send(from(bad, "rsk-wrong")).await;
    assert!(limited(&refused), "{}", refused.text);
    assert!(refused.header("ratelimit-policy").starts_with("\"failures\";q=2"), "{:?}", refused.headers);
    // A key that was right here lately still is, and other addresses are not concerned.
    assert_eq!(world.send(from(bad, &world.platform)).await.status, 200);
    assert_eq!(world.send(from(good, "rsk-wrong")).await.status, 401);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_browsers() {
    let world = World::with(Config { hsts_seconds: 31_536_000, ..Config::default() }).await;
    for (path, status) in [
        ("/v1/tenants", 200),
        ("/v1/nothing", 404),
        ("/v1/openapi.json", 200),
        ("/problems/not-found", 200),
        ("/docs/", 200),
        ("/docs/swagger-ui.css", 200),
        ("/", 307),
    ] {
        let answer = world.call(&world.platform, "GET", path, Value::Null).await;
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(policy.contains("script-src 'self'"), path.starts_with("/docs"), "{path}");
        assert!(!policy.contains("unsafe-eval") && !policy.contains("script-src 'self' 'unsafe"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        assert!(answer.header("x-request-id").len() == 36, "{path}");
    }
    let world = World::new().await;
    let answer = world.call(&world.platform, "GET", "/v1/tenants", Value::Null).await;
    assert_eq!(answer.header("strict-transport-security"), "");
}

#[tokio::test]
async fn the_servers_request_id_is_nobodys_to_choose() {
    let world = World::new().await;
    let given = "0a4f7c8e-1b2d-4f60-a1b2-c3d4e5f60718";
    let answer = world.call_with(&world.platform, "GET", "/v1/tenants", Value::Null, &[("x-request-id", given)]).await;
    assert!(answer.header("x-request-id") != given && answer.header("x-request-id").len() == 36);
}

#[tokio::test]
async fn only_named_origins_may_ask_from_a_browser() {
    let origin = "https://console.example.com";
    let preflight = |origin: &str| {
        Request::builder()
            .method("OPTIONS")
            .uri("/v1/tenants")
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,if-match")
            .body(Body::empty())
            .unwrap()
    };
    let closed = World::new().await;
    let answer = closed.send(preflight(origin)).await;
    assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{:?}", answer.headers);

    let cors_origins = vec![Origin::try_from(origin.to_owned()).unwrap()];
    let open = World::with(Config { cors_origins, ..Config::default() }).await;
    let answer = open.send(preflight(origin)).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, origin));
    assert!(answer.header("access-control-allow-methods").contains("PATCH"));
    assert!(answer.header("access-control-allow-headers").contains("if-match"));
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert_eq!(open.send(preflight("https://evil.example")).await.header("access-control-allow-origin"), "");
    // A refusal can be read by the page too, and what it is told by headers.
    for (path, status) in [("/v1/tenants", 200), ("/v1/tenants/nobody", 404)] {
        let answer = open.call_with(&open.platform, "GET", path, Value::Null, &[("origin", origin)]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), origin, "{path}");
        assert!(answer.header("access-control-expose-headers").contains("etag"), "{path}");
        assert!(answer.header("vary").contains("origin"), "{path}");
    }
}

#[tokio::test]
async fn long_lists_are_compressed_and_secrets_never() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    for n in 0..20 {
        world.make("/v1/aliases", json!({"address": format!("a{n}@acme.test"), "targets": ["alice@acme.test"]})).await;
    }
    let gzip = [("accept-encoding", "gzip, br")];
    let encoding = async |method: &str, path: &str, body: Value| {
        let answer = world.call_with(&acme.key, method, path, body, &gzip).await;
        assert!(answer.status.is_success() || answer.status == 404, "{path}: {}", answer.status);
        answer.header("content-encoding").to_owned()
    };
    assert_eq!(encoding("GET", "/v1/aliases", Value::Null).await, "gzip");
    assert_eq!(encoding("GET", "/v1/openapi.json", Value::Null).await, "gzip");
    assert_eq!(encoding("GET", "/docs/swagger-ui-bundle.js", Value::Null).await, "gzip");
    // Short; with an ETag; refused; and, whatever its length, with a secret.
    assert_eq!(encoding("GET", "/v1/aliases?limit=1", Value::Null).await, "");
    assert_eq!(encoding("GET", "/v1/aliases/info@acme.test", Value::Null).await, "");
    assert_eq!(encoding("GET", "/v1/aliases/none@acme.test", Value::Null).await, "");
    let networks: Vec<String> = (0..50).map(|n| format!("2001:db8:1234:5678:9abc:def0:{n}:0/112")).collect();
    let body = json!({"name": "x".repeat(100), "allowed_networks": networks});
    let answer = world.call_with(&acme.key, "POST", "/v1/accounts/alice@acme.test/app-passwords", body, &gzip).await;
    assert!(answer.text.len() > 1024 && answer.json()["secret"].is_string(), "{}", answer.text);
    assert_eq!(answer.header("content-encoding"), "");
}

/// An operation that answers a secret does so to a change: those are never compressed.
#[tokio::test]
async fn no_get_answers_a_secret() {
    let document = admin_api::openapi();
    for operation in operations().iter().filter(|operation| operation.method == "get") {
        let shown = &operation.document["responses"]["200"]["content"]["application/json"]["example"];
        assert!(shown.get("secret").is_none(), "{}", operation.path);
    }
    assert!(document.to_string().contains("\"secret\""));
}
