//! Names to addresses, and to what else the DNS says of them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};

/// Asks the DNS and nothing else: a name that a tenant chose does not reach what the machine's hosts file or its search list
/// (the services of a cluster, by their short names) say.
pub(super) struct Names(TokioResolver);

/// What a name may be asked for besides its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Texts.
    Txt,
    /// Who takes its mail.
    Mx,
    /// Who gives a service of it (RFC 2782).
    Srv,
    /// What it is another name of.
    Cname,
}

/// One record. Names are in lower case and without their last dot; the root is `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The strings of one text, put together; octets that are not UTF-8 are replaced.
    Txt(String),
    /// Who takes its mail.
    Mx {
        /// The lowest is tried first.
        preference: u16,
        /// The host.
        exchange: String,
    },
    /// Who gives a service of it.
    Srv {
        /// The lowest is tried first.
        priority: u16,
        /// How often among those of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host; `.`: the service is not given.
        target: String,
    },
    /// What it is another name of.
    Cname(String),
}

impl Names {
    /// By this server, or by those of the machine. What is kept is kept for as long as it may be; with 0 every question is asked.
    pub(super) fn new(server: Option<SocketAddr>, kept: u64) -> Result<Self, NetError> {
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
        options.cache_size = kept;
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

    /// The records of a name, after its CNAMEs; none where the DNS says that there are none.
    pub(super) async fn records(&self, name: &str, kind: RecordKind) -> Result<Vec<Record>, NetError> {
        let mut name = Name::from_ascii(name)?;
        name.set_fqdn(true);
        let of_type = match kind {
            RecordKind::Txt => RecordType::TXT,
            RecordKind::Mx => RecordType::MX,
            RecordKind::Srv => RecordType::SRV,
            RecordKind::Cname => RecordType::CNAME,
        };
        match self.0.lookup(name, of_type).await {
            Ok(found) => Ok(found.answers().iter().filter_map(|record| read(&record.data, kind)).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A record of the kind that was asked for.
fn read(data: &RData, kind: RecordKind) -> Option<Record> {
    match (data, kind) {
        (RData::TXT(text), RecordKind::Txt) => {
            Some(Record::Txt(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()))
        }
        (RData::MX(mx), RecordKind::Mx) => {
            Some(Record::Mx { preference: mx.preference, exchange: plain(&mx.exchange) })
        }
        (RData::SRV(srv), RecordKind::Srv) => {
            Some(Record::Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: plain(&srv.target) })
        }
        (RData::CNAME(other), RecordKind::Cname) => Some(Record::Cname(plain(&other.0))),
        _ => None,
    }
}

/// A name as people write it.
fn plain(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    match text.trim_end_matches('.') {
        "" => ".".to_owned(),
        text => text.to_owned(),
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
