//! Against real receivers on loopback, which the operator's exceptions let through.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use directory::{
    Caller, DeliverySettings, DeliveryState, Directory, NewTenant, NewWebhook, PageRequest, Policy, Precondition,
    Quota, TenantChange, WebhookChange, WebhookDelivery,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mail_types::{Secret, SystemClock, SystemRandom, TenantSlug};
use net::egress::DnsSettings;
use runtime::database::{DbRole, Pool};
use runtime::keys::MasterKeys;
use serde_json::{Value, json};
use sha2::Sha256;
use testkit::{Data, NameServer, TestDatabase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::*;

const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a receiver was told.
#[derive(Debug, Clone)]
struct Told {
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

impl Told {
    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checked by what the documentation says, with nothing of the service's.
    fn is_signed_with(&self, secret: &Secret) -> bool {
        let signature = &self.headers["restante-signature"];
        let seconds = signature.split(',').find_map(|part| part.strip_prefix("t=")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).unwrap();
        mac.update(format!("{seconds}.{}", self.body).as_bytes());
        let expected: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
        signature.split(',').any(|part| part.strip_prefix("v1=") == Some(&expected))
    }
}

/// An HTTP server that does what the path says.
#[derive(Clone, Default)]
struct Receiver {
    told: Arc<Mutex<Vec<Told>>>,
    broken: Arc<AtomicBool>,
    /// Requests under way on one path, and the most there were.
    at_once: Arc<[AtomicUsize; 2]>,
}

impl Receiver {
    async fn start(&self, address: SocketAddr) -> u16 {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = receiver.clone();
                tokio::spawn(async move { receiver.serve(stream).await });
            }
        });
        port
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut octets = Vec::new();
        let head = loop {
            octets.push(stream.read_u8().await?);
            if octets.ends_with(b"\r\n\r\n") {
                break String::from_utf8(std::mem::take(&mut octets)).unwrap();
            }
        };
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let headers: HashMap<_, _> = head.lines().filter_map(header).collect();
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).await?;
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let now = self.at_once[0].fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once[1].fetch_max(now, Ordering::SeqCst);
        self.told.lock().unwrap().push(Told { path: path.clone(), headers, body: String::from_utf8(body).unwrap() });
        let answer = match path.as_str() {
            "/hang" => return std::future::pending().await,
            "/500" => "500 No\r\nContent-Length: 0",
            "/moved" => "302 Found\r\nLocation: /ok\r\nContent-Length: 0",
            "/flaky" if self.broken.load(Ordering::SeqCst) => "503 Later\r\nContent-Length: 0",
            _ => "200 OK\r\nContent-Length: 1000000000000",
        };
        if path == "/slow" {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        self.at_once[0].fetch_sub(1, Ordering::SeqCst);
        stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await?;
        // As much as anybody takes: nobody has to.
        if path == "/huge" {
            loop {
                stream.write_all(&[b'x'; 65536]).await?;
            }
        }
        stream.read_u8().await.map(drop)
    }

    fn told(&self, path: &str) -> Vec<Told> {
        self.told.lock().unwrap().iter().filter(|told| told.path == path).cloned().collect()
    }

    async fn wait(&self, path: &str, count: usize) -> Vec<Told> {
        until(async || Some(self.told(path)).filter(|told| told.len() >= count)).await
    }
}

