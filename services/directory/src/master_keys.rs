//! What of the directory hangs on which master key: the verifiers of app passwords (a keyed hash under its pepper) and sealed
//! secrets, of recoverable app passwords, one-time codes, signing keys, issuers and webhooks. For `restante keys`, as the owner of the database.
//!
//! A sealed secret can be opened and sealed anew. A verifier cannot be moved without the secret: it moves when its app password next
//! proves itself in clear (see `login::prove`), or is replaced. Until then its master key has to stay configured.

use mail_types::{AccountId, Random, TenantId};
use runtime::keys::MasterKeys;
use serde_json::Value;
use sqlx::PgPool;

use crate::audit::{self, Event};
use crate::seal::{self, Purpose, Whose};
use crate::{Caller, Result, token};

/// What still needs a master key.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MasterKeyUse {
    /// Its id.
    pub id: String,
    /// App passwords whose verifier was made under it.
    pub verifiers: i64,
    /// Secrets that are sealed under it.
    pub sealed: i64,
    /// Batches of lines of jobs that are sealed under it. They are not sealed anew: each is gone when it is done.
    pub job_lines: i64,
}

/// Which master keys the credentials in force need. Role owner.
pub async fn master_key_use(pool: &PgPool) -> Result<Vec<MasterKeyUse>> {
    let uses = sqlx::query_as(
        "SELECT id, count(*) FILTER (WHERE kind = 'v') AS verifiers, count(*) FILTER (WHERE kind = 's') AS sealed,
                count(*) FILTER (WHERE kind = 'l') AS job_lines FROM (
           SELECT split_part(substr(verifier, 2), '$', 1) AS id, 'v' AS kind FROM restante.credentials
            WHERE kind IN (2, 3) AND revoked_at IS NULL AND verifier LIKE 'k%$%'
           UNION ALL
           SELECT convert_from(substring(sealed FROM 3 FOR get_byte(sealed, 1)), 'UTF8'), 's' FROM restante.credentials
            WHERE kind = 3 AND revoked_at IS NULL AND length(sealed) > 2
           UNION ALL
           SELECT convert_from(substring(o.sealed FROM 3 FOR get_byte(o.sealed, 1)), 'UTF8'), 's' FROM (
             SELECT totp AS sealed FROM restante.admins
             UNION ALL SELECT totp_offered FROM restante.admins
             UNION ALL SELECT client_secret FROM restante.oidc_issuers
             UNION ALL SELECT sealed FROM restante.signing_keys WHERE retired_at IS NULL) AS o
            WHERE length(o.sealed) > 2
           UNION ALL
           SELECT convert_from(substring(s FROM 3 FOR get_byte(s, 1)), 'UTF8'), 's'
             FROM restante.webhooks w, unnest(ARRAY[w.sealed, CASE WHEN w.old_until > now() THEN w.old_sealed END]) s
            WHERE length(s) > 2
           UNION ALL
           SELECT convert_from(substring(sealed FROM 3 FOR get_byte(sealed, 1)), 'UTF8'), 'l' FROM restante.job_chunks WHERE length(sealed) > 2) AS u
          GROUP BY id ORDER BY id",
    )
    .fetch_all(pool)
    .await?;
    Ok(uses)
}

/// A recoverable app password.
#[derive(sqlx::FromRow)]
struct Sealed {
    tenant_id: i32,
    account_id: i64,
    credential_id: i64,
    verifier: String,
    sealed: Vec<u8>,
}

/// Seals under the current master key what is sealed under another, and makes its verifier anew. Answers how many were done and
/// how many could not be opened. May be broken off and run again. Role owner.
pub async fn reseal(pool: &PgPool, keys: &MasterKeys, random: &dyn Random) -> Result<(u64, u64)> {
    let (others, closed) = reseal_others(pool, keys, random).await?;
    let (webhooks, shut) = reseal_webhooks(pool, keys, random).await?;
    let (passwords, unopened) = reseal_app_passwords(pool, keys, random).await?;
    Ok((others + webhooks + passwords, closed + shut + unopened))
}

async fn reseal_app_passwords(pool: &PgPool, keys: &MasterKeys, random: &dyn Random) -> Result<(u64, u64)> {
    let (mut done, mut unopened, mut last) = (0, 0, 0);
    loop {
        let rows: Vec<Sealed> = sqlx::query_as(
            "SELECT tenant_id, account_id, credential_id, verifier, sealed FROM restante.credentials
              WHERE kind = 3 AND revoked_at IS NULL AND length(sealed) > 2 AND credential_id > $1
                AND convert_from(substring(sealed FROM 3 FOR get_byte(sealed, 1)), 'UTF8') <> $2
              ORDER BY credential_id LIMIT 500",
        )
        .bind(last)
        .bind(keys.current().0)
        .fetch_all(pool)
        .await?;
        let Some(end) = rows.last() else { return Ok((done, unopened)) };
        last = end.credential_id;
        for row in rows {
            let whose = Whose::Account(TenantId(row.tenant_id), AccountId(row.account_id));
            let Some(secret) = seal::open(keys, whose, &row.sealed) else {
                unopened += 1;
                continue;
            };
            let changed = sqlx::query(
                "UPDATE restante.credentials SET sealed = $5, verifier = $6
                  WHERE (tenant_id, account_id, credential_id) = ($1, $2, $3) AND revoked_at IS NULL AND verifier = $4",
            )
            .bind(row.tenant_id)
            .bind(row.account_id)
            .bind(row.credential_id)
            .bind(&row.verifier)
            .bind(seal::seal(keys, random, whose, &secret)?)
            .bind(token::app_password_verifier(keys, &secret)?)
            .execute(pool)
            .await?;
            done += changed.rows_affected();
        }
    }
}

