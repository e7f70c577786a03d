//! API keys: how machines prove themselves to the admin API. A key is shown once; its SHA-256 is kept.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{DomainName, Random, Secret, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::types::ipnet::IpNet;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, QueryBuilder};

use crate::audit::{self, Event, SERVICE};
use crate::authenticate::kept_scopes;
use crate::credential::check_label;
use crate::error::inconsistent;
use crate::sort::{NamedList, NamedPlace};
use crate::{
    Caller, Directory, Error, FieldError, Page, PageRequest, Permission, Precondition, Result, Role, admin, shown,
    token,
};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// The most networks of one key.
const MAX_NETWORKS: usize = 50;

/// A key as administrators see it: never the secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Opaque to others: shown as `key_N`.
    pub id: i64,
    /// What it was made for.
    pub name: String,
    /// Whose things it reaches; `None` for the platform's.
    pub tenant: Option<TenantSlug>,
    /// What it may do.
    pub role: Role,
    /// Less than the role: these only.
    pub scopes: Option<Vec<Permission>>,
    /// A domain-admin's domains.
    pub domains: Vec<DomainName>,
    /// From where; empty: from everywhere.
    pub allowed_networks: Vec<IpNet>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From where.
    pub last_address: Option<IpAddr>,
    tenant_id: Option<TenantId>,
}

/// A key that was just made, with the secret that is shown this once.
#[derive(Debug)]
pub struct IssuedApiKey {
    /// What was made.
    pub key: ApiKey,
    /// `rsk-…`
    pub secret: Secret,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is for; 1 to 100 characters.
    pub name: String,
    /// Whose things it reaches; a tenant's own key may leave it out.
    pub tenant: Option<TenantSlug>,
    /// What it may do.
    pub role: Role,
    /// Less than the role; `None`: all that the role may, but reading mail itself.
    pub scopes: Option<Vec<Permission>>,
    /// Of a domain-admin, and of nobody else.
    pub domains: Vec<DomainName>,
    /// From where; empty: from everywhere.
    pub allowed_networks: Vec<IpNet>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewApiKey {
    /// A key of the platform, or of the caller's own tenant, with all that a role may.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        let (scopes, domains, allowed_networks) = (None, Vec::new(), Vec::new());
        Self { name: name.into(), tenant: None, role, scopes, domains, allowed_networks, expires_at: None }
    }
}

/// What to change; `None` leaves it. What a key may do never changes: make another.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyChange {
    /// What it is for.
    pub name: Option<String>,
    /// From where; `Some` of an empty list: from everywhere.
    pub allowed_networks: Option<Vec<IpNet>>,
    /// Until when; `Some(None)`: until it is revoked.
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// What all queries select.
const COLUMNS: &str = "k.key_id, k.tenant_id, k.label, t.slug, k.role, k.scopes, k.domains, k.allowed_nets, k.expires_at, k.row_version, k.created_at,
       u.last_at, u.last_address
  FROM restante.api_keys k LEFT JOIN restante.tenants t ON t.tenant_id = k.tenant_id LEFT JOIN restante.api_key_use u ON u.key_id = k.key_id";

