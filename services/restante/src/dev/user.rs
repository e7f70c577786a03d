//! Who the embedded PostgreSQL runs as. It refuses root, so a root's server runs as an ordinary system user, started through
//! `setpriv`, which also has the kernel stop the server when this process dies.

use std::path::Path;

use anyhow::bail;
use nix::unistd::User;
use tokio::process::Command;

/// Users that exist on Debian, the better one first.
const ORDINARY_USERS: [&str; 2] = ["postgres", "nobody"];

/// How a command is started as the server's user.
#[derive(Debug, Clone)]
pub(crate) struct ServerUser {
    /// `None`: as ourselves.
    user: Option<User>,
    /// A capability that lets the user through directories that are root's alone (a clone below /root, a directory of
    /// mktemp). The user's processes can then read what root can; they are our own, on a private socket.
    passage: Option<&'static str>,
}

impl ServerUser {
    /// Ourselves, or for root the first ordinary user.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self { user: None, passage: None });
        }
        for name in ORDINARY_USERS {
            if let Some(user) = User::from_name(name)? {
                return Ok(Self { user: Some(user), passage: None });
            }
        }
        bail!("PostgreSQL does not run as root, and this system has neither a user postgres nor nobody");
    }

    /// Gives a file or directory to the user.
    pub(crate) fn own(&self, path: &Path) -> std::io::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
    }

    /// Finds out how the user reaches a directory of its own.
    pub(crate) async fn reach(&mut self, directory: &Path) -> anyhow::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        let name = user.name.clone();
        for passage in [None, Some("dac_read_search"), Some("dac_override")] {
            self.passage = passage;
            let mut look = self.command(Path::new("stat"), "KILL");
            look.arg(directory.join(".")).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            match look.status().await {
                Ok(status) if status.success() => return Ok(()),
                Ok(_) => {}
                Err(error) => bail!("setpriv (of the package util-linux) cannot be run: {error}"),
            }
        }
        bail!(
            "PostgreSQL does not run as root, and the user {name} that it would run as cannot reach {}: choose a --data-dir that \
             others may pass through",
            directory.display()
        );
    }

    /// A command that runs as the user and gets a signal (`INT`) when this process dies. It has to be spawned by the main
    /// thread: the kernel means the thread that forked, not the process.
    pub(crate) fn command(&self, program: &Path, death_signal: &str) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.arg("--init-groups");
        }
        if let Some(capability) = self.passage {
            command.args(["--inh-caps", &format!("+{capability}"), "--ambient-caps", &format!("+{capability}")]);
        }
        command.args(["--pdeathsig", death_signal, "--"]).arg(program);
        // A group of its own: Ctrl-C at the terminal is for us; we stop the server when everybody has left it.
        command.process_group(0).current_dir("/").env("LC_ALL", "C").stdin(std::process::Stdio::null());
        command
    }
}
