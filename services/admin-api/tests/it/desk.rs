//! The support desk, as its clients see it.

use axum::http::StatusCode;
use directory::{
    LiveReport, NewTranscript, RefusalReason, RefusedAttempt, Report, Tally, TallySettings, TranscriptEntry, Whose,
};
use mail_types::{Address, Clock as _, CredentialId, SessionUuid, SystemClock, SystemRandom};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::support::World;

const ALICE: &str = "/v1/accounts/alice@acme.test";

/// A frontend tells of a session of alice's and of a wrong password.
pub(crate) async fn told(world: &World, credential: i64) -> SessionUuid {
    let caller = directory::Caller::service("test", Uuid::nil());
    let account = world.state.directory.account(&caller, &Address::parse("alice@acme.test").unwrap()).await.unwrap();
    let settings = TallySettings { refusals: 10, uses: 10, uses_every: Duration::from_secs(60), batch: 10 };
    let (frontend, tally) = (SessionUuid::new(&SystemRandom), Tally::new(settings));
    let pop3 = world.frontend(frontend).await;
    let session = SessionUuid::new(&SystemRandom);
    let live = LiveReport {
        session,
        tenant: account.tenant_id,
        account: account.id,
        credential: CredentialId(credential),
        address: [192, 0, 2, 1].into(),
        started: SystemClock.now(),
        mechanism: 4,
        tls: 2,
        client: "TLSv1.3; CAPA".to_owned(),
        server_name: Some("pop.acme.test".to_owned()),
        fetched: 2,
        fetched_octets: 20,
    };
    tally.refused(RefusedAttempt {
        whose: Whose::Account(account.tenant_id, account.id),
        reason: RefusalReason::WrongPassword,
        at: SystemClock.now(),
        address: [192, 0, 2, 7].into(),
        mechanism: 1,
        tls: 0,
        credential: None,
        new_secret: true,
        client: "no TLS; USER".to_owned(),
        server_name: None,
        told: "-ERR [AUTH] wrong login name or password".to_owned(),
    });
    tally.logged_in("acme.test", SystemClock.now());
    let report = Report { live: vec![live], refusal_rows: 10, ..Report::default() };
    pop3.report(frontend, &report, &tally, SystemClock.monotonic()).await.unwrap();
    session
}

