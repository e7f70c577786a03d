//! Import: messages of another server become messages of a maildrop, in their order and with their unique-ids (role worker).
//!
//! Nothing is added to a message; it is mended as at delivery, and its octets are final then. Many messages make one segment: it is
//! durable first, then one catalog call commits its messages together with the news of what was taken. So an import may be stopped
//! anywhere, also by a crash, and the same import run again goes on where it stood and takes nothing twice.
//!
//! What a message is called at its source makes its [`SourceKey`]. A message that comes from a second source (a copy of the old
//! server's files first, the old server itself later) is known by its unique-id and octets. A unique-id that another message
//! has already is not given twice: the message gets one of ours.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mail_types::{Clock, Random, SegmentUuid, Timestamp, UniqueId};
use runtime::database::Pool;
use runtime::fail_point;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::bodies::Bodies;
use crate::bodies::encode::{Encoded, Packed, Plain, encode};
use crate::bodies::keys::{Keys, TenantKey};
use crate::bodies::meta::{Meta, MetaCopy};
use crate::bodies::segment::SegmentBuilder;
use crate::catalog::deliver::is_condemned;
use crate::catalog::import::{self, Asked, Row, RowResult};
use crate::incoming::{Body, Incoming, MemoryBudget};
use crate::mend::traits;
use crate::{Error, Mailstore, Target};

/// What tells a message of a source from all others of an account, also the next time it is looked at: 128 bits of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceKey(u128);

impl SourceKey {
    /// Of a kind of source and what a message is called there. Where names are unique in one server only, its name is a part.
    pub fn new(kind: &str, parts: &[&[u8]]) -> Self {
        let mut sha256 = Sha256::new();
        for part in std::iter::once(&kind.as_bytes()).chain(parts) {
            // With its length, so that two names never run into each other.
            sha256.update((part.len() as u64).to_le_bytes());
            sha256.update(part);
        }
        Self(u128::from_be_bytes(half(&sha256.finalize().into())))
    }

    pub(crate) const fn uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }

    pub(crate) const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.as_u128())
    }
}

/// The first half of a SHA-256: enough to tell octets apart.
fn half(sha256: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(sha256.first_chunk::<16>().unwrap_or(&[0; 16]));
    half
}

/// Memory beyond what messages can grow to, octets: they are held in chunks.
const SLACK: u64 = 1024 * 1024;

/// Bounds of an import.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// A segment is written when its messages have so many octets.
    pub segment_octets: u64,
    /// A segment is written when it has so many messages.
    pub segment_messages: usize,
    /// A message of more octets is not taken.
    pub max_message_octets: u64,
    /// Quotas do not count.
    pub over_quota: bool,
}

impl Default for ImportSettings {
    fn default() -> Self {
        Self {
            segment_octets: 16 * 1024 * 1024,
            segment_messages: 1000,
            max_message_octets: 50 * 1024 * 1024,
            over_quota: false,
        }
    }
}

impl ImportSettings {
    /// What the budget for bodies in flight must hold at least, octets: one tenant gets three quarters of it, mending can double a
    /// message, and one comes while a segment's worth waits.
    pub const fn memory_octets(&self) -> u64 {
        (2 * self.segment_octets + 2 * self.max_message_octets + SLACK) / 3 * 4
    }
}

/// A message to be imported.
#[derive(Debug)]
pub struct ImportMessage {
    /// What it is called at its source.
    pub key: SourceKey,
    /// What its old server's UIDL shows.
    pub unique_id: Option<UniqueId>,
    /// When its old server received it.
    pub received: Option<Timestamp>,
    /// Its octets.
    pub body: Body,
}

/// What an import did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Messages that are in the maildrop now.
    pub imported: u64,
    /// Their octets.
    pub octets: u64,
    /// Messages that had been imported before.
    pub known: u64,
    /// Messages that got a unique-id of ours, since another message has theirs.
    pub renamed: u64,
}

/// Why an import stops. What was committed stays; the same import goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The database or the store.
    #[error(transparent)]
    Mailstore(#[from] Error),
    /// The next message does not fit. Those before it are in the maildrop.
    #[error("over quota: the next message does not fit")]
    OverQuota,
    /// It went away.
    #[error("there is no such account")]
    NoSuchAccount,
    /// Nothing can be put into its maildrops.
    #[error("the tenant is suspended")]
    Suspended,
    /// A fault in this program.
    #[error("a message cannot be put into a segment: {0}")]
    Segment(&'static str),
}

/// What imports need of a mailstore.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) bodies: Bodies,
    pub(crate) keys: Keys,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) incarnation: u128,
    /// How long the store and the database are tried again.
    pub(crate) patience: Duration,
}

