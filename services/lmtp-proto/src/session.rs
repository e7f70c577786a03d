//! The session: which command is legal when, what the driver is asked to do, and what is answered.

mod body;

use std::{mem, sync::Arc};

use bytes::BytesMut;
use mail_types::Address;
use wire::{
    line::{Line, LineBuffer},
    unstuffing::Unstuffer,
};

use crate::{
    Abort, DeliveryReply, Effect, MAX_LINE_OCTETS, Next, RecipientReply, Refusal, Security, Settings,
    command::{Chunk, Command, Mail},
    reply::{self, Reply},
    transaction::{Body, Transaction},
};

/// With so much output waiting the driver must write before more commands are executed.
const OUTPUT_HIGH: usize = 16 * 1024;

#[derive(Debug)]
enum State<R> {
    /// Between commands, perhaps inside a transaction.
    Ready(Option<Transaction<R>>),
    /// The driver looks the recipient up.
    Resolving(Transaction<R>, Address),
    /// In the body of a DATA, or right after its end.
    Data {
        body: Body,
        unstuffer: Box<Unstuffer>,
        ended: bool,
    },
    /// In a chunk of a BDAT, or right after its end.
    Chunk {
        body: Body,
        left: u64,
        last: bool,
    },
    /// In a chunk that was refused already: its octets are no commands.
    RefusedChunk {
        transaction: Option<Transaction<R>>,
        left: u64,
    },
    /// Between two BDATs of a body.
    Chunks(Body),
    /// The driver delivers.
    Delivering(Body),
    Closed,
}

/// One LMTP session. The driver calls [`Session::next`] and does what it says, again and again.
#[derive(Debug)]
pub struct Session<R> {
    settings: Arc<Settings>,
    security: Security,
    state: State<R>,
    /// The peer's name, once it has said LHLO.
    lhlo: Option<String>,
    /// What was read and is commands.
    lines: LineBuffer,
    /// What was read and is a body.
    raw: BytesMut,
    output: BytesMut,
    bad_commands: u32,
    draining: bool,
}

impl<R> Session<R> {
    /// A session whose greeting is in the output.
    pub fn new(settings: Arc<Settings>, security: Security) -> Self {
        let mut session = Self::silent(settings, security);
        reply::greeting(&mut session.output, &session.settings.host);
        session
    }

    /// The session that follows a TLS handshake: nothing said before counts, and there is no greeting (RFC 3207 section 4.2).
    pub fn after_starttls(settings: Arc<Settings>) -> Self {
        Self::silent(settings, Security::Tls)
    }

    fn silent(settings: Arc<Settings>, security: Security) -> Self {
        Self {
            settings,
            security,
            state: State::Ready(None),
            lhlo: None,
            lines: LineBuffer::new(MAX_LINE_OCTETS),
            raw: BytesMut::new(),
            output: BytesMut::new(),
            bad_commands: 0,
            draining: false,
        }
    }

    /// Takes octets from the peer. To be called once after each [`Next::NeedInput`]: what is given is held until it is used.
    pub fn input(&mut self, octets: &[u8]) {
        match self.state {
            State::Data { .. } | State::Chunk { .. } | State::RefusedChunk { .. } => self.raw.extend_from_slice(octets),
            State::Closed => {}
            _ => self.lines.feed(octets),
        }
    }

    /// What waits to be written. The driver takes it from the front.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// What is to be done now.
    #[expect(clippy::should_implement_trait, reason = "a session does not end where an iterator would")]
    pub fn next(&mut self) -> Next<R> {
        loop {
            if self.output.len() >= OUTPUT_HIGH {
                return Next::Flush;
            }
            if let Some(next) = self.step() {
                return next;
            }
        }
    }

