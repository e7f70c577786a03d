//! `restante fsck`: catalog, counters and objects against each other, online, and the worker's slow reading of everything.
//!
//! Deliveries, expunges, purges and compaction go on meanwhile. Counters are compared in one snapshot. What is found about an object is
//! looked at again after a pause: the catalog may have moved or given up what was asked for in the meantime, and only what is still so
//! counts. Memory is bounded: a page of rows, a footer, a piece of a segment.

mod octets;

use std::sync::LazyLock;
use std::time::Duration;

use mail_types::TenantId;
use prometheus::{IntGauge, register_int_gauge};

use crate::bodies::segment::Entry;
use crate::catalog::check::{self, CopyRow, SegmentRow};
use crate::catalog::key_ring;
use crate::mend::traits;
use crate::{Access, Error};

#[expect(clippy::expect_used, reason = "the name is a constant")]
static OLDEST: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "restante_fsck_oldest_unverified_seconds",
        "Age of the segment that was read and compared, or made, longest ago"
    )
    .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "the name is a constant")]
static DAMAGED: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("restante_fsck_damaged_segments", "Segments that were found damaged when they were last read")
        .expect("a well-formed metric")
});

/// Rows of a page.
const PAGE: u32 = 1_000;
/// The grace and a day more: an object without a row that is older should have been condemned.
const ORPHAN_SLACK: u64 = 86_400;

/// What is checked, and how fast.
#[derive(Debug, Clone)]
pub struct CheckSettings {
    /// One tenant only: its keys, its counters, its messages.
    pub tenant: Option<TenantId>,
    /// Reads, decrypts and compares every octet; else footers only.
    pub deep: bool,
    /// Counts anew what is miscounted (role owner).
    pub repair: bool,
    /// Segments in a second at most.
    pub segments_per_second: Option<f64>,
    /// How long to wait before a finding is looked at again.
    pub pause: Duration,
    /// The worker's age of an orphan, seconds.
    pub orphan_age_seconds: u64,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            tenant: None,
            deep: false,
            repair: false,
            segments_per_second: None,
            pause: Duration::from_secs(2),
            orphan_age_seconds: 8 * 86_400,
        }
    }
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A segment's object is gone.
    ObjectMissing,
    /// A segment or a frame is not what was written.
    Damage,
    /// A message's place is not a frame of its segment, or another's.
    Place,
    /// A message names a segment without a row.
    NoSegment,
    /// A maildrop's counters.
    Counters,
    /// A segment's references.
    References,
    /// An object without a row that should have been condemned by now.
    Orphan,
    /// A tenant's key.
    Key,
}

impl FindingKind {
    /// In reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ObjectMissing => "object_missing",
            Self::Damage => "damage",
            Self::Place => "place",
            Self::NoSegment => "no_segment",
            Self::Counters => "counters",
            Self::References => "references",
            Self::Orphan => "orphan",
            Self::Key => "key",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Whose, where it is one tenant's.
    pub tenant: Option<TenantId>,
    /// What exactly, without anything of a message.
    pub what: String,
    /// Whether it was mended.
    pub repaired: bool,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Segments whose footer was compared.
    pub segments: u64,
    /// Messages, expunged ones included, that were compared with their frames.
    pub messages: u64,
    /// Frames that were read whole.
    pub frames: u64,
    /// Frames that nobody can read any more, because their key was erased.
    pub erased_frames: u64,
    /// Maildrops that were counted.
    pub maildrops: u64,
    /// Keys.
    pub keys: u64,
    /// Objects without a row that are young enough to be left of a crash.
    pub young_orphans: u64,
    /// At most [`Checked::SHOWN`] of them.
    pub findings: Vec<Finding>,
    /// All of them.
    pub findings_count: u64,
}

impl Checked {
    /// So many findings are kept.
    pub const SHOWN: usize = 10_000;

