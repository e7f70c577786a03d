//! `/v1/me`: what callers learn and change of themselves.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use directory::Me;
use mail_types::Secret;
use serde_json::json;

use crate::AppState;
use crate::answer::Done;
use crate::bodies::{MeBody, OwnPassword, OwnPasswordSet, RecoveryCodes, TotpConfirm, TotpOffered};
use crate::caller::Caller;
use crate::extract::Submitted;
use crate::fields::{Fields, text};
use crate::once::once;
use crate::openapi::Problems;
use crate::problem::Problem;

/// Read who you are, and what you may do.
#[utoipa::path(get, path = "/v1/me", tag = "me", responses((status = 200, body = MeBody), Problems))]
pub(super) async fn get(State(state): State<AppState>, Caller(caller): Caller) -> Result<Json<MeBody>, Problem> {
    Ok(Json(state.directory.me(&caller).await?.into()))
}

/// Change your password. Your other sign-ins end.
#[utoipa::path(put, path = "/v1/me/password", operation_id = "set", tag = "me", request_body = OwnPasswordSet,
    responses((status = 204, description = "Changed"), Problems))]
pub(super) async fn set_password(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { mut fields, .. }: Submitted,
) -> Result<StatusCode, Problem> {
    let current = fields.required("current_password", text).map(Secret::from);
    let new = fields.required("new_password", text).map(Secret::from);
    let (current, new) = fields.done(current.zip(new))?;
    state.directory.change_own_password(&caller, &current, &new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ask for a secret for an authenticator (RFC 6238), with your password.
///
/// It is in this answer and nowhere else, and in force when `PUT /v1/me/totp` has confirmed a code of it.
#[utoipa::path(post, path = "/v1/me/totp", operation_id = "offer", tag = "me", request_body = OwnPassword,
    responses((status = 200, body = TotpOffered), Problems))]
pub(super) async fn offer_totp(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let password = own_password(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let offer = directory.offer_totp(&by, &password).await?;
        let done = Done::ok(json!({}))?;
        if by.is_trying() {
            return Ok(done);
        }
        let uri = offer.uri.expose_str().unwrap_or_default().to_owned();
        Ok(done.show("otpauth_uri", uri).secret(offer.secret))
    })
    .await
}

/// Confirm a code: from now on your password needs one at each sign-in. Your other sign-ins end.
///
/// The recovery codes are in this answer and nowhere else.
#[utoipa::path(put, path = "/v1/me/totp", operation_id = "confirm", tag = "me", request_body = TotpConfirm,
    responses((status = 200, body = RecoveryCodes), Problems))]
pub(super) async fn confirm_totp(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Done, Problem> {
    let code = fields.required("code", text).map(Secret::from);
    let code = fields.done(code)?;
    let codes = state.directory.confirm_totp(&caller, &code).await?;
    let done = Done::ok(json!({}))?;
    Ok(if caller.is_trying() { done } else { done.show("recovery_codes", codes) })
}

/// Do without one-time codes from now on, with your password.
#[utoipa::path(post, path = "/v1/me/totp/remove", operation_id = "remove", tag = "me", request_body = OwnPassword,
    responses((status = 200, description = "Removed, or there was none", body = MeBody), Problems))]
pub(super) async fn remove_totp(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let password = own_password(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        directory.remove_own_totp(&by, &password).await?;
        // A trial has taken nothing away: what is read then still has them.
        Done::ok(MeBody::from(Me { has_totp: false, ..directory.me(&by).await? }))
    })
    .await
}

/// Make new recovery codes in place of those before, with your password.
#[utoipa::path(post, path = "/v1/me/totp/recovery-codes", operation_id = "renew", tag = "me", request_body = OwnPassword,
    responses((status = 200, body = RecoveryCodes), Problems))]
pub(super) async fn new_recovery_codes(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let password = own_password(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let codes = directory.new_recovery_codes(&by, &password).await?;
        let done = Done::ok(json!({}))?;
        Ok(if by.is_trying() { done } else { done.show("recovery_codes", codes) })
    })
    .await
}

fn own_password(mut fields: Fields) -> Result<Secret, Problem> {
    let password = fields.required("password", text).map(Secret::from);
    fields.done(password)
}
