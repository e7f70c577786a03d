//! `/v1/sessions`: the sign-ins of people.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::AppState;
use crate::answer::list as page;
use crate::bodies::SignInSessionBody;
use crate::caller::Caller;
use crate::extract::{Params, opaque, session};
use crate::openapi::{PageParams, Problems, SignInSessionList};
use crate::problem::Problem;

/// List sign-ins under way, those begun last first.
///
/// One's own; with the permission `admins:read`, those of all administrators that the caller reaches.
#[utoipa::path(get, path = "/v1/sessions", tag = "sign-in",
    params(PageParams, ("admin" = Option<String>, Query, description = "Of this administrator only", example = "adm_7")),
    responses((status = 200, body = SignInSessionList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let admin = params.parsed("admin", |text| opaque(text, "adm").map_err(|_| "must be the id of an administrator"))?;
    let sessions = state.directory.sign_in_sessions(&caller, admin, &request).await?;
    Ok(page(sessions.map(SignInSessionBody::from)).into_response())
}

/// End a sign-in: the next request with its token is refused.
///
/// One's own; with the permission `admins:write`, that of somebody who may do no more than the caller.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sign-in",
    params(("id" = String, Path, example = "sess_0123456789abcdef0123456789abcdef")),
    responses((status = 204, description = "Ended"), Problems))]
pub(super) async fn end(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    state.directory.end_sign_in(&caller, session(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
