//! What a tenant, a domain, an account or a device decides, kept as JSON in the column `policy` of each. A key that this
//! release does not know makes the row inconsistent rather than being dropped at the next change, and a login under it fails
//! rather than being served by half of its rules.
//!
//! The narrower decides: [`EffectivePolicy`] is the service's defaults under the tenant's, the domain's, the account's and the
//! credential's policy. Each level may decide only what [`Level`] says; of limits on sessions the smallest holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::inconsistent;
use crate::{Error, FieldError, Result};

mod change;
mod effective;
mod sessions;
mod trust;

pub use change::PolicyChange;
pub use effective::EffectivePolicy;
use sessions::MAX_SESSIONS;
pub use sessions::SessionsPolicy;
pub use trust::{AddressClaim, ClientCa, OauthIssuer};

/// The longest retention, in days: partitions are made so far ahead.
const MAX_RETENTION_DAYS: u32 = 365;
/// The most expunged mail that an account may keep, in percent of its quota.
const MAX_KEPT_QUOTA_PERCENT: u32 = 1_000;
/// The longest that the audit log is kept for a tenant, in days.
const MAX_AUDIT_DAYS: u32 = 3_650;
/// The longest that a view or an expiry goes back, in days.
const MAX_DAYS: u32 = 36_500;
/// The longest LOGIN-DELAY, in seconds.
const MAX_LOGIN_DELAY_SECONDS: u32 = 86_400;

/// What the sender is told when a maildrop is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverQuota {
    /// A permanent refusal: 552 5.2.2.
    Reject,
    /// A temporary one, the sender tries again: 452 4.2.2.
    Defer,
}

/// What a session sees of a maildrop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// All that is there.
    #[default]
    Everything,
    /// What was received in the last so many days.
    LastDays(u32),
    /// What this device has neither fetched nor hidden.
    NewForDevice,
}

/// What DELE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dele {
    /// Removes the message at QUIT.
    #[default]
    Expunge,
    /// Hides it from this device, at QUIT.
    Hide,
    /// Nothing: the client is told that it is done.
    Ignore,
}

/// How long mail is kept that nobody deletes; what EXPIRE says (RFC 2449 section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expire {
    /// For ever.
    #[default]
    Never,
    /// So many days, at least one: the 0 of the standard lets mail go at the end of the session that fetched it, which here only
    /// DELE does.
    #[serde(untagged)]
    Days(u32),
}

/// What a client without UTF8 (RFC 6856) gets of a message with UTF-8 in its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Utf8 {
    /// The message as it is stored.
    #[default]
    AsStored,
    /// `-ERR [UTF8]`.
    Refuse,
}

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Everything may be decided.
    Tenant,
    /// Not what is the tenant's alone: retention, trust in issuers, sessions of the tenant and of addresses.
    Domain,
    /// Nor which mechanisms and secrets there are.
    Account,
    /// What this device sees, what its DELE does, and what it gets of UTF-8.
    Credential,
}

/// The policy of a tenant, a domain, an account or a credential. `None` leaves it to the next wider one, and at last to the
/// service's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The version of this type; 1, and not written. A later one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Default: reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_quota: Option<OverQuota>,
    /// Days that expunged mail can be restored; tenants only. Default 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// How much expunged mail an account keeps, in percent of its quota (octets and messages); over it the oldest is purged before
    /// its day. Tenants only; without effect on accounts without a quota. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_quota_percent: Option<u32>,
    /// Days that the audit log is kept, to the end of the month; tenants only. Never less than the operator keeps it for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_days: Option<u32>,
    /// Default: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    /// Default: expunge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dele: Option<Dele>,
    /// One session at a time (RFC 1939 section 8). Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<bool>,
    /// Seconds between two logins (RFC 2449 section 6.5). Default 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_delay_seconds: Option<u32>,
    /// Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_days: Option<Expire>,
    /// Whether SCRAM works with the account's password too, not only with app passwords: its keys are then kept, which are
    /// easier to try passwords against than its hash. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram_passwords: Option<bool>,
    /// Whether app passwords may be made for mechanisms that need a recoverable secret, and such mechanisms used. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_mechanisms: Option<bool>,
    /// Default: as stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utf8: Option<Utf8>,
    /// How many sessions there may be.
    #[serde(default, skip_serializing_if = "SessionsPolicy::is_empty")]
    pub sessions: SessionsPolicy,
    /// Whose tokens are accepted; tenants only. Default: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthIssuer>,
    /// Whose client certificates are accepted; tenants only. Default: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<ClientCa>,
}

