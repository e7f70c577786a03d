//! How far a migration is with each account.

use chrono::{DateTime, Utc};

use super::{ClaimedChunk, find};
use crate::{Caller, Directory, Page, PageRequest, Result};

/// What became of one account's mail so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationProgress {
    /// Messages that the source has.
    pub listed: u64,
    /// Of them those that were here before.
    pub known: u64,
    /// Of them those that came.
    pub imported: u64,
    /// Of them those that cannot be taken.
    pub skipped: u64,
    /// Octets that came.
    pub octets: u64,
    /// Some of those that cannot be taken, and why.
    pub unreadable: Vec<String>,
}

/// The same, as administrators see it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MigratedAccount {
    /// Its line, from 1.
    pub line: i32,
    /// The account here.
    pub address: String,
    /// Messages that the source has.
    pub listed: i64,
    /// Of them those that were here before.
    pub known: i64,
    /// Of them those that came.
    pub imported: i64,
    /// Of them those that cannot be taken.
    pub skipped: i64,
    /// Octets that came.
    pub octets: i64,
    /// When it was noted.
    pub at: DateTime<Utc>,
}

impl Directory {
    /// Notes how far a line is (role worker).
    pub async fn note_migration(
        &self,
        chunk: &ClaimedChunk,
        line: i32,
        address: &str,
        progress: &MigrationProgress,
    ) -> Result<()> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO restante.job_accounts AS a (tenant_id, job_id, line, address, listed, known, imported, skipped, octets, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())
             ON CONFLICT (tenant_id, job_id, line) DO UPDATE SET listed = excluded.listed, known = excluded.known,
               imported = excluded.imported, skipped = excluded.skipped, octets = excluded.octets, at = excluded.at",
        )
        .bind(chunk.tenant.0)
        .bind(chunk.job)
        .bind(line)
        .bind(address)
        .bind(count(progress.listed))
        .bind(count(progress.known))
        .bind(count(progress.imported))
        .bind(count(progress.skipped))
        .bind(count(progress.octets))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How far a migration is with each account that was begun, by line.
    pub async fn migrated_accounts(
        &self,
        caller: &Caller,
        id: i64,
        page: &PageRequest,
    ) -> Result<Page<MigratedAccount>> {
        let after: Option<i32> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let tenant = find(&mut tx, caller, id).await?.tenant_id;
        let rows = sqlx::query_as::<_, MigratedAccount>(
            "SELECT line, address, listed, known, imported, skipped, octets, at FROM restante.job_accounts
              WHERE tenant_id = $1 AND job_id = $2 AND line > $3 ORDER BY line LIMIT $4",
        )
        .bind(tenant)
        .bind(id)
        .bind(after.unwrap_or(0))
        .bind(page.fetch())
        .fetch_all(&mut *tx)
        .await?;
        Ok(page.page(rows, |row| row.line))
    }
}
