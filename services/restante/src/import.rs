//! `restante import`: from other servers' files, or from the servers themselves, into accounts that are there already.
//!
//! It connects to where the operator says, from the operator's shell: the rules for addresses that tenants choose are not for it.

mod arguments;
mod courier;
mod dovecot;
mod maildir;
mod mbox;
mod mbox_scan;
mod one;
mod progress;
mod source;
mod unquote;

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use mail_types::{Secret, SystemClock, SystemRandom};
use mailstore::{ImportSettings, Mailstore, Parts};
use net::client::ClientTls;
use runtime::{
    config::secret_env,
    database::{self, DbRole},
    telemetry,
};
use worker::fetch::{Access, Format, Way};

pub(crate) use arguments::ImportArguments;

use self::{
    arguments::{Job, jobs},
    one::{Outcome, import},
    progress::Progress,
    source::{Address, Wishes},
};
use crate::{cli::Role, config::Config, environment::Environment};

/// Everything was taken but messages that cannot be read.
const SOME_SKIPPED: u8 = 3;
/// Stopped by a signal.
const STOPPED: u8 = 130;

/// Runs an import, or those of a map one after the other. What is in the maildrop when it is stopped stays, and the same command
/// goes on from there.
pub(crate) async fn run(arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let jobs = jobs(arguments)?;
    let settings = arguments.settings();
    let importing = async {
        let (config, store) = open(arguments.config.as_deref(), &settings).await?;
        drop(config);
        work(arguments, &jobs, &settings, &store).await
    };
    tokio::select! {
        ended = importing => ended,
        () = signalled() => {
            eprintln!("\nstopped; the same command goes on where it stood");
            Ok(ExitCode::from(STOPPED))
        }
    }
}

async fn work(
    arguments: &ImportArguments,
    jobs: &[Job],
    settings: &ImportSettings,
    store: &Mailstore,
) -> anyhow::Result<ExitCode> {
    let wishes = Wishes {
        format: arguments.uidl_format.as_deref().map(Format::parse).transpose().context("--uidl-format")?,
        x_uidl: arguments.x_uidl,
    };
    let tls = ClientTls::new(arguments.tls_authorities.as_deref())?;
    let (mut skipped, mut failed) = (false, 0);
    for job in jobs {
        let mut progress = Progress::new(&job.account.to_string(), arguments.octets_per_second);
        let access = || -> anyhow::Result<Option<Access>> {
            if !job.source.is_remote() {
                return Ok(None);
            }
            let password = password(job.password_file.as_deref().or(arguments.password_file.as_deref()))?;
            Ok(Some(Access { password, tls: tls.clone(), begin_tls: true, clear: arguments.clear, way: Way::Direct }))
        };
        let mut outcome = Outcome::default();
        let ended = match access() {
            Ok(access) => import(job, access.as_ref(), &wishes, settings, store, &mut progress, &mut outcome).await,
            Err(error) => Err(error),
        };
        progress.end();
        if let Err(error) = &ended {
            failed += 1;
            eprintln!("restante: {}: {error:#}", job.account);
        }
        skipped |= !outcome.skipped.is_empty();
        if arguments.json {
            println!("{}", outcome.json(job, ended.as_ref().err()));
        } else {
            println!("{}: {outcome}", job.account);
        }
    }
    if failed > 0 {
        bail!("{failed} of {} imports did not come to their end", jobs.len());
    }
    Ok(if skipped { ExitCode::from(SOME_SKIPPED) } else { ExitCode::SUCCESS })
}

/// A mailstore for the worker's hands, with memory enough for what is imported.
pub(crate) async fn open(path: Option<&Path>, bounds: &ImportSettings) -> anyhow::Result<(Config, Mailstore)> {
    let config: Config = runtime::config::load(path)?;
    telemetry::init(config.log.format);
    let environment = Environment::read(&[Role::Worker])?;
    let url = environment.databases.get(&DbRole::Worker).context("every role has its URL")?;
    let pool = database::connect(url, DbRole::Worker, &config.database)
        .await
        .with_context(|| format!("as {}", DbRole::Worker.database_role()))?;
    let store = mailstore::open_store(&environment.store.url, environment.store.key(), &config.object_store)
        .context("RESTANTE_OBJECT_STORE_URL")?;
    let mut settings = config.mailstore.clone();
    settings.memory_octets = settings.memory_octets.max(bounds.memory_octets());
    let parts = Parts {
        pool,
        role: DbRole::Worker,
        store,
        store_settings: config.object_store.clone(),
        memory: settings.memory_budget(),
        frames: settings.frame_cache(false),
        settings,
        master: environment.keys.clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let store = Mailstore::open(parts).await.context("the schema (`restante migrate` brings it up to date)")?;
    Ok((config, store))
}

/// From the file, or the environment.
fn password(file: Option<&Path>) -> anyhow::Result<Secret> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return Ok(Secret::from(text.trim_end_matches(['\r', '\n'])));
    }
    secret_env("RESTANTE_IMPORT_PASSWORD")?.context(
        "a server wants a password: --password-file FILE, RESTANTE_IMPORT_PASSWORD or RESTANTE_IMPORT_PASSWORD_FILE",
    )
}

/// SIGINT or SIGTERM.
pub(crate) async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
