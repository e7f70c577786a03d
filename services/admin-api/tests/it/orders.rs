//! Lists in the order that is asked for: whole, both ways, over ties, while others come and go, and each by an index of its own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::pages::{cost, counted, fill, walk};
use crate::support::{World, operations};

/// The lists with a choice, and their words, as the document has them.
fn sorts() -> Vec<(String, Vec<String>)> {
    let document = admin_api::openapi();
    let of = |path: &str| {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let sort = parameters.iter().find(|one| one["name"] == "sort").unwrap();
        sort["schema"]["enum"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let with = operations().into_iter().filter(|one| one.method == "get" && one.has_parameter("sort"));
    with.map(|one| (one.path.clone(), of(&one.path))).collect()
}

/// Some of everything that is listed, with ties: half of each kind was made in one moment.
async fn some_of_everything(world: &World) {
    for path in
        ["/v1/tenants", "/v1/domains", "/v1/accounts", "/v1/aliases", "/v1/admins", "/v1/api-keys", "/v1/webhooks"]
    {
        for n in [3, 1, 4, 0, 2, 5] {
            world.make(path, thing(path, &format!("m{n}"))).await;
        }
    }
    let owner = world.superuser().await;
    for table in ["tenants", "domains", "accounts", "addresses", "admins", "api_keys", "webhooks"] {
        let tie = format!(
            "UPDATE restante.{table} SET created_at = '2026-01-01T00:00:00Z' WHERE ctid IN (SELECT ctid FROM restante.{table} ORDER BY random() LIMIT 4)"
        );
        sqlx::query(sqlx::AssertSqlSafe(tie)).execute(&owner).await.unwrap();
    }
    for key in ["alice", "m3", "m4"] {
        world.post_message(&world.platform, &format!("{key}@acme.test"), "").await;
    }
    assert!(world.sweeper().await.note_account_octets(|| true).await.unwrap() >= 3);
    assert_eq!(
        world.sweeper().await.note_account_octets(|| true).await.unwrap(),
        0,
        "what has not changed is not written"
    );
    for n in 0..3 {
        world.import(&world.platform, "/v1/imports?tenant=acme", format!("{{\"address\":\"i{n}@acme.test\"}}\n")).await;
    }
}

fn thing(path: &str, label: &str) -> Value {
    match path {
        "/v1/tenants" => json!({"slug": label, "name": "T"}),
        "/v1/domains" => json!({"name": format!("{label}.test"), "tenant": "acme"}),
        "/v1/accounts" => json!({"address": format!("{label}@acme.test")}),
        "/v1/aliases" => json!({"address": format!("{label}-to@acme.test"), "targets": ["alice@acme.test"]}),
        "/v1/admins" => json!({"name": format!("{label}@acme.test"), "role": "helpdesk", "tenant": "acme"}),
        "/v1/webhooks" => {
            json!({"url": format!("https://{label}.test/"), "tenant": "acme", "events": ["tenant.create"]})
        }
        _ => json!({"name": "twin", "tenant": "acme", "role": "auditor"}),
    }
}

#[tokio::test]
async fn every_order_is_the_list_sorted_and_its_cursors_are_its_own() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    some_of_everything(&world).await;
    let sorts = sorts();
    assert_eq!(sorts.len(), 9, "{sorts:?}");
    for key in [&world.platform, &acme.key] {
        for (path, words) in &sorts {
            let own = walk(&world, key, path, 500).await;
            let mut cursors = Vec::new();
            for pair in words.chunks(2) {
                let up = walk(&world, key, &format!("{path}?sort={}", pair[0]), 500).await;
                assert_eq!(walk(&world, key, &format!("{path}?sort={}", pair[0]), 1).await, up, "{path} {pair:?}");
                let mut down = walk(&world, key, &format!("{path}?sort={}", pair[1]), 2).await;
                down.reverse();
                assert_eq!(down, up, "{path} {pair:?}");
                let text = |all: &[Value]| all.iter().map(Value::to_string).collect::<BTreeSet<_>>();
                assert_eq!(text(&up), text(&own), "{path} {pair:?}: the same things");
                if pair[0] != "octets" {
                    let field =
                        |one: &Value| one[pair[0].as_str()].as_str().unwrap().split('@').next().unwrap().to_owned();
                    assert!(up.is_sorted_by_key(field), "{path} {pair:?}: {up:?}");
                }
                for word in pair {
                    let first =
                        world.call(key, "GET", &format!("{path}?sort={word}&limit=1"), Value::Null).await.json();
                    // A tenant's caller sees one tenant.
                    cursors.extend(first["next_cursor"].as_str().map(|cursor| (word.clone(), cursor.to_owned())));
                }
            }
            for word in words {
                for (of, cursor) in cursors.iter().filter(|(of, _)| of != word) {
                    let other =
                        world.call(key, "GET", &format!("{path}?sort={word}&cursor={cursor}"), Value::Null).await;
                    assert_eq!(other.status, 422, "{path} {word} with {of}");
                    let fault = &other.json()["errors"][0];
                    assert_eq!(fault["pointer"], "/cursor");
                    assert!(fault["detail"].as_str().unwrap().contains("another order"), "{fault}");
                }
            }
            let wrong = world.call(key, "GET", &format!("{path}?sort=color"), Value::Null).await;
            assert_eq!(
                (wrong.status.as_u16(), &wrong.json()["errors"][0]["pointer"]),
                (422, &json!("/sort")),
                "{path}"
            );
        }
    }
    // By size, the largest first.
    let sizes = walk(&world, &acme.key, "/v1/accounts?sort=-octets&domain=acme.test", 2).await;
    let first: BTreeSet<&str> = sizes[..3].iter().map(|one| one["address"].as_str().unwrap()).collect();
    assert_eq!(first, BTreeSet::from(["alice@acme.test", "m3@acme.test", "m4@acme.test"]));
    for (path, code) in [
        ("/v1/accounts?sort=created_at&prefix=m", "/sort"),
        ("/v1/accounts?sort=address&status=deleted", "/sort"),
        ("/v1/tenants?sort=-created_at&prefix=m", "/sort"),
        ("/v1/live-sessions?sort=address", "/sort"),
    ] {
        let refused = world.call(&acme.key, "GET", path, Value::Null).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["pointer"]), (422, &json!(code)), "{path}");
    }
    let addresses =
        |all: Vec<Value>| all.iter().map(|one| one["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let narrowed = walk(&world, &world.platform, "/v1/accounts?sort=-address&prefix=m", 2).await;
    assert_eq!(addresses(narrowed), ["m5", "m4", "m3", "m2", "m1", "m0"].map(|local| format!("{local}@acme.test")));
}

/// Each order of each list, by pages of two, while things of its kind are made and deleted between the pages.
#[tokio::test]
async fn no_order_loses_or_repeats_what_stays() {
    let world = World::new().await;
    world.tenant("acme").await;
    some_of_everything(&world).await;
    let key = &world.platform;
    for (path, words) in sorts().iter().filter(|(path, _)| !matches!(path.as_str(), "/v1/imports" | "/v1/audit-events"))
    {
        let name = ["slug", "address", "id", "name"];
        let named = |one: &Value| name.iter().find_map(|name| one[name].as_str()).unwrap().to_owned();
        for word in words {
            let list = format!("{path}?sort={word}");
            let stay: BTreeSet<String> = walk(&world, key, &list, 500).await.iter().map(named).collect();
            let (mut seen, mut cursor, mut passing) = (Vec::new(), String::new(), None::<String>);
            for step in 0..100 {
                let page = world.call(key, "GET", &format!("{list}&limit=2{cursor}"), Value::Null).await.json();
                seen.extend(page["items"].as_array().unwrap().iter().map(named));
                let next = page["next_cursor"].as_str().map(ToOwned::to_owned);
                if let Some(location) = passing.take() {
                    assert_eq!(world.call(key, "DELETE", &location, Value::Null).await.status, 204, "{location}");
                }
                let Some(next) = next else { break };
                cursor = format!("&cursor={next}");
                // Alternately before and after what was read.
                let label = if step % 2 == 0 { "a" } else { "z" };
                let label = format!("{label}{step:02}{}", word.trim_start_matches('-').replace('_', ""));
                let label = if word.starts_with('-') { format!("{label}x") } else { label };
                let made = world.call(key, "POST", path, thing(path, &label)).await;
                assert_eq!(made.status, 201, "{path}: {}", made.text);
                passing = Some(made.header("location").to_owned());
            }
            let unique: BTreeSet<String> = seen.iter().cloned().collect();
            assert_eq!(unique.len(), seen.len(), "{list}: something twice: {seen:?}");
            assert!(stay.is_subset(&unique), "{list}: lost {:?}", stay.difference(&unique));
        }
    }
}

/// Fills what is listed by SQL, so that the planner chooses as it does for those who have much.
async fn much_of_everything(world: &World) {
    fill(world, 20_000).await;
    let owner = world.superuser().await;
    let mut tx = owner.begin().await.unwrap();
    for statement in [
        "SET LOCAL session_replication_role = replica",
        "INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt)
         SELECT d.tenant_id, d.domain_id, 'u' || lpad(n::text, 6, '0'), '' FROM restante.domains d, generate_series(0, 19999) n WHERE d.name = 'globex.test'",
        "INSERT INTO restante.addresses (tenant_id, domain_id, local_key, account_id)
         SELECT tenant_id, domain_id, local_part, account_id FROM restante.accounts a
          WHERE NOT EXISTS (SELECT FROM restante.addresses r WHERE r.account_id = a.account_id)",
        "INSERT INTO restante.maildrops (tenant_id, account_id) SELECT tenant_id, account_id FROM restante.accounts ON CONFLICT DO NOTHING",
        "UPDATE restante.accounts SET created_at = now() - make_interval(secs => account_id % 5000)",
        "INSERT INTO restante.tenants (slug, display_name, created_at) SELECT 'u' || n, 'U', now() - make_interval(secs => n % 500) FROM generate_series(1, 5000) n",
        "INSERT INTO restante.domains (tenant_id, name, challenge, created_at)
         SELECT t.tenant_id, 'u' || n || '.test', '', now() - make_interval(secs => n % 500) FROM restante.tenants t, generate_series(1, 5000) n WHERE t.slug = 'acme'",
        "INSERT INTO restante.domains (tenant_id, name, challenge) SELECT t.tenant_id, 'w' || n || '.test', '' FROM restante.tenants t, generate_series(1, 5000) n WHERE t.slug = 'globex'",
        "UPDATE restante.accounts a SET domain_id = d.domain_id FROM restante.domains d WHERE d.name = 'u1.test' AND a.tenant_id = d.tenant_id AND a.local_part ~ '^u.*[02468]$'",
        "UPDATE restante.addresses r SET domain_id = a.domain_id FROM restante.accounts a WHERE a.account_id = r.account_id",
        "INSERT INTO restante.addresses (tenant_id, domain_id, local_key, created_at)
         SELECT d.tenant_id, d.domain_id, 'x' || n, now() - make_interval(secs => n % 500) FROM restante.domains d, generate_series(1, CASE d.name WHEN 'globex.test' THEN 40000 ELSE 500 END) n WHERE d.name IN ('acme.test', 'globex.test', 'u1.test')",
        "INSERT INTO restante.admins (tenant_id, name, display_name, role, created_at)
         SELECT t.tenant_id, 'u' || n || '@' || t.slug, '', 2, now() - make_interval(secs => n % 500) FROM restante.tenants t, generate_series(1, CASE t.slug WHEN 'globex' THEN 15000 ELSE 500 END) n WHERE t.slug IN ('acme', 'globex')",
        "INSERT INTO restante.api_keys (key_hash, tenant_id, label, role, scopes, created_at)
         SELECT sha256((t.slug || n)::bytea), t.tenant_id, 'u' || n, 2, NULL, now() - make_interval(secs => n % 500) FROM restante.tenants t, generate_series(1, CASE t.slug WHEN 'globex' THEN 15000 ELSE 500 END) n WHERE t.slug IN ('acme', 'globex')",
        "INSERT INTO restante.webhooks (tenant_id, url, events, created_at) SELECT 0, 'https://u' || n, '{}', now() - make_interval(secs => n % 500) FROM generate_series(1, 5000) n",
        "INSERT INTO restante.account_octets SELECT tenant_id, account_id, domain_id, account_id % 700 FROM restante.accounts ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    tx.commit().await.unwrap();
    sqlx::query("VACUUM (ANALYZE)").execute(&owner).await.unwrap();
}

#[tokio::test]
async fn each_order_has_its_index_and_no_page_costs_more_for_lying_deep() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.tenant("globex").await;
    much_of_everything(&world).await;
    let (all, one) = (&world.platform, &acme.key);
    for (key, list, index) in [
        (all, "/v1/tenants?sort=slug", "tenants_slug_key"),
        (all, "/v1/tenants?sort=created_at", "tenants_created"),
        (all, "/v1/domains?sort=name", "domains_by_name"),
        (one, "/v1/domains?sort=name", "domains_tenant_id_name_key"),
        (all, "/v1/domains?sort=created_at", "domains_created"),
        (one, "/v1/domains?sort=created_at", "domains_created_of"),
        (all, "/v1/domains?sort=created_at&tenant=acme", "domains_created_of"),
        (all, "/v1/accounts?sort=address", "addresses_anywhere"),
        (one, "/v1/accounts?sort=address", "addresses_by_key"),
        (one, "/v1/accounts?sort=address&domain=acme.test", "addresses_pkey"),
        (all, "/v1/accounts?sort=created_at", "accounts_created"),
        (one, "/v1/accounts?sort=created_at", "accounts_created_of"),
        (one, "/v1/accounts?sort=created_at&domain=acme.test", "accounts_created_in"),
        (all, "/v1/accounts?sort=octets", "account_octets_all"),
        (one, "/v1/accounts?sort=octets", "account_octets_of"),
        (one, "/v1/accounts?sort=octets&domain=acme.test", "account_octets_in"),
        (all, "/v1/aliases?sort=address", "aliases_by_key"),
        (one, "/v1/aliases?sort=address", "aliases_by_key_of"),
        (one, "/v1/aliases?sort=address&domain=acme.test", "addresses_aliases"),
        (all, "/v1/aliases?sort=created_at", "aliases_created"),
        (one, "/v1/aliases?sort=created_at", "aliases_created_of"),
        (one, "/v1/aliases?sort=created_at&domain=acme.test", "aliases_created_in"),
        (all, "/v1/admins?sort=name", "admins_name_key"),
        (one, "/v1/admins?sort=name", "admins_tenant"),
        (all, "/v1/admins?sort=created_at", "admins_created"),
        (one, "/v1/admins?sort=created_at", "admins_created_of"),
        (all, "/v1/api-keys?sort=name", "api_keys_by_label"),
        (one, "/v1/api-keys?sort=name", "api_keys_by_label_of"),
        (all, "/v1/api-keys?sort=created_at", "api_keys_created"),
        (one, "/v1/api-keys?sort=created_at", "api_keys_created_of"),
        (all, "/v1/webhooks?sort=url", "webhooks_by_url"),
        (all, "/v1/webhooks?sort=created_at", "webhooks_created"),
    ] {
        let down = list.replace("sort=", "sort=-");
        let scans = format!(
            "SELECT sum(idx_scan)::bigint FROM pg_stat_user_indexes WHERE schemaname = 'restante' AND indexrelname = '{index}'"
        );
        // The planner itself may look at an end of an index, too.
        assert!(counted(&world, key, &[list, &down], &scans).await >= 2, "{list} by {index}");
    }
    for list in ["/v1/accounts?sort=created_at", "/v1/accounts?sort=-octets", "/v1/accounts?sort=address"] {
        let mut cursor = String::new();
        for _ in 0..38 {
            let page = world.call(one, "GET", &format!("{list}&limit=500{cursor}"), Value::Null).await.json();
            cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
        }
        let top = cost(&world, one, list).await;
        let bottom = cost(&world, one, &format!("{list}{cursor}")).await;
        assert!(bottom <= top + top / 4, "{list}: {bottom} blocks at the bottom, {top} at the top");
    }
}