/// Imports into one maildrop.
pub struct Importer {
    writer: Writer,
    memory: MemoryBudget,
    target: Target,
    /// As META shows it.
    address: String,
    settings: ImportSettings,
    waiting: Vec<ImportMessage>,
    report: ImportReport,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").field("target", &self.target).field("report", &self.report).finish_non_exhaustive()
    }
}

impl Mailstore {
    /// An import into one maildrop (role worker). `address` is the account's.
    pub fn importer(&self, target: Target, address: &str, settings: ImportSettings) -> Importer {
        Importer {
            writer: self.writer.clone(),
            memory: self.memory.clone(),
            target,
            address: address.to_owned(),
            settings,
            waiting: Vec::new(),
            report: ImportReport::default(),
        }
    }
}

impl Importer {
    /// Which of these were imported before: they need not be read again.
    pub async fn seen(&self, keys: &[SourceKey]) -> Result<HashSet<SourceKey>, Error> {
        let mut seen = HashSet::new();
        for some in keys.chunks(5_000) {
            let found = patiently(self.writer.patience, || import::seen(&self.writer.pool, self.target, some)).await?;
            seen.extend(found);
        }
        Ok(seen)
    }

    /// A message on its way in.
    pub fn incoming(&self) -> Incoming {
        Incoming::new(self.memory.clone(), self.target.tenant, self.settings.max_message_octets, None)
    }

    /// Takes a message; those that wait are written when there are enough of them.
    pub async fn push(&mut self, message: ImportMessage) -> Result<(), ImportError> {
        self.waiting.push(message);
        let octets: u64 = self.waiting.iter().map(|m| m.body.octets()).sum();
        let memory: u64 = self.waiting.iter().map(|m| m.body.memory()).sum();
        let full = self.waiting.len() >= self.settings.segment_messages
            || octets >= self.settings.segment_octets
            || memory >= 2 * self.settings.segment_octets + SLACK / 2;
        if full { self.flush().await } else { Ok(()) }
    }

    /// Writes what waits; when this returns it is in the maildrop.
    pub async fn flush(&mut self) -> Result<(), ImportError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // A unique-id that somebody takes between the look and the commit sends its message round again.
        while !waiting.is_empty() {
            waiting = self.write(waiting).await?;
        }
        Ok(())
    }

    /// What was done so far; without what waits.
    pub const fn report(&self) -> ImportReport {
        self.report
    }

    /// Writes the messages as one segment; answers those that must come again.
    async fn write(&mut self, waiting: Vec<ImportMessage>) -> Result<Vec<ImportMessage>, ImportError> {
        let messages = self.sort_out(waiting).await?;
        if messages.is_empty() {
            return Ok(messages);
        }
        let writer = &self.writer;
        let key = patiently(writer.patience, || writer.keys.current(self.target.tenant)).await?;
        let now = writer.clock.now();
        let making = Making {
            segment: SegmentUuid::new(now, writer.random.as_ref()),
            now,
            incarnation: writer.incarnation,
            random: writer.random.clone(),
            key,
            target: self.target,
            address: self.address.clone(),
        };
        let segment = making.segment;
        let built = tokio::task::spawn_blocking(move || making.build(messages)).await;
        let Built { pieces, octets, rows, messages } =
            built.map_err(|_| ImportError::Segment("its frame could not be made"))??;
        fail_point::reach("import.before_put").await;
        patiently(writer.patience, || writer.bodies.put(segment, pieces.clone())).await?;
        drop(pieces);
        fail_point::reach("import.after_put").await;
        let over = self.settings.over_quota;
        let results =
            patiently(writer.patience, || import::commit(&writer.pool, self.target, segment, octets, over, &rows))
                .await?;
        fail_point::reach("import.after_commit").await;
        self.note(messages, &results)
    }

    /// Leaves out what is known, and takes away unique-ids that others have.
    async fn sort_out(&mut self, waiting: Vec<ImportMessage>) -> Result<Vec<ImportMessage>, ImportError> {
        let asked: Vec<Asked<'_>> = waiting
            .iter()
            .map(|m| Asked { key: m.key, digest: half(&m.body.sha256), unique_id: m.unique_id.as_ref() })
            .collect();
        let standing =
            patiently(self.writer.patience, || import::known(&self.writer.pool, self.target, &asked)).await?;
        let (mut keys, mut unique_ids) = (HashSet::new(), HashSet::new());
        let mut messages = Vec::with_capacity(waiting.len());
        for (mut message, standing) in waiting.into_iter().zip(standing) {
            if standing == RowResult::Known || !keys.insert(message.key) {
                self.report.known += 1;
                continue;
            }
            let taken = standing == RowResult::UniqueIdTaken
                || message.unique_id.as_ref().is_some_and(|id| !unique_ids.insert(id.clone()));
            if taken {
                message.unique_id = None;
                self.report.renamed += 1;
            }
            messages.push(message);
        }
        Ok(messages)
    }

    /// Counts what became of the messages; answers those that must come again.
    fn note(
        &mut self,
        messages: Vec<ImportMessage>,
        results: &[(u32, RowResult)],
    ) -> Result<Vec<ImportMessage>, ImportError> {
        let mut again = Vec::new();
        let mut refused = None;
        // Both are in the order of the ordinals.
        for (message, (_, result)) in messages.into_iter().zip(results) {
            match result {
                RowResult::Stored => {
                    self.report.imported += 1;
                    self.report.octets += message.body.octets();
                }
                RowResult::Known => self.report.known += 1,
                RowResult::OverQuota => refused = Some(ImportError::OverQuota),
                RowResult::NoSuchAccount => return Err(ImportError::NoSuchAccount),
                RowResult::Suspended => return Err(ImportError::Suspended),
                RowResult::New | RowResult::UniqueIdTaken => again.push(message),
            }
        }
        refused.map_or(Ok(again), Err)
    }
}

