//! What an export of a tenant needs beyond the lists: what accounts prove themselves with (never a secret), and the audit trail.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, TenantId, TenantSlug};
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::{self, Event};
use crate::credential::{APP_PASSWORD, LEGACY_APP_PASSWORD, PASSWORD};
use crate::{Caller, Directory, Error, Permission, Result, Tenant, account, tenant};

/// What an account proves itself with.
#[derive(Debug, Default, Clone)]
pub struct ExportedCredentials {
    /// The password's hash as an import takes it; only where hashes were asked for.
    pub password_hash: Option<String>,
    /// App passwords, as the export shows them.
    pub app_passwords: Vec<Value>,
}

/// A line of the audit trail.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub struct ExportedEvent {
    /// Its place in the trail.
    pub event_id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// From where.
    pub address: Option<String>,
    /// By which request.
    pub request_id: Option<uuid::Uuid>,
    /// What it was.
    pub before: Option<Value>,
    /// What it is then.
    pub after: Option<Value>,
}

impl Directory {
    /// The tenant that is to be exported; the audit trail says so from then on. Mail needs the permission to read it; hashes of
    /// passwords are given to the platform only; a caller of some domains has no whole tenant.
    pub async fn begin_export(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        mail: bool,
        password_hashes: bool,
    ) -> Result<Tenant> {
        let mut tx = self.begin(caller).await?;
        let tenant = tenant::find(&mut tx, slug).await?.ok_or(Error::NotFound)?;
        if mail {
            caller.require(Permission::MessagesRaw)?;
        }
        if caller.domains.is_some() || (password_hashes && caller.tenant().is_some()) {
            return Err(Error::Forbidden);
        }
        let after = Some(json!({"mail": mail, "password_hashes": password_hashes}));
        let event = Event { tenant: tenant.id, action: "tenant.export", target: slug.as_str(), before: None, after };
        audit::record(&mut tx, caller, event).await?;
        tx.commit().await?;
        Ok(tenant)
    }

    /// Notes in the audit trail that a message is read, before it is.
    pub async fn note_reading(&self, caller: &Caller, address: &Address, unique_id: &str) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let after = Some(json!({"unique_id": unique_id}));
        account::record(&mut tx, caller, "message.read", &account, None, after).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What these accounts of a tenant prove themselves with.
    pub async fn export_credentials(
        &self,
        caller: &Caller,
        tenant: TenantId,
        accounts: &[AccountId],
        password_hashes: bool,
    ) -> Result<HashMap<AccountId, ExportedCredentials>> {
        let mut tx = self.begin(caller).await?;
        let rows: Vec<(i64, i16, Option<String>, Value)> = sqlx::query_as(
            "SELECT account_id, kind, CASE WHEN kind = $4 AND $5 THEN verifier END,
                    jsonb_build_object('id', 'cred_' || credential_id, 'name', label, 'legacy', kind = 3, 'allowed_networks', coalesce(to_jsonb(allowed_nets::text[]), '[]'),
                      'scopes', to_jsonb(array_remove(ARRAY[CASE WHEN scopes & 1 <> 0 THEN 'read' END, CASE WHEN scopes & 2 <> 0 THEN 'delete' END], NULL)),
                      'policy', coalesce(policy, '{}'), 'expires_at', expires_at, 'created_at', created_at)
               FROM restante.credentials
              WHERE tenant_id = $1 AND account_id = ANY ($2) AND kind = ANY ($3) AND revoked_at IS NULL ORDER BY account_id, credential_id",
        )
        .bind(tenant.0)
        .bind(accounts.iter().map(|account| account.0).collect::<Vec<_>>())
        .bind([PASSWORD, APP_PASSWORD, LEGACY_APP_PASSWORD].as_slice())
        .bind(PASSWORD)
        .bind(password_hashes)
        .fetch_all(&mut *tx)
        .await?;
        let mut all: HashMap<AccountId, ExportedCredentials> = HashMap::new();
        for (account, kind, verifier, shown) in rows {
            let of = all.entry(AccountId(account)).or_default();
            if kind == PASSWORD {
                // One of ours has no scheme's name.
                let named = |hash: String| if hash.starts_with('$') { format!("{{ARGON2ID}}{hash}") } else { hash };
                of.password_hash = verifier.map(named);
            } else {
                of.app_passwords.push(shown);
            }
        }
        Ok(all)
    }

    /// A page of a tenant's audit trail, in its order.
    pub async fn export_events(
        &self,
        caller: &Caller,
        tenant: TenantId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ExportedEvent>> {
        let mut tx = self.begin(caller).await?;
        let events = sqlx::query_as(
            "SELECT event_id, at, actor, action, target, host(address) AS address, request_id, before, after FROM restante.audit_events
              WHERE tenant_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3",
        )
        .bind(tenant.0)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
        Ok(events)
    }
}
