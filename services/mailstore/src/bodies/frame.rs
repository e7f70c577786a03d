//! A frame: the stored form of one body, as META, HEAD and BODY behind a header of 96 octets (integers little-endian).
//!
//! ```text
//!  0   4  "RFR1"                              32  16  guid of the first recipient
//!  4   2  header length = 96                  48  16  salt, random
//!  6   2  traits                              64   4  stored length of META    76  4  crc32c of META as stored
//!  8   4  tenant                              68   4  stored length of HEAD    80  4  crc32c of HEAD as stored
//! 12   4  key version (0: no key)             72   4  stored length of BODY    84  4  crc32c of BODY as stored
//! 16   1  cipher: 0 none, 1 AES-256-GCM       88   4  0
//! 17   1  codec of HEAD: 0 none, 1 zstd       92   4  crc32c of 0..92
//! 18   1  codec of BODY: 0 none, 1 zstd       96      META | HEAD | BODY
//! 19   1  log2 of the chunk's plain size = 16
//! 20   4  head octets, plain, the empty line included
//! 24   4  body octets, plain
//! 28   4  body lines
//! ```
//!
//! Octets 0..64 never change, not even when compaction moves the frame: they are the additional data of every encrypted part. A
//! part is compressed first (where that pays) and encrypted then; no part shares its compression with another message, so no
//! sender learns anything of another's text. META is behind a salt of its own (16 octets, in clear): compaction writes it anew, and
//! one key must never see two texts. A reader that meets a cipher or codec it does not know says so instead of sending noise.

use bytes::{BufMut as _, Bytes, BytesMut};
use mail_types::{Guid, TenantId};

/// Octets of a frame's header.
pub const HEADER_LEN: usize = 96;

/// Octets of it that never change.
pub const FIXED_LEN: usize = 64;

const MAGIC: &[u8; 4] = b"RFR1";

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bits of [`crate::mend::traits`].
    pub traits: u16,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which of the tenant's keys; 0 where nothing is encrypted.
    pub key_version: u32,
    /// Of HEAD.
    pub head_codec: Codec,
    /// Of BODY.
    pub body_codec: Codec,
    /// Octets of HEAD, plain.
    pub head_octets: u32,
    /// Octets of BODY, plain.
    pub body_octets: u32,
    /// Lines of BODY.
    pub body_lines: u32,
    /// The first copy.
    pub guid: Guid,
    /// Random; keys derive from it.
    pub salt: [u8; 16],
    /// META as stored.
    pub meta: Stored,
    /// HEAD as stored.
    pub head: Stored,
    /// BODY as stored.
    pub body: Stored,
}

/// How a part is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// Zstandard, RFC 8878.
    Zstd = 1,
}

