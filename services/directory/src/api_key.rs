//! API keys: how machines prove themselves to the admin API. A key is shown once; its SHA-256 is kept.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use mail_types::{Random, Secret, TenantId, TenantSlug};
use serde_json::json;
use sqlx::PgPool;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use crate::audit::{self, Event, SERVICE};
use crate::credential::check_label;
use crate::error::inconsistent;
use crate::{Caller, Directory, Error, Page, PageRequest, Permission, Reach, Result, Role, shown, tenant, token};

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;

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
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
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
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct ApiKeyRow {
    key_id: i64,
    label: String,
    slug: Option<String>,
    role: i16,
    expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl ApiKeyRow {
    fn key(self) -> Result<ApiKey> {
        Ok(ApiKey {
            id: self.key_id,
            name: self.label,
            tenant: self.slug.as_deref().map(shown::slug).transpose()?,
            role: Role::from_code(self.role).ok_or_else(|| inconsistent("api_keys", "role"))?,
            expires_at: self.expires_at,
            created_at: self.created_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct CallerRow {
    key_id: i64,
    tenant_id: Option<i32>,
    tenant_status: Option<i16>,
    role: i16,
    scopes: Vec<String>,
    allowed_nets: Option<String>,
}

impl Directory {
    /// Who a bearer token belongs to; `None` for a token that is none, is revoked, expired, or not to be used from there.
    pub async fn authenticate(&self, token: &Secret, peer: Option<IpAddr>, request: Uuid) -> Result<Option<Caller>> {
        if !token::is_api_key(token) {
            return Ok(None);
        }
        let row = sqlx::query_as::<_, CallerRow>(
            "SELECT key_id, tenant_id, tenant_status, role, scopes, allowed_nets FROM restante.admin_key_1($1)",
        )
        .bind(token::api_key_hash(token).to_vec())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if !allows(row.allowed_nets.as_deref(), peer) {
            return Ok(None);
        }
        let role = Role::from_code(row.role).ok_or_else(|| inconsistent("api_keys", "role"))?;
        let reach = match row.tenant_id {
            None => Reach::Platform,
            // A deleted tenant's keys are gone with it; a suspended one's still work.
            Some(_) if row.tenant_status == Some(3) => return Ok(None),
            Some(tenant) => Reach::Tenant(TenantId(tenant)),
        };
        let mut caller = Caller::new(reach, role, format!("api-key:{}", row.key_id), peer, request);
        // None at all: all that the role has. A word that is not known gives nothing.
        let scopes = (!row.scopes.is_empty()).then_some(row.scopes);
        caller.scopes = scopes.map(|scopes| scopes.iter().filter_map(|word| Permission::parse(word)).collect());
        Ok(Some(caller))
    }

    /// Makes a key; its secret is in the answer and nowhere else. A tenant's own key makes keys of its tenant only.
    pub async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<IssuedApiKey> {
        check_label(&new.name, MAX_NAME)?;
        if new.expires_at.is_some_and(|at| at <= self.now()) {
            return Err(Error::invalid("/expires_at", "out_of_range", "must be in the future"));
        }
        let mut tx = self.begin(caller).await?;
        let owner = match new.role {
            Role::PlatformAdmin => {
                if caller.tenant().is_some() {
                    return Err(Error::Forbidden);
                }
                if new.tenant.is_some() {
                    return Err(Error::invalid("/tenant", "invalid", "a platform-admin's key belongs to no tenant"));
                }
                None
            }
            _ => Some(tenant::parent(&mut tx, caller, new.tenant.as_ref()).await?),
        };
        let secret = token::new_api_key(&*self.random);
        let (key_id, created_at): (i64, DateTime<Utc>) = sqlx::query_as(
            "INSERT INTO restante.api_keys (key_hash, tenant_id, label, role, scopes, expires_at) VALUES ($1, $2, $3, $4, '{}', $5)
             RETURNING key_id, created_at",
        )
        .bind(token::api_key_hash(&secret).to_vec())
        .bind(owner.as_ref().map(|tenant| tenant.id.0))
        .bind(&new.name)
        .bind(new.role.code())
        .bind(new.expires_at)
        .fetch_one(&mut *tx)
        .await?;
        let event = Event {
            tenant: owner.as_ref().map_or(SERVICE, |tenant| tenant.id),
            action: "api-key.create",
            target: &format!("key_{key_id}"),
            before: None,
            after: Some(json!({"name": new.name, "role": new.role.as_str()})),
        };
        audit::record(&mut tx, caller, event).await?;
        self.finish(tx, caller).await?;
        let tenant = owner.map(|tenant| tenant.slug);
        let key = ApiKey { id: key_id, name: new.name, tenant, role: new.role, expires_at: new.expires_at, created_at };
        Ok(IssuedApiKey { key, secret })
    }

    /// One key that is not revoked.
    pub async fn api_key(&self, caller: &Caller, id: i64) -> Result<ApiKey> {
        let mut tx = self.begin(caller).await?;
        let row = sqlx::query_as::<_, ApiKeyRow>(
            "SELECT k.key_id, k.label, t.slug, k.role, k.expires_at, k.created_at
               FROM restante.api_keys k LEFT JOIN restante.tenants t ON t.tenant_id = k.tenant_id
              WHERE k.key_id = $1 AND k.revoked_at IS NULL AND ($2::integer IS NULL OR k.tenant_id = $2)",
        )
        .bind(id)
        .bind(caller.tenant().map(|tenant| tenant.0))
        .fetch_optional(&mut *tx)
        .await?;
        row.ok_or(Error::NotFound)?.key()
    }

    /// The keys that the caller sees and that are not revoked, in the order they were made.
    pub async fn api_keys(&self, caller: &Caller, of: Option<&TenantSlug>, page: &PageRequest) -> Result<Page<ApiKey>> {
        let after: Option<i64> = page.after()?;
        let mut tx = self.begin(caller).await?;
        let rows = sqlx::query_as::<_, ApiKeyRow>(
            "SELECT k.key_id, k.label, t.slug, k.role, k.expires_at, k.created_at
               FROM restante.api_keys k LEFT JOIN restante.tenants t ON t.tenant_id = k.tenant_id
              WHERE k.key_id > $1 AND k.revoked_at IS NULL
                AND ($3::text IS NULL OR t.slug = $3) AND ($4::integer IS NULL OR k.tenant_id = $4)
              ORDER BY k.key_id LIMIT $2",
        )
        .bind(after.unwrap_or(0))
        .bind(page.fetch())
        .bind(of.map(TenantSlug::as_str))
        .bind(caller.tenant().map(|tenant| tenant.0))
        .fetch_all(&mut *tx)
        .await?;
        page.page(rows, |row| row.key_id).try_map(ApiKeyRow::key)
    }

    /// Revokes a key: the next request with it is refused.
    pub async fn revoke_api_key(&self, caller: &Caller, id: i64) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let tenant: Option<Option<i32>> = sqlx::query_scalar(
            "UPDATE restante.api_keys SET revoked_at = now()
              WHERE key_id = $1 AND revoked_at IS NULL AND ($2::integer IS NULL OR tenant_id = $2) RETURNING tenant_id",
        )
        .bind(id)
        .bind(caller.tenant().map(|tenant| tenant.0))
        .fetch_optional(&mut *tx)
        .await?;
        let tenant = tenant.ok_or(Error::NotFound)?.map_or(SERVICE, TenantId);
        let target = format!("key_{id}");
        let event = Event { tenant, action: "api-key.revoke", target: &target, before: None, after: None };
        audit::record(&mut tx, caller, event).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }
}

/// Whether a key may be used from there.
fn allows(networks: Option<&str>, peer: Option<IpAddr>) -> bool {
    let Some(networks) = networks else { return true };
    let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return false };
    networks.split(',').filter_map(|network| network.parse::<IpNet>().ok()).any(|network| network.contains(&peer))
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
        "INSERT INTO restante.api_keys (key_hash, tenant_id, label, role, scopes) VALUES ($1, NULL, $2, $3, '{}') ON CONFLICT DO NOTHING",
    )
    .bind(token::api_key_hash(token).to_vec())
    .bind(name)
    .bind(Role::PlatformAdmin.code())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
