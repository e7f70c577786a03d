use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mail_types::{Clock as _, CredentialId, SessionUuid, SystemClock, SystemRandom};
use mailstore::{SessionNotes, SessionOutcome, SessionRecord, SweepSettings};
use testkit::{Fault, Operation};

use crate::world::{World, deliver, expunge, impatient, is_stored};

/// Deliveries, expunges, purges and failures at once, on few maildrops: the counters must equal a recount, whoever won.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_are_exact_after_a_storm() {
    let world = Arc::new(World::with(impatient(), Arc::new(SystemClock)).await);
    // What tenant a expunges is due for purging at once.
    sqlx::query("UPDATE restante.tenants SET policy = '{\"retention_days\": -10}' WHERE slug = 'a'")
        .execute(&world.superuser)
        .await
        .unwrap();
    let mut targets = Vec::new();
    for n in 0..6 {
        targets.push(world.account(if n % 2 == 0 { "a" } else { "b" }, (n == 5).then_some(20_000)).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    let sending = Arc::new(AtomicUsize::new(12));
    for sender in 0..12_usize {
        let (world, targets, sending) = (world.clone(), targets.clone(), sending.clone());
        tasks.spawn(async move {
            let mut stored = 0;
            for n in 0..25_usize {
                let (one, two, three) = (targets[(sender + n) % 6], targets[(sender * n) % 6], targets[n % 6]);
                if n % 9 == 0 {
                    world.store.nth(Operation::Put, 1, if sender % 2 == 0 { Fault::Fail } else { Fault::LoseAnswer });
                }
                let text = format!("Subject: {sender} {n}\r\n\r\n{}", "x".repeat(n * 40));
                let mut recipients = vec![("one@a.test", vec![one])];
                if two.account != three.account {
                    recipients.push(("several@a.test", vec![two, three]));
                }
                let recipients: Vec<_> =
                    recipients.iter().map(|(given, targets)| (*given, targets.as_slice())).collect();
                stored +=
                    deliver(&world.lmtp, text.as_bytes(), &recipients).await.iter().filter(|v| is_stored(v)).count();
            }
            sending.fetch_sub(1, Ordering::SeqCst);
            stored
        });
    }
    for reader in 0..4_usize {
        let (world, targets, sending) = (world.clone(), targets.clone(), sending.clone());
        tasks.spawn(async move {
            let mut n = 0;
            // As long as anything comes, and once more.
            let mut last = false;
            while !last {
                last = sending.load(Ordering::SeqCst) == 0;
                n += 1;
                let target = targets[(reader + n) % 6];
                let snapshot = world.snapshot(target).await;
                let uids: Vec<i64> = snapshot.messages().iter().filter(|m| m.uid % 3 != 0).map(|m| m.uid).collect();
                let record = SessionRecord {
                    session: SessionUuid::new(&SystemRandom),
                    credential: CredentialId(1),
                    started: SystemClock.now(),
                    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    mechanism: 1,
                    tls: 0,
                    outcome: SessionOutcome::Quit,
                    fetched: 0,
                    fetched_octets: 0,
                    notes: SessionNotes::default(),
                };
                world.pop3.quit(target.tenant, target.account, &record, &expunge(&uids)).await.unwrap();
            }
            0
        });
    }
    for _ in 0..2 {
        let world = world.clone();
        tasks.spawn(async move {
            let settings = SweepSettings {
                grace_seconds: 3_600,
                orphan_age_seconds: 3_600,
                unreferenced_seconds: 3_600,
                batch: 7,
                partitions_ahead_days: 9,
                ..SweepSettings::DEFAULT
            };
            let sweeper = world.sweeper(settings).await;
            for _ in 0..10 {
                sweeper.sweep().await.unwrap();
            }
            0
        });
    }
    let mut stored = 0;
    while let Some(done) = tasks.join_next().await {
        stored += done.unwrap();
    }
    assert!(stored > 200, "{stored} recipients got their message");
    world.check_counters().await;
    assert!(world.count("SELECT count(*) FROM restante.expunged").await > 0, "tenant b keeps what it expunged");
    for target in targets {
        world.read_all(target).await;
    }
}
