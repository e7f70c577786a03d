//! Replays the dialogs in `tests/transcripts`: line by line as they are written, whole, octet by octet, and split in two at every
//! position. Every way must give the same replies and the same deliveries.
//!
//! A transcript is read line by line:
//!
//! ```text
//! # a comment
//! ! max_recipients 2      a setting: max_recipients, max_octets, max_bad, security (plain, starttls, tls)
//! C: NOOP                 the client sends the line and CRLF
//! c: a\n                  the client sends just that; \r \n \0 \\ and \xHH stand for octets, in `C:` too
//! C*3000: x               the client sends it 3000 times, with no CRLF
//! S: 250 2.0.0 Ok         the server sends the line and CRLF
//! D: <from> alice@acme.test,bob@acme.test a\r\n     a message is delivered: sender, recipients, octets
//! A: Reset                a body is given up
//! T:                      the TLS handshake; what the client sent before it and nobody has read is lost
//! X:                      the server closes; without it the session must still be open at the end
//! ```
//!
//! The fixture's recipients are told by their local parts: see [`look_up`] and [`deliver`].
#![expect(clippy::panic, reason = "test code that is not inside a test function")]

use std::{path::Path, sync::Arc};

use lmtp_proto::{DeliveryReply, Effect, Envelope, Next, RecipientReply, Refusal, Security, Session, Settings};
use mail_types::Address;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Client(Vec<u8>),
    Server(String),
    Delivered(String),
    Aborted(String),
    Tls,
    Closed,
}

struct Transcript {
    settings: Settings,
    security: Security,
    events: Vec<Event>,
}

impl Transcript {
    fn parse(text: &str) -> Self {
        let mut settings = Settings {
            host: "mx.restante.test".to_owned(),
            max_message_octets: 52_428_800,
            max_recipients: 1000,
            max_bad_commands: 20,
        };
        let mut security = Security::Plain { starttls: false };
        let mut events = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(setting) = line.strip_prefix("! ") {
                match setting.split_once(' ') {
                    Some(("max_recipients", value)) => settings.max_recipients = value.parse().unwrap_or(0),
                    Some(("max_octets", value)) => settings.max_message_octets = value.parse().unwrap_or(0),
                    Some(("max_bad", value)) => settings.max_bad_commands = value.parse().unwrap_or(0),
                    Some(("security", "starttls")) => security = Security::Plain { starttls: true },
                    Some(("security", "tls")) => security = Security::Tls,
                    _ => panic!("unknown setting: {line}"),
                }
                continue;
            }
            let (mark, rest) = line.split_once(':').unwrap_or_else(|| panic!("no mark: {line}"));
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            events.push(match (mark, mark.strip_prefix("C*").and_then(|times| times.parse().ok())) {
                (_, Some(times)) => Event::Client(unescape(rest).repeat(times)),
                ("C", _) => Event::Client([unescape(rest), b"\r\n".to_vec()].concat()),
                ("c", _) => Event::Client(unescape(rest)),
                ("S", _) => Event::Server(rest.to_owned()),
                ("D", _) => Event::Delivered(rest.to_owned()),
                ("A", _) => Event::Aborted(rest.to_owned()),
                ("T", _) => Event::Tls,
                ("X", _) => Event::Closed,
                _ => panic!("unknown mark: {line}"),
            });
        }
        Self { settings, security, events }
    }

    /// What the server does, without what the client sends in between.
    fn expected(&self) -> Vec<Event> {
        self.events.iter().filter(|event| !matches!(event, Event::Client(_))).cloned().collect()
    }

    /// What the client sends: before the TLS handshake, and after it.
    fn client(&self) -> Vec<Vec<u8>> {
        let mut phases = vec![Vec::new()];
        for event in &self.events {
            match event {
                Event::Tls => phases.push(Vec::new()),
                Event::Client(octets) => {
                    phases.last_mut().unwrap_or_else(|| panic!("no phase")).extend_from_slice(octets)
                }
                _ => {}
            }
        }
        phases
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('r')) => octets.push(b'\r'),
            ('\\', Some('n')) => octets.push(b'\n'),
            ('\\', Some('0')) => octets.push(0),
            ('\\', Some('\\')) => octets.push(b'\\'),
            ('\\', Some('x')) => {
                let digits: String = rest.by_ref().take(2).collect();
                octets.push(u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("bad escape in {text}")));
            }
            ('\\', _) => panic!("bad escape in {text}"),
            _ => octets.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    octets
}

