//! `[pop3]`: where clients connect, and how patient we are with them.

mod desk;

use std::time::Duration;

use directory::{Promises, SessionLimitsSettings};
use mail_types::DomainName;
use net::{Endpoint, Limits, Listen};
use pop3_proto::{Expire, MAX_AUTH_LINE, Settings};
use sasl::{Mechanism, Mechanisms};
use serde::{Deserialize, Deserializer};

pub use desk::DeskConfig;

/// The configuration of the role. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where POP3 in clear is spoken, with STLS: `ADDRESS:PORT` or `unix:/PATH`; behind load balancers that speak the PROXY
    /// protocol `{ address = …, proxy_from = [NETWORK, …] }`. Default: `["127.0.0.1:1110"]`.
    pub listen: Vec<Listen>,
    /// Where POP3 is spoken over TLS from the first octet, likewise. Default: `["127.0.0.1:1995"]`.
    pub listen_tls: Vec<Listen>,
    /// Accept passwords in clear on `listen`. Only where something else protects the way. Default: false.
    pub passwords_in_clear: bool,
    /// How the server calls itself, in the greeting of APOP and in challenges. Default: localhost.
    pub host: Host,
    /// The domain that a login name without `@` belongs to. Default: none, such logins fail. A client that asked for another
    /// server name in TLS than `host` means the domain of that name: `acme.test` and `pop.acme.test` mean `acme.test`.
    #[serde(deserialize_with = "domain")]
    pub default_domain: Option<DomainName>,
    /// The SASL mechanisms that may be offered, by their names. Default: all but CRAM-MD5 and NTLM.
    #[serde(deserialize_with = "mechanisms")]
    pub mechanisms: Mechanisms,
    /// Offer CRAM-MD5, NTLM and APOP, too. They work only with app passwords that were made for them, in domains whose policy
    /// allows them. Default: false.
    pub legacy_mechanisms: bool,
    /// Ask clients for a certificate, for the mechanism EXTERNAL. Default: false; some mail clients bother people about it.
    pub client_certificates: bool,
    /// The least LOGIN-DELAY that CAPA tells before login, in seconds: more where a policy sets more. Default: 0.
    pub announced_login_delay_seconds: u32,
    /// The longest EXPIRE that CAPA tells before login, in days: less where a policy sets less. Default: none, mail is kept.
    pub announced_expire_days: Option<u32>,
    /// The most connections at a time to one listener; further ones are told to come again. Default: 10000.
    pub max_connections: usize,
    /// The most connections at a time from one address (of IPv6 from one network of 64 bits) to one listener. Default: 100.
    pub max_connections_per_address: usize,
    /// The most sessions at a time of one account where no policy says otherwise; further logins are answered `[IN-USE]`. This
    /// limit and the next three are for all frontends together; each holds to its share. Default: 20.
    pub max_sessions_per_account: u32,
    /// The same of one domain; further logins, as of the next two, are answered `[SYS/TEMP]`. Default: 10000.
    pub max_sessions_per_domain: u32,
    /// The same of one tenant. Default: 10000.
    pub max_sessions_per_tenant: u32,
    /// The same of one tenant from one address (of IPv6 from one network of 64 bits). Default: 200.
    pub max_sessions_per_address: u32,
    /// Bad commands in a row after which a connection is closed. Default: 10.
    pub max_bad_commands: u32,
    /// The longest command line, in octets. Default: 255 (RFC 2449 section 4); not below it.
    pub max_command_octets: usize,
    /// The longest AUTH command and SASL response, in octets. Default: 12290, which is also the most.
    pub max_auth_octets: usize,
    /// The most octets that are held for a client which does not take them; before it has taken some, nothing more is done for it.
    /// Default: 65536.
    pub max_unread_octets: usize,
    /// How long a client may take from connecting to its login, in seconds. Default: 120.
    pub login_seconds: u64,
    /// When a failed login is answered, in milliseconds after the command, whatever the reason. Default: 1000.
    pub refusal_milliseconds: u64,
    /// How long a client may go without a command, in seconds. RFC 1939 section 3 asks for at least ten minutes. Default: 600.
    pub idle_seconds: u64,
    /// How long a client may take no octet of what it is sent, in seconds. Default: 120.
    pub write_seconds: u64,
    /// How long a session may last, in seconds; then the next command is answered `[SYS/TEMP]`, and QUIT executed. To be below
    /// half the store's grace: a session's messages can be read that long. Default: 28800 (8 hours).
    pub session_seconds: u64,
    /// What the support desk is told.
    pub desk: DeskConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Endpoint::Tcp(([127, 0, 0, 1], 1110).into()).into()],
            listen_tls: vec![Endpoint::Tcp(([127, 0, 0, 1], 1995).into()).into()],
            passwords_in_clear: false,
            host: Host::default(),
            default_domain: None,
            mechanisms: modern(),
            legacy_mechanisms: false,
            client_certificates: false,
            announced_login_delay_seconds: 0,
            announced_expire_days: None,
            max_connections: 10_000,
            max_connections_per_address: 100,
            max_sessions_per_account: 20,
            max_sessions_per_domain: 10_000,
            max_sessions_per_tenant: 10_000,
            max_sessions_per_address: 200,
            max_bad_commands: 10,
            max_command_octets: 255,
            max_auth_octets: MAX_AUTH_LINE,
            max_unread_octets: 64 * 1024,
            login_seconds: 120,
            refusal_milliseconds: 1000,
            idle_seconds: 600,
            write_seconds: 120,
            session_seconds: 8 * 3600,
            desk: DeskConfig::default(),
        }
    }
}

