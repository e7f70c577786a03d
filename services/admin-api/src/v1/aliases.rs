//! `/v1/aliases`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{AliasAddress, NewAlias};
use mail_types::Address;

use crate::AppState;
use crate::answer::{Done, list as page, segment, versioned};
use crate::bodies::{AliasBody, AliasNew, AliasPatch};
use crate::caller::Caller;
use crate::extract::{IfMatch, Params, Submitted, alias_address};
use crate::fields::parsed;
use crate::once::once;
use crate::openapi::{AliasList, PageParams, Problems};
use crate::problem::Problem;

/// Make an alias, or with `*@domain` a catch-all.
#[utoipa::path(post, path = "/v1/aliases", tag = "aliases", request_body = AliasNew,
    responses((status = 201, body = AliasBody, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { mut fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let address = fields.required("address", parsed(AliasAddress::parse));
    let targets = fields.list("targets", parsed(Address::parse));
    let new = fields.done(address.zip(targets).map(|(address, targets)| NewAlias { address, targets }))?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let alias = directory.create_alias(&by, new).await?;
        let version = alias.version;
        let location = format!("/v1/aliases/{}", segment(&alias.address.to_string()));
        Ok(Done::created(location, AliasBody::from(alias))?.version(version))
    })
    .await
}

/// List aliases, by domain and local part.
#[utoipa::path(get, path = "/v1/aliases", tag = "aliases",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("domain" = Option<String>, Query, description = "In this domain only"),
        ("prefix" = Option<String>, Query, description = "With domain: whose local part begins so", example = "in")),
    responses((status = 200, body = AliasList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let (request, tenant, domain) = (params.page()?, params.tenant()?, params.domain()?);
    let prefix = params.prefix()?.map(|prefix| prefix.to_lowercase());
    let aliases =
        state.directory.aliases(&caller, tenant.as_ref(), domain.as_ref(), prefix.as_deref(), &request).await?;
    Ok(page(aliases.map(AliasBody::from)).into_response())
}

/// Read an alias.
#[utoipa::path(get, path = "/v1/aliases/{address}", tag = "aliases", params(("address" = String, Path)),
    responses((status = 200, body = AliasBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let alias = state.directory.alias(&caller, &alias_address(&path)?).await?;
    let version = alias.version;
    Ok(versioned(AliasBody::from(alias), version))
}

/// Make an alias lead to other accounts.
#[utoipa::path(patch, path = "/v1/aliases/{address}", tag = "aliases",
    params(("address" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = AliasPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = AliasBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let targets = fields.list("targets", parsed(Address::parse));
    let targets = fields.done(targets)?;
    let alias = state.directory.change_alias(&caller, &alias_address(&path)?, targets, &precondition).await?;
    let version = alias.version;
    Ok(versioned(AliasBody::from(alias), version))
}

/// Delete an alias.
#[utoipa::path(delete, path = "/v1/aliases/{address}", tag = "aliases",
    params(("address" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.delete_alias(&caller, &alias_address(&path)?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
