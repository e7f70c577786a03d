//! `/v1/accounts/{address}/messages/expunged` and `/restore`: what was expunged, and bringing it back.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use directory::{Account, Effect};
use mail_types::{SessionUuid, UniqueId};
use mailstore::{ExpungedFilter, Restored, RestoredBy, Selection};

use crate::AppState;
use crate::answer::{Done, list as page};
use crate::bodies::{ExpungedBody, MessagesRestore, RestoredBody};
use crate::caller::Caller;
use crate::extract::{Params, Submitted, address, session};
use crate::fields::{Fields, parsed, time};
use crate::once::once;
use crate::openapi::{ExpungedList, PageParams, Problems};
use crate::problem::{Kind, Problem};

/// List an account's expunged messages that can still be restored, those expunged last first.
#[utoipa::path(get, path = "/v1/accounts/{address}/messages/expunged", tag = "messages",
    params(("address" = String, Path), PageParams,
        ("since" = Option<DateTime<Utc>>, Query, description = "Only what was expunged from here on"),
        ("until" = Option<DateTime<Utc>>, Query, description = "Only what was expunged before this"),
        ("session" = Option<String>, Query, description = "Only what this session expunged")),
    responses((status = 200, body = ExpungedList), Problems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let request = params.page()?;
    let filter = ExpungedFilter {
        since: params.time("since")?,
        until: params.time("until")?,
        session: params.parsed("session", session_id)?,
    };
    let account = state.directory.account(&caller, &address(&path)?).await?;
    let after = request.after()?;
    let rows = state.mailstore.expunged(account.tenant_id, account.id, filter, after, request.limit + 1).await?;
    let rows = request.page(rows, |row| (row.expunged_at, row.message.uid));
    Ok(page(rows.map(ExpungedBody::from)).into_response())
}

/// Restore expunged messages: they are live again at their old place in the order, with their old unique-id.
///
/// One by one (`unique_ids`), by when they were expunged (`since`, `until`), or all that one session expunged (`session`). All of
/// the selection or none: what does not fit into the quota is refused (`over-quota`) and nothing is restored. What is live or
/// purged is passed over, so a repeat restores nothing. POP3 clients see the messages at their next login; one that remembers
/// unique-ids does not fetch again what it has. A device that sees only what it has not fetched gets back what it expunged itself.
/// Messages that a device hid from itself were not expunged, and are not restored.
#[utoipa::path(post, path = "/v1/accounts/{address}/messages/restore", tag = "messages",
    params(("address" = String, Path)), request_body = MessagesRestore,
    responses((status = 200, body = RestoredBody), Problems))]
pub(super) async fn restore(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Path(path): Path<String>,
    Submitted { fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let (selection, address) = (read(fields)?, address(&path)?);
    let account = state.directory.account(&caller, &address).await?;
    if let Selection::Session(one) = selection
        && !state.mailstore.has_session(account.tenant_id, account.id, one).await?
    {
        return Err(Problem::field("/session", "not_found", "there is no such session of this account"));
    }
    let restoring = restoring(&state, &caller, &account, selection);
    once(&state, &caller, repeatable, restoring).await
}

fn read(mut fields: Fields) -> Result<Selection, Problem> {
    let given = ["unique_ids", "since", "session"].into_iter().filter(|name| fields.has(name)).count();
    if given != 1 {
        return Err(Problem::field("", "invalid", "must have one of unique_ids, since and session"));
    }
    if fields.has("unique_ids") {
        let ids = fields.list("unique_ids", parsed(UniqueId::parse));
        if ids.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::field("/unique_ids", "too_short", "must have at least one"));
        }
        fields.done(ids.map(Selection::UniqueIds))
    } else if fields.has("session") {
        let session = fields.required("session", parsed(session_id));
        fields.done(session.map(Selection::Session))
    } else {
        let since = fields.required("since", time);
        let until = fields.optional("until", time);
        if since.zip(until).is_some_and(|(since, until)| until <= since) {
            return Err(Problem::field("/until", "out_of_range", "must be after since"));
        }
        fields.done(since.map(|since| Selection::Between { since, until }))
    }
}

fn session_id(text: &str) -> Result<SessionUuid, &'static str> {
    session(text).map_err(|_| "must be the id of a session: sess_…")
}

/// The work of a restore, to be done once.
pub(super) fn restoring(
    state: &AppState,
    caller: &directory::Caller,
    account: &Account,
    selection: Selection,
) -> impl Future<Output = Result<Done, Problem>> + Send + use<> {
    let (mailstore, tenant, id) = (state.mailstore.clone(), account.tenant_id, account.id);
    let by = RestoredBy {
        actor: caller.actor.clone(),
        target: account.address.to_string(),
        address: caller.peer,
        request: caller.request,
    };
    let caller = caller.clone();
    async move {
        let restored = if caller.is_trying() {
            let (restored, audited) = mailstore.try_restore(tenant, id, &selection, &by).await?;
            if let Some(after) = audited {
                let (action, target) = ("message.restore".to_owned(), by.target);
                caller.note(|| Effect { action, target, before: None, after: Some(after) });
            }
            restored
        } else {
            mailstore.restore(tenant, id, &selection, &by).await?
        };
        match restored {
            Restored::Done { messages, octets } => Done::ok(RestoredBody { messages, octets }),
            Restored::OverQuota { messages, octets } => Err(Problem::with_detail(
                Kind::OverQuota,
                format!("{messages} messages of {octets} octets do not fit into the quota: nothing was restored"),
            )),
            Restored::NoSuchAccount => Err(Problem::new(Kind::NotFound)),
        }
    }
}
