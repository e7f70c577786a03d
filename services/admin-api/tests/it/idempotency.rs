//! `Idempotency-Key`.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::World;

#[tokio::test]
async fn the_same_request_again_is_answered_again_without_the_secret() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let path = "/v1/accounts/bob@acme.test/app-passwords";
    let once = [("idempotency-key", "k1")];
    let first = world.call_with(&acme.key, "POST", path, json!({"name": "phone"}), &once).await;
    let again = world.call_with(&acme.key, "POST", path, json!({"name": "phone"}), &once).await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let mut expected = first.json();
    assert!(expected.as_object_mut().unwrap().remove("secret").is_some());
    assert_eq!(again.json(), expected);
    let list = world.call(&acme.key, "GET", path, Value::Null).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    let other = world.call_with(&acme.key, "POST", path, json!({"name": "laptop"}), &once).await;
    assert_eq!(
        (other.status, other.json()["type"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!("/problems/invalid"))
    );
    // Another caller's key of the same name is another key.
    let platform = world.call_with(&world.platform, "POST", path, json!({"name": "laptop"}), &once).await;
    assert_eq!(platform.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_refused_request_can_be_mended_under_its_key() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let once = [("idempotency-key", "k1")];
    let taken = world.call_with(&acme.key, "POST", "/v1/accounts", json!({"address": "bob@acme.test"}), &once).await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    let free = world.call_with(&acme.key, "POST", "/v1/accounts", json!({"address": "carol@acme.test"}), &once).await;
    assert_eq!(free.status, StatusCode::CREATED, "{}", free.text);
    let long = "x".repeat(256);
    let long = [("idempotency-key", long.as_str())];
    let refused = world.call_with(&acme.key, "POST", "/v1/accounts", json!({"address": "dan@acme.test"}), &long).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_message_sent_twice_is_delivered_once() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let path = "/v1/accounts/alice@acme.test/messages";
    let post = async |text: &'static str| {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", acme.key))
            .header(header::CONTENT_TYPE, "message/rfc822")
            .header("idempotency-key", "m1");
        world.send(request.body(Body::from(text)).unwrap()).await
    };
    let (first, again) = (post("Subject: x\r\n\r\n").await, post("Subject: x\r\n\r\n").await);
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    assert_eq!(first.json(), again.json());
    assert_eq!(post("Subject: y\r\n\r\n").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let list = world.call(&acme.key, "GET", path, Value::Null).await.json();
    assert_eq!(list["items"], json!([first.json()]));
}

#[tokio::test]
async fn of_requests_at_the_same_moment_one_is_done() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let path = "/v1/accounts/bob@acme.test/app-passwords";
    let once = [("idempotency-key", "k1")];
    let send = || world.call_with(&acme.key, "POST", path, json!({"name": "phone"}), &once);
    let (a, b, c) = tokio::join!(send(), send(), send());
    for answer in [&a, &b, &c] {
        assert!(matches!(answer.status, StatusCode::CREATED | StatusCode::CONFLICT), "{}", answer.text);
    }
    assert_eq!([&a, &b, &c].iter().filter(|answer| answer.json()["secret"].is_string()).count(), 1);
    let list = world.call(&acme.key, "GET", path, Value::Null).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}
