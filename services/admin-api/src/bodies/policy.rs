//! What tenants, domains, accounts and devices decide. Null leaves it to the next wider level, and at last to the service's
//! default.

use directory::{AddressClaim, Dele, Expire, OauthIssuer, OverQuota, Policy, Utf8, View};
use serde::Serialize;
use utoipa::ToSchema;

/// What the sender is told when a maildrop is full: a permanent refusal (552 5.2.2) or to try again (452 4.2.2).
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverQuotaWord {
    /// 552 5.2.2
    Reject,
    /// 452 4.2.2
    Defer,
}

/// What a session sees of the maildrop.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ViewWord {
    /// A word.
    Word(ViewName),
    /// The last days.
    Days(LastDays),
}

/// What a session sees, where a word says it.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViewName {
    /// All that is there.
    Everything,
    /// What this device has neither fetched nor hidden.
    NewForDevice,
}

/// What was received in the last so many days.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LastDays {
    /// So many.
    #[schema(minimum = 1, maximum = 36_500)]
    pub last_days: u32,
}

/// What DELE does.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeleWord {
    /// Removes the message at QUIT.
    Expunge,
    /// Hides it from this device.
    Hide,
    /// Nothing.
    Ignore,
}

/// How long mail is kept that nobody deletes: a number of days, or for ever.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ExpireWord {
    /// For ever.
    Never(NeverWord),
    /// So many days.
    Days(Days),
}

/// For ever.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NeverWord {
    /// For ever.
    Never,
}

/// So many days.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(minimum = 1, maximum = 36_500)]
pub struct Days(pub u32);

/// What a client without UTF8 (RFC 6856) gets of a message with UTF-8 in its headers.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Utf8Word {
    /// The message as it is stored.
    AsStored,
    /// A refusal.
    Refuse,
}

/// Which claim of a token is the account's address.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressClaimWord {
    /// `email`, unless `email_verified` says no.
    Email,
    /// `sub`.
    Sub,
    /// `preferred_username`.
    PreferredUsername,
}

/// An issuer of tokens, for OAUTHBEARER and XOAUTH2. Given and changed as a whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OauthPolicy {
    /// The claim `iss`, exactly: an https URL.
    #[schema(examples("https://id.acme.test"), min_length = 1, max_length = 1000)]
    pub issuer: String,
    /// One of the claim `aud`, exactly.
    #[schema(examples("mail"), min_length = 1, max_length = 1000)]
    pub audience: String,
    /// Where its keys are (RFC 7517): an https URL.
    #[schema(examples("https://id.acme.test/keys"), min_length = 1, max_length = 1000)]
    pub jwks_uri: String,
    /// Default: email.
    #[schema(required = false)]
    pub address_claim: AddressClaimWord,
    /// A scope that the token must have.
    #[schema(required = false, min_length = 1, max_length = 1000)]
    pub scope: Option<String>,
}

/// The most sessions at once, for a tenant. What it allows, its domains and accounts may only narrow.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSessions {
    /// Of one account.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_account: Option<u32>,
    /// Of one domain.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_domain: Option<u32>,
    /// Of the tenant.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_tenant: Option<u32>,
    /// Of the tenant from one address.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_address: Option<u32>,
}

/// The most sessions at once, for a domain: no more than its tenant allows.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainSessions {
    /// Of one account.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_account: Option<u32>,
    /// Of the domain.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_domain: Option<u32>,
}

/// The most sessions at once, for an account: no more than its domain allows.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSessions {
    /// Of one account.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_account: Option<u32>,
}

