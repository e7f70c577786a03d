//! Signing in by an issuer: the authorization code flow with PKCE. The browser goes to the issuer and comes back with a code; we
//! exchange that for an ID token; the console exchanges what it finds then for tokens of ours. Our tokens are never in a URL.

use std::time::Duration;

use mail_types::{Secret, TenantId, TenantSlug};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::client::{Claims, Client, OidcClient, form_of};
use super::state::{PATIENCE_SECONDS, State, hash};
use super::{OidcRules, RequiredClaim, RoleClaim};
use crate::admin::sign_in::{SignInFrom, SignInOutcome};
use crate::admin::{
    Admin, AdminName, AdminRow, AdminStatus, COLUMNS, SignInMethod, audited, check_name, check_room, find, record,
};
use crate::error::inconsistent;
use crate::network::Network;
use crate::seal::{self, Purpose};
use crate::{Caller, Directory, Error, Reach, Result, Role, token};

/// How long the console has to exchange what an answer gave, in seconds.
const EXCHANGE_SECONDS: i32 = 60;
/// Digits of that, of five bits each.
const CODE_DIGITS: usize = 52;
/// What is always asked for.
const SCOPES: &str = "openid email profile";
/// The longest code of an issuer, in octets.
const MAX_CODE: usize = 4096;

/// Where to send a browser to be signed in.
#[derive(Debug)]
pub struct OidcRequest {
    /// The issuer, with all that it has to know.
    pub location: String,
    /// What the browser has to show again: by it, and by it alone, is the answer taken.
    pub state: Secret,
}

/// What a browser brings back from an issuer.
#[derive(Debug)]
pub struct OidcAnswer {
    /// As in the URL; the browser's own is the same, which the caller has checked.
    pub state: Secret,
    /// The issuer's code.
    pub code: Secret,
    /// Who the issuer says it is (RFC 9207), if it does.
    pub issuer: Option<String>,
}

/// What an answer came to.
#[derive(Debug)]
pub enum OidcOutcome {
    /// To be exchanged, once, by the same browser.
    Accepted {
        /// For [`Directory::exchange_oidc`].
        code: Secret,
    },
    /// Not sound, not of this moment, used before; or sound, and of nobody who may sign in.
    Refused,
    /// Too many failures before this one: nothing was tried.
    SlowedDown {
        /// What is left of the wait.
        wait: Duration,
    },
}

#[derive(sqlx::FromRow)]
struct Configured {
    tenant_id: Option<i32>,
    issuer: String,
    client_id: String,
    client_secret: Option<Vec<u8>>,
    rules: Value,
}

