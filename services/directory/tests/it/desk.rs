//! The support desk: what frontends report, and what administrators see of it.

use directory::{
    AccountChange, AccountStatus, ActivityFilter, ActivityKind, Caller, Certificate, Directory, Error, Finding,
    LiveReport, LiveSessionFilter, NewAppPassword, NewTranscript, PageRequest, Precondition, RefusalReason,
    RefusedAttempt, Report, Reported, Scope, Tally, TallySettings, TranscriptEntry, Whose,
};
use mail_types::{
    AccountId, Clock as _, CredentialId, Secret, SessionUuid, SystemClock, SystemRandom, TenantId, Timestamp,
};
use runtime::database::DbRole;
use std::time::Duration;
use uuid::Uuid;

use crate::support::{World, address, domain, of, platform, slug};

/// A frontend that beats.
pub(crate) struct Frontend {
    id: SessionUuid,
    directory: Directory,
    pub(crate) tally: Tally,
}

impl Frontend {
    pub(crate) async fn new(world: &World) -> Self {
        let settings = TallySettings { refusals: 100, uses: 100, uses_every: Duration::from_secs(3600), batch: 100 };
        let (id, directory) = (SessionUuid::new(&SystemRandom), world.under(DbRole::Pop3).await);
        sqlx::query("SELECT restante.frontend_beat_1($1, 'pop3', 'pop.test')")
            .bind(Uuid::from_u128(id.as_u128()))
            .execute(&world.database.pool(DbRole::Pop3).await)
            .await
            .unwrap();
        Self { id, directory, tally: Tally::new(settings) }
    }

    /// As [`Self::report`], whatever comes of it.
    pub(crate) async fn try_report(&self) -> directory::Result<Reported> {
        let report = Report { refusal_rows: 20, ..Report::default() };
        self.directory.report(self.id, &report, &self.tally, SystemClock.monotonic()).await
    }

    pub(crate) async fn report(&self, live: Vec<LiveReport>, gone: Vec<SessionUuid>) -> Reported {
        self.tell(Report { live, gone, refusal_rows: 20, ..Report::default() }).await
    }

    async fn tell(&self, report: Report) -> Reported {
        self.directory.report(self.id, &report, &self.tally, SystemClock.monotonic()).await.unwrap()
    }

    pub(crate) fn refuses(&self, whose: Whose, reason: RefusalReason, from: &str, at: Timestamp) {
        self.tally.refused(RefusedAttempt {
            whose,
            reason,
            at,
            address: from.parse().unwrap(),
            mechanism: 1,
            tls: 2,
            credential: None,
            new_secret: true,
            client: "TLSv1.3".to_owned(),
            server_name: Some("pop.acme.test".to_owned()),
            told: "-ERR [AUTH] no".to_owned(),
        });
    }
}

pub(crate) fn session(of: (TenantId, AccountId), credential: i64) -> LiveReport {
    LiveReport {
        session: SessionUuid::new(&SystemRandom),
        tenant: of.0,
        account: of.1,
        credential: CredentialId(credential),
        address: "::ffff:192.0.2.1".parse().unwrap(),
        started: SystemClock.now(),
        mechanism: 2,
        tls: 1,
        client: "TLSv1.3; CAPA".to_owned(),
        server_name: None,
        fetched: 0,
        fetched_octets: 0,
    }
}

