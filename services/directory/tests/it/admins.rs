//! Administrators, their sign-ins, and the keys that sign their tokens.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::{
    Admin, AdminChange, AdminName, AdminStatus, Caller, Directory, Error, NewAdmin, PageRequest, Precondition,
    RefreshOutcome, Role, Settings, SignIn, SignInFrom, SignInOutcome, Tokens, rotate_signing_key,
};
use mail_types::{Secret, SystemClock, SystemRandom};
use runtime::database::DbRole;
use runtime::keys::MasterKeys;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::FakeClock;
use uuid::Uuid;

use crate::support::{MASTER_KEY, World, of, platform, slug};

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) fn from_nowhere() -> SignInFrom {
    SignInFrom { peer: None, client: Some("test".to_owned()), request: Uuid::nil() }
}

pub(crate) fn attempt(name: &str, password: &str) -> SignIn {
    SignIn { name: name.to_owned(), password: Secret::from(password), totp: None, recovery_code: None }
}

pub(crate) async fn make(
    directory: &Directory,
    caller: &Caller,
    name: &str,
    role: Role,
    tenant: Option<&str>,
) -> Admin {
    let new = NewAdmin {
        name: AdminName::parse(name).unwrap(),
        display_name: None,
        tenant: tenant.map(slug),
        role,
        domains: Vec::new(),
        password: Some(Secret::from(PASSWORD)),
    };
    directory.create_admin(caller, new).await.unwrap()
}

pub(crate) async fn sign_in(directory: &Directory, name: &str) -> Tokens {
    match directory.sign_in(&attempt(name, PASSWORD), &from_nowhere()).await.unwrap() {
        SignInOutcome::Accepted(tokens) => tokens,
        refused => panic!("{name}: {refused:?}"),
    }
}

async fn bearer(directory: &Directory, token: &Secret) -> Option<Caller> {
    directory.authenticate(token, None, Uuid::nil()).await.unwrap()
}

async fn refresh(directory: &Directory, token: &Secret) -> Option<Tokens> {
    match directory.refresh(token, &from_nowhere()).await.unwrap() {
        RefreshOutcome::Accepted(tokens) => Some(tokens),
        RefreshOutcome::Refused => None,
    }
}

#[tokio::test]
async fn of_ten_refreshes_at_once_no_two_stay_alive() {
    let world = World::new().await;
    make(&world.admin, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    let other = world.under(DbRole::Admin).await;
    for _ in 0..5 {
        let tokens = sign_in(&world.admin, "root@platform.test").await;
        let tries = (0..10).map(|n| {
            let (directory, token) = (if n % 2 == 0 { &world.admin } else { &other }.clone(), tokens.refresh.clone());
            tokio::spawn(async move { refresh(&directory, &token).await })
        });
        let mut taken = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            taken.extend(one.await.unwrap());
        }
        assert_eq!(taken.len(), 1, "a token is spent once");
        // Nine were shown after it was spent: the sign-in has ended, and nothing of it lives on.
        assert!(bearer(&world.admin, &taken[0].access).await.is_none());
        assert!(refresh(&other, &taken[0].refresh).await.is_none());
    }
    let superuser = world.database.superuser().await;
    let reused: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM restante.audit_events WHERE action = 'sign-in.token-reused' AND tenant_id = 0",
    )
    .fetch_one(&superuser)
    .await
    .unwrap();
    assert_eq!(reused, 5, "once for each sign-in that ended");
}

