//! Aliases: further addresses, each leading to accounts of the same tenant; `*@domain` takes what nothing else in the domain
//! takes.

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, AddressError, DomainName, LocalKey, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::audit::{self, Event};
use crate::{Caller, Directory, Error, FieldError, Precondition, Result, account, domain, shown};

/// The most accounts of one alias.
const MAX_TARGETS: usize = 100;

/// An alias's own address: one name, or all that nothing else in the domain takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasAddress {
    /// `info@domain`.
    Name(Address),
    /// `*@domain`.
    CatchAll(DomainName),
}

impl AliasAddress {
    /// Parses an address, or `*@domain`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let address = Address::parse(text)?;
        Ok(if address.local.as_str() == "*" { Self::CatchAll(address.domain) } else { Self::Name(address) })
    }

    /// The domain it lies in.
    pub fn domain(&self) -> &DomainName {
        match self {
            Self::Name(address) => &address.domain,
            Self::CatchAll(domain) => domain,
        }
    }

    pub(crate) fn key(&self) -> LocalKey {
        match self {
            Self::Name(address) => address.local.key(),
            Self::CatchAll(_) => LocalKey::catch_all(),
        }
    }

    /// Whether the two are compared as one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.domain(), self.key()) == (other.domain(), other.key())
    }

    /// Whether it is a name that is compared without a part of it, and so names no alias.
    pub(crate) fn has_subaddress(&self) -> bool {
        matches!(self, Self::Name(address) if address.local.has_subaddress())
    }
}

impl std::fmt::Display for AliasAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(address) => address.fmt(f),
            Self::CatchAll(domain) => write!(f, "*@{domain}"),
        }
    }
}

/// An alias as administrators see it.
#[derive(Debug, Clone)]
pub struct Alias {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Whose it is.
    pub tenant: TenantSlug,
    /// Its natural key, in the form that addresses are compared by.
    pub address: AliasAddress,
    /// The accounts it leads to.
    pub targets: Vec<Address>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made; of one that is older than this figure, when the figure came.
    pub created_at: DateTime<Utc>,
}

/// An alias to be made.
#[derive(Debug, Clone)]
pub struct NewAlias {
    /// Its address.
    pub address: AliasAddress,
    /// The accounts it leads to: 1 to 100, of the same tenant.
    pub targets: Vec<Address>,
}

#[derive(sqlx::FromRow)]
struct AliasRow {
    tenant_id: i32,
    domain_id: i64,
    local_key: String,
    slug: String,
    domain: String,
    row_version: i64,
    created_at: DateTime<Utc>,
    target_locals: Vec<String>,
    target_domains: Vec<String>,
}

mod list;

impl AliasRow {
    fn alias(self) -> Result<Alias> {
        let address = if self.local_key.is_empty() {
            AliasAddress::CatchAll(shown::domain_name(&self.domain)?)
        } else {
            AliasAddress::Name(shown::address(&self.local_key, &self.domain, "addresses")?)
        };
        let targets = self.target_locals.iter().zip(&self.target_domains);
        Ok(Alias {
            tenant_id: TenantId(self.tenant_id),
            tenant: shown::slug(&self.slug)?,
            address,
            targets: targets.map(|(local, domain)| shown::address(local, domain, "accounts")).collect::<Result<_>>()?,
            version: self.row_version,
            created_at: self.created_at,
        })
    }
}

