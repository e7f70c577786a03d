//! What is used, with what may be used beside it.

use chrono::{DateTime, Utc};
use directory::Usage;
use serde::Serialize;
use utoipa::ToSchema;

/// What one account uses, exactly.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountUsage {
    /// Live messages.
    messages: u64,
    /// Their octets.
    octets: u64,
    /// Octets of expunged messages that can still be restored.
    expunged_octets: u64,
    /// Messages that were delivered in the last hour; what is over 10 000 and over the limit is not counted.
    deliveries: u64,
    /// Sessions under way that the frontends have told of.
    sessions: u64,
    /// What it may use.
    limits: AccountLimits,
}

/// What an account may use; null is no limit of its own.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AccountLimits {
    /// Live messages.
    messages: Option<i64>,
    /// Their octets.
    octets: Option<i64>,
    /// Deliveries in an hour.
    deliveries: Option<i32>,
    /// Sessions at once, by its policy and those above; null: as the service is configured.
    sessions: Option<u32>,
}

/// What a domain uses: sums that are rolled up every few seconds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DomainUsage {
    /// Accounts.
    accounts: u64,
    /// Live messages.
    messages: u64,
    /// Their octets.
    octets: u64,
    /// Octets of expunged messages that can still be restored.
    expunged_octets: u64,
    /// Messages that were delivered since the hour began.
    deliveries: u64,
    /// Sessions under way that the frontends have told of.
    sessions: u64,
    /// Of when the sums are; null: not rolled up yet.
    at: Option<DateTime<Utc>>,
    /// What it may use.
    limits: DomainLimits,
}

/// What a domain may use; null is no limit of its own.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DomainLimits {
    /// Accounts.
    accounts: Option<i32>,
    /// Live messages.
    messages: Option<i64>,
    /// Their octets.
    octets: Option<i64>,
    /// Deliveries in an hour.
    deliveries: Option<i32>,
    /// Sessions at once, by its policy and its tenant's; null: as the service is configured.
    sessions: Option<u32>,
}

/// What a tenant uses: sums that are rolled up every few seconds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantUsage {
    /// Domains, claims included.
    domains: u64,
    /// Accounts.
    accounts: u64,
    /// Live messages.
    messages: u64,
    /// Their octets.
    octets: u64,
    /// Octets of expunged messages that can still be restored.
    expunged_octets: u64,
    /// Messages that were delivered since the hour began.
    deliveries: u64,
    /// Sessions under way that the frontends have told of.
    sessions: u64,
    /// Of when the sums are; null: not rolled up yet.
    at: Option<DateTime<Utc>>,
    /// What it may use.
    limits: TenantLimits,
}

/// What a tenant may use; null is no limit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantLimits {
    /// Domains.
    domains: Option<i32>,
    /// Accounts.
    accounts: Option<i32>,
    /// Live messages.
    messages: Option<i64>,
    /// Their octets.
    octets: Option<i64>,
    /// Deliveries in an hour.
    deliveries: Option<i32>,
    /// Sessions at once; null: as the service is configured.
    sessions: Option<u32>,
}

impl From<Usage> for AccountUsage {
    fn from(usage: Usage) -> Self {
        Self {
            messages: usage.messages,
            octets: usage.octets,
            expunged_octets: usage.expunged_octets,
            deliveries: usage.deliveries,
            sessions: usage.sessions,
            limits: AccountLimits {
                messages: usage.quota.messages,
                octets: usage.quota.octets,
                deliveries: usage.quota.deliveries_per_hour,
                sessions: usage.most_sessions,
            },
        }
    }
}

impl From<Usage> for DomainUsage {
    fn from(usage: Usage) -> Self {
        Self {
            accounts: usage.accounts.unwrap_or_default(),
            messages: usage.messages,
            octets: usage.octets,
            expunged_octets: usage.expunged_octets,
            deliveries: usage.deliveries,
            sessions: usage.sessions,
            at: usage.at,
            limits: DomainLimits {
                accounts: usage.quota.accounts,
                messages: usage.quota.messages,
                octets: usage.quota.octets,
                deliveries: usage.quota.deliveries_per_hour,
                sessions: usage.most_sessions,
            },
        }
    }
}

impl From<Usage> for TenantUsage {
    fn from(usage: Usage) -> Self {
        Self {
            domains: usage.domains.unwrap_or_default(),
            accounts: usage.accounts.unwrap_or_default(),
            messages: usage.messages,
            octets: usage.octets,
            expunged_octets: usage.expunged_octets,
            deliveries: usage.deliveries,
            sessions: usage.sessions,
            at: usage.at,
            limits: TenantLimits {
                domains: usage.quota.domains,
                accounts: usage.quota.accounts,
                messages: usage.quota.messages,
                octets: usage.quota.octets,
                deliveries: usage.quota.deliveries_per_hour,
                sessions: usage.most_sessions,
            },
        }
    }
}