impl Codec {
    fn decode(octet: u8) -> Option<Self> {
        match octet {
            0 => Some(Self::None),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A part as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stored {
    /// Octets.
    pub len: u32,
    /// Their crc32c.
    pub crc: u32,
}

impl FrameHeader {
    /// Whether the parts are encrypted.
    pub const fn is_encrypted(&self) -> bool {
        self.key_version != 0
    }

    /// The octets that never change: what every part is bound to.
    pub fn fixed(&self) -> [u8; FIXED_LEN] {
        let mut octets = [0; FIXED_LEN];
        if let Some(first) = self.encode().first_chunk() {
            octets = *first;
        }
        octets
    }

    /// The 96 octets.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = BytesMut::with_capacity(HEADER_LEN);
        out.put_slice(MAGIC);
        out.put_u16_le(HEADER_LEN as u16);
        out.put_u16_le(self.traits);
        out.put_i32_le(self.tenant.0);
        out.put_u32_le(self.key_version);
        out.put_slice(&[self.is_encrypted().into(), self.head_codec as u8, self.body_codec as u8, 16]);
        out.put_u32_le(self.head_octets);
        out.put_u32_le(self.body_octets);
        out.put_u32_le(self.body_lines);
        out.put_u128(self.guid.as_u128());
        out.put_slice(&self.salt);
        for part in [self.meta, self.head, self.body] {
            out.put_u32_le(part.len);
        }
        for part in [self.meta, self.head, self.body] {
            out.put_u32_le(part.crc);
        }
        out.put_u32_le(0);
        out.put_u32_le(crc32c::crc32c(&out));
        let mut octets = [0; HEADER_LEN];
        octets.copy_from_slice(&out);
        octets
    }

    /// Reads a header; the error names what does not fit.
    pub fn decode(octets: &[u8]) -> Result<Self, &'static str> {
        let octets: &[u8; HEADER_LEN] =
            octets.get(..HEADER_LEN).and_then(|o| o.try_into().ok()).ok_or("the frame's header is cut off")?;
        let u32_at = |at: usize| u32::from_le_bytes(array_at(octets, at));
        if &array_at::<4>(octets, 0) != MAGIC {
            return Err("no frame begins here");
        }
        if crc32c::crc32c(octets.get(..92).unwrap_or_default()) != u32_at(92) {
            return Err("the frame's header is damaged");
        }
        if u16::from_le_bytes(array_at(octets, 4)) as usize != HEADER_LEN {
            return Err("a frame's header of another length");
        }
        let [cipher, head_codec, body_codec, chunk] = array_at::<4>(octets, 16);
        let key_version = u32_at(12);
        if cipher > 1 || chunk != 16 || (cipher == 1) != (key_version != 0) {
            return Err("a cipher that this release does not know");
        }
        let codec = |octet| Codec::decode(octet).ok_or("a codec that this release does not know");
        let part = |len, crc| Stored { len: u32_at(len), crc: u32_at(crc) };
        let header = Self {
            traits: u16::from_le_bytes(array_at(octets, 6)),
            tenant: TenantId(i32::from_le_bytes(array_at(octets, 8))),
            key_version,
            head_codec: codec(head_codec)?,
            body_codec: codec(body_codec)?,
            head_octets: u32_at(20),
            body_octets: u32_at(24),
            body_lines: u32_at(28),
            guid: Guid::from_u128(u128::from_be_bytes(array_at(octets, 32))),
            salt: array_at(octets, 48),
            meta: part(64, 76),
            head: part(68, 80),
            body: part(72, 84),
        };
        Ok(header)
    }
}

/// A fixed array out of the header; the places are constants inside it.
fn array_at<const N: usize>(octets: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut array = [0; N];
    if let Some(slice) = octets.get(at..at + N) {
        array.copy_from_slice(slice);
    }
    array
}

/// Length and checksum of a part that lies in several pieces.
pub fn stored(pieces: &[Bytes]) -> Stored {
    let mut crc = 0;
    let mut len = 0;
    for piece in pieces {
        crc = crc32c::crc32c_append(crc, piece);
        len += piece.len();
    }
    Stored { len: u32::try_from(len).unwrap_or(u32::MAX), crc }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader {
            traits: 0x13,
            tenant: TenantId(7),
            key_version: 3,
            head_codec: Codec::None,
            body_codec: Codec::Zstd,
            head_octets: 10,
            body_octets: 20,
            body_lines: 2,
            guid: Guid::from_u128(0x0123_4567_89ab_7fff_bfff_ffff_fff0_0005),
            salt: [9; 16],
            meta: Stored { len: 5, crc: 1 },
            head: Stored { len: 10, crc: 2 },
            body: Stored { len: 20, crc: 3 },
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        assert_eq!(FrameHeader::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn any_changed_octet_is_noticed() {
        let octets = header().encode();
        for at in 0..HEADER_LEN {
            let mut bad = octets;
            bad[at] ^= 1;
            assert!(FrameHeader::decode(&bad).is_err(), "octet {at}");
        }
        assert!(FrameHeader::decode(&octets[..95]).is_err());
    }
}
