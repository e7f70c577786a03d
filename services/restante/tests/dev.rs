//! `restante dev` as a process: the ready line, stopping, being killed, starting again, and its embedded PostgreSQL.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed step is a failed test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// The command with ports of its own and nothing from the environment of the test.
fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
    command.arg("dev").arg("--data-dir").arg(data_dir);
    for listener in ["pop3", "pop3s", "lmtp", "admin", "ops"] {
        command.arg(format!("--{listener}-listen")).arg("127.0.0.1:0");
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RESTANTE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A running `restante dev`, killed if the test fails.
struct Dev {
    child: Child,
    ready: Value,
    stdout: BufReader<std::process::ChildStdout>,
    data_dir: PathBuf,
}

impl Dev {
    fn start(data_dir: &Path) -> Self {
        let mut child = command(data_dir).arg("--demo").stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, ready, stdout, data_dir: data_dir.to_owned() }
    }

    fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {}", self.ready))
    }

    fn postmaster(&self) -> Pid {
        let text = fs::read_to_string(self.data_dir.join("postgres/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
    }

    /// What alice sees: the unique-id listing and the octets of every message.
    fn alice(&self) -> (String, Vec<String>) {
        let password = fs::read_to_string(self.data_dir.join("demo-password-alice")).unwrap();
        let mut pop3 = Pop3::connect(self.text("pop3"));
        pop3.ask("USER alice@demo.test");
        pop3.ask(&format!("PASS {}", password.trim_end()));
        pop3.ask("UIDL");
        let listing = pop3.lines();
        let messages = (1..=listing.lines().count())
            .map(|number| {
                pop3.ask(&format!("RETR {number}"));
                pop3.lines()
            })
            .collect();
        pop3.ask("QUIT");
        (listing, messages)
    }

    /// What a path of the admin or the ops listener answers, headers and all.
    fn get(&self, listener: &str, path: &str, header: &str) -> String {
        let mut stream = TcpStream::connect(self.text(listener).trim_start_matches("http://")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Stops it and gives what it wrote on standard output after the ready line.
    fn stop(mut self, signal: Signal) -> String {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

struct Pop3(BufReader<TcpStream>);

impl Pop3 {
    fn connect(address: &str) -> Self {
        let mut pop3 = Self(BufReader::new(TcpStream::connect(address).unwrap()));
        pop3.expect_ok("the greeting");
        pop3
    }

    fn expect_ok(&mut self, what: &str) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.starts_with("+OK"), "{what}: {line}");
    }

    fn ask(&mut self, command: &str) {
        write!(self.0.get_mut(), "{command}\r\n").unwrap();
        self.expect_ok(command);
    }

    fn lines(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the response ends with a dot");
            if line == ".\r\n" {
                return text;
            }
            text.push_str(&line);
        }
    }
}

/// Waits for the end of a process that is not ours to wait for; a zombie has ended.
fn wait_until_gone(pid: Pid) {
    for _ in 0..1200 {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        if state.is_none_or(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("process {pid} is still there");
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn everything_is_still_there_after_a_stop() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let first = Dev::start(&data_dir);
    assert_eq!(first.ready["ready"], true);
    for (key, prefix) in [
        ("admin", "http://127.0.0.1:"),
        ("ops", "http://127.0.0.1:"),
        ("pop3", "127.0.0.1:"),
        ("pop3s", "127.0.0.1:"),
        ("lmtp", "127.0.0.1:"),
    ] {
        assert!(first.text(key).starts_with(prefix) && !first.text(key).ends_with(":0"), "{}", first.ready);
    }
    assert_eq!(Path::new(first.text("data_dir")), data_dir.canonicalize().unwrap());
    let token = first.text("admin_token").to_owned();
    assert_eq!(fs::read_to_string(data_dir.join("admin-token")).unwrap().trim_end(), token);
    for secret in ["admin-token", "master-key", "demo-password-bob", "tls/key.pem"] {
        let mode = fs::metadata(data_dir.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    for private in ["segments", "postgres", "run"] {
        let mode = fs::metadata(data_dir.join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{private}");
    }
    assert!(first.get("ops", "/readyz", "").contains(" 200 "));
    assert!(first.get("ops", "/metrics", "").contains("restante_connections_open"));
    let tenants = first.get("admin", "/v1/tenants", &format!("Authorization: Bearer {token}\r\n"));
    assert!(tenants.contains(" 200 ") && tenants.contains("\"demo\""), "{tenants}");
    assert!(first.get("admin", "/v1/tenants", "").contains(" 401 "));
    let mail = first.alice();
    assert!((3..=5).contains(&mail.1.len()), "{mail:?}");
    assert_eq!(first.stop(Signal::SIGTERM), "", "nothing but the ready line is on standard output");

    let second = Dev::start(&data_dir);
    assert_eq!(second.text("admin_token"), token);
    assert_eq!(second.alice(), mail);
    let postmaster = second.postmaster();
    second.stop(Signal::SIGINT);
    wait_until_gone(postmaster);
}

#[test]
fn a_directory_in_use_is_refused() {
    let data_dir = tempfile::tempdir().unwrap();
    let first = Dev::start(data_dir.path());
    let error = refused(&command(data_dir.path()).output().unwrap());
    assert!(error.contains("in use") && error.contains(&first.child.id().to_string()), "{error}");
    first.alice();
}

#[test]
fn a_killed_process_leaves_no_server_behind_and_loses_nothing() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut first = Dev::start(data_dir.path());
    let (mail, postmaster) = (first.alice(), first.postmaster());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    wait_until_gone(postmaster);
    let second = Dev::start(data_dir.path());
    assert_eq!(second.alice(), mail);
}

#[test]
fn a_server_that_was_left_is_stopped_first() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut first = Dev::start(data_dir.path());
    let (mail, postmaster) = (first.alice(), first.postmaster());
    // Stopped, it cannot see that its parent dies.
    kill(postmaster, Signal::SIGSTOP).unwrap();
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let second = Dev::start(data_dir.path());
    assert_ne!(second.postmaster(), postmaster);
    assert_eq!(second.alice(), mail);
    wait_until_gone(postmaster);
}

#[test]
fn a_server_that_dies_is_started_again() {
    let data_dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(data_dir.path());
    let (mail, postmaster) = (dev.alice(), dev.postmaster());
    kill(postmaster, Signal::SIGKILL).unwrap();
    wait_until_gone(postmaster);
    // Ready again when the ops listener says so.
    let ready = || dev.get("ops", "/readyz", "").contains(" 200 ");
    let new_postmaster = || {
        fs::read_to_string(data_dir.path().join("postgres/postmaster.pid"))
            .is_ok_and(|text| !text.starts_with(&postmaster.to_string()))
    };
    while !(new_postmaster() && ready()) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(dev.alice(), mail);
    dev.stop(Signal::SIGTERM);
}

#[test]
fn a_deep_directory_has_its_socket_elsewhere() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("d".repeat(60)).join("e".repeat(60));
    let dev = Dev::start(&data_dir);
    let short = fs::read_link(data_dir.join("run")).unwrap();
    assert_eq!(fs::metadata(&short).unwrap().permissions().mode() & 0o777, 0o700);
    dev.alice();
    dev.stop(Signal::SIGTERM);
    assert!(!short.exists());
}

#[test]
fn missing_programs_are_named() {
    let data_dir = tempfile::tempdir().unwrap();
    let error = refused(&command(data_dir.path()).env("PG_BIN", "/nowhere").output().unwrap());
    assert!(error.contains("/nowhere") && error.contains("PG_BIN"), "{error}");
}

#[test]
fn a_port_in_use_is_named() {
    let data_dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = refused(&command(data_dir.path()).args(["--lmtp-listen", &address]).output().unwrap());
    assert!(error.contains("lmtp") && error.contains(&address), "{error}");
    let error = refused(&command(data_dir.path()).args(["--lmtp-listen", "0.0.0.0:0"]).output().unwrap());
    assert!(error.contains("lmtp.peers"), "{error}");
}
