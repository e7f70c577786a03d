//! Administrators: people who sign in to the API. A tenant's belong to the tenant; the platform's to none. Nobody makes, changes or
//! resets somebody who may do more than they may themselves.
//!
//! What they sign in with, their sign-ins and what those are proved by stand in the files of this module.

use chrono::{DateTime, Utc};
use mail_types::{Address, DomainName, Secret, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use crate::audit::{self, Event, SERVICE};
use crate::error::inconsistent;
use crate::page::PrefixRange;
use crate::{
    Caller, Directory, Error, Page, PageRequest, Permission, Precondition, Reach, Result, Role, Sort, SortBy, password,
    shown, sort, tenant,
};

mod access_token;
mod me;
mod oidc;
mod refresh_token;
mod session;
mod sign_in;
mod signing_keys;
mod totp;

pub use me::Me;
pub(crate) use oidc::OidcClient;
pub use oidc::{
    IssuerHttp, NewOidcIssuer, OidcAnswer, OidcIssuer, OidcOutcome, OidcRequest, OidcRules, RequiredClaim, RoleClaim,
};
pub use session::{RefreshOutcome, SignInMethod, SignInSession};
pub use sign_in::{SignIn, SignInFrom, SignInOutcome, SignInSettings, Tokens};
pub(crate) use signing_keys::SigningKeys;
pub use signing_keys::{Jwks, rotate_signing_key};
pub use totp::TotpOffer;

/// The longest display name, in characters.
const MAX_DISPLAY_NAME: usize = 200;
/// The most domains of a domain-admin.
const MAX_DOMAINS: usize = 1000;
/// The most administrators of one tenant.
const MAX_ADMINS: i64 = 1000;

/// What a person signs in with: an address without a subaddress, in the form that addresses are compared by. Unique for the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminName {
    text: String,
    domain: DomainName,
}

impl AdminName {
    /// From what a person types.
    ///
    /// # Errors
    /// What is wrong with it, fit for the person.
    pub fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let address = Address::parse(text.trim()).map_err(|_| "must have the form of an address")?;
        if address.local.has_subaddress() {
            return Err("must have no subaddress");
        }
        let text = format!("{}@{}", address.local.key().as_str(), address.domain);
        Ok(Self { text, domain: address.domain })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for AdminName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether somebody may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminStatus {
    /// May.
    Active,
    /// May not.
    Suspended,
}

impl AdminStatus {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    fn code(self) -> i16 {
        match self {
            Self::Active => 1,
            Self::Suspended => 2,
        }
    }
}

/// An administrator, never with a secret.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Opaque to others: shown as `adm_N`.
    pub id: i64,
    /// What they sign in with.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Whose they are; `None`: the platform's.
    pub tenant: Option<TenantSlug>,
    /// What they may do.
    pub role: Role,
    /// A domain-admin's domains.
    pub domains: Vec<DomainName>,
    /// Whether they may sign in.
    pub status: AdminStatus,
    /// Whether they have a password; without one, only an issuer signs them in.
    pub has_password: bool,
    /// Whether their password needs a one-time code besides.
    pub has_totp: bool,
    /// Grows with every change.
    pub version: i64,
    /// When they were made.
    pub created_at: DateTime<Utc>,
    /// When they last signed in.
    pub signed_in_at: Option<DateTime<Utc>>,
    pub(crate) tenant_id: Option<TenantId>,
}

/// An administrator to be made.
#[derive(Debug, Clone)]
pub struct NewAdmin {
    /// What they sign in with.
    pub name: AdminName,
    /// For people; the name where it is left out.
    pub display_name: Option<String>,
    /// Whose they are; a tenant's own caller may leave it out.
    pub tenant: Option<TenantSlug>,
    /// What they may do.
    pub role: Role,
    /// Of a domain-admin, and of nobody else.
    pub domains: Vec<DomainName>,
    /// Without one, only an issuer signs them in.
    pub password: Option<Secret>,
}

/// What to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct AdminChange {
    /// What they sign in with.
    pub name: Option<AdminName>,
    /// For people.
    pub display_name: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// A domain-admin's domains.
    pub domains: Option<Vec<DomainName>>,
    /// Whether they may sign in.
    pub status: Option<AdminStatus>,
}

