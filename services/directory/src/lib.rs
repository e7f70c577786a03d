//! Who: tenants, domains, accounts, aliases, credentials, authentication, API keys, and the audit trail of what was changed.
//! One file per noun; the SQL stands next to the type that it fills.
//!
//! Four kinds of process use it, each through a pool of its own database role:
//!
//! - `pop3` asks [`Directory::look_up`]: one call of `pop3_login_2`, no grant on any table.
//! - `lmtp` asks [`Directory::resolve`]: one call of `lmtp_resolve_1`, no grant on any table.
//! - `worker` does the jobs of tenants, through functions and without credentials of its own.
//! - `admin` does the rest. Every such call takes the [`Caller`] first and runs in one transaction that sees what the caller
//!   may see, under forced row-level security: a foreign thing is not found, exactly as a missing one.
//!
//! A thing that others see has its natural key (slug, domain name, address) or an opaque id; integers stay inside.

mod account;
mod admin;
mod alias;
mod api_key;
mod audit;
mod authenticate;
mod caller;
mod credential;
mod deliveries;
mod desk;
mod domain;
mod error;
mod export;
mod hash_pool;
mod housekeeping;
mod idempotency;
mod job;
mod login;
mod master_keys;
mod memory;
mod network;
mod overview;
mod page;
mod password;
mod policy;
mod proved;
mod quota;
mod resolve;
mod role;
mod scram;
mod seal;
mod search;
mod session_limits;
mod shown;
mod slow_down;
mod sort;
mod tenant;
mod token;
mod usage;
mod verifier;
mod version;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use mail_types::{Clock, Random};
use runtime::keys::MasterKeys;
use serde::Deserialize;
use sqlx::PgPool;

pub use account::{Account, AccountChange, AccountFilter, AccountStatus, NewAccount};
pub use admin::{
    Admin, AdminChange, AdminName, AdminStatus, IssuerHttp, Jwks, Me, NewAdmin, NewOidcIssuer, OidcAnswer, OidcIssuer,
    OidcOutcome, OidcRequest, OidcRules, RefreshOutcome, RequiredClaim, RoleClaim, SignIn, SignInFrom, SignInMethod,
    SignInOutcome, SignInSession, SignInSettings, Tokens, TotpOffer, rotate_signing_key,
};
pub use alias::{Alias, AliasAddress, NewAlias};
pub use api_key::{ApiKey, ApiKeyChange, IssuedApiKey, NewApiKey, bootstrap_admin_token, new_api_token};
pub use audit::{AuditEvent, AuditFilter, AuditPlace, Effect};
pub use caller::{Caller, Principal, Reach, SignedIn};
pub use credential::{AppPassword, IssuedAppPassword, NewAppPassword, Scope};
pub use deliveries::{Became, Deliveries, DeliverySettings, DueDelivery, Tried};
pub use desk::{
    Activity, ActivityFilter, ActivityKind, Certificate, CredentialName, Diagnosis, DnsFacts, DomainCounts, Finding,
    LiveReport, LiveSession, LiveSessionFilter, NewTranscript, RefusalReason, RefusedAttempt, RefusedLogins, Report,
    Reported, Severity, Tally, TallySettings, Transcript, TranscriptEntry, Whose, rules_as_markdown,
};
pub use domain::{Domain, DomainChange, DomainFilter, NewDomain};
pub use error::{Error, FieldError, Result};
pub use export::{ExportedCredentials, ExportedEvent};
pub use housekeeping::{AuditSwept, Housekeeper};
pub use idempotency::{Claim, KeptResponse};
pub use job::{
    ClaimedChunk, Job, JobError, JobFilter, JobKind, JobProgress, JobState, LineOutcome, MigratedAccount,
    MigrationLine, MigrationProgress, NewJob, ReceivingJob, WorkBounds, read_migration_line,
};
pub use login::{
    ClientCertificate, JwksFetch, JwksFuture, Login, LoginOutcome, LookedUp, Promises, Refusal, TokenOutcome, Witness,
    certificate_addresses, parse_login,
};
pub use master_keys::{MasterKeyUse, master_key_use, note_command, reseal};
pub use overview::{
    Bucket as OverviewBucket, Full, Health, HealthState, MOST_HOURS as MOST_OVERVIEW_HOURS, Overview, Part,
};
pub use page::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest};
pub use password::{MAX_OCTETS as MAX_PASSWORD_OCTETS, MIN_CHARACTERS as MIN_PASSWORD_CHARACTERS, NewPassword};
pub use policy::{
    AddressClaim, ClientCa, Dele, EffectivePolicy, Expire, OauthIssuer, OverQuota, Policy, PolicyChange,
    SessionsPolicy, Utf8, View,
};
pub use quota::{Quota, QuotaChange};
pub use resolve::{Resolution, Target};
pub use role::{Permission, Role};
pub use search::{Found, FoundKind};
pub use session_limits::{SessionLimit, SessionLimits, SessionLimitsSettings, SessionPlace};
pub use slow_down::SlowDownSettings;
pub use sort::{Sort, SortBy};
pub use tenant::{NewTenant, Tenant, TenantChange, TenantFilter, TenantStatus};
pub use usage::Usage;
pub use version::Precondition;
pub use webhook::{DeliveryState, NewWebhook, Webhook, WebhookChange, WebhookDelivery, WebhookSecret};

