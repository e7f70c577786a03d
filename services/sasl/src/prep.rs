//! SASLprep (RFC 4013): one form for what looks alike.

use std::borrow::Cow;

use mail_types::Secret;
use stringprep::tables;
use unicode_normalization::UnicodeNormalization as _;

use crate::SaslError;

/// The longest login name, in octets: more than any address has, and more than RFC 4616 section 2 asks for.
pub const MAX_LOGIN: usize = 512;

/// The prepared form of a login name. As a query it may have code points that Unicode 3.2 did not assign (RFC 3454 section 7).
///
/// # Errors
/// [`SaslError::LoginName`]: empty, over [`MAX_LOGIN`], or with characters that are prohibited.
pub fn login(text: &str) -> Result<String, SaslError> {
    let within = 1..=MAX_LOGIN;
    if !within.contains(&text.len()) {
        return Err(SaslError::LoginName);
    }
    let prepared = prepare(text).ok_or(SaslError::LoginName)?;
    if !within.contains(&prepared.len()) {
        return Err(SaslError::LoginName);
    }
    Ok(prepared.into_owned())
}

/// The prepared form of a password, which is what it is to be hashed as and what SCRAM's clients derive their keys from
/// (RFC 5802 section 2.2). A stored string must not have unassigned code points (RFC 3454 section 7); such a password, and
/// one that is prohibited or no UTF-8, is taken as it is: a client that cannot prepare it does the same.
pub fn password(secret: &Secret) -> Secret {
    let text = secret.expose_str().filter(|text| !text.contains(tables::unassigned_code_point));
    match text.and_then(prepare) {
        Some(prepared) if !prepared.is_empty() => Secret::from(prepared.as_ref()),
        _ => secret.clone(),
    }
}

/// What a password that a client sent in clear is to be tried as: prepared (RFC 4616 section 2), then, if that is something
/// else, as it was sent, because others' hashes are of what their users typed.
pub fn spellings(secret: &Secret) -> impl Iterator<Item = Secret> {
    let prepared = password(secret);
    let as_sent = (prepared.expose() != secret.expose()).then(|| secret.clone());
    std::iter::once(prepared).chain(as_sent)
}

/// RFC 4013 section 2, without its step 5; nothing if a step forbids it.
fn prepare(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
        return Some(Cow::Borrowed(text));
    }
    let mapped = text
        .chars()
        .filter(|&c| !tables::commonly_mapped_to_nothing(c))
        .map(|c| if tables::non_ascii_space_character(c) { ' ' } else { c });
    let normalized: String = mapped.nfkc().collect();
    let allowed = !normalized.contains(is_prohibited) && is_one_direction(&normalized);
    allowed.then_some(Cow::Owned(normalized))
}

/// RFC 4013 section 2.3.
fn is_prohibited(c: char) -> bool {
    tables::non_ascii_space_character(c)
        || tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::surrogate_code(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
}

/// RFC 3454 section 6: a text with right-to-left characters has no left-to-right ones, and begins and ends with the former.
fn is_one_direction(text: &str) -> bool {
    let mut ends = text.chars();
    let (first, last) = (ends.next(), ends.next_back());
    !text.contains(tables::bidi_r_or_al)
        || (!text.contains(tables::bidi_l)
            && first.is_some_and(tables::bidi_r_or_al)
            && last.or(first).is_some_and(tables::bidi_r_or_al))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_login(text: &str, expected: Option<&str>) {
        assert_eq!(login(text).ok().as_deref(), expected, "{text:?}");
    }

    /// The examples of RFC 4013 section 3, and then what they leave out.
    #[test]
    fn a_login_name_is_prepared() {
        check_login("I\u{ad}X", Some("IX"));
        check_login("user", Some("user"));
        check_login("USER", Some("USER"));
        check_login("\u{aa}", Some("a"));
        check_login("\u{2168}", Some("IX"));
        check_login("\u{7}", None);
        check_login("\u{627}1", None);
        check_login("\u{627}1\u{628}", Some("\u{627}1\u{628}"));
        check_login("\u{627}", Some("\u{627}"));
        check_login("\u{627}a\u{628}", None);
        check_login("alice\u{a0}b", Some("alice b"));
        check_login("jo\u{308}rg@acme.test", Some("j\u{f6}rg@acme.test"));
        check_login("\u{1f511}@acme.test", Some("\u{1f511}@acme.test"));
        check_login("a\0b", None);
        check_login("\u{ad}", None);
        check_login("", None);
        check_login(&"x".repeat(MAX_LOGIN), Some(&"x".repeat(MAX_LOGIN)));
        check_login(&"x".repeat(MAX_LOGIN + 1), None);
        check_login(&"\u{fdfa}".repeat(MAX_LOGIN / 3), None);
    }

    #[track_caller]
    fn check_password(sent: &[u8], expected: &[&[u8]]) {
        let spellings: Vec<_> = spellings(&Secret::new(sent.to_vec())).collect();
        let spellings: Vec<_> = spellings.iter().map(Secret::expose).collect();
        assert_eq!(spellings, expected, "{}", sent.escape_ascii());
    }

    #[test]
    fn a_password_is_tried_prepared_and_as_sent() {
        check_password(b"pencil", &[b"pencil"]);
        check_password("\u{2168}".as_bytes(), &[b"IX", "\u{2168}".as_bytes()]);
        check_password("\u{1f511}".as_bytes(), &["\u{1f511}".as_bytes()]);
        check_password(b"a\tb", &[b"a\tb"]);
        check_password(b"\xff", &[b"\xff"]);
        check_password("\u{ad}".as_bytes(), &["\u{ad}".as_bytes()]);
        check_password(b"", &[b""]);
    }
}
