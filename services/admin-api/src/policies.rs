//! Reading policies: as a merge patch (RFC 7396), of which creation is the one that changes nothing yet. A key that a level
//! does not decide is unknown there.

use directory::{ClientCa, Dele, Expire, OauthIssuer, OverQuota, Policy, PolicyChange, Utf8, View};

use crate::fields::{Fields, boolean, integer, text, typed, word};

const OVER_QUOTA: &[(&str, OverQuota)] = &[("reject", OverQuota::Reject), ("defer", OverQuota::Defer)];
const DELE: &[(&str, Dele)] = &[("expunge", Dele::Expunge), ("hide", Dele::Hide), ("ignore", Dele::Ignore)];
const UTF8: &[(&str, Utf8)] = &[("as_stored", Utf8::AsStored), ("refuse", Utf8::Refuse)];
const VIEW: &str = r#"must be "everything", "new_for_device" or {"last_days": N}"#;
const EXPIRE: &str = r#"must be a number of days or "never""#;
const OAUTH: &str = "must have issuer, audience, jwks_uri, and may have address_claim and scope";
const MAX_SESSIONS: i64 = 1_000_000;

/// Whose policy is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Device,
    Account,
    Domain,
    Tenant,
}

/// The policy of something new.
pub(crate) fn new_policy(fields: &mut Fields, of: Of) -> Policy {
    policy_change(fields, of).apply(Policy::default())
}

/// What a patch makes of the policy that there is.
pub(crate) fn policy_change(fields: &mut Fields, of: Of) -> PolicyChange {
    fields.nested("policy", PolicyChange::reset(), |policy| {
        let mut change = PolicyChange {
            view: policy.change("view", typed::<View>(VIEW)),
            dele: policy.change("dele", word(DELE)),
            utf8: policy.change("utf8", word(UTF8)),
            ..PolicyChange::default()
        };
        if of >= Of::Account {
            change.over_quota = policy.change("over_quota", word(OVER_QUOTA));
            change.exclusive = policy.change("exclusive", boolean);
            change.login_delay_seconds = policy.change("login_delay_seconds", integer(0, 86_400));
            change.expire_days = policy.change("expire_days", typed::<Expire>(EXPIRE));
            [change.per_account, change.per_domain, change.per_tenant, change.per_address] =
                sessions_change(policy, of);
        }
        if of >= Of::Domain {
            change.scram_passwords = policy.change("scram_passwords", boolean);
            change.legacy_mechanisms = policy.change("legacy_mechanisms", boolean);
        }
        if of >= Of::Tenant {
            change.retention_days = policy.change("retention_days", integer(1, 365));
            change.kept_quota_percent = policy.change("kept_quota_percent", integer(0, 1_000));
            change.audit_days = policy.change("audit_days", integer(1, 3_650));
            change.oauth = policy.change("oauth", typed::<OauthIssuer>(OAUTH));
            change.client_ca = policy.change("client_ca", text).map(|pem| pem.map(|pem| ClientCa { pem }));
        }
        change
    })
}

/// Per account, domain, tenant and address.
fn sessions_change(policy: &mut Fields, of: Of) -> [Option<Option<u32>>; 4] {
    policy.nested("sessions", [Some(None); 4], |sessions| {
        let mut limit = |key, from| {
            if of >= from { sessions.change(key, integer(1, MAX_SESSIONS)) } else { None }
        };
        [
            limit("per_account", Of::Account),
            limit("per_domain", Of::Domain),
            limit("per_tenant", Of::Tenant),
            limit("per_address", Of::Tenant),
        ]
    })
}
