//! Roles and permissions: one table says which role may do what ([`Role::allows`]). What an operation of the API needs stands
//! beside the API's routes; where a caller may do it (everywhere, in its tenant, in its domains) is [`crate::Caller`]'s to say.

use std::fmt;

/// What somebody who asks is to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The operator: everything.
    PlatformAdmin,
    /// Everything inside one tenant, but the tenant itself.
    TenantAdmin,
    /// Accounts and aliases of some domains of one tenant.
    DomainAdmin,
    /// The support desk: sees what is wrong, helps people back to their mail, makes and deletes nothing else.
    Helpdesk,
    /// Sees what was done and how things stand; changes nothing.
    Auditor,
}

impl Role {
    /// All roles, the mightiest first.
    pub const ALL: [Self; 5] =
        [Self::PlatformAdmin, Self::TenantAdmin, Self::DomainAdmin, Self::Helpdesk, Self::Auditor];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlatformAdmin => "platform-admin",
            Self::TenantAdmin => "tenant-admin",
            Self::DomainAdmin => "domain-admin",
            Self::Helpdesk => "helpdesk",
            Self::Auditor => "auditor",
        }
    }

    /// From the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// As the schema keeps it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::PlatformAdmin => 1,
            Self::TenantAdmin => 2,
            Self::DomainAdmin => 3,
            Self::Helpdesk => 4,
            Self::Auditor => 5,
        }
    }

    /// From what the schema keeps.
    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.code() == code)
    }

    /// Whether the role may do what the permission names. [`Permission::MessagesRaw`], reading mail, also has to be a scope of
    /// the key: see [`crate::Caller::allows`].
    pub fn allows(self, permission: Permission) -> bool {
        ROLES.iter().any(|(of, roles)| *of == permission && roles.contains(&self))
    }
}

/// A kind of act. The words are also the scopes of API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See tenants.
    TenantsRead,
    /// Make, change, suspend, delete tenants.
    TenantsWrite,
    /// See domains.
    DomainsRead,
    /// Claim, change, delete domains.
    DomainsWrite,
    /// Give a domain its name without a proof.
    DomainsVouch,
    /// See accounts.
    AccountsRead,
    /// Make, change, suspend, delete, restore accounts.
    AccountsWrite,
    /// See aliases.
    AliasesRead,
    /// Make, change, delete aliases.
    AliasesWrite,
    /// See app passwords: never a secret.
    CredentialsRead,
    /// Set passwords, make and revoke app passwords.
    CredentialsWrite,
    /// See what maildrops hold: metadata only.
    MessagesRead,
    /// Put messages into maildrops.
    MessagesDeliver,
    /// Bring expunged messages back.
    MessagesRestore,
    /// Read messages themselves.
    MessagesRaw,
    /// See who fetches and fetched.
    SessionsRead,
    /// End sessions.
    SessionsWrite,
    /// See logins, failures and what stands between a person and their mail.
    ActivityRead,
    /// Read recorded dialogs.
    TranscriptsRead,
    /// Have dialogs recorded.
    TranscriptsWrite,
    /// See what is used.
    UsageRead,
    /// See administrators and their sign-in sessions.
    AdminsRead,
    /// Make, change, delete administrators, end their sessions.
    AdminsWrite,
    /// See API keys: never a secret.
    ApiKeysRead,
    /// Make, change, revoke API keys.
    ApiKeysWrite,
    /// See who did what.
    AuditRead,
    /// See webhooks and their deliveries.
    WebhooksRead,
    /// Make, change, delete webhooks, deliver again.
    WebhooksWrite,
    /// See jobs: imports, migrations, exports.
    JobsRead,
    /// Start and stop jobs.
    JobsWrite,
}

use Permission as P;
use Role::{Auditor, DomainAdmin, Helpdesk, PlatformAdmin, TenantAdmin};

