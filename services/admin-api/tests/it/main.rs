//! The admin API as its clients see it: the whole router, over a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: what is not there fails the test"
)]

mod audit;
mod clients;
mod console;
mod conventions;
mod cookies;
mod deletion;
mod desk;
mod documents;
mod domains;
mod dry_run;
mod export;
mod guide;
mod idempotency;
mod identity;
mod imports;
mod isolation;
mod lifecycle;
mod messages;
mod oidc;
mod orders;
mod overview;
mod pages;
mod refusals;
mod server;
mod support;
mod undelete;
mod usage;
mod webhooks;
