//! Who asks: every administrative call takes a [`Caller`], and the caller decides what the transaction can see. A tenant's
//! caller works as `restante_admin` under forced row-level security with its tenant set; a platform administrator's takes the
//! role `restante_platform`. Both last for the transaction only, so a pooled connection carries nothing over.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mail_types::{DomainName, SessionUuid, TenantId};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::{Directory, Effect, Error, Permission, Result, Role};

/// What a caller may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything: the operator's own.
    Platform,
    /// One tenant: anything else does not exist for it.
    Tenant(TenantId),
}

/// A proved caller of the administrative calls, with what the audit trail says about it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What it may reach.
    pub reach: Reach,
    /// What it may do there.
    pub role: Role,
    /// Narrows the role further, for a key with scopes.
    pub scopes: Option<Arc<[Permission]>>,
    /// The only domains that exist for it, for a domain-admin.
    pub domains: Option<Arc<[DomainName]>>,
    /// As it stands in the audit trail: `api-key:7`.
    pub actor: String,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
    /// The request, as it also stands in logs and answers.
    pub request: Uuid,
    /// Who it is.
    pub principal: Principal,
    /// Where the effects of a trial are collected; `None`: what is asked for is done.
    trial: Option<Arc<Mutex<Vec<Effect>>>>,
}

/// Who a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// The service itself, or the operator at its command line.
    Service,
    /// A machine, by its key, shown as `key_N`.
    ApiKey(i64),
    /// A person.
    Admin(SignedIn),
}

/// A person who signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedIn {
    /// The administrator, opaque to others: shown as `adm_N`.
    pub admin: i64,
    /// The sign-in: the family of refresh tokens that it began.
    pub session: SessionUuid,
}

impl Caller {
    /// A caller with all that its role allows.
    pub fn new(reach: Reach, role: Role, actor: String, peer: Option<IpAddr>, request: Uuid) -> Self {
        Self {
            reach,
            role,
            scopes: None,
            domains: None,
            actor,
            peer,
            request,
            principal: Principal::Service,
            trial: None,
        }
    }

    /// A caller inside the service itself, such as the provisioning of the demonstration.
    pub fn service(actor: &str, request: Uuid) -> Self {
        Self::new(Reach::Platform, Role::PlatformAdmin, actor.to_owned(), None, request)
    }

    /// The same caller, only trying: every change is made, looked at and rolled back.
    #[must_use]
    pub fn trying(mut self) -> Self {
        self.trial = Some(Arc::default());
        self
    }

    /// Whether nothing may stay of what is done.
    pub fn is_trying(&self) -> bool {
        self.trial.is_some()
    }

    /// What a trial would have done so far, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.trial.as_ref().map_or_else(Vec::new, |all| all.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Notes what a trial would have done; nothing for a caller that does it.
    pub fn note(&self, effect: impl FnOnce() -> Effect) {
        if let Some(all) = &self.trial {
            all.lock().unwrap_or_else(PoisonError::into_inner).push(effect());
        }
    }

    /// Whether the role, and the scopes if there are any, allow this. Mail itself is read only by whom a scope lets.
    pub fn allows(&self, permission: Permission) -> bool {
        let scoped = match &self.scopes {
            Some(scopes) => scopes.contains(&permission),
            None => permission != Permission::MessagesRaw,
        };
        scoped && self.role.allows(permission)
    }

    /// The person, if it is one.
    pub fn signed_in(&self) -> Option<SignedIn> {
        match self.principal {
            Principal::Admin(signed_in) => Some(signed_in),
            Principal::Service | Principal::ApiKey(_) => None,
        }
    }

    /// All that it may do, in the table's order.
    pub fn permissions(&self) -> impl Iterator<Item = Permission> {
        Permission::all().filter(|permission| self.allows(*permission))
    }

    /// Whether a domain of its tenant exists for the caller.
    pub(crate) fn sees_domain(&self, name: &DomainName) -> bool {
        self.domains.as_ref().is_none_or(|domains| domains.contains(name))
    }

    /// The domains that lists are narrowed to.
    pub(crate) fn domain_names(&self) -> Option<Vec<String>> {
        self.domains.as_ref().map(|domains| domains.iter().map(ToString::to_string).collect())
    }

    /// Refuses to give others what the caller itself may not do. Reading mail, which needs a scope, may be given by whose role has it.
    pub(crate) fn require_may_give(&self, mut permissions: impl Iterator<Item = Permission>) -> Result<()> {
        let has = |permission: Permission| {
            self.role.allows(permission) && self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&permission))
        };
        if self.domains.is_none() && permissions.all(has) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// Refuses who does not belong to the platform, and who may not do this.
    pub(crate) fn require(&self, permission: Permission) -> Result<()> {
        if self.allows(permission) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The tenant that queries are narrowed to; `None` for the platform's.
    pub fn tenant(&self) -> Option<TenantId> {
        match self.reach {
            Reach::Platform => None,
            Reach::Tenant(tenant) => Some(tenant),
        }
    }
}

impl Directory {
    /// A transaction that sees what the caller may see.
    pub(crate) async fn begin(&self, caller: &Caller) -> Result<Transaction<'static, Postgres>> {
        let mut tx = self.pool.begin().await?;
        match caller.reach {
            Reach::Platform => {
                sqlx::query("SET LOCAL ROLE restante_platform").execute(&mut *tx).await?;
            }
            Reach::Tenant(tenant) => enter(&mut tx, tenant).await?,
        }
        Ok(tx)
    }

    /// The end of a change: it stays, or, for a caller that only tries, is rolled back. Deferred checks are made in both cases.
    pub(crate) async fn finish(&self, mut tx: Transaction<'static, Postgres>, caller: &Caller) -> Result<()> {
        if caller.is_trying() {
            sqlx::query("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *tx).await?;
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Makes this the transaction's tenant: the functions that change a tenant's things refuse any other.
pub(crate) async fn enter(tx: &mut PgConnection, tenant: TenantId) -> Result<()> {
    sqlx::query("SELECT pg_catalog.set_config('restante.tenant_id', $1, true)")
        .bind(tenant.0.to_string())
        .execute(tx)
        .await?;
    Ok(())
}
