//! What `restante fsck` and the worker's verification ask the catalog (role worker), and what repairs change (role owner).

use mail_types::{Guid, SegmentUuid, TenantId};
use runtime::database::Pool;
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::named;
use crate::Error;
use crate::bodies::segment::Place;

/// A segment's row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentRow {
    pub(crate) id: i64,
    pub(crate) uuid: SegmentUuid,
    pub(crate) state: i16,
    pub(crate) refs: i32,
}

fn segment_uuid(row: &PgRow, column: usize) -> Result<SegmentUuid, Error> {
    SegmentUuid::from_u128(row.try_get::<Uuid, _>(column)?.as_u128())
        .ok_or(Error::Inconsistent { table: "segments", what: "segment_uuid has an ordinal" })
}

fn segment_row(row: &PgRow) -> Result<SegmentRow, Error> {
    Ok(SegmentRow { id: row.try_get(0)?, uuid: segment_uuid(row, 1)?, state: row.try_get(2)?, refs: row.try_get(3)? })
}

/// Segments after one, in order; of a tenant those that hold something of it.
pub(crate) async fn segments(
    pool: &Pool,
    only: Option<TenantId>,
    after: i64,
    limit: u32,
) -> Result<Vec<SegmentRow>, Error> {
    let rows = named(
        "check_segments",
        sqlx::query(
            "SELECT s.segment_id, s.segment_uuid, s.state, s.refs FROM restante.segments s WHERE s.segment_id > $1 AND ($2::integer IS NULL \
                OR EXISTS (SELECT FROM restante.messages m WHERE m.segment_id = s.segment_id AND m.tenant_id = $2) \
                OR EXISTS (SELECT FROM restante.expunged x WHERE x.segment_id = s.segment_id AND x.tenant_id = $2)) ORDER BY 1 LIMIT $3",
        )
        .bind(after)
        .bind(only.map(|tenant| tenant.0))
        .bind(i64::from(limit))
        .fetch_all(pool),
    )
    .await?;
    rows.iter().map(segment_row).collect()
}

/// A row of `messages` or `expunged` in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopyRow {
    pub(crate) tenant: TenantId,
    pub(crate) account: i64,
    pub(crate) uid: i64,
    pub(crate) guid: Guid,
    /// Without the copy's own prefix.
    pub(crate) octets: i64,
    pub(crate) place: Place,
    pub(crate) traits: u16,
}

/// What refers to a segment, in the order of its places: a segment has few.
pub(crate) async fn copies(pool: &Pool, only: Option<TenantId>, segment: i64) -> Result<Vec<CopyRow>, Error> {
    let rows = named(
        "check_copies",
        sqlx::query(
            "SELECT c.tenant_id, c.account_id, c.uid, c.guid, c.octets::bigint - coalesce(octet_length(e.prefix), 0), c.frame_offset, c.frame_len, c.head_len, c.traits FROM ( \
               SELECT tenant_id, account_id, uid, guid, octets, frame_offset, frame_len, head_len, traits FROM restante.messages WHERE segment_id = $1 \
               UNION ALL SELECT tenant_id, account_id, uid, guid, octets, frame_offset, frame_len, head_len, traits FROM restante.expunged WHERE segment_id = $1) AS c \
             LEFT JOIN restante.message_extras e ON c.traits < 0 AND (e.tenant_id, e.account_id, e.uid) = (c.tenant_id, c.account_id, c.uid) \
             WHERE ($2::integer IS NULL OR c.tenant_id = $2) ORDER BY c.frame_offset",
        )
        .bind(segment)
        .bind(only.map(|tenant| tenant.0))
        .fetch_all(pool),
    )
    .await?;
    rows.iter()
        .map(|row| {
            let place = |column: usize| -> Result<u32, Error> {
                u32::try_from(row.try_get::<i32, _>(column)?)
                    .map_err(|_| Error::Inconsistent { table: "messages", what: "a place is negative" })
            };
            Ok(CopyRow {
                tenant: TenantId(row.try_get(0)?),
                account: row.try_get(1)?,
                uid: row.try_get(2)?,
                guid: Guid::from_u128(row.try_get::<Uuid, _>(3)?.as_u128()),
                octets: row.try_get::<i64, _>(4)?,
                place: Place { offset: place(5)?, len: place(6)?, head_len: place(7)? },
                traits: row.try_get::<i16, _>(8)?.cast_unsigned(),
            })
        })
        .collect()
}

/// Of some segments, those that have no row.
pub(crate) async fn without_row(pool: &Pool, segments: &[SegmentUuid]) -> Result<Vec<SegmentUuid>, Error> {
    let uuids: Vec<Uuid> = segments.iter().map(|s| Uuid::from_u128(s.as_u128())).collect();
    let rows = named(
        "check_without_row",
        sqlx::query(
            "SELECT u FROM unnest($1::uuid[]) AS u WHERE NOT EXISTS (SELECT FROM restante.segments s WHERE s.segment_uuid = u)",
        )
        .bind(uuids)
        .fetch_all(pool),
    )
    .await?;
    rows.iter().map(|row| segment_uuid(row, 0)).collect()
}

