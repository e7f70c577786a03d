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
    /// How long the posting of a message or an import may take, milliseconds. Default 600 000.
    pub upload_timeout_ms: u64,
    /// How long a connection may be silent, milliseconds. Default 120 000.
    pub idle_timeout_ms: u64,
    /// Requests of a minute, from one address, for the settings of mail clients: autoconfig, autodiscover and profiles, which need no
    /// key. Of IPv6: from one network of 64 bits. Behind something that speaks TLS its address is the one. 0: no bound. Default 600.
    pub client_settings_per_minute: u32,
    /// Where browsers find this API, `https://HOST`, for issuers to send people back to; without it, no issuer signs anybody in.
    /// Default: none.
    pub public_url: Option<String>,
    /// The path there of the console's page that takes what a sign-in at an issuer came to. Default `/sign-in`.
    pub signed_in_path: String,
    /// When a failed sign-in is answered, milliseconds after it came, whatever the reason. Default 1000.
    pub refusal_ms: u64,
    /// Bounds of imports.
    pub imports: ImportsConfig,
    /// How many exports of tenants run at once.
    pub exports: ExportsConfig,
    /// Web pages of these origins (`https://console.example.com`) may use the API. Default: none, which is right for the page
    /// that the service serves itself.
    pub cors_origins: Vec<Origin>,
    /// `Strict-Transport-Security` for so many seconds; only where clients come over TLS. Default 0: not sent.
    pub hsts_seconds: u32,
    /// How often somebody may ask.
    pub rate_limit: RateLimitSettings,
}

/// `[admin.imports]`: how much an import may bring.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportsConfig {
    /// Lines of one body. Default 100 000.
    pub max_lines: u32,
    /// Octets of one body. Default 67 108 864 (64 MiB).
    pub max_octets: u64,
    /// Octets of one line. Default 16 384.
    pub max_line_octets: usize,
    /// Lines that a worker does in one transaction. Default 200.
    pub batch_lines: u32,
    /// Jobs that a tenant may have under way. Default 10.
    pub unfinished_per_tenant: u32,
}

impl Default for ImportsConfig {
    fn default() -> Self {
        Self {
            max_lines: 100_000,
            max_octets: 64 * 1024 * 1024,
            max_line_octets: 16 * 1024,
            batch_lines: 200,
            unfinished_per_tenant: 10,
        }
    }
}

/// `[admin.exports]`: how many exports of tenants one process sends at once; further ones are answered 503.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportsConfig {
    /// In all. Default 8.
    pub at_once: u32,
    /// Of one tenant. Default 2.
    pub per_tenant: u32,
}

impl Default for ExportsConfig {
    fn default() -> Self {
        Self { at_once: 8, per_tenant: 2 }
    }
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
            client_settings_per_minute: 600,
            public_url: None,
            signed_in_path: "/sign-in".to_owned(),
            refusal_ms: 1000,
            imports: ImportsConfig::default(),
            exports: ExportsConfig::default(),
            cors_origins: Vec::new(),
            hsts_seconds: 0,
            rate_limit: RateLimitSettings::default(),
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
