//! The administrators' calls: refusals, limits, versions, the audit trail, keys.

use directory::{
    AccountFilter, Claim, Error, KeptResponse, NewAccount, NewApiKey, NewDomain, NewTenant, PageRequest, Policy,
    Precondition, Quota, QuotaChange, Role, TenantChange, bootstrap_admin_token, new_api_token,
};
use mail_types::{Secret, SystemRandom};
use runtime::database::DbRole;
use uuid::Uuid;

use crate::support::{World, address, domain, of, platform, slug};

fn new_tenant(text: &str) -> NewTenant {
    NewTenant { slug: slug(text), name: text.to_owned(), quota: Quota::default(), policy: Policy::default() }
}

#[tokio::test]
async fn natural_keys_are_given_out_once() {
    let world = World::new().await;
    world.tenant("acme").await;
    let globex = world.tenant("globex").await;
    let again = world.admin.create_tenant(&platform(), new_tenant("acme")).await;
    assert!(matches!(again, Err(Error::Duplicate(_))));
    let taken = NewDomain {
        name: domain("acme.test"),
        tenant: Some(globex.slug),
        policy: directory::Policy::default(),
        quota: directory::Quota::default(),
    };
    assert!(matches!(world.admin.create_domain(&platform(), taken).await, Err(Error::Duplicate(_))));
    world.account("alice@acme.test", None).await;
    world.alias("info@acme.test", &["alice@acme.test"]).await;
    for name in ["alice@acme.test", "ALICE@acme.test", "info@acme.test"] {
        let new = NewAccount { address: address(name), password: None, quota: Quota::default() };
        assert!(matches!(world.admin.create_account(&platform(), new).await, Err(Error::Duplicate(_))), "{name}");
    }
}

#[tokio::test]
async fn limits_of_a_tenant_hold() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let change = TenantChange {
        quota: QuotaChange { accounts: Some(Some(1)), domains: Some(Some(1)), ..QuotaChange::default() },
        ..TenantChange::default()
    };
    world.admin.change_tenant(&platform(), &acme.slug, change, &Precondition::None).await.unwrap();
    world.account("alice@acme.test", None).await;
    let new = NewAccount { address: address("bob@acme.test"), password: None, quota: Quota::default() };
    assert!(matches!(world.admin.create_account(&platform(), new).await, Err(Error::LimitReached(_))));
    let new = NewDomain {
        name: domain("second.test"),
        tenant: None,
        policy: directory::Policy::default(),
        quota: directory::Quota::default(),
    };
    assert!(matches!(world.admin.create_domain(&of(acme.id), new).await, Err(Error::LimitReached(_))));
}

#[tokio::test]
async fn a_change_names_the_version_that_it_changes() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let rename = |name: &str| TenantChange { name: Some(name.to_owned()), ..TenantChange::default() };
    let current = Precondition::OneOf(vec![acme.version]);
    let changed = world.admin.change_tenant(&platform(), &acme.slug, rename("A"), &current).await.unwrap();
    assert!(changed.version > acme.version);
    let stale = world.admin.change_tenant(&platform(), &acme.slug, rename("B"), &current).await;
    assert!(matches!(stale, Err(Error::VersionMismatch)));
    assert_eq!(world.admin.tenant(&platform(), &acme.slug).await.unwrap().name, "A");
}

#[tokio::test]
async fn what_others_depend_on_is_not_deleted() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.account("alice@acme.test", None).await;
    world.alias("info@acme.test", &["alice@acme.test"]).await;
    let any = Precondition::None;
    let alice = address("alice@acme.test");
    assert!(matches!(world.admin.delete_tenant(&platform(), &acme.slug, false, &any).await, Err(Error::InUse(_))));
    assert!(matches!(
        world.admin.delete_domain(&platform(), &domain("acme.test"), None, false, &any).await,
        Err(Error::InUse(_))
    ));
    assert!(matches!(world.admin.delete_account(&platform(), &alice, false, &any).await, Err(Error::InUse(_))));
    let info = directory::AliasAddress::parse("info@acme.test").unwrap();
    world.admin.delete_alias(&platform(), &info, &any).await.unwrap();
    world.admin.delete_account(&platform(), &alice, false, &any).await.unwrap();
    assert!(matches!(world.admin.account(&platform(), &alice).await, Err(Error::NotFound)));

    world.domain(&acme, "empty.test").await;
    world.admin.delete_domain(&platform(), &domain("empty.test"), None, false, &any).await.unwrap();
    let globex = world.admin.create_tenant(&platform(), new_tenant("globex")).await.unwrap();
    world.admin.delete_tenant(&platform(), &globex.slug, false, &any).await.unwrap();
    assert!(matches!(world.admin.tenant(&platform(), &globex.slug).await, Err(Error::NotFound)));
}

