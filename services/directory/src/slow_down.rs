//! Slowing down who guesses, without punishing who does not. Kept in this process's memory, so it survives reconnecting, and
//! a restart forgives.
//!
//! - Failures are counted per network and per account, and each makes the wait longer, exponentially, once there were more
//!   than a few.
//! - The same wrong secret again is no new failure: an office's one device with an old password does not slow the office down.
//! - A network from which the account was logged in to lately is not held to what others do: nobody is locked out of what they
//!   use by failures elsewhere. Failures there count for themselves, and the wait stays short.
//! - What others do to an account slows a network down only after that network has failed with it too.
//! - Secrets that nobody can guess (app passwords, tokens, certificates) are tried all the same: only passwords wait.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use prometheus::{IntCounterVec, register_int_counter_vec};
use serde::Deserialize;

use crate::memory::Memory;
use crate::network::Network;
use crate::proved::Fingerprint;

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Logins with a wrong secret: new ones, and those that a network repeated.";
    register_int_counter_vec!("restante_login_failures_total", help, &["secret"]).expect("a new metric")
});

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static SLOWED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help =
        "Logins that had to wait for failures before them, of the network, of the account, of both in one place.";
    register_int_counter_vec!("restante_logins_slowed_total", help, &["by"]).expect("a new metric")
});

/// `[…slow_down]`: how failed logins slow down the next ones.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlowDownSettings {
    /// Different failures of one network before it waits. Default 20.
    pub network_failures: u32,
    /// Different failures with one account before it waits, in all and in one place. Default 10.
    pub account_failures: u32,
    /// The first wait, in seconds; each failure doubles it. Default 1.
    pub first_wait_seconds: u64,
    /// The longest, in seconds. Default 900.
    pub longest_wait_seconds: u64,
    /// The longest where the account was logged in to lately, in seconds. Default 30.
    pub known_longest_wait_seconds: u64,
    /// When a failure is forgotten, in seconds after the last one. Default 3600.
    pub forget_seconds: u64,
    /// When it is forgotten that an account was logged in to from a network, in seconds. Default 30 days.
    pub known_seconds: u64,
    /// The most networks, accounts, secrets and pairs that are remembered, each. Default 100 000.
    pub remembered: usize,
}

impl Default for SlowDownSettings {
    fn default() -> Self {
        Self {
            network_failures: 20,
            account_failures: 10,
            first_wait_seconds: 1,
            longest_wait_seconds: 900,
            known_longest_wait_seconds: 30,
            forget_seconds: 3600,
            known_seconds: 30 * 86_400,
            remembered: 100_000,
        }
    }
}

type Pair = (Network, Fingerprint);

/// What is remembered of failures. An account is a keyed hash of its address, whether it exists or not.
#[derive(Debug)]
pub(crate) struct SlowDown {
    settings: SlowDownSettings,
    networks: Memory<Network, Failures>,
    accounts: Memory<Fingerprint, Failures>,
    pairs: Memory<Pair, Failures>,
    /// Secrets that were wrong, with their network and account.
    secrets: Memory<Fingerprint, ()>,
    /// Where accounts were logged in to.
    known: Memory<Pair, ()>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn one_more(before: Option<&Self>, now: Instant) -> Self {
        Self { count: before.map_or(0, |before| before.count).saturating_add(1), last: now }
    }
}

impl SlowDown {
    pub(crate) fn new(settings: SlowDownSettings) -> Self {
        let most = settings.remembered;
        let forget = Duration::from_secs(settings.forget_seconds);
        Self {
            networks: Memory::new(most, forget),
            accounts: Memory::new(most, forget),
            pairs: Memory::new(most, forget),
            secrets: Memory::new(most, forget),
            known: Memory::new(most, Duration::from_secs(settings.known_seconds)),
            settings,
        }
    }

    /// How long a password of this account, from this network, is not to be tried yet. The account is `None` where the login
    /// name is no address.
    pub(crate) fn wait(&self, network: Network, account: Option<Fingerprint>, now: Instant) -> Option<Duration> {
        let Settings { network_failures, account_failures, longest, known_longest } = self.settings.durations();
        let wait = |failures: Option<Failures>, free, longest| failures.and_then(|f| self.left(f, free, longest, now));
        if let Some(account) = account {
            let here = self.pairs.get(&(network, account), now);
            if self.known.contains(&(network, account), now) {
                return told("place", wait(here, account_failures, known_longest));
            }
            let elsewhere = here.and_then(|_| self.accounts.get(&account, now));
            if let Some(left) = wait(elsewhere, account_failures, longest) {
                return told("account", Some(left));
            }
        }
        told("network", wait(self.networks.get(&network, now), network_failures, longest))
    }

    /// Counts a failure with a secret; `secret` is a fingerprint of network, account and secret. Answers whether it is a new one.
    pub(crate) fn failed(
        &self,
        network: Network,
        account: Option<Fingerprint>,
        secret: Fingerprint,
        now: Instant,
    ) -> bool {
        let repeated = self.secrets.contains(&secret, now);
        self.secrets.put(secret, (), now);
        FAILURES.with_label_values(&[if repeated { "repeated" } else { "new" }]).inc();
        if repeated {
            return false;
        }
        let one_more = |before: Option<&Failures>| Failures::one_more(before, now);
        if let Some(account) = account {
            self.pairs.change((network, account), now, one_more);
            if self.known.contains(&(network, account), now) {
                return true;
            }
            self.accounts.change(account, now, one_more);
        }
        self.networks.change(network, now, one_more);
        true
    }

