//! Sessions under way, over all frontends: some seconds behind, since each tells of its own in batches. Those of a frontend that does
//! not beat any more are not shown.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{Address, CredentialId, DomainName, SessionUuid, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use crate::audit::{self, Event};
use crate::domain::AddressRange;
use crate::{Caller, Directory, Error, Page, PageRequest, Result, account, shown};

/// A session under way.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// Which.
    pub session: SessionUuid,
    /// Whose.
    pub tenant: TenantSlug,
    /// The account's address.
    pub account: Address,
    /// When the client connected.
    pub started_at: DateTime<Utc>,
    /// The client.
    pub address: IpAddr,
    /// The credential and what its owner calls it; `None` for a token or a certificate.
    pub credential: Option<(CredentialId, String)>,
    /// By the driver's number.
    pub mechanism: i16,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// What is known of the client's program.
    pub client: Option<String>,
    /// The name it asked for in TLS.
    pub server_name: Option<String>,
    /// Messages fetched whole so far.
    pub fetched: u64,
    /// Their octets.
    pub fetched_octets: u64,
    /// The frontend: its id and the name of its host.
    pub frontend: (Uuid, String),
    /// It was told to end, or will be within seconds.
    pub ending: bool,
}

/// Which of them.
#[derive(Debug, Clone, Default)]
pub struct LiveSessionFilter {
    /// Of one tenant.
    pub tenant: Option<TenantSlug>,
    /// Of one domain.
    pub domain: Option<DomainName>,
    /// Of one account.
    pub account: Option<Address>,
}

#[derive(sqlx::FromRow)]
struct LiveRow {
    tenant_id: i32,
    account_id: i64,
    session_uuid: Uuid,
    slug: String,
    local_part: String,
    domain: String,
    started_at: DateTime<Utc>,
    address: IpNet,
    credential_id: Option<i64>,
    label: Option<String>,
    mechanism: i16,
    tls: i16,
    client: Option<String>,
    server_name: Option<String>,
    fetched: i32,
    fetched_octets: i64,
    frontend_uuid: Uuid,
    host: String,
    end_asked: bool,
}

impl LiveRow {
    fn session(self) -> Result<LiveSession> {
        Ok(LiveSession {
            session: SessionUuid::from_u128(self.session_uuid.as_u128()),
            tenant: shown::slug(&self.slug)?,
            account: shown::address(&self.local_part, &self.domain, "accounts")?,
            started_at: self.started_at,
            address: self.address.addr(),
            credential: self.credential_id.map(|id| (CredentialId(id), self.label.unwrap_or_default())),
            mechanism: self.mechanism,
            tls: self.tls,
            client: self.client,
            server_name: self.server_name,
            fetched: u64::try_from(self.fetched).unwrap_or(0),
            fetched_octets: u64::try_from(self.fetched_octets).unwrap_or(0),
            frontend: (self.frontend_uuid, self.host),
            ending: self.end_asked,
        })
    }
}

