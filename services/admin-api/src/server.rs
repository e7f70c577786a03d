//! From sockets to the router: `net`'s listener takes the connections and bounds them, axum speaks HTTP on them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;
use net::{Listener, Peer, Stream};
use runtime::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use crate::AppState;

/// What a connection over the limit is told.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves the API on these listeners until the process drains; requests under way are finished, up to the deadline.
pub async fn serve(listeners: Vec<Listener>, state: AppState, shutdown: Shutdown) -> io::Result<()> {
    let limits = state.config.limits;
    let patience = Duration::from_millis(state.config.idle_timeout_ms);
    let router = crate::router(state).layer(axum::middleware::from_fn(remember_peer));
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        servers.spawn(async move {
            let (send, receive) = mpsc::channel(1);
            let accepting = listener.serve(limits, REFUSAL, &shutdown, |stream, peer| {
                let send = send.clone();
                async move {
                    let (done, ended) = oneshot::channel::<()>();
                    if send.send((Connection::new(stream, patience, done), peer)).await.is_ok() {
                        // Resolves when axum drops the connection: only then is its place in the limits free.
                        drop(ended.await);
                    }
                }
            });
            tokio::select! {
                () = accepting => Ok(()),
                ended = speak(Connections(receive), router, &shutdown) => ended,
            }
        });
    }
    while let Some(ended) = servers.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}

async fn speak(connections: Connections, router: Router, shutdown: &Shutdown) -> io::Result<()> {
    let draining = shutdown.clone();
    let service = router.into_make_service_with_connect_info::<Remote>();
    axum::serve(connections, service).with_graceful_shutdown(async move { draining.draining().await }).await
}

/// Puts the peer where handlers look for it.
async fn remember_peer(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(Remote(peer))) = request.extensions().get::<ConnectInfo<Remote>>().copied() {
        request.extensions_mut().insert(peer);
    }
    next.run(request).await
}

/// Who is at the other end, in axum's terms.
#[derive(Debug, Clone, Copy)]
struct Remote(Peer);

impl Connected<IncomingStream<'_, Connections>> for Remote {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The connections that the listener took.
struct Connections(mpsc::Receiver<(Connection, Peer)>);

impl axum::serve::Listener for Connections {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        match self.0.recv().await {
            Some(taken) => taken,
            // The listener is gone: the process drains, and axum stops by its own signal.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: None, unix: false })
    }
}

/// One connection; dropping it frees its place. One that is silent for too long is ended: axum itself would wait for ever for
/// the rest of a request.
struct Connection {
    stream: Stream,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
    _done: oneshot::Sender<()>,
}

impl Connection {
    fn new(stream: Stream, patience: Duration, done: oneshot::Sender<()>) -> Self {
        Self { stream, patience, silence: Box::pin(tokio::time::sleep(patience)), _done: done }
    }

    fn heard(&mut self) {
        let end = Instant::now() + self.patience;
        self.silence.as_mut().reset(end);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.heard();
            return Poll::Ready(read);
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, octets));
        self.heard();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        self.heard();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
