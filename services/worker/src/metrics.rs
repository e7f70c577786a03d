//! What compaction, recounts and the backlog are seen by.

use std::sync::LazyLock;

use mailstore::{Backlog, CompactReport, ReconcileReport};
use prometheus::{IntCounterVec, IntGaugeVec, register_int_counter_vec, register_int_gauge_vec};

#[expect(clippy::expect_used, reason = "names are constants")]
static COMPACTED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_worker_compacted_total", "What compaction did, by kind", &["kind"])
        .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static RECONCILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "restante_worker_reconciled_total",
        "Counters that a recount set right, by kind; maildrops and segments should never be",
        &["kind"]
    )
    .expect("a well-formed metric")
});
#[expect(clippy::expect_used, reason = "names are constants")]
static BACKLOG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "restante_worker_backlog",
        "What waits, by kind: thin segments, due purges (counted to 100000), seconds that the oldest of them has been due",
        &["kind"]
    )
    .expect("a well-formed metric")
});

pub(crate) fn compacted(report: &CompactReport) {
    let counts = [
        ("segments", report.segments),
        ("written_segments", report.written),
        ("messages", report.messages),
        ("octets", report.octets),
        ("unmovable_frames", report.unmovable),
    ];
    for (kind, count) in counts {
        COMPACTED.with_label_values(&[kind]).inc_by(count);
    }
    if *report != CompactReport::default() {
        tracing::info!(
            segments = report.segments,
            written = report.written,
            messages = report.messages,
            octets = report.octets,
            unmovable = report.unmovable,
            "compacted"
        );
    }
}

pub(crate) fn reconciled(report: &ReconcileReport) {
    let counts = [
        ("slices", report.slices),
        ("maildrops", report.maildrops),
        ("segments", report.segments),
        ("dead_octets", report.dead_octets),
        ("emptied_segments", report.emptied),
    ];
    for (kind, count) in counts {
        RECONCILED.with_label_values(&[kind]).inc_by(count);
    }
}

pub(crate) fn backlog(backlog: Backlog) {
    let gauges = [
        ("thin_segments", backlog.thin_segments),
        ("due_purges", backlog.due_purges),
        ("oldest_due_seconds", backlog.oldest_due_seconds),
    ];
    for (kind, value) in gauges {
        BACKLOG.with_label_values(&[kind]).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}
