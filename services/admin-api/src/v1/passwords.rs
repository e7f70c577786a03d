//! `/v1/accounts/{address}/password`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use directory::NewPassword;

use crate::AppState;
use crate::bodies::PasswordSet;
use crate::caller::Caller;
use crate::extract::{IfMatch, Submitted, address};
use crate::fields::text;
use crate::openapi::Problems;
use crate::problem::Problem;

/// Set an account's password in place of the one before.
///
/// In clear, or as another server hashed it. App passwords stay. The next login with the old password is refused.
#[utoipa::path(put, path = "/v1/accounts/{address}/password", tag = "credentials",
    params(("address" = String, Path), ("If-Match" = Option<String>, Header)), request_body = PasswordSet,
    responses((status = 204, description = "Set"), Problems))]
pub(super) async fn set(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<StatusCode, Problem> {
    // One of the two; the other one is then a field that is not there.
    let password = if fields.has("hash") {
        fields.required("hash", text).map(|hash| NewPassword::Hashed(hash.into()))
    } else {
        fields.required("password", text).map(|password| NewPassword::Clear(password.into()))
    };
    let password = fields.done(password)?;
    state.directory.set_password(&caller, &address(&path)?, password, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take an account's password away; app passwords stay.
#[utoipa::path(delete, path = "/v1/accounts/{address}/password", tag = "credentials",
    params(("address" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Removed, or there was none"), Problems))]
pub(super) async fn remove(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.remove_password(&caller, &address(&path)?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
