//! What fsck finds, and what it does not.

use std::sync::Arc;
use std::time::Duration;

use mailstore::{Check, CheckSettings, Checked, FindingKind};
use object_store::{ObjectStore as _, ObjectStoreExt as _, path::Path};
use runtime::database::DbRole;

use crate::expunge::{AT_ONCE, session};
use crate::world::{MASTER_KEY, World, expunge};

async fn check(world: &World, role: DbRole, settings: CheckSettings) -> Checked {
    let settings = CheckSettings { pause: Duration::from_millis(20), ..settings };
    checker(world, role).await.run(&settings, |_| {}).await.unwrap()
}

async fn checker(world: &World, role: DbRole) -> Check {
    Check::new(world.access(role, MASTER_KEY).await)
}

fn deep() -> CheckSettings {
    CheckSettings { deep: true, ..CheckSettings::default() }
}

fn kinds(report: &Checked) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

async fn objects(world: &World, prefix: &str) -> Vec<Path> {
    use futures_util::TryStreamExt as _;
    let listed: Vec<_> = world.store.list(Some(&Path::from(prefix))).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.location).collect()
}

#[tokio::test]
async fn a_sound_store_has_no_findings() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("b", None).await);
    assert_eq!(check(&world, DbRole::Worker, deep()).await, Checked { maildrops: 2, ..Checked::default() });
    let large: Vec<u8> = b"0123456789abcdef\n".repeat(150_000);
    for text in [b"one".as_slice(), &large, b""] {
        world.deliver(text, &[("a@a.test", &[alice]), ("a2@a.test", &[alice]), ("b@b.test", &[bob])]).await;
    }
    let uid = world.snapshot(bob).await.messages()[0].uid;
    world.pop3.quit(bob.tenant, bob.account, &session(), &expunge(&[uid])).await.unwrap();
    let report = check(&world, DbRole::Worker, deep()).await;
    assert_eq!(report.findings, []);
    assert_eq!((report.segments, report.messages, report.frames, report.keys, report.maildrops), (3, 9, 6, 2, 2));
    assert_eq!(
        world.count("SELECT count(*) FROM restante.segments WHERE verified_at IS NULL OR damage IS NOT NULL").await,
        0
    );
    let report = check(&world, DbRole::Worker, CheckSettings { tenant: Some(bob.tenant), ..deep() }).await;
    assert_eq!((report.findings_count, report.messages, report.keys, report.maildrops), (0, 3, 1, 1));
}

#[tokio::test]
async fn damage_and_loss_are_found() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for n in 0..4 {
        world.deliver(format!("{n}").repeat(2_000).as_bytes(), &[("a@a.test", &[alice])]).await;
    }
    let mut segments = objects(&world, "v1/seg").await;
    segments.sort_unstable();
    let change = async |path: &Path, at: usize| {
        let mut octets = world.store.get(path).await.unwrap().bytes().await.unwrap().to_vec();
        octets[at] ^= 1;
        world.store.put(path, octets.into()).await.unwrap();
    };
    change(&segments[0], 64 + 96 + 100).await; // in META
    change(&segments[1], 64 + 20).await; // in the frame's header
    world.store.delete(&segments[2]).await.unwrap();
    let found = check(&world, DbRole::Worker, CheckSettings::default()).await;
    assert_eq!(kinds(&found), [FindingKind::ObjectMissing], "{found:?}");
    let found = check(&world, DbRole::Worker, deep()).await;
    let mut all = kinds(&found);
    all.sort_unstable();
    assert_eq!(all, [FindingKind::ObjectMissing, FindingKind::Damage, FindingKind::Damage], "{found:?}");
    assert_eq!(world.count("SELECT count(*) FROM restante.segments WHERE damage IS NOT NULL").await, 3);
    // The worker comes to the same, the longest unread first, and does not stay with what is damaged.
    sqlx::query("UPDATE restante.segments SET verified_at = NULL, damage = NULL")
        .execute(&world.superuser)
        .await
        .unwrap();
    let worker = checker(&world, DbRole::Worker).await;
    let mut sum = (0, 0);
    for _ in 0..2 {
        let (verified, damaged) = worker.verify_oldest(2).await.unwrap();
        sum = (sum.0 + verified, sum.1 + damaged);
    }
    assert_eq!(sum, (4, 3));
    assert_eq!(world.count("SELECT count(*) FROM restante.segments WHERE verified_at IS NULL").await, 0);
    // A place that is another's.
    sqlx::query("UPDATE restante.messages SET frame_offset = frame_offset + 1 WHERE uid = 4")
        .execute(&world.superuser)
        .await
        .unwrap();
    sqlx::query("UPDATE restante.messages SET segment_id = -1 WHERE uid = 2").execute(&world.superuser).await.unwrap();
    let found = check(&world, DbRole::Worker, CheckSettings::default()).await;
    for kind in [FindingKind::Place, FindingKind::NoSegment, FindingKind::References, FindingKind::ObjectMissing] {
        assert!(kinds(&found).contains(&kind), "{kind:?}: {found:?}");
    }
}

