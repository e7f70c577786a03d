//! Which deliveries go up together, and when: groups of what queued, some PUTs at the same time where one is slow, large messages
//! apart, the tenants in turn.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mail_types::TenantId;
use prometheus::{
    Histogram, IntCounter, IntGaugeVec, register_histogram, register_int_counter, register_int_gauge_vec,
};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::elsewhere::Elsewhere;
use super::queue::{Fair, Pace};
use super::{Engine, Queued};

#[expect(clippy::expect_used, reason = "names are constants")]
static GROUP: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "restante_delivery_group_messages",
        "Messages that one segment took",
        vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
    )
    .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static OVERTAKEN: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("restante_delivery_slow_puts_total", "PUTs that were slow, so that the next one did not wait")
        .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static WAITING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("restante_delivery_messages", "Messages on their way to the store, by stage", &["stage"])
        .expect("a well-formed metric")
});

/// What goes up by itself and what goes up in groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Groups,
    Large,
}

/// A PUT under way.
#[derive(Debug, Clone, Copy)]
struct Put {
    lane: Lane,
    since: Instant,
}

/// Runs until nobody can deliver any more, and everything that was queued has been answered.
pub(super) async fn run(engine: Arc<Engine>, mut arriving: mpsc::Receiver<Queued>, elsewhere: Arc<Elsewhere>) {
    let mut pipeline = Pipeline::new(engine, elsewhere.clone());
    let mut open = true;
    while open || !pipeline.is_idle() {
        while let Ok(queued) = arriving.try_recv() {
            pipeline.queue(queued);
        }
        pipeline.start();
        let wake = pipeline.may_go_at();
        tokio::select! {
            queued = arriving.recv(), if open => match queued {
                Some(queued) => pipeline.queue(queued),
                None => open = false,
            },
            () = pipeline.ended(), if !pipeline.puts.is_empty() => {}
            () = elsewhere.fewer.notified() => {}
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

struct Pipeline {
    engine: Arc<Engine>,
    small: Fair<Queued>,
    large: Fair<Queued>,
    /// How long each took, where it succeeded.
    puts: JoinSet<Option<Duration>>,
    under_way: HashMap<Id, Put>,
    pace: Pace,
    elsewhere: Arc<Elsewhere>,
    /// When the last group's PUT ended.
    last_ended: Option<Instant>,
}

impl Pipeline {
    fn new(engine: Arc<Engine>, elsewhere: Arc<Elsewhere>) -> Self {
        let pace = Pace::new(Duration::from_millis(engine.settings.slow_put_ms));
        Self {
            engine,
            small: Fair::default(),
            large: Fair::default(),
            puts: JoinSet::new(),
            under_way: HashMap::new(),
            pace,
            elsewhere,
            last_ended: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.small.is_empty() && self.large.is_empty() && self.puts.is_empty()
    }

    fn queue(&mut self, queued: Queued) {
        let tenant = queued.prepared.tenant().unwrap_or(TenantId(0));
        if queued.prepared.octets > self.engine.settings.large_octets {
            self.large.push(tenant, queued);
        } else {
            self.small.push(tenant, queued);
        }
    }

    /// Starts every PUT that may start.
    fn start(&mut self) {
        let now = Instant::now();
        while !self.small.is_empty() && self.may_go_at().is_none_or(|at| at <= now) && self.has_room(Lane::Groups) {
            if self.in_lane(Lane::Groups).next().is_some() {
                OVERTAKEN.inc();
            }
            let group = self.next_group();
            GROUP.observe(group.len() as f64);
            self.put(Lane::Groups, group);
        }
        while self.has_room(Lane::Large)
            && let Some(queued) = self.large.pop()
        {
            GROUP.observe(1.0);
            self.put(Lane::Large, vec![queued]);
        }
        for (stage, messages) in [("queued", self.small.len()), ("queued_large", self.large.len())] {
            WAITING.with_label_values(&[stage]).set(i64::try_from(messages).unwrap_or(i64::MAX));
        }
    }

    /// When a group that waits may go up. Beside others under way: as soon as all of those are slow. When none is: at once, unless
    /// more messages than wait are about to join it or to make room for their senders' next ones; and those it does not await longer
    /// than a slow PUT. `None`: at once, or not by the time alone.
    fn may_go_at(&self) -> Option<Instant> {
        if self.small.is_empty() || !self.has_room(Lane::Groups) {
            return None;
        }
        let since = match self.in_lane(Lane::Groups).map(|put| put.since).max() {
            Some(since) => since,
            None if self.small.len() >= self.elsewhere.messages() => return None,
            None => self.last_ended?,
        };
        Some(since + self.pace.slow_after())
    }

    fn has_room(&self, lane: Lane) -> bool {
        let most = match lane {
            Lane::Groups => self.engine.settings.puts_in_flight,
            Lane::Large => self.engine.settings.large_in_flight,
        };
        self.in_lane(lane).count() < most.max(1)
    }

    fn in_lane(&self, lane: Lane) -> impl Iterator<Item = &Put> {
        self.under_way.values().filter(move |put| put.lane == lane)
    }

    /// What queued, the tenants in turn, up to a segment's size.
    fn next_group(&mut self) -> Vec<Queued> {
        let settings = &self.engine.settings;
        let (mut octets, mut copies) = (0, 0);
        let mut group = Vec::new();
        while octets < settings.segment_octets
            && copies < settings.segment_copies
            && let Some(queued) = self.small.pop()
        {
            octets += queued.prepared.octets;
            copies += queued.prepared.copies();
            group.push(queued);
        }
        group
    }

    fn put(&mut self, lane: Lane, group: Vec<Queued>) {
        let (engine, elsewhere) = (self.engine.clone(), self.elsewhere.clone());
        let (messages, since) = (group.len(), Instant::now());
        let task = self.puts.spawn(async move {
            let placed = engine.write(group).await?;
            let took = since.elapsed();
            // A maildrop that is busy holds up nobody else.
            let stay = elsewhere.stay(messages);
            tokio::spawn(async move { engine.commit(placed, stay).await });
            Some(took)
        });
        self.under_way.insert(task.id(), Put { lane, since });
    }

    /// Waits for the end of a PUT.
    async fn ended(&mut self) {
        let (id, took) = match self.puts.join_next_with_id().await {
            Some(Ok((id, took))) => (id, took),
            // Whoever waited for it sees the answer's channel dropped.
            Some(Err(error)) => {
                tracing::error!(%error, "a PUT ended by a fault in this program");
                (error.id(), None)
            }
            None => return,
        };
        let put = self.under_way.remove(&id);
        // Large ones have a pace of their own.
        if let Some(Put { lane: Lane::Groups, .. }) = put {
            self.last_ended = Some(Instant::now());
            took.into_iter().for_each(|took| self.pace.note(took));
        }
    }
}
