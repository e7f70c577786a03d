//! A body on its way in: mended as it comes, held in memory under one budget for the whole process.
//!
//! Memory is taken chunk by chunk. A body that finds none waits, which holds its sender back; after a while it is refused for
//! now (452), so that bodies that wait for each other cannot wait for ever.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prometheus::{IntCounter, IntGauge, register_int_counter, register_int_gauge};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// The process's memory for bodies in flight.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    permits: Arc<Semaphore>,
    wait: Duration,
}

impl MemoryBudget {
    /// A budget of so many octets; a body waits at most `wait` for its next chunk.
    pub fn new(octets: u64, wait: Duration) -> Self {
        let units = usize::try_from(octets).unwrap_or(usize::MAX) / UNIT;
        Self { permits: Arc::new(Semaphore::new(units.clamp(LATER_CHUNK / UNIT, Semaphore::MAX_PERMITS))), wait }
    }

    async fn take(&self, octets: usize) -> Option<Permit> {
        let units = u32::try_from(octets / UNIT).ok()?;
        let permit =
            tokio::time::timeout(self.wait, self.permits.clone().acquire_many_owned(units)).await.ok()?.ok()?;
        IN_USE.add(i64::from(units) * UNIT as i64);
        Some(Permit { _permit: permit, octets: i64::from(units) * UNIT as i64 })
    }
}

/// Memory taken from the budget; given back when dropped.
#[derive(Debug)]
struct Permit {
    _permit: OwnedSemaphorePermit,
    octets: i64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        IN_USE.sub(self.octets);
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
    left: u64,
    mender: Mender,
    sha256: Sha256,
    permits: Vec<Permit>,
    full: Vec<Bytes>,
    filling: BytesMut,
    /// Octets the filling chunk may still take.
    room: usize,
}

impl Incoming {
    pub(crate) fn new(budget: MemoryBudget, max_octets: u64) -> Self {
        Self {
            budget,
            left: max_octets,
            mender: Mender::default(),
            sha256: Sha256::new(),
            permits: Vec::new(),
            full: Vec::new(),
            filling: BytesMut::new(),
            room: 0,
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
        let Some(permit) = self.budget.take(size).await else {
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
        Body { pieces: self.full, shape, sha256: self.sha256.finalize().into(), _permits: self.permits }
    }
}

/// A mended message in memory. Its share of the budget goes back when it is dropped.
#[derive(Debug)]
pub struct Body {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) shape: Shape,
    pub(crate) sha256: [u8; 32],
    _permits: Vec<Permit>,
}

impl Body {
    /// Octets, mended, before trace headers.
    pub fn octets(&self) -> u64 {
        self.shape.octets
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
        let mut incoming = Incoming::new(budget(16 << 20), 1 << 20);
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
        let mut incoming = Incoming::new(budget(16 << 20), 10);
        assert_eq!(incoming.write(b"0123456789").await, Ok(()));
        assert_eq!(incoming.write(b"x").await, Err(IncomingError::TooLarge));
    }

    #[tokio::test]
    async fn memory_is_bounded_and_comes_back() {
        let budget = budget(LATER_CHUNK as u64);
        let mut first = Incoming::new(budget.clone(), 1 << 30);
        first.write(&[b'x'; 100]).await.unwrap();
        let mut second = Incoming::new(budget.clone(), 1 << 30);
        for _ in 0..3 {
            Incoming::new(budget.clone(), 1 << 30).write(b"x").await.unwrap();
        }
        let mut hold: Vec<Incoming> = Vec::new();
        for _ in 0..3 {
            let mut one = Incoming::new(budget.clone(), 1 << 30);
            one.write(b"x").await.unwrap();
            hold.push(one);
        }
        assert_eq!(second.write(b"x").await, Err(IncomingError::OutOfMemory));
        drop(hold);
        assert_eq!(second.write(b"x").await, Ok(()));
    }

    #[tokio::test]
    async fn an_empty_message_is_one_empty_line() {
        let body = Incoming::new(budget(1 << 20), 10).finish();
        let (head, rest) = body.cut();
        assert_eq!((head.concat(), rest.concat()), (b"\r\n".to_vec(), Vec::new()));
    }
}
