//! Connections that come through load balancers: their first octets say whose they are.

use std::{net::IpAddr, time::Duration};

use bytes::BytesMut;
use ipnet::IpNet;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::{
    Peer,
    proxy::{self, Client, HeaderError, Progress},
};

/// `[proxy]`: the PROXY protocol's header, on listeners that require it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySettings {
    /// The longest header of version 2, in octets. Default: 4096.
    pub header_octets: usize,
    /// How long a connection may take for its header, in seconds. Default: 10.
    pub header_seconds: u64,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self { header_octets: 4096, header_seconds: 10 }
    }
}

impl ProxySettings {
    /// Proves what the types do not; the error names the key.
    pub fn check(&self) -> Result<(), String> {
        // The least is the longest addresses, and some room for fields.
        let (least, most) = (256, proxy::MAX_V2_OCTETS);
        if !(least..=most).contains(&self.header_octets) {
            return Err(format!("proxy.header_octets must be from {least} to {most}"));
        }
        if self.header_seconds == 0 {
            return Err("proxy.header_seconds must not be 0".to_owned());
        }
        Ok(())
    }
}

/// What a listener asks of the connections it gets.
#[derive(Debug, Clone)]
pub(crate) struct Proxied {
    pub(crate) from: Vec<IpNet>,
    pub(crate) settings: ProxySettings,
}

/// Why a connection is not taken.
#[derive(Debug)]
pub(crate) enum NoClient {
    /// From none of the networks.
    Network,
    /// It ended or broke before its header did.
    Lost,
    /// What came is no header.
    Header(HeaderError),
    /// No whole header in time.
    Deadline,
}

impl NoClient {
    /// The name of the metric's label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Network => "proxy_network",
            Self::Lost => "proxy_lost",
            Self::Header(_) => "proxy_header",
            Self::Deadline => "proxy_deadline",
        }
    }
}

impl Proxied {
    /// Whether a connection comes from a load balancer.
    pub(crate) fn trusts(&self, proxy: &Peer) -> bool {
        // Who may open a Unix socket is the file system's to say.
        proxy.unix || proxy.address.is_some_and(|address| self.contains(address))
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(&address))
    }

    /// Reads the header and nothing of what follows it: whose the connection is.
    pub(crate) async fn client(&self, stream: &mut (impl AsyncRead + Unpin), proxy: Peer) -> Result<Peer, NoClient> {
        let read = read_header(stream, self.settings.header_octets);
        let time = Duration::from_secs(self.settings.header_seconds);
        let client = timeout(time, read).await.map_err(|_| NoClient::Deadline)??;
        Ok(match client {
            Client::Address(address) => Peer { address: Some(address), unix: false },
            // On that machine: its address is as good as the balancer's.
            Client::OnProxy | Client::Proxy => proxy,
        })
    }
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin), max_octets: usize) -> Result<Client, NoClient> {
    let mut octets = BytesMut::new();
    loop {
        match proxy::parse(&octets, max_octets).map_err(NoClient::Header)? {
            Progress::Header(client, _) => return Ok(client),
            Progress::NeedMore(more) => {
                let mut missing = (&mut *stream).take(more as u64);
                if missing.read_buf(&mut octets).await.map_err(|_| NoClient::Lost)? == 0 {
                    return Err(NoClient::Lost);
                }
            }
        }
    }
}
