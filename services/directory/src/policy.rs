//! What a tenant, a domain, an account or a device decides, kept as JSON in the column `policy` of each. A key that this
//! release does not know makes the row inconsistent rather than being dropped at the next change, and a login under it fails
//! rather than being served by half of its rules.
//!
//! The narrower decides: [`EffectivePolicy`] is the service's defaults under the tenant's, the domain's, the account's and the
//! credential's policy. Each level may decide only what [`Level`] says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::inconsistent;
use crate::{Error, FieldError, Result};

mod trust;

pub use trust::{AddressClaim, ClientCa, OauthIssuer};

/// The longest retention, in days: partitions are made so far ahead.
const MAX_RETENTION_DAYS: u32 = 365;
/// The longest that a view or an expiry goes back, in days.
const MAX_DAYS: u32 = 36_500;
/// The longest LOGIN-DELAY, in seconds.
const MAX_LOGIN_DELAY_SECONDS: u32 = 86_400;
/// The most sessions that a limit may allow.
const MAX_SESSIONS: u32 = 1_000_000;

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
    /// So many days.
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

/// The most sessions at once. `None` leaves it to the next wider level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsPolicy {
    /// Of one account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_account: Option<u32>,
    /// Of one tenant; tenants only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_tenant: Option<u32>,
    /// Of one tenant from one address; tenants only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_address: Option<u32>,
}

impl SessionsPolicy {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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

/// A merge patch of a policy (RFC 7396): `None` leaves a key, `Some(None)` leaves it to the next wider level.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the field of Policy of the same name")]
pub struct PolicyChange {
    pub over_quota: Option<Option<OverQuota>>,
    pub retention_days: Option<Option<u32>>,
    pub view: Option<Option<View>>,
    pub dele: Option<Option<Dele>>,
    pub exclusive: Option<Option<bool>>,
    pub login_delay_seconds: Option<Option<u32>>,
    pub expire_days: Option<Option<Expire>>,
    pub scram_passwords: Option<Option<bool>>,
    pub legacy_mechanisms: Option<Option<bool>>,
    pub utf8: Option<Option<Utf8>>,
    pub per_account: Option<Option<u32>>,
    pub per_tenant: Option<Option<u32>>,
    pub per_address: Option<Option<u32>>,
    pub oauth: Option<Option<OauthIssuer>>,
    pub client_ca: Option<Option<ClientCa>>,
}

impl PolicyChange {
    /// Leaves everything to the next wider level (`"policy": null`).
    pub fn reset() -> Self {
        Self {
            over_quota: Some(None),
            retention_days: Some(None),
            view: Some(None),
            dele: Some(None),
            exclusive: Some(None),
            login_delay_seconds: Some(None),
            expire_days: Some(None),
            scram_passwords: Some(None),
            legacy_mechanisms: Some(None),
            utf8: Some(None),
            per_account: Some(None),
            per_tenant: Some(None),
            per_address: Some(None),
            oauth: Some(None),
            client_ca: Some(None),
        }
    }

    /// What becomes of a policy.
    pub fn apply(self, before: Policy) -> Policy {
        let sessions = SessionsPolicy {
            per_account: self.per_account.unwrap_or(before.sessions.per_account),
            per_tenant: self.per_tenant.unwrap_or(before.sessions.per_tenant),
            per_address: self.per_address.unwrap_or(before.sessions.per_address),
        };
        Policy {
            version: before.version,
            over_quota: self.over_quota.unwrap_or(before.over_quota),
            retention_days: self.retention_days.unwrap_or(before.retention_days),
            view: self.view.unwrap_or(before.view),
            dele: self.dele.unwrap_or(before.dele),
            exclusive: self.exclusive.unwrap_or(before.exclusive),
            login_delay_seconds: self.login_delay_seconds.unwrap_or(before.login_delay_seconds),
            expire_days: self.expire_days.unwrap_or(before.expire_days),
            scram_passwords: self.scram_passwords.unwrap_or(before.scram_passwords),
            legacy_mechanisms: self.legacy_mechanisms.unwrap_or(before.legacy_mechanisms),
            utf8: self.utf8.unwrap_or(before.utf8),
            sessions,
            oauth: self.oauth.unwrap_or(before.oauth),
            client_ca: self.client_ca.unwrap_or(before.client_ca),
        }
    }
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
            ("/policy/view/last_days", days, 1, MAX_DAYS),
            ("/policy/expire_days", expire, 1, MAX_DAYS),
            ("/policy/login_delay_seconds", self.login_delay_seconds, 0, MAX_LOGIN_DELAY_SECONDS),
            ("/policy/sessions/per_account", self.sessions.per_account, 1, MAX_SESSIONS),
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
            ("oauth", self.oauth.is_some(), of_tenant),
            ("client_ca", self.client_ca.is_some(), of_tenant),
            ("sessions/per_tenant", self.sessions.per_tenant.is_some(), of_tenant),
            ("sessions/per_address", self.sessions.per_address.is_some(), of_tenant),
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

/// What holds for one login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EffectivePolicy {
    /// What the session sees.
    pub view: View,
    /// What DELE does.
    pub dele: Dele,
    /// Whether the maildrop is leased.
    pub exclusive: bool,
    /// Seconds between two logins; 0: none.
    pub login_delay_seconds: u32,
    /// What EXPIRE says.
    pub expire: Expire,
    /// Whether SCRAM works with the account's password.
    pub scram_passwords: bool,
    /// Whether mechanisms with recoverable secrets work.
    pub legacy_mechanisms: bool,
    /// What a client without UTF8 gets.
    pub utf8: Utf8,
    /// The most sessions at once; `None` leaves it to the service's configuration.
    pub sessions: SessionsPolicy,
}

impl EffectivePolicy {
    /// The defaults under these, the widest first.
    pub fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        policies.into_iter().fold(Self::default(), Self::under)
    }

