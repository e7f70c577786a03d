//! `/v1/tenants`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{NewTenant, TenantChange, TenantFilter, TenantStatus};
use mail_types::TenantSlug;

use crate::AppState;
use crate::answer::{Done, list as page, segment, versioned};
use crate::bodies::{Status, TenantBody, TenantNew, TenantPatch, TenantUsage};
use crate::caller::Caller;
use crate::extract::{Bodiless, IfMatch, Params, Submitted, one_of, slug};
use crate::fields::{Fields, parsed, text, word};
use crate::once::once;
use crate::openapi::{PageParams, Problems, TenantList};
use crate::policies::{Of, new_policy, policy_change};
use crate::problem::Problem;
use crate::quotas::{self, new_quota, quota_change};

const STATUS: &[(&str, TenantStatus)] = &[("active", TenantStatus::Active), ("suspended", TenantStatus::Suspended)];

const ALL_STATUS: &[(&str, TenantStatus)] =
    &[("active", TenantStatus::Active), ("suspended", TenantStatus::Suspended), ("deleted", TenantStatus::Deleted)];

/// Make a tenant.
///
/// Platform administrators only. A slug is given out once, and not again after its tenant was deleted.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = TenantNew,
    responses((status = 201, body = TenantBody, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let tenant = directory.create_tenant(&by, new).await?;
        let version = tenant.version;
        let location = format!("/v1/tenants/{}", segment(tenant.slug.as_str()));
        Ok(Done::created(location, TenantBody::from(tenant))?.version(version))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewTenant, Problem> {
    let slug = fields.required("slug", parsed(TenantSlug::parse));
    let name = fields.required("name", text);
    let quota = new_quota(&mut fields, quotas::Of::Tenant);
    let policy = new_policy(&mut fields, Of::Tenant);
    fields.done(slug.zip(name).map(|(slug, name)| NewTenant { slug, name, quota, policy }))
}

/// List tenants, by slug.
///
/// A tenant's own key sees its tenant only.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    params(PageParams, ("prefix" = Option<String>, Query, description = "Whose slug begins so", example = "ac"),
        ("status" = Option<Status>, Query, description = "With this status; default: all but the deleted ones")),
    responses((status = 200, body = TenantList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = TenantFilter { prefix: params.prefix()?, status: params.parsed("status", one_of(ALL_STATUS))? };
    let tenants = state.directory.tenants(&caller, &filter, &request).await?;
    Ok(page(tenants.map(TenantBody::from)).into_response())
}

/// Read a tenant.
#[utoipa::path(get, path = "/v1/tenants/{slug}", tag = "tenants", params(("slug" = String, Path)),
    responses((status = 200, body = TenantBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let tenant = state.directory.tenant(&caller, &slug(&path)?).await?;
    let version = tenant.version;
    Ok(versioned(TenantBody::from(tenant), version))
}

/// Change a tenant: rename, suspend, resume, quota, policy.
///
/// Platform administrators only.
#[utoipa::path(patch, path = "/v1/tenants/{slug}", tag = "tenants",
    params(("slug" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = TenantPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = TenantBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let name = fields.replace("name", text);
    let status = fields.replace("status", word(STATUS));
    let quota = quota_change(&mut fields, quotas::Of::Tenant);
    let policy = policy_change(&mut fields, Of::Tenant);
    let change = TenantChange { name, status, quota, policy };
    let change = fields.done(Some(change))?;
    let tenant = state.directory.change_tenant(&caller, &slug(&path)?, change, &precondition).await?;
    let version = tenant.version;
    Ok(versioned(TenantBody::from(tenant), version))
}

/// Delete a tenant.
///
/// Platform administrators only. One that has domains is refused (`in-use`) unless `cascade` says to delete what lies beneath too: its
/// domains give their names free, its keys stop working. All can be restored until the retention has passed; then it is erased.
#[utoipa::path(delete, path = "/v1/tenants/{slug}", tag = "tenants",
    params(("slug" = String, Path), ("cascade" = Option<bool>, Query, description = "With what depends on it"),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    let cascade = params.cascade()?;
    state.directory.delete_tenant(&caller, &slug(&path)?, cascade, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a deleted tenant.
///
/// Platform administrators only. With the domains that were deleted with it, but those whose name another tenant has meanwhile.
#[utoipa::path(post, path = "/v1/tenants/{slug}/restore", tag = "tenants", params(("slug" = String, Path)),
    responses((status = 200, body = TenantBody, headers(("ETag"))), Problems))]
pub(super) async fn restore(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let (directory, by, slug) = (state.directory.clone(), caller.clone(), slug(&path)?);
    once(&state, &caller, repeatable, async move {
        let tenant = directory.restore_tenant(&by, &slug).await?;
        let version = tenant.version;
        Ok(Done::ok(TenantBody::from(tenant))?.version(version))
    })
    .await
}

/// Read what a tenant uses.
#[utoipa::path(get, path = "/v1/tenants/{slug}/usage", tag = "tenants", params(("slug" = String, Path)),
    responses((status = 200, body = TenantUsage), Problems))]
pub(super) async fn usage(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Json<TenantUsage>, Problem> {
    Ok(Json(state.directory.tenant_usage(&caller, &slug(&path)?).await?.into()))
}
