//! Expunged messages: listed, and moved back (`admin_restore_1`), in a transaction of their tenant (role admin).

use chrono::{DateTime, NaiveDate, Utc};
use mail_types::{AccountId, Guid, SessionUuid, TenantId, UniqueId};
use runtime::database::Pool;
use sqlx::types::JsonValue;
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::maildrop::{Listed, listed};
use super::{as_tenant, named, rows_as_tenant};
use crate::Error;

/// Which expunged messages are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These. Those that are not expunged are passed over.
    UniqueIds(Vec<UniqueId>),
    /// What was expunged in a stretch of time.
    Between {
        /// From here on.
        since: DateTime<Utc>,
        /// And before this; `None`: until now.
        until: Option<DateTime<Utc>>,
    },
    /// What this session expunged.
    Session(SessionUuid),
}

/// An expunged message as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expunged {
    /// What it was when it was live, and will be again.
    pub message: Listed,
    /// When it was expunged, by the database's clock.
    pub expunged_at: DateTime<Utc>,
    /// By which session.
    pub session: SessionUuid,
    /// From this day on (UTC) it can be gone.
    pub purge_day: NaiveDate,
}

/// Which expunged messages are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpungedFilter {
    /// Expunged from here on.
    pub since: Option<DateTime<Utc>>,
    /// Expunged before this.
    pub until: Option<DateTime<Utc>>,
    /// Expunged by this session.
    pub session: Option<SessionUuid>,
}

/// A page of an account's expunged messages, those expunged last first, after the moment and uid that the last page ended with.
pub(crate) async fn page(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    filter: ExpungedFilter,
    after: Option<(DateTime<Utc>, i64)>,
    limit: u32,
) -> Result<Vec<Expunged>, Error> {
    let query = sqlx::query(
        "SELECT x.*, e.legacy_id, e.received_at FROM ( \
           SELECT uid, octets, guid, expunged_at, session_uuid, purge_day FROM restante.expunged \
            WHERE tenant_id = $1 AND account_id = $2 AND ($3::timestamptz IS NULL OR (expunged_at, uid) < ($3, $4)) \
              AND ($5::timestamptz IS NULL OR expunged_at >= $5) AND ($6::timestamptz IS NULL OR expunged_at < $6) \
              AND ($7::uuid IS NULL OR session_uuid = $7) \
            ORDER BY expunged_at DESC, uid DESC LIMIT $8) x \
         LEFT JOIN restante.message_extras e ON e.tenant_id = $1 AND e.account_id = $2 AND e.uid = x.uid \
         ORDER BY x.expunged_at DESC, x.uid DESC",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, uid)| uid))
    .bind(filter.since)
    .bind(filter.until)
    .bind(filter.session.map(uuid))
    .bind(i64::from(limit));
    let rows = rows_as_tenant("expunged_page", pool, tenant, query).await?;
    rows.iter().map(expunged).collect()
}

fn expunged(row: &PgRow) -> Result<Expunged, Error> {
    Ok(Expunged {
        message: listed(row, "expunged")?,
        expunged_at: row.try_get("expunged_at")?,
        session: SessionUuid::from_u128(row.try_get::<Uuid, _>("session_uuid")?.as_u128()),
        purge_day: row.try_get("purge_day")?,
    })
}

/// Who restores: what the audit trail says of it.
#[derive(Debug, Clone)]
pub struct RestoredBy {
    /// As it stands in the audit trail: `api-key:7`.
    pub actor: String,
    /// The account as it stands there.
    pub target: String,
    /// Where the request came from.
    pub address: Option<std::net::IpAddr>,
    /// The request.
    pub request: Uuid,
}

/// What became of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// So much is live again.
    Done {
        /// Messages; 0 where none of the selection is expunged.
        messages: u64,
        /// Their octets.
        octets: u64,
    },
    /// It does not fit into the quota of the account or its tenant: nothing was restored.
    OverQuota {
        /// Messages that were selected.
        messages: u64,
        /// Their octets.
        octets: u64,
    },
    /// There is no such account any more.
    NoSuchAccount,
}

/// Whether what is done stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Do,
    /// Do it, look at it, roll it back.
    Try,
}

/// Moves the selected messages back, all or none, and writes the audit event with it. Of a trial, what the event said of the change.
pub(crate) async fn restore(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    selection: &Selection,
    by: &RestoredBy,
    mode: Mode,
) -> Result<(Restored, Option<JsonValue>), Error> {
    let (mut guids, mut unique_ids, mut since, mut until, mut session) = (None, None, None, None, None);
    match selection {
        Selection::UniqueIds(ids) => {
            let ours = ids.iter().filter_map(|id| Guid::from_unique_id(id.as_str()));
            guids = Some(ours.map(|guid| Uuid::from_u128(guid.as_u128())).collect::<Vec<_>>());
            unique_ids = Some(ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>());
        }
        Selection::Between { since: from, until: before } => (since, until) = (Some(*from), *before),
        Selection::Session(one) => session = Some(uuid(*one)),
    }
    let (row, audited) = named("admin_restore_1", async {
        let mut tx = as_tenant(pool, tenant).await?;
        let row = sqlx::query(
            "SELECT verdict, messages, octets FROM restante.admin_restore_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::inet, $11)",
        )
        .bind(tenant.0)
        .bind(account.0)
        .bind(guids)
        .bind(unique_ids)
        .bind(since)
        .bind(until)
        .bind(session)
        .bind(&by.actor)
        .bind(&by.target)
        .bind(by.address.map(|address| address.to_string()))
        .bind(by.request)
        .fetch_one(&mut *tx)
        .await?;
        if mode == Mode::Do {
            tx.commit().await?;
            return Ok((row, None));
        }
        let audited = sqlx::query_scalar("SELECT after FROM restante.audit_events WHERE tenant_id = $1 AND request_id = $2")
            .bind(tenant.0)
            .bind(by.request)
            .fetch_optional(&mut *tx)
            .await?;
        tx.rollback().await?;
        Ok((row, audited))
    })
    .await?;
    let messages = u64::try_from(row.try_get::<i32, _>("messages")?).unwrap_or(0);
    let octets = u64::try_from(row.try_get::<i64, _>("octets")?).unwrap_or(0);
    let restored = match row.try_get::<i16, _>("verdict")? {
        1 => Restored::Done { messages, octets },
        3 => Restored::OverQuota { messages, octets },
        4 => Restored::NoSuchAccount,
        _ => return Err(Error::Inconsistent { table: "admin_restore_1", what: "verdict" }),
    };
    Ok((restored, audited))
}

fn uuid(session: SessionUuid) -> Uuid {
    Uuid::from_u128(session.as_u128())
}
