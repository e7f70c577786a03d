//! One-time codes and recovery codes.

use std::sync::Arc;
use std::time::Duration;

use directory::{
    Caller, Directory, Error, NewOidcIssuer, OidcRules, Precondition, Role, Settings, SignIn, SignInOutcome,
    master_key_use, reseal,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::{Clock as _, Secret, SystemClock, SystemRandom};
use runtime::database::DbRole;
use runtime::keys::MasterKeys;
use sha1::Sha1;
use testkit::FakeClock;
use uuid::Uuid;

use crate::admins::{PASSWORD, attempt, from_nowhere, make, sign_in};
use crate::support::{MASTER_KEY, World, platform, slug};

const CAROL: &str = "carol@acme.test";

/// What an authenticator shows (RFC 6238): a second implementation of it.
fn shown(secret: &Secret, clock: &FakeClock) -> String {
    let mut bits = String::new();
    for digit in secret.expose() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|of| of == digit).unwrap();
        bits.push_str(&format!("{value:05b}"));
    }
    let octets: Vec<u8> =
        (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(&octets).unwrap();
    mac.update(&(clock.now().unix_seconds() / 30).to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

async fn with_code(directory: &Directory, code: Option<&str>, recovery: Option<&str>) -> bool {
    let attempt =
        SignIn { totp: code.map(Secret::from), recovery_code: recovery.map(Secret::from), ..attempt(CAROL, PASSWORD) };
    match directory.sign_in(&attempt, &from_nowhere()).await {
        Ok(outcome) => matches!(outcome, SignInOutcome::Accepted(_)),
        // Ten at once on a slow machine: whose password waited too long gets in no more than with a wrong code.
        Err(Error::Busy) => false,
        Err(error) => panic!("{error}"),
    }
}

struct Scene {
    world: World,
    directory: Directory,
    clock: FakeClock,
    carol: Caller,
}

/// Carol has signed in. Failures slow nothing down but codes.
async fn scene() -> Scene {
    let world = World::new().await;
    world.tenant("acme").await;
    let mut settings = Settings::default();
    settings.slow_down.network_failures = 1000;
    let clock = FakeClock::at(SystemClock.now());
    let directory = world.with(DbRole::Admin, clock.clone(), settings).await;
    make(&directory, &platform(), CAROL, Role::TenantAdmin, Some("acme")).await;
    let tokens = sign_in(&directory, CAROL).await;
    let carol = directory.authenticate(&tokens.access, None, Uuid::nil()).await.unwrap().unwrap();
    Scene { world, directory, clock, carol }
}

#[tokio::test]
async fn a_code_is_needed_when_it_was_confirmed_and_counts_once() {
    let Scene { world, directory, clock, carol } = scene().await;
    let password = Secret::from(PASSWORD);
    let wrong = directory.offer_totp(&carol, &Secret::from("wrong horse")).await;
    assert!(matches!(wrong, Err(Error::Invalid(errors)) if errors[0].pointer == "/password"));
    assert!(matches!(directory.confirm_totp(&carol, &Secret::from("000000")).await, Err(Error::InUse(_))));
    let offer = directory.offer_totp(&carol, &password).await.unwrap();
    let uri = offer.uri.expose_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Restante:carol%40acme.test?secret="), "{uri}");
    assert!(with_code(&directory, None, None).await, "offered is not in force");
    assert!(matches!(directory.confirm_totp(&carol, &Secret::from("12345")).await, Err(Error::Invalid(_))));
    let other = sign_in(&directory, CAROL).await;
    let code = shown(&offer.secret, &clock);
    let codes = directory.confirm_totp(&carol, &Secret::from(code.as_str())).await.unwrap();
    assert_eq!(codes.len(), 10);
    assert!(directory.authenticate(&other.access, None, Uuid::nil()).await.unwrap().is_none(), "other sign-ins end");
    assert!(directory.me(&carol).await.unwrap().has_totp);

    assert!(!with_code(&directory, None, None).await, "the password alone is not enough");
    assert!(!with_code(&directory, Some(&code), None).await, "it was taken when it was confirmed");
    clock.advance(Duration::from_secs(30));
    let code = shown(&offer.secret, &clock);
    let elsewhere = world.with(DbRole::Admin, clock.clone(), Settings::default()).await;
    assert!(with_code(&elsewhere, Some(&code), None).await);
    assert!(!with_code(&directory, Some(&code), None).await, "once, whichever process took it");
    clock.advance(Duration::from_secs(30));
    let code = shown(&offer.secret, &clock);
    let tries = (0..10).map(|_| {
        let (directory, code) = (directory.clone(), code.clone());
        tokio::spawn(async move { with_code(&directory, Some(&code), None).await })
    });
    let mut accepted = 0;
    for one in tries.collect::<Vec<_>>() {
        accepted += usize::from(one.await.unwrap());
    }
    assert!(accepted <= 1, "ten at once are one at most");

    // A recovery code in its place: each once, however it is written.
    let written = codes[3].to_uppercase().replace('-', " ");
    sqlx::query("UPDATE restante.admins SET totp_failures = 0")
        .execute(&world.database.superuser().await)
        .await
        .unwrap();
    assert!(with_code(&directory, None, Some(&written)).await);
    assert!(!with_code(&directory, None, Some(&codes[3])).await);
    let renewed = directory.new_recovery_codes(&carol, &password).await.unwrap();
    assert!(!with_code(&directory, None, Some(&codes[4])).await, "those before are void");
    assert!(with_code(&directory, None, Some(&renewed[4])).await);

    directory.remove_own_totp(&carol, &password).await.unwrap();
    assert!(with_code(&directory, None, None).await);
    assert!(matches!(directory.new_recovery_codes(&carol, &password).await, Err(Error::InUse(_))));
}

#[tokio::test]
async fn who_guesses_codes_gets_few_tries_from_wherever() {
    let Scene { world, directory, clock, carol } = scene().await;
    let offer = directory.offer_totp(&carol, &Secret::from(PASSWORD)).await.unwrap();
    let code = shown(&offer.secret, &clock);
    directory.confirm_totp(&carol, &Secret::from(code.as_str())).await.unwrap();
    clock.advance(Duration::from_secs(30));
    // Each from a process of its own, which knows nothing of the others.
    for guess in 0..10 {
        let process = world.with(DbRole::Admin, clock.clone(), Settings::default()).await;
        assert!(!with_code(&process, Some(&format!("{guess:06}")), None).await);
    }
    let right = shown(&offer.secret, &clock);
    assert!(!with_code(&directory, Some(&right), None).await, "the right one has to wait as well");
    let superuser = world.database.superuser().await;
    let refused: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM restante.audit_events WHERE action = 'sign-in.code-refused' AND target = $1",
    )
    .bind(CAROL)
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(refused, 10, "somebody has the password: it is told; what was not tried is not");
    sqlx::query("UPDATE restante.admins SET totp_failed_at = now() - interval '2 seconds'")
        .execute(&superuser)
        .await
        .unwrap();
    assert!(with_code(&directory, Some(&right), None).await, "after the wait");

    // A greater administrator helps whoever has lost everything.
    let admin = carol.signed_in().unwrap().admin;
    assert!(matches!(directory.reset_admin_totp(&carol, admin, &Precondition::None).await, Err(Error::InUse(_))));
    directory.reset_admin_totp(&platform(), admin, &Precondition::None).await.unwrap();
    assert!(with_code(&directory, None, None).await);
}

#[tokio::test]
async fn no_secret_can_be_read_by_the_role_that_serves() {
    let Scene { world, directory, clock, carol } = scene().await;
    let offer = directory.offer_totp(&carol, &Secret::from(PASSWORD)).await.unwrap();
    directory.confirm_totp(&carol, &Secret::from(shown(&offer.secret, &clock))).await.unwrap();
    let pool = world.database.pool(DbRole::Admin).await;
    for role in ["restante_admin", "restante_platform"] {
        for column in [
            "password FROM restante.admins",
            "totp FROM restante.admins",
            "totp_offered FROM restante.admins",
            "code_hash FROM restante.admin_recovery_codes",
            "sealed FROM restante.signing_keys",
            "client_secret FROM restante.oidc_issuers",
            "code_hash FROM restante.oidc_codes",
            "key_hash FROM restante.api_keys",
        ] {
            let mut tx = pool.begin().await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!("SET LOCAL ROLE {role}"))).execute(&mut *tx).await.unwrap();
            let read = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {column}"))).execute(&mut *tx).await;
            let code =
                read.unwrap_err().as_database_error().and_then(|error| error.code()).map(|code| code.to_string());
            assert_eq!(code.as_deref(), Some("42501"), "{role}: {column}");
        }
    }
    let superuser = world.database.superuser().await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT row_to_json(e)::text FROM restante.audit_events e UNION ALL SELECT row_to_json(s)::text FROM restante.admin_sessions s")
        .fetch_all(&superuser)
        .await
        .unwrap();
    for row in rows {
        assert!(!row.contains("horse") && !row.contains("argon2") && !row.contains("otpauth"), "{row}");
    }
}

