//! Accounts: one login and one maildrop each, under an address of their domain.

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, DomainName, Secret, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::audit::{self, Event};
use crate::error::inconsistent;
use crate::policy::{EffectivePolicy, Level};
use crate::scram::Salt;
use crate::{
    Caller, Directory, Error, Policy, PolicyChange, Precondition, Quota, QuotaChange, Result, alias, credential,
    domain, password, shown,
};

/// Whether an account is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// Served.
    Active,
    /// No login; mail still comes in.
    Suspended,
    /// Neither; restorable until the retention has passed.
    Deleted,
}

impl AccountStatus {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Active => 1,
            Self::Suspended => 2,
            Self::Deleted => 3,
        }
    }
}

/// An account as administrators see it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Inside the service.
    pub id: AccountId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Whose it is.
    pub tenant: TenantSlug,
    /// Its natural key, as it was given when it was made.
    pub address: Address,
    /// Whether it is served.
    pub status: AccountStatus,
    /// What its maildrop may hold.
    pub quota: Quota,
    /// What it decides.
    pub policy: Policy,
    /// Whether it has a password besides its app passwords.
    pub has_password: bool,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its address.
    pub address: Address,
    /// Its password; without one it needs app passwords.
    pub password: Option<Secret>,
    /// What its maildrop may hold.
    pub quota: Quota,
}

/// What to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// Whether it is served.
    pub status: Option<AccountStatus>,
    /// What its maildrop may hold.
    pub quota: QuotaChange,
    /// What it decides.
    pub policy: PolicyChange,
}

/// Which accounts of a list.
#[derive(Debug, Clone, Default)]
pub struct AccountFilter {
    /// Those of this tenant.
    pub tenant: Option<TenantSlug>,
    /// Those in this domain.
    pub domain: Option<DomainName>,
    /// Those whose local part, as addresses are compared, begins so.
    pub prefix: Option<String>,
    /// Those with this status; `None`: all but the deleted ones.
    pub status: Option<AccountStatus>,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    tenant_id: i32,
    domain_id: i64,
    account_id: i64,
    local_key: String,
    slug: String,
    local_part: String,
    domain: String,
    status: i16,
    max_octets: Option<i64>,
    max_messages: Option<i32>,
    max_hourly: Option<i32>,
    deleted_at: Option<DateTime<Utc>>,
    policy: Option<Value>,
    has_password: bool,
    row_version: i64,
    created_at: DateTime<Utc>,
}

/// A query for [`AccountRow`]s: what they are read from, given the tables `a`, `d` and `t` and where the local key stands.
macro_rules! select_accounts {
    ($local_key:literal, $from:literal) => {
        concat!(
            "SELECT a.tenant_id, a.domain_id, a.account_id, ",
            $local_key,
            " AS local_key, t.slug, a.local_part, d.name AS domain, a.status, a.max_octets, a.max_messages, a.max_hourly, a.deleted_at,
                    a.policy, a.row_version, a.created_at,
                    EXISTS (SELECT FROM restante.credentials c
                             WHERE c.tenant_id = a.tenant_id AND c.account_id = a.account_id AND c.kind = 1 AND c.revoked_at IS NULL)
                    AS has_password
               FROM ",
            $from
        )
    };
}

mod list;

impl AccountRow {
    fn account(self) -> Result<Account> {
        Ok(Account {
            id: AccountId(self.account_id),
            tenant_id: TenantId(self.tenant_id),
            tenant: shown::slug(&self.slug)?,
            address: shown::address(&self.local_part, &self.domain, "accounts")?,
            status: match self.status {
                1 => AccountStatus::Active,
                2 => AccountStatus::Suspended,
                3 => AccountStatus::Deleted,
                _ => return Err(inconsistent("accounts", "status")),
            },
            quota: Quota {
                octets: self.max_octets,
                messages: self.max_messages.map(i64::from),
                deliveries_per_hour: self.max_hourly,
                ..Quota::default()
            },
            deleted_at: self.deleted_at,
            policy: Policy::from_column(self.policy, "accounts")?,
            has_password: self.has_password,
            version: self.row_version,
            created_at: self.created_at,
        })
    }
}

