//! Claims of domains: by the DNS, against other tenants, and what should stand in the DNS.

use std::time::Duration;

use admin_api::{Config, Publish};
use axum::http::StatusCode;
use serde_json::{Value, json};
use testkit::{Data, Failure};

use crate::support::{Answer, World};

const OWN: &str = "_restante-challenge.shop.test";

/// A claim of `shop.test` by a tenant; answers the challenge.
async fn claim(world: &World, key: &str) -> String {
    let answer = world.call(key, "POST", "/v1/domains", json!({"name": "shop.test"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["challenge"].as_str().unwrap().to_owned()
}

async fn verify(world: &World, key: &str) -> Answer {
    world.call(key, "POST", "/v1/domains/shop.test/verify", json!({})).await
}

#[track_caller]
fn refused(answer: &Answer, code: &str) {
    assert_eq!(
        (answer.status, answer.json()["type"].clone()),
        (StatusCode::CONFLICT, json!(format!("/problems/{code}")))
    );
}

#[tokio::test]
async fn the_dns_proves_a_claim() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let key = acme.key.as_str();
    let challenge = claim(&world, key).await;
    let text = |text: &str| Data::Txt(text.to_owned());
    // Nothing there; something else; nearly; nothing that can be had in time.
    refused(&verify(&world, key).await, "unproved");
    world.dns.publish(OWN, &[text("restante-domain-verification=0")]);
    refused(&verify(&world, key).await, "unproved");
    world.dns.publish(OWN, &[text(&format!("{challenge}0")), text(&challenge[1..])]);
    refused(&verify(&world, key).await, "unproved");
    for failure in [Failure::ServerFailure, Failure::Silence, Failure::Late(Duration::from_secs(60))] {
        world.dns.publish(OWN, &[text(&challenge)]);
        world.dns.fail(OWN, failure);
        let answer = verify(&world, key).await;
        refused(&answer, "unproved");
        assert!(answer.text.contains("did not answer"), "{failure:?}: {}", answer.text);
    }
    // Of a text that is longer than a datagram, among as many others as a message of the DNS can hold.
    let mut many = vec![text(&"x".repeat(2000)); 25];
    many.push(Data::Txt(format!(" \"{challenge}\" ")));
    world.dns.publish("shop.test", &many);
    world.dns.publish(OWN, &[]);
    let proved = verify(&world, key).await;
    assert_eq!((proved.status, proved.json()["verified"].clone()), (StatusCode::OK, json!(true)), "{}", proved.text);
    assert_eq!(proved.json()["claim_expires_at"], Value::Null);
    // Its DNS may go now: nothing is asked any more.
    world.dns.publish("shop.test", &[]);
    let again = verify(&world, key).await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::OK, proved.header("etag")));
    world.make("/v1/accounts", json!({"address": "alice@shop.test"})).await;
}

#[tokio::test]
async fn a_challenge_may_stand_behind_another_name() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let challenge = claim(&world, &acme.key).await;
    world.dns.publish(OWN, &[Data::Cname("shop.proofs.test")]);
    world.dns.publish("shop.proofs.test", &[Data::Txt(challenge)]);
    assert_eq!(verify(&world, &acme.key).await.status, StatusCode::OK);
}

/// What was answered a moment ago does not count: neither for a claim nor against it.
#[tokio::test]
async fn every_look_asks_the_dns_anew() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let challenge = claim(&world, &acme.key).await;
    world.dns.publish_in_turn(OWN, &[&[], &[Data::Txt("other".to_owned())], &[Data::Txt(challenge)]]);
    // A first look is answered with what is no text at all.
    refused(&verify(&world, &acme.key).await, "unproved");
    refused(&verify(&world, &acme.key).await, "unproved");
    assert_eq!(verify(&world, &acme.key).await.status, StatusCode::OK);
}

