//! Logging in: who it is, whether there is room, exclusive access where the policy wants it, and what the session sees.

use std::time::{Duration, Instant};

use directory::{ClientCertificate, Login, LoginOutcome, LookedUp, Refusal, SessionPlace, TokenOutcome, Witness};
use mail_types::{Address, DomainName, SessionUuid};
use mailstore::SessionReader;
use net::{Peer, tls::TlsFacts};
use pop3_proto::{Evidence, Fault, LoginAttempt, LoginMethod, LoginRefusal, SessionLimit};
use sasl::{Account, Candidate, ChannelBindings, Material, Mechanism, TokenRefusal};

use crate::{Shared, heart::Lease, metrics, view::Seen};

/// A client that is known, and what it sees.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) login: Login,
    pub(crate) method: LoginMethod,
    pub(crate) seen: Seen,
    /// Reads what is seen.
    pub(crate) reader: SessionReader,
    /// Where access is exclusive.
    pub(crate) lease: Option<Lease>,
    /// Held for its drop.
    _place: SessionPlace,
}

/// Why nobody was logged in.
#[derive(Debug)]
pub(crate) enum NotLoggedIn {
    Refused(LoginRefusal),
    /// The client is told in its mechanism.
    Token(TokenRefusal),
}

impl From<LoginRefusal> for NotLoggedIn {
    fn from(refusal: LoginRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Refusal> for NotLoggedIn {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(match refusal {
            Refusal::WrongCredentials => LoginRefusal::WrongCredentials,
            Refusal::Suspended => LoginRefusal::Suspended,
            Refusal::TooSoon { seconds } => LoginRefusal::LoginDelay(seconds),
            Refusal::SlowedDown { .. } => LoginRefusal::SlowedDown,
            Refusal::Busy => LoginRefusal::Busy,
        })
    }
}

/// What is known of a client that wants to log in, and what was looked up for it.
#[derive(Debug)]
pub(crate) struct Applicant {
    session: SessionUuid,
    peer: Peer,
    default_domain: Option<DomainName>,
    certificate: Option<ClientCertificate>,
    /// Of an exchange under way.
    looked_up: Option<LookedUp>,
    /// Of the last look-up.
    witness: Option<Witness>,
    /// With [`Fault::NoProof`]: what the exchange should have proved.
    unproved: Option<Candidate>,
}

impl Applicant {
    /// Over a connection whose TLS has these facts, if it has TLS.
    pub(crate) fn new(shared: &Shared, session: SessionUuid, peer: Peer, tls: Option<&TlsFacts>) -> Self {
        let certificate = tls.and_then(|tls| {
            let (end_entity, intermediates) = tls.client_certificates.split_first()?;
            Some(ClientCertificate { end_entity: end_entity.clone(), intermediates: intermediates.to_vec() })
        });
        Self {
            session,
            peer,
            default_domain: shared.config.domain_for(tls.and_then(|tls| tls.server_name.as_deref())),
            certificate,
            looked_up: None,
            witness: None,
            unproved: None,
        }
    }

    /// The connection as SASL sees it.
    pub(crate) fn connection(&self, shared: &Shared, tls: Option<TlsFacts>) -> pop3_proto::Connection {
        let bindings =
            tls.map(|tls| ChannelBindings { tls_exporter: tls.exporter, tls_server_end_point: tls.server_end_point });
        let addresses = |certificate: &ClientCertificate| directory::certificate_addresses(&certificate.end_entity);
        pop3_proto::Connection {
            challenges: shared.challenges.clone(),
            bindings: bindings.unwrap_or_default(),
            certificate: self.certificate.as_ref().map(addresses).unwrap_or_default(),
        }
    }

    async fn find(&mut self, shared: &Shared, login: &str) -> Result<LookedUp, LoginRefusal> {
        self.witness = None;
        let found = shared.directory.look_up(self.peer.address, login, self.default_domain.as_ref()).await;
        let found = found.map_err(unavailable)?;
        self.witness = Some(found.witness());
        Ok(found)
    }

    /// What came of the last login, for the account's administrators.
    pub(crate) fn witness(&self) -> Option<&Witness> {
        self.witness.as_ref()
    }