impl Directory {
    /// Makes an account with its maildrop, and its password if one is given.
    pub async fn create_account(&self, caller: &Caller, new: NewAccount) -> Result<Account> {
        check_new_local_part(&new.address)?;
        if let Some(password) = &new.password {
            password::check_policy(password).map_err(|error| Error::Invalid(vec![error]))?;
        }
        // The parent is looked for before the hash, which is made outside the transaction that uses it.
        let mut look = self.begin(caller).await?;
        let (tenant, _) = domain::enter_domain(&mut look, caller, &new.address.domain)
            .await?
            .ok_or_else(|| Error::no_parent("/address", "domain"))?;
        let salt = Salt::new(&*self.random);
        let policy = EffectivePolicy::of_domain(&mut look, tenant, &new.address.domain).await?;
        drop(look);
        let password = match &new.password {
            Some(password) => Some(self.keep(tenant, password, policy.scram_passwords.then(|| salt.clone())).await?),
            None => None,
        };

        let mut tx = self.begin(caller).await?;
        let (tenant, domain) = domain::enter_domain(&mut tx, caller, &new.address.domain)
            .await?
            .ok_or_else(|| Error::no_parent("/address", "domain"))?;
        let account: i64 = sqlx::query_scalar("SELECT restante.admin_create_account_1($1, $2, $3, $4, $5, $6, $7)")
            .bind(tenant.0)
            .bind(domain.0)
            .bind(new.address.local.as_str())
            .bind(new.address.local.key().as_str())
            .bind(new.quota.octets)
            .bind(messages(&new.quota)?)
            .bind(&salt.octets)
            .fetch_one(&mut *tx)
            .await
            .map_err(|error| refine_creation(Error::from(error)))?;
        let id = AccountId(account);
        check_quota(&mut tx, &new.quota, tenant, &new.address.domain).await?;
        if new.quota.deliveries_per_hour.is_some() {
            sqlx::query("UPDATE restante.accounts SET max_hourly = $3 WHERE tenant_id = $1 AND account_id = $2")
                .bind(tenant.0)
                .bind(id.0)
                .bind(new.quota.deliveries_per_hour)
                .execute(&mut *tx)
                .await?;
        }
        if let Some(password) = password {
            credential::insert_password(&mut tx, tenant, id, &password).await?;
        }
        let account =
            find(&mut tx, caller, &new.address).await?.ok_or_else(|| inconsistent("addresses", "account_id"))?;
        record(&mut tx, caller, "account.create", &account, None, Some(audited(&account))).await?;
        self.finish(tx, caller).await?;
        Ok(account)
    }

    /// One account.
    pub async fn account(&self, caller: &Caller, address: &Address) -> Result<Account> {
        let mut tx = self.begin(caller).await?;
        find(&mut tx, caller, address).await?.ok_or(Error::NotFound)
    }

