//! Responses, and the only code that writes octets to the client. No response ever repeats what the client sent.

use std::fmt;

use bytes::BytesMut;
use mail_types::MessageNumber;
use sasl::SaslError;

use crate::catalogue::{Language, Text};
use crate::command::SyntaxError;
use crate::faults::Fault;
use crate::maildrop::{Maildrop, NoMessage};

/// A response code (RFC 2449 section 8, RFC 3206, RFC 6856 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseCode {
    /// The credentials are wrong, or not to be used so.
    Auth,
    /// The maildrop is in use by other sessions.
    InUse,
    /// The client logs in too often.
    LoginDelay,
    /// A fault that passes.
    SysTemp,
    /// A fault that needs somebody to act.
    SysPerm,
    /// The message is only for clients that said UTF8.
    Utf8,
}

impl ResponseCode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "[AUTH] ",
            Self::InUse => "[IN-USE] ",
            Self::LoginDelay => "[LOGIN-DELAY] ",
            Self::SysTemp => "[SYS/TEMP] ",
            Self::SysPerm => "[SYS/PERM] ",
            Self::Utf8 => "[UTF8] ",
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
    /// Another session has exclusive access to the maildrop.
    InUse,
    /// There are as many sessions as there may be.
    TooManySessions(SessionLimit),
    /// The last login is less than so many seconds ago (RFC 2449 section 6.5).
    LoginDelay(u32),
    /// So many logins failed that this one was not even tried.
    SlowedDown,
    /// So many logins are being checked that this one was not even tried.
    Busy,
    /// The directory or the mailstore cannot be asked at the moment.
    Unavailable,
}

/// Whose sessions are too many, and how many there may be at this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionLimit {
    /// The account's.
    Account(u32),
    /// The domain's.
    Domain(u32),
    /// The tenant's.
    Tenant(u32),
    /// The network address's.
    Address(u32),
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
    NeedsUtf8,
    ReadOnly,
    /// RFC 2595 section 2.2, RFC 8314: no password in clear.
    ClearConnection,
    UserFirst,
    UnknownMechanism,
    NoApop,
    Sasl(SaslError),
    Login(LoginRefusal),
    TlsAlready,
    NoTls,
    TlsAfterUtf8,
    UnknownLanguage,
    Retrieve(Failure),
    Update(Failure),
    Draining,
    SessionTooLong,
    Ended,
}

impl Refused {
    fn code(self) -> Option<ResponseCode> {
        match self {
            _ if Fault::NoResponseCodes.is_on() => None,
            Self::Login(LoginRefusal::WrongCredentials) if Fault::WrongCode.is_on() => Some(ResponseCode::SysTemp),
            // RFC 3206 section 4: whatever is wrong with the credentials or the way they are used.
            Self::Login(LoginRefusal::WrongCredentials)
            | Self::Sasl(
                SaslError::LoginName
                | SaslError::ActsForAnother
                | SaslError::BindingHidden
                | SaslError::BindingMismatch
                | SaslError::ChoiceMissing,
            ) => Some(ResponseCode::Auth),
            Self::Login(LoginRefusal::InUse | LoginRefusal::TooManySessions(SessionLimit::Account(_))) => {
                Some(ResponseCode::InUse)
            }
            // RFC 2449 section 8.1.1: only of a login too soon after a good one.
            Self::Login(LoginRefusal::LoginDelay(_)) => Some(ResponseCode::LoginDelay),
            Self::Draining
            | Self::SessionTooLong
            | Self::Ended
            | Self::Login(
                LoginRefusal::Unavailable
                | LoginRefusal::Busy
                | LoginRefusal::SlowedDown
                | LoginRefusal::TooManySessions(_),
            )
            | Self::Retrieve(Failure::Temporary)
            | Self::Update(Failure::Temporary) => Some(ResponseCode::SysTemp),
            Self::ReadOnly
            | Self::Login(LoginRefusal::Suspended)
            | Self::Retrieve(Failure::Permanent)
            | Self::Update(Failure::Permanent) => Some(ResponseCode::SysPerm),
            Self::NeedsUtf8 => Some(ResponseCode::Utf8),
            Self::Syntax(_)
            | Self::LineTooLong
            | Self::TooManyBadCommands
            | Self::WrongState
            | Self::NoMessage(_)
            | Self::ClearConnection
            | Self::UserFirst
            | Self::UnknownMechanism
            | Self::NoApop
            | Self::Sasl(_)
            | Self::TlsAlready
            | Self::NoTls
            | Self::TlsAfterUtf8
            | Self::UnknownLanguage => None,
        }
    }

