use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mail_types::{Clock as _, CredentialId, SessionUuid, SystemClock, SystemRandom, Timestamp};
use mailstore::{SessionNotes, SessionOutcome, SessionRecord, Settings, SweepSettings};
use testkit::{FakeClock, Fault, Operation};

use crate::world::{World, expunge, is_stored, read};

pub(crate) fn session() -> SessionRecord {
    SessionRecord {
        session: SessionUuid::new(&SystemRandom),
        credential: CredentialId(1),
        started: SystemClock.now(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        mechanism: 1,
        tls: 0,
        outcome: SessionOutcome::Quit,
        fetched: 1,
        fetched_octets: 10,
        notes: SessionNotes::default(),
    }
}

pub(crate) const AT_ONCE: SweepSettings = SweepSettings {
    grace_seconds: 0,
    orphan_age_seconds: 0,
    orphan_interval_seconds: 0,
    unreferenced_seconds: 0,
    reconcile_interval_seconds: 0,
    batch: 2,
    partitions_ahead_days: 10,
    ..SweepSettings::DEFAULT
};

#[tokio::test]
async fn expunging_is_one_transaction_and_a_repeat_is_a_no_op() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for _ in 0..3 {
        world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    }
    let before = world.snapshot(alice).await;
    let record = session();
    let uids = [before.messages()[0].uid, before.messages()[2].uid];
    for _ in 0..2 {
        assert_eq!(world.pop3.quit(alice.tenant, alice.account, &record, &expunge(&uids)).await.unwrap(), 2);
    }
    let left = world.snapshot(alice).await;
    assert_eq!(left.messages().len(), 1);
    assert_eq!(left.messages()[0].unique_id(), before.messages()[1].unique_id());
    assert_eq!(
        world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&uids)).await.unwrap(),
        0,
        "gone before"
    );
    assert_eq!(world.count("SELECT count(*) FROM restante.sessions").await, 2);
    // A session that opened before still reads what it sees.
    read(&mut world.pop3.reader(alice.tenant, before, None), 0, mailstore::Part::Whole).await.unwrap();
    world.check_counters().await;
}

#[tokio::test]
async fn a_held_list_learns_of_appends_and_of_expunges() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    assert!(world.snapshot(alice).await.messages().is_empty());
    world.deliver(b"1", &[("alice@a.test", &[alice])]).await;
    let one = world.snapshot(alice).await;
    assert!(Arc::ptr_eq(&one, &world.snapshot(alice).await), "held");
    world.deliver(b"2", &[("alice@a.test", &[alice])]).await;
    let two = world.snapshot(alice).await;
    assert_eq!(two.messages().len(), 2);
    assert_eq!(one.messages().len(), 1, "a snapshot never changes");
    world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&[two.messages()[0].uid])).await.unwrap();
    let rest = world.snapshot(alice).await;
    assert_eq!(rest.messages().iter().map(|m| m.uid).collect::<Vec<_>>(), [two.messages()[1].uid]);
}

#[tokio::test]
async fn purged_mail_gives_its_octets_back_after_the_grace() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("a", None).await);
    world.deliver(b"both", &[("alice@a.test", &[alice]), ("bob@a.test", &[bob])]).await;
    world.deliver(b"one", &[("alice@a.test", &[alice])]).await;
    let uids: Vec<i64> = world.snapshot(alice).await.messages().iter().map(|m| m.uid).collect();
    world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&uids)).await.unwrap();

    let sweeper = world.sweeper(AT_ONCE).await;
    let report = sweeper.sweep().await.unwrap();
    assert_eq!((report.purged, report.reclaimed), (0, 0), "the retention has not passed");
    assert!(report.partitions > 10);
    // A week and a day later, as far as the rows know.
    sqlx::query("UPDATE restante.expunged SET purge_day = purge_day - 8").execute(&world.superuser).await.unwrap();
    let report = sweeper.sweep().await.unwrap();
    assert_eq!((report.purged, report.reclaimed), (2, 1), "the other segment still has bob's copy");
    world.check_counters().await;
    assert_eq!(world.read_all(bob).await.len(), 1);
    assert_eq!(world.store.calls(Operation::Delete), 1);
    assert_eq!(world.count("SELECT count(*) FROM restante.message_extras").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM pg_class WHERE relname ~ '^expunged_[0-9]+$' AND relnamespace = 'restante'::regnamespace").await, 11, "purged days are dropped, others stay");
    assert_eq!(sweeper.sweep().await.unwrap().purged, 0, "twice is once");
}

#[tokio::test]
async fn nothing_is_deleted_while_sweeping_is_forbidden() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    let uid = world.snapshot(alice).await.messages()[0].uid;
    world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&[uid])).await.unwrap();
    sqlx::query("UPDATE restante.expunged SET purge_day = purge_day - 8").execute(&world.superuser).await.unwrap();
    sqlx::query("UPDATE restante.catalog SET sweep_state = 0").execute(&world.superuser).await.unwrap();
    let sweeper = world.sweeper(AT_ONCE).await;
    assert_eq!(sweeper.sweep().await.unwrap().reclaimed, 0);
    sqlx::query("UPDATE restante.catalog SET sweep_state = 1").execute(&world.superuser).await.unwrap();
    assert_eq!(sweeper.sweep().await.unwrap().reclaimed, 1);
}

