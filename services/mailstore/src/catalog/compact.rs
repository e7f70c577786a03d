//! Which segments to compact, what of them lives, and the switch to where it lies now (role worker). Lock order: maildrops,
//! messages, then segments by id; claims never wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mail_types::{Guid, SegmentUuid, TenantId};
use runtime::database::Pool;
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::named;
use super::sweep::{Freed, let_go_in_tx, lock_maildrops_in_tx, lock_segments_in_tx};
use crate::Error;
use crate::bodies::segment::Place;
use crate::compact::CompactSettings;

/// A segment that was claimed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Old {
    pub(crate) id: i64,
    pub(crate) uuid: SegmentUuid,
    live_octets: u64,
    dead_octets: u64,
    refs: u64,
}

#[cfg(test)]
impl Old {
    /// One whose octets do not matter.
    pub(crate) const fn of(id: i64, uuid: SegmentUuid) -> Self {
        Self { id, uuid, live_octets: 0, dead_octets: 0, refs: 0 }
    }
}

/// A live message in one of them.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) tenant: TenantId,
    pub(crate) account: i64,
    pub(crate) uid: i64,
    pub(crate) segment: i64,
    pub(crate) guid: Guid,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) legacy_id: Option<String>,
}

/// A segment that messages move to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New {
    pub(crate) uuid: SegmentUuid,
    pub(crate) octets: u32,
    /// When its PUT began, by the database's clock.
    pub(crate) begun: DateTime<Utc>,
}

/// How long after that the catalog may be switched to it. An orphan's object and row are gone after the grace at the earliest; a
/// worker that was held up for so long must not bring the row back without the object.
const LATEST_SWITCH: Duration = Duration::from_secs(3_600);

/// The database's clock.
pub(crate) async fn clock(pool: &Pool) -> Result<DateTime<Utc>, Error> {
    named("clock", sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool)).await
}

/// The catalog's incarnation; `None` while nothing may be swept (after a restore): what then lies in the bucket without a row may be
/// somebody's mail, and moves only confuse the search for it.
pub(crate) async fn incarnation(pool: &Pool) -> Result<Option<u128>, Error> {
    let sql = "SELECT incarnation FROM restante.catalog WHERE sweep_state = 1";
    let found: Option<Uuid> = named("incarnation", sqlx::query_scalar(sql).fetch_optional(pool)).await?;
    Ok(found.map(|uuid| uuid.as_u128()))
}

const THIN: &str = "SELECT s.segment_id, s.segment_uuid, s.octets, s.dead_octets, s.refs FROM restante.segments s \
     WHERE s.state = 1 AND s.dead_octets > s.octets / 2 AND s.dead_octets > s.octets::bigint * $1 / 100 \
       AND s.created_at < clock_timestamp() - make_interval(secs => $2) \
       AND (s.claimed_until IS NULL OR s.claimed_until < clock_timestamp()) \
       AND EXISTS (SELECT FROM restante.messages m WHERE m.segment_id = s.segment_id) \
     ORDER BY s.created_at LIMIT $3 FOR UPDATE OF s SKIP LOCKED";
const SMALL: &str = "SELECT s.segment_id, s.segment_uuid, s.octets, s.dead_octets, s.refs FROM restante.segments s \
     WHERE s.state = 1 AND NOT s.compacted AND s.octets < 1048576 AND s.octets < $1 \
       AND s.created_at < clock_timestamp() - make_interval(secs => $2) AND s.dead_octets <= s.octets / 2 \
       AND (s.claimed_until IS NULL OR s.claimed_until < clock_timestamp()) \
       AND EXISTS (SELECT FROM restante.messages m WHERE m.segment_id = s.segment_id) \
     ORDER BY s.created_at LIMIT $3 FOR UPDATE OF s SKIP LOCKED";

