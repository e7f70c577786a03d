//! Tenants: the customers of the operator. Only platform administrators make and change them; a tenant's own key reads its own.

use chrono::{DateTime, Utc};
use mail_types::{TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::audit::{self, Event};
use crate::error::inconsistent;
use crate::page::PrefixRange;
use crate::{
    Caller, Directory, Error, Page, PageRequest, Permission, Policy, PolicyChange, Precondition, Quota, QuotaChange,
    Result, SessionsPolicy, Sort, SortBy, domain, policy::Level, shown, sort,
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
    /// Neither; restorable until the retention has passed.
    Deleted,
}

impl TenantStatus {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Active => 1,
            Self::Suspended => 2,
            Self::Deleted => 3,
        }
    }
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
    pub quota: Quota,
    /// What it decided.
    pub policy: Policy,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its natural key.
    pub slug: TenantSlug,
    /// For people; at most 200 characters.
    pub name: String,
    /// What it may use.
    pub quota: Quota,
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
    /// What it may use.
    pub quota: QuotaChange,
    /// What it decides.
    pub policy: PolicyChange,
}

/// Which tenants of a list.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Those whose slug begins so.
    pub prefix: Option<String>,
    /// Those with this status; `None`: all but the deleted ones.
    pub status: Option<TenantStatus>,
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    tenant_id: i32,
    slug: String,
    display_name: String,
    status: i16,
    policy: Value,
    max_octets: Option<i64>,
    max_messages: Option<i64>,
    max_accounts: Option<i32>,
    max_domains: Option<i32>,
    max_hourly: Option<i32>,
    deleted_at: Option<DateTime<Utc>>,
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
                3 => TenantStatus::Deleted,
                _ => return Err(inconsistent("tenants", "status")),
            },
            quota: Quota {
                octets: self.max_octets,
                messages: self.max_messages,
                accounts: self.max_accounts,
                domains: self.max_domains,
                deliveries_per_hour: self.max_hourly,
            },
            deleted_at: self.deleted_at,
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
        new.policy.sessions.check_within(&SessionsPolicy::default())?;
        let mut tx = self.begin(caller).await?;
        let row = sqlx::query_as::<_, TenantRow>(
            "INSERT INTO restante.tenants (slug, display_name, policy, max_octets, max_messages, max_accounts, max_domains, max_hourly)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             RETURNING tenant_id, slug, display_name, status, policy, max_octets, max_messages, max_accounts, max_domains, max_hourly, deleted_at, row_version, created_at",
        )
        .bind(new.slug.as_str())
        .bind(&new.name)
        .bind(new.policy.to_json())
        .bind(new.quota.octets)
        .bind(new.quota.messages)
        .bind(new.quota.accounts)
        .bind(new.quota.domains)
        .bind(new.quota.deliveries_per_hour)
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

    /// The tenants that the caller sees, by slug or in the order that is asked for. Those that are deleted only if they are asked for.
    pub async fn tenants(&self, caller: &Caller, filter: &TenantFilter, page: &PageRequest) -> Result<Page<Tenant>> {
        let sort = page.sort.unwrap_or(Sort::up(SortBy::Name));
        if filter.prefix.is_some() && sort.by != SortBy::Name {
            return Err(sort::refused("with a prefix there is only the order by slug"));
        }
        let columns: &[&str] = match sort.by {
            SortBy::CreatedAt => &["created_at", "tenant_id"],
            SortBy::Name | SortBy::Octets => &["slug"],
        };
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT tenant_id, slug, display_name, status, policy, max_octets, max_messages, max_accounts, max_domains, max_hourly, deleted_at, row_version, created_at
               FROM restante.tenants WHERE ",
        );
        match filter.status {
            Some(status) => drop(query.push("status = ").push_bind(status.code())),
            None => drop(query.push("status <> 3")),
        }
        if let Some(tenant) = caller.tenant() {
            query.push(" AND tenant_id = ").push_bind(tenant.0);
        }
        if let Some(prefix) = filter.prefix.as_deref() {
            let PrefixRange { first, end } = PrefixRange::new(Some(prefix));
            query.push(" AND slug >= ").push_bind(first).push(" AND slug < ").push_bind(end);
        }
        if sort.by == SortBy::CreatedAt {
            let place: Option<(DateTime<Utc>, i32)> = page.after()?;
            if let Some((at, id)) = place {
                sort.push_after(&mut query, columns);
                query.push_bind(at).push(", ").push_bind(id).push(")");
            }
        } else {
            let place: Option<String> = page.after()?;
            if let Some(slug) = place {
                sort.push_after(&mut query, columns);
                query.push_bind(slug).push(")");
            }
        }
        sort.push_order(&mut query, columns);
        query.push(" LIMIT ").push_bind(page.fetch());
        let mut tx = self.begin(caller).await?;
        let rows: Vec<TenantRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let rows = match sort.by {
            SortBy::CreatedAt => page.page(rows, |row| (row.created_at, row.tenant_id)),
            SortBy::Name | SortBy::Octets => page.page(rows, |row| row.slug.clone()),
        };
        rows.try_map(TenantRow::tenant)
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
        if policy.sessions != before.policy.sessions {
            policy.sessions.check_within(&SessionsPolicy::default())?;
            policy.sessions.check_over_children(&before.policy.sessions, &mut tx, before.id.0, None).await?;
        }
        let name = change.name.unwrap_or_else(|| before.name.clone());
        check_name(&name)?;
        let quota = change.quota.apply(before.quota);
        quota.check_over_children(&before.quota, &mut tx, before.id.0, None).await?;
        let row = sqlx::query_as::<_, TenantRow>(
            "UPDATE restante.tenants
                SET display_name = $2, status = $3, policy = $4, max_octets = $5, max_messages = $6, max_accounts = $7, max_domains = $8,
                    max_hourly = $9, row_version = row_version + 1
              WHERE tenant_id = $1
              RETURNING tenant_id, slug, display_name, status, policy, max_octets, max_messages, max_accounts, max_domains, max_hourly, deleted_at, row_version, created_at",
        )
        .bind(before.id.0)
        .bind(name)
        .bind(change.status.unwrap_or(before.status).code())
        .bind(policy.to_json())
        .bind(quota.octets)
        .bind(quota.messages)
        .bind(quota.accounts)
        .bind(quota.domains)
        .bind(quota.deliveries_per_hour)
        .fetch_one(&mut *tx)
        .await?;
        let after = row.tenant()?;
        record(&mut tx, caller, "tenant.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes a tenant. One that has domains only with what lies beneath, `cascade`: its domains give their names free, and nothing in
    /// them is reached any more. Its slug is not given out again; its keys stop working. All of it can be restored until the
    /// retention has passed. Platform administrators only.
    pub async fn delete_tenant(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        cascade: bool,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = self.tenant_to_change(&mut tx, caller, slug, precondition).await?;
        let domains = domain::of_tenant(&mut tx, before.id).await?;
        if !domains.is_empty() && !cascade {
            return Err(Error::InUse("the tenant has domains"));
        }
        for domain in &domains {
            domain::mark_deleted(&mut tx, caller, domain).await?;
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

    /// Restores a deleted tenant with the domains that were deleted with it; a domain whose name another tenant has meanwhile stays
    /// deleted. Platform administrators only.
    pub async fn restore_tenant(&self, caller: &Caller, slug: &TenantSlug) -> Result<Tenant> {
        let mut tx = self.begin(caller).await?;
        caller.require(Permission::TenantsWrite)?;
        let row: Option<(i32, DateTime<Utc>)> = sqlx::query_as(
            "SELECT tenant_id, deleted_at FROM restante.tenants WHERE slug = $1 AND status = 3 AND deleted_at IS NOT NULL FOR UPDATE",
        )
        .bind(slug.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let (tenant, deleted_at) = row.ok_or(Error::NotFound)?;
        sqlx::query(
            "UPDATE restante.tenants SET status = 1, deleted_at = NULL, row_version = row_version + 1 WHERE tenant_id = $1",
        )
        .bind(tenant)
        .execute(&mut *tx)
        .await?;
        domain::unmark_deleted(&mut tx, caller, TenantId(tenant), deleted_at).await?;
        let tenant = find(&mut tx, slug).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "tenant.restore", &tenant, None, Some(audited(&tenant))).await?;
        self.finish(tx, caller).await?;
        Ok(tenant)
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
        "SELECT tenant_id, slug, display_name, status, policy, max_octets, max_messages, max_accounts, max_domains, max_hourly, deleted_at, row_version, created_at
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
    by_id(tx, own).await?.ok_or(Error::NotFound)
}

/// A tenant that is not deleted.
pub(crate) async fn by_id(tx: &mut PgConnection, tenant: TenantId) -> Result<Option<Tenant>> {
    sqlx::query_as::<_, TenantRow>(
        "SELECT tenant_id, slug, display_name, status, policy, max_octets, max_messages, max_accounts, max_domains, max_hourly, deleted_at, row_version, created_at
           FROM restante.tenants WHERE tenant_id = $1 AND status <> 3",
    )
    .bind(tenant.0)
    .fetch_optional(tx)
    .await?
    .map(TenantRow::tenant)
    .transpose()
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
        "quota": tenant.quota.audited(),
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
