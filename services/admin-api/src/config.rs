//! `[admin]`: where the API listens and what it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use net::{Endpoint, Limits};
use serde::Deserialize;

/// Where the admin API listens and what it takes. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it listens, in clear: loopback or behind something that speaks TLS. Default `127.0.0.1:8080`.
    pub listen: Vec<Endpoint>,
    /// Connections at once: 1000, 500 of them from one address.
    pub limits: Limits,
    /// The longest JSON body, octets. Default 262 144.
    pub max_body_octets: usize,
    /// The largest message that may be posted, octets. Default 52 428 800 (50 MiB).
    pub max_message_octets: u64,
    /// How long a request may take, milliseconds. Default 30 000.
    pub request_timeout_ms: u64,
    /// How long the posting of a message may take, milliseconds. Default 600 000.
    pub upload_timeout_ms: u64,
    /// How long a connection may be silent, milliseconds. Default 120 000.
    pub idle_timeout_ms: u64,
    /// Where browsers find this API, `https://HOST`, for issuers to send people back to; without it, no issuer signs anybody in.
    /// Default: none.
    pub public_url: Option<String>,
    /// The path there of the console's page that takes what a sign-in at an issuer came to. Default `/sign-in`.
    pub signed_in_path: String,
    /// When a failed sign-in is answered, milliseconds after it came, whatever the reason. Default 1000.
    pub refusal_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))],
            limits: Limits { connections: 1000, connections_per_address: 500 },
            max_body_octets: 256 * 1024,
            max_message_octets: 52_428_800,
            request_timeout_ms: 30_000,
            upload_timeout_ms: 600_000,
            idle_timeout_ms: 120_000,
            public_url: None,
            signed_in_path: "/sign-in".to_owned(),
            refusal_ms: 1000,
        }
    }
}

impl Config {
    /// Proves what the types do not.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_url = |url: &String| {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|octet| octet.is_ascii_graphic() && !b"?#".contains(&octet))
            })
        };
        if !self.public_url.as_ref().is_none_or(is_url) {
            return Err("admin.public_url must be https://HOST, without query and fragment");
        }
        if !self.signed_in_path.starts_with('/') || self.signed_in_path.contains('#') {
            return Err("admin.signed_in_path must begin with / and have no #");
        }
        Ok(())
    }

    /// How long a request may take.
    pub(crate) fn timeout(&self, upload: bool) -> Duration {
        Duration::from_millis(if upload { self.upload_timeout_ms } else { self.request_timeout_ms })
    }
}