impl Directory {
    /// Makes an alias.
    pub async fn create_alias(&self, caller: &Caller, new: NewAlias) -> Result<Alias> {
        check_targets(&new.targets)?;
        if new.address.has_subaddress() {
            return Err(Error::invalid("/address", "invalid", "the local part must not have a subaddress (+)"));
        }
        let mut tx = self.begin(caller).await?;
        let (tenant, domain) = domain::enter_domain(&mut tx, caller, new.address.domain())
            .await?
            .ok_or_else(|| Error::no_parent("/address", "domain"))?;
        sqlx::query("INSERT INTO restante.addresses (tenant_id, domain_id, local_key) VALUES ($1, $2, $3)")
            .bind(tenant.0)
            .bind(domain.0)
            .bind(new.address.key().as_str())
            .execute(&mut *tx)
            .await
            .map_err(|error| Error::from(error).or_duplicate("an account or alias with this address"))?;
        insert_targets(&mut tx, caller, tenant, domain.0, new.address.key().as_str(), &new.targets).await?;
        let alias = find(&mut tx, caller, &new.address).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "alias.create", &alias, None, Some(audited(&alias))).await?;
        self.finish(tx, caller).await?;
        Ok(alias)
    }

    /// One alias.
    pub async fn alias(&self, caller: &Caller, address: &AliasAddress) -> Result<Alias> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, address).await?.ok_or(Error::NotFound)
    }

    /// Makes an alias lead to other accounts.
    pub async fn change_alias(
        &self,
        caller: &Caller,
        address: &AliasAddress,
        targets: Vec<Address>,
        precondition: &Precondition,
    ) -> Result<Alias> {
        check_targets(&targets)?;
        let mut tx = self.begin(caller).await?;
        let (before, domain) = find_locked(&mut tx, caller, address, precondition).await?;
        let key = address.key();
        sqlx::query("DELETE FROM restante.alias_targets WHERE tenant_id = $1 AND domain_id = $2 AND local_key = $3")
            .bind(before.tenant_id.0)
            .bind(domain)
            .bind(key.as_str())
            .execute(&mut *tx)
            .await?;
        insert_targets(&mut tx, caller, before.tenant_id, domain, key.as_str(), &targets).await?;
        sqlx::query(
            "UPDATE restante.addresses SET row_version = row_version + 1
              WHERE tenant_id = $1 AND domain_id = $2 AND local_key = $3",
        )
        .bind(before.tenant_id.0)
        .bind(domain)
        .bind(key.as_str())
        .execute(&mut *tx)
        .await?;
        let after = find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "alias.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes an alias.
    pub async fn delete_alias(
        &self,
        caller: &Caller,
        address: &AliasAddress,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let (before, domain) = find_locked(&mut tx, caller, address, precondition).await?;
        sqlx::query(
            "DELETE FROM restante.addresses WHERE tenant_id = $1 AND domain_id = $2 AND local_key = $3 AND account_id IS NULL",
        )
        .bind(before.tenant_id.0)
        .bind(domain)
        .bind(address.key().as_str())
        .execute(&mut *tx)
        .await?;
        record(&mut tx, caller, "alias.delete", &before, Some(audited(&before)), None).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }
}

/// The aliases that lead to an account.
pub(crate) async fn leading_to(tx: &mut PgConnection, tenant: TenantId, account: AccountId) -> Result<Vec<String>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT g.local_key, d.name FROM restante.alias_targets g
           JOIN restante.domains d ON d.tenant_id = g.tenant_id AND d.domain_id = g.domain_id AND d.deleted_at IS NULL
          WHERE g.tenant_id = $1 AND g.target_id = $2 ORDER BY d.name, g.local_key",
    )
    .bind(tenant.0)
    .bind(account.0)
    .fetch_all(tx)
    .await?;
    let name = |(local, domain): (String, String)| match local.as_str() {
        "" => Ok(format!("*@{domain}")),
        local => shown::address(local, &domain, "addresses").map(|address| address.to_string()),
    };
    rows.into_iter().map(name).collect()
}

fn check_targets(targets: &[Address]) -> Result<()> {
    if targets.is_empty() {
        return Err(Error::invalid("/targets", "required", "must have at least one item"));
    }
    if targets.len() > MAX_TARGETS {
        return Err(Error::invalid("/targets", "too_long", format!("must have at most {MAX_TARGETS} items")));
    }
    Ok(())
}

