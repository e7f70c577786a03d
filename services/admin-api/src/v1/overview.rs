//! `/v1/overview`: how things stand.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use directory::{Health, MOST_OVERVIEW_HOURS, Part};
use tokio::time::timeout;

use crate::AppState;
use crate::bodies::OverviewBody;
use crate::caller::Caller;
use crate::extract::Params;
use crate::openapi::Problems;
use crate::problem::Problem;

/// How long the store has to answer.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
const HOURS: u32 = 24;

/// Read how things stand: what is used, what happened lately, what is full, how the service is.
///
/// Of everything, of a tenant, or of a domain-admin's domains. It costs little, however many accounts there are, so a page may ask
/// again and again.
#[utoipa::path(get, path = "/v1/overview", operation_id = "get", tag = "overview",
    params(("hours" = Option<u32>, Query, description = "Of how many hours, the one under way included; two at most are told by the minute",
            minimum = 1, maximum = 720, example = 24),
        ("tenant" = Option<String>, Query, description = "Of this tenant only")),
    responses((status = 200, body = OverviewBody), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Json<OverviewBody>, Problem> {
    let tenant = params.tenant()?;
    let hours = params.parsed("hours", |text| match text.parse() {
        Ok(hours) if (1..=MOST_OVERVIEW_HOURS).contains(&hours) => Ok(hours),
        _ => Err(format!("must be an integer between 1 and {MOST_OVERVIEW_HOURS}")),
    })?;
    let (overview, store) =
        tokio::join!(state.directory.overview(&caller, tenant.as_ref(), hours.unwrap_or(HOURS)), store(&state));
    let mut overview = overview?;
    // After the database.
    overview.health.insert(1, Health::answered(Part::Store, store, caller.tenant().is_none()));
    Ok(Json(overview.into()))
}

/// How long the store took to answer; `None`: it did not.
async fn store(state: &AppState) -> Option<Duration> {
    let began = state.clock.monotonic();
    let answered = timeout(STORE_PATIENCE, state.mailstore.ping()).await.is_ok_and(|answer| answer.is_ok());
    answered.then(|| state.clock.since(began))
}