    /// Whether the client does not speak the protocol, in contrast to one that asks for what cannot be had.
    pub(crate) fn is_bad_command(self) -> bool {
        matches!(self, Self::Syntax(_) | Self::LineTooLong | Self::WrongState)
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
    language: Language,
    /// The status of the response written last.
    status: Status,
    /// Bad commands since the last good one.
    bad_commands: u32,
    max_bad_commands: u32,
}

impl Responses {
    pub(crate) fn new(max_bad_commands: u32) -> Self {
        Self {
            out: BytesMut::new(),
            language: Language::default(),
            status: Status::Ok,
            bad_commands: 0,
            max_bad_commands,
        }
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
    pub(crate) fn ok(&mut self, text: Text) {
        self.good(Status::Ok);
        self.status_line("+OK ", text);
    }

    /// `+OK` and what programs read.
    pub(crate) fn ok_fields(&mut self, fields: fmt::Arguments<'_>) {
        self.good(Status::Ok);
        self.line(format_args!("+OK {fields}"));
    }

    /// `+OK`, a message-number and its unique-id.
    pub(crate) fn ok_unique_id(&mut self, number: MessageNumber, maildrop: &Maildrop) {
        self.good(Status::Ok);
        self.out.extend_from_slice(b"+OK ");
        self.unique_id_line(number, maildrop);
    }

    /// `-ERR`, the response code where there is one, and the reason.
    pub(crate) fn err(&mut self, refused: Refused) {
        let mut told = refused;
        if refused.is_bad_command() {
            self.status = Status::Err;
            self.bad_commands += 1;
            if self.exhausted() {
                told = Refused::TooManyBadCommands;
            }
        } else {
            self.good(Status::Err);
        }
        self.text(format_args!("-ERR {}", told.code().map_or("", ResponseCode::as_str)));
        self.status_line("", Text::Refused(told));
    }

    /// LANG (RFC 6856 section 3): all languages, or from now on the one that a range asks for.
    pub(crate) fn language(&mut self, range: Option<&[u8]>) {
        let Some(range) = range else {
            self.ok(Text::Languages);
            for language in Language::ALL {
                self.line(format_args!("{} {}", language.tag(), language.name()));
            }
            return self.end();
        };
        match Language::for_range(range) {
            Some(language) => {
                self.language = language;
                self.good(Status::Ok);
                self.text(format_args!("+OK {} ", language.tag()));
                self.status_line("", Text::LanguageChanged);
            }
            None => self.err(Refused::UnknownLanguage),
        }
    }

    fn status_line(&mut self, indicator: &str, text: Text) {
        self.text(format_args!("{indicator}"));
        // Writing to memory cannot fail.
        let _ = text.write(self.language, &mut self.out);
        self.out.extend_from_slice(b"\r\n");
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Each response that begins with `-ERR`.
    pub(crate) fn every_refusal() -> Vec<Refused> {
        use LoginRefusal as L;
        use SaslError as S;
        use SyntaxError as E;
        let syntax = [
            E::UnknownCommand,
            E::Http,
            E::MissingArgument,
            E::UnexpectedArgument,
            E::BadMessageNumber,
            E::BadLineCount,
            E::NotText,
        ];
        let sasl = [
            S::Cancelled,
            S::NotBase64,
            S::TooLong,
            S::Malformed,
            S::NotOffered,
            S::NoInitialResponse,
            S::LoginName,
            S::ActsForAnother,
            S::BindingHidden,
            S::BindingUnknown,
            S::BindingMismatch,
            S::ExtensionUnknown,
            S::ChoiceMissing,
            S::NtlmTooOld,
        ];
        let login = [
            L::WrongCredentials,
            L::Suspended,
            L::InUse,
            L::TooManySessions(SessionLimit::Account(7)),
            L::TooManySessions(SessionLimit::Domain(7)),
            L::TooManySessions(SessionLimit::Tenant(7)),
            L::TooManySessions(SessionLimit::Address(7)),
            L::LoginDelay(600),
            L::SlowedDown,
            L::Busy,
            L::Unavailable,
        ];
        let mut refusals = vec![
            Refused::LineTooLong,
            Refused::TooManyBadCommands,
            Refused::WrongState,
            Refused::NoMessage(NoMessage::Unknown),
            Refused::NoMessage(NoMessage::Marked),
            Refused::NeedsUtf8,
            Refused::ReadOnly,
            Refused::ClearConnection,
            Refused::UserFirst,
            Refused::UnknownMechanism,
            Refused::NoApop,
            Refused::TlsAlready,
            Refused::NoTls,
            Refused::TlsAfterUtf8,
            Refused::UnknownLanguage,
            Refused::Retrieve(Failure::Temporary),
            Refused::Retrieve(Failure::Permanent),
            Refused::Update(Failure::Temporary),
            Refused::Update(Failure::Permanent),
            Refused::Draining,
            Refused::SessionTooLong,
            Refused::Ended,
        ];
        refusals.extend(syntax.map(Refused::Syntax));
        refusals.extend(sasl.map(Refused::Sasl));
        refusals.extend(login.map(Refused::Login));
        refusals
    }

    #[track_caller]
    fn check(refused: Refused, expected: &str) {
        let mut responses = Responses::new(10);
        responses.err(refused);
        let line = std::str::from_utf8(&responses.out).unwrap();
        assert!(line.starts_with(expected), "{line}");
    }

    /// RFC 3206, RFC 2449 section 8.1.
    #[test]
    fn failures_have_the_codes_that_fit() {
        use LoginRefusal as L;
        check(Refused::Login(L::WrongCredentials), "-ERR [AUTH] wrong");
        check(Refused::Sasl(SaslError::ActsForAnother), "-ERR [AUTH] acting");
        check(Refused::Sasl(SaslError::BindingMismatch), "-ERR [AUTH] the channel");
        check(Refused::Sasl(SaslError::Cancelled), "-ERR authentication");
        check(Refused::Login(L::InUse), "-ERR [IN-USE] another");
        check(
            Refused::Login(L::TooManySessions(SessionLimit::Account(7))),
            "-ERR [IN-USE] too many sessions of this account on this server (at most 7)",
        );
        check(Refused::Login(L::TooManySessions(SessionLimit::Address(7))), "-ERR [SYS/TEMP] too many sessions from");
        check(Refused::Login(L::LoginDelay(600)), "-ERR [LOGIN-DELAY] the last login was less than 600 seconds ago");
        check(Refused::Login(L::SlowedDown), "-ERR [SYS/TEMP] too many failed");
        check(Refused::Login(L::Busy), "-ERR [SYS/TEMP] too many logins");
        check(Refused::Retrieve(Failure::Permanent), "-ERR [SYS/PERM] the message");
        check(Refused::NeedsUtf8, "-ERR [UTF8] the message");
    }

    /// RFC 2449 section 8: every text that begins with "[" is a response code.
    #[test]
    fn only_codes_begin_with_a_bracket() {
        for refused in every_refusal() {
            let mut responses = Responses::new(10);
            responses.err(refused);
            let line = std::str::from_utf8(&responses.out).unwrap();
            let code = line.strip_prefix("-ERR ").unwrap().split_once("] ").map_or("", |(code, _)| code);
            assert!(
                ["", "[AUTH", "[IN-USE", "[LOGIN-DELAY", "[SYS/TEMP", "[SYS/PERM", "[UTF8"].contains(&code),
                "{line}"
            );
            assert!(line.len() <= 512 && line.ends_with("\r\n"));
        }
    }
}
