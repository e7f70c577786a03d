//! Tenants: the customers of the operator. Only platform administrators make and change them; a tenant's own key reads its own.

use chrono::{DateTime, Utc};
use mail_types::{TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::audit::{self, Event};
use crate::error::inconsistent;
use crate::{
    Caller, Directory, Error, Page, PageRequest, Permission, Policy, PolicyChange, Precondition, Result, policy::Level,
    shown,
};

/// The longest display name, in characters.
const MAX_NAME: usize = 200;

/// Whether a tenant is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantStatus {
    /// Served.
    Active,
    /// No login; mail gets a temporary refusal; its keys still work.
    Suspended,
}

impl TenantStatus {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Active => 1,
            Self::Suspended => 2,
        }
    }
}

/// What a tenant may use; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantQuota {
    /// Octets of live mail, of all its accounts.
    pub octets: Option<i64>,
    /// Accounts that are not deleted.
    pub accounts: Option<i32>,
    /// Domains, claimed or verified.
    pub domains: Option<i32>,
}

/// A tenant as administrators see it.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Inside the service.
    pub id: TenantId,
    /// Its natural key.
    pub slug: TenantSlug,
    /// For people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// What it may use.
    pub quota: TenantQuota,
    /// What it decided.
    pub policy: Policy,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its natural key.
    pub slug: TenantSlug,
    /// For people; at most 200 characters.
    pub name: String,
    /// What it may use.
    pub quota: TenantQuota,
    /// What it decided.
    pub policy: Policy,
}

/// What to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct TenantChange {
    /// For people.
    pub name: Option<String>,
    /// Whether it is served.
    pub status: Option<TenantStatus>,
    /// Octets, `Some(None)` for no limit.
    pub octets: Option<Option<i64>>,
    /// Accounts, `Some(None)` for no limit.
    pub accounts: Option<Option<i32>>,
    /// Domains, `Some(None)` for no limit.
    pub domains: Option<Option<i32>>,
    /// What it decides.
    pub policy: PolicyChange,
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    tenant_id: i32,
    slug: String,
    display_name: String,
    status: i16,
    policy: Value,
    max_octets: Option<i64>,
    max_accounts: Option<i32>,
    max_domains: Option<i32>,
    row_version: i64,
    created_at: DateTime<Utc>,
}

impl TenantRow {
    fn tenant(self) -> Result<Tenant> {
        Ok(Tenant {
            id: TenantId(self.tenant_id),
            slug: shown::slug(&self.slug)?,
            name: self.display_name,
            status: match self.status {
                1 => TenantStatus::Active,
                2 => TenantStatus::Suspended,
                _ => return Err(inconsistent("tenants", "status")),
            },
            quota: TenantQuota { octets: self.max_octets, accounts: self.max_accounts, domains: self.max_domains },
            policy: Policy::from_json(self.policy, "tenants")?,
            version: self.row_version,
            created_at: self.created_at,
        })
    }
}

impl Directory {
    /// Makes a tenant. Platform administrators only.
    pub async fn create_tenant(&self, caller: &Caller, new: NewTenant) -> Result<Tenant> {
        caller.require(Permission::TenantsWrite)?;
        check_name(&new.name)?;
        new.policy.check(Level::Tenant)?;
        let mut tx = self.begin(caller).await?;
        let row = sqlx::query_as::<_, TenantRow>(
            "INSERT INTO restante.tenants (slug, display_name, policy, max_octets, max_accounts, max_domains)
             VALUES ($1, $2, $3, $4, $5, $6)
             RETURNING tenant_id, slug, display_name, status, policy, max_octets, max_accounts, max_domains, row_version, created_at",
        )
        .bind(new.slug.as_str())
        .bind(&new.name)
        .bind(new.policy.to_json())
        .bind(new.quota.octets)
        .bind(new.quota.accounts)
        .bind(new.quota.domains)
        .fetch_one(&mut *tx)
        .await
        .map_err(|error| Error::from(error).or_duplicate("a tenant with this slug"))?;
        let tenant = row.tenant()?;
        record(&mut tx, caller, "tenant.create", &tenant, None, Some(audited(&tenant))).await?;
        self.finish(tx, caller).await?;
        Ok(tenant)
    }