/// Claims segments worth compacting together: thin ones first, then small ones. None if too few wait to be worth it.
pub(crate) async fn claim(pool: &Pool, settings: &CompactSettings) -> Result<Vec<Old>, Error> {
    let (chosen, wrong) = named("compact_claim", async {
        let mut tx = pool.begin().await?;
        let most = i64::from(settings.segments_at_once.max(1));
        let thin = sqlx::query(THIN)
            .bind(i64::from(settings.thin_percent))
            .bind(settings.thin_age_seconds as f64)
            .bind(most)
            .fetch_all(&mut *tx)
            .await?;
        let small = sqlx::query(SMALL)
            .bind(i64::try_from(settings.small_octets).unwrap_or(i64::MAX))
            .bind(settings.small_age_seconds as f64)
            .bind(most - thin.len() as i64)
            .fetch_all(&mut *tx)
            .await?;
        let mut chosen: Vec<Old> = Vec::new();
        let (mut live, mut dead, mut refs) = (0, 0, 0);
        let mut wrong = false;
        for row in thin.iter().chain(&small) {
            if live >= settings.segment_octets || refs >= u64::from(settings.segment_copies) {
                break;
            }
            let Some(old) = old(row)? else {
                wrong = true;
                continue;
            };
            live += old.live_octets;
            dead += old.dead_octets;
            refs += old.refs;
            chosen.push(old);
        }
        let enough = chosen.len() >= settings.at_least_segments as usize
            || live.max(dead) >= settings.segment_octets
            || refs >= u64::from(settings.segment_copies);
        if !enough {
            return Ok((Vec::new(), wrong));
        }
        sqlx::query("UPDATE restante.segments SET claimed_until = clock_timestamp() + make_interval(secs => $2) WHERE segment_id = ANY ($1)")
            .bind(chosen.iter().map(|old| old.id).collect::<Vec<_>>())
            .bind(settings.claim_seconds as f64)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok((chosen, wrong))
    })
    .await?;
    if wrong {
        return Err(Error::Inconsistent { table: "segments", what: "segment_uuid has an ordinal" });
    }
    Ok(chosen)
}

fn old(row: &PgRow) -> Result<Option<Old>, sqlx::Error> {
    let number = |column: usize| Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i32, _>(column)?).unwrap_or(0));
    let Some(uuid) = SegmentUuid::from_u128(row.try_get::<Uuid, _>(1)?.as_u128()) else { return Ok(None) };
    let (octets, dead_octets) = (number(2)?, number(3)?);
    Ok(Some(Old {
        id: row.try_get(0)?,
        uuid,
        live_octets: octets.saturating_sub(dead_octets),
        dead_octets,
        refs: number(4)?,
    }))
}

/// Gives claims back. With `again`, nobody takes them up before that time has passed: something in them could not be moved.
pub(crate) async fn unclaim(pool: &Pool, segments: &[i64], again: Option<Duration>) -> Result<(), Error> {
    if segments.is_empty() {
        return Ok(());
    }
    named(
        "compact_unclaim",
        sqlx::query(
            "UPDATE restante.segments SET claimed_until = clock_timestamp() + make_interval(secs => $2) WHERE segment_id IN \
             (SELECT segment_id FROM restante.segments WHERE segment_id = ANY ($1) AND state = 1 ORDER BY segment_id FOR UPDATE)",
        )
        .bind(segments)
        .bind(again.map(|again| again.as_secs_f64()).unwrap_or_default())
        .execute(pool),
    )
    .await
    .map(drop)
}

/// What lives in these segments, by tenant, account and uid. What is expunged stays where it is.
pub(crate) async fn live_rows(pool: &Pool, segments: &[i64]) -> Result<Vec<Row>, Error> {
    let rows = named(
        "compact_live_rows",
        sqlx::query(
            "SELECT m.tenant_id, m.account_id, m.uid, m.segment_id, m.guid, m.frame_offset, m.frame_len, e.legacy_id FROM restante.messages m \
             LEFT JOIN restante.message_extras e ON m.traits < 0 AND (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid) \
             WHERE m.segment_id = ANY ($1) ORDER BY m.tenant_id, m.account_id, m.uid",
        )
        .bind(segments)
        .fetch_all(pool),
    )
    .await?;
    rows.iter()
        .map(|row| {
            let place = |column: usize| -> Result<u32, Error> {
                u32::try_from(row.try_get::<i32, _>(column)?)
                    .map_err(|_| Error::Inconsistent { table: "messages", what: "a place is negative" })
            };
            Ok(Row {
                tenant: TenantId(row.try_get(0)?),
                account: row.try_get(1)?,
                uid: row.try_get(2)?,
                segment: row.try_get(3)?,
                guid: Guid::from_u128(row.try_get::<Uuid, _>(4)?.as_u128()),
                offset: place(5)?,
                len: place(6)?,
                legacy_id: row.try_get(7)?,
            })
        })
        .collect()
}

/// What a switch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switched {
    /// Messages that went.
    pub(crate) moved: u64,
    /// The new segment's id; `None` if nothing refers to it yet and it therefore has no row.
    pub(crate) segment: Option<i64>,
}

