//! What a tenant or a domain may decide about its mail, kept as JSON in the column `policy`. A key that this release does not
//! know makes the row inconsistent rather than being dropped at the next change.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::inconsistent;
use crate::{Error, Result};

/// The longest retention, in days: partitions are made so far ahead.
const MAX_RETENTION_DAYS: u32 = 365;

/// What the sender is told when a maildrop is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverQuota {
    /// A permanent refusal: 552 5.2.2.
    Reject,
    /// A temporary one, the sender tries again: 452 4.2.2.
    Defer,
}

/// The policy of a tenant or a domain. `None` leaves it to the next wider one, and at last to the service's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Default: reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_quota: Option<OverQuota>,
    /// Days that expunged mail can be restored; tenants only. Default 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

impl Policy {
    /// Refuses what is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        match self.retention_days {
            Some(days) if days == 0 || days > MAX_RETENTION_DAYS => Err(Error::invalid(
                "/policy/retention_days",
                "out_of_range",
                format!("must be between 1 and {MAX_RETENTION_DAYS}"),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn from_json(json: Value, table: &'static str) -> Result<Self> {
        serde_json::from_value(json).map_err(|_| inconsistent(table, "policy"))
    }

    pub(crate) fn to_json(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_what_its_json_says() {
        let policy = Policy { over_quota: Some(OverQuota::Defer), retention_days: None };
        assert_eq!(policy.to_json(), serde_json::json!({"over_quota": "defer"}));
        assert_eq!(Policy::from_json(policy.to_json(), "tenants").unwrap(), policy);
        assert!(Policy::from_json(serde_json::json!({"new_key": 1}), "tenants").is_err());
        assert!(Policy { retention_days: Some(0), ..Policy::default() }.check().is_err());
    }
}
