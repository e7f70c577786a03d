//! Issuers that sign people in (OpenID Connect Core 1.0): one a tenant, and one of the platform. A tenant's issuer speaks for that
//! tenant's people only, and nobody else's people are ever looked at.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mail_types::{DomainName, Secret, TenantId, TenantSlug};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{is_platforms, powers};
use crate::audit::{self, Event, SERVICE};
use crate::error::inconsistent;
use crate::seal::{self, Purpose};
use crate::{Caller, Directory, Error, FieldError, Precondition, Reach, Result, Role, shown, tenant};

mod client;
mod flow;
mod state;

pub use client::IssuerHttp;
pub(crate) use client::OidcClient;
pub use flow::{OidcAnswer, OidcOutcome, OidcRequest};

/// The longest URL, id or secret, in octets.
const MAX_TEXT: usize = 1000;
/// The most entries of a list of the rules.
const MAX_ITEMS: usize = 100;

/// Who may sign in, and as what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OidcRules {
    /// Where the verified e-mail address of somebody new has to lie.
    pub allowed_domains: Vec<DomainName>,
    /// What the claims of everybody have to say.
    pub required_claim: Option<RequiredClaim>,
    /// What somebody new becomes; `None`: nobody is made, only who is there already signs in.
    pub default_role: Option<Role>,
    /// Where the claims say the role, at each sign-in.
    pub role_claim: Option<RoleClaim>,
    /// Asked for besides `openid email profile`.
    pub extra_scopes: Vec<String>,
}

/// A claim that has to be this, or a list with this in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredClaim {
    /// Its name.
    pub name: String,
    /// What it has to be or hold.
    pub value: String,
}

/// A claim, a text or a list of texts, that says the role: of several the greatest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleClaim {
    /// Its name.
    pub name: String,
    /// What its values mean.
    pub roles: BTreeMap<String, Role>,
}

/// An issuer, never with the secret.
#[derive(Debug, Clone)]
pub struct OidcIssuer {
    /// Its identifier, exactly: the claim `iss`.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// Whether we have a secret to prove that with.
    pub has_client_secret: bool,
    /// Who may sign in.
    pub rules: OidcRules,
    /// Grows with every change.
    pub version: i64,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
}

/// An issuer to be set.
#[derive(Debug, Clone)]
pub struct NewOidcIssuer {
    /// An https URL.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// `None` keeps the one before, if issuer and client stay the same; `Some(None)`: there is none.
    pub client_secret: Option<Option<Secret>>,
    /// Who may sign in.
    pub rules: OidcRules,
}

/// The rules as the schema keeps them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeptRules {
    allowed_domains: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_claim: Option<RequiredClaim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_claim: Option<KeptRoleClaim>,
    extra_scopes: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRoleClaim {
    name: String,
    roles: BTreeMap<String, String>,
}

impl OidcRules {
    pub(super) fn from_json(kept: Value) -> Result<Self> {
        let wrong = || inconsistent("oidc_issuers", "rules");
        let kept: KeptRules = serde_json::from_value(kept).map_err(|_| wrong())?;
        let role = |word: &String| Role::parse(word).ok_or_else(wrong);
        let role_claim = match kept.role_claim {
            None => None,
            Some(KeptRoleClaim { name, roles }) => {
                let roles = roles.iter().map(|(value, word)| Ok((value.clone(), role(word)?)));
                Some(RoleClaim { name, roles: roles.collect::<Result<_>>()? })
            }
        };
        Ok(Self {
            allowed_domains: kept.allowed_domains.iter().map(|name| shown::domain_name(name)).collect::<Result<_>>()?,
            required_claim: kept.required_claim,
            default_role: kept.default_role.as_ref().map(role).transpose()?,
            role_claim,
            extra_scopes: kept.extra_scopes,
        })
    }

    fn to_json(&self) -> Result<Value> {
        let word = |role: &Role| role.as_str().to_owned();
        let kept = KeptRules {
            allowed_domains: self.allowed_domains.iter().map(ToString::to_string).collect(),
            required_claim: self.required_claim.clone(),
            default_role: self.default_role.as_ref().map(word),
            role_claim: self.role_claim.as_ref().map(|claim| KeptRoleClaim {
                name: claim.name.clone(),
                roles: claim.roles.iter().map(|(value, role)| (value.clone(), word(role))).collect(),
            }),
            extra_scopes: self.extra_scopes.clone(),
        };
        serde_json::to_value(kept).map_err(|_| Error::Internal("rules are no JSON"))
    }

