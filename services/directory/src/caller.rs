//! Who asks: every administrative call takes a [`Caller`], and the caller decides what the transaction can see. A tenant's
//! caller works as `restante_admin` under forced row-level security with its tenant set; a platform administrator's takes the
//! role `restante_platform`. Both last for the transaction only, so a pooled connection carries nothing over.

use std::net::IpAddr;

use mail_types::TenantId;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::{Directory, Error, Result};

/// What a caller may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Everything: a platform administrator.
    Platform,
    /// One tenant: anything else does not exist for it.
    Tenant(TenantId),
}

/// A proved caller of the administrative calls, with what the audit trail says about it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What it may reach.
    pub reach: Reach,
    /// As it stands in the audit trail: `api-key:7`.
    pub actor: String,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
    /// The request, as it also stands in logs and answers.
    pub request: Uuid,
}

impl Caller {
    /// A caller inside the service itself, such as the provisioning of the demonstration.
    pub fn service(actor: &str, request: Uuid) -> Self {
        Self { reach: Reach::Platform, actor: actor.to_owned(), peer: None, request }
    }

    /// Refuses all but platform administrators.
    pub(crate) fn require_platform(&self) -> Result<()> {
        match self.reach {
            Reach::Platform => Ok(()),
            Reach::Tenant(_) => Err(Error::Forbidden),
        }
    }

    /// The tenant that queries are narrowed to; `None` for a platform administrator.
    pub(crate) fn tenant(&self) -> Option<TenantId> {
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
}

/// Makes this the transaction's tenant: the functions that change a tenant's things refuse any other.
pub(crate) async fn enter(tx: &mut PgConnection, tenant: TenantId) -> Result<()> {
    sqlx::query("SELECT pg_catalog.set_config('restante.tenant_id', $1, true)")
        .bind(tenant.0.to_string())
        .execute(tx)
        .await?;
    Ok(())
}
