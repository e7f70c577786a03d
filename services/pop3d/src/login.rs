//! Logging in: who it is, whether there is room, and the snapshot.

use std::sync::Arc;

use bytes::BytesMut;
use directory::{Login, LoginOutcome, Refusal};
use mail_types::Octets;
use mailstore::{Message, Snapshot};
use net::Peer;
use pop3_proto::{Deletion, Listing, LoginAttempt, LoginMethod, LoginRefusal, Maildrop};

use crate::{Shared, metrics, sessions::Place};

/// A client that is known, and what it sees.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) login: Login,
    pub(crate) method: LoginMethod,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Held for its drop: the session's place among its account's.
    _place: Place,
}

impl LoggedIn {
    /// The maildrop as the protocol sees it.
    pub(crate) fn maildrop(&self) -> Maildrop {
        let deletion = if self.login.may_expunge { Deletion::Allowed } else { Deletion::Refused };
        Maildrop::new(Listed(self.snapshot.clone()), deletion)
    }
}

/// A snapshot, listed. It is shared with other sessions of the same maildrop.
#[derive(Debug)]
struct Listed(Arc<Snapshot>);

impl Listed {
    fn message(&self, index: usize) -> Option<&Message> {
        self.0.messages().get(index)
    }
}

impl Listing for Listed {
    fn messages(&self) -> u32 {
        u32::try_from(self.0.messages().len()).unwrap_or(u32::MAX)
    }

    fn octets(&self, index: usize) -> Octets {
        self.message(index).map(|message| message.octets).unwrap_or_default()
    }

    fn put_unique_id(&self, index: usize, out: &mut BytesMut) {
        if let Some(message) = self.message(index) {
            out.extend_from_slice(message.unique_id().as_str().as_bytes());
        }
    }
}

/// Checks the credentials and opens the maildrop. What fails is counted and logged here; the client is told no more than the
/// refusal says.
pub(crate) async fn log_in(shared: &Shared, peer: &Peer, attempt: LoginAttempt) -> Result<LoggedIn, LoginRefusal> {
    let method = attempt.method;
    let logged_in = try_log_in(shared, peer, attempt).await;
    let result = match &logged_in {
        Ok(_) => "accepted",
        Err(LoginRefusal::WrongCredentials) => "wrong_credentials",
        Err(LoginRefusal::Suspended) => "suspended",
        Err(LoginRefusal::InUse) => "in_use",
        Err(LoginRefusal::Unavailable) => "unavailable",
    };
    metrics::LOGINS.with_label_values(&[method.as_str(), result]).inc();
    logged_in
}

async fn try_log_in(shared: &Shared, peer: &Peer, attempt: LoginAttempt) -> Result<LoggedIn, LoginRefusal> {
    let LoginAttempt { login, secret, method } = attempt;
    let default_domain = shared.config.default_domain.as_ref();
    let outcome =
        shared.directory.login_from(peer.address, &login, &secret, default_domain).await.map_err(|error| {
            tracing::warn!(kind = error.kind(), %error, "a login cannot be checked");
            LoginRefusal::Unavailable
        })?;
    let login = match outcome {
        LoginOutcome::Accepted(login) => login,
        LoginOutcome::Refused(Refusal::WrongCredentials) => return Err(LoginRefusal::WrongCredentials),
        LoginOutcome::Refused(Refusal::Suspended) => return Err(LoginRefusal::Suspended),
    };
    let place = shared.sessions.enter(login.tenant, login.account).ok_or(LoginRefusal::InUse)?;
    let snapshot = shared.mailstore.snapshot(login.tenant, login.account, login.maildrop).await.map_err(|error| {
        tracing::warn!(tenant = %login.tenant, account = %login.account, kind = error.kind(), %error, "a maildrop cannot be opened");
        LoginRefusal::Unavailable
    })?;
    Ok(LoggedIn { login, method, snapshot, _place: place })
}
