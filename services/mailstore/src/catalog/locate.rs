//! Where messages lie now: `pop3_locate_1`, or for the API `admin_locate_1`, which refuses other tenants than the transaction's.

use std::collections::HashMap;

use mail_types::{AccountId, SegmentUuid, TenantId};
use runtime::database::{DbRole, Pool};
use sqlx::Row as _;
use uuid::Uuid;

use super::{as_tenant, named};
use crate::Error;
use crate::bodies::segment::Place;

/// The places of those of the messages that are not purged, by uid.
pub(crate) async fn locate(
    pool: &Pool,
    role: DbRole,
    tenant: TenantId,
    account: AccountId,
    uids: &[i64],
) -> Result<HashMap<i64, (SegmentUuid, Place)>, Error> {
    let rows = named("pop3_locate_1", async {
        if role != DbRole::Admin {
            let sql =
                "SELECT uid, segment_uuid, frame_offset, frame_len, head_len FROM restante.pop3_locate_1($1, $2, $3)";
            return sqlx::query(sql).bind(tenant.0).bind(account.0).bind(uids).fetch_all(pool).await;
        }
        let mut tx = as_tenant(pool, tenant).await?;
        let sql =
            "SELECT uid, segment_uuid, frame_offset, frame_len, head_len FROM restante.admin_locate_1($1, $2, $3)";
        let rows = sqlx::query(sql).bind(tenant.0).bind(account.0).bind(uids).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows)
    })
    .await?;
    rows.iter()
        .map(|row| {
            let number = |column: usize| -> Result<u32, Error> {
                u32::try_from(row.try_get::<i32, _>(column)?)
                    .map_err(|_| Error::Inconsistent { table: "messages", what: "a place is negative" })
            };
            let segment = SegmentUuid::from_u128(row.try_get::<Uuid, _>(1)?.as_u128())
                .ok_or(Error::Inconsistent { table: "segments", what: "segment_uuid has an ordinal" })?;
            Ok((row.try_get(0)?, (segment, Place { offset: number(2)?, len: number(3)?, head_len: number(4)? })))
        })
        .collect()
}
