//! Login: one round trip that is always fresh, whatever the name; then what the client proves is tried against what the account
//! has.
//!
//! ```text
//! look_up(peer, login)  ->  LookedUp  -> .password(secret)                    PLAIN, LOGIN, USER and PASS
//!                                     -> .account(material), then .proved(…)  SCRAM, CRAM-MD5, NTLM, APOP
//!                                                            or   .refused()
//!                                     -> .certificate(…)                      EXTERNAL
//! token(peer, login, …)                                                       OAUTHBEARER, XOAUTH2
//! ```
//!
//! What costs: an app password is a keyed fast hash; a password that this process verified lately is one too, else it is
//! argon2id in [`HashPool`](crate::hash_pool); an unknown name costs no hash at all. Who asks from outside learns nothing from
//! that, because the driver answers every failure at one moment after the command.

use std::net::IpAddr;
use std::time::Duration;

use mail_types::{AccountId, Address, CredentialId, DomainName, MaildropState, Secret, TenantId};
use sasl::{Candidate as Chosen, Material, ScramHash, ScramKeys, prep};

use crate::credential::{APP_PASSWORD, LEGACY_APP_PASSWORD, PASSWORD, may_expunge};
use crate::network::Network;
use crate::policy::{EffectivePolicy, Policy};
use crate::proved::Fingerprint;
use crate::scram::Salt;
use crate::{Directory, Error, RefusalReason, Result, seal, token};

mod certificate;
mod oauth;
mod prove;
mod row;
mod witness;

pub use certificate::{ClientCertificate, certificate_addresses};
pub(crate) use oauth::KeySets;
pub use oauth::{JwksFetch, JwksFuture, TokenOutcome};

use row::{Account, Candidate};
pub use witness::Witness;

/// A login that was accepted, with all that a session begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whose account it is.
    pub tenant: TenantId,
    /// The account.
    pub account: AccountId,
    /// What it proved itself with; 0 for a token or a certificate, which are not kept here.
    pub credential: CredentialId,
    /// The account's address, as it was given when it was made.
    pub address: String,
    /// The domain of that address.
    pub domain: DomainName,
    /// Whether the credential allows expunging.
    pub may_expunge: bool,
    /// Where the maildrop stands.
    pub maildrop: MaildropState,
    /// What holds for the session: of tenant, domain, account and credential the narrowest that decides.
    pub policy: EffectivePolicy,
    /// Whether what the session says is written down, without secrets and mail: an administrator of the account wants it.
    pub transcribe: bool,
}

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such account, or not its secret, or a credential that does not hold here or now: never told apart.
    WrongCredentials,
    /// The secret was right; the account or its tenant is suspended.
    Suspended,
    /// The secret was right; the last login is less than so many seconds ago: `[LOGIN-DELAY]`.
    TooSoon {
        /// Between two logins.
        seconds: u32,
    },
    /// Too many failures before this one: nothing was tried, and nothing is to be for a while. `[SYS/TEMP]`, with the same
    /// text whether there is such an account or not.
    SlowedDown {
        /// What is left of the wait.
        wait: Duration,
    },
    /// Too many logins at once: nothing was tried. `[SYS/TEMP]`.
    Busy,
}

impl Refusal {
    /// For metrics.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong_credentials",
            Self::Suspended => "suspended",
            Self::TooSoon { .. } => "too_soon",
            Self::SlowedDown { .. } => "slowed_down",
            Self::Busy => "busy",
        }
    }

    /// Whether the same login may succeed later with nobody changing anything.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::TooSoon { .. } | Self::SlowedDown { .. } | Self::Busy)
    }
}

/// What a login came to. A refusal is an outcome, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOutcome {
    /// Proved.
    Accepted(Login),
    /// Not.
    Refused(Refusal),
}

/// What a login name leads to, looked up this moment; whether there is such an account is not to be seen from outside.
pub struct LookedUp {
    directory: Directory,
    peer: Option<IpAddr>,
    network: Network,
    /// The account's key in [`SlowDown`](crate::slow_down); `None`: the name is no address.
    key: Option<Fingerprint>,
    address: Option<Address>,
    tenant_policy: Policy,
    policy: EffectivePolicy,
    account: Option<Account>,
    salt: Salt,
    /// No password may be tried yet.
    wait: Option<Duration>,
    /// What came of it, for the account's administrators.
    witness: Witness,
}

