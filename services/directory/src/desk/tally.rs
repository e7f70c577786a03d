//! What a frontend saw since its last report, in bounded memory: refused logins, summed by account, minute, network and reason; and
//! which credentials logged in, each reported at its first login and then at most once in a while.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mail_types::{AccountId, Address, CredentialId, TenantId, Timestamp};
use prometheus::{IntCounterVec, register_int_counter_vec};
use serde::{Serialize, Serializer};
use sqlx::types::ipnet::{IpNet, Ipv4Net};

use super::{DomainCounts, RefusalReason};
use crate::network::Network;

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
pub(super) static DROPPED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "What the support desk was not told of because this process held as much of it as it may, of what.";
    register_int_counter_vec!("restante_desk_dropped_total", help, &["what"]).expect("a new metric")
});

/// The most networks of one account between two reports that have rows of their own.
const NETWORKS: u32 = 16;
pub(super) const MINUTE_MS: u64 = 60_000;

/// How much is kept between reports, and how often what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TallySettings {
    /// The most refusals (account, minute, network and reason) held; further ones are dropped and counted.
    pub refusals: usize,
    /// The most credentials held; logins with further ones are not counted.
    pub uses: usize,
    /// How often a credential's use is told, at most.
    pub uses_every: Duration,
    /// The most refusals, and the most uses, of one report.
    pub batch: usize,
}

/// Whose login was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    /// This account's.
    Account(TenantId, AccountId),
    /// Refused before anything was looked up: of whoever has this address, if anybody.
    Address(Address),
}

/// A login that was refused.
#[derive(Debug, Clone)]
pub struct RefusedAttempt {
    /// Whose.
    pub whose: Whose,
    /// Why.
    pub reason: RefusalReason,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: IpAddr,
    /// By the driver's number.
    pub mechanism: i16,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// The credential that it would have been, where that is known.
    pub credential: Option<CredentialId>,
    /// Whether the secret was not seen from there before.
    pub new_secret: bool,
    /// What is known of the client's program.
    pub client: String,
    /// The name it asked for in TLS.
    pub server_name: Option<String>,
    /// The `-ERR` that the client saw.
    pub told: String,
}

/// Refusals of one account, minute, network and reason, as they are reported.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RefusalSum {
    tenant: Option<i32>,
    account: Option<i64>,
    domain: Option<String>,
    local_key: Option<String>,
    reason: i16,
    pub(crate) attempts: u32,
    pub(crate) secrets: u32,
    first: u64,
    last: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) network: IpNet,
    address: IpAddr,
    mechanism: i16,
    tls: i16,
    credential: Option<i64>,
    client: String,
    server_name: Option<String>,
    told: String,
}

/// Logins with one credential, as they are reported.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct UseSum {
    tenant: i32,
    account: i64,
    credential: i64,
    last: u64,
    address: IpAddr,
    pub(crate) logins: u64,
}

type RefusalKey = (Whose, u64, IpNet, RefusalReason);
type UseKey = (TenantId, AccountId, CredentialId);

/// What was seen and not reported yet.
#[derive(Debug)]
pub struct Tally {
    settings: TallySettings,
    held: Mutex<Held>,
    /// Logins that were accepted.
    pub(crate) logins: DomainCounts,
}

#[derive(Debug, Default)]
struct Held {
    refusals: HashMap<RefusalKey, RefusalSum>,
    /// In the order they came.
    order: VecDeque<RefusalKey>,
    /// Rows of each account among them.
    networks: HashMap<Whose, u32>,
    uses: HashMap<UseKey, Used>,
    /// Not told yet since they were first seen.
    fresh: VecDeque<UseKey>,
    /// Told, and when they may be told again: in order.
    told: VecDeque<(Instant, UseKey)>,
}

#[derive(Debug, Clone, Copy)]
struct Used {
    logins: u64,
    last: Timestamp,
    address: IpAddr,
}

