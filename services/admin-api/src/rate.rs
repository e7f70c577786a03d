//! How often somebody may ask: the generic cell rate algorithm (GCRA), which keeps one moment for each and needs no timer. Kept in
//! this process's memory: with several processes behind one name the bound is that much wider, and a restart forgives.
//!
//! - A caller (an API key, a person) has a bound of its own, whatever its address.
//! - Operations that need no caller are bounded by the address that asks.
//! - Failed authentications are counted by address too. Over the bound nothing unknown is looked up for that address, so guessing costs
//!   the database nothing; a token that was right lately is still taken, so that nobody behind the same address is locked out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use prometheus::{IntCounterVec, register_int_counter_vec};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests to the admin API that came too often, by what was counted.";
    register_int_counter_vec!("restante_admin_rate_limited_total", help, &["by"]).expect("a new metric")
});

/// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// `RateLimit`.
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// `[admin.rate_limit]`: how often somebody may ask, each process for itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// The window that the numbers below are for, seconds. Default 60.
    pub window_seconds: u32,
    /// Requests of one API key or person in a window; 0: no bound. Default 6000.
    pub per_caller: u32,
    /// Requests without a caller (signing in) from one address in a window; 0: no bound. Default 300.
    pub per_address: u32,
    /// Failed authentications from one address in a window; 0: no bound. Default 100.
    pub failures_per_address: u32,
    /// The most callers and addresses that are remembered, each. Default 100 000.
    pub remembered: usize,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        Self { window_seconds: 60, per_caller: 6000, per_address: 300, failures_per_address: 100, remembered: 100_000 }
    }
}

/// All bounds of the API.
#[derive(Debug)]
pub(crate) struct RateLimits {
    callers: Bound<String>,
    addresses: AddressBound,
    failures: Bound<IpAddr>,
    /// Tokens that were right lately, as hashes.
    known: Mutex<Generations<[u8; 32], ()>>,
}

/// How long a token that was right is taken at an address that fails too often.
const KNOWN: Duration = Duration::from_secs(3600);

impl RateLimits {
    pub(crate) fn new(settings: &RateLimitSettings, now: Instant) -> Self {
        let window = Duration::from_secs(settings.window_seconds.max(1).into());
        let most = settings.remembered;
        Self {
            callers: Bound::new("caller", settings.per_caller, window, most, now),
            addresses: AddressBound::new("address", settings.per_address, window, most, now),
            failures: Bound::new("failures", settings.failures_per_address, window, most, now),
            known: Mutex::new(Generations::new(most, KNOWN, now)),
        }
    }

    /// One request of a caller.
    pub(crate) fn caller(&self, actor: &str, now: Instant) -> Result<Option<Rate>, Rate> {
        self.callers.take(actor.to_owned(), now)
    }

    /// One request without a caller.
    pub(crate) fn address(&self, peer: Option<IpAddr>, now: Instant) -> Result<Option<Rate>, Rate> {
        self.addresses.take(peer, now)
    }

    /// Whether a token may be looked up for this address.
    pub(crate) fn may_try(&self, peer: Option<IpAddr>, token: &[u8], now: Instant) -> Result<(), Rate> {
        let Some(peer) = peer else { return Ok(()) };
        let Err(rate) = self.failures.look(&network(peer), now) else { return Ok(()) };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&hashed(token)).is_some();
        if known { Ok(()) } else { Err(self.failures.refused(rate)) }
    }

    /// A token was wrong.
    pub(crate) fn failed(&self, peer: Option<IpAddr>, now: Instant) {
        if let Some(peer) = peer {
            // What is over the bound already is refused before the next look-up.
            let _ = self.failures.spend(network(peer), now);
        }
    }

    /// A token was right.
    pub(crate) fn proved(&self, token: &[u8], now: Instant) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(hashed(token), (), now);
    }
}

fn hashed(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Who counts as one: an IPv4 address, an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
        four @ IpAddr::V4(_) => four,
    }
}

/// One bound for each address, as operations have it that need no caller.
#[derive(Debug)]
pub(crate) struct AddressBound(Bound<IpAddr>);