    /// Remembers where an account was logged in to.
    pub(crate) fn succeeded(&self, network: Network, account: Fingerprint, now: Instant) {
        self.known.put((network, account), (), now);
        self.pairs.remove(&(network, account));
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &SlowDownSettings {
        &self.settings
    }

    /// What is left of the wait after these failures.
    fn left(&self, failures: Failures, free: u32, longest: Duration, now: Instant) -> Option<Duration> {
        let doublings = failures.count.checked_sub(free)?;
        // Thirty doublings are more than any bound.
        let factor = 1_u32.checked_shl(doublings.min(30)).unwrap_or(u32::MAX);
        let whole = Duration::from_secs(self.settings.first_wait_seconds).saturating_mul(factor).min(longest);
        whole.checked_sub(now.saturating_duration_since(failures.last)).filter(|left| !left.is_zero())
    }
}

struct Settings {
    network_failures: u32,
    account_failures: u32,
    longest: Duration,
    known_longest: Duration,
}

impl SlowDownSettings {
    fn durations(&self) -> Settings {
        Settings {
            network_failures: self.network_failures,
            account_failures: self.account_failures,
            longest: Duration::from_secs(self.longest_wait_seconds),
            known_longest: Duration::from_secs(self.known_longest_wait_seconds),
        }
    }
}

fn told(by: &'static str, wait: Option<Duration>) -> Option<Duration> {
    if wait.is_some() {
        SLOWED.with_label_values(&[by]).inc();
    }
    wait
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use mail_types::{Clock as _, SystemClock};

    use super::*;

    struct World {
        slow_down: SlowDown,
        now: Cell<Instant>,
        guesses: Cell<u8>,
    }

    const ALICE: Option<Fingerprint> = Some([1; 32]);

    impl World {
        fn new() -> Self {
            let settings = SlowDownSettings { network_failures: 4, account_failures: 2, ..SlowDownSettings::default() };
            Self {
                slow_down: SlowDown::new(settings),
                now: Cell::new(SystemClock.monotonic()),
                guesses: Cell::default(),
            }
        }

        fn pass(&self, seconds: u64) {
            self.now.set(self.now.get() + Duration::from_secs(seconds));
        }

        fn wait(&self, network: u8, account: Option<Fingerprint>) -> u64 {
            let wait = self.slow_down.wait(Network::V4([192, 0, network]), account, self.now.get());
            wait.map_or(0, |wait| wait.as_secs())
        }

        fn fails(&self, network: u8, account: Option<Fingerprint>, secret: u8) {
            let mut fingerprint = account.unwrap_or_default();
            fingerprint[0] = secret;
            fingerprint[1] = network;
            self.slow_down.failed(Network::V4([192, 0, network]), account, fingerprint, self.now.get());
        }

        /// A secret that was not tried yet.
        fn guesses(&self, network: u8, account: Option<Fingerprint>) {
            self.guesses.set(self.guesses.get() + 1);
            self.fails(network, account, self.guesses.get());
        }
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_bound() {
        let world = World::new();
        let mut waits = Vec::new();
        for _ in 0..14 {
            world.guesses(1, ALICE);
            waits.push(world.wait(1, ALICE));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        world.pass(899);
        assert_eq!(world.wait(1, ALICE), 1);
        world.pass(1);
        assert_eq!(world.wait(1, ALICE), 0);
        world.pass(3600);
        world.guesses(1, ALICE);
        assert_eq!(world.wait(1, ALICE), 0, "forgotten");
    }

    #[test]
    fn a_device_with_an_old_password_slows_nobody_down() {
        let world = World::new();
        for _ in 0..1000 {
            world.fails(1, ALICE, 7);
            world.pass(60);
        }
        assert_eq!((world.wait(1, ALICE), world.wait(1, Some([2; 32])), world.wait(1, None)), (0, 0, 0));
    }

    #[test]
    fn an_attacker_cannot_lock_a_victim_out() {
        let world = World::new();
        world.slow_down.succeeded(Network::V4([192, 0, 1]), [1; 32], world.now.get());
        for network in 10..30 {
            world.guesses(network, ALICE);
        }
        assert_eq!(world.wait(1, ALICE), 0, "where the victim was seen lately");
        assert_eq!(world.wait(2, ALICE), 0, "the first try of a place");
        assert_eq!(world.wait(10, ALICE), 900);
        for _ in 0..20 {
            world.guesses(1, None);
        }
        assert_eq!(world.wait(1, ALICE), 0, "an attacker in the same network");
        assert_eq!(world.wait(1, Some([2; 32])), 900);
    }

    #[test]
    fn a_known_place_waits_for_its_own_failures_only_and_not_long() {
        let world = World::new();
        world.slow_down.succeeded(Network::V4([192, 0, 1]), [1; 32], world.now.get());
        for _ in 0..20 {
            world.guesses(1, ALICE);
        }
        assert_eq!(world.wait(1, ALICE), 30);
        assert_eq!(world.wait(1, Some([2; 32])), 0, "the rest of the network goes on");
        world.pass(30);
        world.slow_down.succeeded(Network::V4([192, 0, 1]), [1; 32], world.now.get());
        world.guesses(1, ALICE);
        assert_eq!(world.wait(1, ALICE), 0);
    }

    #[test]
    fn a_network_that_tries_many_accounts_waits() {
        let world = World::new();
        for account in 1..=10 {
            world.guesses(1, Some([account; 32]));
        }
        assert!(world.wait(1, Some([99; 32])) > 0);
        assert_eq!(world.wait(2, Some([1; 32])), 0);
    }
}
