//! Lists of accounts.

use chrono::{DateTime, Utc};
use mail_types::{DomainName, TenantSlug};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::{Account, AccountFilter, AccountRow, AccountStatus};
use crate::domain::{AddressRange, Scope};
use crate::page::PrefixRange;
use crate::{Caller, Directory, Error, Page, PageRequest, Result, Sort, SortBy, sort, tenant};

impl Directory {
    /// The accounts that the caller sees, by domain and local part; by local part and domain where they are narrowed to a prefix in
    /// all domains of a tenant. Deleted ones, in the order they were made, only if they are asked for. Or in the order that is asked for.
    pub async fn accounts(&self, caller: &Caller, filter: &AccountFilter, page: &PageRequest) -> Result<Page<Account>> {
        let mut tx = self.begin(caller).await?;
        if let Some(sort) = page.sort {
            return sorted(&mut tx, caller, filter, sort, page).await;
        }
        if filter.status == Some(AccountStatus::Deleted) {
            return deleted(&mut tx, caller, filter, page).await;
        }
        if filter.prefix.is_some() && filter.domain.is_none() {
            return by_prefix(&mut tx, caller, filter, page).await;
        }
        let cursor: Option<(i32, i64, String)> = page.after()?;
        let domain = filter.domain.as_ref().map(|domain| (domain, filter.prefix.as_deref()));
        let Some(range) = AddressRange::of(&mut tx, caller, filter.tenant.as_ref(), domain, cursor).await? else {
            return Ok(Page::empty());
        };
        let (begin, end) = range.inside();
        // The page first, then what belongs to it: otherwise a page near the end of a long list is joined with all accounts.
        let rows = sqlx::query_as::<_, AccountRow>(select_accounts!(
            "r.local_key",
            "(SELECT k.tenant_id, k.domain_id, k.local_key, k.account_id
                       FROM restante.addresses k
                      WHERE (k.tenant_id, k.domain_id, k.local_key) > ($1, $2, $3)
                        AND (k.tenant_id, k.domain_id, k.local_key) < ($5, $6, $7)
                        AND (k.domain_id, k.local_key) > ($8, $9) AND (k.domain_id, k.local_key) < ($10, $11)
                        AND k.account_id IS NOT NULL
                        AND (SELECT d.deleted_at IS NULL AND ($12::text[] IS NULL OR d.name = ANY ($12)) FROM restante.domains d
                              WHERE d.tenant_id = k.tenant_id AND d.domain_id = k.domain_id)
                        AND ($13::smallint IS NULL
                             OR (SELECT a.status FROM restante.accounts a
                                  WHERE a.tenant_id = k.tenant_id AND a.account_id = k.account_id) = $13)
                      ORDER BY k.tenant_id, k.domain_id, k.local_key LIMIT $4) r
               JOIN restante.accounts a ON a.tenant_id = r.tenant_id AND a.account_id = r.account_id
               JOIN restante.domains d ON d.tenant_id = r.tenant_id AND d.domain_id = r.domain_id
               JOIN restante.tenants t ON t.tenant_id = r.tenant_id
              ORDER BY r.tenant_id, r.domain_id, r.local_key"
        ))
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
        .bind(filter.status.map(AccountStatus::code))
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| (row.tenant_id, row.domain_id, row.local_key.clone())).try_map(AccountRow::account)
    }
}

/// A row with what it may be ordered by.
#[derive(sqlx::FromRow)]
struct SortedRow {
    #[sqlx(flatten)]
    row: AccountRow,
    octets: i64,
}

/// Where a page ends by octets or time.
type Place<K> = Option<(K, i64)>;

