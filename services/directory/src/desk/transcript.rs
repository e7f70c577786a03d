//! What an account's sessions said, written down for a limited time when an administrator wants it. Secrets, SASL data and mail never
//! get here: the driver hands in verbs, numbers, our own status lines, and how many octets the rest had.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, SessionUuid, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use crate::error::inconsistent;
use crate::{Caller, Directory, Error, Page, PageRequest, Result, account};

/// The longest that sessions are written down by one request, in minutes.
const MOST_MINUTES: u32 = 60;

/// A command and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptEntry {
    /// Milliseconds since the client connected, when the answer was there.
    pub milliseconds: u64,
    /// `RETR 7`, `PASS [redacted]`.
    pub command: String,
    /// `+OK 3 messages (620 octets)`, `+OK [73123 octets]`, `-ERR …` as the client saw it.
    pub reply: String,
}

/// What a session said.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// Which.
    pub session: SessionUuid,
    /// When the client connected.
    pub started_at: DateTime<Utc>,
    /// When it was gone, by the database's clock.
    pub ended_at: DateTime<Utc>,
    /// The client.
    pub address: IpAddr,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// What is known of the client's program.
    pub client: Option<String>,
    /// How it ended, in the driver's word.
    pub ended: String,
    /// There was more, for which there was no room.
    pub truncated: bool,
    /// What is kept of it.
    pub octets: u64,
    /// In order; empty in lists.
    pub entries: Vec<TranscriptEntry>,
}

/// What a session hands in at its end (role pop3).
#[derive(Debug, Clone)]
pub struct NewTranscript {
    /// Which.
    pub session: SessionUuid,
    /// When the client connected.
    pub started: Timestamp,
    /// The client.
    pub address: IpAddr,
    /// 0 clear, 1 STLS, 2 implicit TLS.
    pub tls: i16,
    /// What is known of the client's program.
    pub client: String,
    /// How it ended, in the driver's word.
    pub ended: &'static str,
    /// There was more.
    pub truncated: bool,
    /// In order.
    pub entries: Vec<TranscriptEntry>,
}

#[derive(sqlx::FromRow)]
struct TranscriptRow {
    session_uuid: Uuid,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    address: IpNet,
    tls: i16,
    client: Option<String>,
    ended: String,
    truncated: bool,
    octets: i32,
    entries: Option<Value>,
}

impl TryFrom<TranscriptRow> for Transcript {
    type Error = Error;

    fn try_from(row: TranscriptRow) -> Result<Self> {
        let entries = row.entries.map(serde_json::from_value).transpose();
        Ok(Self {
            session: SessionUuid::from_u128(row.session_uuid.as_u128()),
            started_at: row.started_at,
            ended_at: row.ended_at,
            address: row.address.addr(),
            tls: row.tls,
            client: row.client,
            ended: row.ended,
            truncated: row.truncated,
            octets: u64::try_from(row.octets).unwrap_or(0),
            entries: entries.map_err(|_| inconsistent("transcripts", "entries"))?.unwrap_or_default(),
        })
    }
}

