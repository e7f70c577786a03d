//! What was expunged, by whom, and bringing it back.

use chrono::{DateTime, NaiveDate, Utc};
use mailstore::{Expunged, PastSession, SessionOutcome, mechanism_name};
use serde::Serialize;
use utoipa::ToSchema;

use super::MessageBody;

/// An expunged message: it can be restored until it is purged.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ExpungedMessage)]
pub struct ExpungedBody {
    #[serde(flatten)]
    message: MessageBody,
    /// When it was expunged.
    expunged_at: DateTime<Utc>,
    /// The session that did it.
    #[schema(examples("sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"))]
    session: String,
    /// From this day on (UTC) it is purged.
    purge_day: NaiveDate,
}

/// A session that is over and has fetched or expunged messages. Others leave no trace here.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PastSession)]
pub struct SessionBody {
    /// Opaque; the digits are the session's in the service's log.
    #[schema(examples("sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"))]
    id: String,
    /// When the client connected.
    started_at: DateTime<Utc>,
    /// When it left.
    ended_at: DateTime<Utc>,
    /// The client's address.
    #[schema(examples("192.0.2.1"))]
    address: String,
    /// What the client said it is; null where it said nothing.
    client: Option<String>,
    /// How it proved itself: `user`, `apop` or the SASL mechanism.
    #[schema(examples("SCRAM-SHA-256"))]
    mechanism: &'static str,
    /// Whether it spoke TLS.
    tls: TlsWord,
    /// The credential it logged in with; null for a token or a certificate.
    #[schema(examples("cred_7"))]
    credential: Option<String>,
    /// How it ended.
    outcome: OutcomeWord,
    /// Messages it fetched whole.
    fetched: u64,
    /// Their octets.
    fetched_octets: u64,
    /// Messages it expunged.
    expunged: u64,
    /// How many of those undoing it would restore: they are not purged and not restored yet.
    restorable: u64,
}

/// Whether a session spoke TLS.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsWord {
    /// In clear.
    None,
    /// After STLS.
    Stls,
    /// From the first octet.
    Implicit,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeWord {
    /// With QUIT.
    Quit,
    /// Without: nothing was expunged.
    Lost,
    /// It was no client's: a policy expunged what was over its days.
    Expired,
}

/// `POST /v1/accounts/{address}/messages/restore`: one of three ways to say what.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum MessagesRestore {
    /// One by one.
    These(RestoreThese),
    /// By when they were expunged.
    Between(RestoreBetween),
    /// By who expunged them.
    Session(RestoreSession),
}

/// These messages.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreThese {
    /// As UIDL showed them.
    #[schema(min_items = 1)]
    pub unique_ids: Vec<String>,
}

/// What was expunged in a time.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreBetween {
    /// From here on.
    #[schema(examples("2026-11-24T06:00:00Z"))]
    pub since: DateTime<Utc>,
    /// And before this. Default: until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, examples("2026-11-24T07:00:00Z"))]
    pub until: Option<DateTime<Utc>>,
}

/// What one session expunged.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreSession {
    /// Its id.
    #[schema(examples("sess_0a4f7c8e1b2d4f60a1b2c3d4e5f60718"))]
    pub session: String,
}

/// What was restored.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct RestoredBody {
    /// Messages that are live again.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
}

/// A session as paths and bodies name it.
fn session_id(session: mail_types::SessionUuid) -> String {
    format!("sess_{session}")
}

impl From<Expunged> for ExpungedBody {
    fn from(expunged: Expunged) -> Self {
        Self {
            message: expunged.message.into(),
            expunged_at: expunged.expunged_at,
            session: session_id(expunged.session),
            purge_day: expunged.purge_day,
        }
    }
}

impl From<PastSession> for SessionBody {
    fn from(past: PastSession) -> Self {
        Self {
            id: session_id(past.session),
            started_at: past.started_at,
            ended_at: past.ended_at,
            address: past.address.to_string(),
            client: past.client,
            mechanism: mechanism_name(past.mechanism).unwrap_or("other"),
            tls: match past.tls {
                0 => TlsWord::None,
                1 => TlsWord::Stls,
                _ => TlsWord::Implicit,
            },
            credential: past.credential.map(|id| format!("cred_{id}")),
            outcome: match past.outcome {
                SessionOutcome::Quit => OutcomeWord::Quit,
                SessionOutcome::Lost => OutcomeWord::Lost,
                SessionOutcome::Expired => OutcomeWord::Expired,
            },
            fetched: past.fetched,
            fetched_octets: past.fetched_octets,
            expunged: past.expunged,
            restorable: past.restorable,
        }
    }
}
