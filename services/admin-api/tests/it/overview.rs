//! `/v1/overview`.

use serde_json::{Value, json};

use crate::desk::told;
use crate::support::World;

#[tokio::test]
async fn it_tells_what_was_done_to_who_sees_it() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let patch = async |path: &str, body: Value| {
        let answer = world.call(&world.platform, "PATCH", path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    };
    for _ in 0..3 {
        world.post_message(&world.platform, "alice@acme.test", "").await;
    }
    world.post_message(&world.platform, "alice@globex.test", "").await;
    patch("/v1/accounts/alice@acme.test", json!({"quota": {"messages": 3, "octets": 1_000_000}})).await;
    patch("/v1/accounts/bob@acme.test", json!({"status": "suspended"})).await;
    patch("/v1/tenants/acme", json!({"quota": {"octets": 5_000_000}})).await;
    told(&world, 0).await;
    let sweeper = world.sweeper().await;
    sweeper.roll_up_usage().await.unwrap();
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 1);

    let read = async |key: &str, query: &str| {
        let answer = world.call(key, "GET", &format!("/v1/overview{query}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        answer.json()
    };
    let own = read(&acme.key, "").await;
    let figures = |json: &Value| {
        ["accounts", "suspended", "octets_limit", "messages", "sessions"].map(|name| json[name].as_u64())
    };
    assert_eq!(figures(&own), [Some(2), Some(1), Some(5_000_000), Some(3), Some(1)], "{own}");
    let series = own["series"].as_array().unwrap();
    let sum = |name: &str| series.iter().map(|one| one[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((series.len(), sum("logins"), sum("failures"), sum("deliveries"), sum("refused")), (24, 1, 1, 3, 0));
    assert_eq!(own["failures"], json!([{"reason": "wrong_password", "count": 1}]));
    let full = &own["fullest"][0];
    assert_eq!((&full["address"], &full["ratio"]), (&json!("alice@acme.test"), &json!(1.0)), "{own}");
    assert_eq!((&full["messages"], &full["messages_limit"]), (&json!(3), &json!(3)));
    assert_eq!(own["octets"], full["octets"]);
    let parts = |json: &Value| {
        let all = json["health"].as_array().unwrap();
        all.iter().map(|one| one["part"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(parts(&own), ["database", "store", "frontends"]);

    let all = read(&world.platform, "").await;
    assert_eq!(figures(&all), [Some(4), Some(1), None, Some(4), Some(1)], "{all}");
    assert_eq!(parts(&all), ["database", "store", "frontends", "workers", "queues"]);
    let store = &all["health"][1];
    assert!(store["state"] == "ok" && store["text"].as_str().unwrap().starts_with("Answers in "), "{store}");
    let named = read(&world.platform, "?tenant=acme&hours=720").await;
    assert_eq!((figures(&named), named["series"].as_array().unwrap().len()), (figures(&own), 720));
    let theirs = read(&globex.key, "?hours=2").await;
    assert_eq!((figures(&theirs), &theirs["fullest"]), ([Some(2), Some(0), None, Some(1), Some(0)], &json!([])));
    assert_eq!(theirs["series"].as_array().unwrap().len(), 120);

    // Of two domains a domain-admin has one.
    world.make("/v1/domains", json!({"name": "other.test", "tenant": "acme"})).await;
    world.make("/v1/accounts", json!({"address": "otto@other.test"})).await;
    sweeper.roll_up_usage().await.unwrap();
    let new = json!({"name": "d", "tenant": "acme", "role": "domain-admin", "domains": ["other.test"]});
    let key = world.make("/v1/api-keys", new).await["secret"].as_str().unwrap().to_owned();
    let some = read(&key, "").await;
    assert_eq!((figures(&some), &some["fullest"]), ([Some(1), Some(0), None, Some(0), Some(0)], &json!([])), "{some}");

    for (query, status) in [("?tenant=globex", 404), ("?tenant=nobody", 404), ("?hours=0", 422), ("?hours=721", 422)] {
        let answer = world.call(&acme.key, "GET", &format!("/v1/overview{query}"), Value::Null).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text);
    }
}
