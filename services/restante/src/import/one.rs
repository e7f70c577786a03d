//! One account's import: what the source lists and is not here yet is read and committed, in order.

use std::fmt;

use anyhow::Context as _;
use mailstore::{ImportMessage, ImportReport, ImportSettings, Mailstore};
use serde_json::json;
use worker::fetch::{Access, Imap, Pop3};

use super::{
    arguments::Job,
    maildir::Maildir,
    mbox::Mbox,
    progress::Progress,
    source::{Address, Listed, Source, Unreadable, Wishes},
};

/// Messages that are named in a summary at most; all are counted.
const NAMED: usize = 1000;

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Messages that the source has.
    pub(super) listed: u64,
    report: ImportReport,
    /// Of them those that are here since an earlier import and were not read again.
    seen: u64,
    /// Messages whose old unique-id is not known or cannot be one.
    without_id: u64,
    /// Messages that could not be read, and why.
    pub(super) skipped: Vec<(String, Unreadable)>,
    skipped_count: u64,
}

impl Outcome {
    fn skip(&mut self, message: &Listed, why: Unreadable, progress: &mut Progress) {
        progress.say(&format!("{}: not taken: {why}", message.name));
        self.skipped_count += 1;
        if self.skipped.len() < NAMED {
            self.skipped.push((message.name.clone(), why));
        }
    }

    pub(super) fn json(&self, job: &Job, error: Option<&anyhow::Error>) -> serde_json::Value {
        let skipped: Vec<_> = self.skipped.iter().map(|(name, why)| json!({"message": name, "reason": why})).collect();
        json!({
            "account": job.account.to_string(),
            "source": job.named,
            "complete": error.is_none(),
            "error": error.map(|error| format!("{error:#}")),
            "listed": self.listed,
            "imported": self.report.imported,
            "octets": self.report.octets,
            "known": self.seen + self.report.known,
            "own_unique_ids": self.without_id + self.report.renamed,
            "skipped": self.skipped_count,
            "skipped_messages": skipped,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, seen, without_id, skipped_count, .. } = self;
        write!(
            f,
            "{} messages imported ({} octets), {} were here already, {skipped_count} could not be read",
            report.imported,
            report.octets,
            seen + report.known
        )?;
        if without_id + report.renamed > 0 {
            write!(f, "; {} have unique-ids of ours", without_id + report.renamed)?;
        }
        Ok(())
    }
}

async fn open(job: &Job, access: Option<&Access>) -> anyhow::Result<Source> {
    let access = || access.context("a server wants a password");
    Ok(match &job.source {
        Address::Maildir(path) => Source::Maildir(Maildir::open(path)?),
        Address::Mbox(path) => Source::Mbox(Mbox::open(path)?),
        Address::Pop3(server) => Source::Pop3(Box::new(Pop3::open(server, access()?).await?)),
        Address::Imap(server) => Source::Imap(Box::new(Imap::open(server, access()?).await?)),
    })
}

/// Imports. What was done is in `outcome`, also when it fails on the way.
pub(super) async fn import(
    job: &Job,
    access: Option<&Access>,
    wishes: &Wishes,
    settings: &ImportSettings,
    store: &Mailstore,
    progress: &mut Progress,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let target = store.account(&job.account).await?.context("there is no such account")?;
    let mut importer = store.importer(target, &job.account.to_string(), settings.clone());
    let mut source = open(job, access).await.with_context(|| job.named.clone())?;
    let mut wanted = source.list(wishes).await.with_context(|| job.named.clone())?;
    outcome.listed = wanted.len() as u64;
    let keys: Vec<_> = wanted.iter().map(|message| message.key).collect();
    let seen = importer.seen(&keys).await?;
    wanted.retain(|message| !seen.contains(&message.key));
    outcome.seen = outcome.listed - wanted.len() as u64;
    progress.begin(wanted.len() as u64, wanted.iter().map(|message| message.octets).sum());

    let mut ended = Ok(());
    for at in 0..wanted.len() {
        let mut incoming = importer.incoming();
        let read = match source.read(&wanted, at, &mut incoming).await {
            Ok(read) => read,
            // What was read before is worth keeping.
            Err(error) => {
                ended = Err(error.context(job.named.clone()));
                break;
            }
        };
        let Some(message) = wanted.get(at) else { break };
        if let Err(why) = read {
            outcome.skip(message, why, progress);
            continue;
        }
        let body = incoming.finish();
        let octets = body.octets();
        outcome.without_id += u64::from(message.unique_id.is_none());
        let message =
            ImportMessage { key: message.key, unique_id: message.unique_id.clone(), received: message.received, body };
        let pushed = importer.push(message).await;
        outcome.report = importer.report();
        pushed?;
        progress.read(octets).await;
    }
    let flushed = importer.flush().await;
    outcome.report = importer.report();
    flushed?;
    source.close().await;
    ended
}
