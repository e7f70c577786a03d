//! What was expunged is found and brought back.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Answer, World};

const INBOX: &str = "/v1/accounts/alice@acme.test/messages";
const EXPUNGED: &str = "/v1/accounts/alice@acme.test/messages/expunged";
const RESTORE: &str = "/v1/accounts/alice@acme.test/messages/restore";
const SESSIONS: &str = "/v1/accounts/alice@acme.test/sessions";

/// Delivers to alice; answers each as it is listed.
async fn fill(world: &World, count: usize) -> Vec<Value> {
    let mut made = Vec::new();
    for n in 0..count {
        let request = Request::builder()
            .method("POST")
            .uri(INBOX)
            .header(header::AUTHORIZATION, format!("Bearer {}", world.platform))
            .header(header::CONTENT_TYPE, "message/rfc822")
            .body(Body::from(format!("Subject: {n}\r\n\r\n{n}\r\n")));
        let answer = world.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        made.push(answer.json());
    }
    made
}

async fn items(world: &World, key: &str, path: &str) -> Vec<Value> {
    let answer = world.call(key, "GET", path, Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    answer.json()["items"].as_array().unwrap().clone()
}

fn octets(messages: &[&Value]) -> u64 {
    messages.iter().map(|message| message["octets"].as_u64().unwrap()).sum()
}

fn problem(answer: &Answer) -> (u16, String, Value) {
    let json = answer.json();
    (answer.status.as_u16(), json["type"].as_str().unwrap_or_default().to_owned(), json["errors"][0]["pointer"].clone())
}

#[tokio::test]
async fn a_session_is_found_and_undone() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let made = fill(&world, 3).await;
    let first = world.quit("alice@acme.test", 7, &[1, 3]).await;
    let second = world.quit("alice@acme.test", 0, &[2]).await;
    assert_eq!(items(&world, key, INBOX).await, [] as [Value; 0]);

    let expunged = items(&world, key, EXPUNGED).await;
    let ids = |list: &[Value]| list.iter().map(|one| one["unique_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&expunged)[0], made[1]["unique_id"]);
    assert_eq!((&expunged[0]["session"], &expunged[0]["octets"]), (&json!(second), &made[1]["octets"]));
    let fields: Vec<&String> = expunged[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["expunged_at", "octets", "purge_day", "received_at", "session", "unique_id"]);
    let page = world.call(key, "GET", &format!("{EXPUNGED}?limit=2"), Value::Null).await.json();
    let next = format!("{EXPUNGED}?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = items(&world, key, &next).await;
    assert_eq!([ids(page["items"].as_array().unwrap()), ids(&rest)].concat(), ids(&expunged));
    assert_eq!(ids(&items(&world, key, &format!("{EXPUNGED}?session={second}")).await), [made[1]["unique_id"].clone()]);
    let at = expunged[0]["expunged_at"].as_str().unwrap();
    assert_eq!(items(&world, key, &format!("{EXPUNGED}?since={at}")).await.len(), 1);
    assert_eq!(items(&world, key, &format!("{EXPUNGED}?until={at}")).await.len(), 2);

    let sessions = items(&world, key, SESSIONS).await;
    assert_eq!(sessions.len(), 2);
    let session = sessions.iter().find(|session| session["id"] == json!(first)).unwrap();
    let mut shown = session.clone();
    for time in ["started_at", "ended_at"] {
        assert!(shown.as_object_mut().unwrap().remove(time).unwrap().as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(
        shown,
        json!({
            "id": first, "address": "192.0.2.1", "client": null, "mechanism": "PLAIN", "tls": "implicit", "credential": "cred_7",
            "outcome": "quit", "fetched": 1, "fetched_octets": 10, "expunged": 2, "restorable": 2,
        })
    );
    let other = sessions.iter().find(|session| session["id"] == json!(second)).unwrap();
    assert_eq!(other["credential"], Value::Null, "a token");
    let page = world.call(key, "GET", &format!("{SESSIONS}?limit=1"), Value::Null).await.json();
    let next = format!("{SESSIONS}?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!([page["items"][0].clone(), items(&world, key, &next).await[0].clone()].to_vec(), sessions);

    let undo = format!("{SESSIONS}/{first}/undo");
    let answer = world.call(key, "POST", &undo, Value::Null).await;
    let both = json!({"messages": 2, "octets": octets(&[&made[0], &made[2]])});
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, both));
    assert_eq!(items(&world, key, INBOX).await, [made[0].clone(), made[2].clone()]);
    assert_eq!(world.call(key, "POST", &undo, json!({})).await.json(), json!({"messages": 0, "octets": 0}));
    let undone = items(&world, key, SESSIONS).await.into_iter().find(|session| session["id"] == json!(first)).unwrap();
    assert_eq!((&undone["expunged"], &undone["restorable"]), (&json!(2), &json!(0)));

    let answer = world.call(key, "POST", RESTORE, json!({"session": second})).await;
    assert_eq!(answer.json(), json!({"messages": 1, "octets": made[1]["octets"]}));
    assert_eq!(items(&world, key, INBOX).await, made, "in the order they came");
    let usage = world.call(key, "GET", "/v1/accounts/alice@acme.test/usage", Value::Null).await.json();
    assert_eq!((&usage["messages"], &usage["expunged_octets"]), (&json!(3), &json!(0)));
}

#[tokio::test]
async fn messages_are_restored_one_by_one_and_by_time() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let made = fill(&world, 4).await;
    for uid in 1..5 {
        world.quit("alice@acme.test", 1, &[uid]).await;
    }
    let restore = async |body: Value| world.call(key, "POST", RESTORE, body).await;
    let one = restore(json!({"unique_ids": [made[2]["unique_id"], "not-there"]})).await;
    assert_eq!(one.json(), json!({"messages": 1, "octets": made[2]["octets"]}));
    let expunged = items(&world, key, EXPUNGED).await;
    let (last, before) = (expunged[0]["expunged_at"].clone(), expunged[1]["expunged_at"].clone());
    assert_eq!(restore(json!({"since": before, "until": last})).await.json()["messages"], 1);
    assert_eq!(items(&world, key, INBOX).await, [made[1].clone(), made[2].clone()]);
    assert_eq!(restore(json!({"since": "2026-01-01T00:00:00Z"})).await.json()["messages"], 2);
    assert_eq!(items(&world, key, INBOX).await, made);

    for (body, pointer) in [
        (json!({}), ""),
        (json!({"unique_ids": ["x"], "session": "sess_1"}), ""),
        (json!({"until": "2026-01-01T00:00:00Z"}), ""),
        (json!({"unique_ids": []}), "/unique_ids"),
        (json!({"unique_ids": ["a b"]}), "/unique_ids/0"),
        (json!({"since": "today"}), "/since"),
        (json!({"since": null}), "/since"),
        (json!({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), "/until"),
        (json!({"unique_ids": ["x"], "until": "2026-01-01T00:00:00Z"}), "/until"),
        (json!({"session": "0a4f"}), "/session"),
        (json!({"session": format!("sess_{}", "0".repeat(32))}), "/session"),
    ] {
        let answer = restore(body.clone()).await;
        assert_eq!(problem(&answer), (422, "/problems/invalid".to_owned(), json!(pointer)), "{body}");
    }
    for query in ["cursor=x", "session=x", "since=x", "other=1"] {
        assert_eq!(world.call(key, "GET", &format!("{EXPUNGED}?{query}"), Value::Null).await.status, 422, "{query}");
    }
    for cursor in ["x", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsIngiXQ"] {
        assert_eq!(world.call(key, "GET", &format!("{SESSIONS}?cursor={cursor}"), Value::Null).await.status, 422);
    }
    let undo = format!("{SESSIONS}/sess_{}/undo", "0".repeat(32));
    assert_eq!(world.call(key, "POST", &undo, json!({"force": true})).await.status, 422);
    assert_eq!(world.call(key, "POST", &undo, Value::Null).await.status, 404);
}

/// A session of the same tenant's other account is none of this one's.
#[tokio::test]
async fn a_session_of_another_account_is_not_found() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    fill(&world, 1).await;
    let session = world.quit("alice@acme.test", 1, &[1]).await;
    let undo = format!("/v1/accounts/bob@acme.test/sessions/{session}/undo");
    assert_eq!(world.call(&acme.key, "POST", &undo, Value::Null).await.status, 404);
    let path = "/v1/accounts/bob@acme.test/messages/restore";
    let answer = world.call(&acme.key, "POST", path, json!({"session": session})).await;
    assert_eq!(problem(&answer), (422, "/problems/invalid".to_owned(), json!("/session")));
    assert_eq!(items(&world, &acme.key, EXPUNGED).await.len(), 1);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_whole() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &acme.key;
    let made = fill(&world, 3).await;
    let session = world.quit("alice@acme.test", 1, &[1, 2]).await;
    let path = "/v1/accounts/alice@acme.test";
    world.call(key, "PATCH", path, json!({"quota": {"messages": 2}})).await;
    let undo = format!("{SESSIONS}/{session}/undo");
    let once = [("idempotency-key", "undo")];
    let refused = world.call_with(key, "POST", &undo, Value::Null, &once).await;
    assert_eq!(problem(&refused).1, "/problems/over-quota", "{}", refused.text);
    let figures = format!("2 messages of {} octets", octets(&[&made[0], &made[1]]));
    assert!(refused.json()["detail"].as_str().unwrap().contains(&figures), "{}", refused.text);
    assert_eq!(items(&world, key, INBOX).await, [made[2].clone()]);

    // With more room the same request is done, once.
    world.call(key, "PATCH", path, json!({"quota": {"messages": 3}})).await;
    let done = world.call_with(key, "POST", &undo, Value::Null, &once).await;
    let again = world.call_with(key, "POST", &undo, Value::Null, &once).await;
    assert_eq!((done.status, done.json()["messages"].clone()), (StatusCode::OK, json!(2)), "{}", done.text);
    assert_eq!((again.status, again.json()), (done.status, done.json()));
    assert_eq!((again.header("idempotency-replayed"), again.header("location")), ("true", ""));
    assert_eq!(items(&world, key, INBOX).await, made);
}
