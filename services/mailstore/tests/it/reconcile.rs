use std::sync::Arc;

use mailstore::{ReconcileReport, SweepSettings};

use crate::expunge::AT_ONCE;
use crate::world::{World, is_stored};

fn always() -> bool {
    true
}

async fn sql(world: &World, statement: &'static str) {
    sqlx::query(statement).execute(&world.superuser).await.unwrap();
}

#[tokio::test]
async fn counters_that_differ_are_set_right() {
    let world = World::new().await;
    let targets = [world.account("a", None).await, world.account("a", None).await, world.account("b", None).await];
    for target in targets {
        for _ in 0..3 {
            world.deliver(b"x", &[("x@a.test", &[target])]).await;
        }
        world.expunge(target, |at| at == 0).await;
    }
    let sweeper = world.sweeper(AT_ONCE).await;
    let clean = sweeper.reconcile(always).await.unwrap();
    assert_eq!(clean, ReconcileReport { slices: clean.slices, ..ReconcileReport::default() }, "nothing differs");
    assert!(clean.slices > 5, "in slices");

    sql(&world, "UPDATE restante.maildrops SET live_messages = live_messages + 1 WHERE account_id = (SELECT min(account_id) FROM restante.maildrops)").await;
    sql(&world, "UPDATE restante.maildrops SET kept_octets = 0, next_uid = 2 WHERE account_id = (SELECT max(account_id) FROM restante.maildrops)").await;
    sql(&world, "UPDATE restante.segments SET refs = 0, state = 2 WHERE segment_id = (SELECT min(segment_id) FROM restante.segments)").await;
    sql(&world, "UPDATE restante.segments SET refs = 5, dead_octets = 1 WHERE segment_id = (SELECT max(segment_id) FROM restante.segments)").await;
    // A wrong count alone does not cost a message its octets.
    assert_eq!(world.sweeper(AT_ONCE).await.sweep().await.unwrap().reclaimed, 0);
    let mended = sweeper.reconcile(always).await.unwrap();
    assert_eq!((mended.maildrops, mended.segments, mended.dead_octets, mended.emptied), (2, 2, 1, 0));
    world.check_counters().await;
    world.check_dead_octets().await;
    assert_eq!(world.count("SELECT count(*) FROM restante.segments WHERE state <> 1").await, 0, "what is named lives");
    for target in targets {
        assert_eq!(world.read_all(target).await.len(), 2);
    }
    assert_eq!(sweeper.reconcile(always).await.unwrap().maildrops, 0);
}

#[tokio::test]
async fn a_pass_is_due_once_an_interval_and_stops_when_told() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for _ in 0..3 {
        world.deliver(b"x", &[("x@a.test", &[alice])]).await;
    }
    let sweeper = world.sweeper(SweepSettings { reconcile_interval_seconds: 3_600, batch: 1, ..AT_ONCE }).await;
    let asked = std::cell::Cell::new(0);
    let twice = || {
        asked.set(asked.get() + 1);
        asked.get() <= 2
    };
    assert_eq!(sweeper.reconcile(twice).await.unwrap().slices, 2);
    // Another worker goes on where the first one stood: maildrops and their end are done; then two segments, one, and the end.
    assert_eq!(world.sweeper(AT_ONCE).await.reconcile(|| asked.replace(0) != 0).await.unwrap().slices, 1);
    assert_eq!(sweeper.reconcile(always).await.unwrap().slices, 2);
    assert_eq!(sweeper.reconcile(always).await.unwrap().slices, 0, "not due");
}

