//! Webhooks: where a tenant, or the operator, is told of what the audit trail holds. Here they are made and looked at; what is told
//! is queued by the database with each audit event, and sent by the worker ([`crate::Deliveries`]).

use chrono::{DateTime, TimeDelta, Utc};
use mail_types::{Secret, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::audit::{self, Event, SERVICE};
use crate::caller::enter;
use crate::error::inconsistent;
use crate::seal::{self, Whose};
use crate::sort::{NamedList, NamedPlace};
use crate::{Caller, Directory, Error, FieldError, Page, PageRequest, Precondition, Result, shown, tenant, token};

/// The longest URL, in octets.
const MAX_URL: usize = 2000;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 200;
/// The most names of events of one webhook.
const MAX_EVENTS: usize = 50;
/// The longest of them.
const MAX_EVENT: usize = 64;

/// A webhook as administrators see it.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Opaque outside.
    pub id: i64,
    /// Whose it is; [`audit::SERVICE`] for the platform's.
    tenant_id: TenantId,
    /// Whose events it is told; `None`: the platform's own, which is told of everybody's.
    pub tenant: Option<TenantSlug>,
    /// Where it is told.
    pub url: String,
    /// For people.
    pub description: String,
    /// Names of events, `account.*` for all that begin so, `*` for all.
    pub events: Vec<String>,
    /// Whether it is told.
    pub enabled: bool,
    /// Since when it takes nothing; `None`: the last try was taken.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when the secret before the last signs too.
    pub old_secret_until: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A webhook to be made.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Whose; a tenant's caller may leave it out, a platform's makes one of the platform without it.
    pub tenant: Option<TenantSlug>,
    /// Where; proved by the caller to be one that may be reached.
    pub url: String,
    /// For people; at most 200 characters.
    pub description: String,
    /// What it is told.
    pub events: Vec<String>,
    /// Whether it is told.
    pub enabled: bool,
}

