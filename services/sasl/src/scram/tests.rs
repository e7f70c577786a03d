use std::num::NonZeroU32;

use mail_types::Secret;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;

use super::*;
use crate::{Exchange, Material, Mechanisms, challenges};

const PASSWORD: &str = "pencil";

fn iterations() -> NonZeroU32 {
    NonZeroU32::new(4096).unwrap()
}

fn account(hash: ScramHash, salt: &[u8], passwords: &[&str]) -> Account {
    let keys = |(at, password): (usize, &&str)| {
        (Candidate(at), ScramKeys::derive(hash, &Secret::from(*password), salt, iterations()))
    };
    let keys = passwords.iter().enumerate().map(keys).collect();
    Account { salt: salt.to_vec(), iterations: iterations(), keys, secrets: Vec::new() }
}

#[track_caller]
fn challenge(step: Result<Step, SaslError>) -> (Exchange, String) {
    let Ok(Step::Challenge(awaiting, challenge)) = step else { panic!("no challenge: {step:?}") };
    (awaiting, String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap())
}

/// An example of an RFC: the messages, in order, without the last empty one.
struct Example {
    hash: ScramHash,
    our_nonce: &'static str,
    salt: &'static str,
    messages: [&'static str; 4],
}

/// RFC 5802 section 5.
const SHA1: Example = Example {
    hash: ScramHash::Sha1,
    our_nonce: "3rfcNHYJY1ZVvWVs7j",
    salt: "QSXCR+Q6sek8bf92",
    messages: [
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ],
};

/// RFC 7677 section 3.
const SHA256: Example = Example {
    hash: ScramHash::Sha256,
    our_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    messages: [
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ],
};

impl Example {
    fn looked_up(&self) -> Lookup {
        let variant = Variant::Unbound { offered: false };
        let begun = Begun { hash: self.hash, variant, nonce: self.our_nonce.to_owned() };
        begun.first(self.messages[0].as_bytes()).unwrap()
    }

    /// Up to the client's proof, against these passwords.
    fn proof(&self, passwords: &[&str]) -> Step {
        let account = account(self.hash, &STANDARD.decode(self.salt).unwrap(), passwords);
        let (awaiting, server_first) = challenge(Ok(self.looked_up().answer(account)));
        assert_eq!(server_first, self.messages[1]);
        awaiting.respond(STANDARD.encode(self.messages[2]).as_bytes()).unwrap()
    }
}

#[test]
fn the_examples_of_the_rfcs() {
    for example in [SHA1, SHA256] {
        let lookup = example.looked_up();
        assert_eq!((lookup.login(), lookup.material()), ("user", Material::Scram(example.hash)));
        let (awaiting, server_final) = challenge(Ok(example.proof(&[PASSWORD])));
        assert_eq!(server_final, example.messages[3]);
        let proved = awaiting.respond(b"").unwrap();
        assert!(matches!(proved, Step::Proved(Proof { login, candidate: Candidate(0) }) if login == "user"));
    }
}

#[test]
fn the_proof_is_tried_against_every_key() {
    let (awaiting, _) = challenge(Ok(SHA256.proof(&["paper", "ink", PASSWORD, "quill"])));
    let proved = awaiting.respond(b"").unwrap();
    assert!(matches!(proved, Step::Proved(Proof { candidate: Candidate(2), .. })), "{proved:?}");
    assert!(matches!(SHA256.proof(&["paper", "ink"]), Step::Refused));
    assert!(matches!(SHA256.proof(&[]), Step::Refused), "an unknown account has no keys");
}

#[test]
fn keys_of_another_hash_prove_nothing() {
    let salt = STANDARD.decode(SHA256.salt).unwrap();
    let mut account = account(SHA256.hash, &salt, &[]);
    account.keys =
        vec![(Candidate(0), ScramKeys::derive(ScramHash::Sha1, &Secret::from(PASSWORD), &salt, iterations()))];
    let (awaiting, _) = challenge(Ok(SHA256.looked_up().answer(account)));
    let step = awaiting.respond(STANDARD.encode(SHA256.messages[2]).as_bytes());
    assert!(matches!(step, Ok(Step::Refused)));
}

#[test]
fn the_acknowledgement_is_empty() {
    let (awaiting, _) = challenge(Ok(SHA256.proof(&[PASSWORD])));
    assert_eq!(awaiting.respond(b"eA==").err(), Some(SaslError::Malformed));
    let (awaiting, _) = challenge(Ok(SHA256.proof(&[PASSWORD])));
    assert_eq!(awaiting.respond(b"*").err(), Some(SaslError::Cancelled), "a client that does not believe the server");
}

#[track_caller]
fn check_last(message: &str, expected: SaslError) {
    let account = account(ScramHash::Sha256, b"salt", &[PASSWORD]);
    let (awaiting, _) = challenge(Ok(SHA256.looked_up().answer(account)));
    assert_eq!(awaiting.respond(STANDARD.encode(message).as_bytes()).err(), Some(expected), "{message}");
}

#[test]
fn a_final_message_has_a_form() {
    let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    for malformed in [
        String::new(),
        format!("c=biws,{nonce}"),
        format!("c=biws,{nonce},p="),
        format!("c=biws,{nonce},p=AAAA"),
        format!("c=biws,{nonce},p=!!!!"),
        format!("c=biws,{proof}"),
        format!("{nonce},c=biws,{proof}"),
        format!("c=!,{nonce},{proof}"),
        format!("c=biws,{nonce}x,{proof}"),
        format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,{proof}"),
        format!("c=biws,{nonce},1=x,{proof}"),
        format!("c=biws,{nonce},x,{proof}"),
    ] {
        check_last(&malformed, SaslError::Malformed);
    }
    check_last(&format!("c=biws,{nonce},m=must,{proof}"), SaslError::ExtensionUnknown);
    check_last(&format!("c=biws,{nonce},x=may,m=must,{proof}"), SaslError::ExtensionUnknown);
    check_last(&format!("c=eSws,{nonce},{proof}"), SaslError::BindingMismatch);
    check_last(&format!("c=,{nonce},{proof}"), SaslError::BindingMismatch);
}

#[test]
fn a_final_message_changed_anywhere_proves_nothing() {
    let account = account(SHA256.hash, &STANDARD.decode(SHA256.salt).unwrap(), &[PASSWORD]);
    for at in 0..SHA256.messages[2].len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut message = SHA256.messages[2].as_bytes().to_vec();
            message[at] ^= mask;
            let (awaiting, _) = challenge(Ok(SHA256.looked_up().answer(account.clone())));
            let step = awaiting.respond(STANDARD.encode(&message).as_bytes());
            assert!(matches!(step, Ok(Step::Refused) | Err(_)), "{}", message.escape_ascii());
        }
    }
}

