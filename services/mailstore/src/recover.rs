//! `restante recover`: after PostgreSQL was restored to an earlier moment (role owner).
//!
//! The database has forgotten what was delivered, expunged and purged since. The bucket has not: what was delivered since lies there
//! without a row, and nothing that had one then is deleted within the grace. So every segment from that moment on is read, and its
//! copies that the catalog lacks are put into their maildrops, behind what is there, under their own guids: a client sees the unique-ids
//! that it knows. What the sender delivered again in the meantime is recognised and not doubled; what was expunged since is live again.
//! At the end the catalog gets another incarnation, and with it sweeping may go on.
//!
//! Whatever is done here may be broken off and run again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use mail_types::{AccountId, SegmentUuid, TenantId};
use runtime::database::Pool;

use crate::bodies::Bodies;
use crate::bodies::cipher::WrappedKey;
use crate::catalog::recover::{self, Adoption, KnownSegment};
use crate::catalog::standing::{self, Standing};
use crate::inventory::{self, FoundCopy, FoundSegment};
use crate::mark::Mark;
use crate::{Access, Error};

/// How long before the last mark segments are looked at: a clock may be off, a commit may come late.
const MARGIN: chrono::TimeDelta = chrono::TimeDelta::hours(1);
/// Times that a step is tried when it loses a race.
const TRIES: u32 = 5;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Segments looked at.
    pub segments: u64,
    /// Messages that are back.
    pub adopted: u64,
    /// Messages that the sender had delivered again.
    pub redelivered: u64,
    /// Messages whose account is gone: it was made after the restored moment.
    pub without_account: u64,
    /// The addresses of those, at most [`Recovered::SHOWN`].
    pub addresses: Vec<String>,
    /// Tenants of the bucket that the database does not know.
    pub lost_tenants: Vec<(TenantId, String)>,
    /// Keys taken over from the bucket.
    pub keys: u64,
    /// Segments and frames that cannot be read, at most [`Recovered::SHOWN`] with the reason.
    pub unreadable: Vec<String>,
    /// All of them.
    pub unreadable_count: u64,
    /// Whether sweeping goes on.
    pub sweeping: bool,
}

impl Recovered {
    /// So many of a kind are kept.
    pub const SHOWN: usize = 100;

    fn unreadable(&mut self, what: String) {
        self.unreadable_count += 1;
        if self.unreadable.len() < Self::SHOWN {
            self.unreadable.push(what);
        }
    }
}

/// What is known before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// Why sweeping is stopped, if it is.
    pub stopped_why: Option<String>,
    /// From when on the bucket would be read; `None` where the database never made a mark: it has to be said.
    pub since: Option<DateTime<Utc>>,
}

/// Recovers.
#[derive(Debug)]
pub struct Recovery {
    access: Access,
}

impl Recovery {
    /// Over connections that act as the owner.
    pub const fn new(access: Access) -> Self {
        Self { access }
    }

    /// What is known.
    pub async fn situation(&self) -> Result<Situation, Error> {
        let at = standing::standing(&self.access.pool).await?;
        Ok(Situation {
            stopped_why: (!at.may_sweep).then(|| at.stopped_why.unwrap_or_default()),
            since: at.marked_at.map(|at| at - MARGIN),
        })
    }

