//! The PROXY protocol's header, versions 1 and 2, as HAProxy's specification has it: what a load balancer puts before the first
//! octet of a connection to say whose it is. Without I/O.
//!
//! A header is believed, so it is read strictly: whatever the specification does not allow is refused. Nothing after the
//! header is ever asked for: [`Progress::NeedMore`] counts octets that are certainly still the header's, so that a TLS handshake
//! or a command that follows stays in the socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest header of version 1, its CRLF included (section 2.1).
pub const MAX_V1_OCTETS: usize = 107;

/// The longest header of version 2 that there can be: 16 octets and what 16 bits can count (section 2.2).
pub const MAX_V2_OCTETS: usize = V2_FIXED + u16::MAX as usize;

/// `PROXY UNKNOWN` and CRLF: no header of any version is shorter.
const SHORTEST: usize = 15;
const V1_BEGIN: &[u8] = b"PROXY ";
const V2_BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of version 2 before the addresses.
const V2_FIXED: usize = 16;
/// The type of the field that holds the header's checksum (section 2.2.3).
const TYPE_CRC32C: u8 = 0x03;

/// Whose the connection is, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Of a client at this address; an IPv4 address in IPv6's clothes is given as IPv4.
    Address(IpAddr),
    /// Of a client that reached the sender over a Unix socket, so that it is on the sender's machine.
    OnProxy,
    /// The sender's own, for instance a health check, or it cannot say: the connection's own address counts.
    Proxy,
}

/// What some octets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The beginning of a header that has at least so many octets more; never 0.
    NeedMore(usize),
    /// A header of so many octets.
    Header(Client, usize),
}

/// Why octets are no header that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Neither version begins so.
    #[error("this is no PROXY protocol header")]
    NotAHeader,
    /// Longer than may be.
    #[error("the header is too long")]
    TooLong,
    /// A line of version 1 that breaks its rules.
    #[error("the line is not as version 1 has it")]
    BadLine,
    /// A command, or a version above 2.
    #[error("the header has a command or a version that is not known")]
    UnknownCommand,
    /// Addresses of a kind that does not exist.
    #[error("the header has addresses of a kind that is not known")]
    UnknownFamily,
    /// Of a protocol that has no connections.
    #[error("the header is about datagrams")]
    Datagram,
    /// The addresses or a field go beyond the end.
    #[error("the header is shorter than what it holds")]
    CutOff,
    /// Another than the header's.
    #[error("the checksum is wrong")]
    WrongChecksum,
}

/// Looks at the first octets of a connection. `max_v2_octets` bounds a header of version 2; one of version 1 is bounded by
/// [`MAX_V1_OCTETS`]. A header that is too long is refused by its first octets.
pub fn parse(octets: &[u8], max_v2_octets: usize) -> Result<Progress, HeaderError> {
    let begins = |begin: &[u8]| octets.iter().zip(begin).all(|(octet, expected)| octet == expected);
    if begins(V1_BEGIN) {
        if octets.len() < SHORTEST {
            return Ok(Progress::NeedMore(SHORTEST - octets.len()));
        }
        return parse_v1(octets);
    }
    if begins(V2_BEGIN) {
        return parse_v2(octets, max_v2_octets);
    }
    Err(HeaderError::NotAHeader)
}

/// Section 2.1: a line of text that ends in CRLF.
fn parse_v1(octets: &[u8]) -> Result<Progress, HeaderError> {
    let end = octets.iter().take(MAX_V1_OCTETS).position(|octet| matches!(octet, b'\r' | b'\n'));
    let Some(end) = end else {
        // The line end alone would pass the bound.
        return if octets.len() + 2 > MAX_V1_OCTETS { Err(HeaderError::TooLong) } else { Ok(Progress::NeedMore(2)) };
    };
    let length = end + 2;
    if length > MAX_V1_OCTETS {
        return Err(HeaderError::TooLong);
    }
    let Some(line_end) = octets.get(end..length) else {
        return if octets.ends_with(b"\r") { Ok(Progress::NeedMore(1)) } else { Err(HeaderError::BadLine) };
    };
    if line_end != b"\r\n" {
        return Err(HeaderError::BadLine);
    }
    let line = octets.get(V1_BEGIN.len()..end).unwrap_or_default();
    let client = line_v1(line).ok_or(HeaderError::BadLine)?;
    Ok(Progress::Header(client, length))
}

/// What stands after `PROXY `.
fn line_v1(line: &[u8]) -> Option<Client> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(Client::Proxy);
    }
    let [source, destination, source_port, destination_port] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() || !is_port(source_port) || !is_port(destination_port) {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    address(destination)?;
    Some(Client::Address(address(source)?.to_canonical()))
}

