//! Delivery over HTTP, and what a maildrop is seen to hold.

use admin_api::Config;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Answer, World};

async fn post(world: &World, key: &str, path: &str, body: Body) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .header(header::CONTENT_TYPE, "message/rfc822");
    world.send(request.body(body).unwrap()).await
}

const INBOX: &str = "/v1/accounts/alice@acme.test/messages";

#[tokio::test]
async fn what_was_posted_is_listed_and_counted() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let mut made = Vec::new();
    for (query, text) in [("", "Subject: one\r\n\r\n.one\r\n"), ("?sender=a@b.test", "bare\nlines\0"), ("?sender=", "")]
    {
        let answer = post(&world, &acme.key, &format!("{INBOX}{query}"), Body::from(text)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let body = answer.json();
        assert_eq!(answer.header("location"), format!("{INBOX}/{}", body["unique_id"].as_str().unwrap()));
        assert_eq!(world.call(&acme.key, "GET", answer.header("location"), Value::Null).await.json(), body);
        made.push(body);
    }
    let list = world.call(&acme.key, "GET", INBOX, Value::Null).await;
    assert_eq!(list.json(), json!({"items": made, "next_cursor": null}));
    let page = world.call(&acme.key, "GET", &format!("{INBOX}?limit=2"), Value::Null).await.json();
    assert_eq!(page["items"], json!([made[0], made[1]]));
    let next = format!("{INBOX}?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(
        world.call(&acme.key, "GET", &next, Value::Null).await.json(),
        json!({"items": [made[2]], "next_cursor": null})
    );

    let octets: u64 = made.iter().map(|one| one["octets"].as_u64().unwrap()).sum();
    let usage = world.call(&acme.key, "GET", "/v1/accounts/alice@acme.test/usage", Value::Null).await;
    let unlimited = json!({"messages": null, "octets": null, "deliveries": null, "sessions": null});
    assert_eq!(
        usage.json(),
        json!({"messages": 3, "octets": octets, "expunged_octets": 0, "deliveries": 3, "sessions": 0, "limits": unlimited})
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let world = World::with(Config { max_message_octets: 1000, ..Config::default() }).await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let problem =
        |answer: &Answer| (answer.status.as_u16(), answer.json()["type"].as_str().unwrap_or_default().to_owned());
    let is = |status: u16, code: &str| (status, format!("/problems/{code}"));

    let large = futures_util::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 100]))));
    assert_eq!(problem(&post(&world, key, INBOX, Body::from_stream(large)).await), is(413, "too-large"));
    let broken = futures_util::stream::iter([Ok(Bytes::from("half")), Err(std::io::Error::other("gone"))]);
    assert_eq!(problem(&post(&world, key, INBOX, Body::from_stream(broken)).await), is(400, "bad-request"));
    let answer = world.call(key, "POST", INBOX, json!({"text": "x"})).await;
    assert_eq!(problem(&answer), is(415, "unsupported-media-type"));
    let answer = post(&world, key, &format!("{INBOX}?sender=a%0d%0ab"), Body::from("x")).await;
    assert_eq!(
        (problem(&answer), answer.json()["errors"][0]["pointer"].clone()),
        (is(422, "invalid"), json!("/sender"))
    );
    let answer = post(&world, key, "/v1/accounts/info@acme.test/messages", Body::from("x")).await;
    assert_eq!(problem(&answer), is(404, "not-found"), "an alias is no account");

    world.call(key, "PATCH", "/v1/accounts/alice@acme.test", json!({"quota": {"octets": 50}})).await;
    assert_eq!(problem(&post(&world, key, INBOX, Body::from("x")).await), is(409, "over-quota"));
    world.call(&world.platform, "PATCH", "/v1/tenants/acme", json!({"status": "suspended"})).await;
    assert_eq!(problem(&post(&world, key, INBOX, Body::from("x")).await), is(409, "suspended"));
    let list = world.call(key, "GET", INBOX, Value::Null).await;
    assert_eq!(list.json(), json!({"items": [], "next_cursor": null}), "nothing of all that was stored");
}
