//! Values that cannot be wrong: everything a peer, an operator or the database says is parsed once into one of these
//! types, and from then on the type is the proof. No I/O, no clock, no randomness of its own: both are passed in through
//! [`Clock`] and [`Random`].
//!
//! The words are those of RFC 1939 (message-number, unique-id, octets) and of the service (tenant, domain, account).

mod address;
mod clock;
mod ids;
mod message;
mod random;
mod secret;
mod time;

pub use address::{Address, AddressError, DomainName, LocalKey, LocalPart, ReversePath};
pub use clock::{Clock, SystemClock, Timestamp};
pub use ids::{AccountId, CredentialId, DomainId, Guid, SegmentUuid, SessionUuid, TenantId, TenantSlug};
pub use message::{History, MaildropState, MessageNumber, Octets, UniqueId};
pub use random::{Random, SystemRandom};
pub use secret::Secret;
pub use time::rfc5322_date;

/// A value that does not fit its type: which, and the rule it broke. The text is fit for an API's error detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct Invalid {
    /// What the value was meant to be: `tenant slug`, `unique-id`.
    pub what: &'static str,
    /// The rule it broke, as the end of a sentence: `must not be empty`.
    pub rule: &'static str,
}
