//! Where messages come from: what all sources have in common.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use mailstore::Incoming;
use worker::fetch::{Format, Imap, Pop3, Server};

pub(super) use worker::fetch::{Listed, Read, Unreadable, refused};

use super::{maildir::Maildir, mbox::Mbox};

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
            Self::Imap(imap) => imap.list(wishes.format.as_ref()).await,
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
