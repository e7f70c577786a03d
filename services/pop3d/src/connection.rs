//! One connection: writes what the session puts out, feeds it what the client sends, and does what it asks for.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use bytes::BytesMut;
use mail_types::{MessageNumber, SessionUuid, Timestamp};
use mailstore::{SessionOutcome, SessionRecord, Update};
use net::{Peer, Stream};
use pop3_proto::{
    Effect, Failure, LoginAttempt, LoginMethod, Next, Replied, Retrieval, Security, Session, Status, Verb,
};
use runtime::shutdown::Shutdown;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Mode, Shared,
    login::{self, LoggedIn},
    metrics, retrieve,
    wire::Wire,
};

/// An emptied output buffer above this capacity is given back before waiting for the client.
const KEPT_OUTPUT: usize = 4096;

/// How a session ended, for the log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By QUIT.
    Quit,
    /// By us, after a response: too many bad commands, HTTP, draining.
    Closed,
    /// The client went away without QUIT.
    Lost,
    /// No login in time.
    NoLogin,
    /// No command in time (RFC 1939 section 3).
    Idle,
    /// The client took nothing of what it was sent.
    NotReading,
    /// A message turned out to be unreadable in its middle.
    Unreadable,
    /// No TLS came of it.
    Handshake,
    /// The process stops.
    Stopped,
}

impl Ended {
    pub(crate) fn lost(error: &io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Self::Lost
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::NoLogin => "no_login",
            Self::Idle => "idle",
            Self::NotReading => "not_reading",
            Self::Unreadable => "unreadable",
            Self::Handshake => "handshake",
            Self::Stopped => "stopped",
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, mode: Mode, stream: Stream, peer: Peer, shutdown: Shutdown) {
    let now = Instant::now();
    let mut connection = Connection {
        id: SessionUuid::new(&*shared.random),
        started: shared.clock.now(),
        connected: now,
        tls: Tls::None,
        logged_in: None,
        commands: 0,
        last_command: now,
        last_replied: None,
        fetched: 0,
        fetched_octets: 0,
        expunged: None,
        sent: 0,
        shared,
        peer,
        shutdown,
    };
    let Err(ended) = connection.run(mode, stream).await;
    connection.finish(ended).await;
}

/// What protects the connection, as a session's row tells it.
#[derive(Debug, Clone, Copy)]
enum Tls {
    None = 0,
    Stls = 1,
    Implicit = 2,
}

struct Connection {
    shared: Arc<Shared>,
    peer: Peer,
    shutdown: Shutdown,
    id: SessionUuid,
    started: Timestamp,
    connected: Instant,
    tls: Tls,
    logged_in: Option<LoggedIn>,
    commands: u64,
    /// When the last command was answered.
    last_command: Instant,
    last_replied: Option<Replied>,
    /// Messages sent whole, and their octets.
    fetched: u32,
    fetched_octets: u64,
    /// Messages expunged, once QUIT has been executed with any marks.
    expunged: Option<u32>,
    sent: u64,
}

impl Connection {
    async fn run(&mut self, mode: Mode, stream: Stream) -> Result<Infallible, Ended> {
        let mut wire = Wire::new(stream, self.shared.config.write_time());
        let security = match mode {
            Mode::ImplicitTls => {
                wire = self.begin_tls(wire, Tls::Implicit).await?;
                Security::Tls
            }
            Mode::Clear { passwords } => Security::Clear { stls: self.shared.tls.is_some(), passwords },
        };
        let mut session = Session::new(self.shared.protocol, security, &self.id.to_string());
        let mut draining = false;
        // When the command that is being executed was taken.
        let mut taken = None;
        loop {
            let began = *taken.get_or_insert_with(Instant::now);
            match session.next() {
                Next::Replied(replied) => {
                    taken = None;
                    self.replied(replied, began);
                }
                Next::Drain => wire.write(&mut session, 0).await?,
                Next::NeedInput => {
                    taken = None;
                    self.write_all(&mut wire, &mut session).await?;
                    if wire.take_news() {
                        continue;
                    }
                    if wire.half_closed() {
                        return Err(Ended::Lost);
                    }
                    tokio::select! {
                        biased;
                        () = self.shutdown.deadline() => return Err(Ended::Stopped),
                        () = self.shutdown.draining(), if !draining => {
                            draining = true;
                            session.drain();
                        }
                        read = timeout_at(self.patience(), wire.read(&mut session)) => match read {
                            Ok(read) => read?,
                            // Without a word: a POP3 server speaks only when asked.
                            Err(_) if self.logged_in.is_none() => return Err(Ended::NoLogin),
                            Err(_) => return Err(Ended::Idle),
                        },
                    }
                }
                Next::Close => {
                    self.write_all(&mut wire, &mut session).await?;
                    wire.close().await;
                    let quit = self
                        .last_replied
                        .is_some_and(|replied| replied.verb == Verb::Quit && replied.status == Status::Ok);
                    return Err(if quit { Ended::Quit } else { Ended::Closed });
                }
                Next::Effect(Effect::StartTls) => {
                    self.write_all(&mut wire, &mut session).await?;
                    // Whatever was read in clear goes with the session that read it.
                    session = Session::after_stls(self.shared.protocol);
                    if draining {
                        session.drain();
                    }
                    wire = self.begin_tls(wire, Tls::Stls).await?;
                }
                Next::Effect(Effect::Authenticate(attempt)) => self.authenticate(&mut session, attempt, began).await,
                Next::Effect(Effect::Retrieve { number, what }) => {
                    self.retrieve(&mut wire, &mut session, number, what).await?;
                }
                Next::Effect(Effect::Update { marked }) => {
                    let result = self.update(&marked).await;
                    session.update_done(result);
                }
            }
        }
    }

