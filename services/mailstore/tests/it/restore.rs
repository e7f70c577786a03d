//! What was expunged comes back to its old place, all of a selection or nothing, until it is purged.

use chrono::{DateTime, TimeDelta, Utc};
use mail_types::{CredentialId, SessionUuid, UniqueId};
use mailstore::{
    DeviceChange, Expunged, ExpungedFilter, Restored, RestoredBy, Selection, SessionRecord, Target, Update,
};
use runtime::database::DbRole;
use uuid::Uuid;

use crate::expunge::session;
use crate::world::{World, expunge, is_stored};

pub(crate) fn administrator() -> RestoredBy {
    RestoredBy {
        actor: "api-key:7".to_owned(),
        target: "alice@a.test".to_owned(),
        address: Some([192, 0, 2, 1].into()),
        request: Uuid::from_u128(7),
    }
}

impl World {
    pub(crate) async fn restore(&self, target: Target, selection: Selection) -> Restored {
        self.admin.restore(target.tenant, target.account, &selection, &administrator()).await.unwrap()
    }

    pub(crate) async fn expunged(&self, target: Target) -> Vec<Expunged> {
        self.admin.expunged(target.tenant, target.account, ExpungedFilter::default(), None, 1_000).await.unwrap()
    }

    pub(crate) async fn deliver_to(&self, target: Target, text: &str) {
        assert!(self.deliver(text.as_bytes(), &[("alice@a.test", &[target])]).await.iter().all(is_stored));
    }

    pub(crate) async fn uids(&self, target: Target) -> Vec<i64> {
        self.snapshot(target).await.messages().iter().map(|m| m.uid).collect()
    }

    async fn unique_ids(&self, target: Target) -> Vec<UniqueId> {
        self.snapshot(target).await.messages().iter().map(|m| m.unique_id()).collect()
    }

    /// A session that expunges these.
    pub(crate) async fn session(&self, target: Target, uids: &[i64]) -> SessionRecord {
        let record = session();
        let gone = self.pop3.quit(target.tenant, target.account, &record, &expunge(uids)).await.unwrap();
        assert_eq!(gone as usize, uids.len());
        record
    }

    pub(crate) async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.superuser).await.unwrap();
    }
}

pub(crate) fn messages(restored: Restored) -> u64 {
    let done = match restored {
        Restored::Done { messages, .. } => Ok(messages),
        refused => Err(refused),
    };
    done.unwrap()
}

#[tokio::test]
async fn what_a_session_expunged_comes_back_as_it_was() {
    let world = World::new().await;
    let (alice, bob) = (world.account("a", None).await, world.account("a", None).await);
    world.deliver_to(alice, "one").await;
    // A shared frame: each copy has first lines of its own.
    world.deliver(b"Subject: both\r\n\r\nx", &[("alice@a.test", &[alice]), ("bob@a.test", &[bob])]).await;
    world.deliver_to(alice, "three").await;
    // From another server, with the unique-id that it had there.
    sqlx::query(
        "WITH m AS (UPDATE restante.messages SET traits = traits | (-32768)::smallint WHERE (tenant_id, account_id, uid) = ($1, $2, 3) RETURNING *) \
         INSERT INTO restante.message_extras (tenant_id, account_id, uid, legacy_id) SELECT tenant_id, account_id, uid, 'old-3' FROM m",
    )
    .bind(alice.tenant.0)
    .bind(alice.account.0)
    .execute(&world.superuser)
    .await
    .unwrap();
    world.sql("UPDATE restante.maildrops SET shape = shape + 1").await;
    let (ids, texts) = (world.unique_ids(alice).await, world.read_all(alice).await);
    assert_eq!(ids[2].as_str(), "old-3");

    let first = world.session(alice, &[2, 3]).await;
    world.session(alice, &[1]).await;
    world.deliver_to(alice, "four").await;
    let held = world.snapshot(alice).await;
    assert_eq!(held.messages().len(), 1);

    let octets: usize = texts[1].len() + texts[2].len();
    let undo = Selection::Session(first.session);
    assert_eq!(world.restore(alice, undo.clone()).await, Restored::Done { messages: 2, octets: octets as u64 });
    assert_eq!(world.restore(alice, undo).await, Restored::Done { messages: 0, octets: 0 }, "a repeat is a no-op");
    assert_eq!(world.uids(alice).await, [2, 3, 4], "before what came later");
    assert_eq!(world.unique_ids(alice).await[..2], ids[1..]);
    assert_eq!(world.read_all(alice).await[..2], texts[1..]);
    assert_eq!(held.messages().len(), 1, "a session under way sees what it saw");
    world.check_counters().await;

    let audited: Vec<(String, String, serde_json::Value)> = sqlx::query_as(
        "SELECT actor || ' ' || host(address), action || ' ' || target, after FROM restante.audit_events",
    )
    .fetch_all(&world.superuser)
    .await
    .unwrap();
    assert_eq!(audited.len(), 1, "what changes nothing is no event");
    assert_eq!((audited[0].0.as_str(), audited[0].1.as_str()), ("api-key:7 192.0.2.1", "message.restore alice@a.test"));
    let session = format!("sess_{}", first.session);
    assert_eq!(audited[0].2, serde_json::json!({"session": session, "messages": 2, "octets": octets}));

    // Whoever asked for the QUIT again in the meantime does not expunge a second time.
    let again = world.pop3.quit(alice.tenant, alice.account, &first, &expunge(&[2, 3])).await.unwrap();
    assert_eq!((again, world.uids(alice).await), (2, vec![2, 3, 4]));
}

