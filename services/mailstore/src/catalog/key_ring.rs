//! All tenants' keys, for the operator's commands (role owner).

use mail_types::TenantId;
use runtime::database::Pool;
use sqlx::Row as _;

use super::named;
use crate::Error;

/// A row of `tenant_keys`, with whose it is.
#[derive(Debug, Clone)]
pub(crate) struct RingRow {
    pub(crate) tenant: TenantId,
    pub(crate) slug: String,
    pub(crate) version: u32,
    pub(crate) state: i16,
    pub(crate) master_key_id: String,
    pub(crate) wrapped: Option<Vec<u8>>,
}

/// A page of keys after a tenant's version, in order; of one tenant or of all.
pub(crate) async fn page(
    pool: &Pool,
    only: Option<TenantId>,
    after: (TenantId, u32),
    limit: u32,
) -> Result<Vec<RingRow>, Error> {
    let rows = named(
        "key_page",
        sqlx::query(
            "SELECT k.tenant_id, t.slug, k.key_version, k.state, k.master_key_id, k.wrapped \
             FROM restante.tenant_keys k JOIN restante.tenants t ON t.tenant_id = k.tenant_id \
             WHERE (k.tenant_id, k.key_version) > ($1, $2) AND ($3::integer IS NULL OR k.tenant_id = $3) \
             ORDER BY k.tenant_id, k.key_version LIMIT $4",
        )
        .bind(after.0.0)
        .bind(version(after.1))
        .bind(only.map(|tenant| tenant.0))
        .bind(i64::from(limit))
        .fetch_all(pool),
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RingRow {
                tenant: TenantId(row.try_get(0)?),
                slug: row.try_get(1)?,
                version: u32::try_from(row.try_get::<i32, _>(2)?)
                    .map_err(|_| Error::Inconsistent { table: "tenant_keys", what: "key_version is negative" })?,
                state: row.try_get(3)?,
                master_key_id: row.try_get(4)?,
                wrapped: row.try_get(5)?,
            })
        })
        .collect()
}

fn version(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// A key has another wrapping; false: the row has changed in the meantime.
pub(crate) async fn rewrapped(pool: &Pool, row: &RingRow, master: &str, wrapped: &[u8]) -> Result<bool, Error> {
    let done = named(
        "key_rewrap",
        sqlx::query(
            "UPDATE restante.tenant_keys SET master_key_id = $4, wrapped = $5 \
             WHERE tenant_id = $1 AND key_version = $2 AND wrapped = $3",
        )
        .bind(row.tenant.0)
        .bind(version(row.version))
        .bind(&row.wrapped)
        .bind(master)
        .bind(wrapped)
        .execute(pool),
    )
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a key the current one; the one before it only decrypts from now on. False: somebody was first.
pub(crate) async fn make_current(
    pool: &Pool,
    tenant: TenantId,
    number: u32,
    master: &str,
    wrapped: &[u8],
) -> Result<bool, Error> {
    named("key_make_current", async {
        let mut tx = pool.begin().await?;
        // One at a time for a tenant, and not beside a delivery that makes the first key.
        sqlx::query("SELECT 1 FROM restante.tenants WHERE tenant_id = $1 FOR UPDATE")
            .bind(tenant.0)
            .execute(&mut *tx)
            .await?;
        let last: Option<i32> = sqlx::query_scalar("SELECT max(key_version) FROM restante.tenant_keys WHERE tenant_id = $1")
            .bind(tenant.0)
            .fetch_one(&mut *tx)
            .await?;
        if last.unwrap_or(0) >= version(number) {
            return Ok(false);
        }
        sqlx::query("UPDATE restante.tenant_keys SET state = 2 WHERE tenant_id = $1 AND state = 1")
            .bind(tenant.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO restante.tenant_keys (tenant_id, key_version, state, master_key_id, wrapped) VALUES ($1, $2, 1, $3, $4)")
            .bind(tenant.0)
            .bind(version(number))
            .bind(master)
            .bind(wrapped)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    })
    .await
}

/// The tenant of a slug, and its status.
pub(crate) async fn tenant(pool: &Pool, slug: &str) -> Result<Option<(TenantId, i16)>, Error> {
    named("tenant", async {
        let row = sqlx::query("SELECT tenant_id, status FROM restante.tenants WHERE slug = $1")
            .bind(slug)
            .fetch_optional(pool)
            .await?;
        row.map(|row| Ok((TenantId(row.try_get(0)?), row.try_get(1)?))).transpose()
    })
    .await
}

/// A tenant's keys are erased: answers how many were not before; `None` where the tenant is active.
pub(crate) async fn erase(pool: &Pool, tenant: TenantId) -> Result<Option<u64>, Error> {
    named("key_erase", async {
        let mut tx = pool.begin().await?;
        let status: i16 = sqlx::query_scalar("SELECT status FROM restante.tenants WHERE tenant_id = $1 FOR UPDATE")
            .bind(tenant.0)
            .fetch_one(&mut *tx)
            .await?;
        if status == 1 {
            return Ok(None);
        }
        let done = sqlx::query(
            "UPDATE restante.tenant_keys SET state = 3, wrapped = NULL WHERE tenant_id = $1 AND state <> 3",
        )
        .bind(tenant.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(done.rows_affected()))
    })
    .await
}
