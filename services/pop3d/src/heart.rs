//! What keeps this process's leases alive: one heartbeat for all its sessions. By the database's clock a frontend that did not
//! beat for 15 seconds is dead; then its leases are free to take, and it can expunge nothing under them (the
//! mailstore's rule).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mail_types::{AccountId, Random, SessionUuid, TenantId};
use mailstore::{Fence, Frontend, Mailstore};
use runtime::shutdown::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics;

/// Three beats may be lost.
const BEAT: Duration = Duration::from_secs(5);

/// The heart of this process. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Heart(Arc<Inner>);

struct Inner {
    mailstore: Mailstore,
    frontend: Frontend,
    /// POP3 frontends that are alive, this one included; 0 until the first beat.
    alive: AtomicU32,
    /// Leases that are to be given up, and could not yet.
    owed: Mutex<Vec<Held>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heart").field("frontend", &self.frontend).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
struct Held {
    tenant: TenantId,
    account: AccountId,
    fence: Fence,
}

/// Exclusive access of one session. It is given up by [`Lease::free`]; dropped without that, by the next beat.
#[derive(Debug)]
pub(crate) struct Lease {
    heart: Heart,
    held: Held,
    freed: bool,
}

impl Heart {
    pub(crate) fn new(mailstore: Mailstore, random: &dyn Random, address: String) -> Self {
        let frontend = Frontend { uuid: SessionUuid::new(random), role: "pop3", address };
        Self(Arc::new(Inner { mailstore, frontend, alive: AtomicU32::new(0), owed: Mutex::default() }))
    }

    /// Which frontend this is.
    pub(crate) fn frontend(&self) -> SessionUuid {
        self.0.frontend.uuid
    }

    /// Whether the database has heard a beat.
    pub(crate) fn is_known(&self) -> bool {
        self.0.alive.load(Ordering::Relaxed) > 0
    }

    /// POP3 frontends that are alive, this one included.
    pub(crate) fn frontends(&self) -> u32 {
        self.0.alive.load(Ordering::Relaxed).max(1)
    }

    /// Beats until the process stops.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.deadline() => return,
                _ = beats.tick() => {}
            }
            match self.beat().await {
                Ok(()) => self.pay().await,
                Err(error) => tracing::warn!(kind = error.kind(), %error, "no heartbeat"),
            }
        }
    }

    async fn beat(&self) -> Result<(), mailstore::Error> {
        let beaten = self.0.mailstore.beat(&self.0.frontend).await;
        metrics::BEATS.with_label_values(&[if beaten.is_ok() { "ok" } else { "failed" }]).inc();
        self.0.alive.store(beaten?, Ordering::Relaxed);
        Ok(())
    }

    /// Gives up what is owed; what cannot be given up stays owed.
    async fn pay(&self) {
        let owed = std::mem::take(&mut *self.0.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for held in owed {
            self.free(held).await;
        }
    }

    async fn free(&self, held: Held) {
        if let Err(error) = self.0.mailstore.unlease(held.tenant, held.account, held.fence).await {
            let (tenant, account) = (held.tenant, held.account);
            tracing::warn!(%tenant, %account, kind = error.kind(), %error, "a lease cannot be given up yet");
            self.owe(held);
        }
    }

    fn owe(&self, held: Held) {
        self.0.owed.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    }

    /// Exclusive access for a session, or nothing while another one has it.
    pub(crate) async fn lease(
        &self,
        tenant: TenantId,
        account: AccountId,
        session: SessionUuid,
    ) -> Result<Option<Lease>, mailstore::Error> {
        // A lease of a frontend that was never seen would be anybody's.
        if self.0.alive.load(Ordering::Relaxed) == 0 {
            self.beat().await?;
        }
        let fence = self.0.mailstore.lease(tenant, account, &self.0.frontend, session).await?;
        let held = |fence| Lease { heart: self.clone(), held: Held { tenant, account, fence }, freed: false };
        Ok(fence.map(held))
    }
}

impl Lease {
    pub(crate) fn fence(&self) -> Fence {
        self.held.fence
    }

    /// Frees the maildrop.
    pub(crate) async fn free(mut self) {
        self.heart.free(self.held).await;
        self.freed = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.freed {
            self.heart.owe(self.held);
        }
    }
}
