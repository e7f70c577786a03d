//! Into a maildir, lines ending in LF. A file's name is made of the message's own id, so an export that was stopped goes on when it
//! is run again, and its date is when the message was received. `dovecot-uidlist` beside them keeps order and unique-ids: Dovecot
//! takes them from there, and so does `restante import`.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context as _;
use mail_types::{Clock as _, SystemClock, Timestamp};
use mailstore::Exported;

use super::{NewFile, Written, copy};

pub(super) async fn write(mut exported: Exported, path: &Path) -> anyhow::Result<Written> {
    for directory in ["tmp", "new", "cur"] {
        let directory = path.join(directory);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    let here = names(path)?;
    let mut written = Written::default();
    let mut uidlist = NewFile::create(&path.join("dovecot-uidlist"), path.join("tmp/dovecot-uidlist"))?;
    let validity = u32::try_from(SystemClock.now().unix_seconds()).unwrap_or(u32::MAX);
    let next = exported.messages().len() + 1;
    writeln!(uidlist.file, "3 V{validity} N{next}").context("dovecot-uidlist")?;
    for at in 0..exported.messages().len() {
        let Some(message) = exported.messages().get(at) else { break };
        let received = exported.received_at(at).unwrap_or(Timestamp::from_unix_ms(0));
        let (unique_id, octets) = (message.unique_id(), message.octets);
        let base = format!("{}.{}.restante", received.unix_seconds(), message.name());
        let name = match here.get(&base) {
            Some(name) => {
                written.here += 1;
                name.clone()
            }
            None => match file(&mut exported, at, path, &base, received).await? {
                Some(size) => {
                    written.messages += 1;
                    let name = format!("{base},S={size},W={octets}");
                    let (from, to) = (path.join("tmp").join(&base), path.join("new").join(&name));
                    fs::rename(&from, &to).with_context(|| to.display().to_string())?;
                    name
                }
                None => {
                    written.skipped += 1;
                    continue;
                }
            },
        };
        writeln!(uidlist.file, "{} W{octets} P{unique_id} :{name}", at + 1).context("dovecot-uidlist")?;
    }
    uidlist.finish()?;
    let new = path.join("new");
    File::open(&new).and_then(|new| new.sync_all()).with_context(|| new.display().to_string())?;
    Ok(written)
}

/// The files that an earlier export wrote, by their names up to the comma.
fn names(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let mut names = HashMap::new();
    for directory in ["new", "cur"] {
        let directory = path.join(directory);
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let name = entry.with_context(|| directory.display().to_string())?.file_name();
            let Some(name) = name.to_str().map(|name| name.split_once(':').map_or(name, |(base, _)| base)) else {
                continue;
            };
            if let Some((base, _)) = name.split_once(',') {
                names.insert(base.to_owned(), name.to_owned());
            }
        }
    }
    Ok(names)
}

/// Writes a message below `tmp`, durably; answers how many octets its file has, or `None` if it cannot be read.
async fn file(
    exported: &mut Exported,
    at: usize,
    path: &Path,
    base: &str,
    received: Timestamp,
) -> anyhow::Result<Option<u64>> {
    let path = path.join("tmp").join(base);
    let what = || path.display().to_string();
    let mut file = File::create(&path).with_context(what)?;
    let mut size = 0;
    let whole = copy(exported, at, |text| {
        size += text.len() as u64;
        file.write_all(text)
    });
    if !whole.await.with_context(what)? {
        fs::remove_file(&path).with_context(what)?;
        return Ok(None);
    }
    file.set_modified(UNIX_EPOCH + Duration::from_millis(received.unix_ms())).with_context(what)?;
    file.sync_all().with_context(what)?;
    Ok(Some(size))
}
