//! Names to addresses.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name,
};

/// Asks the DNS and nothing else: a name that a tenant chose does not reach what the machine's hosts file or its search list
/// (the services of a cluster, by their short names) say.
pub(super) struct Names(TokioResolver);

impl Names {
    /// By this server, or by those of the machine.
    pub(super) fn new(server: Option<SocketAddr>) -> Result<Self, NetError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match server {
            Some(server) => TokioResolver::builder_with_config(config(server), provider),
            None => TokioResolver::builder(provider).unwrap_or_else(|error| {
                tracing::warn!(%error, "no name server is known: names that tenants choose will not be found");
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            }),
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map(Self)
    }

    /// The addresses of a name, those of IPv4 first: not every machine has a way out by IPv6.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        let mut name = Name::from_ascii(name)?;
        name.set_fqdn(true);
        let mut addresses: Vec<IpAddr> = self.0.lookup_ip(name).await?.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}

fn config(server: SocketAddr) -> ResolverConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections)])
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
