use std::sync::Arc;

use mail_types::{Clock, SegmentUuid, SystemClock, SystemRandom, Timestamp};
use mailstore::{DeliveryVerdict, Part, Settings, Target};
use testkit::{Fault, Operation};
use tokio::task::JoinSet;

use crate::world::{World, deliver, impatient, is_stored, read};

#[tokio::test]
async fn a_message_comes_back_octet_for_octet() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let verdicts = world.deliver(b"Subject: x\n\n.dot\n", &[("Alice@a.test", &[alice])]).await;
    let [DeliveryVerdict::Stored { unique_ids }] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    let snapshot = world.snapshot(alice).await;
    let [message] = snapshot.messages() else { panic!("{snapshot:?}") };
    assert_eq!(unique_ids, &[message.unique_id()]);
    assert!(message.may_need_stuffing());
    let head = "Return-Path: <sender@x.test>\r\nDelivered-To: Alice@a.test\r\nReceived: here\r\nSubject: x\r\n\r\n";
    let whole = world.read(alice, 0, Part::Whole).await.unwrap();
    assert_eq!(String::from_utf8(whole).unwrap(), format!("{head}.dot\r\n"));
    assert_eq!(world.read(alice, 0, Part::Head).await.unwrap(), head.as_bytes());
    world.check_counters().await;
}

#[tokio::test]
async fn recipients_share_a_frame_and_keep_their_own_lines() {
    let world = World::new().await;
    let (alice, bob, carol) =
        (world.account("a", None).await, world.account("a", None).await, world.account("b", None).await);
    let verdicts = world
        .deliver(
            b"Subject: x\r\n\r\nbody\r\n",
            &[("alice@a.test", &[alice]), ("both@a.test", &[alice, bob]), ("carol@b.test", &[carol])],
        )
        .await;
    assert!(verdicts.iter().all(is_stored), "{verdicts:?}");
    let expected = |to: &str| {
        format!("Return-Path: <sender@x.test>\r\nDelivered-To: {to}\r\nReceived: here\r\nSubject: x\r\n\r\nbody\r\n")
            .into_bytes()
    };
    assert_eq!(world.read_all(alice).await, [expected("alice@a.test"), expected("both@a.test")]);
    assert_eq!(world.read_all(bob).await, [expected("both@a.test")]);
    assert_eq!(world.read_all(carol).await, [expected("carol@b.test")]);
    assert_eq!(world.count("SELECT count(*) FROM restante.segments").await, 1);
    assert_eq!(
        world.count("SELECT count(DISTINCT frame_offset) FROM restante.messages").await,
        2,
        "one frame per tenant"
    );
    world.check_counters().await;
}

#[tokio::test]
async fn another_tenant_cannot_read_a_frame() {
    let world = World::new().await;
    let (alice, carol) = (world.account("a", None).await, world.account("b", None).await);
    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    let mut reader = world.pop3.reader(carol.tenant, world.snapshot(alice).await, None);
    let error = read(&mut reader, 0, Part::Whole).await.unwrap_err();
    assert_eq!(error.kind(), "damaged");
}

#[tokio::test]
async fn what_queues_behind_a_put_becomes_one_segment() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    assert!(is_stored(&world.deliver(b"first", &[("alice@a.test", &[alice])]).await[0]), "the tenant has a key");
    let before = world.store.calls(Operation::Put);
    world.store.nth(Operation::Put, 1, Fault::Hang);
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..40 {
        let lmtp = world.lmtp.clone();
        sent.spawn(async move {
            deliver(&lmtp, format!("Subject: {n}\r\n\r\n").as_bytes(), &[("alice@a.test", &[alice])]).await
        });
    }
    // The first is in flight; every other is in the queue or will be before the store answers.
    while world.store.calls(Operation::Put) == before {
        tokio::task::yield_now().await;
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    world.store.release();
    while let Some(verdicts) = sent.join_next().await {
        assert!(is_stored(&verdicts.unwrap()[0]));
    }
    let puts = world.store.calls(Operation::Put) - before;
    assert!(puts <= 3, "{puts} PUTs");
    assert_eq!(world.read_all(alice).await.len(), 41);
    world.check_counters().await;
}

