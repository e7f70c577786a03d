//! What webhooks are told: claimed from the queue, signed, and noted how it went. The worker sends it; no transaction is open while
//! it does, and a claim that nobody ends is taken up again by whichever worker comes next.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mail_types::{Clock, Random, Secret, TenantId};
use runtime::database::Pool;
use runtime::keys::MasterKeys;
use serde::Deserialize;
use uuid::Uuid;

use crate::housekeeping::days;
use crate::seal::{self, Whose};
use crate::{Result, token};

/// `[worker.webhooks]`: how webhooks are told. All have defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliverySettings {
    /// How often the queue is looked at while nothing is under way, milliseconds. Default 1000.
    pub interval_ms: u64,
    /// Deliveries of this process at once; of one endpoint there is one. Default 16.
    pub parallel: u32,
    /// The most that one try may take, milliseconds. Default 10 000.
    pub timeout_ms: u64,
    /// How long after each try that is not taken the next one comes, seconds; after the last there is none. Default: nine more, over
    /// about a day.
    pub retry_seconds: Vec<u32>,
    /// By how much of that it may be more or less, percent: many that failed together do not come back together. Default 20.
    pub jitter_percent: u32,
    /// How long an endpoint rests after a try that was not taken, milliseconds, and so much more after each further one, up to a
    /// minute. Default 1000.
    pub rest_ms: u64,
    /// How long an endpoint is one worker's, seconds: longer than a try. Default 60.
    pub claim_seconds: u32,
    /// An endpoint that took nothing for so many days is switched off. Default 5.
    pub disable_after_days: u32,
    /// Deliveries are kept for so many days. Default 30.
    pub keep_days: u32,
    /// The most deliveries of one webhook that wait; over it the oldest are given up. Default 10 000.
    pub max_waiting: u32,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            interval_ms: 1000,
            parallel: 16,
            timeout_ms: 10_000,
            retry_seconds: vec![30, 120, 600, 1800, 3600, 7200, 14_400, 21_600, 28_800],
            jitter_percent: 20,
            rest_ms: 1000,
            claim_seconds: 60,
            disable_after_days: 5,
            keep_days: 30,
            max_waiting: 10_000,
        }
    }
}

/// The queue, under the role worker.
#[derive(Clone)]
pub struct Deliveries {
    pool: Pool,
    keys: MasterKeys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: DeliverySettings,
}

/// A delivery that is to be tried now.
#[derive(Debug)]
pub struct DueDelivery {
    claim: Uuid,
    tenant: TenantId,
    webhook: i64,
    delivery: i64,
    attempts: u32,
    event: Uuid,
    event_type: String,
    secrets: Vec<Secret>,
    /// Where to.
    pub url: String,
    /// The same octets at every try.
    pub body: Vec<u8>,
}

/// How a try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It was answered with this status; one of 200 to 299 is taken.
    Answered(u16),
    /// There was no answer; the word says why.
    Failed(&'static str),
}

impl Tried {
    /// Whether the endpoint took the event.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Answered(200..=299))
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Became {
    /// It is given up.
    pub dead: bool,
    /// Its webhook was switched off.
    pub disabled: bool,
}

/// Deliveries forgotten in one transaction.
const FORGOTTEN: i32 = 5000;

#[derive(sqlx::FromRow)]
struct DueRow {
    tenant_id: i32,
    webhook_id: i64,
    delivery_id: i64,
    event_uuid: Uuid,
    event_type: String,
    body: String,
    attempts: i16,
    url: String,
    sealed: Option<Vec<u8>>,
    old_sealed: Option<Vec<u8>>,
}

impl Deliveries {
    /// Over a pool of the worker's role.
    pub fn new(
        pool: Pool,
        keys: MasterKeys,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: DeliverySettings,
    ) -> Self {
        Self { pool, keys, clock, random, settings }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &DeliverySettings {
        &self.settings
    }

    /// Claims deliveries that are due, at most so many and one of each endpoint.
    pub async fn claim(&self, most: u32) -> Result<Vec<DueDelivery>> {
        let claim = Uuid::from_u128(u128::from_be_bytes(self.random.octets16()));
        let rows: Vec<DueRow> = sqlx::query_as("SELECT * FROM restante.worker_webhooks_claim_1($1, $2, $3)")
            .bind(claim)
            .bind(i32::try_from(self.settings.claim_seconds).unwrap_or(i32::MAX))
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| self.due(claim, row)).collect())
    }