    fn add(&mut self, finding: Finding) {
        self.findings_count += 1;
        if self.findings.len() < Self::SHOWN {
            self.findings.push(finding);
        }
    }
}

/// Checks.
#[derive(Debug, Clone)]
pub struct Check {
    access: Access,
}

impl Check {
    /// Over connections that act as `role`: the worker, or for repairs the owner.
    pub const fn new(access: Access) -> Self {
        Self { access }
    }

    /// The tenant of a slug.
    pub async fn tenant(&self, slug: &str) -> Result<Option<TenantId>, Error> {
        Ok(key_ring::tenant(&self.access.pool, slug).await?.map(|(tenant, _)| tenant))
    }

    /// From beginning to end; `progress` is told now and then.
    pub async fn run(&self, settings: &CheckSettings, mut progress: impl FnMut(&Checked)) -> Result<Checked, Error> {
        let mut report = Checked::default();
        self.check_keys(settings, &mut report).await?;
        self.check_segments(settings, &mut report, &mut progress).await?;
        for wrong in check::dangling(&self.access.pool, settings.tenant, PAGE).await? {
            let tenant = Some(TenantId(wrong.tenant));
            report.add(Finding { kind: FindingKind::NoSegment, tenant, what: wrong.what, repaired: false });
        }
        self.check_counters(settings, &mut report).await?;
        if settings.tenant.is_none() {
            self.check_references(settings, &mut report).await?;
            self.check_orphans(settings, &mut report).await?;
        }
        progress(&report);
        Ok(report)
    }

