//! The SQL of `restante recover` (role owner). What is in the catalog for the time in question is noted in working tables first: guids,
//! and fingerprints of what was delivered, so that neither memory nor an index has to hold them.

use mail_types::{AccountId, Address, Guid, SegmentUuid, TenantId};
use runtime::database::Pool;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use uuid::Uuid;

use super::named;
use super::standing::Standing;
use crate::Error;
use crate::inventory::FoundCopy;

/// Nothing is swept from now on; working tables are made anew. Guids since `since` that the catalog has are noted.
pub(crate) async fn begin(pool: &Pool, since: SegmentUuid) -> Result<(), Error> {
    named("recover_begin", async {
        sqlx::query(
            "UPDATE restante.catalog SET sweep_state = 0, stopped_why = coalesce(stopped_why, 'a recovery is under way, or was broken off')",
        )
        .execute(pool)
        .await?;
        for statement in [
            "DROP TABLE IF EXISTS restante.recover_guids, restante.recover_seen",
            "CREATE UNLOGGED TABLE restante.recover_guids (guid uuid PRIMARY KEY)",
            "CREATE UNLOGGED TABLE restante.recover_seen (tenant_id integer, account_id bigint, fingerprint uuid, PRIMARY KEY (tenant_id, account_id, fingerprint))",
        ] {
            sqlx::query(statement).execute(pool).await?;
        }
        sqlx::query(
            "INSERT INTO restante.recover_guids SELECT guid FROM restante.messages WHERE guid >= $1 \
             UNION SELECT guid FROM restante.expunged WHERE guid >= $1",
        )
        .bind(Uuid::from_u128(since.as_u128()))
        .execute(pool)
        .await
        .map(drop)
    })
    .await
}

/// What a redelivered message is known by: the message as it came, and the address it came to.
pub(crate) fn fingerprint(copy: &FoundCopy) -> Uuid {
    let address = Address::parse(&copy.address).map_or_else(
        |_| copy.address.to_lowercase(),
        |address| format!("{}@{}", address.local.key().as_str(), address.domain.as_str()),
    );
    let digest = Sha256::new().chain_update(copy.sha256_received).chain_update(address).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    Uuid::from_bytes(first)
}

/// What the catalog knows of segments: those with a row, and whether each may lack copies (it was being committed about the moment
/// that was restored), is condemned, or was adopted.
pub(crate) async fn known(
    pool: &Pool,
    at: &Standing,
    segments: &[SegmentUuid],
) -> Result<Vec<(SegmentUuid, KnownSegment)>, Error> {
    let rows = named(
        "recover_known",
        sqlx::query(
            "SELECT segment_uuid, state, adopted_at IS NOT NULL, \
                    coalesce(abs(extract(epoch FROM created_at - $2)) < 120, false) FROM restante.segments WHERE segment_uuid = ANY ($1)",
        )
        .bind(segments.iter().map(|s| Uuid::from_u128(s.as_u128())).collect::<Vec<_>>())
        .bind(at.marked_at)
        .fetch_all(pool),
    )
    .await?;
    rows.iter()
        .map(|row| {
            let uuid = SegmentUuid::from_u128(row.try_get::<Uuid, _>(0)?.as_u128())
                .ok_or(Error::Inconsistent { table: "segments", what: "segment_uuid has an ordinal" })?;
            let known = KnownSegment { state: row.try_get(1)?, adopted: row.try_get(2)?, half: row.try_get(3)? };
            Ok((uuid, known))
        })
        .collect()
}

/// A segment's row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownSegment {
    state: i16,
    adopted: bool,
    half: bool,
}

impl KnownSegment {
    /// Delivered as far as the catalog knows, and not by an adoption.
    pub(crate) fn is_delivered(self) -> bool {
        !self.adopted && self.state != 9
    }

    /// Copies of it may be missing.
    pub(crate) fn may_lack_copies(self) -> bool {
        self.adopted || self.half || self.state == 9
    }
}

