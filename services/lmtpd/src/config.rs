//! `[lmtp]`: where mail comes in, from whom, and how much.

use std::time::Duration;

use ipnet::IpNet;
use lmtp_proto::Settings;
use net::{Endpoint, Limits, Listen, Peer};
use serde::Deserialize;

/// The configuration of the role. Every key has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen: `ADDRESS:PORT` or `unix:/PATH`; behind load balancers that speak the PROXY protocol
    /// `{ address = …, proxy_from = [NETWORK, …] }`. Anything but loopback and Unix sockets without a load balancer needs `peers`,
    /// because whoever reaches it writes into maildrops. Default: `["127.0.0.1:1124"]`.
    pub listen: Vec<Listen>,
    /// The networks that mail is accepted from on addresses other than loopback; everybody else is refused. Default: none.
    pub peers: Vec<IpNet>,
    /// This server's name in the greeting and in `Received` lines. Default: the machine's host name.
    pub host: String,
    /// The most octets of a message as it is transferred; announced with SIZE. Default: 52428800 (50 MiB).
    pub max_message_octets: u64,
    /// The most recipients of one transaction; further ones are told to come in the next. Default: 1000.
    pub max_recipients: usize,
    /// The most connections at a time to one listener; further ones are told to come again. Default: 1000.
    pub max_connections: usize,
    /// Bad commands after which a session is ended. Default: 20.
    pub max_bad_commands: u32,
    /// How long a peer may stay silent, or not read, in seconds. RFC 5321 section 4.5.3.2.7 asks for at least five minutes.
    /// Default: 300.
    pub idle_seconds: u64,
    /// How often a process tells that it lives and whom it refused, in seconds; over 14 it would not count as alive. Default: 5.
    pub report_seconds: u64,
    /// The most domains, each with a minute, whose refused recipients are counted between two reports. Default: 10000.
    pub report_domains: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Endpoint::Tcp(([127, 0, 0, 1], 1124).into()).into()],
            peers: Vec::new(),
            host: host_name(),
            max_message_octets: 52_428_800,
            max_recipients: 1000,
            max_connections: 1000,
            max_bad_commands: 20,
            idle_seconds: 300,
            report_seconds: 5,
            report_domains: 10_000,
        }
    }
}

/// Why a configuration is not usable. The text names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Anybody could write into maildrops.
    #[error(
        "lmtp.listen: {0} can be reached from other machines, and whoever reaches it writes into maildrops: name the networks of your \
         mail servers in lmtp.peers, or listen on loopback or unix:/PATH"
    )]
    Exposed(Endpoint),
    /// A network that is no bound.
    #[error("lmtp.peers: {0} is everybody: name the networks of your mail servers")]
    Everybody(IpNet),
    /// It goes into header lines.
    #[error("lmtp.host: {0:?} is not a host name")]
    Host(String),
    /// Nothing would work.
    #[error("lmtp.{0} must not be 0")]
    Zero(&'static str),
}

impl Config {
    /// Proves what the types do not; to be called before the role starts.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_exposure(&self.listen, &self.peers)?;
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
        if self.host.is_empty() || self.host.len() > 255 || !self.host.bytes().all(allowed) {
            return Err(ConfigError::Host(self.host.clone()));
        }
        for (key, zero) in [
            ("max_message_octets", self.max_message_octets == 0),
            ("max_recipients", self.max_recipients == 0),
            ("max_connections", self.max_connections == 0),
            ("max_bad_commands", self.max_bad_commands == 0),
            ("idle_seconds", self.idle_seconds == 0),
            ("report_seconds", self.report_seconds == 0),
            ("report_domains", self.report_domains == 0),
        ] {
            if zero {
                return Err(ConfigError::Zero(key));
            }
        }
        Ok(())
    }

    pub(crate) fn protocol(&self) -> Settings {
        Settings {
            host: self.host.clone(),
            max_message_octets: self.max_message_octets,
            max_recipients: self.max_recipients,
            max_bad_commands: self.max_bad_commands,
        }
    }

    /// An MTA makes all its connections from one address, so there is only one bound.
    pub(crate) fn limits(&self) -> Limits {
        Limits { connections: self.max_connections, connections_per_address: self.max_connections }
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}

/// Whether these addresses may be listened on: an address that other machines reach, also through a load balancer, needs `peers`, and none of them may be everybody.
pub fn check_exposure(listen: &[Listen], peers: &[IpNet]) -> Result<(), ConfigError> {
    if let Some(everybody) = peers.iter().find(|network| network.prefix_len() == 0) {
        return Err(ConfigError::Everybody(*everybody));
    }
    match listen.iter().find(|listen| !listen.is_local()) {
        Some(open) if peers.is_empty() => Err(ConfigError::Exposed(open.endpoint.clone())),
        _ => Ok(()),
    }
}

