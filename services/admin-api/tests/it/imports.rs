//! `/v1/imports`: bodies that come in pieces, in time or never; what workers made of them.

use std::time::Duration;

use admin_api::{Config, ImportsConfig};
use axum::body::Body;
use axum::http::{Request, header};
use bytes::Bytes;
use directory::{JobKind, WorkBounds};
use futures_util::stream;
use serde_json::{Value, json};

use crate::support::{Answer, World};

fn small() -> Config {
    let imports =
        ImportsConfig { max_lines: 5, max_octets: 400, max_line_octets: 100, batch_lines: 2, unfinished_per_tenant: 2 };
    Config { imports, ..Config::default() }
}

/// Does all that waits; answers how many pieces there were.
async fn work(world: &World) -> u32 {
    let worker = world.worker().await;
    let bounds = WorkBounds { at_once: 1, claim: Duration::from_secs(60), attempts: 3 };
    let mut pieces = 0;
    while let Some(chunk) = worker.claim_chunk(JobKind::AccountsImport, bounds).await.unwrap() {
        assert!(worker.import_chunk(&chunk).await.unwrap());
        pieces += 1;
    }
    pieces
}

async fn get(world: &World, key: &str, path: &str) -> Value {
    world.call(key, "GET", path, Value::Null).await.json()
}

/// The only fault of a refused import.
fn detail(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_body_in_any_pieces_becomes_a_job_that_says_what_came_of_it() {
    let world = World::with(small()).await;
    let acme = world.tenant("acme").await;
    let lines = "{\"address\":\"x1@acme.test\"}\r\n\n{\"address\":\"alice@acme.test\"}\n{\"addr\n{\"address\":\"x2@nowhere.test\"}";
    let octets = lines.as_bytes().iter().map(|octet| Ok::<_, std::io::Error>(Bytes::copy_from_slice(&[*octet])));
    let answer =
        world.import(&acme.key, "/v1/imports", Body::from_stream(stream::iter(octets.collect::<Vec<_>>()))).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    let queued = answer.json();
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("/v1/imports/{}", queued["id"].as_str().unwrap()));
    assert_eq!((&queued["state"], &queued["kind"]), (&json!("queued"), &json!("accounts-import")));
    assert_eq!(
        queued["progress"],
        json!({"total": 4, "done": 0, "made": 0, "unchanged": 0, "failed": 0, "per_second": null})
    );

    assert_eq!(work(&world).await, 3);
    let done = get(&world, &acme.key, &path).await;
    assert_eq!((&done["state"], &done["error"], &done["dry_run"]), (&json!("done"), &json!(null), &json!(false)));
    let progress = &done["progress"];
    assert_eq!([&progress["made"], &progress["unchanged"], &progress["failed"]], [1, 1, 2]);
    assert!(progress["per_second"].as_f64().unwrap() > 0.0);

    // The errors in pages, by line.
    let first = get(&world, &acme.key, &format!("{path}/errors?limit=1")).await;
    assert_eq!((&first["items"][0]["line"], &first["items"][0]["code"]), (&json!(4), &json!("not_json")));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(&world, &acme.key, &format!("{path}/errors?cursor={cursor}")).await;
    let expected = json!({"line": 5, "pointer": "/address", "code": "not_found", "detail": "there is no such domain"});
    assert_eq!(second, json!({"items": [expected], "next_cursor": null}));
}

#[tokio::test]
async fn lists_are_the_newest_first_and_narrowed() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let of = async |path: &str, key: &str| world.import(key, path, "{}\n").await.json()["id"].clone();
    let tried = of("/v1/imports?dry_run=true", &acme.key).await;
    work(&world).await;
    let waits = of("/v1/imports", &acme.key).await;
    let theirs = of("/v1/imports?tenant=globex", &world.platform).await;
    let ids = async |key: &str, path: &str| {
        get(&world, key, path).await["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&acme.key, "/v1/imports").await, [waits.clone(), tried.clone()]);
    assert_eq!(ids(&globex.key, "/v1/imports").await, std::slice::from_ref(&theirs));
    assert_eq!(ids(&world.platform, "/v1/imports").await, [theirs, waits.clone(), tried.clone()]);
    assert_eq!(ids(&world.platform, "/v1/imports?tenant=acme&state=done").await, std::slice::from_ref(&tried));
    assert_eq!(ids(&acme.key, "/v1/imports?kind=maildrop-migration").await, [json!(null); 0]);
    let page = get(&world, &acme.key, "/v1/imports?limit=1").await;
    let next = format!("/v1/imports?cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(ids(&acme.key, &next).await, [tried]);
    let wrong = world.call(&acme.key, "GET", "/v1/imports?state=gone", Value::Null).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["errors"][0]["pointer"]), (422, &json!("/state")));

    let cancel = format!("/v1/imports/{}/cancel", waits.as_str().unwrap());
    let before = world.fingerprint().await;
    let tried = world.call(&acme.key, "POST", &format!("{cancel}?dry_run=true"), Value::Null).await.json();
    assert_eq!(
        (&tried["result"]["state"], &tried["effects"][0]["action"]),
        (&json!("cancelled"), &json!("import.cancel"))
    );
    assert_eq!(world.fingerprint().await, before);
    let cancelled = world.call(&acme.key, "POST", &cancel, Value::Null).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json()["state"]), (200, &json!("cancelled")));
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_leaves_nothing() {
    let world = World::with(small()).await;
    let acme = world.tenant("acme").await;
    let line = "{\"address\":\"x@acme.test\"}\n";
    let long = format!("\n{{\"address\":\"{}@acme.test\"}}\n", "x".repeat(100));
    for (body, expected) in [
        (line.repeat(6), (413, "the body has more than 5 lines")),
        (format!("{line}{}", " ".repeat(120)), (413, "line 2 has more than 100 octets")),
        (" \n".repeat(300), (413, "the body has more than 400 octets")),
        (long, (413, "line 2 has more than 100 octets")),
    ] {
        let answer = world.import(&acme.key, "/v1/imports", body).await;
        assert_eq!(detail(&answer), (expected.0, expected.1.to_owned()));
    }
    let empty = world.import(&acme.key, "/v1/imports", "\n \n").await;
    assert_eq!((empty.status.as_u16(), &empty.json()["errors"][0]["code"]), (422, &json!("required")));
    let broken = stream::iter([Ok(Bytes::from(line)), Err(std::io::Error::other("gone"))]);
    assert_eq!(world.import(&acme.key, "/v1/imports", Body::from_stream(broken)).await.status.as_u16(), 400);
    let json = world.call(&acme.key, "POST", "/v1/imports", json!({"address": "x@acme.test"})).await;
    assert_eq!(json.status.as_u16(), 422, "as JSON it would be a migration");
    // What was begun is forgotten in the background.
    while !get(&world, &acme.key, "/v1/imports").await["items"].as_array().unwrap().is_empty() || world.jobs().await > 0
    {
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        assert_eq!(world.import(&acme.key, "/v1/imports", line).await.status.as_u16(), 202);
    }
    let over = world.import(&acme.key, "/v1/imports", line).await;
    assert_eq!((over.status.as_u16(), &over.json()["type"]), (409, &json!("/problems/limit-reached")));
}

