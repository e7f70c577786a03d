//! How many connections are taken, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;

use crate::Peer;

/// Bounds of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or one IPv6 network of 64 bits. Unix sockets have no address and know
    /// only the first bound.
    pub connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000, connections_per_address: 100 }
    }
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Total,
    Address,
}

impl Refused {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Total => "connections",
            Self::Address => "connections_per_address",
        }
    }
}

/// Who is connected now.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A place in the gate, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    network: Option<IpAddr>,
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// A place for a connection whose peer is known.
    pub(crate) fn enter(self: &Arc<Self>, peer: &Peer) -> Result<Place, Refused> {
        self.enter_unknown()?.known(peer)
    }

    /// A place for a connection whose peer is not known yet: it counts in all, and for no address.
    pub(crate) fn enter_unknown(self: &Arc<Self>) -> Result<Place, Refused> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.limits.connections {
            return Err(Refused::Total);
        }
        taken.total += 1;
        Ok(Place { gate: Arc::clone(self), network: None })
    }
}

impl Place {
    /// Counts it for its peer's address, too; if that one has too many, the place is given back.
    pub(crate) fn known(mut self, peer: &Peer) -> Result<Self, Refused> {
        let Some(network) = peer.address.map(network) else { return Ok(self) };
        {
            let mut taken = self.gate.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let from_there = taken.by_network.entry(network).or_default();
            if *from_there >= self.gate.limits.connections_per_address {
                return Err(Refused::Address);
            }
            *from_there += 1;
        }
        self.network = Some(network);
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.gate.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(from_there) = taken.by_network.get_mut(&network)
        {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                taken.by_network.remove(&network);
            }
        }
    }
}

/// What counts as one address: one customer commonly has a whole IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer { address: Some(address.parse().unwrap()), unix: false }
    }

    #[test]
    fn places_are_counted_in_all_and_by_network() {
        let gate = Gate::new(Limits { connections: 3, connections_per_address: 2 });
        let first = gate.enter(&peer("192.0.2.1")).unwrap();
        let _second = gate.enter(&peer("::ffff:192.0.2.1")).unwrap();
        assert_eq!(gate.enter(&peer("192.0.2.1")).unwrap_err(), Refused::Address);
        let _third = gate.enter(&peer("2001:db8::1")).unwrap();
        assert_eq!(gate.enter(&Peer { address: None, unix: true }).unwrap_err(), Refused::Total);
        drop(first);
        assert!(gate.enter(&peer("192.0.2.1")).is_ok(), "its place was given back");
        assert!(gate.enter(&peer("2001:db8::2")).is_ok());
        let _fourth = gate.enter(&peer("2001:db8::2")).unwrap();
        drop(_third);
        drop(_fourth);
        assert_eq!(gate.taken.lock().unwrap().by_network.len(), 1, "nothing is kept of those who left");
    }
}
