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
    assert_eq!(document.json(), serde_json::to_value(admin_api::openapi()).unwrap());
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
    assert!(!page.text.contains("https://"), "{}", page.text);
    let problem = get("/problems/over-quota").await;
    assert!(problem.status == StatusCode::OK && problem.text.contains("full"), "{}", problem.text);
}
