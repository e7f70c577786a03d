//! A mail transaction (RFC 5321 section 3.3): what MAIL and RCPT collect, and the body that ends it.

use std::collections::HashMap;

use mail_types::{Address, ReversePath};

/// From MAIL to the beginning of the body. `R` is what the driver keeps of a recipient.
#[derive(Debug)]
pub(crate) struct Transaction<R> {
    pub(crate) lhlo: String,
    pub(crate) reverse_path: ReversePath,
    pub(crate) declared_octets: Option<u64>,
    pub(crate) smtputf8: bool,
    recipients: Vec<R>,
    /// Where in `recipients` an accepted address stands.
    places: HashMap<Address, usize>,
    /// The place in `recipients` of every accepted RCPT, in order. An address that is named twice is one recipient (the message is
    /// delivered once) with two replies.
    accepted: Vec<usize>,
}

impl<R> Transaction<R> {
    pub(crate) fn new(lhlo: String, reverse_path: ReversePath, declared_octets: Option<u64>, smtputf8: bool) -> Self {
        Self {
            lhlo,
            reverse_path,
            declared_octets,
            smtputf8,
            recipients: Vec::new(),
            places: HashMap::new(),
            accepted: Vec::new(),
        }
    }

    /// RCPT commands that were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// Accepts an address that was accepted before in this transaction.
    pub(crate) fn accept_again(&mut self, address: &Address) -> bool {
        let place = self.places.get(address).copied();
        self.accepted.extend(place);
        place.is_some()
    }

    /// Accepts a new address.
    pub(crate) fn accept(&mut self, address: Address, recipient: R) {
        let place = self.recipients.len();
        self.recipients.push(recipient);
        self.places.insert(address, place);
        self.accepted.push(place);
    }

    /// Closes the envelope: what the driver gets, and what stays here to answer for.
    pub(crate) fn into_body(self) -> (crate::Envelope<R>, Body) {
        let Self { lhlo, reverse_path, declared_octets, recipients, accepted, .. } = self;
        let envelope = crate::Envelope { lhlo, reverse_path, declared_octets, recipients };
        (envelope, Body { accepted, octets: 0, too_large: false })
    }
}

/// The body while it arrives.
#[derive(Debug)]
pub(crate) struct Body {
    /// For each reply that is due, the recipient's place in the envelope.
    pub(crate) accepted: Vec<usize>,
    /// Unstuffed, so far.
    octets: u64,
    /// Over the limit: read on to the end, but not kept.
    pub(crate) too_large: bool,
}

/// What becomes of a piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    /// It is the first that goes over the limit.
    Exceeds,
    Drop,
}

impl Body {
    /// Counts a piece.
    pub(crate) fn count(&mut self, octets: usize, limit: u64) -> Verdict {
        self.octets = self.octets.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        match (self.too_large, self.octets > limit) {
            (true, _) => Verdict::Drop,
            (false, true) => {
                self.too_large = true;
                Verdict::Exceeds
            }
            (false, false) => Verdict::Keep,
        }
    }
}