/// Notes the fingerprints of copies that the catalog has.
pub(crate) async fn note(pool: &Pool, copies: &[FoundCopy]) -> Result<(), Error> {
    named(
        "recover_note",
        sqlx::query(
            "INSERT INTO restante.recover_seen SELECT t, a, f FROM unnest($1::integer[], $2::bigint[], $3::uuid[], $4::uuid[]) AS c (t, a, f, g) \
              WHERE EXISTS (SELECT FROM restante.recover_guids k WHERE k.guid = c.g) ON CONFLICT DO NOTHING",
        )
        .bind(copies.iter().map(|c| c.tenant.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.account.0).collect::<Vec<_>>())
        .bind(copies.iter().map(fingerprint).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| Uuid::from_u128(c.guid.as_u128())).collect::<Vec<_>>())
        .execute(pool),
    )
    .await
    .map(drop)
}

/// What became of a copy that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// It is in its maildrop now.
    Adopted,
    /// It was there.
    There,
    /// Its account is gone, or is another one's now.
    NoAccount,
    /// The sender delivered it again.
    Redelivered,
}

/// Takes up the copies of a segment that the catalog does not have.
pub(crate) async fn adopt(
    pool: &Pool,
    segment: SegmentUuid,
    octets: u64,
    copies: &[FoundCopy],
) -> Result<Vec<(Guid, Adoption)>, Error> {
    let integer = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let address = |c: &FoundCopy| Address::parse(&c.address).ok();
    named("recover_adopt", async {
        let mut tx = pool.begin().await?;
        // A delivery's commit that comes now waits here, and then finds its guids.
        let row = sqlx::query(
            "INSERT INTO restante.segments AS s (segment_uuid, state, refs, octets, adopted_at) VALUES ($1, 1, 0, $2, clock_timestamp()) \
             ON CONFLICT (segment_uuid) DO UPDATE SET octets = greatest(s.octets, excluded.octets), \
                state_at = CASE WHEN s.state = 1 THEN s.state_at ELSE clock_timestamp() END, \
                adopted_at = CASE WHEN s.state = 9 THEN excluded.adopted_at ELSE s.adopted_at END, state = CASE WHEN s.state = 3 THEN 3 ELSE 1 END \
             RETURNING segment_id, state",
        )
        .bind(Uuid::from_u128(segment.as_u128()))
        .bind(i32::try_from(octets).unwrap_or(i32::MAX))
        .fetch_one(&mut *tx)
        .await?;
        let (id, state): (i64, i16) = (row.try_get(0)?, row.try_get(1)?);
        if state == 3 {
            // Its object may be gone at any moment; nothing that a row named is ever in this state.
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "WITH r AS (SELECT * FROM unnest($2::integer[], $3::bigint[], $4::uuid[], $5::integer[], $6::integer[], $7::integer[], $8::integer[], $9::smallint[], \
                          $10::text[], $11::text[], $12::bigint[], $13::uuid[], $14::text[], $15::text[]) \
                          AS u (tenant_id, account_id, guid, octets, off, len, head, traits, prefix, legacy, received, fingerprint, domain, local_key)), \
             locked AS (SELECT m.* FROM restante.maildrops m WHERE (m.tenant_id, m.account_id) IN (SELECT tenant_id, account_id FROM r) \
                         ORDER BY m.tenant_id, m.account_id FOR UPDATE), \
             judged AS (SELECT r.*, l.next_uid, CASE \
                 WHEN EXISTS (SELECT FROM restante.recover_guids k WHERE k.guid = r.guid) \
                   OR EXISTS (SELECT FROM restante.messages m WHERE m.segment_id = $1 AND m.guid = r.guid) \
                   OR EXISTS (SELECT FROM restante.expunged x WHERE x.segment_id = $1 AND x.guid = r.guid) THEN 2 \
                 WHEN l.account_id IS NULL OR NOT (a.created_at <= to_timestamp(r.received / 1000.0) OR \
                      EXISTS (SELECT FROM restante.addresses o JOIN restante.domains d USING (tenant_id, domain_id) \
                               WHERE (o.tenant_id, o.account_id) = (r.tenant_id, r.account_id) AND (d.name, o.local_key) = (r.domain, r.local_key))) THEN 3 \
                 WHEN EXISTS (SELECT FROM restante.recover_seen s WHERE (s.tenant_id, s.account_id, s.fingerprint) = (r.tenant_id, r.account_id, r.fingerprint)) THEN 4 \
                 ELSE 1 END AS verdict \
               FROM r LEFT JOIN locked l USING (tenant_id, account_id) LEFT JOIN restante.accounts a ON (a.tenant_id, a.account_id) = (r.tenant_id, r.account_id)), \
             num AS (SELECT j.*, j.next_uid + row_number() OVER (PARTITION BY tenant_id, account_id ORDER BY guid) - 1 AS uid FROM judged j WHERE verdict = 1), \
             ins AS (INSERT INTO restante.messages (tenant_id, octets, account_id, uid, segment_id, guid, frame_offset, frame_len, head_len, traits) \
                     SELECT tenant_id, octets, account_id, uid, $1, guid, off, len, head, traits FROM num RETURNING 1), \
             ext AS (INSERT INTO restante.message_extras (tenant_id, account_id, uid, prefix, legacy_id, received_at) \
                     SELECT tenant_id, account_id, uid, prefix, legacy, CASE WHEN legacy IS NOT NULL THEN to_timestamp(received / 1000.0) END FROM num \
                      WHERE prefix IS NOT NULL OR legacy IS NOT NULL RETURNING 1), \
             noted AS (INSERT INTO restante.recover_guids SELECT guid FROM num ON CONFLICT DO NOTHING RETURNING 1), \
             cnt AS (UPDATE restante.maildrops m SET next_uid = m.next_uid + c.n, live_messages = m.live_messages + c.n, live_octets = m.live_octets + c.o \
                       FROM (SELECT tenant_id, account_id, count(*)::integer AS n, sum(octets)::bigint AS o FROM num GROUP BY 1, 2) c \
                      WHERE (m.tenant_id, m.account_id) = (c.tenant_id, c.account_id) RETURNING 1) \
             SELECT guid, verdict FROM judged",
        )
        .bind(id)
        .bind(copies.iter().map(|c| c.tenant.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.account.0).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| Uuid::from_u128(c.guid.as_u128())).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.octets)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.place.offset)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.place.len)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| integer(c.place.head_len)).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.traits.cast_signed()).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.prefix.clone()).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| c.legacy_id.clone()).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| i64::try_from(c.received_ms).unwrap_or(0)).collect::<Vec<_>>())
        .bind(copies.iter().map(fingerprint).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| address(c).map(|a| a.domain.as_str().to_owned())).collect::<Vec<_>>())
        .bind(copies.iter().map(|c| address(c).map(|a| a.local.key().as_str().to_owned())).collect::<Vec<_>>())
        .fetch_all(&mut *tx)
        .await?;
        let mut verdicts = Vec::with_capacity(rows.len());
        for row in &rows {
            let verdict = match row.try_get::<i32, _>(1)? {
                1 => Adoption::Adopted,
                2 => Adoption::There,
                3 => Adoption::NoAccount,
                _ => Adoption::Redelivered,
            };
            verdicts.push((Guid::from_u128(row.try_get::<Uuid, _>(0)?.as_u128()), verdict));
        }
        let adopted = verdicts.iter().filter(|(_, verdict)| *verdict == Adoption::Adopted).count();
        if adopted == 0 {
            // Nothing of it is wanted: it stays as it was, an orphan or not.
            tx.rollback().await?;
            return Ok(verdicts);
        }
        sqlx::query("UPDATE restante.segments SET refs = refs + $2 WHERE segment_id = $1")
            .bind(id)
            .bind(i32::try_from(adopted).unwrap_or(i32::MAX))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(verdicts)
    })
    .await
}

