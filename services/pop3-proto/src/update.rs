//! The UPDATE state (RFC 1939 section 6): entered by QUIT from TRANSACTION and by nothing else, so a lost connection deletes
//! nothing.

use crate::maildrop::Maildrop;
use crate::response::{Failure, Refused, Responses};
use crate::session::{Effect, State, Waiting};

/// QUIT in the TRANSACTION state. Without marks there is nothing to wait for.
pub(crate) fn quit(maildrop: &Maildrop, responses: &mut Responses) -> (State, Option<Effect>) {
    let marked = maildrop.marked();
    if marked.is_empty() {
        responses.ok(format_args!("bye"));
        return (State::Closed, None);
    }
    (State::Waiting(Waiting::Update), Some(Effect::Update { marked }))
}

/// The answer to QUIT, once the messages are removed or are known not to be. Either way the session is over (RFC 1939
/// section 6).
pub(crate) fn done(result: Result<(), Failure>, responses: &mut Responses) {
    match result {
        Ok(()) => responses.ok(format_args!("bye, the marked messages are deleted")),
        Err(failure) => responses.err(Refused::Update(failure)),
    }
}
