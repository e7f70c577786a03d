//! How much is used. An account's figures are exact; a tenant's and a domain's are sums that the worker rolls up.

use chrono::{DateTime, Utc};
use mail_types::{Address, DomainName, TenantId, TenantSlug};
use sqlx::PgConnection;

use crate::{Caller, Directory, Error, Result, account, domain, shown, tenant};

/// Live and expunged mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Accounts; `None` for the usage of one account.
    pub accounts: Option<u64>,
    /// Live messages.
    pub messages: u64,
    /// Octets of live messages.
    pub octets: u64,
    /// Octets of expunged messages that can still be restored.
    pub expunged_octets: u64,
    /// Of when the figures are: `None` for exact ones, and for sums that were not rolled up yet.
    pub at: Option<DateTime<Utc>>,
}

impl Directory {
    /// An account's usage, exact.
    pub async fn account_usage(&self, caller: &Caller, address: &Address) -> Result<Usage> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let (messages, octets, kept): (i32, i64, i64) = sqlx::query_as(
            "SELECT live_messages, live_octets, kept_octets FROM restante.maildrops WHERE tenant_id = $1 AND account_id = $2",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .fetch_one(&mut *tx)
        .await?;
        Ok(Usage {
            accounts: None,
            messages: shown::unsigned(messages.into(), "maildrops", "live_messages")?,
            octets: shown::unsigned(octets, "maildrops", "live_octets")?,
            expunged_octets: shown::unsigned(kept, "maildrops", "kept_octets")?,
            at: None,
        })
    }

    /// A tenant's usage, of some seconds ago.
    pub async fn tenant_usage(&self, caller: &Caller, slug: &TenantSlug) -> Result<Usage> {
        let mut tx = self.begin(caller).await?;
        let tenant = tenant::find(&mut tx, slug).await?.ok_or(Error::NotFound)?;
        rolled_up(&mut tx, tenant.id, 0).await
    }

    /// A domain's usage, of some seconds ago.
    pub async fn domain_usage(&self, caller: &Caller, name: &DomainName) -> Result<Usage> {
        let mut tx = self.begin(caller).await?;
        let (tenant, domain) = domain::enter_domain(&mut tx, caller, name).await?.ok_or(Error::NotFound)?;
        rolled_up(&mut tx, tenant, domain.0).await
    }
}

/// The sums; domain 0 is the whole tenant.
async fn rolled_up(tx: &mut PgConnection, tenant: TenantId, domain: i64) -> Result<Usage> {
    let row: Option<(i32, i64, i64, i64, DateTime<Utc>)> = sqlx::query_as(
        "SELECT accounts, messages, octets, kept_octets, at FROM restante.usage_now WHERE tenant_id = $1 AND domain_id = $2",
    )
    .bind(tenant.0)
    .bind(domain)
    .fetch_optional(tx)
    .await?;
    let Some((accounts, messages, octets, kept, at)) = row else {
        return Ok(Usage { accounts: Some(0), ..Usage::default() });
    };
    Ok(Usage {
        accounts: Some(shown::unsigned(accounts.into(), "usage_now", "accounts")?),
        messages: shown::unsigned(messages, "usage_now", "messages")?,
        octets: shown::unsigned(octets, "usage_now", "octets")?,
        expunged_octets: shown::unsigned(kept, "usage_now", "kept_octets")?,
        at: Some(at),
    })
}
