//! Where to listen.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer};

/// An address to listen on: `127.0.0.1:110`, `[::]:110`, or `unix:/run/restante/lmtp.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and a port; port 0 picks one.
    Tcp(SocketAddr),
    /// A socket file, made when the listener is bound.
    Unix(PathBuf),
}

/// A text that is no [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither ADDRESS:PORT nor unix:/PATH")]
pub struct EndpointError(String);

impl Endpoint {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(EndpointError(text.to_owned()))
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| EndpointError(text.to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_or_paths() {
        for (text, local) in [
            ("127.0.0.1:110", true),
            ("[::1]:0", true),
            ("0.0.0.0:110", false),
            ("[::]:110", false),
            ("unix:/a/b", true),
            ("[::ffff:127.0.0.1]:1", true),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
            assert_eq!(endpoint.is_local(), local, "{text}");
        }
        for text in ["", "localhost:110", "127.0.0.1", ":110", "unix:a", "unix:"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