#[tokio::test]
async fn neither_of_two_tenants_learns_of_the_other() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    // What a claim is answered while nobody has the name is what it is answered when somebody has.
    let alone = world.call(&globex.key, "POST", "/v1/domains", json!({"name": "alone.test"})).await;
    let unproved = world.call(&globex.key, "POST", "/v1/domains/alone.test/verify", json!({})).await;
    let records = world.call(&globex.key, "GET", "/v1/domains/alone.test/dns", Value::Null).await;
    let challenge = claim(&world, &acme.key).await;
    world.dns.publish(OWN, &[Data::Txt(challenge)]);
    assert_eq!(verify(&world, &acme.key).await.status, StatusCode::OK);
    world.make("/v1/accounts", json!({"address": "alice@shop.test"})).await;
    let second = world.call(&globex.key, "POST", "/v1/domains", json!({"name": "shop.test"})).await;
    let alike = |one: &Answer, other: &Answer| {
        let named = one.without_request_id().to_string().replace("alone.test", "shop.test");
        let (mut one, mut other): (Value, Value) = (named.parse().unwrap(), other.without_request_id());
        for body in [&mut one, &mut other] {
            for differs in ["challenge", "created_at", "claim_expires_at"] {
                body.as_object_mut().unwrap().remove(differs);
            }
            if let Some(records) = body.get_mut("records") {
                records[0]["expected"] = Value::Null;
            }
        }
        assert_eq!(one, other);
    };
    assert_eq!(second.status, alone.status);
    alike(&alone, &second);
    world.dns.publish(OWN, &[]);
    let theirs = verify(&world, &globex.key).await;
    assert_eq!(theirs.status, unproved.status);
    alike(&unproved, &theirs);
    alike(&records, &world.call(&globex.key, "GET", "/v1/domains/shop.test/dns", Value::Null).await);
    // Who controls the DNS is told what to do, and nothing of who has the name; nothing changes hands.
    let challenge = second.json()["challenge"].as_str().unwrap().to_owned();
    world.dns.publish(OWN, &[Data::Txt(challenge)]);
    let proved = verify(&world, &globex.key).await;
    refused(&proved, "operator-decides");
    assert!(!proved.text.contains("acme") && !proved.text.contains("tenant"), "{}", proved.text);
    let held = world.call(&acme.key, "GET", "/v1/domains/shop.test", Value::Null).await;
    assert_eq!(held.json()["verified"], true);
}

