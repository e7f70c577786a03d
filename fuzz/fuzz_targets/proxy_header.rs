//! The PROXY protocol's header: any octets are answered alike however they come, no octet behind a header is asked for, and
//! no header is believed whose checksum is wrong.
#![no_main]

// The file itself: the crate around it brings TLS and more.
#[path = "../../services/net/src/proxy.rs"]
#[allow(dead_code, unreachable_pub)]
mod proxy;

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use proxy::{Client, HeaderError, MAX_V1_OCTETS, Progress, parse};
use restante_fuzz::steered;

/// Reads as from a socket: what is asked for, and no more.
fn read(octets: &[u8], max: usize) -> Option<Result<(Client, usize), HeaderError>> {
    let mut have = 0;
    loop {
        match parse(&octets[..have], max) {
            Err(error) => return Some(Err(error)),
            Ok(Progress::Header(client, length)) => {
                assert_eq!(length, have, "more was asked for than the header has");
                return Some(Ok((client, length)));
            }
            Ok(Progress::NeedMore(more)) => {
                assert!(more > 0 && have + more <= max.max(MAX_V1_OCTETS), "unbounded");
                let there = octets.len() - have;
                for fewer in 1..more.min(there + 1).min(40) {
                    let next = parse(&octets[..have + fewer], max);
                    assert!(!matches!(next, Ok(Progress::Header(..))), "shorter than was said");
                }
                if more > there {
                    return None;
                }
                have += more;
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let ([steer], rest) = steered(input);
    let max = if steer & 1 == 0 { 4096 } else { 256 };
    // Half of the inputs get the checksum that fits, where they have room for one, so that what is behind it is reached.
    let mut octets = rest.to_vec();
    let mut summed = false;
    if steer & 2 != 0
        && let Some(length) = octets.get(14..16)
    {
        let end = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        if octets.len() >= end && octets[12..14] == [0x21, 0x11] && octets.get(28..31) == Some(&[3, 0, 4]) && end >= 35
        {
            octets[31..35].fill(0);
            let sum = crc32c::crc32c(&octets[..end]);
            octets[31..35].copy_from_slice(&sum.to_be_bytes());
            summed = true;
        }
    }

    let whole = parse(&octets, max);
    match read(&octets, max) {
        Some(Ok((client, length))) => {
            assert_eq!(whole, Ok(Progress::Header(client, length)));
            if let Client::Address(IpAddr::V6(address)) = client {
                assert!(address.to_ipv4_mapped().is_none(), "IPv4 in IPv6's clothes");
            }
            let header = &octets[..length];
            if header.starts_with(b"PROXY ") {
                assert!(length <= MAX_V1_OCTETS && header.ends_with(b"\r\n"));
                assert_eq!(header.iter().filter(|octet| matches!(octet, b'\r' | b'\n')).count(), 2);
            } else {
                assert!(length <= max);
                // One changed bit, anywhere but where it makes the checksum another field or the header another's.
                if summed && matches!(client, Client::Address(_)) {
                    let place = 16 + usize::from(steer) % (length - 16);
                    if place != 28 {
                        let mut damaged = header.to_vec();
                        damaged[place] ^= 1;
                        assert!(!matches!(parse(&damaged, max), Ok(Progress::Header(..))), "octet {place}");
                    }
                }
            }
        }
        Some(Err(_)) => assert!(whole.is_err(), "{whole:?}"),
        None => assert!(!matches!(whole, Ok(Progress::Header(..)))),
    }
});