impl Directory {
    /// Keeps what a session said (role pop3); false where the account has no room for it, or nobody wants it any more.
    pub async fn keep_transcript(
        &self,
        tenant: TenantId,
        account: AccountId,
        new: &NewTranscript,
        most_octets: u64,
    ) -> Result<bool> {
        let entries = serde_json::to_value(&new.entries).map_err(|_| Error::Internal("transcript"))?;
        let octets = entries.to_string().len();
        let kept = sqlx::query_scalar(
            "SELECT restante.pop3_transcript_1($1, $2, $3, to_timestamp($4 / 1000.0::float8), $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(tenant.0)
        .bind(account.0)
        .bind(Uuid::from_u128(new.session.as_u128()))
        .bind(i64::try_from(new.started.unix_ms()).unwrap_or(i64::MAX))
        .bind(IpNet::from(new.address.to_canonical()))
        .bind(new.tls)
        .bind(&new.client)
        .bind(new.ended)
        .bind(new.truncated)
        .bind(i32::try_from(octets).unwrap_or(i32::MAX))
        .bind(entries)
        .bind(i64::try_from(most_octets).unwrap_or(i64::MAX))
        .fetch_one(&self.pool)
        .await?;
        Ok(kept)
    }

    /// Writes the account's sessions down that begin in the next so many minutes, 1 to 60; answers until when. Again changes the time.
    pub async fn transcribe(&self, caller: &Caller, address: &Address, minutes: u32) -> Result<DateTime<Utc>> {
        if !(1..=MOST_MINUTES).contains(&minutes) {
            let detail = format!("must be between 1 and {MOST_MINUTES}");
            return Err(Error::invalid("/minutes", "out_of_range", detail));
        }
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let until: DateTime<Utc> = sqlx::query_scalar(
            "UPDATE restante.accounts SET transcribe_until = now() + make_interval(mins => $3)
              WHERE tenant_id = $1 AND account_id = $2 RETURNING transcribe_until",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(i32::try_from(minutes).unwrap_or(i32::MAX))
        .fetch_one(&mut *tx)
        .await?;
        account::record(&mut tx, caller, "transcript.begin", &account, None, Some(json!({"until": until}))).await?;
        self.finish(tx, caller).await?;
        Ok(until)
    }

    /// Until when the account's sessions are written down, if they are, and a page of what they said, without the entries: those that ended
    /// last first.
    pub async fn transcripts(
        &self,
        caller: &Caller,
        address: &Address,
        page: &PageRequest,
    ) -> Result<(Option<DateTime<Utc>>, Page<Transcript>)> {
        let after: Option<(DateTime<Utc>, Uuid)> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let until = sqlx::query_scalar(
            "SELECT CASE WHEN transcribe_until > now() THEN transcribe_until END FROM restante.accounts
              WHERE tenant_id = $1 AND account_id = $2",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .fetch_one(&mut *tx)
        .await?;
        let rows = sqlx::query_as::<_, TranscriptRow>(
            "SELECT session_uuid, started_at, ended_at, address, tls, client, ended, truncated, octets, NULL::jsonb AS entries
               FROM restante.transcripts
              WHERE tenant_id = $1 AND account_id = $2
                AND (ended_at, session_uuid) < (coalesce($3, 'infinity'::timestamptz), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
              ORDER BY ended_at DESC, session_uuid DESC LIMIT $5",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(after.map(|after| after.0))
        .bind(after.map(|after| after.1))
        .bind(page.fetch())
        .fetch_all(&mut *tx)
        .await?;
        let page = page.page(rows, |row| (row.ended_at, row.session_uuid)).try_map(Transcript::try_from)?;
        Ok((until, page))
    }

    /// What one session said.
    pub async fn transcript(&self, caller: &Caller, address: &Address, session: SessionUuid) -> Result<Transcript> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        sqlx::query_as::<_, TranscriptRow>(
            "SELECT session_uuid, started_at, ended_at, address, tls, client, ended, truncated, octets, entries
               FROM restante.transcripts WHERE tenant_id = $1 AND account_id = $2 AND session_uuid = $3",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(Uuid::from_u128(session.as_u128()))
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::NotFound)?
        .try_into()
    }

    /// Writes no more sessions of the account down, and deletes what there is: of one session, or everything.
    pub async fn delete_transcripts(
        &self,
        caller: &Caller,
        address: &Address,
        session: Option<SessionUuid>,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let deleted = sqlx::query(
            "DELETE FROM restante.transcripts WHERE tenant_id = $1 AND account_id = $2 AND ($3::uuid IS NULL OR session_uuid = $3)",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(session.map(|session| Uuid::from_u128(session.as_u128())))
        .execute(&mut *tx)
        .await?
        .rows_affected();
        match session {
            Some(_) if deleted == 0 => return Err(Error::NotFound),
            Some(_) => {}
            None => {
                sqlx::query(
                    "UPDATE restante.accounts SET transcribe_until = NULL WHERE tenant_id = $1 AND account_id = $2",
                )
                .bind(account.tenant_id.0)
                .bind(account.id.0)
                .execute(&mut *tx)
                .await?;
            }
        }
        let before = json!({"session": session.map(|session| format!("sess_{session}")), "transcripts": deleted});
        account::record(&mut tx, caller, "transcript.delete", &account, Some(before), None).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }
}
