//! What holds in the end.

use mail_types::{DomainName, TenantId};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Dele, Expire, Policy, SessionsPolicy, Utf8, View};
use crate::{Account, Result};

/// What holds for one login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EffectivePolicy {
    /// What the session sees.
    pub view: View,
    /// What DELE does.
    pub dele: Dele,
    /// Whether the maildrop is leased.
    pub exclusive: bool,
    /// Seconds between two logins; 0: none.
    pub login_delay_seconds: u32,
    /// What EXPIRE says.
    pub expire: Expire,
    /// Whether SCRAM works with the account's password.
    pub scram_passwords: bool,
    /// Whether mechanisms with recoverable secrets work.
    pub legacy_mechanisms: bool,
    /// What a client without UTF8 gets.
    pub utf8: Utf8,
    /// The most sessions at once; `None` leaves it to the service's configuration.
    pub sessions: SessionsPolicy,
}

impl EffectivePolicy {
    /// The defaults under these, the widest first.
    pub fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        policies.into_iter().fold(Self::default(), Self::under)
    }

    /// What a narrower policy makes of it.
    #[must_use]
    pub fn under(self, narrower: &Policy) -> Self {
        Self {
            view: narrower.view.unwrap_or(self.view),
            dele: narrower.dele.unwrap_or(self.dele),
            exclusive: narrower.exclusive.unwrap_or(self.exclusive),
            login_delay_seconds: narrower.login_delay_seconds.unwrap_or(self.login_delay_seconds),
            expire: narrower.expire_days.unwrap_or(self.expire),
            scram_passwords: narrower.scram_passwords.unwrap_or(self.scram_passwords),
            legacy_mechanisms: narrower.legacy_mechanisms.unwrap_or(self.legacy_mechanisms),
            utf8: narrower.utf8.unwrap_or(self.utf8),
            sessions: self.sessions.under(narrower.sessions),
        }
    }

    /// What a tenant and its domain decide.
    pub(crate) async fn of_domain(tx: &mut PgConnection, tenant: TenantId, domain: &DomainName) -> Result<Self> {
        let (of_tenant, of_domain): (Value, Value) = sqlx::query_as(
            "SELECT t.policy, d.policy FROM restante.domains d JOIN restante.tenants t ON t.tenant_id = d.tenant_id
              WHERE d.tenant_id = $1 AND d.name = $2",
        )
        .bind(tenant.0)
        .bind(domain.as_str())
        .fetch_one(tx)
        .await?;
        let of_tenant = Policy::from_json(of_tenant, "tenants")?;
        Ok(Self::of([&of_tenant, &Policy::from_json(of_domain, "domains")?]))
    }

    /// What tenant, domain and account decide.
    pub(crate) async fn of_account(tx: &mut PgConnection, account: &Account) -> Result<Self> {
        let of_domain = Self::of_domain(tx, account.tenant_id, &account.address.domain).await?;
        Ok(of_domain.under(&account.policy))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_narrower_decides() {
        let tenant = policy(json!({"view": {"last_days": 30}, "dele": "hide", "exclusive": true}));
        let domain = policy(json!({"exclusive": false, "expire_days": 90}));
        let account = policy(json!({"expire_days": "never"}));
        let credential = policy(json!({"view": "new_for_device"}));
        let effective = EffectivePolicy::of([&tenant, &domain, &account, &credential]);
        let expected = EffectivePolicy { view: View::NewForDevice, dele: Dele::Hide, ..EffectivePolicy::default() };
        assert_eq!(effective, expected);
    }

    fn policy(json: Value) -> Policy {
        Policy::from_json(json, "tenants").unwrap()
    }
}
