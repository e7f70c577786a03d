//! Reading a message: one range request, streamed; every chunk is decrypted and every part checked before its last piece is
//! handed on. A damaged message therefore never looks complete to a client.

mod part;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use mail_types::{SegmentUuid, TenantId};

use self::part::{PartReader, Wants};
use crate::Error;
use crate::bodies::Bodies;
use crate::bodies::cipher::PartName;
use crate::bodies::frame::{FrameHeader, HEADER_LEN};
use crate::bodies::keys::Keys;
use crate::snapshot::Message;

/// How much of a message is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The header with its empty line.
    Head,
}

/// A message's octets, before dot-stuffing, in pieces.
pub struct BodyReader {
    source: Box<dyn Stream<Item = Result<Bytes, Error>> + Send + Unpin>,
    keys: Keys,
    segment: SegmentUuid,
    offset: u64,
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
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl BodyReader {
    /// Opens a message; the store has answered when this returns.
    pub(crate) async fn open(
        bodies: &Bodies,
        keys: &Keys,
        tenant: TenantId,
        message: &Message,
        part: Part,
    ) -> Result<Self, Error> {
        let len = match part {
            Part::Whole => message.place.len,
            Part::Head => message.place.head_len,
        };
        let offset = u64::from(message.place.offset);
        let source = bodies.get(message.segment, offset, len.into()).await?;
        let prefix = message.extras.as_ref().map(|extras| Bytes::copy_from_slice(extras.prefix.as_bytes()));
        Ok(Self {
            source: Box::new(source),
            keys: keys.clone(),
            segment: message.segment,
            offset,
            tenant,
            wanted: part,
            buffer: BytesMut::new(),
            prefix: prefix.unwrap_or_default(),
            stage: Stage::Header,
        })
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
            Stage::Head { header, .. } if self.wanted == Part::Whole => {
                Stage::Body(Box::new(self.part(&header, PartName::Body).await?))
            }
            _ => Stage::Done,
        };
        Ok(())
    }

    async fn part(&self, header: &FrameHeader, name: PartName) -> Result<PartReader, Error> {
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
        Error::Damaged { segment: self.segment, offset: self.offset, what }
    }
}
