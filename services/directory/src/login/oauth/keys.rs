//! The keys of issuers (RFC 7517): fetched by whoever is let out to the network, and kept. They are fetched again after a
//! while, and when a token names one that is not among them; after a failure not for a while, so that a broken issuer, or
//! tokens that name keys at random, cost nothing. Old keys are used while no new ones can be had, up to a day.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
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
const MAX_OCTETS: usize = 256 * 1024;
/// The most keys that a token without a key's name is tried with.
const MAX_TRIED: usize = 8;
/// The most issuers.
const MAX_ISSUERS: usize = 10_000;

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
    keys: Vec<Jwk>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
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
                Err(cause) => tracing::warn!(cause, "an issuer's keys could not be fetched"),
            }
        }
        if set.fetched.is_none_or(|at| self.clock.since(at) >= USABLE) {
            return Err(Error::IssuerUnavailable);
        }
        Ok(set.matching(id, algorithm).take(MAX_TRIED).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect())
    }

    async fn fetched(&self, url: &str) -> Result<Vec<Jwk>, &'static str> {
        let body = tokio::time::timeout(PATIENCE, self.fetch.fetch(url)).await.map_err(|_| "it took too long")?;
        let body = body.map_err(|_| "the request failed")?;
        if body.len() > MAX_OCTETS {
            return Err("the answer is too large");
        }
        // One by one: a key of a kind that nobody knows yet does not spoil the others.
        let document: serde_json::Value = serde_json::from_slice(&body).map_err(|_| "the answer is no JSON")?;
        let keys = document.get("keys").and_then(serde_json::Value::as_array).ok_or("the answer has no keys")?;
        let set = JwkSet { keys: keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect() };
        Ok(set.keys)
    }
}

impl KeySet {
    fn matching<'a>(&'a self, id: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Jwk> {
        self.keys.iter().filter(move |key| {
            let is_named = id.is_none_or(|id| key.common.key_id.as_deref() == Some(id));
            let is_for_signatures =
                key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
            is_named && is_for_signatures && key.common.key_algorithm.is_none_or(|of| is_same(of, algorithm))
        })
    }
}

fn is_same(of: KeyAlgorithm, algorithm: Algorithm) -> bool {
    Algorithm::try_from(of).is_ok_and(|of| of == algorithm)
}
