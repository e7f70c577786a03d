//! How many sessions there may be at once: of an account, of a domain, of a tenant, of a tenant from one address. Counted in this process,
//! against limits divided by the number of frontends that are alive: approximate, and cheap.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use mail_types::{AccountId, DomainName, TenantId};
use prometheus::{IntCounterVec, register_int_counter_vec};
use serde::Deserialize;

use crate::policy::SessionsPolicy;

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Sessions that were refused because there were as many as there may be, of what.";
    register_int_counter_vec!("restante_sessions_refused_total", help, &["limit"]).expect("a new metric")
});

/// `[…sessions]`: the most sessions at once, over all frontends, where no policy says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionLimitsSettings {
    /// Of one account. Default 20.
    pub per_account: u32,
    /// Of one domain. Default 10 000.
    pub per_domain: u32,
    /// Of one tenant. Default 10 000.
    pub per_tenant: u32,
    /// Of one tenant from one address (IPv6: one /64). Default 200: an office behind one address.
    pub per_address: u32,
}

impl Default for SessionLimitsSettings {
    fn default() -> Self {
        Self { per_account: 20, per_domain: 10_000, per_tenant: 10_000, per_address: 200 }
    }
}

/// The limit that a session met, as its client is told: this process's share of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionLimit {
    /// Of its account.
    #[error("too many sessions of this account on this server (at most {0})")]
    Account(u32),
    /// Of its domain.
    #[error("too many sessions of this account's domain on this server (at most {0})")]
    Domain(u32),
    /// Of its tenant.
    #[error("too many sessions of this account's organisation on this server (at most {0})")]
    Tenant(u32),
    /// Of its tenant, from its address.
    #[error("too many sessions from this network address on this server (at most {0})")]
    Address(u32),
}

impl SessionLimit {
    /// For metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Domain(_) => "domain",
            Self::Tenant(_) => "tenant",
            Self::Address(_) => "address",
        }
    }
}

/// Counts the sessions of this process. Clones are the same count.
#[derive(Debug, Clone, Default)]
pub struct SessionLimits {
    settings: SessionLimitsSettings,
    live: Arc<Mutex<Live>>,
}

#[derive(Debug, Default)]
struct Live {
    accounts: HashMap<(TenantId, AccountId), u32>,
    domains: HashMap<(TenantId, DomainName), u32>,
    tenants: HashMap<TenantId, u32>,
    addresses: HashMap<(TenantId, IpAddr), u32>,
}

/// One session's place, given back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct SessionPlace {
    limits: SessionLimits,
    tenant: TenantId,
    account: AccountId,
    domain: DomainName,
    /// Nothing for a Unix socket: no address, no limit.
    address: Option<IpAddr>,
}

impl SessionLimits {
    /// Counts against these where a policy does not say otherwise.
    pub fn new(settings: SessionLimitsSettings) -> Self {
        Self { settings, live: Arc::default() }
    }

    /// A place for a session. `frontends`: how many of this role are alive, this one included.
    ///
    /// # Errors
    /// The limit that is reached, with this process's share of what the policy or the configuration says.
    pub fn enter(
        &self,
        tenant: TenantId,
        account: AccountId,
        domain: &DomainName,
        peer: Option<IpAddr>,
        policy: &SessionsPolicy,
        frontends: u32,
    ) -> Result<SessionPlace, SessionLimit> {
        let address = peer.map(whole);
        // Rounded up: a limit of one lets one in at each frontend, not none at all.
        let most = |policy: Option<u32>, setting: u32| policy.unwrap_or(setting).div_ceil(frontends.max(1)).max(1);
        let per_account = most(policy.per_account, self.settings.per_account);
        let per_domain = most(policy.per_domain, self.settings.per_domain);
        let per_tenant = most(policy.per_tenant, self.settings.per_tenant);
        let per_address = most(policy.per_address, self.settings.per_address);
        let of_domain = (tenant, domain.clone());
        let is_full = |count: Option<&u32>, most: u32| count.copied().unwrap_or_default() >= most;
        let mut live = self.live();
        let met = if is_full(live.accounts.get(&(tenant, account)), per_account) {
            Some(SessionLimit::Account(per_account))
        } else if is_full(live.domains.get(&of_domain), per_domain) {
            Some(SessionLimit::Domain(per_domain))
        } else if is_full(live.tenants.get(&tenant), per_tenant) {
            Some(SessionLimit::Tenant(per_tenant))
        } else if address.is_some_and(|address| is_full(live.addresses.get(&(tenant, address)), per_address)) {
            Some(SessionLimit::Address(per_address))
        } else {
            None
        };
        if let Some(limit) = met {
            REFUSED.with_label_values(&[limit.kind()]).inc();
            return Err(limit);
        }
        *live.accounts.entry((tenant, account)).or_default() += 1;
        *live.domains.entry(of_domain).or_default() += 1;
        *live.tenants.entry(tenant).or_default() += 1;
        if let Some(address) = address {
            *live.addresses.entry((tenant, address)).or_default() += 1;
        }
        Ok(SessionPlace { limits: self.clone(), tenant, account, domain: domain.clone(), address })
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut live = self.limits.live();
        one_less(&mut live.accounts, (self.tenant, self.account));
        one_less(&mut live.domains, (self.tenant, self.domain.clone()));
        one_less(&mut live.tenants, self.tenant);
        if let Some(address) = self.address {
            one_less(&mut live.addresses, (self.tenant, address));
        }
    }
}

