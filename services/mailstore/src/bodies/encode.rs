//! From plain HEAD, BODY and META to a frame as it is stored: compressed where that pays, then encrypted. Compressing takes nearly all
//! of the time and needs to know nothing of the segment, so it is a step of its own.

use std::io::Write as _;

use bytes::Bytes;
use mail_types::{Guid, TenantId};

use super::cipher::{DataKey, Forged, PartCipher, PartName};
use super::frame::{Codec, FrameHeader, Stored, stored};
use super::meta::Meta;

/// Parts shorter than this are not worth a compressor's frame.
const COMPRESS_FROM: usize = 256;
/// Zstandard's default: beyond it the time grows faster than what it saves.
const LEVEL: i32 = 3;
/// Plain octets of Zstandard's blocks. Nothing of a block can be read without its end.
const ZSTD_BLOCK: usize = 128 * 1024;
/// Plain octets of the first block where a part has several, so that the first chunk has it whole.
const FIRST_BLOCK: usize = 16 * 1024;

/// A frame to be made.
#[derive(Debug)]
pub(crate) struct Plain<'a> {
    pub(crate) traits: u16,
    pub(crate) tenant: TenantId,
    pub(crate) guid: Guid,
    pub(crate) body_lines: u32,
    pub(crate) head: Packed,
    pub(crate) body: Packed,
    pub(crate) meta: Meta<'a>,
    /// Two salts: the frame's, and META's own.
    pub(crate) salt: [u8; 16],
    pub(crate) meta_salt: [u8; 16],
}

/// HEAD or BODY, compressed where that pays.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// Octets, plain.
    pub(crate) octets: u32,
    codec: Codec,
    pieces: Vec<Bytes>,
}

impl Packed {
    /// Compresses a part if that makes it shorter by a sixteenth at least.
    pub(crate) fn new(plain: Vec<Bytes>) -> Self {
        let len: usize = plain.iter().map(Bytes::len).sum();
        let octets = u32::try_from(len).unwrap_or(u32::MAX);
        if len >= COMPRESS_FROM
            && let Ok(short) = zstd_of(&plain, len)
            && short.len() <= len - len / 16
        {
            return Self { octets, codec: Codec::Zstd, pieces: vec![short.into()] };
        }
        Self { octets, codec: Codec::None, pieces: plain }
    }
}

/// A frame as it is stored.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) header: FrameHeader,
    pub(crate) parts: Vec<Bytes>,
}

/// Makes the frame under a tenant's key.
pub(crate) fn encode(plain: Plain<'_>, key_version: u32, key: &DataKey) -> Result<Encoded, Forged> {
    let Plain { head, body, .. } = plain;
    let mut header = FrameHeader {
        traits: plain.traits,
        tenant: plain.tenant,
        key_version,
        head_codec: head.codec,
        body_codec: body.codec,
        head_octets: head.octets,
        body_octets: body.octets,
        body_lines: plain.body_lines,
        guid: plain.guid,
        salt: plain.salt,
        meta: Stored::default(),
        head: Stored::default(),
        body: Stored::default(),
    };
    let fixed = header.fixed();
    let meta = plain.meta.seal(key, plain.meta_salt, &fixed)?;
    let head = PartCipher::new(key, &plain.salt, &fixed, PartName::Head)?.seal(&head.pieces)?;
    let body = PartCipher::new(key, &plain.salt, &fixed, PartName::Body)?.seal(&body.pieces)?;
    (header.meta, header.head, header.body) = (stored(&meta), stored(&head), stored(&body));
    let parts = [meta, head, body].concat();
    Ok(Encoded { header, parts })
}

fn zstd_of(plain: &[Bytes], len: usize) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::with_capacity(len / 2), LEVEL)?;
    encoder.set_pledged_src_size(Some(len as u64))?;
    // Where the first lines are read apart from the rest.
    let mut until_flush = if len > ZSTD_BLOCK { FIRST_BLOCK } else { len };
    for piece in plain {
        let (first, rest) = piece.split_at(until_flush.min(piece.len()));
        encoder.write_all(first)?;
        until_flush -= first.len();
        if !rest.is_empty() {
            encoder.flush()?;
            until_flush = len;
            encoder.write_all(rest)?;
        }
    }
    encoder.finish()
}
