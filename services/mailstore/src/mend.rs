//! Mending: what makes any octets a message that POP3 can send, once, at delivery or import. RETR never mends.
//!
//! From left to right: CRLF stays; any other CR or LF becomes CRLF (so CR CR LF is two line ends); NUL becomes 0x80; a text
//! that does not end in CRLF gets it; if no line is empty, one CRLF is appended; an empty message becomes CRLF.

use bytes::BufMut;

/// Bits of a frame's traits: what a reader may rely on without looking.
pub(crate) mod traits {
    /// A line of the body begins with a dot: RETR has to stuff.
    pub(crate) const BODY_DOT: u16 = 1;
    /// A line of the header begins with a dot.
    pub(crate) const HEAD_DOT: u16 = 1 << 1;
    /// The header has octets beyond ASCII (RFC 6532).
    pub(crate) const HEAD_UTF8: u16 = 1 << 2;
    /// The body has octets beyond ASCII.
    pub(crate) const BODY_8BIT: u16 = 1 << 3;
    /// Octets were mended.
    pub(crate) const MENDED: u16 = 1 << 4;
    /// Only in the catalog: the message has a row in `message_extras`.
    pub(crate) const EXTRAS: u16 = 1 << 15;
}

/// Mends a stream, chunk by chunk, and learns on the way where the header ends and what the lines are like.
#[derive(Debug, Default)]
pub(crate) struct Mender {
    /// The last octet was a CR that is not answered for yet.
    pending_cr: bool,
    /// Octets of the current line so far.
    line: u64,
    /// The header's octets with its empty line, once that was seen.
    head_octets: Option<u64>,
    octets: u64,
    body_lines: u64,
    traits: u16,
}

/// What is known of a message when it is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// All octets.
    pub(crate) octets: u64,
    /// Those of the header, its empty line included.
    pub(crate) head_octets: u64,
    /// Lines of the body.
    pub(crate) body_lines: u64,
    /// Bits of [`traits`].
    pub(crate) traits: u16,
}

impl Mender {
    /// Mends some octets into `out`: at most twice as many and two.
    pub(crate) fn feed(&mut self, mut input: &[u8], out: &mut impl BufMut) {
        if self.pending_cr
            && let Some((&first, rest)) = input.split_first()
        {
            self.pending_cr = false;
            if first == b'\n' {
                input = rest;
            } else {
                self.traits |= traits::MENDED;
            }
            self.end_line(out);
        }
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, input) {
            let (text, rest) = input.split_at(at);
            self.text(text, out);
            let (&octet, rest) = match rest.split_first() {
                Some(split) => split,
                None => break,
            };
            input = rest;
            match (octet, rest.first()) {
                (b'\r', Some(b'\n')) => {
                    input = rest.get(1..).unwrap_or_default();
                    self.end_line(out);
                }
                (b'\r', None) => self.pending_cr = true,
                (b'\r' | b'\n', _) => {
                    self.traits |= traits::MENDED;
                    self.end_line(out);
                }
                _ => {
                    self.traits |= traits::MENDED;
                    self.text(&[0x80], out);
                }
            }
        }
        self.text(input, out);
    }

    /// The end of the text: adds what is missing.
    pub(crate) fn finish(mut self, out: &mut impl BufMut) -> Shape {
        if self.pending_cr || self.line > 0 || self.octets == 0 {
            self.traits |= traits::MENDED;
            self.end_line(out);
        }
        if self.head_octets.is_none() {
            self.traits |= traits::MENDED;
            self.end_line(out);
        }
        Shape {
            octets: self.octets,
            head_octets: self.head_octets.unwrap_or(self.octets),
            body_lines: self.body_lines,
            traits: self.traits,
        }
    }

    /// Octets without CR, LF and NUL.
    fn text(&mut self, text: &[u8], out: &mut impl BufMut) {
        let Some(&first) = text.first() else { return };
        let in_head = self.head_octets.is_none();
        if self.line == 0 && first == b'.' {
            self.traits |= if in_head { traits::HEAD_DOT } else { traits::BODY_DOT };
        }
        if !text.is_ascii() {
            self.traits |= if in_head { traits::HEAD_UTF8 } else { traits::BODY_8BIT };
        }
        self.line += text.len() as u64;
        self.octets += text.len() as u64;
        out.put_slice(text);
    }

    fn end_line(&mut self, out: &mut impl BufMut) {
        out.put_slice(b"\r\n");
        self.octets += 2;
        if self.head_octets.is_some() {
            self.body_lines += 1;
        } else if self.line == 0 {
            self.head_octets = Some(self.octets);
        }
        self.line = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mend(input: &[u8], chunk: usize) -> (Vec<u8>, Shape) {
        let mut out = Vec::new();
        let mut mender = Mender::default();
        for part in input.chunks(chunk.max(1)) {
            mender.feed(part, &mut out);
        }
        let shape = mender.finish(&mut out);
        (out, shape)
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[u8], head: u64, lines: u64, bits: u16) {
        for chunk in 1..=input.len().max(1) {
            let (out, shape) = mend(input, chunk);
            assert_eq!(out, expected, "{input:?} in chunks of {chunk}");
            let want = Shape { octets: expected.len() as u64, head_octets: head, body_lines: lines, traits: bits };
            assert_eq!(shape, want, "{input:?} in chunks of {chunk}");
        }
    }

    #[test]
    fn mends_what_pop3_cannot_send() {
        use traits::*;
        check(b"", b"\r\n", 2, 0, MENDED);
        check(b"\r\n", b"\r\n", 2, 0, 0);
        check(b"a: b\r\n\r\nc\r\n", b"a: b\r\n\r\nc\r\n", 8, 1, 0);
        check(b"a: b\n\nc\n", b"a: b\r\n\r\nc\r\n", 8, 1, MENDED);
        check(b"a: b\r\rc\r", b"a: b\r\n\r\nc\r\n", 8, 1, MENDED);
        check(b"a\r\r\nb", b"a\r\n\r\nb\r\n", 5, 1, MENDED);
        check(b"a\n\r\nb\r\n", b"a\r\n\r\nb\r\n", 5, 1, MENDED);
        check(b"a: b", b"a: b\r\n\r\n", 8, 0, MENDED);
        check(b"a: b\r\n", b"a: b\r\n\r\n", 8, 0, MENDED);
        check(b"a: b\r\n\r\n", b"a: b\r\n\r\n", 8, 0, 0);
        check(b"a\0\r\n\r\n\0", b"a\x80\r\n\r\n\x80\r\n", 6, 1, MENDED | HEAD_UTF8 | BODY_8BIT);
    }

    #[test]
    fn knows_dots_and_eight_bit_octets() {
        use traits::*;
        check(b".a\r\n\r\nb\r\n", b".a\r\n\r\nb\r\n", 6, 1, HEAD_DOT);
        check(b"a\r\n\r\n.b\r\n", b"a\r\n\r\n.b\r\n", 5, 1, BODY_DOT);
        check(b"a\xc3\xbc\r\n\r\n\xff\r\n", b"a\xc3\xbc\r\n\r\n\xff\r\n", 7, 1, HEAD_UTF8 | BODY_8BIT);
    }

    #[test]
    fn mending_twice_changes_nothing() {
        for input in [&b"a\0\r\rb\n\n.\r"[..], b"", b"\n", b"x\r\n.\r\n"] {
            let (once, first) = mend(input, 3);
            let (twice, second) = mend(&once, 2);
            assert_eq!(once, twice);
            assert_eq!(
                (first.octets, first.head_octets, first.body_lines),
                (second.octets, second.head_octets, second.body_lines)
            );
        }
    }
}
