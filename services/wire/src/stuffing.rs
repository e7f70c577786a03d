//! Writing the text of a multi-line response: a dot before every line that begins with one, and the termination octet
//! (RFC 1939 section 3).

use bytes::BytesMut;

/// Stuffs a text that comes in any pieces.
///
/// A line begins at the start of the text and after every CRLF. Nothing else is touched, and nothing is held back: all
/// that is remembered between two pieces is the last two octets.
#[derive(Debug)]
pub struct Stuffer {
    last_two: [u8; 2],
    /// Whether there may be anything to stuff.
    scan: bool,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Stuffer {
    /// At the start of a text, where a line begins.
    pub fn new() -> Self {
        Self { last_two: *b"\r\n", scan: true }
    }

    /// For a text of which it is known that none of its lines begins with a dot: it is passed on without being looked at.
    pub fn plain() -> Self {
        Self { scan: false, ..Self::new() }
    }

    /// Appends a piece of the text, stuffed, to `out`.
    pub fn stuff(&mut self, octets: &[u8], out: &mut BytesMut) {
        let mut copied = 0;
        // Dots are rarer than line ends, and most large messages (base64) have none at all.
        let scanned = if self.scan { octets } else { b"" };
        for dot in memchr::memchr_iter(b'.', scanned) {
            if self.line_begins_at(dot, octets) {
                out.extend_from_slice(octets.get(copied..dot).unwrap_or_default());
                out.extend_from_slice(b".");
                copied = dot;
            }
        }
        out.extend_from_slice(octets.get(copied..).unwrap_or_default());
        self.last_two = match octets {
            [] => self.last_two,
            [only] => [self.last_two[1], *only],
            [.., last_but_one, last] => [*last_but_one, *last],
        };
    }

    /// Ends the text: a CRLF if its last line has none, then the line with the termination octet.
    pub fn finish(self, out: &mut BytesMut) {
        if self.last_two != *b"\r\n" {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    fn line_begins_at(&self, at: usize, octets: &[u8]) -> bool {
        match at {
            0 => self.last_two == *b"\r\n",
            1 => self.last_two[1] == b'\r' && octets.first() == Some(&b'\n'),
            _ => octets.get(at - 2..at) == Some(b"\r\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &[u8]) {
        let stuffed = |pieces: &[&[u8]]| {
            let mut out = BytesMut::new();
            let mut stuffer = Stuffer::new();
            for piece in pieces {
                stuffer.stuff(piece, &mut out);
            }
            stuffer.finish(&mut out);
            out
        };
        assert_eq!(stuffed(&[text]), expected, "whole");
        assert_eq!(stuffed(&text.chunks(1).collect::<Vec<_>>()), expected, "octet by octet");
        for at in 0..text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(stuffed(&[first, b"", second]), expected, "split at {at}");
        }
    }

    #[test]
    fn a_dot_at_the_beginning_of_a_line_is_doubled() {
        check(b".\r\n", b"..\r\n.\r\n");
        check(b".a\r\n..b\r\nc.\r\n", b"..a\r\n...b\r\nc.\r\n.\r\n");
        check(b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n");
    }

    #[test]
    fn a_text_known_to_need_nothing_is_not_looked_at() {
        let mut out = BytesMut::new();
        let mut stuffer = Stuffer::plain();
        stuffer.stuff(b"a\r\n.b", &mut out);
        stuffer.finish(&mut out);
        assert_eq!(out, &b"a\r\n.b\r\n.\r\n"[..]);
    }

    #[test]
    fn a_line_begins_after_crlf_only() {
        check(b"a\n.b\r.c\r\n", b"a\n.b\r.c\r\n.\r\n");
        check(b"a\r\r\n.b\r\n", b"a\r\r\n..b\r\n.\r\n");
    }

    #[test]
    fn the_termination_stands_on_a_line_of_its_own() {
        check(b"", b".\r\n");
        check(b"\r\n", b"\r\n.\r\n");
        check(b"a", b"a\r\n.\r\n");
        check(b"a\r", b"a\r\r\n.\r\n");
        check(b".", b"..\r\n.\r\n");
    }

    proptest::proptest! {
        /// What a client gets back is the text, with the CRLF that its last line lacked.
        #[test]
        fn unstuffing_gives_the_text_back(
            text in proptest::collection::vec(proptest::sample::select(b"\r\n.ab".to_vec()), 0..200),
            piece in 1_usize..20,
        ) {
            let mut wire = BytesMut::new();
            let mut stuffer = Stuffer::new();
            for piece in text.chunks(piece) {
                stuffer.stuff(piece, &mut wire);
            }
            stuffer.finish(&mut wire);
            let mut back = Vec::new();
            let progress = crate::unstuffing::Unstuffer::new().feed(&mut wire, &mut |octets: &[u8]| back.extend_from_slice(octets));
            proptest::prop_assert_eq!(progress, crate::unstuffing::Progress::Done);
            proptest::prop_assert!(wire.is_empty(), "nothing follows the end");
            let mut expected = text;
            if !expected.is_empty() && !expected.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            proptest::prop_assert_eq!(back, expected);
        }
    }
}
