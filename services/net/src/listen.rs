//! A place to listen as the configuration writes it.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{Endpoint, EndpointError};

/// An [`Endpoint`], or `{ address = "ADDRESS:PORT", proxy_from = ["NETWORK", …] }` where load balancers stand before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub endpoint: Endpoint,
    /// The networks of the load balancers. With any, every connection has to come from there and begin with a PROXY protocol
    /// header, which says whose it is; without, no header is ever read. On a Unix socket whoever may open it counts as such.
    pub proxy_from: Vec<IpNet>,
}

impl Listen {
    /// Whether only this machine's programs are served there.
    pub fn is_local(&self) -> bool {
        self.endpoint.is_local() && self.proxy_from.is_empty()
    }
}

impl From<Endpoint> for Listen {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, proxy_from: Vec::new() }
    }
}

impl FromStr for Listen {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Endpoint>().map(Self::from)
    }
}

/// As the configuration writes it.
impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.proxy_from.is_empty() {
            return write!(f, "\"{}\"", self.endpoint);
        }
        write!(f, "{{ address = \"{}\", proxy_from = {:?} }}", self.endpoint, self.proxy_from)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: Endpoint,
    proxy_from: Vec<IpNet>,
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ADDRESS:PORT, unix:/PATH or a table with address and proxy_from")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Listen, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listen, A::Error> {
        let Table { address, proxy_from } = Table::deserialize(MapAccessDeserializer::new(map))?;
        if proxy_from.is_empty() {
            return Err(A::Error::custom("proxy_from is empty: name the networks of your load balancers"));
        }
        if let Some(everybody) = proxy_from.iter().find(|network| network.prefix_len() == 0) {
            let text = format!("proxy_from: {everybody} is everybody, who could then claim any address");
            return Err(A::Error::custom(text));
        }
        Ok(Listen { endpoint: address, proxy_from })
    }
}
