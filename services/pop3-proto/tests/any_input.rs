//! Any octets in any pieces: no panic, an answer for every command, bounded output and memory, and the same answers however
//! the octets are split.

#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::num::NonZeroU32;

use mail_types::{Octets, UniqueId};
use pop3_proto::{
    BodyFlow, Effect, Entry, Evidence, LeadingDots, LoginAttempt, LoginRefusal, Maildrop, MaildropPolicy, Next,
    Security, Session, Settings, Verb,
};
use proptest::prelude::*;
use sasl::{Account, Mechanisms, TokenRefusal, TokenStatus};
use support::{connection, settings};

const MESSAGES: usize = 20_000;
const BODY: &[u8] = b"A: b\r\n\r\n.body\r\n";
/// The output may pass its limit of 64 KiB by one answer.
const MOST_OUTPUT: usize = 64 * 1024 + 1024;

struct Played {
    output: Vec<u8>,
    replies: Vec<Verb>,
    closed: bool,
}

/// Plays octets cut into pieces, as a client that reads what it is sent.
fn play(octets: &[u8], piece: usize) -> Played {
    let settings = Settings { max_bad_commands: u32::MAX, mechanisms: Mechanisms::all(), apop: true, ..settings() };
    let security = Security::Clear { stls: true, passwords: true };
    let mut session = Session::new(settings, security, connection(), "1");
    let mut played = Played { output: Vec::new(), replies: Vec::new(), closed: false };
    let mut rest = octets;
    while !played.closed {
        assert!(session.output().len() <= MOST_OUTPUT, "{} octets of output", session.output().len());
        match session.next() {
            Next::Replied(replied) => played.replies.push(replied.verb),
            Next::Drain => played.output.extend_from_slice(&session.output().split()),
            Next::NeedInput => {
                played.output.extend_from_slice(&session.output().split());
                assert!(session.input_room() > 0, "a session that wants input has room for it");
                let (now, later) = rest.split_at(rest.len().min(piece).min(session.input_room()));
                if now.is_empty() {
                    break;
                }
                session.input(now);
                rest = later;
            }
            Next::Close | Next::Effect(Effect::StartTls) => {
                played.output.extend_from_slice(&session.output().split());
                played.closed = true;
            }
            Next::Effect(Effect::LookUp { .. }) => {
                let (salt, iterations) = (b"salt".to_vec(), NonZeroU32::MIN);
                session.looked_up(Account { salt, iterations, keys: Vec::new(), secrets: Vec::new() });
            }
            Next::Effect(Effect::Authenticate(attempt)) if attempt.login == "a" => session.login_accepted(maildrop()),
            Next::Effect(Effect::Authenticate(LoginAttempt { evidence: Evidence::Token(_), .. })) => {
                let status = TokenStatus::InvalidToken;
                session.token_refused(&TokenRefusal { status, scope: None, openid_configuration: None });
            }
            Next::Effect(Effect::Authenticate(_)) => session.login_refused(LoginRefusal::WrongCredentials),
            Next::Effect(Effect::Retrieve { .. }) => {
                session.body_begin(LeadingDots::Possible);
                for piece in BODY.chunks(piece) {
                    if session.body(piece) == BodyFlow::Enough {
                        break;
                    }
                }
                session.body_end();
            }
            Next::Effect(Effect::Update { marked, fetched }) => {
                assert!(!marked.is_empty() && fetched.is_empty());
                session.update_done(Ok(()));
            }
        }
    }
    played
}

fn maildrop() -> Maildrop {
    let entry = |index| Entry {
        octets: Octets(BODY.len() as u64),
        unique_id: UniqueId::parse(&format!("u{index}")).unwrap(),
        utf8_header: false,
    };
    Maildrop::new((0..MESSAGES).map(entry).collect::<Vec<_>>(), MaildropPolicy::default())
}

