use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::{Account, Candidate, Proof, challenges};

const UNICODE_CLIENT: u32 = 0xe208_8297;
const SERVER_CHALLENGE: [u8; 8] = [0x2a; 8];

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks_exact(2).map(pair).collect()
}

/// MS-NLMP section 4.2.4: the figures for NTLMv2.
mod example {
    pub(super) const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    pub(super) const RESPONSE_KEY: &str = "0c868a403bfd7a93a3001ef22ef02e3f";
    pub(super) const BLOB: &str = "0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
        02000c00 44006f006d00610069006e00 01000c00 530065007200760065007200 00000000 00000000";
    pub(super) const PROOF: &str = "68cd0ab851e51c96aabc927bebef6a1c";
    pub(super) const SESSION_KEY: &str = "8de40ccadbc14a82f15cb0ad0de95ca3";
}

#[test]
fn the_figures_of_the_specification() {
    let secret = Secret::from("Password");
    let identity = identity("User", "Domain");
    let key = response_key(&secret, &identity).unwrap();
    assert_eq!(key.expose(), octets(example::RESPONSE_KEY));
    let proof: [u8; 16] = octets(example::PROOF).try_into().unwrap();
    assert_eq!(digest::hmac_md5(key.expose(), &[&proof]).to_vec(), octets(example::SESSION_KEY));
    let blob = octets(example::BLOB);
    let answer = Answer { identity, challenge: example::CHALLENGE, proof, blob, integrity: None };
    assert!(answer.proves(&secret));
    assert!(!answer.proves(&Secret::from("password")));
    assert!(!answer.proves(&Secret::new(vec![0xff])));
}

/// A client's message: like the server's, written from MS-NLMP section 2.2.1.3.
struct Client {
    user: &'static str,
    domain: &'static str,
    password: &'static str,
    unicode: bool,
    mic: bool,
}

const ALICE: Client = Client { user: "alice@acme.test", domain: "", password: "rst-secret", unicode: true, mic: false };

impl Client {
    fn negotiate(&self) -> Vec<u8> {
        let flags = if self.unicode { UNICODE_CLIENT } else { UNICODE_CLIENT & !flag::UNICODE };
        [b"NTLMSSP\0\x01\0\0\0".as_slice(), &flags.to_le_bytes(), &[0; 16]].concat()
    }

    fn text(&self, text: &str) -> Vec<u8> {
        if self.unicode { utf16(text) } else { text.as_bytes().to_vec() }
    }

    fn blob(&self, information: &[u8]) -> Vec<u8> {
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend_from_slice(&[9; 8]);
        blob.extend_from_slice(&[0xaa; 8]);
        blob.extend_from_slice(&[0; 4]);
        let attributes = information.strip_suffix(&[0; 4]).unwrap();
        blob.extend_from_slice(attributes);
        if self.mic {
            blob.extend_from_slice(&[6, 0, 4, 0, 2, 0, 0, 0]);
        }
        blob.extend_from_slice(&[0; 8]);
        blob
    }

    /// The answer to a challenge.
    fn authenticate(&self, challenge: &[u8]) -> Vec<u8> {
        let information_at = u32::from_le_bytes(challenge[44..48].try_into().unwrap()) as usize;
        let blob = self.blob(&challenge[information_at..]);
        let hash = digest::md4(&utf16(self.password));
        let key = digest::hmac_md5(&hash, &[&utf16(&self.user.to_uppercase()), &utf16(self.domain)]);
        let proof = digest::hmac_md5(&key, &[&challenge[24..32], &blob]);
        let response = [&proof[..], &blob].concat();
        let mut message = self.message(&response, u32::from_le_bytes(challenge[20..24].try_into().unwrap()));
        if self.mic {
            let session_key = digest::hmac_md5(&key, &[&proof]);
            let code = digest::hmac_md5(&session_key, &[&self.negotiate(), challenge, &message]);
            message[72..88].copy_from_slice(&code);
        }
        message
    }

    fn message(&self, response: &[u8], flags: u32) -> Vec<u8> {
        let contents =
            [vec![0; 24], response.to_vec(), self.text(self.domain), self.text(self.user), self.text("PHONE"), vec![]];
        let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let mut offset = 88;
        for content in &contents {
            let length = u16::try_from(content.len()).unwrap().to_le_bytes();
            message.extend_from_slice(&[length, length].concat());
            message.extend_from_slice(&u32::try_from(offset).unwrap().to_le_bytes());
            offset += content.len();
        }
        message.extend_from_slice(&flags.to_le_bytes());
        message.extend_from_slice(&[0; 24]);
        message.extend_from_slice(&contents.concat());
        message
    }

    /// The messages up to the challenge.
    #[track_caller]
    fn challenged(&self) -> (crate::Exchange, Vec<u8>) {
        let step = Server::new(&challenges::tests::stuck()).negotiate(&self.negotiate());
        let Ok(Step::Challenge(awaiting, challenge)) = step else { panic!("no challenge: {step:?}") };
        (awaiting, STANDARD.decode(challenge).unwrap())
    }

