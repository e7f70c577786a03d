//! LMTP, server side, as a state machine: octets and answers in, octets and effects out. No I/O, no clock, no database.
//!
//! [`Session`] is the machine; the driver in `lmtpd` feeds it what the peer sends, writes what it puts out and does what its
//! [`Effect`]s ask for.
//!
//! ```text
//!               LHLO           MAIL              RCPT            DATA, BDAT              the end
//!   Connected ───────▶ Ready ───────▶ Envelope ───────▶ … ───────────────▶ Body ───────────────────▶ Delivering
//!                        ▲   ◀──────── RSET, LHLO ────────────────────────── │                           │
//!                        └───────────────────── one reply for each accepted recipient ◀──────────────────┘
//! ```
//!
//! What it speaks: LMTP (RFC 2033, on RFC 5321), SIZE (RFC 1870), PIPELINING (RFC 2920), CHUNKING without BINARYMIME (RFC 3030),
//! STARTTLS (RFC 3207), ENHANCEDSTATUSCODES (RFC 2034, RFC 3463), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531).
//!
//! Three rules shape it:
//! - only CRLF `.` CRLF ends the body of a DATA; nothing that a body holds is ever read as a command, also when the body is refused
//!   (it is read to its end first);
//! - what arrived in the clear after STARTTLS is dropped with the session that read it;
//! - memory is bounded whatever the peer sends: by the longest line, the most recipients, one piece of a body, and
//!   [`Next::Flush`], which interrupts a peer that only talks and never reads.

mod command;
mod effect;
mod path;
mod reply;
mod session;
mod transaction;

pub use effect::{Abort, DeliveryReply, Effect, Envelope, Next, RecipientReply, Security, Settings};
pub use reply::{NOT_A_PEER, Refusal, TOO_MANY_CONNECTIONS};
pub use session::Session;

/// The longest command line in octets, with its CRLF. RFC 5321 section 4.5.3.1.4 asks for 512; SMTPUTF8 and the parameters need
/// more.
pub const MAX_LINE_OCTETS: usize = 2048;
