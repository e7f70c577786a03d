//! What the API asks of the mailstore to find what was expunged and to bring it back (role admin).

use chrono::{DateTime, Utc};
use mail_types::{AccountId, SessionUuid, TenantId};
use runtime::fail_point;
use sqlx::types::JsonValue;

use crate::catalog::restore::Mode;
use crate::catalog::{restore, session};
use crate::{Error, Expunged, ExpungedFilter, Mailstore, PastSession, Restored, RestoredBy, Selection};

impl Mailstore {
    /// A page of an account's expunged messages, those expunged last first, after the moment and uid that the last page ended
    /// with.
    pub async fn expunged(
        &self,
        tenant: TenantId,
        account: AccountId,
        filter: ExpungedFilter,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
    ) -> Result<Vec<Expunged>, Error> {
        restore::page(&self.pool, tenant, account, filter, after, limit).await
    }

    /// Makes expunged messages live again, at their old place and with their old unique-id: all of the selection or, where it
    /// does not fit into the quota, none. What is not expunged (any more) is passed over, so a repeat is a no-op. The audit event
    /// is written in the same transaction.
    ///
    /// A device whose view is what it has not fetched yet sees again what it expunged itself. What a device hid is not undone:
    /// which session hid it is not kept.
    pub async fn restore(
        &self,
        tenant: TenantId,
        account: AccountId,
        selection: &Selection,
        by: &RestoredBy,
    ) -> Result<Restored, Error> {
        fail_point::reach("restore.before_commit").await;
        let restored = restore::restore(&self.pool, tenant, account, selection, by, Mode::Do).await;
        fail_point::reach("restore.after_commit").await;
        restored.map(|(restored, _)| restored)
    }

    /// What [`Mailstore::restore`] would come to, and what its audit event would say; nothing is changed.
    pub async fn try_restore(
        &self,
        tenant: TenantId,
        account: AccountId,
        selection: &Selection,
        by: &RestoredBy,
    ) -> Result<(Restored, Option<JsonValue>), Error> {
        restore::restore(&self.pool, tenant, account, selection, by, Mode::Try).await
    }

    /// A page of an account's past sessions, those begun last first, after the moment and session that the last page ended with.
    pub async fn sessions(
        &self,
        tenant: TenantId,
        account: AccountId,
        after: Option<(DateTime<Utc>, SessionUuid)>,
        limit: u32,
    ) -> Result<Vec<PastSession>, Error> {
        session::page(&self.pool, tenant, account, after, limit).await
    }

    /// Whether such a session of the account is known.
    pub async fn has_session(&self, tenant: TenantId, account: AccountId, session: SessionUuid) -> Result<bool, Error> {
        session::exists(&self.pool, tenant, account, session).await
    }
}
