//! What a tenant, a domain or an account may use. A child's quota is never larger than its parent's, whichever is changed; the
//! sums of domains and tenants are enforced as well, so that many small children do not make a large one.

use sqlx::PgConnection;

use crate::{Error, FieldError, Result};

/// What may be used; `None` is no limit. An account has no accounts and no domains, a domain has no domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Octets of live mail.
    pub octets: Option<i64>,
    /// Live messages.
    pub messages: Option<i64>,
    /// Accounts that are not deleted.
    pub accounts: Option<i32>,
    /// Domains, claimed or verified, that are not deleted.
    pub domains: Option<i32>,
    /// Messages that are delivered in an hour: of an account in any, of a domain or a tenant in one of the clock's.
    pub deliveries_per_hour: Option<i32>,
}

/// What to change of a quota: `None` leaves it, `Some(None)` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaChange {
    /// Octets of live mail.
    pub octets: Option<Option<i64>>,
    /// Live messages.
    pub messages: Option<Option<i64>>,
    /// Accounts.
    pub accounts: Option<Option<i32>>,
    /// Domains.
    pub domains: Option<Option<i32>>,
    /// Messages that are delivered in an hour.
    pub deliveries_per_hour: Option<Option<i32>>,
}

impl QuotaChange {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        octets: Some(None),
        messages: Some(None),
        accounts: Some(None),
        domains: Some(None),
        deliveries_per_hour: Some(None),
    };

    /// The quota with the change made.
    #[must_use]
    pub fn apply(&self, to: Quota) -> Quota {
        Quota {
            octets: self.octets.unwrap_or(to.octets),
            messages: self.messages.unwrap_or(to.messages),
            accounts: self.accounts.unwrap_or(to.accounts),
            domains: self.domains.unwrap_or(to.domains),
            deliveries_per_hour: self.deliveries_per_hour.unwrap_or(to.deliveries_per_hour),
        }
    }
}

impl Quota {
    /// Refuses what is larger than the parent's; `whose` names it.
    pub(crate) fn check_within(&self, parent: &Self, whose: &str) -> Result<()> {
        let wide = |value: Option<i32>| value.map(i64::from);
        let errors: Vec<_> = [
            ("octets", self.octets, parent.octets),
            ("messages", self.messages, parent.messages),
            ("accounts", wide(self.accounts), wide(parent.accounts)),
            ("deliveries_per_hour", wide(self.deliveries_per_hour), wide(parent.deliveries_per_hour)),
        ]
        .into_iter()
        .filter_map(|(field, own, most)| match (own, most) {
            (Some(own), Some(most)) if own > most => Some(FieldError::new(
                format!("/quota/{field}"),
                "out_of_range",
                format!("must be at most {most}, the {whose}'s"),
            )),
            _ => None,
        })
        .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
    }

    /// Refuses a quota of a tenant (`domain` is `None`) or a domain that is smaller than a child's. Looks only at what was lowered.
    pub(crate) async fn check_over_children(
        &self,
        before: &Self,
        tx: &mut PgConnection,
        tenant: i32,
        domain: Option<i64>,
    ) -> Result<()> {
        let is_lower = |own: Option<i64>, was: Option<i64>| own.is_some_and(|own| was.is_none_or(|was| own < was));
        let wide = |value: Option<i32>| value.map(i64::from);
        let lower = is_lower(self.octets, before.octets)
            || is_lower(self.messages, before.messages)
            || is_lower(wide(self.accounts), wide(before.accounts))
            || is_lower(wide(self.deliveries_per_hour), wide(before.deliveries_per_hour));
        if !lower {
            return Ok(());
        }
        let (octets, messages, accounts, hourly): (Option<i64>, Option<i64>, Option<i32>, Option<i32>) = sqlx::query_as(
            "SELECT max(octets), max(messages), max(accounts), max(hourly) FROM (
               SELECT a.max_octets, a.max_messages::bigint, NULL::integer, a.max_hourly FROM restante.accounts a
                WHERE a.tenant_id = $1 AND a.status <> 3 AND ($2::bigint IS NULL OR a.domain_id = $2)
               UNION ALL
               SELECT d.max_octets, d.max_messages, d.max_accounts, d.max_hourly FROM restante.domains d
                WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND $2::bigint IS NULL) AS c (octets, messages, accounts, hourly)",
        )
        .bind(tenant)
        .bind(domain)
        .fetch_one(tx)
        .await?;
        let errors: Vec<_> = [
            ("octets", self.octets, octets),
            ("messages", self.messages, messages),
            ("accounts", wide(self.accounts), wide(accounts)),
            ("deliveries_per_hour", wide(self.deliveries_per_hour), wide(hourly)),
        ]
        .into_iter()
        .filter_map(|(field, own, child)| match (own, child) {
            (Some(own), Some(child)) if child > own => Some(FieldError::new(
                format!("/quota/{field}"),
                "out_of_range",
                format!("must be at least {child}: something beneath may use so much"),
            )),
            _ => None,
        })
        .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
    }

    /// As the audit trail has it.
    pub(crate) fn audited(&self) -> serde_json::Value {
        serde_json::json!({
            "octets": self.octets, "messages": self.messages, "accounts": self.accounts, "domains": self.domains,
            "deliveries_per_hour": self.deliveries_per_hour,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_within_its_parent() {
        let parent = Quota { octets: Some(100), deliveries_per_hour: Some(5), ..Quota::default() };
        let child = |octets| Quota { octets, ..Quota::default() };
        assert!(child(None).check_within(&parent, "tenant").is_ok());
        assert!(child(Some(100)).check_within(&parent, "tenant").is_ok());
        let Err(Error::Invalid(errors)) = child(Some(101)).check_within(&parent, "tenant") else { panic!() };
        assert_eq!(errors, [FieldError::new("/quota/octets", "out_of_range", "must be at most 100, the tenant's")]);
        assert!(child(Some(101)).check_within(&Quota::default(), "tenant").is_ok());
    }
}
