//! So many requests of one address in a minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// The most addresses that are counted in one minute; further ones share one count.
const MOST_ADDRESSES: usize = 100_000;

/// Counts by the minute of the clock: nothing has to be forgotten one by one.
#[derive(Debug)]
pub(super) struct PerAddress {
    most: u32,
    counts: Mutex<(u64, HashMap<IpAddr, u32>)>,
}

impl PerAddress {
    pub(super) fn new(most: u32) -> Self {
        Self { most, counts: Mutex::new((0, HashMap::new())) }
    }

    /// Counts a request in this minute; whether it may be answered.
    pub(super) fn admits(&self, address: IpAddr, minute: u64) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, counts) = &mut *counts;
        if *of != minute {
            *of = minute;
            counts.clear();
        }
        let network = network(address);
        let full = counts.len() >= MOST_ADDRESSES && !counts.contains_key(&network);
        let count = counts.entry(if full { Ipv6Addr::UNSPECIFIED.into() } else { network }).or_default();
        *count = count.saturating_add(1);
        *count <= self.most
    }
}

/// One customer of an access provider has a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_each_minute_a_new_one() {
        let rate = PerAddress::new(2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!([7, 7, 7, 8].map(|minute| rate.admits(one, minute)), [true, true, false, true]);
        assert_eq!([other, neighbour, other].map(|address| rate.admits(address, 8)), [true, true, false]);
        assert!(rate.admits("::ffff:192.0.2.1".parse().unwrap(), 8));
        assert!(!rate.admits(one, 8), "mapped or not, it is one address");
    }
}