/// What the frames of a segment are made with.
struct Making {
    segment: SegmentUuid,
    now: Timestamp,
    incarnation: u128,
    random: Arc<dyn Random>,
    key: TenantKey,
    target: Target,
    address: String,
}

/// A segment to be written, and what to commit then.
struct Built {
    pieces: Vec<Bytes>,
    octets: usize,
    rows: Vec<Row>,
    messages: Vec<ImportMessage>,
}

impl Making {
    /// Compresses and encrypts: not for the reactor's threads.
    fn build(self, messages: Vec<ImportMessage>) -> Result<Built, ImportError> {
        let mut builder = SegmentBuilder::new(self.segment, self.now, self.incarnation);
        let mut rows = Vec::with_capacity(messages.len());
        for message in &messages {
            rows.push(self.add(&mut builder, message).map_err(ImportError::Segment)?);
        }
        let octets = builder.octets();
        Ok(Built { pieces: builder.finish(), octets, rows, messages })
    }

    fn add(&self, builder: &mut SegmentBuilder, message: &ImportMessage) -> Result<Row, &'static str> {
        let ordinal = builder.copies();
        let guid = self.segment.guid(ordinal).ok_or("too many copies")?;
        let (shape, sha256) = (message.body.shape, message.body.sha256);
        let (head, body) = message.body.cut();
        let plain = Plain {
            traits: shape.traits,
            tenant: self.target.tenant,
            guid,
            body_lines: u32::try_from(shape.body_lines).map_err(|_| "too many lines")?,
            head: Packed::new(head),
            body: Packed::new(body),
            meta: Meta {
                sha256,
                received_ms: message.received.unwrap_or(self.now).unix_ms(),
                // Nobody knows the envelope any more.
                sender: "".into(),
                source: "IMPORT".into(),
                copies: vec![MetaCopy {
                    ordinal,
                    account: self.target.account,
                    address: self.address.as_str().into(),
                    prefix: None,
                    legacy_id: message.unique_id.as_ref().map(|id| id.as_str().into()),
                    uid: None,
                }],
                sha256_received: sha256,
            },
            salt: self.random.octets16(),
            meta_salt: self.random.octets16(),
        };
        let Encoded { header, parts } =
            encode(plain, self.key.version, &self.key.key).map_err(|_| "it cannot be encrypted")?;
        let place = builder.push(&header, 1, ordinal, parts).map_err(|_| "the segment grows too large")?;
        let has_extras = message.unique_id.is_some() || message.received.is_some();
        Ok(Row {
            ordinal,
            guid,
            octets: u32::try_from(shape.octets).map_err(|_| "too many octets")?,
            place,
            traits: shape.traits | if has_extras { traits::EXTRAS } else { 0 },
            unique_id: message.unique_id.clone(),
            received: message.received,
            key: message.key,
            digest: half(&sha256),
        })
    }
}

/// Tries again while that may help.
async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    patience: Duration,
    mut work: impl FnMut() -> F,
) -> Result<T, Error> {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_millis(50);
    loop {
        match work().await {
            Err(error) if error.is_temporary() && !is_condemned(&error) && Instant::now() < until => {
                tracing::debug!(kind = error.kind(), %error, "a step of an import is tried again");
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_for_ever_and_their_parts_do_not_run_together() {
        let key = SourceKey::new("pop3", &[b"alice@old.test", b"UID1-2"]);
        assert_eq!(format!("{key:?}"), "SourceKey(198166223559155066780532787384482429891)");
        assert_eq!(SourceKey::from_uuid(key.uuid()), key);
        assert_ne!(key, SourceKey::new("pop3", &[b"alice@old.testU", b"ID1-2"]));
        assert_ne!(key, SourceKey::new("imap", &[b"alice@old.test", b"UID1-2"]));
    }
}
