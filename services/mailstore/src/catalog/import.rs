//! What `restante import` and `restante export` ask of the catalog (role worker).

use mail_types::{AccountId, Address, Guid, SegmentUuid, TenantId, TenantSlug, Timestamp, UniqueId};
use runtime::database::Pool;
use sqlx::Row as _;
use uuid::Uuid;

use super::{maildrop, named};
use crate::bodies::segment::Place;
use crate::import::SourceKey;
use crate::snapshot::Message;
use crate::{Error, Target};

/// One message to commit.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) ordinal: u32,
    pub(crate) guid: Guid,
    pub(crate) octets: u32,
    pub(crate) place: Place,
    pub(crate) traits: u16,
    pub(crate) unique_id: Option<UniqueId>,
    pub(crate) received: Option<Timestamp>,
    pub(crate) key: SourceKey,
    pub(crate) digest: [u8; 16],
}

/// What the catalog knows or makes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowResult {
    /// Nothing is known of it yet.
    New,
    /// It is in the maildrop now.
    Stored,
    /// It was imported before.
    Known,
    /// It, and all after it, did not fit.
    OverQuota,
    /// The account went away.
    NoSuchAccount,
    /// The tenant was suspended.
    Suspended,
    /// Another message has its unique-id.
    UniqueIdTaken,
}

impl RowResult {
    fn from_code(code: i16) -> Result<Self, Error> {
        Ok(match code {
            0 => Self::New,
            1 => Self::Stored,
            2 => Self::Known,
            3 => Self::OverQuota,
            4 => Self::NoSuchAccount,
            5 => Self::Suspended,
            7 => Self::UniqueIdTaken,
            _ => return Err(Error::Inconsistent { table: "worker_import_1", what: "result" }),
        })
    }
}

/// The account whose own address this is.
pub(crate) async fn account(pool: &Pool, address: &Address) -> Result<Option<Target>, Error> {
    let row = named(
        "worker_account_1",
        sqlx::query("SELECT tenant_id, account_id FROM restante.worker_account_1($1, $2)")
            .bind(address.domain.as_str())
            .bind(address.local.key().as_str())
            .fetch_optional(pool),
    )
    .await?;
    row.map(|row| Ok(Target { tenant: TenantId(row.try_get(0)?), account: AccountId(row.try_get(1)?) })).transpose()
}

/// The accounts of a tenant that are not deleted, by address; `None` if there is no such tenant.
pub(crate) async fn accounts(pool: &Pool, slug: &TenantSlug) -> Result<Option<Vec<(String, Target)>>, Error> {
    let rows = named(
        "export_accounts",
        sqlx::query(
            "SELECT t.tenant_id, a.account_id, a.local_part || '@' || d.name FROM restante.tenants t \
             LEFT JOIN restante.accounts a ON a.tenant_id = t.tenant_id AND a.status IN (1, 2) \
             LEFT JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id) \
             WHERE t.slug = $1 AND t.status <> 3 ORDER BY 3",
        )
        .bind(slug.as_str())
        .fetch_all(pool),
    )
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut accounts = Vec::with_capacity(rows.len());
    for row in rows {
        // A tenant without accounts is one row without one.
        if let (Some(account), Some(address)) = (row.try_get::<Option<i64>, _>(1)?, row.try_get(2)?) {
            accounts.push((address, Target { tenant: TenantId(row.try_get(0)?), account: AccountId(account) }));
        }
    }
    Ok(Some(accounts))
}

/// Which of the keys were imported already.
pub(crate) async fn seen(pool: &Pool, target: Target, keys: &[SourceKey]) -> Result<Vec<SourceKey>, Error> {
    let rows: Vec<Uuid> = named(
        "import_seen",
        sqlx::query_scalar(
            "SELECT source_key FROM restante.import_seen WHERE tenant_id = $1 AND account_id = $2 AND source_key = ANY ($3)",
        )
        .bind(target.tenant.0)
        .bind(target.account.0)
        .bind(keys.iter().map(|key| key.uuid()).collect::<Vec<_>>())
        .fetch_all(pool),
    )
    .await?;
    Ok(rows.into_iter().map(SourceKey::from_uuid).collect())
}

