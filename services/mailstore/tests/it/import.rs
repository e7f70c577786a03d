use std::collections::BTreeSet;
use std::sync::Arc;

use mail_types::{Address, Secret, SystemClock, SystemRandom, TenantSlug, Timestamp, UniqueId};
use mailstore::{
    ImportError, ImportMessage, ImportReport, ImportSettings, Importer, Mailstore, Parts, Settings, SourceKey,
    StoreSettings, Target,
};
use runtime::database::DbRole;
use runtime::keys::MasterKeys;
use testkit::{Fault, Operation};

use crate::process::{Process, Ran, run_until};
use crate::world::{MASTER_KEY, World, expunge, is_stored};

async fn worker(world: &World) -> Mailstore {
    worker_with(world, Settings { commit_deadline_ms: 300, ..Settings::default() }).await
}

async fn worker_with(world: &World, settings: Settings) -> Mailstore {
    Mailstore::open(Parts {
        pool: world.database.pool(DbRole::Worker).await,
        role: DbRole::Worker,
        store: Arc::new(world.store.clone()),
        store_settings: StoreSettings::default(),
        memory: settings.memory_budget(),
        frames: settings.frame_cache(false),
        settings,
        master: MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    })
    .await
    .unwrap()
}

fn key(name: &str) -> SourceKey {
    SourceKey::new("test", &[name.as_bytes()])
}

async fn push(importer: &mut Importer, name: &str, id: Option<&str>, text: &[u8]) -> Result<(), ImportError> {
    let mut incoming = importer.incoming();
    incoming.write(text).await.unwrap();
    let message = ImportMessage {
        key: key(name),
        unique_id: id.map(|id| UniqueId::parse(id).unwrap()),
        received: Some(Timestamp::from_unix_ms(1_000_000_000_000)),
        body: incoming.finish(),
    };
    importer.push(message).await
}

/// One run of an import of messages (name, unique-id, text).
async fn run(store: &Mailstore, target: Target, messages: &[(&str, Option<&str>, &[u8])]) -> ImportReport {
    let mut importer = store.importer(target, "x@a.test", ImportSettings::default());
    for (name, id, text) in messages {
        push(&mut importer, name, *id, text).await.unwrap();
    }
    importer.flush().await.unwrap();
    importer.report()
}

async fn unique_ids(world: &World, target: Target) -> Vec<String> {
    world.snapshot(target).await.messages().iter().map(|m| m.unique_id().as_str().to_owned()).collect()
}

fn counts(imported: u64, known: u64, renamed: u64, octets: u64) -> ImportReport {
    ImportReport { imported, octets, known, renamed }
}

#[tokio::test]
async fn messages_keep_octets_order_and_unique_ids_and_nothing_is_added() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    let messages: &[(&str, Option<&str>, &[u8])] =
        &[("b", Some("UID7-1"), b"Subject: x\n\n.dot\n"), ("a", None, b""), ("c", Some("~"), b"a: b")];
    assert_eq!(run(&store, alice, messages).await, counts(3, 0, 0, 20 + 2 + 8));
    let whole = world.read_all(alice).await;
    assert_eq!(whole, [&b"Subject: x\r\n\r\n.dot\r\n"[..], b"\r\n", b"a: b\r\n\r\n"]);
    let ids = unique_ids(&world, alice).await;
    assert_eq!((ids[0].as_str(), ids[2].as_str()), ("UID7-1", "~"));
    assert_eq!(ids[1].len(), 26, "one of ours");
    assert_eq!(world.count("SELECT count(*) FROM restante.segments").await, 1, "one segment for all");
    assert_eq!(
        world.count("SELECT count(*) FROM restante.message_extras WHERE received_at = to_timestamp(1000000000)").await,
        3
    );
    world.check_counters().await;
    // A session that held the list before sees that it is another one.
    assert!(world.state(alice).await.shape > 1);

    let exported = store.export(alice).await.unwrap();
    assert_eq!(exported.messages().len(), 3);
    assert_eq!(exported.received_at(2), Some(Timestamp::from_unix_ms(1_000_000_000_000)));
}

