//! Where the catalog stands in its own history (`catalog_standing_1`, `catalog_stop_1`, `worker_mark_1`), and the slugs that the
//! bucket keeps.

use mail_types::TenantId;
use runtime::database::Pool;
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::named;
use crate::Error;

/// The catalog's row, and the server it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) incarnation: u128,
    /// Whether anything may be deleted.
    pub(crate) may_sweep: bool,
    /// Why not.
    pub(crate) stopped_why: Option<String>,
    /// How many marks it has made, and the last one's token.
    pub(crate) mark: i64,
    pub(crate) token: Option<u128>,
    /// When that was: of a restored database, about the moment that was restored.
    pub(crate) marked_at: Option<chrono::DateTime<chrono::Utc>>,
    pub(crate) server: Server,
}

/// A server of PostgreSQL and a position in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) system: String,
    pub(crate) timeline: i64,
    pub(crate) lsn: i64,
}

impl Server {
    fn of_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { system: row.try_get("system")?, timeline: row.try_get("timeline")?, lsn: row.try_get("lsn")? })
    }
}

/// Where this database stands.
pub(crate) async fn standing(pool: &Pool) -> Result<Standing, Error> {
    named("catalog_standing_1", async {
        let row = sqlx::query(
            "SELECT incarnation, sweep_state, stopped_why, mark, mark_token, marked_at, system, timeline, lsn FROM restante.catalog_standing_1()",
        )
        .fetch_one(pool)
        .await?;
        Ok(Standing {
            incarnation: row.try_get::<Uuid, _>("incarnation")?.as_u128(),
            may_sweep: row.try_get::<i16, _>("sweep_state")? == 1,
            stopped_why: row.try_get("stopped_why")?,
            mark: row.try_get("mark")?,
            token: row.try_get::<Option<Uuid>, _>("mark_token")?.map(|token| token.as_u128()),
            marked_at: row.try_get("marked_at")?,
            server: Server::of_row(&row)?,
        })
    })
    .await
}

/// From now on nobody deletes anything. False: it was so before, or the catalog has another incarnation by now.
pub(crate) async fn stop(pool: &Pool, incarnation: u128, why: &str) -> Result<bool, Error> {
    named(
        "catalog_stop_1",
        sqlx::query_scalar("SELECT restante.catalog_stop_1($1, $2)")
            .bind(Uuid::from_u128(incarnation))
            .bind(why)
            .fetch_one(pool),
    )
    .await
}

/// Counts a mark; `None` where another worker was first, or nothing may be swept.
pub(crate) async fn mark(pool: &Pool, at: &Standing) -> Result<Option<(i64, u128, Server)>, Error> {
    named("worker_mark_1", async {
        let row = sqlx::query("SELECT mark, mark_token, system, timeline, lsn FROM restante.worker_mark_1($1, $2)")
            .bind(Uuid::from_u128(at.incarnation))
            .bind(at.mark)
            .fetch_optional(pool)
            .await?;
        row.map(|row| {
            let token = row.try_get::<Uuid, _>("mark_token")?.as_u128();
            Ok((row.try_get("mark")?, token, Server::of_row(&row)?))
        })
        .transpose()
    })
    .await
}

/// Tenants after an id, with their slugs.
pub(crate) async fn tenants(pool: &Pool, after: TenantId, limit: u32) -> Result<Vec<(TenantId, String)>, Error> {
    named("tenants", async {
        let rows = sqlx::query(
            "SELECT tenant_id, slug FROM restante.tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2",
        )
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
        rows.iter().map(|row| Ok((TenantId(row.try_get(0)?), row.try_get(1)?))).collect()
    })
    .await
}
