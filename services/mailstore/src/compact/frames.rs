//! Frames on their way from old segments to a new one.

use std::collections::HashMap;

use bytes::Bytes;
use mail_types::{AccountId, SegmentUuid, TenantId};

use crate::bodies::cipher::DataKey;
use crate::bodies::frame::{FrameHeader, HEADER_LEN, stored};
use crate::bodies::meta::{Meta, MetaCopy};
use crate::catalog::compact::{Old, Row};

/// Octets between two frames that are rather read along than asked for apart.
const GAP: u32 = 32 * 1024;
/// A range is closed at this many octets, so that the pace is kept in small steps.
const RANGE: u32 = 4 * 1024 * 1024;
/// The bits of a guid that are the copy's ordinal.
const ORDINAL: u128 = (1 << 20) - 1;

/// A frame with the live messages that name it; one at least.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) segment: i64,
    pub(super) uuid: SegmentUuid,
    pub(super) offset: u32,
    pub(super) len: u32,
    tenant: TenantId,
    pub(super) rows: Vec<Row>,
}

/// The frames that rows name, in the order of each one's first row.
pub(super) fn frames(rows: Vec<Row>, old: &[Old]) -> Vec<Frame> {
    let uuids: HashMap<i64, SegmentUuid> = old.iter().map(|old| (old.id, old.uuid)).collect();
    let mut frames: Vec<Frame> = Vec::new();
    let mut known: HashMap<(i64, u32), usize> = HashMap::new();
    for row in rows {
        let Some(&uuid) = uuids.get(&row.segment) else { continue };
        let at = *known.entry((row.segment, row.offset)).or_insert(frames.len());
        match frames.get_mut(at) {
            Some(frame) => frame.rows.push(row),
            None => frames.push(Frame {
                segment: row.segment,
                uuid,
                offset: row.offset,
                len: row.len,
                tenant: row.tenant,
                rows: vec![row],
            }),
        }
    }
    frames
}

/// Some frames that are neighbours in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) segment: SegmentUuid,
    pub(super) offset: u32,
    pub(super) len: u32,
    /// Their places in the list of frames.
    pub(super) frames: Vec<usize>,
}

impl Range {
    /// A frame's octets out of the range's. A copy: a slice would hold the whole range, dead neighbours and all.
    pub(super) fn cut(&self, frame: &Frame, octets: &Bytes) -> Option<Bytes> {
        let begin = frame.offset.checked_sub(self.offset)? as usize;
        octets.get(begin..begin.checked_add(frame.len as usize)?).map(Bytes::copy_from_slice)
    }
}

/// What to ask the store for, so that these frames come.
pub(super) fn ranges(frames: &[Frame]) -> Vec<Range> {
    let mut order: Vec<(usize, &Frame)> = frames.iter().enumerate().collect();
    order.sort_unstable_by_key(|(_, frame)| (frame.uuid.as_u128(), frame.offset));
    let mut ranges: Vec<Range> = Vec::new();
    for (at, frame) in order {
        let end = frame.offset.saturating_add(frame.len);
        if let Some(last) = ranges.last_mut()
            && last.segment == frame.uuid
            && frame.offset.saturating_sub(last.offset.saturating_add(last.len)) <= GAP
            && end.saturating_sub(last.offset) <= RANGE
        {
            last.len = last.len.max(end.saturating_sub(last.offset));
            last.frames.push(at);
        } else {
            ranges.push(Range { segment: frame.uuid, offset: frame.offset, len: frame.len, frames: vec![at] });
        }
    }
    ranges
}

/// A frame as it is written anew.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) header: FrameHeader,
    pub(super) copies: u16,
    pub(super) ordinal: u32,
    pub(super) parts: [Bytes; 3],
}

