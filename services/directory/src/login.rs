//! Login: one round trip that is always fresh, whatever the address; then the secret is tried against what the account has.
//!
//! What costs: an app password is a keyed fast hash, a password is argon2id, an unknown address costs no hash at all. Who asks
//! from outside learns nothing from that, because the driver answers every failure at one moment after the command.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, CredentialId, DomainName, MaildropState, Octets, Secret, TenantId};
use sqlx::types::ipnet::IpNet;

use crate::credential::{APP_PASSWORD, PASSWORD, may_expunge, may_read};
use crate::error::inconsistent;
use crate::{Directory, Result, shown, token};

/// A login that was accepted, with all that a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whose account it is.
    pub tenant: TenantId,
    /// The account.
    pub account: AccountId,
    /// What it proved itself with.
    pub credential: CredentialId,
    /// The account's address, as it was given when it was made.
    pub address: String,
    /// Whether the credential allows expunging.
    pub may_expunge: bool,
    /// Where the maildrop stands.
    pub maildrop: MaildropState,
}

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such account, or not its secret, or a credential that does not hold here or now: never told apart.
    WrongCredentials,
    /// The secret was right; the account or its tenant is suspended.
    Suspended,
}

impl Refusal {
    /// For metrics.
    pub fn kind(self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong_credentials",
            Self::Suspended => "suspended",
        }
    }
}

/// What a login came to. A refusal is an outcome, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOutcome {
    /// Proved.
    Accepted(Login),
    /// Not.
    Refused(Refusal),
}

/// The row of `pop3_login_1`: all NULL but the catalog's columns where there is no such account.
#[derive(sqlx::FromRow)]
struct LoginRow {
    tenant_id: Option<i32>,
    account_id: Option<i64>,
    local_part: Option<String>,
    tenant_status: Option<i16>,
    account_status: Option<i16>,
    shape: Option<i64>,
    next_uid: Option<i64>,
    live_messages: Option<i32>,
    live_octets: Option<i64>,
    credential_ids: Option<Vec<i64>>,
    kinds: Option<Vec<i16>>,
    verifiers: Option<Vec<String>>,
    scopes: Option<Vec<i16>>,
    allowed_nets: Option<Vec<Option<String>>>,
    expires_at: Option<Vec<Option<DateTime<Utc>>>>,
}

/// One credential of the row.
struct Candidate {
    id: CredentialId,
    kind: i16,
    verifier: String,
    scopes: i16,
    allowed_networks: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

impl LoginRow {
    /// The parallel arrays as one list; arrays of unequal lengths end it.
    fn candidates(&mut self) -> Vec<Candidate> {
        let ids = self.credential_ids.take().unwrap_or_default().into_iter();
        let kinds = self.kinds.take().unwrap_or_default();
        let verifiers = self.verifiers.take().unwrap_or_default();
        let scopes = self.scopes.take().unwrap_or_default();
        let networks = self.allowed_nets.take().unwrap_or_default();
        let expire = self.expires_at.take().unwrap_or_default();
        ids.zip(kinds)
            .zip(verifiers)
            .zip(scopes)
            .zip(networks)
            .zip(expire)
            .map(|(((((id, kind), verifier), scopes), allowed_networks), expires_at)| Candidate {
                id: CredentialId(id),
                kind,
                verifier,
                scopes,
                allowed_networks,
                expires_at,
            })
            .collect()
    }

    fn maildrop(&self) -> Result<MaildropState> {
        let (Some(shape), Some(next_uid), Some(messages), Some(octets)) =
            (self.shape, self.next_uid, self.live_messages, self.live_octets)
        else {
            return Err(inconsistent("maildrops", "account_id"));
        };
        Ok(MaildropState {
            shape,
            next_uid,
            messages: u32::try_from(messages).map_err(|_| inconsistent("maildrops", "live_messages"))?,
            octets: Octets(shown::unsigned(octets, "maildrops", "live_octets")?),
        })
    }
}

impl Candidate {
    /// Whether it may be used at all, here and now.
    fn holds(&self, now: DateTime<Utc>, peer: Option<IpAddr>) -> bool {
        may_read(self.scopes) && self.expires_at.is_none_or(|at| at > now) && self.allows(peer)
    }

    /// Whether it may be used from there. One that is bound to networks is not to be used from nowhere (a Unix socket).
    fn allows(&self, peer: Option<IpAddr>) -> bool {
        let Some(networks) = &self.allowed_networks else { return true };
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return false };
        networks.split(',').filter_map(|network| network.parse::<IpNet>().ok()).any(|network| network.contains(&peer))
    }
}

