//! Every way to prove oneself, end to end: the client's side is computed here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::{ClientCa, Policy};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::{DomainName, Secret};
use md5::{Digest as _, Md5};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    string::Ia5String,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{Client, PASSWORD, config, world, world_with};

const ALICE: &str = "alice@acme.test";
const NONE: &str = "+OK 0 messages (0 octets)";
const WRONG: &str = "-ERR [AUTH] wrong login name or password";

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn challenge(line: &str) -> String {
    String::from_utf8(STANDARD.decode(line.strip_prefix("+ ").unwrap_or_else(|| panic!("{line}"))).unwrap()).unwrap()
}

/// SCRAM-SHA-256 with or without channel binding (RFC 7677): how the server answers at last.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    login: &str,
    secret: &Secret,
    binding: Option<(&str, &[u8])>,
) -> String {
    let (name, header) = match binding {
        Some((kind, _)) => ("SCRAM-SHA-256-PLUS", format!("p={kind},,")),
        None => ("SCRAM-SHA-256", "n,,".to_owned()),
    };
    let first_bare = format!("n={login},r=client");
    let first = STANDARD.encode(format!("{header}{first_bare}"));
    let server_first = challenge(&client.ask(&format!("AUTH {name} {first}")).await);
    let field = |key: &str| server_first.split(',').find_map(|field| field.strip_prefix(key)).unwrap().to_owned();
    let (nonce, salt, iterations) = (field("r="), STANDARD.decode(field("s=")).unwrap(), field("i=").parse().unwrap());
    let bound = [header.as_bytes(), binding.map_or(&[][..], |(_, data)| data)].concat();
    let last_bare = format!("c={},r={nonce}", STANDARD.encode(bound));
    let message = format!("{first_bare},{server_first},{last_bare}");
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(secret.expose(), &salt, iterations, &mut salted);
    let client_key = hmac_sha256(&salted, b"Client Key");
    let signature = hmac_sha256(&Sha256::digest(&client_key), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    let last = STANDARD.encode(format!("{last_bare},p={}", STANDARD.encode(proof)));
    let answer = client.ask(&last).await;
    if answer.starts_with("-ERR") {
        return answer;
    }
    let server_key = hmac_sha256(&salted, b"Server Key");
    let verifier = format!("v={}", STANDARD.encode(hmac_sha256(&server_key, message.as_bytes())));
    assert_eq!(challenge(&answer), verifier, "the server proves itself, too");
    client.ask("").await
}

#[tokio::test]
async fn scram_proves_an_app_password_and_nothing_else() {
    let world = world(config()).await;
    let secret = world.app_password(Policy::default(), false).await;
    let mut client = world.client(world.clear).await;
    assert_eq!(scram(&mut client, "nobody@acme.test", &secret, None).await, WRONG);
    assert_eq!(scram(&mut client, ALICE, &Secret::from("rst-wrong"), None).await, WRONG);
    // By default the account's own password has no keys of SCRAM.
    assert_eq!(scram(&mut client, ALICE, &Secret::from(PASSWORD), None).await, WRONG);
    assert_eq!(scram(&mut client, ALICE, &secret, None).await, NONE);
}

#[tokio::test]
async fn scram_is_bound_to_the_connection() {
    let world = world(config()).await;
    let secret = world.app_password(Policy::default(), false).await;
    let mut client = world.tls_client("localhost").await;
    let capabilities = client.lines("CAPA").await;
    assert!(capabilities.iter().any(|line| line.starts_with("SASL SCRAM-SHA-256-PLUS ")), "{capabilities:?}");
    let tls = client.0.get_ref().get_ref().1;
    let exported = tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap();
    let end_point = Sha256::digest(&tls.peer_certificates().unwrap()[0]).to_vec();
    let other = "-ERR [AUTH] the channel binding is not that of this connection";
    assert_eq!(scram(&mut client, ALICE, &secret, Some(("tls-exporter", &[7; 32]))).await, other);
    assert_eq!(scram(&mut client, ALICE, &secret, Some(("tls-exporter", &exported))).await, NONE);
    let mut client = world.tls_client("localhost").await;
    assert_eq!(scram(&mut client, ALICE, &secret, Some(("tls-server-end-point", &end_point))).await, NONE);
}

#[tokio::test]
async fn login_asks_for_name_and_password() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    for (password, answer) in [("wrong", WRONG), (PASSWORD, NONE)] {
        assert_eq!(challenge(&client.ask("AUTH LOGIN").await), "Username:");
        assert_eq!(challenge(&client.ask(&STANDARD.encode(ALICE)).await), "Password:");
        assert_eq!(client.ask(&STANDARD.encode(password)).await, answer);
    }
}

