//! Why a login was refused, for the account's administrators.

use directory::{RefusalReason, Witness};
use pop3_proto::{LoginRefusal, SessionLimit};

use crate::login::NotLoggedIn;

/// What a token's bearer is told after the mechanism's own words.
const WRONG_CREDENTIALS: &str = "-ERR [AUTH] wrong login name or password";

/// The reason: the directory knows it better where it was wrong credentials.
pub(crate) fn reason(refused: &NotLoggedIn, witness: Option<&Witness>) -> RefusalReason {
    let NotLoggedIn::Refused(refusal) = refused else { return RefusalReason::TokenRefused };
    match refusal {
        LoginRefusal::WrongCredentials => witness.and_then(Witness::reason).unwrap_or(RefusalReason::WrongProof),
        LoginRefusal::Suspended => RefusalReason::Suspended,
        LoginRefusal::InUse => RefusalReason::InUse,
        LoginRefusal::TooManySessions(SessionLimit::Account(_)) => RefusalReason::SessionsOfAccount,
        LoginRefusal::TooManySessions(SessionLimit::Domain(_)) => RefusalReason::SessionsOfDomain,
        LoginRefusal::TooManySessions(SessionLimit::Tenant(_)) => RefusalReason::SessionsOfTenant,
        LoginRefusal::TooManySessions(SessionLimit::Address(_)) => RefusalReason::SessionsOfAddress,
        LoginRefusal::LoginDelay(_) => RefusalReason::LoginDelay,
        LoginRefusal::SlowedDown => RefusalReason::SlowedDown,
        LoginRefusal::Busy => RefusalReason::Busy,
        LoginRefusal::Unavailable => RefusalReason::Unavailable,
    }
}

/// The `-ERR` that the client sees, by the last line that is in the output. A token's bearer sees it after one more response of its
/// own.
pub(crate) fn told(line: Option<&str>) -> String {
    line.filter(|line| line.starts_with("-ERR")).unwrap_or(WRONG_CREDENTIALS).to_owned()
}
