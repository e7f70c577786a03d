//! Replays `transcripts/*.pop3`: each whole, octet by octet, and split at every position. The server says the same each time.
//!
//! A transcript is a file of lines:
//!
//! ```text
//! # a comment
//! ! connection tls            tls, or clear followed by any of: stls passwords
//! ! account LOGIN SECRET      (the rest of the line is the secret, or the token)
//! ! refused LOGIN REASON      wrong, suspended, in-use, sessions, delay, slow or unavailable, whatever the secret
//! ! legacy                    APOP, CRAM-MD5 and NTLM are offered
//! ! bindings                  the connection has something to bind to
//! ! certificate ADDRESS       the client has a certificate with this address
//! ! delay BEFORE AFTER        LOGIN-DELAY before login, and the account's own
//! ! expire BEFORE AFTER       EXPIRE, likewise
//! ! read-only                 the credential may not delete
//! ! utf8-refused              messages with UTF-8 in their headers are only for clients that said UTF8
//! ! learns                    a device's view learns what was fetched
//! ! message                   a message whose lines follow, each after "| "
//! ! message 120               a message of so many octets
//! ! unreadable NUMBER temporary|permanent
//! ! update temporary|permanent    QUIT cannot remove the marked messages
//! ! bad-commands 3            how many in a row close the connection
//! ! expunged 1 2              what the driver was asked to remove by the end; without it nothing
//! ! fetched 1 2               what it was told to have been fetched, likewise
//! C: a line of the client, CRLF added
//! C| octets of the client as they are
//! S: a line of the server
//! E: closed                   the server closes; nothing may follow but "E: tls"
//! E: tls                      the server began TLS: what follows is said over it
//! E: drain                    the server was told to drain
//! ```
//!
//! In C lines `\r \n \0 \\` and `\xNN` stand for octets and `{a*300}` for 300 times `a`. The client's lines up to the next E are
//! sent at once, byte by byte and so on; the server's lines up to there must be all that it says. The unique-id of message n
//! is `uid-n`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;

use mail_types::{MessageNumber, Octets, Secret, UniqueId};
use pop3_proto::{
    BodyFlow, Connection, Deletion, Effect, Entry, Evidence, Expire, Failure, LeadingDots, LoginAttempt, LoginRefusal,
    Maildrop, MaildropPolicy, Next, Retrieval, Security, Session, SessionLimit, Settings, Utf8Header,
};
use sasl::{Account, Candidate, ChannelBindings, Material, Mechanisms, ScramKeys, TokenRefusal, TokenStatus};

/// What a transcript is played against.
#[derive(Debug, Default)]
struct Fixture {
    security: Option<Security>,
    accounts: HashMap<String, Secret>,
    refused: HashMap<String, LoginRefusal>,
    legacy: bool,
    bindings: bool,
    certificate: Vec<String>,
    delay: (u32, u32),
    expire: Option<(Expire, Expire)>,
    read_only: bool,
    utf8_refused: bool,
    learns: bool,
    messages: Vec<Vec<u8>>,
    unreadable: HashMap<u32, Failure>,
    update: Option<Failure>,
    bad_commands: Option<u32>,
    expunged: Vec<u32>,
    fetched: Vec<u32>,
}

#[derive(Debug, Default)]
struct Segment {
    client: Vec<u8>,
    server: String,
    event: Option<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Closed,
    Tls,
    Drain,
}

fn parse(text: &str) -> (Fixture, Vec<Segment>) {
    let mut fixture = Fixture::default();
    let mut segments = vec![Segment::default()];
    for line in text.lines() {
        let (kind, rest) = line.split_at(line.len().min(2));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let segment = segments.last_mut().unwrap();
        match kind {
            "" | "# " | "#" => {}
            "! " => directive(&mut fixture, rest),
            "| " | "|" => fixture.messages.last_mut().unwrap().extend([unescape(rest), b"\r\n".to_vec()].concat()),
            "C:" => segment.client.extend([unescape(rest), b"\r\n".to_vec()].concat()),
            "C|" => segment.client.extend(unescape(rest)),
            "S:" => write!(segment.server, "{rest}\r\n").unwrap(),
            "E:" => {
                segment.event = Some(match rest {
                    "closed" => Event::Closed,
                    "tls" => Event::Tls,
                    "drain" => Event::Drain,
                    other => panic!("no such event: {other}"),
                });
                segments.push(Segment::default());
            }
            other => panic!("no such line: {other:?} in {line:?}"),
        }
    }
    (fixture, segments)
}

