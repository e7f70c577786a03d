//! The POP3 role: joins the protocol ([`pop3_proto`]), sockets ([`net`]), the directory (who logs in) and the mailstore (what is
//! in the maildrop).
//!
//! One task for each connection. It does what the protocol's machine asks for, one thing after the other; while it waits for the
//! store or writes a message it also takes what the client sends, as far as there is room, so that a client which pipelines
//! without reading cannot lock both sides up. Nothing is deleted but by QUIT, and `+OK` to QUIT is written only after the
//! mailstore has committed.

mod config;
mod connection;
mod desk;
mod ended;
mod heart;
mod hint;
mod login;
mod metrics;
mod recorder;
mod refusal;
mod retrieve;
mod view;
mod wire;

use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use directory::{Directory, SessionLimits};
use mail_types::{Clock, Random};
use mailstore::Mailstore;
use net::{Listener, tls::ServerTls};
use runtime::shutdown::Shutdown;
use sasl::Challenges;

pub use config::{Config, ConfigError, DeskConfig};

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// POP3 in clear, with STLS if there is a certificate.
    Clear {
        /// Whether passwords are accepted in clear. For loopback, or where something else protects the way.
        passwords: bool,
    },
    /// TLS from the first octet (RFC 8314 section 3.2).
    ImplicitTls,
}

/// What all connections share.
struct Shared {
    config: Config,
    /// With what the policies say, as far as it is known.
    protocol: RwLock<pop3_proto::Settings>,
    tls: Option<ServerTls>,
    directory: Directory,
    mailstore: Mailstore,
    sessions: SessionLimits,
    challenges: Arc<Challenges>,
    heart: heart::Heart,
    desk: desk::Desk,
    beating: AtomicBool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// How often the policies are asked for what CAPA says before login.
const LEARN: Duration = Duration::from_secs(60);

impl Shared {
    /// What a session is begun with.
    fn protocol(&self) -> pop3_proto::Settings {
        *self.protocol.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what the policies promise. What was known before stays where they cannot be asked.
    async fn learn(&self) {
        match self.directory.promises().await {
            Ok(promises) => {
                *self.protocol.write().unwrap_or_else(PoisonError::into_inner) = self.config.promising(promises);
            }
            Err(error) => tracing::warn!(%error, "what CAPA says before login may be out of date"),
        }
    }
}

/// Learns again and again, until draining begins.
async fn learning(shared: Arc<Shared>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            () = tokio::time::sleep(LEARN) => shared.learn().await,
        }
    }
}

/// The role, ready to serve listeners. Clones are the same role.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Over a directory and a mailstore of the database role `pop3`. With `tls` STLS is offered. Refuses a configuration that
    /// [`Config::check`] refuses.
    pub fn new(
        config: Config,
        tls: Option<ServerTls>,
        directory: Directory,
        mailstore: Mailstore,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let protocol = RwLock::new(config.protocol());
        let tls = match tls {
            Some(tls) if config.client_certificates => {
                let asking = tls.asking_clients();
                Some(asking.map_err(|error| ConfigError::ClientCertificates(error.to_string()))?)
            }
            tls => tls,
        };
        let sessions = SessionLimits::new(config.session_limits());
        let host = config.host.0.clone();
        let heart = heart::Heart::new(mailstore.clone(), &*random, host.to_string());
        let names = tls.as_ref().and_then(ServerTls::certificate_names);
        let desk = desk::Desk::new(directory.clone(), heart.frontend(), config.desk.clone(), clock.clone(), names);
        let challenges = Arc::new(Challenges::new(host, clock.clone(), random.clone()));
        let beating = AtomicBool::new(false);
        let shared = Shared {
            config,
            protocol,
            tls,
            directory,
            mailstore,
            sessions,
            challenges,
            heart,
            desk,
            beating,
            clock,
            random,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Serves a listener until draining has begun and every session has ended: the next command of each is answered
    /// `-ERR [SYS/TEMP]`, a message under way is finished, QUIT is executed, and who says nothing is closed at the deadline.
    ///
    /// # Errors
    /// [`Mode::ImplicitTls`] without a certificate.
    pub async fn serve(&self, listener: Listener, mode: Mode, shutdown: &Shutdown) -> io::Result<()> {
        if mode == Mode::ImplicitTls && self.0.tls.is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "implicit TLS needs a certificate"));
        }
        // One heartbeat, however many listeners. It goes on while they drain: sessions under way keep their leases.
        if !self.0.beating.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.0.heart.clone().run(shutdown.clone()));
            tokio::spawn(self.0.desk.clone().run(self.0.heart.clone(), shutdown.clone()));
            // Whoever connects first is told what holds.
            self.0.learn().await;
            tokio::spawn(learning(self.0.clone(), shutdown.clone()));
        }
        let refusal = match mode {
            Mode::Clear { .. } => pop3_proto::TOO_MANY_CONNECTIONS,
            // It could only be said after a handshake, which is what a server with too many connections cannot afford.
            Mode::ImplicitTls => b"",
        };
        listener
            .serve(self.0.config.limits(), refusal, shutdown, |stream, peer| {
                connection::serve(self.0.clone(), mode, stream, peer, shutdown.clone())
            })
            .await;
        self.0.desk.close().await;
        Ok(())
    }
}
