//! Trace headers: what is put before the first octet of a delivered message, once, in this order and unfolded: `Return-Path`,
//! `Delivered-To`, `Received` (RFC 5321 section 4.4).

use std::net::IpAddr;

use mail_types::{ReversePath, Timestamp, rfc5322_date};

/// The `Received` line without its CRLF. `protocol` is `LMTP`, `LMTPS` or `HTTP`; a peer on a Unix socket has no address and is
/// shown as this machine.
pub fn received_line(lhlo: &str, peer: Option<IpAddr>, host: &str, protocol: &str, id: &str, at: Timestamp) -> String {
    let peer = match peer.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"), // RFC 5321 section 4.1.3
        None => "[127.0.0.1]".to_owned(),
    };
    format!("Received: from {lhlo} ({peer}) by {host} with {protocol} id {id}; {}", rfc5322_date(at))
}

/// A copy's own first lines.
pub(crate) fn prefix(reverse_path: &ReversePath, given: &str) -> String {
    format!("Return-Path: <{}>\r\nDelivered-To: {given}\r\n", reverse_path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_design() {
        let at = Timestamp::from_unix_ms(0);
        let line = |peer: &str| received_line("mx.test", peer.parse().ok(), "mail.test", "LMTPS", "7", at);
        assert_eq!(
            line("192.0.2.1"),
            "Received: from mx.test ([192.0.2.1]) by mail.test with LMTPS id 7; Thu, 01 Jan 1970 00:00:00 +0000"
        );
        assert_eq!(line("::ffff:192.0.2.1"), line("192.0.2.1"));
        assert!(line("2001:db8::1").contains("([IPv6:2001:db8::1])"));
        let path = ReversePath::parse("a@b.test").unwrap();
        assert_eq!(prefix(&path, "C@d.test"), "Return-Path: <a@b.test>\r\nDelivered-To: C@d.test\r\n");
    }
}
