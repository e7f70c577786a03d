//! Invariant 4 at the API: for every route of the document, what belongs to another tenant is answered exactly as what does
//! not exist.

use axum::body::Body;
use axum::http::{Request, header};
use directory::{Permission, Role};
use mail_types::SessionUuid;
use serde_json::{Value, json};

use crate::desk::{told, written_down};
use crate::support::{Answer, Tenant, World};

/// The things that a path can name.
struct Names {
    slug: &'static str,
    domain: &'static str,
    address: &'static str,
    alias: &'static str,
    credential: String,
    key: String,
    unique_id: String,
    session: String,
    admin: String,
    sign_in: String,
    hook: String,
    delivery: String,
    job: String,
    live: String,
}

impl Names {
    /// A path of the document with these names in it.
    fn fill(&self, path: &str) -> String {
        let address = if path.starts_with("/v1/aliases") { self.alias } else { self.address };
        let id = match path {
            _ if path.starts_with("/v1/api-keys") => &self.key,
            _ if path.starts_with("/v1/imports") => &self.job,
            _ if path.starts_with("/v1/webhooks") => &self.hook,
            _ if path.starts_with("/v1/admins") => &self.admin,
            _ if path.starts_with("/v1/sessions/") => &self.sign_in,
            _ if path.starts_with("/v1/live-sessions") => &self.live,
            _ if path.contains("sessions/") || path.contains("/transcripts/") => &self.session,
            _ => &self.credential,
        };
        path.replace("{slug}", self.slug)
            .replace("{name}", self.domain)
            .replace("{address}", address)
            .replace("{unique_id}", &self.unique_id)
            .replace("{id}", id)
            .replace("{delivery}", &self.delivery)
    }
}

/// A valid body for each call that has one.
fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        ("patch", "/v1/tenants/{slug}") => json!({"name": "x"}),
        ("patch", "/v1/domains/{name}") => json!({"policy": null}),
        ("post", "/v1/domains/{name}/verify") => json!({"vouch": true}),
        ("patch", "/v1/accounts/{address}") => json!({"status": "active"}),
        ("put", "/v1/accounts/{address}/password") => json!({"password": "correct horse"}),
        ("post", "/v1/accounts/{address}/app-passwords") => json!({"name": "x"}),
        ("post", "/v1/accounts/{address}/messages/restore") => json!({"since": "2026-01-01T00:00:00Z"}),
        ("put", "/v1/tenants/{slug}/oidc" | "/v1/oidc") => json!({"issuer": "https://id.acme.test", "client_id": "x"}),
        ("patch", "/v1/api-keys/{id}") => json!({"name": "x"}),
        ("patch", "/v1/admins/{id}") => json!({"display_name": "x"}),
        ("put", "/v1/admins/{id}/password") => json!({"password": "correct horse"}),
        ("patch", "/v1/webhooks/{id}") => json!({"description": "x"}),
        ("patch", "/v1/aliases/{address}") => json!({"targets": ["bob@acme.test"]}),
        ("post", "/v1/accounts/{address}/transcripts") => json!({"minutes": 5}),
        _ => Value::Null,
    }
}

async fn call(world: &World, key: &str, method: &str, path: &str, filled: &str) -> Answer {
    if (method, path) == ("post", "/v1/accounts/{address}/messages") {
        let request = Request::builder()
            .method("POST")
            .uri(filled)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "message/rfc822")
            .body(Body::from("Subject: x\r\n\r\nx\r\n"));
        return world.send(request.unwrap()).await;
    }
    if (method, path) == ("post", "/v1/imports") {
        return world.import(key, filled, "{\"address\": \"new@acme.test\"}\n").await;
    }
    world.call(key, &method.to_uppercase(), filled, body(method, path)).await
}

async fn deliver(world: &World, tenant: &Tenant, address: &str) -> String {
    let path = "/v1/accounts/{address}/messages";
    let answer = call(world, &tenant.key, "post", path, &path.replace("{address}", address)).await;
    answer.json()["unique_id"].as_str().unwrap().to_owned()
}

/// Every operation of the document: method, path, and what it needs.
fn operations() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(admin_api::openapi()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                let needs = operation["x-permission"].as_str();
                let needs = needs.unwrap_or_else(|| panic!("{method} {path} has no row in the table of permissions"));
                all.push((method.to_owned(), path.clone(), needs.to_owned()));
            }
        }
    }
    all
}

