//! Sending a message: in bounded memory, reading on from the store while the client takes what is there.

use mail_types::{MessageNumber, Octets};
use mailstore::{BodyReader, Part};
use pop3_proto::{BodyFlow, Failure, Fault, LeadingDots, Retrieval, Session};

use crate::{Shared, ended::Ended, login::LoggedIn, metrics, wire::Wire};

/// Octets handed to the session at a time, which bounds by how much the output passes its limit.
const PIECE: usize = 32 * 1024;

/// What came of RETR or TOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retrieved {
    /// It is in the output, or already with the client; the octets of the message.
    Sent(Octets),
    /// The client was told that it cannot be read.
    Refused,
}

/// Answers RETR and TOP. A message that turns out to be unreadable in its middle ends the session, because POP3 has no way to
/// say so; the client sees that it is incomplete.
pub(crate) async fn retrieve(
    shared: &Shared,
    logged_in: &mut LoggedIn,
    wire: &mut Wire,
    session: &mut Session,
    number: MessageNumber,
    what: Retrieval,
) -> Result<Retrieved, Ended> {
    let Some(message) = logged_in.seen.message(number.index()) else {
        session.retrieve_failed(Failure::Permanent);
        return Ok(Retrieved::Refused);
    };
    // With this much output no more is read from the store until the client has taken most of it.
    let most = shared.config.max_unread_octets;
    let part = match what {
        Retrieval::Top(0) if !Fault::TopZeroIsWhole.is_on() => Part::Head,
        Retrieval::Top(_) => Part::Lines,
        Retrieval::Whole => Part::Whole,
    };
    let (octets, may_need_stuffing) = (message.octets, message.may_need_stuffing());
    // The first piece is read before anything is promised: a message that cannot be read is then an -ERR, not an end.
    let opened = async {
        let Some(opened) = logged_in.reader.open(number.index(), part).await else { return Ok(None) };
        let mut reader = opened?;
        let first = reader.next().await?;
        Ok::<_, mailstore::Error>(Some((reader, first)))
    };
    let (mut reader, mut piece) = match wire.meanwhile(session, opened).await? {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            session.retrieve_failed(Failure::Permanent);
            return Ok(Retrieved::Refused);
        }
        Err(error) => {
            failed(logged_in, &error);
            session.retrieve_failed(if error.is_temporary() { Failure::Temporary } else { Failure::Permanent });
            return Ok(Retrieved::Refused);
        }
    };
    session.body_begin(if may_need_stuffing { LeadingDots::Possible } else { LeadingDots::None });
    while let Some(read) = piece {
        for some in read.chunks(PIECE) {
            if session.body(some) == BodyFlow::Enough {
                session.body_end();
                return Ok(Retrieved::Sent(octets));
            }
            if session.output().len() >= most {
                metrics::OUTPUT_FULL.inc();
                wire.write(session, most / 4).await?;
            }
        }
        piece = next(logged_in, wire, session, &mut reader).await?;
    }
    session.body_end();
    Ok(Retrieved::Sent(octets))
}

async fn next(
    logged_in: &LoggedIn,
    wire: &mut Wire,
    session: &mut Session,
    reader: &mut BodyReader,
) -> Result<Option<bytes::Bytes>, Ended> {
    wire.meanwhile(session, reader.next()).await?.map_err(|error| {
        failed(logged_in, &error);
        Ended::Unreadable
    })
}

fn failed(logged_in: &LoggedIn, error: &mailstore::Error) {
    let (tenant, account) = (logged_in.login.tenant, logged_in.login.account);
    tracing::warn!(%tenant, %account, kind = error.kind(), %error, "a message cannot be read");
}