#[tokio::test]
async fn legacy_mechanisms_work_with_app_passwords_made_for_them() {
    let policy = Policy { legacy_mechanisms: Some(true), ..Policy::default() };
    let world = world_with(pop3d::Config { legacy_mechanisms: true, ..config() }, policy).await;
    let (legacy, modern) =
        (world.app_password(Policy::default(), true).await, world.app_password(Policy::default(), false).await);
    let mut timestamps = Vec::new();
    for (secret, answer) in [(&modern, WRONG), (&legacy, NONE)] {
        let mut client = Client(tokio::io::BufReader::new(tokio::net::TcpStream::connect(world.clear).await.unwrap()));
        let greeting = client.line().await;
        let timestamp = greeting.get(greeting.find('<').unwrap()..).unwrap().to_owned();
        let digest = Md5::new().chain_update(&timestamp).chain_update(secret.expose()).finalize();
        let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(client.ask(&format!("APOP {ALICE} {digest}")).await, answer);
        timestamps.push(timestamp);
    }
    assert_ne!(timestamps.first(), timestamps.last());
    let mut client = world.client(world.clear).await;
    for (secret, answer) in [(&modern, WRONG), (&legacy, NONE)] {
        let asked = challenge(&client.ask("AUTH CRAM-MD5").await);
        let mut mac = Hmac::<Md5>::new_from_slice(secret.expose()).unwrap();
        mac.update(asked.as_bytes());
        let digest: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(client.ask(&STANDARD.encode(format!("{ALICE} {digest}"))).await, answer);
    }
}

#[tokio::test]
async fn a_token_without_an_issuer_is_refused_in_its_mechanism() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    let response = STANDARD.encode(format!("user={ALICE}\x01auth=Bearer abc\x01\x01"));
    let refused = challenge(&client.ask(&format!("AUTH XOAUTH2 {response}")).await);
    assert_eq!(refused, r#"{"status":"401","schemes":"bearer"}"#);
    assert_eq!(client.ask("").await, WRONG);
}

#[tokio::test]
async fn login_names_come_in_several_forms() {
    let world = world(config()).await;
    let mut client = world.client(world.clear).await;
    assert_eq!(client.ask("USER alice%acme.test").await, "+OK now PASS");
    assert_eq!(client.ask(&format!("PASS {PASSWORD}")).await, NONE);
    // The server's name that the client asked for says the domain.
    for (server_name, answer) in [("acme.test", NONE), ("pop.acme.test", NONE), ("pop.other.test", WRONG)] {
        let mut client = world.tls_client(server_name).await;
        assert_eq!(client.ask("USER alice").await, "+OK now PASS");
        assert_eq!(client.ask(&format!("PASS {PASSWORD}")).await, answer, "{server_name}");
    }
    let default_domain = DomainName::parse("acme.test").ok();
    drop(world);
    let world = crate::support::world(pop3d::Config { default_domain, ..config() }).await;
    let mut client = world.tls_client("localhost").await;
    assert_eq!(client.ask("USER alice").await, "+OK now PASS");
    assert_eq!(client.ask(&format!("PASS {PASSWORD}")).await, NONE);
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(issuer: &Issuer, address: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(Ia5String::try_from(address).unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

#[tokio::test]
async fn a_certificate_of_the_tenants_authority_is_a_login() {
    let (trusted, other) = (authority(), authority());
    let policy = Policy { client_ca: Some(ClientCa { pem: trusted.pem() }), ..Policy::default() };
    let world = world_with(pop3d::Config { client_certificates: true, ..config() }, policy).await;
    for (issuer, address, answer) in [
        (&trusted, ALICE, NONE),
        (&trusted, "nobody@acme.test", WRONG),
        (&trusted, "alice@other.test", WRONG),
        (&other, ALICE, WRONG),
    ] {
        let stream = tokio::net::TcpStream::connect(world.tls).await.unwrap();
        let stream = world.handshake_as(Some(certificate(issuer, address)), "localhost", stream).await.unwrap();
        let mut client = Client(tokio::io::BufReader::new(stream));
        client.line().await;
        assert!(client.lines("CAPA").await.iter().any(|line| line.contains(" EXTERNAL ")));
        assert_eq!(client.ask(&format!("AUTH EXTERNAL {}", STANDARD.encode("bob@acme.test"))).await, WRONG);
        assert_eq!(client.ask("AUTH EXTERNAL =").await, answer, "{address}");
    }
    // A client without one can log in as ever.
    let mut client = world.tls_client("localhost").await;
    assert_eq!(client.ask("AUTH EXTERNAL =").await, "-ERR unknown authentication mechanism");
    client.log_in().await;
}
