//! The audit trail: a row for each change, in the transaction of the change. Secrets never get here: callers pass what the
//! API would show of the thing.

use mail_types::TenantId;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::ipnet::IpNet;

use crate::{Caller, Result};

/// The tenant number under which changes of the whole service stand.
pub(crate) const SERVICE: TenantId = TenantId(0);

/// What was done to what.
pub(crate) struct Event<'a> {
    /// Whose thing it is; [`SERVICE`] for none's.
    pub(crate) tenant: TenantId,
    /// `account.create`.
    pub(crate) action: &'static str,
    /// The natural key.
    pub(crate) target: &'a str,
    /// What it was.
    pub(crate) before: Option<Value>,
    /// What it is now.
    pub(crate) after: Option<Value>,
}

/// What a change came to, or would come to: an audit event without its place and time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// `account.create`.
    pub action: String,
    /// The natural key.
    pub target: String,
    /// What it was.
    pub before: Option<Value>,
    /// What it is then.
    pub after: Option<Value>,
}

/// Writes the row. Of a trial it is noted, and rolled back with the rest.
pub(crate) async fn record(tx: &mut PgConnection, caller: &Caller, event: Event<'_>) -> Result<()> {
    caller.note(|| Effect {
        action: event.action.to_owned(),
        target: event.target.to_owned(),
        before: event.before.clone(),
        after: event.after.clone(),
    });
    sqlx::query(
        "INSERT INTO restante.audit_events (tenant_id, actor, action, target, address, request_id, before, after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(event.tenant.0)
    .bind(&caller.actor)
    .bind(event.action)
    .bind(event.target)
    .bind(caller.peer.map(IpNet::from))
    .bind(caller.request)
    .bind(event.before)
    .bind(event.after)
    .execute(tx)
    .await?;
    Ok(())
}
