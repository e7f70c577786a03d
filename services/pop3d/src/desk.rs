//! What this process tells the support desk: its live sessions, refused logins and used credentials, in one call every few seconds, and
//! what it learns by that call: sessions that are to end.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use directory::{Certificate, Directory, LiveReport, Login, RefusedAttempt, Report, Tally};
use mail_types::{Clock, SessionUuid, Timestamp};
use net::tls::CertificateNames;
use runtime::shutdown::Shutdown;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{config::DeskConfig, heart::Heart, hint::ClientHint, metrics};

/// How long the last report may take when the process ends.
const LAST: Duration = Duration::from_secs(2);
/// The most reports that the last one may need.
const LAST_REPORTS: usize = 100;

/// The desk of this process. Clones are the same.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    directory: Directory,
    frontend: SessionUuid,
    settings: DeskConfig,
    clock: Arc<dyn Clock>,
    tally: Tally,
    live: Mutex<Live>,
    /// One report at a time, so that the end of a session never overtakes what told of it: each listener that ends makes a last one.
    reporting: tokio::sync::Mutex<()>,
    certificate: Option<Certificate>,
    /// The certificate was told.
    certified: AtomicBool,
}

#[derive(Default)]
struct Live {
    sessions: HashMap<SessionUuid, Arc<LiveSession>>,
    /// Told of, and over.
    gone: Vec<SessionUuid>,
}

/// A session after its login.
#[derive(Debug)]
pub(crate) struct LiveSession {
    facts: LiveReport,
    hint: Arc<ClientHint>,
    since: Instant,
    fetched: AtomicU32,
    fetched_octets: AtomicU64,
    /// Messages fetched when it was last told of, and one more; 0: not yet.
    told: AtomicU64,
    ending: AtomicBool,
    end: Notify,
}

/// A live session; dropped, it is over.
pub(crate) struct Place {
    desk: Desk,
    session: Arc<LiveSession>,
}

/// What a session is besides its login.
pub(crate) struct Arrival {
    pub(crate) session: SessionUuid,
    pub(crate) address: IpAddr,
    pub(crate) started: Timestamp,
    pub(crate) mechanism: i16,
    pub(crate) tls: i16,
}

impl Desk {
    pub(crate) fn new(
        directory: Directory,
        frontend: SessionUuid,
        settings: DeskConfig,
        clock: Arc<dyn Clock>,
        certificate: Option<&CertificateNames>,
    ) -> Self {
        let certificate = certificate.map(|one| Certificate {
            names: one.names.clone(),
            expires: Timestamp::from_unix_ms(one.expires_unix_seconds.saturating_mul(1000)),
        });
        let tally = Tally::new(settings.tally());
        let (live, reporting, certified) = (Mutex::default(), tokio::sync::Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { directory, frontend, settings, clock, tally, live, reporting, certificate, certified }))
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins.
    pub(crate) fn enter(&self, login: &Login, arrival: &Arrival, hint: Arc<ClientHint>) -> Place {
        let Arrival { session, address, started, mechanism, tls } = *arrival;
        let key = (login.tenant, login.account, login.credential);
        self.0.tally.used(key, self.0.clock.now(), address);
        let domain = login.address.rsplit_once('@').map_or("", |(_, domain)| domain);
        self.0.tally.logged_in(domain, self.0.clock.now());
        let facts = LiveReport {
            session,
            tenant: login.tenant,
            account: login.account,
            credential: login.credential,
            address,
            started,
            mechanism,
            tls,
            client: String::new(),
            server_name: None,
            fetched: 0,
            fetched_octets: 0,
        };
        let session = Arc::new(LiveSession {
            facts,
            hint,
            since: self.0.clock.monotonic(),
            fetched: AtomicU32::new(0),
            fetched_octets: AtomicU64::new(0),
            told: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            end: Notify::new(),
        });
        self.live().sessions.insert(session.facts.session, session.clone());
        Place { desk: self.clone(), session }
    }

    /// A login was refused.
    pub(crate) fn refused(&self, attempt: RefusedAttempt) {
        self.0.tally.refused(attempt);
    }

