//! Deletion with what lies beneath, restoration, and erasure when the retention has passed.

use serde_json::{Value, json};

use crate::support::World;

async fn status(world: &World, method: &str, path: &str) -> u16 {
    world.call(&world.platform, method, path, Value::Null).await.status.as_u16()
}

#[tokio::test]
async fn an_account_is_deleted_and_restored_with_all_that_it_had() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let message = world.post_message(&acme.key, "alice@acme.test", "").await.json();
    let alice = "/v1/accounts/alice@acme.test";

    assert_eq!(status(&world, "DELETE", alice).await, 409, "an alias leads there");
    assert_eq!(status(&world, "DELETE", &format!("{alice}?cascade=true")).await, 204);
    assert_eq!(status(&world, "GET", alice).await, 404);
    let alias = world.call(&acme.key, "GET", "/v1/aliases/info@acme.test", Value::Null).await.json();
    assert_eq!(alias["targets"], json!([]), "the alias leads there no more");
    let listed = world.call(&acme.key, "GET", "/v1/accounts?status=deleted", Value::Null).await.json();
    assert_eq!(listed["items"][0]["address"], "alice@acme.test");
    assert_eq!(listed["items"][0]["status"], "deleted");

    // Its address is free at once; while somebody else has it, it does not come back.
    world.make("/v1/accounts", json!({"address": "alice@acme.test"})).await;
    let taken = world.call(&acme.key, "POST", &format!("{alice}/restore"), Value::Null).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["type"]), (409, &"/problems/duplicate".into()), "{}", taken.text);
    assert_eq!(status(&world, "DELETE", alice).await, 204);

    // The one deleted last is the empty one; the one before comes after it.
    assert_eq!(status(&world, "POST", &format!("{alice}/restore")).await, 200);
    assert_eq!(status(&world, "DELETE", alice).await, 204);
    world.erase_by_hand("alice@acme.test").await;
    let restored = world.call(&acme.key, "POST", &format!("{alice}/restore"), Value::Null).await;
    assert_eq!(restored.status.as_u16(), 200, "{}", restored.text);
    let messages = world.call(&acme.key, "GET", &format!("{alice}/messages"), Value::Null).await.json();
    assert_eq!(messages["items"][0]["unique_id"], message["unique_id"]);
    let passwords = world.call(&acme.key, "GET", &format!("{alice}/app-passwords"), Value::Null).await.json();
    assert_eq!(passwords["items"][0]["name"], "phone");
    let alias = world.call(&acme.key, "GET", "/v1/aliases/info@acme.test", Value::Null).await.json();
    assert_eq!(alias["targets"], json!(["alice@acme.test"]));
    assert_eq!(status(&world, "POST", &format!("{alice}/restore")).await, 404, "it is there");
}

#[tokio::test]
async fn a_domain_and_a_tenant_go_and_come_back_with_what_lies_beneath() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    assert_eq!(status(&world, "DELETE", "/v1/domains/acme.test").await, 409);
    assert_eq!(status(&world, "DELETE", "/v1/domains/acme.test?cascade=true").await, 204);
    for path in ["/v1/domains/acme.test", "/v1/accounts/alice@acme.test", "/v1/aliases/info@acme.test"] {
        assert_eq!(status(&world, "GET", path).await, 404, "{path}");
    }
    for path in ["/v1/domains", "/v1/accounts", "/v1/aliases", "/v1/accounts?prefix=ali", "/v1/search?q=alice@acme"] {
        let list = world.call(&acme.key, "GET", path, Value::Null).await.json();
        assert_eq!(list["items"], json!([]), "{path}");
    }
    let deleted = world.call(&acme.key, "GET", "/v1/domains?status=deleted", Value::Null).await.json();
    assert_eq!(deleted["items"][0]["name"], "acme.test");
    assert_eq!(status(&world, "POST", "/v1/domains/acme.test/restore").await, 200);
    assert_eq!(status(&world, "GET", "/v1/accounts/alice@acme.test").await, 200);

    assert_eq!(status(&world, "DELETE", "/v1/tenants/acme").await, 409);
    assert_eq!(status(&world, "DELETE", "/v1/tenants/acme?cascade=true").await, 204);
    assert_eq!(world.call(&acme.key, "GET", "/v1/domains", Value::Null).await.status.as_u16(), 401);
    // Meanwhile the name is free for others, and then not restored.
    world.make("/v1/tenants", json!({"slug": "globex", "name": "Globex"})).await;
    world.make("/v1/domains", json!({"name": "acme.test", "tenant": "globex"})).await;
    assert_eq!(status(&world, "POST", "/v1/tenants/acme/restore").await, 200);
    assert_eq!(status(&world, "GET", "/v1/domains/acme.test?tenant=acme").await, 404);
    let taken = world.call(&acme.key, "POST", "/v1/domains/acme.test/restore", Value::Null).await;
    assert_eq!(taken.json()["type"], "/problems/duplicate", "{}", taken.text);
    assert_eq!(status(&world, "DELETE", "/v1/domains/acme.test?tenant=globex").await, 204);
    assert_eq!(status(&world, "POST", "/v1/domains/acme.test/restore?tenant=acme").await, 200);
    assert_eq!(status(&world, "GET", "/v1/accounts/alice@acme.test").await, 200);
}