#[tokio::test]
async fn a_vouch_moves_a_name_only_from_an_empty_domain() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.make("/v1/domains", json!({"name": "shop.test", "tenant": "acme"})).await;
    claim(&world, &globex.key).await;
    let vouch = async || {
        let path = "/v1/domains/shop.test/verify?tenant=globex";
        world.call(&world.platform, "POST", path, json!({"vouch": true})).await
    };
    let alice = world.make("/v1/accounts", json!({"address": "alice@shop.test"})).await;
    refused(&vouch().await, "in-use");
    // A deleted account can be restored, so it counts.
    let path = format!("/v1/accounts/{}", alice["address"].as_str().unwrap());
    assert_eq!(world.call(&acme.key, "DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    refused(&vouch().await, "in-use");
    let held = world.call(&acme.key, "GET", "/v1/domains/shop.test", Value::Null).await;
    assert_eq!(held.json()["verified"], true);

    world.make("/v1/domains", json!({"name": "free.test", "tenant": "acme"})).await;
    let path = "/v1/domains/free.test";
    world.call(&globex.key, "POST", "/v1/domains", json!({"name": "free.test"})).await;
    let before = world.call(&acme.key, "GET", path, Value::Null).await;
    let verify = format!("{path}/verify?tenant=globex");
    let moved = world.call(&world.platform, "POST", &verify, json!({"vouch": true})).await;
    assert_eq!((moved.status, moved.json()["verified"].clone()), (StatusCode::OK, json!(true)), "{}", moved.text);
    let lost = world.call(&acme.key, "GET", path, Value::Null).await;
    assert_eq!(lost.json()["verified"], false);
    assert_ne!(lost.header("etag"), before.header("etag"));
    assert!(lost.json()["claim_expires_at"].is_string());
    // The tenant's own key cannot vouch, for itself or another.
    let refused = world.call(&globex.key, "POST", "/v1/domains/free.test/verify", json!({"vouch": true})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

fn published() -> Publish {
    serde_json::from_value(json!({
        "display_name": "A & B", "mx": ["mx1.host.test", "mx2.host.test"], "pop3_host": "pop.host.test", "pop3_port": 110,
        "submission_host": "smtp.host.test", "autoconfig_host": "auto.host.test",
    }))
    .unwrap()
}

async fn states(world: &World, key: &str) -> Vec<(String, String)> {
    let answer = world.call(key, "GET", "/v1/domains/shop.test/dns", Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let records = answer.json()["records"].as_array().unwrap().clone();
    records.iter().map(|record| (text(&record["name"]).replace("shop.test", ""), text(&record["state"]))).collect()
}

#[tokio::test]
async fn the_records_to_publish_are_compared_with_the_dns() {
    let world = World::publishing(Config::default(), published()).await;
    let acme = world.tenant("acme").await;
    let challenge = claim(&world, &acme.key).await;
    let all = |state: &str| {
        [
            "_restante-challenge.",
            "",
            "_pop3s._tcp.",
            "_pop3._tcp.",
            "_submissions._tcp.",
            "autoconfig.",
            "autodiscover.",
        ]
        .into_iter()
        .chain(["_autodiscover._tcp."])
        .map(|name| (name.to_owned(), state.to_owned()))
        .collect::<Vec<_>>()
    };
    assert_eq!(states(&world, &acme.key).await, all("missing"));
    let dns = &world.dns;
    dns.publish(OWN, &[Data::Txt("x".repeat(1000))]);
    dns.publish(
        "shop.test",
        &[Data::Mx(5, "other.test"), Data::Mx(10, "mx1.host.test"), Data::Mx(20, "mx2.host.test")],
    );
    dns.publish("_pop3s._tcp.shop.test", &[Data::Srv(0, 1, 1995, "pop.host.test")]);
    dns.publish("_pop3._tcp.shop.test", &[Data::Srv(0, 0, 0, "")]);
    dns.publish("_submissions._tcp.shop.test", &[Data::Srv(0, 1, 465, "pop.host.test")]);
    dns.publish("autoconfig.shop.test", &[Data::Cname("other.test")]);
    dns.publish("autodiscover.shop.test", &[Data::A([192, 0, 2, 1].into())]);
    dns.publish("_autodiscover._tcp.shop.test", &[Data::Srv(0, 0, 443, "other.test")]);
    assert_eq!(states(&world, &acme.key).await, all("wrong"));
    let answer = world.call(&acme.key, "GET", "/v1/domains/shop.test/dns", Value::Null).await.json();
    assert_eq!(answer["unset"], json!([]));
    let record = |at: usize, field: &str| answer["records"][at][field].clone();
    assert_eq!(record(0, "expected"), json!([challenge]));
    assert_eq!(record(0, "found")[0].as_str().unwrap().len(), 255);
    assert_eq!(record(1, "expected"), json!(["10 mx1.host.test", "20 mx2.host.test"]));
    assert_eq!(record(1, "found"), json!(["5 other.test", "10 mx1.host.test", "20 mx2.host.test"]));
    assert_eq!((record(1, "required"), record(2, "required")), (json!(true), json!(false)));
    assert_eq!((record(2, "expected"), record(2, "type")), (json!(["0 1 995 pop.host.test"]), json!("SRV")));
    assert_eq!((record(3, "found"), record(6, "found")), (json!(["0 0 0 ."]), json!(["192.0.2.1"])));

    dns.publish(OWN, &[Data::Txt(challenge)]);
    dns.publish("shop.test", &[Data::Mx(1, "MX2.host.test"), Data::Mx(1, "mx1.host.test"), Data::Mx(2, "other.test")]);
    dns.publish("_pop3s._tcp.shop.test", &[Data::Srv(5, 0, 995, "pop.host.test")]);
    dns.publish("_pop3._tcp.shop.test", &[Data::Srv(0, 0, 9, "other.test"), Data::Srv(9, 1, 110, "pop.host.test")]);
    dns.publish("_submissions._tcp.shop.test", &[Data::Srv(0, 1, 465, "smtp.host.test")]);
    dns.publish("autoconfig.shop.test", &[Data::Cname("auto.host.test")]);
    dns.publish("auto.host.test", &[Data::A([192, 0, 2, 1].into()), Data::A([192, 0, 2, 2].into())]);
    dns.publish("_autodiscover._tcp.shop.test", &[Data::Srv(0, 0, 443, "auto.host.test")]);
    assert_eq!(states(&world, &acme.key).await, all("ok"));
    // Proved, it needs no challenge.
    assert_eq!(verify(&world, &acme.key).await.status, StatusCode::OK);
    assert_eq!(states(&world, &acme.key).await, all("ok")[1..]);
    for (name, _) in all("") {
        dns.fail(&format!("{name}shop.test"), Failure::ServerFailure);
    }
    assert_eq!(states(&world, &acme.key).await, all("unreachable")[1..]);
}

#[tokio::test]
async fn what_the_operator_does_not_publish_is_said() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let answer = world.call(&acme.key, "GET", "/v1/domains/acme.test/dns", Value::Null).await.json();
    assert_eq!(answer["records"], json!([]));
    assert_eq!(answer["unset"].as_array().unwrap().len(), 4);
}