/// The table: what a permission is called, and the roles that have it.
const ROLES: &[(Permission, &[Role])] = &[
    (P::TenantsRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::TenantsWrite, &[PlatformAdmin]),
    (P::DomainsRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::DomainsWrite, &[PlatformAdmin, TenantAdmin]),
    (P::DomainsVouch, &[PlatformAdmin]),
    (P::AccountsRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::AccountsWrite, &[PlatformAdmin, TenantAdmin, DomainAdmin]),
    (P::AliasesRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::AliasesWrite, &[PlatformAdmin, TenantAdmin, DomainAdmin]),
    (P::CredentialsRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::CredentialsWrite, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk]),
    (P::MessagesRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk]),
    (P::MessagesDeliver, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk]),
    (P::MessagesRestore, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk]),
    (P::MessagesRaw, &[PlatformAdmin, TenantAdmin]),
    (P::SessionsRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::SessionsWrite, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk]),
    (P::ActivityRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::TranscriptsRead, &[PlatformAdmin, TenantAdmin, Helpdesk]),
    (P::TranscriptsWrite, &[PlatformAdmin, TenantAdmin, Helpdesk]),
    (P::UsageRead, &[PlatformAdmin, TenantAdmin, DomainAdmin, Helpdesk, Auditor]),
    (P::AdminsRead, &[PlatformAdmin, TenantAdmin, Auditor]),
    (P::AdminsWrite, &[PlatformAdmin, TenantAdmin]),
    (P::ApiKeysRead, &[PlatformAdmin, TenantAdmin, Auditor]),
    (P::ApiKeysWrite, &[PlatformAdmin, TenantAdmin]),
    (P::AuditRead, &[PlatformAdmin, TenantAdmin, Auditor]),
    (P::WebhooksRead, &[PlatformAdmin, TenantAdmin, Auditor]),
    (P::WebhooksWrite, &[PlatformAdmin, TenantAdmin]),
    (P::JobsRead, &[PlatformAdmin, TenantAdmin, Auditor]),
    (P::JobsWrite, &[PlatformAdmin, TenantAdmin]),
];

impl Permission {
    /// All of them, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        ROLES.iter().map(|(permission, _)| *permission)
    }

    /// The API's word: `accounts:read`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantsRead => "tenants:read",
            Self::TenantsWrite => "tenants:write",
            Self::DomainsRead => "domains:read",
            Self::DomainsWrite => "domains:write",
            Self::DomainsVouch => "domains:vouch",
            Self::AccountsRead => "accounts:read",
            Self::AccountsWrite => "accounts:write",
            Self::AliasesRead => "aliases:read",
            Self::AliasesWrite => "aliases:write",
            Self::CredentialsRead => "credentials:read",
            Self::CredentialsWrite => "credentials:write",
            Self::MessagesRead => "messages:read",
            Self::MessagesDeliver => "messages:deliver",
            Self::MessagesRestore => "messages:restore",
            Self::MessagesRaw => "messages:raw",
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::ActivityRead => "activity:read",
            Self::TranscriptsRead => "transcripts:read",
            Self::TranscriptsWrite => "transcripts:write",
            Self::UsageRead => "usage:read",
            Self::AdminsRead => "admins:read",
            Self::AdminsWrite => "admins:write",
            Self::ApiKeysRead => "api-keys:read",
            Self::ApiKeysWrite => "api-keys:write",
            Self::AuditRead => "audit:read",
            Self::WebhooksRead => "webhooks:read",
            Self::WebhooksWrite => "webhooks:write",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
        }
    }

    /// From the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::all().find(|permission| permission.as_str() == word)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_lead_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(Role::from_code(role.code()), Some(role));
        }
        for permission in Permission::all() {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
        assert_eq!(Role::from_code(0), None);
    }

    #[test]
    fn an_auditor_changes_nothing_and_the_operator_may_everything() {
        for permission in Permission::all() {
            assert!(Role::PlatformAdmin.allows(permission), "{permission}");
            let (_, act) = permission.as_str().split_once(':').unwrap();
            assert!(act == "read" || !Role::Auditor.allows(permission), "{permission}");
        }
    }
}