/// The keys that the catalog has of a tenant, and whether it has the tenant.
pub(crate) async fn keys_of(pool: &Pool, tenant: TenantId) -> Result<Option<Vec<u32>>, Error> {
    named("recover_keys", async {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM restante.tenants WHERE tenant_id = $1), array(SELECT key_version FROM restante.tenant_keys WHERE tenant_id = $1)",
        )
        .bind(tenant.0)
        .fetch_one(pool)
        .await?;
        let versions: Vec<i32> = row.try_get(1)?;
        let exists: bool = row.try_get(0)?;
        Ok(exists.then(|| versions.into_iter().filter_map(|version| u32::try_from(version).ok()).collect()))
    })
    .await
}

/// A key of the bucket that the catalog lacks, to decrypt with. One that is newer than the current one was made after the moment that was
/// restored: it becomes the current one.
pub(crate) async fn add_key(
    pool: &Pool,
    tenant: TenantId,
    version: u32,
    master: &str,
    wrapped: &[u8],
) -> Result<(), Error> {
    if super::key_ring::make_current(pool, tenant, version, master, wrapped).await? {
        return Ok(());
    }
    named(
        "recover_add_key",
        sqlx::query(
            "INSERT INTO restante.tenant_keys (tenant_id, key_version, state, master_key_id, wrapped) VALUES ($1, $2, 2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(tenant.0)
        .bind(i32::try_from(version).unwrap_or(i32::MAX))
        .bind(master)
        .bind(wrapped)
        .execute(pool),
    )
    .await
    .map(drop)
}

/// Ids that the bucket knows are not given again.
pub(crate) async fn advance(pool: &Pool, tenant: TenantId, account: AccountId) -> Result<(), Error> {
    named("recover_advance", async {
        for (sequence, least) in [
            ("pg_get_serial_sequence('restante.tenants', 'tenant_id')", i64::from(tenant.0)),
            ("pg_get_serial_sequence('restante.accounts', 'account_id')", account.0),
        ] {
            let statement = format!(
                "SELECT setval({sequence}, $1) WHERE $1 > coalesce((SELECT last_value FROM pg_sequences \
                 WHERE format('%I.%I', schemaname, sequencename) = {sequence}), 0)"
            );
            sqlx::query(sqlx::AssertSqlSafe(statement)).bind(least).execute(pool).await?;
        }
        Ok(())
    })
    .await
}

/// The working tables go.
pub(crate) async fn end(pool: &Pool) -> Result<(), Error> {
    named("recover_end", async {
        sqlx::query("DROP TABLE IF EXISTS restante.recover_guids, restante.recover_seen").execute(pool).await.map(drop)
    })
    .await
}

/// The catalog is another one from now on: what processes hold of the last one counts no more.
pub(crate) async fn begin_incarnation(
    pool: &Pool,
    was: u128,
    incarnation: u128,
    token: u128,
    stopped_why: Option<&str>,
) -> Result<bool, Error> {
    let done = named(
        "recover_incarnation",
        sqlx::query(
            "UPDATE restante.catalog SET incarnation = $2, mark = 1, mark_token = $3, marked_at = clock_timestamp(), stopped_why = $4, \
                    sweep_state = CASE WHEN $4::text IS NULL THEN 1 ELSE 0 END WHERE incarnation = $1",
        )
        .bind(Uuid::from_u128(was))
        .bind(Uuid::from_u128(incarnation))
        .bind(Uuid::from_u128(token))
        .bind(stopped_why)
        .execute(pool),
    )
    .await?;
    Ok(done.rows_affected() == 1)
}

/// 128 random bits, made by the database.
pub(crate) async fn new_uuid(pool: &Pool) -> Result<u128, Error> {
    let uuid: Uuid = named("new_uuid", sqlx::query_scalar("SELECT gen_random_uuid()").fetch_one(pool)).await?;
    Ok(uuid.as_u128())
}
