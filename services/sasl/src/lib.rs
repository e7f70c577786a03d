//! SASL mechanisms, the server's side, without I/O (RFC 4422).
//!
//! A protocol asks [`Mechanisms::parse`] which mechanism a client named, begins an [`Exchange`] with the client's initial
//! response if it sent one, and follows the [`Step`]s that come back: send a challenge and come back with the response, look
//! an account up and come back with its [`Account`], check a password, a token or a certificate's address, or see that the
//! client proved itself or did not. Each kind of step holds the only thing that can go on from there, so a step cannot be
//! taken twice or out of order, and an exchange that is over cannot be continued.
//!
//! | mechanism | RFC | what it asks for |
//! | --- | --- | --- |
//! | SCRAM-SHA-256(-PLUS), SCRAM-SHA-1(-PLUS) | 5802, 7677, 9266, 5929 | [`Step::Lookup`] of salt and keys |
//! | OAUTHBEARER, XOAUTH2 | 7628, Google's | [`Step::Token`] |
//! | EXTERNAL | 4422 appendix A | [`Step::Certificate`] |
//! | PLAIN, LOGIN | 4616, draft-murchison-sasl-login | [`Step::Password`] |
//! | CRAM-MD5, NTLM, and [`apop`] | 2195, MS-NLMP, 1939 | [`Step::Lookup`] of recoverable secrets |
//!
//! Nothing here depends on whether an account exists: for an unknown one the caller answers a lookup with a made-up salt
//! and no keys, and the exchange runs the same steps to its end. An `Err` tells nothing of an account either, so it may be
//! answered at once; [`Step::Refused`], and a token's refusal, may depend on one, and are answered at the fixed moment
//! after the command that all failures have.
//!
//! Responses and challenges are the base64 text of POP3 (RFC 5034) and SMTP (RFC 4954), without their framing.

mod apop;
mod challenges;
mod cram_md5;
mod digest;
mod error;
mod exchange;
mod external;
mod login;
mod lookup;
mod mechanism;
mod ntlm;
mod oauth;
mod plain;
pub mod prep;
mod scram;

pub use apop::apop;
pub use challenges::Challenges;
pub use error::SaslError;
pub use exchange::{Context, Exchange, Step};
pub use lookup::{Account, Candidate, Lookup, Material, Proof};
pub use mechanism::{Mechanism, Mechanisms};
pub use oauth::{TokenCheck, TokenRefusal, TokenStatus};
pub use scram::{ChannelBindings, ScramHash, ScramKeys};

/// The longest response that is read, in octets of base64 text (the bound of RFC 4954 section 4, kept for POP3 too).
pub const MAX_RESPONSE: usize = 12_288;