/// In the order that is asked for. The page first, then what belongs to it.
async fn sorted(
    tx: &mut PgConnection,
    caller: &Caller,
    filter: &AccountFilter,
    sort: Sort,
    page: &PageRequest,
) -> Result<Page<Account>> {
    if filter.status == Some(AccountStatus::Deleted) {
        return Err(sort::refused("deleted accounts come in the order they were made"));
    }
    if filter.prefix.is_some() && sort.by != SortBy::Name {
        return Err(sort::refused("with a prefix there is only the order by address"));
    }
    let Some(scope) = Scope::of(tx, caller, filter.tenant.as_ref(), filter.domain.as_ref()).await? else {
        return Ok(Page::empty());
    };
    let (list, columns): (_, &[&str]) = match sort.by {
        SortBy::Name => (
            "k.local_key, 0::bigint AS octets FROM restante.addresses k WHERE k.account_id IS NOT NULL",
            scope.by_key(),
        ),
        SortBy::CreatedAt => (
            "k.created_at, 0::bigint AS octets FROM restante.accounts k WHERE k.status <> 3",
            &["k.created_at", "k.account_id"],
        ),
        SortBy::Octets => (
            "k.octets FROM restante.account_octets k
              WHERE (SELECT a.status FROM restante.accounts a WHERE a.tenant_id = k.tenant_id AND a.account_id = k.account_id) <> 3",
            &["k.octets", "k.account_id"],
        ),
    };
    let mut query = QueryBuilder::<Postgres>::new(select_accounts!(
        "k.octets, r.local_key",
        "(SELECT k.tenant_id, k.domain_id, k.account_id, "
    ));
    query.push(list);
    scope.push(&mut query);
    query.push(
        " AND (SELECT d.deleted_at IS NULL FROM restante.domains d WHERE d.tenant_id = k.tenant_id AND d.domain_id = k.domain_id",
    );
    if let Some(names) = caller.domain_names() {
        query.push(" AND d.name = ANY (").push_bind(names).push(")");
    }
    query.push(")");
    if let Some(status) = filter.status {
        query
            .push(" AND (SELECT a.status FROM restante.accounts a WHERE a.tenant_id = k.tenant_id AND a.account_id = k.account_id) = ")
            .push_bind(status.code());
    }
    match sort.by {
        SortBy::Name => {
            if let Some(prefix) = filter.prefix.as_deref() {
                let PrefixRange { first, end } = PrefixRange::new(Some(prefix));
                query.push(" AND k.local_key >= ").push_bind(first).push(" AND k.local_key < ").push_bind(end);
            }
            if let Some(place) = page.after()? {
                scope.push_after(&mut query, sort, place);
            }
        }
        SortBy::CreatedAt => {
            let place: Place<DateTime<Utc>> = page.after()?;
            if let Some((at, id)) = place {
                sort.push_after(&mut query, columns);
                query.push_bind(at).push(", ").push_bind(id).push(")");
            }
        }
        SortBy::Octets => {
            let place: Place<i64> = page.after()?;
            if let Some((octets, id)) = place {
                sort.push_after(&mut query, columns);
                query.push_bind(octets).push(", ").push_bind(id).push(")");
            }
        }
    }
    sort.push_order(&mut query, columns);
    query.push(" LIMIT ").push_bind(page.fetch()).push(
        ") k
           JOIN restante.accounts a ON a.tenant_id = k.tenant_id AND a.account_id = k.account_id
           JOIN restante.addresses r ON r.tenant_id = k.tenant_id AND r.account_id = k.account_id
           JOIN restante.domains d ON d.tenant_id = k.tenant_id AND d.domain_id = k.domain_id
           JOIN restante.tenants t ON t.tenant_id = k.tenant_id",
    );
    sort.push_order(&mut query, columns);
    let rows: Vec<SortedRow> = query.build_query_as().fetch_all(tx).await?;
    let rows = match sort.by {
        SortBy::Name => page.page(rows, |SortedRow { row, .. }| (row.local_key.clone(), row.tenant_id, row.domain_id)),
        SortBy::CreatedAt => page.page(rows, |SortedRow { row, .. }| (row.created_at, row.account_id)),
        SortBy::Octets => page.page(rows, |SortedRow { row, octets }| (*octets, row.account_id)),
    };
    rows.try_map(|sorted| sorted.row.account())
}

