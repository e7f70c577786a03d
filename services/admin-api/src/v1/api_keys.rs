//! `/v1/api-keys`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{ApiKeyChange, NewApiKey, Permission};
use mail_types::{DomainName, TenantSlug};

use super::admins::ROLES;
use crate::AppState;
use crate::answer::{Done, list as page, versioned};
use crate::bodies::{ApiKeyBody, ApiKeyIssued, ApiKeyNew, ApiKeyPatch};
use crate::caller::Caller;
use crate::extract::{IfMatch, Params, Submitted, network, opaque};
use crate::fields::{Fields, parsed, text, time, word};
use crate::once::once;
use crate::openapi::{ApiKeyList, PageParams, Problems};
use crate::problem::Problem;

/// Make an API key.
///
/// The secret is in this answer and nowhere else. A tenant's own caller makes keys of its tenant only, and nobody one that may do more
/// than they may. Without scopes a key may all that its role may, but read mail itself: for that, name `messages:raw`.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", request_body = ApiKeyNew,
    responses((status = 201, body = ApiKeyIssued, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let issued = directory.create_api_key(&by, new).await?;
        let (version, location) = (issued.key.version, format!("/v1/api-keys/key_{}", issued.key.id));
        Ok(Done::created(location, ApiKeyBody::from(issued.key))?.version(version).secret(issued.secret))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewApiKey, Problem> {
    let name = fields.required("name", text);
    let tenant = fields.optional("tenant", parsed(TenantSlug::parse));
    let role = fields.required("role", word(ROLES));
    let expires_at = fields.optional("expires_at", time);
    let scopes = fields.optional_list("scopes", parsed(permission));
    let domains = fields.optional_list("domains", parsed(DomainName::parse)).unwrap_or_default();
    let allowed_networks = fields.optional_list("allowed_networks", parsed(network)).unwrap_or_default();
    let new = name.zip(role);
    fields.done(new.map(|(name, role)| NewApiKey { name, tenant, role, scopes, domains, allowed_networks, expires_at }))
}

fn permission(word: &str) -> Result<Permission, &'static str> {
    Permission::parse(word).ok_or("must be a permission: accounts:read")
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
    responses((status = 200, body = ApiKeyBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let key = state.directory.api_key(&caller, opaque(&id, "key")?).await?;
    let version = key.version;
    Ok(versioned(ApiKeyBody::from(key), version))
}

/// Change an API key: its name, its networks, its end. What it may do never changes.
#[utoipa::path(patch, path = "/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = ApiKeyPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = ApiKeyBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let name = fields.replace("name", text);
    let allowed_networks = fields.change_list("allowed_networks", parsed(network)).map(Option::unwrap_or_default);
    let expires_at = fields.change("expires_at", time);
    let change = fields.done(Some(ApiKeyChange { name, allowed_networks, expires_at }))?;
    let key = state.directory.change_api_key(&caller, opaque(&id, "key")?, change, &precondition).await?;
    let version = key.version;
    Ok(versioned(ApiKeyBody::from(key), version))
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