/// Why a configuration is not usable. The text names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing would work.
    #[error("pop3.{0} must not be 0")]
    Zero(&'static str),
    /// The certificate cannot be used to ask clients for theirs.
    #[error("pop3.client_certificates: {0}")]
    ClientCertificates(String),
    /// Outside of what the standards or this program can do.
    #[error("pop3.{key} must be from {least} to {most}")]
    OutOfRange {
        /// Which.
        key: &'static str,
        /// From.
        least: usize,
        /// To.
        most: usize,
    },
}

impl Config {
    /// Proves what the types do not; to be called before the role starts.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, zero) in [
            ("max_connections", self.max_connections == 0),
            ("max_connections_per_address", self.max_connections_per_address == 0),
            ("max_sessions_per_account", self.max_sessions_per_account == 0),
            ("max_sessions_per_domain", self.max_sessions_per_domain == 0),
            ("max_sessions_per_tenant", self.max_sessions_per_tenant == 0),
            ("max_sessions_per_address", self.max_sessions_per_address == 0),
            ("session_seconds", self.session_seconds == 0),
            ("announced_expire_days", self.announced_expire_days == Some(0)),
            ("max_bad_commands", self.max_bad_commands == 0),
            ("login_seconds", self.login_seconds == 0),
            ("idle_seconds", self.idle_seconds == 0),
            ("write_seconds", self.write_seconds == 0),
        ] {
            if zero {
                return Err(ConfigError::Zero(key));
            }
        }
        for (key, value, least, most) in [
            ("max_command_octets", self.max_command_octets, 255, MAX_AUTH_LINE),
            ("max_auth_octets", self.max_auth_octets, self.max_command_octets, MAX_AUTH_LINE),
            ("max_unread_octets", self.max_unread_octets, 4096, 16 << 20),
        ] {
            if value < least || value > most {
                return Err(ConfigError::OutOfRange { key, least, most });
            }
        }
        self.desk.check()
    }

    pub(crate) fn protocol(&self) -> Settings {
        let legacy = Mechanism::ALL.into_iter().filter(|mechanism| mechanism.is_legacy() && self.legacy_mechanisms);
        Settings {
            implementation: "Restante",
            max_bad_commands: self.max_bad_commands,
            max_command_line: self.max_command_octets,
            max_auth_line: self.max_auth_octets,
            max_output: self.max_unread_octets,
            mechanisms: self.mechanisms.iter().chain(legacy).collect(),
            apop: self.legacy_mechanisms,
            login_delay: self.announced_login_delay_seconds,
            expire: self.announced_expire_days.map_or(Expire::Never, Expire::Days),
        }
    }

    /// The same, with what the policies say where that is less favourable than the configuration.
    pub(crate) fn promising(&self, promises: Promises) -> Settings {
        let shortest = self.announced_expire_days.into_iter().chain(promises.expire_days).min();
        Settings {
            login_delay: self.announced_login_delay_seconds.max(promises.login_delay_seconds),
            expire: shortest.map_or(Expire::Never, Expire::Days),
            ..self.protocol()
        }
    }

    pub(crate) fn session_limits(&self) -> SessionLimitsSettings {
        SessionLimitsSettings {
            per_account: self.max_sessions_per_account,
            per_domain: self.max_sessions_per_domain,
            per_tenant: self.max_sessions_per_tenant,
            per_address: self.max_sessions_per_address,
        }
    }

    /// The domain of a bare login name, by the name that the client asked for in TLS.
    pub(crate) fn domain_for(&self, server_name: Option<&str>) -> Option<DomainName> {
        let named = server_name.and_then(|name| DomainName::parse(name).ok()).filter(|name| *name != self.host.0);
        let Some(named) = named else { return self.default_domain.clone() };
        let of_service = named.as_str().split_once('.').filter(|(first, _)| SERVICE_LABELS.contains(first));
        match of_service.and_then(|(_, domain)| DomainName::parse(domain).ok()) {
            Some(domain) => Some(domain),
            None => Some(named),
        }
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

    pub(crate) fn session_time(&self) -> Duration {
        Duration::from_secs(self.session_seconds)
    }
}

