//! Reading ahead: a session that fetches its messages one after the other has the next ones on the way before it asks.
//!
//! The window opens when a second message is asked for in sequence, doubles while the guess holds, and closes when it fails.
//! Neighbours in one segment are read as one range. What is on the way is bounded for the session and for the process, and stops
//! with the session.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use mail_types::{SegmentUuid, TenantId};
use prometheus::{IntCounterVec, register_int_counter_vec};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::bodies::Bodies;
use crate::bodies::keys::Keys;
use crate::cache::FrameCache;
use crate::catalog::locate;
use crate::config::ReadAheadSettings;
use crate::read::{BodyReader, Part, Source};
use crate::snapshot::{Message, Snapshot};
use crate::{Error, cache};

#[expect(clippy::expect_used, reason = "names are constants")]
static READS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "restante_message_reads_total",
        "Messages opened, by where their octets came from",
        &["from"]
    )
    .expect("a well-formed metric")
});

/// Octets between two frames of a segment that are rather read along than asked for apart.
const GAP: u32 = 32 * 1024;
/// Messages whose places are asked for at once when a segment is gone.
const LOCATED: usize = 4096;
/// Octets of a permit of the process's budget.
const UNIT: u64 = 4096;

/// What all sessions of a process share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) bodies: Bodies,
    pub(crate) keys: Keys,
    pub(crate) frames: FrameCache,
    pub(crate) settings: ReadAheadSettings,
    /// Of `settings.process_octets`.
    pub(crate) budget: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn budget(settings: &ReadAheadSettings) -> Arc<Semaphore> {
        let units = usize::try_from(settings.process_octets / UNIT).unwrap_or(usize::MAX);
        Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
    }
}

/// Reads the messages of one session's snapshot.
#[derive(Debug)]
pub struct SessionReader {
    shared: Shared,
    tenant: TenantId,
    snapshot: Arc<Snapshot>,
    /// Which messages of the snapshot the session sees, in order; all of them where there is none.
    places: Option<Arc<[u32]>>,
    /// The message asked for last, and for which part.
    last: Option<(usize, Part)>,
    /// Messages to have on the way; 0 while nothing is known of the client's habit.
    window: usize,
    /// On the way, in order.
    ahead: VecDeque<Range>,
}

/// A range on the way: some messages that are neighbours in the list and in a segment.
#[derive(Debug)]
struct Range {
    first: usize,
    last: usize,
    offset: u32,
    part: Part,
    reading: Reading,
    _budget: OwnedSemaphorePermit,
    octets: u64,
}

#[derive(Debug)]
enum Reading {
    UnderWay(AbortOnDropHandle<Result<Bytes, Error>>),
    Done(Bytes),
}

impl SessionReader {
    pub(crate) fn new(shared: Shared, tenant: TenantId, snapshot: Arc<Snapshot>, places: Option<Arc<[u32]>>) -> Self {
        Self { shared, tenant, snapshot, places, last: None, window: 0, ahead: VecDeque::new() }
    }

    /// Opens a message that the session sees, counted from 0. `None` if there is none.
    pub async fn open(&mut self, index: usize, part: Part) -> Option<Result<BodyReader, Error>> {
        let seen = self.seen();
        let message = seen.get(index)?;
        self.guess(index, part);
        let held = self.take(index, message, part).await;
        self.fill(&seen, index, part);
        let source = match held {
            Some(octets) => Ok(Source::held(octets)),
            None => match self.ask(message, part).await {
                Err(error) if error.is_not_found() => return Some(self.open_moved(&seen, index, part, error).await),
                asked => asked,
            },
        };
        Some(source.map(|source| BodyReader::new(source, &self.shared, self.tenant, message, part)))
    }

    fn seen(&self) -> Seen {
        Seen { snapshot: self.snapshot.clone(), places: self.places.clone() }
    }

    /// A segment of the snapshot is gone: what lay in it was moved, which the catalog knows. Asked once, for the messages around
    /// this one too; the session goes on with the places that it learns. `gone` is the answer where the message was not moved.
    async fn open_moved(&mut self, seen: &Seen, index: usize, part: Part, gone: Error) -> Result<BodyReader, Error> {
        let Some(old) = seen.get(index) else { return Err(gone) };
        let same = (index..seen.len()).filter_map(|at| seen.get(at)).filter(|m| m.segment == old.segment);
        let uids: Vec<i64> = same.take(LOCATED).map(|m| m.uid).collect();
        let (pool, role) = self.shared.keys.asked_by();
        let places = locate::locate(pool, role, self.tenant, self.snapshot.account(), &uids).await?;
        if places.get(&old.uid).is_none_or(|&(segment, _)| segment == old.segment) {
            return Err(gone);
        }
        READS.with_label_values(&["moved"]).inc();
        self.snapshot = Arc::new(self.snapshot.moved(&places));
        self.ahead.clear();
        let seen = self.seen();
        let Some(message) = seen.get(index) else { return Err(gone) };
        let source = self.ask(message, part).await?;
        Ok(BodyReader::new(source, &self.shared, self.tenant, message, part))
    }

    /// Learns from what is asked for.
    fn guess(&mut self, index: usize, part: Part) {
        let in_sequence = self.last.is_some_and(|(last, of)| of == part && last + 1 == index);
        self.window = match (in_sequence, self.window) {
            (true, 0) => 2,
            (true, window) => (window * 2).min(self.shared.settings.session_messages),
            (false, _) => 0,
        };
        if !in_sequence {
            self.ahead.clear();
        }
        self.last = Some((index, part));
    }

