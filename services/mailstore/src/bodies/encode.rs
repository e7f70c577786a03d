//! From plain HEAD, BODY and META to a frame as it is stored: compressed where that pays, then encrypted.

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

/// A frame to be made.
#[derive(Debug)]
pub(crate) struct Plain<'a> {
    pub(crate) traits: u16,
    pub(crate) tenant: TenantId,
    pub(crate) guid: Guid,
    pub(crate) body_lines: u32,
    pub(crate) head: Vec<Bytes>,
    pub(crate) body: Vec<Bytes>,
    pub(crate) meta: Meta<'a>,
    /// Two salts: the frame's, and META's own.
    pub(crate) salt: [u8; 16],
    pub(crate) meta_salt: [u8; 16],
}

/// A frame as it is stored.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) header: FrameHeader,
    pub(crate) parts: Vec<Bytes>,
}

/// Makes the frame under a tenant's key.
pub(crate) fn encode(plain: Plain<'_>, key_version: u32, key: &DataKey) -> Result<Encoded, Forged> {
    let octets = |pieces: &[Bytes]| u32::try_from(pieces.iter().map(Bytes::len).sum::<usize>()).unwrap_or(u32::MAX);
    let (head_octets, body_octets) = (octets(&plain.head), octets(&plain.body));
    let (head_codec, head) = compress(plain.head);
    let (body_codec, body) = compress(plain.body);
    let mut header = FrameHeader {
        traits: plain.traits,
        tenant: plain.tenant,
        key_version,
        head_codec,
        body_codec,
        head_octets,
        body_octets,
        body_lines: plain.body_lines,
        guid: plain.guid,
        salt: plain.salt,
        meta: Stored::default(),
        head: Stored::default(),
        body: Stored::default(),
    };
    let fixed = header.fixed();
    let meta = plain.meta.seal(key, plain.meta_salt, &fixed)?;
    let head = PartCipher::new(key, &plain.salt, &fixed, PartName::Head)?.seal(&head)?;
    let body = PartCipher::new(key, &plain.salt, &fixed, PartName::Body)?.seal(&body)?;
    (header.meta, header.head, header.body) = (stored(&meta), stored(&head), stored(&body));
    let parts = [meta, head, body].concat();
    Ok(Encoded { header, parts })
}

/// Compresses a part if that makes it shorter by a sixteenth at least.
fn compress(plain: Vec<Bytes>) -> (Codec, Vec<Bytes>) {
    let len: usize = plain.iter().map(Bytes::len).sum();
    if len < COMPRESS_FROM {
        return (Codec::None, plain);
    }
    match zstd_of(&plain, len) {
        Ok(short) if short.len() <= len - len / 16 => (Codec::Zstd, vec![short.into()]),
        _ => (Codec::None, plain),
    }
}

fn zstd_of(plain: &[Bytes], len: usize) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::with_capacity(len / 2), LEVEL)?;
    encoder.set_pledged_src_size(Some(len as u64))?;
    for piece in plain {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}
