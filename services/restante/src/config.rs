//! The configuration file of `restante serve`: one section for each part, all with defaults. Every part's keys are documented
//! where the part is.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use net::tls::ServerTls;
use runtime::{database::PoolSettings, telemetry};
use serde::Deserialize;

use crate::cli::Role;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) log: Log,
    pub(crate) ops: Ops,
    pub(crate) shutdown: ShutdownSettings,
    pub(crate) tls: Tls,
    pub(crate) proxy: net::ProxySettings,
    pub(crate) egress: net::egress::Settings,
    pub(crate) dns: net::egress::DnsSettings,
    pub(crate) database: PoolSettings,
    pub(crate) object_store: mailstore::StoreSettings,
    pub(crate) mailstore: mailstore::Settings,
    pub(crate) directory: directory::Settings,
    pub(crate) pop3: pop3d::Config,
    pub(crate) lmtp: lmtpd::Config,
    pub(crate) admin: admin_api::Config,
    pub(crate) publish: admin_api::Publish,
    pub(crate) worker: worker::Config,
}

/// `[log]`: lines on standard error; what is logged is chosen by `RESTANTE_LOG`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `json` (default) or `text`.
    pub(crate) format: telemetry::Format,
}

/// `[ops]`: metrics and health.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ops {
    /// An internal address. Default 127.0.0.1:9400.
    pub(crate) listen: SocketAddr,
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: ([127, 0, 0, 1], 9400).into() }
    }
}

/// `[shutdown]`: how a process ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShutdownSettings {
    /// How long what is under way may go on after SIGTERM or SIGINT, seconds. Default 25.
    pub(crate) grace_seconds: u64,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { grace_seconds: 25 }
    }
}

impl ShutdownSettings {
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

/// `[tls]`: the certificate that every listener uses, PEM. Without it there is neither STLS nor implicit TLS.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// The certificate and the chain after it.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
}

impl Tls {
    /// Reads the files, if they are named.
    pub(crate) fn load(&self) -> anyhow::Result<Option<ServerTls>> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some(ServerTls::from_files(certificate, key).context("tls")?)),
            (None, None) => Ok(None),
            _ => bail!("tls.certificate and tls.key go together: one of them is not set"),
        }
    }
}

impl Config {
    /// What `serve` refuses besides; `dev`, whose one process holds all work under way, may be asked for it in tests of a recovery.
    pub(crate) fn check_serving(&self, roles: &[Role]) -> anyhow::Result<()> {
        // A commit may come half a day after its segment was named; until then the row that makes a late one fail must be there.
        let orphan = self.worker.sweep.orphan_age_seconds;
        if roles.contains(&Role::Worker) && orphan < ORPHAN_SECONDS {
            bail!(
                "worker.sweep.orphan_age_seconds ({orphan}) must be at least {ORPHAN_SECONDS}: \
                 what is younger may be a delivery under way"
            );
        }
        Ok(())
    }

    /// Proves what the types do not, for these roles.
    pub(crate) fn check(&self, roles: &[Role], tls: Option<&ServerTls>) -> anyhow::Result<()> {
        if roles.contains(&Role::Lmtp) {
            self.lmtp.check()?;
        }
        if roles.contains(&Role::Pop3) {
            self.pop3.check()?;
            if !self.pop3.listen_tls.is_empty() && tls.is_none() {
                bail!("pop3.listen_tls needs tls.certificate and tls.key (or set it to [])");
            }
        }
        let silent = [
            (
                Role::Pop3,
                "pop3.listen and pop3.listen_tls are",
                self.pop3.listen.is_empty() && self.pop3.listen_tls.is_empty(),
            ),
            (Role::Lmtp, "lmtp.listen is", self.lmtp.listen.is_empty()),
            (Role::Admin, "admin.listen is", self.admin.listen.is_empty()),
        ];
        for (role, what, empty) in silent {
            if roles.contains(&role) && empty {
                bail!("{what} empty: the role would serve nobody");
            }
        }
        // A session reads what it saw at its login to its end, also what others expunged meanwhile and a worker purged.
        let (session, grace) = (self.pop3.session_seconds, self.worker.sweep.grace_seconds);
        if roles.iter().any(|role| matches!(role, Role::Pop3 | Role::Worker)) && session >= grace.div_ceil(2) {
            bail!(
                "pop3.session_seconds ({session}) must be below half of worker.sweep.grace_seconds ({grace}): \
                 the messages of a session must be there to its end"
            );
        }
        if let Err(error) = self.directory.sign_in.check().and_then(|()| self.admin.check()) {
            bail!(error);
        }
        if let Err(error) = self.proxy.check() {
            bail!(error);
        }
        if self.database.max_connections == 0 {
            bail!("database.max_connections must not be 0");
        }
        Ok(())
    }
}

/// Longer than the database takes a commit of a segment after it was named (12 hours), by as much as clocks may differ.
const ORPHAN_SECONDS: u64 = 13 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    /// The block of `docs/configuration.md`.
    fn documented() -> String {
        let text = include_str!("../../../docs/configuration.md");
        let (_, rest) = text.split_once("```toml\n").unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("restante.toml");
        std::fs::write(&file, documented()).unwrap();
        let config: Config = runtime::config::load(Some(&file)).unwrap();
        assert_eq!(format!("{config:#?}"), format!("{:#?}", Config::default()));
    }

    #[test]
    fn every_key_is_documented() {
        let text = documented();
        let keys: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once(" = ").map(|(key, _)| key))
            .chain(text.lines().filter_map(|line| line.strip_prefix('[')?.split_once(']')?.0.rsplit('.').next()))
            .collect();
        let shown = format!("{:#?}", Config::default());
        for line in shown.lines() {
            let Some((field, _)) = line.trim().split_once(": ") else { continue };
            if field.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
                assert!(keys.contains(&field), "{field} is not in docs/configuration.md");
            }
        }
    }

    #[test]
    fn an_object_that_may_be_a_delivery_under_way_is_no_orphan() {
        let mut config = Config::default();
        assert!(config.check_serving(&[Role::Worker]).is_ok());
        config.worker.sweep.orphan_age_seconds = ORPHAN_SECONDS - 1;
        let refused = config.check_serving(&[Role::Worker]).unwrap_err().to_string();
        assert!(refused.contains("orphan_age_seconds"), "{refused}");
    }
}