#[tokio::test]
async fn a_tenants_first_messages_make_one_key_however_many_they_are() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let mut sent = send(&world, 40, alice);
    while let Some(verdicts) = sent.join_next().await {
        assert!(is_stored(&verdicts.unwrap()[0]));
    }
    let segments = world.count("SELECT count(*) FROM restante.segments").await;
    assert_eq!(world.store.calls(Operation::Put), 1 + segments as u64, "a key, and the segments");
}

/// Sends `count` messages at the same time; the tasks, and when this returns, all are on their way to the queue.
fn send(world: &World, count: usize, to: Target) -> JoinSet<Vec<DeliveryVerdict>> {
    let mut sent = JoinSet::new();
    for n in 0..count {
        let lmtp = world.lmtp.clone();
        sent.spawn(
            async move { deliver(&lmtp, format!("Subject: {n}\r\n\r\n").as_bytes(), &[("x@x.test", &[to])]).await },
        );
    }
    sent
}

async fn puts(world: &World, at_least: u64) {
    while world.store.calls(Operation::Put) < at_least {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_slow_put_does_not_hold_the_next_one_back_and_no_more_go_up_than_may() {
    let settings = Settings { slow_put_ms: 20, puts_in_flight: 2, ..Settings::default() };
    let world = World::with(settings, Arc::new(SystemClock)).await;
    let alice = world.account("a", None).await;
    // The tenant's key and the first median.
    assert!(is_stored(&world.deliver(b"first", &[("alice@a.test", &[alice])]).await[0]));
    let before = world.store.calls(Operation::Put);

    world.store.nth(Operation::Put, 1, Fault::Hang);
    let mut held = send(&world, 1, alice);
    puts(&world, before + 1).await;
    // Its neighbours overtake it.
    for n in 0..3 {
        assert!(is_stored(&world.deliver(b"next", &[("alice@a.test", &[alice])]).await[0]), "{n}");
    }
    assert!(held.try_join_next().is_none(), "the first one still hangs");

    // Two that hang are all that may go up.
    world.store.nth(Operation::Put, 1, Fault::Hang);
    let second = send(&world, 1, alice);
    puts(&world, before + 5).await;
    let third = send(&world, 1, alice);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(world.store.calls(Operation::Put), before + 5);
    world.store.release();
    for mut sent in [held, second, third] {
        assert!(is_stored(&sent.join_next().await.unwrap().unwrap()[0]));
    }
    assert_eq!(world.read_all(alice).await.len(), 7);
    world.check_counters().await;
}

#[tokio::test]
async fn one_message_of_a_tenant_does_not_wait_behind_all_of_another() {
    // Segments of four copies, so that the noisy tenant's messages are many segments.
    let settings = Settings { segment_copies: 4, puts_in_flight: 1, ..Settings::default() };
    let world = World::with(settings, Arc::new(SystemClock)).await;
    let (noisy, quiet) = (world.account("a", None).await, world.account("b", None).await);
    for target in [noisy, quiet] {
        assert!(is_stored(&world.deliver(b"first", &[("x@x.test", &[target])]).await[0]));
    }
    world.store.nth(Operation::Put, 1, Fault::Hang);
    let before = world.store.calls(Operation::Put);
    let mut first = send(&world, 1, noisy);
    puts(&world, before + 1).await;
    let noise = send(&world, 40, noisy);
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let mut one = send(&world, 1, quiet);
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    // After the one under way a single PUT may come before an answer for the quiet tenant.
    world.store.nth(Operation::Put, 2, Fault::Hang);
    world.store.release();
    assert!(is_stored(&first.join_next().await.unwrap().unwrap()[0]));
    assert!(is_stored(&one.join_next().await.unwrap().unwrap()[0]));
    assert!(world.store.calls(Operation::Put) <= before + 3);
    puts(&world, before + 3).await;
    world.store.release();
    assert!(noise.join_all().await.iter().all(|verdicts| is_stored(&verdicts[0])));
    world.check_counters().await;
}

#[tokio::test]
async fn what_is_delivered_is_read_from_memory_where_the_process_serves_it_too() {
    let database = World::new().await;
    let alice = database.account("a", None).await;
    let (lmtp, pop3) = database.in_one_process().await;
    for n in 0..3 {
        let text = format!("Subject: {n}\r\n\r\n{n}\r\n");
        assert!(is_stored(&deliver(&lmtp, text.as_bytes(), &[("x@a.test", &[alice])]).await[0]));
    }
    let snapshot = pop3.snapshot(alice.tenant, alice.account, database.state(alice).await).await.unwrap();
    let mut reader = pop3.reader(alice.tenant, snapshot, None);
    for n in 0..3 {
        let octets = read(&mut reader, n, Part::Whole).await.unwrap();
        assert!(octets.ends_with(format!("Subject: {n}\r\n\r\n{n}\r\n").as_bytes()));
    }
    assert_eq!(database.store.calls(Operation::Get), 1, "the key, read back when it was made");
}

#[tokio::test]
async fn a_message_over_the_limit_of_groups_is_a_segment_of_its_own() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let text = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcdef0123456789abcdef0123456789abcdef012345678901\r\n".repeat(50_000)
    );
    assert!(is_stored(&world.deliver(text.as_bytes(), &[("alice@a.test", &[alice])]).await[0]));
    let octets = world.read_all(alice).await.remove(0);
    assert!(octets.ends_with(text.as_bytes()));
}

