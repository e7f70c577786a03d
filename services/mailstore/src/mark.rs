//! How a restored database is noticed.
//!
//! Every minute a worker counts a mark in the catalog, in a commit, and then writes the count to the bucket, as
//! `v1/cat/INCARNATION`. The count in the database is therefore never behind the one in the bucket, unless the database was
//! restored to an earlier moment, by whatever means: from a backup (another timeline), from a copy of its volume (the same
//! timeline), from a dump. The same is noticed when the server is another one, or the bucket is not this database's.
//!
//! Whoever notices it stops the sweep, in the catalog: nothing is deleted by anybody until `restante recover` ran. What was restored
//! to a moment after the last mark cannot be told from a fail-over; `restante recover` belongs to every restore.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, LazyLock};

use mail_types::TenantId;
use object_store::ObjectStore;
use prometheus::{IntGauge, register_int_gauge};
use runtime::database::Pool;

use crate::bodies::Bodies;
use crate::catalog::standing::{self, Server, Standing};
use crate::{Error, StoreSettings};

#[expect(clippy::expect_used, reason = "the name is a constant")]
static STOPPED: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "restante_catalog_restored",
        "1 while the database does not follow its mark in the bucket: nothing is deleted until `restante recover` ran"
    )
    .expect("a well-formed metric")
});

/// Tenants looked at in one go.
const TENANTS: u32 = 1_000;

/// A mark as the bucket has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) count: i64,
    pub(crate) token: u128,
    pub(crate) server: Server,
}

impl Mark {
    pub(crate) fn encode(&self) -> String {
        let Self { count, token, server: Server { system, timeline, lsn } } = self;
        format!("restante-mark 1\ncount {count}\ntoken {token:032x}\nsystem {system}\ntimeline {timeline}\nlsn {lsn}\n")
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?;
        let mut lines = text.lines();
        (lines.next()? == "restante-mark 1").then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        Some(Self {
            count: field("count")?.parse().ok()?,
            token: u128::from_str_radix(field("token")?, 16).ok()?,
            server: Server {
                system: field("system")?.to_owned(),
                timeline: field("timeline")?.parse().ok()?,
                lsn: field("lsn")?.parse().ok()?,
            },
        })
    }
}

/// Why a database does not follow its mark; `None` where it does.
fn doubt(at: &Standing, mark: Option<&Mark>, other_marks: bool) -> Option<String> {
    let Some(mark) = mark else {
        // The first mark reaches the bucket after it was counted.
        if at.mark <= 1 {
            return other_marks
                .then(|| "the bucket belongs to another catalog, and this one has never marked it".to_owned());
        }
        return Some("the bucket has no mark of this catalog: it is another one, or was emptied".to_owned());
    };
    let Server { system, timeline, lsn } = &at.server;
    if at.mark < mark.count {
        return Some(format!(
            "the database has made {} marks and the bucket knows of {}: it was restored",
            at.mark, mark.count
        ));
    }
    if at.mark == mark.count && at.token != Some(mark.token) {
        return Some(format!("mark {} of the database is not the one in the bucket: it was restored", at.mark));
    }
    if *system != mark.server.system {
        return Some(format!(
            "the database is on server {system}, and the last mark was made on {}",
            mark.server.system
        ));
    }
    if *timeline < mark.server.timeline || (*timeline == mark.server.timeline && *lsn < mark.server.lsn) {
        return Some(format!(
            "the database is at {timeline}/{lsn}, before the last mark at {}/{}: it was restored",
            mark.server.timeline, mark.server.lsn
        ));
    }
    None
}

/// Whether a database follows its mark in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Following {
    /// It does.
    Yes,
    /// It does not, or it was found before that it does not: nothing is deleted until `restante recover` ran.
    No {
        /// What was found.
        why: String,
    },
}

/// The way to both, for any role.
#[derive(Debug, Clone)]
pub struct Marker {
    pool: Pool,
    bodies: Bodies,
    /// Up to which tenant the bucket keeps the slugs; shared by clones.
    kept: Arc<AtomicI32>,
}

impl Marker {
    /// Over connections of any role but the owner.
    pub fn new(pool: Pool, store: Arc<dyn ObjectStore>, store_settings: &StoreSettings) -> Self {
        Self::over(pool, Bodies::new(store, store_settings))
    }

    pub(crate) fn over(pool: Pool, bodies: Bodies) -> Self {
        Self { pool, bodies, kept: Arc::new(AtomicI32::new(i32::MIN)) }
    }

    /// Compares, and stops the sweep where the database does not follow.
    pub async fn check(&self) -> Result<Following, Error> {
        self.compare().await.map(|(following, _)| following)
    }

    /// The same from the catalog alone: what is known, for a readiness check.
    pub async fn known(&self) -> Result<Following, Error> {
        let at = standing::standing(&self.pool).await?;
        Ok(said(&at))
    }

