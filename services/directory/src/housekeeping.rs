//! What the worker does for the directory, in functions of the database: it may read no table of credentials.

use runtime::database::Pool;

use crate::{Result, Settings};

/// Under the role worker. Any number of them may run: every step may run twice and beside itself.
#[derive(Debug, Clone)]
pub struct Housekeeper {
    pool: Pool,
    claim_days: u32,
    audit_days: u32,
}

/// A hundred years: more days than this are for ever, and no time of the database's.
const MOST_DAYS: u32 = 36_500;
/// Claims forgotten in one transaction.
const CLAIMS: i32 = 1000;
/// Audit events deleted in one transaction, where a month is not dropped as a whole.
const EVENTS: i32 = 10_000;

/// What became of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditSwept {
    /// Events deleted.
    pub events: u64,
    /// Months dropped.
    pub months: u64,
}

impl Housekeeper {
    /// Over a pool of the worker's role.
    pub fn new(pool: Pool, settings: &Settings) -> Self {
        Self { pool, claim_days: settings.claim_days, audit_days: settings.audit_days }
    }

    /// Forgets claims of domains that nobody proved for [`Settings::claim_days`]; answers how many. What is over a batch waits for the
    /// next round.
    pub async fn expire_claims(&self) -> Result<u64> {
        let gone: i32 = sqlx::query_scalar("SELECT restante.worker_expire_claims_1($1, $2)")
            .bind(days(self.claim_days))
            .bind(CLAIMS)
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(gone).unwrap_or(0))
    }

    /// Takes away audit events that are older than [`Settings::audit_days`] and than their tenant's policy keeps them. What is over a
    /// batch waits for the next round.
    pub async fn sweep_audit(&self) -> Result<AuditSwept> {
        let (events, months): (i32, i32) =
            sqlx::query_as("SELECT deleted, dropped FROM restante.worker_sweep_audit_1($1, $2)")
                .bind(days(self.audit_days))
                .bind(EVENTS)
                .fetch_one(&self.pool)
                .await?;
        let count = |n: i32| u64::try_from(n).unwrap_or(0);
        Ok(AuditSwept { events: count(events), months: count(months) })
    }
}

/// Days as the database takes them.
pub(crate) fn days(days: u32) -> i32 {
    i32::try_from(days.min(MOST_DAYS)).unwrap_or_default()
}
