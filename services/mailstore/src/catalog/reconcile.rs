//! Counters against a recount (role worker). A counter and its rows change in one transaction, so one statement, which sees one
//! moment, sees them equal: looking locks nothing. What differs is counted again under its lock and set right.

use runtime::database::Pool;
use sqlx::{PgConnection, Row as _};

use super::named;
use crate::Error;

/// Some of a table's rows, in the order of their keys.
#[derive(Debug)]
pub(crate) struct Page<K> {
    /// The last that was looked at; `None` where there are no more.
    pub(crate) last: Option<K>,
    /// Those whose counters differ.
    pub(crate) wrong: Vec<K>,
}

/// A maildrop's key.
pub(crate) type Maildrop = (i32, i64);

/// Looks at the next maildrops: `most` of them, and no more than hold `rows` rows together (but one at least).
pub(crate) async fn maildrops(pool: &Pool, after: Maildrop, most: u32, rows: u32) -> Result<Page<Maildrop>, Error> {
    let found = named(
        "reconcile_maildrops",
        sqlx::query(
            "WITH page AS (SELECT * FROM (SELECT m.*, sum(m.live_messages + m.kept_messages) OVER (ORDER BY m.tenant_id, m.account_id) AS up_to \
                             FROM (SELECT * FROM restante.maildrops d WHERE (d.tenant_id, d.account_id) > ($1, $2) ORDER BY d.tenant_id, d.account_id LIMIT $3) m) s \
                            WHERE s.up_to - (s.live_messages + s.kept_messages) <= $4) \
             SELECT s.tenant_id, s.account_id, (s.live_messages, s.live_octets, s.kept_messages, s.kept_octets) <> (l.n, l.o, x.n, x.o) OR s.next_uid <= greatest(l.u, x.u) \
               FROM page s, \
                    LATERAL (SELECT count(*) n, coalesce(sum(m.octets), 0) o, coalesce(max(m.uid), 0) u FROM restante.messages m \
                              WHERE m.tenant_id = s.tenant_id AND m.account_id = s.account_id) l, \
                    LATERAL (SELECT count(*) n, coalesce(sum(e.octets), 0) o, coalesce(max(e.uid), 0) u FROM restante.expunged e \
                              WHERE e.tenant_id = s.tenant_id AND e.account_id = s.account_id) x \
              ORDER BY 1, 2",
        )
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(most))
        .bind(i64::from(rows))
        .fetch_all(pool),
    )
    .await?;
    let mut page = Page { last: None, wrong: Vec::new() };
    for row in &found {
        let key = (row.try_get(0)?, row.try_get(1)?);
        page.last = Some(key);
        if row.try_get(2)? {
            page.wrong.push(key);
        }
    }
    Ok(page)
}

/// Counts a maildrop again under its lock, and sets its counters right; whether they were wrong.
pub(crate) async fn mend_maildrop(pool: &Pool, key: Maildrop) -> Result<bool, Error> {
    named("mend_maildrop", async {
        let mut tx = pool.begin().await?;
        sqlx::query("SELECT 1 FROM restante.maildrops WHERE tenant_id = $1 AND account_id = $2 FOR UPDATE")
            .bind(key.0)
            .bind(key.1)
            .execute(&mut *tx)
            .await?;
        let mended = sqlx::query(
            "UPDATE restante.maildrops m SET shape = m.shape + 1, live_messages = l.n, live_octets = l.o, kept_messages = x.n, kept_octets = x.o, \
                    next_uid = greatest(m.next_uid, l.u + 1, x.u + 1) \
               FROM (SELECT count(*)::integer n, coalesce(sum(octets), 0)::bigint o, coalesce(max(uid), 0) u FROM restante.messages WHERE tenant_id = $1 AND account_id = $2) l, \
                    (SELECT count(*)::integer n, coalesce(sum(octets), 0)::bigint o, coalesce(max(uid), 0) u FROM restante.expunged WHERE tenant_id = $1 AND account_id = $2) x \
              WHERE m.tenant_id = $1 AND m.account_id = $2 \
                AND ((m.live_messages, m.live_octets, m.kept_messages, m.kept_octets) <> (l.n, l.o, x.n, x.o) OR m.next_uid <= greatest(l.u, x.u))",
        )
        .bind(key.0)
        .bind(key.1)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(mended.rows_affected() > 0)
    })
    .await
}

/// What was found out about a segment under its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mended {
    /// Its references were wrong.
    pub(crate) refs: bool,
    /// Its dead octets were: frames that nobody was ever given are not known before this.
    pub(crate) dead_octets: bool,
    /// It had no references, and is empty now.
    pub(crate) emptied: bool,
}