impl Directory {
    /// The sessions under way that the caller sees, by account.
    pub async fn live_sessions(
        &self,
        caller: &Caller,
        filter: &LiveSessionFilter,
        page: &PageRequest,
    ) -> Result<Page<LiveSession>> {
        let after: Option<(i32, i64, Uuid)> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let mut only = None;
        let (first, last, domain) = match &filter.account {
            Some(address) => {
                let found = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
                only = Some(found.id.0);
                (found.tenant_id.0, found.tenant_id.0, None)
            }
            None => {
                let (tenant, domain) = (filter.tenant.as_ref(), filter.domain.as_ref());
                let Some(range) =
                    AddressRange::of(&mut tx, caller, tenant, domain.map(|domain| (domain, None)), None).await?
                else {
                    return Ok(Page::empty());
                };
                (range.after.0, range.end.0, domain.map(|_| range.end.1))
            }
        };
        let rows = sqlx::query_as::<_, LiveRow>(
            "SELECT l.tenant_id, l.account_id, l.session_uuid, t.slug, a.local_part, d.name AS domain, l.started_at, l.address,
                    l.credential_id, CASE WHEN c.kind = 1 THEN 'password' ELSE c.label END AS label, l.mechanism, l.tls, l.client, l.server_name,
                    l.fetched, l.fetched_octets, f.frontend_uuid, f.address AS host, l.end_asked
               FROM restante.live_sessions l
               JOIN restante.frontends f ON f.frontend_uuid = l.frontend_uuid AND f.beat_at >= now() - interval '15 seconds'
               JOIN restante.tenants t ON t.tenant_id = l.tenant_id
               JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (l.tenant_id, l.account_id)
               JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
               LEFT JOIN restante.credentials c ON (c.tenant_id, c.account_id, c.credential_id) = (l.tenant_id, l.account_id, l.credential_id)
              WHERE (l.tenant_id, l.account_id, l.session_uuid) > ($1, $2, $3)
                AND l.tenant_id BETWEEN $4 AND $5
                AND ($6::bigint IS NULL OR a.domain_id = $6) AND ($7::bigint IS NULL OR l.account_id = $7)
              ORDER BY l.tenant_id, l.account_id, l.session_uuid LIMIT $8",
        )
        .bind(after.map_or(first, |after| after.0))
        .bind(after.map_or(0, |after| after.1))
        .bind(after.map_or(Uuid::nil(), |after| after.2))
        .bind(first)
        .bind(last)
        .bind(domain)
        .bind(only)
        .bind(page.fetch())
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| (row.tenant_id, row.account_id, row.session_uuid)).try_map(LiveRow::session)
    }

    /// Asks for a session's end; its frontend learns it within seconds. Nothing of what it marked is expunged.
    pub async fn end_session(&self, caller: &Caller, session: SessionUuid) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let found: Option<(i32, String, String)> = sqlx::query_as(
            "SELECT l.tenant_id, a.local_part, d.name
               FROM restante.live_sessions l
               JOIN restante.frontends f ON f.frontend_uuid = l.frontend_uuid AND f.beat_at >= now() - interval '15 seconds'
               JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (l.tenant_id, l.account_id)
               JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
              WHERE l.session_uuid = $1",
        )
        .bind(Uuid::from_u128(session.as_u128()))
        .fetch_optional(&mut *tx)
        .await?;
        let (tenant, local, name) = found.ok_or(Error::NotFound)?;
        sqlx::query("UPDATE restante.live_sessions SET end_asked = true WHERE tenant_id = $1 AND session_uuid = $2")
            .bind(tenant)
            .bind(Uuid::from_u128(session.as_u128()))
            .execute(&mut *tx)
            .await?;
        let target = shown::address(&local, &name, "accounts")?.to_string();
        record(&mut tx, caller, tenant, &target, json!({"session": format!("sess_{session}")})).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// The same of all sessions of an account that the frontends have told of; answers how many.
    pub async fn end_sessions(&self, caller: &Caller, address: &Address) -> Result<u64> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let asked = sqlx::query(
            "UPDATE restante.live_sessions l SET end_asked = true
              WHERE l.tenant_id = $1 AND l.account_id = $2
                AND EXISTS (SELECT FROM restante.frontends f WHERE f.frontend_uuid = l.frontend_uuid AND f.beat_at >= now() - interval '15 seconds')",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let target = account.address.to_string();
        record(&mut tx, caller, account.tenant_id.0, &target, json!({"sessions": asked})).await?;
        self.finish(tx, caller).await?;
        Ok(asked)
    }
}

async fn record(tx: &mut PgConnection, caller: &Caller, tenant: i32, target: &str, after: Value) -> Result<()> {
    let tenant = TenantId(tenant);
    audit::record(tx, caller, Event { tenant, action: "session.end", target, before: None, after: Some(after) }).await
}
