//! From configuration to running roles: each with a pool of its own database role, a directory and a mailstore over it.

use std::{pin::Pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use directory::Directory;
use mail_types::{Clock, Random};
use mailstore::{Mailstore, Parts};
use net::{Listen, Listener, ProxySettings, egress::Egress, tls::ServerTls};
use runtime::{
    database::{self, DbRole, Pool},
    ops::{self, Readiness},
    shutdown::Shutdown,
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{cli::Role, config::Config, environment::Environment, heartbeat, issuers::Issuers};

/// How long a start waits for a database that is not there yet.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The sockets of a process, bound before anything is served: so that a port in use is seen at once.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) pop3: Vec<Listener>,
    pub(crate) pop3s: Vec<Listener>,
    pub(crate) lmtp: Vec<Listener>,
    pub(crate) admin: Vec<Listener>,
    pub(crate) ops: TcpListener,
}

impl Listeners {
    /// Binds what these roles listen on.
    pub(crate) async fn bind(config: &Config, roles: &[Role]) -> anyhow::Result<Self> {
        let of = |role: Role, listen: &[Listen]| if roles.contains(&role) { listen.to_vec() } else { Vec::new() };
        let admin: Vec<Listen> = config.admin.listen.iter().cloned().map(Listen::from).collect();
        let proxy = config.proxy;
        let address = config.ops.listen;
        Ok(Self {
            pop3: bind(&of(Role::Pop3, &config.pop3.listen), "pop3", proxy).await?,
            pop3s: bind(&of(Role::Pop3, &config.pop3.listen_tls), "pop3s", proxy).await?,
            lmtp: bind(&of(Role::Lmtp, &config.lmtp.listen), "lmtp", proxy).await?,
            admin: bind(&of(Role::Admin, &admin), "admin", proxy).await?,
            ops: TcpListener::bind(address).await.with_context(|| format!("ops cannot listen on {address}"))?,
        })
    }
}

async fn bind(listen: &[Listen], name: &'static str, proxy: ProxySettings) -> anyhow::Result<Vec<Listener>> {
    let mut bound = Vec::new();
    for Listen { endpoint, proxy_from } in listen {
        bound.push(Listener::bind(endpoint, name).await?.proxy_from(proxy_from, proxy));
    }
    Ok(bound)
}

/// What a role does until it has drained.
type Serve = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What all roles of a process share.
pub(crate) struct Process {
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) shutdown: Shutdown,
}

/// The administrative side of a process that runs the role, for what is made at the start.
pub(crate) struct Administration {
    pub(crate) pool: Pool,
    pub(crate) directory: Directory,
    pub(crate) mailstore: Mailstore,
}

/// The roles that run.
pub(crate) struct Running {
    tasks: JoinSet<anyhow::Result<()>>,
    ops: tokio::task::JoinHandle<std::io::Result<()>>,
    shutdown: Shutdown,
}