#[tokio::test]
async fn messages_are_restored_one_by_one_by_either_unique_id() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for text in ["1", "2", "3"] {
        world.deliver_to(alice, text).await;
    }
    let ids = world.unique_ids(alice).await;
    world.session(alice, &[1, 2, 3]).await;
    world.sql("INSERT INTO restante.message_extras (tenant_id, account_id, uid, legacy_id) SELECT tenant_id, account_id, 2, 'old-2' FROM restante.maildrops").await;
    let one = |text: &str| UniqueId::parse(text).unwrap();
    let listed: Vec<UniqueId> = world.expunged(alice).await.into_iter().map(|x| x.message.unique_id).collect();
    assert_eq!(listed, [ids[2].clone(), one("old-2"), ids[0].clone()]);
    let selection = |ids: &[UniqueId]| Selection::UniqueIds(ids.to_vec());
    assert_eq!(
        messages(world.restore(alice, selection(&[ids[1].clone(), one("none")])).await),
        0,
        "it has another one"
    );
    assert_eq!(messages(world.restore(alice, selection(&[one("old-2"), ids[0].clone()])).await), 2);
    assert_eq!(world.uids(alice).await, [1, 2]);
    world.check_counters().await;
    // As often as one likes.
    for _ in 0..2 {
        world.session(alice, &[1]).await;
        assert_eq!(messages(world.restore(alice, selection(&ids[..2])).await), 1);
    }
    world.check_counters().await;
}

#[tokio::test]
async fn messages_are_restored_by_the_time_of_their_expunge() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for text in ["1", "2", "3"] {
        world.deliver_to(alice, text).await;
    }
    for uid in [2, 1, 3] {
        world.session(alice, &[uid]).await;
    }
    let listed = world.expunged(alice).await;
    let uids = |page: &[Expunged]| page.iter().map(|x| x.message.uid).collect::<Vec<_>>();
    assert_eq!(uids(&listed), [3, 1, 2], "expunged last first");
    let at: Vec<DateTime<Utc>> = listed.iter().map(|x| x.expunged_at).collect();
    let retention = TimeDelta::days(8);
    assert!(listed.iter().all(|x| x.purge_day == (x.expunged_at + retention).date_naive()));

    let page =
        async |filter, after| uids(&world.admin.expunged(alice.tenant, alice.account, filter, after, 2).await.unwrap());
    let all = ExpungedFilter::default();
    assert_eq!(page(all, None).await, [3, 1]);
    assert_eq!(page(all, Some((at[1], 1))).await, [2]);
    assert_eq!(page(ExpungedFilter { since: Some(at[1]), until: Some(at[0]), session: None }, None).await, [1]);
    assert_eq!(page(ExpungedFilter { session: Some(listed[2].session), ..all }, None).await, [2]);

    let between = |since, until| Selection::Between { since, until };
    assert_eq!(messages(world.restore(alice, between(at[2], Some(at[1]))).await), 1, "the end is not in it");
    assert_eq!(world.uids(alice).await, [2]);
    assert_eq!(messages(world.restore(alice, between(at[0], None)).await), 1);
    assert_eq!(messages(world.restore(alice, between(at[0] + TimeDelta::seconds(1), None)).await), 0);
    assert_eq!(world.uids(alice).await, [2, 3]);
    world.check_counters().await;
}