fn directive(fixture: &mut Fixture, text: &str) {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let failure = |word: &str| match word {
        "temporary" => Failure::Temporary,
        "permanent" => Failure::Permanent,
        other => panic!("no such failure: {other}"),
    };
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    match name {
        "connection" if rest == "tls" => fixture.security = Some(Security::Tls),
        "connection" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let has = |word| words.contains(&word);
            fixture.security = Some(Security::Clear { stls: has("stls"), passwords: has("passwords") });
        }
        "account" => drop(fixture.accounts.insert(first.to_owned(), Secret::from(second))),
        "refused" => {
            let refusal = match second {
                "wrong" => LoginRefusal::WrongCredentials,
                "suspended" => LoginRefusal::Suspended,
                "in-use" => LoginRefusal::InUse,
                "sessions" => LoginRefusal::TooManySessions(SessionLimit::Address(50)),
                "delay" => LoginRefusal::LoginDelay(600),
                "slow" => LoginRefusal::SlowedDown,
                "unavailable" => LoginRefusal::Unavailable,
                other => panic!("no such refusal: {other}"),
            };
            fixture.refused.insert(first.to_owned(), refusal);
        }
        "legacy" => fixture.legacy = true,
        "bindings" => fixture.bindings = true,
        "certificate" => fixture.certificate.push(rest.to_owned()),
        "delay" => fixture.delay = (first.parse().unwrap(), second.parse().unwrap()),
        "expire" => {
            let expire = |days: &str| if days == "never" { Expire::Never } else { Expire::Days(days.parse().unwrap()) };
            fixture.expire = Some((expire(first), expire(second)));
        }
        "read-only" => fixture.read_only = true,
        "utf8-refused" => fixture.utf8_refused = true,
        "learns" => fixture.learns = true,
        "message" if rest.is_empty() => fixture.messages.push(Vec::new()),
        "message" => fixture.messages.push(filler(rest.parse().unwrap())),
        "unreadable" => drop(fixture.unreadable.insert(first.parse().unwrap(), failure(second))),
        "update" => fixture.update = Some(failure(rest)),
        "bad-commands" => fixture.bad_commands = Some(rest.parse().unwrap()),
        "expunged" => fixture.expunged = rest.split(' ').map(|number| number.parse().unwrap()).collect(),
        "fetched" => fixture.fetched = rest.split(' ').map(|number| number.parse().unwrap()).collect(),
        other => panic!("no such directive: {other}"),
    }
}

/// A message of so many octets.
fn filler(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: x\r\n\r\n".to_vec();
    assert!(octets >= message.len() + 2, "too few octets");
    message.resize(octets - 2, b'x');
    message.extend_from_slice(b"\r\n");
    message
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escaped = rest.chars().next().unwrap();
                rest = &rest[1..];
                match escaped {
                    'r' => octets.push(b'\r'),
                    'n' => octets.push(b'\n'),
                    '0' => octets.push(0),
                    '\\' => octets.push(b'\\'),
                    'x' => {
                        octets.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => panic!("no such escape: {other}"),
                }
            }
            '{' => {
                let (repeated, after) = rest.split_once('}').unwrap();
                let (what, times) = repeated.rsplit_once('*').unwrap();
                octets.extend(what.repeat(times.parse().unwrap()).bytes());
                rest = after;
            }
            c => octets.extend(c.to_string().bytes()),
        }
    }
    octets
}

/// A driver without sockets: answers each effect from the fixture.
struct Driver<'a> {
    fixture: &'a Fixture,
    session: Session,
    /// Messages are handed over in pieces of so many octets.
    piece: usize,
    closed: bool,
    tls: bool,
    /// Whom the exchange looked up.
    looked_up: String,
    expunged: Vec<u32>,
    fetched: Vec<u32>,
}

