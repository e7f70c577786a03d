//! The web console's files, and the addresses that answer its page.

use admin_api::{Console, ConsoleFile};
use axum::body::Body;
use axum::http::{Request, StatusCode};

use crate::support::{Answer, World};

const SCRIPT: &[u8] = b"console.log(1)";
/// `console.log(1)`, by gzip.
const PACKED: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 206, 207, 43, 206, 207, 73, 213, 203, 201, 79, 215, 48, 212, 4, 0, 104, 254,
    1, 67, 14, 0, 0, 0,
];

const fn file(name: &'static str, is_packed: bool, octets: &'static [u8]) -> ConsoleFile {
    ConsoleFile { name, is_packed, octets }
}

const FILES: [ConsoleFile; 3] = [
    file("index.html", false, b"<!doctype html><meta name=\"csp\" content=\"__CSP_NONCE__\"><title>Restante</title>"),
    file("assets/index-Bk3.js", true, PACKED),
    file("favicon.svg", false, b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
];

async fn world() -> World {
    let mut world = World::new().await;
    world.show(Console::of(&FILES));
    world
}

async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::builder().uri(path), |all, (name, value)| all.header(*name, *value));
    world.send(request.body(Body::empty()).unwrap()).await
}

/// As a browser asks for what it is to show.
const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

#[tokio::test]
async fn every_address_of_the_console_answers_its_page_with_a_nonce_of_its_own() {
    let world = world().await;
    let mut nonces = Vec::new();
    for path in ["/", "/tenants/acme", "/accounts/alice@acme.test?tab=messages", "/sign-in", "/index.html"] {
        let page = get(&world, path, &[PAGE]).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        let nonce = page.text.split("content=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(nonce.len() == 32 && nonce.bytes().all(|octet| octet.is_ascii_hexdigit()), "{nonce}");
        assert_eq!(
            page.header("content-security-policy"),
            format!(
                "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; img-src \
                 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
                 frame-ancestors 'none'"
            )
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert!(!nonces.contains(&nonce), "{path}");
        nonces.push(nonce);
    }
    assert_eq!(get(&world, "/", &[]).await.status, StatusCode::OK, "whatever is accepted");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_whoever_asks() {
    let world = world().await;
    for (path, headers) in [
        ("/assets/index-Old.js", &[PAGE][..]),
        ("/logo.png", &[("accept", "image/*")]),
        ("/tenants/acme", &[("accept", "application/json")]),
        ("/tenants/acme", &[("accept", "text/html;q=0, */*")]),
        ("/v1/nothing", &[PAGE]),
        ("/v1", &[PAGE]),
        ("/docs/nothing.js", &[PAGE]),
        ("/problems/a/b", &[PAGE]),
        ("/mail/nothing", &[PAGE]),
        ("/autodiscover/nothing", &[PAGE]),
        ("/.well-known/nothing", &[PAGE]),
        ("//tenants", &[("accept", "*/*")]),
    ] {
        let answer = get(&world, path, headers).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.header("content-security-policy").contains("nonce"), "{path}");
    }
    let posted = Request::builder().method("POST").uri("/tenants").header(PAGE.0, PAGE.1).body(Body::empty());
    assert_eq!(world.send(posted.unwrap()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn files_are_kept_by_browsers_and_come_packed_to_who_unpacks() {
    let world = world().await;
    let path = "/assets/index-Bk3.js";
    let packed = get(&world, path, &[("accept-encoding", "br, gzip;q=0.5")]).await;
    assert_eq!((packed.status, packed.header("content-encoding")), (StatusCode::OK, "gzip"));
    assert_eq!(packed.octets, PACKED);
    assert_eq!(packed.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(packed.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(packed.header("vary"), "accept-encoding");
    for plain in [&[][..], &[("accept-encoding", "gzip;q=0")]] {
        let plain = get(&world, path, plain).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (StatusCode::OK, ""));
        assert_eq!(plain.octets, SCRIPT);
    }
    let tag = packed.header("etag");
    for (given, status) in [(tag, 304), ("\"x\", *", 304), (tag.trim_start_matches("W/"), 304), ("\"x\"", 200)] {
        let answer = get(&world, path, &[("if-none-match", given)]).await;
        assert_eq!(answer.status.as_u16(), status, "{given}");
        assert_eq!((answer.header("etag"), answer.octets.is_empty()), (tag, status == 304));
    }
    let icon = get(&world, "/favicon.svg", &[]).await;
    assert_eq!((icon.header("content-type"), icon.header("cache-control")), ("image/svg+xml", "no-cache"));
}
