//! What holds on a connection: what the operator set, what protects it, and what it can therefore offer.

use std::sync::Arc;

use sasl::{Challenges, ChannelBindings, Mechanism, Mechanisms};

use crate::maildrop::Expire;
use crate::said::Denied;

/// The longest that [`Settings::max_auth_line`] may be.
pub const MAX_AUTH_LINE: usize = sasl::MAX_RESPONSE + 2;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What CAPA tells as IMPLEMENTATION (RFC 2449 section 6.9). No line ends.
    pub implementation: &'static str,
    /// Bad commands in a row after which the connection is closed.
    pub max_bad_commands: u32,
    /// The longest command line, its CRLF counted. RFC 2449 section 4 asks for 255.
    pub max_command_line: usize,
    /// The longest AUTH line and SASL response, its CRLF counted: at most [`MAX_AUTH_LINE`], and not below the former.
    pub max_auth_line: usize,
    /// With this many octets of output no further command is taken until some are written.
    pub max_output: usize,
    /// What may be offered; of it a connection offers what it can do.
    pub mechanisms: Mechanisms,
    /// Whether APOP may be offered, which needs secrets that the server can recover.
    pub apop: bool,
    /// The longest LOGIN-DELAY that an account may have, in seconds (RFC 2449 section 6.5).
    pub login_delay: u32,
    /// The shortest EXPIRE that an account may have (RFC 2449 section 6.7).
    pub expire: Expire,
}

/// What SASL needs of a connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Makes challenges that never repeat.
    pub challenges: Arc<Challenges>,
    /// What proofs may be bound to; empty without TLS.
    pub bindings: ChannelBindings,
    /// The addresses in the client's certificate, if TLS verified one.
    pub certificate: Vec<String>,
}

/// What protects the connection, and what is allowed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing does.
    Clear {
        /// STLS is offered.
        stls: bool,
        /// Logins are accepted in clear; where not, no mechanism is: a proof may be safe in clear, the mail is not.
        passwords: bool,
    },
    /// TLS, from the first octet or since STLS.
    Tls,
}

impl Security {
    pub(crate) fn logins_allowed(self) -> bool {
        matches!(self, Self::Tls | Self::Clear { passwords: true, .. })
    }
}

/// What holds on the connection, whoever logs in.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) settings: Settings,
    pub(crate) security: Security,
    pub(crate) connection: Connection,
    /// The mechanisms that this connection offers.
    pub(crate) offered: Mechanisms,
    /// Of the greeting, where it offers APOP (RFC 1939 section 7).
    pub(crate) timestamp: Option<String>,
    /// Whether the client said UTF8 (RFC 6856 section 2).
    pub(crate) utf8: bool,
    /// Of the command that is being executed.
    pub(crate) denied: Option<Denied>,
}

impl Terms {
    pub(crate) fn new(settings: Settings, security: Security, connection: Connection) -> Self {
        let can = |mechanism: &Mechanism| match mechanism {
            Mechanism::External => !connection.certificate.is_empty(),
            mechanism => !mechanism.binds_channel() || !connection.bindings.is_empty(),
        };
        let offered =
            if security.logins_allowed() { settings.mechanisms.iter().filter(can).collect() } else { Mechanisms::NONE };
        Self { settings, security, connection, offered, timestamp: None, utf8: false, denied: None }
    }
}