#[tokio::test]
async fn one_over_quota_does_not_refuse_its_neighbours() {
    let world = World::new().await;
    let (a, b) = (world.account("a", Some(1_000)).await, world.account("a", Some(10)).await);
    // The first recipient wants both and b is full, so a still has all its room for the second.
    let text = format!("\r\n{}", "x".repeat(600));
    let verdicts = world.deliver(text.as_bytes(), &[("both@a.test", &[a, b]), ("a@a.test", &[a])]).await;
    assert_eq!(verdicts[0], DeliveryVerdict::OverQuota { defer: false });
    assert!(is_stored(&verdicts[1]), "{verdicts:?}");
    assert_eq!(world.read_all(a).await.len(), 1);
    assert!(world.read_all(b).await.is_empty(), "all of a recipient's accounts or none");
    world.check_counters().await;
}

#[tokio::test]
async fn the_policy_decides_between_552_and_452() {
    let world = World::new().await;
    let full = world.account("b", Some(1)).await;
    sqlx::query("UPDATE restante.tenants SET policy = '{\"over_quota\": \"defer\"}' WHERE slug = 'b'")
        .execute(&world.superuser)
        .await
        .unwrap();
    assert_eq!(world.deliver(b"x", &[("f@b.test", &[full])]).await, [DeliveryVerdict::OverQuota { defer: true }]);
}

#[tokio::test]
async fn accounts_and_tenants_that_went_away_are_named() {
    let world = World::new().await;
    let (gone, suspended) = (world.account("a", None).await, world.account("b", None).await);
    sqlx::query("UPDATE restante.accounts SET status = 3 WHERE account_id = $1")
        .bind(gone.account.0)
        .execute(&world.superuser)
        .await
        .unwrap();
    sqlx::query("UPDATE restante.tenants SET status = 2 WHERE slug = 'b'").execute(&world.superuser).await.unwrap();
    let verdicts = world.deliver(b"x", &[("g@a.test", &[gone]), ("s@b.test", &[suspended])]).await;
    assert_eq!(verdicts, [DeliveryVerdict::NoSuchAccount, DeliveryVerdict::Suspended]);
}

