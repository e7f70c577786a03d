//! `/v1/search`: what begins so, of everything that the caller sees.

use axum::Json;
use axum::extract::State;
use directory::{Found, FoundKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::AppState;
use crate::caller::Caller;
use crate::extract::Params;
use crate::openapi::Problems;
use crate::problem::Problem;

/// The most results of each kind.
const MOST: u32 = 20;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    /// A tenant, by its slug.
    Tenant,
    /// A domain, by its name.
    Domain,
    /// An account, by its address.
    Account,
    /// An alias, by its address.
    Alias,
}

/// Something that begins so.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Found)]
struct FoundBody {
    /// What it is.
    kind: KindWord,
    /// Its natural key.
    #[schema(examples("alice@acme.test"))]
    key: String,
    /// Whose it is.
    #[schema(examples("acme"))]
    tenant: String,
}

/// What was found, at most 20 of each kind.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FoundList {
    /// Tenants, domains, then addresses.
    items: Vec<FoundBody>,
}

/// Search everything by the beginning of its name.
///
/// Tenants by slug, domains by name, accounts and aliases by local part; `alice@ac` finds the addresses of alice in domains that
/// begin with `ac`. At most 20 of each kind.
#[utoipa::path(get, path = "/v1/search", tag = "search",
    params(("q" = String, Query, description = "What it begins with", min_length = 1, max_length = 255, example = "al")),
    responses((status = 200, body = FoundList), Problems))]
pub(super) async fn search(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Json<FoundList>, Problem> {
    let text = params.text("q")?.ok_or_else(|| Problem::field("/q", "required", "is required"))?;
    let found = state.directory.search(&caller, &text, MOST).await?;
    Ok(Json(FoundList { items: found.into_iter().map(FoundBody::from).collect() }))
}

impl From<Found> for FoundBody {
    fn from(found: Found) -> Self {
        let kind = match found.kind {
            FoundKind::Tenant => KindWord::Tenant,
            FoundKind::Domain => KindWord::Domain,
            FoundKind::Account => KindWord::Account,
            FoundKind::Alias => KindWord::Alias,
        };
        Self { kind, key: found.key, tenant: found.tenant }
    }
}
