//! The SQL of `fsck --rebuild` (role owner): what the bucket knows goes into staging tables first, unlogged and without order, and from
//! there, a range of accounts after the other, to where it belongs.

use mail_types::{AccountId, SegmentUuid, TenantId};
use runtime::database::Pool;
use sqlx::Row as _;
use uuid::Uuid;

use super::named;
use crate::Error;
use crate::inventory::FoundCopy;

/// Why this database cannot be rebuilt into; `None` where it is empty, or holds an unfinished rebuild.
pub(crate) async fn obstacle(pool: &Pool) -> Result<Option<&'static str>, Error> {
    named("rebuild_obstacle", async {
        let (unfinished, filled, serving): (bool, bool, bool) = sqlx::query_as(
            "SELECT to_regclass('restante.rebuild_copies') IS NOT NULL, \
                    EXISTS (SELECT FROM restante.tenants) OR EXISTS (SELECT FROM restante.messages) OR EXISTS (SELECT FROM restante.segments), \
                    EXISTS (SELECT FROM restante.frontends WHERE beat_at > clock_timestamp() - interval '15 seconds')",
        )
        .fetch_one(pool)
        .await?;
        Ok(match (unfinished, filled, serving) {
            (_, _, true) => Some("frontends are serving from this database: stop them first"),
            (false, true, _) => Some("the database is not empty: rebuild into one that `restante migrate` just made"),
            _ => None,
        })
    })
    .await
}

/// Begins, or begins again: nothing stays of what an unfinished rebuild did, and nothing is swept.
pub(crate) async fn begin(pool: &Pool) -> Result<(), Error> {
    named("rebuild_begin", async {
        let mut tx = pool.begin().await?;
        for statement in [
            "UPDATE restante.catalog SET sweep_state = 0, stopped_why = 'a rebuild is under way, or was broken off'",
            "DROP TABLE IF EXISTS restante.rebuild_copies, restante.rebuild_addresses",
            "TRUNCATE restante.segments, restante.messages, restante.message_extras, restante.expunged, restante.tenants CASCADE",
            "CREATE UNLOGGED TABLE restante.rebuild_copies (tenant_id integer NOT NULL, account_id bigint NOT NULL, guid uuid NOT NULL, uid bigint, \
               segment_id bigint NOT NULL, segment_uuid uuid NOT NULL, compacted boolean NOT NULL, octets integer NOT NULL, frame_offset integer NOT NULL, \
               frame_len integer NOT NULL, head_len integer NOT NULL, traits smallint NOT NULL, prefix text, legacy_id text COLLATE \"C\", received_at timestamptz NOT NULL)",
            "CREATE UNLOGGED TABLE restante.rebuild_addresses (tenant_id integer NOT NULL, account_id bigint NOT NULL, domain text COLLATE \"C\" NOT NULL, \
               local_key text COLLATE \"C\" NOT NULL, copies bigint NOT NULL, PRIMARY KEY (tenant_id, account_id, domain, local_key))",
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await
    })
    .await
}

/// A tenant with its keys, suspended.
pub(crate) async fn tenant(
    pool: &Pool,
    tenant: TenantId,
    slug: &str,
    keys: &[(u32, String, Vec<u8>)],
) -> Result<(), Error> {
    named("rebuild_tenant", async {
        let mut tx = pool.begin().await?;
        sqlx::query(
            "INSERT INTO restante.tenants (tenant_id, slug, display_name, status) OVERRIDING SYSTEM VALUE \
             VALUES ($1, CASE WHEN EXISTS (SELECT FROM restante.tenants WHERE slug = $2) THEN 'tenant-' || $1 ELSE $2 END, $2, 2)",
        )
        .bind(tenant.0)
        .bind(slug)
        .execute(&mut *tx)
        .await?;
        let current = keys.iter().map(|(version, ..)| *version).max();
        for (version, master, wrapped) in keys {
            sqlx::query("INSERT INTO restante.tenant_keys (tenant_id, key_version, state, master_key_id, wrapped) VALUES ($1, $2, $3, $4, $5)")
                .bind(tenant.0)
                .bind(i32::try_from(*version).unwrap_or(i32::MAX))
                .bind(if Some(*version) == current { 1_i16 } else { 2 })
                .bind(master)
                .bind(wrapped)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    })
    .await
}

/// A segment of which copies are to be staged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StagedSegment {
    pub(crate) uuid: SegmentUuid,
    pub(crate) octets: u64,
    pub(crate) compacted: bool,
}

/// What one transaction stages.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) segments: Vec<StagedSegment>,
    /// Each with the place of its segment in `segments`.
    pub(crate) copies: Vec<(usize, FoundCopy)>,
    /// Counted: tenant, account, domain, local key.
    pub(crate) addresses: std::collections::HashMap<(TenantId, AccountId, String, String), i64>,
}