impl Directory {
    /// [`Directory::login_from`] from nowhere in particular: credentials that are bound to networks are refused.
    pub async fn login(
        &self,
        login: &str,
        secret: &Secret,
        default_domain: Option<&DomainName>,
    ) -> Result<LoginOutcome> {
        self.login_from(None, login, secret, default_domain).await
    }

    /// Proves a login from a peer's address. `login` is an address, or a bare local part that takes `default_domain`.
    pub async fn login_from(
        &self,
        peer: Option<IpAddr>,
        login: &str,
        secret: &Secret,
        default_domain: Option<&DomainName>,
    ) -> Result<LoginOutcome> {
        let refused = Ok(LoginOutcome::Refused(Refusal::WrongCredentials));
        let Ok(address) = Address::parse_login(login, default_domain) else { return refused };
        // Named columns: a later release's function may have more of them.
        let mut row = sqlx::query_as::<_, LoginRow>(
            "SELECT tenant_id, account_id, local_part, tenant_status, account_status, shape, next_uid, live_messages, live_octets,
                    credential_ids, kinds, verifiers, scopes, allowed_nets, expires_at
               FROM restante.pop3_login_1($1, $2)",
        )
        .bind(address.domain.as_str())
        .bind(address.local.key().as_str())
        .fetch_one(&self.pool)
        .await?;
        let (Some(tenant), Some(account)) = (row.tenant_id, row.account_id) else { return refused };
        let candidates = row.candidates();
        let Some(proved) = self.prove(candidates, peer, secret).await? else { return refused };
        // Said only to who knows the secret.
        if row.tenant_status != Some(1) || row.account_status != Some(1) {
            return Ok(LoginOutcome::Refused(Refusal::Suspended));
        }
        let local = row.local_part.as_deref().unwrap_or_default();
        Ok(LoginOutcome::Accepted(Login {
            tenant: TenantId(tenant),
            account: AccountId(account),
            credential: proved.id,
            address: shown::address(local, address.domain.as_str(), "accounts")?.to_string(),
            may_expunge: may_expunge(proved.scopes),
            maildrop: row.maildrop()?,
        }))
    }

    /// The credential that the secret is the one of. App passwords first: they cost next to nothing.
    async fn prove(
        &self,
        candidates: Vec<Candidate>,
        peer: Option<IpAddr>,
        secret: &Secret,
    ) -> Result<Option<Candidate>> {
        let now = self.now();
        let (app_passwords, passwords): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .filter(|candidate| candidate.holds(now, peer))
            .filter(|candidate| candidate.kind == APP_PASSWORD || candidate.kind == PASSWORD)
            .partition(|candidate| candidate.kind == APP_PASSWORD);
        if token::is_app_password(secret) {
            for candidate in app_passwords {
                if token::verify_app_password(&self.keys, &candidate.verifier, secret)? {
                    return Ok(Some(candidate));
                }
            }
        }
        for candidate in passwords {
            if self.hasher.verify(candidate.verifier.clone(), secret.clone()).await? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(networks: Option<&str>, scopes: i16, expires_at: Option<DateTime<Utc>>) -> Candidate {
        let allowed_networks = networks.map(str::to_owned);
        Candidate { id: CredentialId(1), kind: PASSWORD, verifier: String::new(), scopes, allowed_networks, expires_at }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn a_credential_holds_in_its_time_its_networks_and_its_scopes() {
        let peer = Some("192.0.2.7".parse().unwrap());
        assert!(candidate(None, 1, None).holds(at(10), None));
        assert!(!candidate(None, 2, None).holds(at(10), None), "deleting without reading is no login");
        assert!(candidate(None, 1, Some(at(11))).holds(at(10), None));
        assert!(!candidate(None, 1, Some(at(10))).holds(at(10), None));
        assert!(candidate(Some("192.0.2.0/24,2001:db8::/32"), 1, None).holds(at(10), peer));
        assert!(!candidate(Some("198.51.100.0/24"), 1, None).holds(at(10), peer));
        assert!(!candidate(Some("192.0.2.0/24"), 1, None).holds(at(10), None), "bound to networks, and from none");
        let mapped = Some("::ffff:192.0.2.7".parse().unwrap());
        assert!(
            candidate(Some("192.0.2.0/24"), 1, None).holds(at(10), mapped),
            "an IPv4-mapped address is the IPv4 one"
        );
    }
}
