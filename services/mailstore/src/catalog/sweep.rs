//! The steps that delete, and what each needs to have seen committed first (role worker). Lock order: maildrops, then
//! messages/expunged, then segments by id.

use std::time::Duration;

use mail_types::SegmentUuid;
use runtime::database::Pool;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::named;
use crate::Error;

/// Makes the partitions of the days from today, and the months' of the audit log, each in a transaction of its own, so that nobody
/// who writes into two of the tables waits for one while he holds up the other; answers how many were made.
pub(crate) async fn partitions(pool: &Pool, days_ahead: u32) -> Result<u64, Error> {
    let missing: Vec<(String, chrono::NaiveDate, chrono::NaiveDate)> = named(
        "missing_partitions",
        sqlx::query_as(
            "SELECT p.name, p.first, p.last FROM ( \
               SELECT t.name, d::date AS first, d::date + 1 AS last FROM (VALUES ('expunged', $1), ('sessions', 2)) AS t (name, ahead), \
                      generate_series((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + t.ahead, '1 day') AS d \
               UNION ALL \
               SELECT 'audit_events', m::date, (m + interval '1 month')::date FROM \
                      generate_series(date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month', '1 month') AS m) AS p \
              WHERE to_regclass('restante.' || p.name || '_' || to_char(p.first, 'YYYYMMDD')) IS NULL ORDER BY 1, 2",
        )
        .bind(i32::try_from(days_ahead).unwrap_or(i32::MAX))
        .fetch_all(pool),
    )
    .await?;
    let mut made = 0;
    for (table, first, last) in missing {
        let new: bool = named(
            "worker_partition_1",
            sqlx::query_scalar("SELECT restante.worker_partition_1($1, $2, $3)")
                .bind(table)
                .bind(first)
                .bind(last)
                .fetch_one(pool),
        )
        .await?;
        made += u64::from(new);
    }
    Ok(made)
}

/// What a batch of purging came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purged {
    /// Rows that were due. Another worker at the same rows may have been first.
    pub(crate) due: u64,
    /// Of these, the ones that this call purged.
    pub(crate) purged: u64,
}

/// Rows of `expunged`, by their keys.
#[derive(Debug, Default)]
pub(crate) struct Expunged {
    tenants: Vec<i32>,
    accounts: Vec<i64>,
    uids: Vec<i64>,
    days: Vec<chrono::NaiveDate>,
}

impl Expunged {
    /// Adds a row of tenant_id, account_id, uid, purge_day.
    fn push(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        self.tenants.push(row.try_get(0)?);
        self.accounts.push(row.try_get(1)?);
        self.uids.push(row.try_get(2)?);
        self.days.push(row.try_get(3)?);
        Ok(())
    }
}

/// Purges a batch of expunged messages whose day has come. Segment by segment, so that what a segment still holds is counted once
/// and not once a message.
pub(crate) async fn purge_batch(pool: &Pool, batch: u32) -> Result<Purged, Error> {
    named("purge", async {
        // Apart from the transaction, whose first lock is the maildrops': it must not hold `expunged` while it waits for one of them, since
        // their holder may wait for a partition that is made, and that for us. What is gone or changed by then is passed over.
        let rows = sqlx::query(
            "SELECT tenant_id, account_id, uid, purge_day FROM restante.expunged \
             WHERE purge_day = (SELECT d.purge_day FROM restante.expunged d WHERE d.purge_day <= (clock_timestamp() AT TIME ZONE 'UTC')::date LIMIT 1) \
             ORDER BY segment_id, frame_offset LIMIT $1",
        )
        .bind(i64::from(batch))
        .fetch_all(pool)
        .await?;
        let mut due = Expunged::default();
        for row in &rows {
            due.push(row)?;
        }
        let mut tx = pool.begin().await?;
        let purged = purge_in_tx(&mut tx, &due).await?;
        tx.commit().await?;
        Ok(Purged { due: rows.len() as u64, purged })
    })
    .await
}