impl Frame {
    /// Whether these are the frame's octets, whole and undamaged; the error names what does not fit.
    pub(super) fn check(&self, octets: &Bytes) -> Result<FrameHeader, &'static str> {
        let header = FrameHeader::decode(octets)?;
        if header.tenant != self.tenant {
            return Err("the frame is another tenant's");
        }
        let [_, head, body] = parts(&header, octets).ok_or("the frame has another length")?;
        if stored(&[head]) != header.head || stored(&[body]) != header.body {
            return Err("a part is not what its checksum says");
        }
        Ok(header)
    }

    /// The frame with a META that names the live messages only, under a salt of its own. HEAD and BODY stay as they are stored, and
    /// the header's octets 0..64, which they are bound to.
    pub(super) fn rewrite(
        &self,
        header: &FrameHeader,
        octets: &Bytes,
        key: Option<&DataKey>,
        salt: [u8; 16],
    ) -> Result<Moved, &'static str> {
        let mut meta = Meta::open(header, octets, key)?;
        let first = header.guid.as_u128();
        let copies: Option<Vec<MetaCopy<'static>>> = self
            .rows
            .iter()
            .map(|row| {
                let guid = row.guid.as_u128();
                let same = guid & !ORDINAL == first & !ORDINAL;
                let named = meta.copies.iter().find(|copy| same && u128::from(copy.ordinal) == guid & ORDINAL)?;
                Some(MetaCopy {
                    account: AccountId(row.account),
                    legacy_id: row.legacy_id.clone().map(Into::into),
                    uid: Some(row.uid),
                    ..named.clone()
                })
            })
            .collect();
        meta.copies = copies.ok_or("META does not know a message that lies here")?;
        meta.copies.sort_unstable_by_key(|copy| copy.ordinal);
        let meta: Bytes = match key {
            Some(key) => meta.seal(key, salt, &header.fixed()).map_err(|_| "META cannot be encrypted")?.concat().into(),
            None => [&salt[..], &meta.encode()].concat().into(),
        };
        let [_, head, body] = parts(header, octets).ok_or("the frame has another length")?;
        let header = FrameHeader { meta: stored(std::slice::from_ref(&meta)), ..*header };
        Ok(Moved {
            header,
            copies: u16::try_from(self.rows.len()).map_err(|_| "too many copies")?,
            ordinal: u32::try_from(first & ORDINAL).unwrap_or_default(),
            parts: [meta, head, body],
        })
    }
}

/// META, HEAD and BODY as stored.
fn parts(header: &FrameHeader, octets: &Bytes) -> Option<[Bytes; 3]> {
    let mut rest = octets.get(HEADER_LEN..).map(|rest| octets.slice_ref(rest))?;
    let mut part = |len: u32| (len as usize <= rest.len()).then(|| rest.split_to(len as usize));
    let parts = [part(header.meta.len)?, part(header.head.len)?, part(header.body.len)?];
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use mail_types::Guid;

    use super::*;

    fn frame(segment: u128, offset: u32, len: u32) -> Frame {
        let uuid = SegmentUuid::from_u128(segment << 20).unwrap();
        Frame { segment: 1, uuid, offset, len, tenant: TenantId(1), rows: Vec::new() }
    }

    #[test]
    fn neighbours_are_read_together() {
        let frames = [frame(1, 64, 100), frame(2, 64, 100), frame(1, 200, 50), frame(1, 250 + GAP + 1, 10)];
        let ranges = ranges(&frames);
        let places: Vec<_> = ranges.iter().map(|r| (r.offset, r.len, r.frames.clone())).collect();
        assert_eq!(places, [(64, 186, vec![0, 2]), (250 + GAP + 1, 10, vec![3]), (64, 100, vec![1])]);
        let octets: Bytes = (0..186).map(|n| n as u8).collect::<Vec<_>>().into();
        assert_eq!(ranges[0].cut(&frames[2], &octets).unwrap(), octets.slice(136..186));
        assert_eq!(ranges[0].cut(&frames[3], &octets), None);
    }

    #[test]
    fn a_range_is_not_longer_than_a_step() {
        let frames = [frame(1, 0, RANGE), frame(1, RANGE, 1)];
        assert_eq!(ranges(&frames).len(), 2);
    }

    #[test]
    fn a_shared_frame_goes_once_with_its_first_reader() {
        let uuid = SegmentUuid::from_u128(1 << 20).unwrap();
        let row = |account, uid, offset| Row {
            tenant: TenantId(1),
            account,
            uid,
            segment: 7,
            guid: Guid::from_u128(1 << 20),
            offset,
            len: 5,
            legacy_id: None,
        };
        let frames = frames(vec![row(1, 1, 64), row(1, 2, 69), row(2, 1, 64)], &[Old::of(7, uuid)]);
        assert_eq!(frames.iter().map(|f| (f.offset, f.rows.len())).collect::<Vec<_>>(), [(64, 2), (69, 1)]);
    }
}