#[tokio::test]
async fn run_twice_takes_nothing_twice_not_even_what_was_expunged() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    let one: &[(&str, Option<&str>, &[u8])] = &[("1", Some("1"), b"one\n"), ("2", Some("2"), b"two\n")];
    run(&store, alice, one).await;
    let uid = world.snapshot(alice).await.messages()[0].uid;
    let session = crate::expunge::session();
    world.pop3.quit(alice.tenant, alice.account, &session, &expunge(&[uid])).await.unwrap();
    let two = [one[0], one[1], ("3", Some("3"), &b"three\n"[..])];
    assert_eq!(run(&store, alice, &two).await, counts(1, 2, 0, 9));
    assert_eq!(unique_ids(&world, alice).await, ["2", "3"]);
    let importer = store.importer(alice, "x@a.test", ImportSettings::default());
    let seen = importer.seen(&[key("1"), key("3"), key("4")]).await.unwrap();
    assert_eq!(seen, [key("1"), key("3")].into());
    world.check_counters().await;
}

#[tokio::test]
async fn a_second_source_is_known_by_unique_id_and_octets() {
    let world = World::new().await;
    let (alice, bob, store) = (world.account("a", None).await, world.account("a", None).await, worker(&world).await);
    run(&store, alice, &[("file", Some("9"), b"same\n"), ("file 2", Some("10"), b"first\n")]).await;
    // The same message from elsewhere; another message that has the same unique-id; two of one batch that have the same.
    let report = run(
        &store,
        alice,
        &[
            ("server", Some("9"), b"same\n"),
            ("server 2", Some("10"), b"second\n"),
            ("server 3", Some("11"), b"x\n"),
            ("server 4", Some("11"), b"y\n"),
        ],
    )
    .await;
    assert_eq!(report, counts(3, 1, 2, 10 + 5 + 5));
    let ids = unique_ids(&world, alice).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 5, "all differ: {ids:?}");
    assert_eq!([&ids[0], &ids[1], &ids[3]], ["9", "10", "11"]);
    // It was noted under its new name: nothing needs to be read again.
    let importer = store.importer(alice, "x@a.test", ImportSettings::default());
    assert_eq!(importer.seen(&[key("server")]).await.unwrap().len(), 1);
    // Another account has nothing to do with it.
    assert_eq!(run(&store, bob, &[("server", Some("9"), b"same\n")]).await, counts(1, 0, 0, 8));
    world.check_counters().await;
}

#[tokio::test]
async fn a_unique_id_of_ours_is_not_given_to_a_second_message() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    assert!(is_stored(&world.deliver(b"x\n", &[("alice@a.test", &[alice])]).await[0]));
    let own = unique_ids(&world, alice).await.remove(0);
    // As if a maildrop were imported from itself over POP3.
    assert_eq!(run(&store, alice, &[("self", Some(&own), b"x\n")]).await, counts(1, 0, 1, 5));
    let ids = unique_ids(&world, alice).await;
    assert_eq!(ids[0], own);
    assert_ne!(ids[1], own);
}

#[tokio::test]
async fn quota_stops_an_import_after_the_last_message_that_fits() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", Some(20)).await, worker(&world).await);
    let mut importer = store.importer(alice, "x@a.test", ImportSettings::default());
    for (name, text) in [("1", &b"12345\n\n"[..]), ("2", b"1234567890\n\n"), ("3", b"\n")] {
        push(&mut importer, name, None, text).await.unwrap();
    }
    assert!(matches!(importer.flush().await, Err(ImportError::OverQuota)));
    assert_eq!(importer.report(), counts(1, 0, 0, 9));
    world.check_counters().await;

    let settings = ImportSettings { over_quota: true, ..ImportSettings::default() };
    let mut importer = store.importer(alice, "x@a.test", settings);
    for (name, text) in [("2", &b"1234567890\n\n"[..]), ("3", b"\n")] {
        push(&mut importer, name, None, text).await.unwrap();
    }
    importer.flush().await.unwrap();
    assert_eq!(importer.report(), counts(2, 0, 0, 14 + 2));
    world.check_counters().await;
}

#[tokio::test]
async fn a_segment_is_written_when_it_is_full_and_what_waits_is_lost_with_the_process() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    let settings = ImportSettings { segment_messages: 4, segment_octets: 1000, ..ImportSettings::default() };
    let mut importer = store.importer(alice, "x@a.test", settings.clone());
    for n in 0..10 {
        push(&mut importer, &n.to_string(), Some(&format!("id{n}")), format!("{n}\n").as_bytes()).await.unwrap();
    }
    push(&mut importer, "large", None, &[b'x'; 999]).await.unwrap();
    push(&mut importer, "lost", None, b"lost\n").await.unwrap();
    assert_eq!(importer.report().imported, 11);
    drop(importer);
    assert_eq!(world.count("SELECT count(*) FROM restante.segments").await, 3);
    assert_eq!(world.read_all(alice).await.len(), 11);
    world.check_counters().await;
}