/// Removes these rows, with what hangs on them; answers how many were still there.
pub(crate) async fn purge_in_tx(tx: &mut PgConnection, due: &Expunged) -> Result<u64, sqlx::Error> {
    // Their maildrops first. Another worker at the same rows waits here, then finds them gone.
    lock_maildrops_in_tx(tx, &due.tenants, &due.accounts).await?;
    let rows = sqlx::query(
        "WITH gone AS (DELETE FROM restante.expunged x \
                        USING unnest($1::integer[], $2::bigint[], $3::bigint[], $4::date[]) AS p (tenant_id, account_id, uid, purge_day) \
                        WHERE (x.tenant_id, x.account_id, x.uid, x.purge_day) = (p.tenant_id, p.account_id, p.uid, p.purge_day) \
                       RETURNING x.tenant_id, x.account_id, x.uid, x.octets, x.segment_id, x.frame_offset, x.frame_len), \
         extras AS (DELETE FROM restante.message_extras e USING gone g WHERE (e.tenant_id, e.account_id, e.uid) = (g.tenant_id, g.account_id, g.uid)), \
         drops AS (UPDATE restante.maildrops m SET kept_messages = m.kept_messages - c.n, kept_octets = m.kept_octets - c.o \
                     FROM (SELECT tenant_id, account_id, count(*)::integer n, sum(octets)::bigint o FROM gone GROUP BY 1, 2) c \
                    WHERE (m.tenant_id, m.account_id) = (c.tenant_id, c.account_id)) \
         SELECT segment_id, frame_offset, frame_len FROM gone",
    )
    .bind(&due.tenants)
    .bind(&due.accounts)
    .bind(&due.uids)
    .bind(&due.days)
    .fetch_all(&mut *tx)
    .await?;
    let mut freed = Freed::default();
    for row in &rows {
        freed.push(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    }
    lock_segments_in_tx(tx, &freed.segments).await?;
    let_go_in_tx(tx, &freed).await?;
    Ok(rows.len() as u64)
}

/// Locks maildrops, in their order.
pub(crate) async fn lock_maildrops_in_tx(
    tx: &mut PgConnection,
    tenants: &[i32],
    accounts: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT 1 FROM restante.maildrops m WHERE (m.tenant_id, m.account_id) IN (SELECT * FROM unnest($1::integer[], $2::bigint[])) \
         ORDER BY m.tenant_id, m.account_id FOR UPDATE",
    )
    .bind(tenants)
    .bind(accounts)
    .execute(tx)
    .await
    .map(drop)
}

/// Locks segments, in their order: after everything else that the transaction locks.
pub(crate) async fn lock_segments_in_tx(tx: &mut PgConnection, segments: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1 FROM restante.segments WHERE segment_id = ANY ($1) ORDER BY segment_id FOR UPDATE")
        .bind(segments)
        .execute(tx)
        .await
        .map(drop)
}

/// Rows that ceased to name a frame, one entry each.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    pub(crate) segments: Vec<i64>,
    offsets: Vec<i32>,
    lens: Vec<i32>,
}

impl Freed {
    /// A row named the frame at `offset` of `segment`, of so many octets.
    pub(crate) fn push(&mut self, segment: i64, offset: i32, len: i32) {
        self.segments.push(segment);
        self.offsets.push(offset);
        self.lens.push(len);
    }
}

/// Counts down what rows named that this transaction removed or moved; their segments must be locked. A frame is dead when no
/// row names it any more: who holds the lock sees all that was committed before, so of two transactions that take a frame's last
/// two rows the second one counts it. A segment without references becomes empty, and nobody's
/// to compact.
pub(crate) async fn let_go_in_tx(tx: &mut PgConnection, freed: &Freed) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH freed AS (SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS f (segment_id, frame_offset, frame_len)), \
         dead AS (SELECT segment_id, sum(frame_len) o FROM \
                    (SELECT segment_id, frame_offset, frame_len FROM freed \
                     EXCEPT (SELECT segment_id, frame_offset, frame_len FROM restante.messages WHERE segment_id = ANY ($1) \
                             UNION ALL SELECT segment_id, frame_offset, frame_len FROM restante.expunged WHERE segment_id = ANY ($1))) d GROUP BY 1), \
         c AS (SELECT segment_id, count(*)::integer n FROM freed GROUP BY 1) \
         UPDATE restante.segments s SET refs = s.refs - c.n, dead_octets = least(s.octets, s.dead_octets + coalesce(dead.o, 0))::integer, \
                state = CASE WHEN s.refs = c.n AND s.state = 1 THEN 2 ELSE s.state END, \
                state_at = CASE WHEN s.refs = c.n AND s.state = 1 THEN clock_timestamp() ELSE s.state_at END, \
                claimed_until = CASE WHEN s.refs = c.n AND s.state = 1 THEN NULL ELSE s.claimed_until END \
           FROM c LEFT JOIN dead USING (segment_id) WHERE s.segment_id = c.segment_id",
    )
    .bind(&freed.segments)
    .bind(&freed.offsets)
    .bind(&freed.lens)
    .execute(tx)
    .await
    .map(drop)
}