/// What to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the field of Webhook of the same name")]
pub struct WebhookChange {
    pub url: Option<String>,
    pub description: Option<String>,
    pub events: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// A webhook and the secret that was just made for it: it is shown this once.
#[derive(Debug)]
pub struct WebhookSecret {
    /// The webhook.
    pub webhook: Webhook,
    /// What its deliveries are signed with.
    pub secret: Secret,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried, or will be.
    Due,
    /// It was taken.
    Delivered,
    /// It was given up: a dead letter.
    Dead,
}

impl DeliveryState {
    fn code(self) -> i16 {
        match self {
            Self::Due => 0,
            Self::Delivered => 1,
            Self::Dead => 2,
        }
    }
}

/// One event for one webhook.
#[derive(Debug, Clone)]
pub struct WebhookDelivery {
    /// Opaque outside.
    pub id: i64,
    /// The event, as its receiver knows it.
    pub event: Uuid,
    /// What happened: `account.create`.
    pub event_type: String,
    /// What is sent.
    pub payload: Value,
    /// How it stands.
    pub state: DeliveryState,
    /// Tries since it was made, or asked for again.
    pub attempts: u32,
    /// When it is tried next; says nothing of one that is not due.
    pub next_at: DateTime<Utc>,
    /// When it was tried last.
    pub last_at: Option<DateTime<Utc>>,
    /// The status that the last try was answered with; `None`: there was no answer.
    pub response_code: Option<u16>,
    /// Why the last try was not taken: a word.
    pub last_error: Option<String>,
    /// When the event happened.
    pub created_at: DateTime<Utc>,
}

/// How it is listed.
const LIST: NamedList = NamedList { id: "w.webhook_id", name: r#"w.url COLLATE "C""#, created_at: "w.created_at" };

#[derive(sqlx::FromRow)]
struct WebhookRow {
    tenant_id: i32,
    webhook_id: i64,
    slug: Option<String>,
    url: String,
    description: String,
    events: Vec<String>,
    enabled: bool,
    old_until: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
    row_version: i64,
    created_at: DateTime<Utc>,
}

impl WebhookRow {
    fn webhook(self) -> Result<Webhook> {
        Ok(Webhook {
            id: self.webhook_id,
            tenant_id: TenantId(self.tenant_id),
            tenant: self.slug.as_deref().map(shown::slug).transpose()?,
            url: self.url,
            description: self.description,
            events: self.events,
            enabled: self.enabled,
            failing_since: self.failing_since,
            old_secret_until: self.old_until,
            version: self.row_version,
            created_at: self.created_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    delivery_id: i64,
    event_uuid: Uuid,
    event_type: String,
    payload: Value,
    state: i16,
    attempts: i16,
    next_at: DateTime<Utc>,
    last_at: Option<DateTime<Utc>>,
    response_code: Option<i16>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
}

impl DeliveryRow {
    fn delivery(self) -> Result<WebhookDelivery> {
        Ok(WebhookDelivery {
            id: self.delivery_id,
            event: self.event_uuid,
            event_type: self.event_type,
            payload: self.payload,
            state: match self.state {
                0 => DeliveryState::Due,
                1 => DeliveryState::Delivered,
                2 => DeliveryState::Dead,
                _ => return Err(inconsistent("webhook_deliveries", "state")),
            },
            attempts: u32::try_from(self.attempts).unwrap_or_default(),
            next_at: self.next_at,
            last_at: self.last_at,
            response_code: self.response_code.and_then(|code| u16::try_from(code).ok()),
            last_error: self.last_error,
            created_at: self.created_at,
        })
    }
}

impl Directory {
    /// Makes a webhook; its secret is in the answer and nowhere else.
    pub async fn create_webhook(&self, caller: &Caller, new: NewWebhook) -> Result<WebhookSecret> {
        check(Some(&new.url), Some(&new.description), Some(&new.events))?;
        let mut tx = self.begin(caller).await?;
        let owner = match (&new.tenant, caller.tenant()) {
            (None, None) => SERVICE,
            (named, _) => tenant::parent(&mut tx, caller, named.as_ref()).await?.id,
        };
        enter(&mut tx, owner).await?;
        self.check_room_for_webhook(&mut tx, owner).await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO restante.webhooks (tenant_id, url, description, events, enabled) VALUES ($1, $2, $3, $4, $5) RETURNING webhook_id",
        )
        .bind(owner.0)
        .bind(&new.url)
        .bind(&new.description)
        .bind(&new.events)
        .bind(new.enabled)
        .fetch_one(&mut *tx)
        .await?;
        let secret = self.seal_webhook(&mut tx, owner, id).await?;
        let webhook = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "webhook.create", &webhook, None, Some(audited(&webhook))).await?;
        self.finish(tx, caller).await?;
        Ok(WebhookSecret { webhook, secret })
    }

    /// One webhook.
    pub async fn webhook(&self, caller: &Caller, id: i64) -> Result<Webhook> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, id).await?.ok_or(Error::NotFound)
    }

    /// The webhooks that the caller sees, or those of one tenant of them, in the order they were made.
    pub async fn webhooks(
        &self,
        caller: &Caller,
        of: Option<&TenantSlug>,
        page: &PageRequest,
    ) -> Result<Page<Webhook>> {
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT w.tenant_id, w.webhook_id, t.slug, w.url, w.description, w.events, w.enabled, w.old_until, w.failing_since, w.row_version, w.created_at
               FROM restante.webhooks w LEFT JOIN restante.tenants t ON t.tenant_id = w.tenant_id WHERE true",
        );
        let mut tx = self.begin(caller).await?;
        if let Some(tenant) = caller.tenant() {
            query.push(" AND w.tenant_id = ").push_bind(tenant.0);
        }
        if let Some(slug) = of {
            query
                .push(" AND w.tenant_id = (SELECT tenant_id FROM restante.tenants WHERE slug = ")
                .push_bind(slug.as_str())
                .push(")");
        }
        LIST.finish(&mut query, page)?;
        let rows: Vec<WebhookRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let place = |row: &WebhookRow| NamedPlace::of(page, row.webhook_id, &row.url, row.created_at);
        page.page(rows, place).try_map(WebhookRow::webhook)
    }