    /// The answer to [`Effect::Recipient`].
    pub fn recipient(&mut self, answer: RecipientReply<R>) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Resolving(mut transaction, address) => {
                match answer {
                    RecipientReply::Accepted(recipient) => {
                        transaction.accept(address, recipient);
                        self.reply(Reply::RecipientOk);
                    }
                    RecipientReply::Refused(refusal) => self.reply(Reply::Refused(refusal)),
                }
                self.state = State::Ready(Some(transaction));
            }
            other => self.state = other,
        }
    }

    /// The answer to [`Effect::BodyEnd`]: one for each recipient of the envelope, in its order. The peer gets one reply for each RCPT
    /// that was accepted, in the order of those (RFC 2033 section 4.2).
    pub fn delivered(&mut self, answers: &[DeliveryReply]) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Delivering(body) => {
                for &place in &body.accepted {
                    let reply = match answers.get(place) {
                        Some(DeliveryReply::Delivered { id }) => Reply::Delivered(id.clone()),
                        Some(&DeliveryReply::Refused(refusal)) => Reply::Refused(refusal),
                        // Never a 250 that nobody has vouched for.
                        None => Reply::Refused(Refusal::Unavailable),
                    };
                    self.reply(reply);
                }
                self.transaction_ended();
            }
            other => self.state = other,
        }
    }

    /// The server is about to stop: a transaction under way is finished, then the peer gets 421 (RFC 5321 section 3.8) and the
    /// connection is closed; without one, at once.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The peer has said nothing for too long: it gets 421, and the connection is closed.
    pub fn idle_expired(&mut self) {
        if !matches!(self.state, State::Closed) {
            self.reply(Reply::IdleTooLong);
            self.state = State::Closed;
        }
    }

    /// One step; `None` if there may be another.
    fn step(&mut self) -> Option<Next<R>> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Ready(None) if self.draining => self.close_with(Reply::ShuttingDown),
            State::Ready(transaction) => match self.command() {
                None => self.wait(State::Ready(transaction)),
                Some(Ok(command)) => self.execute(command, transaction),
                Some(Err(reply)) => self.refuse(reply, State::Ready(transaction)),
            },
            State::Chunks(body) => match self.command() {
                None => self.wait(State::Chunks(body)),
                Some(Ok(command)) => self.execute_between_chunks(command, body),
                Some(Err(reply)) => self.refuse(reply, State::Chunks(body)),
            },
            State::Data { body, unstuffer, ended } => self.data(body, unstuffer, ended),
            State::Chunk { body, left, last } => self.chunk(body, left, last),
            State::RefusedChunk { transaction, left } => self.refused_chunk(transaction, left),
            waiting @ (State::Resolving(..) | State::Delivering(_)) => self.wait(waiting),
            State::Closed => Some(Next::Close),
        }
    }

    fn wait(&mut self, state: State<R>) -> Option<Next<R>> {
        self.state = state;
        Some(Next::NeedInput)
    }

    /// The next command line, if there is one.
    fn command(&mut self) -> Option<Result<Command, Reply>> {
        Some(match self.lines.next_line()? {
            Line::Complete(line) => Command::parse(&line),
            Line::TooLong => Err(Reply::LineTooLong),
        })
    }

    /// Executes a command that does not stand between two BDATs of a body.
    fn execute(&mut self, command: Command, transaction: Option<Transaction<R>>) -> Option<Next<R>> {
        match (command, transaction) {
            (Command::Lhlo(name), _) => self.greet(name),
            (Command::Mail(mail), None) => self.mail(mail),
            (Command::Mail(_), Some(transaction)) => self.refuse(Reply::NestedMail, State::Ready(Some(transaction))),
            (Command::Rcpt { address, given }, Some(transaction)) => self.rcpt(address, given, transaction),
            (Command::Rcpt { .. } | Command::Data, None) => self.refuse(Reply::MailFirst, State::Ready(None)),
            (Command::Data, Some(transaction)) if transaction.accepted() > 0 => {
                self.reply(Reply::StartBody);
                let (envelope, body) = transaction.into_body();
                self.begin_raw();
                self.state = State::Data { body, unstuffer: Box::default(), ended: false };
                Some(Next::Effect(Effect::BodyBegin(envelope)))
            }
            // RFC 2033 section 4.2. Not counted as bad: whoever pipelines cannot know that no recipient was accepted.
            (Command::Data, transaction) => {
                self.reply(Reply::NoRecipients);
                self.ready(transaction)
            }
            (Command::Bdat(Chunk { octets, last }), Some(transaction)) if transaction.accepted() > 0 => {
                let (envelope, body) = transaction.into_body();
                self.begin_raw();
                self.state = State::Chunk { body, left: octets, last };
                Some(Next::Effect(Effect::BodyBegin(envelope)))
            }
            (Command::Bdat(Chunk { octets, .. }), transaction) => {
                self.reply(if transaction.is_some() { Reply::NoRecipients } else { Reply::MailFirst });
                self.begin_raw();
                self.state = State::RefusedChunk { transaction, left: octets };
                None
            }
            (Command::Rset, _) => {
                self.reply(Reply::Reset);
                self.ready(None)
            }
            (Command::StartTls, transaction) => self.starttls(transaction),
            (Command::Noop, transaction) => {
                self.reply(Reply::Noop);
                self.ready(transaction)
            }
            (Command::Vrfy, transaction) => {
                self.reply(Reply::CannotVerify);
                self.ready(transaction)
            }
            (Command::Help, transaction) => {
                self.reply(Reply::Help);
                self.ready(transaction)
            }
            (Command::Quit, _) => self.close_with(Reply::Bye),
        }
    }

    /// Executes a command after a BDAT that was not the last (RFC 3030 section 2): no other way to send a body, no new recipients.
    fn execute_between_chunks(&mut self, command: Command, body: Body) -> Option<Next<R>> {
        match command {
            Command::Bdat(Chunk { octets, last }) => {
                self.begin_raw();
                self.state = State::Chunk { body, left: octets, last };
                None
            }
            Command::Mail(_) | Command::Rcpt { .. } | Command::Data | Command::StartTls => {
                self.refuse(Reply::BodyUnderWay, State::Chunks(body))
            }
            Command::Noop | Command::Vrfy | Command::Help => {
                self.reply(match command {
                    Command::Noop => Reply::Noop,
                    Command::Vrfy => Reply::CannotVerify,
                    _ => Reply::Help,
                });
                self.state = State::Chunks(body);
                None
            }
            Command::Lhlo(_) | Command::Rset | Command::Quit => {
                let told = body.too_large;
                let next = self.execute(command, None);
                if told || next.is_some() { next } else { Some(Next::Effect(Effect::BodyAbort(Abort::Reset))) }
            }
        }
    }

    /// LHLO also ends a transaction (RFC 5321 section 4.1.4).
    fn greet(&mut self, name: String) -> Option<Next<R>> {
        let starttls = self.security == Security::Plain { starttls: true };
        reply::extensions(&mut self.output, &self.settings.host, self.settings.max_message_octets, starttls);
        self.lhlo = Some(name);
        self.ready(None)
    }

    fn mail(&mut self, mail: Mail) -> Option<Next<R>> {
        let Mail { reverse_path, declared_octets, smtputf8 } = mail;
        let Some(lhlo) = self.lhlo.clone() else {
            return self.refuse(Reply::LhloFirst, State::Ready(None));
        };
        if declared_octets.is_some_and(|octets| octets > self.settings.max_message_octets) {
            self.reply(Reply::Refused(Refusal::TooLarge));
            return self.ready(None);
        }
        self.reply(Reply::SenderOk);
        self.ready(Some(Transaction::new(lhlo, reverse_path, declared_octets, smtputf8)))
    }

    fn rcpt(&mut self, address: Address, given: String, mut transaction: Transaction<R>) -> Option<Next<R>> {
        if !transaction.smtputf8 && !given.is_ascii() {
            self.reply(Reply::NeedsSmtpUtf8);
            return self.ready(Some(transaction));
        }
        if transaction.accepted() >= self.settings.max_recipients {
            self.reply(Reply::TooManyRecipients);
            return self.ready(Some(transaction));
        }
        if transaction.accept_again(&address) {
            self.reply(Reply::RecipientOk);
            return self.ready(Some(transaction));
        }
        let declared_octets = transaction.declared_octets;
        self.state = State::Resolving(transaction, address.clone());
        Some(Next::Effect(Effect::Recipient { address, given, declared_octets }))
    }

    fn starttls(&mut self, transaction: Option<Transaction<R>>) -> Option<Next<R>> {
        let reply = match (self.security, &transaction) {
            (Security::Tls, _) => Reply::TlsActive,
            (Security::Plain { starttls: false }, _) => Reply::TlsNotOffered,
            (Security::Plain { starttls: true }, Some(_)) => Reply::TlsInTransaction,
            (Security::Plain { starttls: true }, None) => {
                self.reply(Reply::StartTls);
                // The state stays closed: what was read behind the command is never looked at.
                return Some(Next::Effect(Effect::StartTls));
            }
        };
        self.refuse(reply, State::Ready(transaction))
    }

    fn ready(&mut self, transaction: Option<Transaction<R>>) -> Option<Next<R>> {
        self.state = State::Ready(transaction);
        None
    }

    fn reply(&mut self, reply: Reply) {
        reply.encode(&mut self.output);
    }

    /// Answers a bad command; too many of them end the session.
    fn refuse(&mut self, reply: Reply, state: State<R>) -> Option<Next<R>> {
        if reply.closes() {
            return self.close_with(reply);
        }
        // A strange address says nothing about the sender that hands it on.
        let counts = !matches!(reply, Reply::BadForwardPath | Reply::BadReversePath | Reply::NeedsSmtpUtf8);
        self.reply(reply);
        self.bad_commands += u32::from(counts);
        if self.bad_commands >= self.settings.max_bad_commands {
            return self.close_with(Reply::TooManyBadCommands);
        }
        self.state = state;
        None
    }

    fn close_with(&mut self, reply: Reply) -> Option<Next<R>> {
        self.reply(reply);
        self.state = State::Closed;
        Some(Next::Close)
    }
}
