//! The audit trail: a row for each change, in the transaction of the change. Secrets never get here: callers pass what the
//! API would show of the thing.

use mail_types::TenantId;
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

/// Writes the row.
pub(crate) async fn record(tx: &mut PgConnection, caller: &Caller, event: Event<'_>) -> Result<()> {
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
