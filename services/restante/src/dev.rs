//! `restante dev`: everything in one process, on an embedded database and a local directory.

mod data_dir;
mod demo;
mod postgres;
mod ready;
mod user;

use std::{collections::HashMap, sync::Arc};

use anyhow::Context as _;
use mail_types::{SystemClock, SystemRandom};
use net::Endpoint;
use runtime::{
    database::{self, DbRole},
    keys::MasterKeys,
    shutdown::Shutdown,
    telemetry,
};

use self::{data_dir::DataDir, postgres::Postgres};
use crate::{
    cli::{DevArguments, Role},
    config::Config,
    environment::{self, Environment, StoreAddress},
    roles::{Listeners, Process, Running},
};

/// Runs until SIGTERM or SIGINT. To be called by the main thread: the database server ends with the thread that starts it.
pub(crate) async fn run(arguments: &DevArguments) -> anyhow::Result<()> {
    telemetry::init(telemetry::Format::Text);
    let data_dir = DataDir::open(&arguments.data_dir)?;
    let mut config = configuration(arguments, &data_dir)?;
    let tls = config.tls.load()?;
    config.check(&Role::ALL, tls.as_ref())?;
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().on_signals(config.shutdown.grace()));
    // Before the database is started: a port in use is seen at once, and nothing has to be undone.
    let listeners = Listeners::bind(&config, &Role::ALL).await?;
    config.admin.public_url.get_or_insert(ready::Addresses::of(&listeners)?.admin_url());

    let mut embedded = if DbRole::Owner.url_from_env()?.is_none() {
        tracing::info!("starting the embedded PostgreSQL");
        tokio::select! {
            started = Postgres::start(data_dir.path()) => Some(started?),
            // A server that has begun to start ends with us.
            () = shutdown.draining() => return Ok(()),
        }
    } else {
        None
    };
    let served = async {
        let environment = environment(&data_dir, embedded.as_ref()).await?;
        let process = Process {
            config,
            environment,
            tls,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            shutdown: shutdown.clone(),
        };
        serve(arguments, &data_dir, process, listeners, embedded.as_mut(), &shutdown).await
    }
    .await;
    shutdown.stop();
    if let Some(postgres) = embedded {
        postgres.stop().await?;
    }
    served
}

/// Starts and serves until the roles have ended; meanwhile the embedded server is kept running.
async fn serve(
    arguments: &DevArguments,
    data_dir: &DataDir,
    process: Process,
    listeners: Listeners,
    embedded: Option<&mut Postgres>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let running = tokio::select! {
        running = start(arguments, data_dir, process, listeners) => running?,
        () = shutdown.draining() => return Ok(()),
    };
    let finish = running.finish();
    tokio::pin!(finish);
    let Some(postgres) = embedded else { return finish.await };
    tokio::select! {
        finished = &mut finish => finished,
        supervised = postgres.supervise(shutdown) => {
            shutdown.begin_drain();
            finish.await.and(supervised)
        }
    }
}

/// The listeners of the command line; the certificate of the data directory; the rest as in `serve`, by `RESTANTE_SECTION__KEY`.
fn configuration(arguments: &DevArguments, data_dir: &DataDir) -> anyhow::Result<Config> {
    let mut config: Config = runtime::config::load(None)?;
    config.pop3.listen = vec![Endpoint::Tcp(arguments.pop3_listen).into()];
    config.pop3.listen_tls = vec![Endpoint::Tcp(arguments.pop3s_listen).into()];
    config.pop3.passwords_in_clear =
        arguments.pop3_listen.ip().is_loopback() && arguments.admin_listen.ip().is_loopback();
    config.lmtp.listen = vec![Endpoint::Tcp(arguments.lmtp_listen).into()];
    config.admin.listen = vec![Endpoint::Tcp(arguments.admin_listen)];
    config.ops.listen = arguments.ops_listen;
    let tls = net::tls::self_signed(data_dir.path())?;
    config.tls.certificate = Some(tls.join("cert.pem"));
    config.tls.key = Some(tls.join("key.pem"));
    Ok(config)
}

/// Where things are: what the environment names, else what is in the data directory.
async fn environment(data_dir: &DataDir, embedded: Option<&Postgres>) -> anyhow::Result<Environment> {
    let url_of = |role: DbRole| match embedded {
        Some(postgres) => Ok(postgres.url()),
        None => environment::database(role),
    };
    let mut databases = HashMap::new();
    for role in Role::ALL.into_iter().map(Role::database) {
        databases.insert(role, url_of(role)?);
    }
    let applied = database::migrate(&url_of(DbRole::Owner)?).await?;
    tracing::info!(applied, "migrations");
    let store = match StoreAddress::read()? {
        Some(address) => address,
        None => StoreAddress { url: file_url(&data_dir.private_directory("segments")?)?, access_key: None },
    };
    let keys = match environment::master_keys()? {
        Some(keys) => keys,
        None => MasterKeys::parse(&data_dir.master_key(&SystemRandom)?).context("master-key in the data directory")?,
    };
    Ok(Environment { databases, store, keys })
}

/// Makes what is ready-made, starts the roles, and says so.
async fn start(
    arguments: &DevArguments,
    data_dir: &DataDir,
    process: Process,
    listeners: Listeners,
) -> anyhow::Result<Running> {
    let addresses = ready::Addresses::of(&listeners)?;
    let (mut token, mut accounts, mut person) = (None, Vec::new(), None);
    let prepare = async |administration: Option<&crate::roles::Administration>| {
        let administration = administration.context("the admin role runs")?;
        if arguments.admin_listen.ip().is_loopback() {
            let secret = data_dir.kept_secret("admin-token", || directory::new_api_token(&SystemRandom))?;
            directory::bootstrap_admin_token(&administration.pool, "ready-made", &secret).await?;
            token = Some(secret);
        }
        if arguments.demo {
            let (directory, mailstore) = (&administration.directory, &administration.mailstore);
            accounts = demo::provision(data_dir, directory, mailstore, &SystemClock, &SystemRandom).await?;
            // As the token: only where nobody else can reach the API.
            if token.is_some() {
                person = Some(demo::administrator(data_dir, directory, &SystemRandom).await?);
            }
        }
        Ok(())
    };
    let running = process.start(&Role::ALL, listeners, prepare).await?;
    ready::explain(&addresses, token.as_ref(), person.as_ref(), &accounts, data_dir.path());
    ready::announce(&addresses, token.as_ref(), data_dir.path())?;
    Ok(running)
}

/// A directory as a URL.
fn file_url(path: &std::path::Path) -> anyhow::Result<String> {
    let path = path.to_str().context("the path of the data directory is not UTF-8")?;
    let encoded: String = path
        .bytes()
        .map(|octet| match octet {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(octet).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    Ok(format!("file://{encoded}"))
}
