//! The session beyond dialogs: every command in every state, the end of a session, and any octets at all.

use std::sync::Arc;

use lmtp_proto::{DeliveryReply, Effect, Next, RecipientReply, Security, Session, Settings};
use proptest::prelude::*;

fn settings(max_message_octets: u64, max_bad_commands: u32) -> Arc<Settings> {
    Arc::new(Settings {
        host: "mx.restante.test".to_owned(),
        max_message_octets,
        max_recipients: 1000,
        max_bad_commands,
    })
}

fn session() -> Session<()> {
    Session::new(settings(1000, 100), Security::Plain { starttls: true })
}

/// Runs until the session wants input or ends: what it put out, and whether it ended. Every recipient is accepted.
fn run(session: &mut Session<()>) -> (String, bool) {
    let mut output = Vec::new();
    loop {
        let next = session.next();
        // 16 KiB are the mark, one step's replies may go over it.
        assert!(session.output().len() < 128 * 1024, "unbounded output");
        match next {
            Next::NeedInput | Next::Close => {
                output.extend_from_slice(&session.output().split());
                return (String::from_utf8_lossy(&output).into_owned(), matches!(next, Next::Close));
            }
            Next::Flush => output.extend_from_slice(&session.output().split()),
            Next::Effect(Effect::Recipient { .. }) => session.recipient(RecipientReply::Accepted(())),
            Next::Effect(Effect::BodyEnd) => session.delivered(&[DeliveryReply::Delivered { id: "t1".to_owned() }]),
            Next::Effect(Effect::StartTls) => {
                output.extend_from_slice(&session.output().split());
                *session = Session::after_starttls(settings(1000, 100));
            }
            Next::Effect(_) => {}
        }
    }
}

fn say(session: &mut Session<()>, text: &str) -> (String, bool) {
    session.input(text.as_bytes());
    run(session)
}

