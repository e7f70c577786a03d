//! How long a rebuild takes: delivers so many small messages to a thousand accounts into a local directory, and rebuilds an empty database from it.
//!
//! `tests/with-postgres cargo bench -p mailstore --bench rebuild -- 100000`

#![expect(clippy::unwrap_used, reason = "a measurement that meets what it did not expect has failed")]

use std::sync::Arc;

use mail_types::{AccountId, Clock as _, ReversePath, Secret, SystemClock, SystemRandom, TenantId};
use mailstore::{
    Access, Delivery, DeliveryVerdict, Mailstore, Parts, Rebuild, Recipient, Settings, StoreSettings, Target,
};
use runtime::database::DbRole;
use runtime::keys::MasterKeys;
use tokio::task::JoinSet;

const ACCOUNTS: i64 = 1_000;
const CONNECTIONS: usize = 64;

#[tokio::main]
async fn main() {
    let asked = std::env::args().find_map(|word| word.parse::<usize>().ok());
    let messages = asked.unwrap_or(10_000);
    let master = MasterKeys::parse(&Secret::from("k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());
    let store = mailstore::open_store(&url, None, &StoreSettings::default()).unwrap();

    let database = testkit::database().await;
    sqlx::raw_sql(
        "INSERT INTO restante.tenants (slug, display_name) VALUES ('a', 'a');
         INSERT INTO restante.domains (tenant_id, name, challenge) SELECT tenant_id, 'a.test', '' FROM restante.tenants;
         INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt)
           SELECT tenant_id, domain_id, 'user' || n, '' FROM restante.domains, generate_series(1, 1000) AS n;
         INSERT INTO restante.maildrops (tenant_id, account_id) SELECT tenant_id, account_id FROM restante.accounts",
    )
    .execute(&database.superuser().await)
    .await
    .unwrap();
    let settings = Settings::default();
    let lmtp = Mailstore::open(Parts {
        pool: database.pool(DbRole::Lmtp).await,
        role: DbRole::Lmtp,
        store: Arc::clone(&store),
        store_settings: StoreSettings::default(),
        memory: settings.memory_budget(),
        frames: settings.frame_cache(false),
        settings,
        master: master.clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    })
    .await
    .unwrap();
    let begin = SystemClock.monotonic();
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let lmtp = lmtp.clone();
        tasks.spawn(async move {
            for n in (connection..messages).step_by(CONNECTIONS) {
                deliver(&lmtp, n).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    println!("{messages} messages delivered in {:.1} s", SystemClock.monotonic().duration_since(begin).as_secs_f64());

    let empty = testkit::database().await;
    let owner = empty.pool(DbRole::Owner).await;
    let rebuild = Rebuild::new(Access::new(
        owner,
        DbRole::Owner,
        store,
        &StoreSettings::default(),
        master,
        Arc::new(SystemRandom),
    ));
    let begin = SystemClock.monotonic();
    let report = rebuild.run(|_| {}).await.unwrap();
    let seconds = SystemClock.monotonic().duration_since(begin).as_secs_f64();
    assert_eq!(report.messages, messages as u64);
    println!(
        "{} messages of {} segments rebuilt in {seconds:.1} s: {:.1} s for 100 000",
        report.messages,
        report.segments,
        seconds * 100_000.0 / messages as f64
    );
}

async fn deliver(lmtp: &Mailstore, n: usize) {
    let account = AccountId(i64::try_from(n).unwrap() % ACCOUNTS + 1);
    let mut incoming = lmtp.incoming(TenantId(1), 1 << 20);
    let text = format!(
        "From: sender@x.test\r\nSubject: number {n}\r\n\r\n{}\r\n",
        "A line of a small message.\r\n".repeat(20)
    );
    incoming.write(text.as_bytes()).await.unwrap();
    let verdicts = lmtp
        .deliver(Delivery {
            reverse_path: ReversePath::parse("sender@x.test").unwrap(),
            received: "Received: here".into(),
            source: "LMTP",
            recipients: vec![Recipient {
                given: format!("user{account}@a.test"),
                targets: vec![Target { tenant: TenantId(1), account }],
            }],
            body: incoming.finish(),
        })
        .await;
    assert!(matches!(verdicts.as_slice(), [DeliveryVerdict::Stored { .. }]), "{verdicts:?}");
}
