//! API keys: what they are narrowed to, and when they were used.

use std::net::IpAddr;
use std::time::Duration;

use directory::{ApiKeyChange, Caller, Directory, Error, NewApiKey, Permission, Precondition, Role, Settings};
use mail_types::{Clock as _, Secret, SystemClock};
use runtime::database::DbRole;
use testkit::FakeClock;
use uuid::Uuid;

use crate::support::{World, domain, of, platform, slug};

async fn prove(directory: &Directory, secret: &Secret, peer: &str) -> Option<Caller> {
    let peer: Option<IpAddr> = peer.parse().ok();
    directory.authenticate(secret, peer, Uuid::nil()).await.unwrap()
}

#[tokio::test]
async fn a_key_may_what_its_scopes_name_from_where_its_networks_are() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let new = NewApiKey {
        tenant: Some(slug("acme")),
        scopes: Some(vec![Permission::AccountsRead, Permission::MessagesRaw]),
        allowed_networks: vec!["192.0.2.0/24".parse().unwrap()],
        ..NewApiKey::new("desk", Role::TenantAdmin)
    };
    let issued = world.admin.create_api_key(&platform(), new).await.unwrap();
    let caller = prove(&world.admin, &issued.secret, "192.0.2.7").await.unwrap();
    let may: Vec<_> = caller.permissions().collect();
    assert_eq!(may, [Permission::AccountsRead, Permission::MessagesRaw], "named, it may read mail");
    for elsewhere in ["198.51.100.1", "::1", ""] {
        assert!(prove(&world.admin, &issued.secret, elsewhere).await.is_none(), "{elsewhere}");
    }
    let change =
        ApiKeyChange { name: Some("new".to_owned()), allowed_networks: Some(Vec::new()), ..ApiKeyChange::default() };
    let stale = Precondition::OneOf(vec![issued.key.version + 1]);
    let refused = world.admin.change_api_key(&of(acme.id), issued.key.id, change.clone(), &stale).await;
    assert!(matches!(refused, Err(Error::VersionMismatch)));
    let changed = world.admin.change_api_key(&of(acme.id), issued.key.id, change, &Precondition::None).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.version), ("new", issued.key.version + 1));
    assert!(prove(&world.admin, &issued.secret, "198.51.100.1").await.is_some());

    let whole = NewApiKey { tenant: Some(slug("acme")), ..NewApiKey::new("all", Role::TenantAdmin) };
    let whole = world.admin.create_api_key(&platform(), whole).await.unwrap();
    let caller = prove(&world.admin, &whole.secret, "").await.unwrap();
    assert!(!caller.allows(Permission::MessagesRaw) && caller.allows(Permission::ApiKeysWrite), "not named");
    let narrow = NewApiKey {
        tenant: Some(slug("acme")),
        domains: vec![domain("acme.test")],
        ..NewApiKey::new("domain", Role::DomainAdmin)
    };
    let narrow = world.admin.create_api_key(&platform(), narrow).await.unwrap();
    let caller = prove(&world.admin, &narrow.secret, "").await.unwrap();
    assert_eq!(caller.domains.as_deref(), Some([domain("acme.test")].as_slice()));
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_more_than_they() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.tenant("globex").await;
    let scoped = NewApiKey {
        scopes: Some(vec![Permission::ApiKeysWrite, Permission::ApiKeysRead, Permission::AccountsRead]),
        ..NewApiKey::new("ci", Role::TenantAdmin)
    };
    let issued = world.admin.create_api_key(&of(acme.id), scoped).await.unwrap();
    let caller = prove(&world.admin, &issued.secret, "").await.unwrap();
    let make = async |caller: &Caller, new: NewApiKey| world.admin.create_api_key(caller, new).await;
    assert!(matches!(make(&caller, NewApiKey::new("x", Role::TenantAdmin)).await, Err(Error::Forbidden)));
    assert!(matches!(make(&caller, NewApiKey::new("x", Role::Auditor)).await, Err(Error::Forbidden)));
    let with =
        |scopes: &[Permission]| NewApiKey { scopes: Some(scopes.to_vec()), ..NewApiKey::new("x", Role::TenantAdmin) };
    assert!(matches!(make(&caller, with(&[Permission::AccountsWrite])).await, Err(Error::Forbidden)));
    make(&caller, with(&[Permission::AccountsRead])).await.unwrap();
    assert!(matches!(make(&of(acme.id), NewApiKey::new("x", Role::PlatformAdmin)).await, Err(Error::Forbidden)));
    // Nor does it make a greater one live longer.
    let whole = make(&of(acme.id), NewApiKey::new("all", Role::TenantAdmin)).await.unwrap();
    let change = ApiKeyChange { expires_at: Some(None), ..ApiKeyChange::default() };
    let changed = world.admin.change_api_key(&caller, whole.key.id, change, &Precondition::None).await;
    assert!(matches!(changed, Err(Error::Forbidden)));

    let invalid = |result: directory::Result<directory::IssuedApiKey>| match result {
        Err(Error::Invalid(errors)) => errors[0].pointer.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(invalid(make(&of(acme.id), with(&[])).await), "/scopes");
    assert_eq!(
        invalid(make(&of(acme.id), with(&[Permission::UsageRead, Permission::TenantsWrite])).await),
        "/scopes/1"
    );
    let foreign = NewApiKey { tenant: Some(slug("globex")), ..NewApiKey::new("x", Role::Auditor) };
    assert_eq!(invalid(make(&of(acme.id), foreign).await), "/tenant");
    let foreign = NewApiKey { domains: vec![domain("globex.test")], ..NewApiKey::new("x", Role::DomainAdmin) };
    assert_eq!(invalid(make(&of(acme.id), foreign).await), "/domains/0");
    assert_eq!(invalid(make(&of(acme.id), NewApiKey::new("x", Role::DomainAdmin)).await), "/domains");
    assert_eq!(invalid(make(&platform(), NewApiKey::new("x", Role::TenantAdmin)).await), "/tenant");
    let desk = make(&platform(), NewApiKey::new("x", Role::Helpdesk)).await.unwrap();
    assert_eq!(desk.key.tenant, None, "the platform has a desk of its own");
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_once_a_minute() {
    let world = World::new().await;
    world.tenant("acme").await;
    let clock = FakeClock::at(SystemClock.now());
    let directory = world.with(DbRole::Admin, clock.clone(), Settings::default()).await;
    let new = NewApiKey { tenant: Some(slug("acme")), ..NewApiKey::new("ci", Role::TenantAdmin) };
    let issued = directory.create_api_key(&platform(), new).await.unwrap();
    let key = async || directory.api_key(&platform(), issued.key.id).await.unwrap();
    assert_eq!(key().await.last_used_at, None);
    prove(&directory, &issued.secret, "192.0.2.7").await.unwrap();
    let first = key().await;
    assert_eq!(first.last_address, "192.0.2.7".parse().ok());
    // Neither this process nor another one writes again within the minute.
    prove(&directory, &issued.secret, "192.0.2.8").await.unwrap();
    prove(&world.admin, &issued.secret, "192.0.2.9").await.unwrap();
    assert_eq!((key().await.last_used_at, key().await.last_address), (first.last_used_at, first.last_address));
    let superuser = world.database.superuser().await;
    sqlx::query("UPDATE restante.api_key_use SET last_at = last_at - interval '2 minutes'")
        .execute(&superuser)
        .await
        .unwrap();
    prove(&directory, &issued.secret, "192.0.2.8").await.unwrap();
    assert_eq!(key().await.last_address, "192.0.2.7".parse().ok(), "the process remembers");
    clock.advance(Duration::from_secs(60));
    prove(&directory, &issued.secret, "192.0.2.8").await.unwrap();
    assert_eq!(key().await.last_address, "192.0.2.8".parse().ok());
}
