//! `restante recover`.

use anyhow::{Context as _, bail};
use mailstore::Recovery;
use runtime::database::DbRole;
use serde_json::json;

use crate::{
    cli::RecoverArguments,
    tool::{self, Tool},
};

/// Runs the command.
pub(crate) async fn run(arguments: &RecoverArguments) -> anyhow::Result<()> {
    let tool = Tool::open(arguments.tool.config.as_deref(), DbRole::Owner).await?;
    let recovery = Recovery::new(tool.access(DbRole::Owner)?);
    let situation = recovery.situation().await?;
    let since = match &arguments.since {
        Some(text) => {
            chrono::DateTime::parse_from_rfc3339(text).context("--since: RFC 3339, as 2026-11-24T06:00:00Z")?.to_utc()
        }
        None => situation.since.context(
            "this database never made a mark: say the moment that was restored, or an earlier one, with --since",
        )?,
    };
    let stopped = situation.stopped_why.as_deref().unwrap_or("it is not: this is not known to be a restored database");
    let what = format!(
        "Why sweeping is stopped: {stopped}.
Segments made since {} are read, and what the database does not know of them is taken up.
  Messages delivered since then come back with their unique-ids, behind those that are there. Messages expunged since then are live again.
  What a sender has delivered again in the meantime is recognised and not doubled.
  Accounts, passwords and settings made since then are lost; mail for such accounts is counted and stays in the bucket for the grace.
Then sweeping goes on.",
        since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    );
    tool::confirm(&what, arguments.yes)?;
    let note = json!({"since": since.to_rfc3339()});
    directory::note_command(&tool.pool, &tool::caller("recover"), None, "catalog.recover", "database", note).await?;
    let report = recovery.run(since, arguments.despite_unreadable, |_| {}).await.context("run it again")?;
    println!(
        "{} segments looked at: {} messages are back, {} were delivered again by their senders, {} have no account any more",
        report.segments, report.adopted, report.redelivered, report.without_account
    );
    if report.keys > 0 {
        println!("{} data keys were taken from the bucket", report.keys);
    }
    for address in &report.addresses {
        println!("no account: {address}");
    }
    for (tenant, slug) in &report.lost_tenants {
        println!(
            "tenant {slug} (number {tenant}) was made after the restored moment and is lost; its mail stays in the bucket for the grace"
        );
    }
    for what in &report.unreadable {
        println!("unreadable: {what}");
    }
    if !report.sweeping {
        bail!(
            "{} segments or frames cannot be read: nothing will be deleted until this ran again without such, or with --despite-unreadable",
            report.unreadable_count
        );
    }
    println!("sweeping goes on");
    Ok(())
}