    /// Reports until the process stops.
    pub(crate) async fn run(self, heart: Heart, shutdown: Shutdown) {
        let mut reports = interval(Duration::from_secs(self.0.settings.report_seconds));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.deadline() => return,
                _ = reports.tick() => {}
            }
            // The database has to know who reports.
            if heart.is_known() {
                self.report(false).await;
            }
        }
    }

    /// Tells everything: the process ends.
    pub(crate) async fn close(&self) {
        let told = timeout(LAST, async {
            for _ in 0..LAST_REPORTS {
                if !self.report(true).await || (self.0.tally.is_empty() && self.live().gone.is_empty()) {
                    break;
                }
            }
        });
        if told.await.is_err() {
            tracing::warn!("the last report to the support desk did not go through in time");
        }
    }

    /// One call; whether it went through.
    async fn report(&self, last: bool) -> bool {
        let _alone = self.0.reporting.lock().await;
        let report = self.collect(last);
        let now = self.0.clock.monotonic();
        let reported = self.0.directory.report(self.0.frontend, &report, &self.0.tally, now).await;
        metrics::REPORTS.with_label_values(&[if reported.is_ok() { "ok" } else { "failed" }]).inc();
        match reported {
            Ok(reported) => {
                if report.certificate.is_some() {
                    self.0.certified.store(true, Ordering::Relaxed);
                }
                self.learn(reported.held, &reported.ending);
                true
            }
            Err(error) => {
                tracing::warn!(kind = error.kind(), %error, "the support desk could not be told");
                let mut live = self.live();
                live.gone.extend(report.gone);
                for told in &report.live {
                    if let Some(session) = live.sessions.get(&told.session) {
                        session.told.store(0, Ordering::Relaxed);
                    }
                }
                false
            }
        }
    }

    fn collect(&self, last: bool) -> Report {
        let Inner { settings, clock, certificate, certified, .. } = &*self.0;
        let (now, most) = (clock.monotonic(), settings.report_rows);
        let old_enough = Duration::from_secs(settings.live_after_seconds);
        let mut live = self.live();
        let at = live.gone.len().saturating_sub(most);
        let gone = live.gone.split_off(at);
        let untold = |session: &&Arc<LiveSession>| {
            let told = session.told.load(Ordering::Relaxed);
            told != u64::from(session.fetched.load(Ordering::Relaxed)) + 1
                && now.saturating_duration_since(session.since) >= old_enough
        };
        // It counts as told from now on: should it end before the answer, its row is taken back.
        let report = live.sessions.values().filter(untold).take(most).map(|session| session.tell()).collect();
        let certificate = certificate.clone().filter(|_| !certified.load(Ordering::Relaxed));
        Report { live: report, gone, certificate, refusal_rows: settings.max_refusal_rows, last }
    }

    fn learn(&self, held: u64, ending: &[SessionUuid]) {
        let live = self.live();
        for session in ending.iter().filter_map(|id| live.sessions.get(id)) {
            session.ending.store(true, Ordering::Relaxed);
            session.end.notify_one();
        }
        let told = live.sessions.values().filter(|session| session.told.load(Ordering::Relaxed) > 0).count();
        // The table is emptied by a crash of the database, and rows of a frontend that did not beat go, too.
        if held < told as u64 {
            for session in live.sessions.values() {
                session.told.store(0, Ordering::Relaxed);
            }
            self.0.certified.store(false, Ordering::Relaxed);
        }
        metrics::LIVE_SESSIONS.set(i64::try_from(live.sessions.len()).unwrap_or(i64::MAX));
    }
}

impl LiveSession {
    fn tell(&self) -> LiveReport {
        let fetched = self.fetched.load(Ordering::Relaxed);
        self.told.store(u64::from(fetched) + 1, Ordering::Relaxed);
        LiveReport {
            client: self.hint.text(),
            server_name: self.hint.server_name(),
            fetched,
            fetched_octets: self.fetched_octets.load(Ordering::Relaxed),
            ..self.facts.clone()
        }
    }
}

impl Place {
    /// A message was fetched.
    pub(crate) fn fetched(&self, octets: u64) {
        self.session.fetched_octets.fetch_add(octets, Ordering::Relaxed);
        self.session.fetched.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody asked for its end.
    pub(crate) fn is_ending(&self) -> bool {
        self.session.ending.load(Ordering::Relaxed)
    }

    /// Waits until somebody does.
    pub(crate) async fn ended(&self) {
        while !self.is_ending() {
            self.session.end.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let id = self.session.facts.session;
        let mut live = self.desk.live();
        live.sessions.remove(&id);
        if self.session.told.load(Ordering::Relaxed) > 0 {
            live.gone.push(id);
        }
    }
}
