//! The directory against a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: what is not there fails the test"
)]

mod admin;
mod admins;
mod desk;
mod external;
mod housekeeping;
mod isolation;
mod jobs;
mod keys;
mod login;
mod master_keys;
mod mechanisms;
mod overview;
mod passwords;
mod resolve;
mod support;
mod tokens;
mod totp;