#[tokio::test]
async fn a_store_that_fails_stops_the_import_and_the_next_run_goes_on() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    // The first PUT of a new tenant is its key's.
    run(&store, alice, &[("0", None, b"0\n")]).await;
    let messages: &[(&str, Option<&str>, &[u8])] = &[("1", Some("1"), b"one\n"), ("2", Some("2"), b"two\n")];
    world.store.nth(Operation::Put, 1, Fault::LoseAnswer);
    // The answer is lost, the same octets go up again under the same name.
    assert_eq!(run(&store, alice, messages).await.imported, 2);
    world.store.always(Operation::Put, Some(Fault::Fail));
    let mut importer = store.importer(alice, "x@a.test", ImportSettings::default());
    push(&mut importer, "3", None, b"three\n").await.unwrap();
    assert!(matches!(importer.flush().await, Err(ImportError::Mailstore(_))));
    world.store.always(Operation::Put, None);
    assert_eq!(run(&store, alice, &[messages[0], messages[1], ("3", None, b"three\n")]).await, counts(1, 2, 0, 9));
    assert_eq!(world.read_all(alice).await.len(), 4);
    world.check_counters().await;
}

#[tokio::test]
async fn a_commit_that_is_repeated_stores_once() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let worker = world.database.pool(DbRole::Worker).await;
    let call = "SELECT result FROM restante.worker_import_1($1, $2, $3, 1000, false, '{0,1}', ARRAY[$4, $5]::uuid[], '{10,20}', '{64,164}', '{100,100}', \
                '{50,50}', '{-32768,0}', ARRAY['old', NULL], ARRAY[now(), NULL], ARRAY[$6, $7]::uuid[], ARRAY[$6, $7]::uuid[]) ORDER BY ord";
    let segment = mail_types::SegmentUuid::new(mail_types::Clock::now(&SystemClock), &SystemRandom);
    let guid = |n| uuid::Uuid::from_u128(segment.guid(n).unwrap().as_u128());
    let ask = |segment: u128, first: u128| {
        sqlx::query_scalar::<_, i16>(call)
            .bind(alice.tenant.0)
            .bind(alice.account.0)
            .bind(uuid::Uuid::from_u128(segment))
            .bind(guid(0))
            .bind(guid(1))
            .bind(uuid::Uuid::from_u128(first))
            .bind(uuid::Uuid::from_u128(2))
            .fetch_all(&worker)
    };
    assert_eq!(ask(segment.as_u128(), 1).await.unwrap(), [1, 1]);
    assert_eq!(ask(segment.as_u128(), 1).await.unwrap(), [1, 1], "the answer was lost");
    assert_eq!(ask(segment.as_u128(), 3).await.unwrap(), [7, 1], "another message has the unique-id");
    world.check_counters().await;
    let state = world.state(alice).await;
    assert_eq!((state.messages, state.shape, state.next_uid), (2, 2, 3));
    // A segment of yesterday is refused, as for deliveries.
    let old = segment.as_u128() - (86_400_000 << 80);
    let error = ask(old, 4).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("RS001"));
    // One that was condemned as well.
    let condemned = segment.as_u128() + (1 << 80);
    sqlx::query("INSERT INTO restante.segments (segment_uuid, state, refs, octets) VALUES ($1, 9, 0, 0)")
        .bind(uuid::Uuid::from_u128(condemned))
        .execute(&world.superuser)
        .await
        .unwrap();
    let error = ask(condemned, 5).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("RS001"));
}

#[tokio::test]
async fn deliveries_go_on_beside_an_import() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    let importing = async {
        let settings = ImportSettings { segment_messages: 10, ..ImportSettings::default() };
        let mut importer = store.importer(alice, "x@a.test", settings);
        for n in 0..200 {
            push(&mut importer, &n.to_string(), Some(&format!("{n}")), b"imported\n").await.unwrap();
        }
        importer.flush().await.unwrap();
        assert_eq!(importer.report().imported, 200);
    };
    let delivering = async {
        for _ in 0..40 {
            assert!(is_stored(&world.deliver(b"delivered\n", &[("alice@a.test", &[alice])]).await[0]));
        }
    };
    tokio::join!(importing, delivering);
    world.check_counters().await;
    let ids: Vec<String> = unique_ids(&world, alice).await;
    let old: Vec<&String> = ids.iter().filter(|id| id.len() < 26).collect();
    assert_eq!(old, (0..200).map(|n| n.to_string()).collect::<Vec<_>>().iter().collect::<Vec<_>>(), "in their order");
    assert_eq!(ids.len(), 240);
}

