//! What is legal in the TRANSACTION state (RFC 1939 section 5), and the listings.

use crate::command::Command;
use crate::maildrop::{Deletion, Maildrop};
use crate::response::{Refused, Responses};
use crate::retrieve::Sending;
use crate::session::{Effect, OUTPUT_LIMIT, Security, State, Waiting};
use crate::{Settings, capabilities, update};

pub(crate) fn execute(
    mut maildrop: Maildrop,
    command: Command,
    settings: &Settings,
    security: Security,
    responses: &mut Responses,
) -> (State, Option<Effect>) {
    match command {
        Command::Capa => capabilities::write(settings, security, responses),
        Command::Noop => responses.ok(format_args!("nothing done")),
        Command::Stat => {
            let (messages, octets) = maildrop.drop_listing();
            responses.ok(format_args!("{messages} {octets}"));
        }
        Command::List(None) => {
            let (messages, octets) = maildrop.drop_listing();
            responses.ok(format_args!("{messages} messages ({octets} octets)"));
            return (State::Listing(maildrop, Listed::scan()), None);
        }
        Command::Uidl(None) => {
            responses.ok(format_args!("unique-ids follow"));
            return (State::Listing(maildrop, Listed::unique_ids()), None);
        }
        Command::List(Some(number)) => match maildrop.octets(number) {
            Ok(octets) => responses.ok(format_args!("{number} {octets}")),
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Uidl(Some(number)) => match maildrop.octets(number) {
            Ok(_) => responses.ok_unique_id(number, &maildrop),
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Retrieve(number, what) => match maildrop.octets(number) {
            Ok(octets) => {
                let sending = Sending::new(what, octets);
                return (State::Waiting(Waiting::Message(maildrop, sending)), Some(Effect::Retrieve { number, what }));
            }
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Dele(_) if maildrop.deletion() == Deletion::Refused => responses.err(Refused::ReadOnly),
        Command::Dele(number) => match maildrop.mark(number) {
            Ok(()) => responses.ok(format_args!("marked as deleted")),
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Rset => {
            maildrop.unmark_all();
            let (messages, octets) = maildrop.drop_listing();
            responses.ok(format_args!("{messages} messages ({octets} octets)"));
        }
        Command::Quit => return update::quit(&maildrop, responses),
        Command::User(_) | Command::Pass(_) | Command::Auth { .. } | Command::Stls => {
            responses.err(Refused::WrongState)
        }
    }
    (maildrop.into(), None)
}

/// How far a listing of all messages has come: a large one is written piece by piece, so that it never has to be held.
#[derive(Debug)]
pub(crate) struct Listed {
    what: What,
    /// The place, counted from 0, of the first message not yet looked at.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Scan,
    UniqueIds,
}

impl Listed {
    fn scan() -> Self {
        Self { what: What::Scan, next: 0 }
    }

    fn unique_ids() -> Self {
        Self { what: What::UniqueIds, next: 0 }
    }

    /// Writes as much as there is room for.
    pub(crate) fn go_on(mut self, maildrop: Maildrop, responses: &mut Responses) -> State {
        while responses.out.len() < OUTPUT_LIMIT {
            let Some((number, octets)) = maildrop.next_unmarked(self.next) else {
                responses.end();
                return maildrop.into();
            };
            match self.what {
                What::Scan => responses.line(format_args!("{number} {octets}")),
                What::UniqueIds => responses.unique_id_line(number, &maildrop),
            }
            self.next = number.index() + 1;
        }
        State::Listing(maildrop, self)
    }
}
