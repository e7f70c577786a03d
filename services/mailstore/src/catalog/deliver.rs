//! Commits copies of a segment: `lmtp_deliver_1`, or for the API `admin_deliver_1`, which refuses other tenants than the
//! transaction's.

use mail_types::{AccountId, Guid, SegmentUuid, TenantId};
use runtime::database::{DbRole, Pool};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{as_tenant, named};
use crate::Error;
use crate::bodies::segment::Place;

/// One copy to commit.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    /// Its ordinal in the segment.
    pub(crate) ordinal: u32,
    /// Which recipient of the group it belongs to: a recipient is all of its copies or none.
    pub(crate) recipient: usize,
    pub(crate) tenant: TenantId,
    pub(crate) account: AccountId,
    pub(crate) guid: Guid,
    /// As RETR sends it, the prefix included.
    pub(crate) octets: u32,
    pub(crate) place: Place,
    pub(crate) traits: u16,
    /// This copy's own first lines, where the frame is shared.
    pub(crate) prefix: Option<String>,
}

/// What the catalog says of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyResult {
    Stored,
    Busy,
    OverQuota { defer: bool },
    NoSuchAccount,
    Suspended,
}

impl CopyResult {
    fn from_code(code: i16) -> Result<Self, Error> {
        Ok(match code {
            1 => Self::Stored,
            2 => Self::Busy,
            3 => Self::OverQuota { defer: false },
            4 => Self::NoSuchAccount,
            5 => Self::Suspended,
            6 => Self::OverQuota { defer: true },
            _ => return Err(Error::Inconsistent { table: "lmtp_deliver_1", what: "result" }),
        })
    }
}

/// The SQLSTATE of a segment that was condemned before its commit came.
const CONDEMNED: &str = "RS001";

/// Whether the segment can never be committed any more.
pub(crate) fn is_condemned(error: &Error) -> bool {
    error.has_sqlstate(CONDEMNED)
}

/// Commits the copies; answers (ordinal, result). A repeat after a lost answer stores nothing twice.
pub(crate) async fn deliver(
    pool: &Pool,
    role: DbRole,
    segment: SegmentUuid,
    octets: usize,
    copies: &[Copy],
) -> Result<Vec<(u32, CopyResult)>, Error> {
    let rows = match role {
        DbRole::Admin => {
            let mut rows = Vec::with_capacity(copies.len());
            let mut tenants: Vec<TenantId> = copies.iter().map(|c| c.tenant).collect();
            tenants.sort_unstable();
            tenants.dedup();
            for tenant in tenants {
                let own: Vec<Copy> = copies.iter().filter(|c| c.tenant == tenant).cloned().collect();
                rows.extend(named("admin_deliver_1", deliver_as_tenant(pool, tenant, segment, octets, &own)).await?);
            }
            rows
        }
        _ => named("lmtp_deliver_1", call(pool, LMTP_DELIVER, segment, octets, copies)).await?,
    };
    rows.iter()
        .map(|row| {
            Ok((u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(u32::MAX), CopyResult::from_code(row.try_get(1)?)?))
        })
        .collect()
}

const LMTP_DELIVER: &str =
    "SELECT ord, result FROM restante.lmtp_deliver_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const ADMIN_DELIVER: &str =
    "SELECT ord, result FROM restante.admin_deliver_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// In a transaction of one tenant.
async fn deliver_as_tenant(
    pool: &Pool,
    tenant: TenantId,
    segment: SegmentUuid,
    octets: usize,
    copies: &[Copy],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut tx = as_tenant(pool, tenant).await?;
    let rows = call(&mut *tx, ADMIN_DELIVER, segment, octets, copies).await?;
    tx.commit().await?;
    Ok(rows)
}

async fn call(
    executor: impl sqlx::PgExecutor<'_>,
    sql: &'static str,
    segment: SegmentUuid,
    octets: usize,
    copies: &[Copy],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let integer = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    sqlx::query(sql)
        .bind(Uuid::from_u128(segment.as_u128()))
        .bind(i32::try_from(octets).unwrap_or(i32::MAX))
        .bind(copies.iter().map(|c| integer(c.ordinal)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| i32::try_from(c.recipient).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.tenant.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.account.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| Uuid::from_u128(c.guid.as_u128())).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.octets)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.place.offset)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.place.len)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.place.head_len)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.traits.cast_signed()).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.prefix.clone()).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
}
