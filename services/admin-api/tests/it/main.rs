//! The admin API as its clients see it: the whole router, over a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what is not there fails the test"
)]

mod conventions;
mod documents;
mod dry_run;
mod guide;
mod idempotency;
mod isolation;
mod lifecycle;
mod messages;
mod pages;
mod refusals;
mod server;
mod support;
mod undelete;