#[tokio::test]
async fn demotion_suspension_and_deletion_bite_on_the_next_request() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let carol = make(&world.admin, &platform(), "carol@acme.test", Role::TenantAdmin, Some("acme")).await;
    let elsewhere = world.under(DbRole::Admin).await;
    let change = async |change: AdminChange| {
        world.admin.change_admin(&platform(), carol.id, change, &Precondition::None).await.unwrap()
    };
    let tokens = sign_in(&elsewhere, "carol@acme.test").await;
    assert_eq!(bearer(&elsewhere, &tokens.access).await.unwrap().role, Role::TenantAdmin);
    let renamed = change(AdminChange { display_name: Some("Carol".to_owned()), ..AdminChange::default() }).await;
    assert!(renamed.version > carol.version && bearer(&elsewhere, &tokens.access).await.is_some(), "only a name");

    change(AdminChange { role: Some(Role::Auditor), ..AdminChange::default() }).await;
    assert!(bearer(&elsewhere, &tokens.access).await.is_none(), "demoted");
    let tokens = refresh(&elsewhere, &tokens.refresh).await.unwrap();
    let caller = bearer(&elsewhere, &tokens.access).await.unwrap();
    assert_eq!((caller.role, caller.tenant()), (Role::Auditor, Some(acme.id)));

    change(AdminChange { status: Some(AdminStatus::Suspended), ..AdminChange::default() }).await;
    assert!(bearer(&elsewhere, &tokens.access).await.is_none(), "suspended");
    assert!(refresh(&elsewhere, &tokens.refresh).await.is_none());
    change(AdminChange { status: Some(AdminStatus::Active), ..AdminChange::default() }).await;
    assert!(refresh(&elsewhere, &tokens.refresh).await.is_none(), "what ended stays ended");

    let tokens = sign_in(&elsewhere, "carol@acme.test").await;
    let password = Secret::from("battery staple");
    world.admin.set_admin_password(&platform(), carol.id, &password, &Precondition::None).await.unwrap();
    assert!(bearer(&elsewhere, &tokens.access).await.is_none(), "another password");
    let outcome = elsewhere.sign_in(&attempt("carol@acme.test", "battery staple"), &from_nowhere()).await.unwrap();
    let SignInOutcome::Accepted(tokens) = outcome else { panic!("{outcome:?}") };
    world.admin.delete_admin(&platform(), carol.id, &Precondition::None).await.unwrap();
    assert!(bearer(&elsewhere, &tokens.access).await.is_none(), "deleted");
    assert!(refresh(&elsewhere, &tokens.refresh).await.is_none());
}

#[tokio::test]
async fn signing_out_ends_one_or_all() {
    let world = World::new().await;
    make(&world.admin, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    let [one, two, three] = [(); 3].map(|()| sign_in(&world.admin, "root@platform.test"));
    let (one, two, three) = (one.await, two.await, three.await);
    let caller = bearer(&world.admin, &one.access).await.unwrap();
    assert_eq!(world.admin.sign_out(&caller, false).await.unwrap(), 1);
    assert!(bearer(&world.admin, &one.access).await.is_none() && bearer(&world.admin, &two.access).await.is_some());
    let caller = bearer(&world.admin, &two.access).await.unwrap();
    assert_eq!(world.admin.sign_out(&caller, true).await.unwrap(), 2);
    for tokens in [&two, &three] {
        assert!(bearer(&world.admin, &tokens.access).await.is_none());
        assert!(refresh(&world.admin, &tokens.refresh).await.is_none());
    }
    assert!(matches!(world.admin.sign_out(&platform(), true).await, Err(Error::Forbidden)), "nobody who signed in");
}

#[tokio::test]
async fn a_sign_in_lasts_as_long_as_its_bounds() {
    let world = World::new().await;
    let mut settings = Settings::default();
    settings.sign_in.sessions_per_admin = 2;
    settings.sign_in.access_seconds = 60;
    let clock = FakeClock::at(mail_types::Clock::now(&SystemClock));
    let directory = world.with(DbRole::Admin, clock.clone(), settings).await;
    make(&directory, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    let first = sign_in(&directory, "root@platform.test").await;
    let second = sign_in(&directory, "root@platform.test").await;
    let third = sign_in(&directory, "root@platform.test").await;
    assert!(bearer(&directory, &first.access).await.is_none(), "the oldest makes room");
    assert!(bearer(&directory, &second.access).await.is_some() && bearer(&directory, &third.access).await.is_some());

    clock.advance(Duration::from_secs(59));
    assert!(bearer(&directory, &third.access).await.is_some());
    clock.advance(Duration::from_secs(1));
    assert!(bearer(&directory, &third.access).await.is_none(), "expired");
    let superuser = world.database.superuser().await;
    for column in ["idle_until", "ends_at"] {
        let tokens = sign_in(&directory, "root@platform.test").await;
        let past = format!("UPDATE restante.admin_sessions SET {column} = now() - interval '1 second'");
        sqlx::query(AssertSqlSafe(past)).execute(&superuser).await.unwrap();
        assert!(refresh(&directory, &tokens.refresh).await.is_none(), "{column}");
    }
}

/// A token with another header or other claims, signed by nobody.
fn altered(token: &Secret, header: Value, claims: Value) -> Secret {
    let text = token.expose_str().unwrap();
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    for (part, changes) in parts.iter_mut().zip([header, claims]) {
        let mut json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&*part).unwrap()).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            json[name] = value.clone();
        }
        *part = URL_SAFE_NO_PAD.encode(json.to_string());
    }
    Secret::from(parts.join("."))
}

