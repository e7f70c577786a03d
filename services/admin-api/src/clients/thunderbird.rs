//! Thunderbird's format, `clientConfig` version 1.1, which K-9, Evolution and KMail read too.

use mail_types::DomainName;

use super::xml::escaped;
use crate::publish::{Publish, Served};

/// The document; nothing where no server is published. Names come from the configuration and from a domain that is hosted; the client
/// puts the address in itself.
pub(super) fn config(publish: &Publish, domain: &DomainName) -> Option<String> {
    let incoming: String = publish.pop3().iter().map(|one| server("incomingServer", "pop3", one)).collect();
    if incoming.is_empty() {
        return None;
    }
    let outgoing: String = publish.submission().iter().map(|one| server("outgoingServer", "smtp", one)).collect();
    let (domain, name) = (domain.as_str(), escaped(&publish.display_name));
    Some(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="{domain}">
    <domain>{domain}</domain>
    <displayName>{name}</displayName>
    <displayShortName>{name}</displayShortName>
{incoming}{outgoing}  </emailProvider>
</clientConfig>
"#
    ))
}

fn server(element: &str, protocol: &str, served: &Served<'_>) -> String {
    let Served { host, port, tls_at_once, .. } = served;
    let socket = if *tls_at_once { "SSL" } else { "STARTTLS" };
    format!(
        r#"    <{element} type="{protocol}">
      <hostname>{host}</hostname>
      <port>{port}</port>
      <socketType>{socket}</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
    </{element}>
"#
    )
}