#[track_caller]
fn check_first(message: &[u8], expected: Result<&str, SaslError>) {
    let variant = Variant::Unbound { offered: false };
    let begun = Begun { hash: ScramHash::Sha256, variant, nonce: "ours".to_owned() };
    let login = begun.first(message).map(|lookup| lookup.login().to_owned());
    assert_eq!(login, expected.map(str::to_owned), "{}", message.escape_ascii());
}

#[test]
fn a_first_message_has_a_form() {
    check_first(b"n,,n=user,r=abc", Ok("user"));
    check_first(b"y,,n=user,r=abc", Ok("user"));
    check_first(b"n,,n=a=2Cb=3Dc,r=abc", Ok("a,b=c"));
    check_first("n,,n=I\u{ad}X,r=abc".as_bytes(), Ok("IX"));
    check_first(b"n,a=user,n=user,r=abc", Ok("user"));
    check_first(b"n,,n=user,r=abc,x=ignored,y=too", Ok("user"));
    check_first(b"n,a=other,n=user,r=abc", Err(SaslError::ActsForAnother));
    check_first(b"n,,m=must,n=user,r=abc", Err(SaslError::ExtensionUnknown));
    check_first(b"n,,n=user,r=abc,m=must", Err(SaslError::ExtensionUnknown));
    check_first(b"n,,n=us\x07er,r=abc", Err(SaslError::LoginName));
    for malformed in [
        &b""[..],
        b"n,,",
        b"n=user,r=abc",
        b"n,,n=user",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a\x7fb",
        b"n,,n=user,r=a b",
        b"n,,r=abc,n=user",
        b"n,,n=user,r=abc,",
        b"n,,n=user,r=abc,x",
        b"n,,n=us=er,r=abc",
        b"n,,n=\xff,r=abc",
        b"p=tls-exporter,,n=user,r=abc",
        [b"n,,n=user,r=".as_slice(), &[b'x'; MAX_NONCE + 1]].concat().as_slice(),
    ] {
        check_first(malformed, Err(SaslError::Malformed));
    }
}

