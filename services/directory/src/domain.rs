//! Domains. A tenant's own key *claims* a domain, and the claim occupies nothing; a platform administrator who creates or
//! vouches for it gives it its name, which only one tenant can have.

use chrono::{DateTime, Utc};
use mail_types::{DomainId, DomainName, Random, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::audit::{self, Event};
use crate::caller::enter;
use crate::policy::Level;
use crate::{
    Caller, Directory, Error, Page, PageRequest, Permission, Policy, PolicyChange, Precondition, Result, shown, tenant,
};

/// A domain as administrators see it.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Inside the service.
    pub id: DomainId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Whose it is.
    pub tenant: TenantSlug,
    /// Its natural key.
    pub name: DomainName,
    /// What the DNS TXT record has to say to prove the claim.
    pub challenge: String,
    /// Since when it is proved or vouched for; `None`: no mail and no login yet.
    pub verified_at: Option<DateTime<Utc>>,
    /// What it decided.
    pub policy: Policy,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A domain to be made.
#[derive(Debug, Clone)]
pub struct NewDomain {
    /// Its name.
    pub name: DomainName,
    /// Whose it is; a tenant's own key may leave it out.
    pub tenant: Option<TenantSlug>,
    /// What it decides.
    pub policy: Policy,
}

/// What to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct DomainChange {
    /// What it decides.
    pub policy: PolicyChange,
}

#[derive(sqlx::FromRow)]
struct DomainRow {
    tenant_id: i32,
    domain_id: i64,
    slug: String,
    name: String,
    challenge: String,
    verified_at: Option<DateTime<Utc>>,
    policy: Value,
    row_version: i64,
    created_at: DateTime<Utc>,
}

impl DomainRow {
    fn domain(self) -> Result<Domain> {
        Ok(Domain {
            id: DomainId(self.domain_id),
            tenant_id: TenantId(self.tenant_id),
            tenant: shown::slug(&self.slug)?,
            name: shown::domain_name(&self.name)?,
            challenge: self.challenge,
            verified_at: self.verified_at,
            policy: Policy::from_json(self.policy, "domains")?,
            version: self.row_version,
            created_at: self.created_at,
        })
    }
}

