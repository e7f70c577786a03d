//! `/v1/webhooks`: where events are told, and how that went.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directory::{DeliveryState, NewWebhook, WebhookChange};
use mail_types::TenantSlug;
use net::egress::Egress;

use crate::AppState;
use crate::answer::{Done, list as page, versioned};
use crate::bodies::{
    DeliveryWord, WebhookBody, WebhookDeliveryBody, WebhookDeliveryWhole, WebhookIssued, WebhookNew, WebhookPatch,
};
use crate::caller::Caller;
use crate::extract::{Bodiless, IfMatch, Params, Submitted, opaque};
use crate::fields::{Fields, boolean, parsed, text};
use crate::once::once;
use crate::openapi::{PageParams, Problems, WebhookDeliveryList, WebhookList};
use crate::problem::Problem;

/// Make a webhook.
///
/// The secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookNew,
    responses((status = 201, body = WebhookIssued, headers(("Location", description = "Its path"), ("ETag"))), Problems))]
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let new = read(fields, &state.egress)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let made = directory.create_webhook(&by, new).await?;
        let (location, version) = (format!("/v1/webhooks/hook_{}", made.webhook.id), made.webhook.version);
        Ok(Done::created(location, WebhookBody::from(made.webhook))?.version(version).secret(made.secret))
    })
    .await
}

/// A URL that may be sent to.
fn url(egress: &Egress) -> impl Fn(&str) -> Result<String, &'static str> + '_ {
    |text| egress.may_post(text).map(|()| text.to_owned())
}

fn read(mut fields: Fields, egress: &Egress) -> Result<NewWebhook, Problem> {
    let address = fields.required("url", parsed(url(egress)));
    let events = fields.list("events", text);
    let tenant = fields.optional("tenant", parsed(TenantSlug::parse));
    let description = fields.optional("description", text).unwrap_or_default();
    let enabled = fields.optional("enabled", boolean).unwrap_or(true);
    let new = address.zip(events).map(|(url, events)| NewWebhook { tenant, url, description, events, enabled });
    fields.done(new)
}

/// List webhooks, in the order they were made.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    params(PageParams, ("tenant" = Option<String>, Query, description = "Of this tenant only")),
    responses((status = 200, body = WebhookList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    mut params: Params,
) -> Result<Response, Problem> {
    let (request, tenant) = (params.page()?, params.tenant()?);
    let webhooks = state.directory.webhooks(&caller, tenant.as_ref(), &request).await?;
    Ok(page(webhooks.map(WebhookBody::from)).into_response())
}

/// Read a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookBody, headers(("ETag"))), Problems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let webhook = state.directory.webhook(&caller, hook(&id)?).await?;
    let version = webhook.version;
    Ok(versioned(WebhookBody::from(webhook), version))
}

/// Change a webhook.
///
/// One that was switched off because it took nothing is enabled here again.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content = WebhookPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = WebhookBody, headers(("ETag"))), Problems))]
pub(super) async fn change(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
    Submitted { mut fields, .. }: Submitted,
) -> Result<Response, Problem> {
    let change = WebhookChange {
        url: fields.replace("url", parsed(url(&state.egress))),
        description: fields.change("description", text).map(Option::unwrap_or_default),
        events: if fields.has("events") { fields.list("events", text) } else { None },
        enabled: fields.replace("enabled", boolean),
    };
    let change = fields.done(Some(change))?;
    let webhook = state.directory.change_webhook(&caller, hook(&id)?, change, &precondition).await?;
    let version = webhook.version;
    Ok(versioned(WebhookBody::from(webhook), version))
}

/// Delete a webhook, with its deliveries.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted"), Problems))]
pub(super) async fn delete(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    state.directory.delete_webhook(&caller, hook(&id)?, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new secret.
///
/// The secret is in this answer and nowhere else. The one before signs too for a day, so that receivers can change over.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = WebhookIssued, headers(("ETag"))), Problems))]
pub(super) async fn rotate_secret(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    IfMatch(precondition): IfMatch,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let id = hook(&id)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let made = directory.rotate_webhook_secret(&by, id, &precondition).await?;
        let version = made.webhook.version;
        Ok(Done::ok(WebhookBody::from(made.webhook))?.version(version).secret(made.secret))
    })
    .await
}

/// Send a test event to a webhook, and to no other.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 201, body = WebhookDeliveryWhole, headers(("Location", description = "The delivery's path"))), Problems))]
pub(super) async fn test(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let id = hook(&id)?;
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        let queued = directory.test_webhook(&by, id).await?;
        let location = format!("/v1/webhooks/hook_{id}/deliveries/dlv_{}", queued.id);
        Done::created(location, WebhookDeliveryWhole::from(queued))
    })
    .await
}

/// List a webhook's deliveries, newest first.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", operation_id = "list", tag = "webhooks",
    params(("id" = String, Path), PageParams,
        ("state" = Option<DeliveryWord>, Query, description = "In this state only")),
    responses((status = 200, body = WebhookDeliveryList), Problems))]
pub(super) async fn deliveries(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let only = params.parsed("state", |word| match word {
        "due" => Ok(DeliveryState::Due),
        "delivered" => Ok(DeliveryState::Delivered),
        "dead" => Ok(DeliveryState::Dead),
        _ => Err("must be one of due, delivered, dead"),
    })?;
    let deliveries = state.directory.webhook_deliveries(&caller, hook(&id)?, only, &request).await?;
    Ok(page(deliveries.map(WebhookDeliveryBody::from)).into_response())
}

/// Read a delivery, with what is sent.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries/{delivery}", operation_id = "get", tag = "webhooks",
    params(("id" = String, Path), ("delivery" = String, Path, description = "The delivery's id", example = "dlv_42")),
    responses((status = 200, body = WebhookDeliveryWhole), Problems))]
pub(super) async fn delivery(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Json<WebhookDeliveryWhole>, Problem> {
    let (id, delivery) = (hook(&id)?, opaque(&delivery, "dlv")?);
    Ok(Json(state.directory.webhook_delivery(&caller, id, delivery).await?.into()))
}

/// Deliver an event again: the same event, tried as often as a new one.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", tag = "webhooks",
    params(("id" = String, Path), ("delivery" = String, Path, description = "The delivery's id", example = "dlv_42")),
    responses((status = 200, body = WebhookDeliveryWhole), Problems))]
pub(super) async fn redeliver(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path((id, delivery)): Path<(String, String)>,
    Bodiless(repeatable): Bodiless,
) -> Result<Response, Problem> {
    let (id, delivery) = (hook(&id)?, opaque(&delivery, "dlv")?);
    let (directory, by) = (state.directory.clone(), caller.clone());
    once(&state, &caller, repeatable, async move {
        Done::ok(WebhookDeliveryWhole::from(directory.redeliver(&by, id, delivery).await?))
    })
    .await
}

/// A webhook in a path.
fn hook(text: &str) -> Result<i64, Problem> {
    opaque(text, "hook")
}
