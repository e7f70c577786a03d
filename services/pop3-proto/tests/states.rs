//! Every command in every state: how its answer begins.

#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use mail_types::{Octets, UniqueId};
use pop3_proto::{Effect, Entry, LeadingDots, Maildrop, MaildropPolicy, Next, Security, Session};
use support::{connection, settings};

/// The states, and the connections on which AUTHORIZATION differs.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// No TLS, no passwords.
    Clear,
    Tls,
    /// USER was accepted.
    Named,
    /// AUTH PLAIN waits for its response.
    Exchanging,
    Transaction,
    /// Transaction, and message 1 is marked.
    Marked,
    /// Transaction, and the server drains.
    Draining,
}

const PLACES: [Place; 7] =
    [Place::Clear, Place::Tls, Place::Named, Place::Exchanging, Place::Transaction, Place::Marked, Place::Draining];

fn session(place: Place) -> Session {
    let security = match place {
        Place::Clear => Security::Clear { stls: true, passwords: false },
        _ => Security::Tls,
    };
    let mut session = Session::new(settings(), security, connection(), "1");
    let before = match place {
        Place::Clear | Place::Tls => "",
        Place::Named => "USER a\r\n",
        Place::Exchanging => "AUTH PLAIN\r\n",
        Place::Transaction | Place::Draining => "USER a\r\nPASS b\r\n",
        Place::Marked => "USER a\r\nPASS b\r\nDELE 1\r\n",
    };
    assert_eq!(follow(&mut session, before), None);
    if let Place::Draining = place {
        session.drain();
    }
    session.output().clear();
    session
}

/// Follows the session to where it wants input (`None`), or tells how else it ended.
fn follow(session: &mut Session, input: &str) -> Option<Next> {
    session.input(input.as_bytes());
    loop {
        match session.next() {
            Next::Replied(_) => {}
            Next::NeedInput => return None,
            Next::Effect(Effect::Authenticate(_)) => session.login_accepted(maildrop()),
            Next::Effect(Effect::Retrieve { .. }) => {
                session.body_begin(LeadingDots::Possible);
                // For TOP that is more than enough, which must do no harm.
                let _ = session.body(b"A: b\r\n\r\nbody\r\n");
                session.body_end();
            }
            Next::Effect(Effect::Update { .. }) => session.update_done(Ok(())),
            end => return Some(end),
        }
    }
}

fn maildrop() -> Maildrop {
    let entry = |name| Entry { octets: Octets(14), unique_id: UniqueId::parse(name).unwrap(), utf8_header: false };
    Maildrop::new(vec![entry("x"), entry("y")], MaildropPolicy::default())
}

/// `expected` has the beginning of the answer for each of [`PLACES`].
#[track_caller]
fn check(command: &str, expected: [&str; 7]) {
    for (place, expected) in PLACES.into_iter().zip(expected) {
        let mut session = session(place);
        follow(&mut session, &format!("{command}\r\n"));
        let output = String::from_utf8(session.output().to_vec()).unwrap();
        assert!(output.starts_with(expected), "{command} in {place:?}: {output:?} does not begin with {expected:?}");
        assert!(output.ends_with("\r\n"), "{command} in {place:?}: {output:?}");
    }
}

const WRONG: &str = "-ERR this command is not valid in this state\r\n";
const CLEAR: &str = "-ERR passwords are refused on a connection without TLS\r\n";
const DOWN: &str = "-ERR [SYS/TEMP] the server is going down";
const MARKED: &str = "-ERR the message is marked as deleted\r\n";
/// In an exchange every line is a response: most commands are no base64, and none is a response of PLAIN.
const RESPONSE: &str = "-ERR the response ";