/// What all queries select.
const COLUMNS: &str = "a.admin_id, a.tenant_id, t.slug, a.name, a.display_name, a.role, a.domains, a.status, a.has_password, a.has_totp, \
     a.row_version, a.created_at, a.signed_in_at FROM restante.admins a LEFT JOIN restante.tenants t ON t.tenant_id = a.tenant_id";

#[derive(sqlx::FromRow)]
struct AdminRow {
    admin_id: i64,
    tenant_id: Option<i32>,
    slug: Option<String>,
    name: String,
    display_name: String,
    role: i16,
    domains: Option<Vec<String>>,
    status: i16,
    has_password: bool,
    has_totp: bool,
    row_version: i64,
    created_at: DateTime<Utc>,
    signed_in_at: Option<DateTime<Utc>>,
}

impl AdminRow {
    fn admin(self) -> Result<Admin> {
        Ok(Admin {
            id: self.admin_id,
            name: self.name,
            display_name: self.display_name,
            tenant: self.slug.as_deref().map(shown::slug).transpose()?,
            role: Role::from_code(self.role).ok_or_else(|| inconsistent("admins", "role"))?,
            domains: self
                .domains
                .unwrap_or_default()
                .iter()
                .map(|name| shown::domain_name(name))
                .collect::<Result<_>>()?,
            status: match self.status {
                1 => AdminStatus::Active,
                2 => AdminStatus::Suspended,
                _ => return Err(inconsistent("admins", "status")),
            },
            has_password: self.has_password,
            has_totp: self.has_totp,
            version: self.row_version,
            created_at: self.created_at,
            signed_in_at: self.signed_in_at,
            tenant_id: self.tenant_id.map(TenantId),
        })
    }
}

