//! Compaction: what still lives in thin segments, and in the many small ones that an idle server writes, moves to new segments
//! grouped by account, so that a whole maildrop becomes a few large reads and dead octets can be deleted.
//!
//! A new segment is durable first; then short transactions switch the catalog to it, message by message, each only if it is
//! still where it was read. A crash between the two leaves an orphan like any delivery's. The old segment keeps what is expunged and
//! what other sessions see in their snapshots; it goes when its references and its grace are gone. Claims only keep workers from
//! doing the same work twice: where one ends too early, the second switch finds nothing to do.

mod frames;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mail_types::{Clock, Random, SegmentUuid};
use runtime::database::{DbRole, Pool};
use runtime::fail_point;
use serde::Deserialize;
use tokio::time::sleep;

use self::frames::{Frame, Moved, ranges};
use crate::bodies::Bodies;
use crate::bodies::keys::Keys;
use crate::bodies::segment::{Place, SegmentBuilder};
use crate::catalog::compact::{self, New, Old, Row, Switched};
use crate::catalog::reconcile;
use crate::pace::Pace;
use crate::{Error, Parts};

/// `[worker.compact]`: what is worth compacting, and how fast.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactSettings {
    /// A segment is thin when more than so many hundredths of it are dead; at least 50.
    pub thin_percent: u32,
    /// How old a thin segment must be, seconds. Its commit may still be under way before, and one that is repeated would not find
    /// what was moved away: far longer than `mailstore.commit_deadline_ms`.
    pub thin_age_seconds: u64,
    /// A segment of deliveries under so many octets is small; at most 1 MiB. What compaction made is never small.
    pub small_octets: u64,
    /// How old a small segment must be to be merged with others, seconds; for the same reason never short.
    pub small_age_seconds: u64,
    /// How many thin or small segments must wait before work begins, unless what lives or what is dead in fewer fills a new one.
    pub at_least_segments: u32,
    /// Old segments that are looked at together: the more, the better a maildrop comes together.
    pub segments_at_once: u32,
    /// A new segment is closed at this many octets, which are held in memory until it is written; at most 1 GiB.
    pub segment_octets: u64,
    /// A new segment is closed at this many copies.
    pub segment_copies: u32,
    /// Requests to read old segments at the same time.
    pub reads_at_once: usize,
    /// Messages that one transaction switches; their maildrops are locked meanwhile.
    pub switch_messages: u32,
    /// How long a segment is one worker's, seconds.
    pub claim_seconds: u64,
    /// When a segment is tried again that holds something unreadable, seconds.
    pub retry_seconds: u64,
    /// Octets read and written in a second, in this process.
    pub octets_per_second: u64,
    /// How long work rests after each new segment, milliseconds.
    pub pause_ms: u64,
    /// New segments in a round, at most.
    pub segments_per_round: u32,
}

impl CompactSettings {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        thin_percent: 50,
        thin_age_seconds: 3_600,
        small_octets: 1 << 20,
        small_age_seconds: 86_400,
        at_least_segments: 16,
        segments_at_once: 4_096,
        segment_octets: 64 << 20,
        segment_copies: 20_000,
        reads_at_once: 4,
        switch_messages: 200,
        claim_seconds: 900,
        retry_seconds: 86_400,
        octets_per_second: 16 << 20,
        pause_ms: 500,
        segments_per_round: 16,
    };
}

impl Default for CompactSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a round of compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactReport {
    /// Old segments taken up.
    pub segments: u64,
    /// New segments written.
    pub written: u64,
    /// Messages that lie in them now.
    pub messages: u64,
    /// Octets of the new segments.
    pub octets: u64,
    /// Frames that could not be moved: damaged, gone, or their key erased. They stay as they are.
    pub unmovable: u64,
}

/// The worker's compactor (role worker).
#[derive(Debug, Clone)]
pub struct Compactor {
    pool: Pool,
    bodies: Bodies,
    keys: Keys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: CompactSettings,
}

/// Tries of a switch whose answer was lost or whose maildrops were busy, and the first pause between them, which doubles.
const SWITCH_TRIES: u32 = 6;
const SWITCH_PAUSE: Duration = Duration::from_millis(50);

