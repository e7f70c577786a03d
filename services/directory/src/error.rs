//! What can go wrong. A wrong password, an unknown recipient and the like are outcomes of their calls, not errors; an [`Error`]
//! is either a refusal of an administrator's request, which names the field and the rule, or trouble of our own, whose cause
//! is for the log alone.

use std::fmt;

/// The result of a call of the directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a field of a request was refused: the rule in the API's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field, from the body's root: `/targets/0`.
    pub pointer: String,
    /// Stable and machine-readable: `not_found`, `too_long`.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl FieldError {
    /// One error of one field.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why a call of the directory failed. Its text holds no secret and no row's content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thing does not exist, or belongs to a tenant that the caller does not reach: the two are never told apart.
    #[error("not found")]
    NotFound,
    /// The caller's role does not allow this, whatever exists.
    #[error("the role of this key does not allow it")]
    Forbidden,
    /// Fields of the request that break a rule or name a parent that is not there.
    #[error("invalid request")]
    Invalid(Vec<FieldError>),
    /// The natural key is taken.
    #[error("{0} already exists")]
    Duplicate(&'static str),
    /// Something depends on it, so it stays.
    #[error("still in use: {0}")]
    InUse(&'static str),
    /// The tenant or account has as many as it may have.
    #[error("limit reached: {0}")]
    LimitReached(&'static str),
    /// What was asked for is proved, and the operator has to decide it all the same.
    #[error("the operator has to decide")]
    NeedsOperator,
    /// The tenant is suspended and takes no mail.
    #[error("the tenant is suspended")]
    Suspended,
    /// The maildrop or its tenant is full.
    #[error("over quota")]
    OverQuota,
    /// The row is not the version that the caller named (`If-Match`).
    #[error("changed by somebody else in the meantime")]
    VersionMismatch,
    /// More password hashes are asked for than this process computes in time.
    #[error("too many passwords are being checked")]
    Busy,
    /// The keys of the tenant's issuer of tokens cannot be had.
    #[error("the issuer's keys are unavailable")]
    IssuerUnavailable,
    /// The database cannot be reached or is going down.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database answered with an error that is a fault of ours.
    #[error("the database refused a query")]
    Fault(#[source] sqlx::Error),
    /// A row holds a value that its type does not allow.
    #[error("inconsistent {table}.{column}")]
    Inconsistent {
        /// Where it stands.
        table: &'static str,
        /// Where it stands.
        column: &'static str,
    },
    /// Something inside failed that has no business to: hashing, a worker thread.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl Error {
    /// A missing or foreign parent, named by a field of the request.
    pub(crate) fn no_parent(pointer: impl Into<String>, what: &'static str) -> Self {
        Self::invalid(pointer, "not_found", format!("there is no such {what}"))
    }

    /// One field that breaks a rule.
    pub(crate) fn invalid(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// For metrics: a word per kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Invalid(_) => "invalid",
            Self::Duplicate(_) => "duplicate",
            Self::InUse(_) => "in_use",
            Self::LimitReached(_) => "limit_reached",
            Self::NeedsOperator => "needs_operator",
            Self::Suspended => "suspended",
            Self::OverQuota => "over_quota",
            Self::VersionMismatch => "version_mismatch",
            Self::Busy => "busy",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::Unavailable(_) => "unavailable",
            Self::Fault(_) => "fault",
            Self::Inconsistent { .. } => "inconsistent",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the same call may succeed later with nobody changing anything: the peer is told to come again.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy | Self::IssuerUnavailable | Self::Unavailable(_))
    }

    /// Turns the breach of a unique or primary key into [`Error::Duplicate`].
    pub(crate) fn or_duplicate(self, what: &'static str) -> Self {
        match &self {
            Self::Fault(sqlx::Error::Database(error)) if error.is_unique_violation() => Self::Duplicate(what),
            _ => self,
        }
    }

    /// Turns the breach of a foreign key into [`Error::InUse`].
    pub(crate) fn or_in_use(self, what: &'static str) -> Self {
        match &self {
            Self::Fault(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Self::InUse(what),
            _ => self,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if runtime::database::is_transient(&error) { Self::Unavailable(error) } else { Self::Fault(error) }
    }
}

/// Says where an inconsistent value stands.
pub(crate) fn inconsistent(table: &'static str, column: &'static str) -> Error {
    Error::Inconsistent { table, column }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}
