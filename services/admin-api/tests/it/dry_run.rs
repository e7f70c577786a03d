//! `?dry_run=true`: a change is judged as it would be, told, and not done.

use std::time::Duration;

use axum::http::StatusCode;
use directory::{JobKind, WorkBounds};
use mail_types::{SessionUuid, SystemRandom};
use serde_json::{Value, json};

use crate::desk::{told, written_down};
use crate::identity::PASSWORD;
use crate::support::{KNOWN_CODE, Operation, World, operations};

/// The document's tags, by the test below that tries all of their operations.
const THINGS: &[&str] = &["tenants", "domains", "accounts", "credentials", "aliases"];
const MAIL: &[&str] = &["messages", "sessions"];
const PEOPLE: &[&str] = &["admins", "api-keys", "oidc", "sign-in", "me"];
const IMPORTS: &[&str] = &["imports"];
const WEBHOOKS: &[&str] = &["webhooks"];

/// What is shown once, and so never by a trial: nothing of it would come true.
const SHOWN_ONCE: [&str; 3] = ["secret", "otpauth_uri", "recovery_codes"];

/// Changes that are tried first and then done.
struct Trials<'a> {
    world: &'a World,
    /// The key, or the access token, of who does it.
    by: String,
    done: Vec<(String, String)>,
}

impl<'a> Trials<'a> {
    fn of(world: &'a World) -> Self {
        Self { world, by: world.platform.clone(), done: Vec::new() }
    }

    /// What a change answers and records, tried first and then done, must be the same but for what is made anew each time.
    async fn tried_then_done(&mut self, method: &str, path: &str, body: Value) {
        let world = self.world;
        let before = world.fingerprint().await;
        let tried = world.call(&self.by, method, &trial_of(path), body.clone()).await;
        assert_eq!(tried.status, 200, "{method} {path}: {}", tried.text);
        assert_eq!(tried.header("dry-run"), "true");
        assert_eq!(world.fingerprint().await, before, "{method} {path}: something was done");
        let tried = tried.json();
        for name in SHOWN_ONCE {
            assert_eq!(tried["result"].get(name), None, "{method} {path}");
        }

        let done = world.call(&self.by, method, path, body).await;
        assert_eq!(tried["status"], done.status.as_u16(), "{method} {path}: {}", done.text);
        assert_eq!(lasting(tried["result"].clone()), lasting(done.json()), "{method} {path}");
        let recorded = world.audited(done.header("x-request-id")).await;
        assert_eq!(lasting(tried["effects"].clone()), lasting(Value::Array(recorded)), "{method} {path}");
        assert_ne!(world.fingerprint().await, before, "{method} {path}: nothing was done");
        self.note(method, path);
    }

    /// Notes what was tried and done in a way of its own.
    fn note(&mut self, method: &str, path: &str) {
        self.done.push((method.to_lowercase(), path.to_owned()));
    }

    /// Every change with one of these tags was tried. An operation that is new was not yet.
    fn cover(&self, tags: &[&str]) {
        let without = operations().into_iter().filter(|one| {
            let tried = |(method, path): &(String, String)| one.method == *method && one.takes(path);
            one.has_parameter("dry_run") && tags.contains(&tag(one)) && !self.done.iter().any(tried)
        });
        let without: Vec<String> = without.map(|one| format!("{} {}", one.method, one.path)).collect();
        assert!(without.is_empty(), "never tried: {without:?}");
    }
}

fn tag(operation: &Operation) -> &str {
    operation.document["tags"][0].as_str().unwrap()
}

fn trial_of(path: &str) -> String {
    format!("{path}{}dry_run=true", if path.contains('?') { '&' } else { '?' })
}

