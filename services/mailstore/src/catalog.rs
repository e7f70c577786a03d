//! The catalog: the part of the mailstore over PostgreSQL that says whose frame is where. Frontends call its versioned functions
//! and nothing else; the SQL stands beside the type it fills, one file per purpose.

pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod deliver;
pub(crate) mod erase;
pub(crate) mod expire;
pub(crate) mod hasten;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod key_ring;
pub(crate) mod keys;
pub(crate) mod lease;
pub(crate) mod locate;
pub(crate) mod maildrop;
pub(crate) mod quit;
pub(crate) mod reading;
pub(crate) mod rebuild;
pub(crate) mod reconcile;
pub(crate) mod recover;
pub(crate) mod restore;
pub(crate) mod session;
pub(crate) mod sizes;
pub(crate) mod standing;
pub(crate) mod sweep;

use std::sync::LazyLock;

use mail_types::TenantId;
use prometheus::{HistogramVec, register_histogram_vec};
use runtime::database::Pool;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Transaction};

use crate::Error;

#[expect(clippy::expect_used, reason = "the name and labels are constants")]
static CALLS: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "restante_catalog_call_seconds",
        "Calls of the catalog until their answer, by name and result",
        &["call", "result"],
        vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 20.0]
    )
    .expect("a well-formed metric")
});

/// Times a call under its name.
pub(crate) async fn named<T>(
    call: &'static str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    let start = tokio::time::Instant::now();
    let result = work.await.map_err(Error::from);
    let label = result.as_ref().err().map_or("ok", Error::kind);
    CALLS.with_label_values(&[call, label]).observe(start.elapsed().as_secs_f64());
    result
}

/// The rows of a query in a transaction of one tenant.
pub(crate) async fn rows_as_tenant(
    call: &'static str,
    pool: &Pool,
    tenant: TenantId,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, Error> {
    named(call, async {
        let mut tx = as_tenant(pool, tenant).await?;
        let rows = query.fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows)
    })
    .await
}

/// A transaction of one tenant: what row-level security and the functions of the admin role go by.
pub(crate) async fn as_tenant(pool: &Pool, tenant: TenantId) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT set_config('restante.tenant_id', $1, true)")
        .bind(tenant.0.to_string())
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}
