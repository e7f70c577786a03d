//! Frames held in memory: as stored, so still encrypted; keyed by segment and offset, and segments never change, so never stale.

use std::sync::LazyLock;

use bytes::Bytes;
use mail_types::SegmentUuid;
use moka::sync::Cache;
use prometheus::{IntCounterVec, register_int_counter_vec};

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
pub(crate) struct Frames(Cache<(SegmentUuid, u32), Bytes>);

impl Frames {
    pub(crate) fn new(octets: u64) -> Self {
        let weigh = |_: &(SegmentUuid, u32), frame: &Bytes| u32::try_from(frame.len() + 64).unwrap_or(u32::MAX);
        Self(Cache::builder().weigher(weigh).max_capacity(octets).build())
    }

    pub(crate) fn get(&self, segment: SegmentUuid, offset: u32) -> Option<Bytes> {
        let found = self.0.get(&(segment, offset));
        LOOKUPS.with_label_values(&[if found.is_some() { "hit" } else { "miss" }]).inc();
        found
    }

    /// Whether it is held, without counting as a look-up.
    pub(crate) fn holds(&self, segment: SegmentUuid, offset: u32) -> bool {
        self.0.contains_key(&(segment, offset))
    }

    pub(crate) fn insert(&self, segment: SegmentUuid, offset: u32, frame: &[u8]) {
        if frame.len() <= LARGEST as usize && !self.0.contains_key(&(segment, offset)) {
            // A copy of its own: a slice would keep the whole range it was read with.
            self.0.insert((segment, offset), Bytes::copy_from_slice(frame));
        }
    }
}
