//! The order of delivery, expunge, restore, purge, reclaim, orphan sweep and compaction, on a small model of catalog and store: every
//! interleaving of their steps is tried, with processes that stop anywhere and requests that arrive as late as they like. What must
//! hold in every state is what ARCHITECTURE.md calls invariants 1 and 3: a row has its octets, a message that was answered with 250
//! has a row until its owner let it be purged, and nobody has it twice.
//!
//! The model says nothing of the code; `crash.rs` does. It says that the order which the code is written to is the right one, and that
//! each of its guards is needed: without any of them the search finds a way to lose mail.

#![expect(clippy::indexing_slicing, reason = "places in the model are constants")]

use std::collections::{HashSet, VecDeque};

/// The guards. With all of them nothing is lost.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// A commit fails where its segment's row is not live.
    commit_needs_live: bool,
    /// A commit fails where its segment's name is old: younger than what any sweep looks at.
    commit_needs_young: bool,
    /// An orphan is condemned in the catalog, and only a grace later deleted.
    orphans_are_condemned: bool,
    /// Compaction moves only rows that still are where it read them.
    switch_checks_place: bool,
    /// Compaction switches when its new segment is durable.
    put_before_switch: bool,
    /// The answer comes after the commit.
    commit_before_answer: bool,
    /// An empty segment waits for the grace before it is doomed.
    empty_waits: bool,
}

const RIGHT: Rules = Rules {
    commit_needs_live: true,
    commit_needs_young: true,
    orphans_are_condemned: true,
    switch_checks_place: true,
    put_before_switch: true,
    commit_before_answer: true,
    empty_waits: true,
};

/// Two segments: what is delivered, and what compaction moves it to.
const DELIVERED: usize = 0;
const COMPACTED: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Row {
    None,
    Live,
    Empty,
    Condemned,
    Deleting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Segment {
    row: Row,
    /// Graces since the row's state changed, 2 at most.
    since: u8,
    object: bool,
    /// Graces since the name's time, 2 at most.
    age: u8,
    /// PUTs that were sent and have not arrived.
    late_puts: u8,
}

/// Where the one message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Message {
    Nowhere,
    Live(usize),
    Expunged(usize),
    Purged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Delivery {
    Idle,
    /// The PUT is sent.
    Putting,
    /// The PUT is answered; the commit is sent and may arrive whenever it likes, or never.
    Committing,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Compactor {
    Idle,
    /// Has read the row and the object, and sent the new segment.
    Putting,
    /// The switch is sent.
    Switching,
    Ended,
}

/// A worker in the middle of something that is not one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Worker {
    Idle,
    /// Has listed an object that looks like an orphan.
    Listed(usize),
    /// Is about to delete an object.
    Deleting(usize),
}

/// A session: which place its snapshot says, and how many graces have passed since. It ends before one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Session {
    None,
    Holds(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    segments: [Segment; 2],
    message: Message,
    delivery: Delivery,
    answered: bool,
    purged: bool,
    compactor: Compactor,
    workers: [Worker; 2],
    session: Session,
    /// Expunges and restores left, so that the search ends.
    changes: u8,
    /// Whether the database's clock may still jump back.
    jump: bool,
}

/// Takes a step that may come next: its name, and what it changes.
type Steps<'s> = dyn FnMut(&'static str, &dyn Fn(&mut State)) + 's;

impl State {
    const fn first() -> Self {
        let nothing = Segment { row: Row::None, since: 0, object: false, age: 0, late_puts: 0 };
        Self {
            segments: [nothing; 2],
            message: Message::Nowhere,
            delivery: Delivery::Idle,
            answered: false,
            purged: false,
            compactor: Compactor::Idle,
            workers: [Worker::Idle; 2],
            session: Session::None,
            changes: 2,
            jump: true,
        }
    }

    fn refs(&self, segment: usize) -> bool {
        matches!(self.message, Message::Live(at) | Message::Expunged(at) if at == segment)
    }

