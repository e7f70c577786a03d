//! A session: octets in, octets and effects out.

use std::sync::Arc;

use bytes::BytesMut;
use mail_types::{MessageNumber, Secret};
use sasl::{
    Account, Candidate, Challenges, ChannelBindings, Lookup, Material, Mechanism, Mechanisms, TokenCheck, TokenRefusal,
};
use wire::line::{Line, LineBuffer};

use crate::authorization::{Authorization, Exchanging};
use crate::catalogue::Text;
use crate::command::{self, Command, Retrieval, SyntaxError, Verb};
use crate::faults::Fault;
use crate::maildrop::{Expire, Maildrop};
use crate::response::{Failure, LoginRefusal, Refused, Responses, Status};
use crate::retrieve::{BodyFlow, LeadingDots, Sending};
use crate::transaction::Listed;
use crate::update::Updating;
use crate::{authorization, transaction};

/// Octets of input that are held. More than the longest line, so that there is always room for the rest of one.
const INPUT_LIMIT: usize = 16 * 1024;

/// The longest that [`Settings::max_auth_line`] may be.
pub const MAX_AUTH_LINE: usize = sasl::MAX_RESPONSE + 2;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What CAPA tells as IMPLEMENTATION (RFC 2449 section 6.9). No line ends.
    pub implementation: &'static str,
    /// Bad commands in a row after which the connection is closed.
    pub max_bad_commands: u32,
    /// The longest command line, its CRLF counted. RFC 2449 section 4 asks for 255.
    pub max_command_line: usize,
    /// The longest AUTH line and SASL response, its CRLF counted: at most [`MAX_AUTH_LINE`], and not below the former.
    pub max_auth_line: usize,
    /// With this many octets of output no further command is taken until some are written.
    pub max_output: usize,
    /// What may be offered; of it a connection offers what it can do.
    pub mechanisms: Mechanisms,
    /// Whether APOP may be offered, which needs secrets that the server can recover.
    pub apop: bool,
    /// The longest LOGIN-DELAY that an account may have, in seconds (RFC 2449 section 6.5).
    pub login_delay: u32,
    /// The shortest EXPIRE that an account may have (RFC 2449 section 6.7).
    pub expire: Expire,
}

/// What SASL needs of a connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Makes challenges that never repeat.
    pub challenges: Arc<Challenges>,
    /// What proofs may be bound to; empty without TLS.
    pub bindings: ChannelBindings,
    /// The addresses in the client's certificate, if TLS verified one.
    pub certificate: Vec<String>,
}

/// What protects the connection, and what is allowed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing does.
    Clear {
        /// STLS is offered.
        stls: bool,
        /// Logins are accepted in clear; where not, no mechanism is: a proof may be safe in clear, the mail is not.
        passwords: bool,
    },
    /// TLS, from the first octet or since STLS.
    Tls,
}

impl Security {
    pub(crate) fn logins_allowed(self) -> bool {
        matches!(self, Self::Tls | Self::Clear { passwords: true, .. })
    }
}

/// How a client proves itself, for metrics and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMethod {
    /// USER and PASS.
    UserPass,
    /// APOP.
    Apop,
    /// AUTH.
    Sasl(Mechanism),
}

impl LoginMethod {
    /// `user`, `apop` or the mechanism's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserPass => "user",
            Self::Apop => "apop",
            Self::Sasl(mechanism) => mechanism.name(),
        }
    }
}

/// How a client proves who it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Evidence {
    /// This password, as it was sent.
    Password(Secret),
    /// This bearer token. Empty when the client only asks where to get one.
    Token(Secret),
    /// Its certificate, which TLS verified; the login name is an address of it.
    Certificate,
    /// The exchange proved that it has this one of the credentials that [`Session::looked_up`] was given.
    Proof(Candidate),
    /// The exchange proved nothing: the login has failed.
    Disproved,
}