/// What waits for the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Live segments of which more than half is dead.
    pub thin_segments: u64,
    /// Expunged messages whose day of purge has come; counted to [`Backlog::MOST`].
    pub due_purges: u64,
    /// How long the first of them has been due, seconds.
    pub oldest_due_seconds: u64,
}

impl Backlog {
    /// What due purges are counted to: the gauge must not cost what the purge does.
    pub const MOST: u64 = 100_000;
}

/// Looks at what waits.
pub(crate) async fn backlog(pool: &Pool) -> Result<Backlog, Error> {
    let (thin, due, age): (i64, i64, i64) = named(
        "backlog",
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM restante.segments WHERE state = 1 AND dead_octets > octets / 2), count(*), \
                    coalesce(extract(epoch FROM (clock_timestamp() AT TIME ZONE 'UTC') - min(d.purge_day)), 0)::bigint \
               FROM (SELECT purge_day FROM restante.expunged WHERE purge_day <= (clock_timestamp() AT TIME ZONE 'UTC')::date LIMIT $1) d",
        )
        .bind(i64::try_from(Backlog::MOST).unwrap_or(i64::MAX))
        .fetch_one(pool),
    )
    .await?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Backlog { thin_segments: count(thin), due_purges: count(due), oldest_due_seconds: count(age) })
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

/// Forgets what the support desk has kept for so many days; answers how many rows and days went.
pub(crate) async fn forget(pool: &Pool, activity_days: u32, transcript_days: u32, batch: u32) -> Result<u64, Error> {
    let days = |days: u32| i32::try_from(days.max(1)).unwrap_or(i32::MAX);
    let gone: i32 = named(
        "worker_forget_2",
        sqlx::query_scalar("SELECT restante.worker_forget_2($1, $2, $3)")
            .bind(days(activity_days))
            .bind(days(transcript_days))
            .bind(i32::try_from(batch).unwrap_or(i32::MAX))
            .fetch_one(pool),
    )
    .await?;
    Ok(u64::try_from(gone).unwrap_or(0))
}

