//! A maildir's INBOX: `cur` and `new`, in the order and with the unique-ids that Dovecot's or Courier's files beside them tell.

use std::{
    collections::HashMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use mail_types::{Timestamp, UniqueId};
use mailstore::{Incoming, SourceKey};
use tokio::{fs::File, io::AsyncReadExt as _};
use worker::fetch::{Format, Known};

use super::{
    courier,
    dovecot::{self, Entry},
    source::{Listed, Read, Wishes, refused},
};

/// How compressed files begin (Dovecot's zlib plugin): gzip, bzip2, xz, zstd, LZ4.
const COMPRESSED: [&[u8]; 5] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"Dovecot-LZ4"];

pub(super) struct Maildir {
    root: PathBuf,
    /// Where the listed messages lie, relative to the root.
    files: Vec<String>,
}

/// A file of the maildir.
struct Found {
    /// Relative to the root.
    path: String,
    /// Its name without flags: the same for ever.
    base: String,
    received: Option<Timestamp>,
    octets: u64,
}

/// A message's place in the order: what has a number of its server's, by that; all others after them, by the time in their name.
type Order = (bool, u64, u64, String);

impl Maildir {
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        ensure!(root.join("cur").is_dir(), "{} is no maildir: it has no cur", root.display());
        Ok(Self { root: root.to_owned(), files: Vec::new() })
    }

    pub(super) async fn list(&mut self, wishes: &Wishes) -> anyhow::Result<Vec<Listed>> {
        let (root, wishes) = (self.root.clone(), wishes.clone());
        let listed = tokio::task::spawn_blocking(move || list(&root, &wishes)).await.context("the maildir's files")?;
        let (files, messages) = listed?.into_iter().unzip();
        self.files = files;
        Ok(messages)
    }

    pub(super) async fn read(&self, message: &Listed, into: &mut Incoming) -> Read {
        let path = usize::try_from(message.place).ok().and_then(|at| self.files.get(at)).context("no such message")?;
        let mut file = match File::open(self.root.join(path)).await {
            // Its flags may have changed since it was listed, and it moves from new to cur.
            Err(error) if error.kind() == ErrorKind::NotFound => match self.moved(path) {
                Some(path) => File::open(path).await,
                None => Err(error),
            },
            other => other,
        };
        let file = match &mut file {
            Ok(file) => file,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut buffer = vec![0; 64 * 1024];
        let mut first = true;
        loop {
            let read = match file.read(&mut buffer).await {
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) => return Ok(Err(error.to_string())),
            };
            if read.is_empty() {
                return Ok(Ok(()));
            }
            if first && COMPRESSED.iter().any(|magic| read.starts_with(magic)) {
                return Ok(Err("it is compressed: let its server give it out (pop3:// or imap://)".to_owned()));
            }
            first = false;
            if let Err(error) = into.write(read).await {
                return Ok(Err(refused(error)));
            }
        }
    }

    /// Where a file is now.
    fn moved(&self, path: &str) -> Option<PathBuf> {
        let base = base(path.rsplit('/').next()?);
        let found = files(&self.root).ok()?.into_iter().find(|found| found.base == base)?;
        Some(self.root.join(found.path))
    }
}

/// The name without the flags after the colon.
pub(super) fn base(name: &str) -> &str {
    name.split_once(':').map_or(name, |(base, _)| base)
}

fn list(root: &Path, wishes: &Wishes) -> anyhow::Result<Vec<(String, Listed)>> {
    let found = files(root)?;
    let dovecot = dovecot::read(root)?;
    let courier = if dovecot.is_some() { None } else { courier::read(root)? };
    let of_dovecot = Format::of_dovecot();
    let format = wishes.format.as_ref().unwrap_or(&of_dovecot);
    let mut ordered: Vec<(Order, Found, Option<UniqueId>)> = found
        .into_iter()
        .map(|found| {
            let entry = dovecot.as_ref().and_then(|list| Some((list.uid_validity, list.entries.get(&found.base)?)));
            let (order, unique_id) = match (entry, &courier) {
                (Some((validity, entry)), _) => (
                    (false, entry.pop3_order(), entry.uid.into(), String::new()),
                    dovecot_id(entry, validity, &found, format),
                ),
                (None, Some(courier)) => (by_name(&found.base), courier.get(&found.base).cloned()),
                (None, None) => (by_name(&found.base), None),
            };
            (order, found, unique_id)
        })
        .collect();
    ordered.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let listed = ordered.into_iter().enumerate().map(|(at, (_, found, unique_id))| {
        let listed = Listed {
            key: SourceKey::new("maildir", &[found.base.as_bytes()]),
            unique_id,
            received: found.received,
            name: found.path.clone(),
            place: at as u64,
            octets: found.octets,
        };
        (found.path, listed)
    });
    Ok(listed.collect())
}

