//! The messages of a maildrop: `pop3_list_1`, and for the API the rows under row-level security.

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Guid, Octets, SegmentUuid, TenantId, Timestamp, UniqueId};
use runtime::database::{Pool, asked};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{named, rows_as_tenant};
use crate::Error;
use crate::bodies::segment::Place;
use crate::snapshot::{Extras, Message};

/// What lies after a known uid (0: all), sorted by uid.
pub(crate) async fn list(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    after_uid: i64,
) -> Result<Vec<Message>, Error> {
    let rows = named(
        "pop3_list_1",
        asked(pool, || {
            sqlx::query(
                "SELECT uid, octets, guid, segment_uuid, frame_offset, frame_len, head_len, traits, legacy_id, prefix \
                 FROM restante.pop3_list_1($1, $2, $3)",
            )
            .bind(tenant.0)
            .bind(account.0)
            .bind(after_uid)
            .fetch_all(pool)
        }),
    )
    .await?;
    let mut messages = rows.iter().map(message).collect::<Result<Vec<_>, _>>()?;
    messages.sort_unstable_by_key(|m| m.uid);
    Ok(messages)
}

pub(super) fn message(row: &PgRow) -> Result<Message, Error> {
    let wrong = |what| Error::Inconsistent { table: "messages", what };
    let place = |column: &str, what| -> Result<u32, Error> {
        u32::try_from(row.try_get::<i32, _>(column)?).map_err(|_| wrong(what))
    };
    let segment = SegmentUuid::from_u128(row.try_get::<Uuid, _>("segment_uuid")?.as_u128())
        .ok_or(Error::Inconsistent { table: "segments", what: "segment_uuid has an ordinal" })?;
    let prefix: Option<String> = row.try_get("prefix")?;
    let legacy_id: Option<String> = row.try_get("legacy_id")?;
    let unique_id = legacy_id
        .map(|text| UniqueId::parse(&text))
        .transpose()
        .map_err(|_| Error::Inconsistent { table: "message_extras", what: "legacy_id" })?;
    let extras = (prefix.is_some() || unique_id.is_some())
        .then(|| Box::new(Extras { prefix: prefix.unwrap_or_default(), unique_id }));
    Ok(Message {
        uid: row.try_get("uid")?,
        octets: Octets(place("octets", "octets is negative")?.into()),
        guid: Guid::from_u128(row.try_get::<Uuid, _>("guid")?.as_u128()),
        segment,
        place: Place {
            offset: place("frame_offset", "frame_offset is negative")?,
            len: place("frame_len", "frame_len is negative")?,
            head_len: place("head_len", "head_len is negative")?,
        },
        traits: row.try_get::<i16, _>("traits")?.cast_unsigned(),
        extras,
    })
}

/// A message as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place in the order: a cursor, never shown as such.
    pub uid: i64,
    /// As RETR sends it.
    pub octets: Octets,
    /// What UIDL shows.
    pub unique_id: UniqueId,
    /// When it was received; of imported mail, when the old server received it.
    pub received_at: Timestamp,
}

/// A row of `messages` or `expunged` with its extras.
pub(super) fn listed(row: &PgRow, table: &'static str) -> Result<Listed, Error> {
    let guid = Guid::from_u128(row.try_get::<Uuid, _>("guid")?.as_u128());
    let legacy: Option<String> = row.try_get("legacy_id")?;
    let unique_id = match legacy {
        Some(text) => {
            UniqueId::parse(&text).map_err(|_| Error::Inconsistent { table: "message_extras", what: "legacy_id" })?
        }
        None => guid.unique_id(),
    };
    let octets = u64::try_from(row.try_get::<i32, _>("octets")?)
        .map_err(|_| Error::Inconsistent { table, what: "octets is negative" })?;
    let elsewhere: Option<DateTime<Utc>> = row.try_get("received_at")?;
    let elsewhere = elsewhere.and_then(|at| u64::try_from(at.timestamp_millis()).ok()).map(Timestamp::from_unix_ms);
    Ok(Listed {
        uid: row.try_get("uid")?,
        octets: Octets(octets),
        unique_id,
        received_at: elsewhere.unwrap_or_else(|| guid.received_at()),
    })
}

/// A page of a maildrop's messages after a uid, in order, in a transaction of that tenant (role admin).
pub(crate) async fn page(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    after_uid: i64,
    limit: u32,
) -> Result<Vec<Listed>, Error> {
    let query = sqlx::query(
        "SELECT m.uid, m.octets, m.guid, e.legacy_id, e.received_at FROM restante.messages m \
         LEFT JOIN restante.message_extras e ON (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid) \
         WHERE m.tenant_id = $1 AND m.account_id = $2 AND m.uid > $3 ORDER BY m.uid LIMIT $4",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(after_uid)
    .bind(i64::from(limit));
    let rows = rows_as_tenant("message_page", pool, tenant, query).await?;
    rows.iter().map(|row| listed(row, "messages")).collect()
}

/// One live message by its unique-id, in a transaction of that tenant (role admin).
pub(crate) async fn by_unique_id(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    unique_id: &UniqueId,
) -> Result<Option<Listed>, Error> {
    // One of ours is a guid; one of another server's is found by the index on it.
    let guid = Guid::from_unique_id(unique_id.as_str()).map(|guid| Uuid::from_u128(guid.as_u128()));
    let query = sqlx::query(
        "SELECT m.uid, m.octets, m.guid, e.legacy_id, e.received_at FROM restante.messages m \
         LEFT JOIN restante.message_extras e ON (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid) \
         WHERE m.tenant_id = $1 AND m.account_id = $2 AND (e.legacy_id = $4 OR (m.guid = $3 AND e.legacy_id IS NULL))",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(guid)
    .bind(unique_id.as_str());
    let rows = rows_as_tenant("message", pool, tenant, query).await?;
    rows.first().map(|row| listed(row, "messages")).transpose()
}