/// A client that wants to log in.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginAttempt {
    /// The login name as given, prepared (SASLprep). May be a password typed in the wrong place: not for logs. Empty where a
    /// token says who it is, and of a [`Evidence::Disproved`], whose name was looked up before.
    pub login: String,
    /// What proves it.
    pub evidence: Evidence,
    /// How it came.
    pub method: LoginMethod,
}

/// What the session cannot do itself. It takes no further command until the answer is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look an account up, for a mechanism that goes on with what is kept of its credentials. Answer:
    /// [`Session::looked_up`], also for an account that does not exist, or [`Session::login_refused`].
    LookUp {
        /// The login name, prepared. Not for logs.
        login: String,
        /// What is needed.
        material: Material,
        /// How it came.
        method: LoginMethod,
    },
    /// Check the evidence and open the maildrop. Answer: [`Session::login_accepted`], [`Session::login_refused`], or, of a
    /// token, [`Session::token_refused`].
    Authenticate(LoginAttempt),
    /// Read a message. Answer: [`Session::body_begin`], any number of [`Session::body`], [`Session::body_end`]; or
    /// [`Session::retrieve_failed`] in place of the first. A failure in the middle cannot be told in POP3: close the
    /// connection.
    Retrieve {
        /// Which; it is in the listing and not marked.
        number: MessageNumber,
        /// How much is wanted.
        what: Retrieval,
    },
    /// QUIT: remove these messages, all or none. Answer: [`Session::update_done`].
    Update {
        /// The messages marked as deleted, in order.
        marked: Vec<MessageNumber>,
        /// Where the policy learns: those that RETR sent to their end, in order. One of the two has at least one.
        fetched: Vec<MessageNumber>,
    },
    /// Write the output, drop this session with all that it holds, and go on over TLS with [`Session::after_stls`]. What
    /// the client sent in clear after STLS is thus never executed (RFC 2595 section 4; a known attack).
    StartTls,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a step that is not followed makes the session hang"]
pub enum Next {
    /// A command was answered; the answer is in the output. Call [`Session::next`] again.
    Replied(Replied),
    /// Write the output, at least in part, before calling [`Session::next`] again.
    Drain,
    /// Write the output, then read.
    NeedInput,
    /// Do this and answer it. The output can wait.
    Effect(Effect),
    /// Write the output and close the connection.
    Close,
}

/// A limit that ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// On bad commands in a row.
    BadCommands,
    /// On how long a session may last.
    SessionTime,
}

/// A command and how it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replied {
    /// Which.
    pub verb: Verb,
    /// How.
    pub status: Status,
}

/// Where a session stands. Each state holds what it needs and nothing else.
#[derive(Debug)]
pub(crate) enum State {
    Ready(Ready),
    Listing(Maildrop, Listed),
    Waiting(Waiting),
    StartingTls,
    Closed,
}

/// Ready for the client's next line: the states of RFC 1939 section 3 that have commands.
#[derive(Debug)]
pub(crate) enum Ready {
    Authorization(Authorization),
    /// In the middle of AUTH: the next line is a response, not a command.
    Exchanging(Exchanging),
    Transaction(Maildrop),
}

/// An effect waits for its answer.
#[derive(Debug)]
pub(crate) enum Waiting {
    Lookup(Lookup, LoginMethod),
    /// With the token's exchange, which goes on if it is refused.
    Authentication(Option<TokenCheck>, LoginMethod),
    Message(Maildrop, Sending),
    Update(Updating),
}

impl From<Authorization> for State {
    fn from(authorization: Authorization) -> Self {
        Self::Ready(Ready::Authorization(authorization))
    }
}

impl From<Maildrop> for State {
    fn from(maildrop: Maildrop) -> Self {
        Self::Ready(Ready::Transaction(maildrop))
    }
}

/// What holds on the connection, whoever logs in.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) settings: Settings,
    pub(crate) security: Security,
    pub(crate) connection: Connection,
    /// The mechanisms that this connection offers.
    pub(crate) offered: Mechanisms,
    /// Of the greeting, where it offers APOP (RFC 1939 section 7).
    pub(crate) timestamp: Option<String>,
    /// Whether the client said UTF8 (RFC 6856 section 2).
    pub(crate) utf8: bool,
}