#[tokio::test]
async fn lists_come_in_pages_and_narrow_to_a_tenant_or_a_domain() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.domain(&acme, "second.test").await;
    world.tenant("globex").await;
    for name in ["a@acme.test", "b@acme.test", "c@second.test", "d@globex.test"] {
        world.account(name, None).await;
    }
    world.alias("*@second.test", &["c@second.test"]).await;
    world.alias("x@second.test", &["c@second.test"]).await;

    let mut page = PageRequest { limit: 2, ..PageRequest::default() };
    let mut seen = Vec::new();
    loop {
        let got = world.admin.accounts(&platform(), &AccountFilter::default(), &page).await.unwrap();
        assert!(got.items.len() <= 2);
        seen.extend(got.items.iter().map(|account| account.address.to_string()));
        let Some(cursor) = got.next_cursor else { break };
        page.cursor = Some(cursor);
    }
    assert_eq!(seen, ["a@acme.test", "b@acme.test", "c@second.test", "d@globex.test"]);

    let all = PageRequest::default();
    let list = async |tenant: Option<&str>, name: Option<&str>| {
        let (tenant, name) = (tenant.map(slug), name.map(domain));
        let got = world
            .admin
            .accounts(&platform(), &AccountFilter { tenant, domain: name, ..AccountFilter::default() }, &all)
            .await
            .unwrap();
        got.items.iter().map(|account| account.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(Some("globex"), None).await, ["d@globex.test"]);
    assert_eq!(list(None, Some("second.test")).await, ["c@second.test"]);
    assert_eq!(list(Some("globex"), Some("second.test")).await, [""; 0]);
    assert_eq!(list(Some("nobody"), None).await, [""; 0]);
    let second = domain("second.test");
    let aliases = world.admin.aliases(&platform(), None, Some(&second), None, &all).await.unwrap();
    let aliases: Vec<_> = aliases.items.iter().map(|alias| alias.address.to_string()).collect();
    assert_eq!(aliases, ["*@second.test", "x@second.test"]);
}

#[tokio::test]
async fn each_change_leaves_a_row_and_no_secret() {
    let world = World::new().await;
    world.tenant("acme").await;
    world.account("alice@acme.test", Some("correct horse")).await;
    let alice = address("alice@acme.test");
    world.admin.set_password(&platform(), &alice, Secret::from("battery staple"), &Precondition::None).await.unwrap();
    let superuser = world.database.superuser().await;
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT action, row_to_json(e)::text FROM restante.audit_events e ORDER BY event_id")
            .fetch_all(&superuser)
            .await
            .unwrap();
    let actions: Vec<_> = rows.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["tenant.create", "domain.create", "account.create", "account.set-password"]);
    for (_, row) in rows {
        assert!(!row.contains("horse") && !row.contains("staple") && !row.contains("argon2"), "{row}");
    }
}

#[tokio::test]
async fn keys_prove_callers_until_they_are_revoked() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let new = NewApiKey { tenant: Some(acme.slug.clone()), ..NewApiKey::new("ci", Role::TenantAdmin) };
    let issued = world.admin.create_api_key(&platform(), new).await.unwrap();
    let prove = async |token: &Secret| world.admin.authenticate(token, None, Uuid::nil()).await.unwrap();
    let caller = prove(&issued.secret).await.unwrap();
    assert_eq!(caller.reach, directory::Reach::Tenant(acme.id));
    let one_more = NewApiKey::new("own", Role::PlatformAdmin);
    assert!(matches!(world.admin.create_api_key(&caller, one_more).await, Err(Error::Forbidden)));
    world.admin.revoke_api_key(&caller, issued.key.id).await.unwrap();
    assert!(prove(&issued.secret).await.is_none());
    assert!(prove(&Secret::from("rsk-short")).await.is_none());

    let superuser = world.database.superuser().await;
    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT key_hash FROM restante.api_keys").fetch_all(&superuser).await.unwrap();
    assert!(hashes.iter().all(|hash| hash.len() == 32 && hash.as_slice() != issued.secret.expose()));
}

#[tokio::test]
async fn a_ready_made_token_is_installed_once() {
    let world = World::new().await;
    let token = new_api_token(&SystemRandom);
    let pool = world.database.pool(DbRole::Admin).await;
    bootstrap_admin_token(&pool, "test", &token).await.unwrap();
    bootstrap_admin_token(&pool, "test", &token).await.unwrap();
    let caller = world.admin.authenticate(&token, None, Uuid::nil()).await.unwrap().unwrap();
    assert_eq!(caller.reach, directory::Reach::Platform);
    let keys = world.admin.api_keys(&caller, None, &PageRequest::default()).await.unwrap();
    assert_eq!(keys.items.len(), 1);
    assert!(bootstrap_admin_token(&pool, "test", &Secret::from("guessable")).await.is_err());
}

#[tokio::test]
async fn an_idempotency_key_is_claimed_once_and_answers_again() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    for caller in [platform(), of(acme.id)] {
        let claim = async |hash: u8| world.admin.claim_idempotency_key(&caller, "k1", [hash; 32]).await.unwrap();
        assert_eq!(claim(1).await, Claim::Fresh);
        assert_eq!(claim(1).await, Claim::UnderWay);
        assert_eq!(claim(2).await, Claim::Mismatch);
        world.admin.release_claim(&caller, "k1").await.unwrap();
        assert_eq!(claim(2).await, Claim::Fresh);
        let response = KeptResponse { status: 201, location: None, etag: None, body: serde_json::json!({"a": 1}) };
        world.admin.keep_response(&caller, "k1", &response).await.unwrap();
        assert_eq!(claim(2).await, Claim::Answered(response));
        assert_eq!(claim(1).await, Claim::Mismatch);
    }
}