#[tokio::test]
async fn what_does_not_fit_is_not_restored_by_half() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for text in ["1", "2", "3"] {
        world.deliver_to(alice, text).await;
    }
    let all: u64 = world.snapshot(alice).await.messages().iter().map(|m| m.octets.0).sum();
    let record = world.session(alice, &[1, 2]).await;
    let undo = Selection::Session(record.session);
    let refused = Restored::OverQuota { messages: 2, octets: all - world.state(alice).await.octets.0 };
    for limit in [
        "UPDATE restante.accounts SET max_octets = (SELECT live_octets + kept_octets - 1 FROM restante.maildrops)",
        "UPDATE restante.accounts SET max_octets = NULL, max_messages = 2",
        "UPDATE restante.accounts SET max_messages = NULL; UPDATE restante.tenants SET max_octets = 1; \
         INSERT INTO restante.usage_now (tenant_id, domain_id, accounts, messages, octets, kept_octets, at) SELECT tenant_id, 0, 1, 1, 1, 1, now() FROM restante.tenants",
    ] {
        world.sql(limit).await;
        assert_eq!(world.restore(alice, undo.clone()).await, refused, "{limit}");
        assert_eq!((world.uids(alice).await, world.expunged(alice).await.len()), (vec![3], 2));
    }
    assert_eq!(world.count("SELECT count(*) FROM restante.audit_events").await, 0);
    world.sql("UPDATE restante.tenants SET max_octets = NULL; UPDATE restante.accounts SET max_messages = 3, max_octets = (SELECT live_octets + kept_octets FROM restante.maildrops)").await;
    assert_eq!(messages(world.restore(alice, undo).await), 2, "just");
    world.check_counters().await;
}

