//! Byte-stuffing: stuffed and unstuffed again a text is the same; any octets are unstuffed as the rule has it, written down
//! here in the simplest way; and neither depends on how the octets are cut.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use restante_fuzz::{cut, steered};
use wire::stuffing::Stuffer;
use wire::unstuffing::{Progress, Unstuffer};

fn stuff<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> BytesMut {
    let (mut stuffer, mut out) = (Stuffer::new(), BytesMut::new());
    for piece in pieces {
        stuffer.stuff(piece, &mut out);
    }
    stuffer.finish(&mut out);
    out
}

/// The text, and what follows its end if that came.
fn unstuff<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let (mut unstuffer, mut text, mut wire) = (Unstuffer::new(), Vec::new(), BytesMut::new());
    let mut progress = Progress::NeedMore;
    for piece in pieces {
        wire.extend_from_slice(piece);
        progress = unstuffer.feed(&mut wire, &mut |octets: &[u8]| text.extend_from_slice(octets));
        assert!(progress == Progress::Done || wire.is_empty(), "octets are held back");
    }
    (text, (progress == Progress::Done).then(|| wire.to_vec()))
}

/// RFC 5321 section 4.5.2, over the whole wire at once. Of an unfinished end (`.` or `.` CR) nothing is text yet.
fn plainly_unstuffed(wire: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut text = Vec::new();
    let mut at = 0;
    while at < wire.len() {
        let line_begins = at == 0 || wire[..at].ends_with(b"\r\n");
        if line_begins && wire[at..].starts_with(b".\r\n") {
            return (text, Some(wire[at + 3..].to_vec()));
        }
        if line_begins && wire[at] == b'.' {
            at += 1;
            if wire[at..] == *b"\r" {
                break;
            }
            continue;
        }
        text.push(wire[at]);
        at += 1;
    }
    (text, None)
}

fuzz_target!(|input: &[u8]| {
    let ([steer], octets) = steered(input);

    let stuffed = stuff(cut(octets, 0));
    assert_eq!(stuff(cut(octets, steer)), stuffed);
    let (text, rest) = unstuff(cut(&stuffed, steer));
    assert_eq!(rest.as_deref(), Some(&b""[..]), "the end is the end, and no octet before it is");
    let mut expected = octets.to_vec();
    if !octets.is_empty() && !octets.ends_with(b"\r\n") {
        expected.extend_from_slice(b"\r\n");
    }
    assert_eq!(text, expected);

    let whole = unstuff(cut(octets, 0));
    assert_eq!(unstuff(cut(octets, steer)), whole);
    assert_eq!(plainly_unstuffed(octets), whole);
});
