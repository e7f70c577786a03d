//! `restante serve`.

use std::sync::Arc;

use mail_types::{SystemClock, SystemRandom};
use runtime::{shutdown::Shutdown, telemetry};

use crate::{
    cli::ServeArguments,
    config::Config,
    environment::Environment,
    roles::{Listeners, Process},
};

/// Runs the roles until SIGTERM or SIGINT.
pub(crate) async fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    let roles = arguments.roles();
    let config: Config = runtime::config::load(arguments.config.as_deref())?;
    telemetry::init(config.log.format);
    let environment = Environment::read(&roles)?;
    let tls = config.tls.load()?;
    config.check(&roles, tls.as_ref())?;
    config.check_serving(&roles)?;
    let listeners = Listeners::bind(&config, &roles).await?;
    let shutdown = Shutdown::new();
    tokio::spawn(shutdown.clone().on_signals(config.shutdown.grace()));
    let process = Process {
        config,
        environment,
        tls,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        shutdown: shutdown.clone(),
    };
    let running = tokio::select! {
        running = process.start(&roles, listeners, async |_| Ok(())) => running?,
        () = shutdown.draining() => return Ok(()),
    };
    tracing::info!(?roles, "serving");
    running.finish().await?;
    tracing::info!("stopped");
    Ok(())
}
