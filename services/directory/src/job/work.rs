//! The workers' side of jobs (role worker). A claim is a short transaction; a chunk is done without one, and taken away in the transaction
//! that writes what it came to, if the claim is still the same: a worker that was paused too long writes nothing.

use std::time::Duration;

use mail_types::{DomainName, Secret, TenantId};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{CANCELLED, DONE, FAILED, JobKind, RECEIVING, RUNNING, kept, place};
use crate::error::inconsistent;
use crate::seal::{self, Purpose};
use crate::{Caller, Directory, Error, FieldError, Permission, Reach, Result, Role};

/// How long a body that stopped coming is kept: longer than any request may take.
const GIVEN_UP: &str = "1 hour";
/// Jobs that one sweep takes away.
const SWEPT: i64 = 100;

/// Bounds of the work on one kind of jobs.
#[derive(Debug, Clone, Copy)]
pub struct WorkBounds {
    /// Chunks of one job that are worked on at once, by all workers together.
    pub at_once: u32,
    /// How long a chunk is one worker's, unless it renews its claim.
    pub claim: Duration,
    /// How often a chunk is tried before its job is given up.
    pub attempts: u16,
}

/// Lines that are this worker's for a while.
#[derive(Debug)]
pub struct ClaimedChunk {
    /// Whose job it is.
    pub tenant: TenantId,
    /// The job.
    pub job: i64,
    /// What it does.
    pub kind: JobKind,
    /// Whether it only tries.
    pub dry_run: bool,
    /// What is not in the lines.
    pub payload: Value,
    /// The number of the first line, from 1.
    pub first_line: i32,
    /// The lines; people's passwords are in them.
    pub lines: Secret,
    /// What the job's creator may do now.
    pub(super) creator: Caller,
    chunk: i32,
    claim: Uuid,
}

impl ClaimedChunk {
    /// Whether the account's domain exists for the job's creator.
    pub fn sees(&self, address: &mail_types::Address) -> bool {
        self.creator.sees_domain(&address.domain)
    }

    /// The lines that are not empty, with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (i32, &[u8])> {
        let lines = self.lines.expose().split(|octet| *octet == b'\n');
        (self.first_line..).zip(lines).filter(|(_, line)| !line.trim_ascii().is_empty())
    }
}

/// What a line came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineOutcome {
    /// Its thing was made; in a trial, would have been.
    Made,
    /// Its thing was there as the line says.
    Unchanged,
    /// Why it was refused.
    Refused(Vec<FieldError>),
}

impl LineOutcome {
    /// Refused for one reason.
    pub fn refused(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused(vec![FieldError::new(pointer, code, detail)])
    }
}

#[derive(sqlx::FromRow)]
struct DueRow {
    tenant_id: i32,
    job_id: i64,
    dry_run: bool,
    payload: Value,
    created_by: String,
    tenant_status: i16,
}

#[derive(sqlx::FromRow)]
struct ChunkRow {
    chunk: i32,
    first_line: i32,
    sealed: Vec<u8>,
    attempts: i16,
}

#[derive(sqlx::FromRow)]
struct CreatorRow {
    tenant_id: Option<i32>,
    role: i16,
    scopes: Option<Vec<String>>,
    domains: Option<Vec<String>>,
}

