//! The steps that delete, and what each needs to have seen committed first (role worker). Lock order: maildrops, then
//! messages/expunged, then segments by id.

use std::time::Duration;

use mail_types::SegmentUuid;
use runtime::database::Pool;
use sqlx::Row as _;
use uuid::Uuid;

use super::named;
use crate::Error;

/// Makes the partitions of the days from today, and the months' of the audit log; answers how many were made.
pub(crate) async fn partitions(pool: &Pool, days_ahead: u32) -> Result<u64, Error> {
    let made: i64 = named(
        "worker_partition_1",
        sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE restante.worker_partition_1(p.name, p.first, p.last)) FROM ( \
               SELECT t.name, d::date AS first, d::date + 1 AS last FROM (VALUES ('expunged', $1), ('sessions', 2)) AS t (name, ahead), \
                      generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + t.ahead, '1 day') AS d \
               UNION ALL \
               SELECT 'audit_events', m::date, (m + interval '1 month')::date FROM \
                      generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month', '1 month') AS m) AS p",
        )
        .bind(i32::try_from(days_ahead).unwrap_or(i32::MAX))
        .fetch_one(pool),
    )
    .await?;
    Ok(u64::try_from(made).unwrap_or(0))
}

/// Purges a batch of expunged messages whose day has come; answers how many.
pub(crate) async fn purge_batch(pool: &Pool, batch: u32) -> Result<u64, Error> {
    let purged: i64 = named("purge", async {
        let mut tx = pool.begin().await?;
        let rows = sqlx::query(
            "SELECT tenant_id, account_id, uid, purge_day FROM restante.expunged \
             WHERE purge_day <= (clock_timestamp() AT TIME ZONE 'UTC')::date ORDER BY purge_day, tenant_id, account_id, uid LIMIT $1",
        )
        .bind(i64::from(batch))
        .fetch_all(&mut *tx)
        .await?;
        let (mut tenants, mut accounts, mut uids, mut days) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            tenants.push(row.try_get::<i32, _>(0)?);
            accounts.push(row.try_get::<i64, _>(1)?);
            uids.push(row.try_get::<i64, _>(2)?);
            days.push(row.try_get::<chrono::NaiveDate, _>(3)?);
        }
        // Their maildrops first. Another worker at the same rows waits here, then finds them gone.
        sqlx::query(
            "SELECT 1 FROM restante.maildrops m WHERE (m.tenant_id, m.account_id) IN (SELECT * FROM unnest($1::integer[], $2::bigint[])) \
             ORDER BY m.tenant_id, m.account_id FOR UPDATE",
        )
        .bind(&tenants)
        .bind(&accounts)
        .execute(&mut *tx)
        .await?;
        let purged = sqlx::query_scalar(
            "WITH gone AS (DELETE FROM restante.expunged x \
                            USING unnest($1::integer[], $2::bigint[], $3::bigint[], $4::date[]) AS p (tenant_id, account_id, uid, purge_day) \
                            WHERE (x.tenant_id, x.account_id, x.uid, x.purge_day) = (p.tenant_id, p.account_id, p.uid, p.purge_day) \
                           RETURNING x.tenant_id, x.account_id, x.uid, x.octets, x.segment_id, x.frame_offset, x.frame_len), \
             extras AS (DELETE FROM restante.message_extras e USING gone g WHERE (e.tenant_id, e.account_id, e.uid) = (g.tenant_id, g.account_id, g.uid)), \
             drops AS (UPDATE restante.maildrops m SET kept_messages = m.kept_messages - c.n, kept_octets = m.kept_octets - c.o \
                         FROM (SELECT tenant_id, account_id, count(*)::integer n, sum(octets)::bigint o FROM gone GROUP BY 1, 2) c \
                        WHERE (m.tenant_id, m.account_id) = (c.tenant_id, c.account_id)), \
             held AS (SELECT s.segment_id FROM restante.segments s WHERE s.segment_id IN (SELECT segment_id FROM gone) ORDER BY s.segment_id FOR UPDATE), \
             refs AS (UPDATE restante.segments s SET refs = s.refs - c.n, dead_octets = least(s.octets, s.dead_octets + c.o), \
                             state = CASE WHEN s.refs = c.n AND s.state = 1 THEN 2 ELSE s.state END, \
                             state_at = CASE WHEN s.refs = c.n AND s.state = 1 THEN clock_timestamp() ELSE s.state_at END \
                        FROM (SELECT segment_id, sum(n)::integer n, sum(len)::bigint::integer o FROM \
                                (SELECT segment_id, frame_offset, count(*) n, max(frame_len) len FROM gone GROUP BY 1, 2) f GROUP BY 1) c \
                       WHERE s.segment_id = c.segment_id AND s.segment_id IN (SELECT segment_id FROM held)) \
             SELECT count(*) FROM gone",
        )
        .bind(&tenants)
        .bind(&accounts)
        .bind(&uids)
        .bind(&days)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(purged)
    })
    .await?;
    Ok(u64::try_from(purged).unwrap_or(0))
}

/// Drops the days that are purged.
pub(crate) async fn drop_purged(pool: &Pool) -> Result<(), Error> {
    named(
        "worker_drop_purged_1",
        sqlx::query("SELECT restante.worker_drop_purged_1((now() AT TIME ZONE 'UTC')::date)").execute(pool),
    )
    .await
    .map(drop)
}

