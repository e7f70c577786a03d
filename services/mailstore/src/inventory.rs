//! What the bucket knows by itself: segments and, in each frame's META, whose copies it holds. This is what a lost database is
//! rebuilt from, and what a restored one takes up again. Memory is bounded: a footer and a few ranges of each of some segments.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use mail_types::{AccountId, Guid, SegmentUuid, TenantId};

use crate::Error;
use crate::bodies::Bodies;
use crate::bodies::frame::{FrameHeader, HEADER_LEN};
use crate::bodies::keys::Keys;
use crate::bodies::meta::Meta;
use crate::bodies::segment::{Entry, Place, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::mend::traits;

/// Octets of META that are read with a frame's header: it rarely has more.
const META_GUESS: u64 = 1024;
/// A gap between two frames' heads that is read rather than asked around.
const GAP: u64 = 32 * 1024;
/// The longest range.
const LONGEST: u64 = 1 << 20;
/// Segments read at the same time.
const AT_ONCE: usize = 8;

/// A segment, read.
#[derive(Debug)]
pub(crate) struct FoundSegment {
    pub(crate) uuid: SegmentUuid,
    pub(crate) compacted: bool,
    /// As the catalog counts them: up to the footer.
    pub(crate) octets: u64,
    pub(crate) copies: Vec<FoundCopy>,
    pub(crate) frames: u64,
    /// Frames whose META cannot be read: where, whose, and why. Those of erased keys do not count: they are gone on purpose.
    pub(crate) unreadable: Vec<(u32, TenantId, String)>,
}

/// A copy that a frame's META names.
#[derive(Debug, Clone)]
pub(crate) struct FoundCopy {
    pub(crate) tenant: TenantId,
    pub(crate) account: AccountId,
    pub(crate) guid: Guid,
    /// Where META knows it.
    pub(crate) uid: Option<i64>,
    /// As RETR sends it, the prefix included.
    pub(crate) octets: u32,
    pub(crate) place: Place,
    pub(crate) traits: u16,
    pub(crate) prefix: Option<String>,
    pub(crate) legacy_id: Option<String>,
    /// The RCPT address as given.
    pub(crate) address: String,
    pub(crate) received_ms: u64,
    /// Of the message as it came.
    pub(crate) sha256_received: [u8; 32],
}

/// Reads segments, some at a time, in no particular order. A segment that is not whole yields the reason instead.
pub(crate) fn read_all<'a>(
    bodies: &'a Bodies,
    keys: &'a Keys,
    segments: Vec<SegmentUuid>,
) -> impl Stream<Item = (SegmentUuid, Result<FoundSegment, Error>)> + 'a {
    futures_util::stream::iter(segments)
        .map(move |segment| async move { (segment, read(bodies, keys, segment).await) })
        .buffer_unordered(AT_ONCE)
}

/// Whether an error is of the segment itself, and asking again will not help.
pub(crate) fn is_of_the_segment(error: &Error) -> bool {
    !error.is_temporary() && !matches!(error, Error::Catalog(_))
}