#[tokio::test]
async fn a_busy_maildrop_holds_up_nobody_else() {
    let world = World::with(impatient(), Arc::new(SystemClock)).await;
    let (busy, free) = (world.account("a", None).await, world.account("a", None).await);
    let mut lock = world.superuser.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM restante.maildrops WHERE account_id = $1 FOR UPDATE")
        .bind(busy.account.0)
        .execute(&mut *lock)
        .await
        .unwrap();
    let held = tokio::spawn({
        let lmtp = world.lmtp.clone();
        async move { deliver(&lmtp, b"x", &[("busy@a.test", &[busy])]).await }
    });
    assert!(is_stored(&world.deliver(b"x", &[("free@a.test", &[free])]).await[0]), "while the other is locked");
    assert_eq!(held.await.unwrap(), [DeliveryVerdict::Busy]);
    lock.rollback().await.unwrap();
    assert!(is_stored(&world.deliver(b"y", &[("busy@a.test", &[busy])]).await[0]));
    assert_eq!(world.read_all(busy).await.len(), 1, "busy means not stored");
    world.check_counters().await;
}

#[tokio::test]
async fn a_maildrop_that_is_free_again_in_time_gets_its_message() {
    let world = World::with(Settings::default(), Arc::new(SystemClock)).await;
    let busy = world.account("a", None).await;
    let mut lock = world.superuser.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM restante.maildrops WHERE account_id = $1 FOR UPDATE")
        .bind(busy.account.0)
        .execute(&mut *lock)
        .await
        .unwrap();
    let held = tokio::spawn({
        let lmtp = world.lmtp.clone();
        async move { deliver(&lmtp, b"x", &[("busy@a.test", &[busy])]).await }
    });
    while world.count("SELECT count(*) FROM restante.segments").await == 0 {
        tokio::task::yield_now().await;
    }
    lock.rollback().await.unwrap();
    assert!(is_stored(&held.await.unwrap()[0]));
    assert_eq!(world.read_all(busy).await.len(), 1);
}

#[tokio::test]
async fn a_store_that_fails_means_a_temporary_error_and_no_row() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for fault in [Fault::Fail, Fault::LoseAnswer] {
        world.store.nth(Operation::Put, 1, fault);
        assert_eq!(world.deliver(b"x", &[("alice@a.test", &[alice])]).await, [DeliveryVerdict::Unavailable]);
    }
    assert_eq!(world.count("SELECT count(*) FROM restante.messages").await, 0);
    assert!(is_stored(&world.deliver(b"x", &[("alice@a.test", &[alice])]).await[0]), "it recovers by itself");
}

/// A commit whose answer was lost is asked again; the call must find what it stored and store nothing twice.
#[tokio::test]
async fn a_repeated_commit_stores_nothing_twice() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let lmtp = world.database.pool(runtime::database::DbRole::Lmtp).await;
    let segment = uuid::Uuid::from_u128(SegmentUuid::new(SystemClock.now(), &SystemRandom).as_u128());
    for _ in 0..3 {
        let result: i16 = sqlx::query_scalar(
            "SELECT result FROM restante.lmtp_deliver_1($3, 200, '{0}', '{0}', ARRAY[$1], ARRAY[$2], ARRAY[$3], \
             '{5}', '{64}', '{100}', '{98}', '{0}', '{NULL}')",
        )
        .bind(alice.tenant.0)
        .bind(alice.account.0)
        .bind(segment)
        .fetch_one(&lmtp)
        .await
        .unwrap();
        assert_eq!(result, 1);
    }
    assert_eq!(world.count("SELECT count(*) FROM restante.messages").await, 1);
    world.check_counters().await;
}

#[tokio::test]
async fn a_damaged_body_never_looks_whole() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"Subject: x\r\n\r\nbody\r\n", &[("alice@a.test", &[alice])]).await;
    let hours = world.directory.path().join("v1/seg");
    let hour = std::fs::read_dir(hours).unwrap().next().unwrap().unwrap().path();
    let object = std::fs::read_dir(hour).unwrap().next().unwrap().unwrap().path();
    let mut octets = std::fs::read(&object).unwrap();
    assert!(!octets.windows(4).any(|w| w == b"body"), "nothing of a message can be read in the store");
    // The last octet of the frame: before the footer's one entry and the trailer.
    let at = octets.len() - 32 - 64 - 1;
    octets[at] ^= 1;
    std::fs::write(&object, &octets).unwrap();
    let error = world.read(alice, 0, Part::Whole).await.unwrap_err();
    assert_eq!(error.kind(), "damaged");
    std::fs::remove_file(&object).unwrap();
    let error = world.read(alice, 0, Part::Whole).await.unwrap_err();
    assert_eq!(error.kind(), "not_found");
}

