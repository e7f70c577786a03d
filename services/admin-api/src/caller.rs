//! Who asks: the bearer token of a request (RFC 6750). The guard proves it, once; handlers take what it found.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use mail_types::Secret;
use net::Peer;
use uuid::Uuid;

use crate::AppState;
use crate::observe::RequestId;
use crate::problem::{Kind, Problem};

/// A request's proved caller, as the guard left it.
pub(crate) struct Caller(pub(crate) directory::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<directory::Caller>().cloned();
        caller.map(Self).ok_or_else(|| Problem::new(Kind::Unauthorized))
    }
}

/// Who the token of a request belongs to. Whatever is wrong with it, the answer is the same.
pub(crate) async fn prove(parts: &Parts, state: &AppState) -> Result<directory::Caller, Problem> {
    let refused = || Problem::new(Kind::Unauthorized);
    let token = bearer_token(parts).ok_or_else(refused)?;
    let request = parts.extensions.get::<RequestId>().map_or(Uuid::nil(), |id| id.0);
    let peer = parts.extensions.get::<Peer>().and_then(|peer| peer.address);
    state.directory.authenticate(&token, peer, request).await?.ok_or_else(refused)
}

fn bearer_token(parts: &Parts) -> Option<Secret> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::from(token.trim()))
}
