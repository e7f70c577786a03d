//! Stopping in two steps: first drain (take nothing new, finish what is under way), then, at the deadline, stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Where a process stands between running, draining and stopped. Clones are the same shutdown.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    stopped: CancellationToken,
}

impl Shutdown {
    /// A process that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to drain: no new connections, no new jobs.
    pub fn begin_drain(&self) {
        self.draining.cancel();
    }

    /// The deadline has come: what still runs is given up.
    pub fn stop(&self) {
        self.draining.cancel();
        self.stopped.cancel();
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Resolves when draining begins.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Resolves at the deadline.
    pub async fn deadline(&self) {
        self.stopped.cancelled().await;
    }

    /// Waits for SIGTERM or SIGINT and begins to drain; at the end of `grace`, or at a second signal, the deadline has
    /// come. Ends when the process has stopped.
    pub async fn on_signals(self, grace: Duration) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = self.draining() => {}
        }
        tracing::info!(grace_seconds = grace.as_secs(), "draining");
        self.begin_drain();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(grace) => {}
            () = self.deadline() => {}
        }
        self.stop();
        Ok(())
    }
}