impl std::fmt::Debug for LookedUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookedUp").finish_non_exhaustive()
    }
}

/// A login name as people type it: an address, `user%domain`, or a bare local part that takes the default domain.
pub fn parse_login(login: &str, default_domain: Option<&DomainName>) -> Option<Address> {
    if !login.contains('@')
        && let Some((local, domain)) = login.rsplit_once('%')
        && let Ok(address) = Address::parse(&format!("{local}@{domain}"))
    {
        return Some(address);
    }
    Address::parse_login(login, default_domain).ok()
}

impl Directory {
    /// [`Directory::login_from`] from nowhere in particular: credentials that are bound to networks are refused.
    ///
    /// # Errors
    /// As [`Directory::look_up`].
    pub async fn login(
        &self,
        login: &str,
        secret: &Secret,
        default_domain: Option<&DomainName>,
    ) -> Result<LoginOutcome> {
        self.login_from(None, login, secret, default_domain).await
    }

    /// Proves a login by name and secret.
    ///
    /// # Errors
    /// As [`Directory::look_up`].
    pub async fn login_from(
        &self,
        peer: Option<IpAddr>,
        login: &str,
        secret: &Secret,
        default_domain: Option<&DomainName>,
    ) -> Result<LoginOutcome> {
        self.look_up(peer, login, default_domain).await?.password(secret).await
    }

    /// Looks up whom a client wants to authenticate as: an address, `user%domain`, or a bare local part, which takes
    /// `default_domain`. A name that leads nowhere is looked up all the same.
    ///
    /// # Errors
    /// Trouble of ours only: the database is away, or a row is inconsistent.
    pub async fn look_up(
        &self,
        peer: Option<IpAddr>,
        login: &str,
        default_domain: Option<&DomainName>,
    ) -> Result<LookedUp> {
        let address = parse_login(login, default_domain);
        self.look_up_address(peer, login, address).await
    }

    async fn look_up_address(&self, peer: Option<IpAddr>, login: &str, address: Option<Address>) -> Result<LookedUp> {
        let found = match &address {
            Some(address) => Some(row::find(&self.pool, address).await?),
            None => None,
        };
        let name = match &address {
            Some(address) => format!("{}@{}", address.local.key().as_str(), address.domain),
            None => login.to_owned(),
        };
        let key = match &address {
            Some(_) => Some(self.logins.proved.fingerprint(&[b"account", name.as_bytes()])?),
            None => None,
        };
        let network = Network::of(peer);
        let wait = self.logins.slow_down.wait(network, key, self.clock.monotonic());
        let (tenant_policy, policy, account) = match found {
            Some(found) => (found.tenant_policy, found.policy, found.account),
            None => (Policy::default(), EffectivePolicy::default(), None),
        };
        // Made up always, so that who is unknown costs the same.
        let made_up = Salt::made_up(&self.keys, &name)?;
        let salt = account.as_ref().map_or(made_up, |account| account.salt.clone());
        let directory = self.clone();
        let witness = Witness::of(account.as_ref());
        Ok(LookedUp { directory, peer, network, key, address, tenant_policy, policy, account, salt, wait, witness })
    }
}

impl LookedUp {
    /// What tenant, domain and account decide; the domain's where there is no such account.
    pub fn policy(&self) -> EffectivePolicy {
        self.policy
    }

