//! `[pop3]`: where clients connect, and how patient we are with them.

use std::time::Duration;

use mail_types::DomainName;
use net::{Endpoint, Limits};
use pop3_proto::Settings;
use serde::{Deserialize, Deserializer};

/// The configuration of the role. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where POP3 in clear is spoken, with STLS: `ADDRESS:PORT` or `unix:/PATH`. Default: `["127.0.0.1:1110"]`.
    pub listen: Vec<Endpoint>,
    /// Where POP3 is spoken over TLS from the first octet. Default: `["127.0.0.1:1995"]`.
    pub listen_tls: Vec<Endpoint>,
    /// Accept passwords in clear on `listen`. Only where something else protects the way. Default: false.
    pub passwords_in_clear: bool,
    /// The domain that a login name without `@` belongs to. Default: none, such logins fail.
    #[serde(deserialize_with = "domain")]
    pub default_domain: Option<DomainName>,
    /// The most connections at a time to one listener; further ones are told to come again. Default: 10000.
    pub max_connections: usize,
    /// The most connections at a time from one address (of IPv6 from one network of 64 bits) to one listener. Default: 100.
    pub max_connections_per_address: usize,
    /// The most sessions at a time of one account; further logins are answered `[IN-USE]`. Default: 20.
    pub max_sessions_per_account: u32,
    /// Bad commands in a row after which a connection is closed. Default: 10.
    pub max_bad_commands: u32,
    /// How long a client may take from connecting to its login, in seconds. Default: 120.
    pub login_seconds: u64,
    /// When a failed login is answered, in milliseconds after the command, whatever the reason. Default: 1000.
    pub refusal_milliseconds: u64,
    /// How long a client may go without a command, in seconds. RFC 1939 section 3 asks for at least ten minutes. Default: 600.
    pub idle_seconds: u64,
    /// How long a client may take no octet of what it is sent, in seconds. Default: 120.
    pub write_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Endpoint::Tcp(([127, 0, 0, 1], 1110).into())],
            listen_tls: vec![Endpoint::Tcp(([127, 0, 0, 1], 1995).into())],
            passwords_in_clear: false,
            default_domain: None,
            max_connections: 10_000,
            max_connections_per_address: 100,
            max_sessions_per_account: 20,
            max_bad_commands: 10,
            login_seconds: 120,
            refusal_milliseconds: 1000,
            idle_seconds: 600,
            write_seconds: 120,
        }
    }
}

/// Why a configuration is not usable. The text names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing would work.
    #[error("pop3.{0} must not be 0")]
    Zero(&'static str),
}

impl Config {
    /// Proves what the types do not; to be called before the role starts.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, zero) in [
            ("max_connections", self.max_connections == 0),
            ("max_connections_per_address", self.max_connections_per_address == 0),
            ("max_sessions_per_account", self.max_sessions_per_account == 0),
            ("max_bad_commands", self.max_bad_commands == 0),
            ("login_seconds", self.login_seconds == 0),
            ("idle_seconds", self.idle_seconds == 0),
            ("write_seconds", self.write_seconds == 0),
        ] {
            if zero {
                return Err(ConfigError::Zero(key));
            }
        }
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Settings {
        Settings { implementation: "Restante", max_bad_commands: self.max_bad_commands }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { connections: self.max_connections, connections_per_address: self.max_connections_per_address }
    }

    pub(crate) fn login_time(&self) -> Duration {
        Duration::from_secs(self.login_seconds)
    }

    pub(crate) fn refusal_time(&self) -> Duration {
        Duration::from_millis(self.refusal_milliseconds)
    }

    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    pub(crate) fn write_time(&self) -> Duration {
        Duration::from_secs(self.write_seconds)
    }
}

fn domain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DomainName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    DomainName::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_nonsense_is_not() {
        assert_eq!(Config::default().check(), Ok(()));
        let config = Config { idle_seconds: 0, ..Config::default() };
        assert_eq!(config.check(), Err(ConfigError::Zero("idle_seconds")));
    }
}