#[tokio::test]
async fn an_import_is_repeated_by_its_idempotency_key() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let send = async |lines: &str| {
        let request = Request::builder()
            .method("POST")
            .uri("/v1/imports")
            .header(header::AUTHORIZATION, format!("Bearer {}", acme.key))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header("idempotency-key", "once")
            .body(Body::from(lines.to_owned()));
        world.send(request.unwrap()).await
    };
    let first = send("{\"address\":\"x@acme.test\"}\n").await;
    let again = send("{\"address\":\"x@acme.test\"}\n").await;
    assert_eq!((again.status, &again.json()["id"]), (first.status, &first.json()["id"]));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(send("{\"address\":\"y@acme.test\"}\n").await.status.as_u16(), 422);
    assert_eq!(get(&world, &acme.key, "/v1/imports").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_migration_says_where_from_and_what_is_wrong_with_that() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let account = json!({"address": "alice@acme.test", "login": "alice", "password": "hunter2hunter2"});
    let body = |source: Value| json!({"kind": "maildrop-migration", "source": source, "accounts": [account]});
    for (body, pointer, code) in [
        (json!({"kind": "maildrop-migration", "accounts": [account]}), "/source", "required"),
        (body(json!({"protocol": "pop3"})), "/source/host", "required"),
        (body(json!({"protocol": "nntp", "host": "h"})), "/source/protocol", "invalid"),
        (body(json!({"protocol": "imap", "host": "a b"})), "/source/host", "invalid"),
        (body(json!({"protocol": "imap", "host": "h", "port": 0})), "/source/port", "out_of_range"),
        (body(json!({"protocol": "imap", "host": "h", "ssl": true})), "/source/ssl", "unknown_field"),
        (json!({"kind": "x", "source": {"protocol": "pop3", "host": "h"}, "accounts": []}), "/kind", "invalid"),
        (
            json!({"kind": "maildrop-migration", "source": {"protocol": "pop3", "host": "h"}, "accounts": [1]}),
            "/accounts/0",
            "invalid_type",
        ),
        (
            json!({"kind": "maildrop-migration", "source": {"protocol": "pop3", "host": "h"}, "accounts": []}),
            "",
            "required",
        ),
    ] {
        let answer = world.call(&acme.key, "POST", "/v1/imports", body.clone()).await;
        let error = answer.json()["errors"][0].clone();
        assert_eq!(
            (answer.status.as_u16(), &error["pointer"], &error["code"]),
            (422, &json!(pointer), &json!(code)),
            "{body}"
        );
    }
    let answer =
        world.call(&acme.key, "POST", "/v1/imports", body(json!({"protocol": "imap", "host": "old.test"}))).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    let expected = json!({"protocol": "imap", "host": "old.test", "port": 993, "tls": "implicit", "uidl_format": null});
    assert_eq!((&answer.json()["source"], &answer.json()["kind"]), (&expected, &json!("maildrop-migration")));
    assert!(!answer.text.contains("hunter"));
    let path = format!("/v1/imports/{}/accounts", answer.json()["id"].as_str().unwrap());
    assert_eq!(get(&world, &acme.key, &path).await, json!({"items": [], "next_cursor": null}));

    // Who may not put mail into maildrops makes no migration, whatever jobs they may start.
    world.scope(&acme.key_id, &["jobs:write", "accounts:write"]).await;
    let forbidden =
        world.call(&acme.key, "POST", "/v1/imports", body(json!({"protocol": "imap", "host": "old.test"}))).await;
    assert_eq!(forbidden.status.as_u16(), 403);
    assert_eq!(world.import(&acme.key, "/v1/imports", "{}\n").await.status.as_u16(), 202);
}
