//! `/v1/accounts/{address}/transcripts`: what sessions say, without secrets and mail, for a limited time.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::AppState;
use crate::answer::Done;
use crate::bodies::{TranscribingBody, TranscriptBody, TranscriptList, TranscriptWhole, TranscriptsBegin};
use crate::caller::Caller;
use crate::extract::{Params, Submitted, address, session};
use crate::fields::integer;
use crate::once::once;
use crate::openapi::{PageParams, Problems};
use crate::problem::Problem;

/// Write down what an account's sessions say that begin in the next minutes.
///
/// Commands and replies, with the time of each; secrets, SASL data and mail are never in it. Who tries to log in to the account and fails
/// is written down too. Again changes the time. Audited; what was written is deleted after some days.
#[utoipa::path(post, path = "/v1/accounts/{address}/transcripts", tag = "sessions",
    params(("address" = String, Path)), request_body = TranscriptsBegin,
    responses((status = 200, body = TranscribingBody), Problems))]
pub(super) async fn begin(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    Submitted { mut fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let minutes = fields.required("minutes", integer(1, 60));
    let (minutes, address) = (fields.done(minutes)?, address(&path)?);
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let until = directory.transcribe(&by, &address, minutes).await?;
        Done::ok(TranscribingBody { until })
    })
    .await
}

/// List the sessions that were written down, those that ended last first.
#[utoipa::path(get, path = "/v1/accounts/{address}/transcripts", tag = "sessions",
    params(("address" = String, Path), PageParams), responses((status = 200, body = TranscriptList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Json<TranscriptList>, Problem> {
    let request = params.page()?;
    let (until, page) = state.directory.transcripts(&caller, &address(&path)?, &request).await?;
    let items = page.items.into_iter().map(TranscriptBody::from).collect();
    Ok(Json(TranscriptList { until, items, next_cursor: page.next_cursor }))
}

/// Read what a session said.
#[utoipa::path(get, path = "/v1/accounts/{address}/transcripts/{id}", tag = "sessions",
    params(("address" = String, Path), ("id" = String, Path)), responses((status = 200, body = TranscriptWhole), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, id)): Path<(String, String)>,
) -> Result<Json<TranscriptWhole>, Problem> {
    let transcript = state.directory.transcript(&caller, &address(&path)?, session(&id)?).await?;
    Ok(Json(transcript.into()))
}

/// Delete what a session said.
#[utoipa::path(delete, path = "/v1/accounts/{address}/transcripts/{id}", tag = "sessions",
    params(("address" = String, Path), ("id" = String, Path)), responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    state.directory.delete_transcripts(&caller, &address(&path)?, Some(session(&id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Write nothing down any more, and delete what was.
#[utoipa::path(delete, path = "/v1/accounts/{address}/transcripts", tag = "sessions",
    params(("address" = String, Path)), responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn end(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<StatusCode, Problem> {
    state.directory.delete_transcripts(&caller, &address(&path)?, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