    /// A whole login, the last message tampered with.
    fn login(&self, secrets: &[&str], tamper: impl FnOnce(&mut Vec<u8>)) -> Result<(String, Option<usize>), SaslError> {
        let (awaiting, challenge) = self.challenged();
        let mut authenticate = self.authenticate(&challenge);
        tamper(&mut authenticate);
        let step = awaiting.respond(STANDARD.encode(authenticate).as_bytes())?;
        let Step::Lookup(lookup) = step else { panic!("no lookup") };
        let login = lookup.login().to_owned();
        let secrets = secrets.iter().enumerate().map(|(at, &secret)| (Candidate(at), Secret::from(secret))).collect();
        let account = Account { salt: vec![0], iterations: std::num::NonZeroU32::MIN, keys: Vec::new(), secrets };
        match lookup.answer(account) {
            Step::Proved(Proof { candidate, .. }) => Ok((login, Some(candidate.0))),
            Step::Refused => Ok((login, None)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_proves_itself() {
    let alice = || "alice@acme.test".to_owned();
    for client in [ALICE, Client { unicode: false, ..ALICE }, Client { mic: true, ..ALICE }] {
        assert_eq!(client.login(&["rst-other", "rst-secret"], |_| {}), Ok((alice(), Some(1))));
        assert_eq!(client.login(&["rst-other"], |_| {}), Ok((alice(), None)));
        assert_eq!(client.login(&[], |_| {}), Ok((alice(), None)), "an unknown account");
    }
    let split = Client { user: "J\u{f6}rg", domain: "acme.test", ..ALICE };
    assert_eq!(split.login(&["rst-secret"], |_| {}), Ok(("J\u{f6}rg@acme.test".to_owned(), Some(0))));
}

#[test]
fn a_broken_integrity_code_proves_nothing() {
    let client = Client { mic: true, ..ALICE };
    let logged_in = |tamper: fn(&mut Vec<u8>)| client.login(&["rst-secret"], tamper).map(|(_, candidate)| candidate);
    assert_eq!(logged_in(|_| {}), Ok(Some(0)));
    let key_exchange = logged_in(|message| message[63] |= 0x40);
    assert_eq!(key_exchange, Err(SaslError::Malformed), "nobody asked for one");
    for at in 0..client.authenticate(&client.challenged().1).len() {
        let logged_in = client.login(&["rst-secret"], |message| message[at] ^= 1);
        assert!(logged_in.is_err() || logged_in.is_ok_and(|(_, candidate)| candidate.is_none()), "octet {at}");
    }
}

#[test]
fn the_challenge_says_who_we_are() {
    let (_, challenge) = ALICE.challenged();
    assert_eq!(challenge.get(..12), Some(b"NTLMSSP\0\x02\0\0\0".as_slice()));
    assert_eq!(challenge.get(24..32), Some(SERVER_CHALLENGE.as_slice()));
    let flags = u32::from_le_bytes(challenge[20..24].try_into().unwrap());
    assert_eq!(flags, 0x008a_8205, "no session security, no key exchange");
    assert_eq!(challenge.get(56..62), Some(utf16("POP").as_slice()));
    assert!(challenge.windows(26).any(|window| window == utf16("pop.acme.test")));
    let ticks = 133_444_736_000_000_000u64.to_le_bytes();
    assert!(challenge.windows(12).any(|window| window == [&[7, 0, 8, 0], ticks.as_slice()].concat()));
    let (_, challenge) = Client { unicode: false, ..ALICE }.challenged();
    assert_eq!(challenge.get(56..59), Some(b"POP".as_slice()));
}

#[test]
fn older_responses_are_refused() {
    let (awaiting, _) = ALICE.challenged();
    let message = ALICE.message(&[1; 24], UNICODE_CLIENT);
    assert_eq!(awaiting.respond(STANDARD.encode(message).as_bytes()).err(), Some(SaslError::NtlmTooOld));
}

#[test]
fn a_message_cut_anywhere_or_pointing_anywhere_is_malformed() {
    let whole = ALICE.authenticate(&ALICE.challenged().1);
    // The workstation, which comes last, is not looked at.
    for length in 0..whole.len() - 10 {
        assert!(ALICE.login(&[], |message| message.truncate(length)).is_err(), "{length}");
    }
    for at in [20, 28, 36] {
        for wrong in [[0xff; 4], [0xff, 0xff, 0xff, 0x7f], u32::try_from(whole.len()).unwrap().to_le_bytes()] {
            let tampered = ALICE.login(&[], |message| {
                message[at] = 2;
                message[at + 4..at + 8].copy_from_slice(&wrong);
            });
            assert_eq!(tampered.err(), Some(SaslError::Malformed));
        }
    }
    let begin = |message: &[u8]| Server::new(&challenges::tests::stuck()).negotiate(message).err();
    assert_eq!(begin(b""), Some(SaslError::Malformed));
    assert_eq!(begin(b"NTLMSSP\0\x01\0\0\0"), Some(SaslError::Malformed));
    assert_eq!(begin(b"NTLMSSP\0\x03\0\0\0\x07\x82\x08\0"), Some(SaslError::Malformed));
    assert_eq!(begin(b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\0"), None);
}

#[test]
fn a_login_name_is_put_together() {
    let host = DomainName::parse("pop.acme.test").unwrap();
    let check = |user: &str, domain: &str, expected: &str| {
        assert_eq!(login(user, domain, &host), Ok(expected.to_owned()), "{user} {domain}");
    };
    check("alice@acme.test", "", "alice@acme.test");
    check("alice@acme.test", "other.test", "alice@acme.test");
    check("alice", "acme.test", "alice@acme.test");
    check("alice", "WORKGROUP", "alice");
    check("alice", "Pop.Acme.Test", "alice");
    check("alice", "", "alice");
    assert_eq!(login("", "acme.test", &host), Err(SaslError::LoginName));
}