impl Tally {
    /// An empty one.
    pub fn new(settings: TallySettings) -> Self {
        Self { settings, held: Mutex::default(), logins: DomainCounts::new("logins", settings.uses) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refused login.
    pub fn refused(&self, attempt: RefusedAttempt) {
        self.held().refused(self.settings.refusals, attempt);
    }

    /// Counts a login of an account of this domain, whatever it proved itself with.
    pub fn logged_in(&self, domain: &str, at: Timestamp) {
        self.logins.add(domain, at);
    }

    /// Counts a login with a credential.
    pub fn used(&self, key: (TenantId, AccountId, CredentialId), at: Timestamp, address: IpAddr) {
        let mut held = self.held();
        if let Some(used) = held.uses.get_mut(&key) {
            (used.logins, used.last, used.address) = (used.logins + 1, at, address);
            return;
        }
        if held.uses.len() >= self.settings.uses {
            DROPPED.with_label_values(&["uses"]).inc();
            return;
        }
        held.uses.insert(key, Used { logins: 1, last: at, address });
        held.fresh.push_back(key);
    }

    /// Takes what is to be reported now.
    pub(crate) fn take(&self, now: Instant, last: bool) -> (Vec<RefusalSum>, Vec<UseSum>) {
        let TallySettings { batch, uses_every, .. } = self.settings;
        let mut held = self.held();
        let refusals = held.take_refusals(batch);
        let uses = held.take_uses(batch, now, uses_every, last);
        (refusals, uses)
    }

    /// Puts back what could not be reported.
    pub(crate) fn give_back(&self, refusals: Vec<RefusalSum>, uses: Vec<UseSum>) {
        let mut held = self.held();
        for sum in refusals {
            held.add(self.settings.refusals, sum);
        }
        for sum in uses.into_iter().rev() {
            let key = (TenantId(sum.tenant), AccountId(sum.account), CredentialId(sum.credential));
            // What was taken last stands last among what was told.
            if held.told.back().is_some_and(|(_, last)| *last == key) {
                held.told.pop_back();
            }
            let last = Timestamp::from_unix_ms(sum.last);
            held.uses.entry(key).or_insert(Used { logins: 0, last, address: sum.address }).logins += sum.logins;
            held.fresh.push_front(key);
        }
    }

    /// Whether everything was reported.
    pub fn is_empty(&self) -> bool {
        let held = self.held();
        self.logins.is_empty() && held.refusals.is_empty() && held.uses.values().all(|used| used.logins == 0)
    }
}

impl Held {
    fn refused(&mut self, most: usize, attempt: RefusedAttempt) {
        let RefusedAttempt {
            whose,
            reason,
            at,
            address,
            mechanism,
            tls,
            credential,
            new_secret,
            client,
            server_name,
            told,
        } = attempt;
        let (tenant, account, domain, local_key) = match &whose {
            Whose::Account(tenant, account) => (Some(tenant.0), Some(account.0), None, None),
            Whose::Address(address) => {
                (None, None, Some(address.domain.as_str().to_owned()), Some(address.local.key().as_str().to_owned()))
            }
        };
        let of = |network| (whose.clone(), at.unix_ms() / MINUTE_MS, network, reason);
        let mut network = Network::of(Some(address)).as_net();
        if !self.refusals.contains_key(&of(network))
            && self.networks.get(&whose).is_some_and(|&networks| networks >= NETWORKS)
        {
            network = everywhere();
        }
        let sum = RefusalSum {
            tenant,
            account,
            domain,
            local_key,
            reason: reason as i16,
            attempts: 1,
            secrets: new_secret.into(),
            first: at.unix_ms(),
            last: at.unix_ms(),
            network,
            address: address.to_canonical(),
            mechanism,
            tls,
            credential: credential.map(|credential| credential.0),
            client,
            server_name,
            told,
        };
        self.put(most, of(network), sum);
    }

    fn add(&mut self, most: usize, sum: RefusalSum) {
        let whose = match (sum.tenant, sum.account, &sum.domain, &sum.local_key) {
            (Some(tenant), Some(account), ..) => Whose::Account(TenantId(tenant), AccountId(account)),
            (_, _, Some(domain), Some(local)) => match Address::parse(&format!("{local}@{domain}")) {
                Ok(address) => Whose::Address(address),
                Err(_) => return,
            },
            _ => return,
        };
        let Some(reason) = RefusalReason::from_code(sum.reason) else { return };
        self.put(most, (whose, sum.first / MINUTE_MS, sum.network, reason), sum);
    }

    fn put(&mut self, most: usize, key: RefusalKey, sum: RefusalSum) {
        if let Some(before) = self.refusals.get_mut(&key) {
            let (attempts, secrets) =
                (before.attempts.saturating_add(sum.attempts), before.secrets.saturating_add(sum.secrets));
            let first = before.first.min(sum.first);
            if sum.last >= before.last {
                *before = sum;
            }
            (before.attempts, before.secrets, before.first) = (attempts, secrets, first);
            return;
        }
        if self.refusals.len() >= most {
            DROPPED.with_label_values(&["refusals"]).inc();
            return;
        }
        *self.networks.entry(key.0.clone()).or_default() += 1;
        self.order.push_back(key.clone());
        self.refusals.insert(key, sum);
    }

    fn take_refusals(&mut self, batch: usize) -> Vec<RefusalSum> {
        let mut taken = Vec::new();
        while taken.len() < batch
            && let Some(key) = self.order.pop_front()
        {
            match self.networks.get_mut(&key.0) {
                Some(networks) if *networks > 1 => *networks -= 1,
                _ => drop(self.networks.remove(&key.0)),
            }
            taken.extend(self.refusals.remove(&key));
        }
        taken
    }

    fn take_uses(&mut self, batch: usize, now: Instant, every: Duration, last: bool) -> Vec<UseSum> {
        let mut taken = Vec::new();
        while taken.len() < batch {
            let key = match self.fresh.pop_front() {
                Some(key) => key,
                None => match self.told.pop_front() {
                    Some((due, key)) if due <= now || last => key,
                    Some(not_yet) => {
                        self.told.push_front(not_yet);
                        break;
                    }
                    None => break,
                },
            };
            match self.uses.get_mut(&key) {
                Some(used) if used.logins > 0 => {
                    let (tenant, account, credential) = key;
                    let logins = std::mem::take(&mut used.logins);
                    taken.push(UseSum {
                        tenant: tenant.0,
                        account: account.0,
                        credential: credential.0,
                        last: used.last.unix_ms(),
                        address: used.address.to_canonical(),
                        logins,
                    });
                    self.told.push_back((now + every, key));
                }
                // Not used since it was told.
                _ => drop(self.uses.remove(&key)),
            }
        }
        taken
    }
}

fn as_text<S: Serializer>(network: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(network)
}

/// In place of many networks.
fn everywhere() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}

#[cfg(test)]
mod tests {
    use mail_types::{Clock as _, SystemClock};

