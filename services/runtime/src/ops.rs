//! The HTTP side for operators: `/metrics` for Prometheus, `/healthz` (the process runs), `/readyz` (it can serve: its
//! database and store answer and it is not draining). It tells no secrets, but belongs on an internal address.

use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use prometheus::TextEncoder;
use tokio::net::TcpListener;

use crate::shutdown::Shutdown;

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What must answer before this process is ready.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: BTreeMap<&'static str, Check>,
    notices: BTreeMap<&'static str, Check>,
}

impl Readiness {
    /// Nothing to check: ready as long as it does not drain.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check: a name (`database`, `store`) and what asks it. A failure's text goes to the log only.
    #[must_use]
    pub fn check<F, Fut, E>(mut self, name: &'static str, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.checks
            .insert(name, Arc::new(move || ask().map(|answer| answer.map_err(|error| error.to_string())).boxed()));
        self
    }

    /// Adds what an operator has to know although the process can serve: its failure is told, and logged, and does not make it
    /// unready. The answer has `attention` for it.
    #[must_use]
    pub fn notice<F, Fut, E>(mut self, name: &'static str, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.notices
            .insert(name, Arc::new(move || ask().map(|answer| answer.map_err(|error| error.to_string())).boxed()));
        self
    }

    /// Asks for all notices at once.
    async fn notices(&self) -> BTreeMap<&'static str, &'static str> {
        let asked = self.notices.iter().map(|(&name, notice)| async move {
            match tokio::time::timeout(CHECK_TIMEOUT, notice()).await {
                Ok(Err(reason)) => {
                    tracing::warn!(notice = name, reason, "attention is needed");
                    (name, "attention")
                }
                // A database that does not answer is told by its check.
                Ok(Ok(())) | Err(_) => (name, "ok"),
            }
        });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }

    /// Asks all at once; the answer has `ok` or `failed` for each name.
    pub async fn ask(&self) -> BTreeMap<&'static str, &'static str> {
        let asked = self.checks.iter().map(|(&name, check)| {
            let answer = tokio::time::timeout(CHECK_TIMEOUT, check());
            async move {
                let reason = match answer.await {
                    Ok(Ok(())) => return (name, "ok"),
                    Ok(Err(reason)) => reason,
                    Err(_) => "no answer in time".to_owned(),
                };
                tracing::warn!(check = name, reason, "not ready");
                (name, "failed")
            }
        });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }
}

/// Serves until the deadline: while the process drains, the balancer has to be told that it is not ready.
pub async fn serve(listener: TcpListener, readiness: Readiness, shutdown: Shutdown) -> std::io::Result<()> {
    let stopped = shutdown.clone();
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state((readiness, shutdown));
    // Not graceful: these requests are short, and a scraper that keeps its connection must not hold the end up.
    tokio::select! {
        ended = axum::serve(listener, router) => ended,
        () = stopped.deadline() => Ok(()),
    }
}

async fn metrics() -> Response {
    match TextEncoder::new().encode_to_string(&prometheus::gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State((readiness, shutdown)): State<(Readiness, Shutdown)>) -> Response {
    let (checks, notices) = tokio::join!(readiness.ask(), readiness.notices());
    let draining = shutdown.is_draining();
    let ready = !draining && checks.values().all(|&answer| answer == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": ready, "draining": draining, "checks": checks, "notices": notices })))
        .into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn get_path(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn ready_means_that_every_check_answers_and_nothing_drains() {
        let failing = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&failing);
        let readiness =
            Readiness::new().check("database", || async { Ok::<(), String>(()) }).check("store", move || {
                let failed = flag.load(std::sync::atomic::Ordering::Relaxed);
                async move { if failed { Err("secret place") } else { Ok(()) } }
            });
        let readiness = readiness.notice("catalog", || async { Err::<(), _>("restored") });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let served = tokio::spawn(serve(listener, readiness, shutdown.clone()));

        assert!(get_path(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get_path(address, "/metrics").await.contains("process_"));
        let answer = get_path(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""catalog":"attention""#), "{answer}");
        failing.store(true, std::sync::atomic::Ordering::Relaxed);
        let answer = get_path(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""store":"failed""#), "{answer}");
        assert!(!answer.contains("secret place"), "{answer}");
        failing.store(false, std::sync::atomic::Ordering::Relaxed);
        shutdown.begin_drain();
        assert!(get_path(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(get_path(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        shutdown.stop();
        served.await.unwrap().unwrap();
    }
}
