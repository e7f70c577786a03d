//! How things stand.

use chrono::{DateTime, Utc};
use directory::{Full, Health, HealthState, Overview, OverviewBucket, Part};
use serde::Serialize;
use utoipa::ToSchema;

/// How things stand, at a glance. What is summed is some seconds old.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Overview)]
pub struct OverviewBody {
    /// When this was so.
    at: DateTime<Utc>,
    /// Accounts.
    #[schema(examples(500))]
    accounts: u64,
    /// Of them, those that are suspended.
    #[schema(examples(3))]
    suspended: u64,
    /// Octets of live messages.
    octets: u64,
    /// How many there may be; null: without a limit, or, of several that are summed, one has none.
    #[schema(examples(10_000_000_000_u64))]
    octets_limit: Option<u64>,
    /// Live messages.
    messages: u64,
    /// Sessions under way.
    #[schema(examples(12))]
    sessions: u64,
    /// What happened, by the hour (by the minute, for two hours at most), the oldest first; the last one is under way.
    series: Vec<OverviewBucketBody>,
    /// Refused logins of accounts in that time by their reason, the most frequent first.
    failures: Vec<OverviewFailureBody>,
    /// Accounts that are full to 80 % or more, the fullest first, ten at most.
    fullest: Vec<OverviewFullBody>,
    /// How the service is. Who belongs to a tenant is told whether it is, without figures.
    health: Vec<HealthBody>,
}

/// What happened in an hour or a minute.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = OverviewBucket)]
pub struct OverviewBucketBody {
    /// Where it begins.
    at: DateTime<Utc>,
    /// Logins that were accepted.
    #[schema(examples(42))]
    logins: u64,
    /// Logins of accounts that were refused.
    #[schema(examples(2))]
    failures: u64,
    /// Copies of messages that were delivered or imported.
    #[schema(examples(17))]
    deliveries: u64,
    /// Recipients that LMTP refused, for good or for now.
    #[schema(examples(1))]
    refused: u64,
}

/// How often logins were refused for a reason.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = OverviewFailure)]
pub struct OverviewFailureBody {
    /// As in an account's activity.
    #[schema(examples("wrong_password"))]
    reason: &'static str,
    /// How often.
    #[schema(examples(2))]
    count: u64,
}

/// An account that is full, or nearly.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OverviewFull)]
pub struct OverviewFullBody {
    /// Whose maildrop.
    address: String,
    /// Octets of live messages.
    octets: u64,
    /// How many there may be; null: without a limit.
    #[schema(examples(1_000_000_000_u64))]
    octets_limit: Option<u64>,
    /// Live messages.
    messages: u64,
    /// How many there may be; null: without a limit.
    #[schema(examples(100_000_u64))]
    messages_limit: Option<u64>,
    /// The greater part of either limit: 1 is full.
    #[schema(examples(0.97))]
    ratio: f64,
}

/// How a part of the service is.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Health)]
pub struct HealthBody {
    /// Which.
    part: PartWord,
    /// How.
    state: HealthWord,
    /// A sentence for people.
    #[schema(examples("Answers in 3 ms"))]
    text: String,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    since: Option<DateTime<Utc>>,
}

/// A part of the service.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = HealthPart)]
pub enum PartWord {
    /// PostgreSQL.
    Database,
    /// The object store.
    Store,
    /// What mail clients and mail servers speak to.
    Frontends,
    /// What purges, sums, imports and tells webhooks.
    Workers,
    /// What waits for workers, and what they keep an eye on.
    Queues,
    /// What frontends show in TLS.
    Certificates,
}

/// How a part is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = HealthState)]
pub enum HealthWord {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Warn,
    /// It does not work.
    Down,
}

impl From<Overview> for OverviewBody {
    fn from(overview: Overview) -> Self {
        Self {
            at: overview.at,
            accounts: overview.accounts,
            suspended: overview.suspended,
            octets: overview.octets,
            octets_limit: overview.octets_limit,
            messages: overview.messages,
            sessions: overview.sessions,
            series: overview.series.into_iter().map(OverviewBucketBody::from).collect(),
            failures: (overview.failures.into_iter())
                .map(|(reason, count)| OverviewFailureBody { reason: reason.as_str(), count })
                .collect(),
            fullest: overview.fullest.into_iter().map(OverviewFullBody::from).collect(),
            health: overview.health.into_iter().map(HealthBody::from).collect(),
        }
    }
}

impl From<OverviewBucket> for OverviewBucketBody {
    fn from(bucket: OverviewBucket) -> Self {
        let OverviewBucket { at, logins, failures, deliveries, refused } = bucket;
        Self { at, logins, failures, deliveries, refused }
    }
}

impl From<Full> for OverviewFullBody {
    fn from(full: Full) -> Self {
        Self {
            address: full.address.to_string(),
            octets: full.octets,
            octets_limit: full.octets_limit,
            messages: full.messages,
            messages_limit: full.messages_limit,
            ratio: full.ratio,
        }
    }
}

impl From<Health> for HealthBody {
    fn from(health: Health) -> Self {
        Self {
            part: match health.part {
                Part::Database => PartWord::Database,
                Part::Store => PartWord::Store,
                Part::Frontends => PartWord::Frontends,
                Part::Workers => PartWord::Workers,
                Part::Queues => PartWord::Queues,
                Part::Certificates => PartWord::Certificates,
            },
            state: match health.state {
                HealthState::Ok => HealthWord::Ok,
                HealthState::Warn => HealthWord::Warn,
                HealthState::Down => HealthWord::Down,
            },
            text: health.text,
            since: health.since,
        }
    }
}
