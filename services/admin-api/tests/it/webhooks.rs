//! Webhooks as those who make them see them; how they are told is the worker's, and tested there.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::World;

#[tokio::test]
async fn a_webhook_lives() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = acme.key.as_str();
    let new = json!({"url": "https://hooks.acme.test/x?y=z", "events": ["account.*", "domain.verify"], "description": "ours"});
    let made = world.call(key, "POST", "/v1/webhooks", new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let (path, secret) = (made.header("location").to_owned(), made.json()["secret"].as_str().unwrap().to_owned());
    assert!(secret.starts_with("rsw-") && secret.len() == 56, "{secret}");
    let read = world.call(key, "GET", &path, Value::Null).await;
    let mut shown = made.json();
    shown.as_object_mut().unwrap().remove("secret");
    assert_eq!(read.json(), shown);
    assert_eq!((read.json()["tenant"].clone(), read.json()["enabled"].clone()), (json!("acme"), json!(true)));
    assert_eq!(read.header("etag"), made.header("etag"));

    let change = json!({"events": ["*"], "description": null});
    let changed = world.call_with(key, "PATCH", &path, change.clone(), &[("if-match", read.header("etag"))]).await;
    assert_eq!((changed.json()["events"].clone(), changed.json()["description"].clone()), (json!(["*"]), json!("")));
    let lost = world.call_with(key, "PATCH", &path, change, &[("if-match", read.header("etag"))]).await;
    assert_eq!(lost.status, StatusCode::PRECONDITION_FAILED);
    let rotated = world.call(key, "POST", &format!("{path}/rotate-secret"), Value::Null).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.text);
    assert_ne!(rotated.json()["secret"], json!(secret));
    assert!(rotated.json()["old_secret_until"].is_string());
    assert_ne!(rotated.header("etag"), changed.header("etag"));

    // What happens from now on is queued, for this webhook and no other tenant's.
    let globex = world.tenant("globex").await;
    world.make("/v1/accounts", json!({"address": "carol@acme.test"})).await;
    let deliveries = world.call(key, "GET", &format!("{path}/deliveries"), Value::Null).await.json();
    let queued = deliveries["items"].as_array().unwrap();
    assert!(queued.iter().any(|one| one["event_type"] == "account.create" && one["state"] == "due"), "{deliveries}");
    let tested = world.call(key, "POST", &format!("{path}/test"), Value::Null).await;
    assert_eq!((tested.status, tested.json()["event_type"].clone()), (StatusCode::CREATED, json!("webhook.test")));
    let one = world.call(key, "GET", tested.header("location"), Value::Null).await.json();
    assert_eq!(one["payload"]["id"], one["event_id"]);
    assert_eq!((one["attempts"].clone(), one["response_code"].clone()), (json!(0), Value::Null));
    let again = world.call(key, "POST", &format!("{}/redeliver", tested.header("location")), Value::Null).await;
    assert_eq!((again.status, again.json()["id"].clone()), (StatusCode::OK, one["id"].clone()));
    let page = world.call(key, "GET", &format!("{path}/deliveries?limit=1&state=due"), Value::Null).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = world.call(key, "GET", &format!("{path}/deliveries?limit=1&cursor={cursor}"), Value::Null).await.json();
    assert_ne!(page["items"][0]["id"], next["items"][0]["id"]);
    let none = world.call(key, "GET", &format!("{path}/deliveries?state=dead"), Value::Null).await.json();
    assert_eq!(none["items"], json!([]));

    // The platform's own belongs to no tenant, and no tenant sees it.
    let own = world.make("/v1/webhooks", json!({"url": "https://hooks.example.net/", "events": ["*"]})).await;
    assert_eq!(own["tenant"], Value::Null);
    let lists = async |key: &str| {
        world.call(key, "GET", "/v1/webhooks", Value::Null).await.json()["items"].as_array().unwrap().len()
    };
    assert_eq!((lists(key).await, lists(&globex.key).await, lists(&world.platform).await), (1, 0, 2));
    world.make("/v1/accounts", json!({"address": "carol@globex.test"})).await;
    let told = format!("/v1/webhooks/{}/deliveries", own["id"].as_str().unwrap());
    let told = world.call(&world.platform, "GET", &told, Value::Null).await.json();
    assert!(told["items"].as_array().unwrap().iter().any(|one| one["event_type"] == "account.create"));

    assert_eq!(world.call(key, "DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(key, "GET", &path, Value::Null).await.status, StatusCode::NOT_FOUND);
    // Nothing of its secrets is anywhere in the trail.
    let trail = world.call(key, "GET", "/v1/audit-events?limit=500", Value::Null).await.text;
    assert!(trail.contains("webhook.rotate-secret") && !trail.contains("rsw-"), "{trail}");
}

#[tokio::test]
async fn what_a_webhook_cannot_be_is_refused() {
    let world = World::new().await;
    world.tenant("acme").await;
    let good = json!({"url": "https://hooks.acme.test/", "events": ["account.*"], "tenant": "acme"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, pointer) in [
        (with("url", json!("http://hooks.acme.test/")), "/url"),
        (with("url", json!("ftp://hooks.acme.test/")), "/url"),
        (with("url", json!("hooks.acme.test")), "/url"),
        (with("url", json!("https://alice:secret@hooks.acme.test/")), "/url"),
        (with("url", json!("https://127.0.0.1/")), "/url"),
        (with("url", json!("https://2130706433/")), "/url"),
        (with("url", json!("https://[::ffff:10.0.0.1]/")), "/url"),
        (with("url", json!("https://169.254.169.254/")), "/url"),
        (with("url", json!(format!("https://hooks.acme.test/{}", "x".repeat(2000)))), "/url"),
        (with("events", json!([])), "/events"),
        (with("events", json!(["account.*", "message.*"])), "/events/1"),
        (with("events", json!(["account.%"])), "/events/0"),
        (with("events", json!(vec!["*"; 51])), "/events"),
        (with("description", json!("x".repeat(201))), "/description"),
        (with("tenant", json!("nobody")), "/tenant"),
        (with("secret", json!("mine")), "/secret"),
    ] {
        let answer = world.call(&world.platform, "POST", "/v1/webhooks", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["errors"][0]["pointer"].clone()),
            (422, json!(pointer)),
            "{body}"
        );
    }
    for _ in 0..20 {
        world.make("/v1/webhooks", good.clone()).await;
    }
    let answer = world.call(&world.platform, "POST", "/v1/webhooks", good).await;
    assert_eq!(answer.json()["type"], "/problems/limit-reached");
}
