//! `/v1/tenants/{slug}/oidc` and `/v1/oidc`: the issuers that sign people in, a tenant's and the platform's; and
//! `/v1/sign-in/oidc`, where they do.
//!
//! The browser that asks gets the request's `state` in a cookie too: an answer counts only in that browser, so nobody can be signed in as
//! somebody else by a link. What the callback hands to the console is a code for one exchange by the same browser, after a `#`, where
//! neither logs nor `Referer` have it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::{
    Caller as Who, NewOidcIssuer, OidcAnswer, OidcOutcome, OidcRules, Precondition, RequiredClaim, Role, RoleClaim,
    SignInOutcome,
};
use mail_types::{DomainName, Secret, TenantSlug};
use serde_json::Value;
use tokio::time::Instant;

use super::admins::ROLES;
use super::sign_in::{Keep, answer, slowed_down, wait_for_the_moment};
use crate::AppState;
use crate::answer::versioned;
use crate::bodies::{OidcIssuerBody, OidcIssuerSet, SignInCode, TokensBody};
use crate::caller::{Caller, Origin};
use crate::cookies::{AT_ISSUER, is_secure};
use crate::extract::{IfMatch, Params, Submitted, slug};
use crate::fields::{Fields, parsed, text, word};
use crate::openapi::Problems;
use crate::problem::{Kind, Problem};

/// How long its cookie is kept, seconds: as long as somebody may be at their issuer.
const COOKIE_SECONDS: u32 = 600;
/// Where issuers send people back to.
pub(crate) const CALLBACK: &str = "/v1/sign-in/oidc/callback";

/// Read the issuer that signs a tenant's people in.
#[utoipa::path(get, path = "/v1/tenants/{slug}/oidc", tag = "oidc", params(("slug" = String, Path, example = "acme")),
    responses((status = 200, body = OidcIssuerBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    read(&state, &caller, Some(&slug(&path)?)).await
}

/// Set the issuer that signs a tenant's people in.
///
/// It signs in administrators of this tenant only: those whom it was linked to, by its subject; else, once, whoever has the verified
/// e-mail address as their name; else, where `default_role` or `role_claim` say so, somebody new. It takes a caller who may do all that
/// the tenant's mightiest may.
#[utoipa::path(put, path = "/v1/tenants/{slug}/oidc", tag = "oidc",
    params(("slug" = String, Path, example = "acme"), ("If-Match" = Option<String>, Header)), request_body = OidcIssuerSet,
    responses((status = 200, body = OidcIssuerBody, headers(("ETag"))), Problems))]
pub(super) async fn set(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { fields, .. }: Submitted,
) -> Result<Response, Problem> {
    write(&state, &caller, Some(&slug(&path)?), &precondition, fields).await
}

