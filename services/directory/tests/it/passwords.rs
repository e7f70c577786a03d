//! Passwords: hashed once, rehashed, slowed down.

use std::time::Duration;

use directory::{
    Directory, LoginOutcome, NewAppPassword, NewPassword, PolicyChange, Precondition, Refusal, Scope, Settings,
    SlowDownSettings,
};
use mail_types::{Clock as _, Secret, SystemClock};
use runtime::database::DbRole;
use sasl::{Material, ScramHash};
use testkit::FakeClock;

use crate::support::{World, address, platform};

const ALICE: &str = "alice@acme.test";

/// Hashes that this process computed. Every test has a process of its own.
fn computed() -> u64 {
    let families = prometheus::gather();
    let hashes = families.iter().find(|family| family.name() == "restante_password_hash_seconds");
    hashes.map_or(0, |family| family.get_metric().iter().map(|metric| metric.get_histogram().get_sample_count()).sum())
}

async fn from(pop3: &Directory, peer: &str, login: &str, secret: &Secret) -> LoginOutcome {
    pop3.login_from(Some(peer.parse().unwrap()), login, secret, None).await.unwrap()
}

async fn verifier(world: &World) -> (String, bool) {
    sqlx::query_as("SELECT verifier, scram256 IS NOT NULL AND scram1 IS NOT NULL FROM restante.credentials WHERE kind = 1 AND revoked_at IS NULL")
        .fetch_one(&world.database.superuser().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_password_is_hashed_once_in_a_while() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let clock = FakeClock::at(SystemClock.now());
    let pop3 = world.at(DbRole::Pop3, clock.clone()).await;
    let start = computed();
    let login = async |secret: &str| pop3.login(ALICE, &Secret::from(secret), None).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(login("correct horse").await, LoginOutcome::Accepted(_)));
        assert_eq!(login("battery staple").await, LoginOutcome::Refused(Refusal::WrongCredentials));
    }
    assert_eq!(computed() - start, 2, "the right one, and the wrong one");
    clock.advance(Duration::from_secs(3600));
    assert!(matches!(login("correct horse").await, LoginOutcome::Accepted(_)));
    assert_eq!(computed() - start, 3);

    world
        .admin
        .set_password(&platform(), &address(ALICE), Secret::from("battery staple"), &Precondition::None)
        .await
        .unwrap();
    let start = computed();
    assert_eq!(login("correct horse").await, LoginOutcome::Refused(Refusal::WrongCredentials));
    assert!(matches!(login("battery staple").await, LoginOutcome::Accepted(_)), "what was wrong before is right now");
    assert_eq!(computed() - start, 2);
    world.admin.remove_password(&platform(), &address(ALICE), &Precondition::None).await.unwrap();
    assert_eq!(login("battery staple").await, LoginOutcome::Refused(Refusal::WrongCredentials));
}

#[tokio::test]
async fn a_hash_of_another_server_becomes_ours_at_the_next_login() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, None).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let set = async |hash: &str| {
        let hashed = NewPassword::Hashed(Secret::from(hash));
        world.admin.set_password(&platform(), &address(ALICE), hashed, &Precondition::None).await
    };
    let theirs = "{SSHA}11HOqKcACeLy7xxeFJPOfoprDVSMMykT";
    set(theirs).await.unwrap();
    let login = async |secret: &str| pop3.login(ALICE, &Secret::from(secret), None).await.unwrap();
    assert_eq!(login("wrong horse").await, LoginOutcome::Refused(Refusal::WrongCredentials));
    assert_eq!(verifier(&world).await.0, theirs);
    let LoginOutcome::Accepted(first) = login("correct horse").await else { panic!("refused") };
    let (ours, _) = verifier(&world).await;
    assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ours}");
    let start = computed();
    assert_eq!(login("correct horse").await, LoginOutcome::Accepted(first), "the same credential");
    assert_eq!(computed(), start, "known under its new hash too");
    assert!(set("{PLAIN}correct horse").await.is_err());
}

#[tokio::test]
async fn a_hash_is_replaced_only_by_who_knows_it() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let alice = world.account(ALICE, Some("correct horse")).await;
    let (kept, _) = verifier(&world).await;
    let rehash = async |role, old: String| -> sqlx::Result<bool> {
        sqlx::query_scalar("SELECT restante.pop3_rehash_1($1, $2, 1, $3, 'new', NULL, NULL)")
            .bind(acme.id.0)
            .bind(alice.id.0)
            .bind(old)
            .fetch_one(&world.database.pool(role).await)
            .await
    };
    assert!(!rehash(DbRole::Pop3, "guess".to_owned()).await.unwrap());
    assert!(!rehash(DbRole::Pop3, String::new()).await.unwrap());
    assert!(rehash(DbRole::Lmtp, kept.clone()).await.is_err(), "frontends of mail transfer have no business here");
    assert_eq!(verifier(&world).await.0, kept);
    assert!(rehash(DbRole::Pop3, kept).await.unwrap());
}

#[tokio::test]
async fn scram_keys_of_a_password_come_with_the_policy() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let login = async || pop3.login(ALICE, &Secret::from("correct horse"), None).await.unwrap();
    assert!(matches!(login().await, LoginOutcome::Accepted(_)));
    let before = verifier(&world).await;
    assert!(!before.1);
    let policy = PolicyChange { scram_passwords: Some(Some(true)), ..PolicyChange::default() };
    world.set_domain_policy("acme.test", policy).await;
    assert!(matches!(login().await, LoginOutcome::Accepted(_)));
    assert_eq!(verifier(&world).await, (before.0, true), "its hash stays");
}

