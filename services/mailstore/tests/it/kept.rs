//! How much expunged mail is kept, and what meets what: restores, purges, QUITs and deliveries at once.

use std::sync::Arc;

use chrono::DateTime;
use mail_types::{Clock as _, SystemClock};
use mailstore::{Restored, Selection, SweepSettings};

use crate::expunge::{AT_ONCE, session};
use crate::restore::messages;
use crate::world::{World, expunge};

#[tokio::test]
async fn expunged_mail_over_its_bound_is_purged_early_the_oldest_first() {
    let world = World::new().await;
    let (alice, bob, carol) =
        (world.account("a", None).await, world.account("a", None).await, world.account("b", None).await);
    for target in [alice, bob, carol] {
        for text in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            world.deliver_to(target, text).await;
        }
        // Not in the order of their uids.
        world.session(target, &[8]).await;
        world.session(target, &[1, 2, 3, 4]).await;
        world.session(target, &[5]).await;
    }
    let sweeper = world.sweeper(AT_ONCE).await;
    let report = sweeper.sweep().await.unwrap();
    assert_eq!((report.hastened, report.purged), (0, 0), "no quota, no bound");
    // Three messages of tenant a, by octets for alice, by messages for bob; carol's tenant keeps half of her six.
    let three = "(SELECT kept_octets / 2 FROM restante.maildrops LIMIT 1)";
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "UPDATE restante.accounts SET max_octets = {three} + 10 WHERE account_id = $1"
    )))
    .bind(alice.account.0)
    .execute(&world.superuser)
    .await
    .unwrap();
    sqlx::query("UPDATE restante.accounts SET max_messages = CASE account_id WHEN $1 THEN 3 ELSE 6 END WHERE account_id IN ($1, $2)")
        .bind(bob.account.0)
        .bind(carol.account.0)
        .execute(&world.superuser)
        .await
        .unwrap();
    world.sql("UPDATE restante.tenants SET policy = '{\"kept_quota_percent\": 50}' WHERE slug = 'b'").await;
    let left = async |target| {
        let mut uids: Vec<i64> = world.expunged(target).await.iter().map(|x| x.message.uid).collect();
        uids.sort_unstable();
        uids
    };
    let report = sweeper.sweep().await.unwrap();
    assert_eq!((report.hastened, report.purged), (9, 9));
    for target in [alice, bob, carol] {
        // Of the four that one QUIT expunged any two may be the older ones.
        let left = left(target).await;
        assert_eq!((left.len(), left[2]), (3, 5), "{left:?}");
        assert_eq!(world.uids(target).await, [6, 7], "live mail stays");
    }
    world.check_counters().await;
    assert_eq!(sweeper.sweep().await.unwrap().hastened, 0);

    // One more expunged: one more goes. Restored ones do not count.
    world.session(bob, &[6]).await;
    world.restore(bob, Selection::UniqueIds(vec![world.expunged(bob).await[0].message.unique_id.clone()])).await;
    assert_eq!(sweeper.sweep().await.unwrap().hastened, 0);
    world.session(bob, &[6]).await;
    assert_eq!(sweeper.sweep().await.unwrap().hastened, 1);
    world.sql("UPDATE restante.tenants SET policy = '{\"kept_quota_percent\": 0}'").await;
    assert_eq!(sweeper.sweep().await.unwrap().purged, 9, "nothing is kept");
    world.check_counters().await;
}

/// Until it is purged, what was hastened can be restored; a worker that stopped between the two steps lost nothing.
#[tokio::test]
async fn hastened_mail_can_be_restored_until_it_is_purged() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for text in ["1", "2", "3"] {
        world.deliver_to(alice, text).await;
    }
    let record = world.session(alice, &[1, 2, 3]).await;
    world.sql("UPDATE restante.accounts SET max_messages = 3; UPDATE restante.tenants SET policy = '{\"kept_quota_percent\": 34}'").await;
    // As the step leaves it: due today.
    world.sql("UPDATE restante.expunged SET purge_day = (now() AT TIME ZONE 'UTC')::date WHERE uid < 3").await;
    assert_eq!(messages(world.restore(alice, Selection::Session(record.session)).await), 3);
    let report = world.sweeper(AT_ONCE).await.sweep().await.unwrap();
    assert_eq!((report.hastened, report.purged), (0, 0));
    assert_eq!(world.read_all(alice).await.len(), 3);
    // What is due already counts as gone: no more than needed is hastened.
    world.session(alice, &[1, 2, 3]).await;
    world.sql("UPDATE restante.expunged SET purge_day = (now() AT TIME ZONE 'UTC')::date WHERE uid < 3").await;
    let report = world.sweeper(AT_ONCE).await.sweep().await.unwrap();
    assert_eq!((report.hastened, report.purged), (0, 2));
    world.check_counters().await;
}

