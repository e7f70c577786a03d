//! `GET /v1/tenants/{slug}/export`: all that a tenant owns, as a tar archive that is made while it is sent. Nothing is stored and memory
//! does not grow with the tenant: lists are written page by page, mail message by message.

use std::io;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use directory::{AccountFilter, Caller as By, DomainFilter, PageRequest, Tenant};
use futures_util::stream;
use mailstore::Exported;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::AppState;
use crate::bodies::{AccountBody, AliasBody, DomainBody, TenantBody};
use crate::caller::Caller;
use crate::exports::{ExportPlace, Exports};
use crate::extract::{Params, slug};
use crate::openapi::Problems;
use crate::problem::Problem;
use crate::tar::{self, Entry};

/// Pieces that wait for a client which reads slowly.
const AHEAD: usize = 4;
/// Messages of one maildir: its list of unique-ids is held until they are written.
const MOST_OF_MAILDIR: usize = 100_000;
/// Messages of a page.
const MESSAGES: u32 = 500;
/// Items of a page of everything else.
const ITEMS: u32 = 500;

/// Export all that a tenant owns.
///
/// A tar archive: `tenant.json`; `domains`, `accounts`, `policies`, `app-passwords`, `aliases` and `audit-events`, each in files
/// `-000001.ndjson` and so on; with `mail=true` (needs `messages:raw`) a maildir for each account, with `dovecot-uidlist` beside the
/// messages, which `restante import` and Dovecot read; and last `errors.ndjson`, which names messages that cannot be read. The lines of
/// `accounts` are those of an import. An archive without `errors.ndjson` is not whole. The audit trail says who exported.
#[utoipa::path(get, path = "/v1/tenants/{slug}/export", tag = "tenants",
    params(("slug" = String, Path), ("mail" = Option<bool>, Query, description = "With the mail of its accounts"),
        ("password_hashes" = Option<bool>, Query, description = "With the hashes of passwords: for platform-admins only")),
    responses((status = 200, body = String, content_type = "application/x-tar"), Problems))]
pub(super) async fn export(
    State(state): State<AppState>,
    Caller(caller): Caller,
    Extension(exports): Extension<Exports>,
    Path(path): Path<String>,
    mut params: Params,
) -> Result<Response, Problem> {
    let boolean = |text: &str| text.parse::<bool>().map_err(|_| "must be true or false");
    let mail = params.parsed("mail", boolean)?.unwrap_or(false);
    let password_hashes = params.parsed("password_hashes", boolean)?.unwrap_or(false);
    let slug = slug(&path)?;
    let place = exports.enter(&slug)?;
    let tenant = state.directory.begin_export(&caller, &slug, mail, password_hashes).await?;
    let name = format!("attachment; filename=\"{}.tar\"", tenant.slug);
    let (send, receive) = mpsc::channel(AHEAD);
    let seconds = state.clock.now().unix_seconds();
    let archive = Archive { send, seconds, errors: Vec::new() };
    let export = Export { state, caller, tenant, mail, password_hashes, archive, _place: place };
    tokio::spawn(export.write().in_current_span());
    let body = Body::from_stream(stream::unfold(receive, async |mut receive| {
        let piece: Option<io::Result<Bytes>> = receive.recv().await;
        piece.map(|piece| (piece, receive))
    }));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Why an export ends early.
enum Ended {
    /// Nobody reads it any more.
    Gone,
    /// It cannot go on: the client is told by a body that breaks off.
    Broken(Problem),
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Broken(problem)
    }
}