/// Take the issuer of a tenant away. Its people sign in with passwords, those that have one.
#[utoipa::path(delete, path = "/v1/tenants/{slug}/oidc", tag = "oidc",
    params(("slug" = String, Path, example = "acme"), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Removed"), Problems))]
pub(super) async fn remove(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.remove_oidc_issuer(&caller, Some(&slug(&path)?), &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the issuer that signs the platform's people in.
#[utoipa::path(get, path = "/v1/oidc", operation_id = "get", tag = "oidc", responses((status = 200, body = OidcIssuerBody, headers(("ETag"))), Problems))]
pub(super) async fn get_platforms(State(state): State<AppState>, Caller(caller): Caller) -> Result<Response, Problem> {
    read(&state, &caller, None).await
}

/// Set the issuer that signs the platform's people in.
///
/// As for a tenant; it takes a caller who may do everything.
#[utoipa::path(put, path = "/v1/oidc", operation_id = "set", tag = "oidc", params(("If-Match" = Option<String>, Header)), request_body = OidcIssuerSet,
    responses((status = 200, body = OidcIssuerBody, headers(("ETag"))), Problems))]
pub(super) async fn set_platforms(
    State(state): State<AppState>,
    Caller(caller): Caller,
    IfMatch(precondition): IfMatch,
    Submitted { fields, .. }: Submitted,
) -> Result<Response, Problem> {
    write(&state, &caller, None, &precondition, fields).await
}

/// Take the issuer of the platform away.
#[utoipa::path(delete, path = "/v1/oidc", operation_id = "remove", tag = "oidc", params(("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Removed"), Problems))]
pub(super) async fn remove_platforms(
    State(state): State<AppState>,
    Caller(caller): Caller,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.remove_oidc_issuer(&caller, None, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(state: &AppState, caller: &Who, of: Option<&TenantSlug>) -> Result<Response, Problem> {
    let issuer = state.directory.oidc_issuer(caller, of).await?;
    let version = issuer.version;
    Ok(versioned(OidcIssuerBody::new(issuer, redirect_uri(state)), version))
}

async fn write(
    state: &AppState,
    caller: &Who,
    of: Option<&TenantSlug>,
    precondition: &Precondition,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let issuer = fields.required("issuer", text);
    let client_id = fields.required("client_id", text);
    let client_secret = fields.change("client_secret", text).map(|secret| secret.map(Secret::from));
    let rules = OidcRules {
        allowed_domains: fields.optional_list("allowed_domains", parsed(DomainName::parse)).unwrap_or_default(),
        required_claim: fields.nested("required_claim", None, |claim| {
            let (name, value) = (claim.required("name", text), claim.required("value", text));
            name.zip(value).map(|(name, value)| RequiredClaim { name, value })
        }),
        default_role: fields.optional("default_role", word(ROLES)),
        role_claim: fields.nested("role_claim", None, |claim| {
            let (name, roles) = (claim.required("name", text), claim.required("roles", meanings));
            name.zip(roles).map(|(name, roles)| RoleClaim { name, roles })
        }),
        extra_scopes: fields.optional_list("extra_scopes", text).unwrap_or_default(),
    };
    let new = issuer.zip(client_id);
    let new = new.map(|(issuer, client_id)| NewOidcIssuer { issuer, client_id, client_secret, rules });
    let new = fields.done(new)?;
    let issuer = state.directory.set_oidc_issuer(caller, of, new, precondition).await?;
    let version = issuer.version;
    Ok(versioned(OidcIssuerBody::new(issuer, redirect_uri(state)), version))
}

/// An object of a claim's values and the roles that they mean.
fn meanings(value: &Value) -> crate::fields::Read<BTreeMap<String, Role>> {
    let object = crate::fields::object(value)?;
    object.iter().map(|(name, role)| Ok((name.clone(), word(ROLES)(role)?))).collect()
}

fn redirect_uri(state: &AppState) -> Option<String> {
    Some(format!("{}{CALLBACK}", state.config.public_url.as_deref()?.trim_end_matches('/')))
}

/// Begin a sign-in at the issuer of a tenant, or without one of the platform: a redirect, for browsers.
#[utoipa::path(get, path = "/v1/sign-in/oidc", tag = "sign-in",
    params(("tenant" = Option<String>, Query, description = "Whose issuer; left out: the platform's", example = "acme")),
    responses((status = 303, description = "To the issuer", headers(("Location"), ("Set-Cookie"))), Problems))]
pub(super) async fn begin(State(state): State<AppState>, mut params: Params) -> Result<Response, Problem> {
    let tenant = params.tenant()?;
    let redirect_uri = redirect_uri(&state).ok_or_else(|| Problem::new(Kind::NotFound))?;
    let request = state.directory.begin_oidc(tenant.as_ref(), &redirect_uri).await?;
    let mut response = redirect(&request.location);
    let secure = redirect_uri.starts_with("https://");
    AT_ISSUER.set(&mut response, request.state.expose_str().unwrap_or_default(), COOKIE_SECONDS, secure);
    Ok(response)
}

/// Come back from an issuer: a redirect to the console, for browsers.
///
/// With `#code=…`, which `POST /v1/sign-in/code` exchanges, or with `#error=refused`, `slowed-down` or `unavailable`.
#[utoipa::path(get, path = "/v1/sign-in/oidc/callback", tag = "sign-in",
    params(("state" = Option<String>, Query, description = "What the issuer was given to give back", example = "q3k8v2m4x7z9c5b1n0d2"),
        ("code" = Option<String>, Query, description = "What we exchange with the issuer", example = "SplxlOBeZQQYbYS6WxSbIA"),
        ("error" = Option<String>, Query, description = "Why the issuer refused (RFC 6749 section 4.1.2.1)", example = "access_denied"),
        ("iss" = Option<String>, Query, description = "Who the issuer says it is (RFC 9207)", example = "https://id.acme.test")),
    responses((status = 303, description = "To the console", headers(("Location"))), Problems))]
