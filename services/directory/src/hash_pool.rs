//! Where password hashes are computed: on threads of their own, a bounded number at a time, and fairly. Whoever floods a
//! frontend with logins waits behind their own: the clients of each network, at each tenant, queue in a lane of their own, and
//! the lanes take turns. When the queue is full, the last of the longest lane goes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail_types::{Clock, TenantId};
use prometheus::{
    Histogram, IntCounterVec, IntGauge, histogram_opts, register_histogram, register_int_counter_vec,
    register_int_gauge,
};
use tokio::sync::oneshot;

use crate::network::Network;
use crate::{Error, Result};

/// From a cheap hash to one that nobody should wait for.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static HASHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Turns at password hashes: computed, nothing to compute, refused because the queue was full, given up after too long a wait.";
    register_int_counter_vec!("restante_password_hashes_total", help, &["outcome"]).expect("a new metric")
});

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static QUEUE: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("restante_password_hash_queue", "Password hashes that wait for their turn.")
        .expect("a new metric")
});

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static WAIT: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "How long a password hash waited for its turn.";
    register_histogram!(histogram_opts!("restante_password_hash_wait_seconds", help, SECONDS.to_vec()))
        .expect("a new metric")
});

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static RUN: LazyLock<Histogram> = LazyLock::new(|| {
    let help = "How long a password hash took to compute.";
    register_histogram!(histogram_opts!("restante_password_hash_seconds", help, SECONDS.to_vec()))
        .expect("a new metric")
});

/// Who waits together.
pub(crate) type Lane = (Network, Option<TenantId>);

/// The bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Hashes computed at once.
    pub(crate) parallel: usize,
    /// Those that wait.
    pub(crate) queue: usize,
}

/// The pool. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct HashPool {
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    lanes: HashMap<Lane, VecDeque<Waiter>>,
    /// The lanes that have somebody, in the order of their turns.
    turns: VecDeque<Lane>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    called: oneshot::Sender<()>,
}

/// A place among those that run, given back when dropped.
#[derive(Debug)]
struct Permit(HashPool);

/// A place in the queue, left when dropped.
struct Ticket {
    pool: HashPool,
    lane: Lane,
    number: u64,
    called: oneshot::Receiver<()>,
}

