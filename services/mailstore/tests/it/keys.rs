use mailstore::{DeliveryVerdict, EraseRefused, Error, KeyRing, KeyState, Part};
use object_store::{ObjectStoreExt as _, path::Path};
use runtime::database::DbRole;
use testkit::{Fault, Operation};

use crate::world::{MASTER_KEY, World, is_stored};

const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

async fn ring(world: &World, master: &str) -> KeyRing {
    KeyRing::new(world.access(DbRole::Owner, master).await)
}

#[tokio::test]
async fn a_new_master_key_takes_over_however_often_it_is_broken_off() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("b", None).await);
    world.deliver(b"one", &[("a@a.test", &[alice]), ("b@b.test", &[bob])]).await;
    let both = format!("{NEW},{MASTER_KEY}");
    let rotating = ring(&world, &both).await;
    // The first object is written and its answer lost; then the second fails.
    world.store.nth(Operation::Put, 1, Fault::LoseAnswer);
    rotating.rotate_master().await.unwrap_err();
    let opens = |ring: KeyRing| async move { ring.list(KeyRing::FIRST).await.unwrap().iter().all(|key| key.opens) };
    assert!(opens(ring(&world, &both).await).await);
    world.store.nth(Operation::Put, 2, Fault::Fail);
    rotating.rotate_master().await.unwrap_err();
    assert!(opens(ring(&world, &both).await).await);
    let rotated = rotating.rotate_master().await.unwrap();
    assert_eq!((rotated.rewrapped, rotated.current, rotated.unopened.len()), (1, 1, 0));
    let rotated = rotating.rotate_master().await.unwrap();
    assert_eq!((rotated.rewrapped, rotated.current), (0, 2), "twice is once");
    // Row and object open under the new one alone.
    let alone = ring(&world, NEW).await;
    assert!(opens(alone.clone()).await);
    for tenant in [alice.tenant, bob.tenant] {
        let object = world.store.get(&Path::from(format!("v1/key/{tenant}/1"))).await.unwrap().bytes().await.unwrap();
        assert_eq!(&object[8..11], b"new");
    }
    assert_eq!(alone.rotate_master().await.unwrap().current, 2);
    // Without the key that it is under, a data key stays as it is.
    let stranger = ring(&world, MASTER_KEY).await.rotate_master().await.unwrap();
    assert_eq!(stranger.unopened.len(), 2);
    assert!(opens(alone).await);
    let reopened = world.reopen(DbRole::Pop3, NEW).await;
    let snapshot = reopened.snapshot(alice.tenant, alice.account, world.state(alice).await).await.unwrap();
    crate::world::read(&mut reopened.reader(alice.tenant, snapshot, None), 0, Part::Whole).await.unwrap();
}

#[tokio::test]
async fn new_data_keys_are_for_new_mail() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("b", None).await);
    world.deliver(b"one", &[("a@a.test", &[alice]), ("b@b.test", &[bob])]).await;
    let keys = ring(&world, MASTER_KEY).await;
    assert_eq!(keys.rotate_data(Some(alice.tenant)).await.unwrap(), 1);
    assert_eq!(keys.rotate_data(None).await.unwrap(), 2);
    let listed = keys.list(KeyRing::FIRST).await.unwrap();
    let states: Vec<_> = listed.iter().map(|key| (key.slug.as_str(), key.version, key.state)).collect();
    use KeyState::{Current, DecryptOnly};
    assert_eq!(
        states,
        [("a", 1, DecryptOnly), ("a", 2, DecryptOnly), ("a", 3, Current), ("b", 1, DecryptOnly), ("b", 2, Current)]
    );
    // A process that starts now uses it; one that held the old one goes on until it forgets it.
    let lmtp = world.reopen(DbRole::Lmtp, MASTER_KEY).await;
    assert!(is_stored(&crate::world::deliver(&lmtp, b"two", &[("a@a.test", &[alice])]).await[0]));
    world.deliver(b"three", &[("a@a.test", &[alice])]).await;
    assert_eq!(world.read_all(alice).await.len(), 3);
}

#[tokio::test]
async fn an_erased_key_is_gone_and_says_so() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("b", None).await);
    world.deliver(b"one", &[("a@a.test", &[alice]), ("b@b.test", &[bob])]).await;
    let keys = ring(&world, MASTER_KEY).await;
    assert!(matches!(keys.erase("a").await, Err(EraseRefused::Active(_))));
    assert!(matches!(keys.erase("nobody").await, Err(EraseRefused::NoSuchTenant(_))));
    sqlx::query("UPDATE restante.tenants SET status = 2 WHERE slug = 'a'").execute(&world.superuser).await.unwrap();
    world.store.nth(Operation::Delete, 1, Fault::Fail);
    keys.erase("a").await.unwrap_err();
    assert_eq!(keys.erase("a").await.unwrap(), (0, 1), "the rest of it");
    assert_eq!(keys.erase("a").await.unwrap(), (0, 0), "twice is once");
    let error = world.read(alice, 0, Part::Whole).await.unwrap_err();
    assert!(matches!(error, Error::KeyErased { .. }) && !error.is_temporary(), "{error}");
    assert_eq!(world.read_all(bob).await.len(), 1);
    // Not even its tenant's return makes a new key by itself, in the bucket or elsewhere.
    sqlx::query("UPDATE restante.tenants SET status = 1 WHERE slug = 'a'").execute(&world.superuser).await.unwrap();
    let lmtp = world.reopen(DbRole::Lmtp, MASTER_KEY).await;
    assert_eq!(crate::world::deliver(&lmtp, b"two", &[("a@a.test", &[alice])]).await, [DeliveryVerdict::Unavailable]);
    assert!(world.store.get(&Path::from(format!("v1/key/{}/1", alice.tenant))).await.is_err());
    assert_eq!(keys.rotate_data(None).await.unwrap(), 1, "only of those that have one");
    assert_eq!(keys.rotate_data(Some(alice.tenant)).await.unwrap(), 1, "asked for by name");
    let lmtp = world.reopen(DbRole::Lmtp, MASTER_KEY).await;
    assert!(is_stored(&crate::world::deliver(&lmtp, b"two", &[("a@a.test", &[alice])]).await[0]));
}