#[tokio::test]
async fn two_imports_of_one_source_at_once_take_each_message_once() {
    let world = World::new().await;
    let (alice, store, other) = (world.account("a", None).await, worker(&world).await, worker(&world).await);
    let one = |store: Mailstore| async move {
        let settings = ImportSettings { segment_messages: 7, ..ImportSettings::default() };
        let mut importer = store.importer(alice, "x@a.test", settings);
        for n in 0..100 {
            push(&mut importer, &n.to_string(), Some(&format!("{n}")), format!("{n}\n").as_bytes()).await.unwrap();
        }
        importer.flush().await.unwrap();
        importer.report()
    };
    let (first, second) = tokio::join!(one(store), one(other));
    assert_eq!(first.imported + second.imported, 100, "{first:?} {second:?}");
    assert_eq!(first.renamed + second.renamed, 0);
    assert_eq!(unique_ids(&world, alice).await.into_iter().collect::<BTreeSet<_>>().len(), 100);
    world.check_counters().await;
}

/// Six messages, two to a segment.
async fn import_six(store: Mailstore, target: Target) -> ImportReport {
    let settings = ImportSettings { segment_messages: 2, ..ImportSettings::default() };
    let mut importer = store.importer(target, "x@a.test", settings);
    for n in 0..6 {
        push(&mut importer, &n.to_string(), Some(&n.to_string()), format!("\n{n}\n").as_bytes()).await.unwrap();
    }
    importer.flush().await.unwrap();
    importer.report()
}

#[tokio::test]
async fn an_import_that_stops_anywhere_goes_on_where_it_was() {
    for (point, committed) in [("import.before_put", 2), ("import.after_put", 2), ("import.after_commit", 4)] {
        let world = World::new().await;
        let alice = world.account("a", None).await;
        let process = Process::start(&world);
        let importing = import_six(process.worker.clone(), alice);
        let (ran, _) = run_until(process, (point, 2), importing).await;
        assert!(matches!(ran, Ran::Stopped), "{point}: nobody came by");
        world.check_rows().await;
        let all: Vec<String> = (0..6).map(|n| n.to_string()).collect();
        assert_eq!(unique_ids(&world, alice).await, all[..committed], "{point}");

        let next = Process::start(&world);
        world.settle(&next).await;
        world.check_nothing_is_left().await;
        let report = next.spawn(import_six(next.worker.clone(), alice)).await.unwrap();
        let committed = committed as u64;
        assert_eq!((report.imported, report.known, report.renamed), (6 - committed, committed, 0), "{point}");
        assert_eq!(unique_ids(&world, alice).await, all, "{point}");
        let texts = world.read_all(alice).await;
        assert_eq!(texts, all.iter().map(|n| format!("\r\n{n}\r\n").into_bytes()).collect::<Vec<_>>(), "{point}");
        world.check_rows().await;
    }
}

#[tokio::test]
async fn accounts_are_found_by_their_own_address_only() {
    let world = World::new().await;
    let (alice, store) = (world.account("a", None).await, worker(&world).await);
    sqlx::query(
        "WITH o AS (INSERT INTO restante.domain_owners (name, tenant_id, domain_id) SELECT name, tenant_id, domain_id FROM restante.domains WHERE name = 'a.test') \
         INSERT INTO restante.addresses (tenant_id, domain_id, local_key, account_id) \
         SELECT d.tenant_id, d.domain_id, x.local_key, x.account_id FROM restante.domains d, (VALUES ('alice', $1), ('info', NULL), ('', NULL)) AS x (local_key, account_id) \
         WHERE d.name = 'a.test'",
    )
    .bind(alice.account.0)
    .execute(&world.superuser)
    .await
    .unwrap();
    for (address, found) in [
        ("Alice@A.test", Some(alice)),
        ("alice+x@a.test", Some(alice)),
        ("info@a.test", None),
        ("nobody@a.test", None),
        ("alice@b.test", None),
    ] {
        assert_eq!(store.account(&Address::parse(address).unwrap()).await.unwrap(), found, "{address}");
    }
    let accounts = store.accounts(&TenantSlug::parse("a").unwrap()).await.unwrap().unwrap();
    assert_eq!(accounts.iter().map(|(_, target)| *target).collect::<Vec<_>>(), [alice]);
    assert_eq!(store.accounts(&TenantSlug::parse("b").unwrap()).await.unwrap(), Some(vec![]));
    assert_eq!(store.accounts(&TenantSlug::parse("c").unwrap()).await.unwrap(), None);
}
