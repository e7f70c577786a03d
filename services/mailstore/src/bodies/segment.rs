//! A segment: one immutable object holding frames one after another, between a header and a footer (integers little-endian).
//!
//! ```text
//! HEADER (64)                                   FOOTER, one entry (64) per frame
//!  0   8  "RESTSEG1"                             0  4 frame offset    4  4 frame length   8  4 head_len   12  4 tenant
//!  8   2  version = 1                           16  4 key version    20  2 traits        22  2 copies
//! 10   2  header length = 64                    24 16 guid of the first copy
//! 12   4  flags: bit 0 made by compaction       40  4 head + body octets                 44  4 ordinal of the first
//! 16  16  segment uuid                          48 12 0              60  4 crc32c of 0..60
//! 32   8  unix ms, writer's clock              TRAILER (32)
//! 40  16  catalog incarnation                    0  8 footer offset   8  4 entries       12  4 footer length
//! 56   4  0                                     16  4 crc32c of the footer               20  4 version = 1
//! 60   4  crc32c of 0..60                       24  8 "RESTEND1"
//! ```

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use mail_types::{Guid, SegmentUuid, TenantId, Timestamp};

use super::frame::{FrameHeader, HEADER_LEN};

/// Octets of a segment's header: where the first frame begins.
pub const SEGMENT_HEADER_LEN: usize = 64;
/// Octets of a footer's entry.
pub const ENTRY_LEN: usize = 64;
/// Octets of the trailer.
pub const TRAILER_LEN: usize = 32;

const MADE_BY_COMPACTION: u32 = 1;

/// Builds a segment in memory, as pieces that are never copied together.
#[derive(Debug)]
pub struct SegmentBuilder {
    pieces: Vec<Bytes>,
    octets: usize,
    footer: BytesMut,
    entries: u32,
    copies: u32,
}

/// Where a frame came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Octets from the segment's beginning.
    pub offset: u32,
    /// The whole frame.
    pub len: u32,
    /// Its header, META and HEAD: what TOP n 0 reads.
    pub head_len: u32,
}

/// A segment does not hold more than 2 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a segment would grow past 2 GiB")]
pub struct TooLarge;

impl SegmentBuilder {
    /// An empty one, for deliveries.
    pub fn new(uuid: SegmentUuid, now: Timestamp, incarnation: u128) -> Self {
        Self::with_flags(uuid, now, incarnation, 0)
    }

    /// An empty one, for frames that move from other segments.
    pub fn compacted(uuid: SegmentUuid, now: Timestamp, incarnation: u128) -> Self {
        Self::with_flags(uuid, now, incarnation, MADE_BY_COMPACTION)
    }

    fn with_flags(uuid: SegmentUuid, now: Timestamp, incarnation: u128, flags: u32) -> Self {
        let mut header = BytesMut::with_capacity(SEGMENT_HEADER_LEN);
        header.put_slice(b"RESTSEG1");
        header.put_u16_le(1);
        header.put_u16_le(SEGMENT_HEADER_LEN as u16);
        header.put_u32_le(flags);
        header.put_u128(uuid.as_u128());
        header.put_u64_le(now.unix_ms());
        header.put_u128(incarnation);
        header.put_u32_le(0);
        header.put_u32_le(crc32c::crc32c(&header));
        Self { octets: header.len(), pieces: vec![header.freeze()], footer: BytesMut::new(), entries: 0, copies: 0 }
    }

    /// Adds a frame: its header, and META, HEAD and BODY in pieces.
    pub fn push(
        &mut self,
        header: &FrameHeader,
        copies: u16,
        ordinal: u32,
        parts: impl IntoIterator<Item = Bytes>,
    ) -> Result<Place, TooLarge> {
        let place = |octets: usize| i32::try_from(octets).ok().and_then(|o| u32::try_from(o).ok()).ok_or(TooLarge);
        let offset = self.octets;
        self.add(Bytes::copy_from_slice(&header.encode()));
        for part in parts {
            self.add(part);
        }
        let head_len = HEADER_LEN + header.meta.len as usize + header.head.len as usize;
        let place = Place { offset: place(offset)?, len: place(self.octets - offset)?, head_len: place(head_len)? };
        self.entry(header, copies, ordinal, place);
        self.copies += u32::from(copies);
        Ok(place)
    }

    fn add(&mut self, piece: Bytes) {
        self.octets += piece.len();
        self.pieces.push(piece);
    }

