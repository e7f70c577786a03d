//! What is used beside what may be, and what is told when it fills.

use serde_json::{Value, json};

use crate::desk::told;
use crate::support::World;

/// Acme with two messages of Alice's delivered and one session of hers under way, summed.
async fn used() -> World {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    for _ in 0..2 {
        world.post_message(&acme.key, "alice@acme.test", "").await;
    }
    told(&world, acme.credential.trim_start_matches("cred_").parse().unwrap()).await;
    world.sweeper().await.roll_up_usage().await.unwrap();
    world
}

async fn change(world: &World, path: &str, body: Value) {
    let answer = world.call(&world.platform, "PATCH", path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn usage_stands_beside_its_limits() {
    let world = used().await;
    let limits = json!({"quota": {"domains": 3, "accounts": 9, "deliveries_per_hour": 20}, "policy": {"sessions": {"per_tenant": 50, "per_domain": 40}}});
    change(&world, "/v1/tenants/acme", limits).await;
    let limits =
        json!({"quota": {"messages": 7, "deliveries_per_hour": 10}, "policy": {"sessions": {"per_account": 5}}});
    change(&world, "/v1/domains/acme.test", limits).await;
    change(&world, "/v1/accounts/alice@acme.test", json!({"quota": {"messages": 6, "deliveries_per_hour": 5}})).await;
    let usage = async |path: &str| {
        let mut usage = world.call(&world.platform, "GET", &format!("{path}/usage"), Value::Null).await.json();
        let body = usage.as_object_mut().unwrap();
        assert!(body.remove("octets").unwrap().as_u64().unwrap() > 0);
        assert_eq!(body.remove("at").is_none(), path.contains("accounts"), "only sums are of a time");
        usage
    };
    assert_eq!(
        usage("/v1/tenants/acme").await,
        json!({"domains": 1, "accounts": 2, "messages": 2, "expunged_octets": 0, "deliveries": 2, "sessions": 1, "limits":
               {"domains": 3, "accounts": 9, "messages": null, "octets": null, "deliveries": 20, "sessions": 50}}),
    );
    assert_eq!(
        usage("/v1/domains/acme.test").await,
        json!({"accounts": 2, "messages": 2, "expunged_octets": 0, "deliveries": 2, "sessions": 1, "limits":
               {"accounts": null, "messages": 7, "octets": null, "deliveries": 10, "sessions": 40}}),
        "the tenant decides about its sessions"
    );
    assert_eq!(
        usage("/v1/accounts/alice@acme.test").await,
        json!({"messages": 2, "expunged_octets": 0, "deliveries": 2, "sessions": 1, "limits":
               {"messages": 6, "octets": null, "deliveries": 5, "sessions": 5}}),
        "the domain decides about its accounts' sessions"
    );
    // The next hour begins at nothing; so does what a frontend said that is dead.
    let owner = world.superuser().await;
    sqlx::query("UPDATE restante.usage_now SET hour = hour - interval '1 hour'").execute(&owner).await.unwrap();
    assert_eq!(usage("/v1/tenants/acme").await["deliveries"], 0);
    sqlx::query("UPDATE restante.frontends SET beat_at = beat_at - interval '2 hours'").execute(&owner).await.unwrap();
    assert_eq!(usage("/v1/accounts/alice@acme.test").await["sessions"], 0);
    world.sweeper().await.roll_up_usage().await.unwrap();
    assert_eq!(usage("/v1/domains/acme.test").await["sessions"], 0);
}

#[tokio::test]
async fn each_limit_is_told_by_name_when_it_fills() {
    let world = used().await;
    let (sweeper, owner) = (world.sweeper().await, world.superuser().await);
    let told = async || -> Value {
        let found: Vec<Value> = sqlx::query_scalar(
            "SELECT jsonb_build_array(target, after ->> 'of', after ->> 'resource', before -> 'percent', after -> 'percent')
               FROM restante.audit_events WHERE action = 'quota.threshold' ORDER BY after ->> 'of' DESC, after ->> 'resource'",
        )
        .fetch_all(&owner)
        .await
        .unwrap();
        sqlx::query("TRUNCATE restante.audit_events").execute(&owner).await.unwrap();
        found.into()
    };
    let limits = json!({"quota": {"domains": 1, "accounts": 3, "deliveries_per_hour": 2}, "policy": {"sessions": {"per_tenant": 1}}});
    change(&world, "/v1/tenants/acme", limits).await;
    change(&world, "/v1/domains/acme.test", json!({"policy": {"sessions": {"per_domain": 1}}})).await;
    change(&world, "/v1/accounts/alice@acme.test", json!({"quota": {"messages": 2, "deliveries_per_hour": 2}})).await;
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 5);
    assert_eq!(
        told().await,
        json!([
            ["acme", "tenant", "deliveries", 0, 100],
            ["acme", "tenant", "domains", 0, 100],
            ["acme", "tenant", "sessions", 0, 100],
            ["acme.test", "domain", "sessions", 0, 100],
            ["alice@acme.test", "account", "messages", 0, 100],
        ])
    );
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 0, "once");
    // What goes up and down all the time falls an hour after it was told, the rest at once, and by name still without its limit.
    change(&world, "/v1/tenants/acme", json!({"quota": {"domains": 2, "deliveries_per_hour": null}})).await;
    sqlx::query("UPDATE restante.usage_now SET sessions = 0").execute(&owner).await.unwrap();
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 1);
    assert_eq!(told().await, json!([["acme", "tenant", "domains", 100, 0]]));
    sqlx::query("UPDATE restante.quota_levels SET since = since - interval '2 hours'").execute(&owner).await.unwrap();
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 3);
    assert_eq!(
        told().await,
        json!([
            ["acme", "tenant", "deliveries", 100, 0],
            ["acme", "tenant", "sessions", 100, 0],
            ["acme.test", "domain", "sessions", 100, 0],
        ])
    );
}
