//! The LMTP role: joins the protocol ([`lmtp_proto`]), sockets ([`net`]), the directory (who is a recipient) and the mailstore (what
//! becomes of a message).
//!
//! One task for each connection. It does what the protocol's machine asks for, one thing after the other: while a recipient is
//! looked up, a piece of a body waits for memory, or a message is delivered, nothing more is read from the peer, so that TCP holds
//! it back. A 250 to a message is written only after the mailstore has said that it is stored for good.

mod config;
mod connection;
mod metrics;
mod report;
mod transaction;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use directory::Directory;
use mail_types::{Clock, Random};
use mailstore::Mailstore;
use net::{Listen, Listener, tls::ServerTls};
use runtime::shutdown::Shutdown;

pub use config::{Config, ConfigError, check_exposure};

/// What all connections share.
pub(crate) struct Shared {
    config: Config,
    protocol: Arc<lmtp_proto::Settings>,
    tls: Option<ServerTls>,
    directory: Directory,
    mailstore: Mailstore,
    report: report::Reporter,
    beating: AtomicBool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// The role, ready to serve listeners. Clones are the same role.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl Server {
    /// Over a directory and a mailstore of the database role `lmtp`. With `tls` STARTTLS is offered. Refuses a configuration that
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
        let protocol = Arc::new(config.protocol());
        let report = report::Reporter::new(&config, directory.clone(), mailstore.clone(), &*random);
        let beating = AtomicBool::new(false);
        let shared = Shared { config, protocol, tls, directory, mailstore, report, beating, clock, random };
        Ok(Self(Arc::new(shared)))
    }

    /// Serves a listener until draining has begun and every connection has ended: a transaction under way is finished, then its
    /// peer gets 421; one that has none under way gets it at once. Refuses a listener that other machines reach if the configuration
    /// names no peers, whatever it says about where to listen.
    pub async fn serve(&self, listener: Listener, shutdown: &Shutdown) -> io::Result<()> {
        let listen = Listen { endpoint: listener.bound()?, proxy_from: listener.proxies().to_vec() };
        config::check_exposure(std::slice::from_ref(&listen), &self.0.config.peers).map_err(io::Error::other)?;
        let listen = Arc::new(listen);
        // One heartbeat, however many listeners.
        if !self.0.beating.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.0.report.clone().run(shutdown.clone()));
        }
        listener
            .serve(self.0.config.limits(), lmtp_proto::TOO_MANY_CONNECTIONS, shutdown, |stream, peer| {
                connection::serve(self.0.clone(), listen.clone(), stream, peer, shutdown.clone())
            })
            .await;
        self.0.report.close().await;
        Ok(())
    }
}
