//! Which addresses a tenant's choice may lead to: those of the public internet, and what the operator says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Settings;

/// Not of the public internet, by IANA's registry of special-purpose addresses (RFC 6890) unless it says otherwise.
const REFUSED_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),        // "this network": 0.0.0.0 reaches this very machine
    v4([10, 0, 0, 0], 8),       // private (RFC 1918)
    v4([100, 64, 0, 0], 10),    // carrier-grade NAT (RFC 6598)
    v4([127, 0, 0, 0], 8),      // loopback
    v4([168, 63, 129, 16], 32), // Azure's platform, answers only to machines there; in no registry
    v4([169, 254, 0, 0], 16),   // link-local, where clouds serve credentials to their machines
    v4([172, 16, 0, 0], 12),    // private
    v4([192, 0, 0, 0], 24),     // IETF protocols
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // relays of 6to4, given up (RFC 7526)
    v4([192, 168, 0, 0], 16),   // private
    v4([198, 18, 0, 0], 15),    // benchmarks
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved; broadcast
];

/// All that is global unicast today. Unspecified, loopback, IPv4-compatible (`::/96`), local NAT64 (`64:ff9b:1::/48`), discard,
/// unique local, link-local, site-local and multicast addresses are outside.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0], 3);
/// What is inside and not of the public internet all the same.
const REFUSED_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0], 23), // IETF protocols, with Teredo (an IPv4 address is hidden in it), benchmarks, ORCHID
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x2002, 0, 0], 16), // 6to4, given up; an IPv4 address is in it
    v6([0x3fff, 0, 0], 20), // documentation (RFC 9637)
];
/// NAT64 (RFC 6052): what counts is the IPv4 address in the last 32 bits.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c]: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// Judges addresses.
#[derive(Debug)]
pub(super) struct Permission {
    allow: Vec<IpNet>,
    refuse: Vec<IpNet>,
}

impl Permission {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { allow: settings.allow.clone(), refuse: settings.refuse.clone() }
    }

    /// Whether the operator allows anything besides the public internet.
    pub(super) fn allows_any(&self) -> bool {
        !self.allow.is_empty()
    }

    /// Whether a connection to this address may be made; one in clear only to where the operator allows it.
    pub(super) fn permits(&self, address: IpAddr, clear: bool) -> bool {
        let meant = meant(address);
        let is_in =
            |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address) || network.contains(&meant));
        is_in(&self.allow) || (!clear && is_public(meant) && !is_in(&self.refuse))
    }
}

/// The address that is reached by this one: the IPv4 address in a mapped one and in one of NAT64.
fn meant(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !REFUSED_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !REFUSED_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(allow: &[&str], refuse: &[&str]) -> Permission {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Permission::new(&Settings { allow: networks(allow), refuse: networks(refuse) })
    }

    #[track_caller]
    fn check(permission: &Permission, addresses: &[&str], expected: bool) {
        for address in addresses {
            let address = address.parse().unwrap();
            assert_eq!(permission.permits(address, false), expected, "{address}");
        }
    }

    /// The first and the last address of every refused range, and its neighbours outside of all.
    #[test]
    fn every_range_is_refused_from_end_to_end() {
        let nothing_said = permission(&[], &[]);
        let refused = [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("168.63.129.16", "168.63.129.16"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ];
        for (first, last) in refused {
            check(&nothing_said, &[first, last], false);
            for address in [first, last] {
                let embedded = [format!("::ffff:{address}"), format!("64:ff9b::{address}"), format!("::{address}")];
                check(&nothing_said, &embedded.each_ref().map(String::as_str), false);
            }
            let bits = |text: &str| text.parse::<Ipv4Addr>().unwrap().to_bits();
            let neighbours = [bits(first).checked_sub(1), bits(last).checked_add(1)];
            for neighbour in neighbours.into_iter().flatten().map(|bits| Ipv4Addr::from_bits(bits).to_string()) {
                check(&nothing_said, &[&neighbour, &format!("::ffff:{neighbour}")], true);
                check(&nothing_said, &[&format!("64:ff9b::{neighbour}")], true);
            }
        }
        check(&nothing_said, &["169.254.169.254", "100.100.100.200", "192.0.0.192", "255.255.255.255"], false);
        let refused_v6 = [
            "::",
            "::1",
            "::8.8.8.8",
            "64:ff9b:1::1",
            "64:ff9b::ffff:ffff:8.8.8.8",
            "100::1",
            "1fff:ffff::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "2002::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ];
        check(&nothing_said, &refused_v6, false);
        let public = ["8.8.8.8", "2000::1", "2001:200::1", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700::1111"];
        check(&nothing_said, &public, true);
        check(&nothing_said, &["3fff:1000::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"], true);
    }

    #[test]
    fn the_operator_excepts_and_adds() {
        let said = permission(&["127.0.0.2/32", "fd00::/8", "198.41.0.4/32"], &["198.41.0.0/16", "2606:4700::/32"]);
        check(&said, &["127.0.0.2", "::ffff:127.0.0.2", "fd00::1", "198.41.0.4", "198.40.0.1"], true);
        check(&said, &["127.0.0.1", "127.0.0.3", "fc00::1", "::1"], false);
        for (address, expected) in [("127.0.0.2", true), ("198.41.0.4", true), ("8.8.8.8", false), ("127.0.0.1", false)]
        {
            assert_eq!(said.permits(address.parse().unwrap(), true), expected, "{address} in clear");
        }
        check(&said, &["198.41.1.1", "::ffff:198.41.1.1", "64:ff9b::198.41.1.1", "2606:4700::1"], false);
    }
}
