//! Expiry by policy.

use std::sync::Arc;
use std::time::Duration;

use mail_types::{Clock as _, SystemClock, Timestamp};
use mailstore::{ExpiryReport, SessionOutcome, Settings, SweepSettings, Target};
use testkit::FakeClock;

use crate::expunge::session;
use crate::world::{World, expunge, read};

const DAY: Duration = Duration::from_secs(86_400);

/// A world whose deliveries come so many days before the database's today, and its clock.
async fn days_ago(days: u32) -> (World, FakeClock) {
    let then = SystemClock.now().unix_ms() - u64::try_from((DAY * days).as_millis()).unwrap();
    let clock = FakeClock::at(Timestamp::from_unix_ms(then));
    let world = World::with(Settings::default(), Arc::new(clock.clone())).await;
    // The database's clock cannot be set back with the others, and it refuses what claims to be so old.
    sqlx::raw_sql("CREATE OR REPLACE FUNCTION restante.assert_young(p_segment uuid) RETURNS void LANGUAGE sql AS ''")
        .execute(&world.superuser)
        .await
        .unwrap();
    (world, clock)
}

fn small_batches() -> SweepSettings {
    SweepSettings { batch: 2, expire_per_second: 1_000_000, ..SweepSettings::default() }
}

impl World {
    async fn decide(&self, sql: &'static str) {
        assert_eq!(sqlx::query(sql).execute(&self.superuser).await.unwrap().rows_affected(), 1);
    }

    async fn decide_for(&self, target: Target, policy: &str) {
        sqlx::query("UPDATE restante.accounts SET policy = $1::jsonb WHERE (tenant_id, account_id) = ($2, $3)")
            .bind(policy)
            .bind(target.tenant.0)
            .bind(target.account.0)
            .execute(&self.superuser)
            .await
            .unwrap();
    }

    async fn expire(&self) -> ExpiryReport {
        self.sweeper(small_batches()).await.expire(|| true).await.unwrap()
    }

    async fn left(&self, target: Target) -> usize {
        self.snapshot(target).await.messages().len()
    }
}

