//! A body on its way in: mended as it comes, held in memory under one budget for the whole process.
//!
//! Memory is taken chunk by chunk. A body that finds none waits, which holds its sender back; after a while it is refused for
//! now (452), so that bodies that wait for each other cannot wait for ever.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mail_types::TenantId;
use prometheus::{IntCounter, IntGauge, register_int_counter, register_int_gauge};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::delivery::Stay;
use crate::mend::{Mender, Shape};

#[expect(clippy::expect_used, reason = "names are constants")]
static IN_USE: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("restante_incoming_memory_octets", "Memory held by bodies on their way in")
        .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static REFUSED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("restante_incoming_memory_refusals_total", "Bodies refused for want of memory")
        .expect("a well-formed metric")
});

/// Octets of one permit of the budget.
const UNIT: usize = 4096;
/// The first chunk of a body, and every later one: most messages fit a few small ones, large ones take few large ones.
const FIRST_CHUNK: usize = 4 * UNIT;
const LATER_CHUNK: usize = 16 * UNIT;

/// How many times what is left free a tenant may hold.
const SHARE: usize = 3;

/// The process's memory for bodies in flight, shared out between tenants; clones are the same budget.
///
/// A tenant gets no more than three times what it leaves free: alone it gets three quarters, with others as active as itself an
/// equal share, and whoever comes next finds room, however much the others send. (A dynamic threshold, as switches share out their
/// buffers.)
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
    wait: Duration,
}

#[derive(Debug)]
struct Shared {
    units: usize,
    held: Mutex<Held>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_tenant: HashMap<TenantId, usize>,
}

impl MemoryBudget {
    /// A budget of so many octets; a body waits at most `wait` for its next chunk.
    pub fn new(octets: u64, wait: Duration) -> Self {
        let units = usize::try_from(octets).unwrap_or(usize::MAX) / UNIT;
        // Room for two tenants at least, each with a chunk.
        let units = units.max(4 * LATER_CHUNK / UNIT);
        Self { shared: Arc::new(Shared { units, held: Mutex::default(), given_back: Notify::new() }), wait }
    }

    async fn take(&self, tenant: TenantId, octets: usize) -> Option<Permit> {
        let units = octets / UNIT;
        let granted = async {
            loop {
                // From before the attempt, so that what is given back meanwhile is not missed.
                let mut given_back = std::pin::pin!(self.shared.given_back.notified());
                given_back.as_mut().enable();
                if self.shared.grant(tenant, units) {
                    return;
                }
                given_back.await;
            }
        };
        tokio::time::timeout(self.wait, granted).await.ok()?;
        IN_USE.add(i64::try_from(units * UNIT).unwrap_or(i64::MAX));
        Some(Permit { shared: self.shared.clone(), tenant, units })
    }
}

impl Shared {
    fn grant(&self, tenant: TenantId, units: usize) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = self.units.checked_sub(held.all + units) else { return false };
        let own = held.by_tenant.get(&tenant).copied().unwrap_or(0) + units;
        if own > left * SHARE {
            return false;
        }
        held.all += units;
        held.by_tenant.insert(tenant, own);
        true
    }

    fn give_back(&self, tenant: TenantId, units: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(units);
        if let Entry::Occupied(mut own) = held.by_tenant.entry(tenant) {
            *own.get_mut() = own.get().saturating_sub(units);
            if *own.get() == 0 {
                own.remove();
            }
        }
        drop(held);
        self.given_back.notify_waiters();
    }
}

/// Memory taken from the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    tenant: TenantId,
    units: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        IN_USE.sub(i64::try_from(self.units * UNIT).unwrap_or(i64::MAX));
        self.shared.give_back(self.tenant, self.units);
    }
}

/// Why a body is not taken. The sender's octets must be read on to their end all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IncomingError {
    /// More octets than the limit: permanent, 552 5.3.4.
    #[error("the message is larger than the limit")]
    TooLarge,
    /// No memory within the wait: temporary, 452 4.3.1.
    #[error("no memory for the message at the moment")]
    OutOfMemory,
}

