//! Erasing what was deleted, when the retention has passed (`worker_erase_account_1`; role worker).

use runtime::database::Pool;

use super::named;
use crate::Error;

/// An account by its key.
pub(crate) type AccountKey = (i32, i64);

/// What a step of erasing an account came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Erased {
    /// Not due yet, its maildrop is busy, or the purge has to come first.
    Nothing,
    /// There is more.
    Some,
    /// The account is gone.
    All,
}

/// The next accounts that are deleted, or whose domain is.
pub(crate) async fn deleted(pool: &Pool, after: AccountKey, limit: u32) -> Result<Vec<AccountKey>, Error> {
    named(
        "erase_page",
        sqlx::query_as(
            "SELECT x.tenant_id, x.account_id FROM ( \
               (SELECT a.tenant_id, a.account_id FROM restante.accounts a \
                 WHERE a.status = 3 AND (a.tenant_id, a.account_id) > ($1, $2) ORDER BY a.tenant_id, a.account_id LIMIT $3) \
               UNION \
               (SELECT a.tenant_id, a.account_id FROM restante.domains d \
                  JOIN restante.accounts a ON a.tenant_id = d.tenant_id AND a.domain_id = d.domain_id \
                 WHERE d.deleted_at IS NOT NULL AND (a.tenant_id, a.account_id) > ($1, $2) ORDER BY a.tenant_id, a.account_id LIMIT $3)) x \
              ORDER BY x.tenant_id, x.account_id LIMIT $3",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(limit.max(1)))
        .fetch_all(pool),
    )
    .await
}

/// A batch of one account.
pub(crate) async fn account(pool: &Pool, (tenant, account): AccountKey, batch: u32) -> Result<Erased, Error> {
    let state: i16 = named(
        "worker_erase_account_1",
        sqlx::query_scalar("SELECT restante.worker_erase_account_1($1, $2, $3)")
            .bind(tenant)
            .bind(account)
            .bind(i32::try_from(batch).unwrap_or(i32::MAX))
            .fetch_one(pool),
    )
    .await?;
    Ok(match state {
        1 => Erased::Some,
        2 => Erased::All,
        _ => Erased::Nothing,
    })
}

/// Domains that nothing is left of; answers how many.
pub(crate) async fn domains(pool: &Pool, batch: u32) -> Result<u64, Error> {
    let gone: i32 = named(
        "worker_erase_domains_1",
        sqlx::query_scalar("SELECT restante.worker_erase_domains_1($1)")
            .bind(i32::try_from(batch).unwrap_or(i32::MAX))
            .fetch_one(pool),
    )
    .await?;
    Ok(u64::try_from(gone).unwrap_or(0))
}
