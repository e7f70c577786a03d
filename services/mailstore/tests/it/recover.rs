//! A database restored to an earlier moment, and a lost one.

use std::sync::Arc;

use mailstore::{Following, Marker, Rebuild, Rebuilt, Recovered, Recovery, StoreSettings};
use object_store::{ObjectStoreExt as _, path::Path};
use runtime::database::DbRole;
use testkit::{Fault, Operation};

use crate::expunge::{AT_ONCE, session};
use crate::world::{MASTER_KEY, World, expunge, is_stored};

async fn marker(world: &World) -> Marker {
    Marker::new(world.database.pool(DbRole::Worker).await, Arc::new(world.store.clone()), &StoreSettings::default())
}

async fn recover(world: &World) -> Recovered {
    let recovery = Recovery::new(world.access(DbRole::Owner, MASTER_KEY).await);
    let since = recovery.situation().await.unwrap().since.unwrap();
    recovery.run(since, false, |_| {}).await.unwrap()
}

async fn rebuild(world: &World) -> Result<Rebuilt, mailstore::RebuildError> {
    Rebuild::new(world.access(DbRole::Owner, MASTER_KEY).await).run(|_| {}).await
}

async fn unique_ids(world: &World, target: mailstore::Target) -> Vec<String> {
    world.snapshot(target).await.messages().iter().map(|m| m.unique_id().to_string()).collect()
}

#[tokio::test]
async fn a_restored_database_deletes_nothing_until_it_recovered() {
    let mut world = World::new().await;
    let alice = world.account("a", None).await;
    let marks = marker(&world).await;
    for text in ["one", "two", "three"] {
        assert!(is_stored(&world.deliver(text.as_bytes(), &[("alice@a.test", &[alice])]).await[0]));
    }
    assert_eq!(marks.mark().await.unwrap(), Following::Yes);
    let backup = world.backup().await;
    let marks = marker(&world).await;
    // What the backup does not know.
    let kept = world.snapshot(alice).await;
    for text in ["four", "five"] {
        world.deliver(text.as_bytes(), &[("alice@a.test", &[alice])]).await;
    }
    world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&[kept.messages()[0].uid])).await.unwrap();
    let (ids, texts) = (unique_ids(&world, alice).await, world.read_all(alice).await);
    let first = kept.messages()[0].unique_id().to_string();
    for _ in 0..2 {
        assert_eq!(marks.mark().await.unwrap(), Following::Yes);
    }

    world.go_back(backup).await;
    let marks = marker(&world).await;
    assert!(matches!(marks.check().await.unwrap(), Following::No { .. }));
    assert!(matches!(marks.mark().await.unwrap(), Following::No { .. }), "no mark hides it");
    assert!(matches!(marks.known().await.unwrap(), Following::No { .. }));
    let sweeper = world.sweeper(AT_ONCE).await;
    let report = sweeper.sweep().await.unwrap();
    assert_eq!((report.condemned, report.reclaimed, report.purged), (0, 0, 0));
    assert_eq!(world.snapshot(alice).await.messages().len(), 3);
    // A sender delivers one again, and another one is new.
    world.deliver(b"five", &[("alice@a.test", &[alice])]).await;
    world.deliver(b"six", &[("alice@a.test", &[alice])]).await;
    let now = unique_ids(&world, alice).await;
    assert!(now.iter().all(|id| !ids[2..].contains(id)), "no unique-id is given twice");

    let report = recover(&world).await;
    assert_eq!((report.adopted, report.redelivered, report.without_account, report.unreadable_count), (1, 1, 0, 0));
    assert!(report.sweeping);
    let (ids_now, texts_now) = (unique_ids(&world, alice).await, world.read_all(alice).await);
    assert_eq!(ids_now, [vec![first], ids[..2].to_vec(), now[3..].to_vec(), vec![ids[2].clone()]].concat());
    assert_eq!(texts_now[1..3], texts[..2]);
    assert_eq!(texts_now[5], texts[2], "the same octets");
    world.check_counters().await;
    assert_eq!(marks.mark().await.unwrap(), Following::Yes);
    let again = recover(&world).await;
    assert_eq!((again.adopted, again.without_account), (0, 0), "twice is once");
    world.check_counters().await;
    assert_eq!(marks.mark().await.unwrap(), Following::Yes);
}

#[tokio::test]
async fn what_was_lost_with_its_account_is_not_given_to_another() {
    let mut world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"one", &[("alice@a.test", &[alice])]).await;
    let marks = marker(&world).await;
    marks.mark().await.unwrap();
    let backup = world.backup().await;
    let marks = marker(&world).await;
    let bob = world.account("a", None).await;
    world.deliver(b"both", &[("alice@a.test", &[alice]), ("bob@a.test", &[bob])]).await;
    let keys = mailstore::KeyRing::new(world.access(DbRole::Owner, MASTER_KEY).await);
    assert_eq!(keys.rotate_data(None).await.unwrap(), 1);
    let lmtp = world.reopen(DbRole::Lmtp, MASTER_KEY).await;
    crate::world::deliver(&lmtp, b"under the new key", &[("alice@a.test", &[alice])]).await;
    marks.mark().await.unwrap();
    let ids = unique_ids(&world, alice).await;

    world.go_back(backup).await;
    let carol = world.account("a", None).await;
    assert_eq!(carol, bob, "the number is given again");
    assert!(matches!(marker(&world).await.check().await.unwrap(), Following::No { .. }));
    // Broken off in the middle, it is run again.
    world.store.nth(Operation::Put, 1, Fault::Fail);
    let recovery = Recovery::new(world.access(DbRole::Owner, MASTER_KEY).await);
    let since = recovery.situation().await.unwrap().since.unwrap();
    recovery.run(since, false, |_| {}).await.unwrap_err();
    let report = recover(&world).await;
    assert_eq!((report.adopted, report.without_account), (0, 1), "the first run adopted");
    assert_eq!(report.addresses, ["bob@a.test"]);
    assert_eq!(unique_ids(&world, alice).await, ids);
    assert_eq!(world.read_all(alice).await.len(), 3);
    assert!(world.snapshot(carol).await.messages().is_empty());
    world.check_counters().await;
    let next = world.account("a", None).await;
    assert!(next.account > bob.account);
}