/// Asks until there is an answer; a test that never gets one ends by its own deadline.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let asked = async {
        loop {
            match ask().await {
                Some(answer) => break answer,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap()
}

struct World {
    database: TestDatabase,
    admin: Directory,
    owner: Pool,
    dns: NameServer,
    shutdown: Shutdown,
}

fn keys() -> MasterKeys {
    MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
}

fn platform() -> Caller {
    Caller::service("test", Uuid::nil())
}

fn slug(text: &str) -> TenantSlug {
    TenantSlug::parse(text).unwrap()
}

fn quick() -> DeliverySettings {
    DeliverySettings {
        interval_ms: 20,
        timeout_ms: 500,
        retry_seconds: vec![0; 100],
        jitter_percent: 0,
        rest_ms: 0,
        ..DeliverySettings::default()
    }
}

impl World {
    async fn new() -> Self {
        let database = testkit::database().await;
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let pool = database.pool(DbRole::Admin).await;
        let admin = Directory::new(pool, keys(), clock, random, directory::Settings::default());
        let owner = database.pool(DbRole::Owner).await;
        let dns = NameServer::start().await.unwrap();
        let world = Self { database, admin, owner, dns, shutdown: Shutdown::new() };
        for name in ["acme", "globex"] {
            let new = NewTenant {
                slug: slug(name),
                name: name.to_owned(),
                quota: Quota::default(),
                policy: Policy::default(),
            };
            world.admin.create_tenant(&platform(), new).await.unwrap();
        }
        world
    }

    async fn queue(&self, settings: DeliverySettings) -> Deliveries {
        let pool = self.database.pool(DbRole::Worker).await;
        Deliveries::new(pool, keys(), Arc::new(SystemClock), Arc::new(SystemRandom), settings)
    }

    fn egress(&self) -> Egress {
        let settings =
            net::egress::Settings { allow: vec![format!("{ALLOWED}/32").parse().unwrap()], refuse: Vec::new() };
        let dns = DnsSettings { resolver: Some(self.dns.address()), ..DnsSettings::default() };
        Egress::new(&settings, &dns).unwrap()
    }

    /// A worker that tells webhooks until the test ends.
    async fn work(&self, settings: DeliverySettings) -> tokio::task::JoinHandle<()> {
        let (queue, egress, shutdown) = (self.queue(settings).await, self.egress(), self.shutdown.clone());
        tokio::spawn(async move { tell(&queue, &egress, &shutdown).await })
    }

    async fn hook(&self, tenant: Option<&str>, url: String, events: &[&str]) -> (i64, Secret) {
        let new = NewWebhook {
            tenant: tenant.map(slug),
            url,
            description: String::new(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            enabled: true,
        };
        let made = self.admin.create_webhook(&platform(), new).await.unwrap();
        (made.webhook.id, made.secret)
    }

    /// Something happens to a tenant: `tenant.change`.
    async fn happen(&self, tenant: &str, name: &str) {
        let change = TenantChange { name: Some(name.to_owned()), ..TenantChange::default() };
        self.admin.change_tenant(&platform(), &slug(tenant), change, &Precondition::None).await.unwrap();
    }

    async fn deliveries(&self, hook: i64) -> Vec<WebhookDelivery> {
        self.admin.webhook_deliveries(&platform(), hook, None, &PageRequest::default()).await.unwrap().items
    }

    /// The one delivery of a webhook, once it is in this state.
    async fn settled(&self, hook: i64, state: DeliveryState) -> WebhookDelivery {
        until(async || self.deliveries(hook).await.into_iter().find(|delivery| delivery.state == state)).await
    }
}

#[tokio::test]
async fn what_is_wanted_is_told_once_and_signed() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = receiver.start((ALLOWED, 0).into()).await;
    let url = |path: &str| format!("http://{ALLOWED}:{port}{path}");
    let (hook, secret) = world.hook(Some("acme"), url("/acme"), &["tenant.*"]).await;
    world.hook(Some("globex"), url("/globex"), &["tenant.*"]).await;
    world.hook(Some("acme"), url("/domains"), &["domain.*"]).await;
    let (_, own) = world.hook(None, url("/platform"), &["tenant.change"]).await;
    world.work(quick()).await;
    world.happen("acme", "Acme & \u{e9}").await;
    let told = receiver.wait("/acme", 1).await.remove(0);
    let (event, headers) = (told.event(), &told.headers);
    assert!(told.is_signed_with(&secret) && !told.is_signed_with(&own), "{told:?}");
    assert_eq!((&event["type"], &event["tenant"]), (&json!("tenant.change"), &json!("acme")));
    assert_eq!((&event["data"]["actor"], &event["data"]["target"]), (&json!("test"), &json!("acme")));
    assert_eq!(event["data"]["before"]["name"], "acme");
    assert_eq!(event["data"]["after"]["name"], "Acme & \u{e9}");
    assert_eq!(
        (headers["restante-event"].as_str(), headers["content-type"].as_str()),
        ("tenant.change", "application/json")
    );
    assert_eq!(event["id"], headers["restante-event-id"].as_str());
    let platforms = receiver.wait("/platform", 1).await.remove(0);
    assert!(platforms.is_signed_with(&own));
    assert_eq!(platforms.body, told.body, "one event, whoever is told");
    let delivered = world.settled(hook, DeliveryState::Delivered).await;
    assert_eq!((delivered.attempts, delivered.response_code, delivered.last_error), (1, Some(200), None));
    // With a new secret both sign; a webhook that is off is told nothing, then and later.
    let renewed = world.admin.rotate_webhook_secret(&platform(), hook, &Precondition::None).await.unwrap().secret;
    world.happen("acme", "two").await;
    let second = receiver.wait("/acme", 2).await.remove(1);
    assert!(second.is_signed_with(&secret) && second.is_signed_with(&renewed));
    let off = WebhookChange { enabled: Some(false), ..WebhookChange::default() };
    world.admin.change_webhook(&platform(), hook, off, &Precondition::None).await.unwrap();
    world.happen("acme", "three").await;
    let on = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    world.admin.change_webhook(&platform(), hook, on, &Precondition::None).await.unwrap();
    world.happen("acme", "four").await;
    let names: Vec<_> =
        receiver.wait("/acme", 3).await.iter().map(|told| told.event()["data"]["after"]["name"].clone()).collect();
    assert_eq!(names, ["Acme & \u{e9}", "two", "four"]);
    assert_eq!((receiver.told("/globex").len(), receiver.told("/domains").len()), (0, 0));
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_and_at_last_given_up() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = receiver.start((ALLOWED, 0).into()).await;
    let others = receiver.start((Ipv4Addr::LOCALHOST, 0).into()).await;
    world.dns.publish("hooks.acme.test", &[Data::A(Ipv4Addr::LOCALHOST)]);
    let closed = TcpListener::bind((ALLOWED, 0)).await.unwrap().local_addr().unwrap().port();
    let mut hooks = Vec::new();
    for (url, code, error) in [
        (format!("http://{ALLOWED}:{port}/500"), Some(500), "status"),
        (format!("http://{ALLOWED}:{port}/moved"), Some(302), "status"),
        (format!("http://{ALLOWED}:{port}/hang"), None, "timed_out"),
        (format!("http://{ALLOWED}:{closed}/ok"), None, "connect"),
        (format!("http://127.0.0.1:{others}/ok"), None, "refused"),
        (format!("http://hooks.acme.test:{others}/ok"), None, "refused"),
        (format!("https://localhost:{others}/ok"), None, "refused"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), None, "refused"),
        ("https://[fd00:ec2::254]/".to_owned(), None, "refused"),
        ("https://nowhere.acme.test/".to_owned(), None, "no_address"),
        ("ftp://hooks.acme.test/".to_owned(), None, "url"),
    ] {
        hooks.push((world.hook(Some("acme"), url.clone(), &["tenant.*"]).await.0, url, code, error));
    }
    let (huge, _) = world.hook(Some("acme"), format!("http://{ALLOWED}:{port}/huge"), &["tenant.*"]).await;
    world.work(DeliverySettings { retry_seconds: vec![0, 0], ..quick() }).await;
    world.happen("acme", "x").await;
    for (hook, url, code, error) in hooks {
        let dead = world.settled(hook, DeliveryState::Dead).await;
        assert_eq!((dead.attempts, dead.response_code), (3, code), "{url}");
        assert_eq!(dead.last_error.as_deref(), Some(error), "{url}");
        let webhook = world.admin.webhook(&platform(), hook).await.unwrap();
        assert!(webhook.enabled && webhook.failing_since.is_some(), "{url}");
    }
    // The same event and the same octets at each try.
    let told = receiver.told("/500");
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|one| one.body == told[0].body));
    assert_eq!(receiver.told("/ok").len(), 0, "no redirect is followed, and nothing refused is reached");
    // Nothing is read of an answer but its head.
    assert_eq!(world.settled(huge, DeliveryState::Delivered).await.attempts, 1);
}