#[tokio::test]
async fn what_is_sealed_moves_to_a_new_master_key() {
    let Scene { world, directory, clock, carol } = scene().await;
    let offer = directory.offer_totp(&carol, &Secret::from(PASSWORD)).await.unwrap();
    directory.confirm_totp(&carol, &Secret::from(shown(&offer.secret, &clock))).await.unwrap();
    directory.offer_totp(&carol, &Secret::from(PASSWORD)).await.unwrap();
    let issuer = NewOidcIssuer {
        issuer: "https://id.acme.test".to_owned(),
        client_id: "restante".to_owned(),
        client_secret: Some(Some(Secret::from("hunter2"))),
        rules: OidcRules::default(),
    };
    directory.set_oidc_issuer(&carol, Some(&slug("acme")), issuer, &Precondition::None).await.unwrap();
    let (owner, new) = (world.database.pool(DbRole::Owner).await, "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let keys = |text: &str| MasterKeys::parse(&Secret::from(text)).unwrap();
    let uses = async || {
        let uses = master_key_use(&owner).await.unwrap();
        uses.into_iter().map(|used| (used.id, used.sealed)).collect::<Vec<_>>()
    };
    assert_eq!(uses().await, [("test".to_owned(), 4)], "two codes' secrets, an issuer's, a signing key");
    assert_eq!(reseal(&owner, &keys(new), &SystemRandom).await.unwrap(), (0, 4), "without the old key they stay");
    let both = format!("{new},{MASTER_KEY}");
    assert_eq!(reseal(&owner, &keys(&both), &SystemRandom).await.unwrap(), (4, 0));
    assert_eq!(uses().await, [("new".to_owned(), 4)]);
    clock.advance(Duration::from_secs(30));
    let (pool, clock_of) = (world.database.pool(DbRole::Admin).await, Arc::new(clock.clone()));
    let moved = Directory::new(pool, keys(new), clock_of, Arc::new(SystemRandom), Settings::default());
    assert!(with_code(&moved, Some(&shown(&offer.secret, &clock)), None).await);
    assert_eq!(moved.jwks().await.unwrap().keys.len(), 1, "the same signing key");
}
