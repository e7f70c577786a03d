//! What a session says, as it may be written down: verbs, numbers, our own status lines, counts. It is kept while nobody is known, in
//! little room, and handed in only for an account whose administrators want it.

use mail_types::{AccountId, TenantId};
use pop3_proto::{Said, Status, Verb};

use directory::TranscriptEntry;

/// Commands that are kept while nobody is known.
const BEFORE_LOGIN: usize = 32;
/// About what an entry takes besides its line.
const ENTRY_OCTETS: usize = 96;

type Account = (TenantId, AccountId);

/// A command and its answer.
#[derive(Debug)]
struct Entry {
    milliseconds: u64,
    said: Said,
    status: Status,
    octets: u64,
    line: Option<Box<str>>,
}

/// Of one session.
#[derive(Debug)]
pub(crate) struct Recorder {
    state: State,
    entries: Vec<Entry>,
    room: usize,
    truncated: bool,
    /// Octets written until the last answer.
    written: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody is known.
    Waiting,
    /// Somebody is, and nobody wants it.
    Off,
    On(Account),
}

/// What was said, for an account.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) of: Account,
    pub(crate) truncated: bool,
    pub(crate) entries: Vec<TranscriptEntry>,
}

impl Recorder {
    /// With room for so many octets.
    pub(crate) fn new(room: usize) -> Self {
        Self { state: State::Waiting, entries: Vec::new(), room, truncated: false, written: 0 }
    }

    /// What was written before the first command.
    pub(crate) fn greeted(&mut self, written: u64) {
        self.written = written;
    }

    /// Whether the whole of an answer's line is wanted.
    pub(crate) fn wants_line(&self, said: Said, status: Status) -> bool {
        let is_one_line = match said.verb {
            Verb::Retr | Verb::Top | Verb::Capa | Verb::Lang | Verb::Stls => false,
            Verb::List | Verb::Uidl => matches!(said.numbers, [Some(_), _]),
            _ => true,
        };
        self.state != State::Off && (status == Status::Err || (is_one_line && matches!(self.state, State::On(_))))
    }

    /// A command was answered; `written` octets in all so far.
    pub(crate) fn replied(&mut self, milliseconds: u64, said: Said, status: Status, written: u64, line: Option<&str>) {
        let octets = written.saturating_sub(std::mem::replace(&mut self.written, written));
        let takes = ENTRY_OCTETS + line.map_or(0, str::len);
        match self.state {
            State::Off => {}
            State::Waiting if self.entries.len() >= BEFORE_LOGIN => self.truncated = true,
            _ if takes > self.room => self.truncated = true,
            _ => {
                self.room -= takes;
                self.entries.push(Entry { milliseconds, said, status, octets, line: line.map(Into::into) });
            }
        }
    }

    /// Somebody tried to log in to this account, or did: answers what was said for another one until then.
    pub(crate) fn attempt(&mut self, account: Account, wanted: bool, accepted: bool) -> Option<Recorded> {
        let before = match self.state {
            State::On(of) if of != account => self.take(),
            _ => None,
        };
        self.state = match self.state {
            State::On(of) if of == account => State::On(of),
            _ if wanted => State::On(account),
            _ => {
                // It was said for somebody whose administrators do not want it.
                self.entries = Vec::new();
                if accepted { State::Off } else { State::Waiting }
            }
        };
        before
    }

    /// What was said, at the end or before another account.
    pub(crate) fn take(&mut self) -> Option<Recorded> {
        let State::On(of) = self.state else { return None };
        let entries = std::mem::take(&mut self.entries).into_iter().map(Entry::shown).collect();
        Some(Recorded { of, truncated: self.truncated, entries })
    }
}

impl Entry {
    fn shown(self) -> TranscriptEntry {
        let reply = match (self.line, self.status) {
            (Some(line), _) => line.into(),
            (None, Status::Ok) => format!("+OK [{} octets]", self.octets),
            (None, Status::Err) => format!("-ERR [{} octets]", self.octets),
        };
        TranscriptEntry { milliseconds: self.milliseconds, command: self.said.to_string(), reply }
    }
}

/// The last line that is in the output, if it is there whole.
pub(crate) fn last_line(output: &[u8]) -> Option<&str> {
    let body = output.strip_suffix(b"\r\n")?;
    let line = body.rsplit(|octet| *octet == b'\n').next()?;
    std::str::from_utf8(line).ok()
}
