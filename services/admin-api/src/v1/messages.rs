//! `/v1/accounts/{address}/messages`: deliver over HTTP, and list what a maildrop holds.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use directory::Error;
use futures_util::{StreamExt as _, stream};
use mail_types::{Guid, ReversePath, TenantId, Timestamp, UniqueId};
use mailstore::{Delivery, DeliveryVerdict, Incoming, IncomingError, Listed, Recipient, Target, received_line};

use crate::AppState;
use crate::answer::{Done, list as page, segment};
use crate::bodies::MessageBody;
use crate::caller::Caller;
use crate::extract::{Params, RequestHash, address, require_media_type, too_large};
use crate::once::once;
use crate::openapi::{MessageList, PageParams, Problems};
use crate::problem::{Kind, Problem};

/// What stands in `Received` lines for the client's name, which HTTP does not tell.
const CLIENT: &str = "admin-api";

/// Deliver a message to an account.
///
/// The body is the message itself (RFC 5322), mended as over LMTP: bare CR or LF become CRLF, NUL becomes 0x80. 201 comes only
/// when it is durable.
#[utoipa::path(post, path = "/v1/accounts/{address}/messages", tag = "messages",
    params(("address" = String, Path), ("sender" = Option<String>, Query, description = "The reverse-path; default empty")),
    request_body(content = String, content_type = "message/rfc822"),
    responses((status = 201, body = MessageBody, headers(("Location", description = "Its path"))), Problems))]
pub(super) async fn deliver(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let reverse_path = params.parsed("sender", ReversePath::parse)?.unwrap_or_default();
    let (parts, body) = request.into_parts();
    require_media_type(&parts.headers, &["message/rfc822"])?;
    let given = address(&path)?;
    // Before the body is read: who may not deliver need not send it.
    let account = state.directory.account_to_deliver(&caller, &given).await?;
    let mut hash = RequestHash::new(&parts);
    let incoming = receive(&state, account.tenant_id, body, &mut hash).await?;
    let repeatable = hash.repeatable(&parts.headers)?;

    let id = caller.request.simple().to_string();
    let received = received_line(CLIENT, caller.peer, &state.host, "HTTP", &id, state.clock.now());
    let given = given.to_string();
    if caller.is_trying() {
        let octets = incoming.finish().octets() + trace_octets(&reverse_path, &given, &received);
        return tried(&state, &caller, &account, octets).await;
    }
    let mailstore = state.mailstore.clone();
    once(&state, &caller, repeatable, async move {
        let body = incoming.finish();
        let octets = body.octets() + trace_octets(&reverse_path, &given, &received);
        let target = Target { tenant: account.tenant_id, account: account.id };
        let recipients = vec![Recipient { given: given.clone(), targets: vec![target] }];
        let delivery = Delivery { reverse_path, received, source: "HTTP", recipients, body };
        let unique_id = stored(mailstore.deliver(delivery).await.into_iter().next())?;
        let received_at = Guid::from_unique_id(unique_id.as_str()).map(|guid| time(guid.received_at()));
        let body =
            MessageBody { unique_id: unique_id.to_string(), octets, received_at: received_at.unwrap_or_default() };
        let location = format!("/v1/accounts/{}/messages/{}", segment(&given), segment(unique_id.as_str()));
        Done::created(location, body)
    })
    .await
}

/// What a delivery would come to. Without storing, there is no unique-id yet.
async fn tried(
    state: &AppState,
    caller: &directory::Caller,
    account: &directory::Account,
    octets: u64,
) -> Result<Response, Problem> {
    let usage = state.directory.account_usage(caller, &account.address).await?;
    let fits = |most: Option<u64>, so_far: u64, more: u64| most.is_none_or(|most| so_far.saturating_add(more) <= most);
    let most_octets = account.quota.octets.and_then(|most| u64::try_from(most).ok());
    let most_messages = account.quota.messages.and_then(|most| u64::try_from(most).ok());
    if !fits(most_octets, usage.octets, octets) || !fits(most_messages, usage.messages, 1) {
        return Err(Problem::new(Kind::OverQuota));
    }
    let body = Done::ok(serde_json::json!({"octets": octets}))?;
    Ok(Done { status: StatusCode::CREATED, ..body }.into_response())
}

/// The octets of the trace headers that delivery puts first, which the maildrop's list counts too.
fn trace_octets(reverse_path: &ReversePath, given: &str, received: &str) -> u64 {
    let lines =
        [format!("Return-Path: <{}>", reverse_path.as_str()), format!("Delivered-To: {given}"), received.to_owned()];
    lines.iter().map(|line| line.len() as u64 + 2).sum()
}