impl Directory {
    /// Begins a sign-in at the issuer of a tenant, or of the platform. Nothing is kept of it here.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such tenant, or it has no issuer; [`Error::IssuerUnavailable`].
    pub async fn begin_oidc(&self, of: Option<&TenantSlug>, redirect_uri: &str) -> Result<OidcRequest> {
        let configured = self.configured(of.map(TenantSlug::as_str)).await?.ok_or(Error::NotFound)?;
        let described = self.oidc_client()?.describe(&configured.issuer).await?;
        let rules = OidcRules::from_json(configured.rules)?;
        let state = State::new(&*self.random, self.clock.now().unix_seconds(), of);
        let sealed = state.sealed(&self.keys)?;
        let scope =
            std::iter::once(SCOPES).chain(rules.extra_scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let query = form_of(&[
            ("response_type", "code"),
            ("client_id", &configured.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", &scope),
            ("state", &sealed),
            ("nonce", &state.nonce(&self.keys)?),
            ("code_challenge", &state.challenge(&self.keys)?),
            ("code_challenge_method", "S256"),
        ]);
        let endpoint = &described.authorization_endpoint;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(OidcRequest { location: format!("{endpoint}{joint}{query}"), state: Secret::from(sealed) })
    }

    /// Whether a tenant, or the platform, has an issuer that signs its people in. A tenant that there is not has none.
    pub async fn has_oidc_issuer(&self, of: Option<&TenantSlug>) -> Result<bool> {
        Ok(self.configured(of.map(TenantSlug::as_str)).await?.is_some())
    }

    /// Takes an issuer's answer.
    ///
    /// # Errors
    /// Trouble of ours, and [`Error::IssuerUnavailable`].
    pub async fn answer_oidc(&self, answer: &OidcAnswer, redirect_uri: &str, from: &SignInFrom) -> Result<OidcOutcome> {
        let network = Network::of(from.peer);
        if let Some(wait) = self.logins.slow_down.wait(network, None, self.clock.monotonic()) {
            return Ok(OidcOutcome::SlowedDown { wait });
        }
        if let Some(code) = self.taken(answer, redirect_uri, from).await? {
            return Ok(OidcOutcome::Accepted { code });
        }
        let place = format!("{network:?}");
        let parts: [&[u8]; 4] = [b"oidc", place.as_bytes(), answer.state.expose(), answer.code.expose()];
        let fingerprint = self.logins.proved.fingerprint(&parts)?;
        self.logins.slow_down.failed(network, None, fingerprint, self.clock.monotonic());
        Ok(OidcOutcome::Refused)
    }

    /// Exchanges what an answer gave for tokens, for the browser that asked. Once, within a minute.
    ///
    /// # Errors
    /// Trouble of ours only.
    pub async fn exchange_oidc(&self, code: &Secret, state: &Secret, from: &SignInFrom) -> Result<SignInOutcome> {
        let name: Option<String> = sqlx::query_scalar("SELECT name FROM restante.admin_oidc_code_1($1, $2)")
            .bind(hash(code))
            .bind(hash(state))
            .fetch_optional(&self.pool)
            .await?;
        let Some(name) = name else { return Ok(SignInOutcome::Refused) };
        let Some(person) = self.person(&name).await? else { return Ok(SignInOutcome::Refused) };
        let began = self.begin_session(&person, SignInMethod::Oidc, from).await?;
        Ok(began.map_or(SignInOutcome::Refused, SignInOutcome::Accepted))
    }

    async fn taken(&self, answer: &OidcAnswer, redirect_uri: &str, from: &SignInFrom) -> Result<Option<Secret>> {
        let now = self.clock.now().unix_seconds();
        let Some(state) = State::open(&self.keys, &answer.state, now)? else { return Ok(None) };
        let Some(configured) = self.configured(state.tenant()).await? else { return Ok(None) };
        let named = answer.issuer.as_ref();
        let code = answer.code.expose_str().filter(|code| (1..=MAX_CODE).contains(&code.len()));
        let (Some(code), true) = (code, named.is_none_or(|issuer| *issuer == configured.issuer)) else {
            return Ok(None);
        };
        let secret = match &configured.client_secret {
            None => None,
            Some(sealed) => Some(self.client_secret(configured.tenant_id, sealed)?),
        };
        let client = Client { issuer: &configured.issuer, id: &configured.client_id, secret: secret.as_ref() };
        let (verifier, nonce) = (state.verifier(&self.keys)?, state.nonce(&self.keys)?);
        let claims = self.oidc_client()?.claims(&client, code, redirect_uri, &verifier, &nonce).await?;
        let Some(claims) = claims else { return Ok(None) };
        let rules = OidcRules::from_json(configured.rules.clone())?;
        self.kept(&configured, &rules, &claims, &answer.state, from).await
    }

    /// Finds, links or makes whom the claims speak of, and keeps that the request was answered.
    async fn kept(
        &self,
        configured: &Configured,
        rules: &OidcRules,
        claims: &Claims,
        state: &Secret,
        from: &SignInFrom,
    ) -> Result<Option<Secret>> {
        let reach = configured.tenant_id.map_or(Reach::Platform, |tenant| Reach::Tenant(TenantId(tenant)));
        // What it may do is this code's to say; who reads the trail sees that nobody of the tenant did it.
        let role = if configured.tenant_id.is_some() { Role::TenantAdmin } else { Role::PlatformAdmin };
        let caller = Caller::new(reach, role, format!("issuer:{}", configured.issuer), from.peer, from.request);
        let mut tx = self.begin(&caller).await?;
        let Some(admin) = find_or_make(&mut tx, &caller, &configured.issuer, rules, claims).await? else {
            return Ok(None);
        };
        if admin.status != AdminStatus::Active {
            return Ok(None);
        }
        let code = Secret::from(token::digits(CODE_DIGITS, &*self.random));
        let kept = sqlx::query(
            "INSERT INTO restante.oidc_codes (code_hash, state_hash, tenant_id, admin_id, expires_at, forget_at)
             VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), clock_timestamp() + make_interval(secs => $6))
             ON CONFLICT DO NOTHING",
        )
        .bind(hash(&code))
        .bind(hash(state))
        .bind(configured.tenant_id)
        .bind(admin.id)
        .bind(f64::from(EXCHANGE_SECONDS))
        // Until its state holds no longer.
        .bind(Duration::from_secs(PATIENCE_SECONDS).as_secs_f64())
        .execute(&mut *tx)
        .await?;
        // The same request answered before: what was found, linked or made above is rolled back.
        if kept.rows_affected() == 0 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(code))
    }

    async fn configured(&self, slug: Option<&str>) -> Result<Option<Configured>> {
        let configured = runtime::database::asked(&self.pool, || {
            sqlx::query_as(
                "SELECT tenant_id, issuer, client_id, client_secret, rules FROM restante.admin_oidc_issuer_1($1)",
            )
            .bind(slug)
            .fetch_optional(&self.pool)
        })
        .await?;
        Ok(configured)
    }

    fn client_secret(&self, tenant: Option<i32>, sealed: &[u8]) -> Result<Secret> {
        let of = i64::from(tenant.unwrap_or(0)).to_be_bytes();
        seal::open_for(&self.keys, Purpose::OidcClient, &of, sealed)
            .ok_or(Error::Internal("an issuer's client secret is sealed under a master key that is not configured"))
    }

    fn oidc_client(&self) -> Result<&OidcClient> {
        self.oidc.as_deref().ok_or(Error::IssuerUnavailable)
    }
}

