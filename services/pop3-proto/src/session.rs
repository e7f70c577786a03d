//! A session: octets in, octets and effects out.

use bytes::BytesMut;
use mail_types::{MessageNumber, Secret};
use sasl::{Exchange, Mechanism};
use wire::line::{Line, LineBuffer};

use crate::authorization::Authorization;
use crate::command::{self, Command, Retrieval, SyntaxError, Verb};
use crate::maildrop::Maildrop;
use crate::response::{Failure, LoginRefusal, Refused, Responses, Status};
use crate::retrieve::{BodyFlow, LeadingDots, Sending};
use crate::transaction::Listed;
use crate::{authorization, transaction, update};

/// The longest command line, its line end counted (RFC 2449 section 4).
pub(crate) const MAX_COMMAND_LINE: usize = 255;
/// The longest line in AUTHORIZATION, where AUTH and SASL responses may be longer; its line end counted.
pub(crate) const MAX_AUTH_LINE: usize = sasl::MAX_RESPONSE + 2;
/// With this many octets of output no further command is taken until they are written.
pub(crate) const OUTPUT_LIMIT: usize = 64 * 1024;
/// Octets of input that are held. More than the longest line, so that there is always room for the rest of one.
const INPUT_LIMIT: usize = 16 * 1024;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What CAPA tells as IMPLEMENTATION (RFC 2449 section 6.9). No line ends.
    pub implementation: &'static str,
    /// Bad commands in a row after which the connection is closed.
    pub max_bad_commands: u32,
}

/// What protects the connection, and what is allowed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nothing does.
    Clear {
        /// STLS is offered.
        stls: bool,
        /// Passwords are accepted in clear.
        passwords: bool,
    },
    /// TLS, from the first octet or since STLS.
    Tls,
}

impl Security {
    pub(crate) fn passwords_allowed(self) -> bool {
        matches!(self, Self::Tls | Self::Clear { passwords: true, .. })
    }
}

/// How a client proves itself, for metrics and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginMethod {
    /// USER and PASS.
    UserPass,
    /// AUTH.
    Sasl(Mechanism),
}

impl LoginMethod {
    /// `user` or the mechanism's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserPass => "user",
            Self::Sasl(mechanism) => mechanism.name(),
        }
    }
}

/// What a client gave to prove itself.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginAttempt {
    /// The login name as given. May be a password typed in the wrong place: not for logs.
    pub login: String,
    /// The password.
    pub secret: Secret,
    /// How it came.
    pub method: LoginMethod,
}

/// What the session cannot do itself. It takes no further command until the answer is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Check the credentials and open the maildrop. Answer: [`Session::login_accepted`] or [`Session::login_refused`].
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
        /// In order, at least one.
        marked: Vec<MessageNumber>,
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
    Exchanging(Exchange, Mechanism),
    Transaction(Maildrop),
}

/// An effect waits for its answer.
#[derive(Debug)]
pub(crate) enum Waiting {
    Authentication,
    Message(Maildrop, Sending),
    Update,
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

/// One POP3 session. It knows no sockets, no time and no store.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    security: Security,
    input: LineBuffer,
    responses: Responses,
    state: State,
    /// Of the command that is being executed.
    verb: Verb,
    replied: Option<Replied>,
    draining: bool,
}

impl Session {
    /// A new connection: the greeting is in the output. `id` helps to find the session in the server's log.
    pub fn new(settings: Settings, security: Security, id: &str) -> Self {
        let mut session = Self::without_greeting(settings, security);
        // No "<…>" in it: that would offer APOP (RFC 1939 section 7).
        session.responses.ok(format_args!("POP3 ready, session {id}"));
        session
    }

    /// After STLS: nothing is known of the client, and there is no greeting (RFC 2595 section 4).
    pub fn after_stls(settings: Settings) -> Self {
        Self::without_greeting(settings, Security::Tls)
    }

    fn without_greeting(settings: Settings, security: Security) -> Self {
        Self {
            responses: Responses::new(settings.max_bad_commands),
            settings,
            security,
            input: LineBuffer::new(MAX_AUTH_LINE),
            state: Authorization::default().into(),
            verb: Verb::Unknown,
            replied: None,
            draining: false,
        }
    }

