//! Work that goes over everything, in slices (`jobs`; role worker): one row a kind, made by the migrations. A slice is claimed in a
//! short transaction and done in none; a claim that its worker did not live to give back ends by itself.

use std::time::Duration;

use runtime::database::Pool;

use super::named;
use crate::Error;

/// How long a slice is a worker's own.
const CLAIM: Duration = Duration::from_secs(600);

/// The next slice of a pass.
#[derive(Debug)]
pub(crate) struct Slice {
    job: i64,
    /// Where it begins; `None` at the beginning of a pass.
    pub(crate) at: Option<String>,
}

/// Where a pass stands after a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The next slice begins here.
    At(String),
    /// Nothing was done: the slice is the next one's.
    Same,
    /// The pass is over; the next one begins after this time.
    Over(Duration),
}

/// Claims the next slice of this kind; `None` while no pass is due or another worker is at it.
pub(crate) async fn claim(pool: &Pool, kind: &'static str) -> Result<Option<Slice>, Error> {
    let row: Option<(i64, Option<String>)> = named(
        "claim_job",
        sqlx::query_as(
            "UPDATE restante.jobs SET state = 1, claimed_until = clock_timestamp() + make_interval(secs => $2) \
              WHERE (tenant_id, job_id) IN (SELECT j.tenant_id, j.job_id FROM restante.jobs j \
                     WHERE j.tenant_id = 0 AND j.kind = $1 AND j.run_at <= clock_timestamp() \
                       AND (j.claimed_until IS NULL OR j.claimed_until < clock_timestamp()) \
                     ORDER BY j.job_id LIMIT 1 FOR UPDATE SKIP LOCKED) \
             RETURNING job_id, progress ->> 'at'",
        )
        .bind(kind)
        .bind(CLAIM.as_secs_f64())
        .fetch_optional(pool),
    )
    .await?;
    Ok(row.map(|(job, at)| Slice { job, at }))
}

/// Gives the claim back. One that ended meanwhile is given back all the same: a slice may be done twice.
pub(crate) async fn give_back(pool: &Pool, slice: &Slice, progress: &Progress) -> Result<(), Error> {
    let (at, again) = match progress {
        Progress::At(at) => (Some(at.as_str()), Duration::ZERO),
        Progress::Same => (slice.at.as_deref(), Duration::ZERO),
        Progress::Over(again) => (None, *again),
    };
    named(
        "give_back_job",
        sqlx::query(
            "UPDATE restante.jobs SET state = 0, claimed_until = NULL, run_at = clock_timestamp() + make_interval(secs => $3), \
                    progress = CASE WHEN $2::text IS NULL THEN NULL ELSE jsonb_build_object('at', $2::text) END \
              WHERE tenant_id = 0 AND job_id = $1",
        )
        .bind(slice.job)
        .bind(at)
        .bind(again.as_secs_f64())
        .execute(pool),
    )
    .await
    .map(drop)
}
