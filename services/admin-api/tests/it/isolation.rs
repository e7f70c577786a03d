//! Invariant 4 at the API: for every route of the document, what belongs to another tenant is answered exactly as what does
//! not exist.

use axum::body::Body;
use axum::http::{Request, header};
use mail_types::SessionUuid;
use serde_json::{Value, json};

use crate::desk::written_down;
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
}

impl Names {
    /// A path of the document with these names in it.
    fn fill(&self, path: &str) -> String {
        let address = if path.starts_with("/v1/aliases") { self.alias } else { self.address };
        let id = match path {
            _ if path.starts_with("/v1/api-keys") => &self.key,
            _ if path.contains("sessions/") || path.contains("/transcripts/") => &self.session,
            _ => &self.credential,
        };
        path.replace("{slug}", self.slug)
            .replace("{name}", self.domain)
            .replace("{address}", address)
            .replace("{unique_id}", &self.unique_id)
            .replace("{id}", id)
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
        ("post", "/v1/accounts/{address}/transcripts") => json!({"minutes": 5}),
        ("patch", "/v1/aliases/{address}") => json!({"targets": ["gus@globex.test"]}),
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
    world.call(key, &method.to_uppercase(), filled, body(method, path)).await
}

async fn deliver(world: &World, tenant: &Tenant, address: &str) -> String {
    let path = "/v1/accounts/{address}/messages";
    let answer = call(world, &tenant.key, "post", path, &path.replace("{address}", address)).await;
    answer.json()["unique_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn on_every_route_a_foreign_thing_is_a_missing_thing() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.make("/v1/accounts", json!({"address": "gus@globex.test"})).await;
    let foreign = Names {
        slug: "acme",
        domain: "acme.test",
        address: "alice@acme.test",
        alias: "info@acme.test",
        unique_id: deliver(&world, &acme, "alice@acme.test").await,
        credential: acme.credential,
        key: acme.key_id,
        session: world.quit("alice@acme.test", 1, &[]).await,
    };
    let path = "/v1/accounts/{address}/transcripts";
    let begun = call(&world, &acme.key, "post", path, &foreign.fill(path)).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    let session = SessionUuid::parse(foreign.session.trim_start_matches("sess_")).unwrap();
    written_down(&world, session).await;
    let missing = Names {
        slug: "nobody",
        domain: "nobody.test",
        address: "nobody@nobody.test",
        alias: "none@nobody.test",
        credential: "cred_999999".to_owned(),
        key: "key_999999".to_owned(),
        unique_id: "0".repeat(26),
        session: format!("sess_{}", "0".repeat(32)),
    };
    let document = serde_json::to_value(admin_api::openapi()).unwrap();
    let mut routes = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| ["get", "put", "post", "patch", "delete"].contains(&name.as_str()))
        {
            if !path.contains('{') {
                continue;
            }
            let theirs = call(&world, &globex.key, method, path, &foreign.fill(path)).await;
            let none = call(&world, &globex.key, method, path, &missing.fill(path)).await;
            assert_eq!(
                (theirs.status, theirs.without_request_id()),
                (none.status, none.without_request_id()),
                "{method} {path}"
            );
            assert_eq!(none.status, 404, "{method} {path}: {}", none.text);
            let (mut one, mut other) = (theirs.headers, none.headers);
            for headers in [&mut one, &mut other] {
                headers.remove("x-request-id");
                headers.remove("content-length");
            }
            assert_eq!(one, other, "{method} {path}");
            // The owner's key finds it: the route and the body of this test are right.
            if method == "get" || path.ends_with("/restore") || path.ends_with("/undo") {
                let own = call(&world, &acme.key, method, path, &foreign.fill(path)).await;
                assert_eq!(own.status, 200, "{method} {path}: {}", own.text);
            }
            routes += 1;
        }
    }
    assert_eq!(routes, 41, "a new route is tested here by itself; count it");
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
    for path in ["/v1/domains?tenant=", "/v1/accounts?tenant=", "/v1/aliases?tenant=", "/v1/api-keys?tenant="] {
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
