//! Domains. A tenant's own key *claims* a domain, and the claim occupies nothing; its TXT record in the DNS, or a platform
//! administrator who creates or vouches for it, gives it its name, which only one tenant can have.
//!
//! Who claims learns nothing of others: whether a name is taken is only looked at once the claim is proved, and then the answer
//! is for whoever controls the domain's DNS.

use chrono::{DateTime, Utc};
use mail_types::{DomainId, DomainName, Random, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::audit::{self, Event};
use crate::caller::enter;
use crate::policy::Level;
use crate::{
    Caller, Directory, Error, Permission, Policy, PolicyChange, Precondition, Quota, QuotaChange, Result, shown, tenant,
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
    /// Since when it is a claim; of one that has its name it says nothing.
    pub claimed_at: DateTime<Utc>,
    /// What it decided.
    pub policy: Policy,
    /// What it may use.
    pub quota: Quota,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
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
    /// What it may use.
    pub quota: Quota,
}

/// What to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct DomainChange {
    /// What it decides.
    pub policy: PolicyChange,
    /// What it may use.
    pub quota: QuotaChange,
}

/// Which domains of a list.
#[derive(Debug, Clone, Default)]
pub struct DomainFilter {
    /// Those of this tenant.
    pub tenant: Option<TenantSlug>,
    /// Those whose name begins so.
    pub prefix: Option<String>,
    /// Those that have their name, or have not.
    pub verified: Option<bool>,
    /// Those that are deleted, instead of the others.
    pub deleted: bool,
}

#[derive(sqlx::FromRow)]
struct DomainRow {
    tenant_id: i32,
    domain_id: i64,
    slug: String,
    name: String,
    challenge: String,
    verified_at: Option<DateTime<Utc>>,
    claimed_at: DateTime<Utc>,
    policy: Value,
    max_octets: Option<i64>,
    max_messages: Option<i64>,
    max_accounts: Option<i32>,
    max_hourly: Option<i32>,
    deleted_at: Option<DateTime<Utc>>,
    row_version: i64,
    created_at: DateTime<Utc>,
}

/// A query for [`DomainRow`]s.
macro_rules! select_domains {
    ($rest:literal) => {
        concat!(
            "SELECT d.tenant_id, d.domain_id, t.slug, d.name, d.challenge, d.verified_at, d.claimed_at, d.policy, d.max_octets, d.max_messages, d.max_accounts,
                    d.max_hourly, d.deleted_at, d.row_version, d.created_at
               FROM restante.domains d JOIN restante.tenants t ON t.tenant_id = d.tenant_id ",
            $rest
        )
    };
}

mod list;

pub(crate) use list::{AddressRange, Scope};