/// Looks at the next segments: `most` of them, and no more than `rows` rows name (but one at least). Wrong are those whose
/// references differ, and of those older than `settled` seconds (no commit is under way any more) those with other dead octets, and
/// live ones without references.
pub(crate) async fn segments(pool: &Pool, after: i64, most: u32, rows: u32, settled: u64) -> Result<Page<i64>, Error> {
    let found = named(
        "reconcile_segments",
        sqlx::query(
            "WITH page AS (SELECT * FROM (SELECT g.*, sum(g.refs) OVER (ORDER BY g.segment_id) AS up_to \
                             FROM (SELECT * FROM restante.segments d WHERE d.segment_id > $1 ORDER BY d.segment_id LIMIT $2) g) s \
                            WHERE s.up_to - s.refs <= $3), \
             named AS MATERIALIZED (SELECT segment_id, frame_offset, frame_len FROM restante.messages WHERE segment_id IN (SELECT segment_id FROM page) \
                       UNION ALL SELECT segment_id, frame_offset, frame_len FROM restante.expunged WHERE segment_id IN (SELECT segment_id FROM page)), \
             counted AS (SELECT segment_id, sum(n) n, sum(frame_len) o FROM \
                          (SELECT segment_id, frame_offset, max(frame_len) frame_len, count(*) n FROM named GROUP BY 1, 2) f GROUP BY 1) \
             SELECT s.segment_id, s.refs <> coalesce(c.n, 0) \
                    OR (s.created_at < clock_timestamp() - make_interval(secs => $4) AND s.state = 1 \
                        AND (s.refs = 0 OR s.dead_octets <> greatest(0, s.octets - $5 - coalesce(c.o, 0)))) \
               FROM page s LEFT JOIN counted c USING (segment_id) ORDER BY 1",
        )
        .bind(after)
        .bind(i64::from(most))
        .bind(i64::from(rows))
        .bind(settled as f64)
        .bind(HEADER)
        .fetch_all(pool),
    )
    .await?;
    let mut page = Page { last: None, wrong: Vec::new() };
    for row in &found {
        let segment = row.try_get(0)?;
        page.last = Some(segment);
        if row.try_get(1)? {
            page.wrong.push(segment);
        }
    }
    Ok(page)
}

/// What of a segment's octets is no frame's.
const HEADER: i64 = crate::bodies::segment::SEGMENT_HEADER_LEN as i64;

/// Counts a segment again under its lock, and sets right what is wrong. One that rows name lives again, whatever was thought of
/// it; one that is old and that none names is empty.
pub(crate) async fn mend_segment(pool: &Pool, segment: i64, settled: u64) -> Result<Mended, Error> {
    named("mend_segment", async {
        let mut tx = pool.begin().await?;
        let before = state(&mut tx, segment).await?;
        // A statement of its own, begun under the lock: it sees all that was committed before.
        sqlx::query(
            "WITH named AS MATERIALIZED (SELECT frame_offset, frame_len FROM restante.messages WHERE segment_id = $1 \
                                         UNION ALL SELECT frame_offset, frame_len FROM restante.expunged WHERE segment_id = $1), \
             c AS (SELECT coalesce(sum(n), 0)::integer n, coalesce(sum(frame_len), 0)::bigint o FROM \
                    (SELECT frame_offset, max(frame_len) frame_len, count(*) n FROM named GROUP BY 1) f), \
             t AS (SELECT c.*, CASE WHEN c.n > 0 AND s.state IN (2, 3) THEN 1 \
                                    WHEN c.n = 0 AND s.state = 1 AND s.created_at < clock_timestamp() - make_interval(secs => $2) THEN 2 \
                                    ELSE s.state END AS state \
                     FROM c, restante.segments s WHERE s.segment_id = $1) \
             UPDATE restante.segments s SET refs = t.n, state = t.state, \
                    dead_octets = CASE WHEN s.created_at < clock_timestamp() - make_interval(secs => $2) THEN greatest(0, s.octets - $3 - t.o) ELSE s.dead_octets END, \
                    state_at = CASE WHEN s.state = t.state THEN s.state_at ELSE clock_timestamp() END \
               FROM t WHERE s.segment_id = $1",
        )
        .bind(segment)
        .bind(settled as f64)
        .bind(HEADER)
        .execute(&mut *tx)
        .await?;
        let after = state(&mut tx, segment).await?;
        tx.commit().await?;
        Ok(match (before, after) {
            (Some(before), Some(after)) => Mended {
                refs: before.0 != after.0,
                dead_octets: before.1 != after.1,
                emptied: before.2 == 1 && after.2 == 2,
            },
            _ => Mended::default(),
        })
    })
    .await
}

/// References, dead octets and state, locked.
async fn state(tx: &mut PgConnection, segment: i64) -> Result<Option<(i32, i32, i16)>, sqlx::Error> {
    sqlx::query_as("SELECT refs, dead_octets, state FROM restante.segments WHERE segment_id = $1 FOR UPDATE")
        .bind(segment)
        .fetch_optional(tx)
        .await
}
