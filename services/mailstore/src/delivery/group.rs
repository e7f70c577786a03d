//! A group of deliveries becomes a segment: one frame per message and tenant, and the copies to commit.
//!
//! A frame that one recipient of its tenant has holds that recipient's Return-Path and Delivered-To lines itself. A frame that
//! several recipients share holds what they share, and the two lines are kept with each copy.

use bytes::Bytes;
use mail_types::{Random, SegmentUuid, TenantId, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::{Delivery, DeliveryVerdict, Queued, Recipient, Target};
use crate::bodies::encode::{Encoded, Plain, encode};
use crate::bodies::keys::{Keys, TenantKey};
use crate::bodies::meta::{Meta, MetaCopy};
use crate::bodies::segment::SegmentBuilder;
use crate::catalog::deliver::Copy;
use crate::incoming::Permit;
use crate::mend::traits;
use crate::trace;

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
    pub(crate) keys: &'a Keys,
}

impl Making<'_> {
    /// Builds the segment; `None` if nothing came of it. Deliveries that cannot be stored (a tenant's key is away or erased) have
    /// been answered, and their neighbours are none the worse.
    pub(crate) async fn build(&self, group: Vec<Queued>) -> Option<Built> {
        let mut answers = Answers::new();
        let mut builder = SegmentBuilder::new(self.segment, self.now, self.incarnation);
        let (mut copies, mut memory) = (Vec::new(), Vec::new());
        for Queued { delivery, answer } in group {
            let recipients = delivery.recipients.len();
            let first = answers.push(recipients, answer);
            if let Err(why) = self.add(&mut builder, &mut copies, first, &delivery).await {
                tracing::warn!(segment = %self.segment, why, recipients, "a message could not be put into a segment");
                copies.retain(|copy: &Copy| copy.recipient < first);
                for recipient in first..first + recipients {
                    answers.set(recipient, DeliveryVerdict::Unavailable);
                }
            }
            memory.extend(delivery.body.into_memory());
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
        delivery: &Delivery,
    ) -> Result<(), &'static str> {
        for tenant in tenants(&delivery.recipients) {
            let key = self.keys.current(tenant).await.map_err(|error| error.kind())?;
            let of_tenant: Vec<(usize, &Recipient, Vec<&Target>)> = delivery
                .recipients
                .iter()
                .enumerate()
                .map(|(at, r)| (first + at, r, r.targets.iter().filter(|t| t.tenant == tenant).collect()))
                .filter(|(_, _, targets): &(_, _, Vec<_>)| !targets.is_empty())
                .collect();
            let shared = of_tenant.len() > 1;
            let prefix_of = |recipient: &Recipient| trace::prefix(&delivery.reverse_path, &recipient.given);

            let mut own_lines = match of_tenant.first() {
                Some((_, recipient, _)) if !shared => prefix_of(recipient),
                _ => String::new(),
            };
            own_lines.push_str(&delivery.received);
            own_lines.push_str("\r\n");
            let (mut head, body) = delivery.body.cut();
            head.insert(0, Bytes::from(own_lines));

            let first_ordinal = builder.copies();
            let mut ordinal = first_ordinal;
            let mut planned = Vec::new();
            for (number, recipient, targets) in &of_tenant {
                let prefix = shared.then(|| prefix_of(recipient));
                for target in targets {
                    planned.push((ordinal, *number, *recipient, target.account, prefix.clone()));
                    ordinal += 1;
                }
            }
            let meta = Meta {
                sha256: digest(head.iter().chain(&body)),
                received_ms: self.now.unix_ms(),
                sender: delivery.reverse_path.as_str().to_owned().into(),
                source: delivery.source.into(),
                copies: planned
                    .iter()
                    .map(|(ordinal, _, recipient, account, prefix)| MetaCopy {
                        ordinal: *ordinal,
                        account: *account,
                        address: recipient.given.clone().into(),
                        prefix: prefix.clone().map(Into::into),
                        legacy_id: None,
                        uid: None,
                    })
                    .collect(),
                sha256_received: delivery.body.sha256,
            };
            let shape = delivery.body.shape;
            let plain = Plain {
                traits: shape.traits,
                tenant,
                guid: self.segment.guid(first_ordinal).ok_or("too many copies")?,
                body_lines: u32::try_from(shape.body_lines).map_err(|_| "too many lines")?,
                meta,
                head,
                body,
                salt: self.random.octets16(),
                meta_salt: self.random.octets16(),
            };
            let Encoded { header, parts } = seal(plain, key).await?;
            let number_of_copies = u16::try_from(planned.len()).map_err(|_| "too many copies")?;
            let place = builder
                .push(&header, number_of_copies, first_ordinal, parts)
                .map_err(|_| "the segment grows too large")?;
            for (ordinal, recipient, _, account, prefix) in planned {
                let own = prefix.as_ref().map_or(0, String::len);
                let octets = header.head_octets as usize + header.body_octets as usize + own;
                copies.push(Copy {
                    ordinal,
                    recipient,
                    tenant,
                    account,
                    guid: self.segment.guid(ordinal).ok_or("too many copies")?,
                    octets: u32::try_from(octets).map_err(|_| "too many octets")?,
                    place,
                    traits: shape.traits | if prefix.is_some() { traits::EXTRAS } else { 0 },
                    prefix,
                });
            }
        }
        Ok(())
    }
}

/// Octets from which compressing and encrypting would hold up the other tasks of a thread.
const BLOCKING_FROM: usize = 256 * 1024;

/// Compresses and encrypts, large messages beside the reactor.
async fn seal(plain: Plain<'static>, key: TenantKey) -> Result<Encoded, &'static str> {
    let octets: usize = plain.body.iter().map(Bytes::len).sum();
    let work = move || encode(plain, key.version, &key.key).map_err(|_| "the message cannot be encrypted");
    if octets < BLOCKING_FROM {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| "the message cannot be encrypted")?
}

/// The tenants of the recipients, each once, in order of their first.
fn tenants(recipients: &[Recipient]) -> Vec<TenantId> {
    let mut tenants = Vec::new();
    for target in recipients.iter().flat_map(|r| &r.targets) {
        if !tenants.contains(&target.tenant) {
            tenants.push(target.tenant);
        }
    }
    tenants
}

fn digest<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    for piece in pieces {
        sha256.update(piece);
    }
    sha256.finalize().into()
}
