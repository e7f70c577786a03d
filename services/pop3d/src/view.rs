//! What a session sees of its maildrop, and what its DELE does: the policy of the account or the device.

use std::sync::Arc;

use bytes::BytesMut;
use directory::{Dele, EffectivePolicy, Expire, Login, Utf8, View};
use mail_types::{MessageNumber, Octets, Timestamp};
use mailstore::{DeviceChange, DeviceView, Mailstore, Message, SessionReader, Snapshot};
use pop3_proto::{Deletion, Fault, Listing, Maildrop, MaildropPolicy, Utf8Header};

const DAY_MS: u64 = 86_400_000;

/// The messages that a session sees. The snapshot is shared with other sessions of the same maildrop.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    snapshot: Arc<Snapshot>,
    /// Their places in the snapshot; nothing where all of them are seen.
    places: Option<Arc<[u32]>>,
    policy: EffectivePolicy,
}

impl Seen {
    /// Looks at a snapshot as the policy of a login says.
    pub(crate) async fn open(mailstore: &Mailstore, login: &Login, now: Timestamp) -> Result<Self, mailstore::Error> {
        let snapshot = mailstore.snapshot(login.tenant, login.account, login.maildrop).await?;
        let policy = login.policy;
        let device = if policy.view == View::NewForDevice || policy.dele == Dele::Hide {
            mailstore.device_view(login.tenant, login.account, login.credential).await?
        } else {
            DeviceView::default()
        };
        let since = match policy.view {
            View::LastDays(days) => now.unix_ms().saturating_sub(u64::from(days) * DAY_MS),
            View::Everything | View::NewForDevice => 0,
        };
        let is_seen = |message: &Message| {
            let is_fetched = policy.view == View::NewForDevice && device.has_seen(message.uid);
            !is_fetched && !device.has_hidden(message.uid) && message.received_at().unix_ms() >= since
        };
        let messages = snapshot.messages();
        let places = (!messages.iter().all(is_seen)).then(|| {
            let numbered = (0_u32..).zip(messages);
            numbered.filter(|(_, message)| is_seen(message)).map(|(place, _)| place).collect()
        });
        Ok(Self { snapshot, places, policy })
    }

    /// A reader of what is seen.
    pub(crate) fn reader(&self, mailstore: &Mailstore, login: &Login) -> SessionReader {
        mailstore.reader(login.tenant, self.snapshot.clone(), self.places.clone())
    }

    /// The message at a place of the listing, counted from 0.
    pub(crate) fn message(&self, index: usize) -> Option<&Message> {
        let place = match &self.places {
            None => index,
            Some(places) => *places.get(index)? as usize,
        };
        self.snapshot.messages().get(place)
    }

    fn uids(&self, numbers: &[MessageNumber]) -> Vec<i64> {
        numbers.iter().filter_map(|number| self.message(number.index())).map(|message| message.uid).collect()
    }

    /// The maildrop as the protocol sees it.
    pub(crate) fn maildrop(&self, may_expunge: bool) -> Maildrop {
        // Hiding from oneself and doing nothing are no deletion.
        let may_delete = may_expunge || self.policy.dele != Dele::Expunge;
        let policy = MaildropPolicy {
            deletion: if may_delete { Deletion::Allowed } else { Deletion::Refused },
            utf8_header: match self.policy.utf8 {
                Utf8::AsStored => Utf8Header::Sent,
                Utf8::Refuse => Utf8Header::Refused,
            },
            login_delay: self.policy.login_delay_seconds,
            expire: match self.policy.expire {
                Expire::Never => pop3_proto::Expire::Never,
                Expire::Days(days) => pop3_proto::Expire::Days(days),
            },
            learns: self.policy.view == View::NewForDevice,
        };
        Maildrop::new(self.clone(), policy)
    }

    /// What QUIT changes: uids to expunge, and what the device's view learns.
    pub(crate) fn changes(
        &self,
        marked: &[MessageNumber],
        fetched: &[MessageNumber],
    ) -> (Vec<i64>, Option<DeviceChange>) {
        let marked = self.uids(marked);
        let (expunge, hidden) = match self.policy.dele {
            _ if Fault::NothingExpunged.is_on() => (Vec::new(), Vec::new()),
            _ if Fault::PolicyIgnored.is_on() => (marked, Vec::new()),
            Dele::Expunge => (marked, Vec::new()),
            Dele::Hide => (Vec::new(), marked),
            Dele::Ignore => (Vec::new(), Vec::new()),
        };
        let seen = if Fault::DeviceForgets.is_on() { Vec::new() } else { self.uids(fetched) };
        let learns = !(seen.is_empty() && hidden.is_empty());
        (expunge, learns.then_some(DeviceChange { seen, hidden }))
    }
}

impl Listing for Seen {
    fn messages(&self) -> u32 {
        let messages = self.places.as_ref().map_or(self.snapshot.messages().len(), |places| places.len());
        u32::try_from(messages).unwrap_or(u32::MAX)
    }

    fn octets(&self, index: usize) -> Octets {
        self.message(index).map(|message| message.octets).unwrap_or_default()
    }

    fn put_unique_id(&self, index: usize, out: &mut BytesMut) {
        if let Some(message) = self.message(index) {
            out.extend_from_slice(message.unique_id().as_str().as_bytes());
        }
    }

    fn has_utf8_header(&self, index: usize) -> bool {
        self.message(index).is_some_and(Message::has_utf8_header)
    }
}
