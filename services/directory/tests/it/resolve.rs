//! Recipients under the role lmtp, which can do nothing else.

use directory::{
    AccountChange, AccountStatus, DomainChange, OverQuota, PolicyChange, Precondition, QuotaChange, Resolution, Target,
    TenantChange, TenantStatus,
};
use runtime::database::DbRole;

use crate::support::{World, address, domain, platform};

#[tokio::test]
async fn addresses_lead_to_accounts_by_name_alias_and_catch_all() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let alice = world.account("alice@acme.test", None).await;
    let bob = world.account("bob@acme.test", None).await;
    world.alias("team@acme.test", &["alice@acme.test", "bob@acme.test"]).await;
    let lmtp = world.under(DbRole::Lmtp).await;
    let resolve = async |to: &str| lmtp.resolve(&address(to), None).await.unwrap();
    let target = |account| Target { tenant: acme.id, account };

    assert_eq!(resolve("alice@acme.test").await, Resolution::Known(vec![target(alice.id)]));
    assert_eq!(resolve("Alice+lists@ACME.test").await, Resolution::Known(vec![target(alice.id)]));
    assert_eq!(resolve("team@acme.test").await, Resolution::Known(vec![target(alice.id), target(bob.id)]));
    assert_eq!(resolve("nobody@acme.test").await, Resolution::Unknown);
    assert_eq!(resolve("alice@elsewhere.test").await, Resolution::Unknown);
    world.alias("*@acme.test", &["bob@acme.test"]).await;
    assert_eq!(resolve("nobody@acme.test").await, Resolution::Known(vec![target(bob.id)]));
    assert_eq!(resolve("alice@acme.test").await, Resolution::Known(vec![target(alice.id)]), "a name goes first");
}

#[tokio::test]
async fn a_full_maildrop_is_refused_or_deferred_as_the_policy_says() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account("alice@acme.test", None).await;
    let change = AccountChange {
        quota: QuotaChange { octets: Some(Some(1000)), ..QuotaChange::default() },
        ..AccountChange::default()
    };
    world.admin.change_account(&platform(), &address("alice@acme.test"), change, &Precondition::None).await.unwrap();
    let lmtp = world.under(DbRole::Lmtp).await;
    let resolve = async |octets| lmtp.resolve(&address("alice@acme.test"), octets).await.unwrap();

    assert!(matches!(resolve(None).await, Resolution::Known(_)));
    assert!(matches!(resolve(Some(1000)).await, Resolution::Known(_)));
    assert_eq!(resolve(Some(1001)).await, Resolution::OverQuota { defer: false });
    assert_eq!(resolve(Some(u64::MAX)).await, Resolution::OverQuota { defer: false });
    let change = DomainChange {
        policy: PolicyChange { over_quota: Some(Some(OverQuota::Defer)), ..PolicyChange::default() },
        ..DomainChange::default()
    };
    world.admin.change_domain(&platform(), &domain("acme.test"), None, change, &Precondition::None).await.unwrap();
    assert_eq!(resolve(Some(1001)).await, Resolution::OverQuota { defer: true });
}

#[tokio::test]
async fn a_suspended_account_gets_mail_and_a_suspended_tenant_does_not() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.account("alice@acme.test", None).await;
    let lmtp = world.under(DbRole::Lmtp).await;
    let change = AccountChange { status: Some(AccountStatus::Suspended), ..AccountChange::default() };
    world.admin.change_account(&platform(), &address("alice@acme.test"), change, &Precondition::None).await.unwrap();
    assert!(matches!(lmtp.resolve(&address("alice@acme.test"), None).await.unwrap(), Resolution::Known(_)));
    let change = TenantChange { status: Some(TenantStatus::Suspended), ..TenantChange::default() };
    world.admin.change_tenant(&platform(), &acme.slug, change, &Precondition::None).await.unwrap();
    assert_eq!(lmtp.resolve(&address("alice@acme.test"), None).await.unwrap(), Resolution::Suspended);
}

#[tokio::test]
async fn a_claimed_domain_gets_no_mail_before_it_is_vouched_for() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let claim = directory::NewDomain {
        name: domain("new.test"),
        tenant: None,
        policy: directory::Policy::default(),
        quota: directory::Quota::default(),
    };
    let own = crate::support::of(acme.id);
    let claimed = world.admin.create_domain(&own, claim).await.unwrap();
    assert_eq!(claimed.verified_at, None);
    let new = directory::NewAccount {
        address: address("carol@new.test"),
        password: None,
        quota: directory::Quota::default(),
    };
    world.admin.create_account(&own, new).await.unwrap();
    let lmtp = world.under(DbRole::Lmtp).await;
    assert_eq!(lmtp.resolve(&address("carol@new.test"), None).await.unwrap(), Resolution::Unknown);
    world.admin.vouch_for_domain(&platform(), &domain("new.test"), None, &Precondition::None).await.unwrap();
    assert!(matches!(lmtp.resolve(&address("carol@new.test"), None).await.unwrap(), Resolution::Known(_)));
}