    /// The address that a login name means here, if it is one.
    pub(crate) fn address(&self, login: &str) -> Option<Address> {
        directory::parse_login(login, self.default_domain.as_ref())
    }

    /// Looks an account up for an exchange, and remembers it until that ends.
    pub(crate) async fn look_up(
        &mut self,
        shared: &Shared,
        login: &str,
        material: Material,
    ) -> Result<Account, LoginRefusal> {
        let looked_up = self.find(shared, login).await?;
        let account = looked_up.account(material);
        if Fault::NoProof.is_on() {
            let keys = account.keys.iter().map(|(candidate, _)| *candidate);
            self.unproved = keys.chain(account.secrets.iter().map(|(candidate, _)| *candidate)).next();
        }
        self.looked_up = Some(looked_up);
        Ok(account)
    }

    /// Checks the evidence and opens the maildrop. What fails is counted and logged here; the client is told no more than the
    /// refusal says.
    pub(crate) async fn log_in(&mut self, shared: &Shared, attempt: LoginAttempt) -> Result<LoggedIn, NotLoggedIn> {
        let method = attempt.method;
        let logged_in = self.try_log_in(shared, attempt).await;
        let result = match &logged_in {
            Ok(_) => "accepted",
            Err(NotLoggedIn::Refused(refusal)) => metrics::refusal(*refusal),
            Err(NotLoggedIn::Token(_)) => metrics::refusal(LoginRefusal::WrongCredentials),
        };
        metrics::LOGINS.with_label_values(&[method.as_str(), result]).inc();
        logged_in
    }

    async fn try_log_in(&mut self, shared: &Shared, attempt: LoginAttempt) -> Result<LoggedIn, NotLoggedIn> {
        let LoginAttempt { login, evidence, method } = attempt;
        let login = self.prove(shared, &login, evidence).await?;
        let (tenant, account) = (login.tenant, login.account);
        let frontends = shared.heart.frontends();
        let (peer, policy) = (self.peer.address, &login.policy.sessions);
        let place = shared.sessions.enter(tenant, account, &login.domain, peer, policy, frontends);
        let place = place.map_err(|limit| {
            LoginRefusal::TooManySessions(match limit {
                directory::SessionLimit::Account(most) => SessionLimit::Account(most),
                directory::SessionLimit::Domain(most) => SessionLimit::Domain(most),
                directory::SessionLimit::Tenant(most) => SessionLimit::Tenant(most),
                directory::SessionLimit::Address(most) => SessionLimit::Address(most),
            })
        })?;
        let not_opened = |error: mailstore::Error| {
            tracing::warn!(%tenant, %account, kind = error.kind(), %error, "a maildrop cannot be opened");
            LoginRefusal::Unavailable
        };
        let lease = if login.policy.exclusive && !Fault::LeaseUnchecked.is_on() {
            let lease = shared.heart.lease(tenant, account, self.session).await.map_err(not_opened)?;
            Some(lease.ok_or(LoginRefusal::InUse)?)
        } else {
            None
        };
        match Seen::open(&shared.mailstore, &login, shared.clock.now()).await {
            Ok(seen) => {
                let reader = seen.reader(&shared.mailstore, &login);
                Ok(LoggedIn { login, method, seen, reader, lease, _place: place })
            }
            Err(error) => {
                if let Some(lease) = lease {
                    lease.free().await;
                }
                Err(not_opened(error).into())
            }
        }
    }