impl HashPool {
    pub(crate) fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        let bounds = Bounds { parallel: bounds.parallel.max(1), queue: bounds.queue.max(1) };
        Self { bounds, clock, state: Arc::default() }
    }

    /// Runs work on a thread of its own, when its lane's turn comes within `patience`.
    ///
    /// # Errors
    /// [`Error::Busy`] when the queue is full or the turn did not come; and what the work answers.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        patience: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit_within(lane, patience).await?;
        HASHES.with_label_values(&["computed"]).inc();
        let clock = Arc::clone(&self.clock);
        // The permit goes with the work: a caller that gives up does not free its place while the hash is still computed.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let started = clock.monotonic();
            let result = work();
            RUN.observe(clock.since(started).as_secs_f64());
            result
        });
        done.await.map_err(|_| Error::Internal("the hashing thread failed"))?
    }

    /// Waits for a turn and does nothing with it: so that who has nothing to be hashed is told to come again as others are.
    ///
    /// # Errors
    /// [`Error::Busy`], as [`HashPool::run`].
    pub(crate) async fn pass(&self, lane: Lane, patience: Duration) -> Result<()> {
        drop(self.permit_within(lane, patience).await?);
        HASHES.with_label_values(&["nothing"]).inc();
        Ok(())
    }

    async fn permit_within(&self, lane: Lane, patience: Duration) -> Result<Permit> {
        let asked = self.clock.monotonic();
        let outcome = match tokio::time::timeout(patience, self.permit(lane)).await {
            Ok(Some(permit)) => {
                WAIT.observe(self.clock.since(asked).as_secs_f64());
                return Ok(permit);
            }
            Ok(None) => "refused",
            Err(_) => "gave_up",
        };
        HASHES.with_label_values(&[outcome]).inc();
        Err(Error::Busy)
    }

    /// Nothing: there is no room in the queue.
    async fn permit(&self, lane: Lane) -> Option<Permit> {
        let mut ticket = {
            let mut state = self.state();
            if state.running < self.bounds.parallel {
                state.running += 1;
                return Some(Permit(self.clone()));
            }
            if state.waiting >= self.bounds.queue && !state.make_room(lane) {
                return None;
            }
            let (call, called) = oneshot::channel();
            Ticket { number: state.enqueue(lane, call), pool: self.clone(), lane, called }
        };
        (&mut ticket.called).await.ok().map(|()| Permit(self.clone()))
    }

    /// Gives a place back, and on to whose turn it is.
    fn release(&self) {
        let mut state = self.state();
        state.running -= 1;
        while let Some(waiter) = state.next() {
            if waiter.called.send(()).is_ok() {
                state.running += 1;
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enqueue(&mut self, lane: Lane, called: oneshot::Sender<()>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let waiters = self.lanes.entry(lane).or_default();
        if waiters.is_empty() {
            self.turns.push_back(lane);
        }
        waiters.push_back(Waiter { ticket, called });
        self.waiting += 1;
        QUEUE.inc();
        ticket
    }

    /// Sends the last of the longest lane away, unless that is the newcomer's own.
    fn make_room(&mut self, newcomer: Lane) -> bool {
        let own = self.lanes.get(&newcomer).map_or(0, VecDeque::len);
        let longest = self.lanes.iter().max_by_key(|(_, waiters)| waiters.len());
        let Some(lane) = longest.filter(|(_, waiters)| waiters.len() > own + 1).map(|(lane, _)| *lane) else {
            return false;
        };
        let last = self.lanes.get(&lane).and_then(VecDeque::back).map(|waiter| waiter.ticket);
        last.is_some_and(|ticket| self.leave(lane, ticket))
    }

    /// The one whose turn it is; its lane goes to the end of the line.
    fn next(&mut self) -> Option<Waiter> {
        let lane = self.turns.pop_front()?;
        let waiters = self.lanes.get_mut(&lane)?;
        let waiter = waiters.pop_front();
        if waiters.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        if waiter.is_some() {
            self.waiting -= 1;
            QUEUE.dec();
        }
        waiter
    }

    /// Takes a waiter out of its lane, if it is still there. Dropping it tells who waits that there is no room.
    fn leave(&mut self, lane: Lane, ticket: u64) -> bool {
        let Some(waiters) = self.lanes.get_mut(&lane) else { return false };
        let Some(at) = waiters.iter().position(|waiter| waiter.ticket == ticket) else { return false };
        waiters.remove(at);
        if waiters.is_empty() {
            self.lanes.remove(&lane);
            self.turns.retain(|other| *other != lane);
        }
        self.waiting -= 1;
        QUEUE.dec();
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let left = self.pool.state().leave(self.lane, self.number);
        // Called in the moment in which who waited gave up.
        if !left && self.called.try_recv().is_ok() {
            self.pool.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use mail_types::SystemClock;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn pool(queue: usize) -> HashPool {
        HashPool::new(Bounds { parallel: 1, queue }, Arc::new(SystemClock))
    }

    fn lane(network: u8) -> Lane {
        (Network::V4([192, 0, network]), Some(TenantId(1)))
    }

    /// Occupies the only thread until the sender is dropped.
    async fn occupied(pool: &HashPool) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        let occupier = pool.clone();
        tokio::spawn(async move { occupier.run(lane(0), PATIENCE, move || Ok(released.recv().is_ok())).await });
        while pool.state().running == 0 {
            tokio::task::yield_now().await;
        }
        release
    }

    /// Waits in the lane; its turn writes its name down.
    async fn waits(pool: &HashPool, of: Lane, name: &'static str, done: &Arc<Mutex<Vec<&'static str>>>) {
        let (waiter, theirs) = (pool.clone(), Arc::clone(done));
        let before = pool.state().waiting;
        tokio::spawn(async move {
            let written = Arc::clone(&theirs);
            let write = move || {
                written.lock().unwrap().push(name);
                Ok(())
            };
            if waiter.run(of, PATIENCE, write).await.is_err() {
                theirs.lock().unwrap().push("refused");
            }
        });
        while pool.state().waiting == before && done.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn lanes_take_turns() {
        let (pool, done) = (pool(10), Arc::default());
        let release = occupied(&pool).await;
        for name in ["a1", "a2", "a3"] {
            waits(&pool, lane(1), name, &done).await;
        }
        waits(&pool, lane(2), "b1", &done).await;
        waits(&pool, (Network::V4([192, 0, 1]), Some(TenantId(2))), "c1", &done).await;
        drop(release);
        pool.run(lane(9), PATIENCE, || Ok(())).await.unwrap();
        while done.lock().unwrap().len() < 5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*done.lock().unwrap(), ["a1", "b1", "c1", "a2", "a3"]);
        assert!(pool.state().lanes.is_empty());
        assert!(pool.state().turns.is_empty());
    }

    #[tokio::test]
    async fn a_full_queue_sends_the_longest_lane_away() {
        let (pool, done) = (pool(2), Arc::default());
        let _release = occupied(&pool).await;
        waits(&pool, lane(1), "a1", &done).await;
        waits(&pool, lane(1), "a2", &done).await;
        let more = pool.run(lane(1), PATIENCE, || Ok(())).await;
        assert!(matches!(more, Err(Error::Busy)), "no room for more of the same");
        waits(&pool, lane(2), "b1", &done).await;
        while done.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*done.lock().unwrap(), ["refused"]);
        assert_eq!(pool.state().waiting, 2);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_trace() {
        let pool = pool(10);
        let release = occupied(&pool).await;
        let gave_up = pool.run(lane(1), Duration::from_millis(1), || Ok(())).await;
        assert!(matches!(gave_up, Err(Error::Busy)));
        assert_eq!(pool.state().waiting, 0);
        assert!(pool.state().lanes.is_empty());
        drop(release);
        pool.run(lane(1), PATIENCE, || Ok(())).await.unwrap();
        while pool.state().running > 0 {
            tokio::task::yield_now().await;
        }
    }
}
