//! A role that listens, maildrops behind it, and a client.

use std::{net::SocketAddr, sync::Arc};

use directory::{
    Caller, Directory, NewAccount, NewAppPassword, NewDomain, NewTenant, Policy, Quota, Resolution, Scope,
};
use mail_types::{Address, Clock as _, DomainName, ReversePath, Secret, SystemClock, SystemRandom, TenantSlug};
use mailstore::{Delivery, DeliveryVerdict, Mailstore, Parts, Recipient, StoreSettings, Target, open_store};
use net::{Endpoint, Listener, tls::ServerTls};
use pop3d::{Config, Mode, Server};
use runtime::{
    database::{DbRole, Pool},
    keys::MasterKeys,
    shutdown::Shutdown,
};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use tempfile::TempDir;
use testkit::{FakeClock, FaultyStore, TestDatabase};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "a long enough password";

pub(crate) struct World {
    /// Passwords in clear are accepted here.
    pub(crate) clear: SocketAddr,
    /// And here they are not.
    pub(crate) strict: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) store: FaultyStore,
    pub(crate) shutdown: Shutdown,
    pub(crate) served: JoinHandle<()>,
    /// Of the role: closing it takes the database away.
    pub(crate) pool: Pool,
    /// Of everything there is.
    pub(crate) clock: FakeClock,
    admin: Directory,
    lmtp: Mailstore,
    lmtp_directory: Directory,
    files: TempDir,
    pub(crate) database: TestDatabase,
}

pub(crate) fn config() -> Config {
    // Refusals are prompt where a test is not about them.
    Config { refusal_milliseconds: 0, ..Config::default() }
}

/// `alice@acme.test` and `bob@acme.test`, with nothing in their maildrops.
pub(crate) async fn world(config: Config) -> World {
    world_with(config, Policy::default()).await
}

fn caller() -> Caller {
    Caller::service("test", Uuid::nil())
}

/// The same under a tenant's policy.
pub(crate) async fn world_with(config: Config, policy: Policy) -> World {
    world_of(config, policy, directory::Settings::default()).await
}

/// The same with other bounds of the directory.
pub(crate) async fn world_of(config: Config, policy: Policy, settings: directory::Settings) -> World {
    // The database's clock goes on: it refuses what claims to be of another day.
    let clock = FakeClock::at(SystemClock.now());
    let directory = |pool| directory(pool, &clock, settings.clone());
    let mailstore = async |pool, role, store: &FaultyStore| mailstore(pool, role, store, &clock).await;
    let database = testkit::database().await;
    let admin = directory(database.pool(DbRole::Admin).await);
    let caller = caller();
    let slug = TenantSlug::parse("acme").unwrap();
    let name = DomainName::parse("acme.test").unwrap();
    let quota = Quota::default();
    admin
        .create_tenant(&caller, NewTenant { slug: slug.clone(), name: "Acme".to_owned(), quota, policy })
        .await
        .unwrap();
    admin
        .create_domain(
            &caller,
            NewDomain { name, tenant: Some(slug), policy: Policy::default(), quota: directory::Quota::default() },
        )
        .await
        .unwrap();
    for address in ["alice@acme.test", "bob@acme.test"] {
        let address = Address::parse(address).unwrap();
        let quota = Quota::default();
        admin
            .create_account(&caller, NewAccount { address, password: Some(Secret::from(PASSWORD)), quota })
            .await
            .unwrap();
    }

    let files = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", files.path().display());
    let store = FaultyStore::new(open_store(&url, None, &StoreSettings::default()).unwrap());
    let pool = database.pool(DbRole::Pop3).await;
    let tls = ServerTls::from_directory(&net::tls::self_signed(files.path()).unwrap()).unwrap();
    let server = Server::new(
        config,
        Some(tls),
        directory(pool.clone()),
        mailstore(pool.clone(), DbRole::Pop3, &store).await,
        Arc::new(clock.clone()),
        Arc::new(SystemRandom),
    )
    .unwrap();
    let shutdown = Shutdown::new();
    let mut addresses = Vec::new();
    let mut listeners = Vec::new();
    for (name, mode) in [
        ("clear", Mode::Clear { passwords: true }),
        ("strict", Mode::Clear { passwords: false }),
        ("tls", Mode::ImplicitTls),
    ] {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), name).await.unwrap();
        let Endpoint::Tcp(address) = listener.bound().unwrap() else { panic!("not an address") };
        addresses.push(address);
        listeners.push((listener, mode));
    }
    let served = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let mut serving = tokio::task::JoinSet::new();
            for (listener, mode) in listeners {
                let (server, shutdown) = (server.clone(), shutdown.clone());
                serving.spawn(async move { server.serve(listener, mode, &shutdown).await.unwrap() });
            }
            serving.join_all().await;
        }
    });
    let [clear, strict, tls] = addresses[..] else { panic!("three listeners") };
    let lmtp_pool = database.pool(DbRole::Lmtp).await;
    let lmtp = mailstore(lmtp_pool.clone(), DbRole::Lmtp, &store).await;
    let lmtp_directory = directory(lmtp_pool);
    World { clear, strict, tls, store, shutdown, served, pool, clock, admin, lmtp, lmtp_directory, files, database }
}

fn directory(pool: Pool, clock: &FakeClock, settings: directory::Settings) -> Directory {
    let keys = master_keys();
    let clock = Arc::new(clock.clone());
    Directory::new(pool, keys, clock, Arc::new(SystemRandom), settings)
}

