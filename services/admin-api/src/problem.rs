//! Problems (RFC 9457): everything that is refused or fails answers one, with a stable `type` under `/problems/`.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

/// What kinds there are: code, status, title, and what to do about it.
const KINDS: [(Kind, &str, StatusCode, &str, &str); 23] = {
    use Kind::*;
    use StatusCode as S;
    [
        (NotJson, "not-json", S::BAD_REQUEST, "The body is not JSON", "Send one JSON value in UTF-8 (RFC 8259)."),
        (
            BadRequest,
            "bad-request",
            S::BAD_REQUEST,
            "The request is malformed",
            "Mend the request line, path or headers.",
        ),
        (
            Unauthorized,
            "unauthorized",
            S::UNAUTHORIZED,
            "Not authenticated",
            "Send a valid API key or access token: Authorization: Bearer …",
        ),
        (
            SignInRefused,
            "sign-in-refused",
            S::UNAUTHORIZED,
            "Not signed in",
            "The name, the password or the code is wrong, or may not be used; or the refresh token is not in force.",
        ),
        (
            SlowedDown,
            "slowed-down",
            S::TOO_MANY_REQUESTS,
            "Too many failures",
            "Try again after the seconds in Retry-After: nothing was tried this time.",
        ),
        (
            Forbidden,
            "forbidden",
            S::FORBIDDEN,
            "Not allowed",
            "The role of this key does not allow the call; use a key with another role.",
        ),
        (NotFound, "not-found", S::NOT_FOUND, "Not found", "It does not exist, or this key does not reach it."),
        (
            MethodNotAllowed,
            "method-not-allowed",
            S::METHOD_NOT_ALLOWED,
            "Method not allowed",
            "See the header Allow and the OpenAPI document.",
        ),
        (Timeout, "timeout", S::REQUEST_TIMEOUT, "The request took too long", "Send the body faster, or try again."),
        (
            Duplicate,
            "duplicate",
            S::CONFLICT,
            "Already exists",
            "The natural key is taken; read or change what is there.",
        ),
        (InUse, "in-use", S::CONFLICT, "Still in use", "Something depends on it; delete that first."),
        (LimitReached, "limit-reached", S::CONFLICT, "Limit reached", "Delete something, or have the limit raised."),
        (OverQuota, "over-quota", S::CONFLICT, "Over quota", "The maildrop or its tenant is full."),
        (
            Unproved,
            "unproved",
            S::CONFLICT,
            "Not proved",
            "Publish the TXT record of the domain's challenge, and try again when the DNS shows it.",
        ),
        (
            OperatorDecides,
            "operator-decides",
            S::CONFLICT,
            "The operator has to decide",
            "The TXT record was seen. This name is not given on a record alone: ask the operator of the service.",
        ),
        (Suspended, "suspended", S::CONFLICT, "Suspended", "The tenant is suspended and takes no mail."),
        (
            UnderWay,
            "under-way",
            S::CONFLICT,
            "The same request is still under way",
            "Try again with the same Idempotency-Key in a moment.",
        ),
        (
            PreconditionFailed,
            "precondition-failed",
            S::PRECONDITION_FAILED,
            "Changed in the meantime",
            "Read it again, and send its new ETag in If-Match.",
        ),
        (TooLarge, "too-large", S::PAYLOAD_TOO_LARGE, "Too large", "Send less; the detail names the limit."),
        (
            UnsupportedMediaType,
            "unsupported-media-type",
            S::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported media type",
            "The detail names what is taken.",
        ),
        (
            Invalid,
            "invalid",
            S::UNPROCESSABLE_ENTITY,
            "Invalid",
            "Each item of errors names a field, the rule's code and the rule.",
        ),
        (
            RateLimited,
            "rate-limited",
            S::TOO_MANY_REQUESTS,
            "Too many requests",
            "Try again after the seconds in Retry-After; RateLimit-Policy has the bound.",
        ),
        (
            Unavailable,
            "unavailable",
            S::SERVICE_UNAVAILABLE,
            "Temporarily unavailable",
            "Try again after the seconds in Retry-After.",
        ),
    ]
};

/// The one kind that nobody can do anything about.
const INTERNAL: (Kind, &str, StatusCode, &str, &str) = (
    Kind::Internal,
    "internal",
    StatusCode::INTERNAL_SERVER_ERROR,
    "Internal error",
    "A fault of the service; its log has the cause under this request_id.",
);

/// Which problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NotJson,
    BadRequest,
    Unauthorized,
    SignInRefused,
    SlowedDown,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Duplicate,
    InUse,
    LimitReached,
    OverQuota,
    Unproved,
    OperatorDecides,
    RateLimited,
    Suspended,
    UnderWay,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    Unavailable,
    Internal,
}

impl Kind {
    fn row(self) -> (Self, &'static str, StatusCode, &'static str, &'static str) {
        KINDS.into_iter().find(|row| row.0 == self).unwrap_or(INTERNAL)
    }