/// How it is listed.
const LIST: NamedList = NamedList { id: "k.key_id", name: r#"k.label COLLATE "C""#, created_at: "k.created_at" };

#[derive(sqlx::FromRow)]
struct ApiKeyRow {
    key_id: i64,
    tenant_id: Option<i32>,
    label: String,
    slug: Option<String>,
    role: i16,
    scopes: Option<Vec<String>>,
    domains: Option<Vec<String>>,
    allowed_nets: Option<Vec<IpNet>>,
    expires_at: Option<DateTime<Utc>>,
    row_version: i64,
    created_at: DateTime<Utc>,
    last_at: Option<DateTime<Utc>>,
    last_address: Option<IpNet>,
}

impl ApiKeyRow {
    fn key(self) -> Result<ApiKey> {
        Ok(ApiKey {
            id: self.key_id,
            name: self.label,
            tenant: self.slug.as_deref().map(shown::slug).transpose()?,
            role: Role::from_code(self.role).ok_or_else(|| inconsistent("api_keys", "role"))?,
            scopes: kept_scopes(self.scopes),
            domains: self
                .domains
                .unwrap_or_default()
                .iter()
                .map(|name| shown::domain_name(name))
                .collect::<Result<_>>()?,
            allowed_networks: self.allowed_nets.unwrap_or_default(),
            expires_at: self.expires_at,
            version: self.row_version,
            created_at: self.created_at,
            last_used_at: self.last_at,
            last_address: self.last_address.map(|address| address.addr()),
            tenant_id: self.tenant_id.map(TenantId),
        })
    }
}

impl Directory {
    /// Makes a key; its secret is in the answer and nowhere else. A tenant's own caller makes keys of its tenant only, and nobody
    /// one that may do more than they may.
    pub async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<IssuedApiKey> {
        check_label(&new.name, MAX_NAME)?;
        self.check_expiry(new.expires_at)?;
        check_networks(&new.allowed_networks)?;
        let scopes = new.scopes.as_deref();
        if let Some(scopes) = scopes {
            check_scopes(new.role, scopes)?;
        }
        let powers = Permission::all().filter(|one| match scopes {
            Some(scopes) => scopes.contains(one),
            None => new.role.allows(*one) && *one != Permission::MessagesRaw,
        });
        caller.require_may_give(powers)?;
        let mut tx = self.begin(caller).await?;
        let owner = admin::owner(&mut tx, caller, new.role, new.tenant.as_ref()).await?;
        admin::check_domains(&mut tx, owner, new.role, &new.domains).await?;
        let secret = token::new_api_key(&*self.random);
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO restante.api_keys (key_hash, tenant_id, label, role, scopes, domains, allowed_nets, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING key_id",
        )
        .bind(token::api_key_hash(&secret).to_vec())
        .bind(owner.map(|tenant| tenant.0))
        .bind(&new.name)
        .bind(new.role.code())
        .bind(scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect::<Vec<_>>()))
        .bind(admin::kept_domains(&new.domains))
        .bind((!new.allowed_networks.is_empty()).then_some(&new.allowed_networks))
        .bind(new.expires_at)
        .fetch_one(&mut *tx)
        .await?;
        let key = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "api-key.create", &key, None, Some(audited(&key))).await?;
        self.finish(tx, caller).await?;
        Ok(IssuedApiKey { key, secret })
    }

    /// One key that is not revoked.
    pub async fn api_key(&self, caller: &Caller, id: i64) -> Result<ApiKey> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, id).await?.ok_or(Error::NotFound)
    }

    /// The keys that the caller sees and that are not revoked, in the order they were made or that is asked for.
    pub async fn api_keys(&self, caller: &Caller, of: Option<&TenantSlug>, page: &PageRequest) -> Result<Page<ApiKey>> {
        let mut query = QueryBuilder::<Postgres>::new(format!("SELECT {COLUMNS} WHERE k.revoked_at IS NULL"));
        let mut tx = self.begin(caller).await?;
        if let Some(tenant) = caller.tenant() {
            query.push(" AND k.tenant_id = ").push_bind(tenant.0);
        }
        if let Some(slug) = of {
            query
                .push(" AND k.tenant_id = (SELECT tenant_id FROM restante.tenants WHERE slug = ")
                .push_bind(slug.as_str())
                .push(")");
        }
        LIST.finish(&mut query, page)?;
        let rows: Vec<ApiKeyRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        let place = |row: &ApiKeyRow| NamedPlace::of(page, row.key_id, &row.label, row.created_at);
        page.page(rows, place).try_map(ApiKeyRow::key)
    }

    /// Changes a key: its name, its networks, its end.
    pub async fn change_api_key(
        &self,
        caller: &Caller,
        id: i64,
        change: ApiKeyChange,
        precondition: &Precondition,
    ) -> Result<ApiKey> {
        let mut tx = self.begin(caller).await?;
        sqlx::query(
            "SELECT FROM restante.api_keys WHERE key_id = $1 AND ($2::integer IS NULL OR tenant_id = $2) FOR UPDATE",
        )
        .bind(id)
        .bind(caller.tenant().map(|tenant| tenant.0))
        .execute(&mut *tx)
        .await?;
        let before = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        // A longer life, or more networks, is more than it had.
        caller.require_may_give(powers(&before))?;
        precondition.check(before.version)?;
        let name = change.name.unwrap_or_else(|| before.name.clone());
        check_label(&name, MAX_NAME)?;
        let networks = change.allowed_networks.unwrap_or_else(|| before.allowed_networks.clone());
        check_networks(&networks)?;
        if let Some(expires_at) = change.expires_at {
            self.check_expiry(expires_at)?;
        }
        sqlx::query(
            "UPDATE restante.api_keys SET label = $2, allowed_nets = $3, expires_at = $4, row_version = row_version + 1 WHERE key_id = $1",
        )
        .bind(id)
        .bind(&name)
        .bind((!networks.is_empty()).then_some(&networks))
        .bind(change.expires_at.unwrap_or(before.expires_at))
        .execute(&mut *tx)
        .await?;
        let after = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "api-key.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    fn check_expiry(&self, expires_at: Option<DateTime<Utc>>) -> Result<()> {
        if expires_at.is_some_and(|at| at <= self.now()) {
            return Err(Error::invalid("/expires_at", "out_of_range", "must be in the future"));
        }
        Ok(())
    }

    /// Revokes a key: the next request with it is refused.
    pub async fn revoke_api_key(&self, caller: &Caller, id: i64) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let key = find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        let revoked =
            sqlx::query("UPDATE restante.api_keys SET revoked_at = now() WHERE key_id = $1 AND revoked_at IS NULL")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        if revoked.rows_affected() == 0 {
            return Err(Error::NotFound);
        }
        record(&mut tx, caller, "api-key.revoke", &key, Some(audited(&key)), None).await?;
        self.finish(tx, caller).await
    }
}

