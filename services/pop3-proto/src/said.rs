//! What may be known of a client's words outside of this crate: for transcripts, and for who cannot log in.

use std::fmt;

use mail_types::MessageNumber;
use sasl::{Mechanism, Mechanisms};

use crate::command::{Command, Retrieval, Verb};
use crate::effect::LoginMethod;

/// What the client said last: what may be written down of it. There is nothing in it that a client could have typed in the wrong
/// place, and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Which command.
    pub verb: Verb,
    /// The numbers that it names: a message's, a count of lines.
    pub numbers: [Option<u32>; 2],
    /// AUTH's mechanism, if it is one that is offered.
    pub mechanism: Option<Mechanism>,
    /// Its lines: of AUTH also the client's responses.
    pub lines: u32,
    /// Their octets, without line ends.
    pub octets: u64,
}

impl Said {
    pub(crate) const NOTHING: Self =
        Self { verb: Verb::Unknown, numbers: [None; 2], mechanism: None, lines: 0, octets: 0 };

    /// Of a command line.
    pub(crate) fn of(verb: Verb, command: Option<&Command>, octets: usize) -> Self {
        let numbers = match command {
            Some(Command::Dele(number)) => [Some(number.get()), None],
            Some(Command::List(number) | Command::Uidl(number)) => [number.map(MessageNumber::get), None],
            Some(Command::Retrieve(number, Retrieval::Whole)) => [Some(number.get()), None],
            Some(Command::Retrieve(number, Retrieval::Top(lines))) => [Some(number.get()), Some(*lines)],
            _ => [None; 2],
        };
        let mechanism = match command {
            Some(Command::Auth { mechanism, .. }) => {
                Mechanism::ALL.into_iter().collect::<Mechanisms>().parse(mechanism)
            }
            _ => None,
        };
        Said { verb, numbers, mechanism, lines: 1, octets: octets as u64 }
    }

    /// A further line of the same.
    pub(crate) fn more(&mut self, octets: usize) {
        self.lines = self.lines.saturating_add(1);
        self.octets = self.octets.saturating_add(octets as u64);
    }
}

/// As a transcript shows it: `RETR 7`, `PASS [redacted]`, `AUTH PLAIN [redacted, 2 lines]`.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, numbers, mechanism, lines, octets } = *self;
        match verb {
            Verb::Unknown => return write!(f, "[unknown command, {octets} octets]"),
            Verb::TooLong => return f.write_str("[a line that is too long]"),
            verb => f.write_str(&verb.as_str().to_ascii_uppercase())?,
        }
        for number in numbers.into_iter().flatten() {
            write!(f, " {number}")?;
        }
        if let Some(mechanism) = mechanism {
            write!(f, " {}", mechanism.name())?;
        }
        let has_argument = octets > verb.as_str().len() as u64;
        match verb {
            Verb::Auth if lines > 1 => write!(f, " [redacted, {lines} lines]"),
            Verb::Apop | Verb::Auth | Verb::Lang | Verb::Pass | Verb::User if has_argument => {
                f.write_str(" [redacted]")
            }
            _ => Ok(()),
        }
    }
}

/// A login that was refused before anybody was asked who that is.
#[derive(Debug, PartialEq, Eq)]
pub struct Denied {
    /// The login name as given, prepared. May be a password typed in the wrong place: not for logs.
    pub login: String,
    /// How it came.
    pub method: LoginMethod,
    /// Because it is in clear; else because APOP is not offered.
    pub in_clear: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let (verb, command) = command::parse(line.as_bytes());
        assert_eq!(Said::of(verb, command.as_ref().ok(), line.len()).to_string(), expected);
    }

    #[test]
    fn only_what_cannot_be_a_secret_is_said() {
        check("retr 7", "RETR 7");
        check("TOP 7 0", "TOP 7 0");
        check("UIDL", "UIDL");
        check("LIST 12", "LIST 12");
        check("USER alice@acme.test", "USER [redacted]");
        check("PASS hunter2", "PASS [redacted]");
        check("APOP alice c4c9334bac560ecc979e58001b3e22fb", "APOP [redacted]");
        check("AUTH PLAIN AGEAYg==", "AUTH PLAIN [redacted]");
        check("AUTH hunter2", "AUTH [redacted]");
        check("AUTH", "AUTH");
        check("LANG hunter2", "LANG [redacted]");
        check("hunter2 secret", "[unknown command, 14 octets]");
        check("RETR hunter2", "RETR");
        check("NOOP hunter2", "NOOP");
        let mut said = Said::of(Verb::Auth, None, 10);
        said.more(44);
        assert_eq!(said.to_string(), "AUTH [redacted, 2 lines]");
    }
}