impl Terms {
    fn new(settings: Settings, security: Security, connection: Connection) -> Self {
        let can = |mechanism: &Mechanism| match mechanism {
            Mechanism::External => !connection.certificate.is_empty(),
            mechanism => !mechanism.binds_channel() || !connection.bindings.is_empty(),
        };
        let offered =
            if security.logins_allowed() { settings.mechanisms.iter().filter(can).collect() } else { Mechanisms::NONE };
        Self { settings, security, connection, offered, timestamp: None, utf8: false }
    }
}

/// One POP3 session. It knows no sockets, no time and no store.
#[derive(Debug)]
pub struct Session {
    terms: Terms,
    input: LineBuffer,
    responses: Responses,
    state: State,
    /// What an answer to an effect led to.
    pending: Option<Effect>,
    /// Of the command that is being executed.
    verb: Verb,
    replied: Option<Replied>,
    /// Why the session takes no command any more but QUIT.
    ending: Option<Refused>,
}

impl Session {
    /// A new connection: the greeting is in the output. `id` helps to find the session in the server's log.
    pub fn new(settings: Settings, security: Security, connection: Connection, id: &str) -> Self {
        let mut session = Self::after_stls(settings, connection);
        session.terms = Terms::new(settings, security, session.terms.connection);
        let terms = &mut session.terms;
        // Without APOP no "<…>" in it: that would offer APOP (RFC 1939 section 7).
        if settings.apop && security.logins_allowed() {
            let timestamp = terms.connection.challenges.timestamp();
            let timestamp = if Fault::TimestampRepeats.is_on() { "<1.2@localhost>".to_owned() } else { timestamp };
            session.responses.ok_fields(format_args!("POP3 ready, session {id} {timestamp}"));
            terms.timestamp = Some(timestamp);
        } else {
            session.responses.ok_fields(format_args!("POP3 ready, session {id}"));
        }
        session
    }

    /// After STLS: nothing is known of the client, and there is no greeting (RFC 2595 section 4), hence no APOP.
    pub fn after_stls(settings: Settings, connection: Connection) -> Self {
        Self {
            responses: Responses::new(settings.max_bad_commands),
            terms: Terms::new(settings, Security::Tls, connection),
            input: LineBuffer::new(settings.max_auth_line.min(MAX_AUTH_LINE)),
            state: Authorization::default().into(),
            pending: None,
            verb: Verb::Unknown,
            replied: None,
            ending: None,
        }
    }

