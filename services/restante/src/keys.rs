//! `restante keys`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use mail_types::SystemRandom;
use mailstore::{KeyRing, KeyState};
use runtime::database::DbRole;
use serde_json::json;

use crate::{
    cli::{EraseArguments, KeysCommand, RotateArguments},
    tool::{self, Tool},
};

/// What hangs on a master key.
#[derive(Debug, Default)]
struct Needed {
    data_keys: u64,
    app_passwords: i64,
    sealed: i64,
    job_lines: i64,
}

impl std::fmt::Display for Needed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { data_keys, app_passwords, sealed, job_lines } = self;
        write!(f, "{data_keys} data keys, {app_passwords} app passwords, {sealed} sealed secrets")?;
        // There are some while jobs run, and only then.
        if *job_lines > 0 {
            write!(f, ", {job_lines} batches of jobs' lines, until those jobs are done")
        } else {
            Ok(())
        }
    }
}

/// Runs the command.
pub(crate) async fn run(command: &KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::List(arguments) => {
            let (tool, ring) = open(arguments.config.as_deref()).await?;
            list(&tool, &ring).await
        }
        KeysCommand::Rotate(arguments) => rotate(arguments).await,
        KeysCommand::Erase(arguments) => erase(arguments).await,
    }
}

async fn open(config: Option<&Path>) -> anyhow::Result<(Tool, KeyRing)> {
    let tool = Tool::open(config, DbRole::Owner).await?;
    let ring = KeyRing::new(tool.access(DbRole::Owner)?);
    Ok((tool, ring))
}

async fn list(tool: &Tool, ring: &KeyRing) -> anyhow::Result<()> {
    println!("{:<32} {:>7}  {:<12} master key", "tenant", "version", "state");
    let mut needed: BTreeMap<String, Needed> = BTreeMap::new();
    let mut after = KeyRing::FIRST;
    loop {
        let page = ring.list(after).await?;
        let Some(last) = page.last() else { break };
        after = (last.tenant, last.version);
        for key in page {
            let state = match key.state {
                KeyState::Current => "current",
                KeyState::DecryptOnly => "decrypt only",
                KeyState::Erased => "erased",
            };
            let note = if key.opens { "" } else { "  DOES NOT OPEN" };
            println!("{:<32} {:>7}  {state:<12} {}{note}", key.slug, key.version, key.master_key_id);
            if key.state != KeyState::Erased {
                needed.entry(key.master_key_id).or_default().data_keys += 1;
            }
        }
    }
    println!();
    summary(tool, needed).await
}

/// Which master keys are needed by what.
async fn summary(tool: &Tool, mut needed: BTreeMap<String, Needed>) -> anyhow::Result<()> {
    for used in directory::master_key_use(&tool.pool).await? {
        let entry = needed.entry(used.id).or_default();
        (entry.app_passwords, entry.sealed, entry.job_lines) = (used.verifiers, used.sealed, used.job_lines);
    }
    let current = tool.keys.current().0;
    let configured: Vec<&str> = tool.keys.ids().collect();
    for id in &configured {
        let state = if *id == current { "current" } else { "older" };
        match needed.remove(*id) {
            Some(needed) => println!("master key {id} ({state}): needed by {needed}"),
            None if *id == current => println!("master key {id} ({state}): nothing hangs on it yet"),
            None => {
                println!("master key {id} ({state}): needed by nothing, it can be taken out of RESTANTE_MASTER_KEY")
            }
        }
    }
    for (id, needed) in &needed {
        println!("master key {id} is NOT CONFIGURED: {needed} cannot be used without it");
    }
    Ok(())
}

async fn rotate(arguments: &RotateArguments) -> anyhow::Result<()> {
    if arguments.signing {
        return rotate_signing(arguments).await;
    }
    let (tool, ring) = open(arguments.tool.config.as_deref()).await?;
    let caller = tool::caller("keys");
    if arguments.data {
        let tenant = match &arguments.tenant {
            Some(slug) => Some(ring.tenant(slug).await?.0),
            None => None,
        };
        let target = arguments.tenant.as_deref().unwrap_or("all tenants");
        directory::note_command(&tool.pool, &caller, tenant, "keys.rotate", target, json!({"what": "data keys"}))
            .await?;
        let made = ring.rotate_data(tenant).await?;
        println!("{made} data keys made; running processes use them within ten minutes");
        return Ok(());
    }
    let current = tool.keys.current().0.to_owned();
    directory::note_command(&tool.pool, &caller, None, "keys.rotate", &current, json!({"what": "master key"})).await?;
    let rotated = ring.rotate_master().await?;
    let (sealed, unsealed) = directory::reseal(&tool.pool, &tool.keys, &SystemRandom).await?;
    println!(
        "{} data keys and {sealed} sealed secrets are now under master key {current}; {} data keys were before",
        rotated.rewrapped, rotated.current
    );
    for (slug, version, id) in &rotated.unopened {
        println!("data key {version} of {slug} stays under master key {id}, which is not configured");
    }
    if unsealed > 0 {
        println!("{unsealed} sealed secrets cannot be opened: their master key is not configured");
    }
    let older: i64 = directory::master_key_use(&tool.pool)
        .await?
        .iter()
        .filter(|used| used.id != current)
        .map(|used| used.verifiers)
        .sum();
    if older > 0 {
        println!(
            "{older} app passwords still need an older master key: each moves when it is next sent in clear (USER/PASS, PLAIN, LOGIN). Keep \
             the older keys in RESTANTE_MASTER_KEY until `restante keys list` says that nothing needs them"
        );
    }
    if !rotated.unopened.is_empty() || unsealed > 0 {
        bail!("not everything could be moved");
    }
    Ok(())
}

/// Needs neither the store nor its keys.
async fn rotate_signing(arguments: &RotateArguments) -> anyhow::Result<()> {
    let tool = Tool::open(arguments.tool.config.as_deref(), DbRole::Owner).await?;
    let what = json!({"what": "signing key"});
    directory::note_command(&tool.pool, &tool::caller("keys"), None, "keys.rotate", "signing", what).await?;
    directory::rotate_signing_key(&tool.pool, &tool.keys, &SystemRandom).await?;
    println!("a new signing key was made; running processes sign with it within a minute, and take tokens of both");
    Ok(())
}

async fn erase(arguments: &EraseArguments) -> anyhow::Result<()> {
    let (tool, ring) = open(arguments.tool.config.as_deref()).await?;
    let slug = &arguments.tenant;
    let (tenant, may_be_erased) = ring.tenant(slug).await?;
    if !may_be_erased {
        bail!(mailstore::EraseRefused::Active(slug.clone()));
    }
    let what = format!(
        "All data keys of tenant {slug} will be erased, in the database and in the bucket. Its mail can never be read again, not from a \
         backup of the bucket either; only a backup of the database from before, with its master key, still opens it. Processes that \
         hold a key forget it within ten minutes."
    );
    tool::confirm(&what, arguments.yes)?;
    // Before, so that no erasure is without its event.
    let caller = tool::caller("keys");
    directory::note_command(&tool.pool, &caller, Some(tenant), "keys.erase", slug, json!({"keys": "all"})).await?;
    let (keys, objects) = ring.erase(slug).await.with_context(|| format!("tenant {slug}; run it again"))?;
    println!("{keys} data keys of {slug} erased, {objects} objects removed");
    Ok(())
}
