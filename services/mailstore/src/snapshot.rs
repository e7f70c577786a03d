//! What a session sees: the list of messages at login, in order, the same to its end. Lists are held between sessions; login
//! says where the maildrop stands, and with the same shape only what was appended is fetched.

use std::collections::HashMap;
use std::sync::Arc;

use mail_types::{AccountId, Guid, History, MaildropState, Octets, SegmentUuid, TenantId, Timestamp, UniqueId};
use moka::sync::Cache;
use runtime::database::Pool;

use crate::Error;
use crate::bodies::segment::Place;
use crate::catalog::maildrop;

/// A message of a snapshot: what is listed of it, and where its octets are.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its place in the maildrop's order; never shown to a client.
    pub uid: i64,
    /// As RETR sends it, before stuffing.
    pub octets: Octets,
    pub(crate) guid: Guid,
    pub(crate) segment: SegmentUuid,
    pub(crate) place: Place,
    pub(crate) traits: u16,
    pub(crate) extras: Option<Box<Extras>>,
}

/// What few messages have.
#[derive(Debug, Clone)]
pub(crate) struct Extras {
    /// This copy's own first lines.
    pub(crate) prefix: String,
    /// Another server's unique-id.
    pub(crate) unique_id: Option<UniqueId>,
}

impl Message {
    /// What UIDL shows, the same for ever.
    pub fn unique_id(&self) -> UniqueId {
        self.extras.as_ref().and_then(|extras| extras.unique_id.clone()).unwrap_or_else(|| self.guid.unique_id())
    }

    /// A name for a file of it: letters and digits, the same for ever and no other message's. (A unique-id may hold a slash.)
    pub fn name(&self) -> String {
        self.guid.unique_id().as_str().to_owned()
    }

    /// When it was received, by the clock of who received it.
    pub fn received_at(&self) -> Timestamp {
        self.guid.received_at()
    }

    /// Whether its header has octets beyond ASCII (RFC 6532).
    pub fn has_utf8_header(&self) -> bool {
        self.traits & crate::mend::traits::HEAD_UTF8 != 0
    }

    /// Whether any line may begin with a dot. Where none does, RETR need not look for them.
    pub fn may_need_stuffing(&self) -> bool {
        use crate::mend::traits::{BODY_DOT, HEAD_DOT};
        self.traits & (BODY_DOT | HEAD_DOT) != 0
    }
}

/// The messages at one moment.
#[derive(Debug)]
pub struct Snapshot {
    history: History,
    account: AccountId,
    shape: i64,
    next_uid: i64,
    messages: Vec<Message>,
}

impl Snapshot {
    /// In the maildrop's order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whose it is.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// The same messages, some of them in other places; nothing that a client sees differs.
    pub(crate) fn moved(&self, places: &HashMap<i64, (SegmentUuid, Place)>) -> Self {
        let mut messages = self.messages.clone();
        for message in &mut messages {
            if let Some(&(segment, place)) = places.get(&message.uid) {
                (message.segment, message.place) = (segment, place);
            }
        }
        Self { messages, ..*self }
    }

    /// A list that stands for itself: it is held for nobody, and nothing is appended to it.
    pub(crate) fn of(account: AccountId, messages: Vec<Message>) -> Self {
        Self { account, history: History::default(), shape: 0, next_uid: 0, messages }
    }

    /// About what it takes in memory.
    fn weight(&self) -> u32 {
        let extras: usize = self.messages.iter().filter_map(|m| m.extras.as_ref()).map(|e| e.prefix.len() + 64).sum();
        u32::try_from(size_of::<Self>() + self.messages.len() * size_of::<Message>() + extras).unwrap_or(u32::MAX)
    }
}

/// Lists held between sessions, the least used dropped first.
#[derive(Debug, Clone)]
pub(crate) struct Lists(Cache<(TenantId, AccountId), Arc<Snapshot>>);

impl Lists {
    pub(crate) fn new(octets: u64) -> Self {
        Self(Cache::builder().weigher(|_, list: &Arc<Snapshot>| list.weight()).max_capacity(octets).build())
    }

    /// The list of a maildrop that stands at `state`: held, held and its tail fetched, or fetched.
    pub(crate) async fn open(
        &self,
        pool: &Pool,
        tenant: TenantId,
        account: AccountId,
        state: MaildropState,
    ) -> Result<Arc<Snapshot>, Error> {
        let key = (tenant, account);
        let held = self.0.get(&key).filter(|held| {
            held.history == state.history && held.shape == state.shape && held.next_uid <= state.next_uid
        });
        if let Some(held) = &held
            && held.next_uid == state.next_uid
        {
            return Ok(held.clone());
        }
        let mut messages = held.as_ref().map_or_else(Vec::new, |held| held.messages.clone());
        let after = held.as_ref().map_or(0, |held| held.next_uid - 1);
        if state.messages > 0 {
            messages.extend(maildrop::list(pool, tenant, account, after).await?);
            // What came after the login is not in this session's snapshot.
            messages.retain(|m| m.uid < state.next_uid);
        }
        let snapshot = Arc::new(Snapshot {
            account,
            history: state.history,
            shape: state.shape,
            next_uid: state.next_uid,
            messages,
        });
        self.0.insert(key, snapshot.clone());
        Ok(snapshot)
    }
}
