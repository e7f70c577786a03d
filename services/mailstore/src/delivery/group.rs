//! A group of deliveries becomes a segment: one frame per message and tenant, and the copies to commit.

use bytes::Bytes;
use mail_types::{Random, SegmentUuid, Timestamp};
use tokio::sync::oneshot;

use super::prepare::{Prepared, PreparedFrame};
use super::{DeliveryVerdict, Queued};
use crate::bodies::encode::{Encoded, Plain, encode};
use crate::bodies::keys::TenantKey;
use crate::bodies::meta::{Meta, MetaCopy};
use crate::bodies::segment::SegmentBuilder;
use crate::catalog::deliver::Copy;
use crate::incoming::Permit;
use crate::mend::traits;

/// A segment on its way: what to commit when it is durable, and who waits.
pub(crate) struct Placed {
    pub(crate) segment: SegmentUuid,
    pub(crate) octets: usize,
    pub(crate) copies: Vec<Copy>,
    pub(crate) answers: Answers,
}

/// A segment to be written.
pub(crate) struct Built {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) placed: Placed,
    /// What its bodies took of the budget.
    pub(crate) memory: Vec<Permit>,
}

/// The verdicts of a group's recipients, numbered through the group; a delivery's are sent when its last one is known.
pub(crate) struct Answers {
    verdicts: Vec<Option<DeliveryVerdict>>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    recipients: std::ops::Range<usize>,
    left: usize,
    answer: Option<oneshot::Sender<Vec<DeliveryVerdict>>>,
}

impl Answers {
    fn new() -> Self {
        Self { verdicts: Vec::new(), waiting: Vec::new() }
    }

    fn push(&mut self, recipients: usize, answer: oneshot::Sender<Vec<DeliveryVerdict>>) -> usize {
        let first = self.verdicts.len();
        self.verdicts.resize(first + recipients, None);
        self.waiting.push(Waiting { recipients: first..first + recipients, left: recipients, answer: Some(answer) });
        first
    }

    /// Recipients in the whole group.
    pub(crate) fn recipients(&self) -> usize {
        self.verdicts.len()
    }

    /// Notes a recipient's verdict, and tells the sender when it was the delivery's last.
    pub(crate) fn set(&mut self, recipient: usize, verdict: DeliveryVerdict) {
        let Some(place @ None) = self.verdicts.get_mut(recipient) else { return };
        *place = Some(verdict);
        let Some(waiting) = self.waiting.iter_mut().find(|w| w.recipients.contains(&recipient)) else { return };
        waiting.left -= 1;
        if waiting.left > 0 {
            return;
        }
        let verdicts = self.verdicts.get(waiting.recipients.clone()).unwrap_or_default();
        let verdicts = verdicts.iter().map(|v| v.clone().unwrap_or(DeliveryVerdict::Unavailable)).collect();
        if let Some(answer) = waiting.answer.take() {
            // A sender that went away does not want to know.
            let _ = answer.send(verdicts);
        }
    }

    /// The same verdict for all that have none yet.
    pub(crate) fn answer_all(mut self, verdict: &DeliveryVerdict) {
        for recipient in 0..self.verdicts.len() {
            self.set(recipient, verdict.clone());
        }
    }
}

/// What every frame of a group is made with.
pub(crate) struct Making<'a> {
    pub(crate) segment: SegmentUuid,
    pub(crate) now: Timestamp,
    pub(crate) incarnation: u128,
    pub(crate) random: &'a dyn Random,
}

impl Making<'_> {
    /// Builds the segment; `None` if nothing came of it. Deliveries that do not fit have been answered, and their neighbours are
    /// none the worse.
    pub(crate) async fn build(&self, group: Vec<Queued>) -> Option<Built> {
        let mut answers = Answers::new();
        let mut builder = SegmentBuilder::new(self.segment, self.now, self.incarnation);
        let (mut copies, mut memory) = (Vec::new(), Vec::new());
        for Queued { mut prepared, answer } in group {
            memory.append(&mut prepared.memory);
            let recipients = prepared.recipients;
            let first = answers.push(recipients, answer);
            if let Err(why) = self.add(&mut builder, &mut copies, first, prepared).await {
                tracing::warn!(segment = %self.segment, why, recipients, "a message could not be put into a segment");
                copies.retain(|copy: &Copy| copy.recipient < first);
                for recipient in first..first + recipients {
                    answers.set(recipient, DeliveryVerdict::Unavailable);
                }
            }
        }
        if copies.is_empty() {
            return None;
        }
        let octets = builder.octets();
        let placed = Placed { segment: self.segment, octets, copies, answers };
        Some(Built { pieces: builder.finish(), placed, memory })
    }

    /// Adds a delivery: a frame for each of its tenants. The error is for the log; frames that were added before it stay in the
    /// segment without a copy.
    async fn add(
        &self,
        builder: &mut SegmentBuilder,
        copies: &mut Vec<Copy>,
        first: usize,
        prepared: Prepared,
    ) -> Result<(), &'static str> {
        let is_large = prepared.is_large();
        let sender = prepared.reverse_path.as_str();
        for PreparedFrame { tenant, key, head, body, sha256, copies: of_frame } in prepared.frames {
            let first_ordinal = builder.copies();
            let octets = head.octets as usize + body.octets as usize;
            let numbered = || (first_ordinal..).zip(&of_frame);
            let meta = Meta {
                sha256,
                received_ms: self.now.unix_ms(),
                sender: sender.to_owned().into(),
                source: prepared.source.into(),
                copies: numbered()
                    .map(|(ordinal, copy)| MetaCopy {
                        ordinal,
                        account: copy.account,
                        address: copy.address.clone().into(),
                        prefix: copy.prefix.clone().map(Into::into),
                        legacy_id: None,
                        uid: None,
                    })
                    .collect(),
                sha256_received: prepared.sha256_received,
            };
            let plain = Plain {
                traits: prepared.traits,
                tenant,
                guid: self.segment.guid(first_ordinal).ok_or("too many copies")?,
                body_lines: prepared.body_lines,
                meta,
                head,
                body,
                salt: self.random.octets16(),
                meta_salt: self.random.octets16(),
            };
            let Encoded { header, parts } = seal(plain, key, is_large).await?;
            let number_of_copies = u16::try_from(of_frame.len()).map_err(|_| "too many copies")?;
            let place = builder
                .push(&header, number_of_copies, first_ordinal, parts)
                .map_err(|_| "the segment grows too large")?;
            for (ordinal, copy) in (first_ordinal..).zip(of_frame) {
                let own = copy.prefix.as_ref().map_or(0, String::len);
                copies.push(Copy {
                    ordinal,
                    recipient: first + copy.recipient,
                    tenant,
                    account: copy.account,
                    guid: self.segment.guid(ordinal).ok_or("too many copies")?,
                    octets: u32::try_from(octets + own).map_err(|_| "too many octets")?,
                    place,
                    traits: prepared.traits | if copy.prefix.is_some() { traits::EXTRAS } else { 0 },
                    prefix: copy.prefix,
                });
            }
        }
        Ok(())
    }
}

/// Encrypts, large messages beside the reactor.
async fn seal(plain: Plain<'static>, key: TenantKey, is_large: bool) -> Result<Encoded, &'static str> {
    let work = move || encode(plain, key.version, &key.key).map_err(|_| "the message cannot be encrypted");
    if !is_large {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| "the message cannot be encrypted")?
}
