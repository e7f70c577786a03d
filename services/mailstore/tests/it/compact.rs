use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail_types::SystemClock;
use mailstore::{CompactSettings, DeliveryVerdict, Part, Settings, SweepSettings, Target};
use sqlx::Row as _;
use testkit::{Fault, Operation};

use crate::expunge::AT_ONCE;
use crate::meta::{self, Copy};
use crate::world::{World, deliver, is_stored, read};

/// Everything is worth compacting, at once.
const EAGER: CompactSettings = CompactSettings {
    thin_age_seconds: 0,
    small_age_seconds: 0,
    at_least_segments: 1,
    segments_at_once: 4_096,
    segment_octets: 20_000,
    switch_messages: 3,
    pause_ms: 0,
    octets_per_second: 1 << 40,
    segments_per_round: 1_000,
    ..CompactSettings::DEFAULT
};

fn always() -> bool {
    true
}

/// What a client sees of a maildrop.
async fn seen(world: &World, target: Target) -> Vec<(String, Vec<u8>)> {
    let snapshot = world.snapshot(target).await;
    let unique_ids = snapshot.messages().iter().map(|m| m.unique_id().as_str().to_owned());
    unique_ids.zip(world.read_all(target).await).collect()
}

/// Every frame of live messages that compaction wrote, against META's copies. What was expunged since the move is named still;
/// where nothing was, the copies are `exact`ly the live ones.
async fn check_meta(world: &World, exact: bool) -> usize {
    let rows = sqlx::query(
        "SELECT s.segment_uuid, m.frame_offset, m.frame_len, m.guid, m.account_id, m.uid, e.legacy_id \
           FROM restante.messages m JOIN restante.segments s USING (segment_id) LEFT JOIN restante.message_extras e USING (tenant_id, account_id, uid) \
          WHERE s.compacted",
    )
    .fetch_all(&world.superuser)
    .await
    .unwrap();
    let mut frames: HashMap<(uuid::Uuid, i32, i32), Vec<Copy>> = HashMap::new();
    for row in &rows {
        frames.entry((row.get(0), row.get(1), row.get(2))).or_default().push(Copy {
            guid: row.get::<uuid::Uuid, _>(3).as_u128(),
            account: row.get(4),
            uid: Some(row.get(5)),
            legacy_id: row.get(6),
        });
    }
    for ((segment, offset, len), expected) in &frames {
        let object = object(world, *segment);
        let frame = &object[*offset as usize..(*offset + *len) as usize];
        let named = meta::copies(world, frame).await;
        assert!(!exact || expected.len() == named.len(), "{expected:?} in {named:?}");
        assert!(expected.iter().all(|copy| named.contains(copy)), "{expected:?} in {named:?}");
    }
    frames.len()
}

fn object(world: &World, segment: uuid::Uuid) -> Vec<u8> {
    let name = segment.simple().to_string();
    let hours = std::fs::read_dir(world.directory.path().join("v1/seg")).unwrap();
    let path = hours.map(|hour| hour.unwrap().path().join(&name)).find(|path| path.exists()).unwrap();
    std::fs::read(path).unwrap()
}

/// Text that does not compress away, of about so many octets.
fn noise(seed: usize, octets: usize) -> String {
    let mut state = seed as u64 + 1;
    (0..octets)
        .map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if n % 77 == 76 { '\n' } else { char::from(48 + ((state >> 33) % 74) as u8) }
        })
        .collect()
}

