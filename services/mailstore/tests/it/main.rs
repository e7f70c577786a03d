//! The mailstore on a real PostgreSQL, over a local directory behind a store that fails on command.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it did not expect has failed"
)]

mod check;
mod compact;
mod crash;
mod delivery;
mod expire;
mod expunge;
mod grants;
mod import;
mod kept;
mod keys;
mod lease;
mod meta;
mod model;
mod process;
mod read;
mod reconcile;
mod recover;
mod restore;
mod storm;
mod world;
