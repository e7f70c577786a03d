//! `/v1/sign-in`, `/v1/sign-out` and the keys that tokens are verified with.
//!
//! Signing in and refreshing take no `Idempotency-Key`: their answers are secrets, which are never kept, and whoever asks is not proved
//! yet, so that there is nobody whose key it would be. A sign-in that is sent again is another sign-in; a refresh that is sent again is
//! one token shown twice.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use directory::{RefreshOutcome, SignIn, SignInOutcome, Tokens};
use mail_types::Secret;
use tokio::time::Instant;

use crate::answer::Done;
use crate::bodies::{JwksBody, RefreshNew, SignInMethodsBody, SignInNew, SignOut, SignedOut, TokensBody};
use crate::caller::{Caller, Origin};
use crate::cookies::{REFRESH, is_secure, require_same_origin};
use crate::extract::{Params, Sparse, Submitted};
use crate::fields::{Fields, boolean, text, word};
use crate::once::once;
use crate::openapi::Problems;
use crate::problem::{Kind, Problem};
use crate::{AppState, Config};

/// How long others may go by the public keys.
const JWKS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Sign in with a name and a password, and a one-time code where one is set up.
///
/// A wrong name, password or code, and whoever may not sign in, are answered alike and at the same moment (401 `sign-in-refused`); after
/// too many failures nothing is tried for a while (429 `slowed-down`).
///
/// With `keep` a browser has its refresh token in a cookie that no script sees, in place of the answer.
#[utoipa::path(post, path = "/v1/sign-in", tag = "sign-in", request_body = SignInNew,
    responses((status = 200, body = TokensBody), Problems))]
pub(super) async fn sign_in(
    State(state): State<AppState>,
    Origin(from): Origin,
    headers: HeaderMap,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let name = fields.required("name", text);
    let password = fields.required("password", text).map(Secret::from);
    let totp = fields.optional("totp", text).map(Secret::from);
    let recovery_code = fields.optional("recovery_code", text).map(Secret::from);
    let attempt = name.zip(password).map(|(name, password)| SignIn { name, password, totp, recovery_code });
    let keep = Keep::asked(&mut fields, &headers, &state.config);
    let attempt = fields.done(attempt)?;
    keep.check(&headers)?;
    let problem = match state.directory.sign_in(&attempt, &from).await {
        Ok(SignInOutcome::Accepted(tokens)) => return Ok(answer(&tokens, keep)),
        Ok(SignInOutcome::Refused) => Problem::new(Kind::SignInRefused),
        Ok(SignInOutcome::SlowedDown { wait }) => slowed_down(wait),
        Err(error) => error.into(),
    };
    wait_for_the_moment(began, &state).await;
    Err(problem)
}

/// Exchange a refresh token for new tokens. It is spent then.
///
/// Shown once more, it ends its sign-in: of two who have it one is a thief. A browser that had it kept says so in its place.
#[utoipa::path(post, path = "/v1/sign-in/refresh", tag = "sign-in", request_body = RefreshNew,
    responses((status = 200, body = TokensBody), Problems))]
pub(super) async fn refresh(
    State(state): State<AppState>,
    Origin(from): Origin,
    headers: HeaderMap,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let keep = Keep::asked(&mut fields, &headers, &state.config);
    let given = match keep {
        Keep::Shown => fields.required("refresh_token", text).map(Some),
        Keep::Cookie { .. } => Some(REFRESH.read(&headers)),
    };
    let given = fields.done(given)?;
    keep.check(&headers)?;
    let Some(token) = given.map(Secret::from) else { return Err(Problem::new(Kind::SignInRefused)) };
    // To its end, even if the client goes away: what is spent should not be lost half way.
    let directory = state.directory.clone();
    let refreshing = tokio::spawn(async move { directory.refresh(&token, &from).await });
    match refreshing.await.map_err(|failed| Problem::internal(&failed))?? {
        RefreshOutcome::Accepted(tokens) => Ok(answer(&tokens, keep)),
        RefreshOutcome::Refused => {
            let mut response = Problem::new(Kind::SignInRefused).into_response();
            if let Keep::Cookie { secure } = keep {
                REFRESH.clear(&mut response, secure);
            }
            Ok(response)
        }
    }
}

/// Sign out: this sign-in ends, or all that one has. The next request with its token is refused. A browser forgets its cookie.
#[utoipa::path(post, path = "/v1/sign-out", tag = "sign-in", request_body(content = Option<SignOut>),
    responses((status = 200, body = SignedOut), Problems))]