fn one_less<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    match counts.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(&key)),
    }
}

/// What one client has of addresses: one of IPv4, a /64 of IPv6.
fn whole(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> SessionLimits {
        SessionLimits::new(SessionLimitsSettings { per_account: 2, per_domain: 4, per_tenant: 5, per_address: 3 })
    }

    fn enter(
        limits: &SessionLimits,
        account: i64,
        peer: &str,
        policy: &SessionsPolicy,
    ) -> Result<SessionPlace, SessionLimit> {
        enter_in(limits, account, "acme.test", peer, policy)
    }

    fn enter_in(
        limits: &SessionLimits,
        account: i64,
        domain: &str,
        peer: &str,
        policy: &SessionsPolicy,
    ) -> Result<SessionPlace, SessionLimit> {
        let domain = DomainName::parse(domain).unwrap();
        limits.enter(TenantId(1), AccountId(account), &domain, peer.parse().ok(), policy, 1)
    }

    #[test]
    fn each_limit_is_met_by_name() {
        let (limits, none) = (limits(), SessionsPolicy::default());
        let enter = |account, peer: &str| enter(&limits, account, peer, &none);
        let first = enter(1, "192.0.2.1").unwrap();
        let second = enter(1, "192.0.2.1").unwrap();
        let full = enter(1, "192.0.2.1").unwrap_err();
        assert_eq!(full.to_string(), "too many sessions of this account on this server (at most 2)");
        let third = enter(2, "192.0.2.1").unwrap();
        assert_eq!(enter(3, "192.0.2.1").unwrap_err(), SessionLimit::Address(3));
        assert_eq!(enter(3, "::ffff:192.0.2.1").unwrap_err(), SessionLimit::Address(3));
        let fourth = enter(3, "192.0.2.2").unwrap();
        let full = enter(3, "").unwrap_err();
        assert_eq!(full.to_string(), "too many sessions of this account's domain on this server (at most 4)");
        let other = enter_in(&limits, 4, "acme.example", "", &none).unwrap();
        assert_eq!(enter_in(&limits, 4, "acme.example", "", &none).unwrap_err(), SessionLimit::Tenant(5));
        let domain = DomainName::parse("acme.test").unwrap();
        let elsewhere = limits.enter(TenantId(2), AccountId(9), &domain, None, &none, 1).unwrap();
        drop(first);
        let fifth = enter(1, "2001:db8::1").unwrap();
        drop((second, third, fourth, fifth, other, elsewhere));
        let live = limits.live();
        assert!(live.accounts.is_empty() && live.domains.is_empty());
        assert!(live.tenants.is_empty() && live.addresses.is_empty(), "{live:?}");
    }

    #[test]
    fn a_policy_decides_before_the_configuration() {
        let limits = limits();
        let policy = SessionsPolicy { per_account: Some(1), ..SessionsPolicy::default() };
        let _first = enter(&limits, 1, "192.0.2.1", &policy).unwrap();
        assert_eq!(enter(&limits, 1, "192.0.2.1", &policy).unwrap_err(), SessionLimit::Account(1));
    }

    #[test]
    fn frontends_share_a_limit() {
        let (limits, none) = (limits(), SessionsPolicy::default());
        let domain = DomainName::parse("acme.test").unwrap();
        let enter = |frontends| limits.enter(TenantId(1), AccountId(1), &domain, None, &none, frontends);
        let _first = enter(2).unwrap();
        assert_eq!(enter(2).unwrap_err(), SessionLimit::Account(1), "the half of it");
        assert_eq!(enter(100).unwrap_err(), SessionLimit::Account(1));
        let _second = enter(1).unwrap();
    }

    #[test]
    fn a_client_of_ipv6_has_a_64() {
        assert_eq!(whole("2001:db8::1".parse().unwrap()), whole("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(whole("2001:db8::1".parse().unwrap()), whole("2001:db8:0:1::1".parse().unwrap()));
    }
}