    use super::*;

    fn tally() -> Tally {
        Tally::new(TallySettings { refusals: 40, uses: 2, uses_every: Duration::from_secs(60), batch: 100 })
    }

    fn attempt(account: i64, address: &str, ms: u64) -> RefusedAttempt {
        RefusedAttempt {
            whose: Whose::Account(TenantId(1), AccountId(account)),
            reason: RefusalReason::WrongPassword,
            at: Timestamp::from_unix_ms(ms),
            address: address.parse().unwrap(),
            mechanism: 1,
            tls: 2,
            credential: None,
            new_secret: false,
            client: "c".to_owned(),
            server_name: None,
            told: format!("-ERR {ms}"),
        }
    }

    #[test]
    fn refusals_are_summed_by_account_minute_network_and_reason() {
        let (tally, now) = (tally(), SystemClock.monotonic());
        tally.refused(attempt(1, "192.0.2.1", 60_000));
        tally.refused(RefusedAttempt { new_secret: true, ..attempt(1, "192.0.2.9", 60_001) });
        tally.refused(attempt(1, "192.0.3.1", 60_002));
        tally.refused(attempt(1, "192.0.2.1", 120_000));
        tally.refused(attempt(2, "192.0.2.1", 60_003));
        let (taken, _) = tally.take(now, false);
        let sums: Vec<_> =
            taken.iter().map(|sum| (sum.attempts, sum.secrets, sum.network.to_string(), sum.told.as_str())).collect();
        let other = |network: &str, told| (1, 0, network.to_owned(), told);
        assert_eq!(
            sums,
            [
                (2, 1, "192.0.2.0/24".to_owned(), "-ERR 60001"),
                other("192.0.3.0/24", "-ERR 60002"),
                other("192.0.2.0/24", "-ERR 120000"),
                other("192.0.2.0/24", "-ERR 60003"),
            ]
        );
        tally.refused(attempt(1, "192.0.2.1", 60_009));
        tally.give_back(taken, Vec::new());
        let (taken, _) = tally.take(now, false);
        assert_eq!((taken.len(), taken[0].attempts, taken[0].told.as_str()), (4, 3, "-ERR 60009"));
        assert!(tally.is_empty());
    }