pub(super) async fn sign_out(
    State(state): State<AppState>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Sparse { mut fields, repeatable }: Sparse,
) -> Result<Response, Problem> {
    let everywhere = fields.optional("everywhere", boolean).unwrap_or(false);
    fields.done(Some(()))?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    let mut response = once(&state, &caller, repeatable, async move {
        Done::ok(SignedOut { ended: directory.sign_out(&by, everywhere).await? })
    })
    .await?;
    if REFRESH.read(&headers).is_some() {
        REFRESH.clear(&mut response, is_secure(&state.config, &headers));
    }
    Ok(response)
}

/// Read how people of a tenant, or without one of the platform, can sign in.
///
/// A tenant that there is not is answered as one without an issuer.
#[utoipa::path(get, path = "/v1/sign-in/methods", operation_id = "get", tag = "sign-in",
    params(("tenant" = Option<String>, Query, description = "Whose people; left out: the platform's", example = "acme")),
    responses((status = 200, body = SignInMethodsBody), Problems))]
pub(super) async fn methods(
    State(state): State<AppState>,
    mut params: Params,
) -> Result<Json<SignInMethodsBody>, Problem> {
    let tenant = params.tenant()?;
    let has_issuer = state.directory.has_oidc_issuer(tenant.as_ref()).await?;
    // Without its own address, the service has nowhere for an issuer to send people back to.
    let oidc = has_issuer && state.config.public_url.is_some();
    Ok(Json(SignInMethodsBody { password: true, oidc }))
}

/// Read the keys that access tokens are verified with (RFC 7517).
#[utoipa::path(get, path = "/v1/jwks.json", operation_id = "get", tag = "sign-in", responses((status = 200, body = JwksBody), Problems))]
pub(super) async fn jwks(State(state): State<AppState>) -> Result<Response, Problem> {
    let mut response = Json(JwksBody::from(state.directory.jwks().await?)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, JWKS_CACHE);
    Ok(response)
}

/// Where a refresh token goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep {
    /// Into the answer.
    Shown,
    /// Into a cookie.
    Cookie {
        /// Only over TLS.
        secure: bool,
    },
}

impl Keep {
    /// What is asked for.
    pub(super) fn asked(fields: &mut Fields, headers: &HeaderMap, config: &Config) -> Self {
        match fields.optional("keep", word(&[("cookie", ())])) {
            Some(()) => Self::Cookie { secure: is_secure(config, headers) },
            None => Self::Shown,
        }
    }

    /// Refuses a page of another origin to have something kept.
    pub(super) fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::Shown => Ok(()),
            Self::Cookie { .. } => require_same_origin(headers),
        }
    }
}

/// The tokens, as OAuth 2.0 has them (RFC 6749 section 5.1).
pub(super) fn answer(tokens: &Tokens, keep: Keep) -> Response {
    let text = |secret: &Secret| secret.expose_str().unwrap_or_default().to_owned();
    let refresh = text(&tokens.refresh);
    let (shown, kept) = match keep {
        Keep::Shown => (Some(refresh), None),
        Keep::Cookie { secure } => (None, Some((refresh, secure))),
    };
    let mut response = Json(TokensBody {
        access_token: text(&tokens.access),
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_token: shown,
    })
    .into_response();
    if let Some((token, secure)) = kept {
        REFRESH.set(&mut response, &token, tokens.refresh_expires_in, secure);
    }
    response
}

pub(super) fn slowed_down(wait: Duration) -> Problem {
    Problem::after(Kind::SlowedDown, wait.as_secs().saturating_add(1))
}

/// Waits for the moment at which failures are answered, so that the time tells nothing of the reason.
pub(super) async fn wait_for_the_moment(began: Instant, state: &AppState) {
    let every = Duration::from_millis(state.config.refusal_ms);
    tokio::time::sleep_until(began + moment(began.elapsed(), every)).await;
}

/// How long after its beginning a failure is answered: at the first whole multiple of a time that has not passed yet, as POP3 does.
fn moment(passed: Duration, every: Duration) -> Duration {
    let nanoseconds = every.as_nanos().max(1);
    let times = passed.as_nanos().div_ceil(nanoseconds).max(1);
    every.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_answered_at_whole_moments() {
        let answered = |passed, every| moment(Duration::from_millis(passed), Duration::from_millis(every)).as_millis();
        assert_eq!([answered(0, 1000), answered(999, 1000), answered(1000, 1000)], [1000; 3]);
        assert_eq!(answered(1001, 1000), 2000);
        assert_eq!(answered(7, 0), 0, "at once");
    }
}
