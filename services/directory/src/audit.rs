//! The audit trail: a row for each change, in the transaction of the change, and in the same breath told to webhooks (a trigger of
//! the table). Secrets never get here: callers pass what the API would show of the thing, and what is called like a secret is
//! struck out all the same.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{TenantId, TenantSlug};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::ipnet::IpNet;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{Caller, Directory, Page, PageRequest, Result, Sort, shown, tenant};

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
pub(crate) async fn record(tx: &mut PgConnection, caller: &Caller, mut event: Event<'_>) -> Result<()> {
    event.before.iter_mut().chain(&mut event.after).for_each(strike_out);
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

/// Names of fields that never hold anything else than a secret.
const SECRETS: [&str; 7] = ["password", "secret", "token", "verifier", "private_key", "totp", "recovery_codes"];

/// A second line: nothing that is called like a secret is kept, whoever let it through.
fn strike_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRETS.contains(&name.as_str()) && !value.is_null() && !value.is_boolean() {
                    *value = "[redacted]".into();
                } else {
                    strike_out(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strike_out),
        _ => {}
    }
}

/// An event of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// Grows with every event; unique in the service.
    pub id: i64,
    /// Whose thing it was; `None`: the service's.
    pub tenant: Option<TenantSlug>,
    /// When the change was made.
    pub at: DateTime<Utc>,
    /// Who did it: `api-key:7`.
    pub actor: String,
    /// What was done: `account.create`.
    pub action: String,
    /// To what: its natural key.
    pub target: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// In which request.
    pub request: Option<Uuid>,
    /// What it was.
    pub before: Option<Value>,
    /// What it was then.
    pub after: Option<Value>,
}

/// Which events; what is `None` narrows nothing.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this tenant.
    pub tenant: Option<TenantSlug>,
    /// By this actor.
    pub actor: Option<String>,
    /// Whose action begins so.
    pub action: Option<String>,
    /// Of this thing.
    pub target: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
}

/// Where a page of events ends.
pub type AuditPlace = (DateTime<Utc>, i64);

#[derive(sqlx::FromRow)]
struct EventRow {
    event_id: i64,
    slug: Option<String>,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    target: String,
    address: Option<IpNet>,
    request_id: Option<Uuid>,
    before: Option<Value>,
    after: Option<Value>,
}

impl EventRow {
    fn event(self) -> Result<AuditEvent> {
        Ok(AuditEvent {
            id: self.event_id,
            tenant: self.slug.as_deref().map(shown::slug).transpose()?,
            at: self.at,
            actor: self.actor,
            action: self.action,
            target: self.target,
            address: self.address.map(|network| network.addr()),
            request: self.request_id,
            before: self.before,
            after: self.after,
        })
    }
}

/// Which way events are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
}

impl Directory {
    /// The audit trail, newest first or, if that is asked for, last.
    pub async fn audit_events(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEvent>> {
        let after: Option<AuditPlace> = page.after()?;
        let order = match page.sort {
            Some(Sort { descending: false, .. }) => Order::OldestFirst,
            _ => Order::NewestFirst,
        };
        let rows = self.events(caller, filter, order, after, page.fetch()).await?;
        page.page(rows, |row| (row.at, row.event_id)).try_map(EventRow::event)
    }

    /// The next events of the audit trail, oldest first, after a place: for taking all of them out, in transactions of their own.
    pub async fn audit_events_after(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        after: Option<AuditPlace>,
        most: u16,
    ) -> Result<Vec<AuditEvent>> {
        let rows = self.events(caller, filter, Order::OldestFirst, after, most.into()).await?;
        rows.into_iter().map(EventRow::event).collect()
    }

    async fn events(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        order: Order,
        after: Option<AuditPlace>,
        most: i64,
    ) -> Result<Vec<EventRow>> {
        let mut tx = self.begin(caller).await?;
        let tenant = match &filter.tenant {
            Some(slug) => match tenant::find(&mut tx, slug).await? {
                Some(tenant) => Some(tenant.id),
                None => return Ok(Vec::new()),
            },
            None => caller.tenant(),
        };
        // Only what narrows stands in the statement: each of the indexes then serves what it is for.
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT e.event_id, t.slug, e.at, e.actor, e.action, e.target, e.address, e.request_id, e.before, e.after
               FROM restante.audit_events e LEFT JOIN restante.tenants t ON t.tenant_id = e.tenant_id WHERE true",
        );
        if let Some(tenant) = tenant {
            query.push(" AND e.tenant_id = ").push_bind(tenant.0);
        }
        if let Some(actor) = &filter.actor {
            query.push(" AND e.actor = ").push_bind(actor.as_str());
        }
        if let Some(target) = &filter.target {
            query.push(" AND e.target = ").push_bind(target.as_str());
        }
        if let Some(prefix) = &filter.action {
            // A prefix is a range, never LIKE, which row-level security does not let the planner use.
            query.push(" AND e.action COLLATE \"C\" >= ").push_bind(prefix.as_str());
            query.push(" AND e.action COLLATE \"C\" < ").push_bind(format!("{prefix}{}", char::MAX));
        }
        if let Some(since) = filter.since {
            query.push(" AND e.at >= ").push_bind(since);
        }
        if let Some(until) = filter.until {
            query.push(" AND e.at < ").push_bind(until);
        }
        let (compare, direction) = match order {
            Order::NewestFirst => (" < (", " DESC"),
            Order::OldestFirst => (" > (", ""),
        };
        if let Some((at, id)) = after {
            query.push(" AND (e.at, e.event_id)").push(compare).push_bind(at).push(", ").push_bind(id).push(")");
        }
        query.push(format!(" ORDER BY e.at{direction}, e.event_id{direction} LIMIT ")).push_bind(most);
        Ok(query.build_query_as().fetch_all(&mut *tx).await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_called_a_secret_is_struck_out() {
        let mut value =
            json!({"name": "x", "password": "a", "of": [{"secret": {"k": 1}, "has_password": true, "token": null}]});
        strike_out(&mut value);
        let of = json!([{"secret": "[redacted]", "has_password": true, "token": null}]);
        assert_eq!(value, json!({"name": "x", "password": "[redacted]", "of": of}));
    }
}
