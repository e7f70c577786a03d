//! Command lines (RFC 5321 section 4.1, RFC 2033 section 4): octets to values, with the reply for what is no command.

use mail_types::{Address, ReversePath};

use crate::{path, reply::Reply};

/// A command whose syntax is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Lhlo(String),
    Mail(Mail),
    Rcpt {
        address: Address,
        /// The address as it was given, without brackets and route.
        given: String,
    },
    Data,
    Bdat(Chunk),
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
}

/// `MAIL FROM:<reverse-path> [SIZE=octets] [BODY=7BIT|8BITMIME] [SMTPUTF8]`. BODY is checked and forgotten: bodies are octets here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) reverse_path: ReversePath,
    /// RFC 1870 section 5. A number beyond 64 bits is the largest that fits: it is over any limit.
    pub(crate) declared_octets: Option<u64>,
    pub(crate) smtputf8: bool,
}

/// `BDAT octets [LAST]` (RFC 3030 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) octets: u64,
    pub(crate) last: bool,
}

impl Command {
    /// Parses a line without its CRLF. Spaces at its end are tolerated (RFC 5321 section 4.1.1).
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Reply> {
        let line = line.trim_ascii_end();
        let verb_octets = line.iter().position(|&octet| octet == b' ').unwrap_or(line.len());
        let (verb, arguments) = line.split_at_checked(verb_octets).ok_or(Reply::UnknownCommand)?;
        let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
        let arguments = std::str::from_utf8(arguments).map(|arguments| arguments.trim_start_matches(' '));
        match verb.as_str() {
            "LHLO" => lhlo(arguments.unwrap_or_default()),
            // RFC 2033 section 4.1: an LMTP server must not take them.
            "HELO" | "EHLO" => Err(Reply::WantsLhlo),
            "MAIL" => mail(arguments.map_err(|_| Reply::BadReversePath)?),
            "RCPT" => rcpt(arguments.map_err(|_| Reply::BadForwardPath)?),
            "DATA" => alone(Self::Data, arguments.ok(), "DATA"),
            "BDAT" => bdat(arguments.unwrap_or_default()),
            "RSET" => alone(Self::Rset, arguments.ok(), "RSET"),
            "NOOP" => Ok(Self::Noop),
            "VRFY" if arguments == Ok("") => Err(Reply::BadArguments("VRFY address")),
            "VRFY" => Ok(Self::Vrfy),
            "HELP" => Ok(Self::Help),
            "QUIT" => alone(Self::Quit, arguments.ok(), "QUIT"),
            "STARTTLS" => alone(Self::StartTls, arguments.ok(), "STARTTLS"),
            "EXPN" | "AUTH" | "TURN" | "ETRN" => Err(Reply::NotImplemented),
            // A web page can make a browser send us a form whose fields are commands.
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" | "PRI" => {
                Err(Reply::Http)
            }
            _ => Err(Reply::UnknownCommand),
        }
    }
}

/// A command that has no arguments.
fn alone(command: Command, arguments: Option<&str>, syntax: &'static str) -> Result<Command, Reply> {
    if arguments == Some("") { Ok(command) } else { Err(Reply::BadArguments(syntax)) }
}

/// The name goes into a header line: a domain or an address literal, and what hosts without a proper name say, but nothing that has a
/// meaning there.
fn lhlo(name: &str) -> Result<Command, Reply> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b".-_[]:".contains(&octet);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(allowed) {
        return Err(Reply::BadArguments("LHLO domain"));
    }
    Ok(Command::Lhlo(name.to_owned()))
}

fn mail(arguments: &str) -> Result<Command, Reply> {
    let text = after_keyword(arguments, "FROM:").ok_or(Reply::BadArguments("MAIL FROM:<reverse-path> [parameters]"))?;
    let (path, parameters) = path::split(text).ok_or(Reply::BadReversePath)?;
    let reverse_path = ReversePath::parse(path).map_err(|_| Reply::BadReversePath)?;
    let (mut declared_octets, mut body, mut smtputf8) = (None, None, false);
    for parameter in parameters.split(' ').filter(|parameter| !parameter.is_empty()) {
        let (keyword, value) = match parameter.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (parameter, None),
        };
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if declared_octets.is_none() => declared_octets = Some(size(value)?),
            ("BODY", Some(value)) if body.is_none() => body = Some(body_type(value)?),
            ("SMTPUTF8", None) if !smtputf8 => smtputf8 = true,
            ("SIZE" | "BODY" | "SMTPUTF8", _) => return Err(Reply::BadParameter),
            _ => return Err(Reply::UnknownParameter),
        }
    }
    // RFC 6531 section 3.5.
    if !smtputf8 && !path.is_ascii() {
        return Err(Reply::NeedsSmtpUtf8);
    }
    Ok(Command::Mail(Mail { reverse_path, declared_octets, smtputf8 }))
}

