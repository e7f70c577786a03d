//! Every mechanism's exchange: any responses come to an end in few steps with challenges of bounded length, and nobody is
//! proved to be an account that has no credentials.
//!
//! The first octet chooses the mechanism, the second what there is behind the server; the rest are the client's lines, each
//! before an octet 0xff. By the second octet they are base64 already, or are made it, so that what is inside can be varied.
#![no_main]

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use mail_types::Secret;
use restante_fuzz::{challenges, steered};
use sasl::{
    Account, Candidate, ChannelBindings, Context, Exchange, MAX_RESPONSE, Material, Mechanism, Mechanisms, ScramKeys,
    Step, TokenRefusal, TokenStatus, apop, prep,
};

/// More than any mechanism has.
const MOST_STEPS: usize = 6;
/// Of base64 text. SCRAM sends the client's nonce back, which may have 512 octets.
const MOST_CHALLENGE: usize = 2048;

const HAS_CREDENTIALS: u8 = 1;
const ENCODED: u8 = 2;
const NO_INITIAL: u8 = 4;
const BOUND: u8 = 8;

fn account(material: Material, has_credentials: bool) -> Account {
    let (salt, iterations) = (b"salt".to_vec(), NonZeroU32::MIN);
    if !has_credentials {
        return Account { salt, iterations, keys: Vec::new(), secrets: Vec::new() };
    }
    let secret = Secret::from("rst-secret");
    let keys = match material {
        Material::Scram(hash) => vec![(Candidate(0), ScramKeys::derive(hash, &secret, &salt, iterations))],
        Material::Secrets => Vec::new(),
    };
    Account { salt, iterations, keys, secrets: vec![(Candidate(0), secret)] }
}

fn check_login(login: &str) {
    assert!(!login.is_empty() && !login.contains('\0'), "a login name of nothing");
    assert_eq!(prep::login(login).as_deref(), Ok(login), "a prepared name is prepared");
}

fuzz_target!(|input: &[u8]| {
    let ([which, flags], rest) = steered(input);
    let has_credentials = flags & HAS_CREDENTIALS != 0;
    let encode = |line: &[u8]| match flags & ENCODED != 0 {
        true => line.to_vec(),
        false => STANDARD.encode(line).into_bytes(),
    };
    let mut lines = rest.split(|octet| *octet == 0xff);

    let challenges = challenges();
    let choice = usize::from(which) % (Mechanism::ALL.len() + 1);
    let Some(&mechanism) = Mechanism::ALL.get(choice) else {
        // APOP, whose digest comes with the name.
        let (name, digest) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        if let Ok(lookup) = apop("<1.2@host>", name, digest) {
            check_login(lookup.login());
            let account = account(lookup.material(), has_credentials);
            assert!(has_credentials || matches!(lookup.answer(account), Step::Refused));
        }
        return;
    };
    let bindings = match flags & BOUND != 0 {
        true => ChannelBindings { tls_exporter: Some([7; 32]), tls_server_end_point: Some(vec![8; 32]) },
        false => ChannelBindings::default(),
    };
    let certificate = ["alice@acme.test".to_owned(), "b@acme.test".to_owned()];
    let offered = Mechanisms::all();
    let context = Context { offered, bindings: &bindings, certificate: &certificate, challenges: &challenges };
    let initial = if flags & NO_INITIAL != 0 { None } else { lines.next().map(encode) };
    let mut step = Exchange::begin(mechanism, initial.as_deref(), &context);
    let mut looked_up = String::new();
    for steps in 0.. {
        assert!(steps <= MOST_STEPS, "{mechanism:?} does not end");
        step = match step {
            Ok(Step::Challenge(exchange, challenge)) => {
                assert!(challenge.len() <= MOST_CHALLENGE, "{} octets", challenge.len());
                assert!(STANDARD.decode(&challenge).is_ok());
                let Some(line) = lines.next() else { return };
                exchange.respond(&encode(line))
            }
            Ok(Step::Lookup(lookup)) => {
                check_login(lookup.login());
                looked_up = lookup.login().to_owned();
                let account = account(lookup.material(), has_credentials);
                Ok(lookup.answer(account))
            }
            Ok(Step::Token { login, token, check }) => {
                if let Some(login) = &login {
                    check_login(login);
                }
                assert!(token.expose().len() <= MAX_RESPONSE);
                let (status, issuer) = (TokenStatus::InvalidToken, "https://login.acme.test/\"");
                let scope = Some("mail".to_owned());
                Ok(check.refused(&TokenRefusal { status, scope, openid_configuration: Some(issuer.to_owned()) }))
            }
            Ok(Step::Password { login, secret }) => {
                check_login(&login);
                assert!(!secret.expose().is_empty());
                assert!(prep::spellings(&secret).count() <= 2, "a secret has few spellings");
                return;
            }
            Ok(Step::Certificate { login }) => {
                assert!(certificate.contains(&login));
                return;
            }
            Ok(Step::Proved(proof)) => {
                assert!(has_credentials, "proved without a credential");
                assert_eq!((proof.candidate, proof.login), (Candidate(0), looked_up));
                return;
            }
            Ok(Step::Refused) | Err(_) => return,
        };
    }
});