    /// One tenant.
    pub async fn tenant(&self, caller: &Caller, slug: &TenantSlug) -> Result<Tenant> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, slug).await?.ok_or(Error::NotFound)
    }

    /// The tenants that the caller sees, by slug.
    pub async fn tenants(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Tenant>> {
        let after: Option<String> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let rows = sqlx::query_as::<_, TenantRow>(
            "SELECT tenant_id, slug, display_name, status, policy, max_octets, max_accounts, max_domains, row_version, created_at
               FROM restante.tenants
              WHERE status <> 3 AND slug > $1 AND ($3::integer IS NULL OR tenant_id = $3) ORDER BY slug LIMIT $2",
        )
        .bind(after.unwrap_or_default())
        .bind(page.fetch())
        .bind(caller.tenant().map(|tenant| tenant.0))
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| row.slug.clone()).try_map(TenantRow::tenant)
    }

    /// Changes a tenant. Platform administrators only.
    pub async fn change_tenant(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        change: TenantChange,
        precondition: &Precondition,
    ) -> Result<Tenant> {
        let mut tx = self.begin(caller).await?;
        let before = self.tenant_to_change(&mut tx, caller, slug, precondition).await?;
        let policy = change.policy.apply(before.policy.clone());
        policy.check(Level::Tenant)?;
        let name = change.name.unwrap_or_else(|| before.name.clone());
        check_name(&name)?;
        let row = sqlx::query_as::<_, TenantRow>(
            "UPDATE restante.tenants
                SET display_name = $2, status = $3, policy = $4, max_octets = $5, max_accounts = $6, max_domains = $7,
                    row_version = row_version + 1
              WHERE tenant_id = $1
              RETURNING tenant_id, slug, display_name, status, policy, max_octets, max_accounts, max_domains, row_version, created_at",
        )
        .bind(before.id.0)
        .bind(name)
        .bind(change.status.unwrap_or(before.status).code())
        .bind(policy.to_json())
        .bind(change.octets.unwrap_or(before.quota.octets))
        .bind(change.accounts.unwrap_or(before.quota.accounts))
        .bind(change.domains.unwrap_or(before.quota.domains))
        .fetch_one(&mut *tx)
        .await?;
        let after = row.tenant()?;
        record(&mut tx, caller, "tenant.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes a tenant that has no domain. Its slug is not given out again; its keys stop working. Platform administrators only.
    pub async fn delete_tenant(&self, caller: &Caller, slug: &TenantSlug, precondition: &Precondition) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = self.tenant_to_change(&mut tx, caller, slug, precondition).await?;
        let domains: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM restante.domains WHERE tenant_id = $1)")
            .bind(before.id.0)
            .fetch_one(&mut *tx)
            .await?;
        if domains {
            return Err(Error::InUse("the tenant has domains"));
        }
        sqlx::query(
            "UPDATE restante.tenants SET status = 3, deleted_at = now(), row_version = row_version + 1 WHERE tenant_id = $1",
        )
        .bind(before.id.0)
        .execute(&mut *tx)
        .await?;
        record(&mut tx, caller, "tenant.delete", &before, Some(audited(&before)), None).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// The tenant, locked, for a caller who may change it. A foreign tenant is not found before anything is forbidden.
    async fn tenant_to_change(
        &self,
        tx: &mut PgConnection,
        caller: &Caller,
        slug: &TenantSlug,
        precondition: &Precondition,
    ) -> Result<Tenant> {
        let found = find(tx, slug).await?.ok_or(Error::NotFound)?;
        caller.require(Permission::TenantsWrite)?;
        // Creating a domain holds a share lock on this row: a deletion cannot slip between its look and its insert.
        sqlx::query("SELECT FROM restante.tenants WHERE tenant_id = $1 FOR UPDATE")
            .bind(found.id.0)
            .execute(&mut *tx)
            .await?;
        let tenant = find(tx, slug).await?.ok_or(Error::NotFound)?;
        precondition.check(tenant.version)?;
        Ok(tenant)
    }
}

/// A tenant that is not deleted and that this transaction sees.
pub(crate) async fn find(tx: &mut PgConnection, slug: &TenantSlug) -> Result<Option<Tenant>> {
    sqlx::query_as::<_, TenantRow>(
        "SELECT tenant_id, slug, display_name, status, policy, max_octets, max_accounts, max_domains, row_version, created_at
           FROM restante.tenants WHERE slug = $1 AND status <> 3",
    )
    .bind(slug.as_str())
    .fetch_optional(tx)
    .await?
    .map(TenantRow::tenant)
    .transpose()
}

/// The tenant that a new thing goes to: the one named, or the caller's own. One that is missing or foreign is refused alike.
pub(crate) async fn parent(tx: &mut PgConnection, caller: &Caller, named: Option<&TenantSlug>) -> Result<Tenant> {
    if let Some(slug) = named {
        return find(tx, slug).await?.ok_or_else(|| Error::no_parent("/tenant", "tenant"));
    }
    let Some(own) = caller.tenant() else {
        return Err(Error::invalid("/tenant", "required", "a platform administrator names the tenant"));
    };
    let row = sqlx::query_as::<_, TenantRow>(
        "SELECT tenant_id, slug, display_name, status, policy, max_octets, max_accounts, max_domains, row_version, created_at
           FROM restante.tenants WHERE tenant_id = $1 AND status <> 3",
    )
    .bind(own.0)
    .fetch_optional(tx)
    .await?;
    row.ok_or(Error::NotFound)?.tenant()
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid("/name", "required", "must not be empty"));
    }
    if name.chars().count() > MAX_NAME {
        return Err(Error::invalid("/name", "too_long", format!("must have at most {MAX_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("/name", "invalid", "must have no control characters"));
    }
    Ok(())
}

fn audited(tenant: &Tenant) -> Value {
    json!({
        "name": tenant.name, "status": tenant.status.as_str(), "policy": tenant.policy.to_json(),
        "quota": {"octets": tenant.quota.octets, "accounts": tenant.quota.accounts, "domains": tenant.quota.domains},
    })
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    tenant: &Tenant,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    audit::record(tx, caller, Event { tenant: tenant.id, action, target: tenant.slug.as_str(), before, after }).await
}
