//! Addresses: `local-part@domain`, as a login name, a recipient or a reverse-path (RFC 5321 section 4.1.2, RFC 6531 section
//! 3.3 for UTF-8).
//!
//! Two forms of a local part are kept apart: [`LocalPart`] is what was given and is shown again; [`LocalKey`] is what it is
//! compared by (NFC, case-folded, subaddress cut at `+`).

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// Why a text is no address. The text is fit for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`.
    #[error("an address has the form local-part@domain")]
    NoAt,
    /// Nothing before the `@`.
    #[error("the local part is empty")]
    EmptyLocalPart,
    /// Over 64 octets (RFC 5321 section 4.5.3.1.1).
    #[error("the local part is longer than 64 octets")]
    LongLocalPart,
    /// An octet that neither an atom nor a quoted string may hold.
    #[error("the local part has a character that is not allowed there")]
    BadLocalPart,
    /// Nothing after the `@`.
    #[error("the domain is empty")]
    EmptyDomain,
    /// Over 253 octets as A-labels (RFC 1035 section 2.3.4).
    #[error("the domain is longer than 253 octets")]
    LongDomain,
    /// Not a domain name (RFC 5890), or an address literal, which is never hosted.
    #[error("the domain is not a valid domain name")]
    BadDomain,
}

/// A domain name in its one canonical form: lower-case A-labels, no final dot (RFC 5890). At most 253 octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(Box<str>);

impl DomainName {
    /// Parses A-labels or U-labels, any case, an optional final dot.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(AddressError::EmptyDomain);
        }
        if text.len() > 1000 {
            return Err(AddressError::LongDomain);
        }
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::STD3)
            .map_err(|_| AddressError::BadDomain)?
            .to_ascii_lowercase();
        if ascii.len() > 253 {
            return Err(AddressError::LongDomain);
        }
        let label_ok =
            |label: &str| !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-');
        if !ascii.split('.').all(label_ok) {
            return Err(AddressError::BadDomain);
        }
        Ok(Self(ascii.into()))
    }

    /// The A-label form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainName({})", self.0)
    }
}

/// A local part as it was given: a dot-string or quoted string without its quotes (RFC 5321 section 4.1.2), UTF-8 allowed
/// (RFC 6531). 1 to 64 octets, no control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Parses a local part, quoted or not.
    ///
    /// A dot at either end or two in a row, which the grammar forbids outside quotes, are accepted: such addresses exist.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let unquoted = match text.strip_prefix('"') {
            Some(rest) => unquote(rest)?,
            None if text.chars().all(atom_or_dot) => text.to_owned(),
            None => return Err(AddressError::BadLocalPart),
        };
        if unquoted.is_empty() {
            return Err(AddressError::EmptyLocalPart);
        }
        if unquoted.len() > 64 {
            return Err(AddressError::LongLocalPart);
        }
        Ok(Self(unquoted.into()))
    }

    /// The text without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form it is compared by.
    pub fn key(&self) -> LocalKey {
        LocalKey::of(&self.0)
    }

    /// Whether it names a subaddress (`alice+lists`): fine in a recipient, refused for a new account.
    pub fn has_subaddress(&self) -> bool {
        self.0.find('+').is_some_and(|at| at > 0)
    }
}

/// `atext` of RFC 5322 section 3.2.3, the dot, and anything beyond ASCII that is no control character.
fn atom_or_dot(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// The content of a quoted string; `rest` begins after the opening quote.
fn unquote(rest: &str) -> Result<String, AddressError> {
    let inner = rest.strip_suffix('"').ok_or(AddressError::BadLocalPart)?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next().ok_or(AddressError::BadLocalPart)?,
            '"' => return Err(AddressError::BadLocalPart),
            c => c,
        };
        if c.is_control() {
            return Err(AddressError::BadLocalPart);
        }
        out.push(c);
    }
    Ok(out)
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalPart({})", self.0)
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.chars().all(atom_or_dot) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

/// What a local part is compared by: NFC, lower-case, cut at the first `+` that has something before it. Never empty: the
/// empty key is the catch-all's, and only [`LocalKey::catch_all`] makes it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalKey(Box<str>);

impl LocalKey {
    fn of(text: &str) -> Self {
        let whole = text.nfc().collect::<String>().to_lowercase().nfc().collect::<String>();
        let end = whole.find('+').filter(|&at| at > 0).unwrap_or(whole.len());
        Self(whole.get(..end).unwrap_or(&whole).into())
    }

