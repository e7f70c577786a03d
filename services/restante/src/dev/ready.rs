//! What `restante dev` says when it is ready: one line of JSON for programs, and how to connect for people.

use std::{io::Write as _, net::SocketAddr, path::Path};

use anyhow::Context as _;
use mail_types::Secret;
use net::{Endpoint, Listener};
use serde::Serialize;

use super::demo::DemoAccount;
use crate::roles::Listeners;

/// Where it listens, with the ports that were picked.
#[derive(Debug)]
pub(crate) struct Addresses {
    pop3: SocketAddr,
    pop3s: SocketAddr,
    lmtp: SocketAddr,
    admin: SocketAddr,
    ops: SocketAddr,
}

/// What programs read, in the order that people expect.
#[derive(Serialize)]
struct ReadyLine<'a> {
    ready: bool,
    pop3: SocketAddr,
    pop3s: SocketAddr,
    lmtp: SocketAddr,
    admin: String,
    ops: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_token: Option<&'a str>,
    data_dir: &'a Path,
}

impl Addresses {
    /// One of each is bound.
    pub(crate) fn of(listeners: &Listeners) -> anyhow::Result<Self> {
        let first = |listeners: &[Listener]| match listeners.first().map(Listener::bound).transpose()? {
            Some(Endpoint::Tcp(address)) => Ok(address),
            _ => anyhow::bail!("every listener of `dev` is a TCP one"),
        };
        Ok(Self {
            pop3: first(&listeners.pop3)?,
            pop3s: first(&listeners.pop3s)?,
            lmtp: first(&listeners.lmtp)?,
            admin: first(&listeners.admin)?,
            ops: listeners.ops.local_addr()?,
        })
    }
}

impl Addresses {
    /// Where the web admin and the API are.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }
}

/// The ready line: the only thing on standard output.
pub(crate) fn announce(addresses: &Addresses, token: Option<&Secret>, data_dir: &Path) -> anyhow::Result<()> {
    let line = ReadyLine {
        ready: true,
        pop3: addresses.pop3,
        pop3s: addresses.pop3s,
        lmtp: addresses.lmtp,
        admin: addresses.admin_url(),
        ops: format!("http://{}", addresses.ops),
        admin_token: token.and_then(Secret::expose_str),
        data_dir,
    };
    let line = serde_json::to_string(&line).context("the ready line")?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("the ready line cannot be written")
}

/// For people, on standard error.
pub(crate) fn explain(
    addresses: &Addresses,
    token: Option<&Secret>,
    person: Option<&DemoAccount>,
    accounts: &[DemoAccount],
    data_dir: &Path,
) {
    let Addresses { pop3, pop3s, lmtp, admin, ops } = addresses;
    let certificate = data_dir.join("tls/cert.pem");
    let certificate = certificate.display();
    eprintln!("\nRestante is ready.\n");
    eprintln!("  POP3 with STLS  {pop3}\n  POP3 over TLS   {pop3s}\n  LMTP            {lmtp}");
    eprintln!("  Admin           http://{admin}/\n  Metrics, health http://{ops}/metrics http://{ops}/readyz");
    eprintln!("  Everything is in {}; Ctrl-C stops, the same command starts again.\n", data_dir.display());
    for account in accounts {
        eprintln!("  {}  password {}", account.login, account.password.expose_str().unwrap_or_default());
    }
    if let Some(account) = accounts.first() {
        let (login, password) = (&account.login, account.password.expose_str().unwrap_or_default());
        let port = pop3s.port();
        eprintln!("\nFetch mail:");
        eprintln!(
            "  curl --cacert {certificate} -u '{login}:{password}' pop3s://localhost:{port}/      # the scan listing"
        );
        eprintln!("  curl --cacert {certificate} -u '{login}:{password}' pop3s://localhost:{port}/1     # message 1");
        eprintln!(
            "  curl --cacert {certificate} -u '{login}:{password}' --ssl-reqd pop3://localhost:{}/1",
            pop3.port()
        );
        eprintln!("Talk POP3:");
        eprintln!("  openssl s_client -quiet -crlf -CAfile {certificate} -connect localhost:{port}");
        eprintln!("Send mail (an LMTP client such as Postfix's, or the API):");
        if let Some(token) = token.and_then(Secret::expose_str) {
            eprintln!(
                "  printf 'Subject: hello\\r\\n\\r\\nhello\\r\\n' | curl --data-binary @- -H 'Content-Type: message/rfc822' \\\n    \
                 -H 'Authorization: Bearer {token}' http://{admin}/v1/accounts/{login}/messages"
            );
        }
    }
    if let Some(token) = token.and_then(Secret::expose_str) {
        eprintln!("\nWeb admin: http://{admin}/  token {token}");
        eprintln!("  curl -H 'Authorization: Bearer {token}' http://{admin}/v1/tenants");
    }
    if let Some(person) = person {
        eprintln!("  sign in as {}  password {}", person.login, person.password.expose_str().unwrap_or_default());
    }
    eprintln!();
}
