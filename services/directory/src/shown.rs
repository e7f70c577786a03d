//! From rows back to the types that were proved when they were written.

use mail_types::{Address, DomainName, LocalPart, TenantSlug};

use crate::Result;
use crate::error::inconsistent;

/// A local part as it is kept: without quotes.
fn local_part(kept: &str, table: &'static str) -> Result<LocalPart> {
    let quoted = format!("\"{}\"", kept.replace('\\', "\\\\").replace('"', "\\\""));
    LocalPart::parse(&quoted).map_err(|_| inconsistent(table, "local_part"))
}

/// An address of its two columns.
pub(crate) fn address(local: &str, domain: &str, table: &'static str) -> Result<Address> {
    Ok(Address { local: local_part(local, table)?, domain: domain_name(domain)? })
}

/// A domain's name.
pub(crate) fn domain_name(kept: &str) -> Result<DomainName> {
    DomainName::parse(kept).map_err(|_| inconsistent("domains", "name"))
}

/// A tenant's slug.
pub(crate) fn slug(kept: &str) -> Result<TenantSlug> {
    TenantSlug::parse(kept).map_err(|_| inconsistent("tenants", "slug"))
}

/// A count that the schema keeps signed.
pub(crate) fn unsigned(kept: i64, table: &'static str, column: &'static str) -> Result<u64> {
    u64::try_from(kept).map_err(|_| inconsistent(table, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_shown_as_an_address() {
        let shown = |local| address(local, "acme.test", "accounts").map(|address| address.to_string()).ok();
        assert_eq!(shown("alice").as_deref(), Some("alice@acme.test"));
        assert_eq!(shown("a \"b\\").as_deref(), Some("\"a \\\"b\\\\\"@acme.test"));
        assert_eq!(shown(""), None);
    }
}
