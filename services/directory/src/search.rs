//! Looking for what begins so, in everything that a caller sees: ranges of indexes, a few results of each kind.

use crate::page::PrefixRange;
use crate::{Caller, Directory, Result, shown};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A tenant, by its slug.
    Tenant,
    /// A domain, by its name.
    Domain,
    /// An account, by its address.
    Account,
    /// An alias, by its address.
    Alias,
}

/// Something that begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: FoundKind,
    /// Its natural key.
    pub key: String,
    /// Whose it is.
    pub tenant: String,
}

impl Directory {
    /// Tenants, domains, accounts and aliases whose slug, name or local part begins with `text`, at most `limit` of each. `alice@ac`
    /// finds the addresses of alice in domains that begin with `ac`.
    pub async fn search(&self, caller: &Caller, text: &str, limit: u32) -> Result<Vec<Found>> {
        let text = text.to_lowercase();
        let mut tx = self.begin(caller).await?;
        let (own, domains, limit) = (caller.tenant().map(|tenant| tenant.0), caller.domain_names(), i64::from(limit));
        let mut found = Vec::new();
        let (local, domain) = match text.split_once('@') {
            Some((local, domain)) => (local, Some(PrefixRange::new(Some(domain)))),
            None => {
                let range = PrefixRange::new(Some(&text));
                let tenants: Vec<(String,)> = sqlx::query_as(
                    "SELECT slug FROM restante.tenants WHERE slug >= $1 AND slug < $2 AND status <> 3 AND ($4::integer IS NULL OR tenant_id = $4)
                      ORDER BY slug LIMIT $3",
                )
                .bind(&range.first)
                .bind(&range.end)
                .bind(limit)
                .bind(own)
                .fetch_all(&mut *tx)
                .await?;
                let tenant = |(slug,): (String,)| Found { kind: FoundKind::Tenant, key: slug.clone(), tenant: slug };
                found.extend(tenants.into_iter().map(tenant));
                let names: Vec<(String, String)> = sqlx::query_as(
                    "SELECT d.name, t.slug FROM restante.domains d JOIN restante.tenants t ON t.tenant_id = d.tenant_id AND t.status <> 3
                      WHERE d.name >= $1 AND d.name < $2 AND d.deleted_at IS NULL AND ($4::integer IS NULL OR d.tenant_id = $4)
                        AND ($5::text[] IS NULL OR d.name = ANY ($5))
                      ORDER BY d.name, t.slug LIMIT $3",
                )
                .bind(&range.first)
                .bind(&range.end)
                .bind(limit)
                .bind(own)
                .bind(&domains)
                .fetch_all(&mut *tx)
                .await?;
                let domain = |(name, slug)| Found { kind: FoundKind::Domain, key: name, tenant: slug };
                found.extend(names.into_iter().map(domain));
                (text.as_str(), None)
            }
        };
        // With a domain the local part is whole: of a name there are a few, in so many domains.
        let keys = match domain {
            Some(_) => PrefixRange { first: local.to_owned(), end: format!("{local}\u{1}") },
            None => PrefixRange::new(Some(local)),
        };
        let names = domain.unwrap_or_else(|| PrefixRange::new(None));
        let addresses: Vec<(String, String, String, bool)> = sqlx::query_as(
            "SELECT r.local_key, d.name, t.slug, r.account_id IS NOT NULL
               FROM restante.addresses r
               JOIN restante.domains d ON d.tenant_id = r.tenant_id AND d.domain_id = r.domain_id AND d.deleted_at IS NULL
               JOIN restante.tenants t ON t.tenant_id = r.tenant_id AND t.status <> 3
              WHERE r.local_key >= $1 AND r.local_key < $2 AND d.name >= $6 AND d.name < $7 AND r.local_key <> ''
                AND ($4::integer IS NULL OR r.tenant_id = $4) AND ($5::text[] IS NULL OR d.name = ANY ($5))
              ORDER BY r.local_key, r.tenant_id, r.domain_id LIMIT $3",
        )
        .bind(keys.first)
        .bind(keys.end)
        .bind(limit)
        .bind(own)
        .bind(&domains)
        .bind(names.first)
        .bind(names.end)
        .fetch_all(&mut *tx)
        .await?;
        for (local, domain, tenant, is_account) in addresses {
            let kind = if is_account { FoundKind::Account } else { FoundKind::Alias };
            found.push(Found { kind, key: shown::address(&local, &domain, "addresses")?.to_string(), tenant });
        }
        Ok(found)
    }
}