    fn entry(&mut self, header: &FrameHeader, copies: u16, ordinal: u32, place: Place) {
        let mut entry = BytesMut::with_capacity(64);
        entry.put_u32_le(place.offset);
        entry.put_u32_le(place.len);
        entry.put_u32_le(place.head_len);
        entry.put_i32_le(header.tenant.0);
        entry.put_u32_le(header.key_version);
        entry.put_u16_le(header.traits);
        entry.put_u16_le(copies);
        entry.put_u128(header.guid.as_u128());
        entry.put_u32_le(header.head_octets.saturating_add(header.body_octets));
        entry.put_u32_le(ordinal);
        entry.put_bytes(0, 12);
        entry.put_u32_le(crc32c::crc32c(&entry));
        self.footer.put_slice(&entry);
        self.entries += 1;
    }

    /// Copies so far: the next one's ordinal.
    pub fn copies(&self) -> u32 {
        self.copies
    }

    /// Octets so far.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// The whole object, in pieces.
    pub fn finish(mut self) -> Vec<Bytes> {
        let mut trailer = BytesMut::with_capacity(32);
        trailer.put_u64_le(self.octets as u64);
        trailer.put_u32_le(self.entries);
        trailer.put_u32_le(u32::try_from(self.footer.len()).unwrap_or(u32::MAX));
        trailer.put_u32_le(crc32c::crc32c(&self.footer));
        trailer.put_u32_le(1);
        trailer.put_slice(b"RESTEND1");
        self.pieces.push(self.footer.freeze());
        self.pieces.push(trailer.freeze());
        self.pieces
    }
}

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its name.
    pub uuid: SegmentUuid,
    /// When it was made, by its writer's clock.
    pub made: Timestamp,
    /// The catalog's incarnation that its writer knew.
    pub incarnation: u128,
    /// Whether its frames were moved here from other segments.
    pub compacted: bool,
}

impl SegmentHeader {
    /// Reads a header; the error names what does not fit.
    pub fn decode(octets: &[u8]) -> Result<Self, &'static str> {
        let mut octets = checked(octets.get(..SEGMENT_HEADER_LEN), "the segment's header is damaged")?;
        if octets.get_u64() != u64::from_be_bytes(*b"RESTSEG1") {
            return Err("no segment begins here");
        }
        if octets.get_u16_le() != 1 || octets.get_u16_le() as usize != SEGMENT_HEADER_LEN {
            return Err("a segment of a version that this release does not know");
        }
        let flags = octets.get_u32_le();
        Ok(Self {
            uuid: SegmentUuid::from_u128(octets.get_u128()).ok_or("the segment's uuid has an ordinal")?,
            made: Timestamp::from_unix_ms(octets.get_u64_le()),
            incarnation: octets.get_u128(),
            compacted: flags & MADE_BY_COMPACTION != 0,
        })
    }
}

/// What a segment's last octets say of its footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Where it begins.
    pub footer_offset: u64,
    /// Its octets.
    pub footer_len: u32,
    entries: u32,
    crc: u32,
}

impl Trailer {
    /// Reads the last [`TRAILER_LEN`] octets of a segment.
    pub fn decode(octets: &[u8]) -> Result<Self, &'static str> {
        let mut octets: &[u8] = octets.last_chunk::<TRAILER_LEN>().ok_or("the segment's end is cut off")?;
        let (footer_offset, entries, footer_len) = (octets.get_u64_le(), octets.get_u32_le(), octets.get_u32_le());
        let (crc, version) = (octets.get_u32_le(), octets.get_u32_le());
        if octets.get_u64() != u64::from_be_bytes(*b"RESTEND1") {
            return Err("the segment's end is cut off");
        }
        if version != 1 || u64::from(footer_len) != u64::from(entries) * ENTRY_LEN as u64 {
            return Err("a footer that this release does not know");
        }
        Ok(Self { footer_offset, footer_len, entries, crc })
    }

    /// Reads the footer that this trailer tells of.
    pub fn entries(&self, footer: &[u8]) -> Result<Vec<Entry>, &'static str> {
        if footer.len() != self.footer_len as usize || crc32c::crc32c(footer) != self.crc {
            return Err("the segment's footer is damaged");
        }
        footer.chunks_exact(ENTRY_LEN).map(Entry::decode).collect()
    }
}

/// A frame, as the footer lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub place: Place,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which of the tenant's keys.
    pub key_version: u32,
    /// Bits of [`crate::mend::traits`].
    pub traits: u16,
    /// How many copies shared it when it was written.
    pub copies: u16,
    /// Of the first of them.
    pub guid: Guid,
    /// HEAD and BODY, plain.
    pub octets: u32,
    /// The first copy's ordinal.
    pub ordinal: u32,
}

