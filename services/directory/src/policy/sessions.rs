//! How many sessions there may be at once. These are limits, not habits: what is narrower may allow less, and never more.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::{Error, FieldError, Result};

/// The most sessions that a limit may allow.
pub(super) const MAX_SESSIONS: u32 = 1_000_000;

/// The most sessions at once. `None` leaves it to the next wider level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsPolicy {
    /// Of one account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_account: Option<u32>,
    /// Of one domain; tenants and domains only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_domain: Option<u32>,
    /// Of one tenant; tenants only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_tenant: Option<u32>,
    /// Of one tenant from one address; tenants only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_address: Option<u32>,
}

/// The smaller of two limits, of which each may be none.
fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.into_iter().chain(other).min()
}

impl SessionsPolicy {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What holds of both. A row of a release that did not compare levels cannot widen anything.
    #[must_use]
    pub(super) fn under(self, narrower: Self) -> Self {
        Self {
            per_account: least(narrower.per_account, self.per_account),
            per_domain: least(narrower.per_domain, self.per_domain),
            per_tenant: least(narrower.per_tenant, self.per_tenant),
            per_address: least(narrower.per_address, self.per_address),
        }
    }

    /// Refuses more than the levels above allow, and more of an account than of its domain, or of a domain than of its tenant.
    pub(crate) fn check_within(&self, wider: &Self) -> Result<()> {
        let tenant = least(self.per_tenant, wider.per_tenant);
        let domain = least(self.per_domain, wider.per_domain);
        let errors: Vec<_> = [
            ("per_domain", self.per_domain, least(wider.per_domain, tenant)),
            ("per_account", self.per_account, least(wider.per_account, least(domain, tenant))),
        ]
        .into_iter()
        .filter_map(|(key, own, most)| match (own, most) {
            (Some(own), Some(most)) if own > most => {
                Some(out_of_range(key, format!("must be at most {most}: more are not allowed to what is around it")))
            }
            _ => None,
        })
        .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
    }

    /// Refuses limits of a tenant (`domain` is `None`) or a domain that are smaller than one beneath. Looks only if something was
    /// lowered.
    pub(crate) async fn check_over_children(
        &self,
        before: &Self,
        tx: &mut PgConnection,
        tenant: i32,
        domain: Option<i64>,
    ) -> Result<()> {
        let is_lower = |own: Option<u32>, was: Option<u32>| own.is_some_and(|own| was.is_none_or(|was| own < was));
        if !is_lower(self.per_account, before.per_account)
            && !is_lower(self.per_domain, before.per_domain)
            && !is_lower(self.per_tenant, before.per_tenant)
        {
            return Ok(());
        }
        let (domains, accounts): (Option<i32>, Option<i32>) = sqlx::query_as(
            "SELECT max((p -> 'sessions' ->> 'per_domain')::integer), max((p -> 'sessions' ->> 'per_account')::integer) FROM (
               SELECT a.policy FROM restante.accounts a
                WHERE a.tenant_id = $1 AND a.status <> 3 AND a.policy IS NOT NULL AND ($2::bigint IS NULL OR a.domain_id = $2)
               UNION ALL
               SELECT d.policy FROM restante.domains d WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND $2::bigint IS NULL) AS c (p)",
        )
        .bind(tenant)
        .bind(domain)
        .fetch_one(tx)
        .await?;
        let unsigned = |most: Option<i32>| most.and_then(|most| u32::try_from(most).ok());
        let (domains, accounts) = (unsigned(domains), unsigned(accounts));
        let both = domains.into_iter().chain(accounts).max();
        let errors: Vec<_> = [
            ("per_tenant", self.per_tenant, both),
            ("per_domain", self.per_domain, both),
            ("per_account", self.per_account, accounts),
        ]
        .into_iter()
        .filter_map(|(key, own, child)| match (own, child) {
            (Some(own), Some(child)) if child > own => {
                Some(out_of_range(key, format!("must be at least {child}: something beneath may have so many")))
            }
            _ => None,
        })
        .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
    }
}

fn out_of_range(key: &str, detail: String) -> FieldError {
    FieldError::new(format!("/policy/sessions/{key}"), "out_of_range", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(per_account: Option<u32>, per_domain: Option<u32>, per_tenant: Option<u32>) -> SessionsPolicy {
        SessionsPolicy { per_account, per_domain, per_tenant, per_address: None }
    }

    #[test]
    fn a_child_is_within_its_parent() {
        let faults = |own: SessionsPolicy, wider: SessionsPolicy| match own.check_within(&wider) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            Err(error) => panic!("{error}"),
        };
        const DOMAIN: &str = "/policy/sessions/per_domain";
        const ACCOUNT: &str = "/policy/sessions/per_account";
        let tenant = of(Some(5), Some(10), Some(20));
        assert_eq!(faults(of(Some(5), Some(10), None), tenant), [""; 0]);
        assert_eq!(faults(of(Some(6), Some(11), None), tenant), [DOMAIN, ACCOUNT]);
        assert_eq!(faults(of(None, Some(21), None), of(None, None, Some(20))), [DOMAIN]);
        assert_eq!(faults(of(Some(4), Some(3), None), SessionsPolicy::default()), [ACCOUNT], "of its own domain");
        assert_eq!(faults(of(Some(21), Some(21), Some(20)), SessionsPolicy::default()), [DOMAIN, ACCOUNT]);
        assert_eq!(faults(of(Some(1_000), Some(1_000), None), SessionsPolicy::default()), [""; 0]);
    }

    #[test]
    fn the_smaller_limit_holds() {
        let held = of(Some(5), None, Some(20)).under(of(Some(9), Some(3), None));
        assert_eq!(held, of(Some(5), Some(3), Some(20)));
        assert_eq!(held.under(SessionsPolicy::default()), held);
    }
}
