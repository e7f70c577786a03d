//! Lists of aliases.

use chrono::{DateTime, Utc};
use mail_types::{DomainName, TenantSlug};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::{Alias, AliasRow};
use crate::domain::{AddressRange, Scope};
use crate::page::PrefixRange;
use crate::{Caller, Directory, Error, Page, PageRequest, Result, Sort, SortBy, sort};

impl Directory {
    /// The aliases that the caller sees, those of one tenant or one domain of them, by domain and local part, or in the order that is asked for.
    pub async fn aliases(
        &self,
        caller: &Caller,
        of: Option<&TenantSlug>,
        domain: Option<&DomainName>,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Alias>> {
        if let Some(sort) = page.sort {
            let mut tx = self.begin(caller).await?;
            let Some(scope) = Scope::of(&mut tx, caller, of, domain).await? else { return Ok(Page::empty()) };
            return sorted(&mut tx, caller, &scope, prefix, sort, page).await;
        }
        if prefix.is_some() && domain.is_none() {
            return Err(Error::invalid("/prefix", "invalid", "goes with domain; /v1/search looks everywhere"));
        }
        let cursor: Option<(i32, i64, String)> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let domain = domain.map(|domain| (domain, prefix));
        let Some(range) = AddressRange::of(&mut tx, caller, of, domain, cursor).await? else {
            return Ok(Page::empty());
        };
        let (begin, end) = range.inside();
        let rows = sqlx::query_as::<_, AliasRow>(
            "SELECT r.tenant_id, r.domain_id, r.local_key, t.slug, d.name AS domain, r.row_version, r.created_at,
                    coalesce(x.locals, '{}') AS target_locals, coalesce(x.domains, '{}') AS target_domains
               FROM restante.addresses r
               JOIN restante.domains d ON d.tenant_id = r.tenant_id AND d.domain_id = r.domain_id AND d.deleted_at IS NULL
               JOIN restante.tenants t ON t.tenant_id = r.tenant_id
               LEFT JOIN LATERAL (
                 SELECT array_agg(a.local_part ORDER BY a.account_id) AS locals, array_agg(e.name ORDER BY a.account_id) AS domains
                   FROM restante.alias_targets g
                   JOIN restante.accounts a ON a.tenant_id = g.tenant_id AND a.account_id = g.target_id AND a.status <> 3
                   JOIN restante.domains e ON e.tenant_id = a.tenant_id AND e.domain_id = a.domain_id
                  WHERE g.tenant_id = r.tenant_id AND g.domain_id = r.domain_id AND g.local_key = r.local_key) x ON true
              WHERE r.account_id IS NULL AND (r.tenant_id, r.domain_id, r.local_key) > ($1, $2, $3)
                AND (r.tenant_id, r.domain_id, r.local_key) < ($5, $6, $7)
                AND (r.domain_id, r.local_key) > ($8, $9) AND (r.domain_id, r.local_key) < ($10, $11)
                AND ($12::text[] IS NULL OR d.name = ANY ($12))
              ORDER BY r.tenant_id, r.domain_id, r.local_key LIMIT $4",
        )
        .bind(range.after.0)
        .bind(range.after.1)
        .bind(&range.after.2)
        .bind(page.fetch())
        .bind(range.end.0)
        .bind(range.end.1)
        .bind(&range.end.2)
        .bind(begin.0)
        .bind(begin.1)
        .bind(end.0)
        .bind(end.1)
        .bind(caller.domain_names())
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| (row.tenant_id, row.domain_id, row.local_key.clone())).try_map(AliasRow::alias)
    }
}

/// In the order that is asked for. The page first, then what belongs to it.
async fn sorted(
    tx: &mut PgConnection,
    caller: &Caller,
    scope: &Scope,
    prefix: Option<&str>,
    sort: Sort,
    page: &PageRequest,
) -> Result<Page<Alias>> {
    if prefix.is_some() && sort.by != SortBy::Name {
        return Err(sort::refused("with a prefix there is only the order by address"));
    }
    let columns: &[&str] = match sort.by {
        SortBy::CreatedAt => &["k.created_at", "k.domain_id", "k.local_key"],
        SortBy::Name | SortBy::Octets => scope.by_key(),
    };
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT k.tenant_id, k.domain_id, k.local_key, t.slug, d.name AS domain, k.row_version, k.created_at,
                coalesce(x.locals, '{}') AS target_locals, coalesce(x.domains, '{}') AS target_domains
           FROM (SELECT k.* FROM restante.addresses k WHERE k.account_id IS NULL",
    );
    scope.push(&mut query);
    query.push(
        " AND (SELECT d.deleted_at IS NULL FROM restante.domains d WHERE d.tenant_id = k.tenant_id AND d.domain_id = k.domain_id",
    );
    if let Some(names) = caller.domain_names() {
        query.push(" AND d.name = ANY (").push_bind(names).push(")");
    }
    query.push(")");
    if sort.by == SortBy::CreatedAt {
        let place: Option<(DateTime<Utc>, i64, String)> = page.after()?;
        if let Some((at, domain, key)) = place {
            sort.push_after(&mut query, columns);
            query.push_bind(at).push(", ").push_bind(domain).push(", ").push_bind(key).push(")");
        }
    } else {
        if let Some(prefix) = prefix {
            let PrefixRange { first, end } = PrefixRange::new(Some(prefix));
            query.push(" AND k.local_key >= ").push_bind(first).push(" AND k.local_key < ").push_bind(end);
        }
        if let Some(place) = page.after()? {
            scope.push_after(&mut query, sort, place);
        }
    }
    sort.push_order(&mut query, columns);
    query.push(" LIMIT ").push_bind(page.fetch()).push(
        ") k
           JOIN restante.domains d ON d.tenant_id = k.tenant_id AND d.domain_id = k.domain_id
           JOIN restante.tenants t ON t.tenant_id = k.tenant_id
           LEFT JOIN LATERAL (
             SELECT array_agg(a.local_part ORDER BY a.account_id) AS locals, array_agg(e.name ORDER BY a.account_id) AS domains
               FROM restante.alias_targets g
               JOIN restante.accounts a ON a.tenant_id = g.tenant_id AND a.account_id = g.target_id AND a.status <> 3
               JOIN restante.domains e ON e.tenant_id = a.tenant_id AND e.domain_id = a.domain_id
              WHERE g.tenant_id = k.tenant_id AND g.domain_id = k.domain_id AND g.local_key = k.local_key) x ON true",
    );
    sort.push_order(&mut query, columns);
    let rows: Vec<AliasRow> = query.build_query_as().fetch_all(tx).await?;
    let rows = match sort.by {
        SortBy::CreatedAt => page.page(rows, |row| (row.created_at, row.domain_id, row.local_key.clone())),
        SortBy::Name | SortBy::Octets => page.page(rows, |row| (row.local_key.clone(), row.tenant_id, row.domain_id)),
    };
    rows.try_map(AliasRow::alias)
}