/// A body on its way in.
#[derive(Debug)]
pub struct Incoming {
    budget: MemoryBudget,
    tenant: TenantId,
    left: u64,
    mender: Mender,
    sha256: Sha256,
    permits: Vec<Permit>,
    full: Vec<Bytes>,
    filling: BytesMut,
    /// Octets the filling chunk may still take.
    room: usize,
    /// Where it is to be delivered: the next group may wait for it a little.
    stay: Option<Stay>,
}

impl Incoming {
    pub(crate) fn new(budget: MemoryBudget, tenant: TenantId, max_octets: u64, stay: Option<Stay>) -> Self {
        Self {
            budget,
            tenant,
            left: max_octets,
            mender: Mender::default(),
            sha256: Sha256::new(),
            permits: Vec::new(),
            full: Vec::new(),
            filling: BytesMut::new(),
            room: 0,
            stay,
        }
    }

    /// Takes some octets of the message as it was sent (unstuffed, not mended).
    pub async fn write(&mut self, mut octets: &[u8]) -> Result<(), IncomingError> {
        self.left = self.left.checked_sub(octets.len() as u64).ok_or(IncomingError::TooLarge)?;
        while !octets.is_empty() {
            // Mending can double what comes, and a CR kept back from before adds two.
            let take = (self.room.saturating_sub(2) / 2).min(octets.len());
            if take == 0 {
                self.next_chunk().await?;
                continue;
            }
            let (now, later) = octets.split_at(take);
            let before = self.filling.len();
            self.mender.feed(now, &mut self.filling);
            let written = self.filling.len() - before;
            self.sha256.update(self.filling.get(before..).unwrap_or_default());
            self.room = self.room.saturating_sub(written);
            octets = later;
        }
        Ok(())
    }

    async fn next_chunk(&mut self) -> Result<(), IncomingError> {
        let size = if self.permits.is_empty() { FIRST_CHUNK } else { LATER_CHUNK };
        let Some(permit) = self.budget.take(self.tenant, size).await else {
            REFUSED.inc();
            return Err(IncomingError::OutOfMemory);
        };
        self.permits.push(permit);
        let full = std::mem::replace(&mut self.filling, BytesMut::with_capacity(size));
        if !full.is_empty() {
            self.full.push(full.freeze());
        }
        self.room = size;
        Ok(())
    }

    /// The end of the message: adds what it lacks.
    pub fn finish(mut self) -> Body {
        // At most 6 octets more, and they are not counted: a chunk always has slack for them.
        let before = self.filling.len();
        let shape = self.mender.finish(&mut self.filling);
        self.sha256.update(self.filling.get(before..).unwrap_or_default());
        self.full.push(self.filling.freeze());
        Body { pieces: self.full, shape, sha256: self.sha256.finalize().into(), permits: self.permits, stay: self.stay }
    }
}

/// A mended message in memory. Its share of the budget goes back when it is dropped.
#[derive(Debug)]
pub struct Body {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) shape: Shape,
    pub(crate) sha256: [u8; 32],
    permits: Vec<Permit>,
    stay: Option<Stay>,
}

impl Body {
    /// Octets, mended, before trace headers.
    pub fn octets(&self) -> u64 {
        self.shape.octets
    }

    /// What it takes of the budget while it is held, octets.
    pub(crate) fn memory(&self) -> u64 {
        (self.permits.iter().map(|permit| permit.units).sum::<usize>() * UNIT) as u64
    }

    /// Its share of the budget and its stay before the queue, without its octets.
    pub(crate) fn into_rest(self) -> (Vec<Permit>, Option<Stay>) {
        (self.permits, self.stay)
    }