impl DomainRow {
    fn domain(self) -> Result<Domain> {
        Ok(Domain {
            id: DomainId(self.domain_id),
            tenant_id: TenantId(self.tenant_id),
            tenant: shown::slug(&self.slug)?,
            name: shown::domain_name(&self.name)?,
            challenge: self.challenge,
            verified_at: self.verified_at,
            claimed_at: self.claimed_at,
            policy: Policy::from_json(self.policy, "domains")?,
            quota: Quota {
                octets: self.max_octets,
                messages: self.max_messages,
                accounts: self.max_accounts,
                domains: None,
                deliveries_per_hour: self.max_hourly,
            },
            deleted_at: self.deleted_at,
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
        new.quota.check_within(&owner.quota, "tenant")?;
        new.policy.sessions.check_within(&owner.policy.sessions)?;
        let domain_id: i64 = sqlx::query_scalar(
            "INSERT INTO restante.domains (tenant_id, name, challenge, policy, max_octets, max_messages, max_accounts, max_hourly)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING domain_id",
        )
        .bind(owner.id.0)
        .bind(new.name.as_str())
        .bind(new_challenge(&*self.random))
        .bind(new.policy.to_json())
        .bind(new.quota.octets)
        .bind(new.quota.messages)
        .bind(new.quota.accounts)
        .bind(new.quota.deliveries_per_hour)
        .fetch_one(&mut *tx)
        .await
        .map_err(|error| Error::from(error).or_duplicate("this domain"))?;
        if caller.tenant().is_none() && !verify(&mut tx, owner.id, DomainId(domain_id)).await? {
            return Err(Error::Duplicate("this domain, at another tenant,"));
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
        if policy.sessions != before.policy.sessions {
            let owner = tenant::by_id(&mut tx, before.tenant_id).await?.ok_or(Error::NotFound)?;
            policy.sessions.check_within(&owner.policy.sessions)?;
            let was = &before.policy.sessions;
            policy.sessions.check_over_children(was, &mut tx, before.tenant_id.0, Some(before.id.0)).await?;
        }
        let quota = change.quota.apply(before.quota);
        if quota != before.quota {
            let (of_tenant, _) = quotas(&mut tx, before.tenant_id, name).await?;
            quota.check_within(&of_tenant, "tenant")?;
            quota.check_over_children(&before.quota, &mut tx, before.tenant_id.0, Some(before.id.0)).await?;
        }
        sqlx::query(
            "UPDATE restante.domains SET policy = $3, max_octets = $4, max_messages = $5, max_accounts = $6, max_hourly = $7,
                    row_version = row_version + 1
              WHERE tenant_id = $1 AND domain_id = $2",
        )
        .bind(before.tenant_id.0)
        .bind(before.id.0)
        .bind(policy.to_json())
        .bind(quota.octets)
        .bind(quota.messages)
        .bind(quota.accounts)
        .bind(quota.deliveries_per_hour)
        .execute(&mut *tx)
        .await?;
        let after = find_of(&mut tx, before.tenant_id, name).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "domain.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Gives a claimed domain its name on a platform administrator's word; again is no change. From another tenant that has the name it
    /// is taken only if nothing lies in its domain: mail must not change hands.
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
        if !verify(&mut tx, before.tenant_id, before.id).await? {
            free(&mut tx, caller, &before).await?;
            if !verify(&mut tx, before.tenant_id, before.id).await? {
                return Err(Error::Duplicate("this domain, at another tenant,"));
            }
        }
        let after = find_of(&mut tx, before.tenant_id, name).await?.ok_or(Error::NotFound)?;
        record_verified(&mut tx, caller, &before, &after, "vouched").await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Gives a claimed domain its name after its challenge was seen in the DNS; of one that has its name nothing changes. `seen` is the
    /// challenge that was seen, if any: if the claim is another by now, it is not proved.
    ///
    /// Where another tenant has the name: [`Error::NeedsOperator`]. The record says who controls the domain today, and not what is to
    /// become of the mail that lies with the other tenant; to hand the name over silently would also hand over the mail that
    /// comes from then on. The answer is not that of an unproved claim, because whoever gets it has proved to control the domain,
    /// would otherwise mend a record that is right for ever, and can see from the domain's MX records where its mail goes;
    /// who only claims never gets this far.
    pub async fn prove_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
        of: Option<&TenantSlug>,
        seen: Option<&str>,
        precondition: &Precondition,
    ) -> Result<Domain> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, name, of, precondition).await?;
        if before.verified_at.is_some() {
            return Ok(before);
        }
        if seen != Some(before.challenge.as_str()) {
            return Err(Error::VersionMismatch);
        }
        enter(&mut tx, before.tenant_id).await?;
        if !verify(&mut tx, before.tenant_id, before.id).await? {
            return Err(Error::NeedsOperator);
        }
        let after = find_of(&mut tx, before.tenant_id, name).await?.ok_or(Error::NotFound)?;
        record_verified(&mut tx, caller, &before, &after, "dns").await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// When a claim is forgotten unless it is proved by then; `None`: the domain has its name. One with accounts or aliases stays.
    pub fn claim_expires_at(&self, domain: &Domain) -> Option<DateTime<Utc>> {
        let days = chrono::Days::new(self.claim_days.into());
        if domain.verified_at.is_some() { None } else { domain.claimed_at.checked_add_days(days) }
    }

    /// Whether the service hosts a domain: for the settings of mail clients, which anybody may ask for.
    pub async fn hosts(&self, name: &DomainName) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT restante.admin_hosted_domain_1($1)")
            .bind(name.as_str())
            .fetch_one(&self.pool)
            .await?)
    }

