//! Lists of domains, and where lists of addresses begin and end.

use chrono::{DateTime, Utc};
use mail_types::{DomainId, DomainName, TenantId, TenantSlug};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::{Domain, DomainFilter, DomainRow, find};
use crate::page::PrefixRange;
use crate::{Caller, Directory, Error, Page, PageRequest, Result, Sort, SortBy, sort, tenant};

impl Directory {
    /// The domains that the caller sees, by tenant and name, or in the order that is asked for.
    pub async fn domains(&self, caller: &Caller, filter: &DomainFilter, page: &PageRequest) -> Result<Page<Domain>> {
        let mut tx = self.begin(caller).await?;
        if let Some(sort) = page.sort {
            return sorted(&mut tx, caller, filter, sort, page).await;
        }
        let after: Option<(i32, String)> = page.after()?;
        let Some((first, last)) = tenants_of(&mut tx, caller, filter.tenant.as_ref()).await? else {
            return Ok(Page::empty());
        };
        let prefix = PrefixRange::new(filter.prefix.as_deref());
        let (after_tenant, after_name) = after.unwrap_or((first, String::new()));
        let rows = sqlx::query_as::<_, DomainRow>(select_domains!(
            "WHERE (d.tenant_id, d.name) > ($1, $2) AND d.tenant_id BETWEEN $4 AND $5 AND t.status <> 3
                AND ($6::text[] IS NULL OR d.name = ANY ($6)) AND d.name >= $7 AND d.name < $8
                AND ($9::boolean IS NULL OR (d.verified_at IS NOT NULL) = $9) AND (d.deleted_at IS NOT NULL) = $10
              ORDER BY d.tenant_id, d.name LIMIT $3"
        ))
        .bind(after_tenant)
        .bind(after_name)
        .bind(page.fetch())
        .bind(first)
        .bind(last)
        .bind(caller.domain_names())
        .bind(prefix.first)
        .bind(prefix.end)
        .bind(filter.verified)
        .bind(filter.deleted)
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| (row.tenant_id, row.name.clone())).try_map(DomainRow::domain)
    }
}

/// In the order that is asked for.
async fn sorted(
    tx: &mut PgConnection,
    caller: &Caller,
    filter: &DomainFilter,
    sort: Sort,
    page: &PageRequest,
) -> Result<Page<Domain>> {
    if filter.prefix.is_some() && sort.by != SortBy::Name {
        return Err(sort::refused("with a prefix there is only the order by name"));
    }
    let Some(scope) = Scope::of(tx, caller, filter.tenant.as_ref(), None).await? else {
        return Ok(Page::empty());
    };
    let columns: &[&str] = match (sort.by, scope.tenant) {
        (SortBy::CreatedAt, _) => &["d.created_at", "d.domain_id"],
        (_, Some(_)) => &["d.name"],
        (_, None) => &["d.name", "d.tenant_id"],
    };
    let mut query = QueryBuilder::<Postgres>::new(select_domains!("WHERE t.status <> 3"));
    query.push(if filter.deleted { " AND d.deleted_at IS NOT NULL" } else { " AND d.deleted_at IS NULL" });
    match filter.verified {
        Some(true) => drop(query.push(" AND d.verified_at IS NOT NULL")),
        Some(false) => drop(query.push(" AND d.verified_at IS NULL")),
        None => {}
    }
    if let Some(tenant) = scope.tenant {
        query.push(" AND d.tenant_id = ").push_bind(tenant);
    }
    if let Some(names) = caller.domain_names() {
        query.push(" AND d.name = ANY (").push_bind(names).push(")");
    }
    if sort.by == SortBy::CreatedAt {
        let place: Option<(DateTime<Utc>, i64)> = page.after()?;
        if let Some((at, id)) = place {
            sort.push_after(&mut query, columns);
            query.push_bind(at).push(", ").push_bind(id).push(")");
        }
    } else {
        if let Some(prefix) = filter.prefix.as_deref() {
            let PrefixRange { first, end } = PrefixRange::new(Some(prefix));
            query.push(" AND d.name >= ").push_bind(first).push(" AND d.name < ").push_bind(end);
        }
        let place: Option<(String, i32)> = page.after()?;
        if let Some((name, tenant)) = place {
            sort.push_after(&mut query, columns);
            query.push_bind(name);
            if scope.tenant.is_none() {
                query.push(", ").push_bind(tenant);
            }
            query.push(")");
        }
    }
    sort.push_order(&mut query, columns);
    query.push(" LIMIT ").push_bind(page.fetch());
    let rows: Vec<DomainRow> = query.build_query_as().fetch_all(tx).await?;
    let rows = match sort.by {
        SortBy::CreatedAt => page.page(rows, |row| (row.created_at, row.domain_id)),
        SortBy::Name | SortBy::Octets => page.page(rows, |row| (row.name.clone(), row.tenant_id)),
    };
    rows.try_map(DomainRow::domain)
}

