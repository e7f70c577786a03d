//! Migrations of maildrops: each line names an account here and a login there, and what that login's maildrop holds is brought over, with
//! its unique-ids and in its order. It is [`mailstore::Importer`]'s work, so it may be stopped anywhere, and done again takes nothing twice.

use std::time::Duration;

use anyhow::Context as _;
use directory::{ClaimedChunk, Directory, Error, LineOutcome, MigrationLine, MigrationProgress};
use mailstore::{ImportError, ImportMessage, ImportSettings, Importer, Mailstore};
use net::client::ClientTls;
use net::egress::Egress;
use tokio::time::{Instant, sleep};

use crate::fetch::{Access, Format, Imap, Listed, Pop3, Read, Server, Way};

/// How often a source is opened again after its connection broke.
const OPENED: u32 = 3;
/// Between notes of how far it is.
const NOTED: Duration = Duration::from_secs(5);
/// Messages that are named when they cannot be taken; all are counted.
const NAMED: usize = 20;

/// What migrations are done with.
#[derive(Debug, Clone)]
pub struct Migrations {
    /// Under the role worker, with memory of its own.
    pub mailstore: Mailstore,
    /// The way to the servers that tenants name.
    pub egress: Egress,
    /// By what those servers prove themselves.
    pub tls: ClientTls,
}

/// What a job's payload says of its source.
#[derive(Debug, Clone, serde::Deserialize)]
struct Source {
    protocol: String,
    host: String,
    port: u16,
    tls: String,
    uidl_format: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
struct Payload {
    source: Source,
}

/// Why one line stops.
enum Stopped {
    /// The line is refused; the others go on.
    Refused(LineOutcome),
    /// Our own trouble: the line is done again later.
    Trouble(Error),
}

impl Migrations {
    /// Does the lines of a chunk. False: the claim is another's by now, or the job was stopped.
    pub(crate) async fn migrate(&self, directory: &Directory, chunk: &ClaimedChunk) -> Result<bool, Error> {
        let payload: Payload = serde_json::from_value(chunk.payload.clone())
            .map_err(|_| Error::Internal("a migration's payload cannot be read"))?;
        let mut outcomes = Vec::new();
        for (number, text) in chunk.numbered() {
            let outcome = match directory::read_migration_line(text) {
                Err(errors) => LineOutcome::Refused(errors),
                Ok(line) => match Box::pin(self.line(directory, chunk, number, line, &payload.source)).await {
                    Ok(outcome) | Err(Stopped::Refused(outcome)) => outcome,
                    Err(Stopped::Trouble(error)) => return Err(error),
                },
            };
            outcomes.push((number, outcome));
        }
        directory.finish_chunk(chunk, outcomes).await
    }

    async fn line(
        &self,
        directory: &Directory,
        chunk: &ClaimedChunk,
        number: i32,
        line: MigrationLine,
        source: &Source,
    ) -> Result<LineOutcome, Stopped> {
        let target = self.mailstore.account(&line.address).await.map_err(trouble)?;
        // One of another tenant is as good as none.
        let target = target.filter(|target| target.tenant == chunk.tenant && chunk.sees(&line.address));
        let Some(target) = target else {
            return Ok(LineOutcome::refused("/address", "not_found", "there is no such account"));
        };
        let address = line.address.to_string();
        let mut importer = self.mailstore.importer(target, &address, ImportSettings::default());
        let mut noting = Noting { directory, chunk, number, address, progress: MigrationProgress::default(), at: None };
        noting.note(true).await;
        let mut broke = None;
        for opened in 0..OPENED {
            if opened > 0 {
                sleep(NOTED).await;
            }
            match Box::pin(self.attempt(&line, source, chunk.dry_run, &mut importer, &mut noting)).await? {
                Ok(()) => {
                    broke = None;
                    break;
                }
                Err(error) => broke = Some(error),
            }
        }
        noting.note(true).await;
        let progress = &noting.progress;
        if let Some(error) = broke {
            let detail = format!("the source broke off: {error:#}");
            return Ok(LineOutcome::refused("/login", "source_failed", detail));
        }
        if progress.skipped > 0 {
            let faults = progress
                .unreadable
                .iter()
                .map(|what| directory::FieldError::new("/login", "message_skipped", what.clone()));
            return Ok(LineOutcome::Refused(faults.collect()));
        }
        let new = if chunk.dry_run { progress.listed > progress.known } else { progress.imported > 0 };
        Ok(if new { LineOutcome::Made } else { LineOutcome::Unchanged })
    }