/// Lines that are likely to get somewhere, and a few that are not.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "USER a",
        "USER b",
        "PASS b",
        "AUTH PLAIN AGEAYg==",
        "AUTH PLAIN",
        "AUTH LOGIN",
        "AUTH SCRAM-SHA-256 biwsbj1hLHI9eA==",
        "AUTH SCRAM-SHA-1",
        "AUTH CRAM-MD5",
        "AUTH XOAUTH2 dXNlcj1iAWF1dGg9QmVhcmVyIHgBAQ==",
        "AUTH NTLM",
        "APOP a c4c9334bac560ecc979e58001b3e22fb",
        "UTF8",
        "LANG",
        "LANG de",
        "LANG fr",
        "YQ==",
        "*",
        "CAPA",
        "STAT",
        "LIST",
        "LIST 1",
        "UIDL",
        "UIDL 2",
        "RETR 1",
        "RETR 0",
        "TOP 1 0",
        "TOP 2 1",
        "DELE 1",
        "DELE 20000",
        "DELE 20001",
        "RSET",
        "NOOP",
        "XYZZY",
        "",
    ];
    let rare = ["QUIT", "STLS", "GET / HTTP/1.1"];
    prop_oneof![
        20 => prop::sample::select(known.map(|line| line.as_bytes().to_vec()).to_vec()),
        1 => prop::sample::select(rare.map(|line| line.as_bytes().to_vec()).to_vec()),
        2 => prop::collection::vec(prop::num::u8::ANY.prop_filter("a line", |octet| *octet != b'\n'), 0..40),
        1 => (200_usize..14_000).prop_map(|octets| vec![b'x'; octets]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn octets_of_any_kind_do_no_harm(octets in prop::collection::vec(prop::num::u8::ANY, 0..4000), piece in 1_usize..300) {
        let whole = play(&octets, octets.len().max(1));
        let pieces = play(&octets, piece);
        prop_assert_eq!(whole.output, pieces.output);
        prop_assert_eq!(whole.closed, pieces.closed);
    }

    #[test]
    fn every_command_has_one_answer(login in any::<bool>(), lines in prop::collection::vec(line(), 0..40), piece in 1_usize..3000) {
        let mut octets = if login { b"USER a\r\nPASS b\r\n".to_vec() } else { Vec::new() };
        for line in &lines {
            octets.extend_from_slice(line);
            octets.extend_from_slice(b"\r\n");
        }
        let whole = play(&octets, octets.len().max(1));
        let pieces = play(&octets, piece);
        prop_assert_eq!(&whole.output, &pieces.output);
        prop_assert_eq!(&whole.replies, &pieces.replies);

        // An exchange takes a line more for each challenge, and has one answer.
        let challenges =
            whole.output.split_inclusive(|&octet| octet == b'\n').filter(|line| line.starts_with(b"+ ")).count();
        let lines = lines.len() + if login { 2 } else { 0 };
        if whole.closed {
            prop_assert!(whole.replies.len() + challenges <= lines);
        } else {
            prop_assert_eq!(whole.replies.len() + challenges, lines);
        }
    }
}

#[test]
fn a_large_listing_is_written_piece_by_piece() {
    let played = play(b"USER a\r\nPASS b\r\nLIST\r\nUIDL\r\nNOOP\r\n", usize::MAX);
    assert_eq!(played.replies, [Verb::User, Verb::Pass, Verb::List, Verb::Uidl, Verb::Noop]);
    let lines = played.output.split(|&octet| octet == b'\n').count();
    assert_eq!(lines, 3 + (MESSAGES + 2) * 2 + 1 + 1, "the greeting, two answers, two listings, an answer, the end");
}

#[test]
fn commands_wait_until_their_answers_are_read() {
    let mut session = Session::new(settings(), Security::Tls, connection(), "1");
    session.input(b"USER a\r\nPASS b\r\n");
    loop {
        match session.next() {
            Next::Effect(_) => session.login_accepted(maildrop()),
            Next::NeedInput => break,
            _ => {}
        }
    }
    for _ in 0..100 {
        session.input(b"UIDL\r\n");
    }
    while session.next() != Next::Drain {}
    assert_eq!(session.next(), Next::Drain);
    assert!(session.output().len() <= MOST_OUTPUT);
    session.output().clear();
    assert_eq!(session.next(), Next::Drain, "the listing goes on where it was");
}

#[test]
fn pipelined_commands_are_answered_in_one_write() {
    let played = {
        let mut session = Session::new(settings(), Security::Tls, connection(), "1");
        session.output().clear();
        session.input(b"CAPA\r\nUSER a\r\nQUIT\r\n");
        while matches!(session.next(), Next::Replied(_)) {}
        session.output().split()
    };
    assert!(played.starts_with(b"+OK capabilities") && played.ends_with(b"+OK now PASS\r\n+OK bye\r\n"));
}
