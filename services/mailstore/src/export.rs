//! Export: what a maildrop holds at one moment, in order, read out as RETR sends it (role worker; through the API page by page, role
//! admin).

use std::sync::Arc;

use mail_types::{AccountId, Address, TenantId, TenantSlug, Timestamp, UniqueId};

use crate::ahead::SessionReader;
use crate::catalog::{import, reading};
use crate::read::{BodyReader, Part};
use crate::snapshot::{Message, Snapshot};
use crate::{Error, Mailstore, Target};

/// The live messages of a maildrop, to be read one after the other.
#[derive(Debug)]
pub struct Exported {
    snapshot: Arc<Snapshot>,
    received: Vec<Option<Timestamp>>,
    reader: SessionReader,
}

impl Exported {
    /// In the maildrop's order.
    pub fn messages(&self) -> &[Message] {
        self.snapshot.messages()
    }

    /// When a message was received: by the server that it was imported from, where that is known.
    pub fn received_at(&self, index: usize) -> Option<Timestamp> {
        let own = || self.messages().get(index).map(Message::received_at);
        self.received.get(index).copied().flatten().or_else(own)
    }

    /// Opens a message; `None` if there is none at this place.
    pub async fn open(&mut self, index: usize) -> Option<Result<BodyReader, Error>> {
        self.reader.open(index, Part::Whole).await
    }
}

impl Mailstore {
    /// The account whose own address this is; aliases and catch-alls lead nowhere (role worker).
    pub async fn account(&self, address: &Address) -> Result<Option<Target>, Error> {
        import::account(&self.pool, address).await
    }

    /// The accounts of a tenant with their addresses, in order; `None` if there is no such tenant (role worker).
    pub async fn accounts(&self, tenant: &TenantSlug) -> Result<Option<Vec<(String, Target)>>, Error> {
        import::accounts(&self.pool, tenant).await
    }

    /// What a maildrop holds now (role worker).
    pub async fn export(&self, target: Target) -> Result<Exported, Error> {
        let messages = import::whole(&self.pool, target).await?;
        Ok(self.exported(target.tenant, target.account, messages))
    }

    /// A page of what a maildrop holds, after a uid, to be read through the API (role admin).
    pub async fn read_page(
        &self,
        tenant: TenantId,
        account: AccountId,
        after_uid: i64,
        limit: u32,
    ) -> Result<Exported, Error> {
        let messages = reading::page(&self.pool, tenant, account, after_uid, limit).await?;
        Ok(self.exported(tenant, account, messages))
    }

    /// One live message by its unique-id, to be read through the API (role admin); none if there is no such.
    pub async fn read_one(
        &self,
        tenant: TenantId,
        account: AccountId,
        unique_id: &UniqueId,
    ) -> Result<Exported, Error> {
        let messages = reading::one(&self.pool, tenant, account, unique_id).await?;
        Ok(self.exported(tenant, account, messages))
    }

    fn exported(&self, tenant: TenantId, account: AccountId, messages: Vec<reading::ToRead>) -> Exported {
        let (messages, received) = messages.into_iter().unzip();
        let snapshot = Arc::new(Snapshot::of(account, messages));
        Exported { reader: self.reader(tenant, snapshot.clone(), None), snapshot, received }
    }
}
