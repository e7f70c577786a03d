//! The role against a real database and a real store, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code that is not inside a test function")]

mod desk;
mod failure;
mod leases;
mod limits;
mod login;
mod maildrop;
mod mechanisms;
mod patience;
mod refusal;
mod support;
mod views;
