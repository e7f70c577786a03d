//! The JSON that goes in and out. Requests are read field by field (so that every fault is named); their types here are what
//! the OpenAPI document says of them, and what a client in Rust may send.

mod identity;
mod oidc;
mod policy;
mod requests;
mod resources;
mod undelete;

use serde::Serialize;
use utoipa::ToSchema;

pub use identity::{
    AdminBody, AdminNew, AdminPasswordSet, AdminPatch, JwkBody, JwksBody, MeBody, OwnPassword, OwnPasswordSet,
    RecoveryCodes, RefreshNew, SignInMethodWord, SignInNew, SignInSessionBody, SignOut, SignedOut, TokensBody,
    TotpConfirm, TotpOffered,
};
pub use oidc::{OidcIssuerBody, OidcIssuerSet, RequiredClaimBody, RoleClaimBody, SignInCode};
pub use policy::{
    AccountPolicy, AccountSessions, AddressClaimWord, DeleWord, DevicePolicy, DomainPolicy, ExpireWord, OauthPolicy,
    OverQuotaWord, TenantPolicy, TenantSessions, Utf8Word, ViewWord,
};
pub use requests::{
    AccountNew, AccountPatch, AliasNew, AliasPatch, ApiKeyNew, ApiKeyPatch, AppPasswordNew, DomainNew, DomainPatch,
    DomainVerify, PasswordSet, TenantNew, TenantPatch,
};
pub use resources::{
    AccountBody, AccountUsage, AliasBody, ApiKeyBody, ApiKeyIssued, AppPasswordBody, AppPasswordIssued, DomainBody,
    MessageBody, SummedUsage, TenantBody,
};
pub use undelete::{ExpungedBody, MessagesRestore, OutcomeWord, RestoredBody, SessionBody, TlsWord};

/// What a tenant may use; null is no limit.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantQuota {
    /// Octets of live mail, of all its accounts.
    #[schema(minimum = 0)]
    pub octets: Option<i64>,
    /// Accounts.
    #[schema(minimum = 0)]
    pub accounts: Option<i32>,
    /// Domains, claimed or verified.
    #[schema(minimum = 0)]
    pub domains: Option<i32>,
}

/// What a maildrop may hold; null is no limit.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountQuota {
    /// Octets of live mail.
    #[schema(minimum = 0)]
    pub octets: Option<i64>,
    /// Live messages.
    #[schema(minimum = 0)]
    pub messages: Option<i32>,
}

/// Whether it is served. A suspended tenant has no login and gets no mail; a suspended account has no login.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Served.
    Active,
    /// Not served.
    Suspended,
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
