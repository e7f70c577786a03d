//! The process stops at every fail point in turn. What it leaves behind must be what the invariants say: an accepted message is there
//! once, one that was not answered at most once, every row has its octets, and sweeping brings everything back in order.

use mailstore::{DeliveryVerdict, Selection, Target};

use crate::expunge::session;
use crate::process::{Process, Ran, run_until};
use crate::restore::administrator;
use crate::world::{World, deliver, expunge, is_stored};

/// A world with some of everything: live, expunged, due and dead.
async fn lived_in() -> (World, Target, Target) {
    let world = World::new().await;
    let (alice, carol) = (world.account("a", None).await, world.account("b", None).await);
    let process = Process::start(&world);
    for n in 0..6 {
        let lmtp = process.lmtp.clone();
        let verdicts = process
            .spawn(async move {
                let text = format!("Subject: {n}\r\n\r\nold {n}\r\n");
                deliver(&lmtp, text.as_bytes(), &[("a@a.test", &[alice]), ("c@b.test", &[carol])]).await
            })
            .await
            .unwrap();
        assert!(verdicts.iter().all(is_stored));
    }
    // Expunged and due; then expunged and kept.
    quit(&process, alice, vec![1, 2]).await;
    world.let_retention_pass().await;
    quit(&process, alice, vec![3]).await;
    quit(&process, carol, vec![1]).await;
    world.check_rows().await;
    (world, alice, carol)
}

async fn quit(process: &Process, target: Target, uids: Vec<i64>) {
    let pop3 = process.pop3.clone();
    process
        .spawn(async move { pop3.quit(target.tenant, target.account, &session(), &expunge(&uids)).await.unwrap() })
        .await
        .unwrap();
}

/// What can be under way when the process stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Deliver,
    Quit,
    Restore,
    Sweep,
    Compact,
}

/// Every fail point, with the work that passes it.
const POINTS: &[(&str, Work)] = &[
    ("deliver.before_put", Work::Deliver),
    ("deliver.after_put", Work::Deliver),
    ("deliver.after_commit", Work::Deliver),
    ("quit.before_commit", Work::Quit),
    ("quit.after_commit", Work::Quit),
    ("restore.before_commit", Work::Restore),
    ("restore.after_commit", Work::Restore),
    ("purge.after_batch", Work::Sweep),
    ("orphan.after_list", Work::Sweep),
    ("orphan.after_condemn", Work::Sweep),
    ("reclaim.after_doom", Work::Sweep),
    ("reclaim.after_delete", Work::Sweep),
    ("compact.after_claim", Work::Compact),
    ("compact.before_put", Work::Compact),
    ("compact.after_put", Work::Compact),
    ("compact.after_switch", Work::Compact),
];

