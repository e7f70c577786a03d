//! `courierpop3dsizelist`, as Courier's POP3 server keeps it beside a maildir's `cur`.
//!
//! ```text
//! /3 9 1593840180                 version (2 or 3), next number, validity
//! 1592.M1.host:2,S 123 7:1593840180:0   file, octets, number:validity, and in version 3 whether it is UTF-8
//! ```
//!
//! The unique-id is `UID7-1593840180`, without a validity `UID7`, and without a number the file's name with `+XX` for what may not
//! stand in one. The order of its messages is that of their names.

use std::{collections::HashMap, io::ErrorKind, path::Path};

use anyhow::Context as _;
use mail_types::UniqueId;

use super::maildir::base;

/// Reads the unique-ids by the files' names without flags, if there is such a file.
pub(super) fn read(maildir: &Path) -> anyhow::Result<Option<HashMap<String, UniqueId>>> {
    let path = maildir.join("courierpop3dsizelist");
    match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => {
            let octets = read.with_context(|| path.display().to_string())?;
            let list = parse(&String::from_utf8_lossy(&octets));
            list.with_context(|| format!("{}: not of a version that is known (2 and 3)", path.display())).map(Some)
        }
    }
}

fn parse(text: &str) -> Option<HashMap<String, UniqueId>> {
    let mut lines = text.lines();
    if !matches!(lines.next()?.split(' ').next()?, "/2" | "/3") {
        return None;
    }
    Some(lines.filter_map(entry).collect())
}

fn entry(line: &str) -> Option<(String, UniqueId)> {
    let mut words = line.rsplitn(3, ' ');
    let (numbers, _octets, file) = (words.next()?, words.next()?, words.next()?);
    let mut numbers = numbers.split(':').map(str::parse::<u64>);
    let (number, validity) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let file = base(file);
    let id = match (number, validity) {
        (0, _) => file.bytes().map(escaped).collect(),
        (number, 0) => format!("UID{number}"),
        (number, validity) => format!("UID{number}-{validity}"),
    };
    Some((file.to_owned(), UniqueId::parse(&id).ok()?))
}

fn escaped(octet: u8) -> String {
    if octet.is_ascii_graphic() && !b"'\"+".contains(&octet) {
        char::from(octet).to_string()
    } else {
        format!("+{octet:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_ids_are_those_that_courier_shows() {
        let list = parse("/2 9 17\na b:2,S 3 0:0\n1+\u{fc} 3 0:5\n2 3 7:17\n3 3 7:0:1\nx 1\n4 3 x:1\n").unwrap();
        let id = |name: &str| list.get(name).map(UniqueId::as_str);
        assert_eq!((id("a b"), id("1+\u{fc}")), (Some("a+20b"), Some("1+2B+C3+BC")));
        assert_eq!((id("2"), id("3"), list.len()), (Some("UID7-17"), Some("UID7"), 4));
        assert!(parse("7 x\n").is_none());
    }
}
