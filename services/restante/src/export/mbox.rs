//! Into an mbox file (RFC 4155, quoted as mboxrd, lines ending in LF).

use std::{io::Write as _, path::Path};

use anyhow::{Context as _, ensure};
use mail_types::Timestamp;
use mailstore::Exported;

use super::{NewFile, Written, copy, index_of, line_of_index, quote::Quoter};

/// Octets of a message's beginning in which its Return-Path is looked for.
const FIRST_LINE: usize = 1200;

pub(super) async fn write(mut exported: Exported, path: &Path) -> anyhow::Result<Written> {
    ensure!(!path.exists(), "{} is there already", path.display());
    let index_path = index_of(path);
    let mut mbox = NewFile::create(path, path.with_added_extension("partial"))?;
    let mut index = NewFile::create(&index_path, index_path.with_added_extension("partial"))?;
    let mut written = Written::default();
    let what = || path.display().to_string();
    for at in 0..exported.messages().len() {
        mbox.file.flush().with_context(what)?;
        let begin = mbox.file.get_ref().metadata().with_context(what)?.len();
        let date = asctime(exported.received_at(at).unwrap_or(Timestamp::from_unix_ms(0)));
        let mut message = Message { file: &mut mbox.file, date, begun: Some(Vec::new()), quoter: Quoter::new() };
        let whole = copy(&mut exported, at, |text| message.text(text)).await.with_context(what)?;
        message.end().with_context(what)?;
        if !whole {
            written.skipped += 1;
            take_back(&mut mbox, begin).with_context(what)?;
            continue;
        }
        written.messages += 1;
        line_of_index(&mut index.file, written.messages, &exported, at).with_context(what)?;
    }
    index.finish()?;
    mbox.finish()?;
    Ok(written)
}

/// What was written of a message that turned out to be damaged.
fn take_back(mbox: &mut NewFile, begin: u64) -> std::io::Result<()> {
    use std::io::Seek as _;
    mbox.file.flush()?;
    mbox.file.get_ref().set_len(begin)?;
    mbox.file.seek(std::io::SeekFrom::Start(begin)).map(drop)
}

/// A message on its way into the file.
struct Message<'a, W> {
    file: &'a mut W,
    date: String,
    /// Its beginning, until its first line is known.
    begun: Option<Vec<u8>>,
    quoter: Quoter,
}

impl<W: std::io::Write> Message<'_, W> {
    fn text(&mut self, text: &[u8]) -> std::io::Result<()> {
        let Some(begun) = &mut self.begun else { return self.quoter.feed(text, self.file) };
        begun.extend_from_slice(text);
        if begun.len() >= FIRST_LINE || begun.contains(&b'\n') { self.begin() } else { Ok(()) }
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let Some(begun) = self.begun.take() else { return Ok(()) };
        let sender = sender(&begun).unwrap_or_else(|| "MAILER-DAEMON".to_owned());
        writeln!(self.file, "From {sender} {}", self.date)?;
        self.quoter.feed(&begun, self.file)
    }

    fn end(mut self) -> std::io::Result<()> {
        self.begin()?;
        self.quoter.finish(self.file)?;
        // The empty line that parts messages.
        self.file.write_all(b"\n")
    }
}

/// The envelope's sender, where the first line tells it.
fn sender(begun: &[u8]) -> Option<String> {
    let line = begun.split(|octet| *octet == b'\n').next()?;
    let path = std::str::from_utf8(line.strip_prefix(b"Return-Path: <")?).ok()?.strip_suffix('>')?;
    (!path.is_empty() && !path.contains(|c: char| c.is_whitespace() || c.is_control())).then(|| path.to_owned())
}

/// `Thu Nov  5 10:30:07 2026`, UTC.
fn asctime(at: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_millis(i64::try_from(at.unix_ms()).unwrap_or(0)).unwrap_or_default();
    at.format("%a %b %e %H:%M:%S %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_begin_with_their_sender_and_date() {
        let text = |pieces: &[&str]| {
            let mut out = Vec::new();
            let date = asctime(Timestamp::from_unix_ms(1_793_874_607_000));
            let mut message = Message { file: &mut out, date, begun: Some(Vec::new()), quoter: Quoter::new() };
            pieces.iter().for_each(|piece| message.text(piece.as_bytes()).unwrap());
            message.end().unwrap();
            String::from_utf8(out).unwrap()
        };
        let from = |sender: &str| format!("From {sender} Thu Nov  5 10:30:07 2026\n");
        assert_eq!(text(&["Return-", "Path: <a@b.test>\nx\n"]), from("a@b.test") + "Return-Path: <a@b.test>\nx\n\n");
        assert_eq!(text(&["Return-Path: <>\n", "From x\n"]), from("MAILER-DAEMON") + "Return-Path: <>\n>From x\n\n");
        assert_eq!(text(&["\n"]), from("MAILER-DAEMON") + "\n\n");
        assert_eq!(text(&["Return-Path: <a b@c>\n"]), from("MAILER-DAEMON") + "Return-Path: <a b@c>\n\n");
        let long = "x".repeat(2 * FIRST_LINE);
        assert_eq!(text(&[&long, "\n"]), from("MAILER-DAEMON") + &long + "\n\n");
    }
}