async fn live(world: &World, caller: &Caller, filter: LiveSessionFilter) -> Vec<String> {
    let mut found = Vec::new();
    let mut page = PageRequest { limit: 1, ..PageRequest::default() };
    loop {
        let some = world.admin.live_sessions(caller, &filter, &page).await.unwrap();
        found.extend(some.items.iter().map(|one| one.account.to_string()));
        page.cursor = some.next_cursor;
        if page.cursor.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn live_sessions_are_seen_by_who_reaches_them() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let alice = world.account("alice@acme.test", Some("correct horse")).await;
    let gus = world.account("gus@globex.test", Some("correct horse")).await;
    let (alice, gus) = ((alice.tenant_id, alice.id), (gus.tenant_id, gus.id));
    let (one, other) = (Frontend::new(&world).await, Frontend::new(&world).await);
    let (first, second, third) = (session(alice, 0), session(alice, 0), session(gus, 0));
    assert_eq!(one.report(vec![first.clone()], vec![]).await, Reported { held: 1, ending: vec![] });
    assert_eq!(other.report(vec![second, third.clone()], vec![]).await.held, 2);

    let all = LiveSessionFilter::default;
    let everybody = ["alice@acme.test", "alice@acme.test", "gus@globex.test"];
    assert_eq!(live(&world, &platform(), all()).await, everybody);
    assert_eq!(live(&world, &of(acme.id), all()).await, everybody[..2]);
    assert_eq!(live(&world, &of(globex.id), all()).await, everybody[2..]);
    let of_tenant = LiveSessionFilter { tenant: Some(slug("globex")), ..all() };
    assert_eq!(live(&world, &platform(), of_tenant.clone()).await, everybody[2..]);
    assert_eq!(live(&world, &of(acme.id), of_tenant).await, [] as [&str; 0]);
    let of_domain = LiveSessionFilter { domain: Some(domain("acme.test")), ..all() };
    assert_eq!(live(&world, &platform(), of_domain).await, everybody[..2]);
    let of_account = LiveSessionFilter { account: Some(address("gus@globex.test")), ..all() };
    assert_eq!(live(&world, &platform(), of_account.clone()).await, everybody[2..]);
    let foreign = world.admin.live_sessions(&of(acme.id), &of_account, &PageRequest::default()).await;
    assert!(matches!(foreign, Err(Error::NotFound)));

    // The counts change; nobody else's frontend can take a session away.
    let again = LiveReport { fetched: 3, fetched_octets: 99, ..first.clone() };
    assert_eq!(one.report(vec![again], vec![third.session]).await.held, 1);
    let filter = LiveSessionFilter { account: Some(address("alice@acme.test")), ..all() };
    let found = world.admin.live_sessions(&platform(), &filter, &PageRequest::default()).await.unwrap().items;
    let shown = found.iter().find(|one| one.session == first.session).unwrap();
    assert_eq!((shown.fetched, shown.fetched_octets, shown.tls), (3, 99, 1));
    assert_eq!((shown.address.to_string().as_str(), shown.frontend.1.as_str()), ("192.0.2.1", "pop.test"));
    assert_eq!(one.report(vec![], vec![first.session]).await.held, 0);
    assert_eq!(live(&world, &platform(), all()).await, everybody[1..]);

    // Who does not beat has no sessions: they are not shown, and another one's report takes them away.
    let superuser = world.database.superuser().await;
    sqlx::query("UPDATE restante.frontends SET beat_at = beat_at - interval '16 seconds' WHERE frontend_uuid = $1")
        .bind(Uuid::from_u128(other.id.as_u128()))
        .execute(&superuser)
        .await
        .unwrap();
    assert_eq!(live(&world, &platform(), all()).await, [] as [&str; 0]);
    one.report(vec![], vec![]).await;
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM restante.live_sessions").fetch_one(&superuser).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn sessions_end_when_asked_and_when_their_account_or_credential_is_gone() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let globex = world.tenant("globex").await;
    let account = world.account("alice@acme.test", Some("correct horse")).await;
    let alice = (account.tenant_id, account.id);
    let new = NewAppPassword { name: "phone".to_owned(), scopes: vec![Scope::Read], ..NewAppPassword::default() };
    let issued = world.admin.create_app_password(&platform(), &address("alice@acme.test"), new).await.unwrap();
    let credential = issued.app_password.id;
    let frontend = Frontend::new(&world).await;
    let (token, device) = (session(alice, 0), session(alice, credential.0));
    let both = vec![token.clone(), device.clone()];
    assert_eq!(frontend.report(both.clone(), vec![]).await.ending, []);

    assert!(matches!(world.admin.end_session(&of(globex.id), token.session).await, Err(Error::NotFound)));
    world.admin.end_session(&of(acme.id), token.session).await.unwrap();
    assert_eq!(frontend.report(vec![], vec![]).await.ending, [token.session]);
    frontend.report(vec![], vec![token.session]).await;
    assert!(matches!(world.admin.end_session(&of(acme.id), token.session).await, Err(Error::NotFound)));

    world.admin.revoke_app_password(&platform(), &address("alice@acme.test"), credential).await.unwrap();
    assert_eq!(frontend.report(vec![], vec![]).await.ending, [device.session]);
    frontend.report(vec![], vec![device.session]).await;
    // One that began before and is told of only now.
    assert_eq!(frontend.report(vec![device.clone()], vec![]).await.ending, [device.session]);
    frontend.report(vec![], vec![device.session]).await;

    let late = session(alice, 0);
    frontend.report(vec![late.clone()], vec![]).await;
    let change = AccountChange { status: Some(AccountStatus::Suspended), ..AccountChange::default() };
    world.admin.change_account(&platform(), &address("alice@acme.test"), change, &Precondition::None).await.unwrap();
    assert_eq!(frontend.report(vec![], vec![]).await.ending, [late.session]);
    assert_eq!(world.admin.end_sessions(&of(acme.id), &address("alice@acme.test")).await.unwrap(), 1);
}

#[tokio::test]
async fn refused_logins_are_summed_and_never_too_many() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let globex = world.tenant("globex").await;
    let account = world.account("alice@acme.test", Some("correct horse")).await;
    let frontend = Frontend::new(&world).await;
    let (alice, now) = (Whose::Account(account.tenant_id, account.id), SystemClock.now());
    let wrong = RefusalReason::WrongPassword;
    frontend.refuses(alice.clone(), wrong, "192.0.2.1", now);
    frontend.refuses(alice.clone(), wrong, "192.0.2.2", now);
    frontend.refuses(Whose::Address(address("Alice@acme.test")), RefusalReason::ClearConnection, "192.0.2.2", now);
    frontend.refuses(Whose::Address(address("nobody@acme.test")), RefusalReason::ClearConnection, "192.0.2.2", now);
    frontend.report(vec![], vec![]).await;
    frontend.refuses(alice.clone(), wrong, "192.0.2.3", now);
    frontend.report(vec![], vec![]).await;
    let activity = async |caller: Caller, filter| {
        world.admin.activity(&caller, &address("alice@acme.test"), filter, &PageRequest::default()).await
    };
    let refused = ActivityFilter { accepted: Some(false), ..ActivityFilter::default() };
    let sums = async || {
        let items = activity(of(acme.id), refused).await.unwrap().items;
        let sum = |one: &directory::Activity| match &one.kind {
            ActivityKind::Refused(sum) => (sum.reason, sum.network.to_string(), sum.attempts),
            other => panic!("{other:?}"),
        };
        let mut sums: Vec<_> = items.iter().map(sum).collect();
        sums.sort();
        sums
    };
    let network = || "192.0.2.0/24".to_owned();
    assert_eq!(sums().await, [(wrong, network(), 3), (RefusalReason::ClearConnection, network(), 1)]);
    assert!(matches!(activity(of(globex.id), refused).await, Err(Error::NotFound)));
    let accepted = ActivityFilter { accepted: Some(true), ..refused };
    assert_eq!(activity(platform(), accepted).await.unwrap().items.len(), 0);

    // From ever more places: after so many rows of a day the rest counts in one.
    for round in 0..10_u8 {
        for place in 0..10_u8 {
            frontend.refuses(alice.clone(), wrong, &format!("10.{round}.{place}.1"), now);
        }
        frontend.report(vec![], vec![]).await;
    }
    let sums = sums().await;
    assert_eq!(sums.iter().map(|(.., attempts)| attempts).sum::<u64>(), 104);
    assert!(sums.len() <= 23, "{}", sums.len());
    assert_eq!(sums.iter().find(|(_, network, _)| network == "0.0.0.0/0").unwrap().2, 80);
}

