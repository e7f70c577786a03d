//! Responses, and the only code that writes octets to the client. No response ever repeats what the client sent.

use std::fmt;

use bytes::BytesMut;
use mail_types::MessageNumber;

use crate::command::SyntaxError;
use crate::maildrop::{Maildrop, NoMessage};

/// A response code (RFC 2449 section 8, RFC 3206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseCode {
    /// The login name or the secret is wrong.
    Auth,
    /// The maildrop is in use by other sessions.
    InUse,
    /// A fault that passes.
    SysTemp,
    /// A fault that needs somebody to act.
    SysPerm,
}

impl ResponseCode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "[AUTH] ",
            Self::InUse => "[IN-USE] ",
            Self::SysTemp => "[SYS/TEMP] ",
            Self::SysPerm => "[SYS/PERM] ",
        }
    }
}

/// Why a login was refused, as the driver answers [`crate::Effect::Authenticate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// No such account, or not its secret: the client cannot tell which.
    WrongCredentials,
    /// The account or its tenant is suspended. Only told to whom the secret is right.
    Suspended,
    /// The account has as many sessions as it may have.
    InUse,
    /// The directory or the mailstore cannot be asked at the moment.
    Unavailable,
}

/// Why a message cannot be sent, or an update not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It may work later.
    Temporary,
    /// It will not, until an operator acts.
    Permanent,
}

/// Every response that begins with `-ERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Syntax(SyntaxError),
    LineTooLong,
    TooManyBadCommands,
    WrongState,
    NoMessage(NoMessage),
    ReadOnly,
    /// RFC 2595 section 2.2, RFC 8314: no password in clear.
    ClearConnection,
    UserFirst,
    UnknownMechanism,
    Sasl(sasl::SaslError),
    ActsForAnother,
    Login(LoginRefusal),
    TlsAlready,
    NoTls,
    Retrieve(Failure),
    Update(Failure),
    Draining,
}

impl Refused {
    fn code(self) -> Option<ResponseCode> {
        match self {
            Self::ActsForAnother | Self::Login(LoginRefusal::WrongCredentials) => Some(ResponseCode::Auth),
            Self::Login(LoginRefusal::InUse) => Some(ResponseCode::InUse),
            Self::Draining
            | Self::Login(LoginRefusal::Unavailable)
            | Self::Retrieve(Failure::Temporary)
            | Self::Update(Failure::Temporary) => Some(ResponseCode::SysTemp),
            Self::ReadOnly
            | Self::Login(LoginRefusal::Suspended)
            | Self::Retrieve(Failure::Permanent)
            | Self::Update(Failure::Permanent) => Some(ResponseCode::SysPerm),
            Self::Syntax(_)
            | Self::LineTooLong
            | Self::TooManyBadCommands
            | Self::WrongState
            | Self::NoMessage(_)
            | Self::ClearConnection
            | Self::UserFirst
            | Self::UnknownMechanism
            | Self::Sasl(_)
            | Self::TlsAlready
            | Self::NoTls => None,
        }
    }

