//! `[admin]`: where the API listens and what it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::HeaderValue;
use net::{Endpoint, Limits};
use serde::Deserialize;

use crate::rate::RateLimitSettings;

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
    /// Web pages of these origins (`https://console.example.com`) may use the API. Default: none, which is right for the page
    /// that the service serves itself.
    pub cors_origins: Vec<Origin>,
    /// `Strict-Transport-Security` for so many seconds; only where clients come over TLS. Default 0: not sent.
    pub hsts_seconds: u32,
    /// How often somebody may ask.
    pub rate_limit: RateLimitSettings,
}

/// The origin of a web page, as browsers send it (RFC 6454 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(pub(crate) HeaderValue);

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("cors_origins: {text:?} is not of the form https://host or https://host:port");
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong());
        }
        HeaderValue::from_str(&text).map(Self).map_err(|_| wrong())
    }
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
            cors_origins: Vec::new(),
            hsts_seconds: 0,
            rate_limit: RateLimitSettings::default(),
        }
    }
}

impl Config {
    /// How long a request may take.
    pub(crate) fn timeout(&self, upload: bool) -> Duration {
        Duration::from_millis(if upload { self.upload_timeout_ms } else { self.request_timeout_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for good in ["https://console.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443"] {
            assert!(Origin::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in
            ["*", "null", "console.example.com", "https://", "https://a.test/", "https://A.test", "https://a.test b"]
        {
            assert!(Origin::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
