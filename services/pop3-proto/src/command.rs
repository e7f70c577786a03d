//! Commands, parsed once into types that cannot be wrong (RFC 1939 section 3: a keyword in any case, then arguments, each
//! after one space).
//!
//! More is accepted than the RFC asks: several spaces between arguments and at the end of a line, which some clients send.
//! A password is taken as it stands, from the octet after `PASS ` to the end of the line (RFC 1939 section 7, PASS).

use bytes::Bytes;
use mail_types::{MessageNumber, Secret};

use crate::faults::Fault;
use crate::response::Refused;

/// The keyword of a command line, for answers and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// RFC 1939 section 7.
    Apop,
    /// RFC 5034.
    Auth,
    /// RFC 2449.
    Capa,
    /// RFC 1939 section 5.
    Dele,
    /// RFC 6856 section 3.
    Lang,
    /// RFC 1939 section 5.
    List,
    /// RFC 1939 section 5.
    Noop,
    /// RFC 1939 section 7.
    Pass,
    /// RFC 1939 sections 4 to 6.
    Quit,
    /// RFC 1939 section 5.
    Retr,
    /// RFC 1939 section 5.
    Rset,
    /// RFC 1939 section 5.
    Stat,
    /// RFC 2595 section 4.
    Stls,
    /// RFC 1939 section 7.
    Top,
    /// RFC 1939 section 7.
    Uidl,
    /// RFC 1939 section 7.
    User,
    /// RFC 6856 section 2.
    Utf8,
    /// A line that is too long for any.
    TooLong,
    /// No command that there is.
    Unknown,
}

impl Verb {
    /// Every one of them, those that are no command last.
    pub const ALL: [Self; 19] = [
        Self::Apop,
        Self::Auth,
        Self::Capa,
        Self::Dele,
        Self::Lang,
        Self::List,
        Self::Noop,
        Self::Pass,
        Self::Quit,
        Self::Retr,
        Self::Rset,
        Self::Stat,
        Self::Stls,
        Self::Top,
        Self::Uidl,
        Self::User,
        Self::Utf8,
        Self::TooLong,
        Self::Unknown,
    ];

    /// The keyword in lower case, `too_long` or `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apop => "apop",
            Self::Auth => "auth",
            Self::Capa => "capa",
            Self::Dele => "dele",
            Self::Lang => "lang",
            Self::List => "list",
            Self::Noop => "noop",
            Self::Pass => "pass",
            Self::Quit => "quit",
            Self::Retr => "retr",
            Self::Rset => "rset",
            Self::Stat => "stat",
            Self::Stls => "stls",
            Self::Top => "top",
            Self::Uidl => "uidl",
            Self::User => "user",
            Self::Utf8 => "utf8",
            Self::TooLong => "too_long",
            Self::Unknown => "unknown",
        }
    }

    fn parse(keyword: &[u8]) -> Self {
        if Fault::CaseSensitive.is_on() && keyword.iter().any(u8::is_ascii_lowercase) {
            return Self::Unknown;
        }
        let is_command = |verb: &Self| !matches!(verb, Self::TooLong | Self::Unknown);
        let named = |verb: &Self| is_command(verb) && verb.as_str().as_bytes().eq_ignore_ascii_case(keyword);
        Self::ALL.into_iter().find(named).unwrap_or(Self::Unknown)
    }
}

/// How much of a message is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retrieval {
    /// RETR: all of it.
    Whole,
    /// TOP: the header, the empty line, and this many lines of the body; with 0 none of them (RFC 1939 section 7).
    Top(u32),
}

/// A command line that keeps the rules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Apop {
        name: Bytes,
        digest: Bytes,
    },
    Auth {
        mechanism: Bytes,
        initial: Option<Bytes>,
    },
    Capa,
    Dele(MessageNumber),
    /// With the basic language range of the one to speak, or to list all.
    Lang(Option<Bytes>),
    List(Option<MessageNumber>),
    Noop,
    Pass(Secret),
    Quit,
    Retrieve(MessageNumber, Retrieval),
    Rset,
    Stat,
    Stls,
    Uidl(Option<MessageNumber>),
    User(String),
    Utf8,
}

/// The rule that a command line broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyntaxError {
    UnknownCommand,
    /// The first line of an HTTP request: a browser was made to speak to us.
    Http,
    MissingArgument,
    UnexpectedArgument,
    /// Not digits, 0, or over 4 294 967 295.
    BadMessageNumber,
    /// Not digits, or over 4 294 967 295.
    BadLineCount,
    /// A login name must be UTF-8.
    NotText,
}

/// Methods of HTTP that a browser can be made to send to any port.
const HTTP_METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE"];

/// Parses a line without its line end.
pub(crate) fn parse(line: &[u8]) -> (Verb, Result<Command, Refused>) {
    let end = line.iter().position(|&octet| octet == b' ').unwrap_or(line.len());
    let (keyword, rest) = line.split_at_checked(end).unwrap_or((line, b""));
    let rest = rest.strip_prefix(b" ");
    let verb = Verb::parse(keyword);
    (verb, parse_arguments(verb, keyword, rest).map_err(Refused::Syntax))
}

