//! The mailstore against a model of it in memory: deliveries, expunges, restores, purges, compaction and sweeps at random, two at a
//! time in two processes, which stop at random steps. After each step the maildrops must be what the model says.
//!
//! `RESTANTE_MODEL_STEPS` and `RESTANTE_MODEL_SEED` choose a longer run, or the same one again.

use std::collections::BTreeMap;

use mail_types::{Random, UniqueId};
use mailstore::{DeliveryVerdict, Selection, Target};
use runtime::fail_point::{Held, hold};
use testkit::SeededRandom;

use crate::expunge::session;
use crate::process::Process;
use crate::restore::administrator;
use crate::world::{World, deliver, expunge};

const ACCOUNTS: usize = 4;

const POINTS: &[&str] = &[
    "deliver.before_put",
    "deliver.after_put",
    "deliver.after_commit",
    "quit.before_commit",
    "quit.after_commit",
    "restore.before_commit",
    "restore.after_commit",
    "purge.after_batch",
    "orphan.after_list",
    "orphan.after_condemn",
    "reclaim.after_doom",
    "reclaim.after_delete",
    "compact.after_claim",
    "compact.before_put",
    "compact.after_put",
    "compact.after_switch",
];

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, n: usize) -> usize {
        let mut octets = [0; 8];
        self.0.fill(&mut octets);
        (u64::from_le_bytes(octets) % n.max(1) as u64) as usize
    }
}

/// A maildrop as it must be: by its order, what is live and what can be restored.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Maildrop {
    live: BTreeMap<i64, (UniqueId, u64)>,
    kept: BTreeMap<i64, (UniqueId, u64)>,
}

/// Something that one process does, on maildrops that nobody else touches meanwhile.
#[derive(Debug, Clone)]
enum Step {
    Deliver { to: Vec<usize>, text: String },
    Expunge { account: usize, uids: Vec<i64> },
    Restore { account: usize },
    Compact,
    Sweep,
}

/// What is known of its outcome.
enum Outcome {
    Delivered(Vec<DeliveryVerdict>),
    Done,
    /// It failed, as it may when another one was in its way.
    Failed(String),
}