    fn check(&self, owner: Option<TenantId>, errors: &mut Vec<FieldError>) {
        let mut refuse = |pointer: &str, code, detail: &str| errors.push(FieldError::new(pointer, code, detail));
        if self.default_role.is_some_and(|role| !fits(role, owner)) {
            refuse("/default_role", "invalid", "an issuer here makes nobody of this role");
        }
        if self.default_role.is_some() && self.allowed_domains.is_empty() {
            refuse("/allowed_domains", "required", "say in which domains those lie who may become administrators");
        }
        if let Some(claim) = &self.role_claim {
            if claim.roles.values().any(|role| !fits(*role, owner)) {
                refuse("/role_claim/roles", "invalid", "an issuer here makes nobody of one of these roles");
            }
            if claim.roles.is_empty() || claim.roles.len() > MAX_ITEMS {
                refuse("/role_claim/roles", "out_of_range", "must have 1 to 100 values");
            }
        }
        if self.allowed_domains.len() > MAX_ITEMS {
            refuse("/allowed_domains", "too_long", "must have at most 100 items");
        }
        let is_scope = |scope: &String| {
            (1..=100).contains(&scope.len()) && scope.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"')
        };
        if self.extra_scopes.len() > 10 || !self.extra_scopes.iter().all(is_scope) {
            refuse("/extra_scopes", "invalid", "must be at most ten words");
        }
        let names = [
            ("/required_claim/name", self.required_claim.as_ref().map(|claim| &claim.name)),
            ("/required_claim/value", self.required_claim.as_ref().map(|claim| &claim.value)),
            ("/role_claim/name", self.role_claim.as_ref().map(|claim| &claim.name)),
        ];
        for (pointer, text) in names {
            if text.is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
                refuse(pointer, "out_of_range", "must have 1 to 1000 octets");
            }
        }
    }

    /// The roles that an issuer may give.
    fn roles(&self) -> impl Iterator<Item = Role> {
        let claimed = self.role_claim.iter().flat_map(|claim| claim.roles.values().copied());
        claimed.chain(self.default_role)
    }
}

/// Whether an issuer there may make somebody of the role. A domain-admin's domains are in no claim.
fn fits(role: Role, owner: Option<TenantId>) -> bool {
    let belongs = if owner.is_some() { role != Role::PlatformAdmin } else { is_platforms(role) };
    belongs && role != Role::DomainAdmin
}

#[derive(sqlx::FromRow)]
struct IssuerRow {
    issuer: String,
    client_id: String,
    has_client_secret: bool,
    rules: Value,
    row_version: i64,
    created_at: DateTime<Utc>,
}

impl IssuerRow {
    fn issuer(self) -> Result<OidcIssuer> {
        Ok(OidcIssuer {
            issuer: self.issuer,
            client_id: self.client_id,
            has_client_secret: self.has_client_secret,
            rules: OidcRules::from_json(self.rules)?,
            version: self.row_version,
            created_at: self.created_at,
        })
    }
}

impl Directory {
    /// The issuer of a tenant, or of the platform.
    pub async fn oidc_issuer(&self, caller: &Caller, of: Option<&TenantSlug>) -> Result<OidcIssuer> {
        let mut tx = self.begin(caller).await?;
        let (owner, _) = owner(&mut tx, caller, of).await?;
        find(&mut tx, owner, false).await?.ok_or(Error::NotFound)
    }

    /// Sets the issuer of a tenant, or of the platform. Whoever chooses it chooses who signs in as anybody there, so it takes somebody
    /// who may do all that the mightiest there may.
    pub async fn set_oidc_issuer(
        &self,
        caller: &Caller,
        of: Option<&TenantSlug>,
        new: NewOidcIssuer,
        precondition: &Precondition,
    ) -> Result<OidcIssuer> {
        let mut tx = self.begin(caller).await?;
        let (owner, target) = owner(&mut tx, caller, of).await?;
        require_mightiest(caller, owner)?;
        check(&new, owner)?;
        for role in new.rules.roles() {
            caller.require_may_give(powers(role))?;
        }
        // Two at once are one after the other, also where there is no row yet that could be locked.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('restante oidc'), $1)")
            .bind(owner.map_or(0, |owner| owner.0))
            .execute(&mut *tx)
            .await?;
        let before = find(&mut tx, owner, true).await?;
        match &before {
            Some(before) => precondition.check(before.version)?,
            None if *precondition != Precondition::None => return Err(Error::VersionMismatch),
            None => {}
        }
        let stays =
            before.as_ref().is_some_and(|before| before.issuer == new.issuer && before.client_id == new.client_id);
        let keeps = new.client_secret.is_none() && stays;
        let of = i64::from(owner.map_or(0, |owner| owner.0)).to_be_bytes();
        let sealed = match new.client_secret.flatten() {
            Some(secret) => Some(seal::seal_for(&self.keys, &*self.random, Purpose::OidcClient, &of, &secret)?),
            None => None,
        };
        let query = if keeps {
            sqlx::query(
                "UPDATE restante.oidc_issuers SET issuer = $2, client_id = $3, rules = $4, row_version = row_version + 1
                  WHERE tenant_id IS NOT DISTINCT FROM $1",
            )
        } else {
            sqlx::query(
                "INSERT INTO restante.oidc_issuers AS o (tenant_id, issuer, client_id, rules, client_secret) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (tenant_id) DO UPDATE
                   SET issuer = $2, client_id = $3, rules = $4, client_secret = $5, row_version = o.row_version + 1",
            )
        };
        let query =
            query.bind(owner.map(|owner| owner.0)).bind(&new.issuer).bind(&new.client_id).bind(new.rules.to_json()?);
        let query = if keeps { query } else { query.bind(sealed) };
        query.execute(&mut *tx).await?;
        let after = find(&mut tx, owner, false).await?.ok_or(Error::NotFound)?;
        let audited_before = before.as_ref().map(audited).transpose()?;
        record(&mut tx, caller, "oidc.set", owner, &target, audited_before, Some(audited(&after)?)).await?;
        self.finish(tx, caller).await?;
        Ok(after)
    }