/// Those of one tenant whose local part begins so, whatever their domain.
async fn by_prefix(
    tx: &mut PgConnection,
    caller: &Caller,
    filter: &AccountFilter,
    page: &PageRequest,
) -> Result<Page<Account>> {
    let cursor: Option<(String, i64)> = page.after()?;
    let tenant = match &filter.tenant {
        Some(slug) => match tenant::find(tx, slug).await? {
            Some(tenant) => tenant.id,
            None => return Ok(Page::empty()),
        },
        None => caller.tenant().ok_or_else(|| {
            Error::invalid("/prefix", "invalid", "goes with domain or tenant; /v1/search looks everywhere")
        })?,
    };
    let prefix = PrefixRange::new(filter.prefix.as_deref());
    // No key comes before the prefix itself.
    let (key, domain) = cursor.unwrap_or((prefix.first.clone(), 0));
    let rows = sqlx::query_as::<_, AccountRow>(select_accounts!(
        "r.local_key",
        "restante.addresses r
           JOIN restante.accounts a ON a.tenant_id = r.tenant_id AND a.account_id = r.account_id
           JOIN restante.domains d ON d.tenant_id = r.tenant_id AND d.domain_id = r.domain_id AND d.deleted_at IS NULL
           JOIN restante.tenants t ON t.tenant_id = r.tenant_id
          WHERE r.tenant_id = $1 AND (r.local_key, r.domain_id) > ($2, $3) AND r.local_key >= $4 AND r.local_key < $5
            AND ($6::text[] IS NULL OR d.name = ANY ($6)) AND ($7::smallint IS NULL OR a.status = $7)
          ORDER BY r.local_key, r.domain_id LIMIT $8"
    ))
    .bind(tenant.0)
    .bind(key)
    .bind(domain)
    .bind(prefix.first)
    .bind(prefix.end)
    .bind(caller.domain_names())
    .bind(filter.status.map(AccountStatus::code))
    .bind(page.fetch())
    .fetch_all(tx)
    .await?;
    page.page(rows, |row| (row.local_key.clone(), row.domain_id)).try_map(AccountRow::account)
}

/// Those that are deleted.
async fn deleted(
    tx: &mut PgConnection,
    caller: &Caller,
    filter: &AccountFilter,
    page: &PageRequest,
) -> Result<Page<Account>> {
    let (tenant, account): (i32, i64) = page.after()?.unwrap_or_default();
    let prefix = PrefixRange::new(filter.prefix.as_deref());
    let rows = sqlx::query_as::<_, AccountRow>(select_accounts!(
        "a.local_part",
        "restante.accounts a
           JOIN restante.domains d ON d.tenant_id = a.tenant_id AND d.domain_id = a.domain_id AND d.deleted_at IS NULL
           JOIN restante.tenants t ON t.tenant_id = a.tenant_id
          WHERE a.status = 3 AND (a.tenant_id, a.account_id) > ($1, $2) AND ($3::integer IS NULL OR a.tenant_id = $3)
            AND ($4::text IS NULL OR t.slug = $4) AND ($5::text IS NULL OR d.name = $5) AND a.local_part >= $6 AND a.local_part < $7
            AND ($8::text[] IS NULL OR d.name = ANY ($8))
          ORDER BY a.tenant_id, a.account_id LIMIT $9"
    ))
    .bind(tenant)
    .bind(account)
    .bind(caller.tenant().map(|tenant| tenant.0))
    .bind(filter.tenant.as_ref().map(TenantSlug::as_str))
    .bind(filter.domain.as_ref().map(DomainName::as_str))
    .bind(prefix.first)
    .bind(prefix.end)
    .bind(caller.domain_names())
    .bind(page.fetch())
    .fetch_all(tx)
    .await?;
    page.page(rows, |row| (row.tenant_id, row.account_id)).try_map(AccountRow::account)
}