#[tokio::test]
async fn a_token_that_is_not_ours_or_not_now_is_nobodys() {
    let world = World::new().await;
    let root = make(&world.admin, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    let tokens = sign_in(&world.admin, "root@platform.test").await;
    let token = &tokens.access;
    assert!(bearer(&world.admin, token).await.is_some());
    let none = json!({});
    let text = token.expose_str().unwrap();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    for (what, token) in [
        ("another claim", altered(token, none.clone(), json!({"ver": 2}))),
        ("no algorithm", altered(token, json!({"alg": "none"}), none.clone())),
        ("a shared secret", altered(token, json!({"alg": "HS256"}), none.clone())),
        ("another type", altered(token, json!({"typ": "JWT"}), none.clone())),
        ("another key", altered(token, json!({"kid": "0".repeat(32)}), none.clone())),
        ("a key that is no name", altered(token, json!({"kid": "../../etc/passwd"}), none.clone())),
        ("no signature", Secret::from(format!("{signed}."))),
        ("half a signature", Secret::from(format!("{signed}.{}", &signature[..20]))),
        ("the refresh token", tokens.refresh.clone()),
        ("too long", Secret::from(format!("{}.{}.{}", "A".repeat(900), "A".repeat(900), "A".repeat(900)))),
    ] {
        assert!(bearer(&world.admin, &token).await.is_none(), "{what}");
    }
    // Signed by our own key, and still not what this service gives out.
    let superuser = world.database.superuser().await;
    let now = mail_types::Clock::now(&SystemClock).unix_seconds();
    let session = sqlx::query_scalar::<_, Uuid>("SELECT session_id FROM restante.admin_sessions LIMIT 1")
        .fetch_one(&superuser)
        .await
        .unwrap()
        .simple()
        .to_string();
    let sound = json!({"iss": "restante", "aud": "restante-admin-api", "sub": format!("adm_{}", root.id), "sid": session, "ver": 1,
        "iat": now, "exp": now + 300});
    for (changes, expected) in [
        (json!({}), true),
        (json!({"iss": "another"}), false),
        (json!({"aud": "another"}), false),
        (json!({"aud": ["another"]}), false),
        (json!({"sub": "adm_999"}), false),
        (json!({"sub": root.id}), false),
        (json!({"sid": "0".repeat(32)}), false),
        (json!({"ver": 2}), false),
        (json!({"iat": now - 600, "exp": now - 1}), false),
        (json!({"iat": now + 120}), false),
        (json!({"exp": null}), false),
    ] {
        let mut claims = sound.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let token = world.signed(&claims).await;
        assert_eq!(bearer(&world.admin, &token).await.is_some(), expected, "{changes}");
    }
}

impl World {
    /// Claims under the key in force, as somebody would sign them who has it.
    async fn signed(&self, claims: &Value) -> Secret {
        let superuser = self.database.superuser().await;
        let (id, sealed): (String, Vec<u8>) =
            sqlx::query_as("SELECT key_id, sealed FROM restante.signing_keys WHERE retired_at IS NULL")
                .fetch_one(&superuser)
                .await
                .unwrap();
        // As seal.rs documents it: version, length and text of the master key's id, nonce, ciphertext and tag.
        let keys = MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap();
        let length = usize::from(sealed[1]);
        let (nonce, rest) = sealed[2 + length..].split_at(12);
        let key =
            aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, &keys.derive("restante/signing-key/1"))
                .unwrap();
        let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).unwrap();
        let mut octets = rest.to_vec();
        let aad = aws_lc_rs::aead::Aad::from(id.as_bytes());
        let seed = aws_lc_rs::aead::LessSafeKey::new(key).open_in_place(nonce, aad, &mut octets).unwrap();
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": id});
        let signed = [header, claims.clone()].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        Secret::from(format!("{signed}.{signature}"))
    }
}

