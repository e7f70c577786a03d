//! Expunged mail is bounded by the quota (role worker): an account's may be at most so many percent of its quota of octets and of
//! messages (policy `kept_quota_percent` of its tenant, 100 where it says nothing; an account without a quota has no such bound).
//! What is over it, the oldest first, gets today as its day of purge; purging then treats it as what has come of age. Until then
//! it can be restored as before.

use mail_types::{AccountId, TenantId};
use runtime::database::Pool;
use sqlx::Row as _;

use super::named;
use crate::Error;

/// What an account's expunged mail may be at most: NULL where there is no bound.
const BOUNDS: &str = "a.max_octets::numeric * coalesce((t.policy ->> 'kept_quota_percent')::integer, 100) / 100 AS octets, \
     a.max_messages::numeric * coalesce((t.policy ->> 'kept_quota_percent')::integer, 100) / 100 AS messages";

/// The day that purging goes by.
const TODAY: &str = "(now() AT TIME ZONE 'UTC')::date";

/// Hastens the purge of what is over the bound, in all maildrops; answers how many messages. Every batch is a transaction.
pub(crate) async fn over_bound(pool: &Pool, batch: u32) -> Result<u64, Error> {
    let mut hastened = 0;
    let mut after = (TenantId(0), AccountId(0));
    loop {
        let accounts = accounts_over(pool, after, batch).await?;
        let Some(last) = accounts.last() else { return Ok(hastened) };
        after = *last;
        for (tenant, account) in accounts {
            loop {
                let some = hasten_batch(pool, tenant, account, batch).await?;
                hastened += some;
                if some == 0 {
                    break;
                }
            }
        }
    }
}

/// Accounts that hold more expunged mail than they may, in order, after one.
async fn accounts_over(
    pool: &Pool,
    (tenant, account): (TenantId, AccountId),
    limit: u32,
) -> Result<Vec<(TenantId, AccountId)>, Error> {
    let rows = named(
        "hasten_accounts",
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT m.tenant_id, m.account_id FROM restante.maildrops m \
             JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (m.tenant_id, m.account_id) \
             JOIN restante.tenants t ON t.tenant_id = m.tenant_id \
             CROSS JOIN LATERAL (SELECT {BOUNDS}) b \
             WHERE m.kept_messages > 0 AND (m.kept_octets > b.octets OR m.kept_messages > b.messages) \
               AND (m.tenant_id, m.account_id) > ($1, $2) ORDER BY m.tenant_id, m.account_id LIMIT $3",
        )))
        .bind(tenant.0)
        .bind(account.0)
        .bind(i64::from(limit))
        .fetch_all(pool),
    )
    .await?;
    rows.iter().map(|row| Ok((TenantId(row.try_get(0)?), AccountId(row.try_get(1)?)))).collect()
}

/// Hastens the oldest of one account that are over its bound; answers how many, at most a batch. What is due already does not
/// count: it is as good as gone.
async fn hasten_batch(pool: &Pool, tenant: TenantId, account: AccountId, batch: u32) -> Result<u64, Error> {
    let done = named("hasten", async {
        let mut tx = pool.begin().await?;
        // Nobody expunges, restores or purges here meanwhile.
        sqlx::query("SELECT 1 FROM restante.maildrops WHERE tenant_id = $1 AND account_id = $2 FOR UPDATE")
            .bind(tenant.0)
            .bind(account.0)
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query(sqlx::AssertSqlSafe(format!(
            "WITH due AS (SELECT coalesce(sum(octets), 0) AS octets, count(*) AS messages FROM restante.expunged \
                           WHERE tenant_id = $1 AND account_id = $2 AND purge_day <= {TODAY}), \
             excess AS (SELECT m.kept_octets - due.octets - b.octets AS octets, m.kept_messages - due.messages - b.messages AS messages \
                          FROM restante.maildrops m \
                          JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (m.tenant_id, m.account_id) \
                          JOIN restante.tenants t ON t.tenant_id = m.tenant_id \
                         CROSS JOIN LATERAL (SELECT {BOUNDS}) b CROSS JOIN due \
                         WHERE m.tenant_id = $1 AND m.account_id = $2), \
             oldest AS (SELECT uid, purge_day, octets, expunged_at FROM restante.expunged \
                         WHERE tenant_id = $1 AND account_id = $2 AND purge_day > {TODAY} ORDER BY expunged_at, uid LIMIT $3), \
             older AS (SELECT uid, purge_day, sum(octets) OVER w - octets AS octets, row_number() OVER w - 1 AS messages FROM oldest \
                       WINDOW w AS (ORDER BY expunged_at, uid ROWS UNBOUNDED PRECEDING)) \
             UPDATE restante.expunged x SET purge_day = {TODAY} FROM older, excess \
              WHERE x.tenant_id = $1 AND x.account_id = $2 AND x.uid = older.uid AND x.purge_day = older.purge_day \
                AND (older.octets < excess.octets OR older.messages < excess.messages)",
        )))
        .bind(tenant.0)
        .bind(account.0)
        .bind(i64::from(batch))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done)
    })
    .await?;
    Ok(done.rows_affected())
}
