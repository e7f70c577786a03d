//! `/v1/accounts/{address}/sessions`: who fetched and expunged, and undoing what a session expunged.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use mail_types::SessionUuid;
use mailstore::Selection;

use super::expunged::restoring;
use crate::AppState;
use crate::answer::list as page;
use crate::bodies::{RestoredBody, SessionBody};
use crate::caller::Caller;
use crate::extract::{Bodiless, Params, address, session};
use crate::once::once;
use crate::openapi::{PageParams, Problems, SessionList};
use crate::problem::{Kind, Problem};

/// List an account's sessions that fetched or expunged messages, those begun last first.
///
/// A session under way is not among them, nor is one that only looked.
#[utoipa::path(get, path = "/v1/accounts/{address}/sessions", tag = "sessions",
    params(("address" = String, Path), PageParams), responses((status = 200, body = SessionList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let after: Option<(DateTime<Utc>, String)> = request.after()?;
    let after = match after {
        None => None,
        Some((at, id)) => {
            let invalid = || Problem::field("/cursor", "invalid", "this is not a cursor of this list");
            Some((at, SessionUuid::parse(&id).ok_or_else(invalid)?))
        }
    };
    let rows = state.mailstore.sessions(account.tenant_id, account.id, after, request.limit + 1).await?;
    let rows = request.page(rows, |row| (row.started_at, row.session.to_string()));
    Ok(page(rows.map(SessionBody::from)).into_response())
}

/// Undo a session: restore what it expunged.
///
/// The same as `POST …/messages/restore` with this `session`; without a body.
#[utoipa::path(post, path = "/v1/accounts/{address}/sessions/{id}/undo", tag = "sessions",
    params(("address" = String, Path), ("id" = String, Path)), responses((status = 200, body = RestoredBody), Problems))]
pub(super) async fn undo(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, id)): Path<(String, String)>,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let session = session(&id)?;
    if !state.mailstore.has_session(account.tenant_id, account.id, session).await? {
        return Err(Problem::new(Kind::NotFound));
    }
    let restoring = restoring(&state, &caller, &account, Selection::Session(session));
    once(&state, &caller, repeatable, restoring).await
}
