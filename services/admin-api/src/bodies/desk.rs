//! What the support desk shows: who is connected, what happened, what sessions said, and what is the matter.

use chrono::{DateTime, Utc};
use directory::{Activity, ActivityKind, CredentialName, Diagnosis, Finding, LiveSession, RefusedLogins, Transcript};
use mailstore::mechanism_name;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::TlsWord;

/// A credential, by its id and what its owner calls it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CredentialRef)]
pub struct CredentialBody {
    #[schema(examples("cred_7"))]
    id: String,
    /// `password`, or the app password's name.
    #[schema(examples("phone"))]
    name: String,
}

/// A frontend process.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Frontend)]
pub struct FrontendBody {
    /// New at each start.
    #[schema(examples("06f1k3q8v2m4x7z9c5b1n0d2ae"))]
    id: String,
    /// How its host calls itself.
    #[schema(examples("pop.example.com"))]
    host: String,
}

/// A session under way. The figures are some seconds old.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = LiveSession)]
pub struct LiveSessionBody {
    #[schema(examples("sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"))]
    id: String,
    tenant: String,
    /// The account's address.
    account: String,
    /// The client's address.
    #[schema(examples("192.0.2.1"))]
    address: String,
    /// When it connected.
    since: DateTime<Utc>,
    /// What it logged in with; null for a token or a certificate.
    credential: Option<CredentialBody>,
    /// How it proved itself: `user`, `apop` or the SASL mechanism.
    #[schema(examples("user"))]
    mechanism: &'static str,
    /// Whether it speaks TLS.
    tls: TlsWord,
    /// What is known of the client's program: what TLS negotiated, and which commands it uses.
    client: Option<String>,
    /// The name it asked for in TLS.
    server_name: Option<String>,
    frontend: FrontendBody,
    /// Messages fetched whole so far.
    fetched: u64,
    /// Their octets.
    fetched_octets: u64,
    /// Its end was asked for and comes within seconds.
    ending: bool,
}

/// How many sessions were told to end.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = SessionsEnded)]
pub struct EndedBody {
    /// They end within seconds.
    pub sessions: u64,
}

/// Something that happened at an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Activity)]
pub struct ActivityBody {
    /// The session's beginning, the refusals' minute, or the last login with a credential.
    at: DateTime<Utc>,
    kind: ActivityWord,
    /// From where; of several the last.
    #[schema(examples("192.0.2.1"))]
    address: String,
    /// With what, where that is known.
    credential: Option<CredentialBody>,
    /// `user`, `apop` or the SASL mechanism, where that is known.
    mechanism: Option<&'static str>,
    tls: Option<TlsWord>,
    /// What is known of the client's program.
    client: Option<String>,
    /// The name it asked for in TLS.
    server_name: Option<String>,
    /// Of kind `session` and `expiry`.
    session: Option<SessionEndBody>,
    /// Of kind `refused`.
    refused: Option<RefusedBody>,
    /// Of kind `use`: all logins with the credential. A poll that finds nothing leaves no other trace; the count is up to an hour old.
    logins: Option<u64>,
}

/// What an activity is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActivityWord {
    /// A session that fetched, expunged or failed.
    Session,
    /// Logins that were refused, in a minute, from a network, for one reason.
    Refused,
    /// The last login with a credential.
    Use,
    /// A policy expunged what was over its days.
    Expiry,
}

/// How a session went.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SessionEnd)]
pub struct SessionEndBody {
    #[schema(examples("sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"))]
    id: String,
    ended_at: Option<DateTime<Utc>>,
    /// `quit`, `lost`, `idle`, `not_reading`, `bad_commands`, `session_time`, `unreadable`, `asked` (by an administrator, or because
    /// account, tenant or credential are served no more), `stopped`, `closed`; null where an earlier release wrote it.
    #[schema(examples("quit"))]
    ended: Option<String>,
    /// Messages fetched whole.
    fetched: u64,
    /// Their octets.
    fetched_octets: u64,
    /// Messages expunged.
    expunged: u64,
    /// The last `-ERR` that the client saw, word for word.
    last_error: Option<String>,
}