#[tokio::test]
async fn counters_are_mended_and_mail_is_left_alone() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("a", None).await);
    world.deliver(b"one", &[("a@a.test", &[alice]), ("b@a.test", &[bob])]).await;
    world.deliver(b"two", &[("a@a.test", &[alice])]).await;
    sqlx::query("UPDATE restante.maildrops SET live_messages = 7, next_uid = 1 WHERE account_id = $1")
        .bind(alice.account.0)
        .execute(&world.superuser)
        .await
        .unwrap();
    sqlx::query("UPDATE restante.segments SET refs = 0, state = 2").execute(&world.superuser).await.unwrap();
    let found = check(&world, DbRole::Worker, CheckSettings::default()).await;
    assert_eq!(kinds(&found), [FindingKind::Counters, FindingKind::References, FindingKind::References]);
    assert!(found.findings.iter().all(|finding| !finding.repaired));
    let mended = check(&world, DbRole::Owner, CheckSettings { repair: true, ..CheckSettings::default() }).await;
    assert!(mended.findings_count == 3 && mended.findings.iter().all(|finding| finding.repaired));
    assert_eq!(check(&world, DbRole::Worker, CheckSettings::default()).await.findings, []);
    world.check_counters().await;
    assert_eq!(world.read_all(alice).await.len(), 2);
    assert_eq!(world.count("SELECT count(*) FROM restante.segments WHERE state <> 1").await, 0);
}

#[tokio::test]
async fn keys_and_orphans_are_looked_at() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"one", &[("a@a.test", &[alice])]).await;
    world.deliver(b"two", &[("a@a.test", &[alice])]).await;
    sqlx::query("DELETE FROM restante.messages WHERE uid = 2").execute(&world.superuser).await.unwrap();
    sqlx::query("DELETE FROM restante.segments WHERE segment_id NOT IN (SELECT segment_id FROM restante.messages)")
        .execute(&world.superuser)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE restante.maildrops SET live_messages = 1, live_octets = (SELECT sum(octets) FROM restante.messages)",
    )
    .execute(&world.superuser)
    .await
    .unwrap();
    let found = check(&world, DbRole::Worker, CheckSettings::default()).await;
    assert_eq!((found.findings, found.young_orphans), (vec![], 1));
    // One that the worker should have condemned long ago.
    let old = "v1/seg/2024100100/0192456789ab7fffbffffffffff00000";
    world.store.put(&Path::from(old), "x".into()).await.unwrap();
    let key = objects(&world, "v1/key").await.remove(0);
    let kept = world.store.get(&key).await.unwrap().bytes().await.unwrap();
    world.store.delete(&key).await.unwrap();
    let found = check(&world, DbRole::Worker, CheckSettings::default()).await;
    assert_eq!(kinds(&found), [FindingKind::Key, FindingKind::Orphan], "{found:?}");
    let mut other = kept.to_vec();
    *other.last_mut().unwrap() ^= 1;
    world.store.put(&key, other.into()).await.unwrap();
    assert_eq!(kinds(&check(&world, DbRole::Worker, CheckSettings::default()).await)[..1], [FindingKind::Key]);
}

#[tokio::test]
async fn what_goes_on_meanwhile_is_no_finding() {
    let world = Arc::new(World::new().await);
    let alice = world.account("a", None).await;
    let working = tokio::spawn({
        let world = Arc::clone(&world);
        async move {
            let sweeper = world.sweeper(AT_ONCE).await;
            for round in 0..15 {
                let text = format!("{round}").repeat(500);
                for _ in 0..4 {
                    world.deliver(text.as_bytes(), &[("a@a.test", &[alice])]).await;
                }
                let uids: Vec<i64> = world.snapshot(alice).await.messages().iter().map(|m| m.uid).take(3).collect();
                world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&uids)).await.unwrap();
                sqlx::query("UPDATE restante.expunged SET purge_day = purge_day - 9")
                    .execute(&world.superuser)
                    .await
                    .unwrap();
                sweeper.sweep().await.unwrap();
            }
        }
    });
    let mut rounds = 0;
    while !working.is_finished() || rounds == 0 {
        let report = check(&world, DbRole::Worker, deep()).await;
        assert_eq!(report.findings, []);
        rounds += 1;
    }
    working.await.unwrap();
    assert_eq!(check(&world, DbRole::Worker, deep()).await.findings, []);
}
