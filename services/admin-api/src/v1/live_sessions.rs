//! `/v1/live-sessions` and `/v1/accounts/{address}/live-sessions`: who is connected now, and ending it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::LiveSessionFilter;
use mail_types::Address;

use crate::AppState;
use crate::answer::list as page;
use crate::bodies::{EndedBody, LiveSessionBody};
use crate::caller::Caller;
use crate::extract::{Params, address, session};
use crate::openapi::{LiveSessionList, PageParams, Problems};
use crate::problem::Problem;

/// List sessions under way over all frontends, by account.
///
/// A session shows when it is some seconds old; what it fetched is some seconds behind. Most polls are over before they show.
#[utoipa::path(get, path = "/v1/live-sessions", tag = "sessions",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("domain" = Option<String>, Query, description = "In this domain only"),
        ("account" = Option<String>, Query, description = "Of this account only, by its address", example = "alice@acme.test")),
    responses((status = 200, body = LiveSessionList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let (tenant, domain, account) = (params.tenant()?, params.domain()?, params.parsed("account", Address::parse)?);
    let filter = LiveSessionFilter { tenant, domain, account };
    let sessions = state.directory.live_sessions(&caller, &filter, &request).await?;
    Ok(page(sessions.map(LiveSessionBody::from)).into_response())
}

/// List an account's sessions under way.
#[utoipa::path(get, path = "/v1/accounts/{address}/live-sessions", operation_id = "list", tag = "sessions",
    params(("address" = String, Path), PageParams), responses((status = 200, body = LiveSessionList), Problems))]
pub(super) async fn list_of_account(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = LiveSessionFilter { account: Some(address(&path)?), ..LiveSessionFilter::default() };
    let sessions = state.directory.live_sessions(&caller, &filter, &request).await?;
    Ok(page(sessions.map(LiveSessionBody::from)).into_response())
}

/// End a session.
///
/// Its frontend learns it within seconds: the next command, QUIT too, is answered `-ERR [SYS/TEMP]` and the connection closed, and a
/// client that says nothing is disconnected. Nothing that it marked is deleted. It may log in again; to keep it out, revoke its
/// credential or suspend its account, which ends its sessions as well.
#[utoipa::path(delete, path = "/v1/live-sessions/{id}", tag = "sessions", params(("id" = String, Path)),
    responses((status = 202, description = "It ends within seconds"), Problems))]
pub(super) async fn end(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    state.directory.end_session(&caller, session(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// End all sessions of an account, as one by one.
#[utoipa::path(delete, path = "/v1/accounts/{address}/live-sessions", operation_id = "end", tag = "sessions",
    params(("address" = String, Path)), responses((status = 200, body = EndedBody), Problems))]
pub(super) async fn end_of_account(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Json<EndedBody>, Problem> {
    let sessions = state.directory.end_sessions(&caller, &address(&path)?).await?;
    Ok(Json(EndedBody { sessions }))
}
