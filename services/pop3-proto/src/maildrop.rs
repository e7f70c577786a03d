//! The maildrop as one session sees it: a listing that never changes, and the deletion marks.

use std::fmt::{self, Debug};

use bytes::BytesMut;
use mail_types::{MessageNumber, Octets, UniqueId};

use crate::faults::Fault;
use crate::response::Refused;

/// The messages of a maildrop at the moment of login, in their order. Whoever implements it keeps it unchanged for the
/// whole session, and may share it between sessions.
pub trait Listing: Debug + Send {
    /// How many messages there are.
    fn messages(&self) -> u32;

    /// The octets of the message at a place counted from 0, below [`Listing::messages`].
    fn octets(&self, index: usize) -> Octets;

    /// Appends the unique-id of the message at a place counted from 0, below [`Listing::messages`].
    fn put_unique_id(&self, index: usize, out: &mut BytesMut);

    /// Whether the message at a place counted from 0 has octets beyond ASCII in its header (RFC 6532).
    fn has_utf8_header(&self, index: usize) -> bool;
}

/// A message of a listing that is held in memory as it is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As RETR sends them.
    pub octets: Octets,
    /// For ever.
    pub unique_id: UniqueId,
    /// Whether its header has octets beyond ASCII.
    pub utf8_header: bool,
}

impl Listing for Vec<Entry> {
    fn messages(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn octets(&self, index: usize) -> Octets {
        self.get(index).map(|entry| entry.octets).unwrap_or_default()
    }

    fn put_unique_id(&self, index: usize, out: &mut BytesMut) {
        if let Some(entry) = self.get(index) {
            out.extend_from_slice(entry.unique_id.as_str().as_bytes());
        }
    }

    fn has_utf8_header(&self, index: usize) -> bool {
        self.get(index).is_some_and(|entry| entry.utf8_header)
    }
}

/// Whether DELE may mark messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It may.
    Allowed,
    /// The credential of this session may only read.
    Refused,
}

/// What a client that did not say UTF8 gets of a message whose header has octets beyond ASCII (RFC 6856 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Utf8Header {
    /// The message as it is stored.
    Sent,
    /// A refusal.
    Refused,
}

/// How long mail is kept at least (RFC 2449 section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expire {
    /// Until its owner deletes it.
    Never,
    /// For so many days.
    Days(u32),
}

impl fmt::Display for Expire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("NEVER"),
            Self::Days(days) => write!(f, "{days}"),
        }
    }
}

/// What holds for the account, or the device, that logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaildropPolicy {
    /// Whether DELE may mark messages.
    pub deletion: Deletion,
    /// What is done with headers in UTF-8.
    pub utf8_header: Utf8Header,
    /// Seconds that must pass between two logins (RFC 2449 section 6.5).
    pub login_delay: u32,
    /// How long mail is kept at least.
    pub expire: Expire,
    /// Whether QUIT is an update as soon as a message was fetched, also when none is marked: the device's view learns it.
    pub learns: bool,
}

/// Nothing is restricted, delayed or expired.
impl Default for MaildropPolicy {
    fn default() -> Self {
        Self {
            deletion: Deletion::Allowed,
            utf8_header: Utf8Header::Sent,
            login_delay: 0,
            expire: Expire::Never,
            learns: false,
        }
    }
}

/// Why a message cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// There is no message of that number.
    Unknown,
    /// It is marked as deleted.
    Marked,
}

/// A set of messages: one bit each, and nothing until the first is put in.
#[derive(Debug, Default)]
struct Set(Vec<u64>);

