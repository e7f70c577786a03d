//! `Idempotency-Key`: a POST that is sent again after a lost answer gets the answer of the first, and nothing is done twice.
//! An answer is kept for a day, without the secrets that it showed once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Caller, Directory, Result, token};

/// What the hashes of requests are made under. After a new master key a request that comes again is taken for another.
const LABEL: &str = "restante/idempotency/1";
/// How long an answer can be replayed.
const KEPT: &str = "24 hours";
/// How long a request that never finished (its process died) keeps its key.
const UNDER_WAY: &str = "10 minutes";

/// The longest key, in characters.
pub(crate) const MAX_KEY: usize = 255;

/// What a key was found to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// New: do the work, then [`Directory::keep_response`] or [`Directory::release_claim`].
    Fresh,
    /// The same request was answered before: answer so again.
    Answered(KeptResponse),
    /// The first is still under way.
    UnderWay,
    /// The key was used for another request.
    Mismatch,
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<String>,
    /// The header `ETag`.
    pub etag: Option<String>,
    /// The body, secrets left out.
    pub body: Value,
}

impl Directory {
    /// Claims a key for a request; `request_hash` is of its method, path and body. Keys of different callers never meet.
    pub async fn claim_idempotency_key(&self, caller: &Caller, key: &str, request_hash: [u8; 32]) -> Result<Claim> {
        if key.is_empty() || key.chars().count() > MAX_KEY || key.chars().any(char::is_control) {
            let detail = format!("Idempotency-Key must have 1 to {MAX_KEY} printable characters");
            return Err(crate::Error::invalid("", "invalid", detail));
        }
        // Under a key of ours: a body may hold a password, and its plain hash would be something to try passwords against.
        let request_hash = token::hmac(&self.keys.derive(LABEL), &request_hash)?;
        let mut tx = self.begin(caller).await?;
        // Nobody else sweeps: a caller pays for its own.
        sqlx::query("DELETE FROM restante.idempotency WHERE principal = $1 AND expires_at < clock_timestamp()")
            .bind(&caller.actor)
            .execute(&mut *tx)
            .await?;
        // A second claim waits here for the first one's row, and then finds it.
        let fresh = sqlx::query(
            "INSERT INTO restante.idempotency (principal, idem_key, tenant_id, request_hash, expires_at)
             VALUES ($1, $2, $3, $4, clock_timestamp() + $5::interval) ON CONFLICT (principal, idem_key) DO NOTHING",
        )
        .bind(&caller.actor)
        .bind(key)
        .bind(caller.tenant().map(|tenant| tenant.0))
        .bind(request_hash.to_vec())
        .bind(UNDER_WAY)
        .execute(&mut *tx)
        .await?;
        if fresh.rows_affected() == 1 {
            tx.commit().await?;
            return Ok(Claim::Fresh);
        }
        let row: Option<(Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT request_hash, response FROM restante.idempotency WHERE principal = $1 AND idem_key = $2",
        )
        .bind(&caller.actor)
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
        Ok(match row {
            Some((hash, _)) if hash != request_hash => Claim::Mismatch,
            Some((_, Some(response))) => serde_json::from_slice(&response).map_or(Claim::UnderWay, Claim::Answered),
            // Released between the two statements, or not answered yet: the caller comes again.
            Some((_, None)) | None => Claim::UnderWay,
        })
    }

    /// Keeps the answer to the request that claimed the key.
    pub async fn keep_response(&self, caller: &Caller, key: &str, response: &KeptResponse) -> Result<()> {
        let octets = serde_json::to_vec(response).map_err(|_| crate::Error::Internal("an answer is no JSON"))?;
        let mut tx = self.begin(caller).await?;
        sqlx::query(
            "UPDATE restante.idempotency SET status = $3, response = $4, expires_at = clock_timestamp() + $5::interval
              WHERE principal = $1 AND idem_key = $2",
        )
        .bind(&caller.actor)
        .bind(key)
        .bind(i16::try_from(response.status).unwrap_or(500))
        .bind(octets)
        .bind(KEPT)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives the key free again: the request was refused or failed, and the same key may be tried with a mended one.
    pub async fn release_claim(&self, caller: &Caller, key: &str) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        sqlx::query("DELETE FROM restante.idempotency WHERE principal = $1 AND idem_key = $2 AND status IS NULL")
            .bind(&caller.actor)
            .bind(key)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
