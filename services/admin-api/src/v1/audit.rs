//! `/v1/audit-events`: who did what to what.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use directory::{AuditFilter, AuditPlace, Directory};
use futures_util::stream::try_unfold;
use serde_json::to_writer;

use crate::AppState;
use crate::answer::list as page;
use crate::bodies::AuditEventBody;
use crate::caller::Caller;
use crate::extract::Params;
use crate::openapi::{AuditEventList, PageParams, Problems};
use crate::problem::Problem;

/// Events that an export holds at once.
const AT_ONCE: u16 = 500;

/// What events are narrowed to.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the document's")]
struct FilterParams {
    /// Of this tenant only.
    tenant: Option<String>,
    /// By this actor only.
    #[param(example = "api-key:7", max_length = 1000)]
    actor: Option<String>,
    /// Whose action begins so.
    #[param(example = "account.", max_length = 1000)]
    action: Option<String>,
    /// Of this thing only.
    #[param(example = "alice@acme.test", max_length = 1000)]
    target: Option<String>,
    /// Not before (RFC 3339).
    #[param(format = DateTime)]
    since: Option<String>,
    /// Before (RFC 3339).
    #[param(format = DateTime)]
    until: Option<String>,
}

fn filter(params: &mut Params) -> Result<AuditFilter, Problem> {
    Ok(AuditFilter {
        tenant: params.tenant()?,
        actor: params.text("actor")?,
        action: params.text("action")?,
        target: params.text("target")?,
        since: params.time("since")?,
        until: params.time("until")?,
    })
}

/// List audit events, newest first.
///
/// The trail cannot be changed by anybody; it is kept for as long as the operator and the tenant's policy say.
#[utoipa::path(get, path = "/v1/audit-events", tag = "audit-events", params(PageParams, FilterParams),
    responses((status = 200, body = AuditEventList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let (request, filter) = (params.page()?, filter(&mut params)?);
    let events = state.directory.audit_events(&caller, &filter, &request).await?;
    Ok(page(events.map(AuditEventBody::from)).into_response())
}

/// Export audit events, oldest first: one JSON object a line.
///
/// Up to now, or to `until`. An answer that was broken off ends without its last chunk; it can be gone on with by `since`.
#[utoipa::path(get, path = "/v1/audit-events/export", tag = "audit-events", params(FilterParams),
    responses((status = 200, body = AuditEventBody, content_type = "application/x-ndjson"), Problems))]
pub(super) async fn export(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let mut filter = filter(&mut params)?;
    let now = i64::try_from(state.clock.now().unix_ms()).ok().and_then(chrono::DateTime::from_timestamp_millis);
    // What comes while it is read would never let it end.
    filter.until = filter.until.or(now);
    let export = Export { directory: state.directory.clone(), caller, filter, after: None };
    // The first lines before the status: what refuses the whole of it is a problem, not half an answer.
    let Some((first, rest)) = export.next().await? else { return Ok(ndjson(Body::empty())) };
    let rest = try_unfold(rest, |export| async move {
        export.next().await.inspect_err(|error| tracing::warn!(kind = error.kind(), "an export was broken off"))
    });
    let all = futures_util::stream::StreamExt::chain(futures_util::stream::iter([Ok(first)]), rest);
    Ok(ndjson(Body::from_stream(all)))
}

fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// An export under way: each piece is a look-up of its own, so no transaction is open while a slow client reads.
struct Export {
    directory: Directory,
    caller: directory::Caller,
    filter: AuditFilter,
    after: Option<AuditPlace>,
}

impl Export {
    async fn next(mut self) -> directory::Result<Option<(Bytes, Self)>> {
        let events = self.directory.audit_events_after(&self.caller, &self.filter, self.after, AT_ONCE).await?;
        let Some(last) = events.last() else { return Ok(None) };
        self.after = Some((last.at, last.id));
        let mut lines = Vec::new();
        for event in events {
            to_writer(&mut lines, &AuditEventBody::from(event))
                .map_err(|_| directory::Error::Internal("an event is no JSON"))?;
            lines.push(b'\n');
        }
        Ok(Some((lines.into(), self)))
    }
}
