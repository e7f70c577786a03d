//! What a session sees and what its DELE does.

use std::{collections::HashMap, time::Duration};

use directory::{Dele, Policy, View};
use mail_types::Secret;
use proptest::prelude::*;
use tokio::net::TcpStream;

use crate::support::{Client, World, config, world, world_with};

async fn open(world: &World, secret: &Secret) -> Client<TcpStream> {
    let (client, answer) = world.log_in_with(secret).await;
    assert!(answer.starts_with("+OK"), "{answer}");
    client
}

async fn unique_ids(client: &mut Client<TcpStream>) -> Vec<String> {
    let lines = client.lines("UIDL").await;
    lines.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

async fn deliver(world: &World, messages: usize) {
    for _ in 0..messages {
        world.deliver(b"Subject: one\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_device_sees_what_it_has_not_fetched() {
    let world = world(config()).await;
    deliver(&world, 2).await;
    let view = Policy { view: Some(View::NewForDevice), ..Policy::default() };
    let (phone, laptop) = (world.app_password(view.clone(), false).await, world.app_password(view, false).await);
    let mut client = open(&world, &phone).await;
    let all = unique_ids(&mut client).await;
    client.lines("RETR 2").await;
    client.lines("TOP 1 100").await;
    assert_eq!(client.ask("QUIT").await, "+OK bye");
    client.closed().await;

    let mut client = open(&world, &phone).await;
    assert_eq!(unique_ids(&mut client).await, all[..1]);
    client.lines("RETR 1").await;
    // Lost: not even the RETR counts.
    drop(client);
    let mut client = open(&world, &phone).await;
    assert_eq!(unique_ids(&mut client).await, all[..1]);
    let mut client = open(&world, &laptop).await;
    assert_eq!(unique_ids(&mut client).await, all, "another device has its own view");
    let mut client = world.alice().await;
    assert_eq!(unique_ids(&mut client).await, all, "and the password's holder sees all");
}

#[tokio::test]
async fn dele_hides_or_does_nothing_where_the_policy_says_so() {
    let world = world(config()).await;
    deliver(&world, 3).await;
    let dele = |dele| Policy { dele: Some(dele), ..Policy::default() };
    let hides = world.app_password(dele(Dele::Hide), false).await;
    let ignores = world.app_password(dele(Dele::Ignore), false).await;
    for (secret, left) in [(&hides, 2), (&ignores, 3)] {
        let mut client = open(&world, secret).await;
        assert_eq!(client.ask("DELE 2").await, "+OK marked as deleted");
        assert_eq!(unique_ids(&mut client).await.len(), 2, "in the session the mark counts");
        assert_eq!(client.ask("QUIT").await, "+OK bye, the marked messages are deleted");
        client.closed().await;
        let mut client = open(&world, secret).await;
        assert_eq!(unique_ids(&mut client).await.len(), left);
    }
    assert_eq!(unique_ids(&mut world.alice().await).await.len(), 3, "nothing is expunged");
}

#[tokio::test]
async fn old_messages_leave_a_view_of_days() {
    let world = world_with(config(), Policy { view: Some(View::LastDays(2)), ..Policy::default() }).await;
    deliver(&world, 1).await;
    world.clock.advance(Duration::from_secs(86_400));
    deliver(&world, 1).await;
    let mut client = world.alice().await;
    let all = unique_ids(&mut client).await;
    assert_eq!(all.len(), 2);
    world.clock.advance(Duration::from_secs(86_401));
    let mut client = world.alice().await;
    assert_eq!(unique_ids(&mut client).await, all[1..]);
    // What is not seen cannot be deleted.
    assert_eq!(client.ask("DELE 2").await, "-ERR no such message");
    assert_eq!(client.ask("DELE 1").await, "+OK marked as deleted");
    assert_eq!(client.ask("QUIT").await, "+OK bye, the marked messages are deleted");
    client.closed().await;
    let superuser = world.database.superuser().await;
    let live: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.messages").fetch_one(&superuser).await.unwrap();
    assert_eq!(live, 1);
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Deliver,
    Session { device: usize, actions: Vec<Action>, quits: bool },
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Retrieve(usize),
    Top(usize),
    Hide(usize),
    Reset,
}

const DEVICES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![
        5 => (0_usize..6).prop_map(Action::Retrieve),
        1 => (0_usize..6).prop_map(Action::Top),
        1 => (0_usize..6).prop_map(Action::Hide),
        1 => Just(Action::Reset),
    ];
    prop_oneof![
        1 => Just(Step::Deliver),
        3 => (0..DEVICES, prop::collection::vec(action, 0..6), prop::bool::weighted(0.7))
            .prop_map(|(device, actions, quits)| Step::Session { device, actions, quits }),
    ]
}

/// What a device has: how often it fetched each message in sessions that counted, and what it hid.
#[derive(Debug, Default)]
struct Device {
    fetched: HashMap<String, u32>,
    hidden: Vec<String>,
}

async fn play(world: &World, secret: &Secret, device: &mut Device, actions: &[Action], quits: bool) {
    let mut client = open(world, secret).await;
    let listed = unique_ids(&mut client).await;
    for unique_id in &listed {
        assert!(!device.fetched.contains_key(unique_id), "shown again after it was fetched");
        assert!(!device.hidden.contains(unique_id), "shown again after it was hidden");
    }
    let (mut fetched, mut hidden) = (Vec::new(), Vec::new());
    for action in actions {
        match *action {
            Action::Retrieve(at) => {
                let answer = client.ask(&format!("RETR {}", at + 1)).await;
                if answer.starts_with("+OK") {
                    while client.line().await != "." {}
                    fetched.extend(listed.get(at).cloned());
                }
            }
            Action::Top(at) => {
                if client.ask(&format!("TOP {} 1", at + 1)).await.starts_with("+OK") {
                    while client.line().await != "." {}
                }
            }
            Action::Hide(at) => {
                if client.ask(&format!("DELE {}", at + 1)).await.starts_with("+OK") {
                    hidden.extend(listed.get(at).cloned());
                }
            }
            Action::Reset => {
                client.ask("RSET").await;
                hidden.clear();
            }
        }
    }
    if quits {
        assert!(client.ask("QUIT").await.starts_with("+OK"));
        client.closed().await;
        fetched.sort();
        fetched.dedup();
        for unique_id in fetched {
            *device.fetched.entry(unique_id).or_default() += 1;
        }
        device.hidden.extend(hidden);
    }
}

/// Whatever happens, each device gets each message exactly once, if it did not hide it before.
#[test]
fn each_device_gets_each_message_exactly_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(world(config()));
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..25))| {
        runtime.block_on(async {
            let policy = Policy { view: Some(View::NewForDevice), dele: Some(Dele::Hide), ..Policy::default() };
            let mut secrets = Vec::new();
            for _ in 0..DEVICES {
                secrets.push(world.app_password(policy.clone(), false).await);
            }
            let mut devices: Vec<Device> = (0..DEVICES).map(|_| Device::default()).collect();
            for step in steps {
                match step {
                    Step::Deliver => deliver(&world, 1).await,
                    Step::Session { device, actions, quits } => {
                        play(&world, &secrets[device], &mut devices[device], &actions, quits).await;
                    }
                }
            }
            let everything = unique_ids(&mut world.alice().await).await;
            for (secret, device) in secrets.iter().zip(&mut devices) {
                // At last each fetches all that it still sees.
                let all: Vec<_> = (0..everything.len()).map(Action::Retrieve).collect();
                play(&world, secret, device, &all, true).await;
                play(&world, secret, device, &[], true).await;
                assert!(device.fetched.values().all(|times| *times == 1), "fetched twice");
                for unique_id in &everything {
                    let had = device.fetched.contains_key(unique_id) || device.hidden.contains(unique_id);
                    assert!(had, "never shown");
                }
            }
        });
    });
}
