//! Reverse-paths and forward-paths as commands carry them (RFC 5321 section 4.1.2).

/// Splits `<path> rest` at the bracket that closes the path, which is none inside a quoted string. The source route in front of
/// the address is dropped (RFC 5321 appendix C). `None` if the brackets or quotes do not match, or if something else than a space
/// follows.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    // RFC 5321 section 3.3 forbids a space after the colon; enough senders put one there.
    let text = text.trim_start_matches(' ').strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let (path, rest) = (text.get(..at)?, text.get(at + 1..)?);
                let path = without_route(path)?;
                return (rest.is_empty() || rest.starts_with(' ')).then_some((path, rest));
            }
            '<' | ' ' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// `@one.test,@two.test:alice@acme.test` without what is before the address.
fn without_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (_, address) = path.split_once(':')?;
    (!address.is_empty()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        assert_eq!(split(text), expected, "{text}");
    }

    #[test]
    fn a_path_ends_at_its_bracket() {
        check("<>", Some(("", "")));
        check("<> SIZE=1", Some(("", " SIZE=1")));
        check("<a@b.test>", Some(("a@b.test", "")));
        check(" <a@b.test>", Some(("a@b.test", "")));
        check("<\"a > b\"@b.test> X", Some(("\"a > b\"@b.test", " X")));
        check("<\"a\\\"> b\"@b.test>", Some(("\"a\\\"> b\"@b.test", "")));
        check("<@one.test,@two.test:a@b.test>", Some(("a@b.test", "")));
    }

    #[test]
    fn brackets_and_quotes_must_match() {
        for text in [
            "",
            "a@b.test",
            "<a@b.test",
            "a@b.test>",
            "<a@b.test>x",
            "<a b@c.test>",
            "<<a@b.test>>",
            "<\"a@b.test>",
            "<@one.test>",
            "<@one.test:>",
        ] {
            check(text, None);
        }
    }
}
