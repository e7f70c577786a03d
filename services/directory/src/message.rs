//! One message by its unique-id, as administrators see it: metadata, never content. (Lists of messages are the mailstore's.)

use chrono::{DateTime, Utc};
use mail_types::{Address, Guid, Octets, UniqueId};
use uuid::Uuid;

use crate::error::inconsistent;
use crate::{Caller, Directory, Error, Result, account, shown};

/// One live message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEntry {
    /// As UIDL shows it.
    pub unique_id: UniqueId,
    /// As LIST shows them.
    pub octets: Octets,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    octets: i32,
    guid: Uuid,
    legacy_id: Option<String>,
    received_at: Option<DateTime<Utc>>,
}

impl MessageRow {
    fn entry(self) -> Result<MessageEntry> {
        let guid = Guid::from_u128(self.guid.as_u128());
        let unique_id = match self.legacy_id {
            Some(legacy) => UniqueId::parse(&legacy).map_err(|_| inconsistent("message_extras", "legacy_id"))?,
            None => guid.unique_id(),
        };
        let ms = i64::try_from(guid.received_at().unix_ms()).unwrap_or_default();
        Ok(MessageEntry {
            unique_id,
            octets: Octets(shown::unsigned(self.octets.into(), "messages", "octets")?),
            received_at: self.received_at.or_else(|| DateTime::from_timestamp_millis(ms)).unwrap_or_default(),
        })
    }
}

impl Directory {
    /// One live message of an account.
    pub async fn message(&self, caller: &Caller, address: &Address, unique_id: &UniqueId) -> Result<MessageEntry> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        // One of ours is a guid; one of another server's is found by the index on it.
        let guid = Guid::from_unique_id(unique_id.as_str()).map(|guid| Uuid::from_u128(guid.as_u128()));
        let row = sqlx::query_as::<_, MessageRow>(
            "SELECT m.octets, m.guid, e.legacy_id, e.received_at
               FROM restante.messages m
               LEFT JOIN restante.message_extras e ON e.tenant_id = m.tenant_id AND e.account_id = m.account_id AND e.uid = m.uid
              WHERE m.tenant_id = $1 AND m.account_id = $2 AND (e.legacy_id = $4 OR (m.guid = $3 AND e.legacy_id IS NULL))",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(guid)
        .bind(unique_id.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        row.ok_or(Error::NotFound)?.entry()
    }
}
