//! Failed logins are answered at one moment after the command, whatever the reason: by the clock that is passed in, exactly then.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::Policy;
use pop3d::Config;
use tokio::{
    io::AsyncBufReadExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    limits::{LOGINS, metric},
    support::{Client, PASSWORD, World, config, world_of},
};

const MOMENT: Duration = Duration::from_millis(50);
const MILLISECOND: Duration = Duration::from_millis(1);
/// In real time: what would be answered too early would be answered in it.
const LONG_ENOUGH: Duration = Duration::from_millis(150);

const WRONG: &str = "-ERR [AUTH] wrong login name or password";
const BUSY: &str = "-ERR [SYS/TEMP] too many logins at the moment, try again later";

/// A hash of another server that takes long to compare with.
const COSTLY: &str = "{PBKDF2}$1$salt$60000$0000000000000000000000000000000000000000";

fn plain(login: &str, secret: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{login}\0{secret}")))
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(MILLISECOND).await;
    }
}

impl World {
    /// Sends a command while the clock stands still, and waits until the login has been judged.
    async fn judged(&self, client: &mut Client<TcpStream>, command: &str) {
        let before = metric(LOGINS, "");
        client.send(&format!("{command}\r\n")).await;
        until(|| metric(LOGINS, "") > before).await;
    }

    /// Lets the moment come for clients whose logins were judged: nothing before it, the answers at it.
    async fn moment(&self, clients: &mut [(&mut Client<TcpStream>, &str)]) {
        self.clock.advance(MOMENT - MILLISECOND);
        for (client, answer) in &mut *clients {
            assert!(timeout(LONG_ENOUGH, client.0.fill_buf()).await.is_err(), "{answer} before the moment");
        }
        self.clock.advance(MILLISECOND);
        for (client, answer) in clients {
            assert_eq!(client.line().await, *answer);
        }
    }

    async fn sql(&self, text: &'static str) {
        let superuser = self.database.superuser().await;
        assert_eq!(sqlx::query(text).execute(&superuser).await.unwrap().rows_affected(), 1, "{text}");
        superuser.close().await;
    }
}

#[tokio::test]
async fn every_reason_is_answered_at_exactly_the_same_moment() {
    let policy = Policy { exclusive: Some(true), ..Policy::default() };
    let refusal_milliseconds = u64::try_from(MOMENT.as_millis()).unwrap();
    let bounds =
        directory::Settings { argon2_parallel: 1, argon2_queue: 1, argon2_wait_ms: 60_000, ..Default::default() };
    let world = world_of(Config { refusal_milliseconds, ..config() }, policy, bounds).await;
    let expired = world.app_password(Policy::default(), false).await;
    world.sql("UPDATE restante.credentials SET expires_at = '2020-01-01' WHERE kind = 2").await;
    let good = world.app_password(Policy::default(), false).await;
    world.sql("UPDATE restante.accounts SET status = 2 WHERE local_part = 'bob'").await;
    let bearer = STANDARD.encode("user=alice@acme.test\x01auth=Bearer abc\x01\x01");
    let mut holder = world.client(world.clear).await;
    holder.log_in().await;

    let mut client = world.client(world.clear).await;
    let paths = [
        // The first time a password is hashed, the second time it is known to be wrong.
        (plain("alice@acme.test", "wrong"), WRONG),
        (plain("alice@acme.test", "wrong"), WRONG),
        (plain("nobody@acme.test", "wrong"), WRONG),
        (plain("nobody@acme.test", "wrong"), WRONG),
        (plain("alice@nowhere.test", "wrong"), WRONG),
        (plain("nonsense", "wrong"), WRONG),
        (plain("alice@acme.test", "rst-wrong"), WRONG),
        (plain("alice@acme.test", expired.expose_str().unwrap()), WRONG),
        (plain("bob@acme.test", PASSWORD), "-ERR [SYS/PERM] the account is suspended"),
        (plain("bob@acme.test", PASSWORD), "-ERR [SYS/PERM] the account is suspended"),
        (
            plain("alice@acme.test", good.expose_str().unwrap()),
            "-ERR [IN-USE] another session has exclusive access to the maildrop",
        ),
    ];
    for (command, answer) in paths {
        world.judged(&mut client, &command).await;
        world.moment(&mut [(&mut client, answer)]).await;
    }
    world.judged(&mut client, &format!("AUTH XOAUTH2 {bearer}")).await;
    world.moment(&mut [(&mut client, "+ eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=")]).await;
    assert_eq!(client.ask("").await, WRONG, "a refused token was answered already");

    // One is hashed, one waits, and there is no room for a third one.
    sqlx::query("UPDATE restante.credentials SET verifier = $1 WHERE kind = 1")
        .bind(COSTLY)
        .execute(&world.database.superuser().await)
        .await
        .unwrap();
    let (mut first, mut second) = (world.client(world.clear).await, world.client(world.clear).await);
    let (hashes, before) = (metric("restante_password_hashes_total", ""), metric(LOGINS, ""));
    first.send(&format!("{}\r\n", plain("alice@acme.test", "one"))).await;
    until(|| metric("restante_password_hashes_total", "") > hashes).await;
    second.send(&format!("{}\r\n", plain("alice@acme.test", "two"))).await;
    until(|| metric("restante_password_hash_queue", "") > 0.0).await;
    world.judged(&mut client, &plain("alice@acme.test", "three")).await;
    // Whoever was hashed is answered with whoever was not even tried.
    until(|| metric(LOGINS, "") >= before + 3.0).await;
    world.moment(&mut [(&mut client, BUSY), (&mut first, WRONG), (&mut second, WRONG)]).await;

    // What took longer than to the moment is answered at the next one.
    first.send(&format!("{}\r\n", plain("alice@acme.test", "four"))).await;
    until(|| metric("restante_password_hashes_total", "") >= hashes + 4.0).await;
    world.clock.advance(MOMENT + MILLISECOND);
    until(|| metric(LOGINS, "") >= before + 4.0).await;
    world.clock.advance(MOMENT - MILLISECOND - MILLISECOND);
    assert!(timeout(LONG_ENOUGH, first.0.fill_buf()).await.is_err(), "before the next moment");
    world.clock.advance(MILLISECOND);
    assert_eq!(first.line().await, WRONG);

    world.pool.close().await;
    world.judged(&mut client, &plain("alice@acme.test", "wrong")).await;
    world.moment(&mut [(&mut client, "-ERR [SYS/TEMP] no login is possible at the moment, try again later")]).await;
}
