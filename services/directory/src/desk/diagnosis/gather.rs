//! The facts, in a few queries under row-level security: what the caller does not reach is not there.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{Address, DomainId, TenantId};
use serde_json::Value;
use sqlx::types::ipnet::IpNet;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::facts::{
    AccountFacts, CertificateFacts, CredentialFacts, DomainFacts, Facts, LOOK_BACK, LeaseFacts, LiveFacts, Place,
};
use crate::credential::{PASSWORD, may_expunge, may_read};
use crate::desk::activity;
use crate::policy::{EffectivePolicy, Policy, View};
use crate::{Account, Caller, Error, Reach, Result, account, domain, shown};

/// Live sessions that are looked at.
const LIVE: i64 = 100;

pub(super) async fn gather(tx: &mut PgConnection, caller: &Caller, address: &Address) -> Result<Facts> {
    let now = sqlx::query_scalar("SELECT now()").fetch_one(&mut *tx).await?;
    let mut facts = Facts {
        now,
        address: address.to_string(),
        domain: DomainFacts::Unknown,
        place: Place::Nothing { catch_all: false },
        certificates: Vec::new(),
        dns: None,
    };
    let Some((tenant, domain)) = domain::enter_domain(tx, caller, &address.domain).await? else {
        // Who does not reach everything must not learn whether it is another's.
        return if caller.reach == Reach::Platform { Ok(facts) } else { Err(Error::NotFound) };
    };
    let verified: bool = sqlx::query_scalar(
        "SELECT verified_at IS NOT NULL FROM restante.domains WHERE tenant_id = $1 AND domain_id = $2",
    )
    .bind(tenant.0)
    .bind(domain.0)
    .fetch_one(&mut *tx)
    .await?;
    facts.domain = if verified { DomainFacts::Verified } else { DomainFacts::Unverified };
    facts.certificates = certificates(tx).await?;
    facts.place = match account::find(tx, caller, address).await? {
        Some(found) => Place::Account(Box::new(account_facts(tx, &found, now).await?)),
        None => elsewhere(tx, tenant, domain, address).await?,
    };
    Ok(facts)
}

async fn certificates(tx: &mut PgConnection) -> Result<Vec<CertificateFacts>> {
    let rows: Vec<(String, Vec<String>, DateTime<Utc>)> = sqlx::query_as(
        "SELECT address, certificate_names, certificate_expires_at FROM restante.frontends
          WHERE role = 'pop3' AND beat_at >= now() - interval '15 seconds' AND certificate_expires_at IS NOT NULL
          ORDER BY certificate_expires_at LIMIT 100",
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|(host, names, expires_at)| CertificateFacts { host, names, expires_at }).collect())
}

async fn elsewhere(tx: &mut PgConnection, tenant: TenantId, domain: DomainId, address: &Address) -> Result<Place> {
    let rows: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT r.local_key, a.local_part, d.name
           FROM restante.addresses r
           LEFT JOIN restante.alias_targets x ON (x.tenant_id, x.domain_id, x.local_key) = (r.tenant_id, r.domain_id, r.local_key)
           LEFT JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (x.tenant_id, x.target_id)
           LEFT JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
          WHERE r.tenant_id = $1 AND r.domain_id = $2 AND r.local_key IN ($3, '') AND r.account_id IS NULL
          ORDER BY 1, 2, 3",
    )
    .bind(tenant.0)
    .bind(domain.0)
    .bind(address.local.key().as_str())
    .fetch_all(tx)
    .await?;
    let (catch_all, alias): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(key, ..)| key.is_empty());
    if alias.is_empty() {
        return Ok(Place::Nothing { catch_all: !catch_all.is_empty() });
    }
    let target = |(_, local, domain): (String, Option<String>, Option<String>)| {
        let shown = local.zip(domain).map(|(local, domain)| shown::address(&local, &domain, "accounts"));
        shown.map(|shown| shown.map(|address| address.to_string()))
    };
    Ok(Place::Alias { targets: alias.into_iter().filter_map(target).collect::<Result<_>>()? })
}

#[derive(FromRow)]
struct StandingRow {
    tenant_status: i16,
    tenant_policy: Value,
    domain_policy: Value,
    live_octets: i64,
    live_messages: i32,
    tenant_octets: i64,
    tenant_max: Option<i64>,
    lease_session: Option<Uuid>,
    lease_address: Option<IpNet>,
    lease_since: Option<DateTime<Utc>>,
    oldest_message: Option<DateTime<Utc>>,
}

