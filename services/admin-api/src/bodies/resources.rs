//! What is answered.

use chrono::{DateTime, Utc};
use directory::{Account, Alias, ApiKey, AppPassword, Domain, Scope, Tenant};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AccountPolicy, AccountQuota, DevicePolicy, DomainPolicy, DomainQuota, RoleWord, ScopeWord, Status, TenantPolicy,
    TenantQuota,
};

/// A tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub struct TenantBody {
    /// Its natural key.
    slug: String,
    /// For people.
    name: String,
    /// Whether it is served.
    status: Status,
    /// What it may use.
    quota: TenantQuota,
    /// What it decided.
    policy: TenantPolicy,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was deleted; null: it is not.
    deleted_at: Option<DateTime<Utc>>,
}

/// A domain.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Domain)]
pub struct DomainBody {
    /// Its natural key, as A-labels.
    name: String,
    /// Whose it is.
    tenant: String,
    /// Whether it has its name: without, there is no mail and no login.
    verified: bool,
    /// Since when.
    verified_at: Option<DateTime<Utc>>,
    /// When an unproved claim is forgotten, unless it has accounts or aliases; null: it has its name.
    pub(crate) claim_expires_at: Option<DateTime<Utc>>,
    /// What a DNS TXT record of the domain has to say to prove a claim.
    challenge: String,
    /// What it may use.
    quota: DomainQuota,
    /// What it decided.
    policy: DomainPolicy,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was deleted; null: it is not.
    deleted_at: Option<DateTime<Utc>>,
}

/// An account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountBody {
    /// Its natural key.
    address: String,
    /// Whose it is.
    tenant: String,
    /// In which it lies.
    domain: String,
    /// Whether it is served.
    status: Status,
    /// What its maildrop may hold.
    quota: AccountQuota,
    /// What it decides.
    policy: AccountPolicy,
    /// Whether it has a password besides its app passwords.
    has_password: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was deleted; null: it is not.
    deleted_at: Option<DateTime<Utc>>,
}

/// An app password.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AppPassword)]
pub struct AppPasswordBody {
    /// Opaque.
    #[schema(examples("cred_7"))]
    id: String,
    /// The device it is for.
    name: String,
    /// What it allows.
    scopes: Vec<ScopeWord>,
    /// From where it may be used; empty: from everywhere.
    allowed_networks: Vec<String>,
    /// Until when.
    expires_at: Option<DateTime<Utc>>,
    /// What the device sees, and what its DELE does.
    policy: DevicePolicy,
    /// Whether it also works with APOP, CRAM-MD5 and NTLM.
    legacy: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last used, to the hour.
    last_used_at: Option<DateTime<Utc>>,
}

/// An app password that was just made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AppPasswordIssued {
    #[serde(flatten)]
    app_password: AppPasswordBody,
    /// Shown this once.
    #[schema(examples("rst-0123456789abcdefghjkmnpqrs"))]
    secret: String,
}

/// An alias.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Alias)]
pub struct AliasBody {
    /// Its natural key, in the form that addresses are compared by.
    address: String,
    /// Whose it is.
    tenant: String,
    /// In which it lies.
    domain: String,
    /// The accounts it leads to.
    targets: Vec<String>,
    /// When it was made; of one that is older than this field, when the field came.
    created_at: DateTime<Utc>,
}

/// An API key.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyBody {
    /// Opaque.
    #[schema(examples("key_7"))]
    id: String,
    /// What it is for.
    name: String,
    /// Whose things it reaches; null: the platform's.
    tenant: Option<String>,
    /// What it may do.
    role: RoleWord,
    /// Less than the role: these only; null: all of the role's but messages:raw.
    #[schema(examples("accounts:read"))]
    scopes: Option<Vec<String>>,
    /// A domain-admin's domains; empty for others.
    domains: Vec<String>,
    /// From where it may be used; empty: from everywhere.
    allowed_networks: Vec<String>,
    /// Until when.
    expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// From where.
    last_address: Option<String>,
}

/// An API key that was just made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApiKeyIssued {
    #[serde(flatten)]
    key: ApiKeyBody,
    /// Shown this once.
    #[schema(examples("rsk-0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"))]
    secret: String,
}

/// A live message.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageBody {
    /// As UIDL shows it.
    pub(crate) unique_id: String,
    /// As LIST shows them.
    pub(crate) octets: u64,
    /// When it was received.
    pub(crate) received_at: DateTime<Utc>,
}

impl From<Tenant> for TenantBody {
    fn from(tenant: Tenant) -> Self {
        Self {
            slug: tenant.slug.to_string(),
            name: tenant.name,
            status: match tenant.status {
                directory::TenantStatus::Active => Status::Active,
                directory::TenantStatus::Suspended => Status::Suspended,
                directory::TenantStatus::Deleted => Status::Deleted,
            },
            quota: tenant.quota.into(),
            policy: tenant.policy.into(),
            created_at: tenant.created_at,
            deleted_at: tenant.deleted_at,
        }
    }
}

impl From<Domain> for DomainBody {
    fn from(domain: Domain) -> Self {
        Self {
            name: domain.name.to_string(),
            tenant: domain.tenant.to_string(),
            verified: domain.verified_at.is_some(),
            verified_at: domain.verified_at,
            claim_expires_at: None,
            challenge: domain.challenge,
            quota: domain.quota.into(),
            policy: domain.policy.into(),
            created_at: domain.created_at,
            deleted_at: domain.deleted_at,
        }
    }
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        Self {
            address: account.address.to_string(),
            tenant: account.tenant.to_string(),
            domain: account.address.domain.to_string(),
            status: match account.status {
                directory::AccountStatus::Active => Status::Active,
                directory::AccountStatus::Suspended => Status::Suspended,
                directory::AccountStatus::Deleted => Status::Deleted,
            },
            quota: account.quota.into(),
            policy: account.policy.into(),
            has_password: account.has_password,
            created_at: account.created_at,
            deleted_at: account.deleted_at,
        }
    }
}

impl From<AppPassword> for AppPasswordBody {
    fn from(one: AppPassword) -> Self {
        let scope = |scope: &Scope| match scope {
            Scope::Read => ScopeWord::Read,
            Scope::Delete => ScopeWord::Delete,
        };
        Self {
            id: format!("cred_{}", one.id),
            name: one.name,
            scopes: one.scopes.iter().map(scope).collect(),
            allowed_networks: one.allowed_networks.iter().map(ToString::to_string).collect(),
            expires_at: one.expires_at,
            policy: one.policy.into(),
            legacy: one.legacy,
            created_at: one.created_at,
            last_used_at: one.last_used_at,
        }
    }
}

impl From<Alias> for AliasBody {
    fn from(alias: Alias) -> Self {
        Self {
            address: alias.address.to_string(),
            tenant: alias.tenant.to_string(),
            domain: alias.address.domain().to_string(),
            targets: alias.targets.iter().map(ToString::to_string).collect(),
            created_at: alias.created_at,
        }
    }
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: format!("key_{}", key.id),
            name: key.name,
            tenant: key.tenant.map(|tenant| tenant.to_string()),
            role: key.role.into(),
            scopes: key.scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
            domains: key.domains.iter().map(ToString::to_string).collect(),
            allowed_networks: key.allowed_networks.iter().map(ToString::to_string).collect(),
            expires_at: key.expires_at,
            created_at: key.created_at,
            last_used_at: key.last_used_at,
            last_address: key.last_address.map(|address| address.to_string()),
        }
    }
}