/// What a list of addresses, of which the statement speaks as `k`, is narrowed to: a tenant, or one of its domains.
pub(crate) struct Scope {
    pub(crate) tenant: Option<i32>,
    domain: Option<i64>,
}

impl Scope {
    /// What the caller sees, and asks for; `None`: there is no such thing, and the list is empty.
    pub(crate) async fn of(
        tx: &mut PgConnection,
        caller: &Caller,
        tenant: Option<&TenantSlug>,
        domain: Option<&DomainName>,
    ) -> Result<Option<Self>> {
        let Some((first, last)) = tenants_of(tx, caller, tenant).await? else { return Ok(None) };
        let tenant_id = (first == last).then_some(first);
        let Some(name) = domain else { return Ok(Some(Self { tenant: tenant_id, domain: None })) };
        match find(tx, caller, name, tenant).await {
            Ok(found) => Ok(Some(Self { tenant: Some(found.tenant_id.0), domain: Some(found.id.0) })),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Narrows a statement.
    pub(crate) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(tenant) = self.tenant {
            query.push(" AND k.tenant_id = ").push_bind(tenant);
        }
        if let Some(domain) = self.domain {
            query.push(" AND k.domain_id = ").push_bind(domain);
        }
    }

    /// What addresses are ordered by, by local part: there is an index for each, and behind a tenant or domain that is fixed its column
    /// would hide where to begin.
    pub(crate) fn by_key(&self) -> &'static [&'static str] {
        match (self.tenant, self.domain) {
            (_, Some(_)) => &["k.local_key"],
            (Some(_), None) => &["k.local_key", "k.domain_id"],
            (None, None) => &["k.local_key", "k.tenant_id", "k.domain_id"],
        }
    }

    /// After which of them a page begins.
    pub(crate) fn push_after(&self, query: &mut QueryBuilder<Postgres>, sort: Sort, place: (String, i32, i64)) {
        let (key, tenant, domain) = place;
        sort.push_after(query, self.by_key());
        query.push_bind(key);
        if self.tenant.is_none() {
            query.push(", ").push_bind(tenant);
        }
        if self.domain.is_none() {
            query.push(", ").push_bind(domain);
        }
        query.push(")");
    }
}

/// The first and last tenant of a list; `None`: there is no such tenant, and the list is empty.
async fn tenants_of(tx: &mut PgConnection, caller: &Caller, of: Option<&TenantSlug>) -> Result<Option<(i32, i32)>> {
    let one = match of {
        Some(slug) => match tenant::find(tx, slug).await? {
            Some(tenant) => Some(tenant.id),
            None => return Ok(None),
        },
        None => caller.tenant(),
    };
    Ok(Some(one.map_or((0, i32::MAX), |one| (one.0, one.0))))
}

/// Where a list of addresses begins and ends, so that a page is one range of the primary key, whatever it is narrowed to.
pub(crate) struct AddressRange {
    /// The page begins after this tenant, domain and local key.
    pub(crate) after: (i32, i64, String),
    /// And ends before this.
    pub(crate) end: (i32, i64, String),
}

impl AddressRange {
    /// The range of a tenant or a domain, or of what in a domain begins with a prefix, or all that the caller sees; `None`: there is
    /// none, and the list is empty.
    pub(crate) async fn of(
        tx: &mut PgConnection,
        caller: &Caller,
        tenant: Option<&TenantSlug>,
        domain: Option<(&DomainName, Option<&str>)>,
        cursor: Option<(i32, i64, String)>,
    ) -> Result<Option<Self>> {
        let Some((first, last)) = tenants_of(tx, caller, tenant).await? else { return Ok(None) };
        let (start, end) = match domain {
            None => ((first, 0, String::new()), (last, i64::MAX, String::new())),
            Some((name, prefix)) => match find(tx, caller, name, tenant).await {
                Ok(Domain { tenant_id: TenantId(tenant), id: DomainId(domain), .. }) => {
                    let prefix = PrefixRange::new(prefix);
                    ((tenant, domain, prefix.before()), (tenant, domain, prefix.end))
                }
                Err(Error::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        // After the last key of the domain before: a catch-all's empty key is part of the list.
        let start = if start.2.is_empty() { (start.0, start.1 - 1, char::MAX.to_string()) } else { start };
        // A cursor of another list must not widen this one.
        Ok(Some(Self { after: cursor.map_or(start.clone(), |cursor| cursor.max(start)), end }))
    }

    /// Where the range begins and ends inside its tenant, if it lies in one; else before and after everything.
    ///
    /// Row-level security adds `tenant_id = …`, behind which the index does not see a comparison of all three columns as where to begin:
    /// queries say it again without the tenant.
    pub(crate) fn inside(&self) -> ((i64, &str), (i64, &str)) {
        if self.after.0 == self.end.0 {
            ((self.after.1, &self.after.2), (self.end.1, &self.end.2))
        } else {
            ((-1, ""), (i64::MAX, ""))
        }
    }
}
