//! Challenges that never repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_types::{Clock, DomainName, Random, Timestamp};

/// Makes the challenges of a process. No two are alike: a counter tells those of one process apart, and 64 random bits and
/// the time those of different ones, also when one of the three fails.
#[derive(Debug)]
pub struct Challenges {
    host: DomainName,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    counter: AtomicU64,
}

impl Challenges {
    /// `host` is how the server calls itself.
    pub fn new(host: DomainName, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { host, clock, random, counter: AtomicU64::new(0) }
    }

    /// A timestamp in the form of a message-id, `<…@host>`: for the greeting, which offers APOP by it (RFC 1939 section 7),
    /// and for CRAM-MD5 (RFC 2195 section 2).
    pub fn timestamp(&self) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let random = u64::from_le_bytes(self.octets());
        format!("<{count}.{}.{random:016x}@{}>", self.now().unix_ms(), self.host)
    }

    /// A nonce of 144 random bits, printable and without a comma (RFC 5802 section 7).
    pub(crate) fn nonce(&self) -> String {
        STANDARD.encode(self.octets::<18>())
    }

    pub(crate) fn octets<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.random.fill(&mut octets);
        octets
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn host(&self) -> &DomainName {
        &self.host
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use super::*;

    /// A clock that stands still and randomness that repeats: the worst there is.
    #[derive(Debug)]
    struct Stuck;

    impl Clock for Stuck {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(1_700_000_000_000)
        }

        #[expect(clippy::disallowed_methods, reason = "never asked")]
        fn monotonic(&self) -> Instant {
            Instant::now()
        }
    }

    impl Random for Stuck {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0x2a);
        }
    }

    pub(crate) fn stuck() -> Challenges {
        Challenges::new(DomainName::parse("pop.acme.test").unwrap(), Arc::new(Stuck), Arc::new(Stuck))
    }

    #[test]
    fn a_timestamp_never_repeats_even_when_clock_and_randomness_do() {
        let challenges = stuck();
        assert_eq!(challenges.timestamp(), "<0.1700000000000.2a2a2a2a2a2a2a2a@pop.acme.test>");
        assert_eq!(challenges.timestamp(), "<1.1700000000000.2a2a2a2a2a2a2a2a@pop.acme.test>");
    }

    #[test]
    fn a_nonce_is_printable_and_has_no_comma() {
        let nonce = stuck().nonce();
        assert_eq!(nonce.len(), 24);
        assert!(nonce.bytes().all(|octet| octet.is_ascii_graphic() && octet != b','));
    }
}