/// 0 to 65535, without leading zeros.
fn is_port(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
        && text.parse::<u16>().is_ok()
}

/// Section 2.2: binary.
fn parse_v2(octets: &[u8], max_octets: usize) -> Result<Progress, HeaderError> {
    let Some(fixed) = octets.first_chunk::<V2_FIXED>() else {
        // SHORTEST at first: until the beginning is whole it is as good as none.
        let known = if octets.len() < V2_BEGIN.len() { SHORTEST } else { V2_FIXED };
        return Ok(Progress::NeedMore(known - octets.len()));
    };
    let [.., command, family, length_high, length_low] = *fixed;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::UnknownCommand),
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([length_high, length_low]));
    if length > max_octets {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = octets.get(..length) else { return Ok(Progress::NeedMore(length - octets.len())) };
    // With LOCAL the family, and what there may be of addresses, is to be ignored.
    let client = if is_local { Client::Proxy } else { client_v2(header, family)? };
    Ok(Progress::Header(client, length))
}

/// The client of a whole header with the command PROXY.
fn client_v2(header: &[u8], family: u8) -> Result<Client, HeaderError> {
    let block = header.get(V2_FIXED..).unwrap_or_default();
    let (client, addresses) = match family {
        // Nothing is said of what follows, not even where addresses would end.
        0x00 => return Ok(Client::Proxy),
        0x11 => {
            let source = block.first_chunk::<4>().ok_or(HeaderError::CutOff)?;
            (Client::Address(Ipv4Addr::from(*source).into()), 4 + 4 + 2 + 2)
        }
        0x21 => {
            let source = block.first_chunk::<16>().ok_or(HeaderError::CutOff)?;
            (Client::Address(IpAddr::V6(Ipv6Addr::from(*source)).to_canonical()), 16 + 16 + 2 + 2)
        }
        0x31 => (Client::OnProxy, 108 + 108),
        0x12 | 0x22 | 0x32 => return Err(HeaderError::Datagram),
        _ => return Err(HeaderError::UnknownFamily),
    };
    check_fields(header, V2_FIXED + addresses)?;
    Ok(client)
}

/// The fields after the addresses: type, length in 16 bits, value. Only the checksum concerns us, and all of them have to fit.
fn check_fields(header: &[u8], begin: usize) -> Result<(), HeaderError> {
    let mut at = begin;
    let mut summed = false;
    while let Some([kind, length_high, length_low]) = header.get(at..).ok_or(HeaderError::CutOff)?.first_chunk() {
        let value = at + 3;
        let end = value + usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let octets = header.get(value..end).ok_or(HeaderError::CutOff)?;
        if *kind == TYPE_CRC32C {
            let sum = octets.try_into().map(u32::from_be_bytes).map_err(|_| HeaderError::WrongChecksum)?;
            if summed || sum != checksum(header, value, end) {
                return Err(HeaderError::WrongChecksum);
            }
            summed = true;
        }
        at = end;
    }
    if at == header.len() { Ok(()) } else { Err(HeaderError::CutOff) }
}

