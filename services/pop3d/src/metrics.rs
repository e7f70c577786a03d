//! What is counted.
#![expect(clippy::expect_used, reason = "names are constants")]

use std::{sync::LazyLock, time::Duration};

use pop3_proto::{LoginRefusal, Replied, SessionLimit};
use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGauge, exponential_buckets, histogram_opts, register_histogram_vec,
    register_int_counter, register_int_counter_vec, register_int_gauge,
};

/// Sessions by how they ended.
pub(crate) static SESSIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_pop3_sessions_total", "POP3 sessions, by how they ended", &["ended"])
        .expect("a well-formed metric")
});

/// Logins by how the client proved itself, or tried to, and what came of it.
pub(crate) static LOGINS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("restante_pop3_logins_total", "POP3 logins", &["mechanism", "result"])
        .expect("a well-formed metric")
});

/// Heartbeats, by whether the database heard them.
pub(crate) static BEATS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Heartbeats of this frontend, which keep its exclusive sessions alive";
    register_int_counter_vec!("restante_pop3_beats_total", help, &["result"]).expect("a well-formed metric")
});

/// Reports to the support desk, by whether the database took them.
pub(crate) static REPORTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Reports of live sessions, refused logins and used credentials";
    register_int_counter_vec!("restante_pop3_reports_total", help, &["result"]).expect("a well-formed metric")
});

/// Sessions after their login.
pub(crate) static LIVE_SESSIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!("restante_pop3_live_sessions", "POP3 sessions after their login").expect("a well-formed metric")
});

/// What sessions said that was to be written down, by what came of it.
pub(crate) static TRANSCRIPTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Transcripts of sessions: kept, without room or not wanted any more, lost";
    register_int_counter_vec!("restante_pop3_transcripts_total", help, &["result"]).expect("a well-formed metric")
});

/// How often as much output was held for a client as may be held.
pub(crate) static OUTPUT_FULL: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "How often nothing more was done for a POP3 client before it took some of what it was sent";
    register_int_counter!("restante_pop3_output_full_total", help).expect("a well-formed metric")
});

static COMMANDS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "POP3 commands, by the status of the response";
    register_int_counter_vec!("restante_pop3_commands_total", help, &["command", "result"])
        .expect("a well-formed metric")
});

/// 10 µs to 42 s.
static COMMAND_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = exponential_buckets(0.000_01, 4.0, 12).expect("a well-formed histogram");
    let help = "Seconds from a command to the end of its response";
    register_histogram_vec!(histogram_opts!("restante_pop3_command_seconds", help, buckets), &["command"])
        .expect("a well-formed metric")
});

/// Octets written to clients, before TLS.
pub(crate) static SENT_OCTETS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("restante_pop3_sent_octets_total", "Octets written to POP3 clients, before TLS")
        .expect("a well-formed metric")
});

/// Counts a command.
pub(crate) fn command(replied: Replied, time: Duration) {
    let verb = replied.verb.as_str();
    COMMANDS.with_label_values(&[verb, replied.status.as_str()]).inc();
    COMMAND_SECONDS.with_label_values(&[verb]).observe(time.as_secs_f64());
}

/// A refusal's name in [`LOGINS`].
pub(crate) const fn refusal(refusal: LoginRefusal) -> &'static str {
    match refusal {
        LoginRefusal::WrongCredentials => "wrong_credentials",
        LoginRefusal::Suspended => "suspended",
        LoginRefusal::InUse => "in_use",
        LoginRefusal::TooManySessions(SessionLimit::Account(_)) => "sessions_of_account",
        LoginRefusal::TooManySessions(SessionLimit::Domain(_)) => "sessions_of_domain",
        LoginRefusal::TooManySessions(SessionLimit::Tenant(_)) => "sessions_of_tenant",
        LoginRefusal::TooManySessions(SessionLimit::Address(_)) => "sessions_of_address",
        LoginRefusal::LoginDelay(_) => "login_delay",
        LoginRefusal::SlowedDown => "slowed_down",
        LoginRefusal::Busy => "busy",
        LoginRefusal::Unavailable => "unavailable",
    }
}