impl Directory {
    /// Makes an administrator. A tenant's own caller makes those of its tenant, whose names lie in its verified domains: elsewhere
    /// it could find out by trying who administers another tenant.
    pub async fn create_admin(&self, caller: &Caller, new: NewAdmin) -> Result<Admin> {
        caller.require_may_give(powers(new.role))?;
        let display_name = new.display_name.unwrap_or_else(|| new.name.text.clone());
        check_display_name(&display_name)?;
        if let Some(password) = &new.password {
            password::check_policy(password).map_err(|error| Error::Invalid(vec![error]))?;
        }
        let mut tx = self.begin(caller).await?;
        let owner = owner(&mut tx, caller, new.role, new.tenant.as_ref()).await?;
        check_domains(&mut tx, owner, new.role, &new.domains).await?;
        check_name(&mut tx, caller, &new.name).await?;
        let verifier = match &new.password {
            Some(password) => Some(self.keep(owner.unwrap_or(SERVICE), password, None).await?.verifier),
            None => None,
        };
        check_room(&mut tx, owner).await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO restante.admins (tenant_id, name, display_name, role, domains, password) VALUES ($1, $2, $3, $4, $5, $6)
             RETURNING admin_id",
        )
        .bind(owner.map(|tenant| tenant.0))
        .bind(new.name.as_str())
        .bind(&display_name)
        .bind(new.role.code())
        .bind(kept_domains(&new.domains))
        .bind(verifier)
        .fetch_one(&mut *tx)
        .await
        .map_err(|error| Error::from(error).or_duplicate("an administrator with this name"))?;
        let admin = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "admin.create", &admin, None, Some(audited(&admin))).await?;
        self.finish(tx, caller).await?;
        Ok(admin)
    }

    /// One administrator.
    pub async fn admin(&self, caller: &Caller, id: i64) -> Result<Admin> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, id).await?.ok_or(Error::NotFound)
    }

    /// The administrators that the caller sees, by name; narrowed to a tenant, and to names that begin with `prefix`.
    pub async fn admins(
        &self,
        caller: &Caller,
        of: Option<&TenantSlug>,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Admin>> {
        let sort = page.sort.unwrap_or(Sort::up(SortBy::Name));
        if prefix.is_some() && sort.by != SortBy::Name {
            return Err(sort::refused("with a prefix there is only the order by name"));
        }
        let columns: &[&str] = match sort.by {
            SortBy::CreatedAt => &["a.created_at", "a.admin_id"],
            SortBy::Name | SortBy::Octets => &["a.name"],
        };
        let mut query = QueryBuilder::<Postgres>::new(format!("SELECT {COLUMNS} WHERE true"));
        let mut tx = self.begin(caller).await?;
        if let Some(tenant) = caller.tenant() {
            query.push(" AND a.tenant_id = ").push_bind(tenant.0);
        }
        if let Some(slug) = of {
            query
                .push(" AND a.tenant_id = (SELECT tenant_id FROM restante.tenants WHERE slug = ")
                .push_bind(slug.as_str())
                .push(")");
        }
        if let Some(prefix) = prefix {
            let PrefixRange { first, end } = PrefixRange::new(Some(&prefix.to_lowercase()));
            query.push(" AND a.name >= ").push_bind(first).push(" AND a.name < ").push_bind(end);
        }
        if sort.by == SortBy::CreatedAt {
            let place: Option<(DateTime<Utc>, i64)> = page.after()?;
            if let Some((at, id)) = place {
                sort.push_after(&mut query, columns);
                query.push_bind(at).push(", ").push_bind(id).push(")");
            }
        } else {
            let place: Option<String> = page.after()?;
            if let Some(name) = place {
                sort.push_after(&mut query, columns);
                query.push_bind(name).push(")");
            }
        }
        sort.push_order(&mut query, columns);
        query.push(" LIMIT ").push_bind(page.fetch());
        let rows: Vec<AdminRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let rows = match sort.by {
            SortBy::CreatedAt => page.page(rows, |row| (row.created_at, row.admin_id)),
            SortBy::Name | SortBy::Octets => page.page(rows, |row| row.name.clone()),
        };
        rows.try_map(AdminRow::admin)
    }

    /// Changes an administrator. What access tokens say of them is void from then on: their next request is refused, and a refresh
    /// brings a token that says what is so now. Suspended, their sign-ins end.
    pub async fn change_admin(
        &self,
        caller: &Caller,
        id: i64,
        change: AdminChange,
        precondition: &Precondition,
    ) -> Result<Admin> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, id, precondition).await?;
        let role = change.role.unwrap_or(before.role);
        let status = change.status.unwrap_or(before.status);
        let is_more_than_named = change.role.is_some() || change.domains.is_some() || change.status.is_some();
        if is_more_than_named && caller.signed_in().is_some_and(|signed_in| signed_in.admin == id) {
            return Err(Error::InUse("nobody changes what they may do themselves: somebody else has to"));
        }
        caller.require_may_give(powers(role))?;
        require_owner_fits(role, before.tenant_id)?;
        // Another role has no use for the domains that a domain-admin had.
        let domains = match change.domains {
            Some(domains) => domains,
            None if role == Role::DomainAdmin => before.domains.clone(),
            None => Vec::new(),
        };
        check_domains(&mut tx, before.tenant_id, role, &domains).await?;
        if let Some(name) = &change.name {
            check_name(&mut tx, caller, name).await?;
        }
        let name = change.name.map_or_else(|| before.name.clone(), |name| name.text);
        let display_name = change.display_name.unwrap_or_else(|| before.display_name.clone());
        check_display_name(&display_name)?;
        let is_another = role != before.role || domains != before.domains || status != before.status;
        sqlx::query(
            "UPDATE restante.admins SET name = $2, display_name = $3, role = $4, domains = $5, status = $6,
                    auth_version = auth_version + $7::integer, row_version = row_version + 1
              WHERE admin_id = $1",
        )
        .bind(id)
        .bind(&name)
        .bind(&display_name)
        .bind(role.code())
        .bind(kept_domains(&domains))
        .bind(status.code())
        .bind(i32::from(is_another))
        .execute(&mut *tx)
        .await
        .map_err(|error| Error::from(error).or_duplicate("an administrator with this name"))?;
        if status == AdminStatus::Suspended {
            session::end_all(&mut tx, id, None).await?;
        }
        let after = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "admin.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes an administrator; their sign-ins end.
    pub async fn delete_admin(&self, caller: &Caller, id: i64, precondition: &Precondition) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, id, precondition).await?;
        if caller.signed_in().is_some_and(|signed_in| signed_in.admin == id) {
            return Err(Error::InUse("nobody deletes themselves: somebody else has to"));
        }
        sqlx::query("DELETE FROM restante.admins WHERE admin_id = $1").bind(id).execute(&mut *tx).await?;
        record(&mut tx, caller, "admin.delete", &before, Some(audited(&before)), None).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// Sets the password of somebody else; all of their sign-ins end.
    pub async fn set_admin_password(
        &self,
        caller: &Caller,
        id: i64,
        password: &Secret,
        precondition: &Precondition,
    ) -> Result<()> {
        password::check_policy(password).map_err(|error| Error::Invalid(vec![error]))?;
        let mut look = self.begin(caller).await?;
        let found = find_locked(&mut look, caller, id, precondition).await?;
        drop(look);
        if caller.signed_in().is_some_and(|signed_in| signed_in.admin == id) {
            return Err(Error::InUse("one's own password is changed with the one before: PUT /v1/me/password"));
        }
        let kept = self.keep(found.tenant_id.unwrap_or(SERVICE), password, None).await?;
        let mut tx = self.begin(caller).await?;
        let admin = find_locked(&mut tx, caller, id, precondition).await?;
        store_password(&mut tx, id, &kept.verifier).await?;
        session::end_all(&mut tx, id, None).await?;
        record(&mut tx, caller, "admin.set-password", &admin, None, None).await?;
        self.finish(tx, caller).await
    }
}