/// A tenant's policy; null leaves it to the service's default.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPolicy {
    /// Default: reject.
    pub over_quota: Option<OverQuotaWord>,
    /// Days that expunged mail can be restored. Default 7.
    #[schema(minimum = 1, maximum = 365)]
    pub retention_days: Option<u32>,
    /// How much expunged mail an account keeps, in percent of its quota of octets and of messages, beside its live mail. Over it
    /// the oldest is purged before its day. An account without a quota keeps all. Default 100.
    #[schema(maximum = 1_000)]
    pub kept_quota_percent: Option<u32>,
    /// Days that the audit log is kept, to the end of the month; never less than the operator keeps it for everybody.
    #[schema(minimum = 1, maximum = 3_650)]
    pub audit_days: Option<u32>,
    /// Default: everything.
    pub view: Option<ViewWord>,
    /// Default: expunge.
    pub dele: Option<DeleWord>,
    /// One session of a maildrop at a time. Default: any number.
    pub exclusive: Option<bool>,
    /// Seconds between two logins of an account. Default 0.
    #[schema(maximum = 86_400)]
    pub login_delay_seconds: Option<u32>,
    /// Default: never.
    pub expire_days: Option<ExpireWord>,
    /// Whether SCRAM works with accounts' passwords, not only with app passwords. Default: no.
    pub scram_passwords: Option<bool>,
    /// Whether app passwords may be made for APOP, CRAM-MD5 and NTLM. Default: no.
    pub legacy_mechanisms: Option<bool>,
    /// Default: as_stored.
    pub utf8: Option<Utf8Word>,
    /// The most sessions at once.
    #[schema(required = false)]
    pub sessions: TenantSessions,
    /// Whose tokens log in. Default: nobody's.
    pub oauth: Option<OauthPolicy>,
    /// Whose client certificates log in: certificates of authorities (PEM). Default: nobody's.
    #[schema(max_length = 32_768)]
    pub client_ca: Option<String>,
}

/// A domain's policy; null leaves it to the tenant's.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainPolicy {
    /// What the sender is told when a maildrop is full.
    pub over_quota: Option<OverQuotaWord>,
    /// What a session sees.
    pub view: Option<ViewWord>,
    /// What DELE does.
    pub dele: Option<DeleWord>,
    /// One session of a maildrop at a time.
    pub exclusive: Option<bool>,
    /// Seconds between two logins of an account.
    #[schema(maximum = 86_400)]
    pub login_delay_seconds: Option<u32>,
    /// How long mail is kept that nobody deletes.
    pub expire_days: Option<ExpireWord>,
    /// Whether SCRAM works with accounts' passwords, not only with app passwords.
    pub scram_passwords: Option<bool>,
    /// Whether app passwords may be made for APOP, CRAM-MD5 and NTLM.
    pub legacy_mechanisms: Option<bool>,
    /// What a client without UTF8 gets.
    pub utf8: Option<Utf8Word>,
    /// The most sessions at once.
    #[schema(required = false)]
    pub sessions: DomainSessions,
}

/// An account's policy; null leaves it to the domain's.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPolicy {
    /// What the sender is told when the maildrop is full.
    pub over_quota: Option<OverQuotaWord>,
    /// What a session sees.
    pub view: Option<ViewWord>,
    /// What DELE does.
    pub dele: Option<DeleWord>,
    /// One session at a time.
    pub exclusive: Option<bool>,
    /// Seconds between two logins.
    #[schema(maximum = 86_400)]
    pub login_delay_seconds: Option<u32>,
    /// How long mail is kept that nobody deletes.
    pub expire_days: Option<ExpireWord>,
    /// What a client without UTF8 gets.
    pub utf8: Option<Utf8Word>,
    /// The most sessions at once.
    #[schema(required = false)]
    pub sessions: AccountSessions,
}

/// A device's policy; null leaves it to the account's.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePolicy {
    /// What the device sees.
    pub view: Option<ViewWord>,
    /// What its DELE does.
    pub dele: Option<DeleWord>,
    /// What it gets if it has no UTF8.
    pub utf8: Option<Utf8Word>,
}

fn over_quota(word: OverQuota) -> OverQuotaWord {
    match word {
        OverQuota::Reject => OverQuotaWord::Reject,
        OverQuota::Defer => OverQuotaWord::Defer,
    }
}

