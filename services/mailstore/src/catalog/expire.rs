//! Expiry by policy (`worker_expire_1`; role worker).

use runtime::database::Pool;
use sqlx::Row as _;
use uuid::Uuid;

use super::named;
use crate::Error;

/// An account by its key.
pub(crate) type AccountKey = (i32, i64);

/// A maildrop that may hold something over its days.
#[derive(Debug)]
pub(crate) struct Due {
    key: AccountKey,
    /// What the expunge of this round can be undone by.
    session: Uuid,
    /// By the database's clock.
    started: chrono::DateTime<chrono::Utc>,
}

/// Some accounts in the order of their keys.
#[derive(Debug)]
pub(crate) struct Page {
    /// Those that have mail and a policy that lets it expire.
    pub(crate) due: Vec<Due>,
    /// The last that was looked at; `None` where there are no more.
    pub(crate) last: Option<AccountKey>,
}

/// The next `limit` accounts.
pub(crate) async fn page(pool: &Pool, after: Option<AccountKey>, limit: u32) -> Result<Page, Error> {
    let (tenant, account) = after.unwrap_or((0, 0));
    let rows = named(
        "expire_page",
        sqlx::query(
            "SELECT a.tenant_id, a.account_id, gen_random_uuid(), clock_timestamp(), \
                    coalesce(m.live_messages > 0, false) AND a.status = 1 AND t.status = 1 AND coalesce(a.policy ->> 'expire_days', d.policy ->> 'expire_days', t.policy ->> 'expire_days', 'never') <> 'never' \
               FROM (SELECT * FROM restante.accounts x WHERE (x.tenant_id, x.account_id) > ($1, $2) ORDER BY x.tenant_id, x.account_id LIMIT $3) a \
               JOIN restante.tenants t ON t.tenant_id = a.tenant_id \
               JOIN restante.domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id) \
               LEFT JOIN restante.maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id) \
              ORDER BY a.tenant_id, a.account_id",
        )
        .bind(tenant)
        .bind(account)
        .bind(i64::from(limit.max(1)))
        .fetch_all(pool),
    )
    .await?;
    let mut page = Page { due: Vec::new(), last: None };
    for row in &rows {
        let key = (row.try_get(0)?, row.try_get(1)?);
        page.last = Some(key);
        if row.try_get(4)? {
            page.due.push(Due { key, session: row.try_get(2)?, started: row.try_get(3)? });
        }
    }
    Ok(page)
}

/// Expunges a batch of what is over its days; answers how many messages and octets, or `None` while the maildrop is busy.
pub(crate) async fn expire(pool: &Pool, due: &Due, batch: u32) -> Result<Option<(u32, u64)>, Error> {
    let row: Option<(i32, i64)> = named(
        "worker_expire_1",
        sqlx::query_as("SELECT expired, expired_octets FROM restante.worker_expire_1($1, $2, $3, $4, $5)")
            .bind(due.key.0)
            .bind(due.key.1)
            .bind(due.session)
            .bind(due.started)
            .bind(i32::try_from(batch).unwrap_or(i32::MAX))
            .fetch_optional(pool),
    )
    .await?;
    Ok(row.map(|(expired, octets)| (u32::try_from(expired).unwrap_or(0), u64::try_from(octets).unwrap_or(0))))
}
