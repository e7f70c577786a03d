//! What SASL's exchanges get of an account, and what policies make of a login.

use std::num::NonZeroU32;

use directory::{
    Dele, Expire, LoginOutcome, NewAppPassword, Policy, PolicyChange, Precondition, Refusal, Scope, SessionsPolicy,
    View,
};
use mail_types::{CredentialId, Secret};
use runtime::database::DbRole;
use sasl::{Material, ScramHash, ScramKeys};

use crate::support::{World, address, platform};

const ALICE: &str = "alice@acme.test";
const HASHES: [ScramHash; 2] = [ScramHash::Sha256, ScramHash::Sha1];

async fn app_password(world: &World, new: NewAppPassword) -> directory::Result<(CredentialId, Secret)> {
    let new = NewAppPassword { name: "phone".to_owned(), scopes: vec![Scope::Read, Scope::Delete], ..new };
    let issued = world.admin.create_app_password(&platform(), &address(ALICE), new).await?;
    Ok((issued.app_password.id, issued.secret))
}

#[tokio::test]
async fn an_app_password_has_scram_keys() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let (phone, secret) = app_password(&world, NewAppPassword::default()).await.unwrap();
    let (tablet, other) = app_password(&world, NewAppPassword::default()).await.unwrap();
    let pop3 = world.under(DbRole::Pop3).await;
    for hash in HASHES {
        let looked_up = pop3.look_up(None, ALICE, None).await.unwrap();
        let account = looked_up.account(Material::Scram(hash));
        assert_eq!(account.iterations.get(), 4096);
        let expected = |secret| ScramKeys::derive(hash, secret, &account.salt, account.iterations);
        let keys: Vec<_> = account.keys.iter().map(|(_, keys)| keys.clone()).collect();
        assert_eq!(keys, [expected(&secret), expected(&other)], "the password has none");
        let outcome = looked_up.proved(account.keys[1].0).await.unwrap();
        let LoginOutcome::Accepted(login) = outcome else { panic!("{outcome:?}") };
        assert_eq!(login.credential, tablet);
    }
    world.admin.revoke_app_password(&platform(), &address(ALICE), phone).await.unwrap();
    let account = pop3.look_up(None, ALICE, None).await.unwrap().account(Material::Scram(ScramHash::Sha256));
    assert_eq!(account.keys.len(), 1);
    assert!(account.secrets.is_empty());
}

#[tokio::test]
async fn the_password_has_scram_keys_where_the_policy_says_so() {
    let world = World::new().await;
    world.tenant("acme").await;
    let set = async |scram_passwords| {
        let policy = PolicyChange { scram_passwords: Some(scram_passwords), ..PolicyChange::default() };
        world.set_domain_policy("acme.test", policy).await;
    };
    set(Some(true)).await;
    world.account(ALICE, Some("correct horse")).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let look_up = async || pop3.look_up(None, ALICE, None).await.unwrap();
    let account = look_up().await.account(Material::Scram(ScramHash::Sha256));
    let expected =
        ScramKeys::derive(ScramHash::Sha256, &Secret::from("correct horse"), &account.salt, account.iterations);
    assert_eq!(account.keys.len(), 1);
    assert_eq!(account.keys[0].1, expected);

    let changed = Secret::from("battery staple");
    world.admin.set_password(&platform(), &address(ALICE), changed.clone(), &Precondition::None).await.unwrap();
    let account = look_up().await.account(Material::Scram(ScramHash::Sha256));
    let expected = ScramKeys::derive(ScramHash::Sha256, &changed, &account.salt, account.iterations);
    assert_eq!(account.keys[0].1, expected);
    set(None).await;
    assert!(look_up().await.account(Material::Scram(ScramHash::Sha256)).keys.is_empty(), "kept, and not used");
}

#[tokio::test]
async fn an_unknown_name_has_a_salt_of_its_own() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, None).await;
    let (one, other) = (world.under(DbRole::Pop3).await, world.under(DbRole::Pop3).await);
    let salt = async |frontend: &directory::Directory, login: &str| {
        let account = frontend.look_up(None, login, None).await.unwrap().account(Material::Scram(ScramHash::Sha256));
        assert_eq!((account.salt.len(), account.iterations), (16, NonZeroU32::new(4096).unwrap()));
        assert!(account.keys.is_empty());
        account.salt
    };
    for login in ["nobody@acme.test", "nobody@elsewhere.test", "no address"] {
        assert_eq!(salt(&one, login).await, salt(&other, login).await, "{login}");
    }
    assert_eq!(salt(&one, "nobody@acme.test").await, salt(&one, "NoBody+x@ACME.test").await);
    assert_ne!(salt(&one, "nobody@acme.test").await, salt(&one, "noone@acme.test").await);
    assert_eq!(salt(&one, ALICE).await, salt(&other, ALICE).await);
    let refused = one.look_up(None, "nobody@acme.test", None).await.unwrap().refused().unwrap();
    assert_eq!(refused, LoginOutcome::Refused(Refusal::WrongCredentials));
    let nobody = one.look_up(None, "nobody@acme.test", None).await.unwrap();
    let outcome = nobody.proved(sasl::Candidate(0)).await.unwrap();
    assert_eq!(outcome, LoginOutcome::Refused(Refusal::WrongCredentials));
}

