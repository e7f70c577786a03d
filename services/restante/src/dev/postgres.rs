//! The embedded PostgreSQL: a private cluster in the data directory, on a Unix socket in a private directory, with fsync and
//! checksums on. No server outlives its parent: the kernel tells it (see [`super::user`]), and one that was missed is
//! stopped at the next start.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use mail_types::Secret;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use runtime::{database, shutdown::Shutdown};
use tokio::process::Child;

use super::user::ServerUser;

/// The database inside the cluster, and its superuser.
const DATABASE: &str = "restante";
const SUPERUSER: &str = "postgres";
/// The longest path of a socket's directory: the kernel takes 107 octets, and `/.s.PGSQL.5432` comes after it.
const MAX_SOCKET_DIRECTORY: usize = 107 - 14;
/// How long a start (with crash recovery) or a stop may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often something is looked at that cannot be waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    user: ServerUser,
    directory: PathBuf,
    data: PathBuf,
    log: PathBuf,
    socket: PathBuf,
    server: Child,
}

impl Postgres {
    /// Starts the cluster in `directory`, made at the first start, and waits until its database answers. To be called by the
    /// main thread.
    pub(crate) async fn start(directory: &Path) -> anyhow::Result<Self> {
        let data = directory.join("postgres");
        let mut user = ServerUser::choose()?;
        let binaries = binaries(&data)?;
        prepare_data(&data, &binaries, &mut user).await?;
        stop_stale(&data).await?;
        let socket = socket_directory(directory, &user)?;
        let log = directory.join("postgres.log");
        let server = spawn(&binaries, &user, &data, &socket, &log)?;
        let mut postgres = Self { binaries, user, directory: directory.to_owned(), data, log, socket, server };
        postgres.wait_until_it_answers().await?;
        Ok(postgres)
    }

    /// A superuser's URL of the database.
    pub(crate) fn url(&self) -> Secret {
        self.url_of(DATABASE)
    }

    fn url_of(&self, database: &str) -> Secret {
        let encoded: String = self
            .socket
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .map(|octet| match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(*octet).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        Secret::from(format!("postgres://{SUPERUSER}@{encoded}/{database}"))
    }

    /// Keeps the server running until the deadline: one that dies is started again. To be called by the main thread.
    pub(crate) async fn supervise(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                ended = self.server.wait() => tracing::error!(status = %ended?, "PostgreSQL ended; it is started again"),
                () = shutdown.deadline() => return Ok(()),
            }
            stop_stale(&self.data).await?;
            self.server = spawn(&self.binaries, &self.user, &self.data, &self.socket, &self.log)?;
            self.wait_until_it_answers().await?;
        }
    }

    /// Stops the server: at once for its clients, in order for its data.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            if let Some(pid) = self.server.id() {
                signal_process(pid, signal)?;
            }
            if let Ok(ended) = tokio::time::timeout(PATIENCE, self.server.wait()).await {
                ended?;
                return remove_short_directory(&self.directory.join("run"));
            }
        }
        bail!("PostgreSQL does not stop");
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let url = self.url_of(SUPERUSER);
        let answer = async {
            loop {
                match database::create_database(&url, DATABASE).await {
                    Err(error) if error.is_temporary() => tokio::time::sleep(LOOK).await,
                    other => return other,
                }
            }
        };
        let log = self.log.clone();
        tokio::select! {
            answered = tokio::time::timeout(PATIENCE, answer) => match answered {
                Ok(answered) => answered.context("the embedded PostgreSQL"),
                Err(_) => bail!("the embedded PostgreSQL does not answer; its log is {}", log.display()),
            },
            ended = self.server.wait() => bail!(
                "the embedded PostgreSQL ended while it started ({}): {}\nits log is {}", ended?, last_lines(&log), log.display()
            ),
        }
    }
}

/// The server's programs: `$PG_BIN`, else Debian's of the version that made the cluster, else the newest.
fn binaries(data: &Path) -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("PG_BIN") {
        let named = PathBuf::from(named);
        if !named.join("postgres").is_file() {
            bail!("there is no program `postgres` in {} (PG_BIN)", named.display());
        }
        return Ok(named);
    }
    let mut installed: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|version| directory_of(*version).join("postgres").is_file())
        .collect();
    installed.sort_unstable();
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let version = match made_by {
        None => installed.last().copied(),
        Some(version) if installed.contains(&version) => Some(version),
        Some(version) => bail!(
            "{} was made by PostgreSQL {version}, which is not installed: apt-get install postgresql-{version}",
            data.display()
        ),
    };
    version.map(directory_of).context("the PostgreSQL server's programs are missing: apt-get install postgresql")
}

fn directory_of(version: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))
}

