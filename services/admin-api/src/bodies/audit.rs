//! The audit trail.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use directory::AuditEvent;
use mail_types::TenantSlug;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Who did what to what.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub struct AuditEventBody {
    /// Opaque.
    #[schema(examples("aud_42"))]
    id: String,
    /// When.
    at: DateTime<Utc>,
    /// Whose thing it was; null: the service's.
    tenant: Option<String>,
    /// Who did it.
    #[schema(examples("api-key:7"))]
    actor: String,
    /// What was done.
    #[schema(examples("account.create"))]
    action: String,
    /// To what: its natural key.
    #[schema(examples("alice@acme.test"))]
    target: String,
    /// From where; null: from inside.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// In which request, as its answer named it.
    request_id: Option<Uuid>,
    /// What it was; null: it was not there. No secrets.
    before: Option<Value>,
    /// What it was then; null: it was gone.
    after: Option<Value>,
}

impl From<AuditEvent> for AuditEventBody {
    fn from(event: AuditEvent) -> Self {
        let AuditEvent { id, tenant, at, actor, action, target, address, request, before, after } = event;
        let tenant = tenant.as_ref().map(TenantSlug::to_string);
        Self { id: format!("aud_{id}"), at, tenant, actor, action, target, address, request_id: request, before, after }
    }
}
