//! Jobs of tenants: what takes longer than a request, done by workers. A job's body is lines of JSON, kept in chunks, sealed, until they
//! are done: an ended job has none. A line's faults are kept with the job, so that they can be mended and the same body sent again.
//!
//! This file is the administrators' side (role admin); [`work`] is the workers'.

mod accounts;
mod line;
mod migration;
mod work;

use chrono::{DateTime, Utc};
use mail_types::{Secret, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::audit::{self, Event};
use crate::error::inconsistent;
use crate::seal::{self, Purpose};
use crate::{Caller, Directory, Error, FieldError, Page, PageRequest, Permission, Result, Sort, SortBy, shown, tenant};

pub use line::{MigrationLine, read_migration_line};
pub use migration::{MigratedAccount, MigrationProgress};
pub use work::{ClaimedChunk, LineOutcome, WorkBounds};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Makes accounts: `{"address", "password" or "password_hash", "quota", "status", "aliases"}` a line.
    AccountsImport,
    /// Fetches what maildrops of other servers hold: `{"address", "login", "password"}` a line.
    MaildropMigration,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::AccountsImport, Self::MaildropMigration];

    /// The API's and the schema's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountsImport => "accounts-import",
            Self::MaildropMigration => "maildrop-migration",
        }
    }

    /// From the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What its creator must be allowed when it is made, and still when it runs.
    pub fn needs(self) -> Permission {
        match self {
            Self::AccountsImport => Permission::AccountsWrite,
            Self::MaildropMigration => Permission::MessagesDeliver,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for a worker.
    Queued,
    /// A worker has begun.
    Running,
    /// Every line has its verdict.
    Done,
    /// Given up: the job's `error` says why.
    Failed,
    /// Stopped by an administrator. What was done stays.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    fn code(self) -> i16 {
        match self {
            Self::Queued => QUEUED,
            Self::Running => RUNNING,
            Self::Done => DONE,
            Self::Failed => FAILED,
            Self::Cancelled => CANCELLED,
        }
    }

    fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

const QUEUED: i16 = 0;
const RUNNING: i16 = 1;
const DONE: i16 = 2;
const FAILED: i16 = 3;
const CANCELLED: i16 = 4;
/// Its body is on its way in: nobody sees it yet.
const RECEIVING: i16 = 5;

/// How many lines came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobProgress {
    /// Lines of the body that are not empty.
    pub total: u64,
    /// Lines whose thing was made; in a trial, would have been.
    pub made: u64,
    /// Lines whose thing was there as the line says.
    pub unchanged: u64,
    /// Lines that were refused: each has its errors.
    pub failed: u64,
}

impl JobProgress {
    /// Lines that have their verdict.
    pub fn done(&self) -> u64 {
        self.made + self.unchanged + self.failed
    }
}

/// A job as administrators see it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Opaque to others: shown as `job_N`.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantSlug,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whether it only tries.
    pub dry_run: bool,
    /// Who made it, as in the audit trail.
    pub created_by: String,
    /// What is not in the lines: the source of a migration. No secret is in it.
    pub payload: Value,
    /// How far it is.
    pub progress: JobProgress,
    /// Why it failed, for people.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a worker began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was done, failed or cancelled.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct JobError {
    /// Counted from 1, empty lines too.
    pub line: i32,
    /// Of the errors of one line.
    pub nth: i16,
    /// Into the line's object.
    pub pointer: String,
    /// As the API's.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// What it does.
    pub kind: JobKind,
    /// Whose it is to be; a tenant's own caller may leave it out.
    pub tenant: Option<TenantSlug>,
    /// Whether it only tries.
    pub dry_run: bool,
    /// What is not in the lines. No secret.
    pub payload: Value,
}

/// A job whose body is on its way in.
#[derive(Debug, Clone)]
pub struct ReceivingJob {
    tenant: TenantId,
    id: i64,
    chunks: i32,
}

/// Which jobs a list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Of this tenant.
    pub tenant: Option<TenantSlug>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// In this state.
    pub state: Option<JobState>,
}

#[derive(sqlx::FromRow)]
struct JobRow {
    tenant_id: i32,
    job_id: i64,
    slug: String,
    kind: String,
    state: i16,
    dry_run: bool,
    created_by: String,
    payload: Value,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    total: i32,
    made: i32,
    unchanged: i32,
    failed: i32,
}

impl JobRow {
    fn job(self) -> Result<Job> {
        let count = |n: i32, column| shown::unsigned(n.into(), "jobs", column);
        Ok(Job {
            id: self.job_id,
            tenant: shown::slug(&self.slug)?,
            kind: JobKind::parse(&self.kind).ok_or_else(|| inconsistent("jobs", "kind"))?,
            state: JobState::from_code(self.state).ok_or_else(|| inconsistent("jobs", "state"))?,
            dry_run: self.dry_run,
            created_by: self.created_by,
            payload: self.payload,
            progress: JobProgress {
                total: count(self.total, "total")?,
                made: count(self.made, "made")?,
                unchanged: count(self.unchanged, "unchanged")?,
                failed: count(self.failed, "failed")?,
            },
            error: self.last_error,
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
        })
    }
}

