//! A POP3 session: any stream of octets, whatever its effects are answered with. It ends or wants more, holds little, says
//! only whole lines, answers as many commands as there were, and says the same however the stream is cut.
#![no_main]

use std::{num::NonZeroU32, sync::Arc};

use libfuzzer_sys::fuzz_target;
use mail_types::{Octets, UniqueId};
use pop3_proto::{
    BodyFlow, Connection, Deletion, Effect, Entry, Evidence, Expire, Failure, LeadingDots, LoginAttempt, LoginRefusal,
    Maildrop, MaildropPolicy, Next, Security, Session, SessionLimit, Settings, Utf8Header,
};
use restante_fuzz::{challenges, cut, only_crlf, steered};
use sasl::{Account, Candidate, ChannelBindings, Material, Mechanisms, ScramKeys, TokenRefusal, TokenStatus};

const MESSAGES: usize = 40;
const BODY: &[u8] = b"A: b\r\n\r\n.body\r\n..\r\n\r\nend\r\n";
const MAX_OUTPUT: usize = 1024;
/// The output may pass its limit by one answer, which is a message's piece or CAPA's list.
const MOST_OUTPUT: usize = MAX_OUTPUT + 2048;

struct Played {
    output: Vec<u8>,
    replies: usize,
    closed: bool,
    /// The last octets were an unfinished line, too long already.
    tail_answered: bool,
}

/// Plays octets as a client that reads what it is sent. `script` chooses what is answered.
fn play(octets: &[u8], steer: u8, script: u8) -> Played {
    let bit = |bit: u8| script & 1 << bit != 0;
    let settings = Settings {
        implementation: "Restante",
        max_bad_commands: if bit(0) { 10 } else { u32::MAX },
        max_command_line: 255,
        max_auth_line: 12_290,
        max_output: MAX_OUTPUT,
        mechanisms: Mechanisms::all(),
        apop: true,
        login_delay: 60,
        expire: Expire::Days(30),
    };
    let challenges = Arc::new(challenges());
    let bindings = ChannelBindings { tls_exporter: Some([7; 32]), tls_server_end_point: None };
    let connection = Connection { challenges, bindings, certificate: vec!["a@acme.test".to_owned()] };
    let security = if bit(1) { Security::Tls } else { Security::Clear { stls: true, passwords: true } };
    let mut session = Session::new(settings, security, connection, "1");
    let mut played = Played { output: Vec::new(), replies: 0, closed: false, tail_answered: false };
    let mut pieces = cut(octets, steer);
    let (mut piece, mut effects): (&[u8], usize) = (b"", 0);
    loop {
        assert!(session.output().len() <= MOST_OUTPUT, "{} octets of output", session.output().len());
        match session.next() {
            Next::Replied(_) => played.replies += 1,
            Next::Drain => played.output.extend_from_slice(&session.output().split()),
            Next::NeedInput => {
                played.output.extend_from_slice(&session.output().split());
                assert!(session.input_room() > 0, "a session that wants input has room for it");
                if piece.is_empty() {
                    piece = pieces.next().unwrap_or_default();
                }
                if piece.is_empty() {
                    break;
                }
                let (now, later) = piece.split_at(piece.len().min(session.input_room()));
                session.input(now);
                piece = later;
            }
            Next::Close => {
                played.output.extend_from_slice(&session.output().split());
                session.input(b"NOOP\r\n");
                assert!(matches!(session.next(), Next::Close) && !session.has_output(), "it goes on after its end");
                played.closed = true;
                break;
            }
            Next::Effect(effect) => {
                effects += 1;
                if matches!(effect, Effect::StartTls) {
                    assert!(!bit(1) && session.input_room() == 0);
                    played.output.extend_from_slice(&session.output().split());
                    played.closed = true;
                    break;
                }
                answer(&mut session, effect, script, effects);
            }
        }
    }
    played.tail_answered = octets.rsplit(|octet| *octet == b'\n').next().is_some_and(|tail| tail.len() >= 255);
    played
}