/// Logins that were refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = RefusedLogins)]
pub struct RefusedBody {
    /// Why. The client is told less.
    #[schema(examples("wrong_password"))]
    reason: &'static str,
    /// From where; `0.0.0.0/0` of several networks.
    #[schema(examples("192.0.2.0/24"))]
    network: String,
    attempts: u64,
    /// Of them, how many with a secret that was not seen from there before.
    different_secrets: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    /// The `-ERR` that the client saw last, word for word.
    #[schema(examples("-ERR [AUTH] wrong login name or password"))]
    told: String,
}

/// What keeps somebody from their mail.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Diagnosis)]
pub struct DiagnosisBody {
    /// When it was looked for.
    at: DateTime<Utc>,
    address: String,
    /// The worst first; never empty.
    findings: Vec<FindingBody>,
}

/// Something that was found.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Finding)]
pub struct FindingBody {
    /// Stable.
    #[schema(examples("app_password_expired"))]
    code: &'static str,
    severity: SeverityWord,
    /// For people.
    #[schema(examples("A device uses an app password whose time is over."))]
    summary: &'static str,
    /// What it was concluded from; which fields there are depends on the code.
    #[schema(value_type = Object)]
    evidence: Map<String, Value>,
    /// What an administrator does about it.
    #[schema(examples("Make a new app password and enter it in the device; delete the old one."))]
    what_to_do: &'static str,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeverityWord {
    /// Somebody does not get their mail, or mail does not get to them.
    Error,
    /// It will come to that, or part of the mail is missing.
    Warning,
    /// Good to know.
    Info,
}

/// `POST /v1/accounts/{address}/transcripts`
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriptsBegin {
    /// For how long sessions that begin are written down.
    #[schema(minimum = 1, maximum = 60)]
    pub minutes: u32,
}

/// Until when sessions that begin are written down.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = Transcribing)]
pub struct TranscribingBody {
    /// Those that began before are written down to their end.
    pub until: DateTime<Utc>,
}

/// A session that was written down.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Transcript)]
pub struct TranscriptBody {
    /// The session's.
    #[schema(examples("sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"))]
    id: String,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    /// The client's address.
    #[schema(examples("192.0.2.1"))]
    address: String,
    tls: TlsWord,
    /// What is known of the client's program.
    client: Option<String>,
    /// How it ended, as in the activity.
    #[schema(examples("quit"))]
    ended: String,
    /// There was more, for which there was no room.
    truncated: bool,
    octets: u64,
}

/// What a session said.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TranscriptWithEntries)]
pub struct TranscriptWhole {
    #[serde(flatten)]
    transcript: TranscriptBody,
    /// In order.
    entries: Vec<TranscriptEntryBody>,
}

/// A command and its answer: no secrets, no SASL data and no mail are in it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TranscriptEntry)]
pub struct TranscriptEntryBody {
    /// Since the client connected, when the answer was there.
    milliseconds: u64,
    #[schema(examples("PASS [redacted]"))]
    command: String,
    #[schema(examples("+OK [73123 octets]"))]
    reply: String,
}

/// A page of transcripts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TranscriptList {
    /// Until when sessions that begin are written down; null: they are not.
    pub until: Option<DateTime<Utc>>,
    /// Those that ended last first.
    pub items: Vec<TranscriptBody>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

fn credential((id, name): CredentialName) -> CredentialBody {
    CredentialBody { id: format!("cred_{id}"), name }
}

const fn tls(number: i16) -> TlsWord {
    match number {
        0 => TlsWord::None,
        1 => TlsWord::Stls,
        _ => TlsWord::Implicit,
    }
}

