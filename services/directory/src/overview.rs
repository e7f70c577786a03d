//! How things stand, at a glance: what is used, who is connected, what happened in the last hours, what is full, and how the service
//! is. Everything comes from sums and indexes, so that it costs the same however many accounts there are.

mod health;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use mail_types::{Address, TenantId, TenantSlug};
use sqlx::PgConnection;

use crate::desk::RefusalReason;
use crate::{Caller, Directory, Error, Result, shown, tenant};

pub use health::{Health, HealthState, Part};

/// The most hours of an overview: a month's.
pub const MOST_HOURS: u32 = 720;
/// Up to so many hours are shown by the minute.
const BY_THE_MINUTE: u32 = 2;
/// The fullest that are shown.
const FULLEST: i64 = 10;
/// Out of so many, those that became full last.
const CANDIDATES: i64 = 1000;

const LOGINS: i16 = 1;
const FAILURES: i16 = 2;
const DELIVERIES: i16 = 3;
const REFUSED: i16 = 4;

/// How things stand.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// When.
    pub at: DateTime<Utc>,
    /// Accounts, as of some seconds ago, like all that is summed.
    pub accounts: u64,
    /// Of them, those that are suspended.
    pub suspended: u64,
    /// Octets of live messages.
    pub octets: u64,
    /// How many there may be; `None`: without a limit, or one of several has none.
    pub octets_limit: Option<u64>,
    /// Live messages.
    pub messages: u64,
    /// Sessions under way, of live frontends.
    pub sessions: u64,
    /// What happened, by the hour, or by the minute where it is few hours; the last one is under way.
    pub series: Vec<Bucket>,
    /// Refused logins in that time by their reason, the most frequent first.
    pub failures: Vec<(RefusalReason, u64)>,
    /// Accounts that are full to 80 % or more, the fullest first.
    pub fullest: Vec<Full>,
    /// How the service is.
    pub health: Vec<Health>,
}

/// What happened in an hour or a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub at: DateTime<Utc>,
    /// Logins that were accepted.
    pub logins: u64,
    /// Logins of accounts that were refused.
    pub failures: u64,
    /// Messages that were delivered or imported, each copy.
    pub deliveries: u64,
    /// Recipients that LMTP refused, for good or for now.
    pub refused: u64,
}

/// An account that is full, or nearly.
#[derive(Debug, Clone, PartialEq)]
pub struct Full {
    /// Its address.
    pub address: Address,
    /// Octets of live messages.
    pub octets: u64,
    /// How many there may be.
    pub octets_limit: Option<u64>,
    /// Live messages.
    pub messages: u64,
    /// How many there may be.
    pub messages_limit: Option<u64>,
    /// The greater part of either limit: 1 is full.
    pub ratio: f64,
}

/// Whose sums are looked at.
struct Place {
    /// 0: the service.
    tenant: i32,
    /// 0: the whole tenant.
    domains: Vec<i64>,
}

impl Directory {
    /// How things stand in the last hours, of what the caller sees: of a tenant, of its domains for a domain-admin, or of everything.
    /// Only whoever belongs to the platform is told more of the service's health than whether it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such tenant, or a foreign one.
    pub async fn overview(&self, caller: &Caller, of: Option<&TenantSlug>, hours: u32) -> Result<Overview> {
        let began = self.clock.monotonic();
        let mut tx = self.begin(caller).await?;
        let place = place(&mut tx, caller, of).await?;
        let (at, answered) = (self.now(), self.clock.since(began));
        let mut overview = Overview { at, ..Overview::default() };
        used(&mut tx, &place, &mut overview).await?;
        overview.sessions = sessions(&mut tx, &place).await?;
        happened(&mut tx, &place, hours.clamp(1, MOST_HOURS), &mut overview).await?;
        overview.fullest = fullest(&mut tx, &place).await?;
        overview.health = health::of(&mut tx, at, answered, caller.tenant().is_none()).await?;
        Ok(overview)
    }
}

