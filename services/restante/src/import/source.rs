//! Where messages come from: what all sources have in common.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use mail_types::{Timestamp, UniqueId};
use mailstore::{Incoming, IncomingError, SourceKey};

use super::{imap::Imap, maildir::Maildir, mbox::Mbox, pop3::Pop3, remote::Server, unique_id::Format};

/// A message as its source lists it.
#[derive(Debug)]
pub(super) struct Listed {
    /// What a person calls it.
    pub(super) name: String,
    pub(super) key: SourceKey,
    /// The old server's, where it is known and can be one.
    pub(super) unique_id: Option<UniqueId>,
    /// When the old server received it.
    pub(super) received: Option<Timestamp>,
    /// What the source finds it by.
    pub(super) place: u64,
    /// About how many it has, 0 where that is not known.
    pub(super) octets: u64,
}

/// Why a message cannot be taken. The others can.
pub(super) type Unreadable = String;

/// What reading a message came to. The outer error is the source's: nothing more can be read from it.
pub(super) type Read = anyhow::Result<Result<(), Unreadable>>;

/// What the command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Maildir(PathBuf),
    Mbox(PathBuf),
    Pop3(Server),
    Imap(Server),
}

impl Address {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", ""));
        let server = |port, tls| {
            let rest = rest.strip_prefix("//").with_context(|| format!("{scheme}://USER@HOST[:PORT] is expected"))?;
            Server::parse(rest, port, tls)
        };
        Ok(match scheme {
            "maildir" | "mbox" if rest.is_empty() => bail!("{scheme}: needs a path"),
            "maildir" => Self::Maildir(rest.into()),
            "mbox" => Self::Mbox(rest.into()),
            "pop3" => Self::Pop3(server(110, false)?),
            "pop3s" => Self::Pop3(server(995, true)?),
            "imap" => Self::Imap(server(143, false)?),
            "imaps" => Self::Imap(server(993, true)?),
            _ => bail!("a source is maildir:PATH, mbox:PATH, or pop3, pop3s, imap or imaps://USER@HOST[:PORT]"),
        })
    }

    /// Whether a password is needed.
    pub(super) const fn is_remote(&self) -> bool {
        matches!(self, Self::Pop3(_) | Self::Imap(_))
    }
}

/// What is said about all sources.
#[derive(Debug, Clone)]
pub(super) struct Wishes {
    /// How the old server made its unique-ids from UIDs; `None` where that is not said.
    pub(super) format: Option<Format>,
    /// Whether X-UIDL in an mbox is the message's unique-id.
    pub(super) x_uidl: bool,
}

/// An open source.
pub(super) enum Source {
    Maildir(Maildir),
    Mbox(Mbox),
    Pop3(Box<Pop3>),
    Imap(Box<Imap>),
}

impl Source {
    /// Its messages, in the order of the old server.
    pub(super) async fn list(&mut self, wishes: &Wishes) -> anyhow::Result<Vec<Listed>> {
        match self {
            Self::Maildir(maildir) => maildir.list(wishes).await,
            Self::Mbox(mbox) => mbox.list(wishes).await,
            Self::Pop3(pop3) => pop3.list().await,
            Self::Imap(imap) => imap.list(wishes).await,
        }
    }

    /// Reads a message of `wanted`, which are asked for one after the other: a source may be asked for the next ones already.
    pub(super) async fn read(&mut self, wanted: &[Listed], at: usize, into: &mut Incoming) -> Read {
        let Some(message) = wanted.get(at) else { bail!("there is no message {at}") };
        match self {
            Self::Maildir(maildir) => maildir.read(message, into).await,
            Self::Mbox(mbox) => mbox.read(message, into).await,
            Self::Pop3(pop3) => pop3.read(wanted, at, into).await,
            Self::Imap(imap) => imap.read(wanted, at, into).await,
        }
    }

    /// Takes leave; nothing was changed there.
    pub(super) async fn close(self) {
        match self {
            Self::Maildir(_) | Self::Mbox(_) => {}
            Self::Pop3(pop3) => pop3.close().await,
            Self::Imap(imap) => imap.close().await,
        }
    }
}

/// Why the mailstore does not take a message.
pub(super) fn refused(error: IncomingError) -> Unreadable {
    match error {
        IncomingError::TooLarge => "it has more octets than --max-octets allows".to_owned(),
        IncomingError::OutOfMemory => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_paths_or_servers() {
        assert_eq!(Address::parse("maildir:/a:b").unwrap(), Address::Maildir("/a:b".into()));
        assert_eq!(Address::parse("mbox:x").unwrap(), Address::Mbox("x".into()));
        assert!(
            matches!(Address::parse("imaps://a@h").unwrap(), Address::Imap(server) if server.port == 993 && server.tls)
        );
        for wrong in ["", "x", "maildir:", "pop3:a@h", "ftp://a@h", "pop3://h", "imap://a@"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
