//! The sessions that fetched, expunged or failed, for the API: read in a transaction of their tenant (role admin).

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{AccountId, CredentialId, SessionUuid, TenantId};
use runtime::database::Pool;
use sqlx::{Row as _, postgres::PgRow, types::ipnet::IpNet};
use uuid::Uuid;

use super::quit::SessionOutcome;
use super::rows_as_tenant;
use crate::Error;

/// A session that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSession {
    /// As it also stands in the log.
    pub session: SessionUuid,
    /// What it logged in with; `None` for a token or a certificate.
    pub credential: Option<CredentialId>,
    /// When it began, by the frontend's clock.
    pub started_at: DateTime<Utc>,
    /// When its row was written, by the database's clock.
    pub ended_at: DateTime<Utc>,
    /// The client.
    pub address: IpAddr,
    /// What the client said it is.
    pub client: Option<String>,
    /// How the client proved itself, by the protocol driver's number: see [`mechanism_name`].
    pub mechanism: i16,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// How it ended.
    pub outcome: SessionOutcome,
    /// Messages fetched whole.
    pub fetched: u64,
    /// Their octets.
    pub fetched_octets: u64,
    /// Messages it expunged.
    pub expunged: u64,
    /// Of those, how many are expunged still: what undoing the session would restore.
    pub restorable: u64,
}

/// The name of a login mechanism by the number that sessions are kept with; `None` for one that is not known here.
pub fn mechanism_name(number: i16) -> Option<&'static str> {
    const NAMES: [&str; 13] = [
        "user",
        "PLAIN",
        "LOGIN",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1",
        "SCRAM-SHA-1-PLUS",
        "OAUTHBEARER",
        "XOAUTH2",
        "EXTERNAL",
        "CRAM-MD5",
        "NTLM",
        "apop",
    ];
    NAMES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// A page of an account's sessions, those begun last first, after the moment and session that the last page ended with.
pub(crate) async fn page(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    after: Option<(DateTime<Utc>, SessionUuid)>,
    limit: u32,
) -> Result<Vec<PastSession>, Error> {
    // Sums of one page only, so that they cost the same wherever it begins.
    let query = sqlx::query(
        "WITH page AS ( \
           SELECT * FROM restante.sessions \
            WHERE tenant_id = $1 AND account_id = $2 \
              AND (started_at, session_uuid) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
            ORDER BY started_at DESC, session_uuid DESC LIMIT $5), \
         kept AS ( \
           SELECT session_uuid, count(*) AS restorable FROM restante.expunged \
            WHERE tenant_id = $1 AND account_id = $2 AND session_uuid = ANY (ARRAY(SELECT session_uuid FROM page WHERE expunged > 0)) \
            GROUP BY session_uuid) \
         SELECT page.*, coalesce(kept.restorable, 0) AS restorable FROM page LEFT JOIN kept USING (session_uuid) \
         ORDER BY started_at DESC, session_uuid DESC",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, session)| Uuid::from_u128(session.as_u128())))
    .bind(i64::from(limit));
    let rows = rows_as_tenant("session_page", pool, tenant, query).await?;
    rows.iter().map(past).collect()
}

fn past(row: &PgRow) -> Result<PastSession, Error> {
    let wrong = |what| Error::Inconsistent { table: "sessions", what };
    let count = |column: &str, what| -> Result<u64, Error> {
        u64::try_from(row.try_get::<i32, _>(column)?).map_err(|_| wrong(what))
    };
    let octets = row.try_get::<i64, _>("fetched_octets")?;
    let restorable = row.try_get::<i64, _>("restorable")?;
    // Tokens and certificates are no credential of the account: they stand there as 0.
    let credential = row.try_get::<Option<i64>, _>("credential_id")?.filter(|&id| id != 0).map(CredentialId);
    Ok(PastSession {
        session: SessionUuid::from_u128(row.try_get::<Uuid, _>("session_uuid")?.as_u128()),
        credential,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        address: row.try_get::<IpNet, _>("address")?.addr(),
        client: row.try_get("client")?,
        mechanism: row.try_get("mechanism")?,
        tls: row.try_get("tls")?,
        outcome: SessionOutcome::from_code(row.try_get("outcome")?).ok_or(wrong("outcome"))?,
        fetched: count("fetched", "fetched is negative")?,
        fetched_octets: u64::try_from(octets).map_err(|_| wrong("fetched_octets is negative"))?,
        expunged: count("expunged", "expunged is negative")?,
        restorable: u64::try_from(restorable).unwrap_or(0),
    })
}

/// Whether a session of this account left a row, or expunged messages that are there still.
pub(crate) async fn exists(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    session: SessionUuid,
) -> Result<bool, Error> {
    let query = sqlx::query(
        "SELECT FROM restante.sessions WHERE tenant_id = $1 AND session_uuid = $3 AND account_id = $2 \
         UNION ALL (SELECT FROM restante.expunged WHERE tenant_id = $1 AND session_uuid = $3 AND account_id = $2 LIMIT 1)",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(Uuid::from_u128(session.as_u128()));
    Ok(!rows_as_tenant("session_exists", pool, tenant, query).await?.is_empty())
}
