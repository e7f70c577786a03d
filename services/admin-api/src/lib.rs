//! The admin API: `/v1`, JSON, described by an OpenAPI 3.1 document that is generated from this code.
//!
//! Everything that is refused is a problem (RFC 9457) with a stable `type`; what a tenant's key does not reach is not found,
//! exactly as what does not exist. The rules of the API as a whole are in the document's own description ([`openapi`]).
//!
//! One file per noun under `v1`; what they share: [`Config`], the caller (`caller.rs`), reading bodies with every fault named
//! (`fields.rs`), answers (`answer.rs`), `Idempotency-Key` (`once.rs`).

mod answer;
pub mod bodies;
mod caller;
mod clients;
mod config;
mod console;
mod cookies;
mod dns;
mod exports;
mod extract;
mod fields;
mod guard;
mod headers;
mod issuers;
mod observe;
mod once;
mod openapi;
mod orders;
mod permissions;
mod policies;
mod problem;
mod publish;
mod quotas;
mod rate;
mod server;
mod tar;
mod transport;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use directory::Directory;
use mail_types::{Clock, Random};
use mailstore::Mailstore;
use net::egress::Egress;
use utoipa_swagger_ui::SwaggerUi;

use crate::guard::Guard;

pub use config::{Config, ExportsConfig, ImportsConfig, Origin};
pub use console::{Console, ConsoleFile};
pub use issuers::Issuers;
pub use openapi::document as openapi;
pub use publish::Publish;
pub use rate::RateLimitSettings;
pub use server::serve;

/// What every request works with.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Under the role admin.
    pub directory: Directory,
    /// Under the role admin.
    pub mailstore: Mailstore,
    /// Bounds.
    pub config: Arc<Config>,
    /// The way to the DNS and to what tenants choose.
    pub egress: Egress,
    /// What tenants are told to publish, and mail clients to connect to.
    pub publish: Arc<Publish>,
    /// What browsers are shown.
    pub console: Console,
    /// This host's name, as `Received` lines show it.
    pub host: Arc<str>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for request ids.
    pub random: Arc<dyn Random>,
}

/// The whole service: the API, its document, the page that shows it, and the console.
pub fn router(state: AppState) -> Router {
    let (api, document) = v1::router().split_for_parts();
    let document = openapi::complete(document);
    let guard = Guard::new(state.clone(), &document);
    let docs = SwaggerUi::new("/docs").external_url_unchecked("/v1/openapi.json", openapi::finished(&document));
    let exports = exports::Exports::new(&state.config.exports);
    let served = api
        .layer(axum::Extension(exports))
        .route_layer(axum::middleware::from_fn_with_state(guard, guard::guard))
        .with_state(state.clone())
        .merge(docs)
        .merge(clients::router(state.clone()))
        .route("/problems/{code}", get(problem::explain))
        .fallback_service(any(console::serve).with_state(state.clone()))
        .layer(transport::compression())
        .layer(transport::cors(&state.config))
        .layer(axum::middleware::from_fn_with_state(state, observe::observe));
    // Before the routes are looked at, hence around them.
    Router::new().fallback_service(served).layer(axum::middleware::map_request(clients::in_lower_case))
}