#[tokio::test]
async fn nothing_of_another_tenant_or_account_is_restored_or_seen() {
    let world = World::new().await;
    let (alice, other, bert) =
        (world.account("a", None).await, world.account("a", None).await, world.account("b", None).await);
    world.deliver_to(alice, "1").await;
    let ids = world.unique_ids(alice).await;
    let record = world.session(alice, &[1]).await;
    let all = || Selection::Between { since: DateTime::UNIX_EPOCH, until: None };
    for selection in [Selection::Session(record.session), Selection::UniqueIds(ids), all()] {
        for target in [other, bert] {
            assert_eq!(messages(world.restore(target, selection.clone()).await), 0);
        }
        let beyond = Target { tenant: bert.tenant, account: alice.account };
        assert_eq!(world.restore(beyond, selection).await, Restored::NoSuchAccount);
    }
    let beyond = Target { tenant: bert.tenant, account: alice.account };
    for target in [other, bert, beyond] {
        assert_eq!(world.expunged(target).await, []);
        assert_eq!(world.admin.sessions(target.tenant, target.account, None, 10).await.unwrap(), []);
        assert!(!world.admin.has_session(target.tenant, target.account, record.session).await.unwrap());
    }
    assert!(world.admin.has_session(alice.tenant, alice.account, record.session).await.unwrap());

    // The function itself looks at whose transaction it is.
    let admin = world.database.pool(DbRole::Admin).await;
    let mut tx = admin.begin().await.unwrap();
    sqlx::query("SELECT set_config('restante.tenant_id', $1, true)")
        .bind(bert.tenant.0.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    let refused =
        sqlx::query("SELECT restante.admin_restore_1($1, $2, NULL, NULL, '-infinity', NULL, NULL, '', '', NULL, NULL)")
            .bind(alice.tenant.0)
            .bind(alice.account.0)
            .execute(&mut *tx)
            .await
            .unwrap_err();
    assert_eq!(refused.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"));
    drop(tx);
    world.sql("UPDATE restante.accounts SET status = 3").await;
    assert_eq!(world.restore(alice, all()).await, Restored::NoSuchAccount, "deleted");
    assert_eq!(world.expunged(alice).await.len(), 1);
}

#[tokio::test]
async fn sessions_are_listed_with_what_undoing_them_restores() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for text in ["1", "2", "3"] {
        world.deliver_to(alice, text).await;
    }
    let ids = world.unique_ids(alice).await;
    let mut records = Vec::new();
    for uids in [&[1, 2][..], &[], &[3]] {
        records.push(world.session(alice, uids).await);
    }
    world.sql("UPDATE restante.sessions SET started_at = started_at - expunged * interval '1 minute'").await;
    world.restore(alice, Selection::UniqueIds(vec![ids[0].clone()])).await;
    let page = world.admin.sessions(alice.tenant, alice.account, None, 2).await.unwrap();
    let shown = |page: &[mailstore::PastSession]| {
        page.iter().map(|s| (s.session, s.expunged, s.restorable)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&page), [(records[1].session, 0, 0), (records[2].session, 1, 1)]);
    let after = Some((page[1].started_at, page[1].session));
    let rest = world.admin.sessions(alice.tenant, alice.account, after, 2).await.unwrap();
    assert_eq!(shown(&rest), [(records[0].session, 2, 1)]);
    let one = &rest[0];
    assert_eq!((one.credential, one.address, one.mechanism), (Some(CredentialId(1)), records[0].address, 1));
    assert_eq!((one.fetched, one.fetched_octets, one.outcome), (1, 10, mailstore::SessionOutcome::Quit));
}

/// The device that fetched and expunged a message sees it again; what others have fetched or hidden stays so.
#[tokio::test]
async fn a_device_gets_back_what_it_expunged_itself() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for text in ["1", "2", "3"] {
        world.deliver_to(alice, text).await;
    }
    let quit = async |credential: i64, expunge: &[i64], seen: &[i64], hidden: &[i64]| {
        let record = SessionRecord { credential: CredentialId(credential), ..session() };
        let device = DeviceChange { seen: seen.to_vec(), hidden: hidden.to_vec() };
        let update = Update { expunge: expunge.to_vec(), device: Some(device), ..Update::default() };
        world.pop3.quit(alice.tenant, alice.account, &record, &update).await.unwrap();
        record
    };
    quit(2, &[], &[1, 3], &[2]).await;
    quit(1, &[1], &[1, 3], &[]).await;
    quit(1, &[2], &[2], &[]).await;
    let all = Selection::Between { since: DateTime::UNIX_EPOCH, until: None };
    assert_eq!(messages(world.restore(alice, all).await), 2);
    let view = async |credential| {
        let view = world.pop3.device_view(alice.tenant, alice.account, CredentialId(credential)).await.unwrap();
        let uids = |has: &dyn Fn(i64) -> bool| (1..4).filter(|&uid| has(uid)).collect::<Vec<i64>>();
        (uids(&|uid| view.has_seen(uid)), uids(&|uid| view.has_hidden(uid)))
    };
    assert_eq!(view(1).await, (vec![3], vec![]));
    assert_eq!(view(2).await, (vec![1, 3], vec![2]));
}

#[tokio::test]
async fn a_session_of_nobody_is_unknown() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let nobody = SessionUuid::from_u128(7);
    assert!(!world.admin.has_session(alice.tenant, alice.account, nobody).await.unwrap());
    assert_eq!(messages(world.restore(alice, Selection::Session(nobody)).await), 0);
}