impl Set {
    fn insert(&mut self, index: usize) {
        if self.0.len() <= index / 64 {
            self.0.resize(index / 64 + 1, 0);
        }
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// In order.
    fn numbers(&self) -> Vec<MessageNumber> {
        (0..self.0.len() * 64).filter(|&index| self.contains(index)).filter_map(MessageNumber::from_index).collect()
    }
}

/// Owns the marks and is the only way to see messages, so nothing can show a marked one by mistake.
#[derive(Debug)]
pub struct Maildrop {
    listing: Box<dyn Listing>,
    policy: MaildropPolicy,
    marked: Set,
    /// Sent by RETR to their end.
    fetched: Set,
    /// Of the messages that are not marked.
    messages: u32,
    octets: u64,
}

impl Maildrop {
    /// Nothing is marked.
    pub fn new(listing: impl Listing + 'static, policy: MaildropPolicy) -> Self {
        let mut maildrop = Self {
            listing: Box::new(listing),
            policy,
            marked: Set::default(),
            fetched: Set::default(),
            messages: 0,
            octets: 0,
        };
        maildrop.count();
        maildrop
    }

    fn count(&mut self) {
        self.messages = self.listing.messages();
        self.octets = (0..self.messages as usize).map(|index| self.listing.octets(index).0).sum();
    }

    /// The drop listing (RFC 1939 section 5, STAT): messages and octets, without those marked as deleted.
    pub fn drop_listing(&self) -> (u32, Octets) {
        (self.messages, Octets(self.octets))
    }

    pub(crate) fn policy(&self) -> &MaildropPolicy {
        &self.policy
    }

    /// The octets of a message that is there and not marked.
    pub(crate) fn octets(&self, number: MessageNumber) -> Result<Octets, NoMessage> {
        if number.get() > self.listing.messages() && !Fault::UnknownMessage.is_on() {
            return Err(NoMessage::Unknown);
        }
        if self.is_marked(number.index()) {
            return Err(NoMessage::Marked);
        }
        Ok(self.listing.octets(number.index()))
    }

    /// The octets of a message that RETR and TOP may send to a client that said UTF8, or did not.
    pub(crate) fn retrievable(&self, number: MessageNumber, utf8: bool) -> Result<Octets, Refused> {
        let octets = match self.octets(number) {
            Err(NoMessage::Marked) if Fault::RetrieveMarked.is_on() => Ok(self.listing.octets(number.index())),
            octets => octets,
        };
        let octets = octets.map_err(Refused::NoMessage)?;
        let refuses = self.policy.utf8_header == Utf8Header::Refused && !utf8;
        if refuses && self.listing.has_utf8_header(number.index()) {
            return Err(Refused::NeedsUtf8);
        }
        Ok(octets)
    }

    /// Appends the unique-id of a message that [`Maildrop::octets`] or [`Maildrop::next_unmarked`] gave.
    pub(crate) fn put_unique_id(&self, number: MessageNumber, out: &mut BytesMut) {
        if Fault::UniqueIdIsNumber.is_on() {
            return out.extend_from_slice(number.to_string().as_bytes());
        }
        self.listing.put_unique_id(number.index(), out);
    }

    /// The first message at or after a place counted from 0 that is not marked.
    pub(crate) fn next_unmarked(&self, from: usize) -> Option<(MessageNumber, Octets)> {
        let shown = |&index: &usize| Fault::ListShowsMarked.is_on() || !self.is_marked(index);
        let index = (from..self.listing.messages() as usize).find(shown)?;
        Some((MessageNumber::from_index(index)?, self.listing.octets(index)))
    }

    /// Marks a message as deleted.
    pub(crate) fn mark(&mut self, number: MessageNumber) -> Result<(), NoMessage> {
        let octets = match self.octets(number) {
            Err(NoMessage::Marked) if Fault::DeleteTwice.is_on() => return Ok(()),
            octets => octets?,
        };
        self.marked.insert(number.index());
        if !Fault::StatCountsMarked.is_on() {
            self.messages -= 1;
            self.octets -= octets.0;
        }
        Ok(())
    }

    /// Takes all marks away.
    pub(crate) fn unmark_all(&mut self) {
        if Fault::ResetKeepsMarks.is_on() {
            return;
        }
        self.marked = Set::default();
        self.count();
    }

