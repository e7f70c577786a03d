//! Sign-ins that last: each is a family of refresh tokens, of which one is in force. Whoever shows one that was spent ends the family:
//! of two who have it, one is a thief, and nobody knows which.

use std::net::IpAddr;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use mail_types::{Secret, SessionUuid, TenantId, TenantSlug};
use prometheus::{IntCounterVec, register_int_counter_vec};
use runtime::database::asked;
use serde_json::json;
use sqlx::types::ipnet::IpNet;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::access_token::Said;
use super::sign_in::{SignInFrom, Tokens};
use super::{powers, refresh_token};
use crate::audit::{self, Event, SERVICE};
use crate::caller::{Principal, SignedIn, enter};
use crate::error::inconsistent;
use crate::{Caller, Directory, Error, Page, PageRequest, Permission, Reach, Result, Role, shown};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static REFRESHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Refresh tokens shown by administrators: taken, refused, spent before (which ends the sign-in).";
    register_int_counter_vec!("restante_admin_refreshes_total", help, &["outcome"]).expect("a new metric")
});

/// What a person proved themselves with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInMethod {
    /// Their password.
    Password,
    /// Their password and a one-time code.
    PasswordAndTotp,
    /// Their password and a recovery code.
    PasswordAndRecoveryCode,
    /// An issuer.
    Oidc,
}

impl SignInMethod {
    const ALL: [Self; 4] = [Self::Password, Self::PasswordAndTotp, Self::PasswordAndRecoveryCode, Self::Oidc];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PasswordAndTotp => "password-totp",
            Self::PasswordAndRecoveryCode => "password-recovery-code",
            Self::Oidc => "oidc",
        }
    }

    pub(super) fn code(self) -> i16 {
        match self {
            Self::Password => 1,
            Self::PasswordAndTotp => 2,
            Self::PasswordAndRecoveryCode => 3,
            Self::Oidc => 4,
        }
    }
}

/// A sign-in under way.
#[derive(Debug, Clone)]
pub struct SignInSession {
    /// Which.
    pub session: SessionUuid,
    /// Whose.
    pub admin: i64,
    /// What they sign in with.
    pub name: String,
    /// Whose they are; `None`: the platform's.
    pub tenant: Option<TenantSlug>,
    /// What it was proved by.
    pub method: SignInMethod,
    /// When.
    pub began_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub refreshed_at: DateTime<Utc>,
    /// When it ends if it is not refreshed before.
    pub ends_at: DateTime<Utc>,
    /// From where.
    pub address: Option<IpAddr>,
    /// With what, as the client called itself.
    pub client: Option<String>,
    /// Whether it is the caller's own.
    pub is_current: bool,
}

/// What a refresh came to.
#[derive(Debug)]
pub enum RefreshOutcome {
    /// New tokens; the one shown is spent.
    Accepted(Tokens),
    /// Not one of ours, or its sign-in has ended, just now perhaps.
    Refused,
}

#[derive(sqlx::FromRow)]
struct BearerRow {
    admin_id: i64,
    tenant_id: Option<i32>,
    role: i16,
    domains: Option<Vec<String>>,
    auth_version: i64,
}

#[derive(sqlx::FromRow)]
struct RefreshRow {
    result: i16,
    admin_id: i64,
    tenant_id: Option<i32>,
    name: String,
    role: i16,
    auth_version: i64,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    session_id: Uuid,
    admin_id: i64,
    name: String,
    slug: Option<String>,
    method: i16,
    began_at: DateTime<Utc>,
    refreshed_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    address: Option<IpNet>,
    client: Option<String>,
}

/// Who a person of the database is.
pub(super) fn person(
    role: i16,
    tenant: Option<i32>,
    signed_in: SignedIn,
    peer: Option<IpAddr>,
    request: Uuid,
) -> Result<Caller> {
    let role = Role::from_code(role).ok_or_else(|| inconsistent("admins", "role"))?;
    let reach = tenant.map_or(Reach::Platform, |tenant| Reach::Tenant(TenantId(tenant)));
    let mut caller = Caller::new(reach, role, format!("admin:{}", signed_in.admin), peer, request);
    caller.principal = Principal::Admin(signed_in);
    Ok(caller)
}

