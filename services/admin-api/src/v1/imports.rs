//! `/v1/imports`: what takes longer than a request is taken in, kept and done by workers.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use directory::{JobFilter, JobKind, JobState, NewJob};
use futures_util::StreamExt as _;

use self::receive::Receiving;
use crate::AppState;
use crate::answer::{Done, list as page};
use crate::bodies::{
    AccountLine, ImportBody, ImportErrorBody, ImportKindWord, ImportStateWord, MigratedAccountBody, MigrationNew,
};
use crate::caller::Caller;
use crate::extract::{Bodiless, Params, Repeatable, RequestHash, Submitted, opaque, require_media_type};
use crate::guard::JobTrial;
use crate::once::once;
use crate::openapi::{ImportErrorList, ImportList, MigratedAccountList, PageParams, Problems};
use crate::problem::{Kind, Problem};

mod migration;
mod receive;

const NDJSON: &str = "application/x-ndjson";

/// Import accounts, one JSON object a line; or bring over the mail of another server.
///
/// As `application/x-ndjson` the body is accounts, as `application/json` a migration. It is kept, sealed, and a worker does its lines, some hundred in a transaction, each with a verdict of its own: 202 and where to look.
/// Sent again, it changes nothing that is there already, so a body with mended lines is simply sent whole. The rights of who made the job
/// are judged when it runs. With `dry_run` the job checks every line as the import would, and makes nothing.
#[utoipa::path(post, path = "/v1/imports", tag = "imports",
    params(("tenant" = Option<String>, Query, description = "Whose it is to be; a tenant's own key may leave it out"),
        ("dry_run" = Option<bool>, Query, description = "A job that checks every line and makes nothing")),
    request_body(content((AccountLine = "application/x-ndjson"), (MigrationNew = "application/json"))),
    responses((status = 202, body = ImportBody, headers(("Location", description = "Its path"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = params.tenant()?;
    let dry_run = request.extensions().get::<JobTrial>().is_some();
    require_media_type(request.headers(), &[NDJSON, "application/json"])?;
    if require_media_type(request.headers(), &[NDJSON]).is_err() {
        let submitted = Submitted::from_request(request, &state).await?;
        return migration::create(&state, &caller, tenant, dry_run, submitted).await;
    }
    let (parts, body) = request.into_parts();
    let new = NewJob { kind: JobKind::AccountsImport, tenant, dry_run, payload: serde_json::json!({}) };
    let mut hash = RequestHash::new(&parts);
    let mut receiving = Receiving::begin(&state, &caller, &new, state.config.imports.batch_lines).await?;
    take_in(body, &mut hash, &mut receiving).await?;
    queue(&state, &caller, receiving, hash.repeatable(&parts.headers)?).await
}

/// Takes the body in as it comes.
async fn take_in(body: Body, hash: &mut RequestHash, receiving: &mut Receiving) -> Result<(), Problem> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::with_detail(Kind::BadRequest, "the body ended early"))?;
        hash.update(&chunk);
        receiving.write(&chunk).await?;
    }
    receiving.end().await
}

/// The body is whole: a job, unless the same request made one before.
async fn queue(
    state: &AppState,
    caller: &directory::Caller,
    receiving: Receiving,
    repeatable: Repeatable,
) -> Result<Response, Problem> {
    let now = now(state);
    once(state, caller, repeatable, async move {
        let job = receiving.queue().await?;
        let location = format!("/v1/imports/job_{}", job.id);
        Ok(Done { status: StatusCode::ACCEPTED, ..Done::created(location, ImportBody::at(job, now))? })
    })
    .await
}

/// List imports and migrations, the newest first.
#[utoipa::path(get, path = "/v1/imports", tag = "imports",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("kind" = Option<ImportKindWord>, Query, description = "Of this kind only"),
        ("state" = Option<ImportStateWord>, Query, description = "In this state only")),
    responses((status = 200, body = ImportList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = JobFilter {
        tenant: params.tenant()?,
        kind: params
            .parsed("kind", |word| JobKind::parse(word).ok_or("must be accounts-import or maildrop-migration"))?,
        state: params.parsed("state", |word| {
            JobState::parse(word).ok_or("must be queued, running, done, failed or cancelled")
        })?,
    };
    let now = now(&state);
    let jobs = state.directory.jobs(&caller, &filter, &request).await?;
    Ok(page(jobs.map(|job| ImportBody::at(job, now))).into_response())
}

/// Read how far an import is.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports", params(("id" = String, Path)),
    responses((status = 200, body = ImportBody), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Json<ImportBody>, Problem> {
    let job = state.directory.job(&caller, opaque(&path, "job")?).await?;
    Ok(Json(ImportBody::at(job, now(&state))))
}

/// List why lines of an import were refused, by line.
#[utoipa::path(get, path = "/v1/imports/{id}/errors", tag = "imports", params(("id" = String, Path), PageParams),
    responses((status = 200, body = ImportErrorList), Problems))]
pub(super) async fn errors(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let errors = state.directory.job_errors(&caller, opaque(&path, "job")?, &request).await?;
    Ok(page(errors.map(ImportErrorBody::from)).into_response())
}

/// List how far a migration is with each account that was begun, in their order.
#[utoipa::path(get, path = "/v1/imports/{id}/accounts", tag = "imports", params(("id" = String, Path), PageParams),
    responses((status = 200, body = MigratedAccountList), Problems))]
pub(super) async fn accounts(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let accounts = state.directory.migrated_accounts(&caller, opaque(&path, "job")?, &request).await?;
    Ok(page(accounts.map(MigratedAccountBody::from)).into_response())
}

/// Stop an import: what was done stays, what was still to be done is wiped. One that has ended is not changed.
#[utoipa::path(post, path = "/v1/imports/{id}/cancel", tag = "imports", params(("id" = String, Path)),
    responses((status = 200, body = ImportBody), Problems))]
pub(super) async fn cancel(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let id = opaque(&path, "job")?;
    let (directory, by, now) = (state.directory.clone(), caller.clone(), now(&state));
    once(
        &state,
        &caller,
        repeatable,
        async move { Done::ok(ImportBody::at(directory.cancel_job(&by, id).await?, now)) },
    )
    .await
}

fn now(state: &AppState) -> DateTime<Utc> {
    super::messages::time(state.clock.now())
}