/// The most that `segment_octets` can be: places are counted in 31 bits.
const LARGEST: u64 = 1 << 30;

impl Compactor {
    /// Over connections that act as the worker. Of the parts it needs neither the bounds of delivery nor their memory.
    pub fn new(parts: &Parts, settings: CompactSettings) -> Self {
        let bodies = Bodies::new(parts.store.clone(), &parts.store_settings);
        let (pool, random) = (parts.pool.clone(), parts.random.clone());
        let keys = Keys::new(pool.clone(), DbRole::Worker, bodies.clone(), parts.master.clone(), random.clone());
        Self { pool, bodies, keys, clock: parts.clock.clone(), random, settings }
    }

    /// One round: as many new segments as are worth writing and a round may, until `goes_on` says no.
    pub async fn compact(&self, goes_on: impl Fn() -> bool) -> Result<CompactReport, Error> {
        let mut report = CompactReport::default();
        let mut pace = Pace::new(self.settings.octets_per_second);
        while goes_on() && report.written < u64::from(self.settings.segments_per_round) {
            let Some(incarnation) = compact::incarnation(&self.pool).await? else { break };
            let old = compact::claim(&self.pool, &self.settings).await?;
            if old.is_empty() {
                break;
            }
            fail_point::reach("compact.after_claim").await;
            report.segments += old.len() as u64;
            let mut unfit = HashSet::new();
            let mut work = Work { incarnation, pace: &mut pace, unfit: &mut unfit, report: &mut report };
            let moved = self.move_live(&old, &mut work, &goes_on).await;
            let (unfit, fit): (Vec<i64>, Vec<i64>) = old.iter().map(|old| old.id).partition(|id| unfit.contains(id));
            compact::unclaim(&self.pool, &fit, None).await?;
            compact::unclaim(&self.pool, &unfit, Some(Duration::from_secs(self.settings.retry_seconds))).await?;
            moved?;
        }
        Ok(report)
    }

    /// Moves what lives in these segments.
    async fn move_live(&self, old: &[Old], work: &mut Work<'_>, goes_on: &impl Fn() -> bool) -> Result<(), Error> {
        let ids: Vec<i64> = old.iter().map(|old| old.id).collect();
        let frames = frames::frames(compact::live_rows(&self.pool, &ids).await?, old);
        let mut rest = frames.as_slice();
        while goes_on()
            && let Some((now, later)) = self.next_segment(rest)
        {
            self.write(now, work).await?;
            rest = later;
            sleep(Duration::from_millis(self.settings.pause_ms)).await;
        }
        Ok(())
    }