async fn place(tx: &mut PgConnection, caller: &Caller, of: Option<&TenantSlug>) -> Result<Place> {
    let tenant = match of {
        Some(slug) => Some(tenant::find(tx, slug).await?.ok_or(Error::NotFound)?.id),
        None => caller.tenant(),
    };
    let Some(TenantId(tenant)) = tenant else { return Ok(Place { tenant: 0, domains: vec![0] }) };
    let Some(names) = caller.domain_names() else { return Ok(Place { tenant, domains: vec![0] }) };
    let domains =
        "SELECT domain_id FROM restante.domains WHERE tenant_id = $1 AND name = ANY($2) AND deleted_at IS NULL";
    let domains = sqlx::query_scalar(domains).bind(tenant).bind(names).fetch_all(tx).await?;
    Ok(Place { tenant, domains })
}

async fn used(tx: &mut PgConnection, place: &Place, overview: &mut Overview) -> Result<()> {
    // Each of these has a row a tenant, or a domain that was named, at most.
    let statement = if place.tenant == 0 {
        "SELECT coalesce(sum(accounts), 0)::bigint, coalesce(sum(suspended), 0)::bigint, coalesce(sum(octets), 0)::bigint, coalesce(sum(messages), 0)::bigint,
                (SELECT CASE WHEN bool_and(t.max_octets IS NOT NULL) THEN least(sum(t.max_octets), 9223372036854775807)::bigint END
                   FROM restante.tenants t WHERE t.status <> 3)
           FROM restante.usage_now WHERE domain_id = ANY($2) AND tenant_id <> $1"
    } else if place.domains == [0] {
        "SELECT coalesce(sum(accounts), 0)::bigint, coalesce(sum(suspended), 0)::bigint, coalesce(sum(octets), 0)::bigint, coalesce(sum(messages), 0)::bigint,
                (SELECT t.max_octets FROM restante.tenants t WHERE t.tenant_id = $1)
           FROM restante.usage_now WHERE tenant_id = $1 AND domain_id = ANY($2)"
    } else {
        "SELECT coalesce(sum(accounts), 0)::bigint, coalesce(sum(suspended), 0)::bigint, coalesce(sum(octets), 0)::bigint, coalesce(sum(messages), 0)::bigint,
                (SELECT CASE WHEN bool_and(d.max_octets IS NOT NULL) THEN least(sum(d.max_octets), 9223372036854775807)::bigint END
                   FROM restante.domains d WHERE d.tenant_id = $1 AND d.domain_id = ANY($2))
           FROM restante.usage_now WHERE tenant_id = $1 AND domain_id = ANY($2)"
    };
    let (accounts, suspended, octets, messages, limit): (i64, i64, i64, i64, Option<i64>) =
        sqlx::query_as(statement).bind(place.tenant).bind(&place.domains).fetch_one(tx).await?;
    overview.accounts = shown::unsigned(accounts, "usage_now", "accounts")?;
    overview.suspended = shown::unsigned(suspended, "usage_now", "suspended")?;
    overview.octets = shown::unsigned(octets, "usage_now", "octets")?;
    overview.messages = shown::unsigned(messages, "usage_now", "messages")?;
    overview.octets_limit = limit.map(|limit| shown::unsigned(limit, "tenants", "max_octets")).transpose()?;
    Ok(())
}

async fn sessions(tx: &mut PgConnection, place: &Place) -> Result<u64> {
    // Never more than there are connections.
    let statement = if place.tenant == 0 {
        "SELECT count(*) FROM restante.live_sessions l JOIN restante.frontends f USING (frontend_uuid)
          WHERE f.beat_at >= clock_timestamp() - interval '15 seconds' AND l.tenant_id <> $1 AND $2::bigint[] IS NOT NULL"
    } else if place.domains == [0] {
        "SELECT count(*) FROM restante.live_sessions l JOIN restante.frontends f USING (frontend_uuid)
          WHERE f.beat_at >= clock_timestamp() - interval '15 seconds' AND l.tenant_id = $1 AND $2::bigint[] IS NOT NULL"
    } else {
        "SELECT count(*) FROM restante.live_sessions l JOIN restante.frontends f USING (frontend_uuid)
           JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (l.tenant_id, l.account_id)
          WHERE f.beat_at >= clock_timestamp() - interval '15 seconds' AND l.tenant_id = $1 AND a.domain_id = ANY($2)"
    };
    let count: i64 = sqlx::query_scalar(statement).bind(place.tenant).bind(&place.domains).fetch_one(tx).await?;
    shown::unsigned(count, "live_sessions", "count")
}