#[tokio::test]
async fn what_was_deleted_is_erased_when_the_retention_has_passed() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.post_message(&acme.key, "alice@acme.test", "").await;
    assert_eq!(status(&world, "DELETE", "/v1/domains/acme.test?cascade=true").await, 204);
    let sweeper = world.sweeper().await;
    assert_eq!(sweeper.erase(|| true).await.unwrap(), (0, 0), "it is not due");
    world.let_retention_pass().await;
    // The message goes to the purge first.
    assert_eq!(sweeper.erase(|| true).await.unwrap(), (1, 0), "bob has nothing");
    while sweeper.sweep().await.unwrap().purged == 0 {}
    assert_eq!(sweeper.erase(|| true).await.unwrap(), (1, 1));
    assert_eq!(status(&world, "POST", "/v1/domains/acme.test/restore").await, 404);
    assert_eq!(world.rows_of_accounts().await, 0, "nothing is left that names an account");
}

#[tokio::test]
async fn lists_and_search_by_prefix() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.tenant("globex").await;
    world.make("/v1/domains", json!({"name": "acme-two.test", "tenant": "acme"})).await;
    world.make("/v1/accounts", json!({"address": "alan@acme-two.test"})).await;
    let keys = async |key: &str, path: &str, name: &str| {
        let answer = world.call(key, "GET", path, Value::Null).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let platform = &world.platform;
    assert_eq!(keys(platform, "/v1/tenants?prefix=ac", "slug").await, ["acme"]);
    assert_eq!(keys(platform, "/v1/domains?prefix=acme-", "name").await, ["acme-two.test"]);
    assert_eq!(keys(platform, "/v1/accounts?domain=acme.test&prefix=AL", "address").await, ["alice@acme.test"]);
    assert_eq!(keys(&acme.key, "/v1/accounts?prefix=al", "address").await, ["alan@acme-two.test", "alice@acme.test"]);
    assert_eq!(keys(platform, "/v1/accounts?tenant=acme&prefix=alan", "address").await, ["alan@acme-two.test"]);
    assert_eq!(keys(platform, "/v1/aliases?domain=acme.test&prefix=in", "address").await, ["info@acme.test"]);
    assert_eq!(
        keys(platform, "/v1/search?q=al", "key").await,
        ["alan@acme-two.test", "alice@acme.test", "alice@globex.test"]
    );
    assert_eq!(keys(platform, "/v1/search?q=acme", "key").await, ["acme", "acme-two.test", "acme.test"]);
    assert_eq!(keys(platform, "/v1/search?q=alice@glo", "key").await, ["alice@globex.test"]);
    assert_eq!(keys(&acme.key, "/v1/search?q=alice", "key").await, ["alice@acme.test"], "not another tenant's");
    let refused = world.call(platform, "GET", "/v1/accounts?prefix=al", Value::Null).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]), (422, &"/prefix".into()));
    // Page by page, each once.
    let mut seen = Vec::new();
    let mut path = "/v1/accounts?prefix=a&limit=1".to_owned();
    loop {
        let page = world.call(&acme.key, "GET", &path, Value::Null).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["address"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/accounts?prefix=a&limit=1&cursor={cursor}");
    }
    assert_eq!(seen, ["alan@acme-two.test", "alice@acme.test"]);
}

