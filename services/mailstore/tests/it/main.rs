//! The mailstore on a real PostgreSQL, over a local directory behind a store that fails on command.

#![expect(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod delivery;
mod expunge;
mod grants;
mod import;
mod lease;
mod read;
mod storm;
mod world;
