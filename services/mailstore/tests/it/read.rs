use std::sync::Arc;

use mail_types::SystemClock;
use mailstore::{Part, ReadAheadSettings, Settings};
use testkit::{Fault, Operation};

use crate::world::{World, is_stored, read};

/// A maildrop of so many messages, each in a segment of its own, and a store that counts from now on.
async fn filled(world: &World, messages: usize, body: usize) -> mailstore::Target {
    let alice = world.account("a", None).await;
    for n in 0..messages {
        let noise = noise(n as u64, body);
        let text = format!("Subject: {n}\r\n\r\n{noise}\r\n");
        assert!(world.deliver(text.as_bytes(), &[("alice@a.test", &[alice])]).await.iter().all(is_stored));
    }
    alice
}

/// Text without a pattern: not to be compressed away.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(33 + ((state >> 33) % 90) as u8)
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn messages_in_sequence_are_on_the_way_before_they_are_asked_for() {
    let world = World::new().await;
    let alice = filled(&world, 12, 1_000).await;
    let mut reader = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    let before = world.store.calls(Operation::Get);
    for index in 0..3 {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    // The third one opened a window of four: 0, 1, 2 and those up to 6 were asked for, and nothing beyond.
    while world.store.calls(Operation::Get) - before < 7 {
        tokio::task::yield_now().await;
    }
    for index in 3..12 {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    assert_eq!(world.store.calls(Operation::Get) - before, 12, "each message once");
    for index in 0..12 {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    assert_eq!(world.store.calls(Operation::Get) - before, 12, "from the cache");
}

#[tokio::test]
async fn a_client_that_jumps_reads_nothing_in_vain() {
    let world = World::with(Settings { frames_octets: 0, ..Settings::default() }, Arc::new(SystemClock)).await;
    let alice = filled(&world, 6, 100).await;
    let mut reader = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    let before = world.store.calls(Operation::Get);
    for index in [5, 3, 1, 4, 0, 2] {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    assert_eq!(world.store.calls(Operation::Get) - before, 6);
}

#[tokio::test]
async fn neighbours_in_a_segment_are_read_as_one_range() {
    let world = World::with(Settings { frames_octets: 0, ..Settings::default() }, Arc::new(SystemClock)).await;
    let alice = world.account("a", None).await;
    world.deliver(b"first", &[("alice@a.test", &[alice])]).await;
    world.store.nth(Operation::Put, 1, Fault::Hang);
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..30 {
        let lmtp = world.lmtp.clone();
        sent.spawn(async move {
            crate::world::deliver(&lmtp, format!("Subject: {n}\r\n\r\n").as_bytes(), &[("alice@a.test", &[alice])])
                .await
        });
    }
    for _ in 0..400 {
        tokio::task::yield_now().await;
    }
    world.store.release();
    while let Some(verdicts) = sent.join_next().await {
        assert!(is_stored(&verdicts.unwrap()[0]));
    }
    let mut reader = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    let before = world.store.calls(Operation::Get);
    for index in 0..31 {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    let requests = world.store.calls(Operation::Get) - before;
    assert!(requests < 12, "{requests} requests for 31 messages");
}

#[tokio::test]
async fn what_fails_ahead_is_asked_for_again() {
    let world = World::new().await;
    let alice = filled(&world, 4, 100).await;
    let mut reader = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    read(&mut reader, 0, Part::Whole).await.unwrap();
    world.store.nth(Operation::Get, 2, Fault::Fail);
    for index in 1..4 {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    world.store.always(Operation::Get, Some(Fault::Fail));
    let mut other = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    assert!(other.open(9, Part::Whole).await.is_none());
    let error = read(&mut other, 0, Part::Head).await.unwrap_err();
    assert!(error.is_temporary());
}

#[tokio::test]
async fn both_bounds_hold_reading_ahead_back() {
    let read_ahead = ReadAheadSettings { session_messages: 64, session_octets: 5_000, process_octets: 8_192 };
    let world =
        World::with(Settings { frames_octets: 0, read_ahead, ..Settings::default() }, Arc::new(SystemClock)).await;
    let alice = filled(&world, 10, 2_000).await;
    let mut reader = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    let before = world.store.calls(Operation::Get);
    for index in 0..5 {
        read(&mut reader, index, Part::Whole).await.unwrap();
    }
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let requests = world.store.calls(Operation::Get) - before;
    assert!((5..=7).contains(&requests), "{requests}: two messages of 2 400 octets fit a session's bound");
}

#[tokio::test]
async fn a_header_alone_is_read_alone_and_lines_only_as_far_as_asked() {
    let world = World::new().await;
    let alice = filled(&world, 2, 400_000).await;
    let mut reader = world.pop3.reader(alice.tenant, world.snapshot(alice).await, None);
    let head = read(&mut reader, 0, Part::Head).await.unwrap();
    assert!(head.ends_with(b"\r\n\r\n") && head.len() < 300);
    let before = world.store.calls(Operation::Get);
    let mut lines = reader.open(1, Part::Lines).await.unwrap().unwrap();
    lines.next().await.unwrap();
    let body = lines.next().await.unwrap().unwrap();
    assert!(body.len() >= 16 * 1024, "the first block of the body came with the header");
    assert_eq!(world.store.calls(Operation::Get) - before, 1);
    while lines.next().await.unwrap().is_some() {}
    assert_eq!(world.store.calls(Operation::Get) - before, 3, "a chunk, two, and what was left");
}