/// The value without numbers and moments that are new each time.
fn lasting(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let new = [
                "id",
                "created_at",
                "verified_at",
                "challenge",
                "unique_id",
                "received_at",
                "etag",
                "deleted_at",
                "next_attempt_at",
                "old_secret_until",
                "until",
                "ended_at",
            ];
            let rest = object.into_iter().filter(|(name, _)| !new.iter().chain(&SHOWN_ONCE).any(|one| one == name));
            Value::Object(rest.map(|(name, value)| (name, lasting(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lasting).collect()),
        Value::String(text) if ["key_", "cred_", "hook_", "dlv_", "evt_"].iter().any(|kind| text.starts_with(kind)) => {
            "an id".into()
        }
        other => other,
    }
}

#[tokio::test]
async fn changes_of_tenants_and_what_they_have_are_tried() {
    let world = World::new().await;
    let mut trials = Trials::of(&world);
    for (method, path, body) in [
        ("POST", "/v1/tenants", json!({"slug": "acme", "name": "Acme"})),
        ("PATCH", "/v1/tenants/acme", json!({"quota": {"accounts": 7}})),
        ("POST", "/v1/domains", json!({"name": "acme.test", "tenant": "acme"})),
        ("PATCH", "/v1/domains/acme.test", json!({"policy": {"legacy_mechanisms": true}})),
        ("POST", "/v1/domains/acme.test/verify", json!({"vouch": true})),
        ("POST", "/v1/accounts", json!({"address": "alice@acme.test", "password": "correct horse battery"})),
        ("POST", "/v1/accounts", json!({"address": "bob@acme.test"})),
        ("PATCH", "/v1/accounts/bob@acme.test", json!({"status": "suspended", "quota": {"messages": 5}})),
        ("PUT", "/v1/accounts/bob@acme.test/password", json!({"password": "correct horse battery"})),
        ("DELETE", "/v1/accounts/bob@acme.test/password", Value::Null),
        ("POST", "/v1/accounts/alice@acme.test/app-passwords", json!({"name": "phone"})),
        ("DELETE", "/v1/accounts/alice@acme.test/app-passwords/<id>", Value::Null),
        ("POST", "/v1/aliases", json!({"address": "info@acme.test", "targets": ["alice@acme.test"]})),
        ("PATCH", "/v1/aliases/info@acme.test", json!({"targets": ["bob@acme.test"]})),
        ("DELETE", "/v1/aliases/info@acme.test", Value::Null),
        ("DELETE", "/v1/accounts/bob@acme.test", Value::Null),
        ("POST", "/v1/accounts/bob@acme.test/restore", Value::Null),
        ("DELETE", "/v1/domains/acme.test?cascade=true", Value::Null),
        ("POST", "/v1/domains/acme.test/restore", Value::Null),
        ("DELETE", "/v1/tenants/acme?cascade=true", Value::Null),
        ("POST", "/v1/tenants/acme/restore", Value::Null),
    ] {
        let path = of_the_newest(&world, path).await;
        trials.tried_then_done(method, &path, body).await;
    }

    // A claim is vouched for, and given up.
    world.make("/v1/tenants", json!({"slug": "gone", "name": "Gone"})).await;
    let key = world.make("/v1/api-keys", json!({"name": "own", "tenant": "gone", "role": "tenant-admin"})).await;
    let claim = world.call(key["secret"].as_str().unwrap(), "POST", "/v1/domains", json!({"name": "gone.test"})).await;
    assert_eq!(claim.status, 201, "{}", claim.text);
    world.call(&world.platform, "DELETE", &format!("/v1/api-keys/{}", key["id"].as_str().unwrap()), Value::Null).await;
    for (method, path, body) in [
        ("POST", "/v1/domains/gone.test/verify", json!({"vouch": true})),
        ("DELETE", "/v1/domains/gone.test", Value::Null),
        ("DELETE", "/v1/tenants/gone", Value::Null),
    ] {
        trials.tried_then_done(method, path, body).await;
    }
    trials.cover(THINGS);
}

#[tokio::test]
async fn what_comes_and_goes_through_a_maildrop_is_tried() {
    let world = World::new().await;
    world.tenant("acme").await;
    let mut trials = Trials::of(&world);
    let alice = "/v1/accounts/alice@acme.test";
    world.post_message(&world.platform, "alice@acme.test", "").await;
    world.post_message(&world.platform, "alice@acme.test", "").await;
    let first = world.quit("alice@acme.test", 1, &[1]).await;
    let second = world.quit("alice@acme.test", 1, &[2]).await;
    trials.tried_then_done("POST", &format!("{alice}/sessions/{first}/undo"), Value::Null).await;
    trials.tried_then_done("POST", &format!("{alice}/messages/restore"), json!({"session": second})).await;
    a_delivery_is_tried_and_done(&world).await;
    trials.note("POST", &format!("{alice}/messages"));

    let live = told(&world, 0).await;
    trials.tried_then_done("DELETE", &format!("/v1/live-sessions/sess_{live}"), Value::Null).await;
    told(&world, 0).await;
    trials.tried_then_done("DELETE", &format!("{alice}/live-sessions"), Value::Null).await;

    let transcripts = format!("{alice}/transcripts");
    trials.tried_then_done("POST", &transcripts, json!({"minutes": 5})).await;
    let (one, another) = (SessionUuid::new(&SystemRandom), SessionUuid::new(&SystemRandom));
    written_down(&world, one).await;
    written_down(&world, another).await;
    trials.tried_then_done("DELETE", &format!("{transcripts}/sess_{one}"), Value::Null).await;
    trials.tried_then_done("DELETE", &transcripts, Value::Null).await;
    trials.cover(MAIL);
}

/// `<id>` in a path is the newest thing of its list.
async fn of_the_newest(world: &World, path: &str) -> String {
    let Some((list, rest)) = path.split_once("/<id>") else { return path.to_owned() };
    let items = world.call(&world.platform, "GET", list, Value::Null).await.json();
    let newest = items["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    format!("{list}/{newest}{rest}")
}

#[tokio::test]
async fn changes_of_webhooks_are_tried() {
    let world = World::new().await;
    world.tenant("acme").await;
    let mut trials = Trials::of(&world);
    let new = json!({"url": "https://hooks.acme.test/", "events": ["account.*"], "tenant": "acme"});
    trials.tried_then_done("POST", "/v1/webhooks", new).await;
    let hook = of_the_newest(&world, "/v1/webhooks/<id>").await;
    trials.tried_then_done("PATCH", &hook, json!({"enabled": false, "description": "x"})).await;
    trials.tried_then_done("POST", &format!("{hook}/rotate-secret"), Value::Null).await;
    trials.tried_then_done("POST", &format!("{hook}/test"), Value::Null).await;
    let delivery = of_the_newest(&world, &format!("{hook}/deliveries/<id>/redeliver")).await;
    trials.tried_then_done("POST", &delivery, Value::Null).await;
    trials.tried_then_done("DELETE", &hook, Value::Null).await;
    trials.cover(WEBHOOKS);
}

#[tokio::test]
async fn changes_of_who_may_what_are_tried() {
    let world = World::at_a_known_moment().await;
    world.tenant("acme").await;
    let mut trials = Trials::of(&world);
    let carol = format!("/v1/admins/{}", world.admin("carol@acme.test", "auditor", Some("acme")).await);
    let (access, _) = world.sign_in("carol@acme.test").await;
    let me = world.call(&access, "GET", "/v1/me", Value::Null).await.json();
    let dave = json!({"name": "dave@acme.test", "role": "auditor", "tenant": "acme", "password": PASSWORD});
    let issuer = json!({"issuer": "https://id.acme.test", "client_id": "x", "client_secret": "hunter2"});
    for (method, path, body) in [
        ("POST", "/v1/admins", dave),
        ("PATCH", carol.as_str(), json!({"role": "helpdesk"})),
        ("DELETE", &format!("/v1/sessions/{}", me["session"].as_str().unwrap()), Value::Null),
        ("PUT", &format!("{carol}/password"), json!({"password": "battery staple"})),
        ("DELETE", &format!("{carol}/totp"), Value::Null),
        ("DELETE", &carol, Value::Null),
        ("POST", "/v1/api-keys", json!({"name": "ci", "tenant": "acme", "role": "auditor"})),
        ("PATCH", "/v1/api-keys/<id>", json!({"name": "new", "allowed_networks": ["192.0.2.0/24"]})),
        ("DELETE", "/v1/api-keys/<id>", Value::Null),
        ("PUT", "/v1/tenants/acme/oidc", issuer.clone()),
        ("PUT", "/v1/oidc", issuer),
        ("DELETE", "/v1/tenants/acme/oidc", Value::Null),
        ("DELETE", "/v1/oidc", Value::Null),
    ] {
        let path = of_the_newest(&world, path).await;
        trials.tried_then_done(method, &path, body).await;
    }

    // What people change of themselves. The code is of the secret that is offered: at the known moment every secret is the same.
    world.admin("root@platform.test", "platform-admin", None).await;
    (trials.by, _) = world.sign_in("root@platform.test").await;
    let password = json!({"password": PASSWORD});
    for (method, path, body) in [
        ("POST", "/v1/me/totp", password.clone()),
        ("PUT", "/v1/me/totp", json!({"code": KNOWN_CODE})),
        ("POST", "/v1/me/totp/recovery-codes", password.clone()),
        ("POST", "/v1/me/totp/remove", password),
        ("PUT", "/v1/me/password", json!({"current_password": PASSWORD, "new_password": "battery staple"})),
        ("POST", "/v1/sign-out", json!({"everywhere": true})),
    ] {
        trials.tried_then_done(method, path, body).await;
    }
    trials.cover(PEOPLE);
}

/// A body may have more lines than a request has time for, so its trial is a job of its own, which stays and says what would
/// become of each line; only what it is about is not changed.
#[tokio::test]
async fn imports_are_tried_by_jobs() {
    let world = World::new().await;
    world.tenant("acme").await;
    let mut trials = Trials::of(&world);
    let lines = "{\"address\":\"x@acme.test\"}\n{\"address\":\"alice@acme.test\"}\n{\"address\":\"x@nowhere.test\"}\n";
    let mut ended = Vec::new();
    for (query, is_there) in [("&dry_run=true", StatusCode::NOT_FOUND), ("", StatusCode::OK)] {
        let answer = world.import(&world.platform, &format!("/v1/imports?tenant=acme{query}"), lines).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json()["dry_run"], json!(!query.is_empty()));
        let worker = world.worker().await;
        let bounds = WorkBounds { at_once: 1, claim: Duration::from_secs(60), attempts: 3 };
        while let Some(chunk) = worker.claim_chunk(JobKind::AccountsImport, bounds).await.unwrap() {
            assert!(worker.import_chunk(&chunk).await.unwrap());
        }
        let account = world.call(&world.platform, "GET", "/v1/accounts/x@acme.test", Value::Null).await;
        assert_eq!(account.status, is_there, "{query}");
        let job = answer.header("location");
        let read = async |path: &str| world.call(&world.platform, "GET", path, Value::Null).await.json();
        let mut progress = read(job).await["progress"].clone();
        progress.as_object_mut().unwrap().remove("per_second").unwrap();
        ended.push((progress, read(&format!("{job}/errors")).await["items"].clone()));
    }
    assert_eq!(ended[0], ended[1]);
    assert_eq!([&ended[0].0["made"], &ended[0].0["unchanged"], &ended[0].0["failed"]], [1, 1, 1]);
    trials.note("POST", "/v1/imports");

    // That a job is stopped is tried as anything else is.
    let waits = world.import(&world.platform, "/v1/imports?tenant=acme", lines).await;
    trials.tried_then_done("POST", &format!("{}/cancel", waits.header("location")), Value::Null).await;
    trials.cover(IMPORTS);
}

#[tokio::test]
async fn a_trial_is_refused_as_the_change_would_be() {
    let world = World::new().await;
    world.tenant("acme").await;
    for (method, path, body) in [
        ("POST", "/v1/tenants", json!({"slug": "acme", "name": "again"})),
        ("POST", "/v1/accounts", json!({"address": "alice@acme.test"})),
        ("POST", "/v1/accounts", json!({"address": "x@nobody.test"})),
        ("DELETE", "/v1/accounts/alice@acme.test", Value::Null),
        ("DELETE", "/v1/tenants/acme", Value::Null),
        ("PATCH", "/v1/accounts/nobody@acme.test", json!({"status": "active"})),
    ] {
        let tried = world.call(&world.platform, method, &format!("{path}?dry_run=true"), body.clone()).await;
        let done = world.call(&world.platform, method, path, body).await;
        assert!(done.status.is_client_error(), "{method} {path}");
        assert_eq!(tried.status, done.status, "{method} {path}");
        assert_eq!(tried.without_request_id(), done.without_request_id(), "{method} {path}");
    }
    for (query, pointer) in [("dry_run=yes", "/dry_run"), ("dry_run=true&dry_run=true", "/dry_run"), ("x=1", "/x")] {
        let answer =
            world.call(&world.platform, "DELETE", &format!("/v1/accounts/alice@acme.test?{query}"), Value::Null).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
}

/// A message has no unique-id and no moment before it is there.
async fn a_delivery_is_tried_and_done(world: &World) {
    let before = world.fingerprint().await;
    let tried = world.post_message(&world.platform, "alice@acme.test", "?dry_run=true").await;
    assert_eq!((tried.status.as_u16(), tried.json()["status"].as_u64()), (200, Some(201)), "{}", tried.text);
    assert_eq!(world.fingerprint().await, before);
    let done = world.post_message(&world.platform, "alice@acme.test", "").await;
    assert_eq!(tried.json()["result"]["octets"], done.json()["octets"]);
}

/// Whatever changes something can be tried; who signs in changes nothing that could.
#[test]
fn every_change_can_be_tried() {
    for one in operations() {
        let changes = one.method != "get" && one.document["x-permission"] != "none";
        assert_eq!(one.has_parameter("dry_run"), changes, "{} {}", one.method, one.path);
        let tags = [THINGS, MAIL, PEOPLE, IMPORTS, WEBHOOKS].concat();
        assert!(!changes || tags.contains(&tag(&one)), "no test tries {} {}", one.method, one.path);
    }
}
