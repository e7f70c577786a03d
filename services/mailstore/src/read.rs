//! Reading a message: one range request, streamed, every part checked against its checksum before its last piece is handed
//! on. A damaged message therefore never looks complete to a client.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use mail_types::{SegmentUuid, TenantId};

use crate::Error;
use crate::bodies::Bodies;
use crate::bodies::frame::{FrameHeader, HEADER_LEN, Stored};
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
    segment: SegmentUuid,
    offset: u64,
    tenant: TenantId,
    /// Read from the store, not yet used.
    buffer: BytesMut,
    /// What still comes, in order.
    sections: VecDeque<Section>,
    /// Handed out before the frame's HEAD: this copy's own lines.
    prefix: Bytes,
}

#[derive(Debug)]
enum Section {
    /// The frame's header: says what follows.
    Header { part: Part },
    /// Passed over.
    Skip(u32),
    /// Handed out and checked.
    Octets { left: u32, crc: u32, expected: u32 },
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
    pub(crate) async fn open(bodies: &Bodies, tenant: TenantId, message: &Message, part: Part) -> Result<Self, Error> {
        let len = match part {
            Part::Whole => message.place.len,
            Part::Head => message.place.head_len,
        };
        let offset = u64::from(message.place.offset);
        let source = bodies.get(message.segment, offset, len.into()).await?;
        let prefix =
            message.extras.as_ref().map(|extras| Bytes::copy_from_slice(extras.prefix.as_bytes())).unwrap_or_default();
        Ok(Self {
            source: Box::new(source),
            segment: message.segment,
            offset,
            tenant,
            buffer: BytesMut::new(),
            sections: VecDeque::from([Section::Header { part }]),
            prefix,
        })
    }

    /// The next piece; `None` when all was handed out and found whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(section) = self.sections.front_mut() else { return Ok(None) };
            match section {
                Section::Header { part } => {
                    let part = *part;
                    self.fill(HEADER_LEN).await?;
                    let header = FrameHeader::decode(&self.buffer).map_err(|what| self.damaged(what))?;
                    if header.tenant != self.tenant {
                        return Err(self.damaged("the frame is another tenant's"));
                    }
                    self.buffer.advance(HEADER_LEN);
                    let checked = |stored: Stored| Section::Octets { left: stored.len, crc: 0, expected: stored.crc };
                    self.sections = VecDeque::from([Section::Skip(header.meta.len), checked(header.head)]);
                    if part == Part::Whole {
                        self.sections.push_back(checked(header.body));
                    }
                    if !self.prefix.is_empty() {
                        return Ok(Some(std::mem::take(&mut self.prefix)));
                    }
                }
                Section::Skip(0) | Section::Octets { left: 0, .. } => {
                    self.sections.pop_front();
                }
                Section::Skip(left) => {
                    if self.buffer.is_empty() {
                        self.fill(1).await?;
                        continue;
                    }
                    let here = self.buffer.len().min(*left as usize);
                    *left -= here as u32;
                    self.buffer.advance(here);
                }
                Section::Octets { left, crc, expected } => {
                    if self.buffer.is_empty() {
                        self.fill(1).await?;
                        continue;
                    }
                    let here = self.buffer.len().min(*left as usize);
                    let piece = self.buffer.split_to(here).freeze();
                    *left -= here as u32;
                    *crc = crc32c::crc32c_append(*crc, &piece);
                    if *left == 0 && crc != expected {
                        return Err(self.damaged("a part is not what its checksum says"));
                    }
                    return Ok(Some(piece));
                }
            }
        }
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