    /// Takes octets from the client, at most [`Session::input_room`] of them.
    pub fn input(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Closed | State::StartingTls) {
            self.input.feed(octets);
        }
    }

    /// How many octets may be given to [`Session::input`] now. Never 0 after [`Next::NeedInput`]; 0 once STLS was accepted: what
    /// the client sends then is its handshake.
    pub fn input_room(&self) -> usize {
        if matches!(self.state, State::StartingTls) {
            return 0;
        }
        INPUT_LIMIT.saturating_sub(self.input.len())
    }

    /// Octets to be written to the client; whoever writes them takes them out.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.responses.out
    }

    /// Whether there is output to write.
    pub fn has_output(&self) -> bool {
        !self.responses.out.is_empty()
    }

    /// From now on the next command is answered `-ERR [SYS/TEMP]` and the connection closed; QUIT is still executed.
    pub fn drain(&mut self) {
        self.ending = Some(Refused::Draining);
    }

    /// As [`Session::drain`], because the session has lasted as long as a session may.
    pub fn lasted_too_long(&mut self) {
        self.ending = Some(Refused::SessionTooLong);
    }

    /// Which limit closes the session, or has closed it, if one does.
    pub fn limit_reached(&self) -> Option<Limit> {
        if self.responses.exhausted() {
            return Some(Limit::BadCommands);
        }
        (self.ending == Some(Refused::SessionTooLong)).then_some(Limit::SessionTime)
    }

    /// The input that was not looked at yet: what the client sent in clear together with STLS. Only [`Fault`] asks.
    #[cfg(feature = "faults")]
    pub fn take_input(&mut self) -> bytes::Bytes {
        self.input.take_rest()
    }

    /// Goes on as far as possible without the driver.
    ///
    /// Called while an effect waits for its answer it gives up the session: [`Next::Close`], and nothing is deleted.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: it never ends by itself")]
    pub fn next(&mut self) -> Next {
        if let Some(replied) = self.replied.take() {
            return Next::Replied(replied);
        }
        if let Some(effect) = self.pending.take() {
            return Next::Effect(effect);
        }
        if self.responses.out.len() >= self.terms.settings.max_output {
            return Next::Drain;
        }
        let (state, effect) = match self.take_state() {
            State::Closed | State::Waiting(_) => return Next::Close,
            State::StartingTls => {
                self.state = State::StartingTls;
                return Next::Effect(Effect::StartTls);
            }
            State::Listing(maildrop, listed) => {
                (listed.go_on(maildrop, self.terms.settings.max_output, &mut self.responses), None)
            }
            State::Ready(ready) => match self.input.next_line() {
                None => {
                    self.state = State::Ready(ready);
                    return Next::NeedInput;
                }
                Some(line) => self.line(ready, line),
            },
        };
        match effect {
            Some(effect) => {
                self.state = state;
                Next::Effect(effect)
            }
            None => {
                self.enter(state);
                self.next()
            }
        }
    }

    /// Enters a state; if it owes the client nothing, the command before it has its answer.
    fn enter(&mut self, state: State) {
        self.state = if self.responses.exhausted() { State::Closed } else { state };
        if !matches!(self.state, State::Ready(Ready::Exchanging(_)) | State::Listing(..)) {
            self.replied = Some(Replied { verb: self.verb, status: self.responses.status() });
        }
    }

    fn line(&mut self, ready: Ready, line: Line) -> (State, Option<Effect>) {
        if Fault::NoPipelining.is_on() {
            self.input.clear();
        }
        match ready {
            Ready::Exchanging(exchanging) => match line {
                _ if let Some(refused) = self.ending => self.refuse(refused, State::Closed),
                Line::Complete(line) => exchanging.respond(&line, &mut self.responses),
                Line::TooLong => self.refuse(Refused::LineTooLong, Authorization::default().into()),
            },
            Ready::Authorization(authorization) => match self.command(line, true) {
                Ok(command) => authorization.execute(command, &mut self.terms, &mut self.responses),
                Err(refused) => self.refuse(refused, authorization.into()),
            },
            Ready::Transaction(maildrop) => match self.command(line, false) {
                Ok(command) => transaction::execute(maildrop, command, &mut self.terms, &mut self.responses),
                Err(refused) => self.refuse(refused, maildrop.into()),
            },
        }
    }

    /// The command of a line. An AUTH command with its initial response may be as long as a response.
    fn command(&mut self, line: Line, may_be_auth: bool) -> Result<Command, Refused> {
        let settings = &self.terms.settings;
        let max = |line: &[u8]| {
            let is_auth = line.get(..5).is_some_and(|keyword| keyword.eq_ignore_ascii_case(b"AUTH "));
            let long = is_auth && may_be_auth && !Fault::ShortAuthLine.is_on() || Fault::NoLineLimit.is_on();
            if long { settings.max_auth_line } else { settings.max_command_line }
        };
        let (verb, command) = match line {
            Line::Complete(line) if line.len() + 2 <= max(&line) => command::parse(&line),
            Line::Complete(_) | Line::TooLong => (Verb::TooLong, Err(Refused::LineTooLong)),
        };
        self.verb = verb;
        match self.ending {
            Some(refused) if command != Ok(Command::Quit) => Err(refused),
            _ => command,
        }
    }

    fn refuse(&mut self, refused: Refused, state: State) -> (State, Option<Effect>) {
        self.responses.err(refused);
        match refused {
            // After an HTTP request a browser sends headers and a body: nothing of it is read as commands.
            Refused::Draining | Refused::SessionTooLong | Refused::Syntax(SyntaxError::Http) => (State::Closed, None),
            _ => (state, None),
        }
    }

    /// What the directory has of the account that an exchange asks for.
    pub fn looked_up(&mut self, account: Account) {
        if let State::Waiting(Waiting::Lookup(lookup, method)) = self.take_state() {
            let step = Ok(lookup.answer(account));
            let (state, effect) = authorization::follow(step, method, &mut self.responses);
            match effect {
                None => self.enter(state),
                effect => {
                    self.state = state;
                    self.pending = effect;
                }
            }
        }
    }

    /// The login is good and this is its maildrop.
    pub fn login_accepted(&mut self, maildrop: Maildrop) {
        if let State::Waiting(Waiting::Authentication(..)) = self.take_state() {
            let (messages, octets) = maildrop.drop_listing();
            self.responses.ok(Text::Maildrop(messages, octets));
            let settings = &self.terms.settings;
            let long = Fault::NoLineLimit.is_on();
            self.input.set_max(if long { settings.max_auth_line } else { settings.max_command_line });
            self.enter(maildrop.into());
        }
    }

    /// The login is refused; the client may try again.
    pub fn login_refused(&mut self, refusal: LoginRefusal) {
        if let State::Waiting(Waiting::Authentication(..) | Waiting::Lookup(..)) = self.take_state() {
            self.responses.err(Refused::Login(refusal));
            self.enter(Authorization::default().into());
        }
    }

    /// The token is refused. The client is told in the mechanism's own words, and in those of POP3 after its answer.
    pub fn token_refused(&mut self, refusal: &TokenRefusal) {
        match self.take_state() {
            State::Waiting(Waiting::Authentication(Some(check), method)) => {
                let state = authorization::token_refused(check, refusal, method, &mut self.responses);
                self.enter(state);
            }
            State::Waiting(Waiting::Authentication(None, _)) => {
                self.responses.err(Refused::Login(LoginRefusal::WrongCredentials));
                self.enter(Authorization::default().into());
            }
            _ => {}
        }
    }

    /// The message can be read and its octets follow.
    pub fn body_begin(&mut self, dots: LeadingDots) {
        if let State::Waiting(Waiting::Message(_, sending)) = &mut self.state {
            sending.begin(dots, &mut self.responses);
        }
    }

    /// The message's next octets, before dot-stuffing. The output grows by less than twice as many.
    pub fn body(&mut self, octets: &[u8]) -> BodyFlow {
        match &mut self.state {
            State::Waiting(Waiting::Message(_, sending)) => sending.body(octets, &mut self.responses.out),
            _ => BodyFlow::Enough,
        }
    }

    /// The message is complete.
    pub fn body_end(&mut self) {
        if let State::Waiting(Waiting::Message(mut maildrop, sending)) = self.take_state() {
            sending.end(&mut maildrop, &mut self.responses.out);
            self.enter(maildrop.into());
        }
    }

    /// The message cannot be read; told in place of [`Session::body_begin`].
    pub fn retrieve_failed(&mut self, failure: Failure) {
        if let State::Waiting(Waiting::Message(maildrop, _)) = self.take_state() {
            self.responses.err(Refused::Retrieve(failure));
            self.enter(maildrop.into());
        }
    }

    /// The marked messages are removed, durably and all of them, or none is.
    pub fn update_done(&mut self, result: Result<(), Failure>) {
        if let State::Waiting(Waiting::Update(updating)) = self.take_state() {
            updating.done(result, &mut self.responses);
            self.enter(State::Closed);
        }
    }

    /// An answer that no effect asked for closes the session: it is the driver's mistake, and closing deletes nothing.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }
}