fn escape(octets: &[u8]) -> String {
    octets
        .iter()
        .map(|&octet| match octet {
            b'\r' => "\\r".to_owned(),
            b'\n' => "\\n".to_owned(),
            0 => "\\0".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(octet).to_string(),
            _ => format!("\\x{octet:02x}"),
        })
        .collect()
}

/// The fixture's directory.
fn look_up(address: &Address, declared_octets: Option<u64>) -> RecipientReply<String> {
    RecipientReply::Refused(match address.local.key().as_str() {
        "nobody" => Refusal::Unknown,
        "full" => Refusal::OverQuota,
        "nearly-full" if declared_octets.is_some_and(|octets| octets > 100) => Refusal::OverQuota,
        "deferred" => Refusal::OverQuotaDeferred,
        "suspended" => Refusal::Suspended,
        "unreachable" => Refusal::Unavailable,
        _ => return RecipientReply::Accepted(String::new()),
    })
}

/// The fixture's mailstore.
fn deliver(given: &str) -> DeliveryReply {
    DeliveryReply::Refused(match given.split('@').next() {
        Some("filled") => Refusal::OverQuota,
        Some("busy") => Refusal::Busy,
        Some("removed") => Refusal::Unknown,
        Some("lost") => Refusal::Unavailable,
        Some("memory") => Refusal::OutOfMemory,
        Some("mended") => Refusal::TooLarge,
        _ => return DeliveryReply::Delivered { id: "t1".to_owned() },
    })
}

/// A session and what it did.
struct Replay {
    session: Session<String>,
    settings: Arc<Settings>,
    events: Vec<Event>,
    output: Vec<u8>,
    body: Option<(Envelope<String>, Vec<u8>)>,
    /// The TLS handshake has just taken place: the rest of this phase's octets is lost.
    handshake: bool,
}

impl Replay {
    fn new(transcript: &Transcript) -> Self {
        let settings = Arc::new(transcript.settings.clone());
        let session = Session::new(settings.clone(), transcript.security);
        let mut replay =
            Self { session, settings, events: Vec::new(), output: Vec::new(), body: None, handshake: false };
        replay.run();
        replay
    }

    fn input(&mut self, octets: &[u8]) {
        self.session.input(octets);
        self.run();
    }

