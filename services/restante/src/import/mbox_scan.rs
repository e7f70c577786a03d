//! Finding the messages of an mbox, in bounded memory: octets in, places out.

use anyhow::ensure;
use mail_types::Timestamp;
use sha2::{Digest as _, Sha256};

/// Octets of a line that are looked at: a `From ` line or a header that matters is shorter.
const HEAD: usize = 512;
/// Headers that servers rewrite in the file: they make it no other message.
const REWRITTEN: [&str; 7] =
    ["status:", "x-status:", "x-keywords:", "x-uid:", "x-imap:", "x-imapbase:", "content-length:"];

/// A message in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its first octet, after the `From ` line.
    pub(super) begin: u64,
    /// Its octets, without the empty line after it.
    pub(super) len: u64,
    /// The date of its `From ` line.
    pub(super) received: Option<Timestamp>,
    pub(super) x_uidl: Option<String>,
    pub(super) digest: [u8; 32],
}

/// Looks through a file.
pub(super) struct Scan {
    found: Vec<Found>,
    /// Octets before the current line, and in it so far.
    at: u64,
    line: u64,
    /// The beginning of the current line, while that is all of it.
    head: Vec<u8>,
    long: bool,
    /// The line before was empty, or there was none.
    after_empty: bool,
    current: Option<Current>,
}

/// The message that the line belongs to.
struct Current {
    begin: u64,
    received: Option<Timestamp>,
    x_uidl: Option<String>,
    sha256: Sha256,
    in_header: bool,
    /// A header that does not count goes on in lines that begin with a blank.
    skipping: bool,
    /// An empty line that belongs to the message only if another one follows: where it begins.
    held_back: Option<u64>,
    /// Headers of the message that mail programs put first for notes of their own.
    x_imap: bool,
    folder_data: bool,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self { found: Vec::new(), at: 0, line: 0, head: Vec::new(), long: false, after_empty: true, current: None }
    }

    pub(super) fn feed(&mut self, mut octets: &[u8]) -> anyhow::Result<()> {
        while let Some(end) = memchr::memchr(b'\n', octets) {
            let (text, rest) = octets.split_at(end);
            self.text(text)?;
            self.end_line(1)?;
            octets = rest.get(1..).unwrap_or_default();
        }
        self.text(octets)
    }

    /// The messages. An empty file has none.
    pub(super) fn finish(mut self) -> anyhow::Result<Vec<Found>> {
        if self.line > 0 {
            self.end_line(0)?;
        }
        self.end_message();
        Ok(self.found)
    }

    fn text(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.line += text.len() as u64;
        if !self.long && self.head.len() + text.len() <= HEAD {
            self.head.extend_from_slice(text);
            return Ok(());
        }
        if !self.long {
            ensure!(self.current.is_some(), "not an mbox: it does not begin with a From line");
            // Too long for anything but content.
            self.long = true;
            let begun = std::mem::take(&mut self.head);
            self.content(&begun);
        }
        self.content(text);
        Ok(())
    }

    fn end_line(&mut self, line_end: u64) -> anyhow::Result<()> {
        let (begin, next) = (self.at, self.at + self.line + line_end);
        let (head, long) = (std::mem::take(&mut self.head), std::mem::take(&mut self.long));
        (self.at, self.line) = (next, 0);
        if long {
            self.content(b"\n");
            self.after_empty = false;
            return Ok(());
        }
        let line = head.strip_suffix(b"\r").unwrap_or(&head);
        let from = if self.after_empty { from_line(line) } else { None };
        self.after_empty = line.is_empty();
        if let Some(received) = from {
            self.end_message();
            self.current = Some(Current {
                begin: next,
                received,
                x_uidl: None,
                sha256: Sha256::new(),
                in_header: true,
                skipping: false,
                held_back: None,
                x_imap: false,
                folder_data: false,
            });
            return Ok(());
        }
        let Some(current) = &mut self.current else {
            ensure!(line.is_empty(), "not an mbox: it does not begin with a From line");
            return Ok(());
        };
        if line.is_empty() {
            if current.held_back.replace(begin).is_some() {
                current.sha256.update(b"\n");
            }
            current.in_header = false;
            return Ok(());
        }
        if current.counts(line) {
            self.content(line);
            self.content(b"\n");
        }
        Ok(())
    }

    /// Octets of the current message that count for its digest; no CR does.
    fn content(&mut self, text: &[u8]) {
        let Some(current) = &mut self.current else { return };
        if current.held_back.take().is_some() {
            current.sha256.update(b"\n");
        }
        for part in text.split(|octet| *octet == b'\r') {
            current.sha256.update(part);
        }
    }

    fn end_message(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.x_imap && current.folder_data {
            return;
        }
        self.found.push(Found {
            begin: current.begin,
            len: current.held_back.unwrap_or(self.end_of_text(current.begin)).saturating_sub(current.begin),
            received: current.received,
            x_uidl: current.x_uidl,
            digest: current.sha256.finalize().into(),
        });
    }

    /// Where a message ends that no empty line follows: at the end of the file, or before its first line.
    fn end_of_text(&self, begin: u64) -> u64 {
        self.at.max(begin)
    }
}