    /// From beginning to end, with all segments made since a moment. Where some cannot be read, sweeping stays stopped unless
    /// `despite_unreadable`. `progress` is told now and then.
    pub async fn run(
        &self,
        since: DateTime<Utc>,
        despite_unreadable: bool,
        mut progress: impl FnMut(&Recovered),
    ) -> Result<Recovered, Error> {
        let at = standing::standing(&self.access.pool).await?;
        let mut report = Recovered::default();
        let ms = u128::try_from(since.timestamp_millis()).unwrap_or(0);
        let first =
            SegmentUuid::from_u128(ms << 80).ok_or(Error::Inconsistent { table: "catalog", what: "marked_at" })?;
        recover::begin(&self.access.pool, first).await?;
        self.take_keys(&mut report).await?;
        let hours = self.access.bodies.hours().await?;
        let hour = since.format("%Y%m%d%H").to_string();
        let hours: Vec<&String> = hours.iter().filter(|&one| *one >= hour).collect();
        // First what the catalog has: a redelivery is known by it, wherever it lies.
        for hour in &hours {
            let (segments, known) = self.segments(&at, hour).await?;
            let delivered = segments.into_iter().filter(|s| known.get(s).is_some_and(|k| k.is_delivered())).collect();
            let mut found = std::pin::pin!(inventory::read_all(&self.access.bodies, &self.access.keys, delivered));
            while let Some((_, read)) = found.next().await {
                match read {
                    Ok(found) => recover::note(&self.access.pool, &found.copies).await?,
                    // A damaged segment with rows is for fsck to report.
                    Err(error) if inventory::is_of_the_segment(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        for hour in &hours {
            self.adopt_hour(&at, hour, first, &mut report, &mut progress).await?;
        }
        recover::end(&self.access.pool).await?;
        report.sweeping = report.unreadable_count == 0 || despite_unreadable;
        begin_incarnation(
            &self.access.pool,
            &self.access.bodies,
            report.sweeping,
            "a recovery could not read everything",
        )
        .await?;
        Ok(report)
    }

    /// The segments of an hour in the order they were made, and what the catalog knows of them.
    async fn segments(
        &self,
        at: &Standing,
        hour: &str,
    ) -> Result<(Vec<SegmentUuid>, HashMap<SegmentUuid, KnownSegment>), Error> {
        let mut segments = self.access.bodies.segments(hour).await?;
        segments.sort_unstable_by_key(|segment| segment.as_u128());
        let mut known = HashMap::new();
        for some in segments.chunks(5_000) {
            known.extend(recover::known(&self.access.pool, at, some).await?);
        }
        Ok((segments, known))
    }

    async fn adopt_hour(
        &self,
        at: &Standing,
        hour: &str,
        first: SegmentUuid,
        report: &mut Recovered,
        progress: &mut impl FnMut(&Recovered),
    ) -> Result<(), Error> {
        let (segments, known) = self.segments(at, hour).await?;
        let (mut last_tenant, mut last_account) = (TenantId(0), AccountId(0));
        let lacking = segments.into_iter().filter(|s| known.get(s).is_none_or(|k| k.may_lack_copies()));
        // In the order they were made, so that what is adopted keeps it.
        for some in lacking.collect::<Vec<_>>().chunks(64) {
            let read = inventory::read_all(&self.access.bodies, &self.access.keys, some.to_vec());
            let mut read: Vec<_> = read.collect().await;
            read.sort_unstable_by_key(|(segment, _)| segment.as_u128());
            for (segment, found) in read {
                report.segments += 1;
                match found {
                    Ok(found) => {
                        for copy in &found.copies {
                            (last_tenant, last_account) =
                                (last_tenant.max(copy.tenant), last_account.max(copy.account));
                        }
                        self.adopt(found, first, report).await?;
                    }
                    Err(error) if inventory::is_of_the_segment(&error) => {
                        report.unreadable(format!("segment {segment}: {error}"));
                    }
                    Err(error) => return Err(error),
                }
            }
            progress(report);
        }
        recover::advance(&self.access.pool, last_tenant, last_account).await
    }

    async fn adopt(&self, found: FoundSegment, first: SegmentUuid, report: &mut Recovered) -> Result<(), Error> {
        for (offset, tenant, why) in found.unreadable {
            // Of a tenant that is lost with its key's row: nobody's any more.
            if report.lost_tenants.iter().any(|(lost, _)| *lost == tenant) {
                report.without_account += 1;
                continue;
            }
            report.unreadable(format!("segment {} at {offset}: {why}", found.uuid));
        }
        // Older ones were in the catalog at the restored moment, or gone from it: compaction only moved them since.
        let copies: Vec<FoundCopy> =
            found.copies.into_iter().filter(|copy| copy.guid.as_u128() >= first.as_u128()).collect();
        if copies.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        let verdicts = loop {
            tries += 1;
            match recover::adopt(&self.access.pool, found.uuid, found.octets, &copies).await {
                Err(error) if error.is_temporary() && tries < TRIES => {}
                other => break other?,
            }
        };
        for (guid, verdict) in verdicts {
            match verdict {
                Adoption::Adopted => report.adopted += 1,
                Adoption::There => {}
                Adoption::Redelivered => report.redelivered += 1,
                Adoption::NoAccount => {
                    report.without_account += 1;
                    let address = copies.iter().find(|copy| copy.guid == guid).map(|copy| &copy.address);
                    if let Some(address) = address.filter(|address| !report.addresses.contains(address))
                        && report.addresses.len() < Recovered::SHOWN
                    {
                        report.addresses.push(address.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Keys that were made after the restored moment are in the bucket only.
    async fn take_keys(&self, report: &mut Recovered) -> Result<(), Error> {
        let mut tenant_keys: Option<(TenantId, Option<Vec<u32>>)> = None;
        for (tenant, version) in self.access.bodies.key_objects().await? {
            let has = match &tenant_keys {
                Some((of, has)) if *of == tenant => has.clone(),
                _ => recover::keys_of(&self.access.pool, tenant).await?,
            };
            tenant_keys = Some((tenant, has.clone()));
            let Some(has) = has else {
                if report.lost_tenants.last().is_none_or(|(last, _)| *last != tenant) {
                    let slug =
                        self.access.bodies.kept_slug(tenant).await?.unwrap_or_else(|| format!("tenant-{tenant}"));
                    report.lost_tenants.push((tenant, slug));
                }
                continue;
            };
            if has.contains(&version) {
                continue;
            }
            let Some(object) = self.access.bodies.key_object(tenant, version).await? else { continue };
            crate::key_ring::open_wrapped(&self.access.master, tenant, version, &object)?;
            let master = WrappedKey::parse(&object).map(|key| key.master_key_id.to_owned()).unwrap_or_default();
            recover::add_key(&self.access.pool, tenant, version, &master, &object).await?;
            report.keys += 1;
        }
        Ok(())
    }
}

/// Another incarnation, with its first mark in the bucket before the catalog has it.
pub(crate) async fn begin_incarnation(
    pool: &Pool,
    bodies: &Bodies,
    may_sweep: bool,
    else_why: &str,
) -> Result<(), Error> {
    let at = standing::standing(pool).await?;
    let (incarnation, token) = (recover::new_uuid(pool).await?, recover::new_uuid(pool).await?);
    let mark = Mark { count: 1, token, server: at.server.clone() };
    bodies.put_mark(incarnation, mark.encode()).await?;
    let why = (!may_sweep).then_some(else_why);
    if recover::begin_incarnation(pool, at.incarnation, incarnation, token, why).await? {
        return Ok(());
    }
    Err(Error::Inconsistent { table: "catalog", what: "another recovery was first: run this one again" })
}