struct Run {
    world: World,
    accounts: Vec<Target>,
    model: Vec<Maildrop>,
    dice: Dice,
    serial: u64,
    stops: u64,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let world = World::new().await;
        let mut accounts = Vec::new();
        for n in 0..ACCOUNTS {
            accounts.push(world.account(if n % 2 == 0 { "a" } else { "b" }, None).await);
        }
        let model = vec![Maildrop::default(); ACCOUNTS];
        Self { world, accounts, model, dice: Dice(SeededRandom::new(seed)), serial: 0, stops: 0 }
    }

    /// The next step of a process that may touch these accounts.
    fn step(&mut self, mine: &[usize]) -> Step {
        let account = mine[self.dice.below(mine.len())];
        match self.dice.below(20) {
            0..8 => {
                self.serial += 1;
                let to = if self.dice.below(3) == 0 { mine.to_vec() } else { vec![account] };
                let filling = "0123456789abcdef\r\n".repeat(self.dice.below(400));
                Step::Deliver { to, text: format!("Subject: {}\r\n\r\n{filling}", self.serial) }
            }
            8..12 => {
                let live: Vec<i64> = self.model[account].live.keys().copied().collect();
                let uids = live.into_iter().filter(|_| self.dice.below(3) == 0).collect();
                Step::Expunge { account, uids }
            }
            12..14 => Step::Restore { account },
            14..17 => Step::Compact,
            _ => Step::Sweep,
        }
    }

    fn start(&self, process: &Process, step: Step) -> tokio::task::JoinHandle<Outcome> {
        let targets = self.accounts.clone();
        let (lmtp, pop3, admin) = (process.lmtp.clone(), process.pop3.clone(), process.admin.clone());
        let (sweeper, compactor) = (process.patient_sweeper.clone(), process.compactor.clone());
        let done = |error: Option<mailstore::Error>| match error {
            None => Outcome::Done,
            Some(error) => Outcome::Failed(error.to_string()),
        };
        process.spawn(async move {
            match step {
                Step::Deliver { to, text } => {
                    let to: Vec<[Target; 1]> = to.iter().map(|&at| [targets[at]]).collect();
                    let recipients: Vec<(&str, &[Target])> = to.iter().map(|t| ("x@x.test", t.as_slice())).collect();
                    Outcome::Delivered(deliver(&lmtp, text.as_bytes(), &recipients).await)
                }
                Step::Expunge { account, uids } => {
                    let Target { tenant, account } = targets[account];
                    done(pop3.quit(tenant, account, &session(), &expunge(&uids)).await.err())
                }
                Step::Restore { account } => {
                    let all = Selection::Between { since: chrono::DateTime::UNIX_EPOCH, until: None };
                    let Target { tenant, account } = targets[account];
                    done(admin.restore(tenant, account, &all, &administrator()).await.err())
                }
                Step::Compact => done(compactor.compact(|| true).await.err()),
                Step::Sweep => done(sweeper.sweep().await.err()),
            }
        })
    }

    /// What a maildrop is now.
    async fn seen(&self, account: usize) -> Maildrop {
        let target = self.accounts[account];
        let snapshot = self.world.snapshot(target).await;
        let live = snapshot.messages().iter().map(|m| (m.uid, (m.unique_id(), m.octets.0))).collect();
        let mut kept = BTreeMap::new();
        for message in self.world.expunged(target).await {
            kept.insert(message.message.uid, (message.message.unique_id, message.message.octets.0));
        }
        Maildrop { live, kept }
    }

    /// Takes over what a step did, as far as the model does not know it for sure; everything else must be as it was.
    async fn judge(&mut self, step: &Step, outcome: Option<Outcome>, purging: bool) {
        match (step, outcome) {
            (Step::Deliver { to, .. }, outcome) => {
                let verdicts = match outcome {
                    Some(Outcome::Delivered(verdicts)) => Some(verdicts),
                    _ => None,
                };
                for (n, &account) in to.iter().enumerate() {
                    let mut now = self.seen(account).await;
                    let new: Vec<_> = now
                        .live
                        .iter()
                        .filter(|(uid, _)| !self.model[account].knows(**uid))
                        .map(|(u, m)| (*u, m.clone()))
                        .collect();
                    match verdicts.as_ref().map(|verdicts| &verdicts[n]) {
                        Some(DeliveryVerdict::Stored { unique_ids }) => {
                            assert_eq!(new.len(), 1, "accepted, so there once: {new:?}");
                            assert_eq!(&new[0].1.0, &unique_ids[0]);
                        }
                        // A sweep without any grace may have condemned what was under way.
                        Some(DeliveryVerdict::Unavailable | DeliveryVerdict::Busy) => {
                            assert!(new.is_empty(), "refused, so not there")
                        }
                        Some(other) => panic!("{other:?}"),
                        None => assert!(new.len() <= 1, "unanswered, so there at most once: {new:?}"),
                    }
                    self.model[account].live.extend(new);
                    self.model[account].forget(&mut now, purging);
                    assert_eq!(now, self.model[account], "account {account}");
                }
            }
            (Step::Expunge { account, uids }, outcome) => {
                let mut after = self.model[*account].clone();
                for uid in uids {
                    let message = after.live.remove(uid).unwrap();
                    after.kept.insert(*uid, message);
                }
                self.either(*account, after, outcome, purging).await;
            }
            (Step::Restore { account }, outcome) => {
                let mut after = self.model[*account].clone();
                if purging {
                    // What a sweep purged first cannot come back.
                    let now = self.seen(*account).await;
                    after.kept.retain(|uid, _| now.live.contains_key(uid) || now.kept.contains_key(uid));
                }
                after.live.append(&mut after.kept);
                self.either(*account, after, outcome, purging).await;
            }
            // A sweep without any grace may have condemned what was under way; nothing has moved then.
            (Step::Compact, Some(Outcome::Failed(error))) if error.ends_with("was condemned") => {}
            (Step::Compact | Step::Sweep, Some(Outcome::Failed(error))) => panic!("{step:?}: {error}"),
            (Step::Compact | Step::Sweep, _) => {}
        }
    }

    /// The maildrop is what it was or what it was to become; the latter if that was said.
    async fn either(&mut self, account: usize, after: Maildrop, outcome: Option<Outcome>, purging: bool) {
        let mut now = self.seen(account).await;
        let before = self.model[account].clone();
        match outcome {
            Some(Outcome::Done) => self.model[account] = after,
            Some(Outcome::Failed(error)) => panic!("{error}"),
            _ if now.live.keys().eq(after.live.keys()) => self.model[account] = after,
            _ => self.model[account] = before,
        }
        self.model[account].forget(&mut now, purging);
        assert_eq!(now, self.model[account], "account {account}");
    }

    async fn check_everything(&mut self, purging: bool) {
        for account in 0..ACCOUNTS {
            let mut now = self.seen(account).await;
            self.model[account].forget(&mut now, purging);
            assert_eq!(now, self.model[account], "account {account}");
            // Every octet, with its checksums.
            self.world.read_all(self.accounts[account]).await;
        }
        self.world.check_rows().await;
    }
}

