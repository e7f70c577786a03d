//! Credentials of accounts: the password, and app passwords, one per device. What is kept of a secret is emptied when its
//! credential is revoked: nothing that could be tried offline outlives its use.

use chrono::{DateTime, Utc};
use mail_types::{AccountId, Address, CredentialId, Secret, TenantId};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::ipnet::IpNet;

use crate::password::{KeptPassword, NewPassword};
use crate::policy::{EffectivePolicy, Level};
use crate::scram::Salt;
use crate::seal::Whose;
use crate::{Caller, Directory, Error, Policy, Precondition, Result, account, password, seal, token, verifier};

/// The column `kind` of a password.
pub(crate) const PASSWORD: i16 = 1;
/// The column `kind` of an app password.
pub(crate) const APP_PASSWORD: i16 = 2;
/// The column `kind` of an app password whose secret can be recovered.
pub(crate) const LEGACY_APP_PASSWORD: i16 = 3;

const APP_PASSWORDS: [i16; 2] = [APP_PASSWORD, LEGACY_APP_PASSWORD];

/// The most app passwords of one account that are in force.
const MAX_APP_PASSWORDS: i64 = 100;
/// The longest name of an app password, in characters.
const MAX_NAME: usize = 100;
/// The most networks of one credential.
const MAX_NETWORKS: usize = 50;

const READ: i16 = 1;
const DELETE: i16 = 2;

/// What a credential allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To see and fetch mail.
    Read,
    /// To expunge mail at QUIT.
    Delete,
}

impl Scope {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Delete => "delete",
        }
    }

    /// From the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Delete].into_iter().find(|scope| scope.as_str() == word)
    }
}

/// Whether the bits of a credential allow fetching.
pub(crate) fn may_read(scopes: i16) -> bool {
    scopes & READ != 0
}

/// Whether the bits of a credential allow expunging.
pub(crate) fn may_expunge(scopes: i16) -> bool {
    scopes & DELETE != 0
}

fn bits(scopes: &[Scope]) -> i16 {
    scopes.iter().fold(0, |bits, scope| {
        bits | match scope {
            Scope::Read => READ,
            Scope::Delete => DELETE,
        }
    })
}

/// An app password as administrators see it: never the secret.
#[derive(Debug, Clone)]
pub struct AppPassword {
    /// Opaque to others: shown as `cred_N`.
    pub id: CredentialId,
    /// The device it was made for.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// From where; empty: from everywhere.
    pub allowed_networks: Vec<IpNet>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the device sees, and what its DELE does.
    pub policy: Policy,
    /// Whether it also works with mechanisms that need a recoverable secret.
    pub legacy: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the hour.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// An app password that was just made, with the secret that is shown this once.
#[derive(Debug)]
pub struct IssuedAppPassword {
    /// What was made.
    pub app_password: AppPassword,
    /// `rst-…`
    pub secret: Secret,
}

/// An app password to be made.
#[derive(Debug, Clone, Default)]
pub struct NewAppPassword {
    /// The device it is for; 1 to 100 characters.
    pub name: String,
    /// What it allows: at least reading.
    pub scopes: Vec<Scope>,
    /// From where; empty: from everywhere.
    pub allowed_networks: Vec<IpNet>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the device sees, and what its DELE does, where the account does not decide it.
    pub policy: Policy,
    /// Whether it is for a client that knows only APOP, CRAM-MD5 or NTLM: its secret is kept, sealed. Only where the domain's
    /// policy allows such mechanisms.
    pub legacy: bool,
}

#[derive(sqlx::FromRow)]
struct AppPasswordRow {
    credential_id: i64,
    label: String,
    scopes: i16,
    allowed_nets: Option<Vec<IpNet>>,
    expires_at: Option<DateTime<Utc>>,
    policy: Option<Value>,
    kind: i16,
    created_at: DateTime<Utc>,
    last_at: Option<DateTime<Utc>>,
}

impl TryFrom<AppPasswordRow> for AppPassword {
    type Error = Error;

