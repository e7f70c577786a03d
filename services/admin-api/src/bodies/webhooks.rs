//! Webhooks and their deliveries.

use chrono::{DateTime, Utc};
use directory::{DeliveryState, Webhook, WebhookDelivery};
use mail_types::TenantSlug;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// `POST /v1/webhooks`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookNew {
    /// An https URL of the public internet.
    #[schema(examples("https://hooks.acme.test/restante"), max_length = 2000)]
    pub url: String,
    /// Names of events as in the audit trail, `account.*` for all that begin so, `*` for all. What is done to messages is not told.
    #[schema(examples("account.*", "domain.verify"), min_items = 1, max_items = 50)]
    pub events: Vec<String>,
    /// Whose; a tenant's own key may leave it out. Without it a platform administrator makes one of the platform, which is told of
    /// all tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme"), required = false)]
    pub tenant: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, required = false)]
    pub description: Option<String>,
    /// Whether it is told; true if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub enabled: Option<bool>,
}

/// `PATCH /v1/webhooks/{id}` (RFC 7396).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    /// An https URL of the public internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000, nullable = false)]
    pub url: Option<String>,
    /// The whole list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("account.*", "domain.verify"), min_items = 1, max_items = 50, nullable = false)]
    pub events: Option<Vec<String>>,
    /// For people; null: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub description: Option<String>,
    /// Whether it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
}

/// A webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookBody {
    /// Opaque.
    #[schema(examples("hook_7"))]
    id: String,
    /// Whose events it is told; null: the platform's own, told of all tenants.
    tenant: Option<String>,
    /// Where it is told.
    url: String,
    /// For people.
    #[schema(examples("To the billing system"))]
    description: String,
    /// What it is told.
    #[schema(examples("account.*", "domain.verify"))]
    events: Vec<String>,
    /// Whether it is told. One that takes nothing for days is switched off.
    enabled: bool,
    /// Since when it takes nothing; null: the last try was taken.
    failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the last signs too; null: there was none.
    old_secret_until: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

/// A webhook with the secret that was just made for it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WebhookIssued {
    #[serde(flatten)]
    webhook: WebhookBody,
    /// Shown this once: what deliveries are signed with.
    #[schema(examples("rsw-0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"))]
    secret: String,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryWord {
    /// It is tried, or will be.
    Due,
    /// It was taken.
    Delivered,
    /// It was given up; it can be delivered again.
    Dead,
}

/// One event for one webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct WebhookDeliveryBody {
    /// Opaque.
    #[schema(examples("dlv_42"))]
    id: String,
    /// The event, the same for all webhooks and at every try.
    #[schema(examples("evt_0123456789abcdef0123456789abcdef"))]
    event_id: String,
    /// What happened.
    #[schema(examples("account.create"))]
    event_type: String,
    /// How it stands.
    state: DeliveryWord,
    /// Tries since it was made, or asked for again.
    attempts: u32,
    /// The status that the last try was answered with; null: no answer.
    response_code: Option<u16>,
    /// Why the last try was not taken: `status` (not 2xx), `timed_out`, `connect`, `tls`, `http`, `no_address`, `refused` (not of the
    /// public internet), `url`, `unsigned`.
    error: Option<String>,
    /// When it happened.
    created_at: DateTime<Utc>,
    /// When it was tried last.
    last_attempt_at: Option<DateTime<Utc>>,
    /// When it is tried next; null: it is not.
    next_attempt_at: Option<DateTime<Utc>>,
}

/// A delivery with what is sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WebhookDeliveryWhole {
    #[serde(flatten)]
    delivery: WebhookDeliveryBody,
    /// What is sent.
    payload: Value,
}

impl From<Webhook> for WebhookBody {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: format!("hook_{}", webhook.id),
            tenant: webhook.tenant.as_ref().map(TenantSlug::to_string),
            url: webhook.url,
            description: webhook.description,
            events: webhook.events,
            enabled: webhook.enabled,
            failing_since: webhook.failing_since,
            old_secret_until: webhook.old_secret_until,
            created_at: webhook.created_at,
        }
    }
}

impl From<WebhookDelivery> for WebhookDeliveryBody {
    fn from(delivery: WebhookDelivery) -> Self {
        let due = delivery.state == DeliveryState::Due;
        Self {
            id: format!("dlv_{}", delivery.id),
            event_id: format!("evt_{}", delivery.event.simple()),
            event_type: delivery.event_type,
            state: match delivery.state {
                DeliveryState::Due => DeliveryWord::Due,
                DeliveryState::Delivered => DeliveryWord::Delivered,
                DeliveryState::Dead => DeliveryWord::Dead,
            },
            attempts: delivery.attempts,
            response_code: delivery.response_code,
            error: delivery.last_error,
            created_at: delivery.created_at,
            last_attempt_at: delivery.last_at,
            next_attempt_at: due.then_some(delivery.next_at),
        }
    }
}

impl From<WebhookDelivery> for WebhookDeliveryWhole {
    fn from(delivery: WebhookDelivery) -> Self {
        Self { payload: delivery.payload.clone(), delivery: delivery.into() }
    }
}
