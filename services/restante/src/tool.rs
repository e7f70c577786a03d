//! What the operator's commands share: connections, the store and the keys, a question before what cannot be undone.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use directory::Caller;
use mail_types::{Random as _, SystemRandom};
use mailstore::{Access, StoreSettings};
use runtime::{
    database::{self, DbRole, Pool, PoolSettings},
    keys::MasterKeys,
    telemetry,
};

use crate::{
    config::Config,
    environment::{self, StoreAddress},
};

/// What a command works with.
pub(crate) struct Tool {
    pub(crate) pool: Pool,
    pub(crate) config: Config,
    pub(crate) keys: MasterKeys,
    pub(crate) address: StoreAddress,
}

impl Tool {
    /// Connects as `role`, with more patience for a statement than who serves has.
    pub(crate) async fn open(config: Option<&Path>, role: DbRole) -> anyhow::Result<Self> {
        let config: Config = runtime::config::load(config)?;
        telemetry::init(telemetry::Format::Text);
        let (address, keys) = environment::store_and_keys()?;
        let settings = PoolSettings { max_connections: 8, statement_timeout_ms: 3_600_000, ..PoolSettings::default() };
        let pool = database::connect(&environment::database(role)?, role, &settings)
            .await
            .with_context(|| format!("as {}", role.database_role()))?;
        Ok(Self { pool, config, keys, address })
    }

    /// The whole catalog and its bucket, for what acts as `role`.
    pub(crate) fn access(&self, role: DbRole) -> anyhow::Result<Access> {
        let (store, settings) = self.store()?;
        Ok(Access::new(self.pool.clone(), role, store, settings, self.keys.clone(), Arc::new(SystemRandom)))
    }

    /// The store, and how patiently it is asked.
    pub(crate) fn store(&self) -> anyhow::Result<(Arc<dyn mailstore::Store>, &StoreSettings)> {
        let settings = &self.config.object_store;
        let store = mailstore::open_store(&self.address.url, self.address.key(), settings)
            .context("RESTANTE_OBJECT_STORE_URL")?;
        Ok((store, settings))
    }
}

/// Who did it, in the audit trail.
pub(crate) fn caller(command: &str) -> Caller {
    Caller::service(&format!("command:{command}"), uuid::Uuid::from_u128(u128::from_be_bytes(SystemRandom.octets16())))
}

/// Goes on only if a person types `yes`, or `--yes` was given.
pub(crate) fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    eprintln!("{what}");
    if yes {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nothing was done: this needs --yes");
    }
    eprint!("Type yes to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    if answer.trim() != "yes" {
        bail!("nothing was done");
    }
    Ok(())
}
