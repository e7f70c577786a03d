//! RFC 1939's words for a message in a maildrop.

use std::fmt;
use std::num::NonZeroU32;

use crate::Invalid;

/// A message's number in one session: 1..n (RFC 1939 section 4). Never 0, so 0 cannot mean message 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(NonZeroU32);

impl MessageNumber {
    /// From a number that is not 0.
    pub const fn new(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// The number of the message at a place counted from 0; `None` beyond `u32`.
    pub fn from_index(index: usize) -> Option<Self> {
        let number = u32::try_from(index).ok()?.checked_add(1)?;
        NonZeroU32::new(number).map(Self)
    }

    /// The place counted from 0.
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The octets of a message as RETR sends it, before dot-stuffing and without the termination octet's line (RFC 1939 section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Octets(pub u64);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A unique-id: 1 to 70 octets in 0x21..0x7E, the same for ever (RFC 1939 section 7, UIDL).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UniqueId(Box<str>);

impl UniqueId {
    /// Parses a unique-id, of ours or of another server.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let what = "unique-id";
        if text.is_empty() || text.len() > 70 {
            return Err(Invalid { what, rule: "must have 1 to 70 characters" });
        }
        if !text.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(Invalid { what, rule: "must consist of printable ASCII characters without spaces" });
        }
        Ok(Self(text.into()))
    }

    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UniqueId({})", self.0)
    }
}

/// Which catalog spoke, and in which run of its server. A database that was restored begins another history: what a process holds of
/// an earlier one must not be taken for the same, whatever its numbers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct History(u128, u64);

impl History {
    /// From the catalog's incarnation and the name of its server's timeline and run, which is only compared.
    pub fn new(incarnation: u128, run: &str) -> Self {
        // FNV-1a: a handful of names has to differ, nobody chooses them.
        let hash = run.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(incarnation, hash)
    }
}

/// Where a maildrop stands, as login reads it. With the same `shape` and a larger `next_uid` nothing but appends happened
/// since: a process that holds the list needs only its tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaildropState {
    /// Numbers of different histories are not to be compared.
    pub history: History,
    /// Grows with anything but an append.
    pub shape: i64,
    /// The place the next message takes in the order.
    pub next_uid: i64,
    /// Live messages.
    pub messages: u32,
    /// Their octets.
    pub octets: Octets,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_differ_by_catalog_and_by_run() {
        let one = History::new(1, "00000001@1.5");
        assert_eq!(one, History::new(1, "00000001@1.5"));
        assert_ne!(one, History::new(2, "00000001@1.5"), "recovered");
        assert_ne!(one, History::new(1, "00000002@1.5"), "another timeline");
        assert_ne!(one, History::new(1, "00000001@2.5"), "another start");
    }

    #[test]
    fn message_numbers_begin_at_one() {
        assert_eq!(MessageNumber::from_index(0).map(MessageNumber::get), Some(1));
        assert_eq!(MessageNumber::from_index(0).map(MessageNumber::index), Some(0));
        assert_eq!(MessageNumber::from_index(usize::MAX), None);
    }

    #[test]
    fn unique_ids_are_printable_and_short() {
        assert!(UniqueId::parse("a").is_ok());
        assert!(UniqueId::parse(&"~".repeat(70)).is_ok());
        for bad in ["", " ", "a b", "\u{e9}", &"x".repeat(71)] {
            assert!(UniqueId::parse(bad).is_err(), "{bad}");
        }
    }
}