fn view(view: View) -> ViewWord {
    match view {
        View::Everything => ViewWord::Word(ViewName::Everything),
        View::LastDays(last_days) => ViewWord::Days(LastDays { last_days }),
        View::NewForDevice => ViewWord::Word(ViewName::NewForDevice),
    }
}

fn dele(dele: Dele) -> DeleWord {
    match dele {
        Dele::Expunge => DeleWord::Expunge,
        Dele::Hide => DeleWord::Hide,
        Dele::Ignore => DeleWord::Ignore,
    }
}

fn expire(expire: Expire) -> ExpireWord {
    match expire {
        Expire::Never => ExpireWord::Never(NeverWord::Never),
        Expire::Days(days) => ExpireWord::Days(Days(days)),
    }
}

fn utf8(utf8: Utf8) -> Utf8Word {
    match utf8 {
        Utf8::AsStored => Utf8Word::AsStored,
        Utf8::Refuse => Utf8Word::Refuse,
    }
}

impl From<OauthIssuer> for OauthPolicy {
    fn from(issuer: OauthIssuer) -> Self {
        Self {
            issuer: issuer.issuer,
            audience: issuer.audience,
            jwks_uri: issuer.jwks_uri,
            address_claim: match issuer.address_claim {
                AddressClaim::Email => AddressClaimWord::Email,
                AddressClaim::Sub => AddressClaimWord::Sub,
                AddressClaim::PreferredUsername => AddressClaimWord::PreferredUsername,
            },
            scope: issuer.scope,
        }
    }
}

impl From<Policy> for TenantPolicy {
    fn from(policy: Policy) -> Self {
        let sessions = policy.sessions;
        Self {
            over_quota: policy.over_quota.map(over_quota),
            retention_days: policy.retention_days,
            kept_quota_percent: policy.kept_quota_percent,
            audit_days: policy.audit_days,
            view: policy.view.map(view),
            dele: policy.dele.map(dele),
            exclusive: policy.exclusive,
            login_delay_seconds: policy.login_delay_seconds,
            expire_days: policy.expire_days.map(expire),
            scram_passwords: policy.scram_passwords,
            legacy_mechanisms: policy.legacy_mechanisms,
            utf8: policy.utf8.map(utf8),
            sessions: TenantSessions {
                per_account: sessions.per_account,
                per_domain: sessions.per_domain,
                per_tenant: sessions.per_tenant,
                per_address: sessions.per_address,
            },
            oauth: policy.oauth.map(OauthPolicy::from),
            client_ca: policy.client_ca.map(|ca| ca.pem),
        }
    }
}

impl From<Policy> for DomainPolicy {
    fn from(policy: Policy) -> Self {
        Self {
            over_quota: policy.over_quota.map(over_quota),
            view: policy.view.map(view),
            dele: policy.dele.map(dele),
            exclusive: policy.exclusive,
            login_delay_seconds: policy.login_delay_seconds,
            expire_days: policy.expire_days.map(expire),
            scram_passwords: policy.scram_passwords,
            legacy_mechanisms: policy.legacy_mechanisms,
            utf8: policy.utf8.map(utf8),
            sessions: DomainSessions {
                per_account: policy.sessions.per_account,
                per_domain: policy.sessions.per_domain,
            },
        }
    }
}

impl From<Policy> for AccountPolicy {
    fn from(policy: Policy) -> Self {
        Self {
            over_quota: policy.over_quota.map(over_quota),
            view: policy.view.map(view),
            dele: policy.dele.map(dele),
            exclusive: policy.exclusive,
            login_delay_seconds: policy.login_delay_seconds,
            expire_days: policy.expire_days.map(expire),
            utf8: policy.utf8.map(utf8),
            sessions: AccountSessions { per_account: policy.sessions.per_account },
        }
    }
}

impl From<Policy> for DevicePolicy {
    fn from(policy: Policy) -> Self {
        Self { view: policy.view.map(view), dele: policy.dele.map(dele), utf8: policy.utf8.map(utf8) }
    }
}
