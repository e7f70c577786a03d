//! What every test needs to begin a session.

use std::sync::Arc;
use std::time::Instant;

use mail_types::{Clock, DomainName, Random, SystemClock, Timestamp};
use pop3_proto::{Connection, Expire, Settings};
use sasl::{Challenges, ChannelBindings, Mechanism};

/// A clock that stands still and randomness that repeats, so that what a session says is the same each time.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000)
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic()
    }
}

impl Random for Still {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0x2a);
    }
}

/// A connection without TLS' proofs. Its first greeting's timestamp is `<0.1700000000000.2a2a2a2a2a2a2a2a@pop.acme.test>`.
pub(crate) fn connection() -> Connection {
    let host = DomainName::parse("pop.acme.test").unwrap();
    Connection {
        challenges: Arc::new(Challenges::new(host, Arc::new(Still), Arc::new(Still))),
        bindings: ChannelBindings::default(),
        certificate: Vec::new(),
    }
}

/// Nothing legacy.
pub(crate) fn settings() -> Settings {
    Settings {
        implementation: "Restante",
        max_bad_commands: 10,
        max_command_line: 255,
        max_auth_line: 12_290,
        max_output: 64 * 1024,
        mechanisms: Mechanism::ALL.into_iter().filter(|mechanism| !mechanism.is_legacy()).collect(),
        apop: false,
        login_delay: 0,
        expire: Expire::Never,
    }
}