/// A webhook's secrets: its tenant and number, what is in force, and what still signs too.
type SealedWebhook = (i32, i64, Vec<u8>, Option<Vec<u8>>);

/// There are few webhooks, so they are looked at together.
async fn reseal_webhooks(pool: &PgPool, keys: &MasterKeys, random: &dyn Random) -> Result<(u64, u64)> {
    let rows: Vec<SealedWebhook> = sqlx::query_as(
        "SELECT tenant_id, webhook_id, sealed, CASE WHEN old_until > now() THEN old_sealed END FROM restante.webhooks
          WHERE length(sealed) > 2 AND convert_from(substring(sealed FROM 3 FOR get_byte(sealed, 1)), 'UTF8') <> $1",
    )
    .bind(keys.current().0)
    .fetch_all(pool)
    .await?;
    let (mut done, mut unopened) = (0, 0);
    for (tenant, webhook, sealed, old) in rows {
        let whose = Whose::Webhook(TenantId(tenant), webhook);
        let Some(secret) = seal::open(keys, whose, &sealed) else {
            unopened += 1;
            continue;
        };
        let old = old.and_then(|old| seal::open(keys, whose, &old));
        let old = old.map(|old| seal::seal(keys, random, whose, &old)).transpose()?;
        let changed = sqlx::query(
            "UPDATE restante.webhooks SET sealed = $4, old_sealed = $5 WHERE (tenant_id, webhook_id) = ($1, $2) AND sealed = $3",
        )
        .bind(tenant)
        .bind(webhook)
        .bind(&sealed)
        .bind(seal::seal(keys, random, whose, &secret)?)
        .bind(old)
        .execute(pool)
        .await?;
        done += changed.rows_affected();
    }
    Ok((done, unopened))
}

/// A sealed secret that belongs to no account.
#[derive(sqlx::FromRow)]
struct OtherSealed {
    /// Of which row; a signing key's is text.
    id: Option<i64>,
    key: Option<String>,
    sealed: Vec<u8>,
}

/// Which of those there are: what they are for, where they stand, how one is kept anew.
const OTHERS: [(Purpose, &str, &str); 4] = [
    (
        Purpose::Totp,
        "SELECT admin_id AS id, NULL::text AS key, totp AS sealed FROM restante.admins WHERE length(totp) > 2",
        "UPDATE restante.admins SET totp = $4 WHERE admin_id = $1 AND $2::text IS NULL AND totp = $3",
    ),
    (
        Purpose::Totp,
        "SELECT admin_id AS id, NULL::text AS key, totp_offered AS sealed FROM restante.admins WHERE length(totp_offered) > 2",
        "UPDATE restante.admins SET totp_offered = $4 WHERE admin_id = $1 AND $2::text IS NULL AND totp_offered = $3",
    ),
    (
        Purpose::OidcClient,
        "SELECT coalesce(tenant_id, 0)::bigint AS id, NULL::text AS key, client_secret AS sealed FROM restante.oidc_issuers
          WHERE length(client_secret) > 2",
        "UPDATE restante.oidc_issuers SET client_secret = $4
          WHERE coalesce(tenant_id, 0) = $1 AND $2::text IS NULL AND client_secret = $3",
    ),
    (
        Purpose::SigningKey,
        "SELECT NULL::bigint AS id, key_id AS key, sealed FROM restante.signing_keys WHERE retired_at IS NULL",
        "UPDATE restante.signing_keys SET sealed = $4 WHERE $1::bigint IS NULL AND key_id = $2 AND sealed = $3",
    ),
];

/// [`reseal`] for what belongs to no account: few enough to be read at once.
async fn reseal_others(pool: &PgPool, keys: &MasterKeys, random: &dyn Random) -> Result<(u64, u64)> {
    let (mut done, mut unopened) = (0, 0);
    for (purpose, select, update) in OTHERS {
        let rows: Vec<OtherSealed> = sqlx::query_as(select).fetch_all(pool).await?;
        for row in rows.into_iter().filter(|row| seal::sealed_under(&row.sealed) != Some(keys.current().0)) {
            let of = match (&row.key, row.id) {
                (Some(key), _) => key.as_bytes().to_vec(),
                (None, id) => id.unwrap_or_default().to_be_bytes().to_vec(),
            };
            let Some(secret) = seal::open_for(keys, purpose, &of, &row.sealed) else {
                unopened += 1;
                continue;
            };
            let changed = sqlx::query(update)
                .bind(row.id)
                .bind(&row.key)
                .bind(&row.sealed)
                .bind(seal::seal_for(keys, random, purpose, &of, &secret)?)
                .execute(pool)
                .await?;
            done += changed.rows_affected();
        }
    }
    Ok((done, unopened))
}

/// Notes in the audit trail what a command of the operator is about to do, outside of any request. Role owner.
pub async fn note_command(
    pool: &PgPool,
    caller: &Caller,
    tenant: Option<TenantId>,
    action: &'static str,
    target: &str,
    after: Value,
) -> Result<()> {
    let mut connection = pool.acquire().await?;
    let tenant = tenant.unwrap_or(audit::SERVICE);
    audit::record(&mut connection, caller, Event { tenant, action, target, before: None, after: Some(after) }).await
}
