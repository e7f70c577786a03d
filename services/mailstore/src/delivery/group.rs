//! A group of deliveries becomes a segment: one frame per message and tenant, and the copies to commit.
//!
//! A frame that one recipient of its tenant has holds that recipient's Return-Path and Delivered-To lines itself. A frame that
//! several recipients share holds what they share, and the two lines are kept with each copy.

use bytes::Bytes;
use mail_types::{Random, SegmentUuid, TenantId, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::{Delivery, DeliveryVerdict, Queued, Recipient, Target};
use crate::bodies::frame::{FrameHeader, Meta, MetaCopy, stored};
use crate::bodies::segment::{SegmentBuilder, TooLarge};
use crate::catalog::deliver::Copy;
use crate::mend::traits;
use crate::trace;

/// A segment on its way: what to commit when it is durable, and who waits.
pub(crate) struct Placed {
    pub(crate) segment: SegmentUuid,
    pub(crate) octets: usize,
    pub(crate) copies: Vec<Copy>,
    pub(crate) answers: Answers,
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

/// Builds the segment; its pieces are those of the bodies, not copies. The error has the answers still owed.
pub(crate) fn build(
    segment: SegmentUuid,
    now: Timestamp,
    incarnation: u128,
    random: &dyn Random,
    group: Vec<Queued>,
) -> Result<(Vec<Bytes>, Placed), Answers> {
    let mut answers = Answers::new();
    let mut builder = SegmentBuilder::new(segment, now, incarnation);
    let mut copies = Vec::new();
    let mut fits = true;
    for Queued { delivery, answer } in group {
        let first = answers.push(delivery.recipients.len(), answer);
        fits &= add(&mut builder, &mut copies, segment, now, random, first, &delivery).is_ok();
    }
    if !fits {
        return Err(answers);
    }
    let octets = builder.octets();
    Ok((builder.finish(), Placed { segment, octets, copies, answers }))
}

/// Adds a delivery: a frame for each of its tenants.
fn add(
    builder: &mut SegmentBuilder,
    copies: &mut Vec<Copy>,
    segment: SegmentUuid,
    now: Timestamp,
    random: &dyn Random,
    first: usize,
    delivery: &Delivery,
) -> Result<(), TooLarge> {
    for tenant in tenants(&delivery.recipients) {
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

        let first_ordinal = u32::try_from(copies.len()).map_err(|_| TooLarge)?;
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
            received_ms: now.unix_ms(),
            sender: delivery.reverse_path.as_str(),
            source: delivery.source,
            copies: planned
                .iter()
                .map(|(ordinal, _, recipient, account, prefix)| MetaCopy {
                    ordinal: *ordinal,
                    account: *account,
                    address: &recipient.given,
                    prefix: prefix.as_deref(),
                })
                .collect(),
            sha256_received: delivery.body.sha256,
        };
        let meta = Bytes::from(meta.encode());
        let shape = delivery.body.shape;
        let (stored_head, stored_body) = (stored(&head), stored(&body));
        let header = FrameHeader {
            traits: shape.traits,
            tenant,
            head_octets: stored_head.len,
            body_octets: stored_body.len,
            body_lines: u32::try_from(shape.body_lines).map_err(|_| TooLarge)?,
            guid: segment.guid(first_ordinal).ok_or(TooLarge)?,
            salt: random.octets16(),
            meta: stored(std::slice::from_ref(&meta)),
            head: stored_head,
            body: stored_body,
        };
        let number_of_copies = u16::try_from(planned.len()).map_err(|_| TooLarge)?;
        let parts = std::iter::once(meta).chain(head).chain(body);
        let place = builder.push(&header, number_of_copies, first_ordinal, parts)?;
        for (ordinal, recipient, _, account, prefix) in planned {
            let own = prefix.as_ref().map_or(0, String::len);
            let octets = header.head_octets as usize + header.body_octets as usize + own;
            copies.push(Copy {
                ordinal,
                recipient,
                tenant,
                account,
                guid: segment.guid(ordinal).ok_or(TooLarge)?,
                octets: u32::try_from(octets).map_err(|_| TooLarge)?,
                place,
                traits: shape.traits | if prefix.is_some() { traits::EXTRAS } else { 0 },
                prefix,
            });
        }
    }
    Ok(())
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
