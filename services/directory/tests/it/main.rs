//! The directory against a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "helpers of tests: what is not there fails the test")]

mod admin;
mod isolation;
mod login;
mod resolve;
mod support;