#[tokio::test]
async fn small_segments_come_together_and_clients_see_no_difference() {
    let world = World::new().await;
    let targets = [world.account("a", None).await, world.account("a", None).await, world.account("b", None).await];
    let [one, two, other] = targets;
    for n in 0..12 {
        let text = format!("Subject: {n}\r\n\r\n.{}", noise(n, 200 * n));
        let recipients: &[(&str, &[Target])] = match n % 3 {
            0 => &[("one@a.test", &[one]), ("two@a.test", &[two]), ("other@b.test", &[other])],
            1 => &[("both@a.test", &[one, two])],
            _ => &[("other@b.test", &[other])],
        };
        assert!(world.deliver(text.as_bytes(), recipients).await.iter().all(is_stored));
    }
    sqlx::query("UPDATE restante.message_extras SET legacy_id = 'old-' || uid WHERE account_id = $1 AND uid = 3")
        .bind(one.account.0)
        .execute(&world.superuser)
        .await
        .unwrap();
    world.expunge(one, |at| at % 2 == 0).await;
    let mut before = Vec::new();
    for target in targets {
        before.push(seen(&world, target).await);
    }
    let live = world.count("SELECT count(*) FROM restante.messages").await.unsigned_abs();

    let report = world.compactor(EAGER).await.compact(always).await.unwrap();
    assert_eq!((report.segments, report.messages, report.unmovable), (12, live, 0));
    assert!((2..5).contains(&report.written), "{report:?}");
    for (target, before) in targets.iter().zip(&before) {
        assert_eq!(&seen(&world, *target).await, before);
        let spread = sqlx::query_scalar::<_, i64>(
            "SELECT count(DISTINCT segment_id) FROM restante.messages WHERE account_id = $1",
        )
        .bind(target.account.0)
        .fetch_one(&world.superuser)
        .await
        .unwrap();
        assert!(spread <= 3, "a maildrop lies in {spread} segments");
    }
    world.check_counters().await;
    world.check_dead_octets().await;
    assert!(check_meta(&world, true).await >= 12);
    // Nothing is written over and over.
    let again = world.compactor(EAGER).await.compact(always).await.unwrap();
    assert_eq!(again, mailstore::CompactReport::default());

    // What was expunged stayed where it was, and comes back from there.
    world.restore_all(one).await;
    assert_eq!(seen(&world, one).await.len(), 8);
    world.check_counters().await;
    // Now those have a live message again, and move after it.
    assert_eq!(world.compactor(EAGER).await.compact(always).await.unwrap().messages, 4);
    assert_eq!(seen(&world, one).await.len(), 8);
    let old = world.count("SELECT count(*) FROM restante.segments WHERE NOT compacted AND state = 1").await;
    assert_eq!(old, 0, "all old segments are empty");
    world.check_counters().await;
    let report = world.sweeper(AT_ONCE).await.sweep().await.unwrap();
    assert_eq!(report.reclaimed, 12);
    for (target, before) in targets.iter().zip(&before).skip(1) {
        assert_eq!(&seen(&world, *target).await, before, "read where it lies now");
    }
}

/// What compaction gives back after nine tenths of the mail are deleted; the figures are printed.
#[tokio::test]
async fn a_thin_segment_gives_its_dead_octets_back() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for group in 0..4 {
        let texts: Vec<String> =
            (0..50).map(|n| format!("Subject: {n}\r\n\r\n{}", noise(group * 50 + n, 2_000 + n * 400))).collect();
        world.deliver_together(&texts, alice).await;
    }
    let full = world.stored();
    world.expunge(alice, |at| at % 10 != 0).await;
    world.let_retention_pass().await;
    let sweeper = world.sweeper(AT_ONCE).await;
    assert!(sweeper.sweep().await.unwrap().purged > 180);
    world.check_dead_octets().await;
    let (before, purged) = (seen(&world, alice).await, world.stored());
    assert!(sweeper.backlog().await.unwrap().thin_segments >= 4);

    let settings = CompactSettings { small_age_seconds: 3_600, segment_octets: 64 << 20, ..EAGER };
    let report = world.compactor(settings).await.compact(always).await.unwrap();
    assert!(report.segments >= 4 && report.written == 1, "{report:?}");
    assert_eq!(sweeper.backlog().await.unwrap().thin_segments, 0);
    sweeper.sweep().await.unwrap();
    let left = world.stored();
    eprintln!("octets and objects: delivered {full:?}, nine tenths purged {purged:?}, compacted {left:?}; {report:?}");
    assert!(left.0 * 6 < full.0, "{left:?} of {full:?}");
    assert_eq!(seen(&world, alice).await, before);
    world.check_counters().await;
    world.check_dead_octets().await;
    assert_eq!(check_meta(&world, true).await as u64, report.messages);
}

