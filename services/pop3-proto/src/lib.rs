//! POP3 as a state machine: octets from the client go in, octets to the client and [`Effect`]s come out. There is no
//! socket, no clock and no store in this crate; its driver is `pop3d`.
//!
//! RFC 1939 (all of it; APOP only where the settings say so), RFC 2449 (CAPA, response codes, PIPELINING, EXPIRE and
//! LOGIN-DELAY), RFC 2595 (STLS), RFC 3206 (SYS and AUTH response codes), RFC 5034 (AUTH, with every mechanism of [`sasl`]),
//! RFC 6856 (UTF8 and LANG), RFC 8314 (no logins in clear).
//!
//! ```text
//!       USER+PASS, APOP, AUTH               QUIT, with marks
//! AUTHORIZATION ───────────▶ TRANSACTION ────────────────▶ UPDATE ──▶ closed
//!     │    ▲ STLS: a new session over TLS   │                            ▲
//!     └────┴────────────── QUIT, lost connection, expiry: nothing deleted ┘
//! ```
//!
//! What holds:
//! - Each state owns what it needs; a command that is not legal in a state has no code that could execute it.
//! - Messages are removed by [`Effect::Update`] alone, which only QUIT in TRANSACTION gives.
//! - The answers do not depend on how the input is split, and there is one for every command.
//! - Memory is bounded: lines, input not yet taken, output not yet written. Large listings are written piece by piece.
//! - Commands that are already there are answered in one write (PIPELINING, RFC 2449 section 6.6).
//!
//! APOP, CRAM-MD5 and NTLM need the server to know the secret itself, so they are offered only where the settings have them.

mod authorization;
mod capabilities;
mod catalogue;
mod command;
mod effect;
mod faults;
mod maildrop;
mod response;
mod retrieve;
mod said;
mod session;
mod terms;
mod transaction;
mod update;

pub use command::{Retrieval, Verb};
pub use effect::{Effect, Evidence, Limit, LoginAttempt, LoginMethod, Next, Replied};
pub use faults::Fault;
pub use maildrop::{Deletion, Entry, Expire, Listing, Maildrop, MaildropPolicy, Utf8Header};
pub use response::{Failure, LoginRefusal, SessionLimit, Status};
pub use retrieve::{BodyFlow, LeadingDots};
pub use said::{Denied, Said};
pub use session::Session;
pub use terms::{Connection, MAX_AUTH_LINE, Security, Settings};

/// What a connection is told that cannot be served now, in place of the greeting.
pub const TOO_MANY_CONNECTIONS: &[u8] = b"-ERR [SYS/TEMP] too many connections, try again later\r\n";
