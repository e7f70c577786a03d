//! The tenants' wrapped data keys (`tenant_key_1`, `tenant_key_make_1`).

use mail_types::TenantId;
use runtime::database::{DbRole, Pool, asked};
use sqlx::Row as _;

use super::{as_tenant, named};
use crate::Error;

/// A key as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) version: u32,
    pub(crate) master_key_id: String,
    /// As in the bucket; `None` once it is erased.
    pub(crate) wrapped: Option<Vec<u8>>,
}

/// The current key.
pub(crate) async fn current(pool: &Pool, role: DbRole, tenant: TenantId) -> Result<Option<KeyRow>, Error> {
    ask(pool, role, tenant, None).await
}

/// The key of a version.
pub(crate) async fn version(
    pool: &Pool,
    role: DbRole,
    tenant: TenantId,
    version: u32,
) -> Result<Option<KeyRow>, Error> {
    ask(pool, role, tenant, Some(version)).await
}

async fn ask(pool: &Pool, role: DbRole, tenant: TenantId, version: Option<u32>) -> Result<Option<KeyRow>, Error> {
    let version = version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
    let row = named("tenant_key_1", async {
        if role != DbRole::Admin {
            let sql = match role {
                DbRole::Worker | DbRole::Owner => {
                    "SELECT key_version, master_key_id, wrapped FROM restante.tenant_keys \
                     WHERE tenant_id = $1 AND (key_version = $2 OR ($2 IS NULL AND state = 1))"
                }
                _ => "SELECT key_version, master_key_id, wrapped FROM restante.tenant_key_1($1, $2)",
            };
            return asked(pool, || sqlx::query(sql).bind(tenant.0).bind(version).fetch_optional(pool)).await;
        }
        let mut tx = as_tenant(pool, tenant).await?;
        let sql = "SELECT key_version, master_key_id, wrapped FROM restante.admin_tenant_key_1($1, $2)";
        let row = sqlx::query(sql).bind(tenant.0).bind(version).fetch_optional(&mut *tx).await?;
        tx.commit().await?;
        Ok(row)
    })
    .await?;
    row.map(|row| {
        Ok(KeyRow {
            version: u32::try_from(row.try_get::<i32, _>(0)?)
                .map_err(|_| Error::Inconsistent { table: "tenant_keys", what: "key_version is negative" })?,
            master_key_id: row.try_get(1)?,
            wrapped: row.try_get(2)?,
        })
    })
    .transpose()
}

/// Makes a key the tenant's current one unless it has one; answers the one that it has then.
pub(crate) async fn insert(pool: &Pool, role: DbRole, tenant: TenantId, key: &KeyRow) -> Result<KeyRow, Error> {
    named("tenant_key_make_1", async {
        let mut tx = as_tenant(pool, tenant).await?;
        let sql = match role {
            DbRole::Admin => "SELECT restante.admin_tenant_key_make_1($1, $2, $3, $4)",
            _ => "SELECT restante.tenant_key_make_1($1, $2, $3, $4)",
        };
        sqlx::query(sql)
            .bind(tenant.0)
            .bind(i32::try_from(key.version).unwrap_or(i32::MAX))
            .bind(&key.master_key_id)
            .bind(&key.wrapped)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    })
    .await?;
    current(pool, role, tenant).await?.ok_or(Error::NoKey { tenant, version: key.version })
}
