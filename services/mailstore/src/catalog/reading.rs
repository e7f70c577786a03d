//! Messages of a maildrop that are to be read through the API (role admin, in a transaction of the tenant): with their places, which
//! `admin_locate_1` tells.

use mail_types::{AccountId, Guid, TenantId, Timestamp, UniqueId};
use runtime::database::Pool;
use sqlx::{Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::{as_tenant, maildrop, named};
use crate::Error;
use crate::snapshot::Message;

/// A message, and when another server received it.
pub(crate) type ToRead = (Message, Option<Timestamp>);

/// A page of a maildrop after a uid, in order.
pub(crate) async fn page(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    after_uid: i64,
    limit: u32,
) -> Result<Vec<ToRead>, Error> {
    let rows = named("read_page", async {
        let mut tx = as_tenant(pool, tenant).await?;
        let uids: Vec<i64> = sqlx::query_scalar(
            "SELECT uid FROM restante.messages WHERE tenant_id = $1 AND account_id = $2 AND uid > $3 ORDER BY uid LIMIT $4",
        )
        .bind(tenant.0)
        .bind(account.0)
        .bind(after_uid)
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
        rows(&mut tx, tenant, account, &uids).await
    })
    .await?;
    to_read(&rows)
}

/// One message by its unique-id.
pub(crate) async fn one(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    unique_id: &UniqueId,
) -> Result<Vec<ToRead>, Error> {
    let guid = Guid::from_unique_id(unique_id.as_str()).map(|guid| Uuid::from_u128(guid.as_u128()));
    let rows = named("read_one", async {
        let mut tx = as_tenant(pool, tenant).await?;
        let uids: Vec<i64> = sqlx::query_scalar(
            "SELECT m.uid FROM restante.messages m \
             LEFT JOIN restante.message_extras e ON (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid) \
             WHERE m.tenant_id = $1 AND m.account_id = $2 AND (e.legacy_id = $4 OR (m.guid = $3 AND e.legacy_id IS NULL))",
        )
        .bind(tenant.0)
        .bind(account.0)
        .bind(guid)
        .bind(unique_id.as_str())
        .fetch_all(&mut *tx)
        .await?;
        rows(&mut tx, tenant, account, &uids).await
    })
    .await?;
    to_read(&rows)
}

async fn rows(
    tx: &mut Transaction<'_, Postgres>,
    tenant: TenantId,
    account: AccountId,
    uids: &[i64],
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    sqlx::query(
        "SELECT m.uid, m.octets, m.guid, l.segment_uuid, l.frame_offset, l.frame_len, l.head_len, m.traits, e.legacy_id, e.prefix, e.received_at \
         FROM restante.messages m JOIN restante.admin_locate_1($1, $2, $3) l ON l.uid = m.uid \
         LEFT JOIN restante.message_extras e ON (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid) \
         WHERE m.tenant_id = $1 AND m.account_id = $2 AND m.uid = ANY ($3) ORDER BY m.uid",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(uids)
    .fetch_all(&mut **tx)
    .await
}

fn to_read(rows: &[sqlx::postgres::PgRow]) -> Result<Vec<ToRead>, Error> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        let at: Option<chrono::DateTime<chrono::Utc>> = row.try_get("received_at")?;
        let at = at.and_then(|at| u64::try_from(at.timestamp_millis()).ok()).map(Timestamp::from_unix_ms);
        messages.push((maildrop::message(row)?, at));
    }
    Ok(messages)
}