impl Directory {
    /// Makes a job whose body is yet to come: [`Directory::add_job_lines`], then [`Directory::queue_job`], or
    /// [`Directory::discard_job`]. `most_unfinished`: jobs that a tenant may have under way.
    pub async fn receive_job(&self, caller: &Caller, new: &NewJob, most_unfinished: u32) -> Result<ReceivingJob> {
        caller.require(new.kind.needs())?;
        let mut tx = self.begin(caller).await?;
        let tenant = tenant::parent(&mut tx, caller, new.tenant.as_ref()).await?;
        // Two requests must not both be the last that fits.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('restante jobs'), $1)")
            .bind(tenant.id.0)
            .execute(&mut *tx)
            .await?;
        let unfinished: i64 =
            sqlx::query_scalar("SELECT count(*) FROM restante.jobs WHERE tenant_id = $1 AND state IN (0, 1, 5)")
                .bind(tenant.id.0)
                .fetch_one(&mut *tx)
                .await?;
        if unfinished >= most_unfinished.into() {
            return Err(Error::LimitReached("the tenant has its most jobs under way"));
        }
        let id = sqlx::query_scalar(
            "INSERT INTO restante.jobs (tenant_id, kind, payload, state, dry_run, created_by, address, request_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING job_id",
        )
        .bind(tenant.id.0)
        .bind(new.kind.as_str())
        .bind(&new.payload)
        .bind(RECEIVING)
        .bind(new.dry_run)
        .bind(&caller.actor)
        .bind(caller.peer.map(sqlx::types::ipnet::IpNet::from))
        .bind(caller.request)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(ReceivingJob { tenant: tenant.id, id, chunks: 0 })
    }

    /// Keeps the next lines of a body, the first of them counted from 1. A worker does them in one transaction.
    pub async fn add_job_lines(
        &self,
        caller: &Caller,
        job: &mut ReceivingJob,
        first_line: i32,
        lines: Secret,
    ) -> Result<()> {
        let place = place(job.tenant, job.id, job.chunks);
        let sealed = seal::seal_for(&self.keys, &*self.random, Purpose::JobLines, &place, &lines)?;
        let mut tx = self.begin(caller).await?;
        // A body that comes slowly is not one that was given up.
        sqlx::query("UPDATE restante.jobs SET run_at = clock_timestamp() WHERE tenant_id = $1 AND job_id = $2")
            .bind(job.tenant.0)
            .bind(job.id)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO restante.job_chunks (tenant_id, job_id, chunk, first_line, sealed) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(job.tenant.0)
        .bind(job.id)
        .bind(job.chunks)
        .bind(first_line)
        .bind(sealed)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        job.chunks += 1;
        Ok(())
    }

    /// The body is whole: workers may begin. `total`: its lines.
    pub async fn queue_job(&self, caller: &Caller, job: &ReceivingJob, total: i32) -> Result<Job> {
        let mut tx = self.begin(caller).await?;
        sqlx::query(
            "UPDATE restante.jobs SET state = $3, total = $4, run_at = clock_timestamp()
              WHERE tenant_id = $1 AND job_id = $2 AND state = $5",
        )
        .bind(job.tenant.0)
        .bind(job.id)
        .bind(QUEUED)
        .bind(total)
        .bind(RECEIVING)
        .execute(&mut *tx)
        .await?;
        let made = find(&mut tx, caller, job.id).await?.job()?;
        record(&mut tx, caller, job.tenant, "import.create", &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Forgets a job whose body did not come whole.
    pub async fn discard_job(&self, caller: &Caller, job: &ReceivingJob) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        sqlx::query("DELETE FROM restante.jobs WHERE tenant_id = $1 AND job_id = $2 AND state = $3")
            .bind(job.tenant.0)
            .bind(job.id)
            .bind(RECEIVING)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// One job.
    pub async fn job(&self, caller: &Caller, id: i64) -> Result<Job> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, id).await?.job()
    }