    async fn prove(&mut self, shared: &Shared, login: &str, evidence: Evidence) -> Result<Login, NotLoggedIn> {
        let looked_up = self.looked_up.take();
        let outcome = match (evidence, looked_up) {
            (Evidence::Password(secret), _) => self.find(shared, login).await?.password(&secret).await,
            (Evidence::Token(token), _) => {
                let named = Some(login).filter(|login| !login.is_empty());
                let (peer, domain) = (self.peer.address, self.default_domain.as_ref());
                let looked_up = shared.directory.look_up_token(peer, named, domain, &token).await;
                let looked_up = looked_up.map_err(unavailable)?;
                self.witness = Some(looked_up.witness());
                match looked_up.token(&token).await.map_err(unavailable)? {
                    TokenOutcome::Accepted(login) => Ok(LoginOutcome::Accepted(login)),
                    TokenOutcome::Refused { refusal: Refusal::WrongCredentials, tell } => {
                        return Err(NotLoggedIn::Token(tell));
                    }
                    TokenOutcome::Refused { refusal, .. } => Ok(LoginOutcome::Refused(refusal)),
                }
            }
            (Evidence::Certificate, _) => match self.certificate.clone() {
                Some(certificate) => self.find(shared, login).await?.certificate(&certificate).await,
                None => Ok(LoginOutcome::Refused(Refusal::WrongCredentials)),
            },
            (Evidence::Proof(candidate), Some(looked_up)) => looked_up.proved(candidate).await,
            (Evidence::Disproved, Some(looked_up)) => match self.unproved.take() {
                Some(candidate) => looked_up.proved(candidate).await,
                None => looked_up.refused(),
            },
            // A certificate's address that the client did not want; or the driver's mistake.
            (Evidence::Proof(_) | Evidence::Disproved, None) => Ok(LoginOutcome::Refused(Refusal::WrongCredentials)),
        };
        match outcome.map_err(unavailable)? {
            LoginOutcome::Accepted(login) => Ok(login),
            LoginOutcome::Refused(refusal) => Err(refusal.into()),
        }
    }
}

fn unavailable(error: directory::Error) -> LoginRefusal {
    tracing::warn!(kind = error.kind(), %error, "a login cannot be checked");
    LoginRefusal::Unavailable
}

/// When a failure is answered: after the command, at the first whole multiple of a time that has not passed yet. So what takes
/// longer than that time does not tell how long it took.
pub(crate) fn moment(taken: Instant, now: Instant, time: Duration) -> Instant {
    let nanoseconds = time.as_nanos().max(1);
    let times = (now - taken).as_nanos().div_ceil(nanoseconds).max(1);
    taken + time.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
}

/// How the client proved itself, as a session's row tells it.
pub(crate) const fn number(method: LoginMethod) -> i16 {
    match method {
        LoginMethod::UserPass => 1,
        LoginMethod::Sasl(Mechanism::Plain) => 2,
        LoginMethod::Sasl(Mechanism::Login) => 3,
        LoginMethod::Sasl(Mechanism::ScramSha256) => 4,
        LoginMethod::Sasl(Mechanism::ScramSha256Plus) => 5,
        LoginMethod::Sasl(Mechanism::ScramSha1) => 6,
        LoginMethod::Sasl(Mechanism::ScramSha1Plus) => 7,
        LoginMethod::Sasl(Mechanism::OauthBearer) => 8,
        LoginMethod::Sasl(Mechanism::Xoauth2) => 9,
        LoginMethod::Sasl(Mechanism::External) => 10,
        LoginMethod::Sasl(Mechanism::CramMd5) => 11,
        LoginMethod::Sasl(Mechanism::Ntlm) => 12,
        LoginMethod::Apop => 13,
    }
}

#[cfg(test)]
mod tests {
    use mail_types::{Clock as _, SystemClock};

    use super::*;

    /// The API names what sessions were kept with.
    #[test]
    fn mechanisms_are_named_as_they_were_numbered() {
        let sasl = Mechanism::ALL.into_iter().map(LoginMethod::Sasl);
        for method in sasl.chain([LoginMethod::UserPass, LoginMethod::Apop]) {
            assert_eq!(mailstore::mechanism_name(number(method)), Some(method.as_str()));
        }
    }

    #[test]
    fn failures_are_answered_at_whole_moments() {
        let taken = SystemClock.monotonic();
        let answered = |after_ms, every_ms| {
            let now = taken + Duration::from_millis(after_ms);
            (moment(taken, now, Duration::from_millis(every_ms)) - taken).as_millis()
        };
        assert_eq!(answered(0, 1000), 1000);
        assert_eq!(answered(999, 1000), 1000);
        assert_eq!(answered(1000, 1000), 1000);
        assert_eq!(answered(1001, 1000), 2000);
        assert_eq!(answered(7, 0), 0, "at once");
    }
}
