//! The import of accounts: the lines of a chunk are read, passwords in clear are hashed, and then all of it is written as one short
//! transaction, in which each line has a verdict of its own.

use std::collections::{HashMap, HashSet};

use mail_types::DomainName;
use serde_json::json;
use sqlx::PgConnection;

use super::line::{self, Line, LinePassword};
use super::work::{ClaimedChunk, LineOutcome, settle};
use crate::policy::{EffectivePolicy, Policy};
use crate::scram::{Salt, StoredKeys};
use crate::{Directory, Error, Result};

/// A line that is ready to be written.
struct Ready {
    line: Line,
    verifier: Option<String>,
    salt: Salt,
    scram: Option<StoredKeys>,
}

impl Directory {
    /// Does the lines of a chunk of an import. False: the claim is another's by now, or the job was stopped, and nothing was done.
    pub async fn import_chunk(&self, chunk: &ClaimedChunk) -> Result<bool> {
        let mut lines = Vec::new();
        for (number, text) in chunk.numbered() {
            lines.push((number, line::read(text)));
        }
        let mut ready = self.hash(chunk, lines).await?;
        let Some(mut tx) = self.take_away(chunk).await? else { return Ok(false) };
        let mut outcomes = Vec::with_capacity(ready.len());
        for (number, line) in ready.drain(..) {
            let outcome = match line {
                Ok(line) => write(&mut tx, chunk, &line).await?,
                Err(refused) => refused,
            };
            outcomes.push((number, outcome));
        }
        settle(tx, chunk, outcomes).await?;
        Ok(true)
    }

    /// Makes verifiers of the passwords that are in clear, for those accounts that are not there yet: what takes long is done outside
    /// of the transaction, and not again when a body is sent again.
    async fn hash(
        &self,
        chunk: &ClaimedChunk,
        lines: Vec<(i32, Result<Line, Vec<crate::FieldError>>)>,
    ) -> Result<Vec<(i32, Result<Ready, LineOutcome>)>> {
        let mut connection = self.pool.acquire().await?;
        let known = known(&mut connection, chunk, &lines).await?;
        let mut scram: HashMap<DomainName, bool> = HashMap::new();
        for (_, line) in &lines {
            let Ok(Line { address, password: Some(LinePassword::Clear(_)), .. }) = line else { continue };
            if !scram.contains_key(&address.domain) {
                let keeps = match EffectivePolicy::of_domain(&mut connection, chunk.tenant, &address.domain).await {
                    Ok(policy) => policy.scram_passwords,
                    // There is no such domain: the line will be refused.
                    Err(Error::Fault(sqlx::Error::RowNotFound)) => false,
                    Err(error) => return Err(error),
                };
                scram.insert(address.domain.clone(), keeps);
            }
        }
        drop(connection);
        let mut ready = Vec::with_capacity(lines.len());
        for (number, line) in lines {
            let line = match line {
                Ok(line) => line,
                Err(errors) => {
                    ready.push((number, Err(LineOutcome::Refused(errors))));
                    continue;
                }
            };
            let salt = Salt::new(&*self.random);
            let (verifier, keys) = match &line.password {
                Some(LinePassword::Verifier(verifier)) => (Some(verifier.clone()), None),
                Some(LinePassword::Clear(password)) if !chunk.dry_run && !known.contains(&number) => {
                    let keeps = scram.get(&line.address.domain).copied().unwrap_or(false);
                    let kept = self.keep(chunk.tenant, password, keeps.then(|| salt.clone())).await?;
                    (Some(kept.verifier), kept.scram)
                }
                _ => (None, None),
            };
            ready.push((number, Ok(Ready { line, verifier, salt, scram: keys })));
        }
        Ok(ready)
    }
}

