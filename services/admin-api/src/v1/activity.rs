//! `/v1/accounts/{address}/activity` and `/diagnose`: what happened lately, and what is the matter.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use directory::{ActivityFilter, Error};

use crate::AppState;
use crate::answer::list as page;
use crate::bodies::{ActivityBody, DiagnosisBody};
use crate::caller::Caller;
use crate::dns;
use crate::extract::{Params, address};
use crate::openapi::{ActivityList, PageParams, Problems};
use crate::problem::Problem;

/// List what happened lately at an account: sessions, refused logins, and the last login with each credential; the last first.
///
/// Sessions that found nothing leave only the last login and a count. Refused logins are summed by minute, network and reason. It is
/// kept for a time that the operator sets, 30 days by default.
#[utoipa::path(get, path = "/v1/accounts/{address}/activity", tag = "sessions",
    params(("address" = String, Path), PageParams,
        ("result" = Option<String>, Query, description = "`accepted` or `refused`: only such logins",
            pattern = "^(accepted|refused)$", example = "refused"),
        ("since" = Option<DateTime<Utc>>, Query, description = "Only what happened from here on"),
        ("until" = Option<DateTime<Utc>>, Query, description = "Only what happened until here")),
    responses((status = 200, body = ActivityList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = ActivityFilter {
        accepted: params.parsed("result", result)?,
        since: params.time("since")?,
        until: params.time("until")?,
    };
    let activity = state.directory.activity(&caller, &address(&path)?, filter, &request).await?;
    Ok(page(activity.map(ActivityBody::from)).into_response())
}

fn result(word: &str) -> Result<bool, &'static str> {
    match word {
        "accepted" => Ok(true),
        "refused" => Ok(false),
        _ => Err("must be accepted or refused"),
    }
}

/// Find out why somebody does not get their mail.
///
/// Looks at the domain, the account, its credentials, quotas and policies, at the sessions and refused logins of the last day, and at what
/// the frontends show in TLS. For an address without an account this is a finding too, as long as the key reaches its domain. Each
/// finding has a stable `code`; docs/support-desk.md lists them.
#[utoipa::path(get, path = "/v1/accounts/{address}/diagnose", tag = "sessions", params(("address" = String, Path)),
    responses((status = 200, body = DiagnosisBody), Problems))]
pub(super) async fn diagnose(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Json<DiagnosisBody>, Problem> {
    let address = address(&path)?;
    // An account that is missing has no domain to look at.
    let dns = match state.directory.domain(&caller, &address.domain, None).await {
        Ok(domain) => dns::facts(&state.egress, &state.publish, &domain).await,
        Err(Error::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    let diagnosis = state.directory.diagnose(&caller, &address, dns).await?;
    Ok(Json(DiagnosisBody::new(address.to_string(), diagnosis)))
}