/// RFC 1870 section 4: 1 to 20 digits.
fn size(value: &str) -> Result<u64, Reply> {
    if value.is_empty() || value.len() > 20 || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Reply::BadParameter);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

/// RFC 6152 section 2. BINARYMIME (RFC 3030) is not offered.
fn body_type(value: &str) -> Result<(), Reply> {
    if value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME") {
        Ok(())
    } else if value.eq_ignore_ascii_case("BINARYMIME") {
        Err(Reply::UnknownParameter)
    } else {
        Err(Reply::BadParameter)
    }
}

fn rcpt(arguments: &str) -> Result<Command, Reply> {
    let text = after_keyword(arguments, "TO:").ok_or(Reply::BadArguments("RCPT TO:<forward-path>"))?;
    let (path, parameters) = path::split(text).ok_or(Reply::BadForwardPath)?;
    let address = Address::parse(path).map_err(|_| Reply::BadForwardPath)?;
    if !parameters.trim_matches(' ').is_empty() {
        return Err(Reply::UnknownParameter);
    }
    Ok(Command::Rcpt { address, given: path.to_owned() })
}

fn bdat(arguments: &str) -> Result<Command, Reply> {
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    let octets = words.next().filter(|word| word.bytes().all(|octet| octet.is_ascii_digit()));
    let octets = octets.and_then(|octets| octets.parse().ok()).ok_or(Reply::BadChunkLength)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(Reply::BadChunkLength),
    };
    if words.next().is_some() {
        return Err(Reply::BadChunkLength);
    }
    Ok(Command::Bdat(Chunk { octets, last }))
}