/// Whether a peer is served by a listener.
pub(crate) fn admits(listen: &Listen, peers: &[IpNet], peer: &Peer) -> bool {
    listen.is_local()
        || peer.address.is_some_and(|address| peers.iter().any(|network| network.contains(&address.to_canonical())))
}

/// What the kernel calls this machine.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listens(texts: &[&str]) -> Vec<Listen> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_open_address_needs_peers() {
        let exposed = |text: &str| Err(ConfigError::Exposed(text.parse().unwrap()));
        let everybody = |text: &str| Err(ConfigError::Everybody(text.parse().unwrap()));
        let table: &[(&[&str], &[&str], _)] = &[
            (&[], &[], Ok(())),
            (&["127.0.0.1:24"], &[], Ok(())),
            (&["127.8.8.8:24"], &[], Ok(())),
            (&["[::1]:24"], &[], Ok(())),
            (&["[::ffff:127.0.0.1]:24"], &[], Ok(())),
            (&["unix:/run/lmtp"], &[], Ok(())),
            (&["127.0.0.1:24", "unix:/run/lmtp"], &[], Ok(())),
            (&["0.0.0.0:24"], &[], exposed("0.0.0.0:24")),
            (&["[::]:24"], &[], exposed("[::]:24")),
            (&["192.0.2.1:24"], &[], exposed("192.0.2.1:24")),
            (&["127.0.0.1:24", "10.0.0.1:24"], &[], exposed("10.0.0.1:24")),
            (&["0.0.0.0:24"], &["192.0.2.0/24"], Ok(())),
            (&["0.0.0.0:24"], &["192.0.2.0/24", "0.0.0.0/0"], everybody("0.0.0.0/0")),
            (&["127.0.0.1:24"], &["::/0"], everybody("::/0")),
        ];
        for (listen, peers, expected) in table {
            assert_eq!(check_exposure(&listens(listen), &networks(peers)), *expected, "{listen:?} {peers:?}");
        }
        let error = check_exposure(&listens(&["0.0.0.0:24"]), &[]).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:24") && error.contains("lmtp.peers"), "{error}");
    }

    #[test]
    fn only_peers_are_served_on_an_open_address() {
        let peers = networks(&["192.0.2.0/24", "2001:db8::/32"]);
        let admitted = |endpoint: &str, address: Option<&str>| {
            let peer = Peer { address: address.map(|address| address.parse().unwrap()), unix: address.is_none() };
            admits(&endpoint.parse().unwrap(), &peers, &peer)
        };
        for (address, expected) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("2001:db8::1", true),
            ("192.0.3.1", false),
            ("127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(admitted("[::]:24", Some(address)), expected, "{address}");
            assert!(admitted("127.0.0.1:24", Some(address)), "{address}");
        }
        assert!(admitted("unix:/run/lmtp", None));
    }

    #[test]
    fn a_load_balancer_makes_a_local_address_an_open_one() {
        let proxy_from = networks(&["127.0.0.0/8"]);
        for text in ["127.0.0.1:24", "unix:/run/lmtp"] {
            let listen = Listen { endpoint: text.parse().unwrap(), proxy_from: proxy_from.clone() };
            let exposed = Err(ConfigError::Exposed(listen.endpoint.clone()));
            assert_eq!(check_exposure(std::slice::from_ref(&listen), &[]), exposed);
            let peers = networks(&["192.0.2.0/24"]);
            assert_eq!(check_exposure(std::slice::from_ref(&listen), &peers), Ok(()));
            let admitted = |address: Option<&str>| {
                let peer = Peer { address: address.map(|address| address.parse().unwrap()), unix: address.is_none() };
                admits(&listen, &peers, &peer)
            };
            assert!(admitted(Some("192.0.2.7")));
            assert!(!admitted(Some("192.0.3.7")) && !admitted(Some("127.0.0.1")) && !admitted(None));
        }
    }

    #[test]
    fn the_defaults_are_sound_and_nonsense_is_not() {
        assert_eq!(Config::default().check(), Ok(()));
        let host = Config { host: "a b".to_owned(), ..Config::default() };
        assert_eq!(host.check(), Err(ConfigError::Host("a b".to_owned())));
        let silent = Config { idle_seconds: 0, ..Config::default() };
        assert_eq!(silent.check(), Err(ConfigError::Zero("idle_seconds")));
    }
}
