//! Sockets: where a role listens ([`Endpoint`], [`Listener`]), what it gets for each connection ([`Stream`], [`Peer`]), how
//! many it takes ([`Limits`]), and [`tls`]; and the one way out to addresses that tenants choose ([`egress`]).
//!
//! A listener accepts at once and decides then: over a limit the peer gets the protocol's own refusal and is closed, so that
//! nobody waits in the kernel's queue without knowing why.

pub mod client;
pub mod egress;
mod endpoint;
mod limits;
mod listener;
mod stream;
pub mod tls;

pub use endpoint::{Endpoint, EndpointError};
pub use limits::Limits;
pub use listener::Listener;
pub use stream::{Peer, Socket, Stream};