/// The commands that lead into a state.
const STATES: [(&str, &str); 5] = [
    ("connected", ""),
    ("ready", "LHLO x\r\n"),
    ("envelope", "LHLO x\r\nMAIL FROM:<>\r\n"),
    ("recipients", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n"),
    ("chunks", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nBDAT 1\r\nx"),
];

#[test]
fn every_command_in_every_state() {
    // The codes in the order of STATES.
    let table = [
        ("LHLO y", [250, 250, 250, 250, 250]),
        ("EHLO y", [500, 500, 500, 500, 500]),
        ("HELO y", [500, 500, 500, 500, 500]),
        ("MAIL FROM:<a@b.test>", [503, 250, 503, 503, 503]),
        ("MAIL FROM:<a@b.test> SIZE=1001", [503, 552, 503, 503, 503]),
        ("RCPT TO:<c@d.test>", [503, 503, 250, 250, 503]),
        ("RCPT TO:<>", [501, 501, 501, 501, 501]),
        ("DATA", [503, 503, 503, 354, 503]),
        ("BDAT 0", [503, 503, 503, 250, 250]),
        ("BDAT 0 LAST", [503, 503, 503, 250, 250]),
        ("BDAT x", [501, 501, 501, 501, 501]),
        ("RSET", [250, 250, 250, 250, 250]),
        ("NOOP", [250, 250, 250, 250, 250]),
        ("VRFY a", [252, 252, 252, 252, 252]),
        ("HELP", [214, 214, 214, 214, 214]),
        ("STARTTLS", [220, 220, 503, 503, 503]),
        ("QUIT", [221, 221, 221, 221, 221]),
        ("AUTH PLAIN", [502, 502, 502, 502, 502]),
        ("GET / HTTP/1.1", [421, 421, 421, 421, 421]),
        ("XYZZY", [500, 500, 500, 500, 500]),
    ];
    for (command, codes) in table {
        for ((state, way), code) in STATES.into_iter().zip(codes) {
            let mut session = session();
            say(&mut session, way);
            let (output, closed) = say(&mut session, &format!("{command}\r\n"));
            assert!(output.starts_with(&code.to_string()), "{command} in {state}: {output}");
            let closes = ["QUIT", "BDAT x", "GET / HTTP/1.1"].contains(&command);
            assert_eq!(closed, closes, "{command} in {state}");
        }
    }
}

#[test]
fn a_drained_session_finishes_its_transaction_and_no_other() {
    for (state, way) in STATES {
        let mut session = session();
        say(&mut session, way);
        session.drain();
        let (output, closed) = run(&mut session);
        let in_transaction = ["envelope", "recipients", "chunks"].contains(&state);
        assert_eq!(closed, !in_transaction, "{state}");
        if closed {
            assert_eq!(output, "421 4.3.2 Shutting down, come again\r\n", "{state}");
            continue;
        }
        let rest = match state {
            "chunks" => "BDAT 0 LAST\r\n",
            "recipients" => "DATA\r\nx\r\n.\r\n",
            _ => "RCPT TO:<a@b.test>\r\nDATA\r\nx\r\n.\r\n",
        };
        let (output, closed) = say(&mut session, &format!("{rest}MAIL FROM:<>\r\n"));
        assert!(
            output.ends_with("250 2.0.0 Delivered, id t1\r\n421 4.3.2 Shutting down, come again\r\n"),
            "{state}: {output}"
        );
        assert!(closed, "{state}");
    }
}

#[test]
fn an_idle_session_is_told_so_and_ends() {
    for (state, way) in
        STATES.into_iter().chain([("data", "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nx")])
    {
        let mut session = session();
        say(&mut session, way);
        session.idle_expired();
        assert_eq!(run(&mut session), ("421 4.4.2 Idle for too long\r\n".to_owned(), true), "{state}");
        assert_eq!(say(&mut session, "NOOP\r\n"), (String::new(), true), "{state}");
    }
}

#[test]
fn an_unanswered_recipient_is_not_delivered() {
    let mut session = session();
    say(&mut session, "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n");
    let (output, _) = say(&mut session, "DATA\r\nx\r\n.\r\n");
    assert!(
        output.ends_with("250 2.0.0 Delivered, id t1\r\n451 4.3.0 Temporary failure, try again later\r\n"),
        "{output}"
    );
}

#[test]
fn a_peer_that_never_reads_cannot_make_the_output_grow() {
    let mut session = session();
    let (output, closed) = say(&mut session, &"HELP\r\n".repeat(100_000));
    assert_eq!(output.matches("214 2.0.0").count(), 100_000);
    assert!(!closed);
}

/// Octets that look like a session here and there.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        4 => prop::sample::select(vec![
            "LHLO x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@d.test>\r\n", "DATA\r\n", "\r\n.\r\n", "BDAT 5\r\n", "BDAT 7 LAST\r\n",
            "BDAT 18446744073709551615\r\n", "RSET\r\n", "NOOP\n", "STARTTLS\r\n", "QUIT", "\r\n", "\n", ".", " ", "\r", "MAIL FROM:<",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 1500..3000),
    ];
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_octets_get_well_formed_replies_and_no_panic(octets in conversation(), piece in 1..4000_usize) {
        let mut session = Session::new(settings(60, 8), Security::Plain { starttls: true });
        let (mut output, mut closed) = run(&mut session);
        for piece in octets.chunks(piece) {
            session.input(piece);
            let (more, end) = run(&mut session);
            prop_assert!(!closed || (more.is_empty() && end), "goes on after its end");
            output.push_str(&more);
            closed = end;
        }
        prop_assert!(output.is_empty() || output.ends_with("\r\n"));
        for line in output.split_terminator("\r\n") {
            let (code, rest) = line.split_at(3);
            prop_assert!(code.bytes().all(|octet| octet.is_ascii_digit()) && rest.starts_with([' ', '-']), "{}", line);
            prop_assert!(line.len() <= 510 && !line.contains(['\r', '\n']), "{}", line);
        }
    }
}