impl<'a> Driver<'a> {
    fn new(fixture: &'a Fixture, piece: usize) -> Self {
        let security = fixture.security.unwrap_or(Security::Tls);
        let session = Session::new(settings(fixture), security, connection(fixture), "1");
        Self {
            fixture,
            session,
            piece,
            closed: false,
            tls: false,
            looked_up: String::new(),
            expunged: Vec::new(),
            fetched: Vec::new(),
        }
    }

    /// Gives the session octets as a driver may, and follows it.
    fn say(&mut self, mut octets: &[u8]) {
        self.follow();
        while !octets.is_empty() && !self.closed && !self.tls {
            let (now, later) = octets.split_at(self.session.input_room().min(octets.len()));
            self.session.input(now);
            octets = later;
            self.follow();
        }
    }

    fn follow(&mut self) {
        while !self.closed && !self.tls {
            match self.session.next() {
                Next::Replied(_) => {}
                Next::Drain => unreachable!("no transcript fills the output"),
                Next::NeedInput => return,
                Next::Close => self.closed = true,
                Next::Effect(effect) => self.answer(effect),
            }
        }
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::LookUp { login, material, .. } => {
                let secret = self.fixture.accounts.get(&login).cloned();
                self.looked_up = login;
                self.session.looked_up(account(secret, material));
            }
            Effect::Authenticate(attempt) => self.authenticate(&attempt),
            Effect::Retrieve { number, what } => self.retrieve(number, what),
            Effect::Update { marked, fetched } => {
                assert!(self.fixture.learns || fetched.is_empty());
                self.expunged = marked.iter().map(|number| number.get()).collect();
                self.fetched = fetched.iter().map(|number| number.get()).collect();
                self.session.update_done(self.fixture.update.map_or(Ok(()), Err));
            }
            Effect::StartTls => self.tls = true,
        }
    }

    fn authenticate(&mut self, attempt: &LoginAttempt) {
        let LoginAttempt { login, evidence, .. } = attempt;
        if let Some(refusal) = self.fixture.refused.get(login) {
            return self.session.login_refused(*refusal);
        }
        let known = self.fixture.accounts.get(login);
        let right = match evidence {
            Evidence::Password(secret) | Evidence::Token(secret) => known == Some(secret),
            Evidence::Certificate => known.is_some(),
            Evidence::Proof(candidate) => {
                assert_eq!((login, *candidate), (&self.looked_up, Candidate(7)));
                true
            }
            Evidence::Disproved => false,
        };
        match evidence {
            _ if right => self.session.login_accepted(self.maildrop()),
            Evidence::Token(_) => self.session.token_refused(&TokenRefusal {
                status: TokenStatus::InvalidToken,
                scope: None,
                openid_configuration: None,
            }),
            _ => self.session.login_refused(LoginRefusal::WrongCredentials),
        }
    }

    fn retrieve(&mut self, number: MessageNumber, what: Retrieval) {
        if let Some(failure) = self.fixture.unreadable.get(&number.get()) {
            return self.session.retrieve_failed(*failure);
        }
        self.session.body_begin(LeadingDots::Possible);
        for piece in self.fixture.messages[number.index()].chunks(self.piece) {
            if self.session.body(piece) == BodyFlow::Enough {
                assert_ne!(what, Retrieval::Whole, "RETR sends all of it");
                break;
            }
        }
        self.session.body_end();
    }

    fn maildrop(&self) -> Maildrop {
        let entry = |(index, message): (usize, &Vec<u8>)| Entry {
            octets: Octets(message.len() as u64),
            unique_id: UniqueId::parse(&format!("uid-{}", index + 1)).unwrap(),
            utf8_header: !message.is_ascii(),
        };
        let policy = MaildropPolicy {
            deletion: if self.fixture.read_only { Deletion::Refused } else { Deletion::Allowed },
            utf8_header: if self.fixture.utf8_refused { Utf8Header::Refused } else { Utf8Header::Sent },
            login_delay: self.fixture.delay.1,
            expire: self.fixture.expire.map_or(Expire::Never, |(_, after)| after),
            learns: self.fixture.learns,
        };
        Maildrop::new(self.fixture.messages.iter().enumerate().map(entry).collect::<Vec<_>>(), policy)
    }
}