/// Writes the targets. One that is no account of this tenant is named; whether another tenant has it is not said.
async fn insert_targets(
    tx: &mut PgConnection,
    caller: &Caller,
    tenant: TenantId,
    domain: i64,
    key: &str,
    targets: &[Address],
) -> Result<()> {
    let mut ids = Vec::with_capacity(targets.len());
    let mut missing = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        match account::find(tx, caller, target).await?.filter(|account| account.tenant_id == tenant) {
            Some(account) => ids.push(account.id.0),
            None => {
                missing.push(FieldError::new(format!("/targets/{index}"), "not_found", "there is no such account"));
            }
        }
    }
    // A platform administrator's look may have entered another tenant.
    crate::caller::enter(tx, tenant).await?;
    if !missing.is_empty() {
        return Err(Error::Invalid(missing));
    }
    ids.sort_unstable();
    ids.dedup();
    sqlx::query(
        "INSERT INTO restante.alias_targets (tenant_id, domain_id, local_key, target_id) SELECT $1, $2, $3, unnest($4::bigint[])",
    )
    .bind(tenant.0)
    .bind(domain)
    .bind(key)
    .bind(ids)
    .execute(tx)
    .await?;
    Ok(())
}

/// The alias of this address that the caller sees.
async fn find(tx: &mut PgConnection, caller: &Caller, address: &AliasAddress) -> Result<Option<Alias>> {
    find_row(tx, caller, address).await?.map(AliasRow::alias).transpose()
}

async fn find_row(tx: &mut PgConnection, caller: &Caller, address: &AliasAddress) -> Result<Option<AliasRow>> {
    if address.has_subaddress() {
        return Ok(None);
    }
    let Some((tenant, domain)) = domain::enter_domain(tx, caller, address.domain()).await? else { return Ok(None) };
    let row = sqlx::query_as::<_, AliasRow>(
        "SELECT r.tenant_id, r.domain_id, r.local_key, t.slug, d.name AS domain, r.row_version, r.created_at,
                coalesce(x.locals, '{}') AS target_locals, coalesce(x.domains, '{}') AS target_domains
           FROM restante.addresses r
           JOIN restante.domains d ON d.tenant_id = r.tenant_id AND d.domain_id = r.domain_id
           JOIN restante.tenants t ON t.tenant_id = r.tenant_id
           LEFT JOIN LATERAL (
             SELECT array_agg(a.local_part ORDER BY a.account_id) AS locals, array_agg(e.name ORDER BY a.account_id) AS domains
               FROM restante.alias_targets g
               JOIN restante.accounts a ON a.tenant_id = g.tenant_id AND a.account_id = g.target_id AND a.status <> 3
               JOIN restante.domains e ON e.tenant_id = a.tenant_id AND e.domain_id = a.domain_id
              WHERE g.tenant_id = r.tenant_id AND g.domain_id = r.domain_id AND g.local_key = r.local_key) x ON true
          WHERE r.tenant_id = $1 AND r.domain_id = $2 AND r.local_key = $3 AND r.account_id IS NULL",
    )
    .bind(tenant.0)
    .bind(domain.0)
    .bind(address.key().as_str())
    .fetch_optional(tx)
    .await?;
    Ok(row)
}

/// The same, locked and of the version that the caller named, with its domain.
async fn find_locked(
    tx: &mut PgConnection,
    caller: &Caller,
    address: &AliasAddress,
    precondition: &Precondition,
) -> Result<(Alias, i64)> {
    let found = find_row(tx, caller, address).await?.ok_or(Error::NotFound)?;
    sqlx::query(
        "SELECT FROM restante.addresses WHERE tenant_id = $1 AND domain_id = $2 AND local_key = $3 AND account_id IS NULL FOR UPDATE",
    )
    .bind(found.tenant_id)
    .bind(found.domain_id)
    .bind(&found.local_key)
    .execute(&mut *tx)
    .await?;
    let row = find_row(tx, caller, address).await?.ok_or(Error::NotFound)?;
    let domain = row.domain_id;
    let alias = row.alias()?;
    precondition.check(alias.version)?;
    Ok((alias, domain))
}

fn audited(alias: &Alias) -> Value {
    json!({"targets": alias.targets.iter().map(ToString::to_string).collect::<Vec<_>>()})
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    alias: &Alias,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let target = alias.address.to_string();
    audit::record(tx, caller, Event { tenant: alias.tenant_id, action, target: &target, before, after }).await
}
