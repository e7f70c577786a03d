//! Who: tenants, domains, accounts, aliases, credentials, authentication, API keys, and the audit trail of what was changed.
//! One file per noun; the SQL stands next to the type that it fills.
//!
//! Three kinds of process use it, each through a pool of its own database role:
//!
//! - `pop3` asks [`Directory::login`]: one call of `pop3_login_1`, no grant on any table.
//! - `lmtp` asks [`Directory::resolve`]: one call of `lmtp_resolve_1`, no grant on any table.
//! - `admin` does the rest. Every such call takes the [`Caller`] first and runs in one transaction that sees what the caller
//!   may see, under forced row-level security: a foreign thing is not found, exactly as a missing one.
//!
//! A thing that others see has its natural key (slug, domain name, address) or an opaque id; integers stay inside.

mod account;
mod alias;
mod api_key;
mod audit;
mod caller;
mod credential;
mod domain;
mod error;
mod idempotency;
mod login;
mod message;
mod page;
mod password;
mod policy;
mod resolve;
mod shown;
mod tenant;
mod token;
mod usage;
mod version;

use std::sync::Arc;
use std::time::Duration;

use mail_types::{Clock, Random};
use runtime::keys::MasterKeys;
use serde::Deserialize;
use sqlx::PgPool;

pub use account::{Account, AccountChange, AccountQuota, AccountStatus, NewAccount};
pub use alias::{Alias, AliasAddress, NewAlias};
pub use api_key::{ApiKey, IssuedApiKey, NewApiKey, Role, bootstrap_admin_token, new_api_token};
pub use caller::{Caller, Reach};
pub use credential::{AppPassword, IssuedAppPassword, NewAppPassword, Scope};
pub use domain::{Domain, DomainChange, NewDomain};
pub use error::{Error, FieldError, Result};
pub use idempotency::{Claim, KeptResponse};
pub use login::{Login, LoginOutcome, Refusal};
pub use message::MessageEntry;
pub use page::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest};
pub use password::{MAX_OCTETS as MAX_PASSWORD_OCTETS, MIN_CHARACTERS as MIN_PASSWORD_CHARACTERS};
pub use policy::{OverQuota, Policy};
pub use resolve::{Resolution, Target};
pub use tenant::{NewTenant, Tenant, TenantChange, TenantQuota, TenantStatus};
pub use usage::Usage;
pub use version::Precondition;

/// How the directory shares out what is scarce. All have defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Password hashes computed at once; each takes 19 MiB. Default: the number of cores.
    pub argon2_parallel: usize,
    /// How long a login waits for its turn before it is told to come again, in milliseconds. Default 5000.
    pub argon2_wait_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { argon2_parallel: cores, argon2_wait_ms: 5000 }
    }
}

/// The directory, over a pool of one database role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory {
    pool: PgPool,
    keys: MasterKeys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    hasher: password::Hasher,
}

impl Directory {
    /// Over a pool whose connections have the role of this process: pop3, lmtp or admin.
    pub fn new(
        pool: PgPool,
        keys: MasterKeys,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: Settings,
    ) -> Self {
        let hasher = password::Hasher::new(settings.argon2_parallel, Duration::from_millis(settings.argon2_wait_ms));
        Self { pool, keys, clock, random, hasher }
    }

    /// The time, as the database's timestamps are compared with it.
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let ms = i64::try_from(self.clock.now().unix_ms()).unwrap_or(i64::MAX);
        chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default()
    }
}