#[tokio::test]
async fn mail_expires_as_the_narrowest_policy_says() {
    let (world, clock) = days_ago(40).await;
    let [plain, shorter, longer, never] = [
        world.account("a", None).await,
        world.account("a", None).await,
        world.account("a", None).await,
        world.account("a", None).await,
    ];
    let foreign = world.account("b", None).await;
    let all = [plain, shorter, longer, never, foreign];
    for _ in 0..5 {
        world.deliver(b"old", &all.map(|each| [each]).each_ref().map(|each| ("x@a.test", &each[..]))).await;
    }
    clock.advance(DAY * 20);
    world.deliver(b"new", &all.map(|each| [each]).each_ref().map(|each| ("x@a.test", &each[..]))).await;
    assert_eq!(world.expire().await, ExpiryReport::default(), "no policy: mail is kept");

    world
        .decide("UPDATE restante.tenants SET policy = '{\"expire_days\": 5, \"retention_days\": 3}' WHERE slug = 'a'")
        .await;
    world.decide("UPDATE restante.domains SET policy = '{\"expire_days\": 30}' WHERE name = 'a.test'").await;
    world.decide_for(shorter, r#"{"expire_days": 10}"#).await;
    world.decide_for(longer, r#"{"expire_days": 60}"#).await;
    world.decide_for(never, r#"{"expire_days": "never"}"#).await;
    let before = world.snapshot(plain).await;
    let octets = |n: usize| before.messages().iter().take(n).map(|message| message.octets.0).sum::<u64>();
    let report = world.expire().await;
    assert_eq!((report.expired, report.busy), (11, 0));
    assert_eq!(report.octets, octets(5) + octets(6));
    for (target, expected) in [(plain, 1), (shorter, 0), (longer, 6), (never, 6), (foreign, 6)] {
        assert_eq!(world.left(target).await, expected);
    }
    // A session that began before reads what it saw.
    read(&mut world.pop3.reader(plain.tenant, before, None), 0, mailstore::Part::Whole).await.unwrap();

    let [listed] = &world.admin.sessions(plain.tenant, plain.account, None, 10).await.unwrap()[..] else {
        panic!("one session")
    };
    assert_eq!((listed.outcome, listed.expunged, listed.restorable), (SessionOutcome::Expired, 5, 5));

    // As restorable as what a session expunged: one session for a maildrop, told by its row and by the audit trail.
    assert_eq!(
        world
            .count(
                "SELECT count(*) FROM restante.expunged WHERE purge_day = (expunged_at AT TIME ZONE 'UTC')::date + 4"
            )
            .await,
        11
    );
    assert_eq!(
        world
            .count(
                "SELECT count(*) FROM restante.sessions s WHERE s.mechanism = 0 AND s.outcome = 2 AND s.expunged = \
                 (SELECT count(*) FROM restante.expunged x WHERE (x.tenant_id, x.account_id, x.session_uuid) = (s.tenant_id, s.account_id, s.session_uuid))"
            )
            .await,
        2
    );
    assert_eq!(
        world
            .count(
                "SELECT sum((e.after ->> 'messages')::integer) FROM restante.audit_events e \
                   JOIN restante.sessions s ON s.tenant_id = e.tenant_id AND s.session_uuid = (e.after ->> 'session')::uuid \
                  WHERE e.actor = 'policy' AND e.action = 'account.expire' AND e.target LIKE '%@a.test'"
            )
            .await,
        11
    );
    world.check_counters().await;
    assert_eq!(world.expire().await, ExpiryReport::default(), "twice is once");
    assert_eq!(world.count("SELECT count(*) FROM restante.sessions").await, 2);
}

#[tokio::test]
async fn a_day_is_a_day() {
    let (world, clock) = days_ago(3).await;
    world.decide("UPDATE restante.tenants SET policy = '{\"expire_days\": 3}' WHERE slug = 'a'").await;
    let alice = world.account("a", None).await;
    world.deliver(b"over", &[("alice@a.test", &[alice])]).await;
    clock.advance(Duration::from_secs(600));
    world.deliver(b"not yet", &[("alice@a.test", &[alice])]).await;
    assert_eq!(world.expire().await.expired, 1);
    assert_eq!(world.left(alice).await, 1);
}

/// Its owner cannot fetch it.
#[tokio::test]
async fn nothing_expires_of_who_is_suspended() {
    let (world, _) = days_ago(40).await;
    world.decide("UPDATE restante.tenants SET policy = '{\"expire_days\": 5}' WHERE slug = 'a'").await;
    world.decide("UPDATE restante.tenants SET policy = '{\"expire_days\": 5}' WHERE slug = 'b'").await;
    let (alice, bob) = (world.account("a", None).await, world.account("b", None).await);
    world.deliver(b"x", &[("alice@a.test", &[alice]), ("bob@b.test", &[bob])]).await;
    world.decide("UPDATE restante.accounts SET status = 2 WHERE tenant_id = (SELECT tenant_id FROM restante.tenants WHERE slug = 'a')").await;
    world.decide("UPDATE restante.tenants SET status = 2 WHERE slug = 'b'").await;
    // The function itself refuses too, should the state change between the look and the call.
    let worker = world.database.pool(runtime::database::DbRole::Worker).await;
    for target in [alice, bob] {
        let expired: i32 =
            sqlx::query_scalar("SELECT expired FROM restante.worker_expire_1($1, $2, gen_random_uuid(), now(), 10)")
                .bind(target.tenant.0)
                .bind(target.account.0)
                .fetch_one(&worker)
                .await
                .unwrap();
        assert_eq!(expired, 0);
    }
    assert_eq!(world.expire().await, ExpiryReport::default());
    world.decide("UPDATE restante.tenants SET status = 1 WHERE slug = 'b'").await;
    assert_eq!(world.expire().await.expired, 1);
    assert_eq!(world.left(alice).await, 1);
}

#[tokio::test]
async fn a_round_stops_between_batches_and_leaves_the_rest_to_the_next() {
    let (world, _) = days_ago(40).await;
    world.decide("UPDATE restante.tenants SET policy = '{\"expire_days\": 5}' WHERE slug = 'a'").await;
    let alice = world.account("a", None).await;
    for _ in 0..5 {
        world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    }
    // Asked before a page, and before each batch.
    let asked = std::cell::Cell::new(0);
    let goes_on = || asked.replace(asked.get() + 1) < 2;
    let sweeper = world.sweeper(small_batches()).await;
    assert_eq!(sweeper.expire(goes_on).await.unwrap().expired, 2);
    world.check_counters().await;
    assert_eq!(sweeper.expire(|| true).await.unwrap().expired, 3);
    // While somebody holds the maildrop it is left alone, and nobody waits.
    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    let mut holder = world.superuser.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM restante.maildrops FOR UPDATE").execute(&mut *holder).await.unwrap();
    assert_eq!(world.expire().await, ExpiryReport { busy: 1, ..ExpiryReport::default() });
    holder.rollback().await.unwrap();
    assert_eq!(world.expire().await.expired, 1);
}

/// Several workers, sessions that expunge the same messages, and deliveries, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_and_sessions_share_a_maildrop() {
    let (world, _) = days_ago(40).await;
    let world = Arc::new(world);
    world.decide("UPDATE restante.tenants SET policy = '{\"expire_days\": 5}' WHERE slug = 'a'").await;
    let targets = [world.account("a", None).await, world.account("a", None).await, world.account("b", None).await];
    let copies = targets.map(|each| [each]);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let sender = world.clone();
        tasks.spawn(async move {
            for _ in 0..20 {
                sender.deliver(b"x", &copies.each_ref().map(|each| ("x@a.test", &each[..]))).await;
            }
            0
        });
        let reader = world.clone();
        tasks.spawn(async move {
            let mut expunged = 0;
            for n in 0..20 {
                let target = targets[n % 2];
                let uids: Vec<i64> = reader.snapshot(target).await.messages().iter().map(|m| m.uid).collect();
                expunged += u64::from(
                    reader.pop3.quit(target.tenant, target.account, &session(), &expunge(&uids)).await.unwrap(),
                );
            }
            expunged
        });
    }
    for _ in 0..3 {
        let world = world.clone();
        tasks.spawn(async move {
            let mut expired = 0;
            for _ in 0..10 {
                expired += world.expire().await.expired;
            }
            expired
        });
    }
    let mut gone = 0;
    while let Some(done) = tasks.join_next().await {
        gone += done.unwrap();
    }
    gone += world.expire().await.expired;
    let gone = i64::try_from(gone).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM restante.expunged").await, gone, "each once");
    assert_eq!(world.count("SELECT sum(expunged) FROM restante.sessions").await, gone);
    for target in &targets[..2] {
        assert_eq!(world.left(*target).await, 0);
    }
    world.check_counters().await;
}