    /// Opens the source and brings over what is not here yet. The inner error is of a connection that broke: what came is kept.
    async fn attempt(
        &self,
        line: &MigrationLine,
        source: &Source,
        dry_run: bool,
        importer: &mut Importer,
        noting: &mut Noting<'_>,
    ) -> Result<anyhow::Result<()>, Stopped> {
        let access = Access {
            password: line.password.clone(),
            tls: self.tls.clone(),
            begin_tls: source.tls != "none",
            clear: source.tls == "none",
            way: Way::Egress(self.egress.clone()),
        };
        let server = Server {
            user: line.login.clone(),
            host: source.host.clone(),
            port: source.port,
            tls: source.tls == "implicit",
        };
        let opening = Box::pin(Remote::open(&server, &access, source)).await;
        let (mut remote, mut wanted) = opening.map_err(|error| {
            Stopped::Refused(LineOutcome::refused("/login", "source_refused", format!("{error:#}")))
        })?;
        let before = importer.report();
        noting.progress.listed = wanted.len() as u64;
        (noting.progress.skipped, noting.progress.unreadable) = (0, Vec::new());
        let keys: Vec<_> = wanted.iter().map(|message| message.key).collect();
        let seen = importer.seen(&keys).await.map_err(trouble)?;
        wanted.retain(|message| !seen.contains(&message.key));
        noting.progress.known = noting.progress.listed - wanted.len() as u64 - before.imported.min(seen.len() as u64);
        if dry_run {
            remote.close().await;
            return Ok(Ok(()));
        }
        let mut broke = Ok(());
        for at in 0..wanted.len() {
            let mut incoming = importer.incoming();
            let read = match Box::pin(remote.read(&wanted, at, &mut incoming)).await {
                Ok(read) => read,
                Err(error) => {
                    broke = Err(error);
                    break;
                }
            };
            let Some(message) = wanted.get(at) else { break };
            if let Err(why) = read {
                noting.skip(message, &why);
                continue;
            }
            let (key, unique_id, received) = (message.key, message.unique_id.clone(), message.received);
            let message = ImportMessage { key, unique_id, received, body: incoming.finish() };
            importer.push(message).await.map_err(stopped)?;
            let report = importer.report();
            (noting.progress.imported, noting.progress.octets) = (report.imported, report.octets);
            noting.note(false).await;
        }
        importer.flush().await.map_err(stopped)?;
        let report = importer.report();
        (noting.progress.imported, noting.progress.octets) = (report.imported, report.octets);
        if broke.is_ok() {
            remote.close().await;
        }
        Ok(broke)
    }
}

/// An open source.
enum Remote {
    Pop3(Box<Pop3>),
    Imap(Box<Imap>),
}

impl Remote {
    async fn open(server: &Server, access: &Access, source: &Source) -> anyhow::Result<(Self, Vec<Listed>)> {
        if source.protocol == "imap" {
            let format = source.uidl_format.as_deref().map(Format::parse).transpose().context("uidl_format")?;
            let mut imap = Imap::open(server, access).await?;
            let listed = imap.list(format.as_ref()).await?;
            return Ok((Self::Imap(Box::new(imap)), listed));
        }
        let mut pop3 = Pop3::open(server, access).await?;
        let listed = pop3.list().await?;
        Ok((Self::Pop3(Box::new(pop3)), listed))
    }

    async fn read(&mut self, wanted: &[Listed], at: usize, into: &mut mailstore::Incoming) -> Read {
        match self {
            Self::Pop3(pop3) => pop3.read(wanted, at, into).await,
            Self::Imap(imap) => imap.read(wanted, at, into).await,
        }
    }

    async fn close(self) {
        match self {
            Self::Pop3(pop3) => pop3.close().await,
            Self::Imap(imap) => imap.close().await,
        }
    }
}

/// How far a line is, told now and then.
struct Noting<'a> {
    directory: &'a Directory,
    chunk: &'a ClaimedChunk,
    number: i32,
    address: String,
    progress: MigrationProgress,
    at: Option<Instant>,
}

impl Noting<'_> {
    async fn note(&mut self, now: bool) {
        if !now && self.at.is_some_and(|at| at.elapsed() < NOTED) {
            return;
        }
        self.at = Some(Instant::now());
        let noted = self.directory.note_migration(self.chunk, self.number, &self.address, &self.progress).await;
        if let Err(error) = noted {
            tracing::debug!(error_kind = error.kind(), "a migration's progress could not be noted");
        }
    }

    fn skip(&mut self, message: &Listed, why: &str) {
        self.progress.skipped += 1;
        if self.progress.unreadable.len() < NAMED {
            self.progress.unreadable.push(format!("{}: {why}", message.name));
        }
    }
}

fn stopped(error: ImportError) -> Stopped {
    let refused = |code, detail: &str| Stopped::Refused(LineOutcome::refused("/address", code, detail));
    match error {
        ImportError::OverQuota => {
            refused("over_quota", "the next message does not fit into the quota; those before it are here")
        }
        ImportError::NoSuchAccount => refused("not_found", "there is no such account"),
        ImportError::Suspended => refused("suspended", "the tenant is suspended and takes no mail"),
        ImportError::Mailstore(error) => trouble(error),
        ImportError::Segment(_) => Stopped::Trouble(Error::Internal("a message cannot be put into a segment")),
    }
}

fn trouble(error: mailstore::Error) -> Stopped {
    tracing::warn!(error_kind = error.kind(), %error, "a migration waits for the mailstore");
    let busy = error.is_temporary();
    Stopped::Trouble(if busy { Error::Busy } else { Error::Internal("the mailstore failed") })
}
