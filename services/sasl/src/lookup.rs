//! What an exchange asks of the directory, and what it is answered with.

use std::num::NonZeroU32;

use mail_types::Secret;

use crate::{ScramHash, ScramKeys, Step, cram_md5, ntlm, scram};

/// Which of an account's credentials: a number that only the caller gives a meaning to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate(pub usize);

/// What of an account an exchange needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    /// [`Account::salt`], [`Account::iterations`] and [`Account::keys`] for this hash.
    Scram(ScramHash),
    /// [`Account::secrets`].
    Secrets,
}

/// What the directory knows of an account, as far as [`Material`] asks for it: only credentials that may be used here and
/// now. For an unknown account there are none, and the salt is made up: the same each time and at every frontend.
#[derive(Debug, Clone)]
pub struct Account {
    /// SCRAM's salt, one for all credentials of the account. Not empty.
    pub salt: Vec<u8>,
    /// SCRAM's iteration count, likewise.
    pub iterations: NonZeroU32,
    /// SCRAM's keys of each credential.
    pub keys: Vec<(Candidate, ScramKeys)>,
    /// The secrets of the credentials that were made recoverable.
    pub secrets: Vec<(Candidate, Secret)>,
}

/// A client that proved to know the secret of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whom it authenticated as: what was looked up.
    pub login: String,
    /// The credential.
    pub candidate: Candidate,
}

/// An exchange that waits for an account.
#[derive(Debug)]
#[must_use = "a lookup that is not answered leaves the client without an answer"]
pub struct Lookup {
    login: String,
    waiting: Waiting,
}

#[derive(Debug)]
pub(crate) enum Waiting {
    Scram(scram::Named),
    CramMd5(cram_md5::Answer),
    Apop(crate::apop::Answer),
    Ntlm(ntlm::Answer),
}

impl Lookup {
    pub(crate) fn new(login: String, waiting: Waiting) -> Self {
        Self { login, waiting }
    }

    /// Whom the client wants to authenticate as, prepared. May be anything a person types: not for logs.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// What of the account is needed.
    pub fn material(&self) -> Material {
        match &self.waiting {
            Waiting::Scram(named) => Material::Scram(named.hash()),
            Waiting::CramMd5(_) | Waiting::Apop(_) | Waiting::Ntlm(_) => Material::Secrets,
        }
    }

    /// Goes on with the account.
    pub fn answer(self, account: Account) -> Step {
        let proves = match self.waiting {
            Waiting::Scram(named) => return named.answer(self.login, account),
            Waiting::CramMd5(answer) => first(&account.secrets, |secret| answer.proves(secret)),
            Waiting::Apop(answer) => first(&account.secrets, |secret| answer.proves(secret)),
            Waiting::Ntlm(answer) => first(&account.secrets, |secret| answer.proves(secret)),
        };
        proves.map_or(Step::Refused, |candidate| Step::Proved(Proof { login: self.login, candidate }))
    }
}

/// The first candidate whose secret proves. Every one is tried, so that the time does not tell which.
fn first(secrets: &[(Candidate, Secret)], proves: impl Fn(&Secret) -> bool) -> Option<Candidate> {
    secrets.iter().fold(None, |found, (candidate, secret)| {
        let proves = proves(secret);
        found.or(proves.then_some(*candidate))
    })
}
