//! The keys that sign access tokens: Ed25519 (RFC 8032), kept in the database for all processes, the private part sealed under the
//! master key. The newest one signs; those before it verify until the last token that they signed has expired. A new one is made when
//! the newest is old, or when the operator says so; a process that sees a token of a key that it does not know looks once.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use mail_types::{Random, Secret};
use runtime::database::asked;
use runtime::keys::MasterKeys;
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::seal::{self, Purpose};
use crate::{Directory, Error, Result};

/// How long a process goes by what it read.
const FRESH: Duration = Duration::from_secs(60);
/// Between two looks for keys that nobody knows: who sends tokens of made-up keys costs four small queries a second.
const PAUSE: Duration = Duration::from_millis(250);
/// How much longer than a token holds a key verifies: others sign with it until they look again.
const SPARE_SECONDS: u32 = 300;
/// Octets of a private key's seed (RFC 8032 section 5.1.5).
const SEED: usize = 32;

/// The keys of this process, as it last read them.
#[derive(Debug, Default)]
pub(crate) struct SigningKeys {
    held: RwLock<Arc<Held>>,
    /// When the last look began; who waits for the lock waits for the look of another.
    looked: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Held {
    at: Option<Instant>,
    /// The newest first.
    keys: Vec<HeldKey>,
}

struct HeldKey {
    id: String,
    public: Vec<u8>,
    verifying: DecodingKey,
    /// Whether a newer one has taken its place.
    retired: bool,
    /// Of the one in force, if its master key is configured.
    signing: Option<EncodingKey>,
    age: Duration,
}

impl std::fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The public keys, as others verify our tokens with them (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwks {
    /// Pairs of a key's id and its 32 octets in base64url.
    pub keys: Vec<(String, String)>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    public_key: Vec<u8>,
    sealed: Vec<u8>,
    age_seconds: f64,
    retired: bool,
}

impl Held {
    fn find(&self, id: &str) -> Option<&HeldKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl Directory {
    /// The key with this id, if it may have signed a token that still holds.
    pub(super) async fn verifying_key(&self, id: &str) -> Result<Option<DecodingKey>> {
        let asked_at = self.clock.monotonic();
        let held = self.fresh_keys().await?;
        if let Some(key) = held.find(id) {
            return Ok(Some(key.verifying.clone()));
        }
        let held = self.look_for_keys(asked_at).await?;
        Ok(held.find(id).map(|key| key.verifying.clone()))
    }

    /// The key that signs now, with its id; a new one where there is none, or the newest is old.
    pub(super) async fn signing_key(&self) -> Result<(String, EncodingKey)> {
        let most = Duration::from_secs(u64::from(self.sign_in.signing_key_days) * 86_400);
        for _ in 0..3 {
            let held = self.fresh_keys().await?;
            let newest = held.keys.first().filter(|key| !key.retired);
            let since = held.at.map(|at| self.clock.since(at)).unwrap_or_default();
            if let Some(key) = newest
                && key.age + since < most
                && let Some(signing) = &key.signing
            {
                return Ok((key.id.clone(), signing.clone()));
            }
            // Another process may be first: then there is its key, at the next look.
            make(&self.pool, &self.keys, &*self.random, newest.map(|key| key.id.as_str())).await?;
            self.read_keys().await?;
        }
        Err(Error::Internal("no key to sign with could be made"))
    }

    /// What others verify our tokens with.
    pub async fn jwks(&self) -> Result<Jwks> {
        // Made before anybody asks for the first one.
        self.signing_key().await?;
        let held = self.held_keys();
        let keys = held.keys.iter().map(|key| (key.id.clone(), URL_SAFE_NO_PAD.encode(&key.public)));
        Ok(Jwks { keys: keys.collect() })
    }

    fn held_keys(&self) -> Arc<Held> {
        Arc::clone(&self.signing.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fresh_keys(&self) -> Result<Arc<Held>> {
        let held = self.held_keys();
        if held.at.is_some_and(|at| self.clock.since(at) < FRESH) { Ok(held) } else { self.read_keys().await }
    }

    /// Reads the keys, unless somebody began to after `asked_at`; never more often than every [`PAUSE`].
    async fn look_for_keys(&self, asked_at: Instant) -> Result<Arc<Held>> {
        let mut looked = self.signing.looked.lock().await;
        if looked.is_some_and(|at| at > asked_at) {
            return Ok(self.held_keys());
        }
        if let Some(left) = looked.and_then(|at| PAUSE.checked_sub(self.clock.since(at))) {
            tokio::time::sleep(left).await;
        }
        *looked = Some(self.clock.monotonic());
        self.read_keys().await
    }

    async fn read_keys(&self) -> Result<Arc<Held>> {
        let at = Some(self.clock.monotonic());
        let keep = i32::try_from(self.sign_in.access_seconds + SPARE_SECONDS).unwrap_or(i32::MAX);
        let rows: Vec<KeyRow> = asked(&self.pool, || {
            sqlx::query_as(
                "SELECT key_id, public_key, sealed, age_seconds, retired FROM restante.admin_signing_keys_1($1)",
            )
            .bind(keep)
            .fetch_all(&self.pool)
        })
        .await?;
        let held = Arc::new(Held { at, keys: rows.into_iter().map(|row| self.held(row)).collect::<Result<_>>()? });
        *self.signing.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&held);
        Ok(held)
    }

    fn held(&self, row: KeyRow) -> Result<HeldKey> {
        let signing = if row.retired { None } else { self.opened(&row)? };
        Ok(HeldKey {
            verifying: DecodingKey::from_ed_der(&row.public_key),
            signing,
            retired: row.retired,
            age: Duration::try_from_secs_f64(row.age_seconds.max(0.0)).unwrap_or_default(),
            id: row.key_id,
            public: row.public_key,
        })
    }

    /// The private part; nothing if its master key is no longer configured: then a new key takes its place.
    fn opened(&self, row: &KeyRow) -> Result<Option<EncodingKey>> {
        let Some(seed) = seal::open_for(&self.keys, Purpose::SigningKey, row.key_id.as_bytes(), &row.sealed) else {
            tracing::warn!(key_id = row.key_id, "a signing key is sealed under a master key that is not configured");
            return Ok(None);
        };
        let fault = || Error::Internal("a signing key is damaged");
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed.expose(), &row.public_key).map_err(|_| fault())?;
        let document = pair.to_pkcs8().map_err(|_| fault())?;
        Ok(Some(EncodingKey::from_ed_der(document.as_ref())))
    }
}

/// Makes a new key in place of the one named; false where another process was first.
async fn make(pool: &PgPool, keys: &MasterKeys, random: &dyn Random, before: Option<&str>) -> Result<bool> {
    let (id, public, sealed) = new_key(keys, random)?;
    let made = sqlx::query_scalar("SELECT restante.admin_signing_key_make_1($1, $2, $3, $4)")
        .bind(before)
        .bind(id)
        .bind(public)
        .bind(sealed)
        .fetch_one(pool)
        .await?;
    Ok(made)
}

/// A new key: its id, its public part, and its private part, sealed.
fn new_key(keys: &MasterKeys, random: &dyn Random) -> Result<(String, Vec<u8>, Vec<u8>)> {
    let mut seed = vec![0; SEED];
    random.fill(&mut seed);
    let seed = Secret::new(seed);
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| Error::Internal("ed25519"))?;
    let id = format!("{:032x}", u128::from_be_bytes(random.octets16()));
    let sealed = seal::seal_for(keys, random, Purpose::SigningKey, id.as_bytes(), &seed)?;
    Ok((id, pair.public_key().as_ref().to_vec(), sealed))
}

/// Makes a new key for access tokens, at once; those signed before stay good until they expire. Role owner.
pub async fn rotate_signing_key(pool: &PgPool, keys: &MasterKeys, random: &dyn Random) -> Result<()> {
    let (id, public, sealed) = new_key(keys, random)?;
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('restante signing keys'))").execute(&mut *tx).await?;
    sqlx::query("UPDATE restante.signing_keys SET retired_at = clock_timestamp() WHERE retired_at IS NULL")
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO restante.signing_keys (key_id, public_key, sealed, created_at) VALUES ($1, $2, $3, clock_timestamp())",
    )
    .bind(id)
    .bind(public)
    .bind(sealed)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
