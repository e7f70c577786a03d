//! What this process tells of itself: that it lives, and the recipients that it refused, summed by domain and minute.

use std::{sync::Arc, time::Duration};

use directory::{Directory, DomainCounts};
use mail_types::{Random, SessionUuid, Timestamp};
use mailstore::{Frontend, Mailstore};
use runtime::shutdown::Shutdown;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Config;

/// How long the last report may take when the process ends.
const LAST: Duration = Duration::from_secs(2);

/// Clones are the same.
#[derive(Clone)]
pub(crate) struct Reporter(Arc<Inner>);

struct Inner {
    directory: Directory,
    mailstore: Mailstore,
    frontend: Frontend,
    every: Duration,
    refused: DomainCounts,
}

impl Reporter {
    pub(crate) fn new(config: &Config, directory: Directory, mailstore: Mailstore, random: &dyn Random) -> Self {
        let frontend = Frontend { uuid: SessionUuid::new(random), role: "lmtp", address: config.host.clone() };
        let every = Duration::from_secs(config.report_seconds);
        let refused = DomainCounts::new("refused_recipients", config.report_domains);
        Self(Arc::new(Inner { directory, mailstore, frontend, every, refused }))
    }

    /// A recipient was refused.
    pub(crate) fn refused(&self, domain: &str, at: Timestamp) {
        self.0.refused.add(domain, at);
    }

    /// Beats and reports until the process stops.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut reports = interval(self.0.every);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.deadline() => return,
                _ = reports.tick() => {}
            }
            if let Err(error) = self.0.mailstore.beat(&self.0.frontend).await {
                tracing::warn!(kind = error.kind(), %error, "no heartbeat");
            }
            self.report().await;
        }
    }

    /// Tells everything: the process ends.
    pub(crate) async fn close(&self) {
        if timeout(LAST, self.report()).await.is_err() {
            tracing::warn!("the last report did not go through in time");
        }
    }

    async fn report(&self) {
        if let Err(error) = self.0.directory.report_refused(&self.0.refused).await {
            tracing::warn!(kind = error.kind(), %error, "refused recipients could not be reported yet");
        }
    }
}
