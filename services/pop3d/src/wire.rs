//! The connection, as a session uses it: writing, and taking what the client sends meanwhile.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf as _;
use net::{
    Stream,
    tls::{ServerTls, TlsFacts},
};
use pop3_proto::Session;
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf},
    time::timeout,
};

use crate::{ended::Ended, metrics};

/// Octets read at a time. The buffer lives on the stack of the thread that polls, not in the session.
const READ_OCTETS: usize = 4096;
/// How long a client whose session has ended has to take the last response.
const LINGER: Duration = Duration::from_secs(2);

/// A connection to a client.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// How long the client may take nothing of what it is sent.
    patience: Duration,
    /// The client has sent all that it will; it may still read.
    half_closed: bool,
    /// Something came since [`Wire::take_news`].
    news: bool,
    /// Octets written.
    sent: u64,
}

impl Wire {
    pub(crate) fn new(stream: Stream, patience: Duration) -> Self {
        Self { stream, patience, half_closed: false, news: false, sent: 0 }
    }

    /// The same connection under TLS.
    pub(crate) async fn into_tls(self, tls: &ServerTls) -> Result<Self, Ended> {
        match self.stream.into_tls(tls).await {
            Ok(stream) => Ok(Self { stream, ..self }),
            Err(error) => {
                tracing::debug!(%error, "no TLS handshake");
                Err(Ended::Handshake)
            }
        }
    }

    /// What is known of the connection under TLS that this accepted.
    pub(crate) fn tls_facts(&self, tls: &ServerTls) -> Option<TlsFacts> {
        tls.facts(&self.stream)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether nothing more will come.
    pub(crate) fn half_closed(&self) -> bool {
        self.half_closed
    }

    /// Whether something came since the last call. What came while output was written has to be looked at before waiting for
    /// more.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Waits for something from the client, or its end.
    pub(crate) async fn read(&mut self, session: &mut Session) -> Result<(), Ended> {
        std::future::poll_fn(|cx| match self.receive(session, cx) {
            Ok(()) if self.take_news() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(Ended::lost(&error))),
        })
        .await
    }

    /// Writes output until at most `left` octets of it are left, with `left` 0 all of it. What the client sends meanwhile
    /// is taken as far as there is room: were it not, two sides that only write would wait for each other for ever.
    pub(crate) async fn write(&mut self, session: &mut Session, left: usize) -> Result<(), Ended> {
        let patience = self.patience;
        loop {
            let done = session.output().len() <= left;
            if done && left > 0 {
                return Ok(());
            }
            let sent = std::future::poll_fn(|cx| {
                self.receive(session, cx)?;
                self.send(session, cx)
            });
            match timeout(patience, sent).await {
                Ok(Ok(())) if done => return Ok(()),
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Ended::lost(&error)),
                Err(_) => return Err(Ended::NotReading),
            }
        }
    }

    /// Waits for something else, and meanwhile writes output and takes input.
    pub(crate) async fn meanwhile<F: Future>(&mut self, session: &mut Session, other: F) -> Result<F::Output, Ended> {
        let mut other = pin!(other);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = other.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match self.exchange(session, cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(Ended::lost(&error))),
            }
        })
        .await
    }

    /// Closes our side and waits for the client's: closing both with input unread would reset the connection, and the last
    /// response with it.
    pub(crate) async fn close(mut self) {
        let closed = async {
            self.stream.shutdown().await?;
            let mut unread = [0; 512];
            while self.stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        drop(timeout(LINGER, closed).await);
    }

    /// Writes and takes as much as goes without waiting.
    fn exchange(&mut self, session: &mut Session, cx: &mut Context<'_>) -> io::Result<()> {
        self.receive(session, cx)?;
        loop {
            let flushing = !session.has_output();
            match self.send(session, cx) {
                Poll::Ready(Ok(())) if flushing => return Ok(()),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Takes what the client has sent, as far as there is room.
    fn receive(&mut self, session: &mut Session, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.half_closed {
            let mut octets = [0; READ_OCTETS];
            let Some(room) = octets.get_mut(..session.input_room().min(READ_OCTETS)).filter(|room| !room.is_empty())
            else {
                break;
            };
            let mut buffer = ReadBuf::new(room);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(read) => read?,
            }
            self.news = true;
            match buffer.filled() {
                [] => self.half_closed = true,
                filled => session.input(filled),
            }
        }
        Ok(())
    }

    /// Writes some output; without any, sees to it that what TLS holds is written.
    fn send(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = Pin::new(&mut self.stream);
        let output = session.output();
        if output.is_empty() {
            return stream.poll_flush(cx);
        }
        let written = ready!(stream.poll_write(cx, output))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        output.advance(written);
        self.sent += written as u64;
        metrics::SENT_OCTETS.inc_by(written as u64);
        Poll::Ready(Ok(()))
    }
}
