//! `/v1/admins`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{AdminChange, AdminName, AdminStatus, NewAdmin, Role};
use mail_types::{DomainName, Secret, TenantSlug};

use crate::AppState;
use crate::answer::{Done, list as page, versioned};
use crate::bodies::{AdminBody, AdminNew, AdminPasswordSet, AdminPatch};
use crate::caller::Caller;
use crate::extract::{IfMatch, Params, Submitted, opaque};
use crate::fields::{Fields, parsed, text, word};
use crate::once::once;
use crate::openapi::{AdminList, PageParams, Problems};
use crate::problem::Problem;

/// The roles, in the API's words.
pub(super) const ROLES: &[(&str, Role)] = &[
    ("platform-admin", Role::PlatformAdmin),
    ("tenant-admin", Role::TenantAdmin),
    ("domain-admin", Role::DomainAdmin),
    ("helpdesk", Role::Helpdesk),
    ("auditor", Role::Auditor),
];
const STATUS: &[(&str, AdminStatus)] = &[("active", AdminStatus::Active), ("suspended", AdminStatus::Suspended)];

/// Make an administrator.
///
/// Nobody makes somebody who may do more than they may themselves. The platform has administrators, a support desk and auditors of its
/// own, without a tenant; all others belong to a tenant.
#[utoipa::path(post, path = "/v1/admins", tag = "admins", request_body = AdminNew,
    responses((status = 201, body = AdminBody, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let admin = directory.create_admin(&by, new).await?;
        let (version, location) = (admin.version, format!("/v1/admins/adm_{}", admin.id));
        Ok(Done::created(location, AdminBody::from(admin))?.version(version))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewAdmin, Problem> {
    let name = fields.required("name", parsed(AdminName::parse));
    let display_name = fields.optional("display_name", text);
    let tenant = fields.optional("tenant", parsed(TenantSlug::parse));
    let role = fields.required("role", word(ROLES));
    let domains = fields.optional_list("domains", parsed(DomainName::parse)).unwrap_or_default();
    let password = fields.optional("password", text).map(Secret::from);
    let new = name.zip(role).map(|(name, role)| NewAdmin { name, display_name, tenant, role, domains, password });
    fields.done(new)
}

/// List administrators, by name.
#[utoipa::path(get, path = "/v1/admins", tag = "admins",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("prefix" = Option<String>, Query, description = "Whose name begins so", example = "car")),
    responses((status = 200, body = AdminList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let (request, tenant, prefix) = (params.page()?, params.tenant()?, params.prefix()?);
    let admins = state.directory.admins(&caller, tenant.as_ref(), prefix.as_deref(), &request).await?;
    Ok(page(admins.map(AdminBody::from)).into_response())
}

/// Read an administrator.
#[utoipa::path(get, path = "/v1/admins/{id}", tag = "admins", params(("id" = String, Path, example = "adm_7")),
    responses((status = 200, body = AdminBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let admin = state.directory.admin(&caller, opaque(&id, "adm")?).await?;
    let version = admin.version;
    Ok(versioned(AdminBody::from(admin), version))
}

/// Change an administrator: rename, another role, other domains, suspend, resume.
///
/// The next request with their access token is refused; a refresh brings one that says what is so then. Suspended, their sign-ins
/// end. Nobody changes their own role, domains or status.
#[utoipa::path(patch, path = "/v1/admins/{id}", tag = "admins",
    params(("id" = String, Path, example = "adm_7"), ("If-Match" = Option<String>, Header)),
    request_body(content = AdminPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = AdminBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let name = fields.replace("name", parsed(AdminName::parse));
    let display_name = fields.replace("display_name", text);
    let role = fields.replace("role", word(ROLES));
    let domains = fields.change_list("domains", parsed(DomainName::parse)).map(Option::unwrap_or_default);
    let status = fields.replace("status", word(STATUS));
    let change = fields.done(Some(AdminChange { name, display_name, role, domains, status }))?;
    let admin = state.directory.change_admin(&caller, opaque(&id, "adm")?, change, &precondition).await?;
    let version = admin.version;
    Ok(versioned(AdminBody::from(admin), version))
}

/// Delete an administrator; their sign-ins end.
#[utoipa::path(delete, path = "/v1/admins/{id}", tag = "admins",
    params(("id" = String, Path, example = "adm_7"), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.delete_admin(&caller, opaque(&id, "adm")?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set the password of somebody else; all of their sign-ins end.
#[utoipa::path(put, path = "/v1/admins/{id}/password", operation_id = "set", tag = "admins",
    params(("id" = String, Path, example = "adm_7"), ("If-Match" = Option<String>, Header)), request_body = AdminPasswordSet,
    responses((status = 204, description = "Set"), Problems))]
pub(super) async fn set_password(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<StatusCode, Problem> {
    let password = fields.required("password", text).map(Secret::from);
    let password = fields.done(password)?;
    state.directory.set_admin_password(&caller, opaque(&id, "adm")?, &password, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take the one-time codes of somebody else away, who has lost what shows them.
#[utoipa::path(delete, path = "/v1/admins/{id}/totp", operation_id = "reset", tag = "admins",
    params(("id" = String, Path, example = "adm_7"), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Taken away, or there were none"), Problems))]
pub(super) async fn reset_totp(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.reset_admin_totp(&caller, opaque(&id, "adm")?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