    async fn compare(&self) -> Result<(Following, Standing), Error> {
        let at = standing::standing(&self.pool).await?;
        if !at.may_sweep {
            let following = said(&at);
            return Ok((following, at));
        }
        let mark = self.bodies.mark(at.incarnation).await?;
        let mark = mark.and_then(|octets| Mark::decode(&octets));
        let other_marks = mark.is_none() && at.mark <= 1 && self.bodies.has_marks().await?;
        let Some(why) = doubt(&at, mark.as_ref(), other_marks) else {
            STOPPED.set(0);
            return Ok((Following::Yes, at));
        };
        // The mark may have been written since the database was asked: only what is still so is believed.
        let again = standing::standing(&self.pool).await?;
        if again.incarnation != at.incarnation || doubt(&again, mark.as_ref(), other_marks).is_none() {
            return Ok((Following::Yes, again));
        }
        if standing::stop(&self.pool, at.incarnation, &why).await? {
            tracing::error!(
                why,
                "the database does not follow its mark in the bucket: nothing is deleted from now on; run `restante recover`"
            );
        }
        STOPPED.set(1);
        Ok((Following::No { why }, again))
    }

    /// Compares, and makes the next mark where the database follows (role worker). Also keeps the slugs of new tenants.
    pub async fn mark(&self) -> Result<Following, Error> {
        let (following, at) = self.compare().await?;
        if following == Following::Yes {
            if let Some((count, token, server)) = standing::mark(&self.pool, &at).await? {
                self.bodies.put_mark(at.incarnation, Mark { count, token, server }.encode()).await?;
            }
            self.keep_slugs().await?;
        }
        Ok(following)
    }

    /// Once over all tenants, then over those that are new: slugs do not change.
    async fn keep_slugs(&self) -> Result<(), Error> {
        let mut after = self.kept.load(Ordering::Relaxed);
        let have = if after == i32::MIN { self.bodies.kept_tenants().await? } else { Vec::new() };
        let have: std::collections::HashSet<TenantId> = have.into_iter().collect();
        loop {
            let tenants = standing::tenants(&self.pool, TenantId(after), TENANTS).await?;
            for (tenant, slug) in &tenants {
                if !have.contains(tenant) {
                    self.bodies.keep_tenant(*tenant, slug).await?;
                }
                after = tenant.0;
            }
            self.kept.store(after.max(0), Ordering::Relaxed);
            if tenants.len() < TENANTS as usize {
                return Ok(());
            }
        }
    }
}

/// What the catalog itself says.
fn said(at: &Standing) -> Following {
    if at.may_sweep {
        return Following::Yes;
    }
    STOPPED.set(1);
    Following::No { why: at.stopped_why.clone().unwrap_or_else(|| "sweeping was stopped".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server { system: "7".to_owned(), timeline: 2, lsn: 1_000 }
    }

    fn at(mark: i64, token: u128) -> Standing {
        Standing {
            incarnation: 1,
            may_sweep: true,
            stopped_why: None,
            mark,
            token: Some(token),
            marked_at: None,
            server: server(),
        }
    }

    #[test]
    fn a_mark_reads_as_it_was_written() {
        let mark = Mark { count: 12, token: u128::MAX, server: server() };
        assert_eq!(Mark::decode(mark.encode().as_bytes()), Some(mark.clone()));
        assert_eq!(Mark::decode(b"hunter2"), None);
        assert_eq!(Mark::decode(mark.encode().as_bytes().strip_suffix(b"lsn 1000\n").unwrap()), None);
    }

    #[test]
    fn a_database_follows_its_mark_or_was_restored() {
        let mark = Mark { count: 5, token: 9, server: server() };
        let follows = |at: &Standing, mark: &Mark| doubt(at, Some(mark), false).is_none();
        assert!(follows(&at(5, 9), &mark));
        assert!(follows(&at(6, 1), &mark), "the last mark did not reach the bucket");
        assert!(!follows(&at(4, 9), &mark), "restored");
        assert!(!follows(&at(5, 8), &mark), "restored, and as far again");
        let promoted = Standing { server: Server { timeline: 3, lsn: 900, ..server() }, ..at(5, 9) };
        assert!(follows(&promoted, &mark), "a fail-over that kept every commit");
        for server in [
            Server { system: "8".to_owned(), ..server() },
            Server { timeline: 1, ..server() },
            Server { lsn: 999, ..server() },
        ] {
            assert!(!follows(&Standing { server, ..at(5, 9) }, &mark));
        }
    }

    #[test]
    fn a_bucket_belongs_to_one_catalog() {
        assert_eq!(doubt(&at(0, 0), None, false), None, "both are new");
        assert_eq!(doubt(&at(1, 0), None, false), None, "the first mark is on its way");
        assert!(doubt(&at(0, 0), None, true).is_some(), "a new database on an old bucket");
        assert!(doubt(&at(2, 0), None, false).is_some(), "an old database on a new bucket");
    }
}