/// Stages a batch.
pub(crate) async fn stage(pool: &Pool, batch: &Batch) -> Result<(), Error> {
    let integer = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    named("rebuild_stage", async {
        let mut tx = pool.begin().await?;
        let made = |s: &StagedSegment| s.uuid.made_at().unix_ms() as f64 / 1000.0;
        let rows = sqlx::query(
            "INSERT INTO restante.segments (segment_uuid, state, refs, octets, created_at, compacted) \
             SELECT u, 1, 0, o, to_timestamp(t), c FROM unnest($1::uuid[], $2::integer[], $3::float8[], $4::boolean[]) AS s (u, o, t, c) RETURNING segment_uuid, segment_id",
        )
        .bind(batch.segments.iter().map(|s| Uuid::from_u128(s.uuid.as_u128())).collect::<Vec<_>>())
        .bind(batch.segments.iter().map(|s| i32::try_from(s.octets).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(batch.segments.iter().map(made).collect::<Vec<_>>())
        .bind(batch.segments.iter().map(|s| s.compacted).collect::<Vec<_>>())
        .fetch_all(&mut *tx)
        .await?;
        let mut ids = std::collections::HashMap::new();
        for row in &rows {
            ids.insert(row.try_get::<Uuid, _>(0)?.as_u128(), row.try_get::<i64, _>(1)?);
        }
        let segment = |at: usize| batch.segments.get(at);
        let uuid = |at: usize| segment(at).map_or(0, |s| s.uuid.as_u128());
        let copies = &batch.copies;
        sqlx::query(
            "INSERT INTO restante.rebuild_copies SELECT t, a, g, u, si, su, c, o, fo, fl, hl, tr, p, l, to_timestamp(r / 1000.0) \
             FROM unnest($1::integer[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::uuid[], $7::boolean[], $8::integer[], $9::integer[], \
                         $10::integer[], $11::integer[], $12::smallint[], $13::text[], $14::text[], $15::bigint[]) AS x (t, a, g, u, si, su, c, o, fo, fl, hl, tr, p, l, r)",
        )
        .bind(copies.iter().map(|(_, c)| c.tenant.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| c.account.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| Uuid::from_u128(c.guid.as_u128())).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| c.uid).collect::<Vec<_>>())
        .bind(copies.iter().map(|(at, _)| ids.get(&uuid(*at)).copied().unwrap_or(0)).collect::<Vec<_>>())
        .bind(copies.iter().map(|(at, _)| Uuid::from_u128(uuid(*at))).collect::<Vec<_>>())
        .bind(copies.iter().map(|(at, _)| segment(*at).is_some_and(|s| s.compacted)).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| integer(c.octets)).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| integer(c.place.offset)).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| integer(c.place.len)).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| integer(c.place.head_len)).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| c.traits.cast_signed()).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| c.prefix.clone()).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| c.legacy_id.clone()).collect::<Vec<_>>())
        .bind(copies.iter().map(|(_, c)| i64::try_from(c.received_ms).unwrap_or(i64::MAX / 1000)).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        let addresses: Vec<_> = batch.addresses.iter().collect();
        sqlx::query(
            "INSERT INTO restante.rebuild_addresses AS r SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) \
             ON CONFLICT (tenant_id, account_id, domain, local_key) DO UPDATE SET copies = r.copies + excluded.copies",
        )
        .bind(addresses.iter().map(|((tenant, ..), _)| tenant.0).collect::<Vec<_>>())
        .bind(addresses.iter().map(|((_, account, ..), _)| account.0).collect::<Vec<_>>())
        .bind(addresses.iter().map(|((_, _, domain, _), _)| domain.clone()).collect::<Vec<_>>())
        .bind(addresses.iter().map(|((.., local), _)| local.clone()).collect::<Vec<_>>())
        .bind(addresses.iter().map(|(_, copies)| **copies).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    })
    .await
}