#[tokio::test]
async fn a_legacy_app_password_lives_by_the_policy() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, None).await;
    let legacy = || NewAppPassword { legacy: true, ..NewAppPassword::default() };
    assert!(matches!(app_password(&world, legacy()).await, Err(directory::Error::Invalid(_))));
    let set = async |legacy_mechanisms| {
        let policy = PolicyChange { legacy_mechanisms: Some(legacy_mechanisms), ..PolicyChange::default() };
        world.set_domain_policy("acme.test", policy).await;
    };
    set(Some(true)).await;
    let (old_printer, secret) = app_password(&world, legacy()).await.unwrap();
    app_password(&world, NewAppPassword::default()).await.unwrap();
    let pop3 = world.under(DbRole::Pop3).await;
    let look_up = async || pop3.look_up(None, ALICE, None).await.unwrap();

    let looked_up = look_up().await;
    let account = looked_up.account(Material::Secrets);
    let [(chosen, known)] = account.secrets.as_slice() else { panic!("{account:?}") };
    assert_eq!(*known, secret, "of those that were made so, and no others");
    let outcome = looked_up.proved(*chosen).await.unwrap();
    assert!(matches!(outcome, LoginOutcome::Accepted(login) if login.credential == old_printer));
    assert!(matches!(look_up().await.password(&secret).await.unwrap(), LoginOutcome::Accepted(_)));

    set(Some(false)).await;
    assert!(look_up().await.account(Material::Secrets).secrets.is_empty());
    let outcome = look_up().await.password(&secret).await.unwrap();
    assert_eq!(outcome, LoginOutcome::Refused(Refusal::WrongCredentials));
    let listed = world.admin.app_passwords(&platform(), &address(ALICE)).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.legacy).collect::<Vec<_>>(), [true, false]);
    world.admin.revoke_app_password(&platform(), &address(ALICE), old_printer).await.unwrap();
    let sealed: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.credentials WHERE sealed IS NOT NULL")
        .fetch_one(&world.database.superuser().await)
        .await
        .unwrap();
    assert_eq!(sealed, 0, "no secret outlives its credential");
}

#[tokio::test]
async fn a_login_says_what_holds_for_it() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let tenant = PolicyChange {
        view: Some(Some(View::LastDays(30))),
        exclusive: Some(Some(true)),
        expire_days: Some(Some(Expire::Days(90))),
        per_account: Some(Some(3)),
        ..PolicyChange::default()
    };
    world.set_tenant_policy(&acme, tenant).await;
    let domain = PolicyChange { exclusive: Some(Some(false)), ..PolicyChange::default() };
    world.set_domain_policy("acme.test", domain).await;
    let account = PolicyChange { dele: Some(Some(Dele::Ignore)), ..PolicyChange::default() };
    world.set_account_policy(ALICE, account).await;
    let policy = Policy { view: Some(View::NewForDevice), dele: Some(Dele::Hide), ..Policy::default() };
    let (_, secret) = app_password(&world, NewAppPassword { policy, ..NewAppPassword::default() }).await.unwrap();
    let pop3 = world.under(DbRole::Pop3).await;
    let policy = async |secret: &Secret| match pop3.login("alice%acme.test", secret, None).await.unwrap() {
        LoginOutcome::Accepted(login) => login.policy,
        outcome => panic!("{outcome:?}"),
    };
    let of_password = policy(&Secret::from("correct horse")).await;
    assert_eq!((of_password.view, of_password.dele), (View::LastDays(30), Dele::Ignore));
    assert_eq!((of_password.exclusive, of_password.expire), (false, Expire::Days(90)));
    assert_eq!(of_password.sessions, SessionsPolicy { per_account: Some(3), ..SessionsPolicy::default() });
    let of_device = policy(&secret).await;
    assert_eq!((of_device.view, of_device.dele), (View::NewForDevice, Dele::Hide));
}

#[tokio::test]
async fn logins_keep_their_distance() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account(ALICE, Some("correct horse")).await;
    let policy = PolicyChange { login_delay_seconds: Some(Some(3600)), ..PolicyChange::default() };
    world.set_account_policy(ALICE, policy).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let login = async |secret: &str| pop3.login(ALICE, &Secret::from(secret), None).await.unwrap();
    assert!(matches!(login("correct horse").await, LoginOutcome::Accepted(_)));
    assert_eq!(login("correct horse").await, LoginOutcome::Refused(Refusal::TooSoon { seconds: 3600 }));
    assert_eq!(login("wrong horse").await, LoginOutcome::Refused(Refusal::WrongCredentials), "says nothing of it");
    world.set_account_policy(ALICE, PolicyChange::reset()).await;
    assert!(matches!(login("correct horse").await, LoginOutcome::Accepted(_)));
}