impl Process {
    /// Connects and starts the roles; `prepare` runs when everything is connected and before anything is served.
    pub(crate) async fn start<F>(self, roles: &[Role], mut listeners: Listeners, prepare: F) -> anyhow::Result<Running>
    where
        F: AsyncFnOnce(Option<&Administration>) -> anyhow::Result<()>,
    {
        let store = &self.environment.store;
        let store = mailstore::open_store(&store.url, store.key(), &self.config.object_store)
            .context("RESTANTE_OBJECT_STORE_URL")?;
        let egress = Egress::new(&self.config.egress, &self.config.dns).context("egress")?;
        let memory = self.config.mailstore.memory_budget();
        let frames = self.config.mailstore.frame_cache(roles.contains(&Role::Pop3));
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let mut readiness = Readiness::new();
        let mut serve_later: Vec<Serve> = Vec::new();
        let mut administration = None;
        for &role in roles {
            let pool = self.connect(role.database()).await?;
            let asked = pool.clone();
            readiness = readiness.check(database_check(role), move || {
                let pool = asked.clone();
                async move { database::ping(&pool).await }
            });
            readiness = self.watch(readiness, &pool, &store).await;
            let parts = Parts {
                pool: pool.clone(),
                role: role.database(),
                store: Arc::clone(&store),
                store_settings: self.config.object_store.clone(),
                settings: self.config.mailstore.clone(),
                memory: memory.clone(),
                frames: frames.clone(),
                master: self.environment.keys.clone(),
                clock: Arc::clone(&self.clock),
                random: Arc::clone(&self.random),
            };
            if role == Role::Worker {
                let (sweep, compact) = (self.config.worker.sweep.clone(), self.config.worker.compact.clone());
                let check = mailstore::Check::new(mailstore::Access::new(
                    pool.clone(),
                    DbRole::Worker,
                    Arc::clone(&store),
                    &self.config.object_store,
                    self.environment.keys.clone(),
                    Arc::clone(&self.random),
                ));
                let housekeeper = directory::Housekeeper::new(pool.clone(), &self.config.directory);
                let deliveries = directory::Deliveries::new(
                    pool.clone(),
                    self.environment.keys.clone(),
                    Arc::clone(&self.clock),
                    Arc::clone(&self.random),
                    self.config.worker.webhooks.clone(),
                );
                // A pool of hashes of its own, so that imports never stand in the way of logins.
                let hashes = directory::Settings {
                    argon2_parallel: self.config.worker.jobs.argon2_parallel,
                    ..self.config.directory.clone()
                };
                let directory = Directory::new(
                    pool.clone(),
                    self.environment.keys.clone(),
                    Arc::clone(&self.clock),
                    Arc::clone(&self.random),
                    hashes,
                );
                let sweeper = mailstore::Sweeper::new(pool, Arc::clone(&store), &self.config.object_store, sweep);
                let compactor = mailstore::Compactor::new(&parts, compact);
                let migrations = self.migrations(parts, egress.clone()).await?;
                self.beats(migrations.mailstore.clone(), "worker", &mut serve_later);
                let egress = egress.clone();
                let hands =
                    worker::Hands { sweeper, compactor, check, housekeeper, deliveries, egress, directory, migrations };
                self.worker(hands, &mut serve_later);
                continue;
            }
            let directory = Directory::new(
                pool.clone(),
                self.environment.keys.clone(),
                Arc::clone(&self.clock),
                Arc::clone(&self.random),
                self.config.directory.clone(),
            );
            let mailstore = Mailstore::open(parts).await.with_context(|| {
                format!(
                    "{} cannot use the database (is the schema there? `restante migrate` brings it)",
                    role.database().name()
                )
            })?;
            let asked = mailstore.clone();
            readiness = readiness.check("store", move || {
                let mailstore = asked.clone();
                async move { mailstore.ping().await }
            });
            match role {
                Role::Pop3 => self.pop3(&mut listeners, directory, mailstore, egress.clone(), &mut serve_later)?,
                Role::Lmtp => self.lmtp(&mut listeners, directory, mailstore, &mut serve_later)?,
                _ => {
                    administration =
                        Some(Administration { pool, directory: directory.clone(), mailstore: mailstore.clone() });
                    self.beats(mailstore.clone(), "admin", &mut serve_later);
                    self.admin(&mut listeners, directory, mailstore, egress.clone(), &mut serve_later)?;
                }
            }
        }
        prepare(administration.as_ref()).await?;
        for serve in serve_later {
            tasks.spawn(serve);
        }
        let ops = tokio::spawn(ops::serve(listeners.ops, readiness, self.shutdown.clone()));
        Ok(Running { tasks, ops, shutdown: self.shutdown })
    }

    /// Looks whether the database was restored. Who finds it so at the start stops the sweep; the process serves all the same.
    async fn watch(&self, readiness: Readiness, pool: &Pool, store: &Arc<dyn mailstore::Store>) -> Readiness {
        let marker = mailstore::Marker::new(pool.clone(), Arc::clone(store), &self.config.object_store);
        match marker.check().await {
            Ok(mailstore::Following::Yes) => {}
            Ok(mailstore::Following::No { why }) => {
                tracing::error!(why, "the database was restored: nothing is deleted until `restante recover` ran");
            }
            // Its readiness checks tell what is away.
            Err(error) => tracing::warn!(%error, "whether the database was restored is not known yet"),
        }
        readiness.notice("catalog", move || {
            let marker = marker.clone();
            async move {
                match marker.known().await {
                    Ok(mailstore::Following::No { why }) => Err(format!("run `restante recover`: {why}")),
                    _ => Ok(()),
                }
            }
        })
    }

    /// Memory of their own: a migration holds a segment's worth of messages, and takes none from those who deliver.
    async fn migrations(&self, parts: Parts, egress: Egress) -> anyhow::Result<worker::Migrations> {
        let bounds = mailstore::ImportSettings::default().memory_octets();
        let mut settings = parts.settings.clone();
        settings.memory_octets = bounds * u64::from(self.config.worker.jobs.migrations.max(1));
        let memory = settings.memory_budget();
        let mailstore = Mailstore::open(Parts { settings, memory, ..parts }).await.context("worker")?;
        let tls = net::client::ClientTls::new(None).context("worker")?;
        Ok(worker::Migrations { mailstore, egress, tls })
    }