/// Switches messages to the new segment, which is durable; one transaction. Only those that are still live where they were read
/// go; the others stay as they are, so a repeat after a lost answer, or another worker that was first, does no harm. Answers how
/// many went; where none did, no row of the new segment is left, so that what a worker wrote for nothing is an orphan like any
/// other. Fails when the new segment was condemned or emptied meanwhile, or began too long ago, and
/// then switches nothing.
pub(crate) async fn switch(pool: &Pool, new: New, moves: &[(Row, Place)]) -> Result<Switched, Error> {
    let switched = named("compact_switch", async {
        let mut tx = pool.begin().await?;
        // Nobody's maildrop waits long for this one: who holds others up gives way.
        sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *tx).await?;
        let in_time: bool = sqlx::query_scalar("SELECT clock_timestamp() < $1 + make_interval(secs => $2)")
            .bind(new.begun)
            .bind(LATEST_SWITCH.as_secs_f64())
            .fetch_one(&mut *tx)
            .await?;
        if !in_time {
            return Ok(None);
        }
        sqlx::query(
            "INSERT INTO restante.segments (segment_uuid, state, refs, octets, compacted) VALUES ($1, 1, 0, $2, true) ON CONFLICT (segment_uuid) DO NOTHING",
        )
        .bind(Uuid::from_u128(new.uuid.as_u128()))
        .bind(integer(new.octets))
        .execute(&mut *tx)
        .await?;
        let id: Option<i64> = sqlx::query_scalar("SELECT segment_id FROM restante.segments WHERE segment_uuid = $1")
            .bind(Uuid::from_u128(new.uuid.as_u128()))
            .fetch_optional(&mut *tx)
            .await?;
        // It was condemned, and is deleted and forgotten since the line above.
        let Some(id) = id else { return Ok(None) };
        let (tenants, accounts): (Vec<i32>, Vec<i64>) = moves.iter().map(|(row, _)| (row.tenant.0, row.account)).unzip();
        lock_maildrops_in_tx(&mut tx, &tenants, &accounts).await?;
        let gone = sqlx::query(
            "WITH p AS (SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::integer[], $8::integer[], $9::integer[]) \
                          AS u (tenant_id, account_id, uid, old, old_offset, old_len, off, len, head)), \
             moved AS (UPDATE restante.messages m SET segment_id = $10, frame_offset = p.off, frame_len = p.len, head_len = p.head FROM p \
                        WHERE (m.tenant_id, m.account_id, m.uid) = (p.tenant_id, p.account_id, p.uid) AND m.segment_id = p.old AND m.frame_offset = p.old_offset \
                       RETURNING m.tenant_id, m.account_id, p.old, p.old_offset, p.old_len), \
             shapes AS (UPDATE restante.maildrops d SET shape = d.shape + 1 FROM (SELECT DISTINCT tenant_id, account_id FROM moved) t \
                         WHERE (d.tenant_id, d.account_id) = (t.tenant_id, t.account_id)) \
             SELECT old, old_offset, old_len FROM moved",
        )
        .bind(&tenants)
        .bind(&accounts)
        .bind(moves.iter().map(|(row, _)| row.uid).collect::<Vec<_>>())
        .bind(moves.iter().map(|(row, _)| row.segment).collect::<Vec<_>>())
        .bind(moves.iter().map(|(row, _)| integer(row.offset)).collect::<Vec<_>>())
        .bind(moves.iter().map(|(row, _)| integer(row.len)).collect::<Vec<_>>())
        .bind(moves.iter().map(|(_, place)| integer(place.offset)).collect::<Vec<_>>())
        .bind(moves.iter().map(|(_, place)| integer(place.len)).collect::<Vec<_>>())
        .bind(moves.iter().map(|(_, place)| integer(place.head_len)).collect::<Vec<_>>())
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        let mut freed = Freed::default();
        for row in &gone {
            freed.push(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        }
        // Both ends of the move, in the order of all segments.
        let both: Vec<i64> = freed.segments.iter().copied().chain([id]).collect();
        lock_segments_in_tx(&mut tx, &both).await?;
        let found: Option<(i16, i32)> = sqlx::query_as("SELECT state, refs FROM restante.segments WHERE segment_id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some((1, refs)) = found else { return Ok(None) };
        if gone.is_empty() {
            tx.rollback().await?;
            return Ok(Some(Switched { moved: 0, segment: (refs > 0).then_some(id) }));
        }
        sqlx::query("UPDATE restante.segments SET refs = refs + $2 WHERE segment_id = $1")
            .bind(id)
            .bind(i32::try_from(gone.len()).unwrap_or(i32::MAX))
            .execute(&mut *tx)
            .await?;
        let_go_in_tx(&mut tx, &freed).await?;
        tx.commit().await?;
        Ok(Some(Switched { moved: gone.len() as u64, segment: Some(id) }))
    })
    .await?;
    switched.ok_or(Error::Condemned { segment: new.uuid })
}

fn integer(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use mail_types::{SystemClock, SystemRandom};
    use runtime::database::DbRole;

    use super::*;

    const OLD: u128 = 0x0192_4567_89ab_7fff_bfff_ffff_fff0_0000;
    const NEW: u128 = 0x0192_4567_89ab_7fff_bfff_ffff_ffe0_0000;

    /// A maildrop with three messages in one segment, of which two copies share a frame.
    async fn scene() -> (testkit::TestDatabase, Pool, Vec<(Row, Place)>) {
        let database = testkit::database().await;
        let superuser = database.superuser().await;
        let script = format!(
            "INSERT INTO restante.tenants (slug, display_name) VALUES ('a', 'a'); \
             INSERT INTO restante.domains (tenant_id, name, challenge) SELECT tenant_id, 'a.test', '' FROM restante.tenants; \
             INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt) SELECT tenant_id, domain_id, 'x', '' FROM restante.domains; \
             INSERT INTO restante.maildrops (tenant_id, account_id, next_uid, live_messages, live_octets) SELECT tenant_id, account_id, 4, 3, 3 FROM restante.accounts; \
             INSERT INTO restante.segments (segment_uuid, state, refs, octets) VALUES ('{}', 1, 3, 264); \
             INSERT INTO restante.messages (tenant_id, octets, account_id, uid, segment_id, guid, frame_offset, frame_len, head_len, traits) \
               SELECT a.tenant_id, 1, a.account_id, n, s.segment_id, gen_random_uuid(), 64 + 100 * (n / 3), 100, 98, 0 \
                 FROM restante.accounts a, restante.segments s, generate_series(1, 3) n",
            Uuid::from_u128(OLD)
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&superuser).await.unwrap();
        let id: i64 =
            sqlx::query_scalar("SELECT segment_id FROM restante.segments").fetch_one(&superuser).await.unwrap();
        let worker = database.pool(DbRole::Worker).await;
        let rows = live_rows(&worker, &[id]).await.unwrap();
        let place = |row: &Row| Place { offset: row.offset + 1_000, len: 90, head_len: 88 };
        let moves = rows.into_iter().map(|row| (row.clone(), place(&row))).collect();
        (database, worker, moves)
    }

    async fn segments(pool: &Pool) -> Vec<(i32, i32, i16)> {
        sqlx::query_as("SELECT refs, dead_octets, state FROM restante.segments ORDER BY segment_id")
            .fetch_all(pool)
            .await
            .unwrap()
    }

    fn now() -> DateTime<Utc> {
        let ms = mail_types::Clock::now(&SystemClock).unix_ms();
        DateTime::from_timestamp_millis(i64::try_from(ms).unwrap()).unwrap()
    }

    fn new() -> New {
        New { uuid: SegmentUuid::from_u128(NEW).unwrap(), octets: 300, begun: now() }
    }

    #[tokio::test]
    async fn a_repeated_switch_changes_nothing() {
        let (_database, worker, moves) = scene().await;
        let (first, rest) = moves.split_at(1);
        for (moved, shape) in [(1, 2), (0, 2)] {
            assert_eq!(switch(&worker, new(), first).await.unwrap().moved, moved);
            assert_eq!(segments(&worker).await, [(2, 0, 1), (1, 0, 1)], "the frame's other copy names it still");
            let found: i64 =
                sqlx::query_scalar("SELECT shape FROM restante.maildrops").fetch_one(&worker).await.unwrap();
            assert_eq!(found, shape);
        }
        assert_eq!(switch(&worker, new(), rest).await.unwrap().moved, 2);
        assert_eq!(segments(&worker).await, [(0, 200, 2), (3, 0, 1)]);
        // Another worker that read the same moves nothing, and leaves no row that nobody refers to.
        let late = New {
            uuid: SegmentUuid::new(mail_types::Clock::now(&SystemClock), &SystemRandom),
            octets: 300,
            begun: now(),
        };
        assert_eq!(switch(&worker, late, &moves).await.unwrap().moved, 0);
        assert_eq!(segments(&worker).await, [(0, 200, 2), (3, 0, 1)]);
    }

    #[tokio::test]
    async fn a_condemned_segment_takes_nothing() {
        let (_database, worker, moves) = scene().await;
        let late = New { begun: now() - chrono::TimeDelta::minutes(61), ..new() };
        let error = switch(&worker, late, &moves).await.unwrap_err();
        assert!(matches!(error, Error::Condemned { .. }));
        assert_eq!(segments(&worker).await, [(3, 0, 1)], "no row comes back after its time");
        sqlx::query("INSERT INTO restante.segments (segment_uuid, state, refs, octets) VALUES ($1, 9, 0, 0)")
            .bind(Uuid::from_u128(NEW))
            .execute(&worker)
            .await
            .unwrap();
        let error = switch(&worker, new(), &moves).await.unwrap_err();
        assert!(matches!(error, Error::Condemned { .. }) && !error.is_temporary());
        assert_eq!(segments(&worker).await, [(3, 0, 1), (0, 0, 9)]);
        assert_eq!(live_rows(&worker, &[moves[0].0.segment]).await.unwrap().len(), 3);
    }
}
