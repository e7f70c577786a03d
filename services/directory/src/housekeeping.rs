//! What the worker does for the directory, in functions of the database: it may read no table of credentials.

use runtime::database::Pool;

use crate::{Result, Settings};

/// Under the role worker. Any number of them may run: every step may run twice and beside itself.
#[derive(Debug, Clone)]
pub struct Housekeeper {
    pool: Pool,
    claim_days: u32,
}

/// A hundred years: more days than this are for ever, and no time of the database's.
const MOST_DAYS: u32 = 36_500;
/// Claims forgotten in one transaction.
const CLAIMS: i32 = 1000;

impl Housekeeper {
    /// Over a pool of the worker's role.
    pub fn new(pool: Pool, settings: &Settings) -> Self {
        Self { pool, claim_days: settings.claim_days }
    }

    /// Forgets claims of domains that nobody proved for [`Settings::claim_days`]; answers how many. What is over a batch waits for the
    /// next round.
    pub async fn expire_claims(&self) -> Result<u64> {
        let gone: i32 = sqlx::query_scalar("SELECT restante.worker_expire_claims_1($1, $2)")
            .bind(i32::try_from(self.claim_days.min(MOST_DAYS)).unwrap_or_default())
            .bind(CLAIMS)
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(gone).unwrap_or(0))
    }
}
