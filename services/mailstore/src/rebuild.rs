//! `restante fsck --rebuild`: an empty database from the bucket and the master keys alone (role owner).
//!
//! What comes back: tenants (their slugs, suspended), domains and accounts by the addresses that mail came to (suspended, without
//! credentials), and every message that the bucket still holds, live, expunged ones included, with its octets, its unique-id and its
//! order. What does not, because the bucket does not know it: credentials, aliases, policies, quotas, administrators, API keys, the audit
//! log, sessions, what devices have seen, and accounts that never had mail.
//!
//! The bucket is read once, some segments at a time, into staging tables; memory does not grow with it. Broken off, it is run again
//! and begins anew.

use mail_types::{AccountId, Address, TenantId};

use futures_util::StreamExt as _;

use crate::bodies::cipher::WrappedKey;
use crate::catalog::rebuild::{self, Batch, StagedSegment};
use crate::inventory::{self, FoundCopy, FoundSegment};
use crate::{Access, Error, recover};

/// Copies in a transaction.
const BATCH: usize = 4_000;
/// Accounts in a transaction.
const ACCOUNTS: u32 = 200;
/// Segments in a transaction.
const SEGMENTS: u32 = 5_000;
/// Where an account goes that had no address.
const NOWHERE: &str = "rebuilt.invalid";

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Tenants.
    pub tenants: u64,
    /// Domains.
    pub domains: u64,
    /// Accounts, suspended.
    pub accounts: u64,
    /// Accounts whose address another one has too, or that have none: called `account-ID`.
    pub unclear_accounts: u64,
    /// Segments read.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Messages that are live now.
    pub messages: u64,
    /// Segments and frames that cannot be read, at most [`Rebuilt::SHOWN`] of them with the reason.
    pub unreadable: Vec<String>,
    /// All of them.
    pub unreadable_count: u64,
}

impl Rebuilt {
    /// So many reasons are kept.
    pub const SHOWN: usize = 100;

    fn unreadable(&mut self, what: String) {
        self.unreadable_count += 1;
        if self.unreadable.len() < Self::SHOWN {
            self.unreadable.push(what);
        }
    }
}

