//! Browsers that have their refresh token kept in a cookie.

use admin_api::Config;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use crate::identity::{PASSWORD, tokens, world};
use crate::support::{Answer, World};

const NAME: &str = "carol@acme.test";
const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn post(world: &World, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method("POST").uri(path).header(header::CONTENT_TYPE, "application/json");
    let request = headers.iter().fold(request, |all, (name, value)| all.header(*name, *value));
    world.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn sign_in(world: &World, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"name": NAME, "password": PASSWORD, "keep": "cookie"});
    post(world, "/v1/sign-in", &body, headers).await
}

async fn refresh(world: &World, cookie: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [headers, &[("cookie", cookie)]].concat();
    post(world, "/v1/sign-in/refresh", &json!({"keep": "cookie"}), &headers).await
}

/// What a browser sends back, and what it was told of it.
fn kept(answer: &Answer) -> (String, String) {
    let (pair, rest) = answer.header("set-cookie").split_once("; ").unwrap();
    (pair.to_owned(), rest.to_owned())
}

async fn carols(world: &World) {
    world.tenant("acme").await;
    world.admin(NAME, "tenant-admin", Some("acme")).await;
}

#[tokio::test]
async fn a_browser_has_its_refresh_token_in_a_cookie_alone() {
    let world = world().await;
    carols(&world).await;
    let answer = sign_in(&world, &[SAME, ("cookie", "theme=dark")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json().get("refresh_token").is_none(), "{}", answer.text);
    let (first, told) = kept(&answer);
    assert!(first.starts_with("restante-refresh=rsf-"), "{first}");
    assert_eq!(told, "Path=/v1; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert_eq!(world.me(&tokens(&answer).0).await, 200);

    let refreshed = refresh(&world, &format!("theme=dark; {first}"), &[SAME]).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert!(refreshed.json().get("refresh_token").is_none(), "{}", refreshed.text);
    let (second, _) = kept(&refreshed);
    assert_ne!(first, second);
    let (access, _) = tokens(&refreshed);
    assert_eq!(world.me(&access).await, 200);

    // A browser says nothing where it is too old to.
    let (third, _) = kept(&refresh(&world, &second, &[]).await);
    let out = world.call_with(&access, "POST", "/v1/sign-out", Value::Null, &[("cookie", &third)]).await;
    assert_eq!(out.status, 200, "{}", out.text);
    assert_eq!(
        kept(&out),
        ("restante-refresh=".to_owned(), "Path=/v1; Max-Age=0; HttpOnly; SameSite=Strict".to_owned())
    );
    assert_eq!(refresh(&world, &third, &[SAME]).await.status, 401);
}

#[tokio::test]
async fn a_cookie_that_was_spent_ends_its_sign_in_and_is_forgotten() {
    let world = world().await;
    carols(&world).await;
    let (first, _) = kept(&sign_in(&world, &[SAME]).await);
    let refreshed = refresh(&world, &first, &[SAME]).await;
    let again = refresh(&world, &first, &[SAME]).await;
    assert_eq!((again.status.as_u16(), again.json()["type"].clone()), (401, json!("/problems/sign-in-refused")));
    assert!(again.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(world.me(&tokens(&refreshed).0).await, 401);
    let none = post(&world, "/v1/sign-in/refresh", &json!({"keep": "cookie"}), &[SAME]).await;
    assert_eq!(none.status, 401, "{}", none.text);
}

#[tokio::test]
async fn a_cookie_authenticates_nothing_but_a_refresh_of_a_page_of_its_own() {
    let world = world().await;
    carols(&world).await;
    let (cookie, _) = kept(&sign_in(&world, &[SAME]).await);
    for (method, path) in
        [("GET", "/v1/me"), ("GET", "/v1/accounts"), ("POST", "/v1/sign-out"), ("GET", "/v1/sessions")]
    {
        let request = Request::builder().method(method).uri(path).header("cookie", &cookie);
        let request = request.header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, 401, "{method} {path}");
    }
    // A refresh that does not ask for it does not take it.
    let unasked = post(&world, "/v1/sign-in/refresh", &json!({}), &[SAME, ("cookie", &cookie)]).await;
    assert_eq!(unasked.status, 422, "{}", unasked.text);
    for site in ["cross-site", "same-site", "none"] {
        let (theirs, told) = (refresh(&world, &cookie, &[("sec-fetch-site", site)]).await, "sec-fetch-site");
        assert_eq!((theirs.status.as_u16(), theirs.header("set-cookie")), (403, ""), "{site}");
        assert_eq!(sign_in(&world, &[(told, site)]).await.status, 403, "{site}");
    }
    // What forms of other sites can send is not JSON.
    let form = Request::builder().method("POST").uri("/v1/sign-in/refresh").header("cookie", &cookie);
    let form = form.header("content-type", "text/plain").body(Body::from("{\"keep\":\"cookie\"}")).unwrap();
    assert_eq!(world.send(form).await.status, 415);
    assert_eq!(refresh(&world, &cookie, &[SAME]).await.status, 200, "none of that has spent it");
}

#[tokio::test]
async fn over_tls_a_cookie_stays_there() {
    let world = world().await;
    carols(&world).await;
    for (origin, secure) in [("https://console.test", true), ("http://127.0.0.1:8080", false)] {
        let (_, told) = kept(&sign_in(&world, &[SAME, ("origin", origin)]).await);
        assert_eq!(told.ends_with("; Secure"), secure, "{origin}: {told}");
    }
    let public_url = Some("https://console.test".to_owned());
    let world = World::with(Config { public_url, refusal_ms: 0, ..Config::default() }).await;
    carols(&world).await;
    let (_, told) = kept(&sign_in(&world, &[SAME]).await);
    assert!(told.ends_with("; Secure"), "{told}");
}

#[tokio::test]
async fn how_one_can_sign_in_says_nothing_of_who_there_is() {
    let public_url = Some("https://console.test".to_owned());
    let world = World::with(Config { public_url, ..Config::default() }).await;
    for slug in ["acme", "globex"] {
        world.tenant(slug).await;
    }
    let issuer = json!({"issuer": "https://id.acme.test", "client_id": "x"});
    let set = world.call(&world.platform, "PUT", "/v1/tenants/acme/oidc", issuer).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let methods = async |query: &str| {
        let answer = world.ask("GET", &format!("/v1/sign-in/methods{query}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        (answer.json(), answer.headers.len())
    };
    assert_eq!(methods("?tenant=acme").await.0, json!({"password": true, "oidc": true}));
    let without = methods("?tenant=globex").await;
    assert_eq!(without.0, json!({"password": true, "oidc": false}));
    assert_eq!(methods("?tenant=nobody").await, without);
    assert_eq!(methods("").await, without);
}
