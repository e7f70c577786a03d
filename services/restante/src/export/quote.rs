//! mboxrd's quoting: a line of any number of `>` and `From ` gets one `>` more.

use std::io::Write;

/// The longest run of `>` that is looked through; the same as where the quoting is taken away.
const LONGEST: usize = 4096;

/// Quotes octets that come in any pieces.
pub(super) struct Quoter {
    /// The beginning of a line that is not decided yet; `None` inside a line that is.
    undecided: Option<Vec<u8>>,
}

impl Quoter {
    pub(super) const fn new() -> Self {
        Self { undecided: Some(Vec::new()) }
    }

    pub(super) fn feed(&mut self, octets: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            match &mut self.undecided {
                None => out.write_all(line)?,
                Some(begun) => {
                    begun.extend_from_slice(line);
                    match needs_mark(begun) {
                        None => continue,
                        Some(true) => out.write_all(b">")?,
                        Some(false) => {}
                    }
                    out.write_all(begun)?;
                }
            }
            self.undecided = line.ends_with(b"\n").then(Vec::new);
        }
        Ok(())
    }

    /// The end of the text.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(&self.undecided.take().unwrap_or_default())
    }
}

/// Whether a line that begins so gets a mark; `None`: more of it is needed.
fn needs_mark(line: &[u8]) -> Option<bool> {
    let marks = line.iter().take_while(|octet| **octet == b'>').count();
    let rest = line.get(marks..).unwrap_or_default();
    // With one more it would be past what is looked through.
    if marks >= LONGEST {
        Some(false)
    } else if rest.starts_with(b"From ") {
        Some(true)
    } else if b"From ".starts_with(rest) {
        None
    } else {
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_look_like_the_next_message_get_a_mark() {
        let marks = ">".repeat(LONGEST);
        let text = format!("From a\n>From b\nx From c\n\n>\nFromm\n{marks}From d\nFrom ");
        let expected = format!(">From a\n>>From b\nx From c\n\n>\nFromm\n{marks}From d\n>From ");
        for chunk in [1, 2, 3, 7, text.len()] {
            let (mut quoter, mut out) = (Quoter::new(), Vec::new());
            for piece in text.as_bytes().chunks(chunk) {
                quoter.feed(piece, &mut out).unwrap();
            }
            quoter.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in chunks of {chunk}");
        }
    }
}