impl AddressBound {
    /// `most`: addresses that are remembered.
    pub(crate) fn new(name: &'static str, quota: u32, window: Duration, most: usize, now: Instant) -> Self {
        Self(Bound::new(name, quota, window, most, now))
    }

    /// One request. Who has no address (a Unix socket) is the operator's own proxy, and not bounded.
    pub(crate) fn take(&self, peer: Option<IpAddr>, now: Instant) -> Result<Option<Rate>, Rate> {
        peer.map_or(Ok(None), |peer| self.0.take(network(peer), now))
    }
}

/// Where somebody stands with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    name: &'static str,
    quota: u32,
    window: Duration,
    /// Requests that would be taken now.
    remaining: u32,
    /// Until all of them are there again.
    reset: Duration,
    /// Of a refusal: until the next one is taken.
    wait: Duration,
}

impl Rate {
    /// Writes the headers of the draft, and `Retry-After` where the answer was no.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Self { name, quota, window, remaining, reset, wait } = self;
        let seconds = |of: &Duration| of.as_millis().div_ceil(1000);
        let policy = format!("\"{name}\";q={quota};w={}", window.as_secs());
        let state = format!("\"{name}\";r={remaining};t={}", seconds(reset));
        for (header, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header, value);
            }
        }
        if !wait.is_zero() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds(wait)).unwrap_or(u64::MAX)));
        }
    }
}

/// One bound, for each of its keys.
#[derive(Debug)]
struct Bound<K> {
    name: &'static str,
    quota: u32,
    window: Duration,
    begun: Instant,
    /// When each one's whole quota is there again, since `begun`: the theoretical arrival time of the algorithm.
    full_at: Mutex<Generations<K, Duration>>,
}

impl<K: Hash + Eq> Bound<K> {
    fn new(name: &'static str, quota: u32, window: Duration, most: usize, now: Instant) -> Self {
        // An entry that was not touched for a window says nothing any more.
        Self { name, quota, window, begun: now, full_at: Mutex::new(Generations::new(most, window, now)) }
    }

    /// One request: `None` where there is no bound.
    fn take(&self, key: K, now: Instant) -> Result<Option<Rate>, Rate> {
        match self.spend(key, now) {
            Err(rate) => Err(self.refused(rate)),
            ok => ok,
        }
    }

    fn refused(&self, rate: Rate) -> Rate {
        REFUSED.with_label_values(&[self.name]).inc();
        rate
    }

    fn spend(&self, key: K, now: Instant) -> Result<Option<Rate>, Rate> {
        if self.quota == 0 {
            return Ok(None);
        }
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = now.saturating_duration_since(self.begun);
        let spent = all.get(&key).copied().unwrap_or_default().max(at) + self.window / self.quota;
        if spent.saturating_sub(at) > self.window {
            return Err(self.rate(all.get(&key).copied().unwrap_or_default(), at));
        }
        all.put(key, spent, now);
        Ok(Some(Rate { wait: Duration::ZERO, ..self.rate(spent, at) }))
    }

    /// Whether one request more would be taken.
    fn look(&self, key: &K, now: Instant) -> Result<(), Rate> {
        if self.quota == 0 {
            return Ok(());
        }
        let at = now.saturating_duration_since(self.begun);
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied().unwrap_or_default();
        let rate = self.rate(full_at, at);
        if rate.wait.is_zero() { Ok(()) } else { Err(rate) }
    }

    fn rate(&self, full_at: Duration, at: Duration) -> Rate {
        let each = self.window / self.quota.max(1);
        let reset = full_at.saturating_sub(at);
        let free = self.window.saturating_sub(reset);
        let remaining = free.as_nanos().checked_div(each.as_nanos()).unwrap_or_default();
        Rate {
            name: self.name,
            quota: self.quota,
            window: self.window,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX).min(self.quota),
            reset,
            wait: (reset + each).saturating_sub(self.window),
        }
    }
}