#[tokio::test]
async fn keys_rotate_under_load_and_nobody_is_refused() {
    let world = World::new().await;
    make(&world.admin, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    let processes = [world.admin.clone(), world.under(DbRole::Admin).await, world.under(DbRole::Admin).await];
    let owner = world.database.pool(DbRole::Owner).await;
    let keys = MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap();
    let first = sign_in(&world.admin, "root@platform.test").await;
    let mut rotated = HashSet::new();
    for round in 0..4 {
        // A process that starts now signs with the new key; those that run have never seen it.
        let newcomer = world.under(DbRole::Admin).await;
        let asked = processes.clone().map(|process| {
            let token = first.access.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    assert!(bearer(&process, &token).await.is_some());
                }
            })
        });
        rotate_signing_key(&owner, &keys, &SystemRandom).await.unwrap();
        let tokens = sign_in(&newcomer, "root@platform.test").await;
        for process in &processes {
            assert!(bearer(process, &tokens.access).await.is_some(), "round {round}: an unknown key is looked for");
            assert!(bearer(process, &first.access).await.is_some(), "round {round}: the old key verifies");
        }
        for one in asked {
            one.await.unwrap();
        }
        rotated.insert(newcomer.jwks().await.unwrap().keys[0].0.clone());
    }
    assert_eq!(rotated.len(), 4);
    assert_eq!(world.under(DbRole::Admin).await.jwks().await.unwrap().keys.len(), 5);

    // When its last token has expired, a key is gone.
    let superuser = world.database.superuser().await;
    let past =
        "UPDATE restante.signing_keys SET retired_at = retired_at - interval '11 minutes' WHERE retired_at IS NOT NULL";
    sqlx::query(past).execute(&superuser).await.unwrap();
    let newcomer = world.under(DbRole::Admin).await;
    assert_eq!(newcomer.jwks().await.unwrap().keys.len(), 1);
    assert!(bearer(&newcomer, &first.access).await.is_none());
    // And one that is old makes room by itself.
    sqlx::query("UPDATE restante.signing_keys SET created_at = created_at - interval '31 days'")
        .execute(&superuser)
        .await
        .unwrap();
    let newcomer = world.under(DbRole::Admin).await;
    assert_eq!(newcomer.jwks().await.unwrap().keys.len(), 2);
    assert_eq!(newcomer.jwks().await.unwrap().keys.len(), 2, "once");
}