/// Why it did not begin, or how it failed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The database is not to be rebuilt into.
    #[error("{0}")]
    Obstacle(&'static str),
    /// A tenant's key cannot be opened.
    #[error("{tenant}'s key {version} does not open, so its mail could not be read: {why}")]
    Key {
        /// Whose.
        tenant: TenantId,
        /// Which.
        version: u32,
        /// Why.
        why: String,
    },
    /// It failed; it can be run again.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Rebuilds.
#[derive(Debug)]
pub struct Rebuild {
    access: Access,
}

impl Rebuild {
    /// Over connections that act as the owner.
    pub const fn new(access: Access) -> Self {
        Self { access }
    }

    /// Whether it could begin.
    pub async fn check(&self) -> Result<(), RebuildError> {
        match rebuild::obstacle(&self.access.pool).await? {
            Some(what) => Err(RebuildError::Obstacle(what)),
            None => Ok(()),
        }
    }

    /// From beginning to end; `progress` is told how many segments were read.
    pub async fn run(&self, mut progress: impl FnMut(&Rebuilt)) -> Result<Rebuilt, RebuildError> {
        self.check().await?;
        let mut report = Rebuilt::default();
        let tenants = self.tenants().await?;
        rebuild::begin(&self.access.pool).await?;
        for (tenant, keys) in &tenants {
            let slug = self.access.bodies.kept_slug(*tenant).await?.unwrap_or_else(|| format!("tenant-{tenant}"));
            rebuild::tenant(&self.access.pool, *tenant, &slug, keys).await?;
        }
        report.tenants = tenants.len() as u64;
        self.stage(&mut report, &mut progress).await?;
        (report.domains, report.accounts, report.unclear_accounts) = rebuild::accounts(&self.access.pool).await?;
        let mut after = (TenantId(i32::MIN), AccountId(0));
        while let Some((tenant, account, messages)) = rebuild::maildrops(&self.access.pool, after, ACCOUNTS).await? {
            after = (tenant, account);
            report.messages += messages;
            progress(&report);
        }
        let mut after = 0;
        while let Some(last) = rebuild::references(&self.access.pool, after, SEGMENTS).await? {
            after = last;
        }
        rebuild::end(&self.access.pool).await?;
        // What could not be read must not be taken for garbage.
        let may_sweep = report.unreadable_count == 0;
        recover::begin_incarnation(
            &self.access.pool,
            &self.access.bodies,
            may_sweep,
            "a rebuild could not read everything",
        )
        .await?;
        Ok(report)
    }

    /// All tenants that the bucket knows, with their keys, proved.
    async fn tenants(&self) -> Result<std::collections::BTreeMap<TenantId, Vec<(u32, String, Vec<u8>)>>, RebuildError> {
        let mut tenants = std::collections::BTreeMap::new();
        for tenant in self.access.bodies.kept_tenants().await? {
            tenants.entry(tenant).or_insert_with(Vec::new);
        }
        for (tenant, version) in self.access.bodies.key_objects().await? {
            let fails = |why: String| RebuildError::Key { tenant, version, why };
            let object =
                self.access.bodies.key_object(tenant, version).await?.ok_or_else(|| fails("it is gone".to_owned()))?;
            crate::key_ring::open_wrapped(&self.access.master, tenant, version, &object)
                .map_err(|error| fails(error.to_string()))?;
            let master = WrappedKey::parse(&object).map(|key| key.master_key_id.to_owned()).unwrap_or_default();
            tenants.entry(tenant).or_insert_with(Vec::new).push((version, master, object.to_vec()));
        }
        Ok(tenants)
    }

    async fn stage(&self, report: &mut Rebuilt, progress: &mut impl FnMut(&Rebuilt)) -> Result<(), Error> {
        let mut batch = Batch::default();
        for hour in self.access.bodies.hours().await? {
            let segments = self.access.bodies.segments(&hour).await?;
            let mut found = std::pin::pin!(inventory::read_all(&self.access.bodies, &self.access.keys, segments));
            while let Some((segment, read)) = found.next().await {
                report.segments += 1;
                match read {
                    Ok(found) => add(&mut batch, report, found),
                    Err(error) if inventory::is_of_the_segment(&error) => {
                        report.unreadable(format!("segment {segment}: {error}"));
                    }
                    Err(error) => return Err(error),
                }
                if batch.copies.len() >= BATCH || batch.segments.len() >= BATCH {
                    rebuild::stage(&self.access.pool, &std::mem::take(&mut batch)).await?;
                    progress(report);
                }
            }
        }
        rebuild::stage(&self.access.pool, &batch).await?;
        progress(report);
        Ok(())
    }
}

fn add(batch: &mut Batch, report: &mut Rebuilt, found: FoundSegment) {
    report.frames += found.frames;
    for (offset, _, why) in found.unreadable {
        report.unreadable(format!("segment {} at {offset}: {why}", found.uuid));
    }
    let at = batch.segments.len();
    batch.segments.push(StagedSegment { uuid: found.uuid, octets: found.octets, compacted: found.compacted });
    for copy in found.copies {
        let (domain, local) = whereto(&copy);
        *batch.addresses.entry((copy.tenant, copy.account, domain, local)).or_default() += 1;
        batch.copies.push((at, copy));
    }
}

/// The address that a copy came to, as it is looked up.
fn whereto(copy: &FoundCopy) -> (String, String) {
    match Address::parse(&copy.address) {
        Ok(address) => (address.domain.as_str().to_owned(), address.local.key().as_str().to_owned()),
        Err(_) => (NOWHERE.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use mail_types::{Clock as _, Random as _, ReversePath, Secret, SegmentUuid, SystemClock, SystemRandom};
    use runtime::database::DbRole;
    use runtime::keys::MasterKeys;

    use super::*;
    use crate::bodies::Bodies;
    use crate::bodies::frame::{FrameHeader, HEADER_LEN, stored};
    use crate::bodies::keys::Keys;
    use crate::bodies::meta::Meta;
    use crate::bodies::segment::SegmentBuilder;
    use crate::{Delivery, Mailstore, Parts, Recipient, Recovery, Settings, StoreSettings, Target, open_store};

    fn master() -> MasterKeys {
        MasterKeys::parse(&Secret::from("k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
    }

    /// Moves the frames of some segments to a new one, as compaction does, with uids that tell another order than the guids.
    async fn compact(bodies: &Bodies, keys: &Keys, segments: &[SegmentUuid]) -> SegmentUuid {
        let new = SegmentUuid::new(SystemClock.now(), &SystemRandom);
        let mut builder = SegmentBuilder::compacted(new, SystemClock.now(), 0);
        let mut uid = 100;
        for segment in segments {
            let (entries, _) = bodies.footer(*segment).await.unwrap();
            for entry in entries {
                let frame =
                    bodies.get_whole(*segment, entry.place.offset.into(), entry.place.len.into()).await.unwrap();
                let mut header = FrameHeader::decode(&frame).unwrap();
                let key = keys.get(header.tenant, header.key_version).await.unwrap().key;
                let mut meta = Meta::open(&header, &frame, Some(&key)).unwrap();
                uid -= 1;
                meta.copies.iter_mut().for_each(|copy| copy.uid = Some(uid));
                let head = HEADER_LEN + header.meta.len as usize;
                let body = head + header.head.len as usize;
                let mut parts = meta.seal(&key, SystemRandom.octets16(), &header.fixed()).unwrap();
                header.meta = stored(&parts);
                parts.extend([frame.slice(head..body), frame.slice(body..)] as [Bytes; 2]);
                builder.push(&header, entry.copies, entry.ordinal, parts).unwrap();
            }
        }
        bodies.put(new, builder.finish()).await.unwrap();
        new
    }

    #[tokio::test]
    async fn what_was_compacted_is_taken_once_and_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}", directory.path().display());
        let store_settings = StoreSettings::default();
        let store = open_store(&url, None, &store_settings).unwrap();
        let database = testkit::database().await;
        sqlx::raw_sql(
            "INSERT INTO restante.tenants (slug, display_name) VALUES ('a', 'a');
             INSERT INTO restante.domains (tenant_id, name, challenge) SELECT tenant_id, 'a.test', '' FROM restante.tenants;
             INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt) SELECT tenant_id, domain_id, 'u', '' FROM restante.domains;
             INSERT INTO restante.maildrops (tenant_id, account_id) SELECT tenant_id, account_id FROM restante.accounts",
        )
        .execute(&database.superuser().await)
        .await
        .unwrap();
        let settings = Settings::default();
        let lmtp = Mailstore::open(Parts {
            pool: database.pool(DbRole::Lmtp).await,
            role: DbRole::Lmtp,
            store: Arc::clone(&store),
            store_settings: store_settings.clone(),
            memory: settings.memory_budget(),
            frames: settings.frame_cache(false),
            settings,
            master: master(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        })
        .await
        .unwrap();
        for text in ["one", "two", "three"] {
            let mut incoming = lmtp.incoming(TenantId(1), 1 << 20);
            incoming.write(text.as_bytes()).await.unwrap();
            let target = Target { tenant: TenantId(1), account: AccountId(1) };
            lmtp.deliver(Delivery {
                reverse_path: ReversePath::parse("s@x.test").unwrap(),
                received: "Received: here".into(),
                source: "LMTP",
                recipients: vec![Recipient { given: "u@a.test".into(), targets: vec![target] }],
                body: incoming.finish(),
            })
            .await;
        }
        let bodies = Bodies::new(Arc::clone(&store), &store_settings);
        let owner = database.pool(DbRole::Owner).await;
        let keys = Keys::new(owner, DbRole::Owner, bodies.clone(), master(), Arc::new(SystemRandom));
        let mut segments = Vec::new();
        for hour in bodies.hours().await.unwrap() {
            segments.extend(bodies.segments(&hour).await.unwrap());
        }
        segments.sort_unstable_by_key(|segment| segment.as_u128());
        let compacted = compact(&bodies, &keys, &segments[..2]).await;
        let places = "SELECT s.segment_uuid, m.guid FROM restante.messages m JOIN restante.segments s USING (segment_id) ORDER BY m.uid";
        let place = |segment: SegmentUuid, origin: SegmentUuid| {
            (uuid::Uuid::from_u128(segment.as_u128()), uuid::Uuid::from_u128(origin.as_u128()))
        };

        let empty = testkit::database().await;
        let owner = empty.pool(DbRole::Owner).await;
        let access = |pool| {
            Access::new(pool, DbRole::Owner, Arc::clone(&store), &store_settings, master(), Arc::new(SystemRandom))
        };
        let rebuild = Rebuild::new(access(owner));
        assert_eq!(rebuild.run(|_| {}).await.unwrap().messages, 3);
        let rebuilt: Vec<(uuid::Uuid, uuid::Uuid)> =
            sqlx::query_as(places).fetch_all(&empty.superuser().await).await.unwrap();
        let (one, two, three) = (segments[0], segments[1], segments[2]);
        assert_eq!(rebuilt, [place(compacted, two), place(compacted, one), place(three, three)]);

        // A recovery finds the old ones first, and the compacted one adds nothing to them.
        sqlx::raw_sql("DELETE FROM restante.messages; DELETE FROM restante.segments; UPDATE restante.maildrops SET live_messages = 0, live_octets = 0")
            .execute(&database.superuser().await)
            .await
            .unwrap();
        let recovery = Recovery::new(access(database.pool(DbRole::Owner).await));
        let since = chrono::DateTime::from_timestamp_millis(i64::try_from(one.made_at().unix_ms()).unwrap()).unwrap();
        assert_eq!(recovery.run(since, false, |_| {}).await.unwrap().adopted, 3);
        let adopted: Vec<(uuid::Uuid, uuid::Uuid)> =
            sqlx::query_as(places).fetch_all(&database.superuser().await).await.unwrap();
        assert_eq!(adopted, [place(one, one), place(two, two), place(three, three)]);
    }
}