/// Whom the claims speak of: who was linked, else who has the verified address, else, where the rules say so, somebody new.
async fn find_or_make(
    tx: &mut PgConnection,
    caller: &Caller,
    issuer: &str,
    rules: &OidcRules,
    claims: &Claims,
) -> Result<Option<Admin>> {
    if !rules.required_claim.as_ref().is_none_or(|required| says(claims, required)) {
        return Ok(None);
    }
    let Some(subject) = claims.get("sub").and_then(Value::as_str) else { return Ok(None) };
    let tenant = caller.tenant().map(|tenant| tenant.0);
    let linked: Option<i64> = sqlx::query_scalar(
        "SELECT admin_id FROM restante.admin_identities WHERE tenant_id IS NOT DISTINCT FROM $1 AND issuer = $2 AND subject = $3",
    )
    .bind(tenant)
    .bind(issuer)
    .bind(subject)
    .fetch_optional(&mut *tx)
    .await?;
    let role = claimed_role(rules, claims);
    if let Some(id) = linked {
        let admin = find(tx, caller, id).await?.ok_or_else(|| inconsistent("admin_identities", "admin_id"))?;
        return with_claimed_role(tx, caller, rules, admin, role).await;
    }
    let Some(name) = verified_name(claims) else { return Ok(None) };
    let admin = match by_name(tx, tenant, &name).await? {
        Some(admin) => with_claimed_role(tx, caller, rules, admin, role).await?,
        None => make(tx, caller, rules, &name, claims, role).await?,
    };
    let Some(admin) = admin else { return Ok(None) };
    sqlx::query("INSERT INTO restante.admin_identities (tenant_id, admin_id, issuer, subject) VALUES ($1, $2, $3, $4)")
        .bind(tenant)
        .bind(admin.id)
        .bind(issuer)
        .bind(subject)
        .execute(&mut *tx)
        .await?;
    let after = json!({"issuer": issuer, "subject": subject});
    record(tx, caller, "admin.link", &admin, None, Some(after)).await?;
    Ok(Some(admin))
}

/// Where the claims say the role, they say it at each sign-in.
async fn with_claimed_role(
    tx: &mut PgConnection,
    caller: &Caller,
    rules: &OidcRules,
    admin: Admin,
    role: Option<Role>,
) -> Result<Option<Admin>> {
    if rules.role_claim.is_none() {
        return Ok(Some(admin));
    }
    let Some(role) = role else { return Ok(None) };
    if role == admin.role {
        return Ok(Some(admin));
    }
    sqlx::query(
        "UPDATE restante.admins SET role = $2, domains = NULL, auth_version = auth_version + 1, row_version = row_version + 1
          WHERE admin_id = $1",
    )
    .bind(admin.id)
    .bind(role.code())
    .execute(&mut *tx)
    .await?;
    let after = find(tx, caller, admin.id).await?.ok_or(Error::NotFound)?;
    record(tx, caller, "admin.change", &after, Some(audited(&admin)), Some(audited(&after))).await?;
    Ok(Some(after))
}