    /// What does not hold, if anything.
    fn wrong(&self) -> Option<&'static str> {
        if let Message::Live(at) | Message::Expunged(at) = self.message {
            let segment = &self.segments[at];
            if !segment.object {
                return Some("a row without octets");
            }
            if !matches!(segment.row, Row::Live) {
                return Some("a row whose segment is not live");
            }
        }
        if self.answered && self.message == Message::Nowhere && self.delivery == Delivery::Ended {
            return Some("a message that was accepted is lost");
        }
        if self.purged && self.message != Message::Purged {
            return Some("a message that was purged is back");
        }
        match self.session {
            Session::Holds(at) if !self.segments[at].object && self.message != Message::Purged => {
                Some("a session cannot read what its snapshot shows")
            }
            _ => None,
        }
    }

    /// Every state that may come next.
    fn next(self, rules: Rules) -> Vec<(&'static str, Self)> {
        let mut next = Vec::new();
        let mut may = |step: &'static str, change: &dyn Fn(&mut State)| {
            let mut state = self;
            change(&mut state);
            if state != self {
                next.push((step, state));
            }
        };
        self.deliver(rules, &mut may);
        self.change(&mut may);
        self.compact(rules, &mut may);
        for worker in 0..2 {
            self.work(rules, worker, &mut may);
        }
        for at in [DELIVERED, COMPACTED] {
            if self.segments[at].late_puts > 0 {
                may("a late PUT arrives", &|s| {
                    s.segments[at].late_puts -= 1;
                    s.segments[at].object = true;
                });
            }
        }
        may("a grace passes; sessions end before that", &|s| {
            s.session = Session::None;
            for segment in &mut s.segments {
                segment.since = (segment.since + 1).min(2);
                segment.age = (segment.age + 1).min(2);
            }
        });
        if self.jump {
            may("the database's clock jumps back by less than a grace", &|s| {
                s.jump = false;
                for segment in &mut s.segments {
                    segment.since = segment.since.saturating_sub(1);
                    segment.age = segment.age.saturating_sub(1);
                }
            });
        }
        next
    }

    /// Whether a commit that names the segment is refused.
    fn refuses(&self, rules: Rules, at: usize) -> bool {
        let segment = &self.segments[at];
        (rules.commit_needs_live && !matches!(segment.row, Row::None | Row::Live))
            || (rules.commit_needs_young && segment.age > 0)
    }

    fn deliver(&self, rules: Rules, may: &mut Steps<'_>) {
        match self.delivery {
            Delivery::Idle => {
                may("a PUT is sent", &|s| {
                    s.delivery = Delivery::Putting;
                    s.segments[DELIVERED].age = 0;
                });
            }
            Delivery::Putting => {
                may("the PUT is answered", &|s| {
                    s.segments[DELIVERED].object = true;
                    s.delivery = Delivery::Committing;
                    s.answered |= !rules.commit_before_answer;
                });
                may("the PUT is repeated, and its first try arrives whenever it likes", &|s| {
                    s.segments[DELIVERED].object = true;
                    s.segments[DELIVERED].late_puts = 1;
                    s.delivery = Delivery::Committing;
                    s.answered |= !rules.commit_before_answer;
                });
                may("the deliverer gives up, the PUT arrives whenever it likes", &|s| {
                    s.segments[DELIVERED].late_puts = 1;
                    s.delivery = Delivery::Ended;
                });
            }
            Delivery::Committing => {
                may("the commit arrives", &|s| {
                    s.delivery = Delivery::Ended;
                    if s.refuses(rules, DELIVERED) {
                        return;
                    }
                    s.segments[DELIVERED].row = Row::Live;
                    s.segments[DELIVERED].since = 0;
                    s.message = Message::Live(DELIVERED);
                    s.answered = true;
                });
                may("the commit never arrives", &|s| s.delivery = Delivery::Ended);
            }
            Delivery::Ended => {}
        }
    }

    /// What owners do, and purge.
    fn change(&self, may: &mut Steps<'_>) {
        match self.message {
            Message::Live(at) => {
                if self.changes > 0 {
                    may("QUIT expunges", &|s| {
                        s.message = Message::Expunged(at);
                        s.changes -= 1;
                    });
                }
                may("a session takes its snapshot", &|s| s.session = Session::Holds(at));
            }
            Message::Expunged(at) => {
                if self.changes > 0 {
                    may("an administrator restores", &|s| {
                        s.message = Message::Live(at);
                        s.changes -= 1;
                    });
                }
                may("purge, with the segment's refs in the same transaction", &|s| {
                    s.message = Message::Purged;
                    s.purged = true;
                    s.empty(at);
                });
            }
            Message::Nowhere | Message::Purged => {}
        }
    }

    fn empty(&mut self, at: usize) {
        if self.segments[at].row == Row::Live {
            self.segments[at].row = Row::Empty;
            self.segments[at].since = 0;
        }
    }

    fn compact(&self, rules: Rules, may: &mut Steps<'_>) {
        match self.compactor {
            Compactor::Idle => {
                if self.message == Message::Live(DELIVERED) && self.segments[DELIVERED].object {
                    may("compaction reads the frame and sends a new segment", &|s| {
                        s.compactor = Compactor::Putting;
                        s.segments[COMPACTED].age = 0;
                    });
                }
            }
            Compactor::Putting => {
                may("the new segment is durable", &|s| {
                    s.segments[COMPACTED].object = true;
                    s.compactor = Compactor::Switching;
                });
                may("compaction stops, its PUT arrives whenever it likes", &|s| {
                    s.segments[COMPACTED].late_puts = 1;
                    s.compactor = Compactor::Ended;
                });
                if !rules.put_before_switch {
                    may("the switch is sent before the PUT is answered", &|s| {
                        s.segments[COMPACTED].late_puts = 1;
                        s.compactor = Compactor::Switching;
                    });
                }
            }
            Compactor::Switching => {
                may("compaction stops", &|s| s.compactor = Compactor::Ended);
                may("the switch arrives", &|s| {
                    s.compactor = Compactor::Ended;
                    let stays = s.message == Message::Live(DELIVERED);
                    if s.refuses(rules, COMPACTED) || (rules.switch_checks_place && !stays) {
                        return;
                    }
                    s.segments[COMPACTED].row = Row::Live;
                    s.segments[COMPACTED].since = 0;
                    s.message = Message::Live(COMPACTED);
                    s.empty(DELIVERED);
                });
            }
            Compactor::Ended => {}
        }
    }

    fn work(&self, rules: Rules, worker: usize, may: &mut Steps<'_>) {
        match self.workers[worker] {
            Worker::Idle => {
                for at in [DELIVERED, COMPACTED] {
                    let segment = self.segments[at];
                    if segment.object && segment.age > 0 {
                        may("a worker lists an old object", &|s| s.workers[worker] = Worker::Listed(at));
                    }
                    if segment.row == Row::Live && !self.refs(at) && segment.since > 0 {
                        may("an old segment without refs becomes empty", &|s| s.empty(at));
                    }
                    let waited = segment.since > 0 || (segment.row == Row::Empty && !rules.empty_waits);
                    let doomed =
                        segment.row == Row::Deleting || (matches!(segment.row, Row::Empty | Row::Condemned) && waited);
                    if doomed && !self.refs(at) {
                        may("a segment is doomed", &|s| {
                            s.segments[at].row = Row::Deleting;
                            s.workers[worker] = Worker::Deleting(at);
                        });
                    }
                }
            }
            Worker::Listed(at) => {
                may("a worker stops", &|s| s.workers[worker] = Worker::Idle);
                may("an object without a row is condemned", &|s| {
                    s.workers[worker] = Worker::Idle;
                    if s.segments[at].row == Row::None {
                        if rules.orphans_are_condemned {
                            s.segments[at].row = Row::Condemned;
                            s.segments[at].since = 0;
                        } else {
                            s.segments[at].object = false;
                        }
                    }
                });
            }
            Worker::Deleting(at) => {
                may("a worker stops", &|s| s.workers[worker] = Worker::Idle);
                may("the object is deleted, and then its row", &|s| {
                    s.workers[worker] = Worker::Idle;
                    s.segments[at].object = false;
                    if s.segments[at].row == Row::Deleting {
                        s.segments[at].row = Row::None;
                    }
                });
                may("the object is deleted, and the worker stops", &|s| {
                    s.workers[worker] = Worker::Idle;
                    s.segments[at].object = false;
                });
            }
        }
    }
}