    fn pop3(
        &self,
        listeners: &mut Listeners,
        directory: Directory,
        mailstore: Mailstore,
        egress: Egress,
        serve: &mut Vec<Serve>,
    ) -> anyhow::Result<()> {
        let directory = directory.with_issuers(Arc::new(Issuers::new(egress)));
        let server = pop3d::Server::new(
            self.config.pop3.clone(),
            self.tls.clone(),
            directory,
            mailstore,
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
        )?;
        let clear = pop3d::Mode::Clear { passwords: self.config.pop3.passwords_in_clear };
        let in_clear = listeners.pop3.drain(..).map(|listener| (listener, clear));
        let over_tls = listeners.pop3s.drain(..).map(|listener| (listener, pop3d::Mode::ImplicitTls));
        for (listener, mode) in in_clear.chain(over_tls) {
            let (server, shutdown) = (server.clone(), self.shutdown.clone());
            serve.push(Box::pin(async move { server.serve(listener, mode, &shutdown).await.context("pop3") }));
        }
        Ok(())
    }

    fn lmtp(
        &self,
        listeners: &mut Listeners,
        directory: Directory,
        mailstore: Mailstore,
        serve: &mut Vec<Serve>,
    ) -> anyhow::Result<()> {
        let server = lmtpd::Server::new(
            self.config.lmtp.clone(),
            self.tls.clone(),
            directory,
            mailstore,
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
        )?;
        for listener in listeners.lmtp.drain(..) {
            let (server, shutdown) = (server.clone(), self.shutdown.clone());
            serve.push(Box::pin(async move { server.serve(listener, &shutdown).await.context("lmtp") }));
        }
        Ok(())
    }

    fn admin(
        &self,
        listeners: &mut Listeners,
        directory: Directory,
        mailstore: Mailstore,
        egress: Egress,
        serve: &mut Vec<Serve>,
    ) -> anyhow::Result<()> {
        let directory = directory.with_oidc(Arc::new(admin_api::Issuers::new(egress.clone())));
        let state = admin_api::AppState {
            directory,
            mailstore,
            config: Arc::new(self.config.admin.clone()),
            egress,
            publish: Arc::new(self.config.publish.clone()),
            console: admin_api::Console::embedded(),
            host: self.config.lmtp.host.as_str().into(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        };
        let (listeners, shutdown) = (std::mem::take(&mut listeners.admin), self.shutdown.clone());
        serve.push(Box::pin(async move { admin_api::serve(listeners, state, shutdown).await.context("admin") }));
        Ok(())
    }

    fn beats(&self, mailstore: Mailstore, role: &'static str, serve: &mut Vec<Serve>) {
        let (address, random, shutdown) =
            (self.config.lmtp.host.clone(), Arc::clone(&self.random), self.shutdown.clone());
        serve.push(Box::pin(async move {
            heartbeat::run(mailstore, role, address, &*random, shutdown).await;
            Ok(())
        }));
    }

    fn worker(&self, hands: worker::Hands, serve: &mut Vec<Serve>) {
        let (config, shutdown) = (self.config.worker.clone(), self.shutdown.clone());
        serve.push(Box::pin(async move {
            worker::run(config, hands, shutdown).await;
            Ok(())
        }));
    }

    /// A pool for a role, with patience for a database that starts at the same time as we do.
    async fn connect(&self, role: DbRole) -> anyhow::Result<Pool> {
        let url = self.environment.databases.get(&role).context("every role has its URL")?;
        let connect = async {
            loop {
                match database::connect(url, role, &self.config.database).await {
                    Err(error) if error.is_temporary() => {
                        tracing::warn!(role = role.name(), %error, "the database does not answer yet");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    other => return other,
                }
            }
        };
        let connected = tokio::time::timeout(START_PATIENCE, connect).await.context("the database does not answer")?;
        connected
            .with_context(|| format!("as {} (`restante migrate` makes the roles and the schema)", role.database_role()))
    }
}

/// The name of a role's database check: each role has a pool of its own.
const fn database_check(role: Role) -> &'static str {
    match role {
        Role::Pop3 => "database_pop3",
        Role::Lmtp => "database_lmtp",
        Role::Admin => "database_admin",
        Role::Worker => "database_worker",
    }
}

impl Running {
    /// Waits until all roles have ended, after draining has begun. A role that ends by itself ends the process.
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.context("a role ended by a fault in this program").and_then(|ended| ended);
            if let Err(error) = ended {
                tracing::error!(error = format!("{error:#}"), "a role ended; so does the process");
                result = Err(error);
            }
            self.shutdown.begin_drain();
        }
        self.shutdown.stop();
        self.ops.await.context("ops")?.context("ops")?;
        result
    }
}
