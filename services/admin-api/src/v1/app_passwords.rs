//! `/v1/accounts/{address}/app-passwords`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{NewAppPassword, Page, Scope};
use mail_types::CredentialId;

use crate::AppState;
use crate::answer::{Done, list as page, segment};
use crate::bodies::{AppPasswordBody, AppPasswordIssued, AppPasswordNew};
use crate::caller::Caller;
use crate::extract::{Submitted, address, network, opaque};
use crate::fields::{Fields, boolean, parsed, text, time, word};
use crate::once::once;
use crate::openapi::{AppPasswordList, Problems};
use crate::policies::{Of, new_policy};
use crate::problem::{Kind, Problem};

const SCOPES: &[(&str, Scope)] = &[("read", Scope::Read), ("delete", Scope::Delete)];

/// Make an app password: the credential for one mail client.
///
/// The secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/accounts/{address}/app-passwords", tag = "credentials",
    params(("address" = String, Path)), request_body = AppPasswordNew,
    responses((status = 201, body = AppPasswordIssued, headers(("Location", description = "Its path"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let (new, address) = (read(fields)?, address(&path)?);
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let issued = directory.create_app_password(&by, &address, new).await?;
        let body = AppPasswordBody::from(issued.app_password.clone());
        let location =
            format!("/v1/accounts/{}/app-passwords/cred_{}", segment(&address.to_string()), issued.app_password.id);
        Ok(Done::created(location, body)?.secret(issued.secret))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewAppPassword, Problem> {
    let name = fields.required("name", text);
    let scopes = fields.optional_list("scopes", word(SCOPES)).unwrap_or_else(|| vec![Scope::Read, Scope::Delete]);
    let networks = fields.optional_list("allowed_networks", parsed(network)).unwrap_or_default();
    let expires_at = fields.optional("expires_at", time);
    let policy = new_policy(&mut fields, Of::Device);
    let legacy = fields.optional("legacy", boolean).unwrap_or_default();
    fields.done(name.map(|name| NewAppPassword {
        name,
        scopes,
        allowed_networks: networks,
        expires_at,
        policy,
        legacy,
    }))
}

/// List an account's app passwords, in the order they were made.
#[utoipa::path(get, path = "/v1/accounts/{address}/app-passwords", tag = "credentials",
    params(("address" = String, Path)), responses((status = 200, body = AppPasswordList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    // At most 100: one page.
    let all = state.directory.app_passwords(&caller, &address(&path)?).await?;
    let items = all.into_iter().map(AppPasswordBody::from).collect();
    Ok(page(Page { items, next_cursor: None }).into_response())
}

/// Read an app password.
#[utoipa::path(get, path = "/v1/accounts/{address}/app-passwords/{id}", tag = "credentials",
    params(("address" = String, Path), ("id" = String, Path)), responses((status = 200, body = AppPasswordBody), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, id)): Path<(String, String)>,
) -> Result<Json<AppPasswordBody>, Problem> {
    let id = CredentialId(opaque(&id, "cred")?);
    let all = state.directory.app_passwords(&caller, &address(&path)?).await?;
    let one = all.into_iter().find(|one| one.id == id).ok_or_else(|| Problem::new(Kind::NotFound))?;
    Ok(Json(one.into()))
}

/// Revoke an app password: the next login with it is refused.
#[utoipa::path(delete, path = "/v1/accounts/{address}/app-passwords/{id}", tag = "credentials",
    params(("address" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "Revoked"), Problems))]
pub(super) async fn revoke(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = CredentialId(opaque(&id, "cred")?);
    state.directory.revoke_app_password(&caller, &address(&path)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
