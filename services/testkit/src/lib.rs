//! For tests only: a fresh [`database`] for each test, time that is moved by hand, randomness with a seed, and an object store
//! that fails on command.

mod clock;
mod database;
mod random;
mod store;

pub use clock::FakeClock;
pub use database::{TestDatabase, database};
pub use random::SeededRandom;
pub use store::{Fault, FaultyStore, Operation};
