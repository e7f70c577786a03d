//! An mbox file (RFC 4155). A message begins at a `From ` line that holds a date and stands at the file's beginning or after an
//! empty line; `>From `, with any number of `>`, loses one of them (mboxrd). Content-Length is not believed.
//!
//! The file is looked through once for its messages, which are then read from their places. It must not change meanwhile.
//!
//! Messages have no names in an mbox: one is known by the SHA-256 of its octets, and by how many like it stand before it. Line ends
//! and the headers that servers rewrite in place (Status and its like) do not count for that.

use std::{
    collections::HashMap,
    fs::Metadata,
    io::{Read as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use mail_types::UniqueId;
use mailstore::{Incoming, SourceKey};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use super::{
    mbox_scan::{Found, Scan},
    source::{Listed, Read, Wishes, refused},
    unquote::Unquoter,
};

pub(super) struct Mbox {
    path: PathBuf,
    /// Which file this is, and how it stood when it was looked through.
    stands: Option<Stand>,
    /// Where the messages are: their first octets, and how many.
    places: Vec<(u64, u64)>,
}

type Stand = (u64, u64, u64, i64, i64);

impl Mbox {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        ensure!(path.is_file(), "{} is no file", path.display());
        Ok(Self { path: path.to_owned(), stands: None, places: Vec::new() })
    }

    pub(super) async fn list(&mut self, wishes: &Wishes) -> anyhow::Result<Vec<Listed>> {
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || look_through(&path)).await.context("the file")?;
        let (stands, found) = looked.with_context(|| self.path.display().to_string())?;
        let known = index(&self.path, found.len())?;
        self.stands = Some(stands);
        self.places = found.iter().map(|message| (message.begin, message.len)).collect();
        let mut alike: HashMap<[u8; 32], u64> = HashMap::new();
        let listed = found.into_iter().enumerate().map(|(at, message)| {
            let before = alike.entry(message.digest).or_default();
            let key = SourceKey::new("mbox", &[&message.digest, &before.to_le_bytes()]);
            *before += 1;
            let from_header = message.x_uidl.filter(|_| wishes.x_uidl);
            Listed {
                name: format!("message {} at octet {}", at + 1, message.begin),
                key,
                unique_id: known.get(at).cloned().or_else(|| from_header.and_then(|id| UniqueId::parse(&id).ok())),
                received: message.received,
                place: at as u64,
                octets: message.len,
            }
        });
        Ok(listed.collect())
    }

    pub(super) async fn read(&self, message: &Listed, into: &mut Incoming) -> Read {
        let place =
            usize::try_from(message.place).ok().and_then(|at| self.places.get(at)).context("no such message")?;
        let what = || self.path.display().to_string();
        let mut file = File::open(&self.path).await.with_context(what)?;
        let stands = stand(&file.metadata().await.with_context(what)?);
        ensure!(Some(stands) == self.stands, "{} has changed: run the import again", self.path.display());
        file.seek(SeekFrom::Start(place.0)).await.with_context(what)?;
        let mut file = file.take(place.1);
        let mut buffer = vec![0; 64 * 1024];
        let (mut unquoter, mut text) = (Unquoter::new(), Vec::new());
        loop {
            let read = match file.read(&mut buffer).await {
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) => return Ok(Err(error.to_string())),
            };
            if read.is_empty() {
                unquoter.finish(&mut text);
            } else {
                unquoter.feed(read, &mut text);
            }
            if let Err(error) = into.write(&text).await {
                return Ok(Err(refused(error)));
            }
            if read.is_empty() {
                return Ok(Ok(()));
            }
            text.clear();
        }
    }
}

fn stand(metadata: &Metadata) -> Stand {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn look_through(path: &Path) -> anyhow::Result<(Stand, Vec<Found>)> {
    let mut file = std::fs::File::open(path)?;
    let stands = stand(&file.metadata()?);
    let mut scan = Scan::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        scan.feed(buffer.get(..read).unwrap_or_default())?;
    }
    Ok((stands, scan.finish()?))
}

/// The unique-ids that `restante export` wrote beside the file, in the order of the messages; none without such a file.
fn index(path: &Path, messages: usize) -> anyhow::Result<Vec<UniqueId>> {
    let path = crate::export::index_of(path);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| path.display().to_string())?,
    };
    let what = || format!("{} does not fit to the file beside it", path.display());
    let ids: Vec<UniqueId> = text
        .lines()
        .map(|line| UniqueId::parse(line.split(' ').nth(1).unwrap_or_default()).with_context(what))
        .collect::<Result<_, _>>()?;
    ensure!(ids.len() == messages, "{}: {} unique-ids, {messages} messages", what(), ids.len());
    Ok(ids)
}