    /// The problem of an answer that did not say one: those that the framework gives by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Self::Timeout,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// A refusal or failure on its way to the client. What the log says of it is written where it is made.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, detail: None, errors: Vec::new(), retry_after: None }
    }

    pub(crate) fn with_detail(kind: Kind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(kind) }
    }

    /// Worth another try after so many seconds.
    pub(crate) fn after(kind: Kind, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(kind) }
    }

    /// Faults of fields.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Kind::Invalid) }
    }

    /// A fault of one field.
    pub(crate) fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, detail)])
    }

    pub(crate) fn code(&self) -> &'static str {
        self.kind.row().1
    }

    /// Whether nobody was proved.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.kind == Kind::Unauthorized
    }

    /// Every kind of a status, for the document.
    pub(crate) fn of(status: StatusCode) -> impl Iterator<Item = Self> {
        KINDS.into_iter().chain([INTERNAL]).filter(move |row| row.2 == status).map(|row| Self::new(row.0))
    }

    /// The statuses that problems have, each once, in order.
    pub(crate) fn statuses() -> Vec<StatusCode> {
        let mut all: Vec<_> = KINDS.into_iter().chain([INTERNAL]).map(|row| row.2).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Its kind, for people.
    pub(crate) fn title(&self) -> &'static str {
        self.kind.row().3
    }

    /// The body, once the request is known.
    pub(crate) fn body(&self, request_id: String) -> ProblemBody {
        let (_, code, status, title, help) = self.kind.row();
        ProblemBody {
            r#type: format!("/problems/{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail.clone().unwrap_or_else(|| help.to_owned()),
            errors: self
                .errors
                .iter()
                .map(|error| ProblemField {
                    pointer: error.pointer.clone(),
                    code: error.code,
                    detail: error.detail.clone(),
                })
                .collect(),
            request_id,
        }
    }
}

/// The status and the headers; the body is written by the outermost layer, which knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.row().2.into_response();
        let headers = response.headers_mut();
        match self.kind {
            Kind::Unauthorized | Kind::SignInRefused => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"restante\""));
            }
            Kind::RateLimited => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            Kind::Unavailable | Kind::UnderWay => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<directory::Error> for Problem {
    fn from(error: directory::Error) -> Self {
        use directory::Error;
        match error {
            Error::NotFound => Self::new(Kind::NotFound),
            Error::Forbidden => Self::new(Kind::Forbidden),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Duplicate(what) => Self::with_detail(Kind::Duplicate, format!("{what} already exists")),
            Error::InUse(what) => Self::with_detail(Kind::InUse, what),
            Error::LimitReached(what) => Self::with_detail(Kind::LimitReached, what),
            Error::NeedsOperator => Self::new(Kind::OperatorDecides),
            Error::Suspended => Self::new(Kind::Suspended),
            Error::OverQuota => Self::new(Kind::OverQuota),
            Error::VersionMismatch => Self::new(Kind::PreconditionFailed),
            Error::Busy | Error::IssuerUnavailable => Self::new(Kind::Unavailable),
            Error::Unavailable(cause) => {
                tracing::warn!(error = %cause, "the database is unavailable");
                Self::new(Kind::Unavailable)
            }
            Error::Fault(_) | Error::Inconsistent { .. } | Error::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<mailstore::Error> for Problem {
    fn from(error: mailstore::Error) -> Self {
        if !error.is_temporary() {
            return Self::internal(&error);
        }
        tracing::warn!(kind = error.kind(), %error, "the mailstore is unavailable");
        Self::new(Kind::Unavailable)
    }
}

impl Problem {
    /// A fault of ours: the cause is for the log.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        let because = cause.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(error = %cause, because, "a request failed");
        Self::new(Kind::Internal)
    }
}

/// `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// `/problems/CODE`: stable, what programs look at.
    #[schema(examples("/problems/invalid"))]
    r#type: String,
    /// The kind, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This occurrence, for people.
    detail: String,
    /// With `invalid`: every fault of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemField>,
    /// What the service's log has it under; also in the header `X-Request-Id`.
    request_id: String,
}

/// A fault of one field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemField {
    /// JSON pointer (RFC 6901) from the body's root, or the name of the query parameter after a slash.
    #[schema(examples("/quota/octets"))]
    pointer: String,
    /// Stable: `required`, `unknown_field`, `invalid_type`, `invalid`, `too_short`, `too_long`, `out_of_range`, `not_found`.
    code: &'static str,
    /// The rule, for people.
    detail: String,
}

/// `GET /problems/{code}`: what a problem's `type` leads to.
pub(crate) async fn explain(Path(code): Path<String>) -> Result<String, Problem> {
    let (_, code, status, title, help) =
        KINDS.into_iter().chain([INTERNAL]).find(|row| row.1 == code).ok_or_else(|| Problem::new(Kind::NotFound))?;
    Ok(format!("{code} ({status})\n\n{title}. {help}\n"))
}
