//! Where a recipient's address leads: an account, the accounts of an alias, or the domain's catch-all.

use mail_types::{AccountId, Address, TenantId};
use runtime::database::asked;

use crate::error::inconsistent;
use crate::{Directory, Result};

/// One maildrop that a recipient leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whose account it is.
    pub tenant: TenantId,
    /// The account.
    pub account: AccountId,
}

/// What a recipient's address came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// These maildrops, at least one; the recipient succeeds for all of them or for none.
    Known(Vec<Target>),
    /// Nobody here: 550 5.1.1.
    Unknown,
    /// A maildrop, or its tenant, is full.
    OverQuota {
        /// Whether the policy asks the sender to try again (452 4.2.2) rather than to give up (552 5.2.2).
        defer: bool,
    },
    /// The tenant is suspended: a temporary refusal.
    Suspended,
    /// The account, its domain or its tenant gets no more mail in this hour: a temporary refusal.
    TooFast,
}

impl Directory {
    /// Resolves a recipient; `declared_octets` is what the sender said the message has (RFC 1870), if it did.
    pub async fn resolve(&self, address: &Address, declared_octets: Option<u64>) -> Result<Resolution> {
        let declared = i64::try_from(declared_octets.unwrap_or(0)).unwrap_or(i64::MAX / 2);
        let key = address.local.key();
        let (verdict, tenant, accounts): (i16, Option<i32>, Option<Vec<i64>>) = asked(&self.pool, || {
            sqlx::query_as("SELECT verdict, tenant_id, account_ids FROM restante.lmtp_resolve_1($1, $2, $3)")
                .bind(address.domain.as_str())
                .bind(key.as_str())
                .bind(declared)
                .fetch_one(&self.pool)
        })
        .await?;
        match verdict {
            1 => {
                let tenant = tenant.map(TenantId).ok_or_else(|| inconsistent("lmtp_resolve_1", "tenant_id"))?;
                let accounts = accounts.ok_or_else(|| inconsistent("lmtp_resolve_1", "account_ids"))?;
                let target = |account| Target { tenant, account: AccountId(account) };
                Ok(Resolution::Known(accounts.into_iter().map(target).collect()))
            }
            3 => Ok(Resolution::OverQuota { defer: false }),
            4 => Ok(Resolution::Unknown),
            5 => Ok(Resolution::Suspended),
            6 => Ok(Resolution::OverQuota { defer: true }),
            7 => Ok(Resolution::TooFast),
            _ => Err(inconsistent("lmtp_resolve_1", "verdict")),
        }
    }
}
