//! The document and the pages.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::support::World;

#[tokio::test]
async fn the_document_and_its_page_are_served_without_a_key() {
    let world = World::new().await;
    let get = async |path: &str| world.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await;
    let document = get("/v1/openapi.json").await;
    assert_eq!(document.status, StatusCode::OK);
    assert_eq!(document.json(), admin_api::openapi());
    let root = get("/").await;
    assert_eq!((root.status, root.header("location")), (StatusCode::TEMPORARY_REDIRECT, "/docs/"));
    let page = get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    // Everything that the page loads is here: it works with no way out.
    for name in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "swagger-initializer.js"]
    {
        assert!(page.text.contains(name), "{name}");
        assert_eq!(get(&format!("/docs/{name}")).await.status, StatusCode::OK, "{name}");
    }
    loads_nothing_from_elsewhere(&page.text);
    let started = get("/docs/swagger-initializer.js").await.text;
    assert!(started.contains("/v1/openapi.json"), "{started}");
    loads_nothing_from_elsewhere(&started);
    let style = get("/docs/swagger-ui.css").await.text;
    let loaded = style.split("url(").skip(1).filter(|rest| !rest.starts_with("data:") && !rest.starts_with("\"data:"));
    assert_eq!(loaded.count(), 0, "the style loads something");
    let problem = get("/problems/over-quota").await;
    assert!(problem.status == StatusCode::OK && problem.text.contains("full"), "{}", problem.text);
}

/// What the console's client is generated from. `RESTANTE_WRITE_DOCS=1` writes it.
#[test]
fn the_consoles_copy_of_the_document_is_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web-admin/openapi.json");
    let document = format!("{:#}\n", admin_api::openapi());
    let there = std::fs::read_to_string(path).unwrap_or_default();
    if there != document && std::env::var_os("RESTANTE_WRITE_DOCS").is_some() {
        std::fs::write(path, document).unwrap();
        return;
    }
    assert!(there == document, "web-admin/openapi.json: run this test with RESTANTE_WRITE_DOCS=1 to have it written");
}

/// Every address in a page or its start is of this service. (The scripts themselves name addresses, to be shown: the page's
/// Content-Security-Policy keeps them from being loaded.)
fn loads_nothing_from_elsewhere(text: &str) {
    for attribute in ["src=\"", "href=\"", "url: \"", "import(\""] {
        for value in text.split(attribute).skip(1) {
            let value = value.split('"').next().unwrap();
            assert!(!value.contains("//"), "{attribute}{value}");
        }
    }
    assert!(!text.contains("https://") && !text.contains("http://"), "{text}");
}
