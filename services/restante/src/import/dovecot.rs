//! `dovecot-uidlist`, as Dovecot keeps it beside a maildir's `cur`.
//!
//! ```text
//! 3 V1593840180 N9 G0123…          version 3: UIDVALIDITY, next UID, guid of the mailbox
//! 7 W123 Pold-id O4 :1592.M1.host  UID, fields (W and S octets, P unique-id kept for POP3, O order kept for POP3, G guid), file
//! 1 1593840180 9                   version 1: UIDVALIDITY, next UID
//! 7 1592.M1.host                   UID, file
//! ```

use std::{collections::HashMap, io::ErrorKind, path::Path};

use anyhow::Context as _;

use super::maildir::base;

/// The file.
#[derive(Debug)]
pub(super) struct UidList {
    pub(super) uid_validity: u32,
    /// By the file's name without flags.
    pub(super) entries: HashMap<String, Entry>,
}

/// A message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) uid: u32,
    /// Another server's, from which Dovecot took over.
    pub(super) unique_id: Option<String>,
    pub(super) guid: Option<String>,
    order: Option<u64>,
}

impl Entry {
    /// Its place among POP3's messages: those with a place of their own come first.
    pub(super) fn pop3_order(&self) -> u64 {
        self.order.unwrap_or(u64::MAX)
    }
}

/// Reads it, if there is one.
pub(super) fn read(maildir: &Path) -> anyhow::Result<Option<UidList>> {
    let path = maildir.join("dovecot-uidlist");
    match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => {
            let octets = read.with_context(|| path.display().to_string())?;
            let list = parse(&String::from_utf8_lossy(&octets));
            list.with_context(|| format!("{}: not of a version that is known (1 and 3)", path.display())).map(Some)
        }
    }
}

fn parse(text: &str) -> Option<UidList> {
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let version = words.next()?;
    let uid_validity = match version {
        "1" => words.next()?.parse().ok()?,
        "3" => words.find_map(|word| word.strip_prefix('V'))?.parse().ok()?,
        _ => return None,
    };
    // A line that was cut off by a crash is passed over, as Dovecot does.
    let entries = lines.filter_map(|line| if version == "1" { version_1(line) } else { version_3(line) }).collect();
    Some(UidList { uid_validity, entries })
}

fn version_1(line: &str) -> Option<(String, Entry)> {
    let (uid, file) = line.split_once(' ')?;
    Some((base(file).to_owned(), Entry { uid: uid.parse().ok()?, ..Entry::default() }))
}

fn version_3(line: &str) -> Option<(String, Entry)> {
    let (fields, file) = line.split_once(" :")?;
    let mut words = fields.split(' ');
    let mut entry = Entry { uid: words.next()?.parse().ok()?, ..Entry::default() };
    for word in words {
        if let Some(value) = word.strip_prefix('P') {
            entry.unique_id = Some(value.to_owned());
        } else if let Some(value) = word.strip_prefix('G') {
            entry.guid = Some(value.to_owned());
        } else if let Some(value) = word.strip_prefix('O') {
            entry.order = value.parse().ok();
        }
    }
    Some((base(file).to_owned(), entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let list = parse("1 17 9\n7 1.a:2,S\nx\n").unwrap();
        assert_eq!(list.uid_validity, 17);
        assert_eq!(list.entries, [("1.a".to_owned(), Entry { uid: 7, ..Entry::default() })].into());
        let list = parse("3 V17 N9 G00\n7 W3 S2 Pa:b Gxy O5 :1.a,S=2:2,S\n").unwrap();
        let entry = list.entries.get("1.a,S=2").unwrap();
        assert_eq!((entry.uid, entry.pop3_order()), (7, 5));
        assert_eq!((entry.unique_id.as_deref(), entry.guid.as_deref()), (Some("a:b"), Some("xy")));
        for wrong in ["", "2 17 9\n", "3 N9\n", "hello\n"] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
