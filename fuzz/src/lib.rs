//! What the targets share.
//!
//! An input's first octets steer (how it is cut, what is answered), the rest is what a peer sends.

use std::sync::Arc;
use std::time::Instant;

use mail_types::{Clock, DomainName, Random, SystemClock, Timestamp};
use sasl::Challenges;

/// A clock that stands still and randomness that repeats, so that an input always does the same.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000)
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }
}

impl Random for Still {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0x2a);
    }
}

/// Makes challenges that are the same in each run.
pub fn challenges() -> Challenges {
    let host = DomainName::parse("pop.acme.test").expect("a domain name");
    Challenges::new(host, Arc::new(Still), Arc::new(Still))
}

/// The octets that steer, and the rest. Too short an input has zeros in their place.
pub fn steered<const N: usize>(input: &[u8]) -> ([u8; N], &[u8]) {
    match input.split_first_chunk() {
        Some((steer, rest)) => (*steer, rest),
        None => ([0; N], b""),
    }
}

/// Cuts octets into pieces of 1 to 64 octets, of a length that varies; `0` does not cut.
pub fn cut(octets: &[u8], steer: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = octets;
    let mut state = u32::from(steer);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = if steer == 0 { rest.len() } else { 1 + (state >> 26) as usize };
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        Some(piece)
    })
}

/// Whether every CR and LF is part of a CRLF.
pub fn only_crlf(octets: &[u8]) -> bool {
    let mut before = 0;
    for &octet in octets {
        if (octet == b'\n') != (before == b'\r') {
            return false;
        }
        before = octet;
    }
    before != b'\r'
}
