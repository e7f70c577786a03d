//! SASL mechanisms, the server's side, without I/O (RFC 4422).
//!
//! A protocol asks [`Mechanism::parse`] which mechanism a client named, begins an [`Exchange`] with the client's initial
//! response if it sent one, and follows the [`Step`]s: send a challenge and come back with the answer, or check the
//! credentials that came out. An exchange is consumed by every step, so a finished one cannot be continued.
//!
//! Responses and challenges are the base64 text of POP3 (RFC 5034) and SMTP (RFC 4954), without their framing.

mod exchange;
pub mod plain;

pub use exchange::{Exchange, SaslError, Step};
pub use plain::PlainCredentials;

/// The longest response that is read, in octets of base64 text (the bound of RFC 4954 section 4, kept for POP3 too).
pub const MAX_RESPONSE: usize = 12_288;

/// The mechanisms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// Login name and password in clear (RFC 4616): only over TLS, unless an operator says otherwise.
    Plain,
}

impl Mechanism {
    /// All of them, in the order in which they are announced.
    pub const ALL: [Self; 1] = [Self::Plain];

    /// By its name, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
        }
    }
}
