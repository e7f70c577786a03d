//! What every role starts with: [`config`] (one TOML file, every key also from the environment), [`keys`], [`telemetry`],
//! [`shutdown`], the [`database`] pool under the role's own database role, and [`ops`], the HTTP side that operators look at.
//!
//! Metrics live in `prometheus::default_registry()`: each crate registers its own in `LazyLock` statics, with names by the
//! conventions of Prometheus and the prefix `restante_`.

pub mod config;
pub mod database;
pub mod fail_point;
pub mod keys;
pub mod ops;
pub mod shutdown;
pub mod telemetry;
