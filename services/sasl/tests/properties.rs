//! Any responses in any mechanism: no panic, an end after few steps, bounded challenges, and nobody who does not know a
//! secret proves to know it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_types::{DomainName, Secret, SystemClock, SystemRandom};
use proptest::prelude::*;
use sasl::{
    Account, Candidate, Challenges, ChannelBindings, Context, Exchange, Material, Mechanism, Mechanisms, ScramKeys,
    Step, TokenRefusal, TokenStatus, apop,
};

/// More than any mechanism has.
const MOST_STEPS: usize = 6;
const MOST_CHALLENGE: usize = 4096;

fn account(material: Material) -> Account {
    let secret = Secret::from("rst-secret");
    let keys = match material {
        Material::Scram(hash) => vec![(Candidate(0), ScramKeys::derive(hash, &secret, b"salt", NonZeroU32::MIN))],
        Material::Secrets => Vec::new(),
    };
    Account { salt: b"salt".to_vec(), iterations: NonZeroU32::MIN, keys, secrets: vec![(Candidate(0), secret)] }
}

/// Plays the client's lines; the number of steps that were taken.
fn play(mechanism: Mechanism, initial: Option<&[u8]>, lines: &[Vec<u8>]) -> usize {
    let host = DomainName::parse("pop.acme.test").unwrap();
    let challenges = Challenges::new(host, Arc::new(SystemClock), Arc::new(SystemRandom));
    let bindings = ChannelBindings { tls_exporter: Some([7; 32]), tls_server_end_point: Some(vec![8; 32]) };
    let certificate = ["alice@acme.test".to_owned()];
    let offered = Mechanisms::all();
    let context = Context { offered, bindings: &bindings, certificate: &certificate, challenges: &challenges };
    let mut lines = lines.iter();
    let mut step = Exchange::begin(mechanism, initial, &context);
    for steps in 1.. {
        step = match step {
            Ok(Step::Challenge(awaiting, challenge)) => {
                assert!(challenge.len() <= MOST_CHALLENGE, "a challenge of {} octets", challenge.len());
                let Some(line) = lines.next() else { return steps };
                awaiting.respond(line)
            }
            Ok(Step::Lookup(lookup)) => {
                let account = account(lookup.material());
                Ok(lookup.answer(account))
            }
            Ok(Step::Token { check, .. }) => {
                let status = TokenStatus::InvalidToken;
                Ok(check.refused(&TokenRefusal { status, scope: None, openid_configuration: None }))
            }
            Ok(Step::Proved(proof)) => panic!("proved by nobody who knows the secret: {proof:?}"),
            Ok(Step::Password { .. } | Step::Certificate { .. } | Step::Refused) | Err(_) => return steps,
        };
    }
    unreachable!("an exchange has an end")
}

/// What the parsers look for, so that some of it comes by.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        &b"n,,"[..],
        b"y,,",
        b"p=tls-exporter,,",
        b"p=tls-server-end-point,,",
        b"n,a=bob,",
        b"n=user,",
        b"m=x,",
        b"r=abc",
        b",x=y",
        b"c=biws,",
        b",p=",
        b"=2C",
        b"=",
        b",",
        b"\0",
        b"\x01",
        b"\x01\x01",
        b"user=",
        b"auth=",
        b"Bearer t",
        b"host=h",
        b" ",
        b"b913a602c7eda7a495b4e6e7334d3890",
        b"NTLMSSP\0",
        b"\x01\0\0\0",
        b"\x03\0\0\0",
        b"\x18\0\x18\0\x58\0\0\0",
        b"\x40\0\x40\0\x58\0\0\0",
        b"\x02\0\x02\0\xff\xff\xff\xff",
        b"\x01\x01\0\0\0\0\0\0",
        b"\x07\x82\x08\xe2",
        b"\x06\0\x04\0\x02\0\0\0",
    ]);
    prop_oneof![
        3 => known.prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..200usize).prop_map(|(octet, count)| vec![octet; count]),
    ]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let encoded =
        prop::collection::vec(fragment(), 0..14).prop_map(|parts| STANDARD.encode(parts.concat()).into_bytes());
    prop_oneof![
        8 => encoded,
        1 => prop::collection::vec(any::<u8>(), 0..100),
        1 => Just(Vec::new()),
        1 => Just(b"=".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_responses_come_to_an_end(
        mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
        initial in prop::option::of(line()),
        lines in prop::collection::vec(line(), 0..5),
    ) {
        let steps = play(mechanism, initial.as_deref(), &lines);
        prop_assert!(steps <= MOST_STEPS, "{steps} steps");
    }

    /// NTLM's messages have a header whose fields point anywhere.
    #[test]
    fn any_ntlm_header_is_read_within_bounds(
        header in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..120),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let authenticate = [b"NTLMSSP\0\x03\0\0\0".as_slice(), &header, &payload].concat();
        let lines = [STANDARD.encode(authenticate).into_bytes()];
        let negotiate = STANDARD.encode(b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xe2");
        prop_assert!(play(Mechanism::Ntlm, Some(negotiate.as_bytes()), &lines) <= MOST_STEPS);
    }

    #[test]
    fn any_apop_arguments_are_read(name in prop::collection::vec(any::<u8>(), 0..50), digest in fragment()) {
        if let Ok(lookup) = apop("<1.2@host>", &name, &digest) {
            let account = account(lookup.material());
            prop_assert!(matches!(lookup.answer(account), Step::Refused));
        }
    }
}
