//! Sockets: where a role listens ([`Endpoint`], [`Listener`]), what it gets for each connection ([`Stream`], [`Peer`]), how
//! many it takes ([`Limits`]), whose they are where a load balancer says so ([`proxy`]), and [`tls`]; and the one way out to
//! addresses that tenants choose ([`egress`]).
//!
//! A listener accepts at once and decides then: over a limit the peer gets the protocol's own refusal and is closed, so that
//! nobody waits in the kernel's queue without knowing why.

pub mod client;
pub mod egress;
mod endpoint;
mod limits;
mod listen;
mod listener;
mod proxied;
pub mod proxy;
mod stream;
pub mod tls;

pub use endpoint::{Endpoint, EndpointError};
pub use limits::Limits;
pub use listen::Listen;
pub use listener::Listener;
pub use proxied::ProxySettings;
pub use stream::{Peer, Socket, Stream};
