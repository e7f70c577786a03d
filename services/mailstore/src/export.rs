//! Export: what a maildrop holds at one moment, in order, read out as RETR sends it (role worker).

use std::sync::Arc;

use mail_types::{Address, TenantSlug, Timestamp};

use crate::ahead::SessionReader;
use crate::catalog::import;
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
        let (messages, received) = import::whole(&self.pool, target).await?.into_iter().unzip();
        let snapshot = Arc::new(Snapshot::of(target.account, messages));
        Ok(Exported { reader: self.reader(target.tenant, snapshot.clone(), None), snapshot, received })
    }
}