impl Directory {
    /// Makes a domain: vouched for when a platform administrator asks, else a claim of the caller's tenant.
    pub async fn create_domain(&self, caller: &Caller, new: NewDomain) -> Result<Domain> {
        new.policy.check(Level::Domain)?;
        let mut tx = self.begin(caller).await?;
        let owner = tenant::parent(&mut tx, caller, new.tenant.as_ref()).await?;
        enter(&mut tx, owner.id).await?;
        self.check_room(&mut tx, &owner).await?;
        let domain_id: i64 = sqlx::query_scalar(
            "INSERT INTO restante.domains (tenant_id, name, challenge, policy) VALUES ($1, $2, $3, $4) RETURNING domain_id",
        )
        .bind(owner.id.0)
        .bind(new.name.as_str())
        .bind(new_challenge(&*self.random))
        .bind(new.policy.to_json())
        .fetch_one(&mut *tx)
        .await
        .map_err(|error| Error::from(error).or_duplicate("this domain"))?;
        if caller.tenant().is_none() {
            verify(&mut tx, owner.id, DomainId(domain_id)).await?;
        }
        let domain = find_of(&mut tx, owner.id, &new.name).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "domain.create", &domain, None, Some(audited(&domain))).await?;
        self.finish(tx, caller).await?;
        Ok(domain)
    }

    /// One domain. `of` names the tenant where several claim the name; without it the owner's is meant.
    pub async fn domain(&self, caller: &Caller, name: &DomainName, of: Option<&TenantSlug>) -> Result<Domain> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, name, of).await
    }

    /// The domains that the caller sees, or those of one tenant of them, by tenant and name.
    pub async fn domains(&self, caller: &Caller, of: Option<&TenantSlug>, page: &PageRequest) -> Result<Page<Domain>> {
        let after: Option<(i32, String)> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let Some((first, last)) = tenants_of(&mut tx, caller, of).await? else { return Ok(Page::empty()) };
        let (after_tenant, after_name) = after.unwrap_or((first, String::new()));
        let rows = sqlx::query_as::<_, DomainRow>(
            "SELECT d.tenant_id, d.domain_id, t.slug, d.name, d.challenge, d.verified_at, d.policy, d.row_version, d.created_at
               FROM restante.domains d JOIN restante.tenants t ON t.tenant_id = d.tenant_id
              WHERE (d.tenant_id, d.name) > ($1, $2) AND d.tenant_id BETWEEN $4 AND $5
                AND ($6::text[] IS NULL OR d.name = ANY ($6))
              ORDER BY d.tenant_id, d.name LIMIT $3",
        )
        .bind(after_tenant)
        .bind(after_name)
        .bind(page.fetch())
        .bind(first)
        .bind(last)
        .bind(caller.domain_names())
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| (row.tenant_id, row.name.clone())).try_map(DomainRow::domain)
    }

    /// Changes a domain's policy.
    pub async fn change_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
        of: Option<&TenantSlug>,
        change: DomainChange,
        precondition: &Precondition,
    ) -> Result<Domain> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, name, of, precondition).await?;
        let policy = change.policy.apply(before.policy.clone());
        policy.check(Level::Domain)?;
        sqlx::query(
            "UPDATE restante.domains SET policy = $3, row_version = row_version + 1 WHERE tenant_id = $1 AND domain_id = $2",
        )
        .bind(before.tenant_id.0)
        .bind(before.id.0)
        .bind(policy.to_json())
        .execute(&mut *tx)
        .await?;
        let after = find_of(&mut tx, before.tenant_id, name).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "domain.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Gives a claimed domain its name on a platform administrator's word; again is no change.
    pub async fn vouch_for_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
        of: Option<&TenantSlug>,
        precondition: &Precondition,
    ) -> Result<Domain> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, name, of, precondition).await?;
        caller.require(Permission::DomainsVouch)?;
        enter(&mut tx, before.tenant_id).await?;
        verify(&mut tx, before.tenant_id, before.id).await?;
        let after = find_of(&mut tx, before.tenant_id, name).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "domain.verify", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes a domain in which there is no account and no alias, nor a deleted account that could be restored.
    pub async fn delete_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
        of: Option<&TenantSlug>,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, name, of, precondition).await?;
        sqlx::query("DELETE FROM restante.domains WHERE tenant_id = $1 AND domain_id = $2")
            .bind(before.tenant_id.0)
            .bind(before.id.0)
            .execute(&mut *tx)
            .await
            .map_err(|error| {
                Error::from(error).or_in_use("the domain has accounts, deleted ones included, or aliases")
            })?;
        record(&mut tx, caller, "domain.delete", &before, Some(audited(&before)), None).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// Refuses one domain more than the tenant may have.
    async fn check_room(&self, tx: &mut PgConnection, owner: &tenant::Tenant) -> Result<()> {
        let Some(most) = owner.quota.domains else { return Ok(()) };
        // Two creations must not both be the last that fits.
        sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock(hashtext('restante domains'), $1)")
            .bind(owner.id.0)
            .execute(&mut *tx)
            .await?;
        let have: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.domains WHERE tenant_id = $1")
            .bind(owner.id.0)
            .fetch_one(tx)
            .await?;
        if have >= i64::from(most) { Err(Error::LimitReached("the tenant has its most domains")) } else { Ok(()) }
    }
}

/// The value of the TXT record: nothing secret, only not to be guessed before the claim.
fn new_challenge(random: &dyn Random) -> String {
    format!("restante-domain-verification={:032x}", u128::from_be_bytes(random.octets16()))
}

async fn verify(tx: &mut PgConnection, tenant: TenantId, domain: DomainId) -> Result<()> {
    let has_name: bool = sqlx::query_scalar("SELECT restante.admin_verify_domain_1($1, $2)")
        .bind(tenant.0)
        .bind(domain.0)
        .fetch_one(tx)
        .await?;
    if has_name { Ok(()) } else { Err(Error::Duplicate("this domain, at another tenant,")) }
}

/// One tenant's domain of this name.
async fn find_of(tx: &mut PgConnection, tenant: TenantId, name: &DomainName) -> Result<Option<Domain>> {
    sqlx::query_as::<_, DomainRow>(
        "SELECT d.tenant_id, d.domain_id, t.slug, d.name, d.challenge, d.verified_at, d.policy, d.row_version, d.created_at
           FROM restante.domains d JOIN restante.tenants t ON t.tenant_id = d.tenant_id
          WHERE d.tenant_id = $1 AND d.name = $2",
    )
    .bind(tenant.0)
    .bind(name.as_str())
    .fetch_optional(tx)
    .await?
    .map(DomainRow::domain)
    .transpose()
}

