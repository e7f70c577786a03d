//! The maildrop as one session sees it: a listing that never changes, and the deletion marks.

use std::fmt::Debug;

use bytes::BytesMut;
use mail_types::{MessageNumber, Octets, UniqueId};

/// The messages of a maildrop at the moment of login, in their order. Whoever implements it keeps it unchanged for the
/// whole session, and may share it between sessions.
pub trait Listing: Debug + Send {
    /// How many messages there are.
    fn messages(&self) -> u32;

    /// The octets of the message at a place counted from 0, below [`Listing::messages`].
    fn octets(&self, index: usize) -> Octets;

    /// Appends the unique-id of the message at a place counted from 0, below [`Listing::messages`].
    fn put_unique_id(&self, index: usize, out: &mut BytesMut);
}

/// A message of a listing that is held in memory as it is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As RETR sends them.
    pub octets: Octets,
    /// For ever.
    pub unique_id: UniqueId,
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
}

/// Whether DELE may mark messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It may.
    Allowed,
    /// The credential of this session may only read.
    Refused,
}

/// Why a message cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// There is no message of that number.
    Unknown,
    /// It is marked as deleted.
    Marked,
}

/// Owns the marks and is the only way to see messages, so nothing can show a marked one by mistake.
#[derive(Debug)]
pub struct Maildrop {
    listing: Box<dyn Listing>,
    deletion: Deletion,
    /// One bit a message; empty until the first mark.
    marks: Vec<u64>,
    /// Of the messages that are not marked.
    messages: u32,
    octets: u64,
}

impl Maildrop {
    /// Nothing is marked.
    pub fn new(listing: impl Listing + 'static, deletion: Deletion) -> Self {
        let mut maildrop = Self { listing: Box::new(listing), deletion, marks: Vec::new(), messages: 0, octets: 0 };
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

    pub(crate) fn deletion(&self) -> Deletion {
        self.deletion
    }

    /// The octets of a message that is there and not marked.
    pub(crate) fn octets(&self, number: MessageNumber) -> Result<Octets, NoMessage> {
        if number.get() > self.listing.messages() {
            return Err(NoMessage::Unknown);
        }
        if self.is_marked(number.index()) {
            return Err(NoMessage::Marked);
        }
        Ok(self.listing.octets(number.index()))
    }

    /// Appends the unique-id of a message that [`Maildrop::octets`] or [`Maildrop::next_unmarked`] gave.
    pub(crate) fn put_unique_id(&self, number: MessageNumber, out: &mut BytesMut) {
        self.listing.put_unique_id(number.index(), out);
    }

    /// The first message at or after a place counted from 0 that is not marked.
    pub(crate) fn next_unmarked(&self, from: usize) -> Option<(MessageNumber, Octets)> {
        let index = (from..self.listing.messages() as usize).find(|&index| !self.is_marked(index))?;
        Some((MessageNumber::from_index(index)?, self.listing.octets(index)))
    }

    /// Marks a message as deleted.
    pub(crate) fn mark(&mut self, number: MessageNumber) -> Result<(), NoMessage> {
        let octets = self.octets(number)?;
        if self.marks.is_empty() {
            self.marks.resize((self.listing.messages() as usize).div_ceil(64), 0);
        }
        if let Some(word) = self.marks.get_mut(number.index() / 64) {
            *word |= 1 << (number.index() % 64);
            self.messages -= 1;
            self.octets -= octets.0;
        }
        Ok(())
    }

    /// Takes all marks away.
    pub(crate) fn unmark_all(&mut self) {
        self.marks.clear();
        self.count();
    }

    /// The messages marked as deleted, in order.
    pub(crate) fn marked(&self) -> Vec<MessageNumber> {
        (0..self.listing.messages() as usize)
            .filter(|&index| self.is_marked(index))
            .filter_map(MessageNumber::from_index)
            .collect()
    }

    fn is_marked(&self, index: usize) -> bool {
        self.marks.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
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
        let entry = |octets| Entry { octets: Octets(octets), unique_id: unique_id.clone() };
        Maildrop::new((1..=messages).map(entry).collect::<Vec<_>>(), Deletion::Allowed)
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
}
