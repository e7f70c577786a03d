//! What can be known of a client's program. POP3 has no command by which it says its name: there is what TLS negotiated, the server name it
//! asked for, and which commands it uses.

use std::sync::atomic::{AtomicU32, Ordering};

use mail_types::DomainName;
use net::tls::TlsFacts;
use pop3_proto::{Said, Verb};

/// The commands that tell programs apart, in the order they are shown.
const TELLING: [Verb; 13] = [
    Verb::Capa,
    Verb::Stls,
    Verb::User,
    Verb::Apop,
    Verb::Auth,
    Verb::Utf8,
    Verb::Lang,
    Verb::Stat,
    Verb::List,
    Verb::Uidl,
    Verb::Top,
    Verb::Noop,
    Verb::Rset,
];
const PIPELINES: u32 = 1 << 31;

/// What is known of one.
#[derive(Debug, Default)]
pub(crate) struct ClientHint {
    tls: Option<(&'static str, &'static str)>,
    server_name: Option<Box<str>>,
    /// A bit for each of [`TELLING`], and [`PIPELINES`].
    habits: AtomicU32,
}

impl ClientHint {
    /// The same client over TLS.
    pub(crate) fn over_tls(&self, tls: &TlsFacts) -> Self {
        // What is no name of a host is of no use to anybody, and longer than one it is not.
        let name = tls.server_name.as_deref().filter(|name| DomainName::parse(name).is_ok());
        Self {
            tls: Some((tls.version, tls.cipher_suite)),
            server_name: name.map(Into::into),
            habits: AtomicU32::new(self.habits.load(Ordering::Relaxed)),
        }
    }

    /// It used a command, and had more to say before that was answered, or not.
    pub(crate) fn used(&self, said: Said, pipelines: bool) {
        let telling = TELLING.iter().position(|verb| *verb == said.verb).map_or(0, |at| 1 << at);
        self.habits.fetch_or(telling | if pipelines { PIPELINES } else { 0 }, Ordering::Relaxed);
    }

    /// The name that it asked for in TLS.
    pub(crate) fn server_name(&self) -> Option<String> {
        self.server_name.as_deref().map(str::to_owned)
    }

    /// For people: `TLSv1.3 TLS13_AES_256_GCM_SHA384; CAPA USER UIDL; pipelines`.
    pub(crate) fn text(&self) -> String {
        let habits = self.habits.load(Ordering::Relaxed);
        let used = TELLING.iter().enumerate().filter(|(at, _)| habits & (1 << at) != 0);
        let used: Vec<String> = used.map(|(_, verb)| verb.as_str().to_ascii_uppercase()).collect();
        let tls = self.tls.map_or_else(|| "no TLS".to_owned(), |(version, suite)| format!("{version} {suite}"));
        let pipelines = if habits & PIPELINES == 0 { "" } else { "; pipelines" };
        format!("{tls}; {}{pipelines}", used.join(" "))
    }
}
