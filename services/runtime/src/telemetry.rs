//! Logs: one line of JSON (or of text, for people) for each event, on standard error.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// A line of text, for people.
    Text,
}

/// Begins to log. `RESTANTE_LOG` chooses what (`info` if not set; `debug`, `pop3d=trace,info`, …). A second call does
/// nothing.
pub fn init(format: Format) {
    let filter =
        EnvFilter::try_from_env("RESTANTE_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx::postgres::notice=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let already_initialised = match format {
        Format::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    drop(already_initialised);
}