/// What somebody of a role may do.
fn powers(role: Role) -> impl Iterator<Item = Permission> {
    Permission::all().filter(move |permission| role.allows(*permission) && *permission != Permission::MessagesRaw)
}

/// One that the caller reaches.
pub(super) async fn find(tx: &mut PgConnection, caller: &Caller, id: i64) -> Result<Option<Admin>> {
    let row: Option<AdminRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} WHERE a.admin_id = $1 AND ($2::integer IS NULL OR a.tenant_id = $2)"
    )))
    .bind(id)
    .bind(caller.tenant().map(|tenant| tenant.0))
    .fetch_optional(tx)
    .await?;
    row.map(AdminRow::admin).transpose()
}

/// One that the caller reaches, may change, and named the version of; locked.
pub(super) async fn find_locked(
    tx: &mut PgConnection,
    caller: &Caller,
    id: i64,
    precondition: &Precondition,
) -> Result<Admin> {
    sqlx::query(
        "SELECT FROM restante.admins WHERE admin_id = $1 AND ($2::integer IS NULL OR tenant_id = $2) FOR UPDATE",
    )
    .bind(id)
    .bind(caller.tenant().map(|tenant| tenant.0))
    .execute(&mut *tx)
    .await?;
    let admin = find(tx, caller, id).await?.ok_or(Error::NotFound)?;
    caller.require_may_give(powers(admin.role))?;
    precondition.check(admin.version)?;
    Ok(admin)
}

/// Whose a new administrator or key is: the tenant that is named, the caller's own, or for roles that the platform has too, the platform's.
pub(crate) async fn owner(
    tx: &mut PgConnection,
    caller: &Caller,
    role: Role,
    named: Option<&TenantSlug>,
) -> Result<Option<TenantId>> {
    let of_platform = caller.reach == Reach::Platform && named.is_none() && is_platforms(role);
    let owner = if of_platform { None } else { Some(tenant::parent(tx, caller, named).await?.id) };
    require_owner_fits(role, owner)?;
    Ok(owner)
}

/// Whether the platform itself has such people: its administrators, its support desk, its auditors.
pub(crate) fn is_platforms(role: Role) -> bool {
    matches!(role, Role::PlatformAdmin | Role::Helpdesk | Role::Auditor)
}

fn require_owner_fits(role: Role, owner: Option<TenantId>) -> Result<()> {
    match owner {
        Some(_) if role == Role::PlatformAdmin => {
            Err(Error::invalid("/role", "invalid", "a platform-admin belongs to no tenant"))
        }
        None if !is_platforms(role) => Err(Error::invalid("/role", "invalid", "this role is of a tenant only")),
        _ => Ok(()),
    }
}