fn answer(session: &mut Session, effect: Effect, script: u8, effects: usize) {
    let bit = |bit: u8| script & 1 << bit != 0;
    // Every third goes wrong where the script says so.
    let fails = bit(2) && effects.is_multiple_of(3);
    match effect {
        Effect::LookUp { .. } if fails => session.login_refused(LoginRefusal::Unavailable),
        Effect::LookUp { material, .. } => {
            let secret = mail_types::Secret::from("rst-secret");
            let (salt, iterations) = (b"salt".to_vec(), NonZeroU32::MIN);
            let keys = match material {
                Material::Scram(hash) => vec![(Candidate(0), ScramKeys::derive(hash, &secret, &salt, iterations))],
                Material::Secrets => Vec::new(),
            };
            session.looked_up(Account { salt, iterations, keys, secrets: vec![(Candidate(0), secret)] });
        }
        Effect::Authenticate(_) if fails => {
            session.login_refused(LoginRefusal::TooManySessions(SessionLimit::Account(20)));
        }
        Effect::Authenticate(LoginAttempt { evidence: Evidence::Proof(_) | Evidence::Certificate, .. }) => {
            session.login_accepted(maildrop(script));
        }
        Effect::Authenticate(attempt) if attempt.login == "a" => session.login_accepted(maildrop(script)),
        Effect::Authenticate(LoginAttempt { evidence: Evidence::Token(_), .. }) => {
            let status = TokenStatus::InvalidToken;
            session.token_refused(&TokenRefusal { status, scope: None, openid_configuration: None });
        }
        Effect::Authenticate(_) => session.login_refused(LoginRefusal::WrongCredentials),
        Effect::Retrieve { .. } if fails => session.retrieve_failed(Failure::Temporary),
        Effect::Retrieve { number, .. } => {
            assert!((1..=MESSAGES as u32).contains(&number.get()), "there is no message {number:?}");
            session.body_begin(LeadingDots::Possible);
            for piece in BODY.chunks(7) {
                if session.body(piece) == BodyFlow::Enough {
                    break;
                }
            }
            session.body_end();
        }
        Effect::Update { marked, fetched } => {
            assert!(!marked.is_empty() || bit(3) && !fetched.is_empty());
            assert!(marked.is_sorted() && fetched.is_sorted() && marked.len() <= MESSAGES);
            assert!(marked.is_empty() || !bit(4), "who may only read has marked");
            session.update_done(if fails { Err(Failure::Temporary) } else { Ok(()) });
        }
        Effect::StartTls => {}
    }
}

fn maildrop(script: u8) -> Maildrop {
    let bit = |bit: u8| script & 1 << bit != 0;
    let entry = |index: usize| Entry {
        octets: Octets(BODY.len() as u64),
        unique_id: UniqueId::parse(&format!("u{index}")).expect("a unique-id"),
        utf8_header: index % 2 == 0,
    };
    let policy = MaildropPolicy {
        deletion: if bit(4) { Deletion::Refused } else { Deletion::Allowed },
        utf8_header: if bit(5) { Utf8Header::Refused } else { Utf8Header::Sent },
        learns: bit(3),
        ..MaildropPolicy::default()
    };
    Maildrop::new((0..MESSAGES).map(entry).collect::<Vec<_>>(), policy)
}

fuzz_target!(|input: &[u8]| {
    let ([steer, script], octets) = steered(input);
    let whole = play(octets, 0, script);
    let pieces = play(octets, steer, script);
    assert!(whole.output == pieces.output && whole.replies == pieces.replies && whole.closed == pieces.closed);

    assert!(only_crlf(&whole.output));
    let lines = || whole.output.split_inclusive(|octet| *octet == b'\n');
    for line in lines() {
        let is_challenge = line.starts_with(b"+ ");
        assert!(line.len() <= 512 || is_challenge, "RFC 2449 section 4: {} octets", line.len());
        assert!(line.is_ascii() || line.starts_with(b"+OK") || line.starts_with(b"-ERR") || line.len() < 80);
    }
    // The greeting, and one status for each answer.
    let statuses = lines().filter(|line| line.starts_with(b"+OK") || line.starts_with(b"-ERR")).count();
    assert_eq!(statuses, 1 + whole.replies);
    // An exchange takes a line more for each challenge, and has one answer.
    let challenges = lines().filter(|line| line.starts_with(b"+ ")).count();
    let commands = octets.iter().filter(|octet| **octet == b'\n').count();
    let answers = whole.replies + challenges;
    let most = commands + usize::from(whole.tail_answered);
    if whole.closed {
        assert!(answers <= most, "{answers} answers to {most} lines");
    } else {
        assert!((commands..=most).contains(&answers), "{answers} answers to {commands} lines");
    }
});