    /// Changes a webhook. One that is enabled again begins as if nothing had failed.
    pub async fn change_webhook(
        &self,
        caller: &Caller,
        id: i64,
        change: WebhookChange,
        precondition: &Precondition,
    ) -> Result<Webhook> {
        check(change.url.as_deref(), change.description.as_deref(), change.events.as_deref())?;
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, id, precondition).await?;
        let enabled = change.enabled.unwrap_or(before.enabled);
        sqlx::query(
            "UPDATE restante.webhooks SET url = $3, description = $4, events = $5, enabled = $6, row_version = row_version + 1,
                    failing_since = CASE WHEN $7 THEN NULL ELSE failing_since END, failures = 0, rest_until = NULL
              WHERE tenant_id = $1 AND webhook_id = $2",
        )
        .bind(before.tenant_id.0)
        .bind(id)
        .bind(change.url.as_deref().unwrap_or(&before.url))
        .bind(change.description.as_deref().unwrap_or(&before.description))
        .bind(change.events.as_deref().unwrap_or(&before.events))
        .bind(enabled)
        .bind(enabled && !before.enabled)
        .execute(&mut *tx)
        .await?;
        let after = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "webhook.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes a webhook, with its deliveries.
    pub async fn delete_webhook(&self, caller: &Caller, id: i64, precondition: &Precondition) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, id, precondition).await?;
        sqlx::query("DELETE FROM restante.webhooks WHERE tenant_id = $1 AND webhook_id = $2")
            .bind(before.tenant_id.0)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        record(&mut tx, caller, "webhook.delete", &before, Some(audited(&before)), None).await?;
        self.finish(tx, caller).await
    }

    /// Makes a new secret. The one before signs too for [`crate::Settings::webhook_old_secret_hours`].
    pub async fn rotate_webhook_secret(
        &self,
        caller: &Caller,
        id: i64,
        precondition: &Precondition,
    ) -> Result<WebhookSecret> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, id, precondition).await?;
        enter(&mut tx, before.tenant_id).await?;
        let secret = self.seal_webhook(&mut tx, before.tenant_id, id).await?;
        let webhook = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "webhook.rotate-secret", &webhook, Some(audited(&before)), Some(audited(&webhook)))
            .await?;
        self.finish(tx, caller).await?;
        Ok(WebhookSecret { webhook, secret })
    }

    /// Queues an event that says nothing, for this webhook only.
    pub async fn test_webhook(&self, caller: &Caller, id: i64) -> Result<WebhookDelivery> {
        let mut tx = self.begin(caller).await?;
        let webhook = find_locked(&mut tx, caller, id, &Precondition::None).await?;
        let event = Uuid::from_u128(u128::from_be_bytes(self.random.octets16()));
        let payload = json!({
            "id": format!("evt_{}", event.simple()), "type": "webhook.test", "created_at": self.now(),
            "tenant": webhook.tenant.as_ref().map(TenantSlug::as_str), "data": {"target": format!("hook_{id}"), "actor": caller.actor},
        });
        let delivery: i64 = sqlx::query_scalar(
            "INSERT INTO restante.webhook_deliveries (tenant_id, webhook_id, event_uuid, event_type, payload) VALUES ($1, $2, $3, 'webhook.test', $4)
             RETURNING delivery_id",
        )
        .bind(webhook.tenant_id.0)
        .bind(id)
        .bind(event)
        .bind(payload)
        .fetch_one(&mut *tx)
        .await?;
        let queued = find_delivery(&mut tx, &webhook, delivery).await?;
        record(&mut tx, caller, "webhook.test", &webhook, None, Some(json!({"delivery": format!("dlv_{delivery}")})))
            .await?;
        self.finish(tx, caller).await?;
        Ok(queued)
    }

    /// The deliveries of a webhook, newest first; `state` narrows them.
    pub async fn webhook_deliveries(
        &self,
        caller: &Caller,
        id: i64,
        state: Option<DeliveryState>,
        page: &PageRequest,
    ) -> Result<Page<WebhookDelivery>> {
        let before: Option<i64> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let webhook = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        let rows = sqlx::query_as::<_, DeliveryRow>(
            "SELECT delivery_id, event_uuid, event_type, payload, state, attempts, next_at, last_at, response_code, last_error, created_at
               FROM restante.webhook_deliveries
              WHERE tenant_id = $1 AND webhook_id = $2 AND delivery_id < $3 AND ($5::smallint IS NULL OR state = $5)
              ORDER BY delivery_id DESC LIMIT $4",
        )
        .bind(webhook.tenant_id.0)
        .bind(id)
        .bind(before.unwrap_or(i64::MAX))
        .bind(page.fetch())
        .bind(state.map(DeliveryState::code))
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| row.delivery_id).try_map(DeliveryRow::delivery)
    }

    /// One delivery of a webhook.
    pub async fn webhook_delivery(&self, caller: &Caller, id: i64, delivery: i64) -> Result<WebhookDelivery> {
        let mut tx = self.begin(caller).await?;
        let webhook = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        find_delivery(&mut tx, &webhook, delivery).await
    }

    /// Delivers again what was delivered or given up: the same event, with all its tries before it. One that is due is tried now.
    pub async fn redeliver(&self, caller: &Caller, id: i64, delivery: i64) -> Result<WebhookDelivery> {
        let mut tx = self.begin(caller).await?;
        let webhook = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        sqlx::query(
            "UPDATE restante.webhook_deliveries SET state = 0, attempts = 0, next_at = now()
              WHERE tenant_id = $1 AND webhook_id = $2 AND delivery_id = $3",
        )
        .bind(webhook.tenant_id.0)
        .bind(id)
        .bind(delivery)
        .execute(&mut *tx)
        .await?;
        let queued = find_delivery(&mut tx, &webhook, delivery).await?;
        let after = json!({"delivery": format!("dlv_{delivery}"), "type": queued.event_type});
        record(&mut tx, caller, "webhook.redeliver", &webhook, None, Some(after)).await?;
        self.finish(tx, caller).await?;
        Ok(queued)
    }

    async fn seal_webhook(&self, tx: &mut PgConnection, tenant: TenantId, id: i64) -> Result<Secret> {
        let secret = token::new_webhook_secret(&*self.random);
        let old_until = self.now() + TimeDelta::hours(self.webhook_old_secret_hours.into());
        sqlx::query("SELECT restante.admin_seal_webhook_1($1, $2, $3, $4)")
            .bind(tenant.0)
            .bind(id)
            .bind(seal::seal(&self.keys, &*self.random, Whose::Webhook(tenant, id), &secret)?)
            .bind(old_until)
            .execute(tx)
            .await?;
        Ok(secret)
    }

    async fn check_room_for_webhook(&self, tx: &mut PgConnection, owner: TenantId) -> Result<()> {
        // Two creations must not both be the last that fits.
        sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock(hashtext('restante webhooks'), $1)")
            .bind(owner.0)
            .execute(&mut *tx)
            .await?;
        let have: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.webhooks WHERE tenant_id = $1")
            .bind(owner.0)
            .fetch_one(tx)
            .await?;
        if have >= self.webhooks_per_tenant.into() {
            return Err(Error::LimitReached("the tenant has its most webhooks"));
        }
        Ok(())
    }
}

