//! An exchange of challenges and responses, whatever the mechanism.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_types::Secret;

use crate::{
    Challenges, ChannelBindings, Lookup, MAX_RESPONSE, Mechanism, Mechanisms, Proof, SaslError, ScramHash, TokenCheck,
    cram_md5, external, login, ntlm, oauth, plain, scram,
};

/// The connection that an exchange happens on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the connection offers, in the same moment in which it would list it.
    pub offered: Mechanisms,
    /// What TLS binds the client's proof to; empty without TLS.
    pub bindings: &'a ChannelBindings,
    /// The addresses in the client's certificate, if TLS verified one; else none.
    pub certificate: &'a [String],
    /// Makes challenges.
    pub challenges: &'a Challenges,
}

/// What to do now.
#[derive(Debug)]
#[must_use = "a step that is not followed leaves the client without an answer"]
pub enum Step {
    /// Send this challenge (base64, possibly empty) and go on with the client's response.
    Challenge(Exchange, String),
    /// Look this account up and go on with [`Lookup::answer`].
    Lookup(Lookup),
    /// The exchange is over: the client is who it says if this is its password.
    Password {
        /// Whom it authenticates as, prepared. May be a password typed in the wrong place: not for logs.
        login: String,
        /// The password as it was sent: see [`crate::prep::spellings`]. Not empty.
        secret: Secret,
    },
    /// If this token is good, the exchange is over and the client is who the token says. If not, go on with
    /// [`TokenCheck::refused`].
    Token {
        /// Whom it wants to authenticate as, prepared, if it says so: the token must be that one's. Not for logs.
        login: Option<String>,
        /// The bearer token. Empty when the client only asks where to get one: it is then to be refused as any other.
        token: Secret,
        /// What goes on.
        check: TokenCheck,
    },
    /// The exchange is over: the client proved itself in the TLS handshake and is this account, if that account's tenant
    /// trusts the certificate.
    Certificate {
        /// The address as the certificate has it.
        login: String,
    },
    /// The exchange is over: the client knows the secret of one of the account's credentials.
    Proved(Proof),
    /// The exchange is over: it does not, or there is no such account.
    Refused,
}

/// An exchange that waits for a response of the client.
#[derive(Debug)]
pub struct Exchange(State);

/// The mechanism, and how far it has come.
#[derive(Debug)]
pub(crate) enum State {
    Plain,
    LoginName,
    LoginPassword(login::Named),
    Token(oauth::Form),
    TokenRefused,
    External(Vec<String>),
    CramMd5(cram_md5::Challenged),
    NtlmNegotiate(ntlm::Server),
    NtlmAuthenticate(ntlm::Challenged),
    ScramFirst(scram::Begun),
    ScramFinal(scram::Salted),
    /// The server proved itself too; the client acknowledges with an empty response (RFC 5802 section 5).
    ScramProved(Proof),
}

impl Exchange {
    /// Begins, with the client's initial response (base64 text, or `=` for an empty one) if it sent any.
    ///
    /// # Errors
    /// When the mechanism is not offered, or that response ends the exchange.
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>, context: &Context<'_>) -> Result<Step, SaslError> {
        if !context.offered.contains(mechanism) {
            return Err(SaslError::NotOffered);
        }
        let scram = |hash, plus| State::ScramFirst(scram::Begun::new(hash, plus, context));
        let (state, challenge) = match mechanism {
            Mechanism::ScramSha256Plus => (scram(ScramHash::Sha256, true), String::new()),
            Mechanism::ScramSha1Plus => (scram(ScramHash::Sha1, true), String::new()),
            Mechanism::ScramSha256 => (scram(ScramHash::Sha256, false), String::new()),
            Mechanism::ScramSha1 => (scram(ScramHash::Sha1, false), String::new()),
            Mechanism::OauthBearer => (State::Token(oauth::Form::OauthBearer), String::new()),
            Mechanism::Xoauth2 => (State::Token(oauth::Form::Xoauth2), String::new()),
            Mechanism::External => (State::External(context.certificate.to_vec()), String::new()),
            Mechanism::Plain => (State::Plain, String::new()),
            Mechanism::Login => (State::LoginName, login::ASK_NAME.to_owned()),
            Mechanism::Ntlm => (State::NtlmNegotiate(ntlm::Server::new(context.challenges)), String::new()),
            Mechanism::CramMd5 => {
                let timestamp = context.challenges.timestamp();
                (State::CramMd5(cram_md5::Challenged(timestamp.clone())), timestamp)
            }
        };
        match initial {
            None => Ok(state.challenge(challenge)),
            Some(_) if matches!(state, State::CramMd5(_)) => Err(SaslError::NoInitialResponse),
            // RFC 5034 section 4: a single "=" stands for an initial response of no octets.
            Some(b"=") => state.response(b""),
            Some(response) => state.response(decode(response)?.expose()),
        }
    }

    /// Goes on with a response line of the client (base64 text; `*` cancels).
    ///
    /// # Errors
    /// When that response ends the exchange.
    pub fn respond(self, line: &[u8]) -> Result<Step, SaslError> {
        match self.0 {
            // The token was refused; whatever the client says now changes nothing (RFC 7628 section 3.2.3).
            State::TokenRefused => Ok(Step::Refused),
            _ if line == b"*" => Err(SaslError::Cancelled),
            state => state.response(decode(line)?.expose()),
        }
    }
}