#[tokio::test]
async fn a_child_never_has_more_than_its_parent() {
    let world = World::new().await;
    world.tenant("acme").await;
    let change = async |path: &str, quota: Value| {
        let answer = world.call(&world.platform, "PATCH", path, json!({"quota": quota})).await;
        (answer.status.as_u16(), answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned())
    };
    let (tenant, domain, account) = ("/v1/tenants/acme", "/v1/domains/acme.test", "/v1/accounts/alice@acme.test");
    let ok = (200, String::new());
    let octets = (422, "/quota/octets".to_owned());
    assert_eq!(change(tenant, json!({"octets": 1000, "accounts": 5, "deliveries_per_hour": 9})).await, ok);
    assert_eq!(change(domain, json!({"octets": 1001})).await, octets);
    assert_eq!(change(domain, json!({"octets": 800, "accounts": 2})).await, ok);
    assert_eq!(change(account, json!({"octets": 801})).await, octets);
    assert_eq!(change(account, json!({"octets": 700, "deliveries_per_hour": 9})).await, ok);
    assert_eq!(change(domain, json!({"octets": 699})).await, octets, "an account has more");
    assert_eq!(change(tenant, json!({"octets": 799})).await, octets, "a domain has more");
    assert_eq!(change(tenant, json!({"deliveries_per_hour": 8})).await, (422, "/quota/deliveries_per_hour".to_owned()));
    assert_eq!(change(domain, json!({"octets": null})).await, ok);
    let third = json!({"address": "third@acme.test"});
    let refused = world.call(&world.platform, "POST", "/v1/accounts", third).await;
    assert_eq!(refused.json()["type"], "/problems/limit-reached", "the domain's: {}", refused.text);
    assert_eq!(change(domain, json!({"domains": 1})).await, (422, "/quota/domains".to_owned()), "no such field");
}

#[tokio::test]
async fn no_more_sessions_than_the_parent_allows() {
    let world = World::new().await;
    world.tenant("acme").await;
    let change = async |path: &str, sessions: Value| {
        let answer = world.call(&world.platform, "PATCH", path, json!({"policy": {"sessions": sessions}})).await;
        (answer.status.as_u16(), answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned())
    };
    let (tenant, domain, account) = ("/v1/tenants/acme", "/v1/domains/acme.test", "/v1/accounts/alice@acme.test");
    let ok = (200, String::new());
    let refused = |key: &str| (422, format!("/policy/sessions/{key}"));
    assert_eq!(change(tenant, json!({"per_tenant": 100, "per_account": 101})).await, refused("per_account"));
    assert_eq!(change(tenant, json!({"per_tenant": 100, "per_domain": 50})).await, ok);
    assert_eq!(change(domain, json!({"per_domain": 51})).await, refused("per_domain"));
    assert_eq!(change(domain, json!({"per_domain": 40, "per_account": 10})).await, ok);
    assert_eq!(change(account, json!({"per_account": 11})).await, refused("per_account"));
    assert_eq!(change(account, json!({"per_account": 8})).await, ok);
    assert_eq!(change(account, json!({"per_domain": 8})).await, refused("per_domain"), "no such field");
    assert_eq!(change(domain, json!({"per_account": 7})).await, refused("per_account"), "an account may have more");
    assert_eq!(change(domain, json!({"per_domain": 7, "per_account": null})).await, refused("per_domain"));
    assert_eq!(change(tenant, json!({"per_domain": 39})).await, refused("per_domain"), "a domain may have more");
    assert_eq!(change(tenant, json!({"per_tenant": 39, "per_domain": null})).await, refused("per_tenant"));
    let new = json!({"name": "two.test", "tenant": "acme", "policy": {"sessions": {"per_domain": 51}}});
    let answer = world.call(&world.platform, "POST", "/v1/domains", new).await;
    assert_eq!(answer.json()["errors"][0]["pointer"], "/policy/sessions/per_domain", "{}", answer.text);
    assert_eq!(change(domain, json!(null)).await, ok);
    assert_eq!(change(tenant, json!({"per_domain": 8, "per_account": 8})).await, ok);
}