    /// The output so far, as events.
    fn flush(&mut self) {
        self.output.extend_from_slice(&self.session.output().split());
        while let Some(end) = self.output.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = self.output.drain(..end + 2).take(end).collect();
            self.events.push(Event::Server(String::from_utf8(line).unwrap_or_else(|_| panic!("a reply is not UTF-8"))));
        }
        assert!(self.output.is_empty(), "a reply has no end: {:?}", self.output);
    }

    fn run(&mut self) {
        loop {
            let next = self.session.next();
            self.flush();
            let effect = match next {
                Next::NeedInput => return,
                Next::Flush => continue,
                Next::Close => {
                    if self.events.last() != Some(&Event::Closed) {
                        self.events.push(Event::Closed);
                    }
                    return;
                }
                Next::Effect(effect) => effect,
            };
            match effect {
                Effect::Recipient { address, given, declared_octets } => {
                    self.session.recipient(match look_up(&address, declared_octets) {
                        RecipientReply::Accepted(_) => RecipientReply::Accepted(given),
                        refused => refused,
                    });
                }
                Effect::BodyBegin(envelope) => {
                    assert!(self.body.is_none(), "a body inside a body");
                    self.body = Some((envelope, Vec::new()));
                }
                Effect::Body(piece) => {
                    assert!(!piece.is_empty(), "an empty piece");
                    self.body.as_mut().unwrap_or_else(|| panic!("no body")).1.extend_from_slice(&piece);
                }
                Effect::BodyEnd => {
                    let (envelope, body) = self.body.take().unwrap_or_else(|| panic!("no body"));
                    let Envelope { reverse_path, recipients, .. } = &envelope;
                    let delivery = format!("<{}> {} {}", reverse_path.as_str(), recipients.join(","), escape(&body));
                    self.events.push(Event::Delivered(delivery));
                    let answers: Vec<_> = recipients.iter().map(|given| deliver(given)).collect();
                    self.session.delivered(&answers);
                }
                Effect::BodyAbort(why) => {
                    self.body.take().unwrap_or_else(|| panic!("no body"));
                    self.events.push(Event::Aborted(format!("{why:?}")));
                }
                Effect::StartTls => {
                    self.events.push(Event::Tls);
                    self.session = Session::after_starttls(self.settings.clone());
                    self.handshake = true;
                }
            }
        }
    }

    /// Sends the phases, each cut by `cut`.
    fn send(mut self, phases: &[Vec<u8>], cut: impl Fn(&[u8]) -> Vec<&[u8]>) -> Vec<Event> {
        for (at, phase) in phases.iter().enumerate() {
            for piece in cut(phase) {
                if !self.handshake {
                    self.input(piece);
                }
            }
            assert!(self.handshake || at + 1 == phases.len(), "no TLS handshake");
            self.handshake = false;
        }
        self.events
    }
}

/// Replies to pipelined commands and deliveries come in the same order however the octets are cut, but when a reply becomes known
/// and when a piece of a body does depends on it; so both are compared on their own.
fn by_kind(events: Vec<Event>) -> (Vec<Event>, Vec<Event>) {
    events.into_iter().partition(|event| matches!(event, Event::Server(_) | Event::Tls | Event::Closed))
}

fn check(name: &str, text: &str) {
    let transcript = Transcript::parse(text);
    let mut expected = transcript.expected();

    // As written: after each step everything that stands before the client's next line must have happened.
    let mut replay = Replay::new(&transcript);
    let mut events = transcript.events.iter().peekable();
    let mut seen = Vec::new();
    while events.peek().is_some() {
        while let Some(event) = events.next_if(|event| !matches!(event, Event::Client(_))) {
            seen.push(event.clone());
        }
        assert_eq!(by_kind(replay.events.clone()), by_kind(seen.clone()), "{name}: line by line");
        replay.handshake = false;
        let mut sent = Vec::new();
        while let Some(Event::Client(octets)) = events.next_if(|event| matches!(event, Event::Client(_))) {
            sent.extend_from_slice(octets);
        }
        if !sent.is_empty() {
            replay.input(&sent);
        }
    }
    assert_eq!(by_kind(replay.events), by_kind(std::mem::take(&mut seen)), "{name}: line by line");

    let phases = transcript.client();
    let expected = by_kind(std::mem::take(&mut expected));
    let whole = Replay::new(&transcript).send(&phases, |phase| vec![phase]);
    assert_eq!(by_kind(whole), expected, "{name}: whole");
    let single = Replay::new(&transcript).send(&phases, |phase| phase.chunks(1).collect());
    assert_eq!(by_kind(single), expected, "{name}: octet by octet");
    let longest = phases.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..longest {
        let split = Replay::new(&transcript).send(&phases, |phase| {
            let (first, second) = phase.split_at(at.min(phase.len()));
            vec![first, second].into_iter().filter(|piece| !piece.is_empty()).collect()
        });
        assert_eq!(by_kind(split), expected, "{name}: split at {at}");
    }
}

#[test]
fn every_transcript_goes_as_written_however_it_is_cut() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        check(&name, &std::fs::read_to_string(&path).unwrap());
    }
}