#[tokio::test]
async fn too_little_is_left_alone() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for _ in 0..4 {
        world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    }
    for settings in [
        CompactSettings { at_least_segments: 5, ..EAGER },
        CompactSettings { small_age_seconds: 3_600, ..EAGER },
        CompactSettings { small_octets: 10, ..EAGER },
    ] {
        assert_eq!(world.compactor(settings).await.compact(always).await.unwrap().segments, 0);
    }
    // A worker that is told to stop takes nothing up; while sweeping is forbidden nobody does.
    assert_eq!(world.compactor(EAGER).await.compact(|| false).await.unwrap().segments, 0);
    sqlx::query("UPDATE restante.catalog SET sweep_state = 0").execute(&world.superuser).await.unwrap();
    assert_eq!(world.compactor(EAGER).await.compact(always).await.unwrap().segments, 0);
}

#[tokio::test]
async fn a_put_that_fails_changes_nothing_and_is_tried_again() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for _ in 0..4 {
        world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    }
    let before = seen(&world, alice).await;
    let compactor = world.compactor(EAGER).await;
    for fault in [Fault::Fail, Fault::LoseAnswer] {
        world.store.nth(Operation::Put, 1, fault);
        compactor.compact(always).await.unwrap_err();
        assert_eq!(world.count("SELECT count(*) FROM restante.segments WHERE compacted").await, 0);
        assert_eq!(seen(&world, alice).await, before);
    }
    assert_eq!(world.stored().1, 5, "an orphan like a delivery's");
    world.store.nth(Operation::Get, 2, Fault::Fail);
    compactor.compact(always).await.unwrap_err();
    assert_eq!(compactor.compact(always).await.unwrap().messages, 4, "no claim is in the way");
    assert_eq!(seen(&world, alice).await, before);
    world.check_counters().await;
}

#[tokio::test]
async fn what_is_damaged_stays_and_its_neighbours_go() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for n in 0..4 {
        world.deliver(noise(n, 500).as_bytes(), &[("alice@a.test", &[alice])]).await;
    }
    let (segment, end): (uuid::Uuid, i32) = sqlx::query_as(
        "SELECT s.segment_uuid, m.frame_offset + m.frame_len FROM restante.messages m JOIN restante.segments s USING (segment_id) WHERE m.uid = 2",
    )
    .fetch_one(&world.superuser)
    .await
    .unwrap();
    let mut octets = object(&world, segment);
    octets[end as usize - 1] ^= 1;
    let name = segment.simple().to_string();
    let hour = std::fs::read_dir(world.directory.path().join("v1/seg")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(hour.join(&name), octets).unwrap();

    let compactor = world.compactor(EAGER).await;
    let report = compactor.compact(always).await.unwrap();
    assert_eq!((report.messages, report.unmovable), (3, 1));
    assert_eq!(compactor.compact(always).await.unwrap().segments, 0, "it is not tried again at once");
    let lies = world.count("SELECT count(*) FROM restante.messages m JOIN restante.segments s USING (segment_id) WHERE NOT s.compacted AND m.uid = 2").await;
    assert_eq!(lies, 1);
    world.check_counters().await;
}

/// A session keeps its snapshot although all of it moved and the old objects are gone: it asks where its messages are, once.
#[tokio::test]
async fn a_session_finds_what_was_moved_under_its_feet() {
    let world = World::with(Settings { frames_octets: 0, ..Settings::default() }, Arc::new(SystemClock)).await;
    let alice = world.account("a", None).await;
    let texts: Vec<String> = (0..20).map(|n| format!("Subject: {n}\r\n\r\n{}", noise(n, 300))).collect();
    world.deliver_together(&texts, alice).await;
    let before = seen(&world, alice).await;
    let session = world.snapshot(alice).await;
    let open = || world.pop3.reader(alice.tenant, session.clone(), None);
    let (mut whole, mut heads, mut lines) = (open(), open(), open());
    world.compactor(EAGER).await.compact(always).await.unwrap();
    // One of them is expunged meanwhile; the session sees it still.
    world.expunge(alice, |at| at == 7).await;
    let reclaimed = world.sweeper(AT_ONCE).await.sweep().await.unwrap().reclaimed;
    assert!(reclaimed >= 2);

    let gets = world.store.calls(Operation::Get);
    for (index, (_, text)) in before.iter().enumerate() {
        assert_eq!(&read(&mut whole, index, Part::Whole).await.unwrap(), text);
    }
    let asked = world.store.calls(Operation::Get) - gets;
    assert!(asked <= before.len() as u64 + 2 * reclaimed, "{asked} requests");
    for (index, (_, text)) in before.iter().enumerate() {
        let head = read(&mut heads, index, Part::Head).await.unwrap();
        assert!(text.starts_with(&head) && head.ends_with(b"\r\n\r\n"));
        assert_eq!(&read(&mut lines, index, Part::Lines).await.unwrap(), text);
    }
    // What is gone for good is an error of its own.
    let gone = std::fs::read_dir(world.directory.path().join("v1/seg")).unwrap();
    for hour in gone {
        std::fs::remove_dir_all(hour.unwrap().path()).unwrap();
    }
    let error = read(&mut open(), 0, Part::Whole).await.unwrap_err();
    assert_eq!(error.kind(), "not_found");
}