async fn find(tx: &mut PgConnection, caller: &Caller, id: i64) -> Result<Option<Webhook>> {
    sqlx::query_as::<_, WebhookRow>(
        "SELECT w.tenant_id, w.webhook_id, t.slug, w.url, w.description, w.events, w.enabled, w.old_until, w.failing_since, w.row_version, w.created_at
           FROM restante.webhooks w LEFT JOIN restante.tenants t ON t.tenant_id = w.tenant_id
          WHERE w.webhook_id = $1 AND ($2::integer IS NULL OR w.tenant_id = $2)",
    )
    .bind(id)
    .bind(caller.tenant().map(|tenant| tenant.0))
    .fetch_optional(tx)
    .await?
    .map(WebhookRow::webhook)
    .transpose()
}

/// The same, locked and of the version that the caller named.
async fn find_locked(tx: &mut PgConnection, caller: &Caller, id: i64, precondition: &Precondition) -> Result<Webhook> {
    let found = find(tx, caller, id).await?.ok_or(Error::NotFound)?;
    sqlx::query("SELECT FROM restante.webhooks WHERE tenant_id = $1 AND webhook_id = $2 FOR UPDATE")
        .bind(found.tenant_id.0)
        .bind(id)
        .execute(&mut *tx)
        .await?;
    let webhook = find(tx, caller, id).await?.ok_or(Error::NotFound)?;
    precondition.check(webhook.version)?;
    Ok(webhook)
}

