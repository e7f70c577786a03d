//! SCRAM (RFC 5802, RFC 7677), with the channel bindings tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929).
//!
//! ```text
//! C: n,,n=login,r=NONCE                       Begun   -> Named    (the account is looked up)
//! S: r=NONCE+OURS,s=SALT,i=4096               Named   -> Salted
//! C: c=biws,r=NONCE+OURS,p=PROOF              Salted  -> proved, or refused without a word more
//! S: v=SIGNATURE
//! C:
//! ```
//!
//! An account has one salt and one iteration count, which are told before the client says which of its credentials it has;
//! the proof is then tried against the keys of each. Without any the exchange runs to its end all the same.

pub(crate) mod gs2;
mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use keys::{ScramHash, ScramKeys};

use crate::exchange::State;
use crate::lookup::Waiting;
use crate::{Account, Candidate, Context, Lookup, Mechanism, Proof, SaslError, Step};
use gs2::Binding;

/// The longest nonce of a client, in octets. Theirs have 16 to 64.
const MAX_NONCE: usize = 512;

/// What a TLS connection has that no other has, for the proof to be bound to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelBindings {
    /// RFC 9266 section 2: 32 octets exported with label `EXPORTER-Channel-Binding`. Only of TLS 1.3, or of TLS 1.2 with the
    /// extended master secret.
    pub tls_exporter: Option<[u8; 32]>,
    /// RFC 5929 section 4.1: the hash of the certificate that the server sent.
    pub tls_server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// Whether there is nothing to bind to: then no -PLUS mechanism is to be offered.
    pub fn is_empty(&self) -> bool {
        self.tls_exporter.is_none() && self.tls_server_end_point.is_none()
    }

    fn of_type(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.tls_exporter.as_ref().map(<[u8; 32]>::as_slice),
            "tls-server-end-point" => self.tls_server_end_point.as_deref(),
            _ => None,
        }
    }
}

/// Nothing was said yet.
#[derive(Debug)]
pub(crate) struct Begun {
    hash: ScramHash,
    variant: Variant,
    /// Our part of the nonce.
    nonce: String,
}

#[derive(Debug)]
enum Variant {
    /// -PLUS: the client uses one of these.
    Bound(ChannelBindings),
    /// The client uses none; `offered`: although it could.
    Unbound { offered: bool },
}

impl Begun {
    pub(crate) fn new(hash: ScramHash, plus: bool, context: &Context<'_>) -> Self {
        let variant = if plus {
            Variant::Bound(context.bindings.clone())
        } else {
            Variant::Unbound { offered: context.offered.contains(Mechanism::plus(hash)) }
        };
        Self { hash, variant, nonce: context.challenges.nonce() }
    }

    /// `client-first-message`
    pub(crate) fn first(self, message: &[u8]) -> Result<Lookup, SaslError> {
        let message = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let (header, bare) = gs2::parse(message)?;
        let binding_data = self.variant.binding_data(header.binding)?;
        let mut attributes = bare.split(',');
        let login = match attributes.next().and_then(|first| first.split_once('=')) {
            Some(("n", name)) => gs2::name(name)?,
            Some(("m", _)) => return Err(SaslError::ExtensionUnknown),
            _ => return Err(SaslError::Malformed),
        };
        let nonce = attributes.next().and_then(|second| second.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or(SaslError::Malformed)?;
        check_extensions(attributes)?;
        if header.authzid.is_some_and(|authzid| authzid != login) {
            return Err(SaslError::ActsForAnother);
        }
        let named = Named {
            hash: self.hash,
            client_first_bare: bare.to_owned(),
            nonce: format!("{nonce}{}", self.nonce),
            binding: [header.raw.as_bytes(), binding_data].concat(),
        };
        Ok(Lookup::new(login, Waiting::Scram(named)))
    }
}

impl Variant {
    /// What the proof is bound to beside the header (RFC 5802 section 6).
    fn binding_data(&self, used: Binding<'_>) -> Result<&[u8], SaslError> {
        match (self, used) {
            (Self::Bound(bindings), Binding::Used(name)) => bindings.of_type(name).ok_or(SaslError::BindingUnknown),
            (Self::Unbound { .. }, Binding::Unsupported) | (Self::Unbound { offered: false }, Binding::NotOffered) => {
                Ok(&[])
            }
            // The list of mechanisms is not protected; this is how a client notices that somebody shortened it.
            (Self::Unbound { offered: true }, Binding::NotOffered) => Err(SaslError::BindingHidden),
            // -PLUS without a binding, or the other way round: it is the one exactly when it is the other.
            (Self::Bound(_), _) | (Self::Unbound { .. }, Binding::Used(_)) => Err(SaslError::Malformed),
        }
    }
}

/// The client said who it is, and the account is looked up.
#[derive(Debug)]
pub(crate) struct Named {
    hash: ScramHash,
    client_first_bare: String,
    /// Both parts.
    nonce: String,
    /// The header and the data of the channel binding.
    binding: Vec<u8>,
}

impl Named {
    pub(crate) fn hash(&self) -> ScramHash {
        self.hash
    }