/// Every operation, by every role of a tenant and of another: refused by the role alike whatever it names; a foreign thing is a
/// missing thing; one's own is reached.
#[tokio::test]
async fn every_operation_by_every_role_on_own_and_foreign_things() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.make("/v1/accounts", json!({"address": "gus@globex.test"})).await;
    let new = json!({"url": "https://hooks.acme.test/", "events": ["*"], "tenant": "acme"});
    let hook = world.make("/v1/webhooks", new).await["id"].as_str().unwrap().to_owned();
    let delivery =
        world.make(&format!("/v1/webhooks/{hook}/test"), Value::Null).await["id"].as_str().unwrap().to_owned();
    let own = Names {
        hook,
        delivery,
        slug: "acme",
        domain: "acme.test",
        address: "alice@acme.test",
        alias: "info@acme.test",
        unique_id: deliver(&world, &acme, "alice@acme.test").await,
        credential: acme.credential,
        key: acme.key_id,
        session: world.quit("alice@acme.test", 1, &[]).await,
        admin: world.admin("carol@acme.test", "auditor", Some("acme")).await,
        sign_in: {
            let (access, _) = world.sign_in("carol@acme.test").await;
            let me = world.call(&access, "GET", "/v1/me", Value::Null).await.json();
            me["session"].as_str().unwrap().to_owned()
        },
        live: format!("sess_{}", told(&world, 0).await),
        job: world.import(&acme.key, "/v1/imports", "{}").await.json()["id"].as_str().unwrap().to_owned(),
    };
    let path = "/v1/accounts/{address}/transcripts";
    let begun = call(&world, &acme.key, "post", path, &own.fill(path)).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    let session = SessionUuid::parse(own.session.trim_start_matches("sess_")).unwrap();
    written_down(&world, session).await;
    let missing = Names {
        hook: "hook_999999".to_owned(),
        delivery: "dlv_999999".to_owned(),
        slug: "nobody",
        domain: "nobody.test",
        address: "nobody@nobody.test",
        alias: "none@nobody.test",
        credential: "cred_999999".to_owned(),
        key: "key_999999".to_owned(),
        unique_id: "0".repeat(26),
        session: format!("sess_{}", "0".repeat(32)),
        admin: "adm_999999".to_owned(),
        sign_in: format!("sess_{}", "0".repeat(32)),
        job: "job_999999".to_owned(),
        live: format!("sess_{}", "0".repeat(32)),
    };
    for path in ["/v1/tenants/acme/oidc", "/v1/oidc"] {
        let set = world.call(&world.platform, "PUT", path, body("put", "/v1/oidc")).await;
        assert_eq!(set.status, 200, "{path}: {}", set.text);
    }
    let mut roles = vec![
        (Role::PlatformAdmin, world.platform.clone(), world.platform.clone()),
        (Role::TenantAdmin, acme.key, globex.key),
    ];
    for role in [Role::DomainAdmin, Role::Helpdesk, Role::Auditor] {
        let key = async |tenant: &str| {
            let mut body = json!({"name": role.as_str(), "tenant": tenant, "role": role.as_str()});
            if role == Role::DomainAdmin {
                body["domains"] = json!([format!("{tenant}.test")]);
            }
            world.make("/v1/api-keys", body).await["secret"].as_str().unwrap().to_owned()
        };
        roles.push((role, key("acme").await, key("globex").await));
    }
    for (method, path, needs) in operations() {
        if needs == "none" {
            continue;
        }
        for (role, ours, theirs) in &roles {
            let at = format!("{method} {path} by {}", role.as_str());
            // Keys have no sign-ins of their own: they need the permission that people need for those of others.
            let permission = match (method.as_str(), path.as_str()) {
                ("get", "/v1/sessions") => Some(Permission::AdminsRead),
                ("delete", "/v1/sessions/{id}") => Some(Permission::AdminsWrite),
                _ => Permission::parse(&needs),
            };
            let may =
                needs != "person" && permission.is_none_or(|one| one != Permission::MessagesRaw && role.allows(one));
            // Only tried: what one role changes must not be missing for the next.
            let filled = |names: &Names| {
                let path = names.fill(&path);
                if method == "get" { path } else { format!("{path}?dry_run=true") }
            };
            let answer = call(&world, ours, &method, &path, &filled(&own)).await;
            let refused = [401, 403, 404].contains(&answer.status.as_u16());
            // To vouch, which the body asks for, is the platform's alone; so is its issuer.
            let vouching = (path.ends_with("/verify") || path == "/v1/oidc") && *role != Role::PlatformAdmin;
            // What is there cannot be restored.
            let absent = path.ends_with("}/restore");
            assert_eq!(may && !vouching && !absent, !refused, "{at}, own: {}", answer.text);
            assert!(!may || answer.status != 403 || vouching, "{at}, own: {}", answer.text);
            if *role == Role::PlatformAdmin || !path.contains('{') {
                continue;
            }
            let foreign = call(&world, theirs, &method, &path, &filled(&own)).await;
            let none = call(&world, theirs, &method, &path, &filled(&missing)).await;
            assert_eq!(none.status, if may { 404 } else { 403 }, "{at}: {}", none.text);
            let same = (foreign.status, foreign.without_request_id()) == (none.status, none.without_request_id());
            assert!(same, "{at}: {} / {}", foreign.text, none.text);
            let (mut one, mut other) = (foreign.headers, none.headers);
            for headers in [&mut one, &mut other] {
                headers.remove("x-request-id");
                headers.remove("content-length");
                // What is left of the caller's own quota of requests.
                headers.remove("ratelimit");
            }
            assert_eq!(one, other, "{at}");
        }
    }
}

