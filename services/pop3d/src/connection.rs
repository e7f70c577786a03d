//! One connection: writes what the session puts out, feeds it what the client sends, and does what it asks for.

mod desk;

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use bytes::BytesMut;
use directory::{RefusedAttempt, Whose};
use mail_types::{MessageNumber, SessionUuid, Timestamp};
use mailstore::{SessionNotes, SessionOutcome, SessionRecord, Update};
use net::{Peer, Stream};
use pop3_proto::{Effect, Failure, Fault, LoginAttempt, LoginMethod, Next, Replied, Retrieval, Security, Session};
use runtime::shutdown::Shutdown;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{
    Mode, Shared,
    desk::{Arrival, Place},
    ended::Ended,
    heart::Lease,
    hint::ClientHint,
    login::{self, Applicant, LoggedIn, NotLoggedIn},
    metrics,
    recorder::{Recorder, last_line},
    refusal, retrieve,
    wire::Wire,
};

/// An emptied output buffer above this capacity is given back before waiting for the client.
const KEPT_OUTPUT: usize = 4096;

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
        hint: Arc::default(),
        live: None,
        last_error: None,
        recorder: Recorder::new(shared.config.desk.transcript_octets),
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
    /// What is known of the client.
    hint: Arc<ClientHint>,
    /// Since the login.
    live: Option<Place>,
    /// The last `-ERR` since the login.
    last_error: Option<Box<str>>,
    recorder: Recorder,
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
        let (mut applicant, connection) = self.applicant(&wire);
        let mut session = Session::new(self.shared.protocol(), security, connection, &self.id.to_string());
        let mut draining = false;
        let longest = self.connected + self.shared.config.session_time();
        let mut too_long = false;
        // When the command that is being executed was taken.
        let mut taken = None;
        // When a session that is to end is closed, though its client says nothing.
        let mut end = None;
        self.recorder.greeted(wire.sent() + session.output().len() as u64);
        loop {
            if end.is_none() && self.live.as_ref().is_some_and(Place::is_ending) {
                end = Some(Instant::now() + Duration::from_secs(self.shared.config.desk.end_seconds));
                session.end();
            }
            let began = *taken.get_or_insert_with(|| self.shared.clock.monotonic());
            if !too_long && Instant::now() >= longest {
                too_long = true;
                session.lasted_too_long();
            }
            match session.next() {
                Next::Replied(replied) => {
                    taken = None;
                    self.replied(replied, began);
                    self.note(&applicant, &mut session, replied, wire.sent());
                }
                Next::Drain => {
                    metrics::OUTPUT_FULL.inc();
                    wire.write(&mut session, 0).await?;
                }
                Next::NeedInput => {
                    taken = None;
                    self.write_all(&mut wire, &mut session).await?;
                    if wire.take_news() {
                        continue;
                    }
                    if wire.half_closed() {
                        if Fault::LostIsQuit.is_on() && self.logged_in.is_some() {
                            session.input(b"\r\nQUIT\r\n");
                            continue;
                        }
                        return Err(Ended::Lost);
                    }
                    tokio::select! {
                        biased;
                        () = self.shutdown.deadline() => return Err(Ended::Stopped),
                        () = self.shutdown.draining(), if !draining => {
                            draining = true;
                            session.drain();
                        }
                        () = sleep_until(longest), if !too_long => {}
                        () = asked(self.live.as_ref()), if end.is_none() => {}
                        () = sleep_until(end.unwrap_or(longest)), if end.is_some() => return Err(Ended::Asked),
                        read = timeout_at(self.patience(), wire.read(&mut session)) => match read {
                            Ok(read) => read?,
                            // Without a word: a POP3 server speaks only when asked.
                            Err(_) if self.logged_in.is_none() => return Err(Ended::NoLogin),
                            Err(_) if Fault::NeverIdle.is_on() => self.last_command = Instant::now(),
                            Err(_) => return Err(Ended::Idle),
                        },
                    }
                }
                Next::Close => {
                    // Before the client reads that it may come again.
                    self.free_lease().await;
                    self.write_all(&mut wire, &mut session).await?;
                    wire.close().await;
                    return Err(Ended::closing(&session, self.last_replied));
                }
                Next::Effect(Effect::StartTls) => {
                    self.write_all(&mut wire, &mut session).await?;
                    #[cfg(feature = "faults")]
                    let said_in_clear = session.take_input();
                    wire = self.begin_tls(wire, Tls::Stls).await?;
                    let connection;
                    (applicant, connection) = self.applicant(&wire);
                    // Whatever was read in clear goes with the session that read it.
                    session = Session::after_stls(self.shared.protocol(), connection);
                    if draining {
                        session.drain();
                    }
                    #[cfg(feature = "faults")]
                    if Fault::ClearSurvivesStls.is_on() {
                        session.input(&said_in_clear);
                    }
                }
                Next::Effect(Effect::LookUp { login, material, method }) => {
                    match applicant.look_up(&self.shared, &login, material).await {
                        Ok(account) => session.looked_up(account),
                        Err(refusal) => self.refuse(&applicant, &mut session, method, refusal.into(), began).await,
                    }
                }
                Next::Effect(Effect::Authenticate(attempt)) => {
                    self.authenticate(&mut applicant, &mut session, attempt, began).await;
                }
                Next::Effect(Effect::Retrieve { number, what }) => {
                    self.retrieve(&mut wire, &mut session, number, what).await?;
                }
                Next::Effect(Effect::Update { marked, fetched }) => {
                    if Fault::OkBeforeCommit.is_on() {
                        session.update_done(Ok(()));
                    }
                    // What the client has not taken was not fetched, and is not to be deleted for it.
                    self.write_all(&mut wire, &mut session).await?;
                    let result = self.update(&marked, &fetched).await;
                    self.free_lease().await;
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

    fn replied(&mut self, replied: Replied, taken: Moment) {
        metrics::command(replied, self.shared.clock.since(taken));
        self.commands += 1;
        self.last_command = Instant::now();
        self.last_replied = Some(replied);
    }

    /// Who wants to log in over a connection, and the connection as SASL sees it.
    fn applicant(&mut self, wire: &Wire) -> (Applicant, pop3_proto::Connection) {
        let tls = self.shared.tls.as_ref().and_then(|tls| wire.tls_facts(tls));
        if let Some(tls) = &tls {
            self.hint = Arc::new(self.hint.over_tls(tls));
        }
        let applicant = Applicant::new(&self.shared, self.id, self.peer, tls.as_ref());
        let connection = applicant.connection(&self.shared, tls);
        (applicant, connection)
    }

    async fn authenticate(
        &mut self,
        applicant: &mut Applicant,
        session: &mut Session,
        attempt: LoginAttempt,
        taken: Moment,
    ) {
        let method = attempt.method;
        match applicant.log_in(&self.shared, attempt).await {
            Ok(logged_in) => {
                let login = &logged_in.login;
                let before = self.recorder.attempt((login.tenant, login.account), login.transcribe, true);
                let arrival = Arrival {
                    session: self.id,
                    address: self.address(),
                    started: self.started,
                    mechanism: login::number(method),
                    tls: self.tls as i16,
                };
                self.live = Some(self.shared.desk.enter(login, &arrival, self.hint.clone()));
                session.login_accepted(logged_in.seen.maildrop(login.may_expunge));
                self.logged_in = Some(logged_in);
                self.keep(before, "another_login").await;
            }
            Err(refused) => self.refuse(applicant, session, method, refused, taken).await,
        }
    }

    /// At the same moment whatever the reason, so that the time tells nothing.
    async fn refuse(
        &mut self,
        applicant: &Applicant,
        session: &mut Session,
        method: LoginMethod,
        refused: NotLoggedIn,
        taken: Moment,
    ) {
        let reason = refusal::reason(&refused, applicant.witness());
        let clock = &self.shared.clock;
        let moment = login::moment(taken, clock.monotonic(), self.shared.config.refusal_time());
        // By the clock that took the command; a timer only says when it may have come.
        while let Some(left) = moment.checked_duration_since(clock.monotonic()).filter(|left| !left.is_zero()) {
            if Fault::PromptRefusal.is_on() {
                break;
            }
            sleep(left).await;
        }
        match refused {
            NotLoggedIn::Refused(refusal) => session.login_refused(refusal),
            NotLoggedIn::Token(refusal) => session.token_refused(&refusal),
        }
        let Some(witness) = applicant.witness() else { return };
        let Some((tenant, account)) = witness.account() else { return };
        let told = refusal::told(last_line(session.output()));
        let (credential, new_secret) = (witness.credential(), witness.is_new_secret());
        let whose = Whose::Account(tenant, account);
        let attempt = RefusedAttempt { credential, new_secret, ..self.refused(whose, method, reason, told) };
        self.shared.desk.refused(attempt);
        let before = self.recorder.attempt((tenant, account), witness.transcribes(), false);
        self.keep(before, "another_login").await;
    }

    /// A Unix socket's client is on this machine.
    fn address(&self) -> IpAddr {
        self.peer.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Frees the maildrop, if access to it is exclusive.
    async fn free_lease(&mut self) {
        if let Some(lease) = self.logged_in.as_mut().and_then(|logged_in| logged_in.lease.take()) {
            if Fault::LeaseKept.is_on() {
                return std::mem::forget(lease);
            }
            lease.free().await;
        }
    }

    async fn retrieve(
        &mut self,
        wire: &mut Wire,
        session: &mut Session,
        number: MessageNumber,
        what: Retrieval,
    ) -> Result<(), Ended> {
        let Some(logged_in) = &mut self.logged_in else { return Err(Ended::Closed) };
        let retrieved = retrieve::retrieve(&self.shared, logged_in, wire, session, number, what).await;
        self.sent = wire.sent();
        match (retrieved?, what) {
            (retrieve::Retrieved::Sent(octets), Retrieval::Whole) => {
                self.fetched += 1;
                self.fetched_octets += octets.0;
                if let Some(live) = &self.live {
                    live.fetched(octets.0);
                }
            }
            (retrieve::Retrieved::Sent(_), Retrieval::Top(_)) | (retrieve::Retrieved::Refused, _) => {}
        }
        Ok(())
    }

    /// The UPDATE state: what was marked is done with as the policy says, and committed, or the client is told that it is not.
    async fn update(&mut self, marked: &[MessageNumber], fetched: &[MessageNumber]) -> Result<(), Failure> {
        let Some(logged_in) = &self.logged_in else { return Err(Failure::Permanent) };
        let (expunge, device) = logged_in.seen.changes(marked, fetched);
        if expunge.is_empty() && device.is_none() {
            return Ok(());
        }
        let record = self.record(logged_in, Ended::Quit);
        let (tenant, account) = (logged_in.login.tenant, logged_in.login.account);
        let update = Update { expunge, fence: logged_in.lease.as_ref().map(Lease::fence), device };
        match self.shared.mailstore.quit(tenant, account, &record, &update).await {
            Ok(expunged) => {
                self.expunged = Some(expunged);
                Ok(())
            }
            Err(error) => {
                tracing::error!(session = %self.id, %tenant, %account, kind = error.kind(), %error, "QUIT cannot be executed");
                // A lease that was lost is another session's now: the next login may have it.
                let passes = error.is_temporary() || matches!(error, mailstore::Error::LeaseLost);
                Err(if passes { Failure::Temporary } else { Failure::Permanent })
            }
        }
    }

    fn record(&self, logged_in: &LoggedIn, ended: Ended) -> SessionRecord {
        SessionRecord {
            session: self.id,
            credential: logged_in.login.credential,
            started: self.started,
            address: self.address(),
            mechanism: login::number(logged_in.method),
            tls: self.tls as i16,
            outcome: if ended == Ended::Quit { SessionOutcome::Quit } else { SessionOutcome::Lost },
            fetched: self.fetched,
            fetched_octets: self.fetched_octets,
            notes: SessionNotes {
                client: Some(self.hint.text()),
                server_name: self.hint.server_name(),
                ended: Some(ended.as_str()),
                last_error: self.last_error.as_deref().map(str::to_owned),
            },
        }
    }

    /// After the connection: one line in the log, and the row of a session that fetched something or failed and did not leave one by
    /// expunging. Others leave none, so that a poll which finds nothing new writes nothing.
    async fn finish(mut self, ended: Ended) {
        // At once, also of a lost connection.
        self.free_lease().await;
        self.live = None;
        let recorded = self.recorder.take();
        self.keep(recorded, ended.as_str()).await;
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
        // With a response code it is more than a slip of the client.
        let failed = ended.is_failure() || self.last_error.as_deref().is_some_and(|told| told.starts_with("-ERR ["));
        if (self.fetched == 0 && !failed) || self.expunged.is_some() {
            return;
        }
        let record = self.record(logged_in, ended);
        if let Err(error) = self.shared.mailstore.quit(tenant, account, &record, &Update::default()).await {
            tracing::warn!(session = %self.id, kind = error.kind(), %error, "the session's row cannot be written");
        }
    }
}

/// Waits until somebody asks for the session's end.
async fn asked(live: Option<&Place>) {
    match live {
        Some(live) => live.ended().await,
        None => std::future::pending().await,
    }
}