impl Maildrop {
    fn knows(&self, uid: i64) -> bool {
        self.live.contains_key(&uid) || self.kept.contains_key(&uid)
    }

    /// While retention is over a sweep may have purged what is kept, any of it.
    fn forget(&mut self, now: &mut Self, purging: bool) {
        if purging {
            self.kept.retain(|uid, _| now.kept.contains_key(uid));
        }
    }
}

#[tokio::test]
async fn random_steps_of_two_processes_that_stop_anywhere_agree_with_a_model() {
    let set = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let (steps, seed) = (set("RESTANTE_MODEL_STEPS", 300), set("RESTANTE_MODEL_SEED", 1));
    let mut run = Run::new(seed).await;
    let mut processes = vec![Process::start(&run.world), Process::start(&run.world)];
    let mut done = 0;
    while done < steps {
        // Now and then all retention is over, and what is expunged may go.
        let purging = run.dice.below(10) == 0;
        if purging {
            run.world.let_retention_pass().await;
        }
        // Two at the same time, each with maildrops of its own; compaction and sweeps go over all of them.
        let chosen = [run.step(&[0, 1]), run.step(&[2, 3])];
        done += 2;
        let mut stop: Option<Held> = None;
        if run.dice.below(3) == 0 {
            stop = Some(hold(POINTS[run.dice.below(POINTS.len())], 1 + run.dice.below(2) as u64));
        }
        let mut under_way: Vec<_> =
            chosen.iter().zip(&processes).map(|(step, process)| Some(run.start(process, step.clone()))).collect();
        let mut outcomes: Vec<Option<Outcome>> = vec![None, None];
        let stopped = {
            let all = async {
                for (work, outcome) in under_way.iter_mut().zip(&mut outcomes) {
                    *outcome = Some(work.take().unwrap().await.unwrap());
                }
            };
            match &mut stop {
                None => {
                    all.await;
                    false
                }
                Some(held) => tokio::select! {
                    () = all => false,
                    () = held.reached() => true,
                },
            }
        };
        drop(stop);
        if stopped {
            // Both machines lose their power: nobody hears of what came after the last answer.
            run.stops += 1;
            for process in processes.drain(..) {
                process.stop();
            }
            run.world.quiet().await;
            processes = vec![Process::start(&run.world), Process::start(&run.world)];
        }
        for (step, outcome) in chosen.iter().zip(outcomes) {
            run.judge(step, outcome, purging).await;
        }
        if purging {
            // What is still due goes now, so that the model knows what is kept.
            run.world.settle(&processes[0]).await;
            for account in 0..ACCOUNTS {
                let now = run.seen(account).await;
                run.model[account].kept.retain(|uid, _| now.kept.contains_key(uid));
            }
        }
        if done % 50 == 0 {
            run.check_everything(false).await;
        }
    }
    run.world.settle(&processes[0]).await;
    run.check_everything(true).await;
    run.world.check_nothing_is_left().await;
    assert!(run.stops > steps / 200, "it stopped {} times only", run.stops);
    println!("model: {done} steps, {} stops, seed {seed}", run.stops);
}
