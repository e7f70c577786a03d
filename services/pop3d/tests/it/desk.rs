//! What the support desk is told: live sessions and their end, refusals with their reason, transcripts without secrets; and that a poll
//! which finds nothing writes nothing.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::Policy;
use mail_types::Secret;
use pop3d::{Config, DeskConfig};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::sleep;

use crate::support::{PASSWORD, World, config, world, world_of, world_with};

const ENDED: &str = "-ERR [SYS/TEMP] the session was ended by an administrator, nothing is deleted";

fn prompt() -> Config {
    let desk = DeskConfig { report_seconds: 1, live_after_seconds: 0, end_seconds: 60, ..DeskConfig::default() };
    Config { desk, ..config() }
}

/// What a query answers, as soon as that is what is expected.
async fn until(superuser: &PgPool, query: &'static str, expected: &str) {
    let mut last = None;
    for _ in 0..400 {
        last = sqlx::query_scalar::<_, Option<String>>(query).fetch_one(superuser).await.unwrap();
        if last.as_deref() == Some(expected) {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("{query}: {last:?} and not {expected}");
}

async fn run(world: &World, statement: &'static str) {
    sqlx::query(statement).execute(&world.database.superuser().await).await.unwrap();
}

const LIVE: &str = "SELECT string_agg(host(address) || ' ' || mechanism || ' ' || tls || ' ' || fetched || ' ' || (client ~ 'USER'), ',') \
                    FROM restante.live_sessions";

#[tokio::test]
async fn live_sessions_are_told_of_and_end_when_asked() {
    let world = world(prompt()).await;
    let superuser = world.database.superuser().await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let mut first = world.alice().await;
    until(&superuser, LIVE, "127.0.0.1 1 0 0 true").await;
    first.lines("RETR 1").await;
    until(&superuser, LIVE, "127.0.0.1 1 0 1 true").await;
    let mut second = world.alice().await;
    assert_eq!(second.ask("DELE 1").await, "+OK marked as deleted");
    until(&superuser, "SELECT count(*)::text FROM restante.live_sessions", "2").await;
    run(&world, "UPDATE restante.live_sessions SET end_asked = true").await;
    let mut answer = first.ask("NOOP").await;
    for _ in 0..400 {
        if answer.starts_with("-ERR") {
            break;
        }
        sleep(Duration::from_millis(25)).await;
        answer = first.ask("NOOP").await;
    }
    assert_eq!(answer, ENDED);
    first.closed().await;
    assert_eq!(second.ask("QUIT").await, ENDED, "QUIT too");
    second.closed().await;
    until(&superuser, "SELECT count(*)::text FROM restante.live_sessions", "0").await;
    let ended = "SELECT string_agg(ended || ' ' || fetched || ' ' || expunged || ' ' || last_error, ',' ORDER BY fetched DESC) FROM restante.sessions";
    until(&superuser, ended, &format!("asked 1 0 {ENDED},asked 0 0 {ENDED}")).await;
    until(&superuser, "SELECT count(*)::text FROM restante.messages", "1").await;
}

#[tokio::test]
async fn a_revoked_credential_ends_a_session_that_says_nothing() {
    let mut config = prompt();
    config.desk.end_seconds = 0;
    let world = world(config).await;
    let secret = world.app_password(Policy::default(), false).await;
    let (mut device, answer) = world.log_in_with(&secret).await;
    assert!(answer.starts_with("+OK"), "{answer}");
    let mut other = world.alice().await;
    until(&world.database.superuser().await, "SELECT count(*)::text FROM restante.live_sessions", "2").await;
    run(&world, "UPDATE restante.credentials SET revoked_at = now() WHERE kind = 2").await;
    device.closed().await;
    assert_eq!(other.ask("NOOP").await, "+OK nothing done");
}

#[tokio::test]
async fn what_a_crash_of_the_database_emptied_is_told_again() {
    let world = world(prompt()).await;
    let superuser = world.database.superuser().await;
    let _first = world.alice().await;
    until(&superuser, "SELECT count(*)::text FROM restante.live_sessions", "1").await;
    run(&world, "TRUNCATE restante.live_sessions").await;
    until(&superuser, "SELECT count(*)::text FROM restante.live_sessions", "1").await;
}

/// Rows of everything that a session can leave.
const TRACES: &str = "SELECT (SELECT count(*) FROM restante.sessions) || ' ' || (SELECT count(*) FROM restante.live_sessions) || ' ' || \
                      (SELECT count(*) FROM restante.login_refusals) || ' ' || (SELECT coalesce(sum(logins), 0) FROM restante.credential_use)";

#[tokio::test]
async fn a_poll_that_finds_nothing_writes_nothing() {
    let desk = DeskConfig { report_seconds: 3600, live_after_seconds: 0, ..DeskConfig::default() };
    let world = world(Config { desk, ..config() }).await;
    let superuser = world.database.superuser().await;
    // The first report goes with the start.
    until(&superuser, "SELECT count(*)::text FROM restante.frontends", "1").await;
    for _ in 0..3 {
        let mut client = world.alice().await;
        assert_eq!(client.ask("STAT").await, "+OK 0 0");
        assert_eq!(client.ask("LIST 1").await, "-ERR no such message");
        assert_eq!(client.ask("QUIT").await, "+OK bye");
    }
    until(&superuser, TRACES, "0 0 0 0").await;
    // A process that stops tells what it counted.
    world.shutdown.begin_drain();
    world.served.await.unwrap();
    until(&superuser, TRACES, "0 0 0 3").await;
}

/// Reasons by number, how often, by which mechanism, and what the client was told.
const REFUSALS: &str = "SELECT string_agg(reason || ' ' || attempts || ' ' || secrets || ' ' || mechanism || ' ' || told, ',' ORDER BY reason) \
                        FROM restante.login_refusals";

#[tokio::test]
async fn refusals_are_told_with_their_reason() {
    let config = Config { max_sessions_per_account: 1, ..prompt() };
    let world = world_of(config, Policy::default(), directory::Settings::default()).await;
    let superuser = world.database.superuser().await;
    let wrong = "[AUTH] wrong login name or password";
    for secret in ["wrong one", "wrong one", "wrong two", "rst-aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let (_, answer) = world.log_in_with(&Secret::from(secret)).await;
        assert_eq!(answer, format!("-ERR {wrong}"));
    }
    let mut scram = world.client(world.clear).await;
    let first = scram.ask(&format!("AUTH SCRAM-SHA-256 {}", STANDARD.encode("n,,n=alice@acme.test,r=client"))).await;
    assert!(first.starts_with("+ "), "{first}");
    let nonce = String::from_utf8(STANDARD.decode(&first[2..]).unwrap()).unwrap();
    let nonce = nonce.split(',').next().unwrap().to_owned();
    let last = format!("c=biws,{nonce},p={}", STANDARD.encode([0; 32]));
    assert_eq!(scram.ask(&STANDARD.encode(last)).await, format!("-ERR {wrong}"));
    let mut strict = world.client(world.strict).await;
    let clear = strict.ask("USER Alice@acme.test").await;
    assert_eq!(clear, "-ERR passwords are refused on a connection without TLS");
    let apop = strict.ask("APOP alice@acme.test c4c9334bac560ecc979e58001b3e22fb").await;
    assert_eq!(apop, "-ERR APOP is not available here");
    assert_eq!(strict.ask("USER nobody@acme.test").await, clear);
    let mut token = world.client(world.clear).await;
    let bearer = STANDARD.encode("n,a=alice@acme.test,\u{1}auth=Bearer x\u{1}\u{1}");
    assert!(token.ask(&format!("AUTH OAUTHBEARER {bearer}")).await.starts_with("+ "));
    assert_eq!(token.ask("AQ==").await, format!("-ERR {wrong}"));
    let _first = world.alice().await;
    let (_, full) = world.log_in_with(&Secret::from(PASSWORD)).await;
    assert!(full.starts_with("-ERR [IN-USE] too many sessions of this account"), "{full}");
    run(&world, "UPDATE restante.accounts SET status = 2").await;
    let (_, suspended) = world.log_in_with(&Secret::from(PASSWORD)).await;
    assert_eq!(suspended, "-ERR [SYS/PERM] the account is suspended");
    let expected = [
        format!("1 3 2 1 -ERR {wrong}"),
        format!("3 1 1 1 -ERR {wrong}"),
        format!("8 1 1 4 -ERR {wrong}"),
        format!("11 1 0 8 -ERR {wrong}"),
        format!("13 1 0 1 {suspended}"),
        format!("18 1 0 1 {full}"),
        format!("22 1 0 1 {clear}"),
        format!("23 1 0 13 {apop}"),
    ];
    until(&superuser, REFUSALS, &expected.join(",")).await;
}

#[tokio::test]
async fn sessions_tell_their_client_and_what_it_was_told() {
    let world = world_with(prompt(), Policy::default()).await;
    let superuser = world.database.superuser().await;
    world.deliver(b"Subject: one\r\n\r\n").await;
    let mut client = world.tls_client("pop.acme.test").await;
    client.lines("CAPA").await;
    client.log_in().await;
    client.lines("UIDL").await;
    client.lines("RETR 1").await;
    drop(client);
    let row = "SELECT string_agg(ended || ' ' || server_name || ' ' || client, ',') FROM restante.sessions";
    until(&superuser, row, "lost pop.acme.test TLSv1.3 TLS13_AES_256_GCM_SHA384; CAPA USER UIDL").await;
}

#[tokio::test]
async fn a_transcript_has_no_secret_and_no_mail() {
    let world = world(prompt()).await;
    let superuser = world.database.superuser().await;
    world.deliver(b"Subject: of no concern\r\n\r\nhunter2\r\n").await;
    run(
        &world,
        "UPDATE restante.accounts SET transcribe_until = now() + interval '1 minute' WHERE local_part = 'alice'",
    )
    .await;
    let mut client = world.client(world.clear).await;
    client.lines("CAPA").await;
    client.ask("USER alice@acme.test").await;
    client.ask("PASS hunter2").await;
    client.ask("USER hunter2").await;
    client.ask(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0alice@acme.test\0{PASSWORD}")))).await;
    client.ask("HUNTER2 hunter2").await;
    client.lines("RETR 1").await;
    client.ask("STAT").await;
    client.ask("QUIT").await;
    client.closed().await;
    let said = "SELECT string_agg((e ->> 'command') || ' > ' || (e ->> 'reply'), E'\\n') FROM restante.transcripts, jsonb_array_elements(entries) AS e";
    let expected = "\
        CAPA > +OK [OCTETS octets]\n\
        USER [redacted] > +OK [14 octets]\n\
        PASS [redacted] > -ERR [AUTH] wrong login name or password\n\
        USER [redacted] > +OK now PASS\n\
        AUTH PLAIN [redacted] > +OK 1 messages (SIZE octets)\n\
        [unknown command, 15 octets] > -ERR unknown command\n\
        RETR 1 > +OK [SENT octets]\n\
        STAT > +OK 1 SIZE\n\
        QUIT > +OK bye";
    let mut last = String::new();
    for _ in 0..400 {
        if let Some(found) = sqlx::query_scalar::<_, Option<String>>(said).fetch_one(&superuser).await.unwrap() {
            last = found;
            break;
        }
        sleep(Duration::from_millis(25)).await;
    }
    let size = World::trace().len() + b"Subject: of no concern\r\n\r\nhunter2\r\n".len();
    let lines: Vec<&str> = last.lines().collect();
    let number =
        |at: usize| lines[at].split(['[', ' ']).filter_map(|word| word.parse::<usize>().ok()).next_back().unwrap();
    // The whole listing and the whole message, with their first line and their dot.
    let (listing, sent) = (number(0), number(6));
    assert!(listing > 100 && sent == size + format!("+OK {size} octets\r\n").len() + 3, "{last}");
    let expected = expected.replace("OCTETS", &listing.to_string()).replace("SENT", &sent.to_string());
    assert_eq!(last, expected.replace("SIZE", &size.to_string()));

    // Another account's sessions are not written down, and nothing that was said for it before.
    let mut bob = world.client(world.clear).await;
    bob.ask("USER bob@acme.test").await;
    bob.ask(&format!("PASS {PASSWORD}")).await;
    bob.ask("QUIT").await;
    bob.closed().await;
    let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe("SELECT count(*) FROM restante.transcripts"));
    assert_eq!(count.fetch_one(&superuser).await.unwrap(), 1);
}
