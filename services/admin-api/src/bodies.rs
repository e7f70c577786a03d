//! The JSON that goes in and out. Requests are read field by field (so that every fault is named); their types here are what
//! the OpenAPI document says of them, and what a client in Rust may send.

mod audit;
mod desk;
mod identity;
mod imports;
mod oidc;
mod overview;
mod policy;
mod requests;
mod resources;
mod undelete;
mod usage;
mod webhooks;

use directory::Quota;
use serde::Serialize;
use utoipa::ToSchema;

pub use audit::AuditEventBody;
pub use desk::{
    ActivityBody, ActivityWord, CredentialBody, DiagnosisBody, EndedBody, FindingBody, FrontendBody, LiveSessionBody,
    RefusedBody, SessionEndBody, SeverityWord, TranscribingBody, TranscriptBody, TranscriptEntryBody, TranscriptList,
    TranscriptWhole, TranscriptsBegin,
};
pub use identity::{
    AdminBody, AdminNew, AdminPasswordSet, AdminPatch, JwkBody, JwksBody, KeepWord, MeBody, OwnPassword,
    OwnPasswordSet, RecoveryCodes, RefreshByCookie, RefreshByToken, RefreshNew, SignInMethodWord, SignInMethodsBody,
    SignInNew, SignInSessionBody, SignOut, SignedOut, TokensBody, TotpConfirm, TotpOffered,
};
pub use imports::{
    AccountLine, ImportBody, ImportErrorBody, ImportKindWord, ImportProgress, ImportStateWord, MigratedAccountBody,
    MigrationAccount, MigrationNew, MigrationSource, ProtocolWord, SourceTlsWord,
};
pub use oidc::{OidcIssuerBody, OidcIssuerSet, RequiredClaimBody, RoleClaimBody, SignInCode};
pub use overview::{
    HealthBody, HealthWord, OverviewBody, OverviewBucketBody, OverviewFailureBody, OverviewFullBody, PartWord,
};
pub use policy::{
    AccountPolicy, AccountSessions, AddressClaimWord, Days, DeleWord, DevicePolicy, DomainPolicy, DomainSessions,
    ExpireWord, LastDays, NeverWord, OauthPolicy, OverQuotaWord, TenantPolicy, TenantSessions, Utf8Word, ViewName,
    ViewWord,
};
pub use requests::{
    AccountNew, AccountPatch, AliasNew, AliasPatch, ApiKeyNew, ApiKeyPatch, AppPasswordNew, DomainNew, DomainPatch,
    DomainVerify, PasswordClear, PasswordHashed, PasswordSet, TenantNew, TenantPatch,
};
pub use resources::{
    AccountBody, AliasBody, ApiKeyBody, ApiKeyIssued, AppPasswordBody, AppPasswordIssued, DomainBody, MessageBody,
    TenantBody,
};
pub use undelete::{
    ExpungedBody, MessagesRestore, OutcomeWord, RestoreBetween, RestoreSession, RestoreThese, RestoredBody,
    SessionBody, TlsWord,
};
pub use usage::{AccountLimits, AccountUsage, DomainLimits, DomainUsage, TenantLimits, TenantUsage};
pub use webhooks::{
    DeliveryWord, WebhookBody, WebhookDeliveryBody, WebhookDeliveryWhole, WebhookIssued, WebhookNew, WebhookPatch,
};

/// What a tenant may use; null is no limit.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantQuota {
    /// Octets of live mail, of all its accounts.
    #[schema(minimum = 0)]
    pub octets: Option<i64>,
    /// Live messages, of all its accounts.
    #[schema(minimum = 0)]
    pub messages: Option<i64>,
    /// Accounts.
    #[schema(minimum = 0)]
    pub accounts: Option<i32>,
    /// Domains, claimed or verified.
    #[schema(minimum = 0)]
    pub domains: Option<i32>,
    /// Messages delivered in an hour of the clock.
    #[schema(minimum = 0)]
    pub deliveries_per_hour: Option<i32>,
}

/// What a domain may use; null is no limit. No value is over the tenant's.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainQuota {
    /// Octets of live mail, of all its accounts.
    #[schema(minimum = 0)]
    pub octets: Option<i64>,
    /// Live messages, of all its accounts.
    #[schema(minimum = 0)]
    pub messages: Option<i64>,
    /// Accounts.
    #[schema(minimum = 0)]
    pub accounts: Option<i32>,
    /// Messages delivered in an hour of the clock.
    #[schema(minimum = 0)]
    pub deliveries_per_hour: Option<i32>,
}

/// What a maildrop may hold; null is no limit. No value is over the domain's or the tenant's.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountQuota {
    /// Octets of live mail.
    #[schema(minimum = 0)]
    pub octets: Option<i64>,
    /// Live messages.
    #[schema(minimum = 0, maximum = 2147483647)]
    pub messages: Option<i64>,
    /// Messages delivered in any hour.
    #[schema(minimum = 0)]
    pub deliveries_per_hour: Option<i32>,
}

impl From<Quota> for TenantQuota {
    fn from(quota: Quota) -> Self {
        let Quota { octets, messages, accounts, domains, deliveries_per_hour } = quota;
        Self { octets, messages, accounts, domains, deliveries_per_hour }
    }
}

impl From<Quota> for DomainQuota {
    fn from(quota: Quota) -> Self {
        let Quota { octets, messages, accounts, deliveries_per_hour, .. } = quota;
        Self { octets, messages, accounts, deliveries_per_hour }
    }
}

impl From<Quota> for AccountQuota {
    fn from(quota: Quota) -> Self {
        let Quota { octets, messages, deliveries_per_hour, .. } = quota;
        Self { octets, messages, deliveries_per_hour }
    }
}

/// Whether it is served. A suspended tenant has no login and gets no mail; a suspended account has no login.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Served.
    Active,
    /// Not served.
    Suspended,
    /// Deleted; restorable until the retention has passed. Only answered, never sent.
    Deleted,
}

/// Whether a domain is there.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Existence {
    /// It is.
    Active,
    /// It is deleted, and can be restored.
    Deleted,
}

/// What a credential allows: to see and fetch mail; to expunge it at QUIT.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeWord {
    /// To see and fetch mail.
    Read,
    /// To expunge mail at QUIT.
    Delete,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoleWord {
    /// Everything.
    PlatformAdmin,
    /// Everything inside one tenant, but the tenant itself.
    TenantAdmin,
    /// Accounts and aliases of some domains of one tenant.
    DomainAdmin,
    /// Sees what is wrong, and helps people back to their mail.
    Helpdesk,
    /// Sees; changes nothing.
    Auditor,
}

impl From<directory::Role> for RoleWord {
    fn from(role: directory::Role) -> Self {
        use directory::Role;
        match role {
            Role::PlatformAdmin => Self::PlatformAdmin,
            Role::TenantAdmin => Self::TenantAdmin,
            Role::DomainAdmin => Self::DomainAdmin,
            Role::Helpdesk => Self::Helpdesk,
            Role::Auditor => Self::Auditor,
        }
    }
}