    /// Whether the client does not speak the protocol, in contrast to one that asks for what cannot be had.
    pub(crate) fn is_bad_command(self) -> bool {
        matches!(self, Self::Syntax(_) | Self::LineTooLong | Self::WrongState)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().map_or("", ResponseCode::as_str))?;
        f.write_str(match self {
            Self::Syntax(SyntaxError::UnknownCommand) => "unknown command",
            Self::Syntax(SyntaxError::Http) => "this is a POP3 server, not an HTTP server",
            Self::Syntax(SyntaxError::MissingArgument) => "an argument is missing",
            Self::Syntax(SyntaxError::UnexpectedArgument) => "too many arguments",
            Self::Syntax(SyntaxError::BadMessageNumber) => "a message number is a number from 1 to 4294967295",
            Self::Syntax(SyntaxError::BadLineCount) => "a count of lines is a number from 0 to 4294967295",
            Self::Syntax(SyntaxError::NotText) => "a login name must be UTF-8",
            Self::LineTooLong => "the line is too long",
            Self::TooManyBadCommands => "too many bad commands, closing",
            Self::WrongState => "this command is not valid in this state",
            Self::NoMessage(NoMessage::Unknown) => "no such message",
            Self::NoMessage(NoMessage::Marked) => "the message is marked as deleted",
            Self::ReadOnly => "this credential may not delete messages",
            Self::ClearConnection => "passwords are refused on a connection without TLS",
            Self::UserFirst => "USER comes before PASS",
            Self::UnknownMechanism => "unknown authentication mechanism",
            Self::Sasl(error) => return error.fmt(f),
            Self::ActsForAnother => "acting for another account is not possible",
            Self::Login(LoginRefusal::WrongCredentials) => "wrong login name or password",
            Self::Login(LoginRefusal::Suspended) => "the account is suspended",
            Self::Login(LoginRefusal::InUse) => "too many sessions of this account",
            Self::Login(LoginRefusal::Unavailable) => "no login is possible at the moment, try again later",
            Self::TlsAlready => "TLS is already active",
            Self::NoTls => "TLS is not available",
            Self::Retrieve(Failure::Temporary) => "the message cannot be read at the moment, try again later",
            Self::Retrieve(Failure::Permanent) => "the message cannot be read, tell your administrator",
            Self::Update(Failure::Temporary) => "the marked messages could not be deleted, try again later",
            Self::Update(Failure::Permanent) => "the marked messages could not be deleted, tell your administrator",
            Self::Draining => "the server is going down for maintenance, try again at once",
        })
    }
}

/// The status indicator of a response (RFC 1939 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// `+OK`
    Ok,
    /// `-ERR`
    Err,
}

impl Status {
    /// `ok` or `err`, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Err => "err",
        }
    }
}

/// Where responses are written, and what they say about the client: one that sends only nonsense is counted here.
#[derive(Debug)]
pub(crate) struct Responses {
    pub(crate) out: BytesMut,
    /// The status of the response written last.
    status: Status,
    /// Bad commands since the last good one.
    bad_commands: u32,
    max_bad_commands: u32,
}

impl Responses {
    pub(crate) fn new(max_bad_commands: u32) -> Self {
        Self { out: BytesMut::new(), status: Status::Ok, bad_commands: 0, max_bad_commands }
    }

    /// The status of the response written last.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// Whether the client was told that it sent too many bad commands.
    pub(crate) fn exhausted(&self) -> bool {
        self.bad_commands >= self.max_bad_commands
    }

    /// `+OK` and a text: a whole response, or the first line of one with several.
    pub(crate) fn ok(&mut self, text: fmt::Arguments<'_>) {
        self.good(Status::Ok);
        self.line(format_args!("+OK {text}"));
    }

    /// `+OK`, a message-number and its unique-id.
    pub(crate) fn ok_unique_id(&mut self, number: MessageNumber, maildrop: &Maildrop) {
        self.good(Status::Ok);
        self.out.extend_from_slice(b"+OK ");
        self.unique_id_line(number, maildrop);
    }

    /// `-ERR`, the response code where there is one, and the reason.
    pub(crate) fn err(&mut self, refused: Refused) {
        if !refused.is_bad_command() {
            self.good(Status::Err);
            self.line(format_args!("-ERR {refused}"));
            return;
        }
        self.status = Status::Err;
        self.bad_commands += 1;
        let told = if self.exhausted() { Refused::TooManyBadCommands } else { refused };
        self.line(format_args!("-ERR {told}"));
    }

    fn good(&mut self, status: Status) {
        self.status = status;
        self.bad_commands = 0;
    }

    /// A SASL challenge (RFC 5034 section 4).
    pub(crate) fn challenge(&mut self, base64: &str) {
        self.line(format_args!("+ {base64}"));
    }

    /// A line of the unique-id listing.
    pub(crate) fn unique_id_line(&mut self, number: MessageNumber, maildrop: &Maildrop) {
        self.text(format_args!("{number} "));
        maildrop.put_unique_id(number, &mut self.out);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A line of a response with several.
    pub(crate) fn line(&mut self, text: fmt::Arguments<'_>) {
        self.text(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn text(&mut self, text: fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = fmt::Write::write_fmt(&mut self.out, text);
    }

    /// The termination octet.
    pub(crate) fn end(&mut self) {
        self.out.extend_from_slice(b".\r\n");
    }
}
