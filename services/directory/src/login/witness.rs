//! What came of a login, for the administrators of its account: a login is consumed by what it is tried with, and the client is told
//! less than they are.

use std::sync::{Arc, OnceLock};

use mail_types::{AccountId, CredentialId, TenantId};
use sasl::Material;

use super::row::Account;
use crate::RefusalReason;

/// Tells, after a login was refused, whose it was and why. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    account: Option<(TenantId, AccountId)>,
    transcribe: bool,
    /// Of a proof, where nothing better is known.
    exchange: OnceLock<RefusalReason>,
    reason: OnceLock<RefusalReason>,
    credential: OnceLock<CredentialId>,
    new_secret: OnceLock<bool>,
}

impl Witness {
    pub(super) fn of(account: Option<&Account>) -> Self {
        let seen = Seen {
            account: account.map(|account| (account.tenant, account.id)),
            transcribe: account.is_some_and(|account| account.transcribe),
            ..Seen::default()
        };
        Self(Arc::new(seen))
    }

    /// The account, if there is one of that name.
    pub fn account(&self) -> Option<(TenantId, AccountId)> {
        self.0.account
    }

    /// Whether its sessions are written down.
    pub fn transcribes(&self) -> bool {
        self.0.transcribe
    }

    /// Why the login was refused, as far as the directory refused it.
    pub fn reason(&self) -> Option<RefusalReason> {
        self.0.reason.get().or(self.0.exchange.get()).copied()
    }

    /// The credential that was proved, or would have been if it held.
    pub fn credential(&self) -> Option<CredentialId> {
        self.0.credential.get().copied().filter(|credential| credential.0 != 0)
    }

    /// Whether the secret was not seen from there before.
    pub fn is_new_secret(&self) -> bool {
        self.0.new_secret.get().copied().unwrap_or(false)
    }

    /// The first reason stands: it is the narrowest.
    pub(super) fn note(&self, reason: RefusalReason) {
        let _ = self.0.reason.set(reason);
    }

    /// Nothing is kept that an exchange could go on with.
    pub(super) fn nothing_offered(&self, material: Material) {
        let _ = self.0.exchange.set(match material {
            Material::Scram(_) => RefusalReason::ScramUnavailable,
            Material::Secrets => RefusalReason::LegacyUnavailable,
        });
    }

    pub(super) fn proved(&self, credential: CredentialId) {
        let _ = self.0.credential.set(credential);
    }

    /// A secret that was tried and is wrong.
    pub(super) fn wrong(&self, is_new: bool) {
        let _ = self.0.new_secret.set(is_new);
        if self.0.exchange.get().is_none() {
            let _ = self.0.reason.set(RefusalReason::WrongProof);
        }
    }
}