impl Policy {
    /// Refuses what is out of range, and what this level does not decide.
    pub(crate) fn check(&self, level: Level) -> Result<()> {
        let mut errors = Vec::new();
        self.check_ranges(&mut errors);
        self.check_level(level, &mut errors);
        if let Some(oauth) = &self.oauth {
            oauth.check(&mut errors);
        }
        if let Some(client_ca) = &self.client_ca {
            client_ca.check(&mut errors);
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
    }

    fn check_ranges(&self, errors: &mut Vec<FieldError>) {
        let days = match self.view {
            Some(View::LastDays(days)) => Some(days),
            _ => None,
        };
        let expire = match self.expire_days {
            Some(Expire::Days(days)) => Some(days),
            _ => None,
        };
        let ranges = [
            ("/policy/retention_days", self.retention_days, 1, MAX_RETENTION_DAYS),
            ("/policy/kept_quota_percent", self.kept_quota_percent, 0, MAX_KEPT_QUOTA_PERCENT),
            ("/policy/audit_days", self.audit_days, 1, MAX_AUDIT_DAYS),
            ("/policy/view/last_days", days, 1, MAX_DAYS),
            ("/policy/expire_days", expire, 1, MAX_DAYS),
            ("/policy/login_delay_seconds", self.login_delay_seconds, 0, MAX_LOGIN_DELAY_SECONDS),
            ("/policy/sessions/per_account", self.sessions.per_account, 1, MAX_SESSIONS),
            ("/policy/sessions/per_domain", self.sessions.per_domain, 1, MAX_SESSIONS),
            ("/policy/sessions/per_tenant", self.sessions.per_tenant, 1, MAX_SESSIONS),
            ("/policy/sessions/per_address", self.sessions.per_address, 1, MAX_SESSIONS),
        ];
        for (pointer, value, least, most) in ranges {
            if value.is_some_and(|value| value < least || value > most) {
                let detail = format!("must be between {least} and {most}");
                errors.push(FieldError::new(pointer, "out_of_range", detail));
            }
        }
    }

    fn check_level(&self, level: Level, errors: &mut Vec<FieldError>) {
        let of_tenant = level == Level::Tenant;
        let of_domain = of_tenant || level == Level::Domain;
        let of_account = of_domain || level == Level::Account;
        let decided = [
            ("retention_days", self.retention_days.is_some(), of_tenant),
            ("kept_quota_percent", self.kept_quota_percent.is_some(), of_tenant),
            ("audit_days", self.audit_days.is_some(), of_tenant),
            ("oauth", self.oauth.is_some(), of_tenant),
            ("client_ca", self.client_ca.is_some(), of_tenant),
            ("sessions/per_tenant", self.sessions.per_tenant.is_some(), of_tenant),
            ("sessions/per_address", self.sessions.per_address.is_some(), of_tenant),
            ("sessions/per_domain", self.sessions.per_domain.is_some(), of_domain),
            ("scram_passwords", self.scram_passwords.is_some(), of_domain),
            ("legacy_mechanisms", self.legacy_mechanisms.is_some(), of_domain),
            ("over_quota", self.over_quota.is_some(), of_account),
            ("exclusive", self.exclusive.is_some(), of_account),
            ("login_delay_seconds", self.login_delay_seconds.is_some(), of_account),
            ("expire_days", self.expire_days.is_some(), of_account),
            ("sessions/per_account", self.sessions.per_account.is_some(), of_account),
        ];
        for (key, decided, allowed) in decided {
            if decided && !allowed {
                let pointer = format!("/policy/{key}");
                errors.push(FieldError::new(pointer, "not_here", "is decided at a wider level"));
            }
        }
    }

    pub(crate) fn from_json(json: Value, table: &'static str) -> Result<Self> {
        let policy: Self = serde_json::from_value(json).map_err(|_| inconsistent(table, "policy"))?;
        if policy.version.is_some_and(|version| version != 1) {
            return Err(inconsistent(table, "policy"));
        }
        Ok(policy)
    }

    /// Of a column that may be NULL.
    pub(crate) fn from_column(json: Option<Value>, table: &'static str) -> Result<Self> {
        json.map_or_else(|| Ok(Self::default()), |json| Self::from_json(json, table))
    }

    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(json: Value) -> Policy {
        Policy::from_json(json, "tenants").unwrap()
    }

    #[track_caller]
    fn faults(policy: &Policy, level: Level) -> Vec<String> {
        match policy.check(level) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_policy_is_what_its_json_says() {
        for json in [
            json!({}),
            json!({"over_quota": "defer"}),
            json!({"view": "everything", "dele": "hide", "exclusive": true, "login_delay_seconds": 60, "expire_days": "never"}),
            json!({"view": {"last_days": 30}, "expire_days": 90, "utf8": "as_stored", "scram_passwords": false}),
            json!({"view": "new_for_device", "sessions": {"per_account": 3}, "legacy_mechanisms": true}),
        ] {
            assert_eq!(policy(json.clone()).to_json(), json);
        }
        for json in [
            json!({"new_key": 1}),
            json!({"version": 2}),
            json!({"view": "some"}),
            json!({"expire_days": "soon"}),
            json!({"sessions": {"per_day": 1}}),
        ] {
            assert!(Policy::from_json(json.clone(), "tenants").is_err(), "{json}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let wrong = json!({"retention_days": 0, "kept_quota_percent": 1_001, "view": {"last_days": 0}, "expire_days": 0, "login_delay_seconds": 86_401});
        let expected = [
            "/policy/retention_days",
            "/policy/kept_quota_percent",
            "/policy/view/last_days",
            "/policy/expire_days",
            "/policy/login_delay_seconds",
        ];
        assert_eq!(faults(&policy(wrong), Level::Tenant), expected);
    }

    #[test]
    fn each_level_decides_what_is_its_own() {
        let all = policy(json!({
            "over_quota": "defer", "retention_days": 7, "kept_quota_percent": 50, "audit_days": 400, "view": "new_for_device", "dele": "hide", "exclusive": true,
            "login_delay_seconds": 1, "expire_days": 1, "scram_passwords": true, "legacy_mechanisms": true,
            "utf8": "refuse", "sessions": {"per_account": 1, "per_domain": 1, "per_tenant": 1, "per_address": 1},
        }));
        assert_eq!(faults(&all, Level::Tenant).len(), 0);
        assert_eq!(faults(&all, Level::Domain).len(), 5);
        assert_eq!(faults(&all, Level::Account).len(), 8);
        assert_eq!(faults(&all, Level::Credential).len(), 13);
    }
}