#[tokio::test]
async fn live_sessions_are_listed_and_ended() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let credential: i64 = acme.credential.trim_start_matches("cred_").parse().unwrap();
    let session = format!("sess_{}", told(&world, credential).await);
    let get = async |key: &str, path: &str| world.call(key, "GET", path, Value::Null).await;
    let mut one = get(&acme.key, "/v1/live-sessions").await.json()["items"][0].clone();
    for varying in ["since", "frontend"] {
        one.as_object_mut().unwrap().remove(varying).unwrap();
    }
    let expected = json!({
        "id": session, "tenant": "acme", "account": "alice@acme.test", "address": "192.0.2.1",
        "credential": {"id": acme.credential, "name": "phone"}, "mechanism": "SCRAM-SHA-256", "tls": "implicit",
        "client": "TLSv1.3; CAPA", "server_name": "pop.acme.test", "fetched": 2, "fetched_octets": 20, "ending": false,
    });
    assert_eq!(one, expected);
    for (path, count) in [
        ("/v1/live-sessions?tenant=acme&domain=acme.test", 1),
        ("/v1/live-sessions?account=alice@acme.test", 1),
        ("/v1/live-sessions?tenant=globex", 0),
        ("/v1/accounts/alice@acme.test/live-sessions?limit=1", 1),
        ("/v1/accounts/bob@acme.test/live-sessions", 0),
    ] {
        let answer = get(&world.platform, path).await;
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(count), "{path}: {}", answer.text);
    }
    assert_eq!(get(&globex.key, "/v1/live-sessions").await.json()["items"], json!([]));
    assert_eq!(get(&globex.key, "/v1/live-sessions?account=alice@acme.test").await.status, 404);
    assert_eq!(get(&acme.key, "/v1/live-sessions?account=x").await.status, 422);

    let end = async |key: &str, path: &str| world.call(key, "DELETE", path, Value::Null).await;
    let path = format!("/v1/live-sessions/{session}");
    assert_eq!(end(&globex.key, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(end(&acme.key, &path).await.status, StatusCode::ACCEPTED);
    assert_eq!(get(&acme.key, "/v1/live-sessions").await.json()["items"][0]["ending"], json!(true));
    let all = end(&acme.key, &format!("{ALICE}/live-sessions")).await;
    assert_eq!((all.status, all.json()), (StatusCode::OK, json!({"sessions": 1})));
}

#[tokio::test]
async fn activity_and_diagnosis() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    told(&world, 0).await;
    world.quit("alice@acme.test", 0, &[]).await;
    let get = async |path: &str| world.call(&acme.key, "GET", &format!("{ALICE}{path}"), Value::Null).await;
    let all = get("/activity").await.json()["items"].as_array().unwrap().clone();
    assert_eq!(all.len(), 2, "{all:?}");
    let refused = get("/activity?result=refused").await.json()["items"].as_array().unwrap().clone();
    assert_eq!(refused.len(), 1);
    let sum = &refused[0];
    assert_eq!((&sum["kind"], &sum["mechanism"], &sum["tls"]), (&json!("refused"), &json!("user"), &json!("none")));
    let refused = &sum["refused"];
    assert_eq!((&refused["reason"], &refused["network"]), (&json!("wrong_password"), &json!("192.0.2.0/24")));
    assert_eq!((&refused["attempts"], &refused["different_secrets"]), (&json!(1), &json!(1)));
    let accepted = get("/activity?result=accepted").await.json()["items"].as_array().unwrap().clone();
    assert_eq!((&accepted[0]["kind"], &accepted[0]["session"]["fetched"]), (&json!("session"), &json!(1)));
    for (query, status) in
        [("?result=some", 422), ("?since=x", 422), ("?until=2020-01-01T00:00:00Z", 200), ("?x=1", 422)]
    {
        assert_eq!(get(&format!("/activity{query}")).await.status, status, "{query}");
    }
    let diagnosis = get("/diagnose").await.json();
    let codes: Vec<_> =
        diagnosis["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["maildrop_empty", "logged_in_lately", "last_error", "nothing_found"], "{diagnosis}");
    assert_eq!(diagnosis["findings"][2]["evidence"]["told"], json!("-ERR [AUTH] wrong login name or password"));
    let missing = world.call(&acme.key, "GET", "/v1/accounts/nobody@acme.test/diagnose", Value::Null).await;
    assert_eq!((missing.status, &missing.json()["findings"][0]["code"]), (StatusCode::OK, &json!("account_missing")));
}

/// What a session of alice's said is kept, which somebody wants.
pub(crate) async fn written_down(world: &World, session: SessionUuid) {
    let caller = directory::Caller::service("test", Uuid::nil());
    let account = world.state.directory.account(&caller, &Address::parse("alice@acme.test").unwrap()).await.unwrap();
    let entry = TranscriptEntry { milliseconds: 3, command: "PASS [redacted]".to_owned(), reply: "+OK".to_owned() };
    let new = NewTranscript {
        session,
        started: SystemClock.now(),
        address: [192, 0, 2, 1].into(),
        tls: 2,
        client: "TLSv1.3".to_owned(),
        ended: "quit",
        truncated: false,
        entries: vec![entry],
    };
    let pop3 = world.frontend(SessionUuid::new(&SystemRandom)).await;
    assert!(pop3.keep_transcript(account.tenant_id, account.id, &new, 10_000).await.unwrap());
}

#[tokio::test]
async fn transcripts_are_switched_on_read_and_deleted() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let path = format!("{ALICE}/transcripts");
    let call = async |method: &str, path: &str, body: Value| world.call(&acme.key, method, path, body).await;
    for body in [
        json!({}),
        json!({"minutes": 0}),
        json!({"minutes": 61}),
        json!({"minutes": "5"}),
        json!({"minutes": 5, "x": 1}),
    ] {
        assert_eq!(call("POST", &path, body.clone()).await.status, 422, "{body}");
    }
    let list = call("GET", &path, Value::Null).await.json();
    assert_eq!(list, json!({"until": null, "items": [], "next_cursor": null}));
    let begun = call("POST", &path, json!({"minutes": 5})).await;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
    let session = SessionUuid::new(&SystemRandom);
    written_down(&world, session).await;
    let list = call("GET", &path, Value::Null).await.json();
    assert_eq!((&list["until"], &list["items"][0]["ended"]), (&begun.json()["until"], &json!("quit")));
    let one = format!("{path}/sess_{session}");
    let whole = call("GET", &one, Value::Null).await.json();
    assert_eq!(whole["entries"], json!([{"milliseconds": 3, "command": "PASS [redacted]", "reply": "+OK"}]));
    assert_eq!(call("DELETE", &one, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(call("GET", &one, Value::Null).await.status, StatusCode::NOT_FOUND);
    assert_eq!(call("DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(call("GET", &path, Value::Null).await.json()["until"], Value::Null);
}
