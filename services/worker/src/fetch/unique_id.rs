//! How Dovecot makes POP3's unique-ids from what it knows of a message: `pop3_uidl_format`.

use anyhow::bail;
use mail_types::UniqueId;

/// Dovecot's default: UID and UIDVALIDITY, 8 hexadecimal digits each.
const DOVECOT: &str = "%08Xu%08Xv";

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable { letter: char, hexadecimal: bool, zeros: bool, width: usize },
}

/// What is known of a message.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its UID.
    pub uid: u32,
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: u32,
    /// A maildir's file, without its flags; none over IMAP.
    pub file: Option<&'a str>,
    /// Dovecot's own id for it; in a maildir the file's name, unless the index says another.
    pub guid: Option<&'a str>,
}

impl Format {
    /// `%u` UID, `%v` UIDVALIDITY, `%f` file name, `%g` guid; between `%` and letter a width, with a leading 0 for zeros, and `X` for
    /// hexadecimal.
    ///
    /// # Errors
    /// Which letter it does not know.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                match pieces.last_mut() {
                    Some(Piece::Text(text)) => text.push(c),
                    _ => pieces.push(Piece::Text(c.to_string())),
                }
                continue;
            }
            let zeros = chars.next_if_eq(&'0').is_some();
            let mut width = 0;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                width = width * 10 + digit as usize;
                chars.next();
            }
            let hexadecimal = chars.next_if_eq(&'X').is_some();
            match chars.next() {
                Some(letter @ ('u' | 'v' | 'f' | 'g')) if width <= 70 => {
                    pieces.push(Piece::Variable { letter, hexadecimal, zeros, width });
                }
                other => bail!("a format knows %u, %v, %f and %g, not %{}", other.map_or(String::new(), String::from)),
            }
        }
        Ok(Self(pieces))
    }

    /// What Dovecot does where nothing is configured.
    pub fn of_dovecot() -> Self {
        Self::parse(DOVECOT).unwrap_or(Self(Vec::new()))
    }

    /// The unique-id; `None` if it cannot be made, or cannot be one.
    pub fn of(&self, known: Known<'_>) -> Option<UniqueId> {
        let mut id = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => id.push_str(text),
                Piece::Variable { letter, hexadecimal, zeros, width } => {
                    let number = |n: u32| if *hexadecimal { format!("{n:x}") } else { n.to_string() };
                    let value = match letter {
                        'u' => number(known.uid),
                        'v' => number(known.uid_validity),
                        'f' => known.file?.to_owned(),
                        _ => known.guid?.to_owned(),
                    };
                    let missing = if *zeros { width.saturating_sub(value.len()) } else { 0 };
                    id.extend(std::iter::repeat_n('0', missing));
                    id.push_str(&value);
                }
            }
        }
        UniqueId::parse(&id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, expected: Option<&str>) {
        let known = Known { uid: 0x2a, uid_validity: 0x5f00_1234, file: Some("1.M2.host"), guid: None };
        let made = Format::parse(format).unwrap().of(known);
        assert_eq!(made.as_ref().map(UniqueId::as_str), expected, "{format}");
    }

    #[test]
    fn unique_ids_are_those_of_dovecot() {
        check("%08Xu%08Xv", Some("0000002a5f001234"));
        check("%u.%v", Some("42.1593840180"));
        check("%f", Some("1.M2.host"));
        check("UID%u-%v", Some("UID42-1593840180"));
        check("%g", None);
        check("", None);
        check("a %u", None);
        assert_eq!(Format::of_dovecot(), Format::parse(DOVECOT).unwrap());
        for wrong in ["%", "%m", "%0", "%100u", "%{uid}"] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
    }
}