    /// Each key's row and object open, and to the same key.
    async fn check_keys(&self, settings: &CheckSettings, report: &mut Checked) -> Result<(), Error> {
        let mut after = crate::KeyRing::FIRST;
        loop {
            let rows = key_ring::page(&self.access.pool, settings.tenant, after, PAGE).await?;
            for row in &rows {
                (after, report.keys) = ((row.tenant, row.version), report.keys + 1);
                let object = self.access.bodies.key_object(row.tenant, row.version).await?;
                let open = |wrapped: &[u8]| {
                    crate::key_ring::open_wrapped(&self.access.master, row.tenant, row.version, wrapped)
                };
                let wrong = match (&row.wrapped, &object) {
                    (None, None) => continue,
                    (None, Some(_)) => Some("it was erased, and its object is still there: erase it again".to_owned()),
                    (Some(_), None) => Some(
                        "its object is gone: the bucket alone cannot be read without the database (or it was erased after the moment \
                         that the database was restored to: then erase it again)"
                            .to_owned(),
                    ),
                    (Some(wrapped), Some(object)) => match (open(wrapped), open(object)) {
                        (Ok(one), Ok(other)) if *one == *other => None,
                        (Ok(_), Ok(_)) => Some("its row and its object are different keys".to_owned()),
                        (Err(error), _) => Some(format!("its row does not open: {error}")),
                        (_, Err(error)) => Some(format!("its object does not open: {error}")),
                    },
                };
                if let Some(wrong) = wrong {
                    let what = format!("key {} of tenant {}: {wrong}", row.version, row.slug);
                    report.add(Finding { kind: FindingKind::Key, tenant: Some(row.tenant), what, repaired: false });
                }
            }
            if rows.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    async fn check_segments(
        &self,
        settings: &CheckSettings,
        report: &mut Checked,
        progress: &mut impl FnMut(&Checked),
    ) -> Result<(), Error> {
        let pace = settings.segments_per_second.filter(|rate| *rate > 0.0);
        let mut after = 0;
        loop {
            let rows = check::segments(&self.access.pool, settings.tenant, after, PAGE).await?;
            for row in &rows {
                after = row.id;
                // Those that are being deleted or never were committed hold nothing of anybody.
                if row.state != 1 && row.state != 2 {
                    continue;
                }
                report.segments += 1;
                self.check_segment(row, settings, report).await?;
                if let Some(rate) = pace {
                    tokio::time::sleep(Duration::from_secs_f64(1.0 / rate)).await;
                }
            }
            progress(report);
            if rows.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    async fn check_segment(
        &self,
        row: &SegmentRow,
        settings: &CheckSettings,
        report: &mut Checked,
    ) -> Result<(), Error> {
        let seen = self.examine(row, settings).await?;
        report.messages += seen.messages;
        report.frames += seen.frames;
        report.erased_frames += seen.erased;
        let mut findings = seen.findings;
        if !findings.is_empty() {
            tokio::time::sleep(settings.pause).await;
            let now = check::segments(&self.access.pool, settings.tenant, row.id - 1, 1).await?;
            let again = match now.first().filter(|now| now.id == row.id && (now.state == 1 || now.state == 2)) {
                Some(now) => self.examine(now, settings).await?.findings,
                // Given up in the meantime, as it should be.
                None => Vec::new(),
            };
            findings.retain(|finding| again.contains(finding));
        }
        if settings.deep {
            let damage = findings.iter().find(|f| matches!(f.kind, FindingKind::Damage | FindingKind::ObjectMissing));
            check::verified(&self.access.pool, row.id, damage.map(|finding| finding.what.as_str())).await?;
        }
        for finding in findings {
            report.add(finding);
        }
        Ok(())
    }

    /// A segment, once.
    async fn examine(&self, row: &SegmentRow, settings: &CheckSettings) -> Result<Examined, Error> {
        let mut seen = Examined::default();
        let segment = row.uuid;
        // The rows first: what they name was there then, and stays for the grace.
        let rows = check::copies(&self.access.pool, settings.tenant, row.id).await?;
        seen.messages = rows.len() as u64;
        let mut add = |kind, tenant, what: String| {
            seen.findings.push(Finding { kind, tenant, what: format!("segment {segment}{what}"), repaired: false });
        };
        let (entries, size) = match self.access.bodies.footer(segment).await {
            Ok(footer) => footer,
            Err(Error::Store(object_store::Error::NotFound { .. })) => {
                let lost = rows.len();
                add(
                    FindingKind::ObjectMissing,
                    None,
                    format!(" is gone, with the octets of {lost} messages (it counts {} references)", row.refs),
                );
                return Ok(seen);
            }
            Err(Error::Damaged { what, .. }) => {
                add(FindingKind::Damage, None, format!(": {what} ({} messages)", rows.len()));
                return Ok(seen);
            }
            Err(error) => return Err(error),
        };
        for copy in &rows {
            if let Err(what) = fits(copy, &entries) {
                let (account, uid, offset) = (copy.account, copy.uid, copy.place.offset);
                add(
                    FindingKind::Place,
                    Some(copy.tenant),
                    format!(" at {offset}, message {uid} of account {account}: {what}"),
                );
            }
        }
        if settings.deep {
            let verified = match octets::verify(&self.access.bodies, &self.access.keys, segment, &entries, size).await {
                // It was given up after its footer was read: the second look tells.
                Err(Error::Store(object_store::Error::NotFound { .. })) => {
                    add(FindingKind::ObjectMissing, None, " is gone".to_owned());
                    return Ok(seen);
                }
                other => other?,
            };
            for (offset, what) in verified.damage {
                let tenant = entries.iter().find(|entry| entry.place.offset == offset).map(|entry| entry.tenant);
                let named = rows.iter().filter(|row| row.place.offset == offset).count();
                add(FindingKind::Damage, tenant, format!(" at {offset}: {what} ({named} messages)"));
            }
            (seen.frames, seen.erased) = (verified.frames, verified.erased);
        }
        Ok(seen)
    }

    async fn check_counters(&self, settings: &CheckSettings, report: &mut Checked) -> Result<(), Error> {
        let mut after = (i32::MIN, 0);
        loop {
            let (counted, last, wrong) = check::maildrops(&self.access.pool, settings.tenant, after, PAGE).await?;
            let Some(last) = last else { return Ok(()) };
            (after, report.maildrops) = (last, report.maildrops + counted);
            for wrong in wrong {
                if settings.repair {
                    check::recount_maildrop(&self.access.pool, wrong.tenant, wrong.id).await?;
                }
                let what = format!("account {}: {}", wrong.id, wrong.what);
                let tenant = Some(TenantId(wrong.tenant));
                report.add(Finding { kind: FindingKind::Counters, tenant, what, repaired: settings.repair });
            }
        }
    }

    async fn check_references(&self, settings: &CheckSettings, report: &mut Checked) -> Result<(), Error> {
        let mut after = 0;
        while let (Some(last), wrong) = check::references(&self.access.pool, after, PAGE).await? {
            after = last;
            for wrong in wrong {
                if settings.repair {
                    check::recount_segment(&self.access.pool, wrong.id).await?;
                }
                let what = wrong.what;
                report.add(Finding { kind: FindingKind::References, tenant: None, what, repaired: settings.repair });
            }
        }
        Ok(())
    }

    async fn check_orphans(&self, settings: &CheckSettings, report: &mut Checked) -> Result<(), Error> {
        let old = check::hour_before(&self.access.pool, settings.orphan_age_seconds + ORPHAN_SLACK).await?;
        for hour in self.access.bodies.hours().await? {
            let mut orphans = Vec::new();
            for some in self.access.bodies.segments(&hour).await?.chunks(PAGE as usize) {
                orphans.extend(check::without_row(&self.access.pool, some).await?);
            }
            if hour >= old {
                report.young_orphans += orphans.len() as u64;
                continue;
            }
            if !orphans.is_empty() {
                tokio::time::sleep(settings.pause).await;
            }
            for orphan in check::without_row(&self.access.pool, &orphans).await? {
                let what = format!("segment {orphan} has no row, and is older than the worker leaves such");
                report.add(Finding { kind: FindingKind::Orphan, tenant: None, what, repaired: false });
            }
        }
        Ok(())
    }

    /// Reads whole the segments that were not for longest, at most so many; answers how many, and how many are damaged. For the
    /// worker, which does it all the time, slowly.
    pub async fn verify_oldest(&self, limit: u32) -> Result<(u64, u64), Error> {
        let settings = CheckSettings { deep: true, ..CheckSettings::default() };
        let mut report = Checked::default();
        for row in check::to_verify(&self.access.pool, limit).await? {
            report.segments += 1;
            self.check_segment(&row, &settings, &mut report).await?;
        }
        for finding in &report.findings {
            tracing::error!(kind = finding.kind.name(), what = finding.what, "a segment is not what it should be");
        }
        let (age, damaged) = check::oldest_unverified(&self.access.pool).await?;
        OLDEST.set(age);
        DAMAGED.set(damaged);
        Ok((report.segments, report.findings_count))
    }
}

#[derive(Debug, Default)]
struct Examined {
    messages: u64,
    frames: u64,
    erased: u64,
    findings: Vec<Finding>,
}

/// Whether a row is of one of the frames.
fn fits(copy: &CopyRow, entries: &[Entry]) -> Result<(), &'static str> {
    let entry = entries.iter().find(|entry| entry.place.offset == copy.place.offset).ok_or("no frame begins there")?;
    if entry.place != copy.place {
        return Err("the frame has other lengths");
    }
    if entry.tenant != copy.tenant {
        return Err("the frame is another tenant's");
    }
    if entry.guid.as_u128() >> 20 != copy.guid.as_u128() >> 20 {
        return Err("the frame is another message's");
    }
    if copy.traits & !traits::EXTRAS != entry.traits {
        return Err("its traits are not the frame's");
    }
    if copy.octets != i64::from(entry.octets) {
        return Err("its octets are not the frame's");
    }
    Ok(())
}
