//! Answers that succeed.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directory::Page;
use mail_types::Secret;
use serde::Serialize;
use serde_json::Value;

use crate::problem::Problem;

/// The `ETag` of a version.
pub(crate) fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// A thing with the version it has.
pub(crate) fn versioned(body: impl Serialize, version: i64) -> Response {
    let mut response = Json(body).into_response();
    insert(&mut response, header::ETAG, &etag(version));
    response
}

/// A page of a list.
pub(crate) fn list<T>(page: Page<T>) -> Json<List<T>> {
    Json(List { items: page.items, next_cursor: page.next_cursor })
}

/// A page of a list, as it is sent.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// What a POST did: something was made, or done.
pub(crate) struct Done {
    /// 201 or 200.
    pub(crate) status: StatusCode,
    /// The path of what was made.
    pub(crate) location: Option<String>,
    /// Its version, if it has one.
    pub(crate) etag: Option<String>,
    /// The whole resource, or what was done.
    pub(crate) body: Value,
    /// What is shown this once, and never kept: the field `secret`.
    pub(crate) secret: Option<Secret>,
    /// The same under names of their own.
    pub(crate) shown: Vec<(&'static str, Value)>,
}

impl Done {
    /// Something was made: 201, the whole of it, and where it is.
    pub(crate) fn created(location: String, body: impl Serialize) -> Result<Self, Problem> {
        Ok(Self { status: StatusCode::CREATED, location: Some(location), ..Self::ok(body)? })
    }

    /// Something was done: 200 and what it came to.
    pub(crate) fn ok(body: impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
        Ok(Self { status: StatusCode::OK, location: None, etag: None, body, secret: None, shown: Vec::new() })
    }

    pub(crate) fn version(mut self, version: i64) -> Self {
        self.etag = Some(etag(version));
        self
    }

    pub(crate) fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }
}

impl Done {
    /// What is shown this once, and never kept.
    pub(crate) fn show(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.shown.push((name, value.into()));
        self
    }
}

impl IntoResponse for Done {
    fn into_response(mut self) -> Response {
        if let (Value::Object(body), Some(secret)) = (&mut self.body, self.secret.as_ref().and_then(Secret::expose_str))
        {
            body.insert("secret".to_owned(), secret.into());
        }
        if let Value::Object(body) = &mut self.body {
            body.extend(self.shown.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        done(self.status, self.location.as_deref(), self.etag.as_deref(), self.body)
    }
}

/// The answer to a POST with its headers.
pub(crate) fn done(status: StatusCode, location: Option<&str>, etag: Option<&str>, body: Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Some(location) = location {
        insert(&mut response, header::LOCATION, location);
    }
    if let Some(etag) = etag {
        insert(&mut response, header::ETAG, etag);
    }
    response
}

fn insert(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// One segment of a path, percent-encoded (RFC 3986 section 3.3).
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'@'
            | b'*'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'+'
            | b'=' => out.push(char::from(octet)),
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_safe_in_a_path() {
        assert_eq!(segment("alice@acme.test"), "alice@acme.test");
        assert_eq!(segment("*@acme.test"), "*@acme.test");
        assert_eq!(segment("\"a b\"/?#%@x"), "%22a%20b%22%2F%3F%23%25@x");
        assert_eq!(segment("\u{e9}"), "%C3%A9");
    }
}
