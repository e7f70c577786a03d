//! Lines of bounded length from octets that arrive in any pieces.
//!
//! A line ends in CRLF. A bare LF ends it too: some clients type commands so. This is for commands only; message data goes
//! through [`crate::unstuffing`], where a bare LF ends nothing.

use bytes::{Bytes, BytesMut};

/// Above this capacity an emptied buffer is given back, so that an idle session holds next to nothing.
const KEPT_CAPACITY: usize = 1024;

/// One line, or the news that there was one which nobody may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The octets without their line end.
    Complete(Bytes),
    /// Longer than the bound. Told once, as soon as it is known; the rest of that line is dropped.
    TooLong,
}

/// Cuts a stream of octets into lines of at most `max` octets.
///
/// What [`LineBuffer::feed`] is given is held until it is taken; whoever feeds while lines are waiting bounds the total by
/// looking at [`LineBuffer::len`].
#[derive(Debug)]
pub struct LineBuffer {
    buffer: BytesMut,
    /// Octets of `buffer` already known to hold no LF, so that a line which comes octet by octet is scanned once.
    scanned: usize,
    max: usize,
    /// In the middle of a line already reported as too long.
    dropping: bool,
}

impl LineBuffer {
    /// Lines of at most `max` octets, their line end counted.
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max, dropping: false }
    }

    /// Changes the bound for the lines that are taken from now on.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Takes octets from the peer.
    pub fn feed(&mut self, mut octets: &[u8]) {
        if self.dropping {
            match memchr::memchr(b'\n', octets) {
                Some(end) => {
                    self.dropping = false;
                    octets = octets.get(end + 1..).unwrap_or_default();
                }
                None => return,
            }
        }
        self.buffer.extend_from_slice(octets);
    }

    /// The next line, or `None` until more octets come.
    pub fn next_line(&mut self) -> Option<Line> {
        let unscanned = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', unscanned).map(|at| self.scanned + at + 1) else {
            // With its line end it can only become longer than `max`.
            if self.buffer.len() >= self.max {
                self.clear();
                self.dropping = true;
                return Some(Line::TooLong);
            }
            self.scanned = self.buffer.len();
            return None;
        };
        self.scanned = 0;
        let mut line = self.buffer.split_to(end);
        self.give_back();
        if end > self.max {
            return Some(Line::TooLong);
        }
        line.truncate(end - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 2);
        }
        Some(Line::Complete(line.freeze()))
    }

    /// Octets held that were not taken as lines.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Everything after the last line taken, as it came: the beginning of message data.
    pub fn take_rest(&mut self) -> Bytes {
        self.scanned = 0;
        std::mem::take(&mut self.buffer).freeze()
    }

    /// Forgets what is held.
    pub fn clear(&mut self) {
        self.scanned = 0;
        self.buffer.clear();
        self.give_back();
    }

    fn give_back(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_CAPACITY {
            self.buffer = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `input`, the same whole, octet by octet and split at every position.
    #[track_caller]
    fn check(max: usize, input: &[u8], expected: &[Option<&[u8]>]) {
        let expected: Vec<Line> = expected
            .iter()
            .map(|line| line.map_or(Line::TooLong, |line| Line::Complete(Bytes::copy_from_slice(line))))
            .collect();
        let lines = |pieces: &[&[u8]]| {
            let mut buffer = LineBuffer::new(max);
            let mut lines = Vec::new();
            for piece in pieces {
                buffer.feed(piece);
                while let Some(line) = buffer.next_line() {
                    lines.push(line);
                }
                assert!(buffer.len() < max, "holds more than a line");
            }
            lines
        };
        assert_eq!(lines(&[input]), expected, "whole");
        assert_eq!(lines(&input.chunks(1).collect::<Vec<_>>()), expected, "octet by octet");
        for at in 0..input.len() {
            let (first, second) = input.split_at(at);
            assert_eq!(lines(&[first, second]), expected, "split at {at}");
        }
    }

    #[test]
    fn lines_end_in_crlf_or_lf() {
        check(10, b"", &[]);
        check(10, b"NOOP", &[]);
        check(10, b"NOOP\r\n", &[Some(b"NOOP")]);
        check(10, b"NOOP\nSTAT\r\n", &[Some(b"NOOP"), Some(b"STAT")]);
        check(10, b"\r\n\n", &[Some(b""), Some(b"")]);
        check(10, b"a\rb\r\r\n", &[Some(b"a\rb\r")]);
    }

    #[test]
    fn a_line_over_the_bound_is_told_once() {
        check(6, b"NOOP\r\n", &[Some(b"NOOP")]);
        check(6, b"NOOPS\n", &[Some(b"NOOPS")]);
        check(6, b"NOOPS\r\nSTAT\r\n", &[None, Some(b"STAT")]);
        check(6, b"0123456789012345678901\r\nSTAT\r\n01234567\r\n", &[None, Some(b"STAT"), None]);
        check(6, b"012345", &[None]);
    }

    #[test]
    fn the_rest_is_raw() {
        let mut buffer = LineBuffer::new(100);
        buffer.feed(b"DATA\r\n.a\r\n");
        assert_eq!(buffer.next_line(), Some(Line::Complete(Bytes::from_static(b"DATA"))));
        assert_eq!(buffer.take_rest(), Bytes::from_static(b".a\r\n"));
        assert!(buffer.is_empty());
    }
}
