//! What happened lately at an account: sessions that fetched, expunged or failed; refused logins, summed by minute, network and
//! reason; and when each credential was last seen, whatever it found.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, CredentialId, SessionUuid, TenantId};
use sqlx::PgConnection;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use super::RefusalReason;
use crate::error::inconsistent;
use crate::{Caller, Directory, Error, Page, PageRequest, Result, account};

/// A credential and what its owner calls it: `password`, or the app password's name.
pub type CredentialName = (CredentialId, String);

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Activity {
    /// When: the session's beginning, the refusals' minute, the credential's last login. The list's order.
    pub at: DateTime<Utc>,
    /// From where; the last of several.
    pub address: IpAddr,
    /// With what, where that is known. A token or a certificate is none.
    pub credential: Option<CredentialName>,
    /// By the driver's number; `None` of a credential's last login, and of what a policy did.
    pub mechanism: Option<i16>,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: Option<i16>,
    /// What is known of the client's program.
    pub client: Option<String>,
    /// The name it asked for in TLS.
    pub server_name: Option<String>,
    /// What it was.
    pub kind: ActivityKind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum ActivityKind {
    /// A session.
    Session {
        /// Which.
        session: SessionUuid,
        /// When its row was written.
        ended_at: DateTime<Utc>,
        /// How, in the driver's word; `None`: an earlier release did not tell.
        ended: Option<String>,
        /// Messages fetched whole.
        fetched: u64,
        /// Their octets.
        fetched_octets: u64,
        /// Messages expunged.
        expunged: u64,
        /// The last `-ERR` that the client saw.
        last_error: Option<String>,
    },
    /// A policy expunged what was over its days.
    Expiry {
        /// To undo it by.
        session: SessionUuid,
        /// Messages.
        expunged: u64,
    },
    /// Logins that were refused.
    Refused(RefusedLogins),
    /// Logins with a credential, since it was made.
    Use {
        /// How many.
        logins: u64,
    },
}

/// Logins that were refused in a minute, from a network, for a reason.
#[derive(Debug, Clone)]
pub struct RefusedLogins {
    /// Why.
    pub reason: RefusalReason,
    /// From where; `0.0.0.0/0` of several networks.
    pub network: IpNet,
    /// How often.
    pub attempts: u64,
    /// Of them, how many with a secret that was new.
    pub secrets: u64,
    /// The first.
    pub first_at: DateTime<Utc>,
    /// The last.
    pub last_at: DateTime<Utc>,
    /// The `-ERR` that the client saw last.
    pub told: String,
}

/// Which of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ActivityFilter {
    /// Only logins that were accepted, or only those that were refused.
    pub accepted: Option<bool>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Not after.
    pub until: Option<DateTime<Utc>>,
}

const SESSION: i32 = 1;
const REFUSED: i32 = 2;
const USE: i32 = 3;
/// A session's mechanism where a policy acted.
const POLICY: i16 = 0;

#[derive(sqlx::FromRow)]
struct ActivityRow {
    at: DateTime<Utc>,
    kind: i32,
    id: String,
    address: IpNet,
    credential_id: Option<i64>,
    label: Option<String>,
    mechanism: Option<i16>,
    tls: Option<i16>,
    client: Option<String>,
    server_name: Option<String>,
    session_uuid: Option<Uuid>,
    ended_at: Option<DateTime<Utc>>,
    ended: Option<String>,
    told: Option<String>,
    fetched: Option<i32>,
    octets: Option<i64>,
    expunged: Option<i32>,
    reason: Option<i16>,
    network: Option<IpNet>,
    attempts: Option<i64>,
    secrets: Option<i32>,
    first_at: Option<DateTime<Utc>>,
}

impl ActivityRow {
    fn activity(self) -> Result<Activity> {
        let wrong = || inconsistent("login_refusals", "reason");
        let count = |count: Option<i32>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
        let session = SessionUuid::from_u128(self.session_uuid.unwrap_or_default().as_u128());
        let kind = match self.kind {
            SESSION if self.mechanism == Some(POLICY) => {
                ActivityKind::Expiry { session, expunged: count(self.expunged) }
            }
            SESSION => ActivityKind::Session {
                session,
                ended_at: self.ended_at.unwrap_or(self.at),
                ended: self.ended,
                fetched: count(self.fetched),
                fetched_octets: u64::try_from(self.octets.unwrap_or(0)).unwrap_or(0),
                expunged: count(self.expunged),
                last_error: self.told,
            },
            REFUSED => ActivityKind::Refused(RefusedLogins {
                reason: self.reason.and_then(RefusalReason::from_code).ok_or_else(wrong)?,
                network: self.network.ok_or_else(wrong)?,
                attempts: u64::try_from(self.attempts.unwrap_or(0)).unwrap_or(0),
                secrets: count(self.secrets),
                first_at: self.first_at.unwrap_or(self.at),
                last_at: self.ended_at.unwrap_or(self.at),
                told: self.told.unwrap_or_default(),
            }),
            _ => ActivityKind::Use { logins: u64::try_from(self.attempts.unwrap_or(0)).unwrap_or(0) },
        };
        Ok(Activity {
            at: self.at,
            address: self.address.addr(),
            credential: self
                .credential_id
                .filter(|&id| id != 0)
                .map(|id| (CredentialId(id), self.label.unwrap_or_default())),
            mechanism: self.mechanism.filter(|&mechanism| mechanism != POLICY),
            tls: self.tls,
            client: self.client,
            server_name: self.server_name,
            kind,
        })
    }
}

