//! Randomness is passed in: nothing but [`SystemRandom`] asks the operating system.

/// Where random octets come from. Tests pass a seeded one.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills the buffer with octets that nobody can guess.
    fn fill(&self, buffer: &mut [u8]);

    /// Sixteen of them.
    fn octets16(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        self.fill(&mut octets);
        octets
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        clippy::panic,
        reason = "the one place that asks; without randomness no id or secret may be made"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            panic!("the operating system gives no random octets: {error}");
        }
    }
}
