//! Who a bearer token belongs to: a machine's key, or a person's access token.

use std::net::IpAddr;
use std::time::Duration;

use mail_types::{Secret, TenantId};
use runtime::database::asked;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use crate::error::inconsistent;
use crate::memory::Memory;
use crate::{Caller, Directory, Permission, Principal, Reach, Result, Role, shown, token};

/// How often the use of a key is noted.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// The most keys that this process remembers to have noted.
const MAX_NOTED: usize = 100_000;

/// Which keys' uses were noted lately.
#[derive(Debug)]
pub(crate) struct NotedKeys(Memory<i64, ()>);

impl Default for NotedKeys {
    fn default() -> Self {
        Self(Memory::new(MAX_NOTED, NOTED_EVERY))
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: i64,
    tenant_id: Option<i32>,
    tenant_status: Option<i16>,
    role: i16,
    scopes: Option<Vec<String>>,
    domains: Option<Vec<String>>,
    allowed_nets: Option<String>,
}

impl Directory {
    /// Who a bearer token belongs to; `None` for a token that is none, is revoked, expired, or not to be used from there.
    pub async fn authenticate(&self, token: &Secret, peer: Option<IpAddr>, request: Uuid) -> Result<Option<Caller>> {
        if !token::is_api_key(token) {
            return self.bearer(token, peer, request).await;
        }
        let hash = token::api_key_hash(token).to_vec();
        let row: Option<KeyRow> = asked(&self.pool, || {
            sqlx::query_as(
                "SELECT key_id, tenant_id, tenant_status, role, scopes, domains, allowed_nets FROM restante.admin_key_2($1)",
            )
            .bind(&hash)
            .fetch_optional(&self.pool)
        })
        .await?;
        let Some(row) = row.filter(|row| allows(row.allowed_nets.as_deref(), peer)) else { return Ok(None) };
        let role = Role::from_code(row.role).ok_or_else(|| inconsistent("api_keys", "role"))?;
        let reach = match row.tenant_id {
            None => Reach::Platform,
            // A deleted tenant's keys are gone with it; a suspended one's still work.
            Some(_) if row.tenant_status == Some(3) => return Ok(None),
            Some(tenant) => Reach::Tenant(TenantId(tenant)),
        };
        let mut caller = Caller::new(reach, role, format!("api-key:{}", row.key_id), peer, request);
        caller.principal = Principal::ApiKey(row.key_id);
        caller.scopes = kept_scopes(row.scopes).map(Into::into);
        if role == Role::DomainAdmin {
            let domains = row.domains.unwrap_or_default();
            caller.domains = Some(domains.iter().map(|name| shown::domain_name(name)).collect::<Result<_>>()?);
        }
        self.note_use(row.key_id, peer).await;
        Ok(Some(caller))
    }

    /// Notes that a key was used: once a minute, by each process and then by the database. If that fails, the next minute tries again.
    async fn note_use(&self, key: i64, peer: Option<IpAddr>) {
        let now = self.clock.monotonic();
        if self.noted.0.contains(&key, now) {
            return;
        }
        self.noted.0.put(key, (), now);
        let noted = sqlx::query("SELECT restante.admin_key_used_1($1, $2)")
            .bind(key)
            .bind(peer.map(IpNet::from))
            .execute(&self.pool)
            .await;
        if let Err(error) = noted {
            tracing::info!(key, %error, "the use of an API key could not be noted");
        }
    }
}

/// The scopes of a column; none for all that the role has. A word that this release does not know allows nothing.
pub(crate) fn kept_scopes(words: Option<Vec<String>>) -> Option<Vec<Permission>> {
    let words = words.filter(|words| !words.is_empty())?;
    Some(words.iter().filter_map(|word| Permission::parse(word)).collect())
}

/// Whether a key may be used from there. One that is bound to networks is not to be used from nowhere (a Unix socket).
fn allows(networks: Option<&str>, peer: Option<IpAddr>) -> bool {
    let Some(networks) = networks else { return true };
    let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return false };
    networks.split(',').filter_map(|network| network.parse::<IpNet>().ok()).any(|network| network.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_in_its_networks() {
        let peer = |text: &str| text.parse().ok();
        assert!(allows(None, None) && allows(None, peer("192.0.2.1")));
        let networks = Some("192.0.2.0/24,2001:db8::/32");
        assert!(allows(networks, peer("192.0.2.9")) && allows(networks, peer("::ffff:192.0.2.9")));
        assert!(allows(networks, peer("2001:db8:1::1")) && !allows(networks, peer("2001:db9::1")));
        assert!(!allows(networks, peer("198.51.100.1")) && !allows(networks, None));
    }

    #[test]
    fn unknown_scopes_allow_nothing() {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(kept_scopes(None), None);
        assert_eq!(kept_scopes(words(&[])), None, "as the release before wrote it");
        assert_eq!(kept_scopes(words(&["usage:read"])), Some(vec![Permission::UsageRead]));
        assert_eq!(kept_scopes(words(&["moon:read"])), Some(Vec::new()));
    }
}