#[test]
fn every_command_in_every_state() {
    //                   Clear  Tls    Named  Exchanging Transaction Marked Draining
    check("CAPA", ["+OK", "+OK", "+OK", RESPONSE, "+OK", "+OK", DOWN]);
    check("USER c", [CLEAR, "+OK now PASS\r\n", "+OK now PASS\r\n", RESPONSE, WRONG, WRONG, DOWN]);
    check("PASS b", [CLEAR, "-ERR USER comes", "+OK 2 messages", RESPONSE, WRONG, WRONG, DOWN]);
    check("AUTH PLAIN", [CLEAR, "+ \r\n", "+ \r\n", RESPONSE, WRONG, WRONG, DOWN]);
    check("AUTH PLAIN AGEAYg==", [CLEAR, "+OK 2", "+OK 2", RESPONSE, WRONG, WRONG, DOWN]);
    check(
        "AUTH X",
        [CLEAR, "-ERR unknown authentication", "-ERR unknown authentication", RESPONSE, WRONG, WRONG, DOWN],
    );
    check("STLS", ["+OK begin TLS\r\n", "-ERR TLS is", "-ERR TLS is", RESPONSE, WRONG, WRONG, DOWN]);
    check("STAT", [WRONG, WRONG, WRONG, RESPONSE, "+OK 2 28\r\n", "+OK 1 14\r\n", DOWN]);
    check(
        "LIST",
        [
            WRONG,
            WRONG,
            WRONG,
            RESPONSE,
            "+OK 2 messages (28 octets)\r\n1 14\r\n2 14\r\n.\r\n",
            "+OK 1 messages (14 octets)\r\n2 14\r\n.\r\n",
            DOWN,
        ],
    );
    check("LIST 1", [WRONG, WRONG, WRONG, RESPONSE, "+OK 1 14\r\n", MARKED, DOWN]);
    check("LIST 3", [WRONG, WRONG, WRONG, RESPONSE, "-ERR no such message\r\n", "-ERR no such message\r\n", DOWN]);
    check(
        "UIDL",
        [
            WRONG,
            WRONG,
            WRONG,
            RESPONSE,
            "+OK unique-ids follow\r\n1 x\r\n2 y\r\n.\r\n",
            "+OK unique-ids follow\r\n2 y\r\n.\r\n",
            DOWN,
        ],
    );
    check("UIDL 1", [WRONG, WRONG, WRONG, RESPONSE, "+OK 1 x\r\n", MARKED, DOWN]);
    check("RETR 1", [WRONG, WRONG, WRONG, RESPONSE, "+OK 14 octets\r\nA: b\r\n\r\nbody\r\n.\r\n", MARKED, DOWN]);
    check("RETR 2", [WRONG, WRONG, WRONG, RESPONSE, "+OK 14 octets\r\n", "+OK 14 octets\r\n", DOWN]);
    check(
        "TOP 1 0",
        [WRONG, WRONG, WRONG, RESPONSE, "+OK the top of the message follows\r\nA: b\r\n\r\n.\r\n", MARKED, DOWN],
    );
    check("DELE 1", [WRONG, WRONG, WRONG, RESPONSE, "+OK marked", MARKED, DOWN]);
    check("NOOP", [WRONG, WRONG, WRONG, RESPONSE, "+OK", "+OK", DOWN]);
    check("RSET", [WRONG, WRONG, WRONG, RESPONSE, "+OK 2 messages", "+OK 2 messages", DOWN]);
    check(
        "QUIT",
        ["+OK bye\r\n", "+OK bye\r\n", "+OK bye\r\n", RESPONSE, "+OK bye\r\n", "+OK bye, the marked", "+OK bye\r\n"],
    );
    check("APOP a b", ["-ERR APOP is", "-ERR APOP is", "-ERR APOP is", RESPONSE, WRONG, WRONG, DOWN]);
    check("UTF8", ["+OK UTF-8", "+OK UTF-8", "+OK UTF-8", RESPONSE, WRONG, WRONG, DOWN]);
    check("LANG", ["+OK lang", "+OK lang", "+OK lang", RESPONSE, "+OK lang", "+OK lang", DOWN]);
    check("LANG de", ["+OK de die", "+OK de die", "+OK de die", RESPONSE, "+OK de die", "+OK de die", DOWN]);
    check("LANG fr", ["-ERR this", "-ERR this", "-ERR this", RESPONSE, "-ERR this", "-ERR this", DOWN]);
    check("", ["-ERR unknown", "-ERR unknown", "-ERR unknown", RESPONSE, "-ERR unknown", "-ERR unknown", DOWN]);
    check(
        "*",
        [
            "-ERR unknown",
            "-ERR unknown",
            "-ERR unknown",
            "-ERR authentication cancelled\r\n",
            "-ERR unknown",
            "-ERR unknown",
            DOWN,
        ],
    );
    check(
        "GET / HTTP/1.0",
        ["-ERR this is", "-ERR this is", "-ERR this is", RESPONSE, "-ERR this is", "-ERR this is", DOWN],
    );
}

#[test]
fn a_driver_that_does_not_answer_deletes_nothing() {
    let mut session = session(Place::Marked);
    session.input(b"QUIT\r\n");
    assert!(matches!(session.next(), Next::Effect(Effect::Update { .. })));
    assert_eq!(session.next(), Next::Close);
    session.update_done(Ok(()));
    assert_eq!(session.next(), Next::Close);
    assert!(!session.has_output());
}

#[test]
fn an_answer_that_nobody_asked_for_closes() {
    let mut session = session(Place::Tls);
    session.login_accepted(maildrop());
    assert_eq!(session.next(), Next::Close);
    assert!(!session.has_output());
}

/// The client's handshake may come as soon as the answer to STLS is on its way: the session must not swallow it.
#[test]
fn what_follows_stls_is_left_to_tls() {
    let mut session = session(Place::Clear);
    assert_eq!(follow(&mut session, "STLS\r\n"), Some(Next::Effect(Effect::StartTls)));
    assert_eq!(session.input_room(), 0);
    assert_eq!(session.next(), Next::Effect(Effect::StartTls), "until the driver does it");
}

/// QUIT too: who ends a session does not want what it marked to be deleted.
#[test]
fn a_session_that_is_ended_executes_nothing() {
    for (place, line) in
        [(Place::Marked, "QUIT\r\n"), (Place::Transaction, "STAT\r\n"), (Place::Exchanging, "AGEAYg==\r\n")]
    {
        let mut session = session(place);
        session.end();
        assert_eq!(follow(&mut session, line), Some(Next::Close), "{place:?}");
        let said = session.output().clone();
        assert!(said.starts_with(b"-ERR [SYS/TEMP] the session was ended") && said.ends_with(b"\r\n"), "{said:?}");
        assert_eq!(session.limit_reached(), Some(pop3_proto::Limit::Asked));
    }
}

/// For the administrators of who wanted to log in.
#[test]
fn who_is_refused_in_clear_is_told_to_the_driver() {
    let mut session = session(Place::Clear);
    assert_eq!(follow(&mut session, "USER alice@acme.test\r\n"), None);
    let denied = session.take_denied().unwrap();
    assert_eq!((denied.login.as_str(), denied.in_clear), ("alice@acme.test", true));
    assert_eq!(follow(&mut session, "PASS hunter2\r\nAUTH PLAIN\r\nNOOP\r\n"), None);
    assert_eq!(session.take_denied(), None);
}