#[tokio::test]
async fn a_process_may_stop_between_any_two_steps() {
    for &(point, work) in POINTS {
        let (world, alice, carol) = lived_in().await;
        if work == Work::Sweep {
            leave_an_orphan_and_an_empty_segment(&world, alice).await;
        }
        let before = (world.read_all(alice).await, world.read_all(carol).await);
        let process = Process::start(&world);
        let (lmtp, pop3, admin) = (process.lmtp.clone(), process.pop3.clone(), process.admin.clone());
        let (sweeper, compactor) = (process.sweeper.clone(), process.compactor.clone());
        let (ran, survivor) = run_until(process, (point, 1), async move {
            match work {
                Work::Deliver => {
                    let verdicts =
                        deliver(&lmtp, b"\r\nnew\r\n", &[("a@a.test", &[alice]), ("c@b.test", &[carol])]).await;
                    assert!(verdicts.iter().all(is_stored));
                }
                Work::Quit => {
                    pop3.quit(alice.tenant, alice.account, &session(), &expunge(&[4, 5])).await.unwrap();
                }
                Work::Restore => {
                    let all = Selection::Between { since: chrono::DateTime::UNIX_EPOCH, until: None };
                    admin.restore(carol.tenant, carol.account, &all, &administrator()).await.unwrap();
                }
                Work::Sweep => {
                    sweeper.sweep().await.unwrap();
                    sweeper.sweep().await.unwrap();
                }
                Work::Compact => {
                    compactor.compact(|| true).await.unwrap();
                }
            }
        })
        .await;
        assert!(matches!(ran, Ran::Stopped), "{point}: nobody came by");
        drop(survivor);

        world.check_rows().await;
        let (a, c) = (world.read_all(alice).await, world.read_all(carol).await);
        match work {
            Work::Deliver => {
                // Unanswered: there once or not at all, for each of the two.
                for (now, before) in [(&a, &before.0), (&c, &before.1)] {
                    assert_eq!(now[..before.len()], before[..], "{point}");
                    assert!(now.len() <= before.len() + 1, "{point}");
                    assert!(now[before.len()..].iter().all(|m| m.ends_with(b"new\r\n")), "{point}");
                }
                let committed = point == "deliver.after_commit";
                assert_eq!((a.len() > before.0.len(), c.len() > before.1.len()), (committed, committed), "{point}");
            }
            Work::Quit => {
                let gone = if point == "quit.after_commit" { 2 } else { 0 };
                assert_eq!(a[..], before.0[gone..], "{point}");
                assert_eq!(c, before.1, "{point}");
            }
            Work::Restore => {
                let back = usize::from(point == "restore.after_commit");
                assert_eq!(c[back..], before.1[..], "{point}");
                assert_eq!(a, before.0, "{point}");
            }
            Work::Sweep | Work::Compact => assert_eq!((&a, &c), (&before.0, &before.1), "{point}"),
        }

        // Another process goes on, and brings everything in order with nobody's help.
        let next = Process::start(&world);
        world.settle(&next).await;
        world.check_rows().await;
        world.check_nothing_is_left().await;
        assert_eq!((world.read_all(alice).await, world.read_all(carol).await), (a, c), "{point}");
        let lmtp = next.lmtp.clone();
        let verdicts: Vec<DeliveryVerdict> =
            next.spawn(async move { deliver(&lmtp, b"\r\nlater\r\n", &[("a@a.test", &[alice])]).await }).await.unwrap();
        assert!(verdicts.iter().all(is_stored), "{point}");
    }
}

/// An object without a row, and a segment whose last reference is purged.
async fn leave_an_orphan_and_an_empty_segment(world: &World, to: Target) {
    let process = Process::start(world);
    let lmtp = process.lmtp.clone();
    let (ran, _) = run_until(process, ("deliver.after_put", 1), async move {
        deliver(&lmtp, b"orphan\r\n", &[("a@a.test", &[to])]).await
    })
    .await;
    assert!(matches!(ran, Ran::Stopped));
    let process = Process::start(world);
    let lmtp = process.lmtp.clone();
    process.spawn(async move { deliver(&lmtp, b"alone\r\n", &[("a@a.test", &[to])]).await }).await.unwrap();
    let last = world.snapshot(to).await.messages().last().unwrap().uid;
    quit(&process, to, vec![last]).await;
    world.let_retention_pass().await;
}

#[tokio::test]
async fn a_put_that_arrives_when_everything_is_over_leaves_nothing() {
    let (world, alice, _) = lived_in().await;
    let before = world.read_all(alice).await;
    let process = Process::start(&world);
    let (store, lmtp) = (world.store.clone(), process.lmtp.clone());
    // The PUT is under way when the process stops, and arrives after two graces.
    store.nth(testkit::Operation::Put, 1, testkit::Fault::Hang);
    let calls = store.calls(testkit::Operation::Put);
    let delivering = process.spawn(async move { deliver(&lmtp, b"\r\nlate\r\n", &[("a@a.test", &[alice])]).await });
    while store.calls(testkit::Operation::Put) == calls {
        tokio::task::yield_now().await;
    }
    let next = Process::start(&world);
    world.settle(&next).await;
    world.settle(&next).await;
    store.release();
    // The deliverer is still there, and nothing was condemned, since nothing was seen: it may commit.
    assert!(delivering.await.unwrap().iter().all(is_stored));
    assert_eq!(world.read_all(alice).await.len(), before.len() + 1);
    world.settle(&next).await;
    world.check_rows().await;
    world.check_nothing_is_left().await;
}
