//! UPDATE state: the session's row and the expunge, in one transaction (`pop3_quit_2`).

use std::net::IpAddr;

use mail_types::{AccountId, CredentialId, SessionUuid, TenantId, Timestamp};
use runtime::database::Pool;
use uuid::Uuid;

use super::lease::{Fence, multirange};
use super::named;
use crate::Error;

/// What stays of a session that fetched, expunged or failed.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// The session; a repeated QUIT with it is done once.
    pub session: SessionUuid,
    /// What it logged in with.
    pub credential: CredentialId,
    /// When it began, by the frontend's clock. A repeat must name the same moment.
    pub started: Timestamp,
    /// The client.
    pub address: IpAddr,
    /// How the client proved itself, by the protocol driver's number: 1 USER/PASS, 2 SASL PLAIN, … 13 APOP.
    pub mechanism: i16,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// How it ended.
    pub outcome: SessionOutcome,
    /// Messages fetched whole.
    pub fetched: u32,
    /// Their octets.
    pub fetched_octets: u64,
    /// What else is known of it.
    pub notes: SessionNotes,
}

/// What is known of a session besides, for whoever helps its user.
#[derive(Debug, Clone, Default)]
pub struct SessionNotes {
    /// What is known of the client's program.
    pub client: Option<String>,
    /// The name that it asked for in TLS.
    pub server_name: Option<String>,
    /// How it ended, in the driver's word.
    pub ended: Option<&'static str>,
    /// The last `-ERR` that the client saw.
    pub last_error: Option<String>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionOutcome {
    /// With QUIT.
    Quit = 0,
    /// The connection was lost, or a limit ended it: nothing was expunged.
    Lost = 1,
    /// It was no client's: a policy expunged what was over its days.
    Expired = 2,
}

impl SessionOutcome {
    /// Of a session's row.
    pub(crate) fn from_code(code: i16) -> Option<Self> {
        [Self::Quit, Self::Lost, Self::Expired].into_iter().find(|outcome| *outcome as i16 == code)
    }
}

/// What QUIT changes.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Messages to expunge.
    pub expunge: Vec<i64>,
    /// Of an exclusive session: the change is refused unless the lease still holds.
    pub fence: Option<Fence>,
    /// For a device with a view of its own.
    pub device: Option<DeviceChange>,
}

/// What a device's view learns at QUIT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// Messages fetched whole in this session.
    pub seen: Vec<i64>,
    /// Messages deleted where DELE hides.
    pub hidden: Vec<i64>,
}

/// The SQLSTATE of a session that lost its lease, or whose frontend could not beat.
const LEASE_LOST: &str = "RS003";

/// Writes the session's row, expunges and notes what the device saw; answers how many messages were expunged by this call or the
/// one it repeats.
pub(crate) async fn quit(
    pool: &Pool,
    tenant: TenantId,
    account: AccountId,
    record: &SessionRecord,
    update: &Update,
) -> Result<u32, Error> {
    let started = i64::try_from(record.started.unix_ms())
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis)
        .ok_or(Error::Inconsistent { table: "sessions", what: "started_at" })?;
    let count: i32 = named(
        "pop3_quit_2",
        sqlx::query_scalar(
            "SELECT restante.pop3_quit_2($1, $2, $3, $4, $5, $6::text::inet, $7, $8, $9, $10, $11, $16, $12, $13, \
             $14::text::int8multirange, $15::text::int8multirange, $17, $18, $19)",
        )
        .bind(tenant.0)
        .bind(account.0)
        .bind(Uuid::from_u128(record.session.as_u128()))
        .bind(record.credential.0)
        .bind(started)
        .bind(record.address.to_string())
        .bind(record.mechanism)
        .bind(record.tls)
        .bind(record.outcome as i16)
        .bind(i32::try_from(record.fetched).unwrap_or(i32::MAX))
        .bind(i64::try_from(record.fetched_octets).unwrap_or(i64::MAX))
        .bind(&update.expunge)
        .bind(update.fence.map(|fence| fence.0))
        .bind(update.device.as_ref().map(|device| multirange(&device.seen)))
        .bind(update.device.as_ref().map(|device| multirange(&device.hidden)))
        .bind(&record.notes.client)
        .bind(record.notes.ended)
        .bind(&record.notes.last_error)
        .bind(&record.notes.server_name)
        .fetch_one(pool),
    )
    .await
    // The catalog's refusal to a session without its lease, told apart from faults.
    .map_err(|error| if error.has_sqlstate(LEASE_LOST) { Error::LeaseLost } else { error })?;
    Ok(u32::try_from(count).unwrap_or(0))
}