    #[test]
    fn an_attack_from_everywhere_stays_small() {
        let (tally, now) = (tally(), SystemClock.monotonic());
        for network in 0..200 {
            tally.refused(attempt(1, &format!("10.0.{network}.1"), 60_000));
        }
        let (taken, _) = tally.take(now, false);
        assert_eq!(taken.len(), 17, "so many networks, and the rest of them");
        assert_eq!(taken.iter().map(|sum| sum.attempts).sum::<u32>(), 200);
        let before = DROPPED.with_label_values(&["refusals"]).get();
        for account in 0..50 {
            tally.refused(attempt(account, "192.0.2.1", 60_000));
        }
        assert_eq!(tally.take(now, false).0.len(), 40);
        assert_eq!(DROPPED.with_label_values(&["refusals"]).get() - before, 10);
    }

    #[test]
    fn a_credential_is_told_of_at_once_and_then_seldom() {
        let (tally, now) = (tally(), SystemClock.monotonic());
        let used = |credential, ms| {
            let key = (TenantId(1), AccountId(1), CredentialId(credential));
            tally.used(key, Timestamp::from_unix_ms(ms), "192.0.2.1".parse().unwrap());
        };
        let take = |seconds, last| {
            let (_, uses) = tally.take(now + Duration::from_secs(seconds), last);
            uses.iter().map(|sum| (sum.credential, sum.logins, sum.last)).collect::<Vec<_>>()
        };
        used(1, 1);
        used(1, 2);
        assert_eq!(take(0, false), [(1, 2, 2)]);
        used(1, 3);
        used(2, 4);
        used(3, 5);
        assert_eq!(take(5, false), [(2, 1, 4)], "the first again is not due, for the third there is no room");
        assert_eq!(take(60, false), [(1, 1, 3)]);
        assert_eq!(take(120, false), [], "not used since: forgotten");
        used(3, 6);
        used(3, 7);
        assert_eq!(take(121, false), [(3, 2, 7)]);
        let (refusals, uses) = tally.take(now + Duration::from_secs(181), false);
        assert!(refusals.is_empty() && uses.is_empty());
        used(3, 8);
        let taken = tally.take(now + Duration::from_secs(182), true);
        tally.give_back(taken.0, taken.1);
        assert!(!tally.is_empty());
        assert_eq!(take(183, true), [(3, 1, 8)], "what could not be told is told the next time");
        assert!(tally.is_empty());
    }
}