/// Makes the cluster, in a directory that gets its name only when it is complete.
async fn prepare_data(data: &Path, binaries: &Path, user: &mut ServerUser) -> anyhow::Result<()> {
    if data.join("PG_VERSION").is_file() {
        return user.reach(data).await;
    }
    let new = data.with_extension("new");
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| new.display().to_string())?;
    }
    private_directory(&new, user)?;
    user.reach(&new).await?;
    let mut initdb = user.command(&binaries.join("initdb"), "KILL");
    initdb.arg("-D").arg(&new).args([
        "-U",
        SUPERUSER,
        "--auth=trust",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    let made = initdb.output().await.context("setpriv (of the package util-linux) cannot be run")?;
    if !made.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    fs::rename(&new, data).with_context(|| data.display().to_string())?;
    if let Some(parent) = data.parent() {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// `run` in the data directory, or a private directory below /tmp where that path would be too long for a socket; then `run`
/// is a link to it, so that those of killed processes do not pile up.
fn socket_directory(directory: &Path, user: &ServerUser) -> anyhow::Result<PathBuf> {
    let run = directory.join("run");
    remove_short_directory(&run)?;
    if run.as_os_str().len() <= MAX_SOCKET_DIRECTORY {
        if !run.exists() {
            private_directory(&run, user)?;
        }
        return Ok(run);
    }
    let short = nix::unistd::mkdtemp("/tmp/restante-XXXXXX").context("no directory for the socket below /tmp")?;
    user.own(&short)?;
    std::os::unix::fs::symlink(&short, &run).with_context(|| run.display().to_string())?;
    Ok(short)
}

fn remove_short_directory(link: &Path) -> anyhow::Result<()> {
    if let Ok(last) = fs::read_link(link) {
        fs::remove_dir_all(last).ok();
        fs::remove_file(link).with_context(|| link.display().to_string())?;
    }
    Ok(())
}

fn private_directory(path: &Path, user: &ServerUser) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .and_then(|()| user.own(path))
        .with_context(|| path.display().to_string())
}

fn spawn(binaries: &Path, user: &ServerUser, data: &Path, socket: &Path, log: &Path) -> anyhow::Result<Child> {
    let log_file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)
        .with_context(|| log.display().to_string())?;
    // SIGINT is PostgreSQL's fast shutdown.
    let mut command = user.command(&binaries.join("postgres"), "INT");
    command.arg("-D").arg(data);
    let socket_setting = format!("unix_socket_directories={}", socket.display());
    for setting in [
        "listen_addresses=",
        "port=5432",
        &socket_setting,
        "fsync=on",
        "full_page_writes=on",
        "max_connections=100",
        "log_min_messages=warning",
        "logging_collector=off",
        "log_destination=stderr",
        "cluster_name=restante-dev",
    ] {
        command.arg("-c").arg(setting);
    }
    command.stdout(Stdio::null()).stderr(log_file);
    command.spawn().context("setpriv (of the package util-linux) cannot be run")
}

/// Stops what a killed parent left: the server whose pid file it is, and back ends that still go away. We hold the data
/// directory's lock, so nobody but us starts one. Then the pid file names nobody, and goes: its number may be another's now.
async fn stop_stale(data: &Path) -> anyhow::Result<()> {
    let pid_file = data.join("postmaster.pid");
    let named: Option<u32> =
        fs::read_to_string(&pid_file).ok().and_then(|text| text.lines().next()?.trim().parse().ok());
    let rounds = PATIENCE.as_millis() / LOOK.as_millis();
    for round in 0..rounds {
        let left = processes_in(data)?;
        if left.is_empty() {
            match fs::remove_file(&pid_file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| pid_file.display().to_string());
                }
                _ => return Ok(()),
            }
        }
        // First in order; without a head, or when that takes long, at once: the log recovers it.
        let signal = if round < rounds / 2 { Signal::SIGINT } else { Signal::SIGQUIT };
        if (round == 0 || round == rounds / 2)
            && let Some(pid) = named.filter(|pid| left.contains(pid))
        {
            tracing::warn!(pid, "a PostgreSQL server was left by a killed process; it is stopped");
            signal_process(pid, signal)?;
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("a PostgreSQL server in {} was left by a killed process and does not stop", data.display());
}

/// The living processes whose working directory is this one: a PostgreSQL server and its back ends work in their cluster.
fn processes_in(data: &Path) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Not readable: gone meanwhile, a zombie, or another user's.
        if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Signals a process, and wakes it if it was stopped: else it would not see the signal.
fn signal_process(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    match kill(pid, signal).and_then(|()| kill(pid, Signal::SIGCONT)) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("PostgreSQL cannot be told to stop"),
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
}