    /// HEAD and BODY, cut after the first empty line, without copying.
    pub(crate) fn cut(&self) -> (Vec<Bytes>, Vec<Bytes>) {
        let mut left = usize::try_from(self.shape.head_octets).unwrap_or(usize::MAX);
        let (mut head, mut body) = (Vec::new(), Vec::new());
        for piece in &self.pieces {
            let here = left.min(piece.len());
            left -= here;
            if here > 0 {
                head.push(piece.slice(..here));
            }
            if here < piece.len() {
                body.push(piece.slice(here..));
            }
        }
        (head, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(octets: u64) -> MemoryBudget {
        MemoryBudget::new(octets, Duration::from_millis(10))
    }

    #[tokio::test]
    async fn a_body_is_mended_and_cut_across_chunks() {
        let text = format!("Subject: x\n\n{}", "0123456789abcde\n".repeat(20_000));
        let mut incoming = Incoming::new(budget(16 << 20), TenantId(1), 1 << 20, None);
        for part in text.as_bytes().chunks(1000) {
            incoming.write(part).await.unwrap();
        }
        let body = incoming.finish();
        let (head, rest) = body.cut();
        assert_eq!(head.concat(), b"Subject: x\r\n\r\n");
        assert_eq!(rest.concat(), "0123456789abcde\r\n".repeat(20_000).as_bytes());
        assert!(body.pieces.len() > 3, "several chunks");
        let whole = [head.concat(), rest.concat()].concat();
        assert_eq!(body.sha256, <[u8; 32]>::from(Sha256::digest(&whole)));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let mut incoming = Incoming::new(budget(16 << 20), TenantId(1), 10, None);
        assert_eq!(incoming.write(b"0123456789").await, Ok(()));
        assert_eq!(incoming.write(b"x").await, Err(IncomingError::TooLarge));
    }

    /// One body after another, each with its first chunk, until there is no memory.
    async fn fill(budget: &MemoryBudget, tenant: TenantId) -> Vec<Incoming> {
        let mut bodies = Vec::new();
        loop {
            let mut body = Incoming::new(budget.clone(), tenant, 1 << 30, None);
            match body.write(b"x").await {
                Ok(()) => bodies.push(body),
                Err(error) => {
                    assert_eq!(error, IncomingError::OutOfMemory);
                    return bodies;
                }
            }
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_and_comes_back() {
        let budget = budget(16 * FIRST_CHUNK as u64);
        let held = fill(&budget, TenantId(1)).await;
        assert_eq!(held.len(), 12, "alone, a tenant gets three quarters");
        let others = fill(&budget, TenantId(2)).await;
        assert_eq!(others.len(), 3, "three quarters of what is left");
        drop(others);
        assert_eq!(fill(&budget, TenantId(1)).await.len(), 0);
        drop(held);
        assert_eq!(fill(&budget, TenantId(2)).await.len(), 12);
    }

    #[tokio::test]
    async fn tenants_that_send_much_leave_room_for_one_that_comes_later() {
        let budget = budget(640 * FIRST_CHUNK as u64);
        let mut held = Vec::new();
        for tenant in 1..=3 {
            held.push(fill(&budget, TenantId(tenant)).await);
        }
        let mut later = Incoming::new(budget.clone(), TenantId(4), 1 << 30, None);
        assert_eq!(later.write(b"x").await, Ok(()), "{:?}", held.iter().map(Vec::len).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_waits_for_memory_gets_what_is_given_back() {
        let budget = MemoryBudget::new(4 * LATER_CHUNK as u64, Duration::from_secs(3_600));
        let mut first = Vec::new();
        for _ in 0..12 {
            let mut body = Incoming::new(budget.clone(), TenantId(1), 1 << 30, None);
            body.write(b"x").await.unwrap();
            first.push(body);
        }
        let waiting = tokio::spawn(async move {
            let mut body = Incoming::new(budget, TenantId(1), 1 << 30, None);
            body.write(b"x").await
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.pop();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn an_empty_message_is_one_empty_line() {
        let body = Incoming::new(budget(1 << 20), TenantId(1), 10, None).finish();
        let (head, rest) = body.cut();
        assert_eq!((head.concat(), rest.concat()), (b"\r\n".to_vec(), Vec::new()));
    }
}