/// Which tenant's domain of this name the caller means: its own; the one of `of`; else the owner's, else the oldest claim.
async fn tenant_of(
    tx: &mut PgConnection,
    caller: &Caller,
    name: &DomainName,
    of: Option<&TenantSlug>,
) -> Result<Option<TenantId>> {
    if !caller.sees_domain(name) {
        return Ok(None);
    }
    if let Some(slug) = of {
        return Ok(tenant::find(tx, slug).await?.map(|tenant| tenant.id));
    }
    if let Some(own) = caller.tenant() {
        return Ok(Some(own));
    }
    let tenant: Option<i32> = sqlx::query_scalar(
        "SELECT tenant_id FROM restante.domains WHERE name = $1 ORDER BY verified_at IS NULL, domain_id LIMIT 1",
    )
    .bind(name.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(tenant.map(TenantId))
}

/// The domain that the caller means.
async fn find(tx: &mut PgConnection, caller: &Caller, name: &DomainName, of: Option<&TenantSlug>) -> Result<Domain> {
    let tenant = tenant_of(tx, caller, name, of).await?.ok_or(Error::NotFound)?;
    find_of(tx, tenant, name).await?.ok_or(Error::NotFound)
}

/// The same, locked and of the version that the caller named.
async fn find_locked(
    tx: &mut PgConnection,
    caller: &Caller,
    name: &DomainName,
    of: Option<&TenantSlug>,
    precondition: &Precondition,
) -> Result<Domain> {
    let found = find(tx, caller, name, of).await?;
    sqlx::query("SELECT FROM restante.domains WHERE tenant_id = $1 AND domain_id = $2 FOR UPDATE")
        .bind(found.tenant_id.0)
        .bind(found.id.0)
        .execute(&mut *tx)
        .await?;
    let domain = find_of(tx, found.tenant_id, name).await?.ok_or(Error::NotFound)?;
    precondition.check(domain.version)?;
    Ok(domain)
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
    /// The last tenant and domain.
    pub(crate) last: (i32, i64),
}

impl AddressRange {
    /// The range of a tenant or a domain, or all that the caller sees; `None`: there is none, and the list is empty.
    pub(crate) async fn of(
        tx: &mut PgConnection,
        caller: &Caller,
        tenant: Option<&TenantSlug>,
        domain: Option<&DomainName>,
        cursor: Option<(i32, i64, String)>,
    ) -> Result<Option<Self>> {
        let Some((first, last)) = tenants_of(tx, caller, tenant).await? else { return Ok(None) };
        let (start, last) = match domain {
            None => ((first, 0, String::new()), (last, i64::MAX)),
            Some(name) => match find(tx, caller, name, tenant).await {
                // After the last key of the domain before: a catch-all's empty key is part of the list.
                Ok(found) => {
                    ((found.tenant_id.0, found.id.0 - 1, char::MAX.to_string()), (found.tenant_id.0, found.id.0))
                }
                Err(Error::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        // A cursor of another list must not widen this one.
        Ok(Some(Self { after: cursor.map_or(start.clone(), |cursor| cursor.max(start)), last }))
    }

    /// Where the range begins inside its tenant, if it lies in one; else before everything.
    pub(crate) fn inside(&self) -> (i64, &str) {
        if self.after.0 == self.last.0 { (self.after.1, &self.after.2) } else { (-1, "") }
    }
}

/// The key of the domain that an address lies in, with the transaction entered into its tenant.
pub(crate) async fn enter_domain(
    tx: &mut PgConnection,
    caller: &Caller,
    name: &DomainName,
) -> Result<Option<(TenantId, DomainId)>> {
    let Some(tenant) = tenant_of(tx, caller, name, None).await? else { return Ok(None) };
    let Some(domain) = find_of(tx, tenant, name).await? else { return Ok(None) };
    enter(tx, tenant).await?;
    Ok(Some((tenant, domain.id)))
}

fn audited(domain: &Domain) -> Value {
    json!({"tenant": domain.tenant.as_str(), "verified_at": domain.verified_at, "policy": domain.policy.to_json()})
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    domain: &Domain,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    audit::record(tx, caller, Event { tenant: domain.tenant_id, action, target: domain.name.as_str(), before, after })
        .await
}
