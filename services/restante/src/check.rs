//! `restante config check`: the configuration that `serve` would run with, proved as far as possible without serving.

use anyhow::Context as _;
use runtime::database;

use crate::{cli::CheckArguments, config::Config, environment::Environment};

/// Says on standard output what was proved; the first fault is the error.
pub(crate) async fn run(arguments: &CheckArguments) -> anyhow::Result<()> {
    let roles = arguments.serve.roles();
    let config: Config = runtime::config::load(arguments.serve.config.as_deref())?;
    match &arguments.serve.config {
        Some(path) => println!("ok  configuration: {} and the environment", path.display()),
        None => println!("ok  configuration: the environment only (no --config)"),
    }
    let environment = Environment::read(&roles)?;
    for (role, url) in &environment.databases {
        database::check_url(url, *role)?;
    }
    println!("ok  database: a URL for each role");
    println!("ok  master keys: {:?}, the first is current", environment.keys);
    let store_address = &environment.store;
    let store = mailstore::open_store(&store_address.url, store_address.key(), &config.object_store)
        .context("RESTANTE_OBJECT_STORE_URL")?;
    println!("ok  object store: {}", store_address.url);
    let tls = config.tls.load()?;
    println!("ok  tls: {}", if tls.is_some() { "certificate and key go together" } else { "none is configured" });
    config.check(&roles, tls.as_ref())?;
    config.check_serving(&roles)?;
    println!("ok  roles: {roles:?}");
    if !arguments.connect {
        return Ok(());
    }
    for role in roles.iter().map(|role| role.database()) {
        let url = environment.databases.get(&role).context("every role has its URL")?;
        let pool = database::connect(url, role, &config.database)
            .await
            .with_context(|| format!("as {}", role.database_role()))?;
        pool.close().await;
        println!("ok  database: answers as {}", role.database_role());
    }
    mailstore::bodies::Bodies::new(store, &config.object_store).ping().await.context("the object store")?;
    println!("ok  object store: answers");
    Ok(())
}
