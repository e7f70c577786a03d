//! Why logins are refused, as administrators see it: finer than what the client is told.

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $number:literal, $word:literal;)+) => {
        /// Why a login was refused. For the account's administrators only: a client is told less.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RefusalReason {
            $($(#[$doc])+ $name = $number,)+
        }

        impl RefusalReason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The API's word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// Not the password, and no app password either.
    WrongPassword = 1, "wrong_password";
    /// A password where the account has none.
    NoPassword = 2, "no_password";
    /// It looks like an app password, but it is none of the account's: most often one that was revoked.
    UnknownAppPassword = 3, "unknown_app_password";
    /// An app password after its time.
    AppPasswordExpired = 4, "app_password_expired";
    /// An app password outside of its networks.
    AppPasswordNetwork = 5, "app_password_network";
    /// An app password that may not read.
    AppPasswordScope = 6, "app_password_scope";
    /// An app password for mechanisms that the policy does not allow any more.
    AppPasswordLegacy = 7, "app_password_legacy";
    /// SCRAM, for which nothing of the account's is kept.
    ScramUnavailable = 8, "scram_unavailable";
    /// CRAM-MD5, NTLM or APOP without an app password made for them.
    LegacyUnavailable = 9, "legacy_unavailable";
    /// A proof (SCRAM, CRAM-MD5, NTLM, APOP) with a secret that is not the account's.
    WrongProof = 10, "wrong_proof";
    /// A token that the tenant's issuer did not give for this account, or whose time is over.
    TokenRefused = 11, "token_refused";
    /// A certificate that the tenant does not trust, or of another name.
    CertificateRefused = 12, "certificate_refused";
    /// The account or its tenant is suspended.
    Suspended = 13, "suspended";
    /// Too soon after the last login.
    LoginDelay = 14, "login_delay";
    /// After too many failures: nothing was tried.
    SlowedDown = 15, "slowed_down";
    /// Too many passwords were being checked.
    Busy = 16, "busy";
    /// Another session has the maildrop.
    InUse = 17, "in_use";
    /// The account has as many sessions as it may have.
    SessionsOfAccount = 18, "sessions_of_account";
    /// Its domain has.
    SessionsOfDomain = 24, "sessions_of_domain";
    /// Its tenant has.
    SessionsOfTenant = 19, "sessions_of_tenant";
    /// Its network address has.
    SessionsOfAddress = 20, "sessions_of_address";
    /// Part of the service was away.
    Unavailable = 21, "unavailable";
    /// A login on a connection without TLS.
    ClearConnection = 22, "clear_connection";
    /// APOP where it is not offered.
    ApopNotOffered = 23, "apop_not_offered";
}

impl RefusalReason {
    /// From a row.
    pub(crate) fn from_code(code: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| *reason as i16 == code)
    }

    /// From the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// Whether it was a secret that can be guessed and was not the right one.
    pub(crate) const fn is_wrong_secret(self) -> bool {
        matches!(self, Self::WrongPassword | Self::NoPassword | Self::WrongProof)
    }
}

impl Serialize for RefusalReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
