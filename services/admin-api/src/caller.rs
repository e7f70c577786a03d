//! Who asks: the bearer token of a request (RFC 6750). The guard proves it, once; handlers take what it found.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use directory::SignInFrom;
use mail_types::Secret;
use net::Peer;
use uuid::Uuid;

use crate::AppState;
use crate::observe::RequestId;
use crate::problem::{Kind, Problem};

/// The longest name of a client that is kept, in characters.
const MAX_CLIENT: usize = 200;

/// A request's proved caller, as the guard left it.
pub(crate) struct Caller(pub(crate) directory::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<directory::Caller>().cloned();
        caller.map(Self).ok_or_else(|| Problem::new(Kind::Unauthorized))
    }
}

/// Where a request comes from, for those that prove themselves.
pub(crate) struct Origin(pub(crate) SignInFrom);

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let client = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let printable = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_CLIENT).collect();
        Ok(Self(SignInFrom { peer: peer(parts), client: client.map(printable), request: request_id(parts) }))
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().and_then(|peer| peer.address)
}

fn request_id(parts: &Parts) -> Uuid {
    parts.extensions.get::<RequestId>().map_or(Uuid::nil(), |id| id.0)
}

/// Who the token of a request belongs to. Whatever is wrong with it, the answer is the same.
pub(crate) async fn prove(parts: &Parts, state: &AppState) -> Result<directory::Caller, Problem> {
    let refused = || Problem::new(Kind::Unauthorized);
    let token = bearer_token(parts).ok_or_else(refused)?;
    state.directory.authenticate(&token, peer(parts), request_id(parts)).await?.ok_or_else(refused)
}

fn bearer_token(parts: &Parts) -> Option<Secret> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::from(token.trim()))
}