/// The database's clock, as the hour of a segment's name.
pub(crate) async fn hour_before(pool: &Pool, seconds: u64) -> Result<String, Error> {
    named(
        "check_hour",
        sqlx::query_scalar(
            "SELECT to_char((clock_timestamp() - make_interval(secs => $1)) AT TIME ZONE 'UTC', 'YYYYMMDDHH24')",
        )
        .bind(seconds as f64)
        .fetch_one(pool),
    )
    .await
}

/// A maildrop or a segment whose numbers are not those of a recount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Miscounted {
    pub(crate) tenant: i32,
    /// The account, or the segment.
    pub(crate) id: i64,
    pub(crate) what: String,
}

/// Compares the maildrops of the next accounts after one with a recount, in one snapshot, so that what goes on meanwhile does not
/// show. Answers how many, and the last account.
pub(crate) async fn maildrops(
    pool: &Pool,
    only: Option<TenantId>,
    after: (i32, i64),
    limit: u32,
) -> Result<(u64, Option<(i32, i64)>, Vec<Miscounted>), Error> {
    let rows = named(
        "check_maildrops",
        sqlx::query(
            "WITH page AS (SELECT * FROM restante.maildrops WHERE (tenant_id, account_id) > ($1, $2) AND ($4::integer IS NULL OR tenant_id = $4) \
                            ORDER BY tenant_id, account_id LIMIT $3) \
             SELECT m.tenant_id, m.account_id, \
                    (m.live_messages, m.live_octets, m.kept_messages, m.kept_octets) IS DISTINCT FROM (l.n, l.o, x.n, x.o) OR m.next_uid <= greatest(l.u, x.u), \
                    format('counted %s messages, %s octets, %s and %s expunged, next uid %s; there are %s, %s, %s and %s, last uid %s', \
                           m.live_messages, m.live_octets, m.kept_messages, m.kept_octets, m.next_uid, l.n, l.o, x.n, x.o, greatest(l.u, x.u)) \
               FROM page m, \
                    LATERAL (SELECT count(*)::integer n, coalesce(sum(octets), 0)::bigint o, coalesce(max(uid), 0) u FROM restante.messages c \
                              WHERE (c.tenant_id, c.account_id) = (m.tenant_id, m.account_id)) l, \
                    LATERAL (SELECT count(*)::integer n, coalesce(sum(octets), 0)::bigint o, coalesce(max(uid), 0) u FROM restante.expunged c \
                              WHERE (c.tenant_id, c.account_id) = (m.tenant_id, m.account_id)) x ORDER BY 1, 2",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(limit))
        .bind(only.map(|tenant| tenant.0))
        .fetch_all(pool),
    )
    .await?;
    let mut wrong = Vec::new();
    let mut last = None;
    for row in &rows {
        let (tenant, id) = (row.try_get(0)?, row.try_get(1)?);
        last = Some((tenant, id));
        if row.try_get::<bool, _>(2)? {
            wrong.push(Miscounted { tenant, id, what: row.try_get(3)? });
        }
    }
    Ok((rows.len() as u64, last, wrong))
}

/// The same of the references to the next segments after one.
pub(crate) async fn references(pool: &Pool, after: i64, limit: u32) -> Result<(Option<i64>, Vec<Miscounted>), Error> {
    let rows = named(
        "check_references",
        sqlx::query(
            "WITH page AS (SELECT segment_id, segment_uuid, refs FROM restante.segments WHERE segment_id > $1 ORDER BY 1 LIMIT $2), \
             m AS (SELECT segment_id, count(*) n FROM restante.messages WHERE segment_id IN (SELECT segment_id FROM page) GROUP BY 1), \
             x AS (SELECT segment_id, count(*) n FROM restante.expunged WHERE segment_id IN (SELECT segment_id FROM page) GROUP BY 1) \
             SELECT s.segment_id, s.refs <> coalesce(m.n, 0) + coalesce(x.n, 0), \
                    format('segment %s counts %s references, there are %s', replace(s.segment_uuid::text, '-', ''), s.refs, coalesce(m.n, 0) + coalesce(x.n, 0)) \
               FROM page s LEFT JOIN m USING (segment_id) LEFT JOIN x USING (segment_id) ORDER BY 1",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool),
    )
    .await?;
    let mut wrong = Vec::new();
    let mut last = None;
    for row in &rows {
        let id = row.try_get(0)?;
        last = Some(id);
        if row.try_get::<bool, _>(1)? {
            wrong.push(Miscounted { tenant: 0, id, what: row.try_get(2)? });
        }
    }
    Ok((last, wrong))
}

