//! A new master key takes over from an old one, and no app password stops working.

use std::sync::Arc;

use directory::{
    Deliveries, DeliverySettings, Directory, LoginOutcome, NewAppPassword, NewWebhook, PolicyChange, Scope, Settings,
    master_key_use, reseal,
};
use mail_types::{Secret, SystemClock, SystemRandom};
use runtime::database::DbRole;
use runtime::keys::MasterKeys;
use sasl::Material;

use crate::support::{MASTER_KEY, World, address, platform};

const ALICE: &str = "alice@acme.test";
const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn keys(text: &str) -> MasterKeys {
    MasterKeys::parse(&Secret::from(text)).unwrap()
}

async fn under(world: &World, text: &str) -> Directory {
    let pool = world.database.pool(DbRole::Pop3).await;
    Directory::new(pool, keys(text), Arc::new(SystemClock), Arc::new(SystemRandom), Settings::default())
}

#[tokio::test]
async fn app_passwords_move_to_a_new_master_key() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let policy = PolicyChange { legacy_mechanisms: Some(Some(true)), ..PolicyChange::default() };
    world.set_tenant_policy(&tenant, policy).await;
    world.account(ALICE, None).await;
    let make = async |legacy| {
        let new = NewAppPassword { name: "x".into(), scopes: vec![Scope::Read], legacy, ..NewAppPassword::default() };
        world.admin.create_app_password(&platform(), &address(ALICE), new).await.unwrap().secret
    };
    let (phone, old_client) = (make(false).await, make(true).await);
    let owner = world.database.pool(DbRole::Owner).await;
    let uses = async || {
        let uses = master_key_use(&owner).await.unwrap();
        uses.into_iter().map(|used| (used.id, used.verifiers, used.sealed)).collect::<Vec<_>>()
    };
    let both = format!("{NEW},{MASTER_KEY}");
    assert_eq!(uses().await, [("test".to_owned(), 2, 1)]);
    assert_eq!(reseal(&owner, &keys(NEW), &SystemRandom).await.unwrap(), (0, 1), "without the old key it stays");
    assert_eq!(reseal(&owner, &keys(&both), &SystemRandom).await.unwrap(), (1, 0));
    assert_eq!(reseal(&owner, &keys(&both), &SystemRandom).await.unwrap(), (0, 0), "twice is once");
    assert_eq!(uses().await, [("new".to_owned(), 1, 1), ("test".to_owned(), 1, 0)]);
    // Too early: only the recoverable one knows the new key.
    let early = under(&world, NEW).await;
    let login = async |directory: &Directory, secret| directory.login(ALICE, secret, None).await.unwrap();
    assert!(matches!(login(&early, &old_client).await, LoginOutcome::Accepted(_)));
    assert!(matches!(login(&early, &phone).await, LoginOutcome::Refused(_)));
    let secrets = early.look_up(None, ALICE, None).await.unwrap().account(Material::Secrets).secrets;
    assert_eq!(secrets.into_iter().map(|(_, secret)| secret).collect::<Vec<_>>(), std::slice::from_ref(&old_client));
    // A login under both moves it.
    assert!(matches!(login(&under(&world, &both).await, &phone).await, LoginOutcome::Accepted(_)));
    assert_eq!(uses().await, [("new".to_owned(), 2, 1)]);
    assert!(matches!(login(&under(&world, NEW).await, &phone).await, LoginOutcome::Accepted(_)));
}

#[tokio::test]
async fn secrets_of_webhooks_move_to_a_new_master_key() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let new = NewWebhook {
        tenant: Some(tenant.slug),
        url: "https://hooks.acme.test/".to_owned(),
        description: String::new(),
        events: vec!["*".to_owned()],
        enabled: true,
    };
    let id = world.admin.create_webhook(&platform(), new).await.unwrap().webhook.id;
    world.admin.rotate_webhook_secret(&platform(), id, &directory::Precondition::None).await.unwrap();
    world.account(ALICE, None).await;
    let owner = world.database.pool(DbRole::Owner).await;
    let uses = master_key_use(&owner).await.unwrap();
    assert_eq!(uses.into_iter().map(|used| (used.id, used.sealed)).collect::<Vec<_>>(), [("test".to_owned(), 2)]);
    assert_eq!(reseal(&owner, &keys(NEW), &SystemRandom).await.unwrap(), (0, 1), "without the old key it stays");
    let queue = async || {
        let pool = world.database.pool(DbRole::Worker).await;
        // An endpoint is claimed for no time at all.
        let settings = DeliverySettings { claim_seconds: 0, ..DeliverySettings::default() };
        Deliveries::new(pool, keys(NEW), Arc::new(SystemClock), Arc::new(SystemRandom), settings)
    };
    let signatures = async || {
        let queue = queue().await;
        let due = queue.claim(1).await.unwrap().remove(0);
        queue.headers(&due).map(|headers| {
            headers.iter().find(|(name, _)| *name == "restante-signature").unwrap().1.matches("v1=").count()
        })
    };
    assert_eq!(signatures().await, None, "unsigned is not sent");
    assert_eq!(reseal(&owner, &keys(&format!("{NEW},{MASTER_KEY}")), &SystemRandom).await.unwrap(), (1, 0));
    assert_eq!(signatures().await, Some(2), "the one in force and the one before");
}