    /// One account that is about to be delivered to: refused where its tenant is suspended or full.
    pub async fn account_to_deliver(&self, caller: &Caller, address: &Address) -> Result<Account> {
        let mut tx = self.begin(caller).await?;
        let account = find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let (active, full): (bool, Option<bool>) = sqlx::query_as(
            "SELECT t.status = 1, (SELECT bool_or(u.octets >= l.octets OR u.messages >= l.messages)
                      FROM (SELECT 0::bigint, t.max_octets, t.max_messages UNION ALL SELECT d.domain_id, d.max_octets, d.max_messages) AS l (id, octets, messages)
                      JOIN restante.usage_now u ON u.tenant_id = t.tenant_id AND u.domain_id = l.id)
               FROM restante.tenants t JOIN restante.domains d ON d.tenant_id = t.tenant_id AND d.name = $2
              WHERE t.tenant_id = $1",
        )
        .bind(account.tenant_id.0)
        .bind(account.address.domain.as_str())
        .fetch_one(&mut *tx)
        .await?;
        match (active, full) {
            (false, _) => Err(Error::Suspended),
            (true, Some(true)) => Err(Error::OverQuota),
            (true, _) => Ok(account),
        }
    }

    /// Changes an account's status or quota.
    pub async fn change_account(
        &self,
        caller: &Caller,
        address: &Address,
        change: AccountChange,
        precondition: &Precondition,
    ) -> Result<Account> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, address, precondition).await?;
        let status = change.status.unwrap_or(before.status);
        let policy = change.policy.apply(before.policy.clone());
        policy.check(Level::Account)?;
        if policy.sessions != before.policy.sessions {
            let of_domain = EffectivePolicy::of_domain(&mut tx, before.tenant_id, &before.address.domain).await?;
            policy.sessions.check_within(&of_domain.sessions)?;
        }
        let quota = change.quota.apply(before.quota);
        if quota != before.quota {
            check_quota(&mut tx, &quota, before.tenant_id, &before.address.domain).await?;
        }
        sqlx::query(
            "UPDATE restante.accounts
                SET status = $3, max_octets = $4, max_messages = $5, max_hourly = $7, policy = $6, row_version = row_version + 1,
                    auth_version = auth_version + CASE WHEN status = $3 AND coalesce(policy, '{}') = $6 THEN 0 ELSE 1 END
              WHERE tenant_id = $1 AND account_id = $2",
        )
        .bind(before.tenant_id.0)
        .bind(before.id.0)
        .bind(status.code())
        .bind(quota.octets)
        .bind(messages(&quota)?)
        .bind(policy.to_json())
        .bind(quota.deliveries_per_hour)
        .execute(&mut *tx)
        .await?;
        let after = find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "account.change", &after, Some(audited(&before)), Some(audited(&after))).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Deletes an account: it has no login and gets no mail, and its address is free. Refused while an alias leads to it, unless
    /// `cascade`: the alias then leads there no more. It can be restored with all that it had until the retention has passed.
    pub async fn delete_account(
        &self,
        caller: &Caller,
        address: &Address,
        cascade: bool,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let before = find_locked(&mut tx, caller, address, precondition).await?;
        let aliases = alias::leading_to(&mut tx, before.tenant_id, before.id).await?;
        if !aliases.is_empty() && !cascade {
            return Err(Error::InUse("an alias leads to the account"));
        }
        sqlx::query(
            "UPDATE restante.accounts
                SET status = 3, deleted_at = now(), row_version = row_version + 1, auth_version = auth_version + 1
              WHERE tenant_id = $1 AND account_id = $2",
        )
        .bind(before.tenant_id.0)
        .bind(before.id.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM restante.addresses WHERE tenant_id = $1 AND account_id = $2")
            .bind(before.tenant_id.0)
            .bind(before.id.0)
            .execute(&mut *tx)
            .await?;
        let mut was = audited(&before);
        if let (Value::Object(was), false) = (&mut was, aliases.is_empty()) {
            was.insert("aliases".to_owned(), aliases.into());
        }
        record(&mut tx, caller, "account.delete", &before, Some(was), None).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// Restores the account of this address that was deleted last, with its credentials, its mail, and the aliases that led to it.
    pub async fn restore_account(&self, caller: &Caller, address: &Address) -> Result<Account> {
        let mut tx = self.begin(caller).await?;
        let (tenant, domain) = domain::enter_domain(&mut tx, caller, &address.domain).await?.ok_or(Error::NotFound)?;
        let key = address.local.key();
        let gone: Vec<(i64, String)> = sqlx::query_as(
            "SELECT account_id, local_part FROM restante.accounts
              WHERE tenant_id = $1 AND domain_id = $2 AND status = 3 ORDER BY deleted_at DESC FOR UPDATE",
        )
        .bind(tenant.0)
        .bind(domain.0)
        .fetch_all(&mut *tx)
        .await?;
        let mut last = None;
        for (account, local) in gone {
            if shown::address(&local, address.domain.as_str(), "accounts")?.local.key() == key {
                last = Some(account);
                break;
            }
        }
        let account = last.ok_or(Error::NotFound)?;
        sqlx::query("SELECT restante.admin_account_room_1($1, $2)")
            .bind(tenant.0)
            .bind(domain.0)
            .execute(&mut *tx)
            .await
            .map_err(|error| refine_creation(Error::from(error)))?;
        sqlx::query(
            "INSERT INTO restante.addresses (tenant_id, domain_id, local_key, account_id) VALUES ($1, $2, $3, $4)",
        )
        .bind(tenant.0)
        .bind(domain.0)
        .bind(key.as_str())
        .bind(account)
        .execute(&mut *tx)
        .await
        .map_err(|error| refine_creation(Error::from(error)))?;
        sqlx::query(
            "UPDATE restante.accounts
                SET status = 1, deleted_at = NULL, row_version = row_version + 1, auth_version = auth_version + 1
              WHERE tenant_id = $1 AND account_id = $2",
        )
        .bind(tenant.0)
        .bind(account)
        .execute(&mut *tx)
        .await?;
        let account = find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        record(&mut tx, caller, "account.restore", &account, None, Some(audited(&account))).await?;
        self.finish(tx, caller).await?;
        Ok(account)
    }
}

/// Messages of a quota as an account's row has them.
fn messages(quota: &Quota) -> Result<Option<i32>> {
    quota
        .messages
        .map(i32::try_from)
        .transpose()
        .map_err(|_| Error::invalid("/quota/messages", "out_of_range", format!("must be between 0 and {}", i32::MAX)))
}

/// Refuses a quota over the domain's or the tenant's.
async fn check_quota(tx: &mut PgConnection, quota: &Quota, tenant: TenantId, domain: &DomainName) -> Result<()> {
    let (of_tenant, of_domain) = domain::quotas(tx, tenant, domain).await?;
    quota.check_within(&of_domain, "domain")?;
    quota.check_within(&of_tenant, "tenant")
}

/// What an account cannot be called: a subaddress, which would be compared without it, and the catch-all's star.
pub(crate) fn check_new_local_part(address: &Address) -> Result<()> {
    if address.local.has_subaddress() {
        return Err(Error::invalid("/address", "invalid", "the local part must not have a subaddress (+)"));
    }
    if address.local.as_str() == "*" {
        return Err(Error::invalid("/address", "invalid", "*@domain is the catch-all: make it as an alias"));
    }
    Ok(())
}

/// What the refusals of `admin_create_account_1` mean.
fn refine_creation(error: Error) -> Error {
    match &error {
        Error::Fault(sqlx::Error::Database(cause)) if cause.code().as_deref() == Some("RS002") => {
            Error::LimitReached("the tenant has its most accounts")
        }
        Error::Fault(sqlx::Error::Database(cause)) if cause.code().as_deref() == Some("RS003") => {
            Error::LimitReached("the domain has its most accounts")
        }
        _ => error.or_duplicate("an account or alias with this address"),
    }
}

/// The account of this address that the caller sees, with the transaction entered into its tenant. An address with a subaddress
/// names no account.
pub(crate) async fn find(tx: &mut PgConnection, caller: &Caller, address: &Address) -> Result<Option<Account>> {
    if address.local.has_subaddress() {
        return Ok(None);
    }
    let Some((tenant, domain)) = domain::enter_domain(tx, caller, &address.domain).await? else { return Ok(None) };
    sqlx::query_as::<_, AccountRow>(select_accounts!(
        "r.local_key",
        "restante.addresses r
           JOIN restante.accounts a ON a.tenant_id = r.tenant_id AND a.account_id = r.account_id
           JOIN restante.domains d ON d.tenant_id = r.tenant_id AND d.domain_id = r.domain_id
           JOIN restante.tenants t ON t.tenant_id = r.tenant_id
          WHERE r.tenant_id = $1 AND r.domain_id = $2 AND r.local_key = $3"
    ))
    .bind(tenant.0)
    .bind(domain.0)
    .bind(address.local.key().as_str())
    .fetch_optional(tx)
    .await?
    .map(AccountRow::account)
    .transpose()
}

/// The same, locked and of the version that the caller named.
pub(crate) async fn find_locked(
    tx: &mut PgConnection,
    caller: &Caller,
    address: &Address,
    precondition: &Precondition,
) -> Result<Account> {
    let found = find(tx, caller, address).await?.ok_or(Error::NotFound)?;
    sqlx::query("SELECT FROM restante.accounts WHERE tenant_id = $1 AND account_id = $2 FOR UPDATE")
        .bind(found.tenant_id.0)
        .bind(found.id.0)
        .execute(&mut *tx)
        .await?;
    // Read again: what was found may have been changed or deleted while the lock was waited for.
    let account = find(tx, caller, address).await?.filter(|account| account.id == found.id).ok_or(Error::NotFound)?;
    precondition.check(account.version)?;
    Ok(account)
}

/// Says that an account's credentials changed: its version grows, and so does what login caches are keyed by.
pub(crate) async fn touch_credentials(tx: &mut PgConnection, tenant: TenantId, account: AccountId) -> Result<()> {
    sqlx::query(
        "UPDATE restante.accounts SET row_version = row_version + 1, auth_version = auth_version + 1
          WHERE tenant_id = $1 AND account_id = $2",
    )
    .bind(tenant.0)
    .bind(account.0)
    .execute(tx)
    .await?;
    Ok(())
}

fn audited(account: &Account) -> Value {
    json!({
        "status": account.status.as_str(), "has_password": account.has_password,
        "quota": account.quota.audited(), "policy": account.policy.to_json(),
    })
}

/// Writes what was done to an account.
pub(crate) async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    account: &Account,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let target = account.address.to_string();
    audit::record(tx, caller, Event { tenant: account.tenant_id, action, target: &target, before, after }).await
}
