//! The audit trail as auditors read it.

use axum::http::StatusCode;
use runtime::database::DbRole;
use serde_json::{Value, json};

use crate::support::World;

async fn list(world: &World, key: &str, query: &str) -> Value {
    let answer = world.call(key, "GET", &format!("/v1/audit-events{query}"), Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json()
}

fn column(list: &Value, name: &str) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn every_change_is_there_with_before_and_after_and_no_secret() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = acme.key.as_str();
    let password = json!({"password": "correct horse battery"});
    for (method, path, body) in [
        ("PUT", "/v1/accounts/alice@acme.test/password", password.clone()),
        ("PUT", "/v1/accounts/alice@acme.test/password", password),
        ("DELETE", "/v1/accounts/alice@acme.test/password", Value::Null),
        ("PATCH", "/v1/accounts/bob@acme.test", json!({"quota": {"messages": 5}})),
        ("PATCH", "/v1/domains/acme.test", json!({"policy": {"dele": "hide"}})),
        ("PATCH", "/v1/aliases/info@acme.test", json!({"targets": ["bob@acme.test"]})),
        ("DELETE", "/v1/aliases/info@acme.test", Value::Null),
        ("DELETE", "/v1/accounts/bob@acme.test", Value::Null),
    ] {
        let answer = world.call(key, method, path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
    }
    let (credential, own) = (&acme.credential, &acme.key_id);
    for path in [format!("/v1/accounts/alice@acme.test/app-passwords/{credential}"), format!("/v1/api-keys/{own}")] {
        let answer = world.call(&world.platform, "DELETE", &path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
    }
    let all = list(&world, &world.platform, "?limit=500&tenant=acme").await;
    for event in all["items"].as_array().unwrap() {
        let action = event["action"].as_str().unwrap();
        let (before, after) = (!event["before"].is_null(), !event["after"].is_null());
        let expected = match action.split_once('.').unwrap().1 {
            "create" => (false, true),
            "delete" | "revoke" => (true, false),
            _ => (true, true),
        };
        assert_eq!((before, after), expected, "{event}");
        assert!(event["request_id"].is_string() && event["actor"].as_str().unwrap().starts_with("api-key:"), "{event}");
    }
    let text = all.to_string();
    for secret in ["correct horse", "rst-", "rsk-", "$argon2"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let passwords = list(&world, &world.platform, "?target=alice@acme.test&action=account.set-password").await;
    let states: Vec<_> =
        passwords["items"].as_array().unwrap().iter().map(|event| event["before"]["has_password"].clone()).collect();
    assert_eq!(states, [json!(true), json!(false)], "newest first");
}

#[tokio::test]
async fn the_trail_is_narrowed_and_paged() {
    let world = World::new().await;
    let (acme, _) = (world.tenant("acme").await, world.tenant("globex").await);
    let all = list(&world, &acme.key, "?limit=500").await;
    assert!(column(&all, "tenant").iter().all(|tenant| tenant == "acme"), "{all}");
    let of = async |query: &str| column(&list(&world, &world.platform, query).await, "action");
    assert_eq!(of("?tenant=acme&action=account.").await, ["account.create", "account.create"]);
    assert_eq!(of("?tenant=acme&action=account.create").await.len(), 2);
    assert_eq!(of("?target=info@acme.test").await, ["alias.create"]);
    assert_eq!(of("?actor=nobody").await, Vec::<String>::new());
    assert_eq!(of("?tenant=nobody").await, Vec::<String>::new());
    assert_eq!(of("?tenant=acme&until=2020-01-01T00:00:00Z").await, Vec::<String>::new());
    assert_eq!(of("?tenant=acme&since=2020-01-01T00:00:00%2B01:00").await.len(), column(&all, "id").len());
    let actor = column(&all, "actor").remove(0);
    assert!(!of(&format!("?actor={actor}")).await.is_empty());
    // A foreign tenant is a missing one.
    assert_eq!(list(&world, &acme.key, "?tenant=globex").await, list(&world, &acme.key, "?tenant=nobody").await);
    for query in ["since=yesterday", "actor=", "limit=0", "cursor=x"] {
        let answer = world.call(&acme.key, "GET", &format!("/v1/audit-events?{query}"), Value::Null).await;
        assert_eq!(answer.status.as_u16(), 422, "{query}");
    }
    // Page by page it is the whole, and what happens meanwhile shifts nothing.
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&world, &acme.key, &format!("?limit=2{cursor}")).await;
        ids.extend(column(&page, "id"));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        world.call(&acme.key, "PATCH", "/v1/accounts/alice@acme.test", json!({"status": "active"})).await;
    }
    assert_eq!(ids, column(&all, "id"));
}

#[tokio::test]
async fn all_of_it_is_exported_line_by_line() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let owner = world.database().pool(DbRole::Owner).await;
    // More than is held at once, many of one moment.
    sqlx::query(
        "INSERT INTO restante.audit_events (tenant_id, at, actor, action, target)
         SELECT t.tenant_id, now() - interval '1 day' + (n / 700) * interval '1 second', 'x', 'test.many', n::text
           FROM restante.tenants t, generate_series(1, 1700) n WHERE t.slug = 'acme'",
    )
    .execute(&owner)
    .await
    .unwrap();
    let export = async |query: &str| {
        let answer = world.call(&acme.key, "GET", &format!("/v1/audit-events/export{query}"), Value::Null).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
        answer.text.lines().map(|line| line.parse::<Value>().unwrap()).collect::<Vec<_>>()
    };
    let many = export("?action=test.").await;
    let targets: Vec<_> = many.iter().map(|event| event["target"].as_str().unwrap().parse::<u32>().unwrap()).collect();
    assert_eq!(targets, (1..=1700).collect::<Vec<_>>(), "oldest first, each once");
    assert!(export("").await.len() > 1700);
    assert_eq!(export("?action=nothing.").await.len(), 0);
    let refused = world.call(&acme.key, "GET", "/v1/audit-events/export?limit=3", Value::Null).await;
    assert_eq!(refused.status.as_u16(), 422);
}