    /// Deletes a domain. One that has accounts or aliases only with them, `cascade`: its name is free, and nothing in it is reached any
    /// more. All of it can be restored until the retention has passed. A claim without anything is simply gone.
    pub async fn delete_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
        of: Option<&TenantSlug>,
        cascade: bool,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, name, of, precondition).await?;
        enter(&mut tx, before.tenant_id).await?;
        let (addresses, any): (bool, bool) = sqlx::query_as(
            "SELECT EXISTS (SELECT FROM restante.addresses WHERE tenant_id = $1 AND domain_id = $2),
                    EXISTS (SELECT FROM restante.accounts WHERE tenant_id = $1 AND domain_id = $2)",
        )
        .bind(before.tenant_id.0)
        .bind(before.id.0)
        .fetch_one(&mut *tx)
        .await?;
        if addresses && !cascade {
            return Err(Error::InUse("the domain has accounts or aliases"));
        }
        if addresses || any {
            mark_deleted(&mut tx, caller, &before).await?;
        } else {
            sqlx::query("DELETE FROM restante.domains WHERE tenant_id = $1 AND domain_id = $2")
                .bind(before.tenant_id.0)
                .bind(before.id.0)
                .execute(&mut *tx)
                .await
                .map_err(|error| Error::from(error).or_in_use("the domain has accounts or aliases"))?;
            record(&mut tx, caller, "domain.delete", &before, Some(audited(&before)), None).await?;
        }
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// Restores a deleted domain with all that lies in it; refused while another tenant has its name.
    pub async fn restore_domain(&self, caller: &Caller, name: &DomainName, of: Option<&TenantSlug>) -> Result<Domain> {
        let mut tx = self.begin(caller).await?;
        if !caller.sees_domain(name) {
            return Err(Error::NotFound);
        }
        let row = sqlx::query_as::<_, DomainRow>(select_domains!(
            "WHERE d.name = $1 AND d.deleted_at IS NOT NULL AND t.status <> 3
                AND ($2::text IS NULL OR t.slug = $2) AND ($3::integer IS NULL OR d.tenant_id = $3)
              ORDER BY d.deleted_at DESC LIMIT 1 FOR UPDATE OF d"
        ))
        .bind(name.as_str())
        .bind(of.map(TenantSlug::as_str))
        .bind(caller.tenant().map(|tenant| tenant.0))
        .fetch_optional(&mut *tx)
        .await?;
        let before = row.ok_or(Error::NotFound)?.domain()?;
        if !bring_back(&mut tx, caller, &before).await? {
            return Err(Error::Duplicate("this domain, at another tenant,"));
        }
        let after = find_of(&mut tx, before.tenant_id, name).await?.ok_or(Error::NotFound)?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Refuses one domain more than the tenant may have.
    async fn check_room(&self, tx: &mut PgConnection, owner: &tenant::Tenant) -> Result<()> {
        let Some(most) = owner.quota.domains else { return Ok(()) };
        // Two creations must not both be the last that fits.
        sqlx::query("SELECT pg_catalog.pg_advisory_xact_lock(hashtext('restante domains'), $1)")
            .bind(owner.id.0)
            .execute(&mut *tx)
            .await?;
        let have: i64 =
            sqlx::query_scalar("SELECT count(*) FROM restante.domains WHERE tenant_id = $1 AND deleted_at IS NULL")
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

/// Gives the domain its name; false: another tenant has it.
async fn verify(tx: &mut PgConnection, tenant: TenantId, domain: DomainId) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT restante.admin_verify_domain_1($1, $2)")
        .bind(tenant.0)
        .bind(domain.0)
        .fetch_one(tx)
        .await?)
}

/// Takes the name of a claim away from the tenant that has it.
async fn free(tx: &mut PgConnection, caller: &Caller, claim: &Domain) -> Result<()> {
    let held: Option<(i32, bool)> =
        sqlx::query_as("SELECT tenant_id, freed FROM restante.platform_free_domain_1($1, $2)")
            .bind(claim.name.as_str())
            .bind(claim.tenant_id.0)
            .fetch_optional(&mut *tx)
            .await?;
    match held {
        None => Ok(()),
        Some((_, false)) => {
            Err(Error::InUse("another tenant has this domain, with accounts, deleted ones included, or aliases in it"))
        }
        Some((tenant, true)) => {
            let lost = find_of(tx, TenantId(tenant), &claim.name).await?.ok_or(Error::NotFound)?;
            record(tx, caller, "domain.lose", &lost, None, Some(audited(&lost))).await
        }
    }
}

/// The quotas of a tenant and of a domain of it.
pub(crate) async fn quotas(tx: &mut PgConnection, tenant: TenantId, name: &DomainName) -> Result<(Quota, Quota)> {
    let of_tenant = tenant::by_id(tx, tenant).await?.ok_or(Error::NotFound)?.quota;
    let of_domain = find_of(tx, tenant, name).await?.ok_or(Error::NotFound)?.quota;
    Ok((of_tenant, of_domain))
}