/// First labels of a server's name that stand for the service: the rest is the domain.
const SERVICE_LABELS: [&str; 4] = ["pop", "pop3", "mail", "pops"];

/// The name of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(pub(crate) DomainName);

/// localhost
impl Default for Host {
    #[expect(clippy::expect_used, reason = "a constant")]
    fn default() -> Self {
        Self(DomainName::parse("localhost").expect("a domain name"))
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DomainName::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Every mechanism that does not need recoverable secrets.
fn modern() -> Mechanisms {
    Mechanism::ALL.into_iter().filter(|mechanism| !mechanism.is_legacy()).collect()
}

fn mechanisms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mechanisms, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let parse = |name: &String| {
        modern().parse(name.as_bytes()).ok_or_else(|| serde::de::Error::custom(format!("no such mechanism: {name}")))
    };
    names.iter().map(parse).collect()
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
        let config = Config { max_command_octets: 254, ..Config::default() };
        let expected = ConfigError::OutOfRange { key: "max_command_octets", least: 255, most: 12_290 };
        assert_eq!(config.check(), Err(expected));
    }

    #[test]
    fn the_server_name_says_the_domain() {
        let domain = |text: &str| DomainName::parse(text).ok();
        let config = Config { default_domain: domain("hoster.test"), ..Config::default() };
        assert_eq!(config.domain_for(None), domain("hoster.test"));
        assert_eq!(config.domain_for(Some("localhost")), domain("hoster.test"));
        assert_eq!(config.domain_for(Some("acme.test")), domain("acme.test"));
        assert_eq!(config.domain_for(Some("pop.acme.test")), domain("acme.test"));
        assert_eq!(config.domain_for(Some("mail.acme.test")), domain("acme.test"));
        assert_eq!(Config::default().domain_for(None), None);
    }

    #[test]
    fn legacy_mechanisms_are_asked_for() {
        let offered = |config: Config| config.protocol().mechanisms;
        assert!(!offered(Config::default()).contains(Mechanism::CramMd5));
        assert!(offered(Config { legacy_mechanisms: true, ..Config::default() }).contains(Mechanism::CramMd5));
    }
}
