//! `restante export`: the live messages of an account, or of all of a tenant's, into an mbox or a maildir, with a file beside them that
//! keeps order and unique-ids. `restante import` reads both again.

mod maildir;
mod mbox;
mod quote;

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use mail_types::{Address, TenantSlug};
use mailstore::{Exported, ImportSettings, Mailstore, Target};

use crate::import;

/// Everything was written but messages that cannot be read.
const SOME_SKIPPED: u8 = 3;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The configuration file (TOML); every key also as RESTANTE_SECTION__KEY
    #[arg(long, value_name = "FILE", env = "RESTANTE_CONFIG")]
    config: Option<PathBuf>,
    /// The account whose messages are written
    #[arg(long, value_name = "ADDRESS", required_unless_present = "all", conflicts_with = "all")]
    account: Option<String>,
    /// All accounts of a tenant, each below PATH under its address
    #[arg(long, requires = "tenant")]
    all: bool,
    /// Whose accounts
    #[arg(long, value_name = "SLUG", requires = "all")]
    tenant: Option<String>,
    #[arg(long, value_enum)]
    format: Format,
    /// The mbox file, the maildir, or the directory of them
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One file, quoted as mboxrd
    Mbox,
    /// A directory with a file for each message
    Maildir,
}

/// What was written.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Written {
    messages: u64,
    /// Written by an earlier export into the same maildir.
    here: u64,
    skipped: u64,
}

/// Runs an export.
pub(crate) async fn run(arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let exporting = async {
        let (_, store) = import::open(arguments.config.as_deref(), &ImportSettings::default()).await?;
        work(arguments, &store).await
    };
    tokio::select! {
        ended = exporting => ended,
        () = import::signalled() => bail!("stopped"),
    }
}

async fn work(arguments: &ExportArguments, store: &Mailstore) -> anyhow::Result<ExitCode> {
    let mut skipped = 0;
    for (address, target, path) in targets(arguments, store).await? {
        let exported = store.export(target).await.with_context(|| address.clone())?;
        let written = match arguments.format {
            Format::Mbox => mbox::write(exported, &path).await,
            Format::Maildir => maildir::write(exported, &path).await,
        };
        let Written { messages, here, skipped: unreadable } = written.with_context(|| address.clone())?;
        skipped += unreadable;
        println!("{address}: {messages} messages written, {here} were there already, {unreadable} could not be read");
    }
    Ok(if skipped > 0 { ExitCode::from(SOME_SKIPPED) } else { ExitCode::SUCCESS })
}

/// The accounts, and where they go.
async fn targets(arguments: &ExportArguments, store: &Mailstore) -> anyhow::Result<Vec<(String, Target, PathBuf)>> {
    if let Some(account) = &arguments.account {
        let address = Address::parse(account).with_context(|| format!("{account:?}"))?;
        let target = store.account(&address).await?.with_context(|| format!("there is no account {address}"))?;
        return Ok(vec![(address.to_string(), target, arguments.path.clone())]);
    }
    let tenant = arguments.tenant.as_deref().context("--account ADDRESS, or --all --tenant SLUG")?;
    let tenant = TenantSlug::parse(tenant)?;
    let accounts = store.accounts(&tenant).await?.with_context(|| format!("there is no tenant {tenant}"))?;
    std::fs::create_dir_all(&arguments.path).with_context(|| arguments.path.display().to_string())?;
    let place = |(address, target): (String, Target)| {
        let mut name = file_name(&address);
        if arguments.format == Format::Mbox {
            name.push_str(".mbox");
        }
        (address, target, arguments.path.join(name))
    };
    Ok(accounts.into_iter().map(place).collect())
}

/// An address as the name of a file: a slash may stand in one, and names that begin with a dot are hidden.
fn file_name(address: &str) -> String {
    let name = address.replace('%', "%25").replace('/', "%2F");
    name.strip_prefix('.').map_or(name.clone(), |rest| format!("%2E{rest}"))
}

/// The file beside an mbox: a line for each message, its number, unique-id and octets.
pub(crate) fn index_of(mbox: &Path) -> PathBuf {
    let mut name = mbox.file_name().unwrap_or_default().to_owned();
    name.push(".uidlist");
    mbox.with_file_name(name)
}

/// A file that appears under its name when all of it is on the disk.
struct NewFile {
    file: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
}

impl NewFile {
    fn create(path: &Path, partial: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&partial).with_context(|| partial.display().to_string())?;
        Ok(Self { file: BufWriter::with_capacity(256 * 1024, file), partial, path: path.to_owned() })
    }

    fn finish(self) -> anyhow::Result<()> {
        let written = || -> std::io::Result<()> {
            self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&self.partial, &self.path)?;
            sync_directory(&self.path)
        };
        written().with_context(|| self.path.display().to_string())
    }
}

/// Makes names durable: a rename is on the disk when its directory is.
fn sync_directory(of: &Path) -> std::io::Result<()> {
    match of.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Writes a message with LF for CRLF, each piece through `put`. `Ok(false)`: it cannot be read, which is said on standard error, and a
/// part of it may have been written. The error is that of the files.
async fn copy(
    exported: &mut Exported,
    index: usize,
    mut put: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<bool> {
    let name = exported.messages().get(index).map_or_else(String::new, |m| m.unique_id().to_string());
    let unreadable = |error: mailstore::Error| {
        eprintln!("message {} ({name}) could not be read: {error}", index + 1);
        Ok(false)
    };
    let mut reader = match exported.open(index).await {
        None => return Ok(false),
        Some(Err(error)) => return unreadable(error),
        Some(Ok(reader)) => reader,
    };
    let mut text = Vec::new();
    // Every CR of a stored message is one before LF: the last octet of a piece may be one, and LF the first of the next.
    loop {
        match reader.next().await {
            Ok(Some(piece)) => {
                text.clear();
                for part in piece.split(|octet| *octet == b'\r') {
                    text.extend_from_slice(part);
                }
                put(&text)?;
            }
            Ok(None) => return Ok(true),
            Err(error) => return unreadable(error),
        }
    }
}

/// What the index of a message says.
fn line_of_index(out: &mut impl std::io::Write, number: u64, exported: &Exported, index: usize) -> std::io::Result<()> {
    let Some(message) = exported.messages().get(index) else { return Ok(()) };
    writeln!(out, "{number} {} {}", message.unique_id(), message.octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_names_of_files() {
        assert_eq!(file_name("a@b.test"), "a@b.test");
        assert_eq!(file_name("a/b%c@b.test"), "a%2Fb%25c@b.test");
        assert_eq!(file_name("..@b.test"), "%2E.@b.test");
        assert_eq!(index_of(Path::new("/x/a.mbox")), Path::new("/x/a.mbox.uidlist"));
    }
}