#[tokio::test]
async fn frames_that_nobody_was_given_are_found_dead() {
    let world = World::new().await;
    let (rich, poor) = (world.account("a", None).await, world.account("a", Some(10)).await);
    let verdicts = world.deliver(b"both", &[("rich@a.test", &[rich])]).await;
    assert!(is_stored(&verdicts[0]));
    let verdicts = world.deliver(b"refused", &[("poor@a.test", &[poor])]).await;
    assert!(!is_stored(&verdicts[0]));
    let report = world.sweeper(AT_ONCE).await.reconcile(always).await.unwrap();
    assert_eq!((report.emptied, report.segments), (1, 0));
    assert_eq!(world.sweeper(AT_ONCE).await.sweep().await.unwrap().reclaimed, 1);
    assert_eq!(world.read_all(rich).await.len(), 1);
}

/// A frame that several copies share is dead when the last of them is purged, not before, and only once.
#[tokio::test]
async fn a_shared_frame_dies_with_its_last_copy() {
    let world = World::new().await;
    let (one, two, three) =
        (world.account("a", None).await, world.account("a", None).await, world.account("a", None).await);
    world.deliver(b"shared", &[("all@a.test", &[one, two]), ("three@a.test", &[three])]).await;
    let sweeper = world.sweeper(SweepSettings { batch: 1, ..AT_ONCE }).await;
    let dead = "SELECT dead_octets::bigint FROM restante.segments WHERE state = 1";
    for target in [one, two] {
        world.expunge(target, |_| true).await;
        world.let_retention_pass().await;
        assert_eq!(sweeper.sweep().await.unwrap().purged, 1);
        assert_eq!(world.count(dead).await, 0, "somebody has it still");
    }
    world.check_dead_octets().await;
    world.expunge(three, |_| true).await;
    world.check_dead_octets().await;
    world.let_retention_pass().await;
    assert_eq!(sweeper.sweep().await.unwrap().purged, 1);
    assert_eq!(world.count("SELECT count(*) FROM restante.segments").await, 0);
}

/// Several workers at the same rows, copies of the same frames among them: each row is purged once and all counts are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_at_the_same_rows_share_them() {
    let world = Arc::new(World::new().await);
    let (one, two) = (world.account("a", None).await, world.account("a", None).await);
    for n in 0..40 {
        let text = format!("{n}");
        world.deliver(text.as_bytes(), &[("one@a.test", &[one]), ("two@a.test", &[two])]).await;
    }
    world.expunge(one, |_| true).await;
    world.expunge(two, |at| at % 4 != 0).await;
    world.let_retention_pass().await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let world = world.clone();
        workers.spawn(async move {
            let sweeper = world.sweeper(SweepSettings { batch: 3, ..AT_ONCE }).await;
            let report = sweeper.sweep().await.unwrap();
            sweeper.roll_up_usage().await.unwrap();
            sweeper.reconcile(always).await.unwrap();
            (report.purged, report.reclaimed)
        });
    }
    let mut sum = (0, 0);
    while let Some(done) = workers.join_next().await {
        let (purged, reclaimed) = done.unwrap();
        sum = (sum.0 + purged, sum.1 + reclaimed);
    }
    assert_eq!(sum, (70, 30));
    world.check_counters().await;
    world.check_dead_octets().await;
    assert_eq!(world.count("SELECT messages FROM restante.usage_now WHERE domain_id = 0").await, 10);
}

#[tokio::test]
async fn a_round_does_so_much_and_the_next_one_goes_on() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for _ in 0..9 {
        world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    }
    world.expunge(alice, |_| true).await;
    world.let_retention_pass().await;
    let sweeper = world.sweeper(SweepSettings { batch: 2, batches_per_round: 2, ..AT_ONCE }).await;
    let backlog = sweeper.backlog().await.unwrap();
    assert_eq!(backlog.due_purges, 9);
    assert!((0..86_400 * 2).contains(&backlog.oldest_due_seconds));
    let mut purged = Vec::new();
    for _ in 0..4 {
        purged.push(sweeper.sweep().await.unwrap().purged);
    }
    assert_eq!(purged, [4, 4, 1, 0]);
    assert_eq!(sweeper.backlog().await.unwrap(), mailstore::Backlog::default());
}