    /// What a narrower policy makes of it.
    #[must_use]
    pub fn under(self, narrower: &Policy) -> Self {
        Self {
            view: narrower.view.unwrap_or(self.view),
            dele: narrower.dele.unwrap_or(self.dele),
            exclusive: narrower.exclusive.unwrap_or(self.exclusive),
            login_delay_seconds: narrower.login_delay_seconds.unwrap_or(self.login_delay_seconds),
            expire: narrower.expire_days.unwrap_or(self.expire),
            scram_passwords: narrower.scram_passwords.unwrap_or(self.scram_passwords),
            legacy_mechanisms: narrower.legacy_mechanisms.unwrap_or(self.legacy_mechanisms),
            utf8: narrower.utf8.unwrap_or(self.utf8),
            sessions: SessionsPolicy {
                per_account: narrower.sessions.per_account.or(self.sessions.per_account),
                per_tenant: narrower.sessions.per_tenant.or(self.sessions.per_tenant),
                per_address: narrower.sessions.per_address.or(self.sessions.per_address),
            },
        }
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
        let wrong =
            json!({"retention_days": 0, "view": {"last_days": 0}, "expire_days": 0, "login_delay_seconds": 86_401});
        let expected =
            ["/policy/retention_days", "/policy/view/last_days", "/policy/expire_days", "/policy/login_delay_seconds"];
        assert_eq!(faults(&policy(wrong), Level::Tenant), expected);
    }

    #[test]
    fn each_level_decides_what_is_its_own() {
        let all = policy(json!({
            "over_quota": "defer", "retention_days": 7, "view": "new_for_device", "dele": "hide", "exclusive": true,
            "login_delay_seconds": 1, "expire_days": 1, "scram_passwords": true, "legacy_mechanisms": true,
            "utf8": "refuse", "sessions": {"per_account": 1, "per_tenant": 1, "per_address": 1},
        }));
        assert_eq!(faults(&all, Level::Tenant).len(), 0);
        assert_eq!(faults(&all, Level::Domain).len(), 3);
        assert_eq!(faults(&all, Level::Account).len(), 5);
        assert_eq!(faults(&all, Level::Credential).len(), 10);
    }

    #[test]
    fn the_narrower_decides() {
        let tenant = policy(json!({"view": {"last_days": 30}, "dele": "hide", "exclusive": true}));
        let domain = policy(json!({"exclusive": false, "expire_days": 90}));
        let account = policy(json!({"expire_days": "never"}));
        let credential = policy(json!({"view": "new_for_device"}));
        let effective = EffectivePolicy::of([&tenant, &domain, &account, &credential]);
        let expected = EffectivePolicy { view: View::NewForDevice, dele: Dele::Hide, ..EffectivePolicy::default() };
        assert_eq!(effective, expected);
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let before = policy(json!({"over_quota": "defer", "dele": "hide"}));
        let change = PolicyChange { over_quota: Some(None), utf8: Some(Some(Utf8::Refuse)), ..PolicyChange::default() };
        assert_eq!(change.apply(before.clone()).to_json(), json!({"dele": "hide", "utf8": "refuse"}));
        assert_eq!(PolicyChange::reset().apply(before), Policy::default());
    }
}
