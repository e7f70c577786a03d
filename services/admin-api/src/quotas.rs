//! Quotas in bodies: of a new thing, and of a change. What a level does not have is an unknown field.

use directory::{Quota, QuotaChange};

use crate::fields::{Fields, count, integer, octets};

/// Whose quota it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Tenant,
    Domain,
    Account,
}

/// `quota` of a new thing.
pub(crate) fn new_quota(fields: &mut Fields, of: Of) -> Quota {
    quota_change(fields, of).apply(Quota::default())
}

/// `quota` of a change; null is no limit at all.
pub(crate) fn quota_change(fields: &mut Fields, of: Of) -> QuotaChange {
    let most_messages = if of == Of::Account { i32::MAX.into() } else { i64::MAX };
    fields.nested("quota", QuotaChange::UNLIMITED, |quota| QuotaChange {
        octets: quota.change("octets", octets),
        messages: quota.change("messages", integer(0, most_messages)),
        accounts: if of == Of::Account { None } else { quota.change("accounts", count) },
        domains: if of == Of::Tenant { quota.change("domains", count) } else { None },
        deliveries_per_hour: quota.change("deliveries_per_hour", count),
    })
}