    /// Takes octets from the client, at most [`Session::input_room`] of them.
    pub fn input(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Closed | State::StartingTls) {
            self.input.feed(octets);
        }
    }

    /// How many octets may be given to [`Session::input`] now. Never 0 after [`Next::NeedInput`].
    pub fn input_room(&self) -> usize {
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
        self.draining = true;
    }

    /// Goes on as far as possible without the driver.
    ///
    /// Called while an effect waits for its answer it gives up the session: [`Next::Close`], and nothing is deleted.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: it never ends by itself")]
    pub fn next(&mut self) -> Next {
        if let Some(replied) = self.replied.take() {
            return Next::Replied(replied);
        }
        if self.responses.out.len() >= OUTPUT_LIMIT {
            return Next::Drain;
        }
        let (state, effect) = match self.take_state() {
            State::Closed | State::Waiting(_) => return Next::Close,
            State::StartingTls => return Next::Effect(Effect::StartTls),
            State::Listing(maildrop, listed) => (listed.go_on(maildrop, &mut self.responses), None),
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
        if !matches!(self.state, State::Ready(Ready::Exchanging(..)) | State::Listing(..)) {
            self.replied = Some(Replied { verb: self.verb, status: self.responses.status() });
        }
    }

    fn line(&mut self, ready: Ready, line: Line) -> (State, Option<Effect>) {
        match ready {
            Ready::Exchanging(exchange, mechanism) => match line {
                _ if self.draining => self.refuse(Refused::Draining, State::Closed),
                Line::Complete(line) => authorization::respond(exchange, mechanism, &line, &mut self.responses),
                Line::TooLong => self.refuse(Refused::LineTooLong, Authorization::default().into()),
            },
            Ready::Authorization(authorization) => match self.command(line, authorization::max_line) {
                Ok(command) => authorization.execute(command, &self.settings, self.security, &mut self.responses),
                Err(refused) => self.refuse(refused, authorization.into()),
            },
            Ready::Transaction(maildrop) => match self.command(line, |_| MAX_COMMAND_LINE) {
                Ok(command) => {
                    transaction::execute(maildrop, command, &self.settings, self.security, &mut self.responses)
                }
                Err(refused) => self.refuse(refused, maildrop.into()),
            },
        }
    }

    /// The command of a line; `max` tells how long that line may be, its CRLF counted.
    fn command(&mut self, line: Line, max: fn(&[u8]) -> usize) -> Result<Command, Refused> {
        let (verb, command) = match line {
            Line::Complete(line) if line.len() + 2 <= max(&line) => command::parse(&line),
            Line::Complete(_) | Line::TooLong => (Verb::Unknown, Err(Refused::LineTooLong)),
        };
        self.verb = verb;
        if self.draining && command != Ok(Command::Quit) {
            return Err(Refused::Draining);
        }
        command
    }

    fn refuse(&mut self, refused: Refused, state: State) -> (State, Option<Effect>) {
        self.responses.err(refused);
        match refused {
            // After an HTTP request a browser sends headers and a body: nothing of it is read as commands.
            Refused::Draining | Refused::Syntax(SyntaxError::Http) => (State::Closed, None),
            _ => (state, None),
        }
    }

    /// The login is good and this is its maildrop.
    pub fn login_accepted(&mut self, maildrop: Maildrop) {
        if let State::Waiting(Waiting::Authentication) = self.take_state() {
            let (messages, octets) = maildrop.drop_listing();
            self.responses.ok(format_args!("{messages} messages ({octets} octets)"));
            self.input.set_max(MAX_COMMAND_LINE);
            self.enter(maildrop.into());
        }
    }

    /// The login is refused; the client may try again.
    pub fn login_refused(&mut self, refusal: LoginRefusal) {
        if let State::Waiting(Waiting::Authentication) = self.take_state() {
            self.responses.err(Refused::Login(refusal));
            self.enter(Authorization::default().into());
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
        if let State::Waiting(Waiting::Message(maildrop, sending)) = self.take_state() {
            sending.end(&mut self.responses.out);
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
        if let State::Waiting(Waiting::Update) = self.take_state() {
            update::done(result, &mut self.responses);
            self.enter(State::Closed);
        }
    }

    /// An answer that no effect asked for closes the session: it is the driver's mistake, and closing deletes nothing.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Closed)
    }
}
