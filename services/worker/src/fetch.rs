//! Mail of other servers, over POP3 and IMAP: nothing is changed there. `restante import` uses it where the operator says, the
//! migrations of tenants where [`net::egress`] lets them.

mod imap;
mod pop3;
mod remote;
mod unique_id;

use mail_types::{Timestamp, UniqueId};
use mailstore::{IncomingError, SourceKey};

pub use imap::Imap;
pub use pop3::Pop3;
pub use remote::{Access, Server, Way};
pub use unique_id::{Format, Known};

/// A message as its source lists it.
#[derive(Debug)]
pub struct Listed {
    /// What a person calls it.
    pub name: String,
    /// What it is recognised by when it is listed again.
    pub key: SourceKey,
    /// The old server's, where it is known and can be one.
    pub unique_id: Option<UniqueId>,
    /// When the old server received it.
    pub received: Option<Timestamp>,
    /// What the source finds it by.
    pub place: u64,
    /// About how many it has, 0 where that is not known.
    pub octets: u64,
}

/// Why a message cannot be taken. The others can.
pub type Unreadable = String;

/// What reading a message came to. The outer error is the source's: nothing more can be read from it.
pub type Read = anyhow::Result<Result<(), Unreadable>>;

/// Why the mailstore does not take a message.
pub fn refused(error: IncomingError) -> Unreadable {
    match error {
        IncomingError::TooLarge => "it has more octets than a message may have here".to_owned(),
        IncomingError::OutOfMemory => error.to_string(),
    }
}