    /// Takes the issuer of a tenant, or of the platform, away. Sign-ins under way go on.
    pub async fn remove_oidc_issuer(
        &self,
        caller: &Caller,
        of: Option<&TenantSlug>,
        precondition: &Precondition,
    ) -> Result<()> {
        let mut tx = self.begin(caller).await?;
        let (owner, target) = owner(&mut tx, caller, of).await?;
        require_mightiest(caller, owner)?;
        let before = find(&mut tx, owner, true).await?.ok_or(Error::NotFound)?;
        precondition.check(before.version)?;
        sqlx::query("DELETE FROM restante.oidc_issuers WHERE tenant_id IS NOT DISTINCT FROM $1")
            .bind(owner.map(|owner| owner.0))
            .execute(&mut *tx)
            .await?;
        record(&mut tx, caller, "oidc.remove", owner, &target, Some(audited(&before)?), None).await?;
        self.finish(tx, caller).await
    }
}

/// Whose issuer is meant. The platform's does not exist for a tenant.
async fn owner(tx: &mut PgConnection, caller: &Caller, of: Option<&TenantSlug>) -> Result<(Option<TenantId>, String)> {
    match of {
        Some(slug) => {
            let tenant = tenant::find(tx, slug).await?.ok_or(Error::NotFound)?;
            Ok((Some(tenant.id), tenant.slug.to_string()))
        }
        None if caller.reach == Reach::Platform => Ok((None, "platform".to_owned())),
        None => Err(Error::NotFound),
    }
}

fn require_mightiest(caller: &Caller, owner: Option<TenantId>) -> Result<()> {
    caller.require_may_give(powers(if owner.is_some() { Role::TenantAdmin } else { Role::PlatformAdmin }))
}

async fn find(tx: &mut PgConnection, owner: Option<TenantId>, locked: bool) -> Result<Option<OidcIssuer>> {
    let lock = if locked { "FOR UPDATE" } else { "" };
    let row: Option<IssuerRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT issuer, client_id, has_client_secret, rules, row_version, created_at FROM restante.oidc_issuers
          WHERE tenant_id IS NOT DISTINCT FROM $1 {lock}"
    )))
    .bind(owner.map(|owner| owner.0))
    .fetch_optional(tx)
    .await?;
    row.map(IssuerRow::issuer).transpose()
}

fn check(new: &NewOidcIssuer, owner: Option<TenantId>) -> Result<()> {
    let mut errors = Vec::new();
    let secret = new.client_secret.iter().flatten().next().and_then(Secret::expose_str);
    let texts =
        [("/issuer", Some(new.issuer.as_str())), ("/client_id", Some(&new.client_id)), ("/client_secret", secret)];
    for (pointer, text) in texts {
        let Some(text) = text else { continue };
        if text.is_empty() || text.len() > MAX_TEXT {
            errors.push(FieldError::new(pointer, "out_of_range", "must have 1 to 1000 octets"));
        } else if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            errors.push(FieldError::new(pointer, "invalid", "must have neither spaces nor control characters"));
        }
    }
    // OpenID Connect Discovery 1.0 section 4.1.
    if !new.issuer.starts_with("https://") || new.issuer.contains(['?', '#']) {
        errors.push(FieldError::new("/issuer", "invalid", "must be an https URL without query and fragment"));
    }
    new.rules.check(owner, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

fn audited(issuer: &OidcIssuer) -> Result<Value> {
    Ok(json!({
        "issuer": issuer.issuer, "client_id": issuer.client_id, "has_client_secret": issuer.has_client_secret,
        "rules": issuer.rules.to_json()?,
    }))
}

async fn record(
    tx: &mut PgConnection,
    caller: &Caller,
    action: &'static str,
    owner: Option<TenantId>,
    target: &str,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    audit::record(tx, caller, Event { tenant: owner.unwrap_or(SERVICE), action, target, before, after }).await
}
