//! The reverse of dot-stuffing, for the body that follows SMTP's and LMTP's DATA (RFC 5321 section 4.5.2).
//!
//! One rule, and nothing beside it: lines end in CRLF. Only CRLF `.` CRLF ends the body (its beginning counts as after a CRLF),
//! only a dot right after a CRLF is taken away, and every other octet, a bare CR or LF and a NUL included, passes untouched.
//! A server that also took LF `.` LF or CR `.` CR for the end would read as commands what another server on the way
//! took for the inside of a message ("SMTP smuggling").

use bytes::{Buf as _, BytesMut};
use memchr::memmem::Finder;

/// Where a body stands after some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All input was consumed and the body goes on.
    NeedMore,
    /// The body has ended; what is left in the input follows it.
    Done,
}

/// What the octets read so far end in. The names tell what stands right before the next octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing that matters.
    Text,
    /// A CR that was passed on.
    Cr,
    /// A CRLF, or nothing at all.
    LineStart,
    /// A CRLF and a dot that was taken away.
    Dot,
    /// A CRLF, a dot that was taken away, and a CR that is still held back.
    DotCr,
    /// The end.
    Done,
}

/// Decodes one body as it arrives, in pieces of any length; holds no octets of it.
#[derive(Debug, Clone)]
pub struct Unstuffer {
    state: State,
    stuffed_line: Finder<'static>,
}

impl Default for Unstuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Unstuffer {
    /// At the beginning of a body.
    pub fn new() -> Self {
        Self { state: State::LineStart, stuffed_line: Finder::new(b"\r\n.") }
    }

    /// Consumes `input` up to its end or the body's, whichever comes first, and gives the decoded octets to `sink` in pieces
    /// that are never empty. After [`Progress::Done`] nothing is consumed any more.
    pub fn feed(&mut self, input: &mut BytesMut, sink: &mut impl FnMut(&[u8])) -> Progress {
        while let Some(&octet) = input.first() {
            self.state = match (self.state, octet) {
                (State::Text, _) => self.text(input, sink),
                (State::Cr, b'\n') => {
                    sink(b"\n");
                    input.advance(1);
                    State::LineStart
                }
                (State::LineStart, b'.') => {
                    input.advance(1);
                    State::Dot
                }
                (State::Dot, b'\r') => {
                    input.advance(1);
                    State::DotCr
                }
                (State::DotCr, b'\n') => {
                    input.advance(1);
                    State::Done
                }
                (State::DotCr, _) => {
                    sink(b"\r");
                    State::Cr
                }
                (State::Cr | State::LineStart | State::Dot, _) => State::Text,
                (State::Done, _) => return Progress::Done,
            };
        }
        if self.state == State::Done { Progress::Done } else { Progress::NeedMore }
    }

    /// Passes on everything up to and with the next CRLF that a dot follows, or all of it, in one piece.
    fn text(&self, input: &mut BytesMut, sink: &mut impl FnMut(&[u8])) -> State {
        if let Some(at) = self.stuffed_line.find(input) {
            sink(&input.split_to(at + 2));
            return State::LineStart;
        }
        let state = match input.as_ref() {
            [.., b'\r', b'\n'] => State::LineStart,
            [.., b'\r'] => State::Cr,
            _ => State::Text,
        };
        sink(input);
        input.clear();
        state
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The decoded body and what follows it, if the body ends in `pieces`.
    fn unstuff<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
        let (mut unstuffer, mut body, mut rest) = (Unstuffer::new(), Vec::new(), BytesMut::new());
        let mut progress = Progress::NeedMore;
        for piece in pieces {
            rest.extend_from_slice(piece);
            progress = unstuffer.feed(&mut rest, &mut |octets| {
                assert!(!octets.is_empty(), "an empty piece");
                body.extend_from_slice(octets);
            });
            assert!(progress == Progress::Done || rest.is_empty(), "unconsumed input in the middle");
        }
        (body, (progress == Progress::Done).then(|| rest.to_vec()))
    }

    /// The definition, read off the octets before each place.
    fn naive(wire: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut body = Vec::new();
        let mut at = 0;
        while at < wire.len() {
            let after_crlf = at == 0 || wire[..at].ends_with(b"\r\n");
            if after_crlf && wire[at..].starts_with(b".\r\n") {
                return (body, Some(wire[at + 3..].to_vec()));
            }
            if !(after_crlf && wire[at] == b'.') {
                body.push(wire[at]);
            }
            at += 1;
        }
        // A CR after a lone dot may be the middle of the end: it is not passed on before the next octet is known.
        if wire == b".\r" || wire.ends_with(b"\r\n.\r") {
            body.pop();
        }
        (body, None)
    }

    /// Whole, octet by octet, and split in two and in three at every position.
    #[track_caller]
    fn check(wire: &str, body: &str, rest: Option<&str>) {
        let wire = wire.as_bytes();
        let expected = (body.as_bytes().to_vec(), rest.map(|rest| rest.as_bytes().to_vec()));
        assert_eq!(naive(wire), expected, "the reference");
        assert_eq!(unstuff([wire]), expected, "whole");
        assert_eq!(unstuff(wire.chunks(1)), expected, "octet by octet");
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(unstuff(pieces), expected, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn crlf_dot_crlf_ends_a_body() {
        check("a\r\n.\r\n", "a\r\n", Some(""));
        check("a\r\n.\r\nQUIT\r\n.\r\n", "a\r\n", Some("QUIT\r\n.\r\n"));
        check("a\r\n\r\n.\r\n", "a\r\n\r\n", Some(""));
        check("a\r\n", "a\r\n", None);
        check("", "", None);
    }

    #[test]
    fn the_beginning_counts_as_after_a_crlf() {
        check(".\r\n", "", Some(""));
        check(".\r\n.\r\n", "", Some(".\r\n"));
        check("..\r\n.\r\n", ".\r\n", Some(""));
        check("\r\n.\r\n", "\r\n", Some(""));
    }

    #[test]
    fn only_a_dot_after_crlf_is_taken_away() {
        check("..a\r\n.b\r\n...\r\n.\r\n", ".a\r\nb\r\n..\r\n", Some(""));
        check("a.b\r\n .\r\n.\r\n", "a.b\r\n .\r\n", Some(""));
        check("a\n.b\n..c\r.d\r\n.\r\n", "a\n.b\n..c\r.d\r\n", Some(""));
        check("\n.\n\r.\r.\r\r\n.\r\n", "\n.\n\r.\r.\r\r\n", Some(""));
    }

    #[test]
    fn nothing_else_ends_a_body() {
        for middle in ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\n.\r", "\r\r.\r\n", "\r\n\n.\r\n", "\0\n.\r\n"] {
            check(&format!("a{middle}b\r\n.\r\n"), &format!("a{middle}b\r\n"), Some(""));
        }
        // After a CRLF the dot is taken away, whatever follows it.
        for after in ["\n", "\r", "\rb", "\r\r\n", "\0\r\n", " \r\n"] {
            check(&format!("a\r\n.{after}b\r\n.\r\n"), &format!("a\r\n{after}b\r\n"), Some(""));
        }
        check("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", Some(""));
        check("a\r\n.\r", "a\r\n", None);
        check("a\r\n.\r\r", "a\r\n\r\r", None);
    }

    proptest! {
        #[test]
        fn any_octets_in_any_pieces_decode_as_defined(
            wire in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..48),
            piece in 1..7_usize,
        ) {
            prop_assert_eq!(unstuff(wire.chunks(piece)), naive(&wire));
        }
    }
}