    /// Tells later why the login was refused, whoever asked for what.
    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    /// The account as an exchange of SASL needs it, with the credentials that may be used here and now. SCRAM's keys of the
    /// account's password are among them only if the policy says so, and not while passwords have to wait.
    pub fn account(&self, material: Material) -> sasl::Account {
        let mut account = sasl::Account {
            salt: self.salt.octets.clone(),
            iterations: self.salt.iterations,
            keys: Vec::new(),
            secrets: Vec::new(),
        };
        let Some(found) = &self.account else { return account };
        for (chosen, candidate) in self.candidates() {
            match material {
                Material::Scram(hash) => {
                    let is_offered = candidate.kind != PASSWORD || (self.policy.scram_passwords && self.wait.is_none());
                    let stored = match hash {
                        ScramHash::Sha256 => candidate.scram256.as_deref(),
                        ScramHash::Sha1 => candidate.scram1.as_deref(),
                    };
                    let keys = stored.filter(|_| is_offered).and_then(|stored| ScramKeys::parse(hash, stored));
                    account.keys.extend(keys.map(|keys| (chosen, keys)));
                }
                Material::Secrets => {
                    let sealed = candidate.sealed.as_deref().filter(|_| candidate.kind == LEGACY_APP_PASSWORD);
                    let secret = sealed.and_then(|sealed| {
                        seal::open(&self.directory.keys, seal::Whose::Account(found.tenant, found.id), sealed)
                    });
                    account.secrets.extend(secret.map(|secret| (chosen, secret)));
                }
            }
        }
        if account.keys.is_empty() && account.secrets.is_empty() {
            self.witness.nothing_offered(material);
        }
        account
    }

    /// The client sent a secret.
    ///
    /// # Errors
    /// Trouble of ours only.
    pub async fn password(mut self, secret: &Secret) -> Result<LoginOutcome> {
        // Again: failures that were counted since the name was looked up hold too.
        let now = self.directory.clock.monotonic();
        self.wait = self.wait.or_else(|| self.directory.logins.slow_down.wait(self.network, self.key, now));
        match self.prove(secret).await {
            Ok(Some(proved)) => self.accept(&proved).await,
            Ok(None) => {
                self.note_why(secret)?;
                let key = self.key.unwrap_or_default();
                let network = format!("{:?}", self.network);
                let fingerprint =
                    self.directory.logins.proved.fingerprint(&[b"wrong", network.as_bytes(), &key, secret.expose()])?;
                Ok(self.refuse(fingerprint))
            }
            Err(Error::Busy) => {
                self.witness.note(RefusalReason::Busy);
                Ok(LoginOutcome::Refused(Refusal::Busy))
            }
            Err(error) => Err(error),
        }
    }

    /// The client proved to know the secret of one of the credentials that [`LookedUp::account`] named.
    ///
    /// # Errors
    /// Trouble of ours only.
    pub async fn proved(self, chosen: Chosen) -> Result<LoginOutcome> {
        let proved = self.candidates().find(|(one, _)| *one == chosen).map(|(_, candidate)| candidate.clone());
        match proved {
            Some(candidate) => self.accept(&candidate).await,
            None => self.refused(),
        }
    }

    /// The client did not prove anything.
    ///
    /// # Errors
    /// Trouble of ours only.
    pub fn refused(self) -> Result<LoginOutcome> {
        // What was wrong cannot be seen. Where only secrets that nobody can guess were asked for, it is one failure, however
        // often it is repeated: a device with an old app password. Else each may be a guess.
        let mut each = [0; 16];
        if self.policy.scram_passwords {
            self.directory.random.fill(&mut each);
        }
        let key = self.key.unwrap_or_default();
        let network = format!("{:?}", self.network);
        let fingerprint = self.directory.logins.proved.fingerprint(&[b"unproved", network.as_bytes(), &key, &each])?;
        Ok(self.refuse(fingerprint))
    }

    /// The credentials that may be used here and now.
    fn candidates(&self) -> impl Iterator<Item = (Chosen, &Candidate)> {
        let now = self.directory.now();
        let all = self.account.iter().flat_map(|account| &account.candidates).enumerate();
        all.filter(move |(_, candidate)| candidate.holds(now, self.peer, &self.policy))
            .map(|(at, candidate)| (Chosen(at), candidate))
    }

