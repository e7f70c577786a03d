//! What can be done for a delivery before its segment is known, and so before it queues: its keys, its own lines, and the
//! compression, which takes most of the time. What is under way beside the queue is then the PUT alone.
//!
//! A frame that one recipient of its tenant has holds that recipient's Return-Path and Delivered-To lines itself. A frame that
//! several recipients share holds what they share, and the two lines are kept with each copy.

use bytes::Bytes;
use mail_types::{AccountId, ReversePath, TenantId};
use sha2::{Digest as _, Sha256};

use super::{Delivery, Recipient, Stay};
use crate::bodies::encode::Packed;
use crate::bodies::keys::{Keys, TenantKey};
use crate::incoming::Permit;
use crate::trace;

/// Octets from which compressing and encrypting would hold up the other tasks of a thread.
const BLOCKING_FROM: u64 = 256 * 1024;

/// A delivery, ready to be put into a segment.
pub(crate) struct Prepared {
    pub(crate) reverse_path: ReversePath,
    pub(crate) source: &'static str,
    pub(crate) sha256_received: [u8; 32],
    /// Octets of the message as it came.
    pub(crate) octets: u64,
    pub(crate) body_lines: u32,
    pub(crate) traits: u16,
    pub(crate) recipients: usize,
    /// One for each tenant.
    pub(crate) frames: Vec<PreparedFrame>,
    /// What the body took of the budget.
    pub(crate) memory: Vec<Permit>,
}

/// A tenant's frame.
pub(crate) struct PreparedFrame {
    pub(crate) tenant: TenantId,
    pub(crate) key: TenantKey,
    pub(crate) head: Packed,
    pub(crate) body: Packed,
    /// Of both.
    pub(crate) sha256: [u8; 32],
    pub(crate) copies: Vec<PreparedCopy>,
}

/// A copy for one account.
pub(crate) struct PreparedCopy {
    /// Which of the delivery's recipients.
    pub(crate) recipient: usize,
    /// The RCPT address as given.
    pub(crate) address: String,
    pub(crate) account: AccountId,
    /// Its own first lines, where the frame is shared.
    pub(crate) prefix: Option<String>,
}

impl Prepared {
    /// Whose it is: its first recipient's.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.frames.first().map(|frame| frame.tenant)
    }

    pub(super) fn copies(&self) -> usize {
        self.frames.iter().map(|frame| frame.copies.len()).sum()
    }

    /// Whether its work would hold up the other tasks of a thread.
    pub(super) fn is_large(&self) -> bool {
        self.octets >= BLOCKING_FROM
    }
}

/// Prepares a delivery; a large one beside the reactor. Its stay ends when it is in the queue. The error is for the log.
pub(super) async fn prepare(delivery: Delivery, keys: &Keys) -> Result<(Prepared, Option<Stay>), &'static str> {
    let mut tenants = Vec::new();
    for tenant in tenants_of(&delivery.recipients) {
        tenants.push((tenant, keys.current(tenant).await.map_err(|error| error.kind())?));
    }
    if delivery.body.octets() < BLOCKING_FROM {
        return pack(delivery, tenants);
    }
    tokio::task::spawn_blocking(|| pack(delivery, tenants)).await.map_err(|_| "the message cannot be compressed")?
}

fn pack(delivery: Delivery, tenants: Vec<(TenantId, TenantKey)>) -> Result<(Prepared, Option<Stay>), &'static str> {
    let Delivery { reverse_path, mut received, source, recipients, body } = delivery;
    received.push_str("\r\n");
    let (shape, sha256_received) = (body.shape, body.sha256);
    let (common_head, plain_body) = body.cut();
    // The same for all tenants, and no other message's.
    let packed_body = Packed::new(plain_body.clone());
    let mut frames = Vec::with_capacity(tenants.len());
    for (tenant, key) in tenants {
        let of_tenant: Vec<(usize, &Recipient)> =
            recipients.iter().enumerate().filter(|(_, r)| r.targets.iter().any(|t| t.tenant == tenant)).collect();
        let shared = of_tenant.len() > 1;
        let prefix_of = |recipient: &Recipient| trace::prefix(&reverse_path, &recipient.given);
        let mut own_lines = match of_tenant.first() {
            Some((_, recipient)) if !shared => prefix_of(recipient),
            _ => String::new(),
        };
        own_lines.push_str(&received);
        let mut head = vec![Bytes::from(own_lines)];
        head.extend(common_head.iter().cloned());
        let sha256 = digest(head.iter().chain(&plain_body));
        let copies = of_tenant.iter().flat_map(|&(number, recipient)| {
            recipient.targets.iter().filter(|t| t.tenant == tenant).map(move |target| PreparedCopy {
                recipient: number,
                address: recipient.given.clone(),
                account: target.account,
                prefix: shared.then(|| prefix_of(recipient)),
            })
        });
        let copies = copies.collect();
        frames.push(PreparedFrame { tenant, key, head: Packed::new(head), body: packed_body.clone(), sha256, copies });
    }
    let (memory, stay) = body.into_rest();
    let prepared = Prepared {
        source,
        sha256_received,
        octets: shape.octets,
        body_lines: u32::try_from(shape.body_lines).map_err(|_| "too many lines")?,
        traits: shape.traits,
        recipients: recipients.len(),
        frames,
        memory,
        reverse_path,
    };
    Ok((prepared, stay))
}

/// The tenants of the recipients, each once, in order of their first.
fn tenants_of(recipients: &[Recipient]) -> Vec<TenantId> {
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
