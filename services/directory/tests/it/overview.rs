//! How things stand: what frontends report is counted once for each who sees it, in its hour.

use chrono::TimeDelta;
use directory::{Caller, Error, HealthState, Overview, OverviewBucket, Part, Reach, RefusalReason, Role, Whose};
use mail_types::{Clock as _, SystemClock, Timestamp};
use runtime::database::DbRole;
use uuid::Uuid;

use crate::desk::{Frontend, session};
use crate::support::{World, address, domain, of, platform, slug};

const MINUTE: u64 = 60_000;

/// Logins, failures, deliveries, refused recipients of all buckets.
fn totals(overview: &Overview) -> [u64; 4] {
    let sum = |of: fn(&OverviewBucket) -> u64| overview.series.iter().map(of).sum();
    [sum(|one| one.logins), sum(|one| one.failures), sum(|one| one.deliveries), sum(|one| one.refused)]
}

#[tokio::test]
async fn logins_and_failures_are_counted_for_each_who_sees_them() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.domain(&acme, "other.test").await;
    let alice = world.account("alice@acme.test", Some("correct horse")).await;
    let gus = world.account("gus@globex.test", Some("correct horse")).await;
    let (one, other) = (Frontend::new(&world).await, Frontend::new(&world).await);
    let now = SystemClock.now();
    let ago = |minutes: u64| Timestamp::from_unix_ms(now.unix_ms() - minutes * MINUTE);
    for frontend in [&one, &other] {
        frontend.tally.logged_in("acme.test", now);
        frontend.tally.logged_in("acme.test", ago(61));
        frontend.tally.logged_in("other.test", now);
        frontend.tally.logged_in("globex.test", ago(200));
        frontend.tally.logged_in("nobody.test", now);
        frontend.refuses(Whose::Account(alice.tenant_id, alice.id), RefusalReason::WrongPassword, "192.0.2.1", now);
        frontend.refuses(Whose::Address(address("gus@globex.test")), RefusalReason::SlowedDown, "192.0.2.1", now);
        frontend.refuses(Whose::Address(address("nobody@globex.test")), RefusalReason::SlowedDown, "192.0.2.1", now);
    }
    one.report(vec![session((alice.tenant_id, alice.id), 0), session((gus.tenant_id, gus.id), 0)], vec![]).await;
    other.report(vec![], vec![]).await;
    one.report(vec![], vec![]).await;

    let overview = async |caller: &Caller, tenant: Option<&str>, hours: u32| {
        world.admin.overview(caller, tenant.map(slug).as_ref(), hours).await.unwrap()
    };
    let all = overview(&platform(), None, 24).await;
    assert_eq!((totals(&all), all.sessions), ([8, 4, 0, 0], 2));
    assert_eq!(all.failures, [(RefusalReason::WrongPassword, 2), (RefusalReason::SlowedDown, 2)]);
    let own = overview(&of(acme.id), None, 24).await;
    assert_eq!((totals(&own), own.sessions), ([6, 2, 0, 0], 1));
    assert_eq!(own.failures, [(RefusalReason::WrongPassword, 2)]);
    assert_eq!(totals(&overview(&platform(), Some("acme"), 24).await), totals(&own));
    assert_eq!(totals(&overview(&of(acme.id), Some("acme"), 24).await), totals(&own));
    assert_eq!(totals(&overview(&of(globex.id), None, 24).await), [2, 2, 0, 0]);
    let foreign = world.admin.overview(&of(acme.id), Some(&slug("globex")), 24).await;
    assert!(matches!(foreign, Err(Error::NotFound)));
    // Of two domains a domain-admin has one.
    let mut admin = Caller::new(Reach::Tenant(acme.id), Role::DomainAdmin, "x".to_owned(), None, Uuid::nil());
    admin.domains = Some([domain("other.test")].into());
    let some = overview(&admin, None, 24).await;
    assert_eq!((totals(&some), some.sessions), ([2, 0, 0, 0], 0));

    // The last hours, by the hour and by the minute; what is older is in neither.
    assert_eq!(
        (all.series.len(), all.series.first().unwrap().at),
        (24, all.series.last().unwrap().at - TimeDelta::hours(23))
    );
    assert!(all.series.is_sorted_by(|one, next| one.at < next.at));
    let minutes = overview(&of(acme.id), None, 1).await;
    assert_eq!((minutes.series.len(), totals(&minutes)), (60, [4, 2, 0, 0]), "not what was 61 minutes ago");
    assert_eq!(totals(&overview(&of(acme.id), None, 2).await), [6, 2, 0, 0]);
}