    /// Notes that RETR sent a message to its end.
    pub(crate) fn note_fetched(&mut self, number: MessageNumber) {
        self.fetched.insert(number.index());
    }

    /// The messages marked as deleted, in order.
    pub(crate) fn marked(&self) -> Vec<MessageNumber> {
        self.marked.numbers()
    }

    /// The messages that RETR sent to their end, in order.
    pub(crate) fn fetched(&self) -> Vec<MessageNumber> {
        self.fetched.numbers()
    }

    /// What a server would tell that numbers the messages anew which are not marked: [`Fault::Renumber`].
    pub(crate) fn renumbered(&self, number: MessageNumber) -> MessageNumber {
        let before = (0..number.index()).filter(|&index| !self.is_marked(index)).count();
        MessageNumber::from_index(before).unwrap_or(number)
    }

    fn is_marked(&self, index: usize) -> bool {
        self.marked.contains(index)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn number(number: u32) -> MessageNumber {
        MessageNumber::new(NonZeroU32::new(number).unwrap())
    }

    fn maildrop(messages: u64) -> Maildrop {
        let unique_id = UniqueId::parse("x").unwrap();
        let entry =
            |octets| Entry { octets: Octets(octets), unique_id: unique_id.clone(), utf8_header: octets % 2 == 0 };
        Maildrop::new((1..=messages).map(entry).collect::<Vec<_>>(), MaildropPolicy::default())
    }

    #[test]
    fn marks_hide_messages_and_keep_numbers() {
        let mut maildrop = maildrop(130);
        assert_eq!(maildrop.drop_listing(), (130, Octets(130 * 131 / 2)));
        for marked in [1, 64, 65, 130] {
            assert_eq!(maildrop.mark(number(marked)), Ok(()));
            assert_eq!(maildrop.mark(number(marked)), Err(NoMessage::Marked));
            assert_eq!(maildrop.octets(number(marked)), Err(NoMessage::Marked));
        }
        assert_eq!(maildrop.drop_listing(), (126, Octets(130 * 131 / 2 - 1 - 64 - 65 - 130)));
        assert_eq!(maildrop.octets(number(66)), Ok(Octets(66)));
        assert_eq!(maildrop.next_unmarked(0), Some((number(2), Octets(2))));
        assert_eq!(maildrop.next_unmarked(63), Some((number(66), Octets(66))));
        assert_eq!(maildrop.next_unmarked(129), None);
        assert_eq!(maildrop.marked(), [number(1), number(64), number(65), number(130)]);
        maildrop.unmark_all();
        assert_eq!(maildrop.drop_listing(), (130, Octets(130 * 131 / 2)));
        assert_eq!(maildrop.marked(), []);
    }

    #[test]
    fn numbers_beyond_the_last_are_unknown() {
        assert_eq!(maildrop(0).octets(number(1)), Err(NoMessage::Unknown));
        assert_eq!(maildrop(2).octets(number(3)), Err(NoMessage::Unknown));
        assert_eq!(maildrop(2).mark(number(u32::MAX)), Err(NoMessage::Unknown));
        assert_eq!(maildrop(0).next_unmarked(0), None);
    }

    #[test]
    fn headers_in_utf8_are_sent_to_who_knows_them_or_where_the_policy_says_so() {
        let mut maildrop = maildrop(2);
        assert_eq!(maildrop.retrievable(number(2), false), Ok(Octets(2)));
        maildrop.policy.utf8_header = Utf8Header::Refused;
        assert_eq!(maildrop.retrievable(number(2), false), Err(Refused::NeedsUtf8));
        assert_eq!(maildrop.retrievable(number(2), true), Ok(Octets(2)));
        assert_eq!(maildrop.retrievable(number(1), false), Ok(Octets(1)));
        assert_eq!(maildrop.retrievable(number(3), true), Err(Refused::NoMessage(NoMessage::Unknown)));
    }
}
