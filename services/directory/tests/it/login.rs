//! Login under the role pop3, which can do nothing else.

use std::time::Duration;

use directory::{
    AccountChange, AccountStatus, LoginOutcome, NewAppPassword, Precondition, Refusal, Scope, TenantChange,
    TenantStatus,
};
use mail_types::Clock as _;
use mail_types::{Octets, Secret, SystemClock, Timestamp};
use runtime::database::DbRole;
use testkit::FakeClock;

use crate::support::{World, address, domain, platform};

fn refused(refusal: Refusal) -> LoginOutcome {
    LoginOutcome::Refused(refusal)
}

fn app_password(name: &str) -> NewAppPassword {
    NewAppPassword { name: name.to_owned(), scopes: vec![Scope::Read, Scope::Delete], ..NewAppPassword::default() }
}

#[tokio::test]
async fn a_password_opens_its_account_and_no_other() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let alice = world.account("Alice@acme.test", Some("correct horse")).await;
    world.account("bob@acme.test", Some("battery staple")).await;
    let pop3 = world.under(DbRole::Pop3).await;

    for login in ["alice@acme.test", "ALICE@ACME.TEST", "alice+phone@acme.test"] {
        let outcome = pop3.login(login, &Secret::from("correct horse"), None).await.unwrap();
        let LoginOutcome::Accepted(accepted) = outcome else { panic!("{login}: {outcome:?}") };
        assert_eq!((accepted.tenant, accepted.account), (acme.id, alice.id));
        assert_eq!(accepted.address, "Alice@acme.test");
        assert!(accepted.may_expunge);
        assert_eq!((accepted.maildrop.messages, accepted.maildrop.octets), (0, Octets(0)));
    }
    let default = domain("acme.test");
    let outcome = pop3.login("alice", &Secret::from("correct horse"), Some(&default)).await.unwrap();
    assert!(matches!(outcome, LoginOutcome::Accepted(_)));

    for (login, secret) in [
        ("alice@acme.test", "battery staple"),
        ("alice@acme.test", ""),
        ("nobody@acme.test", "correct horse"),
        ("alice@elsewhere.test", "correct horse"),
        ("alice", "correct horse"),
        ("*@acme.test", "correct horse"),
        ("not an address", "correct horse"),
    ] {
        let outcome = pop3.login(login, &Secret::from(secret), None).await.unwrap();
        assert_eq!(outcome, refused(Refusal::WrongCredentials), "{login}");
    }
}

#[tokio::test]
async fn a_changed_or_removed_password_opens_nothing_any_more() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account("alice@acme.test", Some("first password")).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let alice = address("alice@acme.test");

    world.admin.set_password(&platform(), &alice, Secret::from("second password"), &Precondition::None).await.unwrap();
    let login = async |secret: &str| pop3.login("alice@acme.test", &Secret::from(secret), None).await.unwrap();
    assert_eq!(login("first password").await, refused(Refusal::WrongCredentials));
    assert!(matches!(login("second password").await, LoginOutcome::Accepted(_)));
    world.admin.remove_password(&platform(), &alice, &Precondition::None).await.unwrap();
    assert_eq!(login("second password").await, refused(Refusal::WrongCredentials));
}

#[tokio::test]
async fn app_passwords_have_scopes_networks_and_an_end() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account("alice@acme.test", None).await;
    let alice = address("alice@acme.test");
    let clock = FakeClock::at(SystemClock.now());
    let pop3 = world.at(DbRole::Pop3, clock.clone()).await;

    let mut new = app_password("phone");
    new.scopes = vec![Scope::Read];
    let phone = world.admin.create_app_password(&platform(), &alice, new).await.unwrap();
    let outcome = pop3.login("alice@acme.test", &phone.secret, None).await.unwrap();
    let LoginOutcome::Accepted(accepted) = outcome else { panic!("{outcome:?}") };
    assert_eq!(accepted.credential, phone.app_password.id);
    assert!(!accepted.may_expunge);

    let mut new = app_password("office");
    new.allowed_networks = vec!["192.0.2.0/24".parse().unwrap()];
    let office = world.admin.create_app_password(&platform(), &alice, new).await.unwrap();
    let from = async |peer: &str| {
        pop3.login_from(Some(peer.parse().unwrap()), "alice@acme.test", &office.secret, None).await.unwrap()
    };
    assert!(matches!(from("192.0.2.9").await, LoginOutcome::Accepted(_)));
    assert_eq!(from("198.51.100.9").await, refused(Refusal::WrongCredentials));

    let mut new = app_password("visitor");
    let end = Timestamp::from_unix_ms(SystemClock.now().unix_ms() + 3_600_000);
    new.expires_at = chrono::DateTime::from_timestamp_millis(i64::try_from(end.unix_ms()).unwrap());
    let visitor = world.admin.create_app_password(&platform(), &alice, new).await.unwrap();
    let login = async || pop3.login("alice@acme.test", &visitor.secret, None).await.unwrap();
    assert!(matches!(login().await, LoginOutcome::Accepted(_)));
    clock.advance(Duration::from_secs(3601));
    assert_eq!(login().await, refused(Refusal::WrongCredentials));

    world.admin.revoke_app_password(&platform(), &alice, phone.app_password.id).await.unwrap();
    let outcome = pop3.login("alice@acme.test", &phone.secret, None).await.unwrap();
    assert_eq!(outcome, refused(Refusal::WrongCredentials));
    let names: Vec<_> = world.admin.app_passwords(&platform(), &alice).await.unwrap();
    assert_eq!(names.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["office", "visitor"]);
}

#[tokio::test]
async fn who_is_suspended_is_told_so_only_with_the_right_secret() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.account("alice@acme.test", Some("correct horse")).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let login = async |secret: &str| pop3.login("alice@acme.test", &Secret::from(secret), None).await.unwrap();
    let set_account = async |status| {
        let change = AccountChange { status: Some(status), ..AccountChange::default() };
        world
            .admin
            .change_account(&platform(), &address("alice@acme.test"), change, &Precondition::None)
            .await
            .unwrap();
    };
    set_account(AccountStatus::Suspended).await;
    assert_eq!(login("correct horse").await, refused(Refusal::Suspended));
    assert_eq!(login("wrong horse").await, refused(Refusal::WrongCredentials));
    set_account(AccountStatus::Active).await;
    assert!(matches!(login("correct horse").await, LoginOutcome::Accepted(_)));

    let change = TenantChange { status: Some(TenantStatus::Suspended), ..TenantChange::default() };
    world.admin.change_tenant(&platform(), &acme.slug, change, &Precondition::None).await.unwrap();
    assert_eq!(login("correct horse").await, refused(Refusal::Suspended));
}

#[tokio::test]
async fn a_deleted_accounts_credentials_open_nothing_and_its_address_is_free() {
    let world = World::new().await;
    world.tenant("acme").await;
    let first = world.account("alice@acme.test", Some("correct horse")).await;
    world.admin.delete_account(&platform(), &address("alice@acme.test"), false, &Precondition::None).await.unwrap();
    let pop3 = world.under(DbRole::Pop3).await;
    let outcome = pop3.login("alice@acme.test", &Secret::from("correct horse"), None).await.unwrap();
    assert_eq!(outcome, refused(Refusal::WrongCredentials));

    let second = world.account("alice@acme.test", Some("battery staple")).await;
    assert_ne!(first.id, second.id, "the new account has a maildrop of its own");
    let outcome = pop3.login("alice@acme.test", &Secret::from("correct horse"), None).await.unwrap();
    assert_eq!(outcome, refused(Refusal::WrongCredentials), "kept for a restore, it opens nobody else's");
}
