//! The heads of a tar archive's entries (POSIX.1-2017, pax interchange format): an archive is written as it is made, and read by
//! any `tar`.

/// Octets of a block: a head is one, and what follows it is filled up to whole ones.
const BLOCK: usize = 512;
/// The longest name that the head itself has room for.
const SHORT: usize = 100;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file of so many octets, which follow the head, filled up by [`padding`].
    File(u64),
    /// A directory.
    Directory,
}

/// The head of an entry. `seconds`: its date, since 1970.
pub(crate) fn head(name: &str, entry: Entry, seconds: u64) -> Vec<u8> {
    let mut octets = Vec::with_capacity(3 * BLOCK);
    if name.len() > SHORT {
        // The whole name is in a record before it; the head has what a reader without pax gets to see.
        let record = record("path", name);
        octets.extend(block("pax", record.len() as u64, b'x', seconds));
        octets.extend(record.as_bytes());
        octets.extend(padding(record.len() as u64));
    }
    let (size, kind) = match entry {
        Entry::File(size) => (size, b'0'),
        Entry::Directory => (0, b'5'),
    };
    octets.extend(block(name, size, kind, seconds));
    octets
}

/// What fills a file's octets up to whole blocks.
pub(crate) fn padding(size: u64) -> Vec<u8> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    vec![0; (BLOCK - over) % BLOCK]
}

/// The end of an archive.
pub(crate) fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// `LENGTH KEY=VALUE\n`, the length's own digits counted in it.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn block(name: &str, size: u64, kind: u8, seconds: u64) -> Vec<u8> {
    let mode = if kind == b'5' { 0o700 } else { 0o600 };
    let mut cut = name.len().min(SHORT);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut octets = Vec::with_capacity(BLOCK);
    let mut field = |text: &[u8], width: usize| {
        octets.extend_from_slice(text.get(..width).unwrap_or(text));
        octets.resize(octets.len() + width.saturating_sub(text.len()), 0);
    };
    field(name.get(..cut).unwrap_or_default().as_bytes(), SHORT);
    field(format!("{mode:07o}").as_bytes(), 8);
    field(b"0000000", 8); // user
    field(b"0000000", 8); // group
    field(format!("{size:011o}").as_bytes(), 12);
    field(format!("{seconds:011o}").as_bytes(), 12);
    field(b"        ", 8); // the sum, counted as blanks
    field(&[kind], 1);
    field(b"", 100);
    field(b"ustar\x0000", 8);
    field(b"", 247);
    let sum: u32 = octets.iter().map(|octet| u32::from(*octet)).sum();
    octets.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", "abc"), "12 path=abc\n");
        for length in 1..300 {
            let record = record("path", &"x".repeat(length));
            assert!(record.starts_with(&format!("{} ", record.len())), "{record}");
        }
    }

    /// What any `tar` makes of it is seen in the end-to-end tests.
    #[test]
    fn heads_are_whole_blocks_with_a_right_sum() {
        for name in ["a", &"n".repeat(100), &"é".repeat(150)] {
            let head = head(name, Entry::File(5), 1_790_000_000);
            assert_eq!(head.len() % BLOCK, 0);
            for block in [&head[..BLOCK], &head[head.len() - BLOCK..]] {
                let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
                let noted = std::str::from_utf8(&block[148..154]).unwrap();
                let own: u32 = block[148..156].iter().map(|octet| u32::from(*octet)).sum();
                assert_eq!(u32::from_str_radix(noted, 8).unwrap(), sum - own + 8 * u32::from(b' '));
            }
        }
        assert_eq!((padding(0).len(), padding(1).len(), padding(512).len()), (0, 511, 0));
        assert_eq!(head("a/", Entry::Directory, 0)[156], b'5');
    }
}