/// Two compactors whose claims end at once, beside deliveries, expunges, restores, purges and readers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once() {
    let world = Arc::new(World::new().await);
    let mut targets = Vec::new();
    for n in 0..5 {
        targets.push(world.account(if n % 2 == 0 { "a" } else { "b" }, None).await);
    }
    // What tenant a expunges is due for purging at once.
    sqlx::query("UPDATE restante.tenants SET policy = '{\"retention_days\": -10}' WHERE slug = 'a'")
        .execute(&world.superuser)
        .await
        .unwrap();
    let (mut clients, mut workers) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    let over = Arc::new(AtomicBool::new(false));
    for sender in 0..4_usize {
        let (world, targets) = (world.clone(), targets.clone());
        clients.spawn(async move {
            for n in 0..40_usize {
                // One recipient with two accounts is committed in one call: no frame gets a copy after it was thought dead.
                let (one, two) = (targets[(sender + n) % 5], targets[(sender + n + 2) % 5]);
                let pair = [one, two];
                let both = if one.tenant == two.tenant { &pair[..] } else { &pair[..1] };
                let text = format!("Subject: {sender} {n}\r\n\r\n{}", noise(n, n * 40));
                let verdicts = deliver(&world.lmtp, text.as_bytes(), &[("both@a.test", both)]).await;
                // Unavailable: a recipient's maildrop was busy, and what came meanwhile was moved away: no commit comes to an empty
                // segment. Busy would leave a frame that nobody was given.
                assert!(!verdicts.contains(&DeliveryVerdict::Busy), "{verdicts:?}");
            }
        });
    }
    for reader in 0..3_usize {
        let (world, targets) = (world.clone(), targets.clone());
        clients.spawn(async move {
            for n in 0..25 {
                let target = targets[(reader + n) % 5];
                let snapshot = world.snapshot(target).await;
                let mut session = world.pop3.reader(target.tenant, snapshot.clone(), None);
                for (at, message) in snapshot.messages().iter().enumerate() {
                    let octets = read(&mut session, at, Part::Whole).await.unwrap();
                    assert_eq!(octets.len() as u64, message.octets.0);
                }
                match n % 4 {
                    0 => world.restore_all(target).await,
                    _ => drop(world.expunge(target, |at| at % 3 != 1).await),
                }
            }
        });
    }
    for _ in 0..2 {
        let (world, beside) = (world.clone(), world.clone());
        let (until, until_too) = (over.clone(), over.clone());
        workers.spawn(async move {
            let compactor = world.compactor(CompactSettings { claim_seconds: 0, ..EAGER }).await;
            while !until.load(Ordering::Relaxed) {
                // Each may find that the other deleted or moved what it reads.
                compactor.compact(always).await.unwrap();
            }
        });
        workers.spawn(async move {
            let sweeper = beside.sweeper(SweepSettings { batch: 7, grace_seconds: 3_600, ..AT_ONCE }).await;
            while !until_too.load(Ordering::Relaxed) {
                sweeper.sweep().await.unwrap();
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    world.check_counters().await;
    world.check_dead_octets().await;
    assert!(
        world
            .count(
                "SELECT count(*) FROM restante.messages m JOIN restante.segments s USING (segment_id) WHERE s.compacted"
            )
            .await
            > 0
    );
    for &target in &targets {
        world.read_all(target).await;
    }
    sqlx::query("UPDATE restante.segments SET claimed_until = NULL").execute(&world.superuser).await.unwrap();
    world.compactor(EAGER).await.compact(always).await.unwrap();
    check_meta(&world, false).await;
    world.check_counters().await;
}
