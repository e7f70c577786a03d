//! For tests only: a fresh [`database`] for each test, time that is moved by hand, randomness with a seed, an object store
//! that fails on command, and a name server.

mod clock;
mod database;
mod dns;
mod random;
mod store;

pub use clock::FakeClock;
pub use database::{TestDatabase, database};
pub use dns::{Data, Failure, NameServer};
pub use random::SeededRandom;
pub use store::{Fault, FaultyStore, Operation};