    /// The message's octets, if they are held or on the way.
    async fn take(&mut self, index: usize, message: &Message, part: Part) -> Option<Bytes> {
        if part != Part::Head
            && let Some(frame) = self.shared.frames.get(message.segment, message.place.offset)
        {
            READS.with_label_values(&["cache"]).inc();
            return Some(frame);
        }
        // Ranges before it are of no use any more.
        while self.ahead.front().is_some_and(|range| range.last < index) {
            self.ahead.pop_front();
        }
        let range = self.ahead.front_mut().filter(|range| range.first <= index && range.part == part)?;
        if let Reading::UnderWay(task) = &mut range.reading {
            range.reading = match task.await {
                Ok(Ok(octets)) => Reading::Done(octets),
                // What failed ahead is asked for again, and fails in its own name then.
                _ => {
                    self.ahead.pop_front();
                    return None;
                }
            };
        }
        let Reading::Done(octets) = &range.reading else { return None };
        let begin = (message.place.offset - range.offset) as usize;
        let frame =
            octets.get(begin..begin + stored_len(message, part) as usize).map(|frame| octets.slice_ref(frame))?;
        if range.last == index {
            self.ahead.pop_front();
        }
        READS.with_label_values(&["ahead"]).inc();
        Some(frame)
    }

    /// Asks the store for one message.
    async fn ask(&self, message: &Message, part: Part) -> Result<Source, Error> {
        READS.with_label_values(&["store"]).inc();
        let len = stored_len(message, part);
        let (segment, offset) = (message.segment, message.place.offset);
        if part == Part::Lines {
            return Source::steps(
                self.shared.bodies.clone(),
                segment,
                offset.into(),
                message.place.head_len.into(),
                message.place.len.into(),
            )
            .await;
        }
        if len > cache::LARGEST {
            return Source::stream(&self.shared.bodies, segment, offset.into(), len.into()).await;
        }
        let octets = self.shared.bodies.get_whole(segment, offset.into(), len.into()).await?;
        Ok(Source::held(octets))
    }

    /// Puts the next messages on the way, as far as the window and both bounds allow.
    fn fill(&mut self, seen: &Seen, index: usize, part: Part) {
        if self.window == 0 || part == Part::Lines {
            return;
        }
        let mut next = self.ahead.back().map_or(index, |range| range.last) + 1;
        let end = (index + 1).saturating_add(self.window).min(seen.len());
        while next < end {
            let mut left =
                self.shared.settings.session_octets.saturating_sub(self.ahead.iter().map(|range| range.octets).sum());
            let Some(first) = seen.get(next) else { return };
            if part == Part::Whole && self.shared.frames.holds(first.segment, first.place.offset) {
                // Held already: nothing to read. It may leave the cache before it is asked for, then it is read then.
                next += 1;
                continue;
            }
            let last = neighbours(seen, next, end, part, &mut left);
            let Some(last) = last else { return };
            let Some(range) = self.start(seen, next, last, part) else { return };
            self.ahead.push_back(range);
            next = last + 1;
        }
    }

    fn start(&self, seen: &Seen, first: usize, last: usize, part: Part) -> Option<Range> {
        let (begin, end) = (seen.get(first)?, seen.get(last)?);
        let offset = begin.place.offset;
        let octets = u64::from(end.place.offset - offset) + u64::from(stored_len(end, part));
        let units = u32::try_from(octets.div_ceil(UNIT)).ok()?;
        let budget = self.shared.budget.clone().try_acquire_many_owned(units).ok()?;
        let (bodies, segment): (Bodies, SegmentUuid) = (self.shared.bodies.clone(), begin.segment);
        let task = tokio::spawn(async move { bodies.get_whole(segment, offset.into(), octets).await });
        let reading = Reading::UnderWay(AbortOnDropHandle::new(task));
        Some(Range { first, last, offset, part, reading, _budget: budget, octets })
    }
}

/// The messages that a session sees.
struct Seen {
    snapshot: Arc<Snapshot>,
    places: Option<Arc<[u32]>>,
}

impl Seen {
    fn get(&self, index: usize) -> Option<&Message> {
        let place = match &self.places {
            None => index,
            Some(places) => *places.get(index)? as usize,
        };
        self.snapshot.messages().get(place)
    }

    fn len(&self) -> usize {
        self.places.as_ref().map_or(self.snapshot.messages().len(), |places| places.len())
    }
}

/// Stored octets that are read for a part.
fn stored_len(message: &Message, part: Part) -> u32 {
    match part {
        Part::Head => message.place.head_len,
        Part::Whole | Part::Lines => message.place.len,
    }
}

/// The last message of the longest run from `first` that one range can read within `left` octets; `None` if not even the first fits.
fn neighbours(seen: &Seen, first: usize, end: usize, part: Part, left: &mut u64) -> Option<usize> {
    let begin = seen.get(first)?;
    let mut last = None;
    let mut reached = begin.place.offset;
    for index in first..end {
        let message = seen.get(index)?;
        let place = message.place;
        let apart = message.segment != begin.segment || place.offset < reached || place.offset - reached > GAP;
        let octets = u64::from(place.offset.saturating_sub(begin.place.offset)) + u64::from(stored_len(message, part));
        if (index > first && apart) || octets > *left {
            break;
        }
        reached = place.offset + stored_len(message, part);
        last = Some(index);
    }
    last
}