    fn due(&self, claim: Uuid, row: DueRow) -> DueDelivery {
        let tenant = TenantId(row.tenant_id);
        let whose = Whose::Webhook(tenant, row.webhook_id);
        let open = |sealed: Vec<u8>| seal::open(&self.keys, whose, &sealed);
        DueDelivery {
            claim,
            tenant,
            webhook: row.webhook_id,
            delivery: row.delivery_id,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            event: row.event_uuid,
            event_type: row.event_type,
            secrets: [row.sealed, row.old_sealed].into_iter().flatten().filter_map(open).collect(),
            url: row.url,
            body: row.body.into_bytes(),
        }
    }

    /// The headers of a try, with its signatures; nothing where the secret cannot be opened: unsigned is not sent.
    pub fn headers(&self, due: &DueDelivery) -> Option<Vec<(&'static str, String)>> {
        let seconds = (self.clock.now().unix_ms() / 1000).to_string();
        let mut signature = format!("t={seconds}");
        for secret in &due.secrets {
            let mac = token::hmac_under(secret.expose(), &[seconds.as_bytes(), b".", &due.body]).ok()?;
            signature.push_str(&format!(",v1={mac}"));
        }
        (!due.secrets.is_empty()).then(|| {
            vec![
                ("content-type", "application/json".to_owned()),
                ("restante-signature", signature),
                ("restante-event", due.event_type.clone()),
                ("restante-event-id", format!("evt_{}", due.event.simple())),
                ("restante-delivery", format!("dlv_{}", due.delivery)),
            ]
        })
    }

    /// Notes how a try went, and when the next one is.
    pub async fn done(&self, due: &DueDelivery, tried: Tried) -> Result<Became> {
        let (taken, retry) = (tried.is_taken(), self.retry(due.attempts));
        let (code, error) = match tried {
            Tried::Answered(code) => (i16::try_from(code).ok(), (!taken).then_some("status")),
            Tried::Failed(why) => (None, Some(why)),
        };
        let disabled: bool =
            sqlx::query_scalar("SELECT restante.worker_webhooks_done_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                .bind(due.claim)
                .bind(due.tenant.0)
                .bind(due.webhook)
                .bind(due.delivery)
                .bind(taken)
                .bind(code)
                .bind(error)
                .bind(retry.map(|after| after.as_secs_f64()))
                .bind(Duration::from_millis(self.settings.rest_ms).as_secs_f64())
                .bind(days(self.settings.disable_after_days))
                .fetch_one(&self.pool)
                .await?;
        if disabled {
            tracing::warn!(
                webhook = due.webhook,
                tenant = due.tenant.0,
                "a webhook took nothing for days and is switched off"
            );
        }
        Ok(Became { dead: !taken && retry.is_none(), disabled })
    }

    /// How long until the next try after so many that were not taken; `None`: there is none.
    fn retry(&self, attempts: u32) -> Option<Duration> {
        let base = *self.settings.retry_seconds.get(usize::try_from(attempts).ok()?)?;
        let mut octets = [0; 4];
        self.random.fill(&mut octets);
        // -1 to 1.
        let draw = f64::from(u32::from_be_bytes(octets)) / f64::from(u32::MAX) * 2.0 - 1.0;
        let factor = 1.0 + draw * f64::from(self.settings.jitter_percent.min(100)) / 100.0;
        Some(Duration::from_secs_f64(f64::from(base) * factor))
    }

    /// Gives up the oldest deliveries of webhooks that have more waiting than may; answers how many. They are dead letters then, which
    /// can be asked for again.
    pub async fn give_up_overflow(&self) -> Result<u64> {
        let dead: i64 = sqlx::query_scalar("SELECT restante.worker_webhooks_overflow_1($1)")
            .bind(i64::from(self.settings.max_waiting.max(1)))
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(dead).unwrap_or(0))
    }

    /// Forgets deliveries that are older than [`DeliverySettings::keep_days`]; answers how many. What is over a batch waits.
    pub async fn forget(&self) -> Result<u64> {
        let gone: i32 = sqlx::query_scalar("SELECT restante.worker_webhooks_forget_1($1, $2)")
            .bind(days(self.settings.keep_days))
            .bind(FORGOTTEN)
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(gone).unwrap_or(0))
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("settings", &self.settings).finish_non_exhaustive()
    }
}