#[tokio::test]
async fn what_compresses_is_stored_shorter_and_comes_back_whole() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let text = format!("Subject: x\r\n\r\n{}", "the same words again and again\r\n".repeat(20_000));
    assert!(is_stored(&world.deliver(text.as_bytes(), &[("alice@a.test", &[alice])]).await[0]));
    assert!(world.count("SELECT octets::bigint FROM restante.segments").await < 60_000);
    assert!(world.read_all(alice).await[0].ends_with(text.as_bytes()));
    world.check_counters().await;
}

#[tokio::test]
async fn each_tenant_has_its_own_key_kept_in_the_bucket_too() {
    let world = World::new().await;
    let (alice, carol) = (world.account("a", None).await, world.account("b", None).await);
    world.deliver(b"x", &[("alice@a.test", &[alice]), ("carol@b.test", &[carol])]).await;
    assert_eq!(world.count("SELECT count(DISTINCT wrapped) FROM restante.tenant_keys").await, 2);
    for tenant in [alice.tenant, carol.tenant] {
        let object = std::fs::read(world.directory.path().join(format!("v1/key/{tenant}/1"))).unwrap();
        let row: Vec<u8> = sqlx::query_scalar("SELECT wrapped FROM restante.tenant_keys WHERE tenant_id = $1")
            .bind(tenant.0)
            .fetch_one(&world.superuser)
            .await
            .unwrap();
        assert_eq!(object, row);
    }
}

#[tokio::test]
async fn a_tenant_without_a_usable_key_holds_up_nobody_else() {
    let world = World::new().await;
    let (alice, carol) = (world.account("a", None).await, world.account("b", None).await);
    sqlx::query(
        "INSERT INTO restante.tenant_keys (tenant_id, key_version, state, master_key_id) VALUES ($1, 1, 3, 'test')",
    )
    .bind(carol.tenant.0)
    .execute(&world.superuser)
    .await
    .unwrap();
    world.store.nth(Operation::Put, 1, Fault::Hang);
    let first = tokio::spawn({
        let lmtp = world.lmtp.clone();
        async move { deliver(&lmtp, b"x", &[("alice@a.test", &[alice])]).await }
    });
    while world.store.calls(Operation::Put) == 0 {
        tokio::task::yield_now().await;
    }
    let neighbours = tokio::spawn({
        let lmtp = world.lmtp.clone();
        async move {
            let one = async { deliver(&lmtp, b"y", &[("carol@b.test", &[carol])]).await };
            let other = async { deliver(&lmtp, b"z", &[("alice@a.test", &[alice])]).await };
            tokio::join!(one, other)
        }
    });
    world.store.release();
    assert!(is_stored(&first.await.unwrap()[0]));
    let (erased, other) = neighbours.await.unwrap();
    assert_eq!(erased, [DeliveryVerdict::Unavailable]);
    assert!(is_stored(&other[0]));
    assert_eq!(world.read_all(alice).await.len(), 2);
}

/// The time of day, late by so many hours.
#[derive(Debug)]
struct Late(u64);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(SystemClock.now().unix_ms() - self.0 * 3_600_000)
    }

    fn monotonic(&self) -> std::time::Instant {
        SystemClock.monotonic()
    }
}

#[tokio::test]
async fn a_commit_half_a_day_after_its_segment_was_named_is_refused() {
    for (hours, stored) in [(11, true), (13, false)] {
        let world = World::with(Settings::default(), Arc::new(Late(hours))).await;
        let alice = world.account("a", None).await;
        let [verdict] = &world.deliver(b"x", &[("alice@a.test", &[alice])]).await[..] else { panic!("one verdict") };
        assert_eq!(is_stored(verdict), stored, "{hours} hours: {verdict:?}");
        assert_eq!(world.count("SELECT count(*) FROM restante.messages").await, i64::from(stored));
    }
}