impl From<directory::Error> for Ended {
    fn from(error: directory::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl From<mailstore::Error> for Ended {
    fn from(error: mailstore::Error) -> Self {
        Self::Broken(error.into())
    }
}

/// The archive on its way out.
struct Archive {
    send: mpsc::Sender<io::Result<Bytes>>,
    /// The date of what has none of its own.
    seconds: u64,
    errors: Vec<Value>,
}

impl Archive {
    async fn put(&self, octets: impl Into<Bytes>) -> Result<(), Ended> {
        self.send.send(Ok(octets.into())).await.map_err(|_| Ended::Gone)
    }

    async fn file(&self, name: &str, octets: Vec<u8>) -> Result<(), Ended> {
        let size = octets.len() as u64;
        let mut entry = tar::head(name, Entry::File(size), self.seconds);
        entry.extend(octets);
        entry.extend(tar::padding(size));
        self.put(entry).await
    }

    /// A page of a list; none of an empty one.
    async fn page<T: Serialize>(&self, name: &str, number: u32, items: &[T]) -> Result<(), Ended> {
        if items.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for item in items {
            serde_json::to_writer(&mut lines, item).map_err(|error| Problem::internal(&error))?;
            lines.push(b'\n');
        }
        self.file(&format!("{name}-{number:06}.ndjson"), lines).await
    }
}

struct Export {
    state: AppState,
    caller: By,
    tenant: Tenant,
    mail: bool,
    password_hashes: bool,
    archive: Archive,
    /// Held for its drop.
    _place: ExportPlace,
}

impl Export {
    async fn write(mut self) {
        if let Err(Ended::Broken(problem)) = self.entries().await {
            tracing::warn!(problem = problem.code(), "an export broke off");
            // The client may have gone meanwhile.
            let _ = self.archive.send.send(Err(io::Error::other("the export broke off"))).await;
        }
    }

    async fn entries(&mut self) -> Result<(), Ended> {
        let tenant = TenantBody::from(self.tenant.clone());
        let tenant = serde_json::to_vec(&tenant).map_err(|error| Problem::internal(&error))?;
        self.archive.file("tenant.json", tenant).await?;
        self.domains().await?;
        self.accounts().await?;
        self.aliases().await?;
        self.events().await?;
        if self.mail {
            self.maildirs().await?;
        }
        let mut errors = Vec::new();
        for error in &self.archive.errors {
            errors.extend(format!("{error}\n").into_bytes());
        }
        self.archive.file("errors.ndjson", errors).await?;
        self.archive.put(tar::end()).await
    }

    async fn domains(&self) -> Result<(), Ended> {
        let mut request = first();
        let filter = DomainFilter { tenant: Some(self.tenant.slug.clone()), ..DomainFilter::default() };
        for number in 1.. {
            let page = self.state.directory.domains(&self.caller, &filter, &request).await?.map(DomainBody::from);
            self.archive.page("domains", number, &page.items).await?;
            let Some(cursor) = page.next_cursor else { break };
            request.cursor = Some(cursor);
        }
        Ok(())
    }

    async fn aliases(&self) -> Result<(), Ended> {
        let (mut request, slug) = (first(), Some(&self.tenant.slug));
        for number in 1.. {
            let page =
                self.state.directory.aliases(&self.caller, slug, None, None, &request).await?.map(AliasBody::from);
            self.archive.page("aliases", number, &page.items).await?;
            let Some(cursor) = page.next_cursor else { break };
            request.cursor = Some(cursor);
        }
        Ok(())
    }

    async fn accounts(&self) -> Result<(), Ended> {
        let (mut request, directory) = (first(), &self.state.directory);
        let filter = AccountFilter { tenant: Some(self.tenant.slug.clone()), ..AccountFilter::default() };
        for number in 1.. {
            let page = directory.accounts(&self.caller, &filter, &request).await?;
            let ids: Vec<_> = page.items.iter().map(|account| account.id).collect();
            let hashes = self.password_hashes;
            let mut credentials = directory.export_credentials(&self.caller, self.tenant.id, &ids, hashes).await?;
            let (mut lines, mut policies, mut app_passwords) = (Vec::new(), Vec::new(), Vec::new());
            for account in page.items {
                let address = account.address.to_string();
                let of = credentials.remove(&account.id).unwrap_or_default();
                let quota = json!({
                    "octets": account.quota.octets, "messages": account.quota.messages,
                    "deliveries_per_hour": account.quota.deliveries_per_hour,
                });
                let mut line = json!({"address": address, "status": account.status.as_str(), "quota": quota});
                if let (Some(hash), Value::Object(line)) = (of.password_hash, &mut line) {
                    line.insert("password_hash".to_owned(), hash.into());
                }
                lines.push(line);
                if account.policy != directory::Policy::default() {
                    let policy = serde_json::to_value(AccountBody::from(account)).unwrap_or_default();
                    policies.push(json!({"address": address, "policy": policy.get("policy")}));
                }
                for mut shown in of.app_passwords {
                    if let Value::Object(shown) = &mut shown {
                        shown.insert("address".to_owned(), address.clone().into());
                    }
                    app_passwords.push(shown);
                }
            }
            self.archive.page("accounts", number, &lines).await?;
            self.archive.page("policies", number, &policies).await?;
            self.archive.page("app-passwords", number, &app_passwords).await?;
            let Some(cursor) = page.next_cursor else { break };
            request.cursor = Some(cursor);
        }
        Ok(())
    }

    async fn events(&self) -> Result<(), Ended> {
        let mut after = 0;
        for number in 1.. {
            let events = self.state.directory.export_events(&self.caller, self.tenant.id, after, ITEMS).await?;
            let Some(last) = events.last() else { break };
            after = last.event_id;
            self.archive.page("audit-events", number, &events).await?;
        }
        Ok(())
    }

    async fn maildirs(&mut self) -> Result<(), Ended> {
        let mut request = first();
        let filter = AccountFilter { tenant: Some(self.tenant.slug.clone()), ..AccountFilter::default() };
        loop {
            let page = self.state.directory.accounts(&self.caller, &filter, &request).await?;
            for account in page.items {
                let name = file_name(&account.address.to_string());
                let (mut after, mut part) = (0, 1);
                while let Some(next) = self.maildir(&account, &name, after, part).await? {
                    (after, part) = (next, part + 1);
                }
            }
            let Some(cursor) = page.next_cursor else { return Ok(()) };
            request.cursor = Some(cursor);
        }
    }

    /// Messages after a uid, as a maildir; answers where the next one begins, if there is more than one can hold.
    async fn maildir(
        &mut self,
        account: &directory::Account,
        name: &str,
        mut after: i64,
        part: u32,
    ) -> Result<Option<i64>, Ended> {
        let root = if part == 1 { format!("mail/{name}") } else { format!("mail/{name}.{part}") };
        for directory in ["", "/cur", "/new", "/tmp"] {
            let head = tar::head(&format!("{root}{directory}/"), Entry::Directory, self.archive.seconds);
            self.archive.put(head).await?;
        }
        let (mut lines, mut number) = (String::new(), 0);
        loop {
            let mailstore = &self.state.mailstore;
            let mut page = mailstore.read_page(account.tenant_id, account.id, after, MESSAGES).await?;
            let count = page.messages().len();
            for index in 0..count {
                let Some(message) = page.messages().get(index) else { break };
                let (uid, octets, unique_id) = (message.uid, message.octets.0, message.unique_id());
                let seconds = page.received_at(index).map_or(0, |at| at.unix_seconds());
                let file = format!("{seconds}.{}.restante,S={octets},W={octets}", message.name());
                if self.message(&mut page, index, &format!("{root}/new/{file}"), octets, seconds).await? {
                    number += 1;
                    lines.push_str(&format!("{number} W{octets} P{unique_id} :{file}\n"));
                }
                after = uid;
            }
            if count == 0 || number >= MOST_OF_MAILDIR {
                let list = format!("3 V{} N{}\n{lines}", self.archive.seconds, number + 1);
                self.archive.file(&format!("{root}/dovecot-uidlist"), list.into_bytes()).await?;
                return Ok((count > 0).then_some(after));
            }
        }
    }

    /// One message; false: it cannot be read. Its octets are known before, so one that turns out to be damaged on the way is filled up.
    async fn message(
        &mut self,
        page: &mut Exported,
        index: usize,
        name: &str,
        octets: u64,
        seconds: u64,
    ) -> Result<bool, Ended> {
        let mut reader = match page.open(index).await {
            None => return Ok(false),
            Some(Err(error)) if error.is_temporary() => return Err(error.into()),
            Some(Err(error)) => {
                self.unreadable(name, &error);
                return Ok(false);
            }
            Some(Ok(reader)) => reader,
        };
        self.archive.put(tar::head(name, Entry::File(octets), seconds)).await?;
        let mut sent = 0;
        let whole = loop {
            match reader.next().await {
                Ok(Some(piece)) => {
                    sent += piece.len() as u64;
                    self.archive.put(piece).await?;
                }
                Ok(None) => break sent == octets,
                Err(error) if error.is_temporary() => return Err(error.into()),
                Err(error) => {
                    self.unreadable(name, &error);
                    break false;
                }
            }
        };
        if sent > octets {
            return Err(Ended::Broken(Problem::new(crate::problem::Kind::Internal)));
        }
        let zeros = Bytes::from_static(&[0; 4096]);
        while sent < octets {
            let missing = usize::try_from(octets - sent).unwrap_or(usize::MAX).min(zeros.len());
            self.archive.put(zeros.slice(..missing)).await?;
            sent += missing as u64;
        }
        self.archive.put(tar::padding(octets)).await?;
        Ok(whole)
    }

    fn unreadable(&mut self, name: &str, error: &mailstore::Error) {
        tracing::warn!(%error, "a message of an export cannot be read");
        // All are counted by the log; as many are named as anybody will look at.
        if self.archive.errors.len() < 1000 {
            self.archive.errors.push(json!({"file": name, "error": error.kind()}));
        }
    }
}

fn first() -> PageRequest {
    PageRequest { limit: ITEMS, ..PageRequest::default() }
}

/// An address as the name of a directory: a slash may stand in one, and names that begin with a dot are hidden.
fn file_name(address: &str) -> String {
    let name = address.replace('%', "%25").replace('/', "%2F");
    name.strip_prefix('.').map_or(name.clone(), |rest| format!("%2E{rest}"))
}
