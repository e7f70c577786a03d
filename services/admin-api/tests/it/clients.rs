//! What mail clients ask for by themselves, as they ask.

use admin_api::{Config, Publish};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use net::Peer;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

use crate::support::{Answer, World};

fn published() -> Publish {
    serde_json::from_value(json!({
        "display_name": "A <&> B", "pop3_host": "pop.host.test", "pop3_port": 110, "submission_host": "smtp.host.test",
    }))
    .unwrap()
}

async fn world() -> World {
    let world = World::publishing(Config::default(), published()).await;
    world.tenant("acme").await;
    world
}

async fn ask(world: &World, method: &str, host: &str, path: &str, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    if !body.is_empty() {
        request = request.header("content-type", "text/xml");
    }
    world.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn get(world: &World, host: &str, path: &str) -> Answer {
    ask(world, "GET", host, path, "").await
}

/// The texts of a document by the names of their elements, outermost first; panics where it is not well-formed.
fn elements(text: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(text);
    let (mut path, mut found, mut inside) = (Vec::new(), Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                path.push(String::from_utf8(start.local_name().as_ref().to_vec()).unwrap());
                for attribute in start.attributes() {
                    let attribute = attribute.unwrap();
                    let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                    found.push((format!("{}@", path.join("/")), value));
                }
                inside.clear();
            }
            Event::Text(text) => inside.push_str(&text.decode().unwrap()),
            Event::GeneralRef(reference) => {
                let name = reference.decode().unwrap();
                inside.push_str(quick_xml::escape::resolve_predefined_entity(&name).unwrap());
            }
            Event::End(_) => {
                if !inside.trim().is_empty() {
                    found.push((path.join("/"), inside.trim().to_owned()));
                }
                inside.clear();
                path.pop();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(path.is_empty(), "{text}");
    found
}

fn texts(found: &[(String, String)], end: &str) -> Vec<String> {
    found.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, text)| text.clone()).collect()
}

#[tokio::test]
async fn thunderbird_finds_its_settings_by_address_and_by_host() {
    let world = world().await;
    let by_address = get(&world, "autoconfig.acme.test", "/mail/config-v1.1.xml?emailaddress=alice%40acme.test").await;
    assert_eq!(by_address.status, StatusCode::OK, "{}", by_address.text);
    assert_eq!(by_address.header("content-type"), "text/xml; charset=utf-8");
    assert_eq!(by_address.header("cache-control"), "public, max-age=3600");
    let found = elements(&by_address.text);
    assert_eq!(texts(&found, "emailProvider@"), ["acme.test"]);
    assert_eq!(texts(&found, "/displayName"), ["A <&> B"]);
    assert_eq!(texts(&found, "incomingServer/hostname"), ["pop.host.test"; 2]);
    assert_eq!(texts(&found, "incomingServer/port"), ["995", "110"]);
    assert_eq!(texts(&found, "incomingServer/socketType"), ["SSL", "STARTTLS"]);
    assert_eq!(texts(&found, "Server/username"), ["%EMAILADDRESS%"; 3]);
    assert_eq!(texts(&found, "outgoingServer/port"), ["465"]);
    // Nobody learns whether an account exists: the answer is the same for all addresses, and for none.
    let path = "/.well-known/autoconfig/mail/config-v1.1.xml";
    for (host, query) in [
        ("acme.test", ""),
        ("ACME.test:8443", ""),
        ("autoconfig.acme.test", ""),
        ("autoconfig.acme.test", "?emailaddress=%25EMAILADDRESS%25"),
        ("elsewhere.example", "?emailaddress=nobody@acme.test"),
        ("elsewhere.example", "?x=y&EmailAddress=bob@ACME.test"),
    ] {
        let answer = get(&world, host, &format!("{path}{query}")).await;
        assert_eq!((answer.status, &answer.text), (StatusCode::OK, &by_address.text), "{host} {query}");
    }
}