/// A tenant's domains that are not deleted.
pub(crate) async fn of_tenant(tx: &mut PgConnection, tenant: TenantId) -> Result<Vec<Domain>> {
    let rows = sqlx::query_as::<_, DomainRow>(select_domains!(
        "WHERE d.tenant_id = $1 AND d.deleted_at IS NULL ORDER BY d.name FOR UPDATE OF d"
    ))
    .bind(tenant.0)
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(DomainRow::domain).collect()
}

/// Takes a domain's name and hides what lies in it.
pub(crate) async fn mark_deleted(tx: &mut PgConnection, caller: &Caller, domain: &Domain) -> Result<()> {
    enter(tx, domain.tenant_id).await?;
    sqlx::query(
        "UPDATE restante.domains SET deleted_at = now(), row_version = row_version + 1 WHERE tenant_id = $1 AND domain_id = $2",
    )
    .bind(domain.tenant_id.0)
    .bind(domain.id.0)
    .execute(&mut *tx)
    .await?;
    sqlx::query("SELECT restante.admin_release_domain_1($1, $2)")
        .bind(domain.tenant_id.0)
        .bind(domain.id.0)
        .execute(&mut *tx)
        .await?;
    let (accounts, aliases): (i64, i64) = sqlx::query_as(
        "SELECT count(account_id), count(*) FILTER (WHERE account_id IS NULL) FROM restante.addresses WHERE tenant_id = $1 AND domain_id = $2",
    )
    .bind(domain.tenant_id.0)
    .bind(domain.id.0)
    .fetch_one(&mut *tx)
    .await?;
    let mut was = audited(domain);
    if let Value::Object(was) = &mut was {
        was.insert("accounts".to_owned(), accounts.into());
        was.insert("aliases".to_owned(), aliases.into());
    }
    record(tx, caller, "domain.delete", domain, Some(was), None).await
}

/// Brings a deleted domain back; false: another tenant has its name meanwhile.
async fn bring_back(tx: &mut PgConnection, caller: &Caller, domain: &Domain) -> Result<bool> {
    enter(tx, domain.tenant_id).await?;
    if domain.verified_at.is_some() && !verify(tx, domain.tenant_id, domain.id).await? {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE restante.domains SET deleted_at = NULL, row_version = row_version + 1 WHERE tenant_id = $1 AND domain_id = $2",
    )
    .bind(domain.tenant_id.0)
    .bind(domain.id.0)
    .execute(&mut *tx)
    .await?;
    record(tx, caller, "domain.restore", domain, None, Some(audited(domain))).await?;
    Ok(true)
}

/// Brings back the domains that were deleted with their tenant, but those whose name is taken.
pub(crate) async fn unmark_deleted(
    tx: &mut PgConnection,
    caller: &Caller,
    tenant: TenantId,
    deleted_at: DateTime<Utc>,
) -> Result<()> {
    let rows = sqlx::query_as::<_, DomainRow>(select_domains!(
        "WHERE d.tenant_id = $1 AND d.deleted_at = $2 ORDER BY d.name FOR UPDATE OF d"
    ))
    .bind(tenant.0)
    .bind(deleted_at)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        bring_back(tx, caller, &row.domain()?).await?;
    }
    Ok(())
}

/// One tenant's domain of this name.
async fn find_of(tx: &mut PgConnection, tenant: TenantId, name: &DomainName) -> Result<Option<Domain>> {
    sqlx::query_as::<_, DomainRow>(select_domains!("WHERE d.tenant_id = $1 AND d.name = $2 AND d.deleted_at IS NULL"))
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
        "SELECT tenant_id FROM restante.domains WHERE name = $1 AND deleted_at IS NULL ORDER BY verified_at IS NULL, domain_id LIMIT 1",
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

async fn record_verified(
    tx: &mut PgConnection,
    caller: &Caller,
    before: &Domain,
    after: &Domain,
    how: &'static str,
) -> Result<()> {
    let mut now = audited(after);
    if let Value::Object(now) = &mut now {
        now.insert("how".to_owned(), how.into());
    }
    record(tx, caller, "domain.verify", after, Some(audited(before)), Some(now)).await
}

fn audited(domain: &Domain) -> Value {
    json!({
        "tenant": domain.tenant.as_str(), "verified_at": domain.verified_at, "policy": domain.policy.to_json(),
        "quota": domain.quota.audited(),
    })
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