impl Directory {
    /// Who an access token belongs to: the one look-up of each request. Ended, suspended or changed since it was signed, it is nobody's.
    pub(crate) async fn bearer(&self, token: &Secret, peer: Option<IpAddr>, request: Uuid) -> Result<Option<Caller>> {
        let Some(said) = self.read_access_token(token).await? else { return Ok(None) };
        let session = Uuid::from_u128(said.session.as_u128());
        let row: Option<BearerRow> = asked(&self.pool, || {
            sqlx::query_as("SELECT admin_id, tenant_id, role, domains, auth_version FROM restante.admin_session_1($1)")
                .bind(session)
                .fetch_optional(&self.pool)
        })
        .await?;
        let Some(row) = row.filter(|row| row.admin_id == said.admin && row.auth_version == said.version) else {
            return Ok(None);
        };
        let signed_in = SignedIn { admin: row.admin_id, session: said.session };
        let mut caller = person(row.role, row.tenant_id, signed_in, peer, request)?;
        if caller.role == Role::DomainAdmin {
            let domains = row.domains.unwrap_or_default();
            caller.domains = Some(domains.iter().map(|name| shown::domain_name(name)).collect::<Result<_>>()?);
        }
        Ok(Some(caller))
    }

    /// Spends a refresh token for new tokens. One that was spent before ends its sign-in.
    pub async fn refresh(&self, token: &Secret, from: &SignInFrom) -> Result<RefreshOutcome> {
        let refused = |outcome| {
            REFRESHES.with_label_values(&[outcome]).inc();
            Ok(RefreshOutcome::Refused)
        };
        let Some((session, generation)) = refresh_token::read(&self.keys, token)? else { return refused("refused") };
        let mut tx = self.pool.begin().await?;
        let row: Option<RefreshRow> = sqlx::query_as(
            "SELECT result, admin_id, tenant_id, name, role, auth_version FROM restante.admin_refresh_1($1, $2, $3)",
        )
        .bind(Uuid::from_u128(session.as_u128()))
        .bind(generation)
        .bind(seconds(self.sign_in.idle_seconds))
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return refused("refused") };
        let signed_in = SignedIn { admin: row.admin_id, session };
        if row.result != 1 {
            let caller = person(row.role, row.tenant_id, signed_in, from.peer, from.request)?;
            become_caller(&mut tx, &caller).await?;
            let after = json!({"session": format!("sess_{session}"), "ended": true});
            let tenant = caller.tenant().unwrap_or(SERVICE);
            let action = "sign-in.token-reused";
            let event = Event { tenant, action, target: &row.name, before: None, after: Some(after) };
            audit::record(&mut tx, &caller, event).await?;
            tx.commit().await?;
            tracing::warn!(admin = row.admin_id, %session, "a refresh token was used twice: its sign-in has ended");
            return refused("reused");
        }
        tx.commit().await?;
        REFRESHES.with_label_values(&["taken"]).inc();
        let tokens = self.tokens(signed_in, row.auth_version, generation + 1).await?;
        Ok(RefreshOutcome::Accepted(tokens))
    }

    /// The tokens of a generation of a sign-in.
    pub(super) async fn tokens(&self, signed_in: SignedIn, version: i64, generation: i64) -> Result<Tokens> {
        let said = Said { admin: signed_in.admin, session: signed_in.session, version };
        Ok(Tokens {
            access: self.sign_access_token(said).await?,
            expires_in: self.sign_in.access_seconds,
            refresh: refresh_token::make(&self.keys, signed_in.session, generation)?,
            refresh_expires_in: self.sign_in.idle_seconds,
        })
    }

    /// Ends the caller's sign-in, or all that they have; answers how many. Who did not sign in has none.
    pub async fn sign_out(&self, caller: &Caller, everywhere: bool) -> Result<u64> {
        let signed_in = caller.signed_in().ok_or(Error::Forbidden)?;
        let mut tx = self.begin(caller).await?;
        let admin = super::find(&mut tx, caller, signed_in.admin).await?.ok_or(Error::NotFound)?;
        let ended = if everywhere {
            end_all(&mut tx, signed_in.admin, None).await?
        } else {
            end(&mut tx, signed_in.session).await?
        };
        let after = json!({"session": format!("sess_{}", signed_in.session), "everywhere": everywhere, "ended": ended});
        super::record(&mut tx, caller, "sign-in.sign-out", &admin, None, Some(after)).await?;
        self.finish(tx, caller).await?;
        Ok(ended)
    }

    /// The sign-ins under way that the caller sees, those begun last first: its own, and with the permission those of everybody it
    /// reaches.
    pub async fn sign_in_sessions(
        &self,
        caller: &Caller,
        of: Option<i64>,
        page: &PageRequest,
    ) -> Result<Page<SignInSession>> {
        let after: Option<(DateTime<Utc>, Uuid)> = page.after()?;
        let own = caller.signed_in().map(|signed_in| signed_in.admin);
        let sees_others = caller.allows(Permission::AdminsRead);
        if !sees_others && own.is_none() {
            return Err(Error::Forbidden);
        }
        let mut tx = self.begin(caller).await?;
        let rows: Vec<SessionRow> = sqlx::query_as(
            "SELECT s.session_id, s.admin_id, a.name, t.slug, s.method, s.began_at, s.refreshed_at, least(s.idle_until, s.ends_at) AS ends_at,
                    s.address, s.client
               FROM restante.admin_sessions s JOIN restante.admins a ON a.admin_id = s.admin_id
               LEFT JOIN restante.tenants t ON t.tenant_id = s.tenant_id
              WHERE s.ended_at IS NULL AND s.ends_at > clock_timestamp() AND s.idle_until > clock_timestamp()
                AND ($1::bigint IS NULL OR s.admin_id = $1) AND ($2::bigint IS NULL OR s.admin_id = $2)
                AND ($3::integer IS NULL OR s.tenant_id = $3)
                AND ($4::timestamptz IS NULL OR (s.began_at, s.session_id) < ($4, $5))
              ORDER BY s.began_at DESC, s.session_id DESC LIMIT $6",
        )
        .bind(of)
        .bind(own.filter(|_| !sees_others))
        .bind(caller.tenant().map(|tenant| tenant.0))
        .bind(after.map(|(at, _)| at))
        .bind(after.map(|(_, id)| id))
        .bind(page.fetch())
        .fetch_all(&mut *tx)
        .await?;
        let own = caller.signed_in().map(|signed_in| signed_in.session);
        page.page(rows, |row| (row.began_at, row.session_id)).try_map(|row| row.session(own))
    }

    /// Ends a sign-in: one of the caller's own, or, with the permission, of somebody who may do no more than the caller. The next
    /// request with its token is refused.
    pub async fn end_sign_in(&self, caller: &Caller, session: SessionUuid) -> Result<()> {
        if caller.signed_in().is_none() {
            caller.require(Permission::AdminsWrite)?;
        }
        let mut tx = self.begin(caller).await?;
        let admin: Option<i64> = sqlx::query_scalar(
            "SELECT admin_id FROM restante.admin_sessions
              WHERE session_id = $1 AND ended_at IS NULL AND ends_at > clock_timestamp() AND ($2::integer IS NULL OR tenant_id = $2)",
        )
        .bind(Uuid::from_u128(session.as_u128()))
        .bind(caller.tenant().map(|tenant| tenant.0))
        .fetch_optional(&mut *tx)
        .await?;
        let id = admin.ok_or(Error::NotFound)?;
        let is_own = caller.signed_in().is_some_and(|signed_in| signed_in.admin == id);
        if !is_own && !caller.allows(Permission::AdminsRead) {
            return Err(Error::NotFound);
        }
        let admin = super::find(&mut tx, caller, id).await?.ok_or(Error::NotFound)?;
        if !is_own {
            caller.require(Permission::AdminsWrite)?;
            caller.require_may_give(powers(admin.role))?;
        }
        end(&mut tx, session).await?;
        let before = json!({"session": format!("sess_{session}")});
        super::record(&mut tx, caller, "sign-in.end", &admin, Some(before), None).await?;
        self.finish(tx, caller).await
    }
}