/// How the directory shares out what is scarce. All have defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Password hashes computed at once; each takes 19 MiB. Default: the number of cores.
    pub argon2_parallel: usize,
    /// Logins that wait for a password hash; over it, those of who has most are told to come again. Default 256.
    pub argon2_queue: usize,
    /// How long a login waits for its turn before it is told to come again, in milliseconds. Default 800: shorter than the
    /// moment at which failures are answered, so that a wait is not to be seen from outside.
    pub argon2_wait_ms: u64,
    /// How long a password that was right is not hashed again, in seconds. Default 3600.
    pub right_seconds: u64,
    /// The same for one that was wrong. Default 3600.
    pub wrong_seconds: u64,
    /// How many of each are remembered. Default 100 000.
    pub remembered: usize,
    /// Days after which a claim of a domain that nobody proved is forgotten, unless something lies in it. Default 30.
    pub claim_days: u32,
    /// Days that the audit log is kept for everybody, to the end of the month; a tenant's policy may keep it longer. Default 400.
    pub audit_days: u32,
    /// The most webhooks of one tenant, and of the platform. Default 20.
    pub webhooks_per_tenant: u32,
    /// Hours that the secret before the last still signs, once another was made. Default 24.
    pub webhook_old_secret_hours: u32,
    /// How failed logins slow down the next ones.
    pub slow_down: SlowDownSettings,
    /// How long what administrators sign in with lasts.
    pub sign_in: SignInSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            argon2_parallel: cores,
            argon2_queue: 256,
            argon2_wait_ms: 800,
            right_seconds: 3600,
            wrong_seconds: 3600,
            remembered: 100_000,
            claim_days: 30,
            audit_days: 400,
            webhooks_per_tenant: 20,
            webhook_old_secret_hours: 24,
            slow_down: SlowDownSettings::default(),
            sign_in: SignInSettings::default(),
        }
    }
}

/// What this process knows of logins: nothing that matters after it.
#[derive(Debug)]
struct Logins {
    proved: proved::Proved,
    slow_down: slow_down::SlowDown,
    hashes: hash_pool::HashPool,
    /// How long a login waits for a hash.
    patience: Duration,
}

/// The directory, over a pool of one database role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory {
    pool: PgPool,
    keys: MasterKeys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    logins: Arc<Logins>,
    claim_days: u32,
    webhooks_per_tenant: u32,
    webhook_old_secret_hours: u32,
    key_sets: Option<Arc<login::KeySets>>,
    sign_in: Arc<SignInSettings>,
    signing: Arc<admin::SigningKeys>,
    oidc: Option<Arc<admin::OidcClient>>,
    noted: Arc<authenticate::NotedKeys>,
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
        let sign_in = Arc::new(settings.sign_in);
        let bounds = hash_pool::Bounds { parallel: settings.argon2_parallel, queue: settings.argon2_queue };
        let seconds = Duration::from_secs;
        let (right, wrong) = (seconds(settings.right_seconds), seconds(settings.wrong_seconds));
        let logins = Logins {
            proved: proved::Proved::new(&*random, settings.remembered, right, wrong),
            slow_down: slow_down::SlowDown::new(settings.slow_down),
            hashes: hash_pool::HashPool::new(bounds, Arc::clone(&clock)),
            patience: Duration::from_millis(settings.argon2_wait_ms),
        };
        Self {
            pool,
            keys,
            clock,
            random,
            logins: Arc::new(logins),
            claim_days: settings.claim_days,
            webhooks_per_tenant: settings.webhooks_per_tenant,
            webhook_old_secret_hours: settings.webhook_old_secret_hours,
            key_sets: None,
            sign_in,
            signing: Arc::default(),
            oidc: None,
            noted: Arc::default(),
        }
    }

    /// With a way to the keys of issuers; without it, no token can be checked.
    #[must_use]
    pub fn with_issuers(mut self, fetch: Arc<dyn JwksFetch>) -> Self {
        self.key_sets = Some(Arc::new(login::KeySets::new(fetch, Arc::clone(&self.clock))));
        self
    }

    /// With a way to issuers that sign administrators in; without it, none does.
    #[must_use]
    pub fn with_oidc(mut self, http: Arc<dyn IssuerHttp>) -> Self {
        self.oidc = Some(Arc::new(admin::OidcClient::new(http, Arc::clone(&self.clock))));
        self
    }

    /// The time, as the database's timestamps are compared with it.
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let ms = i64::try_from(self.clock.now().unix_ms()).unwrap_or(i64::MAX);
        chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default()
    }
}
