//! Reading a message: one range request, streamed; every chunk is decrypted and every part checked before its last piece is
//! handed on. A damaged message therefore never looks complete to a client.

pub(crate) mod part;
#[cfg(test)]
mod vectors;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use mail_types::{SegmentUuid, TenantId};

use self::part::{PartReader, Wants};
use crate::Error;
use crate::ahead::Shared;
use crate::bodies::Bodies;
use crate::bodies::cipher::{CHUNK, PartName, TAG};
use crate::bodies::frame::{FrameHeader, HEADER_LEN};
use crate::bodies::keys::Keys;
use crate::cache::FrameCache;
use crate::snapshot::Message;

/// How much of a message is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The header with its empty line.
    Head,
    /// The header and some lines of the body: read in steps, and no further than the reader asks.
    Lines,
}

/// Where stored octets come from.
pub(crate) enum Source {
    /// In memory already.
    Held(Option<Bytes>),
    /// One request, streamed.
    Stream(Box<dyn Stream<Item = Result<Bytes, Error>> + Send + Unpin>),
    /// A request when more is wanted, each for twice as many chunks as the last.
    Steps { read: Option<Bytes>, bodies: Bodies, segment: SegmentUuid, next: u64, end: u64, step: u64 },
}

/// The first step beyond the header: the body's first chunk as it is stored. Nothing of a chunk can be read without its end, and one
/// is more than most who ask for lines want.
const FIRST_STEP: u64 = (CHUNK + TAG) as u64;

impl Source {
    pub(crate) fn held(octets: Bytes) -> Self {
        Self::Held(Some(octets))
    }

    pub(crate) async fn stream(bodies: &Bodies, segment: SegmentUuid, offset: u64, len: u64) -> Result<Self, Error> {
        Ok(Self::Stream(Box::new(bodies.get(segment, offset, len).await?)))
    }

    /// The first step has been read when this returns.
    pub(crate) async fn steps(
        bodies: Bodies,
        segment: SegmentUuid,
        offset: u64,
        head: u64,
        len: u64,
    ) -> Result<Self, Error> {
        let first = (head + FIRST_STEP).min(len);
        let read = Some(bodies.get_whole(segment, offset, first).await?);
        Ok(Self::Steps { read, bodies, segment, next: offset + first, end: offset + len, step: FIRST_STEP * 2 })
    }

    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        match self {
            Self::Held(octets) => octets.take().map(Ok),
            Self::Stream(stream) => stream.next().await,
            Self::Steps { read, bodies, segment, next, end, step } => {
                if let Some(read) = read.take() {
                    return Some(Ok(read));
                }
                let len = (*step).min(*end - *next);
                if len == 0 {
                    return None;
                }
                let read = bodies.get_whole(*segment, *next, len).await;
                *next += len;
                *step *= 2;
                Some(read)
            }
        }
    }
}

/// A message's octets, before dot-stuffing, in pieces.
pub struct BodyReader {
    source: Source,
    keys: Keys,
    /// A whole frame, to be held for others once it was found whole.
    remember: Option<(FrameCache, Bytes)>,
    segment: SegmentUuid,
    /// The frame's offset in it.
    place: u32,
    tenant: TenantId,
    wanted: Part,
    /// Read from the store, not yet used.
    buffer: BytesMut,
    /// This copy's own lines, handed out first.
    prefix: Bytes,
    stage: Stage,
}

/// What comes next.
enum Stage {
    Header,
    Head { parts: Box<PartReader>, header: FrameHeader },
    Body(Box<PartReader>),
    Done,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyReader")
            .field("segment", &self.segment)
            .field("offset", &self.place)
            .finish_non_exhaustive()
    }
}

impl BodyReader {
    pub(crate) fn new(source: Source, shared: &Shared, tenant: TenantId, message: &Message, part: Part) -> Self {
        let remember = match &source {
            Source::Held(Some(frame)) if part == Part::Whole => Some((shared.frames.clone(), frame.clone())),
            _ => None,
        };
        let prefix = message.extras.as_ref().map(|extras| Bytes::copy_from_slice(extras.prefix.as_bytes()));
        Self {
            source,
            keys: shared.keys.clone(),
            remember,
            segment: message.segment,
            place: message.place.offset,
            tenant,
            wanted: part,
            buffer: BytesMut::new(),
            prefix: prefix.unwrap_or_default(),
            stage: Stage::Header,
        }
    }

    /// The next piece; `None` when all was handed out and found whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let parts = match &mut self.stage {
                Stage::Done => return Ok(None),
                Stage::Head { parts, .. } | Stage::Body(parts) => parts,
                Stage::Header => {
                    self.begin().await?;
                    if !self.prefix.is_empty() {
                        return Ok(Some(std::mem::take(&mut self.prefix)));
                    }
                    continue;
                }
            };
            match parts.take(&mut self.buffer) {
                Ok(Wants::Piece(piece)) => return Ok(Some(piece)),
                Ok(Wants::More(octets)) => self.fill(octets).await?,
                Ok(Wants::Nothing) => self.advance().await?,
                Err(what) => return Err(self.damaged(what)),
            }
        }
    }

    /// Reads the frame's header and passes over META.
    async fn begin(&mut self) -> Result<(), Error> {
        self.fill(HEADER_LEN).await?;
        let header = FrameHeader::decode(&self.buffer).map_err(|what| self.damaged(what))?;
        if header.tenant != self.tenant {
            return Err(self.damaged("the frame is another tenant's"));
        }
        self.buffer.advance(HEADER_LEN);
        let mut skip = header.meta.len as usize;
        while skip > 0 {
            self.fill(1).await?;
            let here = skip.min(self.buffer.len());
            self.buffer.advance(here);
            skip -= here;
        }
        let parts = Box::new(self.part(&header, PartName::Head).await?);
        self.stage = Stage::Head { parts, header };
        Ok(())
    }

    /// From a part that is complete to the next.
    async fn advance(&mut self) -> Result<(), Error> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Head { header, .. } if self.wanted != Part::Head => {
                Stage::Body(Box::new(self.part(&header, PartName::Body).await?))
            }
            _ => {
                if let Some((frames, frame)) = self.remember.take() {
                    frames.insert(self.segment, self.place, &frame);
                }
                Stage::Done
            }
        };
        Ok(())
    }

    async fn part(&mut self, header: &FrameHeader, name: PartName) -> Result<PartReader, Error> {
        let key = match header.key_version {
            0 => None,
            version => Some(self.keys.get(self.tenant, version).await?.key),
        };
        PartReader::new(header, name, key.as_deref()).map_err(|what| self.damaged(what))
    }

    /// Reads on until the buffer has so many octets.
    async fn fill(&mut self, octets: usize) -> Result<(), Error> {
        while self.buffer.len() < octets {
            match self.source.next().await {
                Some(piece) => {
                    let piece = piece?;
                    // The usual case takes the store's buffer over instead of copying it.
                    match piece.try_into_mut() {
                        Ok(piece) if self.buffer.is_empty() => self.buffer = piece,
                        Ok(piece) => self.buffer.extend_from_slice(&piece),
                        Err(piece) => self.buffer.extend_from_slice(&piece),
                    }
                }
                None => return Err(self.damaged("the object ends inside the frame")),
            }
        }
        Ok(())
    }

    fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { segment: self.segment, offset: self.place.into(), what }
    }
}
