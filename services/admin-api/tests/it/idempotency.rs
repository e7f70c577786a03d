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

/// Fifty clients with one key and one request: one thing is made, and everybody gets the one answer, some after having been told to
/// come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_at_once_one_is_done_and_all_are_answered() {
    let world = std::sync::Arc::new(World::new().await);
    let acme = world.tenant("acme").await;
    let body = json!({"address": "carol@acme.test", "password": "correct horse battery"});
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (world, key, body) = (world.clone(), acme.key.clone(), body.clone());
        clients.spawn(async move {
            let mut turned_away = 0;
            loop {
                let once = [("idempotency-key", "k50")];
                let answer = world.call_with(&key, "POST", "/v1/accounts", body.clone(), &once).await;
                if answer.status != StatusCode::CONFLICT {
                    return (turned_away, answer);
                }
                assert_eq!(answer.json()["type"], "/problems/under-way", "{}", answer.text);
                assert_eq!(answer.header("retry-after"), "2");
                turned_away += 1;
                tokio::task::yield_now().await;
            }
        });
    }
    let answers = clients.join_all().await;
    let first = answers.iter().find(|(_, answer)| answer.header("idempotency-replayed").is_empty()).unwrap();
    assert_eq!(first.1.status, StatusCode::CREATED, "{}", first.1.text);
    for (_, answer) in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        for name in ["location", "etag"] {
            assert_eq!(answer.header(name), first.1.header(name));
        }
        assert_eq!(answer.json(), first.1.json());
    }
    let fresh = answers.iter().filter(|(_, answer)| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(fresh, 1, "one was done, the others told of it");
    let list = world.call(&acme.key, "GET", "/v1/accounts", Value::Null).await.json();
    let carols = list["items"].as_array().unwrap().iter().filter(|one| one["address"] == "carol@acme.test").count();
    assert_eq!(carols, 1);
    // Kept for a day, by the database's clock.
    let pool = world.superuser().await;
    let age = "UPDATE restante.idempotency SET expires_at = expires_at - interval '24 hours'";
    let kept =
        "SELECT expires_at BETWEEN clock_timestamp() + interval '23 hours' AND clock_timestamp() + interval '24 hours'
                  FROM restante.idempotency WHERE idem_key = 'k50'";
    assert!(sqlx::query_scalar::<_, bool>(kept).fetch_one(&pool).await.unwrap());
    sqlx::query(age).execute(&pool).await.unwrap();
    let once = [("idempotency-key", "k50")];
    let again = world.call_with(&acme.key, "POST", "/v1/accounts", body, &once).await;
    assert_eq!(again.json()["type"], "/problems/duplicate", "a day later it is a request of its own");
}

/// Fifty clients change what they all read: one wins, nobody's change is lost unseen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_changes_of_one_version_one_is_made() {
    let world = std::sync::Arc::new(World::new().await);
    let acme = world.tenant("acme").await;
    for (path, change) in [("/v1/accounts/alice@acme.test", "messages"), ("/v1/tenants/acme", "accounts")] {
        let read = world.call(&world.platform, "GET", path, Value::Null).await;
        let version = read.header("etag").to_owned();
        let mut clients = tokio::task::JoinSet::new();
        for n in 1..=50 {
            let (world, version) = (world.clone(), version.clone());
            clients.spawn(async move {
                let body = json!({"quota": {change: 100 + n}});
                (n, world.call_with(&world.platform, "PATCH", path, body, &[("if-match", &version)]).await)
            });
        }
        let answers = clients.join_all().await;
        let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.status == StatusCode::OK).collect();
        assert_eq!(won.len(), 1, "{path}");
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != StatusCode::OK) {
            assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{}", answer.text);
            assert_eq!(answer.json()["type"], "/problems/precondition-failed");
        }
        let now = world.call(&world.platform, "GET", path, Value::Null).await;
        assert_eq!(now.json()["quota"][change], 100 + won[0].0, "{path}");
        assert_eq!(now.header("etag"), won[0].1.header("etag"));
    }
    drop(acme);
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