    /// The key of a domain's catch-all, `*@domain`.
    pub fn catch_all() -> Self {
        Self("".into())
    }

    /// The text kept in the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKey({})", self.0)
    }
}

/// `local-part@domain`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// As given.
    pub local: LocalPart,
    /// Canonical.
    pub domain: DomainName,
}

impl Address {
    /// Parses `local-part@domain`; the last `@` divides.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if local.is_empty() {
            return Err(AddressError::EmptyLocalPart);
        }
        Ok(Self { local: LocalPart::parse(local)?, domain: DomainName::parse(domain)? })
    }

    /// Parses a login name: like [`Address::parse`], and a bare local part takes `default_domain`.
    pub fn parse_login(text: &str, default_domain: Option<&DomainName>) -> Result<Self, AddressError> {
        match (text.contains('@'), default_domain) {
            (false, Some(domain)) => Ok(Self { local: LocalPart::parse(text)?, domain: domain.clone() }),
            _ => Self::parse(text),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// The sender of a mail transaction as it was given, without its brackets: empty for `<>` (RFC 5321 section 4.5.5). Only
/// checked for what would break a header line: no control characters, at most 256 octets (section 4.5.3.1.3, generously).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReversePath(Box<str>);

impl ReversePath {
    /// Parses the text between `<` and `>`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > 1024 {
            return Err(AddressError::LongLocalPart);
        }
        if text.chars().any(|c| c.is_control() || c == '<' || c == '>') {
            return Err(AddressError::BadLocalPart);
        }
        Ok(Self(text.into()))
    }

    /// The text without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<(&str, &str), AddressError>) {
        let got = Address::parse(input).map(|a| (a.local.key().as_str().to_owned(), a.domain.as_str().to_owned()));
        assert_eq!(got, expected.map(|(l, d)| (l.to_owned(), d.to_owned())), "{input}");
    }

    #[test]
    fn addresses_have_one_canonical_key() {
        check("alice@acme.test", Ok(("alice", "acme.test")));
        check("Alice@ACME.Test.", Ok(("alice", "acme.test")));
        check("alice+lists@acme.test", Ok(("alice", "acme.test")));
        check("+x@acme.test", Ok(("+x", "acme.test")));
        check("\"a b\"@acme.test", Ok(("a b", "acme.test")));
        check("\"a@b\"@acme.test", Ok(("a@b", "acme.test")));
        check("jo\u{0308}rg@b\u{00fc}cher.test", Ok(("j\u{00f6}rg", "xn--bcher-kva.test")));
        check("alice", Err(AddressError::NoAt));
        check("@acme.test", Err(AddressError::EmptyLocalPart));
        check("alice@", Err(AddressError::EmptyDomain));
        check("a b@acme.test", Err(AddressError::BadLocalPart));
        check("a\r\nb@acme.test", Err(AddressError::BadLocalPart));
        check("\"a\0\"@acme.test", Err(AddressError::BadLocalPart));
        check("alice@[127.0.0.1]", Err(AddressError::BadDomain));
        check("alice@-acme.test", Err(AddressError::BadDomain));
        check("alice@a..test", Err(AddressError::BadDomain));
        check("alice@a_b.test", Err(AddressError::BadDomain));
        check(&format!("{}@acme.test", "a".repeat(65)), Err(AddressError::LongLocalPart));
        check(&format!("a@{}", "a.".repeat(140)), Err(AddressError::LongDomain));
    }

    #[test]
    fn a_local_part_is_shown_as_it_was_given() {
        let shown = |text| Address::parse(text).map(|a| a.to_string());
        assert_eq!(shown("Alice@Acme.test").as_deref(), Ok("Alice@acme.test"));
        assert_eq!(shown("\"a b\\\"\"@acme.test").as_deref(), Ok("\"a b\\\"\"@acme.test"));
    }

    #[test]
    fn a_bare_login_takes_the_default_domain() {
        let domain = DomainName::parse("acme.test").ok();
        let login = Address::parse_login("alice", domain.as_ref()).map(|a| a.to_string());
        assert_eq!(login.as_deref(), Ok("alice@acme.test"));
        assert_eq!(Address::parse_login("alice", None), Err(AddressError::NoAt));
    }

    #[test]
    fn a_reverse_path_cannot_break_a_header() {
        assert!(ReversePath::parse("").is_ok());
        assert!(ReversePath::parse("a@b.test").is_ok());
        assert!(ReversePath::parse("a\r\nX: y").is_err());
        assert!(ReversePath::parse("a>").is_err());
    }
}
