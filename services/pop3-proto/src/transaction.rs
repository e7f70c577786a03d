//! What is legal in the TRANSACTION state (RFC 1939 section 5), and the listings.

use crate::capabilities;
use crate::catalogue::Text;
use crate::command::Command;
use crate::effect::Effect;
use crate::faults::Fault;
use crate::maildrop::{Deletion, Maildrop};
use crate::response::{Refused, Responses};
use crate::retrieve::Sending;
use crate::session::{State, Waiting};
use crate::terms::Terms;
use crate::update;

pub(crate) fn execute(
    mut maildrop: Maildrop,
    command: Command,
    terms: &mut Terms,
    responses: &mut Responses,
) -> (State, Option<Effect>) {
    match command {
        Command::Capa if Fault::CapaBeforeLoginOnly.is_on() => responses.err(Refused::WrongState),
        Command::Capa => capabilities::write(terms, Some(maildrop.policy()), responses),
        Command::Lang(range) => responses.language(range.as_deref()),
        Command::Noop => responses.ok(Text::Nothing),
        Command::Stat => {
            let (messages, octets) = maildrop.drop_listing();
            responses.ok_fields(format_args!("{messages} {octets}"));
        }
        Command::List(None) => {
            let (messages, octets) = maildrop.drop_listing();
            responses.ok(Text::Maildrop(messages, octets));
            return (State::Listing(maildrop, Listed::scan()), None);
        }
        Command::Uidl(None) => {
            responses.ok(Text::UniqueIds);
            return (State::Listing(maildrop, Listed::unique_ids()), None);
        }
        Command::List(Some(number)) => match maildrop.octets(number) {
            Ok(octets) => responses.ok_fields(format_args!("{number} {octets}")),
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Uidl(Some(number)) => match maildrop.octets(number) {
            Ok(_) => responses.ok_unique_id(number, &maildrop),
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Retrieve(number, what) => match maildrop.retrievable(number, terms.utf8) {
            Ok(octets) => {
                let sending = Sending::new(number, what, octets);
                return (State::Waiting(Waiting::Message(maildrop, sending)), Some(Effect::Retrieve { number, what }));
            }
            Err(refused) => responses.err(refused),
        },
        Command::Dele(_) if maildrop.policy().deletion == Deletion::Refused => responses.err(Refused::ReadOnly),
        Command::Dele(number) => match maildrop.mark(number) {
            Ok(()) => responses.ok(Text::Marked),
            Err(error) => responses.err(Refused::NoMessage(error)),
        },
        Command::Rset => {
            maildrop.unmark_all();
            let (messages, octets) = maildrop.drop_listing();
            responses.ok(Text::Maildrop(messages, octets));
        }
        Command::Quit => return update::quit(&maildrop, responses),
        // RFC 6856 section 2: only before login.
        Command::Utf8 if Fault::Utf8AfterLogin.is_on() => responses.ok(Text::Utf8On),
        Command::User(_)
        | Command::Pass(_)
        | Command::Apop { .. }
        | Command::Auth { .. }
        | Command::Stls
        | Command::Utf8 => responses.err(Refused::WrongState),
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
    pub(crate) fn go_on(mut self, maildrop: Maildrop, max_output: usize, responses: &mut Responses) -> State {
        while responses.out.len() < max_output {
            let Some((number, octets)) = maildrop.next_unmarked(self.next) else {
                if !Fault::ListingUnterminated.is_on() {
                    responses.end();
                }
                return maildrop.into();
            };
            self.next = number.index() + 1;
            let number = if Fault::Renumber.is_on() { maildrop.renumbered(number) } else { number };
            match self.what {
                What::Scan if Fault::WrongOctets.is_on() => responses.line(format_args!("{number} {}", octets.0 + 1)),
                What::Scan => responses.line(format_args!("{number} {octets}")),
                What::UniqueIds => responses.unique_id_line(number, &maildrop),
            }
        }
        State::Listing(maildrop, self)
    }
}
