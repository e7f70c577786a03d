//! `restante config check` and what `restante serve` refuses to start with.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::{
    path::Path,
    process::{Command, Output},
};

const MASTER_KEY: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Variables to set, or to leave out.
type Changes = &'static [(&'static str, Option<&'static str>)];

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs the binary with a configuration file of this text, in an environment that is sound but for `changes`.
    fn run(&self, arguments: &[&str], file: &str, changes: &[(&str, Option<&str>)]) -> Output {
        let path = self.path().join("restante.toml");
        std::fs::write(&path, file).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RESTANTE_") || name.starts_with("AWS_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .arg("--config")
            .arg(path)
            .env("RESTANTE_MASTER_KEY", MASTER_KEY)
            .env("RESTANTE_DATABASE_URL", "postgres://nobody:hunter2@127.0.0.1:1/none")
            .env("RESTANTE_OBJECT_STORE_URL", format!("file://{}/segments", self.path().display()));
        for (name, value) in changes {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.output().unwrap()
    }
}

const NO_TLS: &str = "[pop3]\nlisten_tls = []\n";

#[test]
fn a_sound_configuration_is_proved_and_shows_no_secret() {
    let scene = Scene::new();
    let output = scene.run(&["config", "check"], NO_TLS, &[("RESTANTE_LMTP__MAX_RECIPIENTS", Some("5"))]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("AAAA") && !text.contains("hunter2"), "{text}");
    assert!(text.contains("restante.toml") && text.contains("file://"), "{text}");
}

#[test]
fn every_fault_is_named() {
    let scene = Scene::new();
    let both = [&["config", "check"][..], &["serve"]];
    let faults: [(&str, Changes, &str); _] = [
        ("[pop3]\nlisten_tls = []\nlissten = []", &[], "lissten"),
        ("[pop3]\nlisten_tls = []\nlisten = ['localhost:110']", &[], "pop3.listen"),
        ("nonsense", &[], "restante.toml"),
        (NO_TLS, &[("RESTANTE_POP3__IDLE_SECONDS", Some("soon"))], "pop3.idle_seconds"),
        (NO_TLS, &[("RESTANTE_POP3__IDLE_SECONDS", Some("0"))], "pop3.idle_seconds"),
        (NO_TLS, &[("RESTANTE_ADMIN__LISTEN", Some("[]"))], "admin.listen"),
        (
            NO_TLS,
            &[("RESTANTE_POP3__SESSION_SECONDS", Some("345600"))],
            "pop3.session_seconds (345600) must be below half",
        ),
        (NO_TLS, &[("RESTANTE_WORKER__SWEEP__GRACE_SECONDS", Some("57600"))], "worker.sweep.grace_seconds (57600)"),
        ("", &[], "pop3.listen_tls needs tls.certificate"),
        ("[tls]\ncertificate = '/nowhere/cert.pem'\nkey = '/nowhere/key.pem'", &[], "/nowhere/cert.pem"),
        ("[tls]\ncertificate = '/nowhere/cert.pem'", &[], "tls.key"),
        ("[pop3]\nlisten_tls = []\n[lmtp]\nlisten = ['0.0.0.0:24']", &[], "lmtp.peers"),
        (
            "[pop3]\nlisten_tls = []\nlisten = [{ address = '127.0.0.1:110', proxy_from = [] }]",
            &[],
            "proxy_from is empty",
        ),
        (
            NO_TLS,
            &[("RESTANTE_POP3__LISTEN", Some("[{ address = '[::1]:110', proxy_from = ['::/0'] }]"))],
            "::/0 is everybody",
        ),
        ("[proxy]\nheader_octets = 255\n[pop3]\nlisten_tls = []", &[], "proxy.header_octets"),
        (
            "[pop3]\nlisten_tls = []\n[lmtp]\nlisten = [{ address = '127.0.0.1:24', proxy_from = ['127.0.0.1/32'] }]",
            &[],
            "lmtp.peers",
        ),
        (NO_TLS, &[("RESTANTE_MASTER_KEY", None)], "RESTANTE_MASTER_KEY"),
        (NO_TLS, &[("RESTANTE_MASTER_KEY", Some("x:AAAA"))], "32 octets"),
        (NO_TLS, &[("RESTANTE_DATABASE_URL", None)], "RESTANTE_DATABASE_URL_POP3"),
        (NO_TLS, &[("RESTANTE_DATABASE_URL", Some("mysql://a:hunter2@h/x"))], "postgres://"),
        (NO_TLS, &[("RESTANTE_OBJECT_STORE_URL", None)], "RESTANTE_OBJECT_STORE_URL"),
        (NO_TLS, &[("AWS_ACCESS_KEY_ID", Some("a"))], "AWS_SECRET_ACCESS_KEY"),
    ];
    for (file, changes, expected) in faults {
        for arguments in both {
            let output = scene.run(arguments, file, changes);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{file} {changes:?}: {error}");
            assert!(error.contains(expected), "{arguments:?} {file} {changes:?}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("AAAA"), "{error}");
        }
    }
}

#[test]
fn a_session_may_last_almost_half_the_grace() {
    let scene = Scene::new();
    let most = [("RESTANTE_POP3__SESSION_SECONDS", Some("345599"))];
    let output = scene.run(&["config", "check"], NO_TLS, &most);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn only_the_roles_that_run_need_theirs() {
    let scene = Scene::new();
    let only_lmtp =
        [("RESTANTE_DATABASE_URL", None), ("RESTANTE_DATABASE_URL_LMTP", Some("postgres://x@127.0.0.1:1/x"))];
    let output = scene.run(&["config", "check", "--role", "lmtp"], "", &only_lmtp);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = scene.run(&["config", "check", "--role", "lmtp", "--connect"], "", &only_lmtp);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("restante_lmtp"), "{error}");
}
