//! One connection: writes what the session puts out, feeds it what the peer sends, and does what it asks for.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use directory::Resolution;
use lmtp_proto::{Abort, Effect, NOT_A_PEER, Next, RecipientReply, Refusal, Security, Session};
use mail_types::{Address, SessionUuid};
use mailstore::{Recipient, Target};
use net::{Listen, Peer, Stream};
use runtime::shutdown::Shutdown;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    Shared, config, metrics,
    transaction::{Origin, Transaction, label},
};

/// Octets read at a time: the most that a session holds of what it has not yet used.
const READ_OCTETS: usize = 32 * 1024;
/// How long a peer whose session has ended has to take the last reply.
const LINGER: Duration = Duration::from_secs(2);

/// Serves one connection to its end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listen: Arc<Listen>,
    mut stream: Stream,
    peer: Peer,
    shutdown: Shutdown,
) {
    if !config::admits(&listen, &shared.config.peers, &peer) {
        metrics::SESSIONS.with_label_values(&["not_a_peer"]).inc();
        tracing::warn!(peer = ?peer.address, "a connection from none of lmtp.peers was refused");
        drop(timeout(LINGER, stream.write_all(NOT_A_PEER)).await);
        close(&mut stream).await;
        return;
    }
    metrics::SESSIONS.with_label_values(&["served"]).inc();
    let id = SessionUuid::new(&*shared.random);
    let mut connection = Connection { shared, peer, shutdown, id, transactions: 0, transaction: None };
    let ended = connection.run(stream).await;
    if let Some(transaction) = connection.transaction {
        transaction.abandoned("connection_lost");
    }
    match ended {
        Ok(()) => tracing::debug!(session = %id, transactions = connection.transactions, "session ended"),
        Err(error) => {
            tracing::debug!(session = %id, transactions = connection.transactions, %error, "connection lost");
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    peer: Peer,
    shutdown: Shutdown,
    id: SessionUuid,
    /// Bodies that have begun.
    transactions: u32,
    /// The one whose body is arriving.
    transaction: Option<Transaction>,
}

impl Connection {
    async fn run(&mut self, mut stream: Stream) -> io::Result<()> {
        let security = Security::Plain { starttls: self.shared.tls.is_some() };
        let mut session = Session::new(self.shared.protocol.clone(), security);
        let mut input = BytesMut::with_capacity(READ_OCTETS);
        let mut told_to_drain = false;
        loop {
            match session.next() {
                Next::Flush => self.flush(&mut stream, &mut session).await?,
                Next::Close => {
                    self.flush(&mut stream, &mut session).await?;
                    close(&mut stream).await;
                    return Ok(());
                }
                Next::NeedInput => {
                    self.flush(&mut stream, &mut session).await?;
                    input.clear();
                    let read = tokio::select! {
                        biased;
                        () = self.shutdown.draining(), if !told_to_drain => {
                            told_to_drain = true;
                            session.drain();
                            continue;
                        }
                        read = timeout(self.shared.config.idle(), stream.read_buf(&mut input)) => read,
                    };
                    match read {
                        Err(_) => session.idle_expired(),
                        Ok(Ok(0)) => return Ok(()),
                        Ok(Ok(_)) => session.input(&input),
                        Ok(Err(error)) => return Err(error),
                    }
                }
                Next::Effect(Effect::StartTls) => {
                    self.flush(&mut stream, &mut session).await?;
                    let Some(tls) = &self.shared.tls else { return Ok(()) };
                    // Whatever was read in the clear goes with the session that read it.
                    session = Session::after_starttls(self.shared.protocol.clone());
                    input.clear();
                    stream = stream.into_tls(tls).await?;
                }
                Next::Effect(effect) => self.perform(effect, &mut session, stream.is_tls()).await,
            }
        }
    }

    async fn perform(&mut self, effect: Effect<Recipient>, session: &mut Session<Recipient>, tls: bool) {
        match effect {
            Effect::Recipient { address, given, declared_octets } => {
                let answer = self.resolve(&address, given, declared_octets).await;
                let result = match &answer {
                    RecipientReply::Accepted(_) => "accepted",
                    RecipientReply::Refused(refusal) => {
                        self.shared.report.refused(address.domain.as_str(), self.shared.clock.now());
                        label(*refusal)
                    }
                };
                metrics::RECIPIENTS.with_label_values(&[result]).inc();
                tracing::debug!(session = %self.id, result, "recipient");
                session.recipient(answer);
            }
            Effect::BodyBegin(envelope) => {
                self.transactions += 1;
                let id = format!("{}.{}", self.id, self.transactions);
                let origin = Origin { peer: self.peer.address, protocol: if tls { "LMTPS" } else { "LMTP" } };
                self.transaction = Some(Transaction::begin(&self.shared, id, origin, envelope));
            }
            Effect::Body(piece) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.write(&piece).await;
                }
            }
            Effect::BodyEnd => {
                let answers = match self.transaction.take() {
                    Some(transaction) => transaction.deliver(&self.shared).await,
                    None => Vec::new(),
                };
                session.delivered(&answers);
            }
            Effect::BodyAbort(why) => {
                if let Some(transaction) = self.transaction.take() {
                    transaction.abandoned(match why {
                        Abort::TooLarge => "too_large",
                        Abort::Reset => "reset",
                    });
                }
            }
            Effect::StartTls => {}
        }
    }

    async fn resolve(
        &self,
        address: &Address,
        given: String,
        declared_octets: Option<u64>,
    ) -> RecipientReply<Recipient> {
        let refusal = match self.shared.directory.resolve(address, declared_octets).await {
            Ok(Resolution::Known(targets)) => {
                let targets =
                    targets.into_iter().map(|target| Target { tenant: target.tenant, account: target.account });
                return RecipientReply::Accepted(Recipient { given, targets: targets.collect() });
            }
            Ok(Resolution::Unknown) => Refusal::Unknown,
            Ok(Resolution::OverQuota { defer: false }) => Refusal::OverQuota,
            Ok(Resolution::OverQuota { defer: true }) => Refusal::OverQuotaDeferred,
            Ok(Resolution::Suspended) => Refusal::Suspended,
            Ok(Resolution::TooFast) => Refusal::TooFast,
            Err(error) => {
                tracing::warn!(session = %self.id, kind = error.kind(), %error, "a recipient cannot be resolved");
                Refusal::Unavailable
            }
        };
        RecipientReply::Refused(refusal)
    }

    /// Writes everything that waits. A peer that does not read has as long as one that does not speak.
    async fn flush(&self, stream: &mut Stream, session: &mut Session<Recipient>) -> io::Result<()> {
        let output = session.output();
        if output.is_empty() {
            return Ok(());
        }
        let written = async {
            stream.write_all(output).await?;
            stream.flush().await
        };
        timeout(self.shared.config.idle(), written)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"))??;
        output.clear();
        Ok(())
    }
}

/// Closes our side and waits for the peer's: closing both with input unread would reset the connection, and the last reply with it.
async fn close(stream: &mut Stream) {
    let closed = async {
        stream.shutdown().await?;
        let mut unread = [0; 512];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    drop(timeout(LINGER, closed).await);
}
