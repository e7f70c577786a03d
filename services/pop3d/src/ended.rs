//! How sessions end.

use std::io;

use pop3_proto::{Limit, Replied, Session, Status, Verb};

/// How a session ended, for the log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By QUIT.
    Quit,
    /// By us, after a response: HTTP, draining.
    Closed,
    /// By us, after too many bad commands.
    BadCommands,
    /// By us, because it had lasted as long as a session may.
    SessionTime,
    /// The client went away without QUIT.
    Lost,
    /// No login in time.
    NoLogin,
    /// No command in time (RFC 1939 section 3).
    Idle,
    /// The client took nothing of what it was sent.
    NotReading,
    /// A message turned out to be unreadable in its middle.
    Unreadable,
    /// No TLS came of it.
    Handshake,
    /// The process stops.
    Stopped,
    /// An administrator asked for it, or the account, its tenant or the credential is served no more.
    Asked,
}

impl Ended {
    pub(crate) fn lost(error: &io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Self::Lost
    }

    /// Of a session that closes, by what was answered last.
    pub(crate) fn closing(session: &Session, last: Option<Replied>) -> Self {
        let quit = last.is_some_and(|replied| replied.verb == Verb::Quit && replied.status == Status::Ok);
        match session.limit_reached() {
            _ if quit => Self::Quit,
            Some(Limit::BadCommands) => Self::BadCommands,
            Some(Limit::SessionTime) => Self::SessionTime,
            Some(Limit::Asked) => Self::Asked,
            None => Self::Closed,
        }
    }

    /// Whether it is to be told although nothing was fetched: something went wrong that a user may ask about. Clients that go away
    /// without QUIT are too many.
    pub(crate) const fn is_failure(self) -> bool {
        matches!(self, Self::BadCommands | Self::SessionTime | Self::NotReading | Self::Unreadable | Self::Asked)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Closed => "closed",
            Self::BadCommands => "bad_commands",
            Self::SessionTime => "session_time",
            Self::Lost => "lost",
            Self::NoLogin => "no_login",
            Self::Idle => "idle",
            Self::NotReading => "not_reading",
            Self::Unreadable => "unreadable",
            Self::Handshake => "handshake",
            Self::Stopped => "stopped",
            Self::Asked => "asked",
        }
    }
}