/// A message whose standing is asked.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) key: SourceKey,
    pub(crate) digest: [u8; 16],
    pub(crate) unique_id: Option<&'a UniqueId>,
}

/// Where the messages stand; in their order.
pub(crate) async fn known(pool: &Pool, target: Target, asked: &[Asked<'_>]) -> Result<Vec<RowResult>, Error> {
    let own = |id: &UniqueId| Guid::from_unique_id(id.as_str()).map(|guid| Uuid::from_u128(guid.as_u128()));
    let rows = named(
        "worker_import_known_1",
        sqlx::query("SELECT result FROM restante.worker_import_known_1($1, $2, $3, $4, $5, $6, $7) ORDER BY ord")
            .bind(target.tenant.0)
            .bind(target.account.0)
            .bind((0..i32::try_from(asked.len()).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(asked.iter().map(|a| a.key.uuid()).collect::<Vec<_>>())
            .bind(asked.iter().map(|a| Uuid::from_bytes(a.digest)).collect::<Vec<_>>())
            .bind(asked.iter().map(|a| a.unique_id.map(|id| id.as_str().to_owned())).collect::<Vec<_>>())
            .bind(asked.iter().map(|a| a.unique_id.and_then(own)).collect::<Vec<_>>())
            .fetch_all(pool),
    )
    .await?;
    if rows.len() != asked.len() {
        return Err(Error::Inconsistent { table: "worker_import_known_1", what: "the number of its answers" });
    }
    rows.iter().map(|row| RowResult::from_code(row.try_get(0)?)).collect()
}

/// Commits the messages of a segment; answers (ordinal, result). A repeat after a lost answer stores nothing twice.
pub(crate) async fn commit(
    pool: &Pool,
    target: Target,
    segment: SegmentUuid,
    octets: usize,
    over_quota: bool,
    rows: &[Row],
) -> Result<Vec<(u32, RowResult)>, Error> {
    let integer = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let time = |at: Timestamp| chrono::DateTime::from_timestamp_millis(i64::try_from(at.unix_ms()).unwrap_or(i64::MAX));
    let answers = named(
        "worker_import_1",
        sqlx::query(
            "SELECT ord, result FROM restante.worker_import_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(target.tenant.0)
        .bind(target.account.0)
        .bind(Uuid::from_u128(segment.as_u128()))
        .bind(i32::try_from(octets).unwrap_or(i32::MAX))
        .bind(over_quota)
        .bind(rows.iter().map(|r| integer(r.ordinal)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| Uuid::from_u128(r.guid.as_u128())).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| integer(r.octets)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| integer(r.place.offset)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| integer(r.place.len)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| integer(r.place.head_len)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.traits.cast_signed()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.unique_id.as_ref().map(|id| id.as_str().to_owned())).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.received.and_then(time)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.key.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| Uuid::from_bytes(r.digest)).collect::<Vec<_>>())
        .fetch_all(pool),
    )
    .await?;
    answers
        .iter()
        .map(|row| {
            Ok((u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(u32::MAX), RowResult::from_code(row.try_get(1)?)?))
        })
        .collect()
}

/// The live messages of a maildrop in order, each with the date that another server received it.
pub(crate) async fn whole(pool: &Pool, target: Target) -> Result<Vec<(Message, Option<Timestamp>)>, Error> {
    let rows = named(
        "export_list",
        sqlx::query(
            "SELECT m.uid, m.octets, m.guid, s.segment_uuid, m.frame_offset, m.frame_len, m.head_len, m.traits, e.legacy_id, e.prefix, e.received_at \
             FROM restante.messages m JOIN restante.segments s ON s.segment_id = m.segment_id \
             LEFT JOIN restante.message_extras e ON m.traits < 0 AND (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid) \
             WHERE m.tenant_id = $1 AND m.account_id = $2",
        )
        .bind(target.tenant.0)
        .bind(target.account.0)
        .fetch_all(pool),
    )
    .await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        let at: Option<chrono::DateTime<chrono::Utc>> = row.try_get("received_at")?;
        let at = at.map(|at| Timestamp::from_unix_ms(u64::try_from(at.timestamp_millis()).unwrap_or(0)));
        messages.push((maildrop::message(row)?, at));
    }
    messages.sort_unstable_by_key(|(message, _)| message.uid);
    Ok(messages)
}