#[tokio::test]
async fn a_delete_that_fails_is_done_the_next_time() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    let uid = world.snapshot(alice).await.messages()[0].uid;
    world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&[uid])).await.unwrap();
    sqlx::query("UPDATE restante.expunged SET purge_day = purge_day - 8").execute(&world.superuser).await.unwrap();
    let sweeper = world.sweeper(AT_ONCE).await;
    for fault in [Fault::Fail, Fault::LoseAnswer] {
        world.store.nth(Operation::Delete, 1, fault);
        sweeper.sweep().await.unwrap_err();
    }
    assert_eq!(sweeper.sweep().await.unwrap().reclaimed, 1);
    assert_eq!(world.count("SELECT count(*) FROM restante.segments").await, 0);
}

/// An orphan is condemned before it is deleted, so that a commit which comes after all that time fails.
#[tokio::test]
async fn an_orphan_is_condemned_first_and_its_late_commit_fails() {
    let three_hours_ago = Timestamp::from_unix_ms(SystemClock.now().unix_ms() - 3 * 3_600_000);
    let world = World::with(Settings::default(), Arc::new(FakeClock::at(three_hours_ago))).await;
    let alice = world.account("a", None).await;
    world.deliver(b"w", &[("alice@a.test", &[alice])]).await; // makes the tenant's key
    world.store.nth(Operation::Put, 1, Fault::LoseAnswer);
    assert!(!is_stored(&world.deliver(b"x", &[("alice@a.test", &[alice])]).await[0]));
    assert!(is_stored(&world.deliver(b"y", &[("alice@a.test", &[alice])]).await[0]));

    let hour = Duration::from_secs(3_600).as_secs();
    let sweeper = world.sweeper(SweepSettings { grace_seconds: hour, orphan_age_seconds: hour, ..AT_ONCE }).await;
    assert_eq!(sweeper.sweep().await.unwrap().condemned, 1);
    let condemned: uuid::Uuid = sqlx::query_scalar("SELECT segment_uuid FROM restante.segments WHERE state = 9")
        .fetch_one(&world.superuser)
        .await
        .unwrap();
    let lmtp = world.database.pool(runtime::database::DbRole::Lmtp).await;
    let late = sqlx::query("SELECT * FROM restante.lmtp_deliver_1($1, 200, '{0}', '{0}', ARRAY[$2], ARRAY[$3], ARRAY[$1], '{5}', '{64}', '{100}', '{98}', '{0}', '{NULL}')")
        .bind(condemned)
        .bind(alice.tenant.0)
        .bind(alice.account.0)
        .execute(&lmtp)
        .await
        .unwrap_err();
    assert_eq!(late.as_database_error().and_then(|e| e.code()).as_deref(), Some("RS001"));
    assert_eq!(sweeper.sweep().await.unwrap().reclaimed, 0, "one more grace");
    sqlx::query("UPDATE restante.segments SET state_at = state_at - interval '2 hours' WHERE state = 9")
        .execute(&world.superuser)
        .await
        .unwrap();
    assert_eq!(sweeper.sweep().await.unwrap().reclaimed, 1);
    assert_eq!(world.read_all(alice).await.len(), 2);
}

#[tokio::test]
async fn usage_is_summed_for_domains_and_tenants() {
    let world = World::new().await;
    let (one, two) = (world.account("a", None).await, world.account("a", None).await);
    world.deliver(b"x", &[("1@a.test", &[one]), ("2@a.test", &[two])]).await;
    let sweeper = world.sweeper(AT_ONCE).await;
    for _ in 0..2 {
        sweeper.roll_up_usage().await.unwrap();
    }
    assert_eq!(world.count("SELECT messages FROM restante.usage_now WHERE domain_id = 0").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM restante.usage_now").await, 2);
    assert_eq!(
        world.count("SELECT octets FROM restante.usage_now WHERE domain_id <> 0").await,
        world.count("SELECT sum(live_octets)::bigint FROM restante.maildrops").await
    );
}

/// A partition for the very day that rows go to may be made while they come: nobody's QUIT may fail for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_are_made_under_the_feet_of_sessions() {
    let world = Arc::new(World::new().await);
    let alice = world.account("a", None).await;
    let sweeper = world.sweeper(SweepSettings { partitions_ahead_days: 9, ..SweepSettings::default() }).await;
    let day: String = sqlx::query_scalar("SELECT to_char((now() AT TIME ZONE 'UTC')::date + 8, 'YYYYMMDD')")
        .fetch_one(&world.superuser)
        .await
        .unwrap();
    for _ in 0..15 {
        {
            let table = format!("expunged_{day}");
            sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE IF EXISTS restante.{table}")))
                .execute(&world.superuser)
                .await
                .unwrap();
        }
        let mut sessions = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let world = world.clone();
            sessions.spawn(async move {
                for _ in 0..3 {
                    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
                    let uids: Vec<i64> = world.snapshot(alice).await.messages().iter().map(|m| m.uid).collect();
                    world.pop3.quit(alice.tenant, alice.account, &session(), &expunge(&uids)).await.unwrap();
                }
            });
        }
        sweeper.sweep().await.unwrap();
        while let Some(ended) = sessions.join_next().await {
            ended.unwrap();
        }
    }
}