pub(super) async fn callback(
    State(state): State<AppState>,
    Origin(from): Origin,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let mut text = |name| params.parsed(name, |text| Ok::<_, &str>(text.to_owned()));
    let (given, code, issuer) = (text("state")?, text("code")?, text("iss")?);
    let redirect_uri = redirect_uri(&state).ok_or_else(|| Problem::new(Kind::NotFound))?;
    let base = redirect_uri.strip_suffix(CALLBACK).unwrap_or_default();
    let to = |what: &str| redirect(&format!("{base}{}#{what}", state.config.signed_in_path));
    // Without the browser's own state the answer is somebody else's; without a code the issuer has refused.
    let own = AT_ISSUER.read(&headers).filter(|own| given.as_ref() == Some(own));
    let (Some(own), Some(code)) = (own, code) else { return Ok(to("error=refused")) };
    let answer = OidcAnswer { state: own.into(), code: code.into(), issuer };
    Ok(match state.directory.answer_oidc(&answer, &redirect_uri, &from).await {
        Ok(OidcOutcome::Accepted { code }) => to(&format!("code={}", code.expose_str().unwrap_or_default())),
        Ok(OidcOutcome::Refused) => to("error=refused"),
        Ok(OidcOutcome::SlowedDown { .. }) => to("error=slowed-down"),
        Err(error) if error.is_temporary() => to("error=unavailable"),
        Err(error) => return Err(error.into()),
    })
}

/// Exchange the code of a callback for tokens: once, within a minute, by the browser that signed in.
#[utoipa::path(post, path = "/v1/sign-in/code", tag = "sign-in", request_body = SignInCode,
    responses((status = 200, body = TokensBody), Problems))]
pub(super) async fn exchange(
    State(state): State<AppState>,
    Origin(from): Origin,
    headers: HeaderMap,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let code = fields.required("code", text).map(Secret::from);
    let keep = Keep::asked(&mut fields, &headers, &state.config);
    let code = fields.done(code)?;
    keep.check(&headers)?;
    let own = Secret::from(AT_ISSUER.read(&headers).unwrap_or_default());
    let problem = match state.directory.exchange_oidc(&code, &own, &from).await {
        Ok(SignInOutcome::Accepted(tokens)) => {
            let mut response = answer(&tokens, keep);
            AT_ISSUER.clear(&mut response, is_secure(&state.config, &headers));
            return Ok(response);
        }
        Ok(SignInOutcome::Refused) => Problem::new(Kind::SignInRefused),
        Ok(SignInOutcome::SlowedDown { wait }) => slowed_down(wait),
        Err(error) => error.into(),
    };
    wait_for_the_moment(began, &state).await;
    Err(problem)
}

fn redirect(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let no_referrer = (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            (StatusCode::SEE_OTHER, [(header::LOCATION, location), no_referrer]).into_response()
        }
        Err(_) => Problem::new(Kind::Unavailable).into_response(),
    }
}
