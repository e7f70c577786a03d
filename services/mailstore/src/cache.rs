//! Frames held in memory: as stored, so still encrypted; keyed by segment and offset, and segments never change, so never stale.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use mail_types::SegmentUuid;
use moka::sync::Cache;
use prometheus::{IntCounterVec, register_int_counter_vec};

use crate::bodies::segment::Place;

#[expect(clippy::expect_used, reason = "names are constants")]
static LOOKUPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "restante_frame_cache_lookups_total",
        "Look-ups of frames in the cache, by result",
        &["result"]
    )
    .expect("a well-formed metric")
});

/// Frames over this are not held: one of them would push out hundreds of others.
pub(crate) const LARGEST: u32 = 256 * 1024;

/// The process's cache of frames; clones are the same cache.
#[derive(Debug, Clone)]
pub struct FrameCache {
    frames: Cache<(SegmentUuid, u32), Bytes>,
    fill: bool,
}

impl FrameCache {
    /// A cache of so many octets. `fill`: what is delivered goes into it, which pays where the process serves it too.
    pub(crate) fn new(octets: u64, fill: bool) -> Self {
        let weigh = |_: &(SegmentUuid, u32), frame: &Bytes| u32::try_from(frame.len() + 64).unwrap_or(u32::MAX);
        Self { frames: Cache::builder().weigher(weigh).max_capacity(octets).build(), fill }
    }

    pub(crate) fn get(&self, segment: SegmentUuid, offset: u32) -> Option<Bytes> {
        let found = self.frames.get(&(segment, offset));
        LOOKUPS.with_label_values(&[if found.is_some() { "hit" } else { "miss" }]).inc();
        found
    }

    /// Whether it is held, without counting as a look-up.
    pub(crate) fn holds(&self, segment: SegmentUuid, offset: u32) -> bool {
        self.frames.contains_key(&(segment, offset))
    }

    pub(crate) fn insert(&self, segment: SegmentUuid, offset: u32, frame: &[u8]) {
        if frame.len() <= LARGEST as usize && !self.holds(segment, offset) {
            // A copy of its own: a slice would keep the whole range it was read with.
            self.frames.insert((segment, offset), Bytes::copy_from_slice(frame));
        }
    }

    /// Takes the frames of a segment that was just written; `places` in the order of the segment, `pieces` the segment's octets.
    pub(crate) fn delivered(&self, segment: SegmentUuid, places: impl Iterator<Item = Place>, pieces: &[Bytes]) {
        if !self.fill {
            return;
        }
        let (mut pieces, mut at) = (pieces.iter().peekable(), 0);
        for place in places {
            let (offset, len) = (place.offset as usize, place.len as usize);
            if len > LARGEST as usize || self.holds(segment, place.offset) {
                continue;
            }
            // Frames begin and end where pieces do.
            while let Some(piece) = pieces.next_if(|_| at < offset) {
                at += piece.len();
            }
            let mut frame = BytesMut::with_capacity(len);
            while let Some(piece) = pieces.next_if(|_| frame.len() < len) {
                frame.extend_from_slice(piece);
            }
            at += frame.len();
            if frame.len() == len {
                self.frames.insert((segment, place.offset), frame.freeze());
            }
        }
    }
}