impl State {
    /// The challenge that asks for the response which this state waits for.
    pub(crate) fn challenge(self, challenge: impl AsRef<[u8]>) -> Step {
        Step::Challenge(Exchange(self), STANDARD.encode(challenge))
    }

    fn response(self, response: &[u8]) -> Result<Step, SaslError> {
        match self {
            Self::Plain => {
                let credentials = plain::parse(response)?;
                if credentials.acts_for_another() {
                    return Err(SaslError::ActsForAnother);
                }
                Ok(Step::Password { login: credentials.authcid, secret: credentials.password })
            }
            Self::LoginName => {
                let named = login::Named::parse(response)?;
                Ok(Self::LoginPassword(named).challenge(login::ASK_PASSWORD))
            }
            Self::LoginPassword(named) => named.response(response),
            Self::Token(form) => form.response(response),
            Self::TokenRefused => Ok(Step::Refused),
            Self::External(addresses) => external::response(&addresses, response),
            Self::CramMd5(challenged) => challenged.response(response).map(Step::Lookup),
            Self::NtlmNegotiate(server) => server.negotiate(response),
            Self::NtlmAuthenticate(challenged) => challenged.authenticate(response).map(Step::Lookup),
            Self::ScramFirst(begun) => begun.first(response).map(Step::Lookup),
            Self::ScramFinal(salted) => salted.last(response),
            Self::ScramProved(proof) if response.is_empty() => Ok(Step::Proved(proof)),
            Self::ScramProved(_) => Err(SaslError::Malformed),
        }
    }
}