/// Takes the body in as it comes, within the limit and the process's memory.
async fn receive(state: &AppState, tenant: TenantId, body: Body, hash: &mut RequestHash) -> Result<Incoming, Problem> {
    let most = state.config.max_message_octets;
    let mut incoming = state.mailstore.incoming(tenant, most);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::with_detail(Kind::BadRequest, "the body ended early"))?;
        hash.update(&chunk);
        incoming.write(&chunk).await.map_err(|error| match error {
            IncomingError::TooLarge => too_large(most),
            IncomingError::OutOfMemory => Problem::new(Kind::Unavailable),
        })?;
    }
    Ok(incoming)
}

fn stored(verdict: Option<DeliveryVerdict>) -> Result<UniqueId, Problem> {
    match verdict {
        Some(DeliveryVerdict::Stored { unique_ids }) => {
            unique_ids.into_iter().next().ok_or_else(|| Error::Internal("a stored message has no unique-id").into())
        }
        Some(DeliveryVerdict::OverQuota { defer: false }) => Err(Problem::new(Kind::OverQuota)),
        Some(DeliveryVerdict::NoSuchAccount) => Err(Problem::new(Kind::NotFound)),
        Some(DeliveryVerdict::StoreFull) => Err(Problem::with_detail(Kind::Unavailable, "the object store is full")),
        Some(DeliveryVerdict::Suspended) => Err(Problem::new(Kind::Suspended)),
        Some(DeliveryVerdict::OverQuota { defer: true } | DeliveryVerdict::Busy | DeliveryVerdict::Unavailable)
        | None => Err(Problem::new(Kind::Unavailable)),
    }
}

/// List an account's live messages, oldest first: metadata only.
#[utoipa::path(get, path = "/v1/accounts/{address}/messages", tag = "messages",
    params(("address" = String, Path), PageParams), responses((status = 200, body = MessageList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let after = request.after()?.unwrap_or(0);
    let rows = state.mailstore.page(account.tenant_id, account.id, after, request.limit + 1).await?;
    Ok(page(request.page(rows, |row| row.uid).map(MessageBody::from)).into_response())
}

/// Read a live message's metadata.
#[utoipa::path(get, path = "/v1/accounts/{address}/messages/{unique_id}", tag = "messages",
    params(("address" = String, Path), ("unique_id" = String, Path)), responses((status = 200, body = MessageBody), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, unique_id)): Path<(String, String)>,
) -> Result<Json<MessageBody>, Problem> {
    let unique_id = UniqueId::parse(&unique_id).map_err(|_| Problem::new(Kind::NotFound))?;
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let message = state.mailstore.message(account.tenant_id, account.id, &unique_id).await?;
    Ok(Json(message.ok_or_else(|| Problem::new(Kind::NotFound))?.into()))
}

/// Read a live message itself, as RETR sends it (before dot-stuffing).
///
/// Only with a key that has the scope `messages:raw`; the audit trail says who read what.
#[utoipa::path(get, path = "/v1/accounts/{address}/messages/{unique_id}/raw", tag = "messages",
    params(("address" = String, Path), ("unique_id" = String, Path)),
    responses((status = 200, body = String, content_type = "message/rfc822"), Problems))]
pub(super) async fn raw(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((path, unique_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let unique_id = UniqueId::parse(&unique_id).map_err(|_| Problem::new(Kind::NotFound))?;
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let mut found = state.mailstore.read_one(account.tenant_id, account.id, &unique_id).await?;
    let octets = found.messages().first().ok_or_else(|| Problem::new(Kind::NotFound))?.octets.0;
    // Before anything of it is read.
    state.directory.note_reading(&caller, &account.address, unique_id.as_str()).await?;
    let reader = found.open(0).await.ok_or_else(|| Problem::new(Kind::NotFound))??;
    let body = Body::from_stream(stream::try_unfold(reader, async |mut reader| {
        let piece = reader.next().await.inspect_err(|error| tracing::warn!(%error, "a message broke off"))?;
        Ok::<_, mailstore::Error>(piece.map(|piece| (piece, reader)))
    }));
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("message/rfc822"));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(octets));
    Ok(response)
}

/// A time as the API shows it.
pub(super) fn time(at: Timestamp) -> DateTime<Utc> {
    i64::try_from(at.unix_ms()).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
}

impl From<Listed> for MessageBody {
    fn from(listed: Listed) -> Self {
        Self { unique_id: listed.unique_id.to_string(), octets: listed.octets.0, received_at: time(listed.received_at) }
    }
}