#[tokio::test]
async fn activity_is_paged_and_forgotten() {
    let world = World::new().await;
    world.tenant("acme").await;
    let account = world.account("alice@acme.test", Some("correct horse")).await;
    let frontend = Frontend::new(&world).await;
    let now = SystemClock.now();
    let minutes_ago = |minutes: u64| Timestamp::from_unix_ms(now.unix_ms() - minutes * 60_000);
    for minute in 0..5 {
        let whose = Whose::Account(account.tenant_id, account.id);
        frontend.refuses(whose, RefusalReason::WrongPassword, "192.0.2.1", minutes_ago(10 + minute));
    }
    let of = (account.tenant_id, account.id);
    frontend.tally.used((of.0, of.1, CredentialId(1)), now, "192.0.2.9".parse().unwrap());
    frontend.tally.used((of.0, of.1, CredentialId(1)), now, "192.0.2.9".parse().unwrap());
    frontend.report(vec![], vec![]).await;
    let superuser = world.database.superuser().await;
    for minute in [12, 40 * 24 * 60] {
        sqlx::query("INSERT INTO restante.sessions (tenant_id, session_uuid, account_id, credential_id, started_at, ended_at, address, mechanism, tls, outcome, fetched, fetched_octets, expunged, ended) \
                     VALUES ($1, gen_random_uuid(), $2, 1, now() - make_interval(mins => $3), now(), '192.0.2.1', 2, 2, 0, 3, 30, 1, 'quit')")
            .bind(of.0.0).bind(of.1.0).bind(minute).execute(&superuser).await.unwrap();
    }
    let mut kinds = Vec::new();
    let mut times = Vec::new();
    let mut page = PageRequest { limit: 2, ..PageRequest::default() };
    loop {
        let filter = ActivityFilter::default();
        let some = world.admin.activity(&platform(), &address("alice@acme.test"), filter, &page).await.unwrap();
        for one in some.items {
            times.push(one.at);
            kinds.push(match one.kind {
                ActivityKind::Session { fetched: 3, expunged: 1, .. } => "session",
                ActivityKind::Refused(_) => "refused",
                ActivityKind::Use { logins: 2 } => "use",
                other => panic!("{other:?}"),
            });
        }
        page.cursor = some.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    assert_eq!((kinds.len(), kinds[0], kinds[7]), (8, "use", "session"));
    // What is old goes.
    sqlx::query("UPDATE restante.login_refusals SET minute = minute - interval '31 days' WHERE minute < now() - interval '12 minutes'")
        .execute(&superuser)
        .await
        .unwrap();
    let forget = async |days: i32| -> i32 {
        let pool = world.database.pool(DbRole::Worker).await;
        sqlx::query_scalar("SELECT restante.worker_forget_2($1, 7, 100)").bind(days).fetch_one(&pool).await.unwrap()
    };
    let gone = forget(30).await;
    assert!((4..=5).contains(&gone), "some of the refusals, and the old session: {gone}");
    assert_eq!(forget(30).await, 0);
}

#[tokio::test]
async fn transcripts_are_kept_while_they_are_wanted() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let globex = world.tenant("globex").await;
    let account = world.account("alice@acme.test", Some("correct horse")).await;
    let pop3 = world.under(DbRole::Pop3).await;
    let alice = address("alice@acme.test");
    let entry = TranscriptEntry { milliseconds: 7, command: "STAT".to_owned(), reply: "+OK 0 messages".to_owned() };
    let new = || NewTranscript {
        session: SessionUuid::new(&SystemRandom),
        started: SystemClock.now(),
        address: "192.0.2.1".parse().unwrap(),
        tls: 2,
        client: "TLSv1.3".to_owned(),
        ended: "quit",
        truncated: false,
        entries: vec![entry.clone()],
    };
    let keep =
        async |new: &NewTranscript, most| pop3.keep_transcript(account.tenant_id, account.id, new, most).await.unwrap();
    let transcribes = async || {
        let login = pop3.login("alice@acme.test", &Secret::from("correct horse"), None).await.unwrap();
        matches!(login, directory::LoginOutcome::Accepted(login) if login.transcribe)
    };
    assert!(!keep(&new(), 1000).await, "nobody wants it");
    assert!(!transcribes().await);
    for minutes in [0, 61] {
        assert!(matches!(world.admin.transcribe(&of(acme.id), &alice, minutes).await, Err(Error::Invalid(_))));
    }
    assert!(matches!(world.admin.transcribe(&of(globex.id), &alice, 5).await, Err(Error::NotFound)));
    world.admin.transcribe(&of(acme.id), &alice, 5).await.unwrap();
    assert!(transcribes().await);
    let kept = new();
    assert!(keep(&kept, 1000).await);
    assert!(!keep(&new(), 50).await, "no room");
    let page = PageRequest::default();
    let (until, list) = world.admin.transcripts(&of(acme.id), &alice, &page).await.unwrap();
    assert!(until.is_some() && list.items.len() == 1 && list.items[0].entries.is_empty());
    let whole = world.admin.transcript(&of(acme.id), &alice, kept.session).await.unwrap();
    assert_eq!((whole.entries, whole.ended.as_str()), (vec![entry.clone()], "quit"));
    assert!(matches!(world.admin.transcript(&of(globex.id), &alice, kept.session).await, Err(Error::NotFound)));
    world.admin.delete_transcripts(&of(acme.id), &alice, Some(kept.session)).await.unwrap();
    assert!(matches!(
        world.admin.delete_transcripts(&of(acme.id), &alice, Some(kept.session)).await,
        Err(Error::NotFound)
    ));
    world.admin.delete_transcripts(&of(acme.id), &alice, None).await.unwrap();
    assert!(!transcribes().await && !keep(&new(), 1000).await);
    let audited: Vec<String> = sqlx::query_scalar(
        "SELECT action || ' ' || target FROM restante.audit_events WHERE action LIKE 'transcript.%' ORDER BY event_id",
    )
    .fetch_all(&world.database.superuser().await)
    .await
    .unwrap();
    let expected =
        ["transcript.begin", "transcript.delete", "transcript.delete"].map(|one| format!("{one} alice@acme.test"));
    assert_eq!(audited, expected);
}

