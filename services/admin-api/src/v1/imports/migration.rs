//! A migration: what its body says of the source is checked here, each account by the worker that does it, like the lines of an import.

use axum::response::Response;
use directory::{JobKind, NewJob};
use mail_types::TenantSlug;
use serde_json::{Value, json};

use super::queue;
use super::receive::Receiving;
use crate::AppState;
use crate::extract::Submitted;
use crate::fields::{Fields, Read, integer, object, parsed, word};
use crate::problem::Problem;

const KIND: &[(&str, JobKind)] = &[("maildrop-migration", JobKind::MaildropMigration)];
const PROTOCOL: &[(&str, &str)] = &[("pop3", "pop3"), ("imap", "imap")];
const TLS: &[(&str, &str)] = &[("implicit", "implicit"), ("starttls", "starttls"), ("none", "none")];

/// The longest name of a host.
const MAX_HOST: usize = 253;
/// The longest format of unique-ids.
const MAX_FORMAT: usize = 70;

pub(super) async fn create(
    state: &AppState,
    caller: &directory::Caller,
    tenant: Option<TenantSlug>,
    dry_run: bool,
    Submitted { mut fields, repeatable }: Submitted,
) -> Result<Response, Problem> {
    let kind = fields.required("kind", word(KIND));
    let source = source(&mut fields);
    let accounts = fields.list("accounts", object);
    let (kind, source, accounts) = fields.done(kind.and_then(|kind| Some((kind, source?, accounts?))))?;
    let new = NewJob { kind, tenant, dry_run, payload: json!({"source": source}) };
    // One account a piece: each is a worker's for as long as it takes.
    let mut receiving = Receiving::begin(state, caller, &new, 1).await?;
    for account in accounts {
        receiving.write(format!("{}\n", Value::Object(account)).as_bytes()).await?;
    }
    receiving.end().await?;
    queue(state, caller, receiving, repeatable).await
}

/// The source as the worker reads it, with its defaults.
fn source(fields: &mut Fields) -> Option<Value> {
    let given = fields.has("source");
    let source = fields.nested("source", None, |source| {
        let protocol = source.required("protocol", word(PROTOCOL));
        let host = source.required("host", short(MAX_HOST));
        let tls = source.optional("tls", word(TLS)).unwrap_or("implicit");
        let port = source.optional("port", integer::<u16>(1, 65535));
        let uidl_format = source.optional("uidl_format", short(MAX_FORMAT));
        let usual = match (protocol?, tls) {
            ("pop3", "implicit") => 995,
            ("pop3", _) => 110,
            (_, "implicit") => 993,
            _ => 143,
        };
        let port = port.unwrap_or(usual);
        Some(json!({"protocol": protocol?, "host": host?, "port": port, "tls": tls, "uidl_format": uidl_format}))
    });
    if !given {
        // Says that it is required.
        fields.required("source", object);
    }
    source
}

/// Text of 1 to so many octets, without blanks and control characters.
fn short(most: usize) -> impl Fn(&Value) -> Read<String> {
    parsed(move |text| {
        let plain =
            !text.is_empty() && text.len() <= most && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        if plain { Ok(text.to_owned()) } else { Err(format!("must have 1 to {most} octets and no blanks")) }
    })
}