/// `rest` is what follows the keyword and its space, if there is a space.
fn parse_arguments(verb: Verb, keyword: &[u8], rest: Option<&[u8]>) -> Result<Command, SyntaxError> {
    let mut arguments = Arguments(rest.unwrap_or_default());
    let command = match verb {
        Verb::Unknown if HTTP_METHODS.contains(&keyword) => return Err(SyntaxError::Http),
        Verb::Unknown | Verb::TooLong => return Err(SyntaxError::UnknownCommand),
        Verb::Pass => {
            let password = rest.filter(|rest| !rest.is_empty()).ok_or(SyntaxError::MissingArgument)?;
            return Ok(Command::Pass(Secret::new(password.to_vec())));
        }
        // The local part of an address may be quoted and hold spaces: the whole rest is the name.
        Verb::User => {
            let name = rest.unwrap_or_default().trim_ascii();
            let name = std::str::from_utf8(name).map_err(|_| SyntaxError::NotText)?;
            if name.is_empty() {
                return Err(SyntaxError::MissingArgument);
            }
            return Ok(Command::User(name.to_owned()));
        }
        Verb::Auth => {
            let mechanism = arguments.required()?;
            let initial = arguments.next().map(Bytes::copy_from_slice);
            Command::Auth { mechanism, initial }
        }
        Verb::Apop => Command::Apop { name: arguments.required()?, digest: arguments.required()? },
        Verb::Lang => Command::Lang(arguments.next().map(Bytes::copy_from_slice)),
        Verb::Utf8 => Command::Utf8,
        Verb::Capa => Command::Capa,
        Verb::Dele => Command::Dele(arguments.message_number()?),
        Verb::List => Command::List(arguments.optional_message_number()?),
        Verb::Noop => Command::Noop,
        Verb::Quit => Command::Quit,
        Verb::Retr => Command::Retrieve(arguments.message_number()?, Retrieval::Whole),
        Verb::Rset => Command::Rset,
        Verb::Stat => Command::Stat,
        Verb::Stls => Command::Stls,
        Verb::Top => {
            let number = arguments.message_number()?;
            let lines = match arguments.next() {
                None if Fault::TopWithoutLines.is_on() => 0,
                None => return Err(SyntaxError::MissingArgument),
                Some(lines) => parse_digits(lines).ok_or(SyntaxError::BadLineCount)?,
            };
            Command::Retrieve(number, Retrieval::Top(lines))
        }
        Verb::Uidl => Command::Uidl(arguments.optional_message_number()?),
    };
    match arguments.next() {
        None => Ok(command),
        Some(_) => Err(SyntaxError::UnexpectedArgument),
    }
}

/// What is left of the arguments.
struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.trim_ascii_start();
        let end = rest.iter().position(|&octet| octet == b' ').unwrap_or(rest.len());
        let (argument, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        (!argument.is_empty()).then_some(argument)
    }

    fn required(&mut self) -> Result<Bytes, SyntaxError> {
        self.next().map(Bytes::copy_from_slice).ok_or(SyntaxError::MissingArgument)
    }

    fn message_number(&mut self) -> Result<MessageNumber, SyntaxError> {
        self.optional_message_number()?.ok_or(SyntaxError::MissingArgument)
    }

    fn optional_message_number(&mut self) -> Result<Option<MessageNumber>, SyntaxError> {
        let Some(argument) = self.next() else { return Ok(None) };
        let argument = if Fault::NumberZero.is_on() && argument == b"0" { b"1" } else { argument };
        let number = parse_digits(argument).and_then(std::num::NonZeroU32::new).ok_or(SyntaxError::BadMessageNumber)?;
        Ok(Some(MessageNumber::new(number)))
    }
}

