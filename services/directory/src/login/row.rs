//! What `pop3_login_2` answers.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, CredentialId, History, MaildropState, Octets, TenantId};
use runtime::database::asked;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::types::ipnet::IpNet;

use crate::credential::{LEGACY_APP_PASSWORD, may_read};
use crate::error::inconsistent;
use crate::policy::{EffectivePolicy, Policy};
use crate::scram::Salt;
use crate::{RefusalReason, Result, shown};

/// The row: all NULL but the domain's columns where there is no such account, and those too where there is no such domain.
#[derive(sqlx::FromRow)]
struct LoginRow {
    tenant_id: Option<i32>,
    account_id: Option<i64>,
    local_part: Option<String>,
    tenant_status: Option<i16>,
    account_status: Option<i16>,
    tenant_policy: Option<Value>,
    domain_policy: Option<Value>,
    account_policy: Option<Value>,
    shape: Option<i64>,
    next_uid: Option<i64>,
    live_messages: Option<i32>,
    live_octets: Option<i64>,
    incarnation: Option<uuid::Uuid>,
    timeline: Option<String>,
    credential_ids: Option<Vec<i64>>,
    kinds: Option<Vec<i16>>,
    verifiers: Option<Vec<String>>,
    scopes: Option<Vec<i16>>,
    allowed_nets: Option<Vec<Option<String>>>,
    expires_at: Option<Vec<Option<DateTime<Utc>>>>,
    policies: Option<Vec<Option<Value>>>,
    scram_salt: Option<Vec<u8>>,
    scram_iterations: Option<i32>,
    scram256: Option<Vec<Option<Vec<u8>>>>,
    scram1: Option<Vec<Option<Vec<u8>>>>,
    sealed: Option<Vec<Option<Vec<u8>>>>,
    transcribe: bool,
}

/// What an address leads to.
pub(super) struct Found {
    /// The tenant's, if its domain is one of ours.
    pub(super) tenant_policy: Policy,
    /// What tenant, domain and account decide.
    pub(super) policy: EffectivePolicy,
    pub(super) account: Option<Account>,
}

/// An account.
pub(super) struct Account {
    pub(super) tenant: TenantId,
    pub(super) id: AccountId,
    /// As it was given when it was made.
    pub(super) address: Address,
    /// Whether tenant and account are served.
    pub(super) active: bool,
    /// Whether its sessions are written down.
    pub(super) transcribe: bool,
    pub(super) maildrop: MaildropState,
    pub(super) salt: Salt,
    /// All that are not revoked.
    pub(super) candidates: Vec<Candidate>,
}

/// A credential.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) id: CredentialId,
    pub(super) kind: i16,
    pub(super) verifier: String,
    pub(super) scopes: i16,
    pub(super) allowed_networks: Option<String>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) policy: Policy,
    pub(super) scram256: Option<Vec<u8>>,
    pub(super) scram1: Option<Vec<u8>>,
    pub(super) sealed: Option<Vec<u8>>,
}

/// Asks: one round trip.
pub(super) async fn find(pool: &PgPool, address: &Address) -> Result<Found> {
    let key = address.local.key();
    // Named columns: a later release's function may have more of them.
    let row: LoginRow = asked(pool, || {
        sqlx::query_as(
            "SELECT tenant_id, account_id, local_part, tenant_status, account_status, tenant_policy, domain_policy, account_policy,
                    shape, next_uid, live_messages, live_octets, incarnation, timeline, credential_ids, kinds, verifiers, scopes, allowed_nets, expires_at,
                    policies, scram_salt, scram_iterations, scram256, scram1, sealed, transcribe
               FROM restante.pop3_login_2($1, $2)",
        )
        .bind(address.domain.as_str())
        .bind(key.as_str())
        .fetch_one(pool)
    })
    .await?;
    row.found(address)
}

impl LoginRow {
    fn found(mut self, address: &Address) -> Result<Found> {
        let tenant_policy = Policy::from_column(self.tenant_policy.take(), "tenants")?;
        let domain_policy = Policy::from_column(self.domain_policy.take(), "domains")?;
        let account_policy = Policy::from_column(self.account_policy.take(), "accounts")?;
        let policy = EffectivePolicy::of([&tenant_policy, &domain_policy, &account_policy]);
        Ok(Found { account: self.account(address)?, tenant_policy, policy })
    }

    fn account(mut self, address: &Address) -> Result<Option<Account>> {
        let (Some(tenant), Some(account)) = (self.tenant_id, self.account_id) else { return Ok(None) };
        let local = self.local_part.as_deref().unwrap_or_default();
        Ok(Some(Account {
            tenant: TenantId(tenant),
            id: AccountId(account),
            address: shown::address(local, address.domain.as_str(), "accounts")?,
            active: self.tenant_status == Some(1) && self.account_status == Some(1),
            transcribe: self.transcribe,
            maildrop: self.maildrop()?,
            salt: Salt::of_row(self.scram_salt.take(), self.scram_iterations)?,
            candidates: self.candidates()?,
        }))
    }

