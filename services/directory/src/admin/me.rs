//! What callers learn and change of themselves.

use mail_types::{DomainName, Secret, SessionUuid, TenantSlug};

use super::session::end_all;
use crate::network::Network;
use crate::{Caller, Directory, Error, Permission, Principal, Result, Role, password, tenant};

/// A caller, as it sees itself.
#[derive(Debug, Clone)]
pub struct Me {
    /// Who it is.
    pub principal: Principal,
    /// A person's name to sign in with, or a key's.
    pub name: String,
    /// For people; a key has none.
    pub display_name: Option<String>,
    /// What it may do.
    pub role: Role,
    /// Where; `None`: in all of the service.
    pub tenant: Option<TenantSlug>,
    /// In which domains only; `None`: in all.
    pub domains: Option<Vec<DomainName>>,
    /// All that it may do.
    pub permissions: Vec<Permission>,
    /// Whether a person's password needs a one-time code besides.
    pub has_totp: bool,
    /// Whether a person has a password.
    pub has_password: bool,
}

impl Directory {
    /// Who the caller is, and what it may do.
    pub async fn me(&self, caller: &Caller) -> Result<Me> {
        let (name, display_name, has_totp, has_password) = match caller.principal {
            Principal::Admin(signed_in) => {
                let admin = self.admin(caller, signed_in.admin).await?;
                (admin.name, Some(admin.display_name), admin.has_totp, admin.has_password)
            }
            Principal::ApiKey(id) => (self.api_key(caller, id).await?.name, None, false, false),
            Principal::Service => (caller.actor.clone(), None, false, false),
        };
        let tenant = match caller.tenant() {
            Some(_) => {
                let mut tx = self.begin(caller).await?;
                Some(tenant::parent(&mut tx, caller, None).await?.slug)
            }
            None => None,
        };
        Ok(Me {
            principal: caller.principal,
            name,
            display_name,
            role: caller.role,
            tenant,
            domains: caller.domains.as_ref().map(|domains| domains.to_vec()),
            permissions: caller.permissions().collect(),
            has_totp,
            has_password,
        })
    }

    /// Changes the caller's own password; their other sign-ins end.
    pub async fn change_own_password(&self, caller: &Caller, current: &Secret, new: &Secret) -> Result<()> {
        password::check_policy(new).map_err(|mut error| {
            error.pointer = "/new_password".to_owned();
            Error::Invalid(vec![error])
        })?;
        let session = self.require_own_password(caller, "/current_password", current).await?;
        let (admin, but) = (caller.signed_in().ok_or(Error::Forbidden)?.admin, Some(session));
        let kept = self.keep(caller.tenant().unwrap_or(crate::audit::SERVICE), new, None).await?;
        let mut tx = self.begin(caller).await?;
        let person = super::find(&mut tx, caller, admin).await?.ok_or(Error::NotFound)?;
        super::store_password(&mut tx, admin, &kept.verifier).await?;
        end_all(&mut tx, admin, but).await?;
        super::record(&mut tx, caller, "admin.change-own-password", &person, None, None).await?;
        self.finish(tx, caller).await
    }

    /// Refuses a caller who does not know their own password: an access token alone, found or stolen, changes nothing of how they
    /// sign in. Wrong ones count as failed sign-ins. Answers their sign-in.
    pub(super) async fn require_own_password(
        &self,
        caller: &Caller,
        pointer: &'static str,
        password: &Secret,
    ) -> Result<SessionUuid> {
        let signed_in = caller.signed_in().ok_or(Error::Forbidden)?;
        let name = self.admin(caller, signed_in.admin).await?.name;
        let network = Network::of(caller.peer);
        let key = Some(self.logins.proved.fingerprint(&[b"admin", name.as_bytes()])?);
        let wrong = || Error::invalid(pointer, "wrong", "is not the password, or was wrong too often: try again later");
        if self.logins.slow_down.wait(network, key, self.clock.monotonic()).is_some() {
            return Err(wrong());
        }
        let person = self.person(&name).await?.ok_or(Error::NotFound)?;
        if self.is_password_of(&person, password, network).await? {
            return Ok(signed_in.session);
        }
        let place = format!("{network:?}");
        let parts: [&[u8]; 4] = [b"wrong-own", place.as_bytes(), name.as_bytes(), password.expose()];
        let fingerprint = self.logins.proved.fingerprint(&parts)?;
        self.logins.slow_down.failed(network, key, fingerprint, self.clock.monotonic());
        Err(wrong())
    }
}
