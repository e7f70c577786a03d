//! The headers that every answer has, whatever it is: what a browser may do with it, and with what pages.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::Config;
use crate::console::PagePolicy;

/// The page of the document: its own scripts and styles, and nothing from elsewhere. Swagger UI writes styles into elements, and
/// has its pictures as `data:`.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Everything else is no page at all.
const NO_PAGE: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What does not depend on the answer. `Cross-Origin-Resource-Policy` concerns what pages embed; who may read an answer by script is
/// CORS's to say.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
];

/// Writes them; `route` is the pattern of the path, `own` what the answer says itself.
pub(crate) fn secure(headers: &mut HeaderMap, route: &str, own: Option<PagePolicy>, config: &Config) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let page = route == "/docs" || route.starts_with("/docs/");
    let policy = own.map(|PagePolicy(policy)| policy);
    let policy = policy.unwrap_or(HeaderValue::from_static(if page { PAGE } else { NO_PAGE }));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if config.hsts_seconds > 0
        && let Ok(value) = HeaderValue::from_str(&format!("max-age={}", config.hsts_seconds))
    {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}
