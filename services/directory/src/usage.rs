//! How much is used, and how much may be. An account's figures are exact; a tenant's and a domain's are sums that the worker rolls up.

use chrono::{DateTime, Utc};
use mail_types::{Address, DomainName, TenantId, TenantSlug};
use sqlx::PgConnection;

use crate::policy::EffectivePolicy;
use crate::{Caller, Directory, Error, Quota, Result, SessionsPolicy, account, domain, shown, tenant};

/// Deliveries of an account that are looked at, where its limit is not larger.
const LATEST: i32 = 10_000;

/// What is used of what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Domains that are not deleted; `None` but for a tenant.
    pub domains: Option<u64>,
    /// Accounts; `None` for the usage of one account.
    pub accounts: Option<u64>,
    /// Live messages.
    pub messages: u64,
    /// Octets of live messages.
    pub octets: u64,
    /// Octets of expunged messages that can still be restored.
    pub expunged_octets: u64,
    /// What was delivered: to an account in the last hour, at most 10 000 or its limit if that is more; to a domain or a tenant since the
    /// clock's hour began. As the limits count.
    pub deliveries: u64,
    /// Sessions under way that the frontends have told of.
    pub sessions: u64,
    /// Of when the figures are: `None` for exact ones, and for sums that were not rolled up yet.
    pub at: Option<DateTime<Utc>>,
    /// What may be used, by its own quota.
    pub quota: Quota,
    /// The most sessions, by its own policy and those above it; `None`: the frontends' configuration decides.
    pub most_sessions: Option<u32>,
}

impl Directory {
    /// An account's usage, exact.
    pub async fn account_usage(&self, caller: &Caller, address: &Address) -> Result<Usage> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        // A guid begins with the milliseconds of its time.
        let (messages, octets, kept, deliveries, sessions): (i32, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT m.live_messages, m.live_octets, m.kept_octets,
                    (SELECT count(*) FROM (
                       SELECT o.guid FROM restante.messages o WHERE o.tenant_id = $1 AND o.account_id = $2 AND o.uid >= m.next_uid - $3
                       UNION ALL
                       SELECT x.guid FROM restante.expunged x WHERE x.tenant_id = $1 AND x.account_id = $2 AND x.uid >= m.next_uid - $3) g
                      WHERE g.guid >= rpad(lpad(to_hex((floor(extract(epoch FROM now() - interval '1 hour') * 1000))::bigint), 12, '0'), 32, '0')::uuid),
                    (SELECT count(*) FROM restante.live_sessions l
                       JOIN restante.frontends f ON f.frontend_uuid = l.frontend_uuid AND f.beat_at >= now() - interval '15 seconds'
                      WHERE l.tenant_id = $1 AND l.account_id = $2)
               FROM restante.maildrops m WHERE m.tenant_id = $1 AND m.account_id = $2",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(i64::from(account.quota.deliveries_per_hour.unwrap_or_default().max(LATEST)))
        .fetch_one(&mut *tx)
        .await?;
        let policy = EffectivePolicy::of_account(&mut tx, &account).await?;
        Ok(Usage {
            messages: shown::unsigned(messages.into(), "maildrops", "live_messages")?,
            octets: shown::unsigned(octets, "maildrops", "live_octets")?,
            expunged_octets: shown::unsigned(kept, "maildrops", "kept_octets")?,
            deliveries: shown::unsigned(deliveries, "messages", "count")?,
            sessions: shown::unsigned(sessions, "live_sessions", "count")?,
            quota: account.quota,
            most_sessions: policy.sessions.per_account,
            ..Usage::default()
        })
    }

    /// A tenant's usage, of some seconds ago.
    pub async fn tenant_usage(&self, caller: &Caller, slug: &TenantSlug) -> Result<Usage> {
        let mut tx = self.begin(caller).await?;
        let tenant = tenant::find(&mut tx, slug).await?.ok_or(Error::NotFound)?;
        let domains: i64 =
            sqlx::query_scalar("SELECT count(*) FROM restante.domains WHERE tenant_id = $1 AND deleted_at IS NULL")
                .bind(tenant.id.0)
                .fetch_one(&mut *tx)
                .await?;
        Ok(Usage {
            domains: Some(shown::unsigned(domains, "domains", "count")?),
            quota: tenant.quota,
            most_sessions: tenant.policy.sessions.per_tenant,
            ..rolled_up(&mut tx, tenant.id, 0).await?
        })
    }

    /// A domain's usage, of some seconds ago.
    pub async fn domain_usage(&self, caller: &Caller, name: &DomainName) -> Result<Usage> {
        let mut tx = self.begin(caller).await?;
        let (tenant, domain) = domain::enter_domain(&mut tx, caller, name).await?.ok_or(Error::NotFound)?;
        let (_, quota) = domain::quotas(&mut tx, tenant, name).await?;
        let SessionsPolicy { per_domain, .. } = EffectivePolicy::of_domain(&mut tx, tenant, name).await?.sessions;
        Ok(Usage { quota, most_sessions: per_domain, ..rolled_up(&mut tx, tenant, domain.0).await? })
    }
}

#[derive(sqlx::FromRow)]
struct SumsRow {
    accounts: i32,
    messages: i64,
    octets: i64,
    kept_octets: i64,
    deliveries: i64,
    sessions: i32,
    at: DateTime<Utc>,
}

/// The sums; domain 0 is the whole tenant. What is under way is as old as the sums are, deliveries are of this hour.
async fn rolled_up(tx: &mut PgConnection, tenant: TenantId, domain: i64) -> Result<Usage> {
    let row: Option<SumsRow> = sqlx::query_as(
        "SELECT accounts, messages, octets, kept_octets, CASE WHEN hour = date_trunc('hour', now()) THEN delivered - hour_base ELSE 0 END AS deliveries,
                sessions, at
           FROM restante.usage_now WHERE tenant_id = $1 AND domain_id = $2",
    )
    .bind(tenant.0)
    .bind(domain)
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(Usage { accounts: Some(0), ..Usage::default() }) };
    Ok(Usage {
        accounts: Some(shown::unsigned(row.accounts.into(), "usage_now", "accounts")?),
        messages: shown::unsigned(row.messages, "usage_now", "messages")?,
        octets: shown::unsigned(row.octets, "usage_now", "octets")?,
        expunged_octets: shown::unsigned(row.kept_octets, "usage_now", "kept_octets")?,
        deliveries: shown::unsigned(row.deliveries, "usage_now", "delivered")?,
        sessions: shown::unsigned(row.sessions.into(), "usage_now", "sessions")?,
        at: Some(row.at),
        ..Usage::default()
    })
}