/// Makes domains and accounts of the addresses that were seen; answers how many of each, and how many accounts share their address with
/// another or have none, and are called `account-ID`.
pub(crate) async fn accounts(pool: &Pool) -> Result<(u64, u64, u64), Error> {
    named("rebuild_accounts", async {
        let mut tx = pool.begin().await?;
        sqlx::query("CREATE INDEX ON restante.rebuild_copies (tenant_id, account_id)").execute(&mut *tx).await?;
        sqlx::query("ANALYZE restante.rebuild_copies").execute(&mut *tx).await?;
        let domains = sqlx::query(
            "INSERT INTO restante.domains (tenant_id, name, challenge) \
             SELECT tenant_id, domain, gen_random_uuid()::text FROM restante.rebuild_addresses GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .execute(&mut *tx)
        .await?;
        // Of two tenants that had a domain one after the other, the one with the later mail has it.
        sqlx::query(
            "INSERT INTO restante.domain_owners (name, tenant_id, domain_id) \
             SELECT DISTINCT ON (d.name) d.name, d.tenant_id, d.domain_id FROM restante.domains d \
               JOIN (SELECT a.tenant_id, a.domain, max(c.guid::text) AS last FROM restante.rebuild_addresses a \
                       JOIN restante.rebuild_copies c USING (tenant_id, account_id) GROUP BY 1, 2) u ON (u.tenant_id, u.domain) = (d.tenant_id, d.name) \
              WHERE d.name NOT LIKE '%.invalid' ORDER BY d.name, u.last DESC",
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE restante.domains d SET verified_at = now() FROM restante.domain_owners o WHERE (o.tenant_id, o.domain_id) = (d.tenant_id, d.domain_id)",
        )
        .execute(&mut *tx)
        .await?;
        let row = sqlx::query(
            "WITH shared AS (SELECT tenant_id, domain, local_key, count(*) AS sharers FROM restante.rebuild_addresses GROUP BY 1, 2, 3), \
             ranked AS (SELECT a.*, s.sharers > 1 OR a.local_key = '' AS unclear, \
                               row_number() OVER (PARTITION BY a.tenant_id, a.account_id ORDER BY s.sharers > 1, a.copies DESC, a.domain, a.local_key) AS place \
                          FROM restante.rebuild_addresses a JOIN shared s USING (tenant_id, domain, local_key)), \
             chosen AS (SELECT r.tenant_id, r.account_id, d.domain_id, r.unclear, CASE WHEN r.unclear THEN 'account-' || r.account_id ELSE r.local_key END AS local_key \
                          FROM ranked r JOIN restante.domains d ON (d.tenant_id, d.name) = (r.tenant_id, r.domain) WHERE r.place = 1), \
             made AS (INSERT INTO restante.accounts (tenant_id, account_id, domain_id, local_part, status, scram_salt) OVERRIDING SYSTEM VALUE \
                      SELECT tenant_id, account_id, domain_id, local_key, 2, decode(replace(gen_random_uuid()::text, '-', ''), 'hex') FROM chosen RETURNING 1), \
             named AS (INSERT INTO restante.addresses (tenant_id, domain_id, local_key, account_id) SELECT tenant_id, domain_id, local_key, account_id FROM chosen RETURNING 1) \
             SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM chosen WHERE unclear)",
        )
        .fetch_one(&mut *tx)
        .await?;
        let (accounts, unclear): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        sqlx::query(
            "SELECT setval(pg_get_serial_sequence('restante.tenants', 'tenant_id'), greatest(1, (SELECT max(tenant_id) FROM restante.tenants))), \
                    setval(pg_get_serial_sequence('restante.accounts', 'account_id'), greatest(1, (SELECT max(account_id) FROM restante.accounts)))",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok((domains.rows_affected(), count(accounts), count(unclear)))
    })
    .await
}

/// Fills the maildrops of the next accounts after one; answers the last of them and how many messages they have. The order is that of the
/// uids where compaction noted them, and that of the guids among and after those.
pub(crate) async fn maildrops(
    pool: &Pool,
    after: (TenantId, AccountId),
    limit: u32,
) -> Result<Option<(TenantId, AccountId, u64)>, Error> {
    named("rebuild_maildrops", async {
        let row = sqlx::query(
            "WITH page AS (SELECT tenant_id, account_id FROM restante.accounts WHERE (tenant_id, account_id) > ($1, $2) ORDER BY 1, 2 LIMIT $3), \
             one AS (SELECT DISTINCT ON (c.tenant_id, c.account_id, c.guid) c.* FROM restante.rebuild_copies c JOIN page USING (tenant_id, account_id) \
                      ORDER BY c.tenant_id, c.account_id, c.guid, c.compacted DESC, c.segment_uuid DESC), \
             once AS (SELECT *, row_number() OVER (PARTITION BY tenant_id, account_id, legacy_id ORDER BY guid) AS nth FROM one), \
             near AS (SELECT *, coalesce(uid, max(uid) OVER (PARTITION BY tenant_id, account_id ORDER BY guid ROWS UNBOUNDED PRECEDING), 0) AS about FROM once \
                       WHERE legacy_id IS NULL OR nth = 1), \
             num AS (SELECT *, row_number() OVER (PARTITION BY tenant_id, account_id ORDER BY about, uid IS NULL, guid) AS new_uid FROM near), \
             ins AS (INSERT INTO restante.messages (tenant_id, octets, account_id, uid, segment_id, guid, frame_offset, frame_len, head_len, traits) \
                     SELECT tenant_id, octets, account_id, new_uid, segment_id, guid, frame_offset, frame_len, head_len, traits FROM num RETURNING 1), \
             ext AS (INSERT INTO restante.message_extras (tenant_id, account_id, uid, prefix, legacy_id, received_at) \
                     SELECT tenant_id, account_id, new_uid, prefix, legacy_id, CASE WHEN legacy_id IS NOT NULL THEN received_at END FROM num \
                      WHERE prefix IS NOT NULL OR legacy_id IS NOT NULL RETURNING 1), \
             drops AS (INSERT INTO restante.maildrops (tenant_id, account_id, next_uid, live_messages, live_octets) \
                       SELECT s.tenant_id, s.account_id, coalesce(n.top, 0) + 1, coalesce(n.n, 0), coalesce(n.o, 0) FROM page s \
                         LEFT JOIN (SELECT tenant_id, account_id, max(new_uid) AS top, count(*)::integer AS n, sum(octets)::bigint AS o FROM num GROUP BY 1, 2) n \
                              USING (tenant_id, account_id) RETURNING 1) \
             SELECT tenant_id, account_id, (SELECT count(*) FROM ins) FROM page ORDER BY 1 DESC, 2 DESC LIMIT 1",
        )
        .bind(after.0.0)
        .bind(after.1.0)
        .bind(i64::from(limit))
        .fetch_optional(pool)
        .await?;
        row.map(|row| {
            let messages: i64 = row.try_get(2)?;
            Ok((TenantId(row.try_get(0)?), AccountId(row.try_get(1)?), u64::try_from(messages).unwrap_or(0)))
        })
        .transpose()
    })
    .await
}

/// Counts what refers to the next segments after one; answers the last of them.
pub(crate) async fn references(pool: &Pool, after: i64, limit: u32) -> Result<Option<i64>, Error> {
    named("rebuild_references", async {
        sqlx::query_scalar(
            "WITH page AS (SELECT segment_id FROM restante.segments WHERE segment_id > $1 ORDER BY 1 LIMIT $2), \
             frames AS (SELECT m.segment_id, m.frame_offset, count(*) AS n, max(m.frame_len)::bigint AS len FROM restante.messages m JOIN page USING (segment_id) GROUP BY 1, 2), \
             sums AS (SELECT segment_id, sum(n)::integer AS n, sum(len) AS len FROM frames GROUP BY 1), \
             done AS (UPDATE restante.segments s SET refs = sums.n, dead_octets = greatest(0, s.octets - 64 - sums.len)::integer FROM sums WHERE sums.segment_id = s.segment_id) \
             SELECT max(segment_id) FROM page",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_one(pool)
        .await
    })
    .await
}

/// Ends it: nothing staged stays.
pub(crate) async fn end(pool: &Pool) -> Result<(), Error> {
    named("rebuild_end", async {
        sqlx::query("DROP TABLE restante.rebuild_copies, restante.rebuild_addresses").execute(pool).await.map(drop)
    })
    .await
}
