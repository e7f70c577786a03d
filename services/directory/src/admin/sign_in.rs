//! Signing in: a name and a password, and a one-time code where one is set up. Whatever is wrong, the answer is one, and so is its moment
//! (the API keeps that); who guesses is slowed down as mail clients are.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use mail_types::{Secret, SessionUuid, TenantId};
use prometheus::{IntCounterVec, register_int_counter_vec};
use runtime::database::asked;
use sasl::prep;
use serde::Deserialize;
use serde_json::json;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use super::session::{become_caller, person, seconds};
use super::{AdminName, SignInMethod};
use crate::audit::{self, Event, SERVICE};
use crate::caller::SignedIn;
use crate::network::Network;
use crate::{Directory, Error, MAX_PASSWORD_OCTETS, Result, verifier};

#[expect(clippy::expect_used, reason = "the name is a constant: a wrong one is seen by the first test")]
static SIGN_INS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Sign-ins of administrators, by what they came to.";
    register_int_counter_vec!("restante_admin_sign_ins_total", help, &["outcome"]).expect("a new metric")
});

/// `[directory.sign_in]`: how long what administrators sign in with lasts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignInSettings {
    /// The claim `iss` of access tokens. Default `restante`.
    pub issuer: String,
    /// How long an access token holds, seconds; at most 3600. Default 300.
    pub access_seconds: u32,
    /// How long a sign-in lasts that is not refreshed, seconds. Default 43 200 (12 hours).
    pub idle_seconds: u32,
    /// How long it lasts at most, seconds. Default 604 800 (a week).
    pub session_seconds: u32,
    /// The most sign-ins of one person; one more ends the oldest. Default 20.
    pub sessions_per_admin: u32,
    /// When a new key takes over to sign access tokens, days. Default 30.
    pub signing_key_days: u32,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            issuer: "restante".to_owned(),
            access_seconds: 300,
            idle_seconds: 43_200,
            session_seconds: 604_800,
            sessions_per_admin: 20,
            signing_key_days: 30,
        }
    }
}

impl SignInSettings {
    /// Proves what the types do not.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn check(&self) -> std::result::Result<(), &'static str> {
        if !(1..=3600).contains(&self.access_seconds) {
            return Err("directory.sign_in.access_seconds must be between 1 and 3600");
        }
        if self.idle_seconds < self.access_seconds || self.session_seconds < self.idle_seconds {
            return Err("directory.sign_in: access_seconds, idle_seconds and session_seconds must not fall");
        }
        if self.sessions_per_admin == 0 || self.signing_key_days == 0 || self.issuer.is_empty() {
            return Err("directory.sign_in: sessions_per_admin, signing_key_days and issuer must not be 0 or empty");
        }
        Ok(())
    }
}

/// What a person signs in with.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// As they type it.
    pub name: String,
    /// Their password.
    pub password: Secret,
    /// A one-time code, where they set that up.
    pub totp: Option<Secret>,
    /// One of their recovery codes, in its place.
    pub recovery_code: Option<Secret>,
}

/// Where somebody signs in from.
#[derive(Debug, Clone)]
pub struct SignInFrom {
    /// The address.
    pub peer: Option<IpAddr>,
    /// What their client calls itself.
    pub client: Option<String>,
    /// The request.
    pub request: Uuid,
}

/// What a sign-in, or a refresh, gives.
#[derive(Debug)]
pub struct Tokens {
    /// For `Authorization: Bearer`.
    pub access: Secret,
    /// How long that holds, seconds.
    pub expires_in: u32,
    /// For the next ones; once.
    pub refresh: Secret,
    /// How long that holds at most, seconds.
    pub refresh_expires_in: u32,
}

/// What a sign-in came to. A refusal is an outcome, not an error.
#[derive(Debug)]
pub enum SignInOutcome {
    /// Proved.
    Accepted(Tokens),
    /// No such person, a wrong password, a wrong code or none, suspended: never told apart.
    Refused,
    /// Too many failures before this one: nothing was tried.
    SlowedDown {
        /// What is left of the wait.
        wait: Duration,
    },
}

/// Somebody as the database has them, with their secrets.
#[derive(sqlx::FromRow)]
pub(super) struct Person {
    pub(super) admin_id: i64,
    pub(super) tenant_id: Option<i32>,
    tenant_status: Option<i16>,
    pub(super) name: String,
    pub(super) role: i16,
    status: i16,
    pub(super) password: Option<String>,
    pub(super) totp: Option<Vec<u8>>,
    pub(super) totp_offered: Option<Vec<u8>>,
}