#[tokio::test]
async fn who_finds_no_place_is_told_to_come_again() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let settings = Settings { argon2_parallel: 1, argon2_wait_ms: 0, ..Settings::default() };
    let pop3 = world.with(DbRole::Pop3, FakeClock::at(SystemClock.now()), settings).await;
    let (one, other) = (pop3.look_up(None, ALICE, None).await.unwrap(), pop3.look_up(None, ALICE, None).await.unwrap());
    let (right, wrong) = (Secret::from("correct horse"), Secret::from("wrong horse"));
    let (right, wrong) = tokio::join!(one.password(&right), other.password(&wrong));
    assert!(matches!(right.unwrap(), LoginOutcome::Accepted(_)));
    assert_eq!(wrong.unwrap(), LoginOutcome::Refused(Refusal::Busy));

    // Nobody learns from that who has an account.
    let (one, other) =
        (pop3.look_up(None, ALICE, None).await.unwrap(), pop3.look_up(None, "nobody@acme.test", None).await.unwrap());
    let guess = Secret::from("another guess");
    let (known, unknown) = tokio::join!(one.password(&guess), other.password(&guess));
    assert_eq!(known.unwrap(), LoginOutcome::Refused(Refusal::WrongCredentials));
    assert_eq!(unknown.unwrap(), LoginOutcome::Refused(Refusal::Busy));
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_nobody_else() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    world.account("bob@acme.test", Some("battery staple")).await;
    let new = NewAppPassword { name: "phone".to_owned(), scopes: vec![Scope::Read], ..NewAppPassword::default() };
    let phone = world.admin.create_app_password(&platform(), &address(ALICE), new).await.unwrap();
    let clock = FakeClock::at(SystemClock.now());
    let slow_down = SlowDownSettings { account_failures: 2, network_failures: 3, ..SlowDownSettings::default() };
    let pop3 = world.with(DbRole::Pop3, clock.clone(), Settings { slow_down, ..Settings::default() }).await;
    let right = Secret::from("correct horse");

    assert!(matches!(from(&pop3, "192.0.2.1", ALICE, &right).await, LoginOutcome::Accepted(_)));
    // The same wrong secret, again and again: a device that nobody told.
    for _ in 0..10 {
        let old = from(&pop3, "192.0.2.9", "bob@acme.test", &Secret::from("old password")).await;
        assert_eq!(old, LoginOutcome::Refused(Refusal::WrongCredentials));
    }
    // Guesses, from elsewhere: the second is the last that is tried at once. An unknown name waits no less.
    for victim in [ALICE, "nobody@acme.test"] {
        let network = if victim == ALICE { "198.51.100.1" } else { "203.0.113.1" };
        for guess in ["one guess", "another"] {
            let tried = from(&pop3, network, victim, &Secret::from(guess)).await;
            assert_eq!(tried, LoginOutcome::Refused(Refusal::WrongCredentials), "{victim}");
        }
        let waits = from(&pop3, network, victim, &right).await;
        assert_eq!(waits, LoginOutcome::Refused(Refusal::SlowedDown { wait: Duration::from_secs(1) }), "{victim}");
    }
    assert!(matches!(from(&pop3, "192.0.2.1", ALICE, &right).await, LoginOutcome::Accepted(_)), "the victim goes on");
    assert!(matches!(from(&pop3, "233.252.0.1", ALICE, &right).await, LoginOutcome::Accepted(_)), "also elsewhere");
    let app_password = from(&pop3, "198.51.100.1", ALICE, &phone.secret).await;
    assert!(matches!(app_password, LoginOutcome::Accepted(_)), "nobody guesses those");
    let policy = PolicyChange { scram_passwords: Some(Some(true)), ..PolicyChange::default() };
    world.set_domain_policy("acme.test", policy).await;
    assert!(matches!(from(&pop3, "192.0.2.1", ALICE, &right).await, LoginOutcome::Accepted(_)), "makes its keys");
    let keys = async |peer: &str| {
        let looked_up = pop3.look_up(Some(peer.parse().unwrap()), ALICE, None).await.unwrap();
        looked_up.account(Material::Scram(ScramHash::Sha256)).keys.len()
    };
    assert_eq!(keys("192.0.2.1").await, 2);
    assert_eq!(keys("203.0.113.1").await, 2);
    for guess in ["a third guess", "a fourth one"] {
        from(&pop3, "203.0.113.1", ALICE, &Secret::from(guess)).await;
    }
    assert_eq!(keys("203.0.113.1").await, 1, "the app password's");
}

#[tokio::test]
async fn a_wait_ends() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let clock = FakeClock::at(SystemClock.now());
    let slow_down = SlowDownSettings { account_failures: 1, ..SlowDownSettings::default() };
    let pop3 = world.with(DbRole::Pop3, clock.clone(), Settings { slow_down, ..Settings::default() }).await;
    let login = async |secret: &str| from(&pop3, "192.0.2.1", ALICE, &Secret::from(secret)).await;
    assert_eq!(login("one guess").await, LoginOutcome::Refused(Refusal::WrongCredentials));
    let wait = Refusal::SlowedDown { wait: Duration::from_secs(1) };
    assert_eq!(login("correct horse").await, LoginOutcome::Refused(wait), "the right one is not tried either");
    clock.advance(Duration::from_secs(1));
    assert!(matches!(login("correct horse").await, LoginOutcome::Accepted(_)));
}
