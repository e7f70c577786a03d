//! A mail transaction from the beginning of its body to its replies.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use lmtp_proto::{DeliveryReply, Envelope, Refusal};
use mail_types::{DomainName, TenantId};
use mailstore::{Delivery, DeliveryVerdict, Incoming, IncomingError, Recipient, received_line};

use crate::{Shared, metrics};

/// Where a message comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) peer: Option<IpAddr>,
    /// `LMTP`, or `LMTPS` under TLS (RFC 3848).
    pub(crate) protocol: &'static str,
}

/// A message on its way in.
pub(crate) struct Transaction {
    /// Stands in the log, in the `Received` line and in the reply: the session's id and a number.
    id: String,
    origin: Origin,
    envelope: Envelope<Recipient>,
    /// Once it has failed the rest of the message is read and dropped.
    incoming: Result<Incoming, IncomingError>,
    octets: u64,
}

impl Transaction {
    pub(crate) fn begin(shared: &Shared, id: String, origin: Origin, envelope: Envelope<Recipient>) -> Self {
        // The envelope of a message on its way in has a recipient, and that one an account.
        let tenant = envelope.recipients.iter().flat_map(|r| &r.targets).map(|target| target.tenant).next();
        let incoming = Ok(shared.mailstore.incoming(tenant.unwrap_or(TenantId(0)), shared.config.max_message_octets));
        Self { id, origin, envelope, incoming, octets: 0 }
    }

    /// Takes a piece of the body; waits while the process has no memory for it.
    pub(crate) async fn write(&mut self, piece: &[u8]) {
        self.octets = self.octets.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if let Ok(incoming) = &mut self.incoming
            && let Err(error) = incoming.write(piece).await
        {
            // Gives back the memory that it holds.
            self.incoming = Err(error);
        }
    }

    /// Delivers: an answer for each recipient of the envelope, in its order.
    pub(crate) async fn deliver(self, shared: &Shared) -> Vec<DeliveryReply> {
        let Self { id, origin, envelope, incoming, octets } = self;
        let recipients = envelope.recipients.len();
        let begun = shared.clock.monotonic();
        let domains: Vec<_> = envelope.recipients.iter().map(|recipient| domain(&recipient.given)).collect();
        let results: Vec<_> = match incoming {
            Ok(incoming) => {
                let received = received_line(
                    &envelope.lhlo,
                    origin.peer,
                    &shared.config.host,
                    origin.protocol,
                    &id,
                    shared.clock.now(),
                );
                let delivery = Delivery {
                    reverse_path: envelope.reverse_path,
                    received,
                    source: origin.protocol,
                    recipients: envelope.recipients,
                    body: incoming.finish(),
                };
                shared.mailstore.deliver(delivery).await.into_iter().map(result).collect()
            }
            Err(IncomingError::TooLarge) => vec![Err(Refusal::TooLarge); recipients],
            Err(IncomingError::OutOfMemory) => vec![Err(Refusal::OutOfMemory); recipients],
        };
        for (domain, _) in domains.iter().zip(&results).filter(|(_, result)| result.is_err()) {
            shared.report.refused(domain.as_ref().map_or("", DomainName::as_str), shared.clock.now());
        }
        record(shared, &id, origin, octets, &results, begun);
        let answer = |result| match result {
            Ok(()) => DeliveryReply::Delivered { id: id.clone() },
            Err(refusal) => DeliveryReply::Refused(refusal),
        };
        results.into_iter().map(answer).collect()
    }

    /// Nothing of it is delivered: `why` is `too_large`, `reset` or `connection_lost`.
    pub(crate) fn abandoned(self, why: &'static str) {
        let recipients = self.envelope.recipients.len();
        metrics::DELIVERIES.with_label_values(&[why]).inc_by(u64::try_from(recipients).unwrap_or(u64::MAX));
        tracing::info!(
            id = self.id,
            peer = peer(self.origin.peer),
            protocol = self.origin.protocol,
            recipients,
            octets = self.octets,
            results = format!("{why}={recipients}"),
            "mail transaction"
        );
    }
}

/// The domain of an address as it was given.
fn domain(given: &str) -> Option<DomainName> {
    given.rsplit_once('@').and_then(|(_, domain)| DomainName::parse(domain).ok())
}

/// The mailstore's verdict as an answer.
fn result(verdict: DeliveryVerdict) -> Result<(), Refusal> {
    Err(match verdict {
        DeliveryVerdict::Stored { .. } => return Ok(()),
        DeliveryVerdict::OverQuota { defer: false } => Refusal::OverQuota,
        DeliveryVerdict::OverQuota { defer: true } => Refusal::OverQuotaDeferred,
        DeliveryVerdict::NoSuchAccount => Refusal::Unknown,
        DeliveryVerdict::Suspended => Refusal::Suspended,
        DeliveryVerdict::Busy => Refusal::Busy,
        DeliveryVerdict::StoreFull => Refusal::StoreFull,
        DeliveryVerdict::Unavailable => Refusal::Unavailable,
    })
}

/// Counts, and writes the transaction's one line: no addresses, they are the tenants' business.
fn record(shared: &Shared, id: &str, origin: Origin, octets: u64, results: &[Result<(), Refusal>], begun: Instant) {
    let took = shared.clock.since(begun);
    #[expect(clippy::cast_precision_loss, reason = "a histogram's buckets are coarse")]
    metrics::MESSAGE_OCTETS.observe(octets as f64);
    metrics::DELIVERY_SECONDS.observe(took.as_secs_f64());
    let mut counts = BTreeMap::<&str, usize>::new();
    for result in results {
        let result = result.map_or_else(label, |()| "stored");
        metrics::DELIVERIES.with_label_values(&[result]).inc();
        *counts.entry(result).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(result, count)| format!("{result}={count}")).collect();
    tracing::info!(
        id,
        peer = peer(origin.peer),
        protocol = origin.protocol,
        recipients = results.len(),
        octets,
        results = counts.join(" "),
        delivery_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "mail transaction"
    );
}

fn peer(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

/// A refusal in metrics and logs.
pub(crate) fn label(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown",
        Refusal::OverQuota => "over_quota",
        Refusal::OverQuotaDeferred => "over_quota_deferred",
        Refusal::Suspended => "suspended",
        Refusal::TooFast => "too_fast",
        Refusal::Busy => "busy",
        Refusal::Unavailable => "unavailable",
        Refusal::OutOfMemory => "out_of_memory",
        Refusal::StoreFull => "store_full",
        Refusal::TooLarge => "too_large",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_stored_is_answered_with_250() {
        for (verdict, expected) in [
            (DeliveryVerdict::Stored { unique_ids: Vec::new() }, Ok(())),
            (DeliveryVerdict::OverQuota { defer: false }, Err(Refusal::OverQuota)),
            (DeliveryVerdict::OverQuota { defer: true }, Err(Refusal::OverQuotaDeferred)),
            (DeliveryVerdict::NoSuchAccount, Err(Refusal::Unknown)),
            (DeliveryVerdict::Suspended, Err(Refusal::Suspended)),
            (DeliveryVerdict::Busy, Err(Refusal::Busy)),
            (DeliveryVerdict::StoreFull, Err(Refusal::StoreFull)),
            (DeliveryVerdict::Unavailable, Err(Refusal::Unavailable)),
        ] {
            assert_eq!(result(verdict), expected);
        }
    }
}
