//! `/v1/tenants`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{NewTenant, TenantChange, TenantQuota, TenantStatus};
use mail_types::TenantSlug;

use crate::AppState;
use crate::answer::{Done, list as page, segment, versioned};
use crate::bodies::{SummedUsage, TenantBody, TenantNew, TenantPatch};
use crate::caller::Caller;
use crate::extract::{IfMatch, Params, Submitted, slug};
use crate::fields::{Fields, count, octets, parsed, text, word};
use crate::once::once;
use crate::openapi::{PageParams, Problems, TenantList};
use crate::policies::{Of, new_policy, policy_change};
use crate::problem::Problem;

const STATUS: &[(&str, TenantStatus)] = &[("active", TenantStatus::Active), ("suspended", TenantStatus::Suspended)];

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
    let quota = fields.nested("quota", TenantQuota::default(), |quota| TenantQuota {
        octets: quota.optional("octets", octets),
        accounts: quota.optional("accounts", count),
        domains: quota.optional("domains", count),
    });
    let policy = new_policy(&mut fields, Of::Tenant);
    fields.done(slug.zip(name).map(|(slug, name)| NewTenant { slug, name, quota, policy }))
}

/// List tenants, by slug.
///
/// A tenant's own key sees its tenant only.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(PageParams),
    responses((status = 200, body = TenantList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let tenants = state.directory.tenants(&caller, &request).await?;
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
    let (octets, accounts, domains) = fields.nested("quota", (Some(None), Some(None), Some(None)), |quota| {
        (quota.change("octets", octets), quota.change("accounts", count), quota.change("domains", count))
    });
    let policy = policy_change(&mut fields, Of::Tenant);
    let change = TenantChange { name, status, octets, accounts, domains, policy };
    let change = fields.done(Some(change))?;
    let tenant = state.directory.change_tenant(&caller, &slug(&path)?, change, &precondition).await?;
    let version = tenant.version;
    Ok(versioned(TenantBody::from(tenant), version))
}

/// Delete a tenant that has no domain.
///
/// Platform administrators only. Its keys stop working.
#[utoipa::path(delete, path = "/v1/tenants/{slug}", tag = "tenants",
    params(("slug" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.delete_tenant(&caller, &slug(&path)?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read what a tenant uses.
#[utoipa::path(get, path = "/v1/tenants/{slug}/usage", tag = "tenants", params(("slug" = String, Path)),
    responses((status = 200, body = SummedUsage), Problems))]
pub(super) async fn usage(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Json<SummedUsage>, Problem> {
    Ok(Json(state.directory.tenant_usage(&caller, &slug(&path)?).await?.into()))
}