    /// The parallel arrays as one list; arrays of unequal lengths end it.
    fn candidates(self) -> Result<Vec<Candidate>> {
        let mut kinds = self.kinds.unwrap_or_default().into_iter();
        let mut verifiers = self.verifiers.unwrap_or_default().into_iter();
        let mut scopes = self.scopes.unwrap_or_default().into_iter();
        let mut networks = self.allowed_nets.unwrap_or_default().into_iter();
        let mut expire = self.expires_at.unwrap_or_default().into_iter();
        let mut policies = self.policies.unwrap_or_default().into_iter();
        let mut scram256 = self.scram256.unwrap_or_default().into_iter();
        let mut scram1 = self.scram1.unwrap_or_default().into_iter();
        let mut sealed = self.sealed.unwrap_or_default().into_iter();
        let ids = self.credential_ids.unwrap_or_default();
        let mut next = |id| {
            let (kind, verifier, scopes) = (kinds.next()?, verifiers.next()?, scopes.next()?);
            let (allowed_networks, expires_at) = (networks.next()?, expire.next()?);
            let (scram256, scram1, sealed) = (scram256.next()?, scram1.next()?, sealed.next()?);
            let policy = Policy::from_column(policies.next()?, "credentials");
            let candidate = |policy| Candidate {
                id: CredentialId(id),
                policy,
                kind,
                verifier,
                scopes,
                allowed_networks,
                expires_at,
                scram256,
                scram1,
                sealed,
            };
            Some(policy.map(candidate))
        };
        ids.into_iter().map_while(&mut next).collect()
    }

    fn maildrop(&self) -> Result<MaildropState> {
        let (Some(shape), Some(next_uid), Some(messages), Some(octets)) =
            (self.shape, self.next_uid, self.live_messages, self.live_octets)
        else {
            return Err(inconsistent("maildrops", "account_id"));
        };
        Ok(MaildropState {
            history: History::new(
                self.incarnation.unwrap_or_default().as_u128(),
                self.timeline.as_deref().unwrap_or_default(),
            ),
            shape,
            next_uid,
            messages: u32::try_from(messages).map_err(|_| inconsistent("maildrops", "live_messages"))?,
            octets: Octets(shown::unsigned(octets, "maildrops", "live_octets")?),
        })
    }
}

impl Candidate {
    /// Whether it may be used at all, here and now. A recoverable secret only where the policy allows such.
    pub(super) fn holds(&self, now: DateTime<Utc>, peer: Option<IpAddr>, policy: &EffectivePolicy) -> bool {
        self.why_not(now, peer, policy).is_none()
    }

    /// Why it may not.
    pub(super) fn why_not(
        &self,
        now: DateTime<Utc>,
        peer: Option<IpAddr>,
        policy: &EffectivePolicy,
    ) -> Option<RefusalReason> {
        if !may_read(self.scopes) {
            Some(RefusalReason::AppPasswordScope)
        } else if self.expires_at.is_some_and(|at| at <= now) {
            Some(RefusalReason::AppPasswordExpired)
        } else if !self.allows(peer) {
            Some(RefusalReason::AppPasswordNetwork)
        } else if self.kind == LEGACY_APP_PASSWORD && !policy.legacy_mechanisms {
            Some(RefusalReason::AppPasswordLegacy)
        } else {
            None
        }
    }

    /// Whether it may be used from there. One that is bound to networks is not to be used from nowhere (a Unix socket).
    fn allows(&self, peer: Option<IpAddr>) -> bool {
        let Some(networks) = &self.allowed_networks else { return true };
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return false };
        networks.split(',').filter_map(|network| network.parse::<IpNet>().ok()).any(|network| network.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::PASSWORD;

    fn candidate(networks: Option<&str>, scopes: i16, expires_at: Option<DateTime<Utc>>) -> Candidate {
        Candidate {
            id: CredentialId(1),
            kind: PASSWORD,
            verifier: String::new(),
            scopes,
            allowed_networks: networks.map(str::to_owned),
            expires_at,
            policy: Policy::default(),
            scram256: None,
            scram1: None,
            sealed: None,
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn a_credential_holds_in_its_time_its_networks_and_its_scopes() {
        let peer = Some("192.0.2.7".parse().unwrap());
        let holds = |candidate: Candidate, peer| candidate.holds(at(10), peer, &EffectivePolicy::default());
        assert!(holds(candidate(None, 1, None), None));
        assert!(!holds(candidate(None, 2, None), None), "deleting without reading is no login");
        assert!(holds(candidate(None, 1, Some(at(11))), None));
        assert!(!holds(candidate(None, 1, Some(at(10))), None));
        assert!(holds(candidate(Some("192.0.2.0/24,2001:db8::/32"), 1, None), peer));
        assert!(!holds(candidate(Some("198.51.100.0/24"), 1, None), peer));
        assert!(!holds(candidate(Some("192.0.2.0/24"), 1, None), None), "bound to networks, and from none");
        let mapped = Some("::ffff:192.0.2.7".parse().unwrap());
        assert!(holds(candidate(Some("192.0.2.0/24"), 1, None), mapped), "an IPv4-mapped address is the IPv4 one");
        let legacy = Candidate { kind: LEGACY_APP_PASSWORD, ..candidate(None, 1, None) };
        assert!(!holds(legacy.clone(), None), "the policy was changed after it was made");
        let allowed = EffectivePolicy { legacy_mechanisms: true, ..EffectivePolicy::default() };
        assert!(legacy.holds(at(10), None, &allowed));
    }
}