#[tokio::test]
async fn a_bucket_and_a_database_that_do_not_belong_together_are_told() {
    let mut world = World::new().await;
    let marks = marker(&world).await;
    marks.mark().await.unwrap();
    let slug = world.store.get(&Path::from("v1/tenant/1")).await.unwrap().bytes().await.unwrap();
    assert_eq!(slug.as_ref(), b"a");
    // A new database on the old bucket: nothing in it counts as an orphan.
    let alice = world.account("a", None).await;
    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    let fresh = testkit::database().await;
    sqlx::query("UPDATE restante.catalog SET incarnation = gen_random_uuid()")
        .execute(&fresh.superuser().await)
        .await
        .unwrap();
    world.go_back(fresh).await;
    let report = world.sweeper(AT_ONCE).await.sweep().await.unwrap();
    assert_eq!(report.condemned, 0);
    assert!(matches!(marker(&world).await.known().await.unwrap(), Following::No { .. }));
}

#[tokio::test]
async fn an_empty_database_is_rebuilt_from_the_bucket() {
    let mut world = World::new().await;
    let (alice, bob, carol) =
        (world.account("a", None).await, world.account("a", None).await, world.account("b", None).await);
    for text in ["one", "two\n.\nthree", ""] {
        world
            .deliver(
                text.as_bytes(),
                &[("Alice+lists@a.test", &[alice]), ("bob@a.test", &[bob]), ("c@b.test", &[carol])],
            )
            .await;
    }
    let large: Vec<u8> = b"0123456789abcdef\n".repeat(150_000);
    world.deliver(&large, &[("info@a.test", &[alice, bob])]).await;
    world.deliver(b"last", &[("alice@a.test", &[alice])]).await;
    let uid = world.snapshot(carol).await.messages()[1].uid;
    let mut expected = Vec::new();
    for target in [alice, bob, carol] {
        expected.push((unique_ids(&world, target).await, world.read_all(target).await));
    }
    world.pop3.quit(carol.tenant, carol.account, &session(), &expunge(&[uid])).await.unwrap();
    marker(&world).await.mark().await.unwrap();
    assert!(matches!(rebuild(&world).await, Err(mailstore::RebuildError::Obstacle(_))), "not empty");

    world.go_back(testkit::database().await).await;
    world.empty().await;
    // Broken off, it begins again.
    world.store.nth(Operation::Get, 12, Fault::Fail);
    rebuild(&world).await.unwrap_err();
    let report = rebuild(&world).await.unwrap();
    assert_eq!((report.tenants, report.domains, report.accounts, report.messages), (2, 2, 3, 12));
    assert_eq!((report.unclear_accounts, report.unreadable_count), (0, 0));
    for (target, expected) in [alice, bob, carol].into_iter().zip(&expected) {
        assert_eq!((unique_ids(&world, target).await, world.read_all(target).await), *expected);
    }
    world.check_counters().await;
    let names = world.count("SELECT count(*) FROM restante.addresses a JOIN restante.accounts c USING (tenant_id, account_id) JOIN restante.tenants t USING (tenant_id) \
        WHERE c.status = 2 AND t.status = 2 AND (t.slug, a.local_key) IN (('a', 'alice'), ('a', 'bob'), ('b', 'c'))").await;
    assert_eq!(names, 3);
    assert_eq!(world.count("SELECT count(*) FROM restante.messages WHERE uid > 5 OR uid < 1").await, 0);
    assert_eq!(marker(&world).await.mark().await.unwrap(), Following::Yes);
    sqlx::query("UPDATE restante.tenants SET status = 1").execute(&world.superuser).await.unwrap();
    assert!(is_stored(&world.deliver(b"new", &[("alice@a.test", &[alice])]).await[0]));
    assert_eq!(world.read_all(alice).await.len(), 6);
    assert!(matches!(rebuild(&world).await, Err(mailstore::RebuildError::Obstacle(_))), "finished");
}

#[tokio::test]
async fn a_list_of_another_history_is_not_taken_for_this_one() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"one", &[("alice@a.test", &[alice])]).await;
    let held = world.snapshot(alice).await;
    assert!(Arc::ptr_eq(&held, &world.snapshot(alice).await));
    // Shape and next uid stay; what they count is something else now.
    sqlx::query("UPDATE restante.messages SET guid = gen_random_uuid()").execute(&world.superuser).await.unwrap();
    world.empty().await;
    let other = world.snapshot(alice).await;
    assert_ne!(held.messages()[0].unique_id(), other.messages()[0].unique_id());
}