impl Directory {
    /// Proves a person by name, password and, where they have set it up, a code.
    ///
    /// # Errors
    /// Trouble of ours only; [`Error::Busy`] where passwords are checked too slowly.
    pub async fn sign_in(&self, attempt: &SignIn, from: &SignInFrom) -> Result<SignInOutcome> {
        let network = Network::of(from.peer);
        let name = AdminName::parse(&attempt.name).ok();
        let key = match &name {
            Some(name) => Some(self.logins.proved.fingerprint(&[b"admin", name.as_str().as_bytes()])?),
            None => None,
        };
        if let Some(wait) = self.logins.slow_down.wait(network, key, self.clock.monotonic()) {
            SIGN_INS.with_label_values(&["slowed_down"]).inc();
            return Ok(SignInOutcome::SlowedDown { wait });
        }
        let person = match &name {
            Some(name) => self.person(name.as_str()).await?,
            None => None,
        };
        if let Some(person) = &person
            && let Some(method) = self.prove(person, attempt, network, from).await?
            && let Some(tokens) = self.begin_session(person, method, from).await?
        {
            if let Some(key) = key {
                self.logins.slow_down.succeeded(network, key, self.clock.monotonic());
            }
            SIGN_INS.with_label_values(&["accepted"]).inc();
            return Ok(SignInOutcome::Accepted(tokens));
        }
        if person.is_none() {
            // Nothing to be hashed; told to come again when others are.
            self.logins.hashes.pass((network, None), self.logins.patience).await?;
        }
        // The same wrong secrets again are no new guess.
        let second = attempt.totp.as_ref().or(attempt.recovery_code.as_ref()).map_or(&b""[..], Secret::expose);
        let (of, place) = (key.unwrap_or_default(), format!("{network:?}"));
        let parts: [&[u8]; 5] = [b"wrong-admin", place.as_bytes(), &of, attempt.password.expose(), second];
        let fingerprint = self.logins.proved.fingerprint(&parts)?;
        self.logins.slow_down.failed(network, key, fingerprint, self.clock.monotonic());
        SIGN_INS.with_label_values(&["refused"]).inc();
        Ok(SignInOutcome::Refused)
    }

    /// Somebody with their secrets, by their name.
    pub(super) async fn person(&self, name: &str) -> Result<Option<Person>> {
        let person = asked(&self.pool, || {
            sqlx::query_as(
                "SELECT admin_id, tenant_id, tenant_status, name, role, status, password, totp, totp_offered
                   FROM restante.admin_sign_in_1($1)",
            )
            .bind(name)
            .fetch_optional(&self.pool)
        })
        .await?;
        Ok(person)
    }

    /// What was proved, if all that is asked of this person was.
    async fn prove(
        &self,
        person: &Person,
        attempt: &SignIn,
        network: Network,
        from: &SignInFrom,
    ) -> Result<Option<SignInMethod>> {
        let is_right = self.is_password_of(person, &attempt.password, network).await?;
        if !is_right || person.status != 1 || person.tenant_status == Some(3) {
            return Ok(None);
        }
        self.prove_second(person, attempt, from).await
    }

    /// Whether it is their password. Without one, nothing is.
    pub(super) async fn is_password_of(&self, person: &Person, password: &Secret, network: Network) -> Result<bool> {
        let lane = (network, person.tenant_id.map(TenantId));
        let (Some(kept), true) = (&person.password, password.expose().len() <= MAX_PASSWORD_OCTETS) else {
            self.logins.hashes.pass(lane, self.logins.patience).await?;
            return Ok(false);
        };
        for spelling in prep::spellings(password) {
            let kept = kept.clone();
            let verify = move || Ok(verifier::verify(&kept, &spelling));
            if self.logins.hashes.run(lane, self.logins.patience, verify).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins a session for somebody who was proved; nothing if they may not sign in any more.
    pub(super) async fn begin_session(
        &self,
        person: &Person,
        method: SignInMethod,
        from: &SignInFrom,
    ) -> Result<Option<Tokens>> {
        let session = SessionUuid::new(&*self.random);
        let proved_by = if method == SignInMethod::Oidc { None } else { person.password.as_deref() };
        if method != SignInMethod::Oidc && proved_by.is_none() {
            return Err(Error::Internal("a password was proved that nobody has"));
        }
        let mut tx = self.pool.begin().await?;
        let began: Option<(Option<i32>, i16, i64)> = sqlx::query_as(
            "SELECT tenant_id, role, auth_version FROM restante.admin_session_begin_1($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(Uuid::from_u128(session.as_u128()))
        .bind(person.admin_id)
        .bind(proved_by)
        .bind(method.code())
        .bind(seconds(self.sign_in.idle_seconds))
        .bind(seconds(self.sign_in.session_seconds))
        .bind(seconds(self.sign_in.sessions_per_admin))
        .bind(from.peer.map(IpNet::from))
        .bind(from.client.as_deref())
        .fetch_optional(&mut *tx)
        .await?;
        let Some((tenant, role, version)) = began else { return Ok(None) };
        let signed_in = SignedIn { admin: person.admin_id, session };
        let caller = person_caller(role, tenant, signed_in, from)?;
        become_caller(&mut tx, &caller).await?;
        let after = json!({"session": format!("sess_{session}"), "method": method.as_str(), "client": from.client});
        let tenant = caller.tenant().unwrap_or(SERVICE);
        let event = Event { tenant, action: "sign-in.begin", target: &person.name, before: None, after: Some(after) };
        audit::record(&mut tx, &caller, event).await?;
        tx.commit().await?;
        Ok(Some(self.tokens(signed_in, version, 1).await?))
    }
}

fn person_caller(role: i16, tenant: Option<i32>, signed_in: SignedIn, from: &SignInFrom) -> Result<crate::Caller> {
    person(role, tenant, signed_in, from.peer, from.request)
}
