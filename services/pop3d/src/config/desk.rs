//! `[pop3.desk]`: what the support desk is told, and how much is held for it.

use std::time::Duration;

use directory::TallySettings;
use serde::Deserialize;

use super::ConfigError;

/// The configuration. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeskConfig {
    /// Seconds between reports: of live sessions, refused logins, and credentials that were used. Default: 5.
    pub report_seconds: u64,
    /// How old a session is before it is reported, in seconds: most polls are over before. Default: 5.
    pub live_after_seconds: u64,
    /// How long a client says nothing before its session is closed, after an administrator asked for its end, in seconds. Default: 5.
    pub end_seconds: u64,
    /// Seconds between two reports of the use of the same credential. Default: 3600.
    pub use_seconds: u64,
    /// The most rows of each kind in a report. Default: 1000.
    pub report_rows: usize,
    /// The most credentials whose use is counted between reports. Default: 100000.
    pub max_uses: usize,
    /// The most refusals (by account, minute, network and reason) held between reports. Default: 5000.
    pub max_refusals: usize,
    /// The most rows of refused logins that an account has of a day; further ones count in one. Default: 500.
    pub max_refusal_rows: u32,
    /// The most that is kept of what a session says, where it is written down, in octets. Default: 65536.
    pub transcript_octets: usize,
    /// The most that an account has of it. Default: 1048576.
    pub max_transcript_octets: u64,
}

impl Default for DeskConfig {
    fn default() -> Self {
        Self {
            report_seconds: 5,
            live_after_seconds: 5,
            end_seconds: 5,
            use_seconds: 3600,
            report_rows: 1000,
            max_uses: 100_000,
            max_refusals: 5000,
            max_refusal_rows: 500,
            transcript_octets: 65_536,
            max_transcript_octets: 1 << 20,
        }
    }
}

impl DeskConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, zero) in [
            ("desk.report_seconds", self.report_seconds == 0),
            ("desk.report_rows", self.report_rows == 0),
            ("desk.max_refusal_rows", self.max_refusal_rows == 0),
        ] {
            if zero {
                return Err(ConfigError::Zero(key));
            }
        }
        Ok(())
    }

    pub(crate) fn tally(&self) -> TallySettings {
        TallySettings {
            refusals: self.max_refusals,
            uses: self.max_uses,
            uses_every: Duration::from_secs(self.use_seconds),
            batch: self.report_rows,
        }
    }
}
