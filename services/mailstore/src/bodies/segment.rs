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

use bytes::{BufMut as _, Bytes, BytesMut};
use mail_types::{SegmentUuid, Timestamp};

use super::frame::{FrameHeader, HEADER_LEN};

/// Octets of a segment's header: where the first frame begins.
pub const SEGMENT_HEADER_LEN: usize = 64;

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
    /// An empty one.
    pub fn new(uuid: SegmentUuid, now: Timestamp, incarnation: u128) -> Self {
        let mut header = BytesMut::with_capacity(SEGMENT_HEADER_LEN);
        header.put_slice(b"RESTSEG1");
        header.put_u16_le(1);
        header.put_u16_le(SEGMENT_HEADER_LEN as u16);
        header.put_u32_le(0);
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
    }
}
