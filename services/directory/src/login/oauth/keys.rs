//! The keys of issuers (RFC 7517): fetched by whoever is let out to the network, and kept. They are fetched again after a
//! while, and when a token names one that is not among them; after a failure not for a while, so that a broken issuer, or
//! tokens that name keys at random, cost nothing. Old keys are used while no new ones can be had, up to a day.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use mail_types::Clock;
use tokio::sync::Mutex;

use crate::memory::Memory;
use crate::{Error, Result};

/// When keys are fetched again.
const FRESH: Duration = Duration::from_secs(600);
/// How long keys are used that cannot be fetched again.
const USABLE: Duration = Duration::from_secs(86_400);
/// Between two fetches of one issuer's keys.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a fetch may take: a login waits for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest answer, in octets.
const MAX_OCTETS: usize = 64 * 1024;
/// The most keys that a token without a key's name is tried with.
const MAX_TRIED: usize = 8;
/// The most issuers whose keys are kept.
const MAX_ISSUERS: usize = 1000;

/// What a fetch comes to: the octets of the answer's body, or why there are none.
pub type JwksFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>;

/// Fetches the document at an https URL that a tenant chose: through the one way out, which refuses private addresses and
/// bounds what it reads.
pub trait JwksFetch: Send + Sync + std::fmt::Debug {
    /// The document.
    fn fetch<'a>(&'a self, url: &'a str) -> JwksFuture<'a>;
}

/// The key sets of all issuers.
#[derive(Debug)]
pub(crate) struct KeySets {
    fetch: Arc<dyn JwksFetch>,
    clock: Arc<dyn Clock>,
    /// By URL. Who waits for the lock waits for the fetch of another.
    sets: Memory<String, Arc<Mutex<KeySet>>>,
}

#[derive(Debug, Default)]
struct KeySet {
    keys: Vec<Key>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only one that it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// A key for signatures, of a kind that is known.
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match jwk.common.key_algorithm {
            Some(algorithm) => Some(Algorithm::try_from(algorithm).ok()?),
            None => None,
        };
        let is_for_signatures =
            jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures)?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }
}

impl KeySets {
    pub(crate) fn new(fetch: Arc<dyn JwksFetch>, clock: Arc<dyn Clock>) -> Self {
        Self { fetch, clock, sets: Memory::new(MAX_ISSUERS, USABLE) }
    }

    /// The keys that may have signed a token: the one that it names, or all of its kind if it names none.
    pub(crate) async fn find(&self, url: &str, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<DecodingKey>> {
        let now = self.clock.monotonic();
        let set = self.sets.change(url.to_owned(), now, |set| set.cloned().unwrap_or_default());
        let mut set = set.lock().await;
        let is_old = set.fetched.is_none_or(|at| self.clock.since(at) >= FRESH);
        let is_missing = set.matching(id, algorithm).next().is_none();
        let may_try = set.tried.is_none_or(|at| self.clock.since(at) >= PAUSE);
        if (is_old || is_missing) && may_try {
            set.tried = Some(self.clock.monotonic());
            match self.fetched(url).await {
                Ok(keys) => {
                    set.keys = keys;
                    set.fetched = Some(self.clock.monotonic());
                }
                Err(cause) => tracing::warn!(url, cause, "an issuer's keys could not be fetched"),
            }
        }
        if set.fetched.is_none_or(|at| self.clock.since(at) >= USABLE) {
            return Err(Error::IssuerUnavailable);
        }
        Ok(set.matching(id, algorithm).take(MAX_TRIED).map(|key| key.key.clone()).collect())
    }

    async fn fetched(&self, url: &str) -> Result<Vec<Key>, &'static str> {
        let body = tokio::time::timeout(PATIENCE, self.fetch.fetch(url)).await.map_err(|_| "it took too long")?;
        let body = body.map_err(|_| "the request failed")?;
        if body.len() > MAX_OCTETS {
            return Err("the answer is too large");
        }
        // One by one: a key of a kind that nobody knows yet does not spoil the others.
        let document: serde_json::Value = serde_json::from_slice(&body).map_err(|_| "the answer is no JSON")?;
        let keys = document.get("keys").and_then(serde_json::Value::as_array).ok_or("the answer has no keys")?;
        let parsed = keys.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        Ok(parsed.filter_map(|key| Key::of(&key)).collect())
    }
}

impl KeySet {
    fn matching<'a>(&'a self, id: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| {
            let is_named = id.is_none_or(|id| key.id.as_deref() == Some(id));
            is_named && key.algorithm.is_none_or(|only| only == algorithm) && key.key.family() == algorithm.family()
        })
    }
}
