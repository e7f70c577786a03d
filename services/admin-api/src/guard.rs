//! In front of every handler of the API: who asks, whether they may, whether they only try, and whether the query says only what
//! the operation knows. Handlers come after all of that and do not look again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use directory::{Caller, Effect};
use net::Peer;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};

use crate::AppState;
use crate::caller::prove;
use crate::permissions::{Needs, knows, needs, takes_any_query};
use crate::problem::{Kind, Problem};
use crate::rate::{Rate, RateLimits};

/// The query parameter that makes a change a trial.
pub(crate) const DRY_RUN: &str = "dry_run";
/// The media type of what a trial answers.
pub(crate) const DRY_RUN_TYPE: &str = "application/vnd.restante.dry-run+json";
const DRY_RUN_HEADER: HeaderName = HeaderName::from_static("dry-run");

/// Operations whose trial is a job: the handler itself makes one that only tries, and finds [`JobTrial`].
const TRIED_BY_A_JOB: [(Method, &str); 1] = [(Method::POST, "/v1/imports")];

/// What is asked for is a job that only tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobTrial;

/// Whether a trial of this operation is a job of its own.
pub(crate) fn is_tried_by_a_job(method: &Method, path: &str) -> bool {
    TRIED_BY_A_JOB.iter().any(|(of, at)| of == method && *at == path)
}

/// The methods that change nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS
}

/// What the guard works with: the state, and the query parameters that each operation knows.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    state: AppState,
    queries: Arc<HashMap<(Method, String), HashSet<String>>>,
    limits: Arc<RateLimits>,
}

impl Guard {
    pub(crate) fn new(state: AppState, document: &OpenApi) -> Self {
        let mut queries = HashMap::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in operations(item) {
                queries.insert((method, path.clone()), query_parameters(item, operation));
            }
        }
        let limits = RateLimits::new(&state.config.rate_limit, state.clock.monotonic());
        Self { state, queries: Arc::new(queries), limits: Arc::new(limits) }
    }

    fn check_query(&self, method: &Method, path: &str, given: &[(String, String)]) -> Result<(), Problem> {
        let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
        let known = self.queries.get(&(method, path.to_owned()));
        let unknown = given.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains(name)));
        let errors: Vec<_> = unknown
            .map(|(name, _)| {
                directory::FieldError::new(format!("/{name}"), "unknown_field", "there is no such query parameter")
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
    }
}

/// The operations of a path.
pub(crate) fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_ref().map(|operation| (method, operation)))
}

fn query_parameters(item: &PathItem, operation: &Operation) -> HashSet<String> {
    let all = item.parameters.iter().flatten().chain(operation.parameters.iter().flatten());
    all.filter_map(|parameter| match parameter {
        utoipa::openapi::RefOr::T(one) if one.parameter_in == ParameterIn::Query => Some(one.name.clone()),
        _ => None,
    })
    .collect()
}

/// The layer.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut rate = None;
    let mut response = match admit(&guard, request, &mut rate).await {
        Err(problem) => problem.into_response(),
        Ok((request, None)) => next.run(request).await,
        Ok((request, Some(caller))) => {
            let response = next.run(request).await;
            if response.status().is_success() { tried(response, &caller).await } else { response }
        }
    };
    if let Some(rate) = rate {
        rate.write(response.headers_mut());
    }
    response
}

/// Refuses, or lets the request on with its caller; the caller of a trial is handed back too. Leaves in `rate` where who asks stands
/// with the bound that counts here.
async fn admit(
    guard: &Guard,
    mut request: Request,
    rate: &mut Option<Rate>,
) -> Result<(Request, Option<Caller>), Problem> {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let method = request.method().clone();
    let Some(needed) = needs(&method, &matched) else {
        // The router knows which methods there are. A path without any row is a fault of ours: nobody gets in.
        return if knows(&matched) { Ok((request, None)) } else { Err(Problem::new(Kind::Forbidden)) };
    };
    let (mut parts, body) = request.into_parts();
    let caller = match needed {
        Needs::Nobody => {
            let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.address);
            counted(guard.limits.address(peer, guard.state.clock.monotonic()), rate)?;
            None
        }
        Needs::Anybody => Some(known(guard, &parts, rate).await?),
        Needs::Person => {
            let caller = known(guard, &parts, rate).await?;
            if caller.signed_in().is_none() {
                return Err(Problem::with_detail(Kind::Forbidden, "this is for people who signed in, not for keys"));
            }
            Some(caller)
        }
        Needs::A(permission) => {
            let caller = known(guard, &parts, rate).await?;
            if !caller.allows(permission) {
                let detail = format!("this needs the permission {permission}");
                return Err(Problem::with_detail(Kind::Forbidden, detail));
            }
            Some(caller)
        }
    };
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| Problem::with_detail(Kind::BadRequest, "the query is malformed"))?;
    if !takes_any_query(&matched) {
        guard.check_query(&method, &matched, &query)?;
    }
    let mut trial = None;
    if let Some(mut caller) = caller {
        if !is_safe(&method) && asks_for_trial(&query)? {
            if is_tried_by_a_job(&method, &matched) {
                parts.extensions.insert(JobTrial);
            } else {
                caller = caller.trying();
                trial = Some(caller.clone());
            }
        }
        parts.extensions.insert(caller);
    }
    request = Request::from_parts(parts, body);
    Ok((request, trial))
}