/// The numbers of the lines whose address is an account's or alias's already.
async fn known(
    connection: &mut PgConnection,
    chunk: &ClaimedChunk,
    lines: &[(i32, Result<Line, Vec<crate::FieldError>>)],
) -> Result<HashSet<i32>> {
    let (mut numbers, mut domains, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in lines {
        if let Ok(line) = line {
            numbers.push(*number);
            domains.push(line.address.domain.as_str().to_owned());
            keys.push(line.address.local.key().as_str().to_owned());
        }
    }
    let found: Vec<i32> = sqlx::query_scalar("SELECT ord FROM restante.worker_known_addresses_1($1, $2, $3)")
        .bind(chunk.tenant.0)
        .bind(domains)
        .bind(keys)
        .fetch_all(connection)
        .await?;
    let number = |at: i32| usize::try_from(at - 1).ok().and_then(|at| numbers.get(at).copied());
    Ok(found.into_iter().filter_map(number).collect())
}

/// Writes one line, and says what it came to.
async fn write(tx: &mut PgConnection, chunk: &ClaimedChunk, ready: &Ready) -> Result<LineOutcome> {
    let Ready { line, verifier, salt, scram } = ready;
    let hidden = std::iter::once(&line.address.domain).chain(line.aliases.iter().map(|alias| alias.domain()));
    if let Some(at) = hidden.into_iter().position(|domain| !chunk.creator.sees_domain(domain)) {
        return Ok(no_domain(at));
    }
    let after = json!({
        "status": line.status.as_str(), "has_password": line.password.is_some(),
        "quota": line.quota.audited(), "policy": Policy::default().to_json(),
    });
    let (verdict, item): (i16, i32) = sqlx::query_as(
        "SELECT verdict, item FROM restante.worker_import_account_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    )
    .bind(chunk.tenant.0)
    .bind(chunk.job)
    .bind(line.address.to_string())
    .bind(line.address.domain.as_str())
    .bind(line.address.local.as_str())
    .bind(line.address.local.key().as_str())
    .bind(line.status.code())
    .bind(line.quota.octets)
    .bind(line.quota.messages.and_then(|count| i32::try_from(count).ok()))
    .bind(line.quota.deliveries_per_hour)
    .bind(line.aliases.iter().map(ToString::to_string).collect::<Vec<_>>())
    .bind(line.aliases.iter().map(|alias| alias.domain().as_str().to_owned()).collect::<Vec<_>>())
    .bind(line.aliases.iter().map(|alias| alias.key().as_str().to_owned()).collect::<Vec<_>>())
    .bind(line.password.is_some())
    .bind(verifier)
    .bind(&salt.octets)
    .bind(scram.as_ref().map(|keys| &keys.sha256))
    .bind(scram.as_ref().map(|keys| &keys.sha1))
    .bind(after)
    .fetch_one(tx)
    .await?;
    let at = usize::try_from(item).unwrap_or(0);
    let pointer = at.checked_sub(1).map_or_else(|| "/address".to_owned(), |index| format!("/aliases/{index}"));
    Ok(match verdict {
        1 => LineOutcome::Made,
        2 => LineOutcome::Unchanged,
        3 => no_domain(at),
        4 => LineOutcome::refused(pointer, "duplicate", "an account or alias with this address already exists"),
        5 => {
            let detail =
                "the account already exists, with another quota or status: an import changes nothing that is there";
            LineOutcome::refused("/address", "duplicate", detail)
        }
        6 => {
            let detail = "the account already exists, without this alias: an import changes nothing that is there";
            LineOutcome::refused(pointer, "duplicate", detail)
        }
        7 => LineOutcome::refused("", "limit_reached", "the tenant or the domain has its most accounts"),
        9 => LineOutcome::refused("/quota", "out_of_range", "must not be larger than the domain's or the tenant's"),
        // Deleted since it was looked for: the chunk is done again.
        8 => return Err(Error::Busy),
        _ => return Err(Error::Internal("worker_import_account_2 answered what it never does")),
    })
}

fn no_domain(at: usize) -> LineOutcome {
    let pointer = at.checked_sub(1).map_or_else(|| "/address".to_owned(), |index| format!("/aliases/{index}"));
    LineOutcome::refused(pointer, "not_found", "there is no such domain")
}
