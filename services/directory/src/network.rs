//! The network that a client is taken to be of: what is shared out, and slowed down, together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sqlx::types::ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A /24 of IPv4, a /48 of IPv6, or nothing (a Unix socket).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4([u8; 3]),
    V6([u8; 6]),
    Local,
}

impl Network {
    pub(crate) fn of(peer: Option<IpAddr>) -> Self {
        match peer.map(|peer| peer.to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }

    /// As it is shown; a Unix socket's client is on this machine.
    pub(crate) fn as_net(self) -> IpNet {
        match self {
            Self::V4([a, b, c]) => Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), 24).into(),
            Self::V6([a, b, c, d, e, f]) => {
                let octets = [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                Ipv6Net::new_assert(Ipv6Addr::from(octets), 48).into()
            }
            Self::Local => Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 32).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_network() {
        let of = |peer: &str| Network::of(peer.parse().ok());
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:ffff::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:1::1"));
        assert_eq!(Network::of(None), Network::Local);
    }
}