async fn find_delivery(tx: &mut PgConnection, webhook: &Webhook, id: i64) -> Result<WebhookDelivery> {
    let row = sqlx::query_as::<_, DeliveryRow>(
        "SELECT delivery_id, event_uuid, event_type, payload, state, attempts, next_at, last_at, response_code, last_error, created_at
           FROM restante.webhook_deliveries WHERE tenant_id = $1 AND webhook_id = $2 AND delivery_id = $3",
    )
    .bind(webhook.tenant_id.0)
    .bind(webhook.id)
    .bind(id)
    .fetch_optional(tx)
    .await?;
    row.ok_or(Error::NotFound)?.delivery()
}

/// Refuses what is too long, and names of events that there cannot be.
fn check(url: Option<&str>, description: Option<&str>, events: Option<&[String]>) -> Result<()> {
    let mut errors = Vec::new();
    if url.is_some_and(|url| url.len() > MAX_URL) {
        errors.push(FieldError::new("/url", "too_long", format!("must have at most {MAX_URL} octets")));
    }
    if description.is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        let detail = format!("must have at most {MAX_DESCRIPTION} characters");
        errors.push(FieldError::new("/description", "too_long", detail));
    }
    if let Some(events) = events {
        if events.is_empty() || events.len() > MAX_EVENTS {
            errors.push(FieldError::new("/events", "out_of_range", format!("must have 1 to {MAX_EVENTS} items")));
        }
        for (index, event) in events.iter().enumerate().filter(|(_, event)| !is_event(event)) {
            let detail =
                "must be a name like account.create, account.* for all that begin so, or *; messages are not told";
            errors.push(FieldError::new(format!("/events/{index}"), "invalid", format!("{event:.64}: {detail}")));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// A name of an event, or of many.
fn is_event(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-');
    match text.split_once('.') {
        None => text == "*",
        Some((noun, verb)) => word(noun) && noun != "message" && (verb == "*" || word(verb)) && text.len() <= MAX_EVENT,
    }
}

fn audited(webhook: &Webhook) -> Value {
    json!({"url": webhook.url, "description": webhook.description, "events": webhook.events, "enabled": webhook.enabled})
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    webhook: &Webhook,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let target = format!("hook_{}", webhook.id);
    audit::record(tx, caller, Event { tenant: webhook.tenant_id, action, target: &target, before, after }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events_are_names() {
        for name in ["*", "account.*", "account.set-password", "quota.threshold"] {
            assert!(is_event(name), "{name}");
        }
        for name in [
            "",
            "account",
            ".*",
            "account.",
            "account.**",
            "Account.*",
            "message.*",
            "message.restore",
            "a.b.c",
            "account.%",
        ] {
            assert!(!is_event(name), "{name}");
        }
    }
}
