//! Mail itself, and all that a tenant owns: for whom a scope lets, and noted in the audit trail.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use admin_api::{Config, ExportsConfig};

use crate::support::World;

/// The files of a tar archive, by name.
fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim_end_matches(['\0', ' ']).to_owned();
    let (mut files, mut rest, mut long) = (BTreeMap::new(), archive, None);
    while rest[0] != 0 {
        let (head, after) = rest.split_at(512);
        let size = usize::from_str_radix(&text(&head[124..136]), 8).unwrap();
        let content = after[..size].to_vec();
        match head[156] {
            b'x' => long = Some(text(&content).split_once('=').unwrap().1.trim_end().to_owned()),
            b'0' => drop(files.insert(long.take().unwrap_or_else(|| text(&head[..100])), content)),
            _ => long = None,
        }
        rest = &after[size.div_ceil(512) * 512..];
    }
    assert_eq!(rest, [0; 1024]);
    files
}

fn lines(octets: &[u8]) -> Vec<Value> {
    octets.split(|o| *o == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

#[tokio::test]
async fn mail_is_read_by_whom_a_scope_lets_and_noted() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let posted = world.post_message(&acme.key, "alice@acme.test", "").await.json();
    let path = format!("/v1/accounts/alice@acme.test/messages/{}/raw", posted["unique_id"].as_str().unwrap());
    for key in [&acme.key, &world.platform] {
        assert_eq!(world.call(key, "GET", &path, Value::Null).await.status.as_u16(), 403, "without the scope");
    }
    world.scope(&acme.key_id, &["messages:raw", "accounts:read"]).await;
    let read = world.call(&acme.key, "GET", &path, Value::Null).await;
    assert_eq!((read.status.as_u16(), read.header("content-type")), (200, "message/rfc822"));
    assert_eq!(json!(read.octets.len()), posted["octets"]);
    assert!(read.text.starts_with("Return-Path: <>\r\nDelivered-To: alice@acme.test\r\n"), "{}", read.text);
    assert!(read.text.ends_with("Subject: x\r\n\r\nx\r\n"), "{}", read.text);
    let noted = world.audited(read.header("x-request-id")).await;
    assert_eq!((&noted[0]["action"], &noted[0]["after"]["unique_id"]), (&json!("message.read"), &posted["unique_id"]));
    let none = format!("/v1/accounts/alice@acme.test/messages/{}/raw", "0".repeat(26));
    assert_eq!(world.call(&acme.key, "GET", &none, Value::Null).await.status.as_u16(), 404);
}

#[tokio::test]
async fn an_export_has_all_that_a_tenant_owns_and_nothing_else() {
    let world = World::new().await;
    let (acme, _) = (world.tenant("acme").await, world.tenant("globex").await);
    let long = format!("{}@acme.test", "l".repeat(64));
    world
        .make("/v1/accounts", json!({"address": long, "password": "correct horse battery", "quota": {"octets": 9000, "deliveries_per_hour": 90}}))
        .await;
    let one = world.post_message(&acme.key, &long, "").await.json();
    world.post_message(&acme.key, &long, "").await;
    let path = "/v1/tenants/acme/export";
    for query in ["?mail=true", "?password_hashes=true", "?mail=true&password_hashes=true"] {
        assert_eq!(
            world.call(&acme.key, "GET", &format!("{path}{query}"), Value::Null).await.status.as_u16(),
            403,
            "{query}"
        );
    }
    let answer = world.call(&world.platform, "GET", &format!("{path}?password_hashes=true"), Value::Null).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-tar"));
    assert!(!answer.text.contains("globex"));
    let found = files(&answer.octets);
    let accounts = lines(&found["accounts-000001.ndjson"]);
    let of = |address: &str| accounts.iter().find(|line| line["address"] == *address).unwrap().clone();
    assert_eq!(accounts.len(), 3);
    assert_eq!(
        of("alice@acme.test"),
        json!({"address": "alice@acme.test", "status": "active", "quota": {"octets": null, "messages": null, "deliveries_per_hour": null}})
    );
    assert!(of(&long)["password_hash"].as_str().unwrap().starts_with("{ARGON2ID}$argon2id$"));
    assert_eq!(lines(&found["aliases-000001.ndjson"])[0]["targets"], json!(["alice@acme.test"]));
    assert_eq!(lines(&found["domains-000001.ndjson"])[0]["name"], "acme.test");
    let app_password = &lines(&found["app-passwords-000001.ndjson"])[0];
    assert_eq!((&app_password["address"], &app_password["name"]), (&json!("alice@acme.test"), &json!("phone")));
    assert!(lines(&found["audit-events-000001.ndjson"]).iter().any(|event| event["action"] == "tenant.export"));
    assert_eq!(found["errors.ndjson"], b"");
    assert!(!found.keys().any(|name| name.starts_with("mail/")));

    world.scope(&acme.key_id, &["messages:raw", "jobs:write"]).await;
    let found = files(&world.call(&acme.key, "GET", &format!("{path}?mail=true"), Value::Null).await.octets);
    let list = String::from_utf8(found[&format!("mail/{long}/dovecot-uidlist")].clone()).unwrap();
    let (number, rest) = list.lines().nth(1).unwrap().split_once(' ').unwrap();
    let (size, rest) = rest.split_once(' ').unwrap();
    let (unique_id, file) = rest.split_once(" :").unwrap();
    assert_eq!(
        (number, size, unique_id),
        ("1", &*format!("W{}", one["octets"]), &*format!("P{}", one["unique_id"].as_str().unwrap()))
    );
    let message = &found[&format!("mail/{long}/new/{file}")];
    assert_eq!(json!(message.len()), one["octets"]);
    assert!(message.ends_with(b"Subject: x\r\n\r\nx\r\n"));
    assert_eq!(list.lines().count(), 3);
    let text = String::from_utf8_lossy(&found["accounts-000001.ndjson"]).into_owned();
    assert!(!text.contains("password_hash"), "{text}");
}

#[tokio::test]
async fn so_many_exports_run_at_once() {
    let exports = ExportsConfig { at_once: 2, per_tenant: 1 };
    let world = World::with(Config { exports, ..Config::default() }).await;
    world.tenant("acme").await;
    world.tenant("globex").await;
    world.tenant("initech").await;
    // Nobody reads what is sent: an export that has more to say than waits for its client goes on.
    let begin = async |tenant: &str| world.unread(&world.platform, &format!("/v1/tenants/{tenant}/export")).await;
    let refusal = async |tenant: &str| {
        let refused = world.call(&world.platform, "GET", &format!("/v1/tenants/{tenant}/export"), Value::Null).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "2"), "{}", refused.text);
        refused.json()["detail"].as_str().unwrap().to_owned()
    };
    let first = begin("acme").await;
    assert_eq!(first.status(), 200);
    assert_eq!(refusal("acme").await, "as many exports run as may: 1 of a tenant at once");
    let second = begin("globex").await;
    assert_eq!(second.status(), 200);
    assert_eq!(refusal("initech").await, "as many exports run as may: 2 at once");
    assert_eq!(begin("nowhere").await.status(), 503);
    // Whoever goes away makes room.
    drop(first);
    let again = async { while begin("acme").await.status() != 200 {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), again).await.unwrap();
    drop(second);
    let missing = async { while begin("nowhere").await.status() != 404 {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), missing).await.unwrap();
}
