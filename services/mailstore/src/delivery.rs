//! Delivery: from a mended body and its recipients to committed copies, by group commit.
//!
//! The order is the whole point (ARCHITECTURE, invariant 1): the segment is durable in the object store first, then one catalog call
//! commits its copies, then the sender hears of it. A crash between the two leaves an orphan segment and nothing else.
//!
//! A delivery is compressed before it queues. While a PUT is in flight deliveries queue; the next PUT takes all of them, the tenants
//! in turn. An idle server adds no delay, a busy one makes one PUT and one commit for many messages. A slow PUT does not hold the next one back. Messages over a limit go
//! by themselves, beside the queue.

mod commit;
mod elsewhere;
mod group;
mod pipeline;
mod prepare;
mod queue;

use std::sync::Arc;

use mail_types::{AccountId, Clock, Random, ReversePath, SegmentUuid, TenantId, UniqueId};
use runtime::database::{DbRole, Pool};
use runtime::fail_point;
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::bodies::Bodies;
use crate::bodies::keys::Keys;
use crate::cache::FrameCache;
use crate::config::Settings;
use crate::incoming::Body;

use elsewhere::Elsewhere;
pub(crate) use elsewhere::Stay;

/// A message accepted for delivery.
#[derive(Debug)]
pub struct Delivery {
    /// The envelope's sender.
    pub reverse_path: ReversePath,
    /// The Received line, without its CRLF ([`crate::received_line`]).
    pub received: String,
    /// `LMTP`, `LMTPS` or `HTTP`.
    pub source: &'static str,
    /// Who gets it; each has a verdict of its own.
    pub recipients: Vec<Recipient>,
    /// What they get.
    pub body: Body,
}

/// A recipient, resolved.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The RCPT address as it was given, without brackets: what Delivered-To shows.
    pub given: String,
    /// The accounts it leads to. All of them get the message or none.
    pub targets: Vec<Target>,
}

/// One account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its tenant.
    pub tenant: TenantId,
    /// The account.
    pub account: AccountId,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryVerdict {
    /// Durable and committed; one unique-id per account, in the order of the targets.
    Stored {
        /// The new messages.
        unique_ids: Vec<UniqueId>,
    },
    /// It does not fit. With `defer` the policy wants the sender to try again.
    OverQuota {
        /// 452 instead of 552.
        defer: bool,
    },
    /// The account went away since it was resolved.
    NoSuchAccount,
    /// The tenant was suspended since it was resolved.
    Suspended,
    /// The maildrop stayed busy: temporary.
    Busy,
    /// The store has no space left: temporary, but for longer.
    StoreFull,
    /// The store or the database is away: temporary. The message is stored at most once.
    Unavailable,
}

/// A delivery in the queue, and where its verdicts go.
pub(crate) struct Queued {
    prepared: prepare::Prepared,
    answer: oneshot::Sender<Vec<DeliveryVerdict>>,
}

/// Takes deliveries; cheap to clone.
#[derive(Clone)]
pub(crate) struct Deliverer {
    queue: mpsc::Sender<Queued>,
    keys: Keys,
    elsewhere: Arc<Elsewhere>,
}

/// What a group needs on its way.
pub(crate) struct Engine {
    pub(crate) pool: Pool,
    pub(crate) role: DbRole,
    pub(crate) bodies: Bodies,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) incarnation: u128,
    pub(crate) keys: Keys,
    /// Filled by what is delivered, where the process also serves it.
    pub(crate) frames: FrameCache,
}

impl Deliverer {
    pub(crate) fn start(engine: Engine) -> Self {
        // The queue needs no other bound than the memory of the bodies in it, which is counted; the channel's is only a shape.
        let (queue, arriving) = mpsc::channel(4096);
        let keys = engine.keys.clone();
        let elsewhere = Arc::new(Elsewhere::default());
        tokio::spawn(pipeline::run(Arc::new(engine), arriving, elsewhere.clone()));
        Self { queue, keys, elsewhere }
    }

    /// A message begins to arrive.
    pub(crate) fn stay(&self) -> Stay {
        self.elsewhere.stay(1)
    }

    /// Delivers; the verdicts are in the order of the recipients. Once called it runs to its end even if the caller goes away.
    pub(crate) async fn deliver(&self, delivery: Delivery) -> Vec<DeliveryVerdict> {
        let recipients = delivery.recipients.len();
        let (answer, verdicts) = oneshot::channel();
        let Self { queue, keys, .. } = self.clone();
        tokio::spawn(async move {
            match prepare::prepare(delivery, &keys).await {
                Ok((prepared, _stay)) => {
                    if queue.send(Queued { prepared, answer }).await.is_err() {
                        tracing::error!("the delivery queue has ended");
                    }
                }
                // A key that is away or erased, for the most part.
                Err(why) => tracing::warn!(why, recipients, "a message could not be prepared"),
            }
        });
        // A dropped answer: it was not prepared, or the task that owed the answer died, and what it did is not known.
        verdicts.await.unwrap_or_else(|_| vec![DeliveryVerdict::Unavailable; recipients])
    }
}

impl Engine {
    /// Writes a group as one segment. On failure everybody has been told, and nothing of it can be committed.
    async fn write(&self, group: Vec<Queued>) -> Option<group::Placed> {
        let now = self.clock.now();
        let segment = SegmentUuid::new(now, self.random.as_ref());
        let making = group::Making { segment, now, incarnation: self.incarnation, random: self.random.as_ref() };
        // The memory of the bodies stays taken until what was made of them has gone up.
        let group::Built { pieces, placed, memory } = making.build(group).await?;
        fail_point::reach("deliver.before_put").await;
        let stored = self.bodies.put(segment, pieces.clone()).await;
        if stored.is_ok() {
            self.frames.delivered(segment, placed.copies.iter().map(|copy| copy.place), &pieces);
        }
        drop((pieces, memory));
        fail_point::reach("deliver.after_put").await;
        match stored {
            Ok(()) => Some(placed),
            Err(error) => {
                tracing::warn!(%segment, kind = error.kind(), %error, "a segment could not be stored");
                placed.answers.answer_all(match error {
                    Error::StoreFull(_) => &DeliveryVerdict::StoreFull,
                    _ => &DeliveryVerdict::Unavailable,
                });
                None
            }
        }
    }
}
