//! The names of the mechanisms, and sets of them.

use std::fmt;

use crate::ScramHash;

/// The mechanisms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM with SHA-256 and channel binding (RFC 7677).
    ScramSha256Plus,
    /// SCRAM with SHA-1 and channel binding (RFC 5802).
    ScramSha1Plus,
    /// SCRAM with SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM with SHA-1 (RFC 5802).
    ScramSha1,
    /// A bearer token (RFC 7628): only over TLS.
    OauthBearer,
    /// A bearer token in the older form of Google's: only over TLS.
    Xoauth2,
    /// The client's TLS certificate (RFC 4422 appendix A).
    External,
    /// Login name and password in clear (RFC 4616): only over TLS, unless an operator says otherwise.
    Plain,
    /// The same in two steps (draft-murchison-sasl-login).
    Login,
    /// A keyed digest of a challenge (RFC 2195). Legacy: the server has to know the secret.
    CramMd5,
    /// Windows' challenge and response, NTLMv2 only (MS-NLMP). Legacy, as CRAM-MD5.
    Ntlm,
}

impl Mechanism {
    /// All of them, in the order in which they are announced: a client that takes the first it knows should take the
    /// strongest.
    pub const ALL: [Self; 11] = [
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::External,
        Self::Plain,
        Self::Login,
        Self::CramMd5,
        Self::Ntlm,
    ];

    fn is_named(self, name: &[u8]) -> bool {
        self.name().as_bytes().eq_ignore_ascii_case(name)
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::Ntlm => "NTLM",
        }
    }

    /// Whether the client sends what proves it, so that who reads the connection could use it: a password or a token.
    pub const fn sends_secret(self) -> bool {
        matches!(self, Self::Plain | Self::Login | Self::OauthBearer | Self::Xoauth2)
    }

    /// Whether it needs [`ChannelBindings`](crate::ChannelBindings) of the connection.
    pub const fn binds_channel(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }

    /// Whether it needs secrets that the server can recover.
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::CramMd5 | Self::Ntlm)
    }

    /// The -PLUS variant of a SCRAM mechanism without channel binding.
    pub(crate) const fn plus(hash: ScramHash) -> Self {
        match hash {
            ScramHash::Sha256 => Self::ScramSha256Plus,
            ScramHash::Sha1 => Self::ScramSha1Plus,
        }
    }
}

/// A set of mechanisms: what is offered on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Mechanisms(u16);

impl Mechanisms {
    /// None.
    pub const NONE: Self = Self(0);

    /// Every one there is.
    pub fn all() -> Self {
        Mechanism::ALL.into_iter().collect()
    }

    /// Whether a mechanism is among them.
    pub const fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & Self::bit(mechanism) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order in which they are announced.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |&mechanism| self.contains(mechanism))
    }

    /// One of them by its name, in any case. A mechanism that is not offered is as unknown as one that does not exist.
    pub fn parse(self, name: &[u8]) -> Option<Mechanism> {
        self.iter().find(|mechanism| mechanism.is_named(name))
    }

    const fn bit(mechanism: Mechanism) -> u16 {
        1 << mechanism as u16
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        Self(mechanisms.into_iter().fold(0, |set, mechanism| set | Self::bit(mechanism)))
    }
}

/// The names as a capability lists them, a space between.
impl fmt::Display for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mechanism) in self.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{}", mechanism.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mechanisms({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_is_found_by_its_name_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanisms::all().parse(mechanism.name().to_lowercase().as_bytes()), Some(mechanism));
        }
        assert_eq!(Mechanisms::all().parse(b"PLAIN "), None);
        assert_eq!(Mechanisms::all().parse(b"GSSAPI"), None);
        assert_eq!(Mechanisms::all().iter().count(), Mechanism::ALL.len());
    }

    #[test]
    fn a_set_knows_what_it_holds() {
        let offered: Mechanisms = Mechanism::ALL.into_iter().filter(|mechanism| !mechanism.sends_secret()).collect();
        assert!(!offered.contains(Mechanism::Plain) && offered.contains(Mechanism::CramMd5));
        assert_eq!(offered.parse(b"PLAIN"), None);
        assert_eq!([Mechanism::Login, Mechanism::Plain].into_iter().collect::<Mechanisms>().to_string(), "PLAIN LOGIN");
        assert!(Mechanisms::NONE.is_empty() && Mechanisms::NONE.to_string().is_empty());
    }
}