impl Entry {
    fn decode(octets: &[u8]) -> Result<Self, &'static str> {
        let mut octets = checked(octets.get(..ENTRY_LEN), "a footer's entry is damaged")?;
        let (offset, len, head_len) = (octets.get_u32_le(), octets.get_u32_le(), octets.get_u32_le());
        Ok(Self {
            place: Place { offset, len, head_len },
            tenant: TenantId(octets.get_i32_le()),
            key_version: octets.get_u32_le(),
            traits: octets.get_u16_le(),
            copies: octets.get_u16_le(),
            guid: Guid::from_u128(octets.get_u128()),
            octets: octets.get_u32_le(),
            ordinal: octets.get_u32_le(),
        })
    }
}

/// Octets without the crc32c that ends them, if it fits. What is read from them later lies inside them: their length is fixed.
fn checked<'o>(octets: Option<&'o [u8]>, damaged: &'static str) -> Result<&'o [u8], &'static str> {
    let (octets, crc) = octets.and_then(|o| o.split_last_chunk::<4>()).ok_or(damaged)?;
    if crc32c::crc32c(octets) == u32::from_le_bytes(*crc) { Ok(octets) } else { Err(damaged) }
}

#[cfg(test)]
mod tests {
    use mail_types::TenantId;

    use super::*;
    use crate::bodies::frame::{Codec, stored};

    #[test]
    fn a_segment_has_the_published_layout() {
        let uuid = SegmentUuid::from_u128(0x0123_4567_89ab_7fff_bfff_ffff_fff0_0000).unwrap();
        let mut builder = SegmentBuilder::new(uuid, Timestamp::from_unix_ms(1), 2);
        let (meta, head, body) =
            (Bytes::from_static(b"mm"), Bytes::from_static(b"h\r\n\r\n"), Bytes::from_static(b"b\r\n"));
        let header = FrameHeader {
            traits: 0,
            tenant: TenantId(7),
            key_version: 0,
            head_codec: Codec::None,
            body_codec: Codec::None,
            head_octets: 5,
            body_octets: 3,
            body_lines: 1,
            guid: uuid.guid(0).unwrap(),
            salt: [0; 16],
            meta: stored(std::slice::from_ref(&meta)),
            head: stored(std::slice::from_ref(&head)),
            body: stored(std::slice::from_ref(&body)),
        };
        let place = builder.push(&header, 1, 0, [meta, head, body]).unwrap();
        assert_eq!(place, Place { offset: 64, len: 96 + 10, head_len: 96 + 7 });
        let object = builder.finish().concat();
        assert_eq!(object.len(), 64 + 106 + 64 + 32);
        assert_eq!(&object[..8], b"RESTSEG1");
        assert_eq!(&object[object.len() - 8..], b"RESTEND1");
        assert_eq!(u32::from_le_bytes(object[60..64].try_into().unwrap()), crc32c::crc32c(&object[..60]));
        let trailer = &object[object.len() - 32..];
        let footer_at = u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize;
        assert_eq!(footer_at, 170);
        let footer = &object[footer_at..object.len() - 32];
        assert_eq!(u32::from_le_bytes(trailer[16..20].try_into().unwrap()), crc32c::crc32c(footer));
        assert_eq!(u32::from_le_bytes(footer[..4].try_into().unwrap()), 64);
        assert_eq!(&object[160..170], b"mmh\r\n\r\nb\r\n");

        let read = Trailer::decode(&object).unwrap();
        assert_eq!((read.footer_offset, read.footer_len), (170, 64));
        let entry = Entry {
            place,
            tenant: TenantId(7),
            key_version: 0,
            traits: 0,
            copies: 1,
            guid: uuid.guid(0).unwrap(),
            octets: 8,
            ordinal: 0,
        };
        assert_eq!(read.entries(footer), Ok(vec![entry]));
        assert!(read.entries(&footer[1..]).is_err());
        assert!(Trailer::decode(&object[..object.len() - 1]).is_err());
        let header = SegmentHeader { uuid, made: Timestamp::from_unix_ms(1), incarnation: 2, compacted: false };
        assert_eq!(SegmentHeader::decode(&object), Ok(header));
        for at in 0..SEGMENT_HEADER_LEN {
            let mut bad = object.clone();
            bad[at] ^= 1;
            assert!(SegmentHeader::decode(&bad).is_err(), "octet {at}");
        }
    }
}
