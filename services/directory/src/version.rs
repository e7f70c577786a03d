//! Optimistic locking: every thing that is changed in place has a version, which the API shows as its `ETag`.

use crate::{Error, Result};

/// What the caller wants the thing's version to be before it is changed (`If-Match`, RFC 9110 section 13.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Any version will do.
    #[default]
    None,
    /// One of these.
    OneOf(Vec<i64>),
}

impl Precondition {
    /// Refuses a version that the caller did not name.
    pub(crate) fn check(&self, version: i64) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::OneOf(versions) if versions.contains(&version) => Ok(()),
            Self::OneOf(_) => Err(Error::VersionMismatch),
        }
    }
}