async fn account_facts(tx: &mut PgConnection, account: &Account, now: DateTime<Utc>) -> Result<AccountFacts> {
    let of = (account.tenant_id, account.id);
    // A guid begins with the milliseconds of its time, in 48 bits.
    let standing: StandingRow = sqlx::query_as(
        "SELECT t.status AS tenant_status, t.policy AS tenant_policy, d.policy AS domain_policy, m.live_octets, m.live_messages,
                coalesce(u.octets, 0) AS tenant_octets, t.max_octets AS tenant_max,
                l.session_uuid AS lease_session, s.address AS lease_address, s.started_at AS lease_since,
                (SELECT to_timestamp(('x' || left(replace(o.guid::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
                   FROM restante.messages o WHERE o.tenant_id = $1 AND o.account_id = $2 ORDER BY o.uid LIMIT 1) AS oldest_message
           FROM restante.accounts a
           JOIN restante.tenants t ON t.tenant_id = a.tenant_id
           JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
           JOIN restante.maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
           LEFT JOIN restante.usage_now u ON u.tenant_id = a.tenant_id AND u.domain_id = 0
           LEFT JOIN (restante.leases l JOIN restante.frontends f ON f.frontend_uuid = l.frontend_uuid AND f.beat_at >= now() - interval '15 seconds')
             ON (l.tenant_id, l.account_id) = (a.tenant_id, a.account_id)
           LEFT JOIN restante.live_sessions s ON s.tenant_id = a.tenant_id AND s.session_uuid = l.session_uuid
          WHERE a.tenant_id = $1 AND a.account_id = $2",
    )
    .bind(of.0.0)
    .bind(of.1.0)
    .fetch_one(&mut *tx)
    .await?;
    let tenant_policy = Policy::from_json(standing.tenant_policy, "tenants")?;
    let domain_policy = Policy::from_json(standing.domain_policy, "domains")?;
    let policy = EffectivePolicy::of([&tenant_policy, &domain_policy, &account.policy]);
    let hidden_by_days = match policy.view {
        View::LastDays(days) => hidden(tx, account, days).await?,
        View::Everything | View::NewForDevice => 0,
    };
    let lease = standing.lease_session.map(|session| LeaseFacts {
        session: format!("sess_{}", session.simple()),
        address: standing.lease_address.map(|address| address.addr()),
        since: standing.lease_since,
    });
    Ok(AccountFacts {
        suspended: account.status != crate::AccountStatus::Active,
        tenant_suspended: standing.tenant_status != 1,
        policy,
        octets: (standing.live_octets, account.quota.octets),
        messages: (standing.live_messages.into(), account.quota.messages),
        tenant_octets: (standing.tenant_octets, standing.tenant_max),
        credentials: credentials(tx, account, policy).await?,
        lease,
        live: live(tx, account).await?,
        activity: activity::recent(tx, account.tenant_id, account.id, now - LOOK_BACK).await?,
        oldest_message: standing.oldest_message,
        hidden_by_days,
    })
}

/// Messages that were received before so many days.
async fn hidden(tx: &mut PgConnection, account: &Account, days: u32) -> Result<i64> {
    let hidden = sqlx::query_scalar(
        "SELECT count(*) FROM restante.messages m
          WHERE m.tenant_id = $1 AND m.account_id = $2
            AND m.guid < rpad(lpad(to_hex(greatest(0, floor(extract(epoch FROM now() - make_interval(days => $3)) * 1000))::bigint), 12, '0'), 32, '0')::uuid",
    )
    .bind(account.tenant_id.0)
    .bind(account.id.0)
    .bind(i32::try_from(days).unwrap_or(i32::MAX))
    .fetch_one(tx)
    .await?;
    Ok(hidden)
}

#[derive(FromRow)]
struct CredentialRow {
    credential_id: i64,
    kind: i16,
    label: String,
    scopes: i16,
    allowed_nets: Option<Vec<IpNet>>,
    policy: Option<Value>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_at: Option<DateTime<Utc>>,
    last_address: Option<IpNet>,
    unseen: Option<i64>,
}

/// What is in force, and what was revoked last.
async fn credentials(tx: &mut PgConnection, account: &Account, of: EffectivePolicy) -> Result<Vec<CredentialFacts>> {
    let rows: Vec<CredentialRow> = sqlx::query_as(
        "SELECT c.credential_id, c.kind, c.label, c.scopes, c.allowed_nets, c.policy, c.expires_at, c.revoked_at, u.last_at, u.last_address,
                CASE WHEN c.revoked_at IS NULL AND coalesce(c.policy ->> 'view', $3) = 'new_for_device' THEN
                  (SELECT count(*) FROM restante.messages m
                    WHERE m.tenant_id = c.tenant_id AND m.account_id = c.account_id
                      AND NOT EXISTS (SELECT FROM restante.device_views v
                                       WHERE (v.tenant_id, v.account_id, v.credential_id) = (c.tenant_id, c.account_id, c.credential_id)
                                         AND (m.uid <@ v.seen OR m.uid <@ v.hidden)))
                END AS unseen
           FROM restante.credentials c
           LEFT JOIN restante.credential_use u ON (u.tenant_id, u.account_id, u.credential_id) = (c.tenant_id, c.account_id, c.credential_id)
          WHERE c.tenant_id = $1 AND c.account_id = $2
          ORDER BY c.revoked_at DESC NULLS FIRST, c.credential_id LIMIT 200",
    )
    .bind(account.tenant_id.0)
    .bind(account.id.0)
    .bind(if of.view == View::NewForDevice { "new_for_device" } else { "" })
    .fetch_all(tx)
    .await?;
    let credential = |row: CredentialRow| {
        let policy = Policy::from_column(row.policy, "credentials")?;
        let is_password = row.kind == PASSWORD;
        Ok(CredentialFacts {
            id: row.credential_id,
            name: if is_password { "password".to_owned() } else { row.label },
            is_password,
            reads: may_read(row.scopes),
            deletes: may_expunge(row.scopes),
            networks: row.allowed_nets.unwrap_or_default().iter().map(ToString::to_string).collect(),
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_at,
            last_address: row.last_address.map(|address| -> IpAddr { address.addr() }),
            policy: of.under(&policy),
            unseen: row.unseen,
        })
    };
    rows.into_iter().map(credential).collect()
}

async fn live(tx: &mut PgConnection, account: &Account) -> Result<Vec<LiveFacts>> {
    let rows: Vec<(DateTime<Utc>, Option<String>)> = sqlx::query_as(
        "SELECT l.started_at, l.server_name
           FROM restante.live_sessions l
           JOIN restante.frontends f ON f.frontend_uuid = l.frontend_uuid AND f.beat_at >= now() - interval '15 seconds'
          WHERE l.tenant_id = $1 AND l.account_id = $2 ORDER BY l.session_uuid LIMIT $3",
    )
    .bind(account.tenant_id.0)
    .bind(account.id.0)
    .bind(LIVE)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|(started_at, server_name)| LiveFacts { started_at, server_name }).collect())
}