    /// The frames of the next new segment and those after it.
    fn next_segment<'f>(&self, frames: &'f [Frame]) -> Option<(&'f [Frame], &'f [Frame])> {
        let (mut octets, mut copies, mut count) = (0, 0, 0);
        for frame in frames {
            octets += u64::from(frame.len);
            copies += frame.rows.len();
            let full =
                octets > self.settings.segment_octets.min(LARGEST) || copies > self.settings.segment_copies as usize;
            if full && count > 0 {
                break;
            }
            count += 1;
        }
        frames.split_at_checked(count).filter(|_| count > 0)
    }

    /// Reads these frames, writes them as one segment, and switches their messages to it.
    async fn write(&self, frames: &[Frame], work: &mut Work<'_>) -> Result<(), Error> {
        let stored = self.read(frames, work).await?;
        let now = self.clock.now();
        let uuid = SegmentUuid::new(now, self.random.as_ref());
        let mut builder = SegmentBuilder::compacted(uuid, now, work.incarnation);
        let mut moves: Vec<(Row, Place)> = Vec::new();
        for (frame, stored) in frames.iter().zip(stored) {
            let Some(stored) = stored else { continue };
            match self.rewrite(frame, stored).await {
                Ok(moved) => {
                    let place = builder
                        .push(&moved.header, moved.copies, moved.ordinal, moved.parts)
                        .map_err(|_| Error::Inconsistent { table: "messages", what: "frames past 2 GiB" })?;
                    moves.extend(frame.rows.iter().map(|row| (row.clone(), place)));
                }
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => work.leave(frame, &error),
            }
        }
        if moves.is_empty() {
            return Ok(());
        }
        let octets = builder.octets();
        let new =
            New { uuid, octets: u32::try_from(octets).unwrap_or(u32::MAX), begun: compact::clock(&self.pool).await? };
        fail_point::reach("compact.before_put").await;
        self.bodies.put(uuid, builder.finish()).await?;
        fail_point::reach("compact.after_put").await;
        work.report.written += 1;
        work.report.octets += octets as u64;
        moves.sort_unstable_by_key(|(row, _)| (row.tenant, row.account, row.uid));
        let (mut moved, mut segment) = (0, None);
        for some in moves.chunks(self.settings.switch_messages.max(1) as usize) {
            let switched = self.switch(new, some).await?;
            fail_point::reach("compact.after_switch").await;
            moved += switched.moved;
            segment = switched.segment.or(segment);
        }
        work.report.messages += moved;
        if let Some(segment) = segment
            && moved < moves.len() as u64
        {
            // Some were expunged meanwhile, or another worker was first: their frames are dead here from the beginning.
            reconcile::mend_segment(&self.pool, segment, 0).await?;
        }
        work.pace.spend(octets as u64).await;
        Ok(())
    }

    /// Reads frames as stored, neighbours in one range; `None` for one that is not there.
    async fn read(&self, frames: &[Frame], work: &mut Work<'_>) -> Result<Vec<Option<bytes::Bytes>>, Error> {
        let mut stored = vec![None; frames.len()];
        let bodies = self.bodies.clone();
        let mut reads = stream::iter(ranges(frames))
            .map(move |range| {
                let bodies = bodies.clone();
                async move {
                    let read = bodies.get_whole(range.segment, range.offset.into(), range.len.into()).await;
                    (range, read)
                }
            })
            .buffer_unordered(self.settings.reads_at_once.max(1));
        while let Some((range, read)) = reads.next().await {
            match read {
                Ok(octets) => {
                    for &at in &range.frames {
                        let (Some(frame), Some(place)) = (frames.get(at), stored.get_mut(at)) else { continue };
                        *place = range.cut(frame, &octets);
                    }
                    work.pace.spend(range.len.into()).await;
                }
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => {
                    for frame in range.frames.iter().filter_map(|&at| frames.get(at)) {
                        work.leave(frame, &error);
                    }
                }
            }
        }
        Ok(stored)
    }

    /// The frame as it goes into the new segment: all the same but META, which names who still has it.
    async fn rewrite(&self, frame: &Frame, stored: bytes::Bytes) -> Result<Moved, Error> {
        let damaged = |what| Error::Damaged { segment: frame.uuid, offset: frame.offset.into(), what };
        let header = frame.check(&stored).map_err(damaged)?;
        let key = match header.key_version {
            0 => None,
            version => Some(self.keys.get(header.tenant, version).await?.key),
        };
        frame.rewrite(&header, &stored, key.as_deref(), self.random.octets16()).map_err(damaged)
    }

    /// Switches, and asks again where the answer is lost or a maildrop busy.
    async fn switch(&self, new: New, moves: &[(Row, Place)]) -> Result<Switched, Error> {
        let mut pause = SWITCH_PAUSE;
        for _ in 1..SWITCH_TRIES {
            match compact::switch(&self.pool, new, moves).await {
                Err(error) if error.is_temporary() => {
                    tracing::debug!(segment = %new.uuid, kind = error.kind(), %error, "a switch is tried again");
                    sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        compact::switch(&self.pool, new, moves).await
    }
}

/// What goes through a round.
struct Work<'a> {
    incarnation: u128,
    pace: &'a mut Pace,
    /// Old segments that hold something which cannot be moved.
    unfit: &'a mut HashSet<i64>,
    report: &'a mut CompactReport,
}

impl Work<'_> {
    fn leave(&mut self, frame: &Frame, error: &Error) {
        tracing::warn!(segment = %frame.uuid, offset = frame.offset, kind = error.kind(), %error, "a frame cannot be moved and stays where it is");
        self.unfit.insert(frame.segment);
        self.report.unmovable += 1;
    }
}