fn after_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<Command, Reply>) {
        assert_eq!(Command::parse(line.as_bytes()), expected, "{line}");
    }

    fn mail(path: &str, declared_octets: Option<u64>, smtputf8: bool) -> Result<Command, Reply> {
        let reverse_path = ReversePath::parse(path).unwrap();
        Ok(Command::Mail(Mail { reverse_path, declared_octets, smtputf8 }))
    }

    fn rcpt(given: &str) -> Result<Command, Reply> {
        Ok(Command::Rcpt { address: Address::parse(given).unwrap(), given: given.to_owned() })
    }

    #[test]
    fn verbs_have_any_case_and_may_be_followed_by_spaces() {
        check("noop", Ok(Command::Noop));
        check("NoOp anything at all", Ok(Command::Noop));
        check("RSET  ", Ok(Command::Rset));
        check("RSET x", Err(Reply::BadArguments("RSET")));
        check("DATA", Ok(Command::Data));
        check("DATA x", Err(Reply::BadArguments("DATA")));
        check("quit", Ok(Command::Quit));
        check("QUIT now", Err(Reply::BadArguments("QUIT")));
        check("STARTTLS", Ok(Command::StartTls));
        check("STARTTLS now", Err(Reply::BadArguments("STARTTLS")));
        check("HELP MAIL", Ok(Command::Help));
        check("VRFY alice", Ok(Command::Vrfy));
        check("VRFY", Err(Reply::BadArguments("VRFY address")));
        check("EXPN staff", Err(Reply::NotImplemented));
        check("AUTH PLAIN AA==", Err(Reply::NotImplemented));
    }

    #[test]
    fn what_is_no_command_is_said_to_be_none() {
        for line in ["", " ", " NOOP", "NOOPS", "N\tOOP", "MAILFROM:<a@b.test>", "\u{e9}"] {
            check(line, Err(Reply::UnknownCommand));
        }
        assert_eq!(Command::parse(b"\xff\xfe\0"), Err(Reply::UnknownCommand));
        check("HELO x", Err(Reply::WantsLhlo));
        check("EHLO x", Err(Reply::WantsLhlo));
        check("GET / HTTP/1.1", Err(Reply::Http));
        check("post / HTTP/1.1", Err(Reply::Http));
        check("PRI * HTTP/2.0", Err(Reply::Http));
    }

    #[test]
    fn lhlo_takes_one_name() {
        for name in ["mx.acme.test", "[127.0.0.1]", "[IPv6:::1]", "my_host", "localhost"] {
            check(&format!("LHLO {name}"), Ok(Command::Lhlo(name.to_owned())));
        }
        let long = "x".repeat(256);
        for name in ["", "two names", "(comment)", "a;b", "<a>", "\u{e9}.test", &long] {
            check(&format!("LHLO {name}"), Err(Reply::BadArguments("LHLO domain")));
        }
        assert_eq!(Command::parse(b"LHLO \xff"), Err(Reply::BadArguments("LHLO domain")));
    }

    #[test]
    fn mail_takes_a_path_and_parameters() {
        check("MAIL FROM:<>", mail("", None, false));
        check("mail from:<a@b.test>", mail("a@b.test", None, false));
        check("MAIL FROM: <a@b.test>", mail("a@b.test", None, false));
        check("MAIL FROM:<@r.test:a@b.test>", mail("a@b.test", None, false));
        check("MAIL FROM:<\"a b\"@b.test> SIZE=1", mail("\"a b\"@b.test", Some(1), false));
        check("MAIL FROM:<a@b.test> size=10  body=8bitmime smtputf8", mail("a@b.test", Some(10), true));
        check("MAIL FROM:<a@b.test> BODY=7BIT", mail("a@b.test", None, false));
        check("MAIL FROM:<\u{e9}@b.test> SMTPUTF8", mail("\u{e9}@b.test", None, true));
        check("MAIL FROM:<\u{e9}@b.test>", Err(Reply::NeedsSmtpUtf8));
        check("MAIL FROM:<> SIZE=99999999999999999999", mail("", Some(u64::MAX), false));
        let syntax = Err(Reply::BadArguments("MAIL FROM:<reverse-path> [parameters]"));
        check("MAIL", syntax.clone());
        check("MAIL TO:<a@b.test>", syntax.clone());
        check("MAIL FROM", syntax);
        for path in ["", "a@b.test", "<a@b.test", "<a b@c.test>", "<a@b.test>SIZE=1", "<a\u{7f}@b.test>"] {
            check(&format!("MAIL FROM:{path}"), Err(Reply::BadReversePath));
        }
        assert_eq!(Command::parse(b"MAIL FROM:<\xff@b.test> SMTPUTF8"), Err(Reply::BadReversePath));
        for bad in [
            "SIZE",
            "SIZE=",
            "SIZE=-1",
            "SIZE=1x",
            "SIZE=1 SIZE=1",
            "BODY",
            "BODY=9BIT",
            "BODY=7BIT BODY=7BIT",
            "SMTPUTF8=1",
            "SMTPUTF8 SMTPUTF8",
        ] {
            check(&format!("MAIL FROM:<> {bad}"), Err(Reply::BadParameter));
        }
        for unknown in ["X", "X=1", "RET=FULL", "ENVID=x", "AUTH=<>", "BODY=BINARYMIME", "REQUIRETLS"] {
            check(&format!("MAIL FROM:<> {unknown}"), Err(Reply::UnknownParameter));
        }
    }

    #[test]
    fn rcpt_takes_an_address() {
        check("RCPT TO:<alice@acme.test>", rcpt("alice@acme.test"));
        check("rcpt to: <Alice+x@ACME.test>", rcpt("Alice+x@ACME.test"));
        check("RCPT TO:<\"a b>\"@acme.test>", rcpt("\"a b>\"@acme.test"));
        check("RCPT TO:<@a.test,@b.test:alice@acme.test>", rcpt("alice@acme.test"));
        check("RCPT TO:<j\u{f6}rg@acme.test>", rcpt("j\u{f6}rg@acme.test"));
        check("RCPT TO:<alice@acme.test> NOTIFY=NEVER", Err(Reply::UnknownParameter));
        check("RCPT", Err(Reply::BadArguments("RCPT TO:<forward-path>")));
        check("RCPT FROM:<a@b.test>", Err(Reply::BadArguments("RCPT TO:<forward-path>")));
        for path in [
            "",
            "<>",
            "<alice>",
            "<@acme.test>",
            "<alice@>",
            "<a b@acme.test>",
            "<alice@acme.test",
            "alice@acme.test",
            "<alice@a..test>",
            "<alice@[127.0.0.1]>",
        ] {
            check(&format!("RCPT TO:{path}"), Err(Reply::BadForwardPath));
        }
        check(&format!("RCPT TO:<{}@acme.test>", "x".repeat(65)), Err(Reply::BadForwardPath));
        assert_eq!(Command::parse(b"RCPT TO:<\xff@acme.test>"), Err(Reply::BadForwardPath));
    }

    #[test]
    fn bdat_takes_a_length() {
        check("BDAT 0", Ok(Command::Bdat(Chunk { octets: 0, last: false })));
        check("bdat 17 last", Ok(Command::Bdat(Chunk { octets: 17, last: true })));
        for arguments in ["", "x", "-1", "+1", "1 FIRST", "1 LAST LAST", "99999999999999999999", "1LAST"] {
            check(&format!("BDAT {arguments}"), Err(Reply::BadChunkLength));
        }
    }
}