async fn mailstore(pool: Pool, role: DbRole, store: &FaultyStore, clock: &FakeClock) -> Mailstore {
    let settings = mailstore::Settings::default();
    let memory = settings.memory_budget();
    let frames = settings.frame_cache(false);
    let parts = Parts {
        pool,
        role,
        store: Arc::new(store.clone()),
        store_settings: StoreSettings::default(),
        settings,
        memory,
        frames,
        master: master_keys(),
        clock: Arc::new(clock.clone()),
        random: Arc::new(SystemRandom),
    };
    Mailstore::open(parts).await.unwrap()
}

impl World {
    /// A new app password of Alice's, for a device with this policy.
    pub(crate) async fn app_password(&self, policy: Policy, legacy: bool) -> Secret {
        let address = Address::parse("alice@acme.test").unwrap();
        let new = NewAppPassword {
            name: "device".to_owned(),
            scopes: vec![Scope::Read, Scope::Delete],
            allowed_networks: Vec::new(),
            expires_at: None,
            policy,
            legacy,
        };
        self.admin.create_app_password(&caller(), &address, new).await.unwrap().secret
    }

    /// Alice over a connection, by USER and PASS; how PASS is answered.
    pub(crate) async fn log_in_with(&self, secret: &Secret) -> (Client<TcpStream>, String) {
        let mut client = self.client(self.clear).await;
        assert_eq!(client.ask("USER alice@acme.test").await, "+OK now PASS");
        let answer = client.ask(&format!("PASS {}", secret.expose_str().unwrap())).await;
        (client, answer)
    }

    /// Delivers a message to Alice.
    pub(crate) async fn deliver(&self, text: &[u8]) {
        let address = Address::parse("alice@acme.test").unwrap();
        let Resolution::Known(targets) = self.lmtp_directory.resolve(&address, None).await.unwrap() else {
            panic!("no Alice")
        };
        let targets: Vec<Target> =
            targets.into_iter().map(|target| Target { tenant: target.tenant, account: target.account }).collect();
        let mut incoming = self.lmtp.incoming(targets.first().unwrap().tenant, u64::MAX);
        incoming.write(text).await.unwrap();
        let delivery = Delivery {
            reverse_path: ReversePath::default(),
            received: "Received: from test by test with LMTP id 1; now".to_owned(),
            source: "LMTP",
            recipients: vec![Recipient { given: address.to_string(), targets }],
            body: incoming.finish(),
        };
        let verdicts = self.lmtp.deliver(delivery).await;
        assert!(matches!(verdicts[..], [DeliveryVerdict::Stored { .. }]), "{verdicts:?}");
    }

    /// What of a message comes before its own text.
    pub(crate) fn trace() -> &'static str {
        "Return-Path: <>\r\nDelivered-To: alice@acme.test\r\nReceived: from test by test with LMTP id 1; now\r\n"
    }

    /// A client in clear that has read the greeting.
    pub(crate) async fn client(&self, address: SocketAddr) -> Client<TcpStream> {
        let mut client = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
        assert!(client.line().await.starts_with("+OK POP3 ready"));
        client
    }

    /// Alice in clear.
    pub(crate) async fn alice(&self) -> Client<TcpStream> {
        let mut client = self.client(self.clear).await;
        client.log_in().await;
        client
    }

    /// The client's side of TLS.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.handshake_for("localhost", stream).await
    }

    /// The same, asking for a server name. Any certificate will do: only the server's is there.
    pub(crate) async fn handshake_for(&self, name: &str, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.handshake_as(None, name, stream).await
    }

    /// The same with a certificate of the client's own.
    pub(crate) async fn handshake_as(
        &self,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
        name: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_file(self.files.path().join("tls/cert.pem")).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { certificate, provider }));
        let tls = match own {
            None => tls.with_no_client_auth(),
            Some((certificate, key)) => tls.with_client_auth_cert(vec![certificate], key).unwrap(),
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await
    }

    /// A client under TLS from the first octet that has read the greeting.
    pub(crate) async fn tls_client(&self, name: &str) -> Client<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.tls).await.unwrap();
        let mut client = Client(BufReader::new(self.handshake_for(name, stream).await.unwrap()));
        assert!(client.line().await.starts_with("+OK POP3 ready"));
        client
    }
}

/// Trusts one certificate, whatever its names.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert_eq!(*certificate, self.certificate);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) struct Client<S>(pub(crate) BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next line, without its CRLF; empty at the end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    /// The response of one line to a command.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n")).await;
        self.line().await
    }

    /// The lines of a response, without the first and the termination, as they came.
    pub(crate) async fn lines(&mut self, command: &str) -> Vec<String> {
        let first = self.ask(command).await;
        assert!(first.starts_with("+OK"), "{command}: {first}");
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line == "." {
                return lines;
            }
            lines.push(line);
        }
    }

    pub(crate) async fn log_in(&mut self) {
        assert_eq!(self.ask("USER alice@acme.test").await, "+OK now PASS");
        let answer = self.ask(&format!("PASS {PASSWORD}")).await;
        assert!(answer.starts_with("+OK "), "{answer}");
    }

    /// That the server closes, with nothing more said.
    pub(crate) async fn closed(&mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
    }
}

fn master_keys() -> MasterKeys {
    MasterKeys::parse(&Secret::from("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap()
}