    /// Counts a failure, unless nothing was tried.
    fn refuse(&self, fingerprint: Fingerprint) -> LoginOutcome {
        if let Some(wait) = self.wait {
            self.witness.note(RefusalReason::SlowedDown);
            return LoginOutcome::Refused(Refusal::SlowedDown { wait });
        }
        let now = self.directory.clock.monotonic();
        let is_new = self.directory.logins.slow_down.failed(self.network, self.key, fingerprint, now);
        self.witness.wrong(is_new);
        LoginOutcome::Refused(Refusal::WrongCredentials)
    }

    async fn accept(&self, proved: &Candidate) -> Result<LoginOutcome> {
        let policy = self.policy.under(&proved.policy);
        self.accept_as(proved.id, may_expunge(proved.scopes), policy).await
    }

    /// The client is who it says: what is said from here on is said to nobody else.
    async fn accept_as(
        &self,
        credential: CredentialId,
        may_expunge: bool,
        policy: EffectivePolicy,
    ) -> Result<LoginOutcome> {
        let Some(account) = &self.account else { return Ok(LoginOutcome::Refused(Refusal::WrongCredentials)) };
        if let Some(key) = self.key {
            self.directory.logins.slow_down.succeeded(self.network, key, self.directory.clock.monotonic());
        }
        self.witness.proved(credential);
        if !account.active {
            self.witness.note(RefusalReason::Suspended);
            return Ok(LoginOutcome::Refused(Refusal::Suspended));
        }
        let seconds = policy.login_delay_seconds;
        if seconds > 0 && !self.directory.is_late_enough(account, seconds).await? {
            self.witness.note(RefusalReason::LoginDelay);
            return Ok(LoginOutcome::Refused(Refusal::TooSoon { seconds }));
        }
        Ok(LoginOutcome::Accepted(Login {
            tenant: account.tenant,
            account: account.id,
            credential,
            address: account.address.to_string(),
            domain: account.address.domain.clone(),
            may_expunge,
            maildrop: account.maildrop,
            policy,
            transcribe: account.transcribe,
        }))
    }
}

/// The least favourable that any policy sets: what CAPA says before it is known who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promises {
    /// The longest LOGIN-DELAY, seconds; 0: none.
    pub login_delay_seconds: u32,
    /// The shortest EXPIRE, days; `None`: nothing expires.
    pub expire_days: Option<u32>,
}

impl Directory {
    /// What may be told before login, by all tenants' policies (role pop3).
    pub async fn promises(&self) -> Result<Promises> {
        let (delay, expire): (i32, Option<i32>) =
            sqlx::query_as("SELECT login_delay_seconds, expire_days FROM restante.pop3_promises_1()")
                .fetch_one(&self.pool)
                .await?;
        let positive = |value: i32| u32::try_from(value).unwrap_or(0);
        Ok(Promises { login_delay_seconds: positive(delay), expire_days: expire.map(positive) })
    }

    /// Whether the account's last login is so many seconds ago; notes this one. For accounts with a LOGIN-DELAY only.
    async fn is_late_enough(&self, account: &Account, seconds: u32) -> Result<bool> {
        let late_enough = sqlx::query_scalar("SELECT restante.pop3_login_time_1($1, $2, $3)")
            .bind(account.tenant.0)
            .bind(account.id.0)
            .bind(i32::try_from(seconds).unwrap_or(i32::MAX))
            .fetch_one(&self.pool)
            .await?;
        Ok(late_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_name_is_an_address_in_several_forms() {
        let default = DomainName::parse("acme.test").ok();
        let parsed = |login: &str| parse_login(login, default.as_ref()).map(|address| address.to_string());
        assert_eq!(parsed("alice@other.test").as_deref(), Some("alice@other.test"));
        assert_eq!(parsed("alice%other.test").as_deref(), Some("alice@other.test"));
        assert_eq!(parsed("a%b%other.test").as_deref(), Some("a%b@other.test"));
        assert_eq!(parsed("alice").as_deref(), Some("alice@acme.test"));
        assert_eq!(parsed("alice%other.test@acme.test").as_deref(), Some("alice%other.test@acme.test"));
        assert_eq!(parsed("50%").as_deref(), Some("50%@acme.test"));
        assert_eq!(parsed("not an address"), None);
        assert_eq!(parse_login("alice", None), None);
    }
}