    /// The jobs that the caller sees, the newest first or, if that is asked for, last.
    pub async fn jobs(&self, caller: &Caller, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        // Ids are given out in the order that jobs are made in.
        let sort = page.sort.unwrap_or(Sort::down(SortBy::CreatedAt));
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT j.tenant_id, j.job_id, t.slug, j.kind, j.state, j.dry_run, j.created_by, j.payload, j.last_error, j.created_at,
                    j.started_at, j.ended_at, j.total, j.made, j.unchanged, j.failed
               FROM restante.jobs j JOIN restante.tenants t ON t.tenant_id = j.tenant_id
              WHERE j.created_by IS NOT NULL AND j.state <> 5",
        );
        let mut tx = self.begin(caller).await?;
        if let Some(tenant) = caller.tenant() {
            query.push(" AND j.tenant_id = ").push_bind(tenant.0);
        }
        if let Some(slug) = &filter.tenant {
            query
                .push(" AND j.tenant_id = (SELECT tenant_id FROM restante.tenants WHERE slug = ")
                .push_bind(slug.as_str())
                .push(")");
        }
        if let Some(kind) = filter.kind {
            query.push(" AND j.kind = ").push_bind(kind.as_str());
        }
        if let Some(state) = filter.state {
            query.push(" AND j.state = ").push_bind(state.code());
        }
        let place: Option<i64> = page.after()?;
        if let Some(id) = place {
            sort.push_after(&mut query, &["j.job_id"]);
            query.push_bind(id).push(")");
        }
        sort.push_order(&mut query, &["j.job_id"]);
        query.push(" LIMIT ").push_bind(page.fetch());
        let rows: Vec<JobRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        page.page(rows, |row| row.job_id).try_map(JobRow::job)
    }

    /// Why lines of a job were refused, in their order.
    pub async fn job_errors(&self, caller: &Caller, id: i64, page: &PageRequest) -> Result<Page<JobError>> {
        let after: Option<(i32, i16)> = page.after()?;
        let (line, nth) = after.unwrap_or((0, 0));
        let mut tx = self.begin(caller).await?;
        let tenant = find(&mut tx, caller, id).await?.tenant_id;
        let rows = sqlx::query_as::<_, JobError>(
            "SELECT line, nth, pointer, code, detail FROM restante.job_errors
              WHERE tenant_id = $1 AND job_id = $2 AND (line, nth) > ($3, $4) ORDER BY line, nth LIMIT $5",
        )
        .bind(tenant)
        .bind(id)
        .bind(line)
        .bind(nth)
        .bind(page.fetch())
        .fetch_all(&mut *tx)
        .await?;
        Ok(page.page(rows, |row| (row.line, row.nth)))
    }

    /// Stops a job: what is under way is given up, what was done stays, what was still to be done is wiped. A job that has ended is not
    /// changed.
    pub async fn cancel_job(&self, caller: &Caller, id: i64) -> Result<Job> {
        let mut tx = self.begin(caller).await?;
        let found = find(&mut tx, caller, id).await?;
        let tenant = TenantId(found.tenant_id);
        // Waits for the chunk that is just being written.
        let ended = sqlx::query(
            "UPDATE restante.jobs SET state = $3, ended_at = clock_timestamp() WHERE tenant_id = $1 AND job_id = $2 AND state IN (0, 1)",
        )
        .bind(tenant.0)
        .bind(id)
        .bind(CANCELLED)
        .execute(&mut *tx)
        .await?;
        if ended.rows_affected() == 0 {
            return find(&mut tx, caller, id).await?.job();
        }
        work::wipe(&mut tx, tenant, id).await?;
        let job = find(&mut tx, caller, id).await?.job()?;
        record(&mut tx, caller, tenant, "import.cancel", &job).await?;
        self.finish(tx, caller).await?;
        Ok(job)
    }
}

/// A job that the caller sees.
async fn find(tx: &mut PgConnection, caller: &Caller, id: i64) -> Result<JobRow> {
    let row = sqlx::query_as::<_, JobRow>(
        "SELECT j.tenant_id, j.job_id, t.slug, j.kind, j.state, j.dry_run, j.created_by, j.payload, j.last_error, j.created_at,
                j.started_at, j.ended_at, j.total, j.made, j.unchanged, j.failed
           FROM restante.jobs j JOIN restante.tenants t ON t.tenant_id = j.tenant_id
          WHERE j.job_id = $1 AND j.created_by IS NOT NULL AND j.state <> 5 AND ($2::integer IS NULL OR j.tenant_id = $2)",
    )
    .bind(id)
    .bind(caller.tenant().map(|tenant| tenant.0))
    .fetch_optional(tx)
    .await?;
    row.ok_or(Error::NotFound)
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    tenant: TenantId,
    action: &'static str,
    job: &Job,
) -> Result<()> {
    let target = format!("job_{}", job.id);
    let after = json!({
        "kind": job.kind.as_str(), "dry_run": job.dry_run, "lines": job.progress.total, "done": job.progress.done(),
    });
    audit::record(tx, caller, Event { tenant, action, target: &target, before: None, after: Some(after) }).await
}

/// What a chunk's seal is bound to.
fn place(tenant: TenantId, job: i64, chunk: i32) -> Vec<u8> {
    [&tenant.0.to_be_bytes()[..], &job.to_be_bytes(), &chunk.to_be_bytes()].concat()
}

/// What is wrong with a line, kept within bounds.
const MOST_ERRORS: usize = 20;
const MOST_DETAIL: usize = 500;

fn kept(errors: Vec<FieldError>) -> impl Iterator<Item = (i16, FieldError)> {
    let short =
        |text: String| if text.chars().count() > MOST_DETAIL { text.chars().take(MOST_DETAIL).collect() } else { text };
    errors
        .into_iter()
        .take(MOST_ERRORS)
        .map(move |e| FieldError { pointer: short(e.pointer), code: e.code, detail: short(e.detail) })
        .zip(1..)
        .map(|(error, nth)| (nth, error))
}