/// What a key may do.
fn powers(key: &ApiKey) -> impl Iterator<Item = Permission> {
    Permission::all().filter(|one| match &key.scopes {
        Some(scopes) => scopes.contains(one),
        None => key.role.allows(*one) && *one != Permission::MessagesRaw,
    })
}

/// One that the caller reaches and that is not revoked.
async fn find(tx: &mut PgConnection, caller: &Caller, id: i64) -> Result<Option<ApiKey>> {
    let row: Option<ApiKeyRow> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT {COLUMNS} WHERE k.key_id = $1 AND k.revoked_at IS NULL AND ($2::integer IS NULL OR k.tenant_id = $2)"
    )))
    .bind(id)
    .bind(caller.tenant().map(|tenant| tenant.0))
    .fetch_optional(tx)
    .await?;
    row.map(ApiKeyRow::key).transpose()
}

fn check_scopes(role: Role, scopes: &[Permission]) -> Result<()> {
    if scopes.is_empty() {
        return Err(Error::invalid(
            "/scopes",
            "required",
            "must name one permission at least; leave it out for all of the role",
        ));
    }
    let beyond = scopes.iter().enumerate().filter(|(_, scope)| !role.allows(**scope));
    let errors: Vec<_> = beyond
        .map(|(at, _)| FieldError::new(format!("/scopes/{at}"), "invalid", "the role does not have this permission"))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

fn check_networks(networks: &[IpNet]) -> Result<()> {
    if networks.len() > MAX_NETWORKS {
        return Err(Error::invalid("/allowed_networks", "too_long", format!("must have at most {MAX_NETWORKS} items")));
    }
    Ok(())
}

fn audited(key: &ApiKey) -> Value {
    let texts = |all: &[IpNet]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "name": key.name, "role": key.role.as_str(), "scopes": key.scopes.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "domains": key.domains.iter().map(ToString::to_string).collect::<Vec<_>>(), "allowed_networks": texts(&key.allowed_networks),
        "expires_at": key.expires_at,
    })
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    key: &ApiKey,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let (tenant, target) = (key.tenant_id.unwrap_or(SERVICE), format!("key_{}", key.id));
    audit::record(tx, caller, Event { tenant, action, target: &target, before, after }).await
}

/// A token of the form that API keys have, for [`bootstrap_admin_token`].
pub fn new_api_token(random: &dyn Random) -> Secret {
    token::new_api_key(random)
}

/// Installs a platform administrator's key whose secret the operator made ([`new_api_token`]), through a pool of the role
/// `admin`; again is no change. A token of another form is refused: it would never be accepted.
pub async fn bootstrap_admin_token(pool: &PgPool, name: &str, token: &Secret) -> Result<()> {
    check_label(name, MAX_NAME)?;
    if !token::is_api_key(token) {
        return Err(Error::Internal("the ready-made token has not the form of an API key"));
    }
    let mut tx = pool.begin().await?;
    sqlx::query("SET LOCAL ROLE restante_platform").execute(&mut *tx).await?;
    // Without a named arbiter: the role may not read the hashes.
    sqlx::query(
        "INSERT INTO restante.api_keys (key_hash, tenant_id, label, role, scopes) VALUES ($1, NULL, $2, $3, NULL) ON CONFLICT DO NOTHING",
    )
    .bind(token::api_key_hash(token).to_vec())
    .bind(name)
    .bind(Role::PlatformAdmin.code())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
