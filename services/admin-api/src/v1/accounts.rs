//! `/v1/accounts`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{AccountChange, AccountQuota, AccountStatus, NewAccount};
use mail_types::{Address, Secret};

use crate::AppState;
use crate::answer::{Done, list as page, segment, versioned};
use crate::bodies::{AccountBody, AccountNew, AccountPatch, AccountUsage};
use crate::caller::Caller;
use crate::extract::{IfMatch, Params, Submitted, address};
use crate::fields::{Fields, count, octets, parsed, text, word};
use crate::once::once;
use crate::openapi::{AccountList, PageParams, Problems};
use crate::policies::{Of, policy_change};
use crate::problem::Problem;

const STATUS: &[(&str, AccountStatus)] = &[("active", AccountStatus::Active), ("suspended", AccountStatus::Suspended)];

/// Make an account.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", request_body = AccountNew,
    responses((status = 201, body = AccountBody, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let account = directory.create_account(&by, new).await?;
        let version = account.version;
        let location = format!("/v1/accounts/{}", segment(&account.address.to_string()));
        Ok(Done::created(location, AccountBody::from(account))?.version(version))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewAccount, Problem> {
    let address = fields.required("address", parsed(Address::parse));
    let password = fields.optional("password", text).map(Secret::from);
    let quota = fields.nested("quota", AccountQuota::default(), |quota| AccountQuota {
        octets: quota.optional("octets", octets),
        messages: quota.optional("messages", count),
    });
    fields.done(address.map(|address| NewAccount { address, password, quota }))
}

/// List accounts, by domain and local part.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("domain" = Option<String>, Query, description = "In this domain only")),
    responses((status = 200, body = AccountList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let (request, tenant, domain) = (params.page()?, params.tenant()?, params.domain()?);
    let accounts = state.directory.accounts(&caller, tenant.as_ref(), domain.as_ref(), &request).await?;
    Ok(page(accounts.map(AccountBody::from)).into_response())
}

/// Read an account.
#[utoipa::path(get, path = "/v1/accounts/{address}", tag = "accounts", params(("address" = String, Path)),
    responses((status = 200, body = AccountBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let version = account.version;
    Ok(versioned(AccountBody::from(account), version))
}

/// Change an account: suspend, resume, quota, policy.
#[utoipa::path(patch, path = "/v1/accounts/{address}", tag = "accounts",
    params(("address" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = AccountPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = AccountBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let status = fields.replace("status", word(STATUS));
    let (octets, messages) = fields.nested("quota", (Some(None), Some(None)), |quota| {
        (quota.change("octets", octets), quota.change("messages", count))
    });
    let policy = policy_change(&mut fields, Of::Account);
    let change = fields.done(Some(AccountChange { status, octets, messages, policy }))?;
    let account = state.directory.change_account(&caller, &address(&path)?, change, &precondition).await?;
    let version = account.version;
    Ok(versioned(AccountBody::from(account), version))
}

/// Delete an account.
///
/// Its address is free at once, its credentials are revoked, its mail stays until the retention has passed. Refused while an
/// alias leads to it.
#[utoipa::path(delete, path = "/v1/accounts/{address}", tag = "accounts",
    params(("address" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.delete_account(&caller, &address(&path)?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read what an account uses.
#[utoipa::path(get, path = "/v1/accounts/{address}/usage", tag = "accounts", params(("address" = String, Path)),
    responses((status = 200, body = AccountUsage), Problems))]
pub(super) async fn usage(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Json<AccountUsage>, Problem> {
    Ok(Json(state.directory.account_usage(&caller, &address(&path)?).await?.into()))
}