fn settings(fixture: &Fixture) -> Settings {
    let settings = support::settings();
    Settings {
        max_bad_commands: fixture.bad_commands.unwrap_or(10),
        mechanisms: if fixture.legacy { Mechanisms::all() } else { settings.mechanisms },
        apop: fixture.legacy,
        login_delay: fixture.delay.0,
        expire: fixture.expire.map_or(Expire::Never, |(before, _)| before),
        ..settings
    }
}

fn connection(fixture: &Fixture) -> Connection {
    let bindings = ChannelBindings { tls_exporter: fixture.bindings.then_some([7; 32]), tls_server_end_point: None };
    Connection { bindings, certificate: fixture.certificate.clone(), ..support::connection() }
}

/// What is kept of an account with this secret. Without one: that of an account which does not exist.
fn account(secret: Option<Secret>, material: Material) -> Account {
    let (salt, iterations) = (b"salt".to_vec(), NonZeroU32::MIN);
    let candidate = Candidate(7);
    let (mut keys, mut secrets) = (Vec::new(), Vec::new());
    match (material, secret) {
        (_, None) => {}
        (Material::Scram(hash), Some(secret)) => {
            keys.push((candidate, ScramKeys::derive(hash, &secret, &salt, iterations)));
        }
        (Material::Secrets, Some(secret)) => secrets.push((candidate, secret)),
    }
    Account { salt, iterations, keys, secrets }
}

/// Plays a transcript, the client's octets of each segment cut by `cut`.
#[track_caller]
fn play(
    name: &str,
    how: &str,
    fixture: &Fixture,
    segments: &[Segment],
    piece: usize,
    cut: impl Fn(usize, &[u8]) -> Vec<usize>,
) {
    let mut driver = Driver::new(fixture, piece);
    for (at, segment) in segments.iter().enumerate() {
        let mut begin = 0;
        for end in cut(at, &segment.client) {
            driver.say(&segment.client[begin..end]);
            begin = end;
        }
        driver.say(&segment.client[begin..]);
        let output = driver.session.output().split();
        let output = String::from_utf8_lossy(&output);
        assert_eq!(output, segment.server, "{name}, {how}, segment {at}");
        assert_eq!(
            driver.closed,
            segment.event == Some(Event::Closed) || at + 1 == segments.len() && driver.closed,
            "{name}, {how}: closed"
        );
        assert_eq!(driver.tls, segment.event == Some(Event::Tls), "{name}, {how}: began TLS");
        match segment.event {
            Some(Event::Tls) => {
                driver.session = Session::after_stls(settings(fixture), connection(fixture));
                driver.tls = false;
            }
            Some(Event::Drain) => driver.session.drain(),
            Some(Event::Closed) => break,
            None => assert!(!driver.closed, "{name}, {how}: closed without \"E: closed\""),
        }
    }
    assert_eq!(driver.expunged, fixture.expunged, "{name}, {how}: expunged");
    assert_eq!(driver.fetched, fixture.fetched, "{name}, {how}: fetched");
}

#[test]
fn transcripts_are_the_same_however_they_are_split() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut played = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (fixture, segments) = parse(&std::fs::read_to_string(&path).unwrap());
        play(&name, "whole", &fixture, &segments, usize::MAX, |_, _| Vec::new());
        play(&name, "octet by octet", &fixture, &segments, 1, |_, client| (0..client.len()).collect());
        for (at, segment) in segments.iter().enumerate() {
            // Long runs of one octet are tried at their ends only.
            let positions = (0..segment.client.len())
                .filter(|&p| segment.client.len() < 2000 || p < 300 || p + 300 > segment.client.len());
            for position in positions {
                let how = format!("segment {at} split at {position}");
                play(
                    &name,
                    &how,
                    &fixture,
                    &segments,
                    7,
                    |here, _| if here == at { vec![position] } else { Vec::new() },
                );
            }
        }
        played += 1;
    }
    assert!(played >= 20, "only {played} transcripts were found");
}
