//! NTLM (MS-NLMP), version 2 of its responses only.
//!
//! ```text
//! C: NEGOTIATE_MESSAGE      Server     -> Challenged
//! S: CHALLENGE_MESSAGE
//! C: AUTHENTICATE_MESSAGE   Challenged -> Answer    (the account is looked up)
//! ```
//!
//! The proof is keyed by the MD4 of the password, so the server has to know the password itself: legacy, and off unless an
//! operator and a domain's policy say otherwise. Older responses (LM, NTLMv1, NTLM2 session) are DES under keys that a
//! listener can find in hours, and are never accepted. A message integrity code is not required, but verified where there
//! is one. No session security is negotiated: that is TLS's work.

mod message;

use mail_types::{DomainName, Secret, Timestamp};
use subtle::ConstantTimeEq as _;

use crate::exchange::State;
use crate::lookup::Waiting;
use crate::{Challenges, Lookup, SaslError, Step, digest, prep};
use message::{Authenticate, flag, utf16};

/// Nothing was said yet.
#[derive(Debug)]
pub(crate) struct Server {
    host: DomainName,
    challenge: [u8; 8],
    now: Timestamp,
}

impl Server {
    pub(crate) fn new(challenges: &Challenges) -> Self {
        Self { host: challenges.host().clone(), challenge: challenges.octets(), now: challenges.now() }
    }

    pub(crate) fn negotiate(self, negotiate: &[u8]) -> Result<Step, SaslError> {
        let offered = message::negotiate_flags(negotiate)?;
        // One character set, Unicode if the client has it; and of the rest only what does not turn on session security.
        let characters = if offered & flag::UNICODE == 0 { flag::OEM } else { flag::UNICODE };
        let echoed = offered & (flag::REQUEST_TARGET | flag::ALWAYS_SIGN | flag::EXTENDED_SESSION_SECURITY);
        let flags = characters | echoed | flag::NTLM | flag::TARGET_TYPE_SERVER | flag::TARGET_INFO;
        let challenge = message::challenge(flags, self.challenge, &self.host, self.now);
        let challenged = Challenged {
            host: self.host,
            challenge: self.challenge,
            flags,
            messages: [negotiate, &challenge].concat(),
        };
        Ok(State::NtlmAuthenticate(challenged).challenge(challenge))
    }
}

/// The challenge was sent.
#[derive(Debug)]
pub(crate) struct Challenged {
    host: DomainName,
    challenge: [u8; 8],
    flags: u32,
    /// Both messages: the integrity code is over them too.
    messages: Vec<u8>,
}

impl Challenged {
    pub(crate) fn authenticate(self, response: &[u8]) -> Result<Lookup, SaslError> {
        let authenticate = Authenticate::parse(response, self.flags)?;
        let login = login(&authenticate.user, &authenticate.domain, &self.host)?;
        let answer = Answer {
            identity: identity(&authenticate.user, &authenticate.domain),
            challenge: self.challenge,
            proof: authenticate.proof,
            blob: authenticate.blob.to_vec(),
            integrity: authenticate
                .mic
                .map(|code| Integrity { code, messages: [self.messages, message::without_mic(response)].concat() }),
        };
        Ok(Lookup::new(login, Waiting::Ntlm(answer)))
    }
}

/// Clients split `alice@acme.test` into a user and a domain, or leave it whole and the domain empty; or they put there what
/// we called ourselves, or some workgroup: then the user stands alone.
fn login(user: &str, domain: &str, host: &DomainName) -> Result<String, SaslError> {
    let is_domain_name = domain.contains('.') && !domain.eq_ignore_ascii_case(host.as_str());
    if is_domain_name && !user.is_empty() && !user.contains('@') {
        prep::login(&format!("{user}@{domain}"))
    } else {
        prep::login(user)
    }
}

/// What the client answered.
#[derive(Debug)]
pub(crate) struct Answer {
    identity: Vec<u8>,
    challenge: [u8; 8],
    proof: [u8; 16],
    blob: Vec<u8>,
    integrity: Option<Integrity>,
}

/// The message integrity code and what it is over.
#[derive(Debug)]
struct Integrity {
    code: [u8; 16],
    messages: Vec<u8>,
}

impl Answer {
    pub(crate) fn proves(&self, secret: &Secret) -> bool {
        let Some(key) = response_key(secret, &self.identity) else { return false };
        let proof = digest::hmac_md5(key.expose(), &[&self.challenge, &self.blob]);
        let proved: bool = proof.ct_eq(&self.proof).into();
        let intact = self.integrity.as_ref().is_none_or(|integrity| {
            let session_key = digest::hmac_md5(key.expose(), &[&proof]);
            digest::hmac_md5(&session_key, &[&integrity.messages]).ct_eq(&integrity.code).into()
        });
        proved && intact
    }
}

/// NTOWFv2 (section 3.3.2).
fn response_key(secret: &Secret, identity: &[u8]) -> Option<Secret> {
    let password = Secret::new(utf16(secret.expose_str()?));
    let hash = Secret::new(digest::md4(password.expose()).to_vec());
    Some(Secret::new(digest::hmac_md5(hash.expose(), &[identity]).to_vec()))
}

/// The user in capitals, the domain as it is.
fn identity(user: &str, domain: &str) -> Vec<u8> {
    let user: String = user.chars().map(capital).collect();
    [utf16(&user), utf16(domain)].concat()
}

/// As Windows has it: one character for one, or none.
fn capital(c: char) -> char {
    let mut capitals = c.to_uppercase();
    match (capitals.next(), capitals.next()) {
        (Some(capital), None) => capital,
        _ => c,
    }
}

#[cfg(test)]
mod tests;
