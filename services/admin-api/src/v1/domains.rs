//! `/v1/domains`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{Domain, DomainChange, DomainFilter, NewDomain};
use mail_types::{DomainName, TenantSlug};

use crate::AppState;
use crate::answer::{Done, list as page, segment, versioned};
use crate::bodies::{DomainBody, DomainNew, DomainPatch, DomainUsage, DomainVerify, Existence};
use crate::caller::Caller;
use crate::dns::{self, DnsState, DomainDns};
use crate::extract::{BOOLEAN, Bodiless, IfMatch, Params, Submitted, domain_name, one_of};
use crate::fields::{Fields, boolean, parsed};
use crate::once::once;
use crate::openapi::{DomainList, PageParams, Problems};
use crate::policies::{Of, new_policy, policy_change};
use crate::problem::{Kind, Problem};
use crate::quotas::{self, new_quota, quota_change};

/// Make a domain.
///
/// A platform administrator vouches for it by making it; a tenant's own key makes a claim, which occupies nothing until it is
/// verified.
#[utoipa::path(post, path = "/v1/domains", tag = "domains", request_body = DomainNew,
    responses((status = 201, body = DomainBody, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields)?;
    let (by, making) = (caller.clone(), state.clone());
    once(&state, &caller, repeatable, async move {
        let domain = making.directory.create_domain(&by, new).await?;
        let version = domain.version;
        let location = format!("/v1/domains/{}", segment(domain.name.as_str()));
        Ok(Done::created(location, shown(&making, domain))?.version(version))
    })
    .await
}

fn read(mut fields: Fields) -> Result<NewDomain, Problem> {
    let name = fields.required("name", parsed(DomainName::parse));
    let tenant = fields.optional("tenant", parsed(TenantSlug::parse));
    let quota = new_quota(&mut fields, quotas::Of::Domain);
    let policy = new_policy(&mut fields, Of::Domain);
    fields.done(name.map(|name| NewDomain { name, tenant, policy, quota }))
}

/// List domains, by tenant and name.
#[utoipa::path(get, path = "/v1/domains", tag = "domains",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only"),
        ("prefix" = Option<String>, Query, description = "Whose name begins so", example = "ac"),
        ("verified" = Option<bool>, Query, description = "Those that have their name, or have not"),
        ("status" = Option<Existence>, Query, description = "Default: those that are not deleted")),
    responses((status = 200, body = DomainList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = DomainFilter {
        tenant: params.tenant()?,
        prefix: params.prefix()?.map(|prefix| prefix.to_lowercase()),
        verified: params.parsed("verified", one_of(BOOLEAN))?,
        deleted: params.parsed("status", one_of(&[("active", false), ("deleted", true)]))?.unwrap_or_default(),
    };
    let domains = state.directory.domains(&caller, &filter, &request).await?;
    Ok(page(domains.map(|domain| shown(&state, domain))).into_response())
}

/// Read a domain.
#[utoipa::path(get, path = "/v1/domains/{name}", tag = "domains",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose, where several claim the name")),
    responses((status = 200, body = DomainBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let tenant = params.tenant()?;
    let domain = state.directory.domain(&caller, &domain_name(&name)?, tenant.as_ref()).await?;
    let version = domain.version;
    Ok(versioned(shown(&state, domain), version))
}

/// Change a domain: quota, policy.
#[utoipa::path(patch, path = "/v1/domains/{name}", tag = "domains",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose, where several claim the name"),
        ("If-Match" = Option<String>, Header)),
    request_body(content = DomainPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = DomainBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    mut params: Params,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let tenant = params.tenant()?;
    let quota = quota_change(&mut fields, quotas::Of::Domain);
    let policy = policy_change(&mut fields, Of::Domain);
    let change = fields.done(Some(DomainChange { policy, quota }))?;
    let name = domain_name(&name)?;
    let domain = state.directory.change_domain(&caller, &name, tenant.as_ref(), change, &precondition).await?;
    let version = domain.version;
    Ok(versioned(shown(&state, domain), version))
}

/// Delete a domain.
///
/// One that has accounts or aliases is refused (`in-use`) unless `cascade` says to delete them too: then its name is free, nothing in it
/// is reached any more, and all of it can be restored until the retention has passed; then it is erased.
#[utoipa::path(delete, path = "/v1/domains/{name}", tag = "domains",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose, where several claim the name"),
        ("cascade" = Option<bool>, Query, description = "With what lies in it"), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    mut params: Params,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    let (tenant, cascade) = (params.tenant()?, params.cascade()?);
    state.directory.delete_domain(&caller, &domain_name(&name)?, tenant.as_ref(), cascade, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Restore a deleted domain with all that lies in it.
///
/// Refused while another tenant has its name.
#[utoipa::path(post, path = "/v1/domains/{name}/restore", tag = "domains",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose, where several had the name")),
    responses((status = 200, body = DomainBody, headers(("ETag"))), Problems))]