impl Directory {
    /// Claims the next lines of the job of these kinds that was served longest ago; `None`: there is nothing to do. A job whose creator
    /// may not do this any more, or whose lines were tried too often, has failed then.
    pub async fn claim_chunk(&self, kind: JobKind, bounds: WorkBounds) -> Result<Option<ClaimedChunk>> {
        let mut tx = self.pool.begin().await?;
        let Some(job) = due(&mut tx, kind, bounds.at_once).await? else { return Ok(None) };
        let claim = Uuid::from_u128(u128::from_be_bytes(self.random.octets16()));
        let row = sqlx::query_as::<_, ChunkRow>(
            "UPDATE restante.job_chunks SET claimed_by = $3, claimed_until = clock_timestamp() + make_interval(secs => $4), attempts = attempts + 1
              WHERE tenant_id = $1 AND job_id = $2 AND chunk =
                    (SELECT c.chunk FROM restante.job_chunks c
                      WHERE c.tenant_id = $1 AND c.job_id = $2 AND (c.claimed_until IS NULL OR c.claimed_until < clock_timestamp())
                      ORDER BY c.chunk LIMIT 1)
          RETURNING chunk, first_line, sealed, attempts",
        )
        .bind(job.tenant_id)
        .bind(job.job_id)
        .bind(claim)
        .bind(bounds.claim.as_secs_f64())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let tenant = TenantId(job.tenant_id);
        let creator = creator(&mut tx, &job.created_by).await?;
        let may = |creator: &Caller| {
            creator.allows(Permission::JobsWrite)
                && creator.allows(kind.needs())
                && creator.tenant().is_none_or(|own| own == tenant)
        };
        let creator = match creator {
            _ if job.tenant_status == DELETED_TENANT => Err("the tenant is deleted".to_owned()),
            Some(creator) if may(&creator) => Ok(creator),
            _ => Err("who made the job may not do this any more".to_owned()),
        };
        let creator = creator.and_then(|creator| {
            let too_often = u16::try_from(row.attempts).unwrap_or(0) > bounds.attempts;
            let why = || {
                format!(
                    "the lines from {} on failed {} times: the service's log says why",
                    row.first_line,
                    row.attempts - 1
                )
            };
            if too_often { Err(why()) } else { Ok(creator) }
        });
        let creator = match creator {
            Ok(creator) => creator,
            Err(why) => {
                end(&mut tx, tenant, job.job_id, FAILED, Some(&why)).await?;
                tx.commit().await?;
                tracing::warn!(job = job.job_id, why, "a job failed");
                return Ok(None);
            }
        };
        sqlx::query(
            "UPDATE restante.jobs SET state = $3, started_at = coalesce(started_at, clock_timestamp()), run_at = clock_timestamp()
              WHERE tenant_id = $1 AND job_id = $2",
        )
        .bind(tenant.0)
        .bind(job.job_id)
        .bind(RUNNING)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let place = place(tenant, job.job_id, row.chunk);
        let lines = seal::open_for(&self.keys, Purpose::JobLines, &place, &row.sealed)
            .ok_or(Error::Internal("a job's lines cannot be opened: is their master key configured?"))?;
        Ok(Some(ClaimedChunk {
            tenant,
            job: job.job_id,
            kind,
            dry_run: job.dry_run,
            payload: job.payload,
            first_line: row.first_line,
            lines,
            creator,
            chunk: row.chunk,
            claim,
        }))
    }