/// A client's final message, computed as RFC 5802 section 3 says.
fn client_final(hash: ScramHash, first_bare: &str, server_first: &str, binding: &[u8]) -> String {
    let field = |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(field("s=")).unwrap();
    let mut salted = vec![0; hash.length()];
    match hash {
        ScramHash::Sha256 => pbkdf2_hmac::<Sha256>(PASSWORD.as_bytes(), &salt, 4096, &mut salted),
        ScramHash::Sha1 => pbkdf2_hmac::<Sha1>(PASSWORD.as_bytes(), &salt, 4096, &mut salted),
    }
    let client_key = hash.hmac(&salted, b"Client Key");
    let without_proof = format!("c={},r={}", STANDARD.encode(binding), field("r="));
    let auth_message = format!("{first_bare},{server_first},{without_proof}");
    let signature = hash.hmac(&hash.digest(&client_key), auth_message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

fn bindings() -> ChannelBindings {
    ChannelBindings { tls_exporter: Some([7; 32]), tls_server_end_point: Some(vec![8; 48]) }
}

/// A login over a connection with both bindings, where the client uses this header and this data.
fn bound(mechanism: Mechanism, header: &str, data: &[u8]) -> Result<Step, SaslError> {
    let (bindings, challenges) = (bindings(), challenges::tests::stuck());
    let offered = Mechanisms::all();
    let context = Context { offered, bindings: &bindings, certificate: &[], challenges: &challenges };
    let first_bare = "n=user,r=abc";
    let first = STANDARD.encode(format!("{header}{first_bare}"));
    let Step::Lookup(lookup) = Exchange::begin(mechanism, Some(first.as_bytes()), &context)? else {
        panic!("no lookup")
    };
    let Material::Scram(hash) = lookup.material() else { panic!("not SCRAM") };
    let (awaiting, server_first) = challenge(Ok(lookup.answer(account(hash, b"salt", &[PASSWORD]))));
    let client_final = client_final(hash, first_bare, &server_first, &[header.as_bytes(), data].concat());
    awaiting.respond(STANDARD.encode(client_final).as_bytes())
}

#[test]
fn a_proof_is_bound_to_the_connection() {
    for mechanism in [Mechanism::ScramSha256Plus, Mechanism::ScramSha1Plus] {
        let bound = |header, data: &[u8]| bound(mechanism, header, data);
        assert!(matches!(bound("p=tls-exporter,,", &[7; 32]), Ok(Step::Challenge(..))));
        assert!(matches!(bound("p=tls-server-end-point,,", &[8; 48]), Ok(Step::Challenge(..))));
        assert_eq!(bound("p=tls-exporter,,", &[9; 32]).err(), Some(SaslError::BindingMismatch), "another connection");
        assert_eq!(bound("p=tls-exporter,,", &[]).err(), Some(SaslError::BindingMismatch));
        assert_eq!(bound("p=tls-server-end-point,,", &[7; 32]).err(), Some(SaslError::BindingMismatch), "another type");
        assert_eq!(bound("p=tls-unique,,", &[7; 12]).err(), Some(SaslError::BindingUnknown));
        assert_eq!(bound("n,,", &[]).err(), Some(SaslError::Malformed), "-PLUS is bound");
        assert_eq!(bound("y,,", &[]).err(), Some(SaslError::Malformed));
    }
}

#[test]
fn a_client_that_was_not_shown_plus_finds_out() {
    assert_eq!(bound(Mechanism::ScramSha256, "y,,", &[]).err(), Some(SaslError::BindingHidden));
    assert_eq!(bound(Mechanism::ScramSha256, "p=tls-exporter,,", &[7; 32]).err(), Some(SaslError::Malformed));
    assert!(matches!(bound(Mechanism::ScramSha256, "n,,", &[]), Ok(Step::Challenge(..))));
    assert!(matches!(bound(Mechanism::ScramSha1, "n,a=user,", &[]), Ok(Step::Challenge(..))));
}

#[test]
fn a_binding_that_the_connection_lacks_is_unknown() {
    let none = ChannelBindings::default();
    assert!(none.is_empty() && !bindings().is_empty());
    let variant = Variant::Bound(ChannelBindings { tls_exporter: None, ..bindings() });
    let begun = Begun { hash: ScramHash::Sha256, variant, nonce: "ours".to_owned() };
    assert_eq!(begun.first(b"p=tls-exporter,,n=user,r=abc").err(), Some(SaslError::BindingUnknown));
}
