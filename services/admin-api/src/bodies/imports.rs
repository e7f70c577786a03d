//! Imports and migrations.

use chrono::{DateTime, Utc};
use directory::{Job, JobError, JobKind, JobState, MigratedAccount};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{AccountQuota, Status};

/// A line of an import of accounts: a JSON object without a line end in it. What is there already is never changed: an account of this
/// address with the same quota, status and aliases is `unchanged`, whatever its password is by now.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountLine {
    /// The account's address.
    #[schema(examples("alice@acme.test"))]
    pub address: String,
    /// Its password in clear; or `password_hash`, or neither.
    #[schema(min_length = 8)]
    pub password: Option<String>,
    /// Its password as another server hashed it, with the scheme's name: `{SHA512-CRYPT}`, `{BLF-CRYPT}`, `{SSHA}`, `{PBKDF2}`,
    /// `{ARGON2ID}`. The next login with it makes it our own.
    #[schema(examples("{SHA512-CRYPT}$6$…"))]
    pub password_hash: Option<String>,
    /// What its maildrop may hold.
    pub quota: Option<AccountQuota>,
    /// `active` where it is left out.
    pub status: Option<Status>,
    /// Further addresses that lead to it alone; `*@domain` is a catch-all. At most 100.
    pub aliases: Option<Vec<String>>,
}

/// What an import brings.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportKindWord {
    /// Accounts.
    AccountsImport,
    /// Mail of other servers.
    MaildropMigration,
}

impl From<JobKind> for ImportKindWord {
    fn from(kind: JobKind) -> Self {
        match kind {
            JobKind::AccountsImport => Self::AccountsImport,
            JobKind::MaildropMigration => Self::MaildropMigration,
        }
    }
}

/// Where an import stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportStateWord {
    /// Waits for a worker.
    Queued,
    /// A worker has begun.
    Running,
    /// Every line has its verdict.
    Done,
    /// Given up: `error` says why.
    Failed,
    /// Stopped by an administrator. What was done stays.
    Cancelled,
}

impl From<JobState> for ImportStateWord {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// How far an import is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportProgress {
    /// Lines that are not empty.
    pub total: u64,
    /// Lines that have their verdict: made, unchanged or failed.
    pub done: u64,
    /// Lines whose account was made (or would be, in a trial); of a migration, whose mail has come.
    pub made: u64,
    /// Lines whose account was there as the line says; of a migration, with all of its mail.
    pub unchanged: u64,
    /// Lines that were refused: `/errors` says why.
    pub failed: u64,
    /// Lines a second since the beginning; null before it.
    pub per_second: Option<f64>,
}

/// An import or migration: a job, done by workers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportBody {
    /// Its id.
    #[schema(examples("job_7"))]
    pub id: String,
    /// Whose it is.
    #[schema(examples("acme"))]
    pub tenant: String,
    /// What it brings.
    pub kind: ImportKindWord,
    /// Where it stands.
    pub state: ImportStateWord,
    /// Whether it only tries: everything is checked and nothing is made.
    pub dry_run: bool,
    /// Who made it, as in the audit trail. It stops when they may not do this any more.
    #[schema(examples("api-key:7"))]
    pub created_by: String,
    /// Of a migration: where the mail comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Value>,
    /// How far it is.
    pub progress: ImportProgress,
    /// Why it failed, for people.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a worker began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was done, failed or cancelled.
    pub ended_at: Option<DateTime<Utc>>,
}

impl ImportBody {
    /// As it stands at this moment.
    pub(crate) fn at(job: Job, now: DateTime<Utc>) -> Self {
        let progress = job.progress;
        let seconds = job.started_at.map(|begun| (job.ended_at.unwrap_or(now) - begun).as_seconds_f64().max(0.001));
        let rounded = |rate: f64| (rate * 10.0).round() / 10.0;
        Self {
            id: format!("job_{}", job.id),
            tenant: job.tenant.to_string(),
            kind: job.kind.into(),
            state: job.state.into(),
            dry_run: job.dry_run,
            created_by: job.created_by,
            source: job.payload.get("source").cloned(),
            progress: ImportProgress {
                total: progress.total,
                done: progress.done(),
                made: progress.made,
                unchanged: progress.unchanged,
                failed: progress.failed,
                per_second: seconds.map(|seconds| rounded(progress.done() as f64 / seconds)),
            },
            error: job.error,
            created_at: job.created_at,
            started_at: job.started_at,
            ended_at: job.ended_at,
        }
    }
}

/// Why a line was refused; a line may have several.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportErrorBody {
    /// Its number in the body, from 1; empty lines count.
    pub line: i32,
    /// JSON pointer into the line.
    #[schema(examples("/address"))]
    pub pointer: String,
    /// As in a problem's `errors`; also `not_json`, `duplicate`, `limit_reached`.
    #[schema(examples("duplicate"))]
    pub code: String,
    /// The rule, for people.
    #[schema(examples("an account or alias with this address already exists"))]
    pub detail: String,
}

impl From<JobError> for ImportErrorBody {
    fn from(error: JobError) -> Self {
        let JobError { line, pointer, code, detail, .. } = error;
        Self { line, pointer, code, detail }
    }
}

/// A migration: mail of another server, for accounts that are here already.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationNew {
    /// `maildrop-migration`.
    pub kind: ImportKindWord,
    /// Where the mail comes from. It must be reachable over the public internet, or by what the operator allows.
    pub source: MigrationSource,
    /// Whose mail. The body is kept sealed and wiped account by account.
    #[schema(min_items = 1)]
    pub accounts: Vec<MigrationAccount>,
}

/// What the other server speaks.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolWord {
    /// POP3: unique-ids and order are kept.
    Pop3,
    /// IMAP: the INBOX.
    Imap,
}

/// How its connection is protected.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceTlsWord {
    /// TLS from the first octet.
    Implicit,
    /// STLS or STARTTLS, without which no password is sent.
    Starttls,
    /// None: passwords and mail travel in clear.
    None,
}

/// Where mail comes from.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationSource {
    /// What it speaks.
    pub protocol: ProtocolWord,
    /// Its name or address.
    #[schema(examples("pop.old.example"))]
    pub host: String,
    /// By default the protocol's own.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// `implicit` where it is left out.
    pub tls: Option<SourceTlsWord>,
    /// Over IMAP: how the server made POP3's unique-ids, as Dovecot's `pop3_uidl_format` says it.
    #[schema(examples("%08Xu%08Xv"))]
    pub uidl_format: Option<String>,
}

/// One maildrop of a migration.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationAccount {
    /// The account here.
    #[schema(examples("alice@acme.test"))]
    pub address: String,
    /// What the other server knows its owner as; the address where it is left out.
    pub login: Option<String>,
    /// Their password there.
    pub password: String,
}

/// How far a migration is with one account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MigratedAccount)]
pub struct MigratedAccountBody {
    /// Its place in `accounts`, from 1.
    pub line: i32,
    /// The account here.
    pub address: String,
    /// Messages that the other server has.
    pub listed: i64,
    /// Of them those that were here before.
    pub known: i64,
    /// Of them those that came.
    pub imported: i64,
    /// Of them those that cannot be taken.
    pub skipped: i64,
    /// Octets that came.
    pub octets: i64,
    /// When this was noted.
    pub at: DateTime<Utc>,
}

impl From<MigratedAccount> for MigratedAccountBody {
    fn from(account: MigratedAccount) -> Self {
        let MigratedAccount { line, address, listed, known, imported, skipped, octets, at } = account;
        Self { line, address, listed, known, imported, skipped, octets, at }
    }
}