impl Current {
    /// Looks at a line of the header; answers whether it counts for the digest.
    fn counts(&mut self, line: &[u8]) -> bool {
        if !self.in_header {
            return true;
        }
        if line.first().is_some_and(|octet| b" \t".contains(octet)) {
            return !self.skipping;
        }
        let lower = String::from_utf8_lossy(line).to_ascii_lowercase();
        self.skipping = REWRITTEN.iter().any(|name| lower.starts_with(name));
        self.x_imap |= lower.starts_with("x-imap:");
        self.folder_data |= lower.starts_with("subject: don't delete this message -- folder internal data");
        if lower.starts_with("x-uidl:") && self.x_uidl.is_none() {
            let value = String::from_utf8_lossy(line.get("x-uidl:".len()..).unwrap_or_default()).trim().to_owned();
            self.x_uidl = Some(value);
        }
        !self.skipping
    }
}

/// Whether this is a `From ` line: it has a weekday, a month, a day, a time and a year. The date, as far as it is one.
fn from_line(line: &[u8]) -> Option<Option<Timestamp>> {
    let rest = std::str::from_utf8(line.strip_prefix(b"From ")?).ok()?;
    let words: Vec<&str> = rest.split_ascii_whitespace().map(|word| word.trim_end_matches(',')).collect();
    let one_of = |names: &str, word: &str| names.split(' ').position(|name| name.eq_ignore_ascii_case(word));
    let weekday = words.iter().rposition(|word| one_of("Mon Tue Wed Thu Fri Sat Sun", word).is_some())?;
    let date = words.get(weekday + 1..)?;
    let at = date.iter().take(2).position(|word| one_of(MONTHS, word).is_some())?;
    let month = one_of(MONTHS, date.get(at)?)? + 1;
    // `Jan 5` as in asctime, or `5 Jan` as in RFC 5322.
    let day: u32 = date.get(if at == 0 { 1 } else { 0 })?.parse().ok()?;
    let later = date.get(2..)?;
    let time = later.iter().find(|word| word.contains(':'))?;
    let year: i32 = later.iter().filter(|w| w.len() == 4).find_map(|w| w.parse().ok()).filter(|y| *y >= 1900)?;
    let mut numbers = time.split(':').map(|number| number.parse::<u32>().ok());
    let (hour, minute) = (numbers.next()??, numbers.next()??);
    let second = numbers.next().flatten().unwrap_or(0);
    let timestamp = || {
        let date = chrono::NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, day)?;
        let at = date.and_hms_opt(hour, minute, second.min(59))?.and_utc();
        u64::try_from(at.timestamp_millis()).ok().map(Timestamp::from_unix_ms)
    };
    Some(timestamp())
}