    /// `server-first-message`
    pub(crate) fn answer(self, login: String, account: Account) -> Step {
        let server_first = format!("r={},s={},i={}", self.nonce, STANDARD.encode(&account.salt), account.iterations);
        let salted = Salted {
            login,
            hash: self.hash,
            first_messages: format!("{},{server_first}", self.client_first_bare),
            nonce: self.nonce,
            binding: self.binding,
            keys: account.keys,
        };
        State::ScramFinal(salted).challenge(server_first)
    }
}

/// The client knows the salt.
#[derive(Debug)]
pub(crate) struct Salted {
    login: String,
    hash: ScramHash,
    /// `client-first-message-bare "," server-first-message`
    first_messages: String,
    nonce: String,
    binding: Vec<u8>,
    keys: Vec<(Candidate, ScramKeys)>,
}

impl Salted {
    /// `client-final-message`. After a wrong proof the server sends no error of its own (`e=`): RFC 5802 section 5.1 leaves
    /// that to it, and the protocol's refusal, which comes at its fixed moment, says all there is to say.
    pub(crate) fn last(self, message: &[u8]) -> Result<Step, SaslError> {
        let message = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let proof = STANDARD.decode(proof).ok().filter(|proof| proof.len() == self.hash.length());
        let proof = proof.ok_or(SaslError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|first| first.strip_prefix("c="));
        let binding = binding.and_then(|binding| STANDARD.decode(binding).ok()).ok_or(SaslError::Malformed)?;
        let nonce = attributes.next().and_then(|second| second.strip_prefix("r="));
        if nonce != Some(self.nonce.as_str()) {
            return Err(SaslError::Malformed);
        }
        check_extensions(attributes)?;
        if binding != self.binding {
            return Err(SaslError::BindingMismatch);
        }
        let auth_message = format!("{},{without_proof}", self.first_messages);
        let Some((candidate, keys)) = self.proved(auth_message.as_bytes(), &proof) else {
            return Ok(Step::Refused);
        };
        let signature = keys.server_signature(self.hash, auth_message.as_bytes());
        let server_final = format!("v={}", STANDARD.encode(signature));
        let proof = Proof { candidate: *candidate, login: self.login };
        Ok(State::ScramProved(proof).challenge(server_final))
    }

    /// The first credential whose keys the proof fits. Every one is tried, so that the time does not tell which.
    fn proved(&self, auth_message: &[u8], proof: &[u8]) -> Option<&(Candidate, ScramKeys)> {
        self.keys.iter().fold(None, |found, credential| {
            let (_, keys) = credential;
            let verified = keys.verify(self.hash, auth_message, proof);
            found.or(verified.then_some(credential))
        })
    }
}

/// Printable and without a comma (RFC 5802 section 7).
fn is_nonce(nonce: &str) -> bool {
    (1..=MAX_NONCE).contains(&nonce.len()) && nonce.bytes().all(|octet| octet.is_ascii_graphic() && octet != b',')
}

/// Extensions are not looked at, but for the one that must be understood, wherever it is (RFC 5802 section 5.1).
fn check_extensions<'a>(mut attributes: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    attributes.try_for_each(|attribute| match attribute {
        mandatory if mandatory.starts_with("m=") => Err(SaslError::ExtensionUnknown),
        optional if is_attribute(optional) => Ok(()),
        _ => Err(SaslError::Malformed),
    })
}

/// `ALPHA "=" value` (RFC 5802 section 7), as extensions are.
fn is_attribute(attribute: &str) -> bool {
    matches!(attribute.as_bytes(), [name, b'=', value, ..] if name.is_ascii_alphabetic() && *value != 0)
}

#[cfg(test)]
mod tests;
