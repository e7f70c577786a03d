//! `/v1/accounts`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{AccountChange, AccountFilter, AccountStatus, NewAccount};
use mail_types::{Address, Secret};

use crate::AppState;
use crate::answer::{Done, list as page, segment, versioned};
use crate::bodies::{AccountBody, AccountNew, AccountPatch, AccountUsage, Status};
use crate::caller::Caller;
use crate::extract::{Bodiless, IfMatch, Params, Submitted, address, one_of};
use crate::fields::{Fields, parsed, text, word};
use crate::once::once;
use crate::openapi::{AccountList, PageParams, Problems};
use crate::policies::{Of, policy_change};
use crate::problem::Problem;
use crate::quotas::{self, new_quota, quota_change};

const STATUS: &[(&str, AccountStatus)] = &[("active", AccountStatus::Active), ("suspended", AccountStatus::Suspended)];

const ALL_STATUS: &[(&str, AccountStatus)] =
    &[("active", AccountStatus::Active), ("suspended", AccountStatus::Suspended), ("deleted", AccountStatus::Deleted)];

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
    let quota = new_quota(&mut fields, quotas::Of::Account);
    fields.done(address.map(|address| NewAccount { address, password, quota }))
}

/// List accounts, by domain and local part.
///
/// With `prefix` and without `domain`: those of a tenant, by local part and domain. Deleted ones (`status=deleted`), which can be
/// restored, in the order they were made.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("domain" = Option<String>, Query, description = "In this domain only"),
        ("prefix" = Option<String>, Query, description = "Whose local part begins so", example = "al"),
        ("status" = Option<Status>, Query, description = "With this status; default: all but the deleted ones")),
    responses((status = 200, body = AccountList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = AccountFilter {
        tenant: params.tenant()?,
        domain: params.domain()?,
        prefix: params.prefix()?.map(|prefix| prefix.to_lowercase()),
        status: params.parsed("status", one_of(ALL_STATUS))?,
    };
    let accounts = state.directory.accounts(&caller, &filter, &request).await?;
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
    let quota = quota_change(&mut fields, quotas::Of::Account);
    let policy = policy_change(&mut fields, Of::Account);
    let change = fields.done(Some(AccountChange { status, quota, policy }))?;
    let account = state.directory.change_account(&caller, &address(&path)?, change, &precondition).await?;
    let version = account.version;
    Ok(versioned(AccountBody::from(account), version))
}

/// Delete an account.
///
/// It has no login and gets no mail, and its address is free at once. Refused (`in-use`) while an alias leads to it, unless `cascade`
/// says that the alias shall lead there no more. It can be restored until the retention has passed; then it is erased.
#[utoipa::path(delete, path = "/v1/accounts/{address}", tag = "accounts",
    params(("address" = String, Path), ("cascade" = Option<bool>, Query, description = "Even if aliases lead to it"),
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
    state.directory.delete_account(&caller, &address(&path)?, cascade, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a deleted account.
///
/// The one of this address that was deleted last, with its credentials, its mail and the aliases that led to it. Refused while
/// the address is taken.
#[utoipa::path(post, path = "/v1/accounts/{address}/restore", tag = "accounts", params(("address" = String, Path)),
    responses((status = 200, body = AccountBody, headers(("ETag"))), Problems))]
pub(super) async fn restore(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let (directory, by, address) = (state.directory.clone(), caller.clone(), address(&path)?);
    once(&state, &caller, repeatable, async move {
        let account = directory.restore_account(&by, &address).await?;
        let version = account.version;
        Ok(Done::ok(AccountBody::from(account))?.version(version))
    })
    .await
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
