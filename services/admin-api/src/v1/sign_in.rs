//! `/v1/sign-in`, `/v1/sign-out` and the keys that tokens are verified with.
//!
//! Signing in and refreshing take no `Idempotency-Key`: their answers are secrets, which are never kept, and whoever asks is not proved
//! yet, so that there is nobody whose key it would be. A sign-in that is sent again is another sign-in; a refresh that is sent again is
//! one token shown twice.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use directory::{RefreshOutcome, SignIn, SignInOutcome, Tokens};
use mail_types::Secret;
use tokio::time::Instant;

use crate::AppState;
use crate::answer::Done;
use crate::bodies::{JwksBody, RefreshNew, SignInNew, SignOut, SignedOut, TokensBody};
use crate::caller::{Caller, Origin};
use crate::extract::{Sparse, Submitted};
use crate::fields::{boolean, text};
use crate::once::once;
use crate::openapi::Problems;
use crate::problem::{Kind, Problem};

/// How long others may go by the public keys.
const JWKS_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Sign in with a name and a password, and a one-time code where one is set up.
///
/// A wrong name, password or code, and whoever may not sign in, are answered alike and at the same moment (401 `sign-in-refused`); after
/// too many failures nothing is tried for a while (429 `slowed-down`).
#[utoipa::path(post, path = "/v1/sign-in", tag = "sign-in", request_body = SignInNew,
    responses((status = 200, body = TokensBody), Problems))]
pub(super) async fn sign_in(
    State(state): State<AppState>,
    Origin(from): Origin,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let name = fields.required("name", text);
    let password = fields.required("password", text).map(Secret::from);
    let totp = fields.optional("totp", text).map(Secret::from);
    let recovery_code = fields.optional("recovery_code", text).map(Secret::from);
    let attempt = name.zip(password).map(|(name, password)| SignIn { name, password, totp, recovery_code });
    let attempt = fields.done(attempt)?;
    let problem = match state.directory.sign_in(&attempt, &from).await {
        Ok(SignInOutcome::Accepted(tokens)) => return Ok(answer(&tokens)),
        Ok(SignInOutcome::Refused) => Problem::new(Kind::SignInRefused),
        Ok(SignInOutcome::SlowedDown { wait }) => slowed_down(wait),
        Err(error) => error.into(),
    };
    wait_for_the_moment(began, &state).await;
    Err(problem)
}

/// Exchange a refresh token for new tokens. It is spent then.
///
/// Shown once more, it ends its sign-in: of two who have it one is a thief.
#[utoipa::path(post, path = "/v1/sign-in/refresh", tag = "sign-in", request_body = RefreshNew,
    responses((status = 200, body = TokensBody), Problems))]
pub(super) async fn refresh(
    State(state): State<AppState>,
    Origin(from): Origin,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let token = fields.required("refresh_token", text).map(Secret::from);
    let token = fields.done(token)?;
    // To its end, even if the client goes away: what is spent should not be lost half way.
    let directory = state.directory.clone();
    let refreshing = tokio::spawn(async move { directory.refresh(&token, &from).await });
    match refreshing.await.map_err(|failed| Problem::internal(&failed))?? {
        RefreshOutcome::Accepted(tokens) => Ok(answer(&tokens)),
        RefreshOutcome::Refused => Err(Problem::new(Kind::SignInRefused)),
    }
}

/// Sign out: this sign-in ends, or all that one has. The next request with its token is refused.
#[utoipa::path(post, path = "/v1/sign-out", tag = "sign-in", request_body(content = Option<SignOut>),
    responses((status = 200, body = SignedOut), Problems))]
pub(super) async fn sign_out(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Sparse { mut fields, repeatable }: Sparse,
) -> Result<Response, Problem> {
    let everywhere = fields.optional("everywhere", boolean).unwrap_or(false);
    fields.done(Some(()))?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        Done::ok(SignedOut { ended: directory.sign_out(&by, everywhere).await? })
    })
    .await
}

/// Read the keys that access tokens are verified with (RFC 7517).
#[utoipa::path(get, path = "/v1/jwks.json", operation_id = "get", tag = "sign-in", responses((status = 200, body = JwksBody), Problems))]
pub(super) async fn jwks(State(state): State<AppState>) -> Result<Response, Problem> {
    let mut response = Json(JwksBody::from(state.directory.jwks().await?)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, JWKS_CACHE);
    Ok(response)
}

/// The tokens, as OAuth 2.0 has them (RFC 6749 section 5.1).
pub(super) fn answer(tokens: &Tokens) -> Response {
    let text = |secret: &Secret| secret.expose_str().unwrap_or_default().to_owned();
    Json(TokensBody {
        access_token: text(&tokens.access),
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_token: text(&tokens.refresh),
    })
    .into_response()
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
