//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{export::ExportArguments, import::ImportArguments};

/// Restante: a multi-tenant POP3 mail service.
#[derive(Debug, Parser)]
#[command(name = "restante", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs one or more roles against a database and an object store of your own
    Serve(ServeArguments),
    /// Runs everything in one process on an embedded database and a local directory, for trying and developing
    Dev(DevArguments),
    /// Brings the database's schema up to date (as RESTANTE_DATABASE_URL_OWNER, or RESTANTE_DATABASE_URL)
    Migrate,
    /// Looks at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Compares catalog, counters and objects while everything runs (as the worker; with --repair or --rebuild as the owner).
    ///
    /// Ends with 0: nothing is wrong; 1: something is; 2: it could not be done
    Fsck(FsckArguments),
    /// After PostgreSQL was restored to an earlier moment: takes up what was delivered since (as the owner)
    Recover(RecoverArguments),
    /// The keys that mail is encrypted under (as the owner)
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Lets the first administrator in
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Takes the messages of another server into an account, with its unique-ids and in its order (as RESTANTE_DATABASE_URL_WORKER, or
    /// RESTANTE_DATABASE_URL)
    Import(ImportArguments),
    /// Prints the admin API's OpenAPI document
    Openapi,
    /// Writes the messages of accounts into files (as RESTANTE_DATABASE_URL_WORKER, or RESTANTE_DATABASE_URL)
    Export(ExportArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Makes a platform administrator's API key and prints it, once (as RESTANTE_DATABASE_URL_ADMIN, or RESTANTE_DATABASE_URL)
    Token(TokenArguments),
    /// Makes a person who signs in; prints the password once, unless it comes on standard input (as RESTANTE_DATABASE_URL_ADMIN, or
    /// RESTANTE_DATABASE_URL)
    Create(AdminCreateArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AdminCreateArguments {
    /// What they sign in with: an address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) name: String,
    /// For people [default: the name]
    #[arg(long, value_name = "TEXT")]
    pub(crate) display_name: Option<String>,
    /// platform-admin, tenant-admin, domain-admin, helpdesk or auditor
    #[arg(long)]
    pub(crate) role: String,
    /// Whose they are; left out, the platform's (platform-admin, helpdesk, auditor)
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: Option<String>,
    /// A domain-admin's domain; can be given several times
    #[arg(long = "domain", value_name = "NAME")]
    pub(crate) domains: Vec<String>,
    /// Reads the password from standard input (one line) instead of making one
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// What the key is called in lists and in the audit log
    #[arg(long, default_value = "first")]
    pub(crate) name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Shows every tenant's data keys, and which master keys are still needed by what
    List(ToolArguments),
    /// Rotates the master key (the first of RESTANTE_MASTER_KEY is the new one), the tenants' data keys, or the key that signs the
    /// access tokens of administrators
    Rotate(RotateArguments),
    /// Erases a tenant's data keys: its mail can never be read again
    Erase(EraseArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// Wraps every data key, and what else can be, under the current master key
    #[arg(long, required_unless_present_any = ["data", "signing"], conflicts_with_all = ["data", "signing"])]
    pub(crate) master: bool,
    /// Makes new data keys; mail encrypted before stays readable
    #[arg(long, conflicts_with = "signing")]
    pub(crate) data: bool,
    /// Makes a new key that signs access tokens; those signed before hold until they expire
    #[arg(long)]
    pub(crate) signing: bool,
    /// Only this tenant's
    #[arg(long, value_name = "SLUG", requires = "data")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
}

#[derive(Debug, Args)]
pub(crate) struct EraseArguments {
    /// Whose; it must be suspended or deleted
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: String,
    /// Does not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
}

#[derive(Debug, Args)]
pub(crate) struct FsckArguments {
    /// Only this tenant
    #[arg(long, value_name = "SLUG")]
    pub(crate) tenant: Option<String>,
    /// Reads every frame whole, decrypts it and compares its digest; without it, only the footers are read
    #[arg(long)]
    pub(crate) deep: bool,
    /// Counts anew what is miscounted; no mail is ever removed
    #[arg(long)]
    pub(crate) repair: bool,
    /// Segments in a second at most
    #[arg(long, value_name = "N")]
    pub(crate) segments_per_second: Option<f64>,
    /// One JSON document on standard output instead of lines
    #[arg(long)]
    pub(crate) json: bool,
    /// Fills an empty, migrated database from the bucket and the master key alone
    #[arg(long, conflicts_with_all = ["tenant", "deep", "repair", "segments_per_second", "json"])]
    pub(crate) rebuild: bool,
    /// With --rebuild: does not ask
    #[arg(long, requires = "rebuild")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArguments {
    /// The moment that was restored, or an earlier one (RFC 3339) [default: an hour before the database's last mark]
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Lets sweeping go on although some segments could not be read: they will be deleted one day
    #[arg(long)]
    pub(crate) despite_unreadable: bool,
    /// Does not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArguments,
}

/// Where a command of the operator finds its settings.
#[derive(Debug, Args)]
pub(crate) struct ToolArguments {
    /// The configuration file (TOML), as for `serve`
    #[arg(long, value_name = "FILE", env = "RESTANTE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Proves a configuration: the file, the environment, keys, certificates, listeners
    Check(CheckArguments),
}

/// What a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Role {
    /// POP3 for mail clients
    Pop3,
    /// LMTP for mail servers
    Lmtp,
    /// The REST API
    Admin,
    /// Purging and reclaiming
    Worker,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Pop3, Self::Lmtp, Self::Admin, Self::Worker];
}

/// Which configuration, for which roles.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The configuration file (TOML); every key also as RESTANTE_SECTION__KEY
    #[arg(long, value_name = "FILE", env = "RESTANTE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// A role to run; can be given several times [default: all]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<Role>,
}

impl ServeArguments {
    /// The roles, each once.
    pub(crate) fn roles(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.roles.is_empty() || self.roles.contains(role)).collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    /// Also reaches the database and the object store
    #[arg(long)]
    pub(crate) connect: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct DevArguments {
    /// Where everything is kept; made at the first start
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// At the first start, makes the tenant demo with two accounts and sample mail
    #[arg(long)]
    pub(crate) demo: bool,
    /// POP3 with STLS (port 0 picks one, as everywhere here)
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1110")]
    pub(crate) pop3_listen: SocketAddr,
    /// POP3 over TLS
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1995")]
    pub(crate) pop3s_listen: SocketAddr,
    /// LMTP; only on loopback
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1124")]
    pub(crate) lmtp_listen: SocketAddr,
    /// The REST API
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) admin_listen: SocketAddr,
    /// Metrics and health
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9400")]
    pub(crate) ops_listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(arguments: &[&str]) -> Vec<Role> {
        let cli = Cli::try_parse_from(["restante", "serve"].iter().chain(arguments)).unwrap();
        let Command::Serve(serve) = cli.command else { panic!("serve was asked for") };
        serve.roles()
    }

    #[test]
    fn roles_are_all_or_those_named_each_once() {
        assert_eq!(roles(&[]), Role::ALL);
        assert_eq!(roles(&["--role", "worker", "--role", "pop3", "--role", "pop3"]), [Role::Pop3, Role::Worker]);
        assert_eq!(roles(&["--role", "pop3,lmtp"]), [Role::Pop3, Role::Lmtp]);
        assert!(Cli::try_parse_from(["restante", "serve", "--role", "imap"]).is_err());
    }
}