type Cursor = (DateTime<Utc>, i32, String);

impl Directory {
    /// What happened at an account, the last first.
    pub async fn activity(
        &self,
        caller: &Caller,
        address: &Address,
        filter: ActivityFilter,
        page: &PageRequest,
    ) -> Result<Page<Activity>> {
        let after: Option<Cursor> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let rows = rows(&mut tx, account.tenant_id, account.id, filter, after, page.fetch()).await?;
        page.page(rows, |row| (row.at, row.kind, row.id.clone())).try_map(ActivityRow::activity)
    }
}

/// What happened lately, for a diagnosis: at most so much of each kind.
pub(super) async fn recent(
    tx: &mut PgConnection,
    tenant: TenantId,
    account: AccountId,
    since: DateTime<Utc>,
) -> Result<Vec<Activity>> {
    let mut all = Vec::new();
    for accepted in [true, false] {
        let filter = ActivityFilter { accepted: Some(accepted), since: Some(since), until: None };
        for row in rows(tx, tenant, account, filter, None, 200).await? {
            all.push(row.activity()?);
        }
    }
    Ok(all)
}

async fn rows(
    tx: &mut PgConnection,
    tenant: TenantId,
    account: AccountId,
    filter: ActivityFilter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<ActivityRow>> {
    let (at, kind, id) = after.map(|(at, kind, id)| (Some(at), Some(kind), Some(id))).unwrap_or_default();
    // Each part is a range of its own index, newest first, cut to a page: a page costs the same wherever it begins.
    let rows = sqlx::query_as(
        "WITH bounds AS (
           SELECT least(coalesce($3::timestamptz, 'infinity'), coalesce($7::timestamptz, 'infinity')) AS last,
                  coalesce($6::timestamptz, '-infinity') AS first, coalesce($3::timestamptz, 'infinity') AS at, coalesce($4, 9) AS kind,
                  coalesce($5, '') COLLATE \"C\" AS id),
         happened AS (
           (SELECT s.started_at AS at, 1 AS kind, s.session_uuid::text COLLATE \"C\" AS id, s.address, s.credential_id, s.mechanism, s.tls, s.client,
                   s.server_name, s.session_uuid, s.ended_at, s.ended, s.last_error AS told, s.fetched, s.fetched_octets AS octets, s.expunged,
                   NULL::smallint AS reason, NULL::cidr AS network, NULL::bigint AS attempts, NULL::integer AS secrets, NULL::timestamptz AS first_at
              FROM restante.sessions s, bounds b
             WHERE $9 AND s.tenant_id = $1 AND s.account_id = $2 AND s.started_at BETWEEN b.first AND b.last
               AND (s.started_at, 1, s.session_uuid::text COLLATE \"C\") < (b.at, b.kind, b.id)
             ORDER BY 1 DESC, 3 DESC LIMIT $8)
           UNION ALL
           (SELECT r.minute, 2, (r.network::text || ' ' || r.reason) COLLATE \"C\", r.address, r.credential_id, r.mechanism, r.tls, r.client,
                   r.server_name, NULL, r.last_at, NULL, r.told, NULL, NULL, NULL, r.reason, r.network, r.attempts, r.secrets, r.first_at
              FROM restante.login_refusals r, bounds b
             WHERE $10 AND r.tenant_id = $1 AND r.account_id = $2 AND r.minute BETWEEN b.first AND b.last
               AND (r.minute, 2, (r.network::text || ' ' || r.reason) COLLATE \"C\") < (b.at, b.kind, b.id)
             ORDER BY 1 DESC, 3 DESC LIMIT $8)
           UNION ALL
           (SELECT u.last_at, 3, u.credential_id::text COLLATE \"C\", u.last_address, u.credential_id, NULL, NULL, NULL,
                   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, u.logins, NULL, NULL
              FROM restante.credential_use u, bounds b
             WHERE $9 AND u.tenant_id = $1 AND u.account_id = $2 AND u.last_at BETWEEN b.first AND b.last
               AND (u.last_at, 3, u.credential_id::text COLLATE \"C\") < (b.at, b.kind, b.id)
             ORDER BY 1 DESC, 3 DESC LIMIT $8))
         SELECT h.*, CASE WHEN c.kind = 1 THEN 'password' ELSE c.label END AS label
           FROM (SELECT * FROM happened ORDER BY at DESC, kind DESC, id DESC LIMIT $8) h
           LEFT JOIN restante.credentials c ON (c.tenant_id, c.account_id, c.credential_id) = ($1, $2, h.credential_id)
          ORDER BY at DESC, kind DESC, id DESC",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(at)
    .bind(kind)
    .bind(id)
    .bind(filter.since)
    .bind(filter.until)
    .bind(limit)
    .bind(filter.accepted != Some(false))
    .bind(filter.accepted != Some(true))
    .fetch_all(tx)
    .await?;
    Ok(rows)
}

// The numbers of the kinds stand in the statement too.
const _: () = assert!(SESSION == 1 && REFUSED == 2 && USE == 3);