/// What Dovecot shows as its unique-id: one that it keeps for it, or one made of its numbers.
fn dovecot_id(entry: &Entry, uid_validity: u32, found: &Found, format: &Format) -> Option<UniqueId> {
    if let Some(kept) = &entry.unique_id {
        return UniqueId::parse(kept).ok();
    }
    let guid = entry.guid.as_deref().unwrap_or(&found.base);
    format.of(Known { uid: entry.uid, uid_validity, file: Some(&found.base), guid: Some(guid) })
}

/// By the time that the name begins with, then by name: as Courier orders, and as a server takes new files in.
fn by_name(base: &str) -> Order {
    let digits = base.find(|c: char| !c.is_ascii_digit()).map_or(base, |end| base.get(..end).unwrap_or_default());
    (true, digits.parse().unwrap_or(0), 0, base.to_owned())
}

fn files(root: &Path) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for directory in ["cur", "new"] {
        let entries = match std::fs::read_dir(root.join(directory)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.with_context(|| root.join(directory).display().to_string())?,
        };
        for entry in entries {
            let entry = entry.with_context(|| root.join(directory).display().to_string())?;
            // A name that is not UTF-8 is no name that a server gave.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Between the listing and here it may have been moved or removed.
            let Ok(metadata) = entry.metadata() else { continue };
            if name.starts_with('.') || metadata.is_dir() {
                continue;
            }
            let modified = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            found.push(Found {
                path: format!("{directory}/{name}"),
                base: base(&name).to_owned(),
                received: modified.and_then(|at| u64::try_from(at.as_millis()).ok()).map(Timestamp::from_unix_ms),
                octets: metadata.len(),
            });
        }
    }
    // One that moved from new to cur between the two listings stands in both.
    let mut places: HashMap<String, usize> = HashMap::new();
    for (at, file) in found.iter().enumerate() {
        places.entry(file.base.clone()).or_insert(at);
    }
    let mut at = 0;
    found.retain(|file| {
        let first = places.get(&file.base) == Some(&at);
        at += 1;
        first
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn maildir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["cur", "new", "tmp"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        for (name, text) in files {
            fs::write(root.path().join(name), text).unwrap();
        }
        root
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], format: Option<&str>, expected: &[(&str, Option<&str>)]) {
        let root = maildir(files);
        let wishes = Wishes { format: format.map(|f| Format::parse(f).unwrap()), x_uidl: false };
        let listed = list(root.path(), &wishes).unwrap();
        let found: Vec<(&str, Option<&str>)> =
            listed.iter().map(|(path, m)| (path.as_str(), m.unique_id.as_ref().map(UniqueId::as_str))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn files_are_in_the_order_of_their_names_where_nothing_else_is_known() {
        check(
            &[("cur/20.b:2,S", ""), ("new/9.a", ""), ("cur/20.a:2,", ""), ("cur/.x", ""), ("tmp/1.y", "")],
            None,
            &[("new/9.a", None), ("cur/20.a:2,", None), ("cur/20.b:2,S", None)],
        );
    }

    #[test]
    fn dovecot_tells_order_and_unique_ids() {
        let list = "3 V1593840180 N9 G0123\n7 W3 :2.b\n3 P123-x Gabc :9.a,S=3\nbroken\n5 :gone\n";
        let files = [("dovecot-uidlist", list), ("cur/2.b:2,S", ""), ("new/1.c", ""), ("cur/9.a,S=3:2,", "")];
        check(
            &files,
            None,
            &[("cur/9.a,S=3:2,", Some("123-x")), ("cur/2.b:2,S", Some("000000075f001234")), ("new/1.c", None)],
        );
        check(
            &files,
            Some("%u-%f"),
            &[("cur/9.a,S=3:2,", Some("123-x")), ("cur/2.b:2,S", Some("7-2.b")), ("new/1.c", None)],
        );
    }

    #[test]
    fn dovecots_own_order_for_pop3_comes_first() {
        let list = "3 V1 N9\n1 :1.a\n2 O7 :2.b\n3 O4 :3.c\n";
        let files = [("dovecot-uidlist", list), ("cur/1.a:2,", ""), ("cur/2.b:2,", ""), ("cur/3.c:2,", "")];
        let id = |n: u32| format!("{n:08x}00000001");
        check(
            &files,
            None,
            &[("cur/3.c:2,", Some(&id(3))), ("cur/2.b:2,", Some(&id(2))), ("cur/1.a:2,", Some(&id(1)))],
        );
    }

    #[test]
    fn courier_tells_unique_ids() {
        let list = "/3 9 1593840180\n2.b 12 7:1593840180:0\n1.a:2,S 3 0:0\n3.c 1 4:0\nx\n";
        let files =
            [("courierpop3dsizelist", list), ("cur/1.a:2,S", ""), ("cur/2.b:2,", ""), ("cur/3.c", ""), ("new/4.d", "")];
        let expected = [
            ("cur/1.a:2,S", Some("1.a")),
            ("cur/2.b:2,", Some("UID7-1593840180")),
            ("cur/3.c", Some("UID4")),
            ("new/4.d", None),
        ];
        check(&files, None, &expected);
    }
}
