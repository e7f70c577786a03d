//! `Idempotency-Key`: a POST that comes again is answered as the first was, and nothing is done twice.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use directory::{Caller, Claim, KeptResponse};
use tracing::Instrument as _;

use crate::AppState;
use crate::answer::{Done, done};
use crate::extract::Repeatable;
use crate::problem::{Kind, Problem};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Does the work once for a key; without a key, simply does it. The work goes on to its end even if the client goes away: it
/// may come again and ask.
pub(crate) async fn once<F>(
    state: &AppState,
    caller: &Caller,
    request: Repeatable,
    work: F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Done, Problem>> + Send + 'static,
{
    let Repeatable { key, hash } = request;
    let (directory, caller) = (state.directory.clone(), caller.clone());
    let task = async move {
        // A trial leaves nothing, so there is nothing to keep it from being done twice.
        let Some(key) = key.filter(|_| !caller.is_trying()) else { return work.await.map(Done::into_response) };
        match directory.claim_idempotency_key(&caller, &key, hash).await? {
            Claim::Fresh => {}
            Claim::UnderWay => return Err(Problem::new(Kind::UnderWay)),
            Claim::Answered(kept) => return Ok(replay(kept)),
            Claim::Mismatch => {
                let detail = "this Idempotency-Key was used for another request";
                return Err(Problem::field("", "invalid", detail));
            }
        }
        match work.await {
            Ok(done) => {
                let kept = KeptResponse {
                    status: done.status.as_u16(),
                    location: done.location.clone(),
                    etag: done.etag.clone(),
                    body: done.body.clone(),
                };
                // It is done: a failure to remember the answer must not deny that.
                if let Err(error) = directory.keep_response(&caller, &key, &kept).await {
                    tracing::warn!(kind = error.kind(), "an answer could not be kept for its Idempotency-Key");
                }
                Ok(done.into_response())
            }
            Err(problem) => {
                if let Err(error) = directory.release_claim(&caller, &key).await {
                    tracing::warn!(kind = error.kind(), "an Idempotency-Key could not be given free");
                }
                Err(problem)
            }
        }
    };
    tokio::spawn(task.in_current_span()).await.unwrap_or_else(|failed| Err(Problem::internal(&failed)))
}

fn replay(kept: KeptResponse) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let mut response = done(status, kept.location.as_deref(), kept.etag.as_deref(), kept.body);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
