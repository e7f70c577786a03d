//! What is sent.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AccountPolicy, AccountQuota, DevicePolicy, DomainPolicy, DomainQuota, RoleWord, ScopeWord, Status, TenantPolicy,
    TenantQuota,
};

/// `POST /v1/tenants`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantNew {
    /// 1 to 63 of a-z, 0-9 and -, not beginning with -.
    #[schema(examples("acme"), min_length = 1, max_length = 63)]
    pub slug: String,
    /// For people.
    #[schema(examples("Acme"), min_length = 1, max_length = 200)]
    pub name: String,
    /// What it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub quota: Option<TenantQuota>,
    /// What it decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub policy: Option<TenantPolicy>,
}

/// `PATCH /v1/tenants/{slug}` (RFC 7396).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    /// Suspend or resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// Null: no limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<TenantQuota>,
    /// Null: the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<TenantPolicy>,
}

/// `POST /v1/domains`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainNew {
    /// A-labels or U-labels.
    #[schema(examples("acme.test"), max_length = 253)]
    pub name: String,
    /// Whose it is; a tenant's own key may leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme"), required = false)]
    pub tenant: Option<String>,
    /// What it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub quota: Option<DomainQuota>,
    /// What it decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub policy: Option<DomainPolicy>,
}

/// `PATCH /v1/domains/{name}` (RFC 7396).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainPatch {
    /// Null: no limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<DomainQuota>,
    /// Null: as the tenant decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<DomainPolicy>,
}

/// `POST /v1/domains/{name}/verify`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainVerify {
    /// True: a platform administrator vouches for the domain. Left out or false: the DNS proves it.
    #[serde(default)]
    #[schema(required = false)]
    pub vouch: bool,
}

/// `POST /v1/accounts`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountNew {
    /// In a domain of the caller's; without a subaddress.
    #[schema(examples("alice@acme.test"))]
    pub address: String,
    /// Without one the account needs app passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 8, max_length = 1024, required = false, write_only)]
    pub password: Option<String>,
    /// What its maildrop may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub quota: Option<AccountQuota>,
}

/// `PATCH /v1/accounts/{address}` (RFC 7396).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPatch {
    /// Suspend or resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// Null: no limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<AccountQuota>,
    /// Null: as the domain decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<AccountPolicy>,
}

/// `PUT /v1/accounts/{address}/password`: one of the two.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum PasswordSet {
    /// In clear.
    Clear(PasswordClear),
    /// As another server kept it.
    Hashed(PasswordHashed),
}

/// A password in clear.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordClear {
    /// At least 8 characters, at most 1024 octets, no control characters.
    #[schema(min_length = 8, max_length = 1024, write_only)]
    pub password: String,
}

/// A password as another server kept it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordHashed {
    /// {SHA512-CRYPT}, {BLF-CRYPT}, {SSHA}, {PBKDF2} or {ARGON2ID}, and the hash. The next login with the password replaces it by a
    /// hash of this service.
    #[schema(examples("{SSHA}11HOqKcACeLy7xxeFJPOfoprDVSMMykT"), max_length = 512, write_only)]
    pub hash: String,
}

/// `POST /v1/accounts/{address}/app-passwords`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppPasswordNew {
    /// The device it is for.
    #[schema(examples("phone"), min_length = 1, max_length = 100)]
    pub name: String,
    /// Default: both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub scopes: Option<Vec<ScopeWord>>,
    /// From where it may be used (CIDR); default: from everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50, required = false)]
    pub allowed_networks: Option<Vec<String>>,
    /// Until when; default: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What the device sees, and what its DELE does; default: as the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub policy: Option<DevicePolicy>,
    /// Whether it is for a client that knows only APOP, CRAM-MD5 or NTLM; only where the domain's policy allows it. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub legacy: Option<bool>,
}

/// `POST /v1/aliases`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasNew {
    /// An address, or `*@domain` for all that nothing else in the domain takes.
    #[schema(examples("info@acme.test"))]
    pub address: String,
    /// Accounts of the same tenant.
    #[schema(min_items = 1, max_items = 100)]
    pub targets: Vec<String>,
}

/// `PATCH /v1/aliases/{address}` (RFC 7396).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasPatch {
    /// Accounts of the same tenant, in place of those before.
    #[schema(min_items = 1, max_items = 100)]
    pub targets: Vec<String>,
}

/// `POST /v1/api-keys`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyNew {
    /// What it is for.
    #[schema(examples("ci"), min_length = 1, max_length = 100)]
    pub name: String,
    /// Whose things it reaches; a tenant's own caller may leave it out. Without it, the platform makes its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme"), required = false)]
    pub tenant: Option<String>,
    /// What it may do; no more than the caller.
    pub role: RoleWord,
    /// Less than the role: these permissions only. Default: all of the role's but messages:raw.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("accounts:read", "usage:read"), min_items = 1, required = false)]
    pub scopes: Option<Vec<String>>,
    /// A domain-admin's domains, of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme.test"), max_items = 1000, required = false)]
    pub domains: Option<Vec<String>>,
    /// From where it may be used (CIDR); default: from everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("192.0.2.0/24"), max_items = 50, required = false)]
    pub allowed_networks: Option<Vec<String>>,
    /// Until when; default: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// `PATCH /v1/api-keys/{id}` (RFC 7396).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "ci of the new cluster"}))]
pub struct ApiKeyPatch {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    pub name: Option<String>,
    /// Null: from everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50)]
    pub allowed_networks: Option<Vec<String>>,
    /// Null: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}