impl SessionRow {
    fn session(self, own: Option<SessionUuid>) -> Result<SignInSession> {
        let session = SessionUuid::from_u128(self.session_id.as_u128());
        let method = SignInMethod::ALL.into_iter().find(|method| method.code() == self.method);
        Ok(SignInSession {
            session,
            admin: self.admin_id,
            name: self.name,
            tenant: self.slug.as_deref().map(shown::slug).transpose()?,
            method: method.ok_or_else(|| inconsistent("admin_sessions", "method"))?,
            began_at: self.began_at,
            refreshed_at: self.refreshed_at,
            ends_at: self.ends_at,
            address: self.address.map(|address| address.addr()),
            client: self.client,
            is_current: own == Some(session),
        })
    }
}

/// Ends one.
async fn end(tx: &mut PgConnection, session: SessionUuid) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE restante.admin_sessions SET ended_at = clock_timestamp() WHERE session_id = $1 AND ended_at IS NULL",
    )
    .bind(Uuid::from_u128(session.as_u128()))
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

/// Ends all that somebody has, but for one.
pub(super) async fn end_all(tx: &mut PgConnection, admin: i64, but: Option<SessionUuid>) -> Result<u64> {
    let done = sqlx::query(
        "UPDATE restante.admin_sessions SET ended_at = clock_timestamp()
          WHERE admin_id = $1 AND ended_at IS NULL AND session_id IS DISTINCT FROM $2",
    )
    .bind(admin)
    .bind(but.map(|but| Uuid::from_u128(but.as_u128())))
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

/// From here on the transaction sees what this caller may see: it began before anybody was proved.
pub(super) async fn become_caller(tx: &mut Transaction<'static, Postgres>, caller: &Caller) -> Result<()> {
    match caller.tenant() {
        Some(tenant) => enter(tx, tenant).await,
        None => {
            sqlx::query("SET LOCAL ROLE restante_platform").execute(&mut **tx).await?;
            Ok(())
        }
    }
}

/// As the schema's functions take seconds.
pub(super) fn seconds(seconds: u32) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}
