//! `[publish]`: the service's public names, for the DNS of the domains and for mail clients.

use mail_types::DomainName;
use serde::de::{Deserialize, Deserializer, Error as _};

/// What tenants are told to publish, and mail clients to connect to. Nothing has a default but the ports: a name that is not set is
/// not published, and what needs it says so.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publish {
    /// The service's name, as mail clients show it. Default `Mail`.
    pub display_name: String,
    /// Who takes mail for the domains, the most preferred first. Default: none.
    #[serde(deserialize_with = "hosts")]
    pub mx: Vec<DomainName>,
    /// Where mail is fetched. Default: none.
    #[serde(deserialize_with = "host")]
    pub pop3_host: Option<DomainName>,
    /// Its port with TLS from the first octet; 0: none. Default 995.
    pub pop3s_port: u16,
    /// Its port with STLS; 0: none. Default 0: RFC 8314 prefers the other.
    pub pop3_port: u16,
    /// Where mail is submitted, which is no part of this service. Default: none.
    #[serde(deserialize_with = "host")]
    pub submission_host: Option<DomainName>,
    /// Its port with TLS from the first octet; 0: none. Default 465.
    pub submissions_port: u16,
    /// Its port with STARTTLS; 0: none. Default 0.
    pub submission_port: u16,
    /// Under which name the admin role is reached by HTTPS for autoconfig and autodiscover. Default: none.
    #[serde(deserialize_with = "host")]
    pub autoconfig_host: Option<DomainName>,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            display_name: "Mail".to_owned(),
            mx: Vec::new(),
            pop3_host: None,
            pop3s_port: 995,
            pop3_port: 0,
            submission_host: None,
            submissions_port: 465,
            submission_port: 0,
            autoconfig_host: None,
        }
    }
}

/// A service at a host: as SRV records call it, its port, and whether TLS begins with the first octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served<'a> {
    pub(crate) service: &'static str,
    pub(crate) host: &'a DomainName,
    pub(crate) port: u16,
    pub(crate) tls_at_once: bool,
}

impl Publish {
    /// Where mail is fetched, the better first (RFC 6186, RFC 8314 section 5.1).
    pub(crate) fn pop3(&self) -> Vec<Served<'_>> {
        served(&self.pop3_host, [("_pop3s", self.pop3s_port), ("_pop3", self.pop3_port)])
    }

    /// Where mail is submitted, the better first.
    pub(crate) fn submission(&self) -> Vec<Served<'_>> {
        served(&self.submission_host, [("_submissions", self.submissions_port), ("_submission", self.submission_port)])
    }

    /// The keys without which something is not published.
    pub(crate) fn unset(&self) -> Vec<&'static str> {
        [
            ("publish.mx", self.mx.is_empty()),
            ("publish.pop3_host", self.pop3().is_empty()),
            ("publish.submission_host", self.submission().is_empty()),
            ("publish.autoconfig_host", self.autoconfig_host.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, unset)| unset.then_some(key))
        .collect()
    }
}

/// The first of the two is the one with TLS from the first octet.
fn served<'a>(host: &'a Option<DomainName>, [at_once, upgraded]: [(&'static str, u16); 2]) -> Vec<Served<'a>> {
    let Some(host) = host else { return Vec::new() };
    let ways = [(at_once, true), (upgraded, false)];
    ways.into_iter()
        .filter(|((_, port), _)| *port != 0)
        .map(|((service, port), tls_at_once)| Served { service, host, port, tls_at_once })
        .collect()
}

fn host<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DomainName>, D::Error> {
    let text = String::deserialize(from)?;
    DomainName::parse(&text).map(Some).map_err(|error| D::Error::custom(format!("{text:?}: {error}")))
}

fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<DomainName>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts
        .iter()
        .map(|text| DomainName::parse(text).map_err(|error| D::Error::custom(format!("{text:?}: {error}"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_set_is_not_published_and_named() {
        let nothing = Publish::default();
        assert_eq!((nothing.pop3(), nothing.submission()), (Vec::new(), Vec::new()));
        let all = ["publish.mx", "publish.pop3_host", "publish.submission_host", "publish.autoconfig_host"];
        assert_eq!(nothing.unset(), all);
        let read = json!({"pop3_host": "Pop.B\u{fc}cher.example.", "pop3_port": 110, "mx": ["mx.example.net"]});
        let some: Publish = serde_json::from_value(read).unwrap();
        let found: Vec<_> = some.pop3().iter().map(|one| (one.service, one.port, one.tls_at_once)).collect();
        assert_eq!(found, [("_pop3s", 995, true), ("_pop3", 110, false)]);
        assert_eq!(some.pop3().first().unwrap().host.as_str(), "pop.xn--bcher-kva.example");
        assert_eq!(some.unset(), ["publish.submission_host", "publish.autoconfig_host"]);
        let off: Publish = serde_json::from_value(json!({"pop3_host": "pop.example.net", "pop3s_port": 0})).unwrap();
        assert_eq!((off.pop3(), off.unset().contains(&"publish.pop3_host")), (Vec::new(), true));
    }

    #[test]
    fn a_name_that_is_none_is_refused_and_shown() {
        for read in [json!({"mx": ["mx_1.example.net"]}), json!({"pop3_host": "https://pop.example.net"})] {
            let error = serde_json::from_value::<Publish>(read).unwrap_err().to_string();
            assert!(error.contains("example.net"), "{error}");
        }
    }
}