/// The proved caller, if neither it nor its address asks too often.
async fn known(guard: &Guard, parts: &Parts, rate: &mut Option<Rate>) -> Result<Caller, Problem> {
    let Guard { state, limits, .. } = guard;
    let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.address);
    let token = parts.headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    counted(limits.may_try(peer, token, state.clock.monotonic()).map(|()| None), rate)?;
    let proved = prove(parts, state).await;
    let now = state.clock.monotonic();
    match proved {
        Ok(caller) => {
            limits.proved(token, now);
            counted(limits.caller(&caller.actor, now), rate)?;
            Ok(caller)
        }
        Err(problem) => {
            if problem.is_unauthorized() {
                limits.failed(peer, now);
            }
            Err(problem)
        }
    }
}

/// Notes where a bound stands; refuses over it.
fn counted(verdict: Result<Option<Rate>, Rate>, rate: &mut Option<Rate>) -> Result<(), Problem> {
    let (now, within) = match verdict {
        Ok(now) => (now, true),
        Err(now) => (Some(now), false),
    };
    *rate = now.or(*rate);
    if within { Ok(()) } else { Err(Problem::new(Kind::RateLimited)) }
}

fn asks_for_trial(query: &[(String, String)]) -> Result<bool, Problem> {
    let mut given = query.iter().filter(|(name, _)| name == DRY_RUN).map(|(_, value)| value.as_str());
    match (given.next(), given.next()) {
        (None, _) | (Some("false"), None) => Ok(false),
        (Some("true"), None) => Ok(true),
        _ => Err(Problem::field(format!("/{DRY_RUN}"), "invalid", "must be true or false, once")),
    }
}

/// What a change would have done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// The status that the change would have answered.
    status: u16,
    /// The body that it would have answered, without secrets; null: none.
    result: Value,
    /// What the audit trail would say of it, in order.
    effects: Vec<EffectBody>,
}

/// A change as the audit trail has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Effect)]
pub(crate) struct EffectBody {
    /// What is done.
    #[schema(examples("account.create"))]
    action: String,
    /// To what: its natural key.
    #[schema(examples("alice@acme.test"))]
    target: String,
    /// What it was; null: it was not there.
    before: Option<Value>,
    /// What it is then; null: it is gone.
    after: Option<Value>,
}

impl From<Effect> for EffectBody {
    fn from(effect: Effect) -> Self {
        let Effect { action, target, before, after } = effect;
        Self { action, target, before, after }
    }
}

/// The longest answer of a change, octets: far over what any is.
const MOST: usize = 4 * 1024 * 1024;

/// Makes of a change's answer the answer to its trial.
async fn tried(response: Response, caller: &Caller) -> Response {
    let status = response.status().as_u16();
    let octets = match to_bytes(response.into_body(), MOST).await {
        Ok(octets) => octets,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let mut result: Value = serde_json::from_slice(&octets).unwrap_or_default();
    if let Value::Object(object) = &mut result {
        object.remove("secret");
    }
    let effects = caller.effects().into_iter().map(EffectBody::from).collect();
    let body = match serde_json::to_vec(&DryRun { status, result, effects }) {
        Ok(body) => body,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let mut response = (StatusCode::OK, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(DRY_RUN_TYPE));
    headers.insert(DRY_RUN_HEADER, HeaderValue::from_static("true"));
    response
}