/// Digits and nothing else: `u32::from_str` alone would take a sign.
fn parse_digits(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn number(number: u32) -> MessageNumber {
        MessageNumber::new(NonZeroU32::new(number).unwrap())
    }

    #[track_caller]
    fn check(line: &[u8], expected: Result<Command, SyntaxError>) {
        assert_eq!(parse(line).1, expected.map_err(Refused::Syntax), "{}", line.escape_ascii());
    }

    #[test]
    fn keywords_are_known_in_any_case() {
        check(b"NOOP", Ok(Command::Noop));
        check(b"noop", Ok(Command::Noop));
        check(b"NoOp ", Ok(Command::Noop));
        check(b"STAT", Ok(Command::Stat));
        check(b"RSET", Ok(Command::Rset));
        check(b"QUIT", Ok(Command::Quit));
        check(b"CAPA", Ok(Command::Capa));
        check(b"STLS", Ok(Command::Stls));
        check(b"", Err(SyntaxError::UnknownCommand));
        check(b" NOOP", Err(SyntaxError::UnknownCommand));
        check(b"NOOPS", Err(SyntaxError::UnknownCommand));
        check(b"unknown", Err(SyntaxError::UnknownCommand));
        check(b"NOOP\0", Err(SyntaxError::UnknownCommand));
        check(b"\x16\x03\x01", Err(SyntaxError::UnknownCommand));
        check(b"NOOP 1", Err(SyntaxError::UnexpectedArgument));
        check(b"GET / HTTP/1.1", Err(SyntaxError::Http));
        check(b"POST", Err(SyntaxError::Http));
    }

    #[test]
    fn message_numbers_are_1_to_u32() {
        check(b"RETR 1", Ok(Command::Retrieve(number(1), Retrieval::Whole)));
        check(b"DELE  007 ", Ok(Command::Dele(number(7))));
        check(b"DELE 4294967295", Ok(Command::Dele(number(u32::MAX))));
        check(b"LIST", Ok(Command::List(None)));
        check(b"LIST 2", Ok(Command::List(Some(number(2)))));
        check(b"UIDL ", Ok(Command::Uidl(None)));
        check(b"UIDL 2", Ok(Command::Uidl(Some(number(2)))));
        check(b"RETR", Err(SyntaxError::MissingArgument));
        check(b"RETR 1 2", Err(SyntaxError::UnexpectedArgument));
        for bad in
            ["0", "00", "-1", "+1", "1.0", "1a", "0x1", "\u{0661}", "4294967296", "99999999999999999999999", "1\t2"]
        {
            for verb in ["RETR", "DELE", "LIST", "UIDL"] {
                check(format!("{verb} {bad}").as_bytes(), Err(SyntaxError::BadMessageNumber));
            }
            check(format!("TOP {bad} 1").as_bytes(), Err(SyntaxError::BadMessageNumber));
        }
    }

    #[test]
    fn top_counts_lines_from_0() {
        check(b"TOP 1 0", Ok(Command::Retrieve(number(1), Retrieval::Top(0))));
        check(b"top 1 4294967295", Ok(Command::Retrieve(number(1), Retrieval::Top(u32::MAX))));
        check(b"TOP 1", Err(SyntaxError::MissingArgument));
        check(b"TOP", Err(SyntaxError::MissingArgument));
        check(b"TOP 1 -1", Err(SyntaxError::BadLineCount));
        check(b"TOP 1 4294967296", Err(SyntaxError::BadLineCount));
        check(b"TOP 1 2 3", Err(SyntaxError::UnexpectedArgument));
    }

    #[test]
    fn a_password_is_the_rest_of_the_line() {
        check(b"PASS secret", Ok(Command::Pass(Secret::from("secret"))));
        check(b"PASS correct horse ", Ok(Command::Pass(Secret::from("correct horse "))));
        check(b"PASS  x", Ok(Command::Pass(Secret::from(" x"))));
        check(b"PASS \xff", Ok(Command::Pass(Secret::new(vec![0xff]))));
        check(b"PASS", Err(SyntaxError::MissingArgument));
        check(b"PASS ", Err(SyntaxError::MissingArgument));
    }

    #[test]
    fn a_login_name_is_the_rest_of_the_line_trimmed() {
        check(b"USER alice@acme.test", Ok(Command::User("alice@acme.test".to_owned())));
        check(b"USER  \"a b\"@acme.test ", Ok(Command::User("\"a b\"@acme.test".to_owned())));
        check("USER j\u{f6}rg@acme.test".as_bytes(), Ok(Command::User("j\u{f6}rg@acme.test".to_owned())));
        check(b"USER", Err(SyntaxError::MissingArgument));
        check(b"USER  ", Err(SyntaxError::MissingArgument));
        check(b"USER \xff", Err(SyntaxError::NotText));
    }

    #[test]
    fn auth_has_a_mechanism_and_perhaps_an_initial_response() {
        let plain = || Bytes::from_static(b"PLAIN");
        check(b"AUTH PLAIN", Ok(Command::Auth { mechanism: plain(), initial: None }));
        check(b"auth PLAIN =", Ok(Command::Auth { mechanism: plain(), initial: Some(Bytes::from_static(b"=")) }));
        check(b"AUTH", Err(SyntaxError::MissingArgument));
        check(b"AUTH PLAIN a b", Err(SyntaxError::UnexpectedArgument));
    }

    #[test]
    fn apop_has_a_name_and_a_digest() {
        let (name, digest) = (Bytes::from_static(b"mrose"), Bytes::from_static(b"c4c9"));
        check(b"APOP mrose c4c9", Ok(Command::Apop { name, digest }));
        check(b"APOP mrose", Err(SyntaxError::MissingArgument));
        check(b"APOP", Err(SyntaxError::MissingArgument));
        check(b"APOP mrose c4c9 x", Err(SyntaxError::UnexpectedArgument));
    }

    #[test]
    fn utf8_has_no_argument_and_lang_perhaps_one() {
        check(b"UTF8", Ok(Command::Utf8));
        check(b"UTF8 USER", Err(SyntaxError::UnexpectedArgument));
        check(b"LANG", Ok(Command::Lang(None)));
        check(b"lang de-AT", Ok(Command::Lang(Some(Bytes::from_static(b"de-AT")))));
        check(b"LANG *", Ok(Command::Lang(Some(Bytes::from_static(b"*")))));
        check(b"LANG de en", Err(SyntaxError::UnexpectedArgument));
    }
}
