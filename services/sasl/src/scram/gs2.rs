//! The header that SCRAM and OAUTHBEARER begin with (RFC 5801 section 4).

use crate::{SaslError, prep};

/// What the client says of channel binding: `n`, `y` or `p=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding<'a> {
    /// The client has none.
    Unsupported,
    /// The client has one, and believes that the server has none.
    NotOffered,
    /// The client uses this type.
    Used(&'a str),
}

/// `gs2-cbind-flag "," [ "a=" saslname ] ","`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) binding: Binding<'a>,
    /// Whom the client wants to act as, prepared.
    pub(crate) authzid: Option<String>,
    /// The header itself, its last comma included: it is part of what the client's proof is over.
    pub(crate) raw: &'a str,
}

/// The header, and what follows it.
pub(crate) fn parse(text: &str) -> Result<(Header<'_>, &str), SaslError> {
    let (flag, after_flag) = text.split_once(',').ok_or(SaslError::Malformed)?;
    let (authzid, rest) = after_flag.split_once(',').ok_or(SaslError::Malformed)?;
    let binding = match flag {
        "n" => Binding::Unsupported,
        "y" => Binding::NotOffered,
        _ => Binding::Used(flag.strip_prefix("p=").filter(|name| is_binding_name(name)).ok_or(SaslError::Malformed)?),
    };
    let authzid = match authzid {
        "" => None,
        _ => Some(name(authzid.strip_prefix("a=").ok_or(SaslError::Malformed)?)?),
    };
    let raw = text.get(..text.len() - rest.len()).ok_or(SaslError::Malformed)?;
    Ok((Header { binding, authzid, raw }, rest))
}

fn is_binding_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'.' || octet == b'-')
}

/// A `saslname`, where `=2C` stands for a comma and `=3D` for an equals sign (RFC 5802 section 5.1), prepared.
pub(crate) fn name(escaped: &str) -> Result<String, SaslError> {
    let mut parts = escaped.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(SaslError::Malformed)?;
        name.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return Err(SaslError::Malformed),
        });
        name.push_str(rest);
    }
    if name.is_empty() {
        return Err(SaslError::Malformed);
    }
    prep::login(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Binding<'_>, Option<&str>, &str, &str)>) {
        let expected = expected
            .map(|(binding, authzid, raw, rest)| (Header { binding, authzid: authzid.map(str::to_owned), raw }, rest));
        assert_eq!(parse(text).ok(), expected, "{text:?}");
    }

    #[test]
    fn a_header_has_a_flag_and_perhaps_a_name() {
        check("n,,n=user", Some((Binding::Unsupported, None, "n,,", "n=user")));
        check("y,a=bob,", Some((Binding::NotOffered, Some("bob"), "y,a=bob,", "")));
        check("p=tls-exporter,,x", Some((Binding::Used("tls-exporter"), None, "p=tls-exporter,,", "x")));
        for bad in ["", "n", "n,", "x,,", "p=,,", "p=a_b,,", "n,b,", "n,a=,", "N,,"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_name_is_unescaped() {
        assert_eq!(name("a=2Cb=3D=3Dc"), Ok("a,b==c".to_owned()));
        assert_eq!(name("=2C"), Ok(",".to_owned()));
        for bad in ["", "=", "a=", "a=2", "a=2c", "a=3D=", "a=\u{e9}"] {
            assert_eq!(name(bad), Err(SaslError::Malformed), "{bad:?}");
        }
        assert_eq!(name("a\u{7}"), Err(SaslError::LoginName));
    }
}