async fn read(bodies: &Bodies, keys: &Keys, segment: SegmentUuid) -> Result<FoundSegment, Error> {
    let (entries, size) = bodies.footer(segment).await?;
    let damaged = |what| Error::Damaged { segment, offset: 0, what };
    let footer = entries.len() as u64 * crate::bodies::segment::ENTRY_LEN as u64;
    let octets = size - footer - crate::bodies::segment::TRAILER_LEN as u64;
    let mut found =
        FoundSegment { uuid: segment, compacted: false, octets, copies: Vec::new(), frames: 0, unreadable: Vec::new() };
    let mut first = true;
    let mut left = entries.iter().peekable();
    for range in ranges(&entries) {
        let octets = bodies.get_whole(segment, range.start, range.end - range.start).await?;
        if std::mem::take(&mut first) {
            let header = SegmentHeader::decode(&octets).map_err(damaged)?;
            if header.uuid != segment {
                return Err(damaged("the segment has another name inside"));
            }
            found.compacted = header.compacted;
        }
        while let Some(entry) = left.next_if(|entry| u64::from(entry.place.offset) < range.end) {
            let begin = usize::try_from(u64::from(entry.place.offset) - range.start).unwrap_or(usize::MAX);
            let head = octets.slice(begin.min(octets.len())..);
            found.frames += 1;
            match frame(bodies, keys, segment, entry, head).await {
                Ok(copies) => found.copies.extend(copies),
                Err(Error::KeyErased { .. }) => {}
                Err(error) if is_of_the_segment(&error) => {
                    found.unreadable.push((entry.place.offset, entry.tenant, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// The ranges that hold the segment's header and, for each frame, its header and most probably its META.
fn ranges(entries: &[Entry]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = std::iter::once(0..SEGMENT_HEADER_LEN as u64).collect();
    for entry in entries {
        let begin = u64::from(entry.place.offset);
        let end = begin + u64::from(entry.place.len).min(HEADER_LEN as u64 + META_GUESS);
        match ranges.last_mut() {
            Some(last) if begin <= last.end + GAP && end - last.start <= LONGEST => last.end = last.end.max(end),
            _ => ranges.push(begin..end),
        }
    }
    ranges
}

/// The copies of a frame; `head` holds its first octets.
async fn frame(
    bodies: &Bodies,
    keys: &Keys,
    segment: SegmentUuid,
    entry: &Entry,
    head: Bytes,
) -> Result<Vec<FoundCopy>, Error> {
    let damaged = |what| Error::Damaged { segment, offset: entry.place.offset.into(), what };
    let header = FrameHeader::decode(&head).map_err(damaged)?;
    if header.tenant != entry.tenant || header.guid != entry.guid {
        return Err(damaged("the footer and the frame do not agree"));
    }
    let len = HEADER_LEN as u64 + u64::from(header.meta.len);
    let head =
        if head.len() as u64 >= len { head } else { bodies.get_whole(segment, entry.place.offset.into(), len).await? };
    let key = match header.key_version {
        0 => None,
        version => Some(keys.get(header.tenant, version).await?.key),
    };
    let meta = Meta::open(&header, &head, key.as_deref()).map_err(damaged)?;
    let origin =
        SegmentUuid::from_u128(header.guid.as_u128() & !0xf_ffff).ok_or_else(|| damaged("a guid of no segment"))?;
    meta.copies
        .into_iter()
        .map(|copy| {
            let prefix = copy.prefix.map(|prefix| prefix.into_owned());
            let own = prefix.as_ref().map_or(0, |prefix| u32::try_from(prefix.len()).unwrap_or(u32::MAX));
            let extras = prefix.is_some() || copy.legacy_id.is_some();
            Ok(FoundCopy {
                tenant: header.tenant,
                account: copy.account,
                guid: origin.guid(copy.ordinal).ok_or_else(|| damaged("a copy's ordinal"))?,
                uid: copy.uid,
                octets: header.head_octets.saturating_add(header.body_octets).saturating_add(own),
                place: entry.place,
                traits: header.traits | if extras { traits::EXTRAS } else { 0 },
                prefix,
                legacy_id: copy.legacy_id.map(|id| id.into_owned()),
                address: copy.address.into_owned(),
                received_ms: meta.received_ms,
                sha256_received: meta.sha256_received,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: u32, len: u32) -> Entry {
        Entry {
            place: Place { offset, len, head_len: 100 },
            tenant: TenantId(1),
            key_version: 1,
            traits: 0,
            copies: 1,
            guid: Guid::from_u128(0),
            octets: 1,
            ordinal: 0,
        }
    }

    #[test]
    fn heads_near_each_other_are_one_range() {
        assert_eq!(ranges(&[]), std::slice::from_ref(&(0..64)));
        assert_eq!(ranges(&[entry(64, 2_000), entry(2_064, 500)]), std::slice::from_ref(&(0..2_564)));
        assert_eq!(ranges(&[entry(64, 100_000), entry(100_064, 100)]), [0..1_184, 100_064..100_164]);
        let many: Vec<Entry> = (0..200).map(|n| entry(64 + n * 20_000, 20_000)).collect();
        let ranges = ranges(&many);
        assert!(ranges.len() > 1 && ranges.iter().all(|range| range.end - range.start <= LONGEST));
    }
}
