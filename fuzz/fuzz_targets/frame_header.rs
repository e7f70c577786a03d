//! The header of stored frames: any octets are refused or read, and what was read is written the same again.
#![no_main]

// The file itself: the crate around it brings a PostgreSQL client and an object store.
#[path = "../../services/mailstore/src/bodies/frame.rs"]
#[allow(dead_code, unreachable_pub, rustdoc::broken_intra_doc_links)]
mod frame;

use frame::{FrameHeader, HEADER_LEN};
use libfuzzer_sys::fuzz_target;
use restante_fuzz::steered;

/// Octets that are not read, so that a later release may give them a meaning.
const UNREAD: std::ops::Range<usize> = 88..92;
const SUM: usize = 92;

fuzz_target!(|input: &[u8]| {
    let ([steer], rest) = steered(input);
    let mut octets = rest.to_vec();
    if steer != 0
        && let Some(header) = octets.get_mut(..HEADER_LEN)
    {
        // No input would find the magic and the checksum by itself.
        header[..4].copy_from_slice(b"RFR1");
        let sum = crc32c::crc32c(&header[..SUM]);
        header[SUM..].copy_from_slice(&sum.to_le_bytes());
    }
    let Ok(header) = FrameHeader::decode(&octets) else { return };
    assert_eq!(header.is_encrypted(), header.key_version != 0);
    assert_eq!(header.fixed(), octets[..header.fixed().len()]);
    let written = header.encode();
    assert_eq!(FrameHeader::decode(&written), Ok(header));
    if octets[UNREAD] == [0; 4] {
        assert_eq!(written, octets[..HEADER_LEN]);
    }
});