impl From<LiveSession> for LiveSessionBody {
    fn from(live: LiveSession) -> Self {
        let (frontend, host) = live.frontend;
        Self {
            id: format!("sess_{}", live.session),
            tenant: live.tenant.to_string(),
            account: live.account.to_string(),
            address: live.address.to_string(),
            since: live.started_at,
            credential: live.credential.map(credential),
            mechanism: mechanism_name(live.mechanism).unwrap_or("other"),
            tls: tls(live.tls),
            client: live.client,
            server_name: live.server_name,
            frontend: FrontendBody { id: format!("fe_{}", frontend.simple()), host },
            fetched: live.fetched,
            fetched_octets: live.fetched_octets,
            ending: live.ending,
        }
    }
}

impl From<Activity> for ActivityBody {
    fn from(activity: Activity) -> Self {
        let (kind, session, refused, logins) = match activity.kind {
            ActivityKind::Session { session, ended_at, ended, fetched, fetched_octets, expunged, last_error } => {
                let id = format!("sess_{session}");
                let ended_at = Some(ended_at);
                let session = SessionEndBody { id, ended_at, ended, fetched, fetched_octets, expunged, last_error };
                (ActivityWord::Session, Some(session), None, None)
            }
            ActivityKind::Expiry { session, expunged } => {
                let session = SessionEndBody {
                    id: format!("sess_{session}"),
                    ended_at: None,
                    ended: None,
                    fetched: 0,
                    fetched_octets: 0,
                    expunged,
                    last_error: None,
                };
                (ActivityWord::Expiry, Some(session), None, None)
            }
            ActivityKind::Refused(refused) => (ActivityWord::Refused, None, Some(refused.into()), None),
            ActivityKind::Use { logins } => (ActivityWord::Use, None, None, Some(logins)),
        };
        Self {
            at: activity.at,
            kind,
            address: activity.address.to_string(),
            credential: activity.credential.map(credential),
            mechanism: activity.mechanism.map(|number| mechanism_name(number).unwrap_or("other")),
            tls: activity.tls.map(tls),
            client: activity.client,
            server_name: activity.server_name,
            session,
            refused,
            logins,
        }
    }
}

impl From<RefusedLogins> for RefusedBody {
    fn from(refused: RefusedLogins) -> Self {
        Self {
            reason: refused.reason.as_str(),
            network: refused.network.to_string(),
            attempts: refused.attempts,
            different_secrets: refused.secrets,
            first_at: refused.first_at,
            last_at: refused.last_at,
            told: refused.told,
        }
    }
}

impl DiagnosisBody {
    /// Of an address.
    pub(crate) fn new(address: String, diagnosis: Diagnosis) -> Self {
        Self { at: diagnosis.at, address, findings: diagnosis.findings.into_iter().map(FindingBody::from).collect() }
    }
}

impl From<Finding> for FindingBody {
    fn from(finding: Finding) -> Self {
        let Finding { code, severity, summary, evidence, what_to_do } = finding;
        let severity = match severity {
            directory::Severity::Error => SeverityWord::Error,
            directory::Severity::Warning => SeverityWord::Warning,
            directory::Severity::Info => SeverityWord::Info,
        };
        Self { code, severity, summary, evidence, what_to_do }
    }
}

impl From<Transcript> for TranscriptBody {
    fn from(transcript: Transcript) -> Self {
        Self {
            id: format!("sess_{}", transcript.session),
            started_at: transcript.started_at,
            ended_at: transcript.ended_at,
            address: transcript.address.to_string(),
            tls: tls(transcript.tls),
            client: transcript.client,
            ended: transcript.ended,
            truncated: transcript.truncated,
            octets: transcript.octets,
        }
    }
}

impl From<Transcript> for TranscriptWhole {
    fn from(mut transcript: Transcript) -> Self {
        let entries = std::mem::take(&mut transcript.entries);
        let entry = |one: directory::TranscriptEntry| TranscriptEntryBody {
            milliseconds: one.milliseconds,
            command: one.command,
            reply: one.reply,
        };
        Self { entries: entries.into_iter().map(entry).collect(), transcript: transcript.into() }
    }
}