/// Somebody new, where the rules let them in, under a name that nobody has yet and that is the tenant's to give.
async fn make(
    tx: &mut PgConnection,
    caller: &Caller,
    rules: &OidcRules,
    name: &AdminName,
    claims: &Claims,
    role: Option<Role>,
) -> Result<Option<Admin>> {
    let Some(role) = role.filter(|_| rules.allowed_domains.contains(&name.domain)) else { return Ok(None) };
    let may = match check_name(tx, caller, name).await {
        Ok(()) => check_room(tx, caller.tenant()).await,
        refused => refused,
    };
    match may {
        Ok(()) => {}
        Err(Error::Invalid(_) | Error::LimitReached(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let display: String = claims
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    let display = if display.trim().is_empty() { name.as_str().to_owned() } else { display };
    let made: Option<i64> = sqlx::query_scalar(
        "INSERT INTO restante.admins (tenant_id, name, display_name, role) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING RETURNING admin_id",
    )
    .bind(caller.tenant().map(|tenant| tenant.0))
    .bind(name.as_str())
    .bind(display)
    .bind(role.code())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(id) = made else { return Ok(None) };
    let admin = find(tx, caller, id).await?.ok_or(Error::NotFound)?;
    record(tx, caller, "admin.create", &admin, None, Some(audited(&admin))).await?;
    Ok(Some(admin))
}

async fn by_name(tx: &mut PgConnection, tenant: Option<i32>, name: &AdminName) -> Result<Option<Admin>> {
    let row: Option<AdminRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} WHERE a.name = $1 AND a.tenant_id IS NOT DISTINCT FROM $2"
    )))
    .bind(name.as_str())
    .bind(tenant)
    .fetch_optional(tx)
    .await?;
    row.map(AdminRow::admin).transpose()
}

/// The address in `email`, if the issuer says that it is theirs. Some write that as text.
fn verified_name(claims: &Claims) -> Option<AdminName> {
    let verified = claims.get("email_verified")?;
    let is_verified = verified.as_bool() == Some(true) || verified.as_str() == Some("true");
    let text = claims.get("email")?.as_str().filter(|_| is_verified)?;
    AdminName::parse(text).ok()
}

/// The values of a claim: a text, or a list of texts.
fn values<'a>(claims: &'a Claims, name: &str) -> Vec<&'a str> {
    match claims.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn says(claims: &Claims, required: &RequiredClaim) -> bool {
    values(claims, &required.name).contains(&required.value.as_str())
}

/// What the claims make of somebody: the greatest role that they name, else the default.
fn claimed_role(rules: &OidcRules, claims: &Claims) -> Option<Role> {
    let named = |RoleClaim { name, roles }: &RoleClaim| {
        // The mightiest role is the least in their order.
        values(claims, name).into_iter().filter_map(|value| roles.get(value).copied()).min()
    };
    rules.role_claim.as_ref().and_then(named).or(rules.default_role)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn claims(value: Value) -> Claims {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_name_is_an_address_that_the_issuer_has_verified() {
        let name = |value| verified_name(&claims(value)).map(|name| name.to_string());
        assert_eq!(
            name(json!({"email": "Carol@Acme.test", "email_verified": true})).as_deref(),
            Some("carol@acme.test")
        );
        assert_eq!(
            name(json!({"email": "carol@acme.test", "email_verified": "true"})).as_deref(),
            Some("carol@acme.test")
        );
        for unverified in [
            json!({"email": "carol@acme.test"}),
            json!({"email": "carol@acme.test", "email_verified": false}),
            json!({"email": "carol@acme.test", "email_verified": "yes"}),
            json!({"email": "carol@acme.test", "email_verified": 1}),
            json!({"email": "carol+x@acme.test", "email_verified": true}),
            json!({"email": ["carol@acme.test"], "email_verified": true}),
        ] {
            assert_eq!(name(unverified.clone()), None, "{unverified}");
        }
    }

    #[test]
    fn the_greatest_role_that_a_claim_names_counts() {
        let roles = BTreeMap::from([("desk".to_owned(), Role::Helpdesk), ("boss".to_owned(), Role::TenantAdmin)]);
        let mut rules =
            OidcRules { role_claim: Some(RoleClaim { name: "groups".to_owned(), roles }), ..OidcRules::default() };
        let role = |rules: &OidcRules, value| claimed_role(rules, &claims(value));
        assert_eq!(role(&rules, json!({"groups": ["desk", "boss", "x"]})), Some(Role::TenantAdmin));
        assert_eq!(role(&rules, json!({"groups": "desk"})), Some(Role::Helpdesk));
        assert_eq!(role(&rules, json!({"groups": ["x"]})), None);
        assert_eq!(role(&rules, json!({"groups": {"boss": true}})), None);
        rules.default_role = Some(Role::Auditor);
        assert_eq!(role(&rules, json!({})), Some(Role::Auditor));
        let required = RequiredClaim { name: "groups".to_owned(), value: "boss".to_owned() };
        assert!(says(&claims(json!({"groups": ["boss"]})), &required) && !says(&claims(json!({})), &required));
    }
}
