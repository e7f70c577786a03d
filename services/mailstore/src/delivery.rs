//! Delivery: from a mended body and its recipients to committed copies, by group commit.
//!
//! The order is the whole point (ARCHITECTURE, invariant 1): the segment is durable in the object store first, then one catalog call
//! commits its copies, then the sender hears of it. A crash between the two leaves an orphan segment and nothing else.
//!
//! While a PUT is in flight deliveries queue; the next PUT takes all of them. An idle server adds no delay, a busy one makes one
//! PUT and one commit for many messages. Messages over a limit go by themselves, beside the queue.

mod commit;
mod group;

use std::sync::{Arc, LazyLock};

use mail_types::{AccountId, Clock, Random, ReversePath, SegmentUuid, TenantId, UniqueId};
use prometheus::{Histogram, register_histogram};
use runtime::database::{DbRole, Pool};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::bodies::Bodies;
use crate::bodies::keys::Keys;
use crate::config::Settings;
use crate::incoming::Body;

#[expect(clippy::expect_used, reason = "names are constants")]
static GROUP: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "restante_delivery_group_messages",
        "Messages that one segment took",
        vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
    )
    .expect("a well-formed metric")
});

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
    /// The store or the database is away: temporary. The message is stored at most once.
    Unavailable,
}

/// A delivery in the queue, and where its verdicts go.
pub(crate) struct Queued {
    delivery: Delivery,
    answer: oneshot::Sender<Vec<DeliveryVerdict>>,
}

/// Takes deliveries; cheap to clone.
#[derive(Clone)]
pub(crate) struct Deliverer {
    engine: Arc<Engine>,
    queue: mpsc::Sender<Queued>,
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
    pub(crate) large: Semaphore,
}

impl Deliverer {
    pub(crate) fn start(engine: Engine) -> Self {
        let engine = Arc::new(engine);
        // The queue needs no other bound than the memory of the bodies in it, which is counted; the channel's is only a shape.
        let (queue, waiting) = mpsc::channel(4096);
        tokio::spawn(run(engine.clone(), waiting));
        Self { engine, queue }
    }

    /// Delivers; the verdicts are in the order of the recipients. Once called it runs to its end even if the caller goes away.
    pub(crate) async fn deliver(&self, delivery: Delivery) -> Vec<DeliveryVerdict> {
        let recipients = delivery.recipients.len();
        let (answer, verdicts) = oneshot::channel();
        let queued = Queued { delivery, answer };
        if queued.delivery.body.octets() > self.engine.settings.large_octets {
            let engine = self.engine.clone();
            tokio::spawn(async move {
                // The semaphore is never closed.
                let _turn = engine.large.acquire().await;
                if let Some(placed) = engine.write(vec![queued]).await {
                    engine.commit(placed).await;
                }
            });
        } else if self.queue.send(queued).await.is_err() {
            tracing::error!("the delivery queue has ended");
        }
        // A dropped answer means that the task that owed it died; what it did is not known.
        verdicts.await.unwrap_or_else(|_| vec![DeliveryVerdict::Unavailable; recipients])
    }
}

/// Makes groups: what queued while the last PUT was in flight.
async fn run(engine: Arc<Engine>, mut waiting: mpsc::Receiver<Queued>) {
    while let Some(first) = waiting.recv().await {
        let (mut octets, mut copies) = (0, 0);
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(queued) = next {
            octets += queued.delivery.body.octets();
            copies += queued.delivery.recipients.iter().map(|r| r.targets.len()).sum::<usize>();
            group.push(queued);
            let full = octets >= engine.settings.segment_octets || copies >= engine.settings.segment_copies;
            next = if full { None } else { waiting.try_recv().ok() };
        }
        GROUP.observe(group.len() as f64);
        if let Some(placed) = engine.write(group).await {
            // Beside the next PUT: a maildrop that is busy holds up nobody else.
            let engine = engine.clone();
            tokio::spawn(async move { engine.commit(placed).await });
        }
    }
}

impl Engine {
    /// Writes a group as one segment. On failure everybody has been told, and nothing of it can be committed.
    async fn write(&self, group: Vec<Queued>) -> Option<group::Placed> {
        let now = self.clock.now();
        let segment = SegmentUuid::new(now, self.random.as_ref());
        let making = group::Making {
            segment,
            now,
            incarnation: self.incarnation,
            random: self.random.as_ref(),
            keys: &self.keys,
        };
        let (pieces, placed) = making.build(group).await?;
        match self.bodies.put(segment, pieces).await {
            Ok(()) => Some(placed),
            Err(error) => {
                tracing::warn!(%segment, kind = error.kind(), %error, "a segment could not be stored");
                placed.answers.answer_all(&DeliveryVerdict::Unavailable);
                None
            }
        }
    }
}
