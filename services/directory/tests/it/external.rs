//! Client certificates of the authority that a tenant trusts.

use directory::{ClientCa, ClientCertificate, LoginOutcome, PolicyChange, Refusal};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use runtime::database::DbRole;

use crate::support::World;

const ALICE: &str = "alice@acme.test";

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(authority: &CertifiedIssuer<'static, KeyPair>, address: &str) -> ClientCertificate {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(Ia5String::try_from(address).unwrap())];
    let certificate = params.signed_by(&KeyPair::generate().unwrap(), authority).unwrap();
    ClientCertificate { end_entity: certificate.der().to_vec(), intermediates: Vec::new() }
}

#[tokio::test]
async fn a_certificate_of_the_tenants_authority_logs_its_address_in() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.tenant("globex").await;
    for account in [ALICE, "bob@acme.test", "alice@globex.test"] {
        world.account(account, None).await;
    }
    let (ours, others) = (authority(), authority());
    let pop3 = world.under(DbRole::Pop3).await;
    let log_in = async |login: &str, certificate: &ClientCertificate| {
        pop3.look_up(None, login, None).await.unwrap().certificate(certificate).await.unwrap()
    };
    let refused = LoginOutcome::Refused(Refusal::WrongCredentials);
    let alice = issued(&ours, "Alice@acme.test");
    assert_eq!(log_in(ALICE, &alice).await, refused, "the tenant trusts nobody");
    let policy = PolicyChange { client_ca: Some(Some(ClientCa { pem: ours.pem() })), ..PolicyChange::default() };
    world.set_tenant_policy(&acme, policy).await;
    assert!(matches!(log_in(ALICE, &alice).await, LoginOutcome::Accepted(login) if login.address == ALICE));
    assert_eq!(log_in("bob@acme.test", &alice).await, refused);
    assert_eq!(log_in(ALICE, &issued(&others, ALICE)).await, refused);
    assert_eq!(log_in("nobody@acme.test", &issued(&ours, "nobody@acme.test")).await, refused);
    assert_eq!(log_in("alice@globex.test", &issued(&ours, "alice@globex.test")).await, refused, "another tenant");
}
