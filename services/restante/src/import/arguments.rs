//! What `restante import` is told.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use mailstore::ImportSettings;

use super::Address as Source;

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The configuration file (TOML); every key also as RESTANTE_SECTION__KEY
    #[arg(long, value_name = "FILE", env = "RESTANTE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// The account that gets the messages
    #[arg(long, value_name = "ADDRESS", required_unless_present = "map", requires = "source", conflicts_with = "map")]
    account: Option<String>,
    /// maildir:PATH, mbox:PATH, or pop3, pop3s, imap or imaps://USER@HOST[:PORT]
    #[arg(value_name = "SOURCE", requires = "account")]
    source: Option<String>,
    /// Many accounts, one after the other: lines of ADDRESS SOURCE [PASSWORD-FILE]
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Where the old server's password is [default: RESTANTE_IMPORT_PASSWORD, or the file that RESTANTE_IMPORT_PASSWORD_FILE names]
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// How the old server made unique-ids: Dovecot's pop3_uidl_format [default: Dovecot's own for its maildirs, none over IMAP]
    #[arg(long, value_name = "FORMAT")]
    pub(super) uidl_format: Option<String>,
    /// X-UIDL in the messages of an mbox is what the old server showed
    #[arg(long)]
    pub(super) x_uidl: bool,
    /// Takes what does not fit into the quota as well
    #[arg(long)]
    over_quota: bool,
    /// Reads no faster than so many octets a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) octets_per_second: Option<u64>,
    /// Leaves messages of more octets out
    #[arg(long, value_name = "N", default_value_t = 50 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..=500_000_000))]
    max_octets: u64,
    /// Octets of messages that are committed together
    #[arg(long, value_name = "N", default_value_t = 16 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..=67_108_864))]
    segment_octets: u64,
    /// Certificates (PEM) by which the old server's is trusted besides those of this machine
    #[arg(long, value_name = "FILE")]
    pub(super) tls_authorities: Option<PathBuf>,
    /// Sends the password without TLS where the old server has none
    #[arg(long)]
    pub(super) clear: bool,
    /// Prints the summary of each account as a line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl ImportArguments {
    pub(super) fn settings(&self) -> ImportSettings {
        ImportSettings {
            segment_octets: self.segment_octets,
            max_message_octets: self.max_octets,
            over_quota: self.over_quota,
            ..ImportSettings::default()
        }
    }
}

/// One account's import.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) account: mail_types::Address,
    pub(super) source: Source,
    /// As it was written.
    pub(super) named: String,
    pub(super) password_file: Option<PathBuf>,
}

impl Job {
    fn parse(account: &str, source: &str, password_file: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self {
            account: mail_types::Address::parse(account).with_context(|| format!("{account:?}"))?,
            source: Source::parse(source)?,
            named: source.to_owned(),
            password_file: password_file.map(PathBuf::from),
        })
    }
}

/// What is to be done, all of it read before anything is begun.
pub(super) fn jobs(arguments: &ImportArguments) -> anyhow::Result<Vec<Job>> {
    if let (Some(account), Some(source)) = (&arguments.account, &arguments.source) {
        return Ok(vec![Job::parse(account, source, None)?]);
    }
    let path = arguments.map.as_ref().context("--account ADDRESS SOURCE, or --map FILE")?;
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse_map(&text).with_context(|| path.display().to_string())
}

/// Lines of ADDRESS SOURCE [PASSWORD-FILE]; empty ones and those that begin with # say nothing.
fn parse_map(text: &str) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        ensure!((2..=3).contains(&words.len()), "line {}: ADDRESS SOURCE [PASSWORD-FILE] is expected", at + 1);
        let mut words = words.into_iter();
        let (account, source) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        jobs.push(Job::parse(account, source, words.next()).with_context(|| format!("line {}", at + 1))?);
    }
    ensure!(!jobs.is_empty(), "there is no line in it");
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_whole_before_anything_begins() {
        let jobs = parse_map("# old server\n\na@a.test maildir:/m/a\n b@a.test  pop3s://b@h  /pw/b \n").unwrap();
        assert_eq!(jobs.len(), 2);
        assert_eq!(jobs[0].source, Source::Maildir("/m/a".into()));
        assert_eq!(jobs[1].password_file.as_deref(), Some("/pw/b".as_ref()));
        for wrong in ["", "#\n", "a@a.test\n", "a@a.test maildir:/m x y\n", "a maildir:/m\n", "a@a.test x:/m\n"] {
            assert!(parse_map(wrong).is_err(), "{wrong:?}");
        }
        assert!(format!("{:#}", parse_map("\na maildir:/m").unwrap_err()).contains("line 2"));
    }
}
