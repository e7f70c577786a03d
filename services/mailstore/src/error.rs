//! What can go wrong with the mailstore, with a kind for metrics and whether trying again may help.

use std::io::ErrorKind;

use mail_types::{SegmentUuid, TenantId};

/// A failure of the mailstore. Its text is for the log; what a client is told is the drivers' business.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL.
    #[error(transparent)]
    Catalog(#[from] runtime::database::Error),
    /// The object store, after its retries.
    #[error("object store: {0}")]
    Store(#[source] object_store::Error),
    /// The object store has no space left; after its retries.
    #[error("object store: it is full: {0}")]
    StoreFull(#[source] object_store::Error),
    /// The object store did not answer in time.
    #[error("object store: no answer within {0:?}")]
    StoreDeadline(std::time::Duration),
    /// What was read is not what was written.
    #[error("segment {segment} at {offset}: {what}")]
    Damaged {
        /// Which object.
        segment: SegmentUuid,
        /// Where in it the frame begins.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A row holds a value that this program does not understand.
    #[error("inconsistent row in {table}: {what}")]
    Inconsistent {
        /// Of this table.
        table: &'static str,
        /// Which column and why.
        what: &'static str,
    },
    /// A key that a frame names is not there or does not open.
    #[error("tenant {tenant} has no usable key of version {version}")]
    NoKey {
        /// Whose.
        tenant: TenantId,
        /// Which.
        version: u32,
    },
    /// The tenant's key was erased, and its mail with it.
    #[error("the key of version {version} of tenant {tenant} was erased")]
    KeyErased {
        /// Whose.
        tenant: TenantId,
        /// Which.
        version: u32,
    },
    /// The master key that a tenant's key is wrapped by is not configured.
    #[error("master key {id} is not configured")]
    NoMasterKey {
        /// Which.
        id: String,
    },
    /// A segment was condemned before the catalog could be switched to it, or it is too late for that: nothing may name it.
    #[error("segment {segment} was condemned")]
    Condemned {
        /// Which.
        segment: SegmentUuid,
    },
    /// An exclusive session lost its lease, or its frontend could not beat: it may change nothing any more.
    #[error("the lease is lost")]
    LeaseLost,
    /// The object store's URL.
    #[error("object store URL: {0}")]
    Url(String),
}

impl Error {
    /// For metrics: a bounded set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Catalog(error) => error.kind(),
            Self::Store(object_store::Error::NotFound { .. }) => "not_found",
            Self::Store(_) => "store",
            Self::StoreFull(_) => "store_full",
            Self::StoreDeadline(_) => "store_deadline",
            Self::Damaged { .. } => "damaged",
            Self::Inconsistent { .. } => "inconsistent",
            Self::NoKey { .. } => "no_key",
            Self::KeyErased { .. } => "key_erased",
            Self::NoMasterKey { .. } => "no_master_key",
            Self::Condemned { .. } => "condemned",
            Self::LeaseLost => "lease_lost",
            Self::Url(_) => "url",
        }
    }

    /// Whether the object store has no such object.
    pub(crate) const fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }

    /// Whether the catalog refused with this SQLSTATE.
    pub(crate) fn has_sqlstate(&self, state: &str) -> bool {
        let Self::Catalog(runtime::database::Error::Fault(sqlx::Error::Database(error))) = self else { return false };
        error.code().is_some_and(|code| code == state)
    }

    /// Whether the same call may succeed in a moment.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Catalog(error) => error.is_temporary(),
            Self::Store(error) => !matches!(error, object_store::Error::NotFound { .. }),
            Self::StoreFull(_) | Self::StoreDeadline(_) => true,
            Self::Damaged { .. }
            | Self::Inconsistent { .. }
            | Self::NoKey { .. }
            | Self::KeyErased { .. }
            | Self::NoMasterKey { .. }
            | Self::Condemned { .. }
            | Self::LeaseLost
            | Self::Url(_) => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalog(error.into())
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        if is_full(&error) { Self::StoreFull(error) } else { Self::Store(error) }
    }
}

/// Whether the store said that it has no space: HTTP 507 (RFC 4918 section 11.5), or the file system's word for it. The client keeps the
/// type of its HTTP errors to itself, so that their text has to serve.
fn is_full(error: &object_store::Error) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.into_iter().any(|cause| match cause.downcast_ref::<std::io::Error>() {
        Some(io) => matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded),
        None => cause.source().is_none() && cause.to_string().contains("status code: 507 "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn kind(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> &'static str {
        let error = Error::from(object_store::Error::Generic { store: "test", source: source.into() });
        assert!(error.is_temporary());
        error.kind()
    }

    #[test]
    fn a_full_store_is_told_from_others() {
        assert_eq!(kind(std::io::Error::from(ErrorKind::StorageFull)), "store_full");
        assert_eq!(kind(std::io::Error::from(ErrorKind::QuotaExceeded)), "store_full");
        assert_eq!(kind(std::io::Error::from(ErrorKind::TimedOut)), "store");
        assert_eq!(kind("Server returned non-2xx status code: 507 Insufficient Storage: <Error/>"), "store_full");
        assert_eq!(kind("Server returned non-2xx status code: 500 Internal Server Error: 507 "), "store");
    }
}
