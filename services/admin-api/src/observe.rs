//! The outermost layer: gives each request its id, bounds its time, writes the body of its problem, counts and logs it.

use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mail_types::SessionUuid;
use prometheus::{HistogramVec, register_histogram_vec};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::AppState;
use crate::headers::secure;
use crate::problem::{Kind, Problem};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Requests to the admin API, by route and status.";
    register_histogram_vec!("restante_admin_request_seconds", help, &["method", "route", "status"])
        .expect("a new metric")
});

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id, as the log, the audit trail and the answer have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId(pub(crate) Uuid);

pub(crate) async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let id = Uuid::from_u128(SessionUuid::new(&*state.random).as_u128());
    request.extensions_mut().insert(RequestId(id));
    let method = request.method().clone();
    if method != Method::GET {
        // Only what is read is compressed: see `transport.rs`.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    // The pattern, not the path: addresses do not belong into logs and metrics.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let client_request_id = clients_id(request.headers()).map(ToOwned::to_owned);
    let span = tracing::info_span!("request", request_id = %id, client_request_id, %method, route);
    async {
        let begun = state.clock.monotonic();
        let upload = method == Method::POST && (route.ends_with("/messages") || route == "/v1/imports");
        // A task of its own: a handler that panics is a problem, not a broken connection.
        let handler = tokio::spawn(next.run(request).in_current_span());
        let aborted = AbortOnDrop(handler.abort_handle());
        let response = match tokio::time::timeout(state.config.timeout(upload), handler).await {
            Ok(Ok(response)) => response,
            Ok(Err(failed)) => Problem::internal(&failed).into_response(),
            Err(_) => Problem::new(Kind::Timeout).into_response(),
        };
        drop(aborted);
        let (response, code) = finish(response, id, &route, &state);
        let (status, seconds) = (response.status(), state.clock.since(begun).as_secs_f64());
        SECONDS.with_label_values(&[method.as_str(), &route, status.as_str()]).observe(seconds);
        tracing::info!(status = status.as_u16(), problem = code, seconds, "request done");
        response
    }
    .instrument(span)
    .await
}

/// A client that goes away takes its handler along, as it would without the task.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes the problem, also of an answer that the framework gave by itself, and the headers that all answers have.
fn finish(mut response: Response, id: Uuid, route: &str, state: &AppState) -> (Response, &'static str) {
    let mut code = "none";
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem =
            response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Problem::new(Kind::of_status(status)));
        code = problem.code();
        *response.body_mut() = serde_json::to_vec(&problem.body(id.to_string())).unwrap_or_default().into();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    let policy = response.extensions_mut().remove();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    secure(headers, route, policy, &state.config);
    (response, code)
}

/// The id that a client or a proxy gave the request: for the log only, beside ours. It is nobody's business to choose what the audit
/// trail and the answer have, and what does not look like an id is not logged.
fn clients_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.:".contains(&octet);
    (1..=128).contains(&text.len()).then_some(text).filter(|text| text.bytes().all(plain))
}
