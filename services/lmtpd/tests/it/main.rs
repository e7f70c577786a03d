//! The role against a real database, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code that is not inside a test function")]

mod counts;
mod delivery;
mod limits;
mod session;
mod support;
