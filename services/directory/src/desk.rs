//! The support desk: who is connected, who logged in or was refused and why, what a session said, and why somebody cannot get their
//! mail.
//!
//! Frontends (role pop3) hand in what they saw in batches ([`Directory::report`]); in between it is kept in bounded memory
//! ([`Tally`]), so that a login costs no write of its own. The rest is for administrators, under row-level security.

mod activity;
mod counts;
mod diagnosis;
mod live;
mod reason;
mod report;
mod tally;
mod transcript;

pub use activity::{Activity, ActivityFilter, ActivityKind, CredentialName, RefusedLogins};
pub use counts::DomainCounts;
pub use diagnosis::{Diagnosis, DnsFacts, Finding, Severity, rules_as_markdown};
pub use live::{LiveSession, LiveSessionFilter};
pub use reason::RefusalReason;
pub use report::{Certificate, LiveReport, Report, Reported};
pub use tally::{RefusedAttempt, Tally, TallySettings, Whose};
pub use transcript::{NewTranscript, Transcript, TranscriptEntry};
