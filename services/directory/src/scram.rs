//! What SCRAM needs of an account: one salt and one iteration count, which the client is told before it proves anything, and
//! the keys of each credential. Who is unknown has a salt too: made from the name and the master key, so that it is the same
//! each time and at every frontend.

use std::num::NonZeroU32;

use mail_types::{Random, Secret};
use runtime::keys::MasterKeys;
use sasl::{ScramHash, ScramKeys};
use sqlx::PgConnection;

use crate::error::inconsistent;
use crate::{Account, Result, token};

/// The iteration count of new accounts, which is the column's default (RFC 7677 section 4: at least 4096).
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);
/// Octets of a salt.
const SALT: usize = 16;
const LABEL: &str = "restante/scram-salt/1";

/// An account's salt and iteration count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Salt {
    pub(crate) octets: Vec<u8>,
    pub(crate) iterations: NonZeroU32,
}

/// The keys of one secret, as they are kept.
#[derive(Debug, Clone)]
pub(crate) struct StoredKeys {
    pub(crate) sha256: Vec<u8>,
    pub(crate) sha1: Vec<u8>,
}

impl Salt {
    /// Of a new account.
    pub(crate) fn new(random: &dyn Random) -> Self {
        Self { octets: random.octets16().to_vec(), iterations: ITERATIONS }
    }

    /// Of an account's columns.
    pub(crate) fn of_row(octets: Option<Vec<u8>>, iterations: Option<i32>) -> Result<Self> {
        let iterations = iterations.and_then(|count| u32::try_from(count).ok()).and_then(NonZeroU32::new);
        match (octets.filter(|octets| !octets.is_empty()), iterations) {
            (Some(octets), Some(iterations)) => Ok(Self { octets, iterations }),
            _ => Err(inconsistent("accounts", "scram_salt")),
        }
    }

    /// Of an account that there is.
    pub(crate) async fn of_account(tx: &mut PgConnection, account: &Account) -> Result<Self> {
        let (octets, iterations): (Vec<u8>, i32) = sqlx::query_as(
            "SELECT scram_salt, scram_iterations FROM restante.accounts WHERE tenant_id = $1 AND account_id = $2",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .fetch_one(tx)
        .await?;
        Self::of_row(Some(octets), Some(iterations))
    }

    /// Of a name that is no account's. Under the oldest master key: a new one changes no account's salt, so it must not change
    /// these either.
    pub(crate) fn made_up(keys: &MasterKeys, name: &str) -> Result<Self> {
        let oldest = keys.ids().last().and_then(|id| keys.derive_under(id, LABEL));
        let mac = token::hmac(&oldest.unwrap_or_else(|| keys.derive(LABEL)), name.as_bytes())?;
        Ok(Self { octets: mac.into_iter().take(SALT).collect(), iterations: ITERATIONS })
    }

    /// The keys of a secret. Takes milliseconds: not for the reactor's threads.
    pub(crate) fn keys(&self, secret: &Secret) -> StoredKeys {
        let derive = |hash| ScramKeys::derive(hash, secret, &self.octets, self.iterations).to_octets();
        StoredKeys { sha256: derive(ScramHash::Sha256), sha1: derive(ScramHash::Sha1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_salts_are_stable() {
        let keys = |text: &str| MasterKeys::parse(&Secret::from(text)).unwrap();
        let one = "one:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let two = "two:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let salt = |text: &str, name| Salt::made_up(&keys(text), name).unwrap();
        let nobody = salt(one, "nobody@acme.test");
        assert_eq!((nobody.octets.len(), nobody.iterations.get()), (16, 4096));
        assert_eq!(nobody, salt(one, "nobody@acme.test"));
        assert_eq!(nobody, salt(&format!("{two},{one}"), "nobody@acme.test"), "after a new master key");
        assert_ne!(nobody, salt(one, "noone@acme.test"));
        assert_ne!(nobody, salt(two, "nobody@acme.test"));
    }

    #[test]
    fn a_row_has_a_salt() {
        assert!(Salt::of_row(Some(vec![1]), Some(4096)).is_ok());
        for (octets, iterations) in
            [(None, Some(1)), (Some(vec![]), Some(1)), (Some(vec![1]), None), (Some(vec![1]), Some(0))]
        {
            assert!(Salt::of_row(octets, iterations).is_err());
        }
    }
}
