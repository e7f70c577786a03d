//! `restante fsck`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mail_types::{Clock as _, SystemClock};
use mailstore::{Check, CheckSettings, Checked, Rebuild, Rebuilt};
use runtime::database::DbRole;
use serde_json::json;

use crate::{
    cli::FsckArguments,
    tool::{self, Tool},
};

/// Something is wrong.
const FINDINGS: u8 = 1;
/// It could not be done.
const FAILED: u8 = 2;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// Runs the command; its own exit codes.
pub(crate) async fn run(arguments: &FsckArguments) -> ExitCode {
    let done = if arguments.rebuild { rebuild(arguments).await } else { check(arguments).await };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FINDINGS),
        Err(error) => {
            eprintln!("restante: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// True: nothing is wrong that was not mended.
async fn check(arguments: &FsckArguments) -> anyhow::Result<bool> {
    let role = if arguments.repair { DbRole::Owner } else { DbRole::Worker };
    let tool = Tool::open(arguments.tool.config.as_deref(), role).await?;
    let check = Check::new(tool.access(role)?);
    let tenant = match &arguments.tenant {
        Some(slug) => Some(check.tenant(slug).await?.with_context(|| format!("there is no tenant {slug}"))?),
        None => None,
    };
    if arguments.repair {
        let what = arguments.tenant.as_deref().unwrap_or("all tenants");
        directory::note_command(&tool.pool, &tool::caller("fsck"), tenant, "fsck.repair", what, json!({})).await?;
    }
    let sweep = &tool.config.worker.sweep;
    let settings = CheckSettings {
        tenant,
        deep: arguments.deep,
        repair: arguments.repair,
        segments_per_second: arguments.segments_per_second,
        orphan_age_seconds: sweep.grace_seconds.max(sweep.orphan_age_seconds),
        ..CheckSettings::default()
    };
    let mut told = Told::new();
    let report = check
        .run(&settings, |so_far| {
            told.now_and_then(|| {
                format!(
                    "{} segments, {} messages, {} findings so far",
                    so_far.segments, so_far.messages, so_far.findings_count
                )
            });
        })
        .await?;
    if arguments.json {
        show_json(&report)
    } else {
        show(&report)
    }
    Ok(report.findings.iter().all(|finding| finding.repaired) && report.findings_count == report.findings.len() as u64)
}

fn show_json(report: &Checked) {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "kind": finding.kind.name(), "tenant_id": finding.tenant.map(|tenant| tenant.0), "what": finding.what,
                "repaired": finding.repaired,
            })
        })
        .collect();
    println!(
        "{}",
        json!({
            "segments": report.segments, "messages": report.messages, "frames_read": report.frames,
            "erased_frames": report.erased_frames, "maildrops": report.maildrops, "keys": report.keys,
            "young_orphans": report.young_orphans, "findings_count": report.findings_count, "findings": findings,
        })
    );
}

fn show(report: &Checked) {
    for finding in &report.findings {
        let repaired = if finding.repaired { " (mended)" } else { "" };
        println!("{}: {}{repaired}", finding.kind.name(), finding.what);
    }
    println!(
        "{} segments, {} messages, {} frames read whole ({} under erased keys), {} maildrops, {} keys, {} young orphans: {} findings",
        report.segments,
        report.messages,
        report.frames,
        report.erased_frames,
        report.maildrops,
        report.keys,
        report.young_orphans,
        report.findings_count
    );
}

/// Progress on standard error.
struct Told(std::time::Instant);

impl Told {
    fn new() -> Self {
        Self(SystemClock.monotonic())
    }

    fn now_and_then(&mut self, text: impl FnOnce() -> String) {
        let now = SystemClock.monotonic();
        if now.duration_since(self.0) >= PROGRESS {
            self.0 = now;
            eprintln!("{}", text());
        }
    }
}

const REBUILD: &str = "\
The database will be filled from the bucket.
  It brings back: tenants (suspended), domains and accounts by the addresses that mail came to (suspended, without passwords), and every
  message that the bucket holds, with its octets, unique-id and order. Expunged messages that were not yet reclaimed are live again, and
  so is what was refused or condemned in the middle of a delivery.
  It does not bring back: passwords and app passwords, aliases and catch-alls, policies, quotas, administrators, API keys, the audit log,
  sessions, what devices have seen or hidden, accounts that have no mail.
An unfinished rebuild is begun again: whatever is in the database now is discarded.";

/// True: everything could be read.
async fn rebuild(arguments: &FsckArguments) -> anyhow::Result<bool> {
    let tool = Tool::open(arguments.tool.config.as_deref(), DbRole::Owner).await?;
    let rebuild = Rebuild::new(tool.access(DbRole::Owner)?);
    rebuild.check().await?;
    tool::confirm(REBUILD, arguments.yes)?;
    let begin = SystemClock.monotonic();
    let mut told = Told::new();
    let report = rebuild
        .run(|so_far| {
            told.now_and_then(|| format!("{} segments read, {} messages in place", so_far.segments, so_far.messages));
        })
        .await?;
    let Rebuilt {
        tenants,
        domains,
        accounts,
        unclear_accounts,
        segments,
        frames,
        messages,
        unreadable,
        unreadable_count,
    } = report;
    let seconds = SystemClock.monotonic().duration_since(begin).as_secs_f64();
    directory::note_command(
        &tool.pool,
        &tool::caller("fsck"),
        None,
        "fsck.rebuild",
        "database",
        json!({"messages": messages}),
    )
    .await?;
    println!("{segments} segments with {frames} frames read, in {seconds:.1} s");
    println!("{tenants} tenants, {domains} domains, {accounts} accounts, {messages} messages are back");
    if unclear_accounts > 0 {
        println!(
            "{unclear_accounts} accounts are called account-ID: their address was another's too (an alias, an account made anew)"
        );
    }
    println!("Next: see docs/recovery.md, \"After a rebuild\"");
    if unreadable_count == 0 {
        return Ok(true);
    }
    for what in &unreadable {
        println!("unreadable: {what}");
    }
    println!(
        "{unreadable_count} segments or frames cannot be read. Nothing will be deleted until `restante recover` ran"
    );
    if unreadable_count > unreadable.len() as u64 {
        bail!("there are more than are shown");
    }
    Ok(false)
}
