//! Sending a message: all of it, or its top.

use bytes::BytesMut;
use mail_types::{MessageNumber, Octets};
use wire::stuffing::Stuffer;

use crate::catalogue::Text;
use crate::command::Retrieval;
use crate::faults::Fault;
use crate::maildrop::Maildrop;
use crate::response::Responses;

/// Whether more of the message is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a TOP that is not stopped reads the whole message"]
pub enum BodyFlow {
    /// Go on.
    More,
    /// TOP has all its lines: end the body now.
    Enough,
}

/// What is known of a message before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadingDots {
    /// Some line may begin with a dot.
    Possible,
    /// No line does: there is nothing to stuff.
    None,
}

/// A message on its way to the client.
#[derive(Debug)]
pub(crate) struct Sending {
    number: MessageNumber,
    octets: Octets,
    stuffer: Stuffer,
    top: Option<Top>,
}

impl Sending {
    pub(crate) fn new(number: MessageNumber, what: Retrieval, octets: Octets) -> Self {
        let top = match what {
            Retrieval::Top(0) if Fault::TopZeroIsWhole.is_on() => None,
            Retrieval::Whole => None,
            Retrieval::Top(lines) => Some(Top::new(lines)),
        };
        Self { number, octets, stuffer: Stuffer::new(), top }
    }

    pub(crate) fn begin(&mut self, dots: LeadingDots, responses: &mut Responses) {
        if dots == LeadingDots::None || Fault::Unstuffed.is_on() {
            self.stuffer = Stuffer::plain();
        }
        match self.top {
            None => responses.ok(Text::Message(self.octets)),
            Some(_) => responses.ok(Text::Top),
        }
    }

    pub(crate) fn body(&mut self, octets: &[u8], out: &mut BytesMut) -> BodyFlow {
        let (wanted, flow) = match &mut self.top {
            None => (octets, BodyFlow::More),
            Some(top) => top.take(octets),
        };
        self.stuffer.stuff(wanted, out);
        flow
    }

    /// The message is complete: what was asked for with RETR has been fetched.
    pub(crate) fn end(self, maildrop: &mut Maildrop, out: &mut BytesMut) {
        if self.top.is_none() {
            maildrop.note_fetched(self.number);
        }
        self.finish(out);
    }

    fn finish(self, out: &mut BytesMut) {
        if !Fault::MessageUnterminated.is_on() {
            self.stuffer.finish(out);
        }
    }
}

/// Cuts a message after the header, the empty line and some lines of the body (RFC 1939 section 7, TOP).
#[derive(Debug)]
struct Top {
    part: Part,
    line: LineSoFar,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// Before the empty line; the body's lines that will be wanted.
    Header(u32),
    /// The body's lines still wanted.
    Body(u32),
}

/// What is known of the line that a piece of the message begins in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineSoFar {
    Empty,
    Cr,
    Text,
}

impl Top {
    fn new(lines: u32) -> Self {
        let lines = if Fault::TopLineTooMany.is_on() { lines.saturating_add(1) } else { lines };
        let part = if Fault::TopCountsHeader.is_on() { Part::Body(lines) } else { Part::Header(lines) };
        Self { part, line: LineSoFar::Empty }
    }

    /// What of a piece belongs to the top.
    fn take<'a>(&mut self, octets: &'a [u8]) -> (&'a [u8], BodyFlow) {
        if matches!(self.part, Part::Body(0)) {
            return (&[], BodyFlow::Enough);
        }
        let mut begin = 0;
        while let Some(line) = octets.get(begin..).and_then(|rest| rest.split_inclusive(|&octet| octet == b'\n').next())
        {
            begin += line.len();
            self.line = match (self.line, line) {
                (LineSoFar::Empty, b"\n" | b"\r\n") | (LineSoFar::Cr, b"\n") => self.end_of_line(true),
                (_, [.., b'\n']) => self.end_of_line(false),
                (LineSoFar::Empty, b"\r") => LineSoFar::Cr,
                (LineSoFar::Empty, b"") => LineSoFar::Empty,
                _ => LineSoFar::Text,
            };
            if matches!(self.part, Part::Body(0)) {
                return (octets.get(..begin).unwrap_or(octets), BodyFlow::Enough);
            }
        }
        (octets, BodyFlow::More)
    }

    fn end_of_line(&mut self, empty: bool) -> LineSoFar {
        self.part = match self.part {
            Part::Header(lines) if empty => Part::Body(lines),
            Part::Header(lines) => Part::Header(lines),
            Part::Body(lines) => Part::Body(lines.saturating_sub(1)),
        };
        LineSoFar::Empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: u32, message: &[u8], expected: &[u8]) {
        let number = MessageNumber::from_index(0).unwrap();
        let top = |pieces: &[&[u8]]| {
            let mut sending = Sending::new(number, Retrieval::Top(lines), Octets(0));
            let mut out = BytesMut::new();
            for piece in pieces {
                // Going on after Enough must do no harm.
                let _ = sending.body(piece, &mut out);
            }
            sending.finish(&mut out);
            out
        };
        let expected = [expected, b".\r\n"].concat();
        assert_eq!(top(&[message]), expected, "whole");
        assert_eq!(top(&message.chunks(1).collect::<Vec<_>>()), expected, "octet by octet");
        for at in 0..message.len() {
            let (first, second) = message.split_at(at);
            assert_eq!(top(&[first, second]), expected, "split at {at}");
        }
    }

    const MESSAGE: &[u8] = b"From: a\r\nTo: b\r\n\r\none\r\n\r\n.three\r\n";

    #[test]
    fn lines_of_the_body_are_counted() {
        check(0, MESSAGE, b"From: a\r\nTo: b\r\n\r\n");
        check(1, MESSAGE, b"From: a\r\nTo: b\r\n\r\none\r\n");
        check(2, MESSAGE, b"From: a\r\nTo: b\r\n\r\none\r\n\r\n");
        check(3, MESSAGE, b"From: a\r\nTo: b\r\n\r\none\r\n\r\n..three\r\n");
        check(u32::MAX, MESSAGE, b"From: a\r\nTo: b\r\n\r\none\r\n\r\n..three\r\n");
    }

    #[test]
    fn an_empty_header_ends_at_once() {
        check(0, b"\r\nbody\r\n", b"\r\n");
        check(1, b"\r\nbody\r\nmore\r\n", b"\r\nbody\r\n");
        check(0, b"\r\n", b"\r\n");
    }

    #[test]
    fn a_short_line_is_not_an_empty_one() {
        check(0, b"a\r\n\r\nb\r\n", b"a\r\n\r\n");
        check(0, b"a\r\r\n\r\nb\r\n", b"a\r\r\n\r\n");
        check(0, b"\ra\r\n\r\nb\r\n", b"\ra\r\n\r\n");
    }
}