/// As a [`Secret`], so that it is wiped when dropped: there may be a password in it.
pub(crate) fn decode(text: &[u8]) -> Result<Secret, SaslError> {
    if text.len() > MAX_RESPONSE {
        return Err(SaslError::TooLong);
    }
    STANDARD.decode(text).map(Secret::new).map_err(|_| SaslError::NotBase64)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{Account, Candidate, Material, challenges};

    /// base64 of NUL alice NUL secret
    const ALICE: &[u8] = b"AGFsaWNlAHNlY3JldA==";

    fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> Result<Step, SaslError> {
        let (bindings, challenges) = (ChannelBindings::default(), challenges::tests::stuck());
        let certificate = ["alice@acme.test".to_owned()];
        let offered = Mechanisms::all();
        Exchange::begin(
            mechanism,
            initial,
            &Context { offered, bindings: &bindings, certificate: &certificate, challenges: &challenges },
        )
    }

    #[track_caller]
    fn asked(step: Result<Step, SaslError>, expected: &str) -> Exchange {
        let Ok(Step::Challenge(awaiting, challenge)) = step else { panic!("no challenge: {step:?}") };
        assert_eq!(STANDARD.decode(challenge).unwrap(), expected.as_bytes());
        awaiting
    }

    fn is_alice(step: Result<Step, SaslError>) -> bool {
        matches!(step, Ok(Step::Password { login, secret }) if login == "alice" && secret == Secret::from("secret"))
    }

    #[test]
    fn plain_in_one_line_and_in_two() {
        assert!(is_alice(start(Mechanism::Plain, Some(ALICE))));
        assert!(is_alice(asked(start(Mechanism::Plain, None), "").respond(ALICE)));
        let bob_for_alice = STANDARD.encode(b"bob\0alice\0secret");
        assert_eq!(start(Mechanism::Plain, Some(bob_for_alice.as_bytes())).err(), Some(SaslError::ActsForAnother));
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let named = asked(start(Mechanism::Login, None), "Username:").respond(b"YWxpY2U=");
        assert!(is_alice(asked(named, "Password:").respond(b"c2VjcmV0")));
        let named = start(Mechanism::Login, Some(b"YWxpY2U="));
        assert!(is_alice(asked(named, "Password:").respond(b"c2VjcmV0")));
        let named = start(Mechanism::Login, Some(b"YWxpY2U="));
        assert_eq!(asked(named, "Password:").respond(b"").err(), Some(SaslError::Malformed));
        assert_eq!(start(Mechanism::Login, Some(b"=")).err(), Some(SaslError::LoginName));
    }

    #[test]
    fn external_in_one_line_and_in_two() {
        let is_alice = |step| matches!(step, Ok(Step::Certificate { login }) if login == "alice@acme.test");
        assert!(is_alice(start(Mechanism::External, Some(b"="))));
        assert!(is_alice(asked(start(Mechanism::External, None), "").respond(b"")));
        assert!(matches!(start(Mechanism::External, Some(b"Ym9i")), Ok(Step::Refused)));
    }

    #[test]
    fn cram_md5_begins_with_the_server() {
        assert_eq!(start(Mechanism::CramMd5, Some(b"=")).err(), Some(SaslError::NoInitialResponse));
        let challenge = "<0.1700000000000.2a2a2a2a2a2a2a2a@pop.acme.test>";
        let proves = |secrets: &[&str]| {
            let digest = crate::digest::hmac_md5(b"secret", &[challenge.as_bytes()]);
            let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
            let response = STANDARD.encode(format!("alice {digest}"));
            let step = asked(start(Mechanism::CramMd5, None), challenge).respond(response.as_bytes());
            let Ok(Step::Lookup(lookup)) = step else { panic!("no lookup") };
            assert_eq!((lookup.login(), lookup.material()), ("alice", Material::Secrets));
            let secrets =
                secrets.iter().enumerate().map(|(at, &secret)| (Candidate(at), Secret::from(secret))).collect();
            lookup.answer(Account { salt: vec![0], iterations: NonZeroU32::MIN, keys: Vec::new(), secrets })
        };
        assert!(matches!(proves(&["other", "secret", "third"]), Step::Proved(Proof { candidate: Candidate(1), .. })));
        assert!(matches!(proves(&["other"]), Step::Refused));
        assert!(matches!(proves(&[]), Step::Refused));
    }

    #[test]
    fn who_speaks_first_is_asked_with_nothing() {
        let client_first = Mechanism::ALL.into_iter().filter(|m| !matches!(m, Mechanism::Login | Mechanism::CramMd5));
        for mechanism in client_first {
            let awaiting = asked(start(mechanism, None), "");
            assert_eq!(awaiting.respond(b"*").err(), Some(SaslError::Cancelled), "{mechanism:?}");
        }
    }

    #[test]
    fn bad_responses_end_the_exchange() {
        for mechanism in Mechanism::ALL {
            let refused = |line: &[u8]| match start(mechanism, None) {
                Ok(Step::Challenge(awaiting, _)) => awaiting.respond(line).err(),
                other => panic!("{other:?}"),
            };
            assert_eq!(refused(b"not base64"), Some(SaslError::NotBase64));
            assert_eq!(refused(b"AAA"), Some(SaslError::NotBase64));
            assert_eq!(refused(&[b'A'; MAX_RESPONSE + 4]), Some(SaslError::TooLong));
            assert!(refused(b"/////w==").is_some(), "{mechanism:?}");
        }
    }

    #[test]
    fn what_is_not_offered_is_not_begun() {
        let (bindings, challenges) = (ChannelBindings::default(), challenges::tests::stuck());
        let context =
            Context { offered: Mechanisms::NONE, bindings: &bindings, certificate: &[], challenges: &challenges };
        for mechanism in Mechanism::ALL {
            assert_eq!(Exchange::begin(mechanism, None, &context).err(), Some(SaslError::NotOffered));
        }
    }
}
