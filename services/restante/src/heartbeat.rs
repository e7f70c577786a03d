//! That this process lives, for the roles that do not tell it themselves: whoever operates the service sees it in the overview.

use std::time::Duration;

use mail_types::{Random, SessionUuid};
use mailstore::{Frontend, Mailstore};
use runtime::shutdown::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

/// By the database's clock, who did not beat for 15 seconds is dead.
const BEAT: Duration = Duration::from_secs(5);

/// Beats for a role until draining begins.
pub(crate) async fn run(
    mailstore: Mailstore,
    role: &'static str,
    address: String,
    random: &dyn Random,
    shutdown: Shutdown,
) {
    let frontend = Frontend { uuid: SessionUuid::new(random), role, address };
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = beats.tick() => {}
        }
        if let Err(error) = mailstore.beat(&frontend).await {
            tracing::warn!(role, kind = error.kind(), %error, "no heartbeat");
        }
    }
}