/// The series, and the reasons of what was refused in it.
async fn happened(tx: &mut PgConnection, place: &Place, hours: u32, overview: &mut Overview) -> Result<()> {
    let (step, count) = if hours <= BY_THE_MINUTE { (1_i16, hours * 60) } else { (60, hours) };
    let length = TimeDelta::minutes(step.into());
    let last = overview.at.duration_trunc(length).map_err(|_| Error::Internal("a moment without an hour"))?;
    let at = |back: u32| last - length * i32::try_from(back).unwrap_or(i32::MAX);
    overview.series = (0..count).rev().map(|back| Bucket { at: at(back), ..Bucket::default() }).collect();
    let rows: Vec<(DateTime<Utc>, i16, i16, i64)> = sqlx::query_as(
        "SELECT at, kind, reason, sum(count)::bigint FROM restante.activity_sums
          WHERE tenant_id = $1 AND domain_id = ANY($2) AND step = $3 AND at >= $4 GROUP BY at, kind, reason",
    )
    .bind(place.tenant)
    .bind(&place.domains)
    .bind(step)
    .bind(at(count - 1))
    .fetch_all(tx)
    .await?;
    for (at, kind, reason, counted) in rows {
        let counted = shown::unsigned(counted, "activity_sums", "count")?;
        // What another process's clock is ahead of ours counts as of now.
        let at = at.min(last);
        let Ok(index) = overview.series.binary_search_by_key(&at, |bucket| bucket.at) else { continue };
        let Some(bucket) = overview.series.get_mut(index) else { continue };
        match kind {
            LOGINS => bucket.logins += counted,
            FAILURES => {
                bucket.failures += counted;
                let Some(reason) = RefusalReason::from_code(reason) else { continue };
                match overview.failures.iter_mut().find(|(of, _)| *of == reason) {
                    Some((_, all)) => *all += counted,
                    None => overview.failures.push((reason, counted)),
                }
            }
            DELIVERIES => bucket.deliveries += counted,
            REFUSED => bucket.refused += counted,
            _ => {}
        }
    }
    overview.failures.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    Ok(())
}

#[derive(sqlx::FromRow)]
struct FullRow {
    local_part: String,
    domain: String,
    live_octets: i64,
    max_octets: Option<i64>,
    live_messages: i32,
    max_messages: Option<i32>,
    ratio: f64,
}

/// A roll-up notes each account that is full to 80 % or more; here it is looked at as it is now.
async fn fullest(tx: &mut PgConnection, place: &Place) -> Result<Vec<Full>> {
    let rows: Vec<FullRow> = sqlx::query_as(
        "SELECT a.local_part, d.name AS domain, m.live_octets, a.max_octets, m.live_messages, a.max_messages,
                greatest(m.live_octets::double precision / nullif(a.max_octets, 0), m.live_messages::double precision / nullif(a.max_messages, 0)) AS ratio
           FROM (SELECT q.tenant_id, q.id FROM restante.quota_levels q
                  WHERE q.kind = 3 AND ($1 = 0 OR q.tenant_id = $1) ORDER BY q.percent DESC, q.since DESC LIMIT $3) q
           JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (q.tenant_id, q.id)
           JOIN restante.maildrops m ON (m.tenant_id, m.account_id) = (q.tenant_id, q.id)
           JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
          WHERE a.status <> 3 AND ($2 = '{0}' OR a.domain_id = ANY($2)) AND num_nonnulls(nullif(a.max_octets, 0), nullif(a.max_messages, 0)) > 0
          ORDER BY ratio DESC, a.tenant_id, a.account_id LIMIT $4",
    )
    .bind(place.tenant)
    .bind(&place.domains)
    .bind(CANDIDATES)
    .bind(FULLEST)
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(FullRow::full).collect()
}

impl FullRow {
    fn full(self) -> Result<Full> {
        let limit =
            |limit: Option<i64>, column| limit.map(|limit| shown::unsigned(limit, "accounts", column)).transpose();
        Ok(Full {
            address: shown::address(&self.local_part, &self.domain, "accounts")?,
            octets: shown::unsigned(self.live_octets, "maildrops", "live_octets")?,
            octets_limit: limit(self.max_octets, "max_octets")?,
            messages: shown::unsigned(self.live_messages.into(), "maildrops", "live_messages")?,
            messages_limit: limit(self.max_messages.map(i64::from), "max_messages")?,
            ratio: self.ratio,
        })
    }
}