/// Tries everything. The first state in which something does not hold, with the steps that lead there.
fn search(rules: Rules) -> Result<usize, (&'static str, Vec<&'static str>)> {
    let mut seen = HashSet::from([State::first()]);
    // The way to each state is kept as (parent, step), so that a finding can be told.
    let mut states = vec![(State::first(), 0, "")];
    let mut queue = VecDeque::from([0]);
    while let Some(at) = queue.pop_front() {
        for (step, state) in states[at].0.next(rules) {
            if !seen.insert(state) {
                continue;
            }
            states.push((state, at, step));
            if let Some(wrong) = state.wrong() {
                let mut way = Vec::new();
                let mut here = states.len() - 1;
                while here != 0 {
                    way.push(states[here].2);
                    here = states[here].1;
                }
                way.reverse();
                return Err((wrong, way));
            }
            queue.push_back(states.len() - 1);
        }
    }
    Ok(seen.len())
}

#[test]
fn no_order_of_steps_loses_a_message() {
    match search(RIGHT) {
        Ok(states) => assert!(states > 1_000, "the whole of it: {states} states"),
        Err((wrong, way)) => panic!("{wrong}:\n  {}", way.join("\n  ")),
    }
}

#[test]
fn every_guard_is_needed() {
    let without = [
        // A commit that comes late meets two guards. The young name is enough while clocks are right within a grace; the row is the
        // second line, and without both a commit a day late is enough.
        (
            "commit_needs_live, commit_needs_young",
            Rules { commit_needs_live: false, commit_needs_young: false, ..RIGHT },
        ),
        ("commit_needs_young", Rules { commit_needs_young: false, ..RIGHT }),
        ("orphans_are_condemned", Rules { orphans_are_condemned: false, ..RIGHT }),
        ("switch_checks_place", Rules { switch_checks_place: false, ..RIGHT }),
        ("put_before_switch", Rules { put_before_switch: false, ..RIGHT }),
        ("commit_before_answer", Rules { commit_before_answer: false, ..RIGHT }),
        ("empty_waits", Rules { empty_waits: false, ..RIGHT }),
    ];
    for (guard, rules) in without {
        assert!(search(rules).is_err(), "nothing is lost without {guard}: the model does not see what it is for");
    }
}
