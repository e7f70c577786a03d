//! Every octet of a segment, read once from beginning to end in bounded memory: frames are decrypted and decompressed, and what comes
//! out is compared with the digest that META has kept since the delivery.

use bytes::{Buf as _, BytesMut};
use futures_util::{Stream, StreamExt as _};
use mail_types::SegmentUuid;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::bodies::Bodies;
use crate::bodies::cipher::PartName;
use crate::bodies::frame::{FrameHeader, HEADER_LEN};
use crate::bodies::keys::Keys;
use crate::bodies::meta::Meta;
use crate::bodies::segment::{Entry, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::read::part::{PartReader, Wants};

/// What was found in a segment.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) frames: u64,
    /// Frames whose key was erased: nobody can tell what they hold.
    pub(crate) erased: u64,
    /// Where a frame is not what it should be, and how.
    pub(crate) damage: Vec<(u32, String)>,
}

/// The octets of a segment as they come.
struct Incoming<S> {
    stream: S,
    buffer: BytesMut,
    /// Octets of the object that were taken from the buffer.
    at: u64,
}

const ENDS: &str = "the object ends inside a frame";

impl<S: Stream<Item = Result<bytes::Bytes, Error>> + Unpin> Incoming<S> {
    /// Has at least so many octets in the buffer; the inner error is of the segment.
    async fn fill(&mut self, octets: usize) -> Result<Result<(), &'static str>, Error> {
        while self.buffer.len() < octets {
            match self.stream.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(Err(ENDS)),
            }
        }
        Ok(Ok(()))
    }

    fn take(&mut self, octets: usize) {
        self.buffer.advance(octets);
        self.at += octets as u64;
    }

    async fn skip_to(&mut self, offset: u64) -> Result<Result<(), &'static str>, Error> {
        while self.at < offset {
            if let Err(what) = self.fill(1).await? {
                return Ok(Err(what));
            }
            let here = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
            self.take(here);
        }
        Ok(Ok(()))
    }
}

/// Reads a segment whose footer lists these frames.
pub(crate) async fn verify(
    bodies: &Bodies,
    keys: &Keys,
    segment: SegmentUuid,
    entries: &[Entry],
    size: u64,
) -> Result<Verified, Error> {
    let stream = bodies.get(segment, 0, size).await?;
    let mut incoming = Incoming { stream, buffer: BytesMut::new(), at: 0 };
    let mut verified = Verified::default();
    match incoming.fill(SEGMENT_HEADER_LEN).await? {
        Ok(()) => match SegmentHeader::decode(&incoming.buffer) {
            Ok(header) if header.uuid == segment => {}
            Ok(_) => verified.damage.push((0, "the segment has another name inside".to_owned())),
            Err(what) => verified.damage.push((0, what.to_owned())),
        },
        Err(what) => verified.damage.push((0, what.to_owned())),
    }
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_unstable_by_key(|entry| entry.place.offset);
    for entry in entries {
        let offset = entry.place.offset;
        verified.frames += 1;
        if incoming.at > offset.into() {
            verified.damage.push((offset, "it overlaps the frame before it".to_owned()));
            continue;
        }
        if let Err(what) = incoming.skip_to(offset.into()).await? {
            verified.damage.push((offset, what.to_owned()));
            break;
        }
        match frame(&mut incoming, keys, entry).await {
            Ok(Ok(())) => {}
            Ok(Err(what)) => verified.damage.push((offset, what.to_owned())),
            Err(Error::KeyErased { .. }) => verified.erased += 1,
            Err(error @ (Error::NoKey { .. } | Error::NoMasterKey { .. })) => {
                verified.damage.push((offset, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(verified)
}

/// One frame. It is never read past the end that the footer gives it.
async fn frame<S: Stream<Item = Result<bytes::Bytes, Error>> + Unpin>(
    incoming: &mut Incoming<S>,
    keys: &Keys,
    entry: &Entry,
) -> Result<Result<(), &'static str>, Error> {
    if let Err(what) = incoming.fill(HEADER_LEN).await? {
        return Ok(Err(what));
    }
    let header = match FrameHeader::decode(&incoming.buffer) {
        Ok(header) => header,
        Err(what) => return Ok(Err(what)),
    };
    let head_len = HEADER_LEN as u64 + u64::from(header.meta.len) + u64::from(header.head.len);
    let same = u64::from(entry.place.head_len) == head_len
        && u64::from(entry.place.len) == head_len + u64::from(header.body.len)
        && (entry.tenant, entry.key_version) == (header.tenant, header.key_version)
        && (entry.guid, entry.traits) == (header.guid, header.traits)
        && entry.octets == header.head_octets.saturating_add(header.body_octets);
    if !same {
        return Ok(Err("the footer and the frame do not agree"));
    }
    let key = match header.key_version {
        0 => None,
        version => Some(keys.get(header.tenant, version).await?.key),
    };
    let before = HEADER_LEN + header.meta.len as usize;
    if let Err(what) = incoming.fill(before).await? {
        return Ok(Err(what));
    }
    let meta = match Meta::open(&header, &incoming.buffer, key.as_deref()) {
        Ok(meta) => meta,
        Err(what) => return Ok(Err(what)),
    };
    incoming.take(before);
    let mut sha256 = Sha256::new();
    for name in [PartName::Head, PartName::Body] {
        let mut part = match PartReader::new(&header, name, key.as_deref()) {
            Ok(part) => part,
            Err(what) => return Ok(Err(what)),
        };
        loop {
            let before = incoming.buffer.len();
            let wants = part.take(&mut incoming.buffer);
            incoming.at += (before - incoming.buffer.len()) as u64;
            match wants {
                Ok(Wants::Piece(piece)) => sha256.update(&piece),
                Ok(Wants::More(octets)) => {
                    if let Err(what) = incoming.fill(octets).await? {
                        return Ok(Err(what));
                    }
                }
                Ok(Wants::Nothing) => break,
                Err(what) => return Ok(Err(what)),
            }
        }
    }
    if <[u8; 32]>::from(sha256.finalize()) != meta.sha256 {
        return Ok(Err("the message is not the one that was delivered: its SHA-256 differs"));
    }
    Ok(Ok(()))
}
