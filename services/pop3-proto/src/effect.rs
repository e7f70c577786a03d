//! What a session asks of its driver.

use mail_types::{MessageNumber, Secret};
use sasl::{Candidate, Material, Mechanism};

use crate::command::{Retrieval, Verb};
use crate::response::Status;

/// How a client proves itself, for metrics and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMethod {
    /// USER and PASS.
    UserPass,
    /// APOP.
    Apop,
    /// AUTH.
    Sasl(Mechanism),
}

impl LoginMethod {
    /// `user`, `apop` or the mechanism's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserPass => "user",
            Self::Apop => "apop",
            Self::Sasl(mechanism) => mechanism.name(),
        }
    }
}

/// How a client proves who it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Evidence {
    /// This password, as it was sent.
    Password(Secret),
    /// This bearer token. Empty when the client only asks where to get one.
    Token(Secret),
    /// Its certificate, which TLS verified; the login name is an address of it.
    Certificate,
    /// The exchange proved that it has this one of the credentials that [`Session::looked_up`](crate::Session::looked_up) was given.
    Proof(Candidate),
    /// The exchange proved nothing: the login has failed.
    Disproved,
}

/// A client that wants to log in.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginAttempt {
    /// The login name as given, prepared (SASLprep). May be a password typed in the wrong place: not for logs. Empty where a
    /// token says who it is, and of a [`Evidence::Disproved`], whose name was looked up before.
    pub login: String,
    /// What proves it.
    pub evidence: Evidence,
    /// How it came.
    pub method: LoginMethod,
}

/// What the session cannot do itself. It takes no further command until the answer is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look an account up, for a mechanism that goes on with what is kept of its credentials. Answer:
    /// [`Session::looked_up`](crate::Session::looked_up), also for an account that does not exist, or [`Session::login_refused`](crate::Session::login_refused).
    LookUp {
        /// The login name, prepared. Not for logs.
        login: String,
        /// What is needed.
        material: Material,
        /// How it came.
        method: LoginMethod,
    },
    /// Check the evidence and open the maildrop. Answer: [`Session::login_accepted`](crate::Session::login_accepted), [`Session::login_refused`](crate::Session::login_refused), or, of a
    /// token, [`Session::token_refused`](crate::Session::token_refused).
    Authenticate(LoginAttempt),
    /// Read a message. Answer: [`Session::body_begin`](crate::Session::body_begin), any number of [`Session::body`](crate::Session::body), [`Session::body_end`](crate::Session::body_end); or
    /// [`Session::retrieve_failed`](crate::Session::retrieve_failed) in place of the first. A failure in the middle cannot be told in POP3: close the
    /// connection.
    Retrieve {
        /// Which; it is in the listing and not marked.
        number: MessageNumber,
        /// How much is wanted.
        what: Retrieval,
    },
    /// QUIT: remove these messages, all or none. Answer: [`Session::update_done`](crate::Session::update_done).
    Update {
        /// The messages marked as deleted, in order.
        marked: Vec<MessageNumber>,
        /// Where the policy learns: those that RETR sent to their end, in order. One of the two has at least one.
        fetched: Vec<MessageNumber>,
    },
    /// Write the output, drop this session with all that it holds, and go on over TLS with [`Session::after_stls`](crate::Session::after_stls). What
    /// the client sent in clear after STLS is thus never executed (RFC 2595 section 4; a known attack).
    StartTls,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a step that is not followed makes the session hang"]
pub enum Next {
    /// A command was answered; the answer is in the output. Call [`Session::next`](crate::Session::next) again.
    Replied(Replied),
    /// Write the output, at least in part, before calling [`Session::next`](crate::Session::next) again.
    Drain,
    /// Write the output, then read.
    NeedInput,
    /// Do this and answer it. The output can wait.
    Effect(Effect),
    /// Write the output and close the connection.
    Close,
}

/// A limit that ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// On bad commands in a row.
    BadCommands,
    /// On how long a session may last.
    SessionTime,
    /// None: an administrator asked for the end.
    Asked,
}

/// A command and how it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replied {
    /// Which.
    pub verb: Verb,
    /// How.
    pub status: Status,
}
