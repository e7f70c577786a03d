use mail_types::{CredentialId, SessionUuid, SystemRandom};
use mailstore::{DeviceChange, Frontend, Update};

use crate::expunge::session;
use crate::world::World;

fn frontend() -> Frontend {
    Frontend { uuid: SessionUuid::new(&SystemRandom), role: "pop3", address: "here".into() }
}

/// As if the frontend had last beaten 20 seconds ago.
async fn kill(world: &World, frontend: &Frontend) {
    let uuid = uuid::Uuid::from_u128(frontend.uuid.as_u128());
    sqlx::query("UPDATE restante.frontends SET beat_at = beat_at - interval '20 seconds' WHERE frontend_uuid = $1")
        .bind(uuid)
        .execute(&world.superuser)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lease_excludes_others_until_it_is_given_up_or_its_frontend_dies() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    let (one, other) = (frontend(), frontend());
    let (mine, yours) = (SessionUuid::new(&SystemRandom), SessionUuid::new(&SystemRandom));
    assert_eq!(world.pop3.beat(&one).await.unwrap(), 1);
    assert_eq!(world.pop3.beat(&other).await.unwrap(), 2);
    let lease =
        async |frontend, session| world.pop3.lease(alice.tenant, alice.account, frontend, session).await.unwrap();
    let fence = lease(&one, mine).await.unwrap();
    assert_eq!(lease(&other, yours).await, None);
    assert_eq!(lease(&one, yours).await, None, "sessions of one frontend exclude each other too");
    world.pop3.unlease(alice.tenant, alice.account, fence).await.unwrap();
    assert!(lease(&other, yours).await.is_some());
    kill(&world, &other).await;
    assert!(lease(&one, mine).await.is_some(), "its frontend is dead");
}

#[tokio::test]
async fn who_lost_the_lease_cannot_expunge() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    let uid = world.snapshot(alice).await.messages()[0].uid;
    let (one, other) = (frontend(), frontend());
    world.pop3.beat(&one).await.unwrap();
    world.pop3.beat(&other).await.unwrap();
    let session_one = session();
    let fence = world.pop3.lease(alice.tenant, alice.account, &one, session_one.session).await.unwrap();
    let update = Update { expunge: vec![uid], fence, device: None };

    kill(&world, &one).await;
    let error = world.pop3.quit(alice.tenant, alice.account, &session_one, &update).await.unwrap_err();
    assert_eq!(error.kind(), "lease_lost", "a frontend that could not beat");
    world.pop3.beat(&one).await.unwrap();
    kill(&world, &one).await;
    assert!(
        world.pop3.lease(alice.tenant, alice.account, &other, SessionUuid::new(&SystemRandom)).await.unwrap().is_some()
    );
    world.pop3.beat(&one).await.unwrap();
    let error = world.pop3.quit(alice.tenant, alice.account, &session_one, &update).await.unwrap_err();
    assert_eq!(error.kind(), "lease_lost", "another has it");
    assert_eq!(world.read_all(alice).await.len(), 1);
}

#[tokio::test]
async fn a_view_grows_with_the_expunge_and_only_then() {
    let world = World::new().await;
    let alice = world.account("a", None).await;
    for _ in 0..4 {
        world.deliver(b"x", &[("alice@a.test", &[alice])]).await;
    }
    let view =
        async |credential| world.pop3.device_view(alice.tenant, alice.account, CredentialId(credential)).await.unwrap();
    let seen = async |credential| {
        let view = view(credential).await;
        (1..=4).filter(|&uid| view.has_seen(uid)).collect::<Vec<i64>>()
    };
    assert!(seen(1).await.is_empty());
    let device = Some(DeviceChange { seen: vec![1, 2], hidden: vec![3] });
    let update = Update { expunge: vec![4], fence: None, device };
    let record = session();
    for _ in 0..2 {
        assert_eq!(world.pop3.quit(alice.tenant, alice.account, &record, &update).await.unwrap(), 1);
    }
    assert_eq!(seen(1).await, [1, 2]);
    assert!(view(1).await.has_hidden(3));
    assert!(seen(2).await.is_empty(), "another device");
    let device = Some(DeviceChange { seen: vec![3], hidden: vec![] });
    world.pop3.quit(alice.tenant, alice.account, &session(), &Update { device, ..Update::default() }).await.unwrap();
    assert_eq!(seen(1).await, [1, 2, 3]);
    world.check_counters().await;
}