/// References to segments that have no row at all: nothing else finds them. Answers at most `limit`.
pub(crate) async fn dangling(pool: &Pool, only: Option<TenantId>, limit: u32) -> Result<Vec<Miscounted>, Error> {
    let rows = named(
        "check_dangling",
        sqlx::query(
            "SELECT c.tenant_id, c.account_id, format('message %s names segment %s, which has no row', c.uid, c.segment_id) FROM ( \
               SELECT tenant_id, account_id, uid, segment_id FROM restante.messages UNION ALL SELECT tenant_id, account_id, uid, segment_id FROM restante.expunged) c \
             LEFT JOIN restante.segments s USING (segment_id) WHERE s.segment_id IS NULL AND ($1::integer IS NULL OR c.tenant_id = $1) LIMIT $2",
        )
        .bind(only.map(|tenant| tenant.0))
        .bind(i64::from(limit))
        .fetch_all(pool),
    )
    .await?;
    rows.iter()
        .map(|row| Ok(Miscounted { tenant: row.try_get(0)?, id: row.try_get(1)?, what: row.try_get(2)? }))
        .collect()
}

/// Counts a maildrop anew, under its lock.
pub(crate) async fn recount_maildrop(pool: &Pool, tenant: i32, account: i64) -> Result<(), Error> {
    named("repair_maildrop", async {
        let mut tx = pool.begin().await?;
        sqlx::query("SELECT 1 FROM restante.maildrops WHERE tenant_id = $1 AND account_id = $2 FOR UPDATE")
            .bind(tenant)
            .bind(account)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE restante.maildrops m SET live_messages = l.n, live_octets = l.o, kept_messages = x.n, kept_octets = x.o, shape = m.shape + 1, \
                    next_uid = greatest(m.next_uid, l.u + 1, x.u + 1) FROM \
               (SELECT count(*)::integer n, coalesce(sum(octets), 0)::bigint o, coalesce(max(uid), 0) u FROM restante.messages WHERE tenant_id = $1 AND account_id = $2) l, \
               (SELECT count(*)::integer n, coalesce(sum(octets), 0)::bigint o, coalesce(max(uid), 0) u FROM restante.expunged WHERE tenant_id = $1 AND account_id = $2) x \
             WHERE m.tenant_id = $1 AND m.account_id = $2",
        )
        .bind(tenant)
        .bind(account)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    })
    .await
}

/// Counts the references to a segment anew, under its lock: whoever adds or takes one away waits, and then adds to the right number. One
/// that counted as empty and is not is live again.
pub(crate) async fn recount_segment(pool: &Pool, segment: i64) -> Result<(), Error> {
    named("repair_segment", async {
        let mut tx = pool.begin().await?;
        sqlx::query("SELECT 1 FROM restante.segments WHERE segment_id = $1 FOR UPDATE")
            .bind(segment)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE restante.segments s SET refs = c.n, state = CASE WHEN s.state = 2 AND c.n > 0 THEN 1 ELSE s.state END FROM \
               (SELECT (SELECT count(*) FROM restante.messages WHERE segment_id = $1) + (SELECT count(*) FROM restante.expunged WHERE segment_id = $1) AS n) c \
             WHERE s.segment_id = $1",
        )
        .bind(segment)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    })
    .await
}

/// The segments that were verified longest ago, or never.
pub(crate) async fn to_verify(pool: &Pool, limit: u32) -> Result<Vec<SegmentRow>, Error> {
    let rows = named(
        "to_verify",
        sqlx::query(
            "SELECT segment_id, segment_uuid, state, refs FROM restante.segments WHERE state = 1 ORDER BY coalesce(verified_at, created_at) LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(pool),
    )
    .await?;
    rows.iter().map(segment_row).collect()
}

/// A segment was read whole; what was found, if anything.
pub(crate) async fn verified(pool: &Pool, segment: i64, damage: Option<&str>) -> Result<(), Error> {
    named(
        "verified",
        sqlx::query("UPDATE restante.segments SET verified_at = clock_timestamp(), damage = left($2, 500) WHERE segment_id = $1")
            .bind(segment)
            .bind(damage)
            .execute(pool),
    )
    .await
    .map(drop)
}

/// The age in seconds of the segment that was verified, or made, longest ago, and how many were found damaged.
pub(crate) async fn oldest_unverified(pool: &Pool) -> Result<(i64, i64), Error> {
    named(
        "oldest_unverified",
        sqlx::query_as(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - (SELECT coalesce(verified_at, created_at) FROM restante.segments WHERE state = 1 \
                      ORDER BY coalesce(verified_at, created_at) LIMIT 1)), 0)::bigint, (SELECT count(*) FROM restante.segments WHERE damage IS NOT NULL)",
        )
        .fetch_one(pool),
    )
    .await
}