/// A map that forgets: what was not put in again for one to two `keep`s is gone, and there are never more than `most`. Nothing
/// is ever searched for what to forget.
#[derive(Debug)]
struct Generations<K, V> {
    most: usize,
    keep: Duration,
    turned: Instant,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn new(most: usize, keep: Duration, now: Instant) -> Self {
        Self { most, keep, turned: now, young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn put(&mut self, key: K, value: V, now: Instant) {
        let full = self.young.len() >= self.most.div_ceil(2) && !self.young.contains_key(&key);
        if full || now.saturating_duration_since(self.turned) >= self.keep {
            self.old = std::mem::take(&mut self.young);
            self.turned = now;
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Instant {
        mail_types::Clock::monotonic(&mail_types::SystemClock)
    }

    fn settings() -> RateLimitSettings {
        RateLimitSettings { window_seconds: 10, per_caller: 5, per_address: 2, failures_per_address: 3, remembered: 4 }
    }

    #[test]
    fn a_quota_is_spent_and_comes_back_evenly() {
        let now = moment();
        let limits = RateLimits::new(&settings(), now);
        let remaining: Vec<u32> = (0..5).map(|_| limits.caller("a", now).unwrap().unwrap().remaining).collect();
        assert_eq!(remaining, [4, 3, 2, 1, 0]);
        let refused = limits.caller("a", now).unwrap_err();
        assert_eq!(
            (refused.remaining, refused.wait, refused.reset),
            (0, Duration::from_secs(2), Duration::from_secs(10))
        );
        // Another one has a quota of its own, and to be refused costs nothing.
        assert_eq!(limits.caller("b", now).unwrap().unwrap().remaining, 4);
        assert!(limits.caller("a", now + Duration::from_millis(1999)).is_err());
        assert_eq!(limits.caller("a", now + Duration::from_secs(2)).unwrap().unwrap().remaining, 0);
        assert_eq!(limits.caller("a", now + Duration::from_secs(60)).unwrap().unwrap().remaining, 4);
    }

    #[test]
    fn headers_say_the_policy_and_what_is_left() {
        let now = moment();
        let limits = RateLimits::new(&settings(), now);
        let mut headers = HeaderMap::new();
        limits.address(Some([192, 0, 2, 1].into()), now).unwrap().unwrap().write(&mut headers);
        assert_eq!(
            (&headers["ratelimit-policy"], &headers["ratelimit"]),
            (&HeaderValue::from_static("\"address\";q=2;w=10"), &HeaderValue::from_static("\"address\";r=1;t=5"),)
        );
        assert!(!headers.contains_key("retry-after"));
        limits.address(Some([192, 0, 2, 1].into()), now).unwrap();
        limits.address(Some([192, 0, 2, 1].into()), now).unwrap_err().write(&mut headers);
        assert_eq!(headers["retry-after"], "5");
    }

    #[test]
    fn one_address_is_a_network_of_ipv6_and_a_mapped_one_is_ipv4() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8:1:2:3::4"), address("2001:db8:1:2:ffff::1"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    #[test]
    fn who_fails_too_often_is_not_looked_up_but_a_known_token_is() {
        let now = moment();
        let limits = RateLimits::new(&settings(), now);
        let peer = Some([192, 0, 2, 1].into());
        limits.proved(b"right", now);
        for _ in 0..3 {
            limits.may_try(peer, b"wrong", now).unwrap();
            limits.failed(peer, now);
        }
        assert!(limits.may_try(peer, b"wrong", now).is_err());
        limits.may_try(peer, b"right", now).unwrap();
        limits.may_try(Some([192, 0, 2, 2].into()), b"wrong", now).unwrap();
        limits.may_try(None, b"wrong", now).unwrap();
        limits.may_try(peer, b"wrong", now + Duration::from_secs(4)).unwrap();
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = moment();
        let limits = RateLimits::new(&settings(), now);
        for n in 0..1000 {
            let _ = limits.caller(&n.to_string(), now);
        }
        let all = limits.callers.full_at.lock().unwrap();
        assert!(all.young.len() + all.old.len() <= 4);
    }
}
