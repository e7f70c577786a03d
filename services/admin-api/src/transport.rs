//! What lies between the API and a client of it: compression, and which web pages may ask.

use std::time::Duration;

use axum::http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, Version, header};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::cors::CorsLayer;

use crate::Config;
use crate::extract::IDEMPOTENCY_KEY;
use crate::rate::{RATE_LIMIT, RATE_LIMIT_POLICY};

/// Below this many octets an answer is as short as it gets.
const WORTH_IT: u64 = 1024;

/// What is compressed, with gzip. Only answers to GET are (`observe.rs` takes `Accept-Encoding` off other requests): secrets are
/// only in answers to changes, so none is ever compressed beside text that somebody else chose (BREACH). Nor is what has an `ETag`: it
/// is small, and the tag would name another sequence of octets.
pub(crate) fn compression() -> CompressionLayer<impl Predicate> {
    let kind = |_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions| {
        let text = |media_type: &str| {
            media_type.starts_with("application/json")
                || media_type.starts_with("application/x-ndjson")
                || media_type.starts_with("application/javascript")
                || (media_type.starts_with("text/") && !media_type.starts_with("text/event-stream"))
        };
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        media_type.is_some_and(text) && !headers.contains_key(header::ETAG)
    };
    CompressionLayer::new().compress_when(SizeAbove::new(WORTH_IT).and(kind))
}

/// Web pages of the configured origins may ask; without any the layer says nothing, and browsers refuse all others.
pub(crate) fn cors(config: &Config) -> CorsLayer {
    if config.cors_origins.is_empty() {
        return CorsLayer::new().vary([]);
    }
    let header = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(config.cors_origins.iter().map(|origin| origin.0.clone()).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header(IDEMPOTENCY_KEY)])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            header("dry-run"),
            header("idempotency-replayed"),
            header("x-request-id"),
        ])
        .max_age(Duration::from_secs(3600))
}