#[tokio::test]
async fn nothing_is_made_in_a_foreign_or_missing_tenant() {
    let world = World::new().await;
    let (_, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    for (path, theirs, none) in [
        ("/v1/domains", json!({"name": "x.test", "tenant": "acme"}), json!({"name": "x.test", "tenant": "nobody"})),
        ("/v1/accounts", json!({"address": "x@acme.test"}), json!({"address": "x@nobody.test"})),
        // Taken there, which must not be told.
        ("/v1/accounts", json!({"address": "alice@acme.test"}), json!({"address": "alice@nobody.test"})),
        (
            "/v1/aliases",
            json!({"address": "x@acme.test", "targets": ["bob@globex.test"]}),
            json!({"address": "x@nobody.test", "targets": ["bob@globex.test"]}),
        ),
        (
            "/v1/aliases",
            json!({"address": "x@globex.test", "targets": ["alice@acme.test"]}),
            json!({"address": "x@globex.test", "targets": ["alice@nobody.test"]}),
        ),
        (
            "/v1/api-keys",
            json!({"name": "x", "role": "tenant-admin", "tenant": "acme"}),
            json!({"name": "x", "role": "tenant-admin", "tenant": "nobody"}),
        ),
    ] {
        let theirs = world.call(&globex.key, "POST", path, theirs).await;
        let none = world.call(&globex.key, "POST", path, none).await;
        assert_eq!(none.status, 422, "{path}: {}", none.text);
        assert_eq!((theirs.status, theirs.without_request_id()), (none.status, none.without_request_id()), "{path}");
    }
}

#[tokio::test]
async fn lists_narrowed_to_a_foreign_tenant_are_empty() {
    let world = World::new().await;
    let (_, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    for path in [
        "/v1/domains?tenant=",
        "/v1/accounts?tenant=",
        "/v1/aliases?tenant=",
        "/v1/api-keys?tenant=",
        "/v1/imports?tenant=",
    ] {
        for tenant in ["acme", "nobody"] {
            let answer = world.call(&globex.key, "GET", &format!("{path}{tenant}"), Value::Null).await;
            assert_eq!(answer.json(), json!({"items": [], "next_cursor": null}), "{path}{tenant}");
        }
    }
    for domain in ["acme.test", "nobody.test"] {
        let answer = world.call(&globex.key, "GET", &format!("/v1/accounts?domain={domain}"), Value::Null).await;
        assert_eq!(answer.json(), json!({"items": [], "next_cursor": null}), "{domain}");
    }
    for path in ["/v1/tenants", "/v1/domains", "/v1/accounts", "/v1/aliases", "/v1/api-keys"] {
        let text = world.call(&globex.key, "GET", path, Value::Null).await.text;
        assert!(text.contains("globex") && !text.contains("acme"), "{path}: {text}");
    }
}
