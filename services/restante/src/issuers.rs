//! The keys of the issuers that tenants trust, fetched by the one way out.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use directory::{JwksFetch, JwksFuture};
use net::egress::{Bounds, Egress};
use serde::Deserialize;

/// What a fetch may take; a login waits for it.
const BOUNDS: Bounds = Bounds { octets: 64 * 1024, time: Duration::from_secs(3) };
/// Where an issuer describes itself (OpenID Connect Discovery 1.0 section 4).
const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// Fetches key sets: the document at the policy's URL, or, if that is where an issuer describes itself, the one that it names.
#[derive(Debug)]
pub(crate) struct Issuers {
    egress: Egress,
}

/// What is read of an issuer's description.
#[derive(Debug, Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Issuers {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { egress }
    }

    async fn keys(&self, url: &str) -> anyhow::Result<Vec<u8>> {
        let document = self.egress.get(url, BOUNDS).await?;
        let Some(issuer) = url.strip_suffix(CONFIGURATION) else { return Ok(document) };
        let configuration: Configuration = serde_json::from_slice(&document).context("the issuer's description")?;
        // Section 4.3: it is the description of whom it was asked of.
        let named = &configuration.issuer;
        ensure!(named.trim_end_matches('/') == issuer, "the description is of {named:?}");
        self.egress.get(&configuration.jwks_uri, BOUNDS).await.context("jwks_uri")
    }
}

impl JwksFetch for Issuers {
    fn fetch<'a>(&'a self, url: &'a str) -> JwksFuture<'a> {
        Box::pin(async move {
            let fetched = self.keys(url).await;
            if let Err(error) = &fetched {
                // Who asked logs that it has no keys; why is for operators only.
                tracing::info!(url, error = format!("{error:#}"), "an issuer did not give its keys");
            }
            Ok(fetched?)
        })
    }
}
