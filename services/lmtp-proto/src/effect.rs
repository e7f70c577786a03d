//! What a session and its driver say to each other.

use bytes::Bytes;
use mail_types::{Address, ReversePath};

use crate::Refusal;

/// What is the same for all sessions of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's name in the greeting and the reply to LHLO.
    pub host: String,
    /// The most octets of a message as they are transferred, dot-stuffing undone. Announced with SIZE (RFC 1870).
    pub max_message_octets: u64,
    /// The most recipients of one transaction.
    pub max_recipients: usize,
    /// Bad commands after which the session ends; a message that was sent to its end begins the count anew.
    pub max_bad_commands: u32,
}

/// What protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Plain {
        /// Whether STARTTLS is offered.
        starttls: bool,
    },
    /// TLS.
    Tls,
}

/// What the driver has to do next.
#[derive(Debug)]
#[must_use = "a session goes on only when what it asks for is done"]
pub enum Next<R> {
    /// Write the output, then read from the peer and call [`crate::Session::input`].
    NeedInput,
    /// Write the output, then call [`crate::Session::next`] again.
    Flush,
    /// See there. Output may wait while it is done.
    Effect(Effect<R>),
    /// Write the output and close the connection. A body that has not ended is dropped.
    Close,
}

/// What only the driver can do. `R` is what it wants to keep of a recipient until the message is delivered.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<R> {
    /// Find out whether the recipient is accepted; answer with [`crate::Session::recipient`].
    Recipient {
        /// Parsed.
        address: Address,
        /// The address as it was given, without its brackets and source route.
        given: String,
        /// The octets of the message by the sender's SIZE.
        declared_octets: Option<u64>,
    },
    /// A body with at least one accepted recipient begins.
    BodyBegin(Envelope<R>),
    /// The next octets of the body, unstuffed, not mended; never empty.
    Body(Bytes),
    /// The body is complete: deliver it and answer with [`crate::Session::delivered`].
    BodyEnd,
    /// Nothing of the body is to be delivered; no [`Effect::BodyEnd`] follows.
    BodyAbort(Abort),
    /// Write the output, drop this session with whatever it has read, do the TLS handshake on the connection and go on with
    /// [`crate::Session::after_starttls`].
    StartTls,
}

/// Why a body that has begun is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// Over the limit: the session reads it to its end and refuses it for each recipient.
    TooLarge,
    /// The peer gave the transaction up.
    Reset,
}

/// What a transaction is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<R> {
    /// The name that the peer gave with LHLO: letters, digits and `.-_[]:` only.
    pub lhlo: String,
    /// The sender; empty for a notification.
    pub reverse_path: ReversePath,
    /// The octets of the message by the sender's SIZE.
    pub declared_octets: Option<u64>,
    /// The accepted recipients in order, each address once.
    pub recipients: Vec<R>,
}

/// Whether a recipient is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientReply<R> {
    /// It is, and this comes back in the [`Envelope`].
    Accepted(R),
    /// It is not.
    Refused(Refusal),
}

/// What became of the message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryReply {
    /// It is stored for good.
    Delivered {
        /// The id under which the log knows the transaction; one word.
        id: String,
    },
    /// It is not, or it is not known.
    Refused(Refusal),
}
