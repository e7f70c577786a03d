//! What is counted.
#![expect(clippy::expect_used, reason = "names are constants")]

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounterVec, exponential_buckets, histogram_opts, register_histogram, register_int_counter_vec,
};

/// Sessions by how they began: `served`, or `not_a_peer`.
pub(crate) static SESSIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_lmtp_sessions_total", "LMTP sessions", &["result"])
        .expect("a well-formed metric")
});

/// Recipients by what RCPT was answered.
pub(crate) static RECIPIENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_lmtp_recipients_total", "Recipients, by the answer to RCPT", &["result"])
        .expect("a well-formed metric")
});

/// Deliveries, one for each recipient, by what the end of the message was answered.
pub(crate) static DELIVERIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Deliveries to recipients, by the answer to the message";
    register_int_counter_vec!("restante_lmtp_deliveries_total", help, &["result"]).expect("a well-formed metric")
});

/// Octets of the messages that were read to their end: 1 KiB to 64 MiB.
pub(crate) static MESSAGE_OCTETS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = exponential_buckets(1024.0, 4.0, 9).expect("a well-formed histogram");
    register_histogram!(histogram_opts!("restante_lmtp_message_octets", "Octets of messages as transferred", buckets))
        .expect("a well-formed metric")
});

/// From the end of a message to its replies: 1 ms to 65 s.
pub(crate) static DELIVERY_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = exponential_buckets(0.001, 2.0, 17).expect("a well-formed histogram");
    let help = "Seconds from the end of a message to its replies";
    register_histogram!(histogram_opts!("restante_lmtp_delivery_seconds", help, buckets)).expect("a well-formed metric")
});