async fn diagnose(world: &World, caller: &Caller, of: &str) -> Vec<Finding> {
    world.admin.diagnose(caller, &address(of), None).await.unwrap().findings
}

#[tokio::test]
async fn a_diagnosis_gathers_the_facts() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let globex = world.tenant("globex").await;
    let account = world.account("alice@acme.test", Some("correct horse")).await;
    world.alias("info@acme.test", &["alice@acme.test"]).await;
    let codes = async |of: &str| {
        let found = diagnose(&world, &platform(), of).await;
        found.into_iter().map(|one| one.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("alice@acme.test").await, ["maildrop_empty", "never_seen", "nothing_found"]);
    assert_eq!(codes("info@acme.test").await, ["address_is_alias"]);
    assert_eq!(codes("nobody@acme.test").await, ["account_missing"]);
    assert_eq!(codes("nobody@nobody.test").await, ["domain_unknown"]);
    for of in ["alice@acme.test", "nobody@acme.test", "nobody@nobody.test"] {
        let foreign = world.admin.diagnose(&self::of(globex.id), &address(of), None).await;
        assert!(matches!(foreign, Err(Error::NotFound)), "{of}");
    }
    world.alias("*@acme.test", &["alice@acme.test"]).await;
    assert_eq!(codes("nobody@acme.test").await, ["account_missing", "catch_all_takes_mail"]);
    let claim = directory::NewDomain {
        name: domain("claim.test"),
        tenant: None,
        policy: directory::Policy::default(),
        quota: directory::Quota::default(),
    };
    let tenant = of(acme.id);
    world.admin.create_domain(&tenant, claim).await.unwrap();
    assert_eq!(codes("a@claim.test").await, ["domain_unverified", "account_missing"]);

    let frontend = Frontend::new(&world).await;
    let expires = Timestamp::from_unix_ms(SystemClock.now().unix_ms() + 86_400_000);
    let certificate = Some(Certificate { names: vec!["mail.acme.test".to_owned()], expires });
    let whose = Whose::Account(account.tenant_id, account.id);
    frontend.refuses(whose, RefusalReason::WrongPassword, "192.0.2.1", SystemClock.now());
    frontend.tell(Report { certificate, refusal_rows: 10, ..Report::default() }).await;
    let found = diagnose(&world, &self::of(acme.id), "alice@acme.test").await;
    let codes: Vec<_> = found.iter().map(|one| one.code).collect();
    let expected =
        ["wrong_password", "server_name_mismatch", "certificate_expires_soon", "maildrop_empty", "last_error"];
    assert_eq!(codes, expected);
    assert_eq!(found[0].evidence["networks"][0], "192.0.2.0/24");
    assert_eq!(found[1].evidence["asked_for"][0], "pop.acme.test");
}
