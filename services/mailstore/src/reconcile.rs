//! Counters against a recount: they should never differ. One pass over everything at an interval, in slices that any number of
//! workers share.

use std::time::Duration;

use crate::catalog::jobs::{self, Progress, Slice};
use crate::catalog::reconcile;
use crate::{Error, Sweeper};

/// What a round of recounting found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReconcileReport {
    /// Maildrops and segments looked at were this many slices.
    pub slices: u64,
    /// Maildrops whose counters were wrong, and are right now.
    pub maildrops: u64,
    /// Segments whose references were wrong, and are right now.
    pub segments: u64,
    /// Segments whose dead octets were only now known: frames that nobody was given.
    pub dead_octets: u64,
    /// Segments that nobody refers to, found and given over to reclaim.
    pub emptied: u64,
}

/// Where a pass stands: maildrops come first, then segments. In `jobs` as `m TENANT ACCOUNT` or `s SEGMENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Maildrops(reconcile::Maildrop),
    Segments(i64),
}

impl At {
    const BEGIN: Self = Self::Maildrops((0, 0));

    /// What cannot be read is the beginning.
    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let parsed = match (words.next(), words.next(), words.next()) {
            (Some("m"), Some(tenant), Some(account)) => {
                tenant.parse().ok().zip(account.parse().ok()).map(Self::Maildrops)
            }
            (Some("s"), Some(segment), None) => segment.parse().ok().map(Self::Segments),
            _ => None,
        };
        parsed.unwrap_or(Self::BEGIN)
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Maildrops((tenant, account)) => write!(f, "m {tenant} {account}"),
            Self::Segments(segment) => write!(f, "s {segment}"),
        }
    }
}

impl Sweeper {
    /// Recounts slice after slice until the pass is over or `goes_on` says no; nothing while no pass is due.
    pub async fn reconcile(&self, goes_on: impl Fn() -> bool) -> Result<ReconcileReport, Error> {
        let mut report = ReconcileReport::default();
        while goes_on() {
            let Some(slice) = jobs::claim(&self.pool, "reconcile").await? else { break };
            let done = self.slice(&slice, &mut report).await;
            let progress = done.as_ref().map_or(&Progress::Same, |progress| progress);
            jobs::give_back(&self.pool, &slice, progress).await?;
            report.slices += 1;
            if matches!(done?, Progress::Over(_)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(self.settings.reconcile_pause_ms)).await;
        }
        Ok(report)
    }

    async fn slice(&self, slice: &Slice, report: &mut ReconcileReport) -> Result<Progress, Error> {
        let (most, rows) = (self.settings.batch.max(1), self.settings.reconcile_rows);
        match slice.at.as_deref().map_or(At::BEGIN, At::parse) {
            At::Maildrops(after) => {
                let page = reconcile::maildrops(&self.pool, after, most, rows).await?;
                for key in page.wrong {
                    if reconcile::mend_maildrop(&self.pool, key).await? {
                        report.maildrops += 1;
                        tracing::warn!(
                            tenant = key.0,
                            account = key.1,
                            "a maildrop's counters were not what its rows sum up to, and are now"
                        );
                    }
                }
                Ok(Progress::At(page.last.map_or(At::Segments(0), At::Maildrops).to_string()))
            }
            At::Segments(after) => {
                let settled = self.settings.unreferenced_seconds;
                let page = reconcile::segments(&self.pool, after, most, rows, settled).await?;
                for segment in page.wrong {
                    let mended = reconcile::mend_segment(&self.pool, segment, settled).await?;
                    report.segments += u64::from(mended.refs);
                    report.dead_octets += u64::from(mended.dead_octets);
                    report.emptied += u64::from(mended.emptied);
                    if mended.refs {
                        tracing::warn!(
                            segment_id = segment,
                            "a segment's references were not what its rows sum up to, and are now"
                        );
                    }
                }
                let over = Progress::Over(Duration::from_secs(self.settings.reconcile_interval_seconds));
                Ok(page.last.map_or(over, |last| Progress::At(At::Segments(last).to_string())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_goes_on_where_it_stood() {
        for at in [At::BEGIN, At::Maildrops((7, 1 << 40)), At::Segments(0), At::Segments(9)] {
            assert_eq!(At::parse(&at.to_string()), at);
        }
        for text in ["", "m 1", "s x", "s 1 2", "hunter2"] {
            assert_eq!(At::parse(text), At::BEGIN, "{text}");
        }
    }
}
