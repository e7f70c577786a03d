//! An LMTP session: any stream of octets, whatever its effects are answered with. It ends or wants more, holds little, replies
//! in whole lines, hands on bodies in their order and bounds, and does the same however the stream is cut.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use lmtp_proto::{Abort, DeliveryReply, Effect, Next, RecipientReply, Refusal, Security, Session, Settings};
use restante_fuzz::{cut, only_crlf, steered};

const MAX_MESSAGE: u64 = 300;
/// 16 KiB are the mark; a step's replies, of as many recipients as may be, go over it.
const MOST_OUTPUT: usize = 32 * 1024;

/// A body as it was handed on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    recipients: Vec<String>,
    octets: Vec<u8>,
    /// How it ended; while it has not, nothing.
    end: Option<Option<Abort>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Played {
    output: Vec<u8>,
    bodies: Vec<Body>,
    closed: bool,
}

fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        host: "mx.restante.test".to_owned(),
        max_message_octets: MAX_MESSAGE,
        max_recipients: 5,
        max_bad_commands: 20,
    })
}

fn recipient(address: &str, script: u8) -> RecipientReply<String> {
    match address.bytes().next() {
        Some(b'x') => RecipientReply::Refused(Refusal::Unknown),
        Some(b'q') if script & 1 != 0 => RecipientReply::Refused(Refusal::OverQuota),
        _ => RecipientReply::Accepted(address.to_owned()),
    }
}

fn delivered(recipients: &[String], script: u8) -> Vec<DeliveryReply> {
    let mut answers: Vec<DeliveryReply> =
        recipients.iter().map(|_| DeliveryReply::Delivered { id: "t1".to_owned() }).collect();
    if script & 2 != 0
        && let Some(last) = answers.last_mut()
    {
        *last = DeliveryReply::Refused(Refusal::Unavailable);
    }
    if script & 4 != 0 {
        answers.pop();
    }
    answers
}

fn play(octets: &[u8], steer: u8, script: u8) -> Played {
    let starttls = script & 8 != 0;
    let mut session: Session<String> = match script & 16 {
        0 => Session::new(settings(), Security::Plain { starttls }),
        _ => Session::after_starttls(settings()),
    };
    let mut played = Played::default();
    let mut pieces = cut(octets, steer);
    loop {
        let next = session.next();
        assert!(session.output().len() <= MOST_OUTPUT, "{} octets of output", session.output().len());
        let open = played.bodies.last_mut().filter(|body| body.end.is_none());
        match next {
            Next::NeedInput => {
                played.output.extend_from_slice(&session.output().split());
                match pieces.next() {
                    Some(piece) => session.input(piece),
                    None => break,
                }
            }
            Next::Flush => played.output.extend_from_slice(&session.output().split()),
            Next::Close => {
                played.output.extend_from_slice(&session.output().split());
                session.input(b"NOOP\r\n");
                assert!(matches!(session.next(), Next::Close) && session.output().is_empty(), "goes on after its end");
                played.closed = true;
                break;
            }
            Next::Effect(Effect::StartTls) => {
                assert!(starttls && script & 16 == 0 && open.is_none());
                played.output.extend_from_slice(&session.output().split());
                played.closed = true;
                break;
            }
            Next::Effect(Effect::Recipient { given, .. }) => {
                assert!(open.is_none());
                session.recipient(recipient(&given, script));
            }
            Next::Effect(Effect::BodyBegin(envelope)) => {
                assert!(open.is_none() && !envelope.recipients.is_empty() && envelope.recipients.len() <= 5);
                assert!(envelope.declared_octets.is_none_or(|octets| octets <= MAX_MESSAGE));
                let lhlo =
                    envelope.lhlo.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_[]:".contains(&octet));
                assert!(lhlo && !envelope.lhlo.is_empty(), "{:?}", envelope.lhlo);
                played.bodies.push(Body { recipients: envelope.recipients, ..Body::default() });
            }
            Next::Effect(Effect::Body(octets)) => {
                let body = open.expect("a body has begun");
                assert!(!octets.is_empty());
                body.octets.extend_from_slice(&octets);
                assert!(body.octets.len() as u64 <= MAX_MESSAGE, "more than may be");
            }
            Next::Effect(Effect::BodyEnd) => {
                let body = open.expect("a body has begun");
                body.end = Some(None);
                let answers = delivered(&body.recipients, script);
                session.delivered(&answers);
            }
            Next::Effect(Effect::BodyAbort(abort)) => {
                let body = open.expect("a body has begun");
                body.end = Some(Some(abort));
                // What had come before the bound was passed depends on the pieces.
                body.octets.clear();
            }
        }
    }
    played
}

fuzz_target!(|input: &[u8]| {
    let ([steer, script], octets) = steered(input);
    let whole = play(octets, 0, script);
    assert_eq!(play(octets, steer, script), whole);

    assert!(only_crlf(&whole.output));
    let text = std::str::from_utf8(&whole.output).expect("replies are text");
    for line in text.split_terminator("\r\n") {
        assert!(line.len() <= 510, "RFC 5321 section 4.5.3.1.5: {line}");
        let (code, rest) = line.split_at(3);
        let code: u16 = code.parse().expect("a code");
        assert!((200..600).contains(&code) && rest.starts_with([' ', '-']), "{line}");
    }
    // A 250 with an id for each recipient that was vouched for, and none beside.
    let ids = text.matches("Delivered, id t1").count();
    let ended = whole.bodies.iter().filter(|body| body.end == Some(None));
    let vouched: usize = ended
        .map(|body| {
            let answers = delivered(&body.recipients, script);
            answers.iter().filter(|answer| matches!(answer, DeliveryReply::Delivered { .. })).count()
        })
        .sum();
    // RCPT of the same address twice has two replies (RFC 2033 section 4.2).
    assert!(ids >= vouched && (vouched > 0 || ids == 0), "{ids} replies, {vouched} deliveries");
});
