//! Mending of delivered messages: any octets become a message that POP3 can send, however they are cut; what was learned on
//! the way is true; and a mended message is left as it is.
#![no_main]

// The file itself: the crate around it brings a PostgreSQL client and an object store.
#[path = "../../services/mailstore/src/mend.rs"]
#[allow(dead_code, unreachable_pub)]
mod mend;

use libfuzzer_sys::fuzz_target;
use mend::{Mender, Shape, traits};
use restante_fuzz::{cut, only_crlf, steered};

fn mended<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Shape) {
    let (mut mender, mut out) = (Mender::default(), Vec::new());
    for piece in pieces {
        let before = out.len();
        mender.feed(piece, &mut out);
        assert!(out.len() - before <= 2 * piece.len() + 2, "more than was promised");
    }
    let shape = mender.finish(&mut out);
    (out, shape)
}

/// The rule, over the whole text at once.
fn plainly_mended(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            [b'\r', b'\n', ..] => {
                out.extend_from_slice(b"\r\n");
                at += 1;
            }
            [b'\r' | b'\n', ..] => out.extend_from_slice(b"\r\n"),
            [0, ..] => out.push(0x80),
            [octet, ..] => out.push(octet),
            [] => {}
        }
        at += 1;
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    if !out.starts_with(b"\r\n") && !out.windows(4).any(|window| window == b"\r\n\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let ([steer], text) = steered(input);
    let (out, shape) = mended(cut(text, 0));
    assert_eq!(mended(cut(text, steer)), (out.clone(), shape));
    assert_eq!(out, plainly_mended(text));

    assert!(only_crlf(&out) && out.ends_with(b"\r\n") && !out.contains(&0));
    assert_eq!(shape.octets, out.len() as u64);
    let (head, body) = out.split_at(usize::try_from(shape.head_octets).expect("within the message"));
    assert!(head == b"\r\n" || head.ends_with(b"\r\n\r\n"), "the header ends in its empty line");
    assert!(head == b"\r\n" || !head[..head.len() - 2].windows(4).any(|window| window == b"\r\n\r\n"));
    assert_eq!(shape.body_lines, body.iter().filter(|octet| **octet == b'\n').count() as u64);
    let has_dot = |part: &[u8]| part.starts_with(b".") || part.windows(3).any(|window| window == b"\r\n.");
    for (bit, expected) in [
        (traits::HEAD_DOT, has_dot(head)),
        (traits::BODY_DOT, has_dot(body)),
        (traits::HEAD_UTF8, !head.is_ascii()),
        (traits::BODY_8BIT, !body.is_ascii()),
        (traits::MENDED, out != text),
    ] {
        assert_eq!(shape.traits & bit != 0, expected, "trait {bit}");
    }

    let (again, second) = mended(cut(&out, steer));
    assert_eq!(again, out);
    assert_eq!(Shape { traits: second.traits | shape.traits & traits::MENDED, ..second }, shape);
});
