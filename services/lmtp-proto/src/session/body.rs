//! The states in which the peer sends a body: what was read is octets of a message, not commands.

use std::mem;

use bytes::{Bytes, BytesMut};
use wire::unstuffing::{Progress, Unstuffer};

use super::{Session, State};
use crate::{
    Abort, Effect, Next, Refusal,
    reply::Reply,
    transaction::{Body, Transaction, Verdict},
};

impl<R> Session<R> {
    /// Reads on in the body of a DATA.
    pub(super) fn data(&mut self, mut body: Body, mut unstuffer: Box<Unstuffer>, ended: bool) -> Option<Next<R>> {
        if ended {
            return self.body_ended(body);
        }
        if self.raw.is_empty() {
            return self.wait(State::Data { body, unstuffer, ended });
        }
        let mut piece = BytesMut::with_capacity(if body.too_large { 0 } else { self.raw.len() });
        let limit = self.settings.max_message_octets;
        let too_large = body.too_large;
        let mut octets = 0;
        let progress = unstuffer.feed(&mut self.raw, &mut |decoded| {
            octets += decoded.len();
            if !too_large {
                piece.extend_from_slice(decoded);
            }
        });
        let verdict = body.count(octets, limit);
        self.state = State::Data { body, unstuffer, ended: progress == Progress::Done };
        pass(verdict, piece.freeze())
    }

    /// Reads on in a chunk of a BDAT.
    pub(super) fn chunk(&mut self, mut body: Body, left: u64, last: bool) -> Option<Next<R>> {
        if left == 0 && last {
            return self.body_ended(body);
        }
        if left == 0 {
            self.end_raw();
            self.reply(if body.too_large { Reply::Refused(Refusal::TooLarge) } else { Reply::ChunkReceived });
            self.state = State::Chunks(body);
            return None;
        }
        if self.raw.is_empty() {
            return self.wait(State::Chunk { body, left, last });
        }
        let (piece, left) = self.take_raw(left);
        let verdict = body.count(piece.len(), self.settings.max_message_octets);
        self.state = State::Chunk { body, left, last };
        pass(verdict, piece)
    }

    pub(super) fn refused_chunk(&mut self, transaction: Option<Transaction<R>>, left: u64) -> Option<Next<R>> {
        if left == 0 {
            self.end_raw();
            return self.ready(transaction);
        }
        if self.raw.is_empty() {
            return self.wait(State::RefusedChunk { transaction, left });
        }
        let (_, left) = self.take_raw(left);
        self.state = State::RefusedChunk { transaction, left };
        None
    }

    fn body_ended(&mut self, body: Body) -> Option<Next<R>> {
        self.end_raw();
        if body.too_large {
            for _ in &body.accepted {
                self.reply(Reply::Refused(Refusal::TooLarge));
            }
            self.transaction_ended();
            return None;
        }
        self.state = State::Delivering(body);
        Some(Next::Effect(Effect::BodyEnd))
    }

    pub(super) fn transaction_ended(&mut self) {
        self.bad_commands = 0;
        self.state = State::Ready(None);
    }

    /// What was read after the command is body, not commands.
    pub(super) fn begin_raw(&mut self) {
        self.raw = BytesMut::from(self.lines.take_rest());
    }

    /// What was read after the body is commands again.
    fn end_raw(&mut self) {
        self.lines.feed(&mem::take(&mut self.raw));
    }

    /// At most `left` octets of what was read, and how many are then left.
    fn take_raw(&mut self, left: u64) -> (Bytes, u64) {
        let octets = usize::try_from(left).map_or(self.raw.len(), |left| left.min(self.raw.len()));
        let piece = self.raw.split_to(octets).freeze();
        (piece, left.saturating_sub(u64::try_from(octets).unwrap_or(left)))
    }
}

/// What the driver hears of a piece of a body.
fn pass<R>(verdict: Verdict, piece: Bytes) -> Option<Next<R>> {
    match verdict {
        Verdict::Keep if piece.is_empty() => None,
        Verdict::Keep => Some(Next::Effect(Effect::Body(piece))),
        Verdict::Exceeds => Some(Next::Effect(Effect::BodyAbort(Abort::TooLarge))),
        Verdict::Drop => None,
    }
}