    /// Keeps a claim for longer. False: it is another's by now, or the job was stopped; what is under way counts no more.
    pub async fn renew_chunk(&self, chunk: &ClaimedChunk, claim: Duration) -> Result<bool> {
        let renewed = sqlx::query(
            "UPDATE restante.job_chunks SET claimed_until = clock_timestamp() + make_interval(secs => $5)
              WHERE tenant_id = $1 AND job_id = $2 AND chunk = $3 AND claimed_by = $4",
        )
        .bind(chunk.tenant.0)
        .bind(chunk.job)
        .bind(chunk.chunk)
        .bind(chunk.claim)
        .bind(claim.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// Gives a chunk back that could not be done now; it is tried again after a pause. What failed by a fault of ours counts as an
    /// attempt, what was only busy or away does not.
    pub async fn give_chunk_back(&self, chunk: &ClaimedChunk, pause: Duration, counts: bool) -> Result<()> {
        sqlx::query(
            "UPDATE restante.job_chunks SET claimed_by = NULL, claimed_until = clock_timestamp() + make_interval(secs => $5),
                    attempts = greatest(attempts - $6, 0)
              WHERE tenant_id = $1 AND job_id = $2 AND chunk = $3 AND claimed_by = $4",
        )
        .bind(chunk.tenant.0)
        .bind(chunk.job)
        .bind(chunk.chunk)
        .bind(chunk.claim)
        .bind(pause.as_secs_f64())
        .bind(i16::from(!counts))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Writes what the lines of a chunk came to, and takes it away. False: the claim is another's by now, or the job was stopped, and
    /// nothing was written.
    pub async fn finish_chunk(&self, chunk: &ClaimedChunk, outcomes: Vec<(i32, LineOutcome)>) -> Result<bool> {
        let Some(tx) = self.take_away(chunk).await? else { return Ok(false) };
        settle(tx, chunk, outcomes).await?;
        Ok(true)
    }

    /// A transaction in which the chunk is gone, with its job locked; `None`: it is not this claim's any more.
    pub(super) async fn take_away(&self, chunk: &ClaimedChunk) -> Result<Option<Transaction<'static, Postgres>>> {
        let mut tx = self.pool.begin().await?;
        // The job first, as who cancels it does.
        let running =
            sqlx::query("SELECT FROM restante.jobs WHERE tenant_id = $1 AND job_id = $2 AND state = $3 FOR UPDATE")
                .bind(chunk.tenant.0)
                .bind(chunk.job)
                .bind(RUNNING)
                .execute(&mut *tx)
                .await?;
        let taken = sqlx::query(
            "DELETE FROM restante.job_chunks WHERE tenant_id = $1 AND job_id = $2 AND chunk = $3 AND claimed_by = $4",
        )
        .bind(chunk.tenant.0)
        .bind(chunk.job)
        .bind(chunk.chunk)
        .bind(chunk.claim)
        .execute(&mut *tx)
        .await?;
        if running.rows_affected() == 1 && taken.rows_affected() == 1 {
            return Ok(Some(tx));
        }
        // Now, not when the connection is used next: the job's lock hides it from who claims.
        tx.rollback().await?;
        Ok(None)
    }

    /// Takes away what nobody needs any more: jobs that ended so long ago, and those whose body never came whole. Answers how many.
    pub async fn sweep_jobs(&self, keep: Duration) -> Result<u64> {
        let swept = sqlx::query(
            "DELETE FROM restante.jobs WHERE (tenant_id, job_id) IN
                    (SELECT tenant_id, job_id FROM restante.jobs
                      WHERE created_by IS NOT NULL
                        AND ((state = ANY ($1) AND ended_at < clock_timestamp() - make_interval(secs => $2))
                             OR (state = $3 AND run_at < clock_timestamp() - $4::interval))
                      LIMIT $5)",
        )
        .bind([DONE, FAILED, CANCELLED].as_slice())
        .bind(keep.as_secs_f64())
        .bind(RECEIVING)
        .bind(GIVEN_UP)
        .bind(SWEPT)
        .execute(&self.pool)
        .await?;
        Ok(swept.rows_affected())
    }
}

/// The column `status` of a tenant that is deleted.
const DELETED_TENANT: i16 = 3;

/// The job that was served longest ago of those with a chunk that is free, locked.
async fn due(tx: &mut PgConnection, kind: JobKind, at_once: u32) -> Result<Option<DueRow>> {
    let row = sqlx::query_as(
        "SELECT j.tenant_id, j.job_id, j.dry_run, j.payload, j.created_by, t.status AS tenant_status
           FROM restante.jobs j JOIN restante.tenants t ON t.tenant_id = j.tenant_id
          WHERE j.state < 2 AND j.kind = $1 AND j.created_by IS NOT NULL
            AND EXISTS (SELECT FROM restante.job_chunks c WHERE c.tenant_id = j.tenant_id AND c.job_id = j.job_id
                           AND (c.claimed_until IS NULL OR c.claimed_until < clock_timestamp()))
            AND (SELECT count(*) FROM restante.job_chunks c WHERE c.tenant_id = j.tenant_id AND c.job_id = j.job_id
                    AND c.claimed_until >= clock_timestamp()) < $2
          ORDER BY j.run_at LIMIT 1 FOR UPDATE OF j SKIP LOCKED",
    )
    .bind(kind.as_str())
    .bind(i64::from(at_once))
    .fetch_optional(tx)
    .await?;
    Ok(row)
}

/// What the creator of a job may do now.
async fn creator(tx: &mut PgConnection, actor: &str) -> Result<Option<Caller>> {
    let row = sqlx::query_as::<_, CreatorRow>(
        "SELECT tenant_id, role, scopes, domains FROM restante.worker_job_creator_1($1)",
    )
    .bind(actor)
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let role = Role::from_code(row.role).ok_or_else(|| inconsistent("api_keys", "role"))?;
    let reach = row.tenant_id.map_or(Reach::Platform, |tenant| Reach::Tenant(TenantId(tenant)));
    let mut caller = Caller::new(reach, role, actor.to_owned(), None, Uuid::nil());
    // None, or an empty list as the first release wrote it: all that the role has. A word that is not known gives nothing.
    let scopes = row.scopes.filter(|scopes| !scopes.is_empty());
    caller.scopes = scopes.map(|scopes| scopes.iter().filter_map(|word| Permission::parse(word)).collect());
    let domains = row.domains.map(|names| names.iter().filter_map(|name| DomainName::parse(name).ok()).collect());
    caller.domains = domains;
    Ok(Some(caller))
}

/// Writes what the lines came to. The last chunk ends the job.
pub(super) async fn settle(
    mut tx: Transaction<'static, Postgres>,
    chunk: &ClaimedChunk,
    outcomes: Vec<(i32, LineOutcome)>,
) -> Result<()> {
    let (mut made, mut unchanged, mut failed) = (0_i32, 0_i32, 0_i32);
    let (mut lines, mut nths, mut pointers, mut codes, mut details) = (vec![], vec![], vec![], vec![], vec![]);
    for (line, outcome) in outcomes {
        match outcome {
            LineOutcome::Made => made += 1,
            LineOutcome::Unchanged => unchanged += 1,
            LineOutcome::Refused(errors) => {
                failed += 1;
                for (nth, error) in kept(errors) {
                    lines.push(line);
                    nths.push(nth);
                    pointers.push(error.pointer);
                    codes.push(error.code);
                    details.push(error.detail);
                }
            }
        }
    }
    if !lines.is_empty() {
        sqlx::query(
            "INSERT INTO restante.job_errors (tenant_id, job_id, line, nth, pointer, code, detail)
             SELECT $1, $2, u.* FROM unnest($3::integer[], $4::smallint[], $5::text[], $6::text[], $7::text[]) u",
        )
        .bind(chunk.tenant.0)
        .bind(chunk.job)
        .bind(lines)
        .bind(nths)
        .bind(pointers)
        .bind(codes)
        .bind(details)
        .execute(&mut *tx)
        .await?;
    }
    let left: bool = sqlx::query_scalar(
        "UPDATE restante.jobs SET made = made + $3, unchanged = unchanged + $4, failed = failed + $5 WHERE tenant_id = $1 AND job_id = $2
      RETURNING EXISTS (SELECT FROM restante.job_chunks WHERE tenant_id = $1 AND job_id = $2)",
    )
    .bind(chunk.tenant.0)
    .bind(chunk.job)
    .bind(made)
    .bind(unchanged)
    .bind(failed)
    .fetch_one(&mut *tx)
    .await?;
    if !left {
        end(&mut tx, chunk.tenant, chunk.job, DONE, None).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Ends a job: what was still to be done, and its secrets, are wiped.
async fn end(tx: &mut PgConnection, tenant: TenantId, job: i64, state: i16, why: Option<&str>) -> Result<()> {
    sqlx::query(
        "UPDATE restante.jobs SET state = $3, last_error = $4, ended_at = clock_timestamp() WHERE tenant_id = $1 AND job_id = $2",
    )
    .bind(tenant.0)
    .bind(job)
    .bind(state)
    .bind(why)
    .execute(&mut *tx)
    .await?;
    wipe(tx, tenant, job).await
}

/// Takes away what is left of a job's body, and what a trial noted.
pub(super) async fn wipe(tx: &mut PgConnection, tenant: TenantId, job: i64) -> Result<()> {
    for wipe in [
        "DELETE FROM restante.job_chunks WHERE tenant_id = $1 AND job_id = $2",
        "DELETE FROM restante.job_tried WHERE tenant_id = $1 AND job_id = $2",
    ] {
        sqlx::query(wipe).bind(tenant.0).bind(job).execute(&mut *tx).await?;
    }
    Ok(())
}