    fn try_from(row: AppPasswordRow) -> Result<Self> {
        let all = [(READ, Scope::Read), (DELETE, Scope::Delete)];
        Ok(Self {
            id: CredentialId(row.credential_id),
            name: row.label,
            scopes: all.into_iter().filter(|(bit, _)| row.scopes & bit != 0).map(|(_, scope)| scope).collect(),
            allowed_networks: row.allowed_nets.unwrap_or_default(),
            expires_at: row.expires_at,
            policy: Policy::from_column(row.policy, "credentials")?,
            legacy: row.kind == LEGACY_APP_PASSWORD,
            created_at: row.created_at,
            last_used_at: row.last_at,
        })
    }
}

impl Directory {
    /// Sets an account's password in place of the one before; app passwords stay. SCRAM's keys are kept of it where the policy
    /// says so and it is known in clear; of one that another server hashed, the next login with it makes them.
    pub async fn set_password(
        &self,
        caller: &Caller,
        address: &Address,
        password: impl Into<NewPassword>,
        precondition: &Precondition,
    ) -> Result<()> {
        let kept = match password.into() {
            NewPassword::Clear(password) => {
                password::check_policy(&password).map_err(|error| Error::Invalid(vec![error]))?;
                // Looked for before the hash, which is made outside the transaction that uses it.
                let mut look = self.begin(caller).await?;
                let account = account::find(&mut look, caller, address).await?.ok_or(Error::NotFound)?;
                let policy = EffectivePolicy::of_account(&mut look, &account).await?;
                let salt = Salt::of_account(&mut look, &account).await?;
                drop(look);
                self.keep(account.tenant_id, &password, policy.scram_passwords.then_some(salt)).await?
            }
            NewPassword::Hashed(hash) => {
                let verifier = verifier::import(&hash).map_err(|error| Error::Invalid(vec![error]))?;
                KeptPassword { verifier, scram: None }
            }
        };
        let mut tx = self.begin(caller).await?;
        let account = account::find_locked(&mut tx, caller, address, precondition).await?;
        let had = revoke_password(&mut tx, account.tenant_id, account.id).await?;
        insert_password(&mut tx, account.tenant_id, account.id, &kept).await?;
        account::touch_credentials(&mut tx, account.tenant_id, account.id).await?;
        let (before, after) = (json!({"has_password": had}), json!({"has_password": true}));
        account::record(&mut tx, caller, "account.set-password", &account, Some(before), Some(after)).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// Takes an account's password away; app passwords stay.
    pub async fn remove_password(&self, caller: &Caller, address: &Address, precondition: &Precondition) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let account = account::find_locked(&mut tx, caller, address, precondition).await?;
        let had = revoke_password(&mut tx, account.tenant_id, account.id).await?;
        account::touch_credentials(&mut tx, account.tenant_id, account.id).await?;
        let (before, after) = (json!({"has_password": had}), json!({"has_password": false}));
        account::record(&mut tx, caller, "account.remove-password", &account, Some(before), Some(after)).await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    /// Makes an app password; its secret is in the answer and nowhere else.
    pub async fn create_app_password(
        &self,
        caller: &Caller,
        address: &Address,
        new: NewAppPassword,
    ) -> Result<IssuedAppPassword> {
        self.check_app_password(&new)?;
        let secret = token::new_app_password(&*self.random);
        let verifier = token::app_password_verifier(&self.keys, &secret)?;
        // SCRAM's keys are made outside the transaction that keeps them.
        let mut look = self.begin(caller).await?;
        let found = account::find(&mut look, caller, address).await?.ok_or(Error::NotFound)?;
        let salt = Salt::of_account(&mut look, &found).await?;
        drop(look);
        let scram = self.scram_keys(found.tenant_id, secret.clone(), salt).await?;

        let mut tx = self.begin(caller).await?;
        // The account's lock also keeps two creations from both being the last that fits.
        let account = account::find_locked(&mut tx, caller, address, &Precondition::None).await?;
        if account.id != found.id {
            return Err(Error::NotFound);
        }
        if count(&mut tx, account.tenant_id, account.id).await? >= MAX_APP_PASSWORDS {
            return Err(Error::LimitReached("the account has its most app passwords"));
        }
        let (kind, sealed) = if new.legacy {
            if !EffectivePolicy::of_account(&mut tx, &account).await?.legacy_mechanisms {
                return Err(Error::invalid("/legacy", "not_allowed", "the domain's policy has no legacy_mechanisms"));
            }
            let of = Whose::Account(account.tenant_id, account.id);
            (LEGACY_APP_PASSWORD, Some(seal::seal(&self.keys, &*self.random, of, &secret)?))
        } else {
            (APP_PASSWORD, None)
        };
        let networks = (!new.allowed_networks.is_empty()).then_some(&new.allowed_networks);
        let policy = (new.policy != Policy::default()).then(|| new.policy.to_json());
        let row = sqlx::query_as::<_, AppPasswordRow>(
            "INSERT INTO restante.credentials
                    (tenant_id, account_id, kind, label, verifier, scopes, allowed_nets, expires_at, policy, sealed, scram256, scram1)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             RETURNING credential_id, label, scopes, allowed_nets, expires_at, policy, kind, created_at, NULL::timestamptz AS last_at",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(kind)
        .bind(&new.name)
        .bind(&verifier)
        .bind(bits(&new.scopes))
        .bind(networks)
        .bind(new.expires_at)
        .bind(policy)
        .bind(sealed)
        .bind(&scram.sha256)
        .bind(&scram.sha1)
        .fetch_one(&mut *tx)
        .await?;
        let app_password = AppPassword::try_from(row)?;
        account::touch_credentials(&mut tx, account.tenant_id, account.id).await?;
        let after = json!({
            "id": app_password.id.0, "name": app_password.name, "legacy": app_password.legacy, "policy": app_password.policy.to_json(),
        });
        account::record(&mut tx, caller, "app-password.create", &account, None, Some(after)).await?;
        self.finish(tx, caller).await?;
        Ok(IssuedAppPassword { app_password, secret })
    }

    /// The app passwords of an account that are in force or expired, in the order they were made.
    pub async fn app_passwords(&self, caller: &Caller, address: &Address) -> Result<Vec<AppPassword>> {
        let mut tx = self.begin(caller).await?;
        let account = account::find(&mut tx, caller, address).await?.ok_or(Error::NotFound)?;
        let rows = sqlx::query_as::<_, AppPasswordRow>(
            "SELECT c.credential_id, c.label, c.scopes, c.allowed_nets, c.expires_at, c.policy, c.kind, c.created_at, u.last_at
               FROM restante.credentials c
               LEFT JOIN restante.credential_use u
                 ON u.tenant_id = c.tenant_id AND u.account_id = c.account_id AND u.credential_id = c.credential_id
              WHERE c.tenant_id = $1 AND c.account_id = $2 AND c.kind = ANY ($3) AND c.revoked_at IS NULL
              ORDER BY c.credential_id",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(APP_PASSWORDS.as_slice())
        .fetch_all(&mut *tx)
        .await?;
        rows.into_iter().map(AppPassword::try_from).collect()
    }

    /// Revokes an app password: the next login with it is refused.
    pub async fn revoke_app_password(&self, caller: &Caller, address: &Address, id: CredentialId) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let account = account::find_locked(&mut tx, caller, address, &Precondition::None).await?;
        let revoked: Option<String> = sqlx::query_scalar(
            "UPDATE restante.credentials SET revoked_at = now(), verifier = '', sealed = NULL, scram256 = NULL, scram1 = NULL
              WHERE tenant_id = $1 AND account_id = $2 AND credential_id = $3 AND kind = ANY ($4) AND revoked_at IS NULL
             RETURNING label",
        )
        .bind(account.tenant_id.0)
        .bind(account.id.0)
        .bind(id.0)
        .bind(APP_PASSWORDS.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
        let name = revoked.ok_or(Error::NotFound)?;
        account::touch_credentials(&mut tx, account.tenant_id, account.id).await?;
        account::record(
            &mut tx,
            caller,
            "app-password.revoke",
            &account,
            Some(json!({"id": id.0, "name": name})),
            None,
        )
        .await?;
        self.finish(tx, caller).await?;
        Ok(())
    }

    fn check_app_password(&self, new: &NewAppPassword) -> Result<()> {
        check_label(&new.name, MAX_NAME)?;
        new.policy.check(Level::Credential)?;
        if !new.scopes.contains(&Scope::Read) {
            return Err(Error::invalid("/scopes", "invalid", "must contain read"));
        }
        if new.allowed_networks.len() > MAX_NETWORKS {
            return Err(Error::invalid(
                "/allowed_networks",
                "too_long",
                format!("must have at most {MAX_NETWORKS} items"),
            ));
        }
        if new.expires_at.is_some_and(|at| at <= self.now()) {
            return Err(Error::invalid("/expires_at", "out_of_range", "must be in the future"));
        }
        Ok(())
    }
}

/// Refuses a name for people that is empty, too long or has control characters.
pub(crate) fn check_label(name: &str, most: usize) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid("/name", "required", "must not be empty"));
    }
    if name.chars().count() > most {
        return Err(Error::invalid("/name", "too_long", format!("must have at most {most} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("/name", "invalid", "must have no control characters"));
    }
    Ok(())
}

async fn count(tx: &mut PgConnection, tenant: TenantId, account: AccountId) -> Result<i64> {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM restante.credentials
          WHERE tenant_id = $1 AND account_id = $2 AND kind = ANY ($3) AND revoked_at IS NULL",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(APP_PASSWORDS.as_slice())
    .fetch_one(tx)
    .await?;
    Ok(count)
}

/// Keeps a password's hash. It allows everything.
pub(crate) async fn insert_password(
    tx: &mut PgConnection,
    tenant: TenantId,
    account: AccountId,
    password: &KeptPassword,
) -> Result<()> {
    let scram = password.scram.as_ref();
    sqlx::query(
        "INSERT INTO restante.credentials (tenant_id, account_id, kind, verifier, scopes, scram256, scram1)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(PASSWORD)
    .bind(&password.verifier)
    .bind(READ | DELETE)
    .bind(scram.map(|keys| &keys.sha256))
    .bind(scram.map(|keys| &keys.sha1))
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether there was one.
async fn revoke_password(tx: &mut PgConnection, tenant: TenantId, account: AccountId) -> Result<bool> {
    let revoked = sqlx::query(
        "UPDATE restante.credentials SET revoked_at = now(), verifier = '', scram256 = NULL, scram1 = NULL
          WHERE tenant_id = $1 AND account_id = $2 AND kind = $3 AND revoked_at IS NULL",
    )
    .bind(tenant.0)
    .bind(account.0)
    .bind(PASSWORD)
    .execute(tx)
    .await?;
    Ok(revoked.rows_affected() > 0)
}