#[tokio::test]
async fn what_is_not_hosted_is_not_found_alike() {
    let world = world().await;
    // A claim is not hosted, nor is a domain whose tenant is gone.
    let globex = world.tenant("globex").await;
    world.call(&globex.key, "POST", "/v1/domains", json!({"name": "claimed.test"})).await;
    let nowhere = get(&world, "nowhere.test", "/mail/config-v1.1.xml").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    for (host, path) in [
        ("claimed.test", "/mail/config-v1.1.xml"),
        ("acme.test", "/mail/config-v1.1.xml?emailaddress=alice@claimed.test"),
        ("autoconfig.claimed.test", "/autodiscover/autodiscover.xml"),
        ("acme.test", "/autodiscover/autodiscover.json?Email=alice@nowhere.test&Protocol=AutodiscoverV1"),
        ("acme.test", "/profile.mobileconfig?emailaddress=alice@nowhere.test"),
        ("", "/mail/config-v1.1.xml"),
        ("[::1]:80", "/mail/config-v1.1.xml"),
    ] {
        let answer = get(&world, host, path).await;
        assert_eq!(
            (answer.status, answer.without_request_id()),
            (nowhere.status, nowhere.without_request_id()),
            "{path}"
        );
    }
    // With nothing published there is nothing to tell.
    let bare = World::new().await;
    bare.tenant("acme").await;
    for path in
        ["/mail/config-v1.1.xml", "/autodiscover/autodiscover.xml", "/profile.mobileconfig?emailaddress=a@acme.test"]
    {
        assert_eq!(get(&bare, "acme.test", path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

fn outlook_asks(address: &str, schema: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\">\
         <Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
    )
}

const OUTLOOK: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

#[tokio::test]
async fn outlook_finds_its_settings_in_any_case_of_its_path() {
    let world = world().await;
    for path in
        ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AUTODISCOVER.xml?x=Y"]
    {
        let body = outlook_asks("o&apos;Neil@ACME.test", OUTLOOK);
        let answer = ask(&world, "POST", "autodiscover.acme.test", path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        let found = elements(&answer.text);
        assert_eq!(texts(&found, "Protocol/Type"), ["POP3", "POP3", "SMTP"]);
        assert_eq!(texts(&found, "Protocol/Port"), ["995", "110", "465"]);
        // TLS from the first octet is SSL here: TLS would be STARTTLS on port 995.
        assert_eq!(texts(&found, "Protocol/Encryption"), ["SSL", "TLS", "SSL"]);
        assert_eq!(texts(&found, "Protocol/LoginName"), ["o'Neil@acme.test"; 3]);
        assert_eq!(texts(&found, "Account/Action"), ["settings"]);
        assert_eq!(answer.header("cache-control"), "no-store", "the address is in it");
    }
    let read = get(&world, "autodiscover.acme.test", "/autodiscover/autodiscover.xml").await;
    assert_eq!((read.status, texts(&elements(&read.text), "LoginName")), (StatusCode::OK, Vec::new()));
    for (body, status) in [
        (outlook_asks("alice@nowhere.test", OUTLOOK), StatusCode::NOT_FOUND),
        (
            outlook_asks(
                "alice@acme.test",
                "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006",
            ),
            StatusCode::NOT_FOUND,
        ),
        ("<Autodiscover>".to_owned(), StatusCode::BAD_REQUEST),
        (outlook_asks(&"x".repeat(300_000), OUTLOOK), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = ask(&world, "POST", "acme.test", "/autodiscover/autodiscover.xml", &body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn version_two_leads_to_version_one() {
    let world = world().await;
    for path in [
        "/autodiscover/autodiscover.json?Email=alice@acme.test&Protocol=AutodiscoverV1",
        "/Autodiscover/Autodiscover.json?email=alice%40acme.test&protocol=autodiscoverv1&RedirectCount=1",
        "/autodiscover/autodiscover.json/v1.0/Alice@acme.test?Protocol=AutodiscoverV1",
    ] {
        let answer = get(&world, "autodiscover.acme.test", path).await;
        assert_eq!(
            (answer.status, answer.json()),
            (
                StatusCode::OK,
                json!({"Protocol": "AutodiscoverV1", "Url": "https://autodiscover.acme.test/autodiscover/autodiscover.xml"})
            ),
            "{path}"
        );
    }
    let path = "/autodiscover/autodiscover.json?Email=alice@acme.test&Protocol=ActiveSync";
    assert_eq!(get(&world, "acme.test", path).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn apple_mail_gets_a_profile() {
    let world = world().await;
    let path = "/profile.mobileconfig?emailaddress=o'Neil%26co@acme.test";
    let one = get(&world, "acme.test", path).await;
    assert_eq!((one.status, one.header("content-type")), (StatusCode::OK, "application/x-apple-aspen-config"));
    let found = elements(&one.text);
    let strings = texts(&found, "dict/string");
    for value in ["EmailTypePOP", "pop.host.test", "smtp.host.test", "o'Neil&co@acme.test", "A <&> B"] {
        assert!(strings.iter().any(|text| text == value), "{value}: {}", one.text);
    }
    assert_eq!(texts(&found, "dict/integer"), ["1", "1", "995", "465"]);
    assert_eq!(get(&world, "acme.test", path).await.text, one.text, "it takes its own place");
    assert_eq!(get(&world, "acme.test", "/profile.mobileconfig").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn one_address_asks_so_often_in_a_minute() {
    let config = Config { client_settings_per_minute: 3, ..Config::default() };
    let world = World::publishing(config, published()).await;
    world.tenant("acme").await;
    let ask = async |peer: &str| {
        let request = Request::builder().uri("/mail/config-v1.1.xml").header("host", "acme.test");
        let peer = Peer { address: Some(peer.parse().unwrap()), unix: false };
        world.send(request.extension(peer).body(Body::empty()).unwrap()).await
    };
    for _ in 0..3 {
        assert_ne!(ask("192.0.2.1").await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused.json()["type"], json!("/problems/rate-limited"));
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "the next third of a minute: {wait}");
    assert_eq!(refused.header("ratelimit-policy"), "\"client_settings\";q=3;w=60");
    assert_eq!(ask("192.0.2.2").await.status, StatusCode::OK);
    let other = world.call(&world.platform, "GET", "/v1/tenants", Value::Null).await;
    assert_eq!(other.status, StatusCode::OK);
}