/// Of the whole header, the checksum's own four octets counted as zeros (section 2.2.3).
fn checksum(header: &[u8], begin: usize, end: usize) -> u32 {
    let sum = crc32c::crc32c(header.get(..begin).unwrap_or_default());
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    crc32c::crc32c_append(sum, header.get(end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 4096;

    fn address(text: &str) -> Client {
        Client::Address(text.parse().unwrap())
    }

    /// Parses as a connection is read: only what is asked for, and from every cut.
    fn read(octets: &[u8]) -> Result<(Client, usize), HeaderError> {
        let mut have = 0;
        loop {
            match parse(&octets[..have], MAX)? {
                Progress::Header(client, length) => {
                    assert_eq!(length, have, "no octet after the header was asked for");
                    return Ok((client, length));
                }
                Progress::NeedMore(more) => {
                    for fewer in 1..more.min(octets.len() - have) {
                        match parse(&octets[..have + fewer], MAX) {
                            Ok(Progress::NeedMore(_)) | Err(_) => {}
                            Ok(header) => panic!("{header:?} is shorter than was said"),
                        }
                    }
                    have += more;
                    assert!(have <= octets.len(), "more is asked for than the header has");
                }
            }
        }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_BEGIN, &[command, family], &length, block].concat()
    }

    /// 192.0.2.7:4000 to 198.51.100.1:110
    const V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x0f, 0xa0, 0, 110];

    fn with_fields(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut block = V4.to_vec();
        for (kind, value) in fields {
            block.push(*kind);
            block.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            block.extend_from_slice(value);
        }
        v2(0x21, 0x11, &block)
    }

    #[test]
    fn lines_of_version_1() {
        let longest6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for (line, client) in [
            ("TCP4 192.0.2.7 198.51.100.1 4000 110", address("192.0.2.7")),
            ("TCP4 255.255.255.255 255.255.255.255 65535 65535", address("255.255.255.255")),
            ("TCP4 0.0.0.0 0.0.0.0 0 0", address("0.0.0.0")),
            ("TCP6 2001:db8::1 ::1 1 2", address("2001:db8::1")),
            ("TCP6 ::ffff:192.0.2.7 ::1 1 2", address("192.0.2.7")),
            (&format!("TCP6 {longest6} {longest6} 65535 65535"), address(longest6)),
            ("UNKNOWN", Client::Proxy),
            (&format!("UNKNOWN {longest6} {longest6} 65535 65535"), Client::Proxy),
        ] {
            let header = format!("PROXY {line}\r\n");
            assert_eq!(read(header.as_bytes()), Ok((client, header.len())), "{line}");
            let followed = [header.as_bytes(), b"\x16\x03\x01"].concat();
            assert_eq!(parse(&followed, MAX), Ok(Progress::Header(client, header.len())), "{line}");
        }
    }

    #[test]
    fn lines_that_are_none() {
        for line in [
            "",
            "TCP4",
            "TCP4 192.0.2.7 198.51.100.1 4000",
            "TCP4 192.0.2.7 198.51.100.1 4000 110 ",
            "TCP4 192.0.2.7 198.51.100.1 4000 110 5",
            "TCP4  192.0.2.7 198.51.100.1 4000 110",
            "TCP4 192.0.2.07 198.51.100.1 4000 110",
            "TCP4 192.0.2 198.51.100.1 4000 110",
            "TCP4 192.0.2.7 198.51.100.256 4000 110",
            "TCP4 2001:db8::1 ::1 4000 110",
            "TCP6 192.0.2.7 198.51.100.1 4000 110",
            "TCP6 fe80::1%1 ::1 4000 110",
            "TCP4 192.0.2.7 198.51.100.1 65536 110",
            "TCP4 192.0.2.7 198.51.100.1 +400 110",
            "TCP4 192.0.2.7 198.51.100.1 04000 110",
            "TCP4 192.0.2.7 198.51.100.1 4000 ",
            "tcp4 192.0.2.7 198.51.100.1 4000 110",
            "UDP4 192.0.2.7 198.51.100.1 4000 110",
            "UNKNOWNS",
            "TCP4 192.0.2.7 198.51.100.1 4000\t110",
        ] {
            let header = format!("PROXY {line}                \r\n");
            assert_eq!(
                read(format!("PROXY {line}\r\n                ").as_bytes()),
                Err(HeaderError::BadLine),
                "{line}"
            );
            assert!(read(header.as_bytes()).is_err(), "{line}");
        }
        for octets in
            ["PROXY UNKNOWN\n      ", "PROXY UNKNOWN\r     ", "PROXY UNKNOWN\r\r\n    ", "PROXY \r\n             "]
        {
            assert_eq!(parse(octets.as_bytes(), MAX), Err(HeaderError::BadLine), "{octets:?}");
        }
    }

    #[test]
    fn a_line_has_at_most_107_octets() {
        let line = |octets: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(octets - 16));
        assert_eq!(read(line(107).as_bytes()), Ok((Client::Proxy, 107)));
        assert_eq!(read(line(108).as_bytes()), Err(HeaderError::TooLong));
        assert_eq!(parse(line(108).as_bytes(), MAX), Err(HeaderError::TooLong));
        assert_eq!(parse(&line(300).as_bytes()[..106], MAX), Err(HeaderError::TooLong), "without waiting for more");
    }

    #[test]
    fn headers_of_version_2() {
        let v6: Vec<u8> = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0; 4]].concat();
        let mapped: Vec<u8> = [&[0; 10][..], &[0xff; 2], &[192, 0, 2, 7], &[0; 16], &[0; 4]].concat();
        for (header, client) in [
            (v2(0x21, 0x11, V4), address("192.0.2.7")),
            (v2(0x21, 0x21, &v6), address("2001:db8::1")),
            (v2(0x21, 0x21, &mapped), address("192.0.2.7")),
            (v2(0x21, 0x31, &[b'/'; 216]), Client::OnProxy),
            (v2(0x21, 0x00, b""), Client::Proxy),
            (v2(0x21, 0x00, b"any"), Client::Proxy),
            (v2(0x20, 0x00, b""), Client::Proxy),
            (v2(0x20, 0x11, b"any"), Client::Proxy),
            (v2(0x20, 0xff, V4), Client::Proxy),
            (with_fields(&[(0x04, b""), (0xea, &[1; 300]), (0x02, b"pop.acme.test")]), address("192.0.2.7")),
        ] {
            assert_eq!(read(&header), Ok((client, header.len())), "{header:x?}");
            let followed = [&header[..], b"\x16\x03\x01"].concat();
            assert_eq!(parse(&followed, MAX), Ok(Progress::Header(client, header.len())), "{header:x?}");
        }
    }

    #[test]
    fn headers_of_version_2_that_are_none() {
        let cut_field = [V4, &[0x04, 0, 1]].concat();
        let cut_type = [V4, &[0x04, 0]].concat();
        for (header, error) in [
            (v2(0x22, 0x11, V4), HeaderError::UnknownCommand),
            (v2(0x11, 0x11, V4), HeaderError::UnknownCommand),
            (v2(0x31, 0x11, V4), HeaderError::UnknownCommand),
            (v2(0x21, 0x41, V4), HeaderError::UnknownFamily),
            (v2(0x21, 0x10, V4), HeaderError::UnknownFamily),
            (v2(0x21, 0x01, V4), HeaderError::UnknownFamily),
            (v2(0x21, 0x13, V4), HeaderError::UnknownFamily),
            (v2(0x21, 0x12, V4), HeaderError::Datagram),
            (v2(0x21, 0x32, &[0; 216]), HeaderError::Datagram),
            (v2(0x21, 0x11, b""), HeaderError::CutOff),
            (v2(0x21, 0x11, &V4[..11]), HeaderError::CutOff),
            (v2(0x21, 0x21, V4), HeaderError::CutOff),
            (v2(0x21, 0x31, &[0; 215]), HeaderError::CutOff),
            (v2(0x21, 0x11, &cut_field), HeaderError::CutOff),
            (v2(0x21, 0x11, &cut_type), HeaderError::CutOff),
        ] {
            assert_eq!(read(&header), Err(error), "{header:x?}");
        }
    }

    #[test]
    fn the_checksum_is_of_the_whole_header() {
        let mut header = with_fields(&[(0x04, b"abc"), (TYPE_CRC32C, &[0; 4]), (0x04, b"def")]);
        let place = V2_FIXED + 12 + 6 + 3;
        let sum = crc32c::crc32c(&header);
        header[place..place + 4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(read(&header), Ok((address("192.0.2.7"), header.len())));
        // All but the type that makes the field the checksum's.
        for at in (V2_FIXED..header.len()).filter(|at| *at != place - 3) {
            let mut damaged = header.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged).is_err(), "octet {at} is another");
        }
        for fields in [&[(TYPE_CRC32C, &b"abc"[..])][..], &[(TYPE_CRC32C, b"")], &[(TYPE_CRC32C, b"abcde")]] {
            assert_eq!(read(&with_fields(fields)), Err(HeaderError::WrongChecksum));
        }
        // Each of two would have to count the other.
        let mut twice = with_fields(&[(TYPE_CRC32C, &[0; 4]), (TYPE_CRC32C, &[0; 4])]);
        let sum = crc32c::crc32c(&twice);
        twice[V2_FIXED + 15..V2_FIXED + 19].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(read(&twice), Err(HeaderError::WrongChecksum));
    }

    #[test]
    fn a_long_header_is_refused_by_its_first_octets() {
        let long = v2(0x20, 0, &[0; 4080]);
        assert_eq!(parse(&long, MAX), Ok(Progress::Header(Client::Proxy, 4096)));
        let longer = v2(0x20, 0, &[0; 4081]);
        assert_eq!(parse(&longer[..V2_FIXED], MAX), Err(HeaderError::TooLong));
        assert!(matches!(parse(&longer[..V2_FIXED], MAX_V2_OCTETS), Ok(Progress::NeedMore(4081))));
    }

    #[test]
    fn what_is_no_header_is_known_by_its_first_octets() {
        for octets in [&b"QUIT\r\n"[..], b"\x16\x03\x01", b"P\r\n", b"proxy ", b"\r\n\r\n\0\r\nQUIT\r\n", b"\n"] {
            assert_eq!(parse(octets, MAX), Err(HeaderError::NotAHeader), "{octets:?}");
        }
        assert_eq!(parse(b"", MAX), Ok(Progress::NeedMore(15)));
        assert_eq!(parse(b"PROXY UNKNOWN", MAX), Ok(Progress::NeedMore(2)));
        assert_eq!(parse(&V2_BEGIN[..11], MAX), Ok(Progress::NeedMore(4)));
    }
}
