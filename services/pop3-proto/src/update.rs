//! The UPDATE state (RFC 1939 section 6): entered by QUIT from TRANSACTION and by nothing else, so a lost connection deletes
//! nothing.

use crate::catalogue::Text;
use crate::effect::Effect;
use crate::faults::Fault;
use crate::maildrop::Maildrop;
use crate::response::{Failure, Refused, Responses};
use crate::session::{State, Waiting};

/// QUIT in the TRANSACTION state. Where nothing changes there is nothing to wait for.
pub(crate) fn quit(maildrop: &Maildrop, responses: &mut Responses) -> (State, Option<Effect>) {
    let marked = maildrop.marked();
    let fetched = if maildrop.policy().learns { maildrop.fetched() } else { Vec::new() };
    if marked.is_empty() && fetched.is_empty() {
        responses.ok(Text::Bye);
        return (State::Closed, None);
    }
    let updating = Updating { marked: !marked.is_empty() };
    (State::Waiting(Waiting::Update(updating)), Some(Effect::Update { marked, fetched }))
}

/// An update under way.
#[derive(Debug)]
pub(crate) struct Updating {
    /// Whether any message is to be removed.
    marked: bool,
}

impl Updating {
    /// The answer to QUIT, once the messages are removed or are known not to be. Either way the session is over (RFC 1939
    /// section 6).
    pub(crate) fn done(&self, result: Result<(), Failure>, responses: &mut Responses) {
        match result {
            Err(failure) if !Fault::OkOnFailure.is_on() => responses.err(Refused::Update(failure)),
            _ if self.marked => responses.ok(Text::Updated),
            _ => responses.ok(Text::Bye),
        }
    }
}