#[tokio::test]
async fn a_key_under_a_master_key_that_is_gone_makes_room_for_a_new_one() {
    let world = World::new().await;
    make(&world.admin, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    sign_in(&world.admin, "root@platform.test").await;
    let keys = MasterKeys::parse(&Secret::from("new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")).unwrap();
    let pool = world.database.pool(DbRole::Admin).await;
    let other = Directory::new(pool, keys, Arc::new(SystemClock), Arc::new(SystemRandom), Settings::default());
    let tokens = sign_in(&other, "root@platform.test").await;
    assert!(bearer(&other, &tokens.access).await.is_some());
    assert!(bearer(&world.admin, &tokens.access).await.is_some(), "verifying needs no master key");
}

#[tokio::test]
async fn nobody_makes_or_changes_who_may_do_more() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    world.tenant("globex").await;
    let carol = of(acme.id);
    let new = |name: &str, role: Role, tenant: Option<&str>| NewAdmin {
        name: AdminName::parse(name).unwrap(),
        display_name: None,
        tenant: tenant.map(slug),
        role,
        domains: Vec::new(),
        password: None,
    };
    let make = async |caller: &Caller, new: NewAdmin| world.admin.create_admin(caller, new).await;
    let dave = make(&carol, new("dave@acme.test", Role::TenantAdmin, None)).await.unwrap();
    assert_eq!(dave.tenant, Some(slug("acme")));
    assert!(matches!(make(&carol, new("x@acme.test", Role::PlatformAdmin, None)).await, Err(Error::Forbidden)));
    let mut auditor = carol.clone();
    auditor.role = Role::Auditor;
    assert!(matches!(make(&auditor, new("x@acme.test", Role::Helpdesk, None)).await, Err(Error::Forbidden)));
    let invalid = |result: directory::Result<Admin>| match result {
        Err(Error::Invalid(errors)) => errors[0].pointer.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(invalid(make(&carol, new("x@acme.test", Role::Helpdesk, Some("globex"))).await), "/tenant");
    assert_eq!(invalid(make(&carol, new("x@globex.test", Role::Helpdesk, None)).await), "/name", "not its own to name");
    assert_eq!(invalid(make(&carol, new("x@elsewhere.test", Role::Helpdesk, None)).await), "/name");
    assert_eq!(invalid(make(&carol, new("x@acme.test", Role::DomainAdmin, None)).await), "/domains");
    assert_eq!(invalid(make(&platform(), new("x@a.test", Role::PlatformAdmin, Some("acme"))).await), "/role");
    assert_eq!(invalid(make(&platform(), new("x@a.test", Role::TenantAdmin, None)).await), "/tenant");
    make(&platform(), new("desk@a.test", Role::Helpdesk, None)).await.unwrap();
    assert!(matches!(make(&platform(), new("Desk@A.test", Role::Auditor, None)).await, Err(Error::Duplicate(_))));

    // A key with scopes gives nobody more than it has itself.
    let scopes = [directory::Permission::AdminsWrite, directory::Permission::AdminsRead];
    let mut scoped = carol.clone();
    scoped.scopes = Some(Arc::from(scopes));
    assert!(matches!(make(&scoped, new("x@acme.test", Role::Auditor, None)).await, Err(Error::Forbidden)));
    let any = Precondition::None;
    for result in [
        world.admin.delete_admin(&scoped, dave.id, &any).await,
        world.admin.set_admin_password(&scoped, dave.id, &Secret::from(PASSWORD), &any).await,
        world.admin.change_admin(&scoped, dave.id, AdminChange::default(), &any).await.map(drop),
    ] {
        assert!(matches!(result, Err(Error::Forbidden)), "{result:?}");
    }
    let promoted = AdminChange { role: Some(Role::PlatformAdmin), ..AdminChange::default() };
    assert!(matches!(world.admin.change_admin(&carol, dave.id, promoted.clone(), &any).await, Err(Error::Forbidden)));
    assert!(matches!(world.admin.change_admin(&platform(), dave.id, promoted, &any).await, Err(Error::Invalid(_))));
    let stale = Precondition::OneOf(vec![dave.version + 1]);
    let change = AdminChange::default();
    assert!(matches!(world.admin.change_admin(&carol, dave.id, change, &stale).await, Err(Error::VersionMismatch)));
}

#[tokio::test]
async fn nobody_changes_what_they_may_do_themselves() {
    let world = World::new().await;
    let root = make(&world.admin, &platform(), "root@platform.test", Role::PlatformAdmin, None).await;
    let tokens = sign_in(&world.admin, "root@platform.test").await;
    let me = bearer(&world.admin, &tokens.access).await.unwrap();
    let any = Precondition::None;
    let demote = AdminChange { role: Some(Role::Auditor), ..AdminChange::default() };
    assert!(matches!(world.admin.change_admin(&me, root.id, demote, &any).await, Err(Error::InUse(_))));
    assert!(matches!(world.admin.delete_admin(&me, root.id, &any).await, Err(Error::InUse(_))));
    let password = Secret::from("battery staple");
    assert!(matches!(world.admin.set_admin_password(&me, root.id, &password, &any).await, Err(Error::InUse(_))));
    let rename = AdminChange { display_name: Some("Root".to_owned()), ..AdminChange::default() };
    world.admin.change_admin(&me, root.id, rename, &any).await.unwrap();

    let other = sign_in(&world.admin, "root@platform.test").await;
    let wrong = world.admin.change_own_password(&me, &Secret::from("wrong horse"), &password).await;
    assert!(matches!(wrong, Err(Error::Invalid(errors)) if errors[0].pointer == "/current_password"));
    world.admin.change_own_password(&me, &Secret::from(PASSWORD), &password).await.unwrap();
    assert!(bearer(&world.admin, &tokens.access).await.is_some(), "this sign-in goes on");
    assert!(bearer(&world.admin, &other.access).await.is_none(), "the others end");
    let outcome = world.admin.sign_in(&attempt("root@platform.test", PASSWORD), &from_nowhere()).await.unwrap();
    assert!(matches!(outcome, SignInOutcome::Refused));
    let outcome = world.admin.sign_in(&attempt("root@platform.test", "battery staple"), &from_nowhere()).await.unwrap();
    assert!(matches!(outcome, SignInOutcome::Accepted(_)));
}

#[tokio::test]
async fn lists_of_administrators_and_sign_ins_show_what_is_in_reach() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    for (name, role, tenant) in [
        ("alma@acme.test", Role::TenantAdmin, Some("acme")),
        ("amos@acme.test", Role::Helpdesk, Some("acme")),
        ("gina@globex.test", Role::TenantAdmin, Some("globex")),
        ("root@platform.test", Role::PlatformAdmin, None),
    ] {
        make(&world.admin, &platform(), name, role, tenant).await;
        sign_in(&world.admin, name).await;
    }
    let all = PageRequest::default();
    let names = async |caller: &Caller, tenant: Option<&str>, prefix: Option<&str>| {
        let tenant = tenant.map(slug);
        let page = world.admin.admins(caller, tenant.as_ref(), prefix, &all).await.unwrap();
        page.items.into_iter().map(|admin| admin.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&platform(), None, None).await.len(), 4);
    assert_eq!(names(&platform(), Some("globex"), None).await, ["gina@globex.test"]);
    assert_eq!(names(&platform(), None, Some("A")).await, ["alma@acme.test", "amos@acme.test"]);
    assert_eq!(names(&of(acme.id), None, Some("amo")).await, ["amos@acme.test"]);
    assert_eq!(names(&of(acme.id), None, Some("%")).await, [""; 0]);
    assert_eq!(names(&of(globex.id), None, None).await, ["gina@globex.test"]);
    assert_eq!(names(&of(globex.id), Some("acme"), None).await, [""; 0]);

    let seen = async |caller: &Caller| {
        let page = world.admin.sign_in_sessions(caller, None, &all).await.unwrap();
        page.items.into_iter().map(|session| session.name).collect::<Vec<_>>()
    };
    assert_eq!(seen(&platform()).await.len(), 4);
    assert_eq!(seen(&of(acme.id)).await, ["amos@acme.test", "alma@acme.test"], "the last first");
    assert_eq!(seen(&of(globex.id)).await, ["gina@globex.test"]);
    let amos = sign_in(&world.admin, "amos@acme.test").await;
    let amos = bearer(&world.admin, &amos.access).await.unwrap();
    assert_eq!(seen(&amos).await, ["amos@acme.test", "amos@acme.test"], "only one's own");

    let ids = async |caller: &Caller| {
        let page = world.admin.sign_in_sessions(caller, None, &all).await.unwrap();
        page.items.into_iter().map(|session| (session.name, session.session)).collect::<Vec<_>>()
    };
    let every = ids(&platform()).await;
    let session = |name: &str| every.iter().find(|(of, _)| of == name).unwrap().1;
    for foreign in ["gina@globex.test", "alma@acme.test", "root@platform.test"] {
        let ended = world.admin.end_sign_in(&amos, session(foreign)).await;
        assert!(matches!(ended, Err(Error::NotFound)), "{foreign}: {ended:?}");
    }
    assert!(matches!(world.admin.end_sign_in(&of(globex.id), session("alma@acme.test")).await, Err(Error::NotFound)));
    world.admin.end_sign_in(&of(acme.id), session("alma@acme.test")).await.unwrap();
    assert!(matches!(world.admin.end_sign_in(&of(acme.id), session("alma@acme.test")).await, Err(Error::NotFound)));
    assert_eq!(seen(&of(acme.id)).await, ["amos@acme.test", "amos@acme.test"]);
}