/// A name that means another address at the next try.
#[tokio::test]
async fn each_try_resolves_and_judges_anew() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = receiver.start((ALLOWED, 0).into()).await;
    let others = Receiver::default();
    others.start((Ipv4Addr::LOCALHOST, port).into()).await;
    world.dns.publish("hooks.acme.test", &[Data::A(ALLOWED)]);
    let url = format!("http://hooks.acme.test:{port}/500");
    let (hook, _) = world.hook(Some("acme"), url, &["tenant.*"]).await;
    // An egress of its own for each: nothing is kept from the one before.
    let queue = world.queue(quick()).await;
    world.happen("acme", "x").await;
    attempt(queue.clone(), world.egress(), queue.claim(1).await.unwrap().remove(0)).await;
    world.dns.publish("hooks.acme.test", &[Data::A(Ipv4Addr::LOCALHOST)]);
    attempt(queue.clone(), world.egress(), queue.claim(1).await.unwrap().remove(0)).await;
    let after = world.deliveries(hook).await.remove(0);
    assert_eq!((after.attempts, after.last_error.as_deref()), (2, Some("refused")));
    assert_eq!((receiver.told("/500").len(), others.told.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_everything_in_order() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = TcpListener::bind((ALLOWED, 0)).await.unwrap().local_addr().unwrap().port();
    let (hook, _) = world.hook(Some("acme"), format!("http://{ALLOWED}:{port}/slow"), &["tenant.*"]).await;
    world.work(quick()).await;
    world.happen("acme", "0").await;
    until(async || world.deliveries(hook).await.first().filter(|one| one.attempts > 1).map(drop)).await;
    for name in 1..12 {
        world.happen("acme", &name.to_string()).await;
    }
    assert!(world.admin.webhook(&platform(), hook).await.unwrap().failing_since.is_some());
    receiver.start((ALLOWED, port).into()).await;
    // A second worker: an endpoint is one's at a time all the same.
    world.work(quick()).await;
    let told = receiver.wait("/slow", 12).await;
    until(async || world.deliveries(hook).await.iter().all(|one| one.state == DeliveryState::Delivered).then_some(()))
        .await;
    let names: Vec<_> =
        told.iter().map(|told| told.event()["data"]["after"]["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, (0..12).map(|name| name.to_string()).collect::<Vec<_>>());
    assert_eq!(receiver.told("/slow").len(), 12, "each once");
    assert_eq!(receiver.at_once[1].load(Ordering::SeqCst), 1, "one at a time");
    assert!(world.admin.webhook(&platform(), hook).await.unwrap().failing_since.is_none());
}

#[tokio::test]
async fn a_dead_letter_is_delivered_again_as_the_same_event() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = receiver.start((ALLOWED, 0).into()).await;
    receiver.broken.store(true, Ordering::SeqCst);
    let (hook, secret) = world.hook(Some("acme"), format!("http://{ALLOWED}:{port}/flaky"), &["tenant.*"]).await;
    let working = world.work(DeliverySettings { retry_seconds: Vec::new(), ..quick() }).await;
    world.happen("acme", "x").await;
    let dead = world.settled(hook, DeliveryState::Dead).await;
    receiver.broken.store(false, Ordering::SeqCst);
    world.admin.redeliver(&platform(), hook, dead.id).await.unwrap();
    let taken = world.settled(hook, DeliveryState::Delivered).await;
    assert_eq!((taken.id, taken.event, taken.attempts), (dead.id, dead.event, 1));
    let told = receiver.told("/flaky");
    assert_eq!((told.len(), &told[0].body), (2, &told[1].body));
    assert!(told.iter().all(|told| told.is_signed_with(&secret)));
    // A worker that drains ends.
    world.shutdown.begin_drain();
    tokio::time::timeout(Duration::from_secs(10), working).await.unwrap().unwrap();
}

/// A worker that dies in the middle: what it had claimed is sent again, as the same event, once its claim is over.
#[tokio::test]
async fn what_a_dead_worker_had_is_taken_up() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = receiver.start((ALLOWED, 0).into()).await;
    let (hook, _) = world.hook(Some("acme"), format!("http://{ALLOWED}:{port}/ok"), &["tenant.*"]).await;
    world.happen("acme", "x").await;
    let queue = world.queue(DeliverySettings { claim_seconds: 1, ..quick() }).await;
    let died_with = queue.claim(10).await.unwrap();
    assert_eq!(died_with.len(), 1);
    assert!(queue.claim(10).await.unwrap().is_empty(), "it is another's");
    world.work(quick()).await;
    let told = receiver.wait("/ok", 1).await.remove(0);
    assert_eq!(told.body.as_bytes(), died_with[0].body);
    // It was not dead after all, and says that nobody answered: what was taken stays taken.
    world.settled(hook, DeliveryState::Delivered).await;
    queue.done(&died_with[0], Tried::Failed("timed_out")).await.unwrap();
    let after = world.deliveries(hook).await.remove(0);
    assert_eq!((after.state, after.attempts), (DeliveryState::Delivered, 1));
}

#[tokio::test]
async fn tenants_take_turns() {
    let world = World::new().await;
    for number in 0..3 {
        world.hook(Some("acme"), format!("https://hooks.acme.test/{number}"), &["tenant.*"]).await;
    }
    world.hook(Some("globex"), "https://hooks.globex.test/".to_owned(), &["tenant.*"]).await;
    for name in ["x", "y", "z"] {
        world.happen("acme", name).await;
    }
    world.happen("globex", "x").await;
    let queue = world.queue(quick()).await;
    let of = |claimed: &[DueDelivery]| claimed.iter().map(|due| due.url.clone()).collect::<Vec<_>>();
    let mut first = of(&queue.claim(2).await.unwrap());
    first.sort();
    assert_eq!(first, ["https://hooks.acme.test/0", "https://hooks.globex.test/"]);
    let rest = of(&queue.claim(10).await.unwrap());
    assert_eq!(rest.len(), 2, "one of each endpoint: {rest:?}");
    assert!(queue.claim(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_for_days_is_switched_off() {
    let (world, receiver) = (World::new().await, Receiver::default());
    let port = receiver.start((ALLOWED, 0).into()).await;
    let (hook, _) = world.hook(Some("acme"), format!("http://{ALLOWED}:{port}/500"), &["tenant.*"]).await;
    let queue = world.queue(DeliverySettings { retry_seconds: vec![3600], disable_after_days: 2, ..quick() }).await;
    let fail = async || {
        world.happen("acme", "x").await;
        attempt(queue.clone(), world.egress(), queue.claim(1).await.unwrap().remove(0)).await;
        world.admin.webhook(&platform(), hook).await.unwrap().enabled
    };
    let since = async |days: i32| {
        sqlx::query("UPDATE restante.webhooks SET failing_since = now() - make_interval(days => $1)")
            .bind(days)
            .execute(&world.owner)
            .await
            .unwrap();
    };
    assert!(fail().await);
    since(1).await;
    assert!(fail().await);
    since(3).await;
    assert!(!fail().await);
    let filter = directory::AuditFilter { action: Some("webhook.disable".to_owned()), ..Default::default() };
    let told = world.admin.audit_events(&platform(), &filter, &PageRequest::default()).await.unwrap().items;
    assert_eq!((told.len(), told[0].target.clone(), told[0].actor.as_str()), (1, format!("hook_{hook}"), "worker"));
    world.happen("acme", "y").await;
    assert_eq!(world.deliveries(hook).await.len(), 3, "nothing is queued for it");
    // Old deliveries are forgotten, whatever became of them.
    assert_eq!(queue.forget().await.unwrap(), 0);
    sqlx::query("UPDATE restante.webhook_deliveries SET created_at = now() - interval '31 days' WHERE delivery_id = 1")
        .execute(&world.owner)
        .await
        .unwrap();
    assert_eq!((queue.forget().await.unwrap(), world.deliveries(hook).await.len()), (1, 2));
}

#[tokio::test]
async fn of_what_waits_the_oldest_is_given_up() {
    let world = World::new().await;
    let (hook, _) = world.hook(Some("acme"), format!("http://{ALLOWED}:1/"), &["tenant.*"]).await;
    let (other, _) = world.hook(Some("globex"), format!("http://{ALLOWED}:1/"), &["tenant.*"]).await;
    for n in 0..5 {
        world.happen("acme", &format!("a{n}")).await;
    }
    world.happen("globex", "one").await;
    let queue = world.queue(DeliverySettings { max_waiting: 2, ..quick() }).await;
    // The one that is being tried is let be, although it is the oldest.
    let claimed = queue.claim(10).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(queue.give_up_overflow().await.unwrap(), 2);
    assert_eq!(queue.give_up_overflow().await.unwrap(), 0);
    let mut states: Vec<_> =
        world.deliveries(hook).await.into_iter().map(|one| (one.id, one.state, one.last_error)).collect();
    states.sort_by_key(|one| one.0);
    let (dead, waits) = ((DeliveryState::Dead, Some("overflow".to_owned())), (DeliveryState::Due, None));
    let states: Vec<_> = states.into_iter().map(|(_, state, error)| (state, error)).collect();
    assert_eq!(states, [waits.clone(), dead.clone(), dead, waits.clone(), waits.clone()]);
    assert_eq!(world.deliveries(other).await.len(), 1);
    assert!(world.deliveries(other).await.iter().all(|one| one.state == DeliveryState::Due));
    // And given up with the next round once its try is over.
    queue.done(&claimed[0], Tried::Answered(500)).await.unwrap();
    queue.done(&claimed[1], Tried::Answered(500)).await.unwrap();
    assert_eq!(queue.give_up_overflow().await.unwrap(), 1);
}