pub(super) async fn restore(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    mut params: Params,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let (directory, by, name, tenant) =
        (state.directory.clone(), caller.clone(), domain_name(&name)?, params.tenant()?);
    let ours = state.clone();
    once(&state, &caller, repeatable, async move {
        let domain = directory.restore_domain(&by, &name, tenant.as_ref()).await?;
        let version = domain.version;
        Ok(Done::ok(shown(&ours, domain))?.version(version))
    })
    .await
}

/// Verify a claimed domain: by its DNS, or because a platform administrator vouches for it.
///
/// With an empty object the TXT record of the challenge is looked for at `_restante-challenge.NAME` and at the name itself; `unproved`
/// where it is not there. Where the name is not given on a record alone the answer is `operator-decides`. A vouch moves a name away
/// from another tenant only if that has no account and no alias in it.
#[utoipa::path(post, path = "/v1/domains/{name}/verify", tag = "domains",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose, where several claim the name"),
        ("If-Match" = Option<String>, Header)),
    request_body = DomainVerify,
    responses((status = 200, body = DomainBody, headers(("ETag"))), Problems))]
pub(super) async fn verify(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    mut params: Params,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let tenant = params.tenant()?;
    let vouch = fields.optional("vouch", boolean).unwrap_or_default();
    let vouch = fields.done(Some(vouch))?;
    let name = domain_name(&name)?;
    let (directory, of) = (&state.directory, tenant.as_ref());
    // Repeating it changes nothing, with or without an Idempotency-Key.
    let domain = if vouch {
        directory.vouch_for_domain(&caller, &name, of, &precondition).await?
    } else {
        let claim = directory.domain(&caller, &name, of).await?;
        let seen = claim.verified_at.is_none();
        if seen {
            prove(&state, &claim).await?;
        }
        directory.prove_domain(&caller, &name, of, seen.then_some(claim.challenge.as_str()), &precondition).await?
    };
    let version = domain.version;
    Ok(versioned(shown(&state, domain), version))
}

/// Refuses a claim whose challenge the DNS does not show. Nothing is asked of the database: who has the name does not matter yet.
async fn prove(state: &AppState, claim: &Domain) -> Result<(), Problem> {
    let why = match dns::challenge(&state.egress, claim).await.1 {
        DnsState::Ok => return Ok(()),
        DnsState::Missing => "there is no TXT record with the challenge",
        DnsState::Wrong => "there is a TXT record, and it is not the challenge",
        DnsState::Unreachable => "the DNS did not answer",
    };
    Err(Problem::with_detail(Kind::Unproved, format!("{why}, at _restante-challenge.{0} or {0}", claim.name)))
}

/// Read which DNS records a domain needs, and which are there.
///
/// Shown, and nothing more: mail does not stop because a record is gone.
#[utoipa::path(get, path = "/v1/domains/{name}/dns", tag = "domains",
    params(("name" = String, Path), ("tenant" = Option<String>, Query, description = "Whose, where several claim the name")),
    responses((status = 200, body = DomainDns), Problems))]
pub(super) async fn records(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
    mut params: Params,
) -> Result<Json<DomainDns>, Problem> {
    let tenant = params.tenant()?;
    let domain = state.directory.domain(&caller, &domain_name(&name)?, tenant.as_ref()).await?;
    Ok(Json(dns::look(&state.egress, &state.publish, &domain).await))
}

/// A domain as it is answered.
fn shown(state: &AppState, domain: Domain) -> DomainBody {
    let claim_expires_at = state.directory.claim_expires_at(&domain);
    let mut body = DomainBody::from(domain);
    body.claim_expires_at = claim_expires_at;
    body
}

/// Read what a domain uses.
#[utoipa::path(get, path = "/v1/domains/{name}/usage", tag = "domains", params(("name" = String, Path)),
    responses((status = 200, body = DomainUsage), Problems))]
pub(super) async fn usage(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(name): Path<String>,
) -> Result<Json<DomainUsage>, Problem> {
    Ok(Json(state.directory.domain_usage(&caller, &domain_name(&name)?).await?.into()))
}
