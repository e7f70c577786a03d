//! mboxrd's quoting: a line of any number of `>` and `From ` has one `>` more in the file.

/// The longest run of `>` that is looked through.
const LONGEST: usize = 4096;

/// Takes the quoting away, from octets that come in any pieces.
pub(super) struct Unquoter {
    /// The beginning of a line that is not decided yet; `None` inside a line that is.
    undecided: Option<Vec<u8>>,
}

/// What a line's beginning says.
enum Quoted {
    Yes,
    No,
    /// More of it is needed.
    Open,
}

impl Unquoter {
    pub(super) const fn new() -> Self {
        Self { undecided: Some(Vec::new()) }
    }

    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            match &mut self.undecided {
                None => out.extend_from_slice(line),
                Some(begun) => {
                    begun.extend_from_slice(line);
                    match quoted(begun) {
                        Quoted::Open => continue,
                        Quoted::Yes => out.extend_from_slice(begun.get(1..).unwrap_or_default()),
                        Quoted::No => out.extend_from_slice(begun),
                    }
                }
            }
            self.undecided = line.ends_with(b"\n").then(Vec::new);
        }
    }

    /// The end of the text.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend(self.undecided.take().unwrap_or_default());
    }
}

fn quoted(line: &[u8]) -> Quoted {
    let marks = line.iter().take_while(|octet| **octet == b'>').count();
    let rest = line.get(marks..).unwrap_or_default();
    if !line.is_empty() && (marks == 0 || marks > LONGEST) {
        Quoted::No
    } else if rest.starts_with(b"From ") {
        Quoted::Yes
    } else if b"From ".starts_with(rest) {
        Quoted::Open
    } else {
        Quoted::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        for chunk in 1..=text.len().max(1) {
            let (mut unquoter, mut out) = (Unquoter::new(), Vec::new());
            for piece in text.as_bytes().chunks(chunk) {
                unquoter.feed(piece, &mut out);
            }
            unquoter.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn one_mark_goes() {
        check("", "");
        check(
            ">From a\n>>From b\nx>From c\n>from d\n>\n>>\nFrom e\n>Fro",
            "From a\n>From b\nx>From c\n>from d\n>\n>>\nFrom e\n>Fro",
        );
        check("> From a\r\n>From \r\n", "> From a\r\nFrom \r\n");
        let marks = ">".repeat(LONGEST + 1);
        check(&format!("{marks}From a\n>From b"), &format!("{marks}From a\nFrom b"));
    }
}