/// A purge and a restore that meet: each message is live or purged, never both, never neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restore_and_a_purge_that_meet() {
    let world = Arc::new(World::new().await);
    world.sql("UPDATE restante.tenants SET policy = '{\"retention_days\": -10}'").await;
    let alice = world.account("a", None).await;
    let (mut restored_all, mut purged_all) = (0, 0);
    for _ in 0..12 {
        for _ in 0..6 {
            world.deliver_to(alice, "x").await;
        }
        let before = world.uids(alice).await.len() as u64;
        let record = world.session(alice, &world.uids(alice).await).await;
        let start = Arc::new(tokio::sync::Barrier::new(3));
        let purges: Vec<_> = (0..2)
            .map(|_| {
                let (world, start) = (world.clone(), start.clone());
                tokio::spawn(async move {
                    let sweeper = world.sweeper(AT_ONCE).await;
                    start.wait().await;
                    sweeper.sweep().await.unwrap().purged
                })
            })
            .collect();
        start.wait().await;
        let restored = messages(world.restore(alice, Selection::Session(record.session)).await);
        let mut purged = 0;
        for purge in purges {
            purged += purge.await.unwrap();
        }
        assert_eq!(restored + purged, before);
        assert_eq!(world.read_all(alice).await.len() as u64, restored);
        world.check_counters().await;
        (restored_all, purged_all) = (restored_all + restored, purged_all + purged);
        world.session(alice, &world.uids(alice).await).await;
        world.sweeper(AT_ONCE).await.sweep().await.unwrap();
    }
    assert!(restored_all + purged_all >= 72, "{restored_all} {purged_all}");
}

/// Deliveries, QUITs, restores of every kind, purges and hastened purges at once on few maildrops.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_are_exact_after_a_storm_of_restores() {
    let world = Arc::new(World::new().await);
    world.sql("UPDATE restante.tenants SET policy = CASE slug WHEN 'a' THEN '{\"retention_days\": -10}'::jsonb ELSE '{\"kept_quota_percent\": 20}' END").await;
    let mut targets = Vec::new();
    for n in 0..4 {
        targets.push(world.account(if n % 2 == 0 { "a" } else { "b" }, (n > 1).then_some(12_000)).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..6_usize {
        let (world, targets) = (world.clone(), targets.clone());
        tasks.spawn(async move {
            for n in 0..25_usize {
                let text = format!("Subject: {sender} {n}\r\n\r\n{}", "x".repeat(n * 40));
                let (one, two) = (targets[(sender + n) % 4], targets[n % 4]);
                let recipients = [("one@a.test", &[one][..]), ("two@a.test", &[two][..])];
                world.deliver(text.as_bytes(), &recipients).await;
            }
            (0, 0)
        });
    }
    for reader in 0..4_usize {
        let (world, targets) = (world.clone(), targets.clone());
        tasks.spawn(async move {
            let (mut gone, mut back) = (0, 0);
            for n in 0..25 {
                let target = targets[(reader + n) % 4];
                let snapshot = world.snapshot(target).await;
                let uids: Vec<i64> = snapshot.messages().iter().filter(|m| m.uid % 3 != 0).map(|m| m.uid).collect();
                let record = session();
                gone +=
                    u64::from(world.pop3.quit(target.tenant, target.account, &record, &expunge(&uids)).await.unwrap());
                let ids = snapshot.messages().iter().map(|m| m.unique_id()).collect();
                let since =
                    DateTime::from_timestamp_millis(i64::try_from(SystemClock.now().unix_ms()).unwrap() - 20).unwrap();
                let selection = [
                    Selection::Session(record.session),
                    Selection::UniqueIds(ids),
                    Selection::Between { since, until: None },
                ][n % 3]
                    .clone();
                if let Restored::Done { messages, .. } = world.restore(target, selection).await {
                    back += messages;
                }
            }
            (gone, back)
        });
    }
    for _ in 0..2 {
        let world = world.clone();
        tasks.spawn(async move {
            let hour = 3_600;
            let settings = SweepSettings {
                grace_seconds: hour,
                orphan_age_seconds: hour,
                unreferenced_seconds: hour,
                batch: 7,
                ..AT_ONCE
            };
            let sweeper = world.sweeper(settings).await;
            for _ in 0..10 {
                sweeper.sweep().await.unwrap();
            }
            (0, 0)
        });
    }
    let (mut gone, mut back) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (some_gone, some_back) = done.unwrap();
        (gone, back) = (gone + some_gone, back + some_back);
    }
    assert!(gone > 100 && back > 50 && back <= gone, "{gone} expunged, {back} restored");
    world.check_counters().await;
    for target in targets {
        world.read_all(target).await;
    }
}

/// A partition for the very day that rows come back from may be made while they do: no restore may fail for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_are_made_under_the_feet_of_restores() {
    let world = Arc::new(World::new().await);
    let mut targets = Vec::new();
    for _ in 0..4 {
        let target = world.account("a", None).await;
        for _ in 0..3 {
            world.deliver_to(target, "x").await;
        }
        targets.push(target);
    }
    let sweeper = world.sweeper(SweepSettings { partitions_ahead_days: 9, ..SweepSettings::default() }).await;
    for _ in 0..15 {
        world
            .sql(
                "DO $$ DECLARE part text; BEGIN \
                   FOR part IN SELECT c.relname FROM pg_class c WHERE c.relname ~ '^expunged_[0-9]+$' AND c.relnamespace = 'restante'::regnamespace \
                   LOOP EXECUTE format('DROP TABLE restante.%I', part); END LOOP; END $$",
            )
            .await;
        let mut records = Vec::new();
        for target in &targets {
            records.push((*target, world.session(*target, &[1, 2, 3]).await.session));
        }
        let mut restores = tokio::task::JoinSet::new();
        for (target, session) in records {
            let world = world.clone();
            restores.spawn(async move { messages(world.restore(target, Selection::Session(session)).await) });
        }
        sweeper.sweep().await.unwrap();
        while let Some(restored) = restores.join_next().await {
            assert_eq!(restored.unwrap(), 3);
        }
    }
    world.check_counters().await;
}