/// Segments whose objects may be deleted now: empty ones and condemned orphans past their grace, marked as deleting and claimed
/// for `claim`. That no row names them is looked at once more: a count that is wrong must not cost a message. Nothing while the
/// catalog forbids sweeping (after a restore).
pub(crate) async fn doomed_segments(
    pool: &Pool,
    grace: Duration,
    claim: Duration,
    batch: u32,
) -> Result<Vec<SegmentUuid>, Error> {
    let rows = named(
        "doomed_segments",
        sqlx::query(
            "UPDATE restante.segments s SET state = 3, state_at = CASE WHEN s.state = 3 THEN s.state_at ELSE clock_timestamp() END, \
                    claimed_until = clock_timestamp() + make_interval(secs => $3) \
             WHERE s.segment_id IN ( \
               SELECT d.segment_id FROM restante.segments d, restante.catalog c \
                WHERE c.sweep_state = 1 AND d.refs = 0 AND d.state <> 1 \
                  AND (d.state = 3 OR (d.state IN (2, 9) AND d.state_at < clock_timestamp() - make_interval(secs => $1))) \
                  AND (d.claimed_until IS NULL OR d.claimed_until < clock_timestamp()) \
                  AND NOT EXISTS (SELECT FROM restante.messages m WHERE m.segment_id = d.segment_id) \
                  AND NOT EXISTS (SELECT FROM restante.expunged x WHERE x.segment_id = d.segment_id) \
                ORDER BY d.segment_id LIMIT $2 FOR UPDATE OF d SKIP LOCKED) \
             RETURNING s.segment_uuid",
        )
        .bind(grace.as_secs_f64())
        .bind(i64::from(batch))
        .bind(claim.as_secs_f64())
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

/// Gives doomed segments up that could not be deleted, so that the next round takes them.
pub(crate) async fn unclaim_doomed(pool: &Pool, segments: &[SegmentUuid]) -> Result<(), Error> {
    let uuids: Vec<Uuid> = segments.iter().map(|s| Uuid::from_u128(s.as_u128())).collect();
    named(
        "unclaim_doomed",
        sqlx::query(
            "UPDATE restante.segments SET claimed_until = NULL WHERE segment_id IN \
             (SELECT segment_id FROM restante.segments WHERE segment_uuid = ANY ($1) AND state = 3 ORDER BY segment_id FOR UPDATE)",
        )
        .bind(uuids)
        .execute(pool),
    )
    .await
    .map(drop)
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

/// Sums maildrops into domains and tenants (domain 0), and counts what was delivered since; rows whose sums did not change are left alone. While another worker does
/// it, nothing: two of them would lock the same rows in different orders, and the second would have nothing to add.
pub(crate) async fn roll_up_usage(pool: &Pool) -> Result<(), Error> {
    named("roll_up_usage", async {
        let mut tx = pool.begin().await?;
        let mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext('restante usage'))")
            .fetch_one(&mut *tx)
            .await?;
        if !mine {
            return Ok(());
        }
        sqlx::query(
            // What was delivered counts up only: a uid is never given again. Erasing an account takes some away, hence the least.
            "WITH sums AS (SELECT a.tenant_id, coalesce(a.domain_id, 0) AS domain_id, (count(*) FILTER (WHERE a.status <> 3))::integer accounts, \
                             (count(*) FILTER (WHERE a.status = 2))::integer suspended, \
                             coalesce(sum(m.live_messages) FILTER (WHERE a.status <> 3), 0)::bigint messages, \
                             coalesce(sum(m.live_octets) FILTER (WHERE a.status <> 3), 0)::bigint octets, \
                             coalesce(sum(m.kept_octets) FILTER (WHERE a.status <> 3), 0)::bigint kept_octets, sum(m.next_uid - 1)::bigint delivered, \
                             coalesce(sum(s.sessions), 0)::integer sessions \
                        FROM restante.accounts a JOIN restante.maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id) \
                        LEFT JOIN (SELECT l.tenant_id, l.account_id, count(*) sessions FROM restante.live_sessions l \
                                     JOIN restante.frontends f ON f.frontend_uuid = l.frontend_uuid AND f.beat_at >= clock_timestamp() - interval '15 seconds' \
                                    GROUP BY 1, 2) s ON (s.tenant_id, s.account_id) = (a.tenant_id, a.account_id) \
                       GROUP BY GROUPING SETS ((a.tenant_id, a.domain_id), (a.tenant_id))), \
             gone AS (DELETE FROM restante.usage_now u WHERE NOT EXISTS (SELECT FROM sums s WHERE (s.tenant_id, s.domain_id) = (u.tenant_id, u.domain_id))), \
             put AS (INSERT INTO restante.usage_now AS u (tenant_id, domain_id, accounts, suspended, messages, octets, kept_octets, delivered, hour, hour_base, sessions, at) \
             SELECT tenant_id, domain_id, accounts, suspended, messages, octets, kept_octets, delivered, date_trunc('hour', clock_timestamp()), 0, sessions, clock_timestamp() FROM sums \
             ON CONFLICT (tenant_id, domain_id) DO UPDATE SET accounts = excluded.accounts, suspended = excluded.suspended, messages = excluded.messages, octets = excluded.octets, \
                         kept_octets = excluded.kept_octets, delivered = excluded.delivered, hour = excluded.hour, \
                         hour_base = CASE WHEN u.hour = excluded.hour THEN least(u.hour_base, excluded.delivered) ELSE least(u.delivered, excluded.delivered) END, \
                         sessions = excluded.sessions, at = excluded.at \
             WHERE (u.accounts, u.suspended, u.messages, u.octets, u.kept_octets, u.delivered, u.sessions) \
                   IS DISTINCT FROM (excluded.accounts, excluded.suspended, excluded.messages, excluded.octets, excluded.kept_octets, excluded.delivered, excluded.sessions)) \
             SELECT restante.count_activity_1(coalesce(jsonb_agg(jsonb_build_object( \
                      'tenant', s.tenant_id, 'domain', s.domain_id, 'at', clock_timestamp(), 'kind', 3, 'reason', 0, 'count', s.delivered - coalesce(u.delivered, 0))), '[]')) \
               FROM sums s LEFT JOIN restante.usage_now u ON (u.tenant_id, u.domain_id) = (s.tenant_id, s.domain_id) \
              WHERE s.domain_id <> 0 AND s.delivered > coalesce(u.delivered, 0)",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    })
    .await
}

/// Tells of what has become 80 % or 100 % full since the last time; answers how many.
pub(crate) async fn quota_levels(pool: &Pool) -> Result<u64, Error> {
    let told: i32 =
        named("worker_quota_levels_1", sqlx::query_scalar("SELECT restante.worker_quota_levels_1()").fetch_one(pool))
            .await?;
    Ok(u64::try_from(told).unwrap_or(0))
}