#[tokio::test]
async fn what_could_not_be_reported_is_counted_once_all_the_same() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let frontend = Frontend::new(&world).await;
    frontend.tally.logged_in("acme.test", SystemClock.now());
    let superuser = world.database.superuser().await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER FUNCTION restante.{from}(uuid, jsonb) RENAME TO {to}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&superuser).await.unwrap();
    };
    rename("pop3_report_1", "away").await;
    let failed = frontend.try_report().await;
    assert!(failed.is_err() && !frontend.tally.is_empty());
    rename("away", "pop3_report_1").await;
    frontend.report(vec![], vec![]).await;
    assert!(frontend.tally.is_empty());
    assert_eq!(totals(&world.admin.overview(&of(acme.id), None, 24).await.unwrap()), [1, 0, 0, 0]);
}

#[tokio::test]
async fn the_operator_is_told_how_the_service_is_and_others_whether_it_is() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let health = async |caller: &Caller| {
        let health = world.admin.overview(caller, None, 24).await.unwrap().health;
        health.into_iter().map(|one| (one.part, one.state, one.text)).collect::<Vec<_>>()
    };
    let states = |all: &[(Part, HealthState, String)]| all.iter().map(|one| (one.0, one.1)).collect::<Vec<_>>();
    let none = health(&platform()).await;
    let (down, ok) = (HealthState::Down, HealthState::Ok);
    assert_eq!(states(&none)[1..], [(Part::Frontends, down), (Part::Workers, down), (Part::Queues, ok)]);
    let worker = world.database.pool(DbRole::Worker).await;
    sqlx::query("SELECT restante.frontend_beat_1($1, 'worker', 'w.test')")
        .bind(Uuid::from_u128(7))
        .execute(&worker)
        .await
        .unwrap();
    Frontend::new(&world).await;
    let superuser = world.database.superuser().await;
    sqlx::query(
        "UPDATE restante.frontends SET certificate_expires_at = now() + interval '100 days' WHERE role = 'pop3'",
    )
    .execute(&superuser)
    .await
    .unwrap();
    let well = health(&platform()).await;
    let parts = [Part::Frontends, Part::Workers, Part::Queues, Part::Certificates];
    assert_eq!(states(&well)[1..], parts.map(|part| (part, ok)));
    assert!(
        well.iter().any(|one| one.2 == "1 for POP3") && well.iter().any(|one| one.2.starts_with("Good for 99 days")),
        "{well:?}"
    );
    // A tenant's people are told no figures.
    let theirs = health(&of(acme.id)).await;
    assert_eq!(states(&theirs)[1..], [(Part::Frontends, ok)]);
    assert!(!theirs.iter().any(|one| one.2.bytes().any(|octet| octet.is_ascii_digit())), "{theirs:?}");
    sqlx::query("UPDATE restante.frontends SET beat_at = now() - interval '20 seconds'")
        .execute(&superuser)
        .await
        .unwrap();
    assert_eq!(states(&health(&of(acme.id)).await)[1..], [(Part::Frontends, down)]);

    // What waits for too long.
    for (job, state) in [("now()", ok), ("now() - interval '1 hour'", HealthState::Warn)] {
        let sql =
            format!("INSERT INTO restante.jobs (tenant_id, kind, payload, run_at) VALUES (0, 'x', '{{}}', {job})");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&superuser).await.unwrap();
        assert!(states(&health(&platform()).await).contains(&(Part::Queues, state)), "{job}");
    }
}
