//! How a policy is changed.

use super::{ClientCa, Dele, Expire, OauthIssuer, OverQuota, Policy, SessionsPolicy, Utf8, View};

/// A merge patch of a policy (RFC 7396): `None` leaves a key, `Some(None)` leaves it to the next wider level.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each is the field of Policy of the same name")]
pub struct PolicyChange {
    pub over_quota: Option<Option<OverQuota>>,
    pub retention_days: Option<Option<u32>>,
    pub kept_quota_percent: Option<Option<u32>>,
    pub audit_days: Option<Option<u32>>,
    pub view: Option<Option<View>>,
    pub dele: Option<Option<Dele>>,
    pub exclusive: Option<Option<bool>>,
    pub login_delay_seconds: Option<Option<u32>>,
    pub expire_days: Option<Option<Expire>>,
    pub scram_passwords: Option<Option<bool>>,
    pub legacy_mechanisms: Option<Option<bool>>,
    pub utf8: Option<Option<Utf8>>,
    pub per_account: Option<Option<u32>>,
    pub per_domain: Option<Option<u32>>,
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
            kept_quota_percent: Some(None),
            audit_days: Some(None),
            view: Some(None),
            dele: Some(None),
            exclusive: Some(None),
            login_delay_seconds: Some(None),
            expire_days: Some(None),
            scram_passwords: Some(None),
            legacy_mechanisms: Some(None),
            utf8: Some(None),
            per_account: Some(None),
            per_domain: Some(None),
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
            per_domain: self.per_domain.unwrap_or(before.sessions.per_domain),
            per_tenant: self.per_tenant.unwrap_or(before.sessions.per_tenant),
            per_address: self.per_address.unwrap_or(before.sessions.per_address),
        };
        Policy {
            version: before.version,
            over_quota: self.over_quota.unwrap_or(before.over_quota),
            retention_days: self.retention_days.unwrap_or(before.retention_days),
            kept_quota_percent: self.kept_quota_percent.unwrap_or(before.kept_quota_percent),
            audit_days: self.audit_days.unwrap_or(before.audit_days),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let before = Policy::from_json(json!({"over_quota": "defer", "dele": "hide"}), "tenants").unwrap();
        let change = PolicyChange { over_quota: Some(None), utf8: Some(Some(Utf8::Refuse)), ..PolicyChange::default() };
        assert_eq!(change.apply(before.clone()).to_json(), json!({"dele": "hide", "utf8": "refuse"}));
        assert_eq!(PolicyChange::reset().apply(before), Policy::default());
    }
}