    async fn begin_tls(&mut self, wire: Wire, tls: Tls) -> Result<Wire, Ended> {
        let acceptor = self.shared.tls.as_ref().ok_or(Ended::Handshake)?;
        let wire = wire.into_tls(acceptor).await?;
        self.tls = tls;
        Ok(wire)
    }

    async fn write_all(&mut self, wire: &mut Wire, session: &mut Session) -> Result<(), Ended> {
        let written = if session.has_output() { wire.write(session, 0).await } else { Ok(()) };
        self.sent = wire.sent();
        if session.output().capacity() > KEPT_OUTPUT {
            *session.output() = BytesMut::new();
        }
        written
    }

    /// Until when the client has to say something.
    fn patience(&self) -> Instant {
        let idle = self.last_command + self.shared.config.idle_time();
        match self.logged_in {
            Some(_) => idle,
            None => idle.min(self.connected + self.shared.config.login_time()),
        }
    }

    fn replied(&mut self, replied: Replied, taken: Instant) {
        let now = Instant::now();
        metrics::command(replied, now - taken);
        self.commands += 1;
        self.last_command = now;
        self.last_replied = Some(replied);
    }

    async fn authenticate(&mut self, session: &mut Session, attempt: LoginAttempt, taken: Instant) {
        match login::log_in(&self.shared, &self.peer, attempt).await {
            Ok(logged_in) => {
                session.login_accepted(logged_in.maildrop());
                self.logged_in = Some(logged_in);
            }
            Err(refusal) => {
                // At the same moment whatever the reason, so that the time tells nothing.
                sleep_until(taken + self.shared.config.refusal_time()).await;
                session.login_refused(refusal);
            }
        }
    }

    async fn retrieve(
        &mut self,
        wire: &mut Wire,
        session: &mut Session,
        number: MessageNumber,
        what: Retrieval,
    ) -> Result<(), Ended> {
        let Some(logged_in) = &self.logged_in else { return Err(Ended::Closed) };
        let retrieved = retrieve::retrieve(&self.shared, logged_in, wire, session, number, what).await;
        self.sent = wire.sent();
        match (retrieved?, what) {
            (retrieve::Retrieved::Sent(octets), Retrieval::Whole) => {
                self.fetched += 1;
                self.fetched_octets += octets.0;
            }
            (retrieve::Retrieved::Sent(_), Retrieval::Top(_)) | (retrieve::Retrieved::Refused, _) => {}
        }
        Ok(())
    }

    /// The UPDATE state: all that was marked is expunged and committed, or the client is told that it is not.
    async fn update(&mut self, marked: &[MessageNumber]) -> Result<(), Failure> {
        let Some(logged_in) = &self.logged_in else { return Err(Failure::Permanent) };
        let messages = logged_in.snapshot.messages();
        let uids: Vec<i64> =
            marked.iter().filter_map(|number| messages.get(number.index())).map(|message| message.uid).collect();
        let record = self.record(logged_in, SessionOutcome::Quit);
        let (tenant, account) = (logged_in.login.tenant, logged_in.login.account);
        match self.shared.mailstore.quit(tenant, account, &record, &Update { expunge: uids, ..Update::default() }).await
        {
            Ok(expunged) => {
                self.expunged = Some(expunged);
                Ok(())
            }
            Err(error) => {
                tracing::error!(session = %self.id, %tenant, %account, kind = error.kind(), %error, "messages cannot be expunged");
                Err(if error.is_temporary() { Failure::Temporary } else { Failure::Permanent })
            }
        }
    }

    fn record(&self, logged_in: &LoggedIn, outcome: SessionOutcome) -> SessionRecord {
        SessionRecord {
            session: self.id,
            credential: logged_in.login.credential,
            started: self.started,
            // A Unix socket's client is on this machine.
            address: self.peer.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            mechanism: match logged_in.method {
                LoginMethod::UserPass => 1,
                LoginMethod::Sasl(_) => 2,
            },
            tls: self.tls as i16,
            outcome,
            fetched: self.fetched,
            fetched_octets: self.fetched_octets,
        }
    }

    /// After the connection: one line in the log, and the row of a session that fetched something and did not leave one by
    /// expunging. Others leave none, so that a poll which finds nothing new writes nothing.
    async fn finish(self, ended: Ended) {
        metrics::SESSIONS.with_label_values(&[ended.as_str()]).inc();
        let Some(logged_in) = &self.logged_in else {
            // Most of these are somebody's health checks.
            tracing::debug!(session = %self.id, ended = ended.as_str(), commands = self.commands, "session ended without login");
            return;
        };
        let (tenant, account) = (logged_in.login.tenant, logged_in.login.account);
        tracing::info!(
            session = %self.id,
            %tenant,
            %account,
            mechanism = logged_in.method.as_str(),
            tls = self.tls as i16,
            ended = ended.as_str(),
            commands = self.commands,
            fetched = self.fetched,
            fetched_octets = self.fetched_octets,
            expunged = self.expunged.unwrap_or(0),
            sent_octets = self.sent,
            milliseconds = u64::try_from(self.connected.elapsed().as_millis()).unwrap_or(u64::MAX),
            "session ended"
        );
        if self.fetched == 0 || self.expunged.is_some() {
            return;
        }
        let outcome = if ended == Ended::Quit { SessionOutcome::Quit } else { SessionOutcome::Lost };
        let record = self.record(logged_in, outcome);
        if let Err(error) = self.shared.mailstore.quit(tenant, account, &record, &Update::default()).await {
            tracing::warn!(session = %self.id, kind = error.kind(), %error, "the session's row cannot be written");
        }
    }
}