/// Whether a tenant may have one more. Of some made at once a few more may come in.
async fn check_room(tx: &mut PgConnection, owner: Option<TenantId>) -> Result<()> {
    let others: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.admins WHERE tenant_id = $1")
        .bind(owner.map(|tenant| tenant.0))
        .fetch_one(tx)
        .await?;
    if others >= MAX_ADMINS { Err(Error::LimitReached("the tenant has its most administrators")) } else { Ok(()) }
}

/// A name is free to choose for the platform; a tenant's own caller chooses among what the tenant has proved to be its own.
async fn check_name(tx: &mut PgConnection, caller: &Caller, name: &AdminName) -> Result<()> {
    let Some(tenant) = caller.tenant() else { return Ok(()) };
    let is_own: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM restante.domains WHERE tenant_id = $1 AND name = $2 AND verified_at IS NOT NULL)",
    )
    .bind(tenant.0)
    .bind(name.domain.as_str())
    .fetch_one(tx)
    .await?;
    if is_own {
        Ok(())
    } else {
        Err(Error::invalid("/name", "not_found", "must lie in a verified domain of the tenant"))
    }
}

/// A domain-admin has domains of its tenant; nobody else has any.
pub(crate) async fn check_domains(
    tx: &mut PgConnection,
    owner: Option<TenantId>,
    role: Role,
    domains: &[DomainName],
) -> Result<()> {
    if role != Role::DomainAdmin {
        let none = domains.is_empty();
        return if none {
            Ok(())
        } else {
            Err(Error::invalid("/domains", "invalid", "only a domain-admin has domains"))
        };
    }
    if domains.is_empty() {
        return Err(Error::invalid("/domains", "required", "a domain-admin has one domain at least"));
    }
    if domains.len() > MAX_DOMAINS {
        return Err(Error::invalid("/domains", "too_long", format!("must have at most {MAX_DOMAINS} items")));
    }
    let names: Vec<String> = domains.iter().map(ToString::to_string).collect();
    let known: Vec<String> =
        sqlx::query_scalar("SELECT name FROM restante.domains WHERE tenant_id = $1 AND name = ANY ($2)")
            .bind(owner.map(|tenant| tenant.0))
            .bind(&names)
            .fetch_all(tx)
            .await?;
    let unknown = names.iter().enumerate().filter(|(_, name)| !known.contains(name));
    let errors: Vec<_> = unknown
        .map(|(at, _)| crate::FieldError::new(format!("/domains/{at}"), "not_found", "there is no such domain"))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

fn check_display_name(name: &str) -> Result<()> {
    let refuse = |code, detail: String| Err(Error::invalid("/display_name", code, detail));
    if name.trim().is_empty() {
        return refuse("required", "must not be empty".to_owned());
    }
    if name.chars().count() > MAX_DISPLAY_NAME {
        return refuse("too_long", format!("must have at most {MAX_DISPLAY_NAME} characters"));
    }
    if name.chars().any(char::is_control) {
        return refuse("invalid", "must have no control characters".to_owned());
    }
    Ok(())
}

/// As the schema keeps them: nothing for none.
pub(crate) fn kept_domains(domains: &[DomainName]) -> Option<Vec<String>> {
    (!domains.is_empty()).then(|| domains.iter().map(ToString::to_string).collect())
}

/// Keeps a new password, and forgets what was failed with the one before.
async fn store_password(tx: &mut PgConnection, id: i64, verifier: &str) -> Result<()> {
    sqlx::query(
        "UPDATE restante.admins SET password = $2, totp_failures = 0, totp_failed_at = NULL, row_version = row_version + 1 WHERE admin_id = $1",
    )
    .bind(id)
    .bind(verifier)
    .execute(tx)
    .await?;
    Ok(())
}

fn audited(admin: &Admin) -> Value {
    let domains: Vec<String> = admin.domains.iter().map(ToString::to_string).collect();
    json!({
        "id": format!("adm_{}", admin.id), "name": admin.name, "display_name": admin.display_name, "role": admin.role.as_str(),
        "domains": domains, "status": admin.status.as_str(),
    })
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    admin: &Admin,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let tenant = admin.tenant_id.unwrap_or(SERVICE);
    audit::record(tx, caller, Event { tenant, action, target: &admin.name, before, after }).await
}
