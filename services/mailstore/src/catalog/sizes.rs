//! The octets of each account, kept apart from its maildrop for lists by size: deliveries write nothing there.

use runtime::database::Pool;

use super::named;
use crate::Error;

/// Notes what has changed among the next accounts after one; answers how many there were to note, and the last account that was looked at,
/// if there was one.
pub(crate) async fn note(pool: &Pool, after: (i32, i64), batch: u32) -> Result<(u64, Option<(i32, i64)>), Error> {
    let (noted, tenant, account): (i64, Option<i32>, Option<i64>) = named(
        "note_account_octets",
        sqlx::query_as(
            // In the order of the key, so that two workers wait for each other and never both.
            "WITH page AS MATERIALIZED (SELECT a.tenant_id, a.account_id, a.domain_id FROM restante.accounts a \
                           WHERE (a.tenant_id, a.account_id) > ($1, $2) ORDER BY a.tenant_id, a.account_id LIMIT $3), \
             noted AS (INSERT INTO restante.account_octets AS o (tenant_id, account_id, domain_id, octets) \
                       SELECT p.tenant_id, p.account_id, p.domain_id, m.live_octets \
                         FROM page p JOIN restante.maildrops m ON (m.tenant_id, m.account_id) = (p.tenant_id, p.account_id) \
                         LEFT JOIN restante.account_octets x ON (x.tenant_id, x.account_id) = (p.tenant_id, p.account_id) \
                        WHERE x.octets IS DISTINCT FROM m.live_octets ORDER BY p.tenant_id, p.account_id \
                       ON CONFLICT (tenant_id, account_id) DO UPDATE SET octets = excluded.octets RETURNING 1) \
             SELECT (SELECT count(*) FROM noted), l.tenant_id, l.account_id \
               FROM (SELECT) one LEFT JOIN (SELECT p.tenant_id, p.account_id FROM page p ORDER BY 1 DESC, 2 DESC LIMIT 1) l ON true",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(batch.max(1)))
        .fetch_one(pool),
    )
    .await?;
    Ok((u64::try_from(noted).unwrap_or(0), tenant.zip(account)))
}
