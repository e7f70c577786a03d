//! The parser of POP3 commands: a line gets one answer in either state, under its keyword's name, and what asks for a message
//! is understood as a second parser here understands it.
#![no_main]

use std::{num::NonZeroU32, sync::Arc};

use libfuzzer_sys::fuzz_target;
use mail_types::{MessageNumber, Octets, UniqueId};
use pop3_proto::{
    BodyFlow, Connection, Effect, Entry, Expire, LeadingDots, LoginRefusal, Maildrop, MaildropPolicy, Next, Replied,
    Retrieval, Security, Session, Settings, Verb,
};
use restante_fuzz::challenges;
use sasl::{Account, ChannelBindings, Mechanisms, TokenRefusal, TokenStatus};

const MESSAGES: u32 = 5;
const MARKED: u32 = 2;
const MAX_LINE: usize = 255;

fn session(logged_in: bool) -> Session {
    let settings = Settings {
        implementation: "Restante",
        max_bad_commands: 10,
        max_command_line: MAX_LINE,
        max_auth_line: 12_290,
        max_output: 64 * 1024,
        mechanisms: Mechanisms::all(),
        apop: true,
        login_delay: 0,
        expire: Expire::Never,
    };
    let challenges = Arc::new(challenges());
    let connection = Connection { challenges, bindings: ChannelBindings::default(), certificate: Vec::new() };
    let mut session = Session::new(settings, Security::Clear { stls: true, passwords: true }, connection, "1");
    if logged_in {
        session.input(format!("USER a\r\nPASS b\r\nDELE {MARKED}\r\n").as_bytes());
        loop {
            match session.next() {
                Next::Effect(Effect::Authenticate(_)) => session.login_accepted(maildrop()),
                Next::NeedInput => break,
                _ => {}
            }
        }
    }
    session.output().clear();
    session
}

fn maildrop() -> Maildrop {
    let entry = |number| Entry {
        octets: Octets(10),
        unique_id: UniqueId::parse(&format!("u{number}")).expect("a unique-id"),
        utf8_header: false,
    };
    Maildrop::new((1..=MESSAGES).map(entry).collect::<Vec<_>>(), MaildropPolicy::default())
}

/// What the line retrieves, if it does: words after one space or more, whole numbers, a message that is there.
fn retrieved(line: &str) -> Option<(MessageNumber, Retrieval)> {
    let (keyword, rest) = line.split_once(' ')?;
    let mut words = rest.split(' ').map(str::trim_ascii_start).filter(|word| !word.is_empty());
    let number = |word: &str| word.bytes().all(|octet| octet.is_ascii_digit()).then(|| word.parse::<u32>().ok())?;
    let message = number(words.next()?)?;
    let what = match keyword.to_ascii_uppercase().as_str() {
        "RETR" => Retrieval::Whole,
        "TOP" => Retrieval::Top(number(words.next()?)?),
        _ => return None,
    };
    if words.next().is_some() || message > MESSAGES || message == MARKED {
        return None;
    }
    Some((MessageNumber::new(NonZeroU32::new(message)?), what))
}

/// Answers what the session asks until it has replied; what it retrieved on the way.
fn answered(session: &mut Session) -> (Option<Replied>, Option<(MessageNumber, Retrieval)>, bool) {
    let (mut replied, mut retrieved) = (None, None);
    loop {
        match session.next() {
            Next::Replied(one) => assert!(replied.replace(one).is_none(), "two replies to one line"),
            Next::NeedInput => return (replied, retrieved, false),
            Next::Close | Next::Effect(Effect::StartTls) => return (replied, retrieved, true),
            Next::Drain => session.output().clear(),
            Next::Effect(Effect::LookUp { .. }) => {
                let (salt, iterations) = (b"salt".to_vec(), NonZeroU32::MIN);
                session.looked_up(Account { salt, iterations, keys: Vec::new(), secrets: Vec::new() });
            }
            Next::Effect(Effect::Authenticate(attempt)) => match attempt.evidence {
                pop3_proto::Evidence::Token(_) => session.token_refused(&TokenRefusal {
                    status: TokenStatus::InvalidToken,
                    scope: None,
                    openid_configuration: None,
                }),
                _ => session.login_refused(LoginRefusal::WrongCredentials),
            },
            Next::Effect(Effect::Retrieve { number, what }) => {
                assert!(retrieved.replace((number, what)).is_none());
                session.body_begin(LeadingDots::Possible);
                assert!(matches!(session.body(b"a: b\r\n\r\nc\r\n"), BodyFlow::More | BodyFlow::Enough));
                session.body_end();
            }
            Next::Effect(Effect::Update { marked, fetched }) => {
                assert!(marked.len() == 1 && fetched.is_empty());
                session.update_done(Ok(()));
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    // One line: its end is ours.
    let line: Vec<u8> = input.iter().copied().filter(|octet| *octet != b'\n').collect();
    let text = String::from_utf8_lossy(&line).into_owned();
    let keyword = line.split(|octet| *octet == b' ').next().unwrap_or_default();
    for logged_in in [false, true] {
        let mut session = session(logged_in);
        for piece in line.chunks(8192) {
            session.input(piece);
        }
        session.input(b"\r\n");
        let (replied, message, closed) = answered(&mut session);
        match replied {
            Some(replied) => {
                let known = replied.verb.as_str().as_bytes().eq_ignore_ascii_case(keyword);
                assert!(known || matches!(replied.verb, Verb::Unknown | Verb::TooLong), "{replied:?}");
                assert_eq!(replied.verb == Verb::TooLong, line.len() + 2 > MAX_LINE && !long_auth(&line, logged_in));
            }
            // The rest of an AUTH is awaited.
            None => assert!(!logged_in && !closed && keyword.eq_ignore_ascii_case(b"AUTH")),
        }
        assert!(session.has_output() || replied.is_none());
        let expected = if logged_in && line.len() + 2 <= MAX_LINE { retrieved(&text) } else { None };
        assert_eq!(message, expected);
        if closed {
            let http = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE"];
            let closes = ["QUIT", "STLS"].iter().any(|word| keyword.eq_ignore_ascii_case(word.as_bytes()));
            assert!(closes || http.iter().any(|word| word.as_bytes() == keyword));
        }
    }
});

/// An AUTH line may be longer than others, before login.
fn long_auth(line: &[u8], logged_in: bool) -> bool {
    !logged_in && line.len() + 2 <= 12_290 && line.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case(b"AUTH "))
}
