//! A session: octets in, octets and effects out.

use bytes::BytesMut;
use sasl::{Account, Lookup, TokenCheck, TokenRefusal};
use wire::line::{Line, LineBuffer};

use crate::authorization::{self, Authorization, Exchanging};
use crate::catalogue::Text;
use crate::command::{self, Command, SyntaxError, Verb};
use crate::effect::{Effect, Limit, LoginMethod, Next, Replied};
use crate::faults::Fault;
use crate::maildrop::Maildrop;
use crate::response::{Failure, LoginRefusal, Refused, Responses};
use crate::retrieve::{BodyFlow, LeadingDots, Sending};
use crate::said::{Denied, Said};
use crate::terms::{Connection, MAX_AUTH_LINE, Security, Settings, Terms};
use crate::transaction::{self, Listed};
use crate::update::Updating;

/// Octets of input that are held. More than the longest line, so that there is always room for the rest of one.
const INPUT_LIMIT: usize = 16 * 1024;

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

/// One POP3 session. It knows no sockets, no time and no store.
#[derive(Debug)]
pub struct Session {
    terms: Terms,
    input: LineBuffer,
    responses: Responses,
    state: State,
    /// What an answer to an effect led to.
    pending: Option<Effect>,
    /// The command that is being executed.
    said: Said,
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
            said: Said::NOTHING,
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

    /// Whether the client sent more than was looked at: it pipelines.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
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

    /// As [`Session::drain`], because an administrator wants it to end: QUIT is refused too, and nothing is deleted.
    pub fn end(&mut self) {
        self.ending = Some(Refused::Ended);
    }

    /// Which limit closes the session, or has closed it, if one does.
    pub fn limit_reached(&self) -> Option<Limit> {
        if self.responses.exhausted() {
            return Some(Limit::BadCommands);
        }
        match self.ending {
            Some(Refused::SessionTooLong) => Some(Limit::SessionTime),
            Some(Refused::Ended) => Some(Limit::Asked),
            _ => None,
        }
    }

    /// What the client said last, for who writes it down: after [`Next::Replied`] the command that was answered.
    pub fn said(&self) -> Said {
        self.said
    }

    /// The login that the command before [`Next::Replied`] asked for, and that was refused without an effect.
    pub fn take_denied(&mut self) -> Option<Denied> {
        self.terms.denied.take()
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
            self.replied = Some(Replied { verb: self.said.verb, status: self.responses.status() });
        }
    }

    fn line(&mut self, ready: Ready, line: Line) -> (State, Option<Effect>) {
        if Fault::NoPipelining.is_on() {
            self.input.clear();
        }
        let octets = octets(&line);
        if let Ready::Exchanging(_) = ready {
            self.said.more(octets);
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
            let long = is_auth && may_be_auth && !Fault::ShortAuthLine.is_on();
            if long { settings.max_auth_line } else { settings.max_command_line }
        };
        let octets = octets(&line);
        let (verb, command) = match line {
            Line::Complete(line) if line.len() + 2 <= max(&line) => command::parse(&line),
            Line::Complete(_) | Line::TooLong => (Verb::TooLong, Err(Refused::LineTooLong)),
        };
        if Fault::LongLineTwice.is_on() && verb == Verb::TooLong {
            self.responses.err(Refused::LineTooLong);
        }
        self.said = Said::of(verb, command.as_ref().ok(), octets);
        match self.ending {
            Some(Refused::Ended) => Err(Refused::Ended),
            Some(refused) if command != Ok(Command::Quit) => Err(refused),
            _ => command,
        }
    }

    fn refuse(&mut self, refused: Refused, state: State) -> (State, Option<Effect>) {
        self.responses.err(refused);
        match refused {
            // After an HTTP request a browser sends headers and a body: nothing of it is read as commands.
            Refused::Draining | Refused::SessionTooLong | Refused::Ended | Refused::Syntax(SyntaxError::Http) => {
                (State::Closed, None)
            }
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
            self.input.set_max(self.terms.settings.max_command_line);
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

fn octets(line: &Line) -> usize {
    match line {
        Line::Complete(line) => line.len(),
        Line::TooLong => 0,
    }
}
