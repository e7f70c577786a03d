//! Pages of lists: nothing twice and nothing lost while others come and go, at a cost that does not depend on how deep a page lies.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use crate::support::{World, operations};

/// How many accounts the large tenant has.
const MANY: usize = 100_000;

/// Makes accounts `u000000@acme.test` and so on, by SQL: over HTTP it would take minutes. The checks of references are left out for that.
pub(crate) async fn fill(world: &World, count: usize) {
    let pool = world.superuser().await;
    let mut tx = pool.begin().await.unwrap();
    for statement in [
        "SET LOCAL session_replication_role = replica".to_owned(),
        format!(
            "INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt)
             SELECT d.tenant_id, d.domain_id, 'u' || lpad(n::text, 6, '0'), '\\x00112233445566778899aabbccddeeff'
               FROM restante.domains d, generate_series(0, {count} - 1) n WHERE d.name = 'acme.test'"
        ),
        "INSERT INTO restante.addresses (tenant_id, domain_id, local_key, account_id)
         SELECT tenant_id, domain_id, local_part, account_id FROM restante.accounts WHERE local_part ~ '^u[0-9]{6}$'"
            .to_owned(),
        "INSERT INTO restante.maildrops (tenant_id, account_id)
         SELECT tenant_id, account_id FROM restante.accounts WHERE local_part ~ '^u[0-9]{6}$'"
            .to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    // As the server would have done by itself by the time that somebody has so many.
    sqlx::query("VACUUM (ANALYZE)").execute(&pool).await.unwrap();
}

/// What twenty requests for a page read, in blocks of tables and indexes.
pub(crate) async fn cost(world: &World, key: &str, path: &str) -> i64 {
    let blocks = "SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::bigint
                    FROM pg_statio_all_tables WHERE schemaname = 'restante'";
    counted(world, key, &[path; 20], blocks).await
}

/// By how much some requests for pages of 100 raise what the database counts. A connection's counts are told at the latest when it ends.
pub(crate) async fn counted(world: &World, key: &str, paths: &[&str], count: &str) -> i64 {
    let owner = world.superuser().await;
    let count = || sqlx::AssertSqlSafe(count.to_owned());
    let processes =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'restante-admin'";
    let others: Vec<i32> = sqlx::query_scalar(processes).fetch_all(&owner).await.unwrap();
    let before: i64 = sqlx::query_scalar(count()).fetch_one(&owner).await.unwrap();
    let service = world.again().await;
    for path in paths {
        let answer = service.get(key, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), 100);
    }
    let mut ours: Vec<i32> = sqlx::query_scalar(processes).fetch_all(&owner).await.unwrap();
    ours.retain(|process| !others.contains(process));
    assert!(!ours.is_empty());
    service.pool.close().await;
    let ended = async {
        loop {
            let there: Vec<i32> = sqlx::query_scalar(processes).fetch_all(&owner).await.unwrap();
            if !there.iter().any(|process| ours.contains(process)) {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.unwrap();
    let after: i64 = sqlx::query_scalar(count()).fetch_one(&owner).await.unwrap();
    after - before
}

#[tokio::test]
async fn a_hundred_thousand_accounts_are_listed_whole_while_others_come_and_go() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    for local in ["alice", "bob"] {
        world.make("/v1/accounts", json!({"address": format!("zz-{local}@acme.test")})).await;
    }
    fill(&world, MANY).await;

    let mut seen = Vec::with_capacity(MANY);
    let mut cursor: Option<String> = None;
    let mut deep = Vec::new();
    for page in 0.. {
        let query = cursor.as_deref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer = world.call(&acme.key, "GET", &format!("/v1/accounts?limit=500{query}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let body = answer.json();
        seen.extend(body["items"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap().to_owned()));
        cursor = body["next_cursor"].as_str().map(ToOwned::to_owned);
        let Some(next) = &cursor else { break };
        if page == MANY / 500 - 5 {
            deep.push(next.clone());
        }
        if page % 8 == 0 {
            // Behind the page, right after it, and far ahead; and one that is ahead goes.
            let last = seen.last().unwrap().split('@').next().unwrap().to_owned();
            for local in [format!("a{page:06}"), format!("{last}-x"), format!("y{page:06}")] {
                world.make("/v1/accounts", json!({"address": format!("{local}@acme.test")})).await;
            }
            let gone = format!("/v1/accounts/y{page:06}@acme.test");
            assert_eq!(world.call(&acme.key, "DELETE", &gone, Value::Null).await.status, 204);
        }
    }
    assert!(seen.is_sorted_by_key(|one| one.split('@').next().unwrap()), "in the list's order");
    let unique: HashSet<&String> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "nothing twice");
    let filled: BTreeSet<String> = (0..MANY).map(|n| format!("u{n:06}@acme.test")).collect();
    let missing = filled.iter().filter(|one| !unique.contains(one)).count();
    assert_eq!(missing, 0, "nothing lost");
    assert!(!seen.iter().any(|one| one.starts_with('y')), "nothing that was gone before its page");
    assert!(seen.iter().any(|one| one.ends_with("-x@acme.test")), "what came ahead of its page");

    // What a page costs, counted in blocks and not in seconds: the same at the top and at the bottom.
    let top = cost(&world, &acme.key, "/v1/accounts?limit=100").await;
    let bottom = cost(&world, &acme.key, &format!("/v1/accounts?limit=100&cursor={}", deep[0])).await;
    assert!(top > 0 && bottom <= top + top / 4, "{bottom} blocks for pages at the bottom, {top} for pages at the top");
}

/// A walk in steps of this many.
pub(crate) async fn walk(world: &World, key: &str, path: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    let sign = if path.contains('?') { '&' } else { '?' };
    for _ in 0..1000 {
        let body = world.call(key, "GET", &format!("{path}{sign}limit={limit}{cursor}"), Value::Null).await.json();
        let items = body["items"].as_array().unwrap_or_else(|| panic!("{path}: {body}"));
        assert!(items.len() <= limit, "{path}");
        all.extend(items.iter().cloned());
        match body["next_cursor"].as_str() {
            None => return all,
            Some(next) => cursor = format!("&cursor={next}"),
        }
        assert_eq!(items.len(), limit, "{path}: a page before the last is full");
    }
    panic!("{path}: the cursors do not end");
}

/// Every list of the document that has pages: its path there, and with the names of things that are there. What lies below a thing
/// with an opaque id is looked at below the first such thing, if there is one.
async fn lists(world: &World) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for one in operations().into_iter().filter(|one| one.method == "get" && one.has_parameter("cursor")) {
        let names = [("{slug}", "acme"), ("{name}", "acme.test"), ("{address}", "alice@acme.test")];
        let mut filled = names.iter().fold(one.path.clone(), |path, (name, value)| path.replace(name, value));
        if let Some((above, below)) = filled.clone().split_once("/{") {
            let things = world.call(&world.platform, "GET", above, Value::Null).await.json();
            let Some(id) = things["items"][0]["id"].as_str() else { continue };
            filled = format!("{above}/{id}{}", below.split_once('}').unwrap().1);
        }
        all.push((one.path, filled));
    }
    all
}

#[tokio::test]
async fn every_list_by_ones_is_the_list_and_its_cursors_are_its_own() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    for path in ["/v1/tenants", "/v1/domains", "/v1/aliases", "/v1/api-keys"] {
        for n in 0..3 {
            let body = match path {
                "/v1/tenants" => json!({"slug": format!("t{n}"), "name": "T"}),
                "/v1/domains" => json!({"name": format!("d{n}.test"), "tenant": "acme"}),
                "/v1/aliases" => json!({"address": format!("x{n}@acme.test"), "targets": ["alice@acme.test"]}),
                _ => json!({"name": format!("k{n}"), "tenant": "acme", "role": "auditor"}),
            };
            world.make(path, body).await;
        }
    }
    for _ in 0..6 {
        world.post_message(&acme.key, "alice@acme.test", "").await;
    }
    for uid in [1, 2, 3] {
        world.quit("alice@acme.test", 1, &[uid]).await;
    }
    let key = &world.platform;
    let mut cursors = Vec::new();
    let lists = lists(&world).await;
    for (path, filled) in &lists {
        let whole = walk(&world, key, filled, 500).await;
        assert_eq!(walk(&world, key, filled, 1).await, whole, "{path}");
        let unique: HashSet<String> = whole.iter().map(Value::to_string).collect();
        assert_eq!(unique.len(), whole.len(), "{path}: something twice");
        let first = world.call(key, "GET", &format!("{filled}?limit=1"), Value::Null).await.json();
        if let Some(cursor) = first["next_cursor"].as_str() {
            cursors.push((path.clone(), cursor.to_owned()));
        }
        for garbled in ["x", "!", "%00", "bnVsbA", "W10", "e30", "WzEsMiwzLDQsNSw2XQ", "InRleHQi%0A"] {
            let answer = world.call(key, "GET", &format!("{filled}?cursor={garbled}"), Value::Null).await;
            assert_eq!(answer.status, 422, "{path} {garbled}: {}", answer.text);
            assert_eq!(answer.json()["errors"][0]["pointer"], "/cursor", "{path} {garbled}");
        }
    }
    assert!(cursors.len() >= 8, "{cursors:?}");
    // Another list's cursor is refused, or at least does not lead anywhere that it should not: never a fault.
    for (path, filled) in &lists {
        for (of, cursor) in cursors.iter().filter(|(of, _)| of != path) {
            let answer = world.call(key, "GET", &format!("{filled}?cursor={cursor}"), Value::Null).await;
            assert!(answer.status == 422, "{path} with a cursor of {of}: {} {}", answer.status, answer.text);
        }
    }
}

/// Each list, by pages of two, while things of its kind are made and deleted between the pages.
#[tokio::test]
async fn no_list_loses_or_repeats_what_stays() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = &world.platform;
    for (path, name) in [
        ("/v1/tenants", "slug"),
        ("/v1/domains", "name"),
        ("/v1/accounts", "address"),
        ("/v1/aliases", "address"),
        ("/v1/api-keys", "name"),
    ] {
        let body = |label: String| match path {
            "/v1/tenants" => json!({"slug": label, "name": "T"}),
            "/v1/domains" => json!({"name": format!("{label}.test"), "tenant": "acme"}),
            "/v1/accounts" => json!({"address": format!("{label}@acme.test")}),
            "/v1/aliases" => json!({"address": format!("{label}-to@acme.test"), "targets": ["alice@acme.test"]}),
            _ => json!({"name": label, "tenant": "acme", "role": "auditor"}),
        };
        for n in 0..8 {
            world.make(path, body(format!("m{n}"))).await;
        }
        let stay: BTreeSet<String> =
            walk(&world, key, path, 500).await.iter().map(|one| one[name].to_string()).collect();
        let mut seen = Vec::new();
        let mut cursor = String::new();
        let mut passing: Option<String> = None;
        for step in 0..100 {
            let page = world.call(key, "GET", &format!("{path}?limit=2{cursor}"), Value::Null).await.json();
            seen.extend(page["items"].as_array().unwrap().iter().map(|one| one[name].to_string()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            if let Some(location) = passing.take() {
                assert_eq!(world.call(key, "DELETE", &location, Value::Null).await.status, 204, "{location}");
            }
            // Alternately before and after what was read.
            let label = if step % 2 == 0 { format!("a{step:02}") } else { format!("z{step:02}") };
            let made = world.call(key, "POST", path, body(label)).await;
            assert_eq!(made.status, 201, "{}", made.text);
            passing = Some(made.header("location").to_owned());
        }
        let unique: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(unique.len(), seen.len(), "{path}: something twice: {seen:?}");
        assert!(stay.is_subset(&unique), "{path}: lost {:?}", stay.difference(&unique));
        if let Some(location) = passing {
            world.call(key, "DELETE", &location, Value::Null).await;
        }
    }
    drop(acme);
}