/// Live segments that nobody refers to, old enough that no commit is under way, become empty.
pub(crate) async fn empty_segments(pool: &Pool, older: Duration) -> Result<u64, Error> {
    let done = named(
        "empty_segments",
        sqlx::query(
            "UPDATE restante.segments SET state = 2, state_at = clock_timestamp() \
             WHERE state = 1 AND refs = 0 AND created_at < clock_timestamp() - make_interval(secs => $1)",
        )
        .bind(older.as_secs_f64())
        .execute(pool),
    )
    .await?;
    Ok(done.rows_affected())
}

/// Segments whose objects may be deleted now: empty ones and condemned orphans past their grace, marked as deleting. Nothing
/// while the catalog forbids sweeping (after a restore).
pub(crate) async fn doomed_segments(pool: &Pool, grace: Duration, batch: u32) -> Result<Vec<SegmentUuid>, Error> {
    let rows = named(
        "doomed_segments",
        sqlx::query(
            "UPDATE restante.segments s SET state = 3, state_at = CASE WHEN s.state = 3 THEN s.state_at ELSE clock_timestamp() END \
             WHERE s.segment_id IN ( \
               SELECT d.segment_id FROM restante.segments d, restante.catalog c \
                WHERE c.sweep_state = 1 AND d.refs = 0 \
                  AND (d.state = 3 OR (d.state IN (2, 9) AND d.state_at < clock_timestamp() - make_interval(secs => $1))) \
                ORDER BY d.segment_id LIMIT $2 FOR UPDATE OF d SKIP LOCKED) \
             RETURNING s.segment_uuid",
        )
        .bind(grace.as_secs_f64())
        .bind(i64::from(batch))
        .fetch_all(pool),
    )
    .await?;
    rows.iter()
        .map(|row| {
            let uuid: Uuid = row.try_get(0)?;
            SegmentUuid::from_u128(uuid.as_u128())
                .ok_or(Error::Inconsistent { table: "segments", what: "segment_uuid has an ordinal" })
        })
        .collect()
}

/// The object is gone: so is its row.
pub(crate) async fn forget_segment(pool: &Pool, segment: SegmentUuid) -> Result<(), Error> {
    named(
        "forget_segment",
        sqlx::query("DELETE FROM restante.segments WHERE segment_uuid = $1 AND state = 3")
            .bind(Uuid::from_u128(segment.as_u128()))
            .execute(pool),
    )
    .await
    .map(drop)
}

/// The hour (`YYYYMMDDHH`) before which an object is older than `age` by the database's clock; `None` while sweeping is forbidden.
pub(crate) async fn hour_before(pool: &Pool, age: Duration) -> Result<Option<String>, Error> {
    named(
        "orphan_hour",
        sqlx::query_scalar(
            "SELECT to_char((clock_timestamp() - make_interval(secs => $1)) AT TIME ZONE 'UTC', 'YYYYMMDDHH24') FROM restante.catalog WHERE sweep_state = 1",
        )
        .bind(age.as_secs_f64())
        .fetch_optional(pool),
    )
    .await
}

/// Condemns those of the segments that have no row; answers how many. A commit that comes late meets the row and fails.
pub(crate) async fn condemn_unknown(pool: &Pool, segments: &[SegmentUuid]) -> Result<u64, Error> {
    let uuids: Vec<Uuid> = segments.iter().map(|s| Uuid::from_u128(s.as_u128())).collect();
    let done = named(
        "condemn_unknown",
        sqlx::query(
            "INSERT INTO restante.segments (segment_uuid, state, refs, octets) \
             SELECT u, 9, 0, 0 FROM unnest($1::uuid[]) AS u WHERE NOT EXISTS (SELECT FROM restante.segments s WHERE s.segment_uuid = u) \
             ON CONFLICT (segment_uuid) DO NOTHING",
        )
        .bind(uuids)
        .execute(pool),
    )
    .await?;
    Ok(done.rows_affected())
}

/// Sums maildrops into domains and tenants (domain 0); rows whose sums did not change are left alone.
pub(crate) async fn roll_up_usage(pool: &Pool) -> Result<(), Error> {
    named(
        "roll_up_usage",
        sqlx::query(
            "WITH sums AS (SELECT a.tenant_id, coalesce(a.domain_id, 0) AS domain_id, count(*)::integer accounts, sum(m.live_messages)::bigint messages, \
                             sum(m.live_octets)::bigint octets, sum(m.kept_octets)::bigint kept_octets \
                        FROM restante.accounts a JOIN restante.maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id) \
                       WHERE a.status <> 3 GROUP BY GROUPING SETS ((a.tenant_id, a.domain_id), (a.tenant_id))), \
             gone AS (DELETE FROM restante.usage_now u WHERE NOT EXISTS (SELECT FROM sums s WHERE (s.tenant_id, s.domain_id) = (u.tenant_id, u.domain_id))) \
             INSERT INTO restante.usage_now AS u (tenant_id, domain_id, accounts, messages, octets, kept_octets, at) \
             SELECT tenant_id, domain_id, accounts, messages, octets, kept_octets, clock_timestamp() FROM sums \
             ON CONFLICT (tenant_id, domain_id) DO UPDATE SET accounts = excluded.accounts, messages = excluded.messages, octets = excluded.octets, \
                         kept_octets = excluded.kept_octets, at = excluded.at \
             WHERE (u.accounts, u.messages, u.octets, u.kept_octets) IS DISTINCT FROM (excluded.accounts, excluded.messages, excluded.octets, excluded.kept_octets)",
        )
        .execute(pool),
    )
    .await
    .map(drop)
}