const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str, chunk: usize) -> anyhow::Result<Vec<Found>> {
        let mut scan = Scan::new();
        for piece in text.as_bytes().chunks(chunk.max(1)) {
            scan.feed(piece)?;
        }
        scan.finish()
    }

    /// The messages, whole and octet by octet.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        for chunk in [1, 7, text.len()] {
            let found = scan(text, chunk).unwrap();
            let texts: Vec<&str> = found.iter().map(|f| &text[f.begin as usize..(f.begin + f.len) as usize]).collect();
            assert_eq!(texts, expected, "in chunks of {chunk}");
        }
    }

    const FROM: &str = "From a@b.test Thu Nov  5 10:30:07 2026\n";

    #[test]
    fn messages_begin_at_from_lines_with_a_date_after_an_empty_line() {
        check("", &[]);
        check(&format!("{FROM}A: 1\n\nx\n\n{FROM}B: 2\n\n"), &["A: 1\n\nx\n", "B: 2\n"]);
        check(&format!("{FROM}\n\n{FROM}\n\n\n"), &["\n", "\n\n"]);
        check(&format!("{FROM}\n{FROM}\n"), &["", ""]);
        check(
            &format!("{FROM}a\n{FROM}\nFrom now on\n\nFrom 5 to 10:30 in 2026\n\n>From x\n"),
            &[&format!("a\n{FROM}\nFrom now on\n\nFrom 5 to 10:30 in 2026\n\n>From x\n")],
        );
        check(&format!("\n{FROM}a"), &["a"]);
        check(&format!("{FROM}a\r\n\r\n{FROM}b\r\n\r\n"), &["a\r\n", "b\r\n"]);
        let long = "x".repeat(3 * HEAD);
        check(&format!("{FROM}{long}\n\n{long}\n\n{FROM}{long}"), &[&format!("{long}\n\n{long}\n"), &long]);
        assert!(scan("Subject: x\n", 100).is_err());
        assert!(scan(&long, 100).is_err());
    }

    #[test]
    fn dates_are_those_of_many_programs() {
        let date = |text: &str| from_line(text.as_bytes()).map(|at| at.map_or(0, Timestamp::unix_seconds));
        assert_eq!(date("From a Thu Jan  1 00:00:01 1970"), Some(1));
        assert_eq!(date("From - Thu Jan 1 00:00:01 1970"), Some(1));
        assert_eq!(date("From Thu (sun) Thu Jan  1 00:00 +0100 1970"), Some(0));
        assert_eq!(date("From a  Thu Jan  1 00:00:02 CET 1970 remote from b"), Some(2));
        assert_eq!(date("From a Thu, 1 Jan 1970 00:00:03 GMT"), Some(3));
        assert_eq!(date("From a Thu Feb 31 00:00:03 2026"), Some(0), "a From line, and no date");
        for text in [
            "From a",
            "From Thu Jan",
            "From a Jan 1 00:00:01 1970",
            "from a Thu Jan 1 00:00:01 1970",
            "From a Thu x 1 00:00:01 1970",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn what_servers_rewrite_makes_no_other_message() {
        let digest = |text: &str| scan(&format!("{FROM}{text}"), 5).unwrap().remove(0).digest;
        let plain = digest("A: 1\nB: 2\n\nStatus: x\n");
        assert_eq!(
            digest("A: 1\r\nStatus: RO\r\nX-Keywords: a\r\n\tb\r\nB: 2\r\nX-UID: 7\r\n\r\nStatus: x\r\n\r\n"),
            plain
        );
        assert_ne!(digest("A: 1\nB: 2\n\nStatus: y\n"), plain);
        assert_ne!(digest("A: 1\n b\nB: 2\n\nStatus: x\n"), plain);
        assert_ne!(digest("A: 1\nB: 2\n\n\nStatus: x\n"), plain);
    }

    #[test]
    fn notes_of_mail_programs_are_no_messages_and_x_uidl_is_found() {
        let text = format!(
            "{FROM}Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n{FROM}X-UIDL:  ab \n\nX-UIDL: c\n"
        );
        let found = scan(&text, 9).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].x_uidl.as_deref(), Some("ab"));
    }
}
