//! `/v1/api-keys`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{NewApiKey, Role};
use mail_types::TenantSlug;

use crate::AppState;
use crate::answer::{Done, list as page};
use crate::bodies::{ApiKeyBody, ApiKeyIssued, ApiKeyNew};
use crate::caller::Caller;
use crate::extract::{Params, Submitted, opaque};
use crate::fields::{Fields, parsed, text, time, word};
use crate::once::once;
use crate::openapi::{ApiKeyList, PageParams, Problems};
use crate::problem::Problem;

const ROLES: &[(&str, Role)] = &[
    ("platform-admin", Role::PlatformAdmin),
    ("tenant-admin", Role::TenantAdmin),
    ("helpdesk", Role::Helpdesk),
    ("auditor", Role::Auditor),
];

/// Make an API key.
///
/// The secret is in this answer and nowhere else. A tenant's own key makes keys of its tenant only.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", request_body = ApiKeyNew,
    responses((status = 201, body = ApiKeyIssued, headers(("Location", description = "Its path"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let issued = directory.create_api_key(&by, new).await?;
        let location = format!("/v1/api-keys/key_{}", issued.key.id);
        Ok(Done::created(location, ApiKeyBody::from(issued.key))?.secret(issued.secret))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewApiKey, Problem> {
    let name = fields.required("name", text);
    let tenant = fields.optional("tenant", parsed(TenantSlug::parse));
    let role = fields.required("role", word(ROLES));
    let expires_at = fields.optional("expires_at", time);
    fields.done(name.zip(role).map(|(name, role)| NewApiKey { name, tenant, role, expires_at }))
}

/// List the API keys that are not revoked, in the order they were made.
#[utoipa::path(get, path = "/v1/api-keys", tag = "api-keys",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only")),
    responses((status = 200, body = ApiKeyList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let (request, tenant) = (params.page()?, params.tenant()?);
    let keys = state.directory.api_keys(&caller, tenant.as_ref(), &request).await?;
    Ok(page(keys.map(ApiKeyBody::from)).into_response())
}

/// Read an API key.
#[utoipa::path(get, path = "/v1/api-keys/{id}", tag = "api-keys", params(("id" = String, Path)),
    responses((status = 200, body = ApiKeyBody), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<ApiKeyBody>, Problem> {
    Ok(Json(state.directory.api_key(&caller, opaque(&id, "key")?).await?.into()))
}

/// Revoke an API key: the next request with it is refused.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "api-keys", params(("id" = String, Path)),
    responses((status = 204, description = "Revoked"), Problems))]
pub(super) async fn revoke(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    state.directory.revoke_api_key(&caller, opaque(&id, "key")?).await?;
    Ok(StatusCode::NO_CONTENT)
}
