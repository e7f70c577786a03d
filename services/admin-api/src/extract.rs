//! What handlers take out of a request. Each refusal is a problem.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use directory::{AliasAddress, DEFAULT_LIMIT, MAX_LIMIT, PageRequest, Precondition};
use ipnet::IpNet;
use mail_types::{Address, DomainName, SessionUuid, TenantSlug};
use sha2::{Digest as _, Sha256};

use crate::AppState;
use crate::fields::{Fields, moment};
use crate::guard::{DRY_RUN, is_safe};
use crate::orders::{self, SORT};
use crate::problem::{Kind, Problem};

/// The header that makes a POST safe to repeat.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest key.
const MAX_KEY: usize = 255;

/// A JSON body, with what `Idempotency-Key` needs of the request.
pub(crate) struct Submitted {
    pub(crate) fields: Fields,
    pub(crate) repeatable: Repeatable,
}

/// The key of a request that may come twice, and what it is recognised by.
pub(crate) struct Repeatable {
    /// The header, if it was sent.
    pub(crate) key: Option<String>,
    /// SHA-256 of method, path with query, and body.
    pub(crate) hash: [u8; 32],
}

/// Collects what a request is recognised by.
pub(crate) struct RequestHash(Sha256);

impl RequestHash {
    pub(crate) fn new(parts: &Parts) -> Self {
        let mut hash = Sha256::new();
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        hash.update(format!("{} {path}\n", parts.method));
        Self(hash)
    }

    pub(crate) fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    pub(crate) fn repeatable(self, headers: &HeaderMap) -> Result<Repeatable, Problem> {
        let Some(given) = headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Repeatable { key: None, hash: self.0.finalize().into() });
        };
        // Also of a trial, which needs no key: what would be refused is refused.
        let key = given.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len())).ok_or_else(|| {
            let detail = format!("Idempotency-Key must have 1 to {MAX_KEY} characters of visible ASCII");
            Problem::field("", "invalid", detail)
        })?;
        Ok(Repeatable { key: Some(key.to_owned()), hash: self.0.finalize().into() })
    }
}

impl FromRequest<AppState> for Submitted {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let accepted: &[&str] = if parts.method == Method::PATCH {
            &["application/merge-patch+json", "application/json"] // RFC 7396
        } else {
            &["application/json"]
        };
        require_media_type(&parts.headers, accepted)?;
        let octets = read_body(body, state.config.max_body_octets).await?;
        let mut hash = RequestHash::new(&parts);
        hash.update(&octets);
        let value = serde_json::from_slice(&octets)
            .map_err(|error| Problem::with_detail(Kind::NotJson, format!("the body is not JSON: {error}")))?;
        Ok(Self { fields: Fields::of(value)?, repeatable: hash.repeatable(&parts.headers)? })
    }
}

/// [`Submitted`], of which the body may be left out.
pub(crate) struct Sparse {
    pub(crate) fields: Fields,
    pub(crate) repeatable: Repeatable,
}

impl FromRequest<AppState> for Sparse {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let octets = read_body(body, state.config.max_body_octets).await?;
        let mut hash = RequestHash::new(&parts);
        hash.update(&octets);
        let value = if octets.is_empty() {
            serde_json::Value::Object(serde_json::Map::new())
        } else {
            require_media_type(&parts.headers, &["application/json"])?;
            serde_json::from_slice(&octets)
                .map_err(|error| Problem::with_detail(Kind::NotJson, format!("the body is not JSON: {error}")))?
        };
        Ok(Self { fields: Fields::of(value)?, repeatable: hash.repeatable(&parts.headers)? })
    }
}

/// A POST without a body, with what `Idempotency-Key` needs of it. An empty object will do, for clients that cannot send none.
pub(crate) struct Bodiless(pub(crate) Repeatable);

impl FromRequest<AppState> for Bodiless {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let octets = read_body(body, state.config.max_body_octets).await?;
        if !octets.is_empty() {
            let value = serde_json::from_slice(&octets)
                .map_err(|error| Problem::with_detail(Kind::NotJson, format!("the body is not JSON: {error}")))?;
            Fields::of(value)?.done(Some(()))?;
        }
        Ok(Self(RequestHash::new(&parts).repeatable(&parts.headers)?))
    }
}

/// A body of so many octets at most.
pub(crate) async fn read_body(body: Body, most: usize) -> Result<Bytes, Problem> {
    to_bytes(body, most).await.map_err(|error| {
        // The limit is the one cause that axum tells apart from a broken connection only by its type.
        let limit = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("limit"));
        if limit { too_large(most) } else { Problem::with_detail(Kind::BadRequest, "the body ended early") }
    })
}

/// The problem of a body over its limit.
pub(crate) fn too_large(most: impl std::fmt::Display) -> Problem {
    Problem::with_detail(Kind::TooLarge, format!("the body has more than {most} octets"))
}

/// Refuses another media type; parameters (`; charset=…`) do not count.
pub(crate) fn require_media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if accepted.iter().any(|accepted| essence.eq_ignore_ascii_case(accepted)) {
        return Ok(());
    }
    let detail = format!("Content-Type must be {}", accepted.join(" or "));
    Err(Problem::with_detail(Kind::UnsupportedMediaType, detail))
}

/// True and false in a query.
pub(crate) const BOOLEAN: &[(&str, bool)] = &[("true", true), ("false", false)];

/// Reads one of some words in a query.
pub(crate) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}", all.join(", "))
        })
    }
}

/// The query's parameters. The guard has refused those that the operation does not know.
pub(crate) struct Params {
    given: Vec<(String, String)>,
    /// The pattern of the path: a list's name in its cursors.
    list: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::with_detail(Kind::BadRequest, "the query is malformed"))?;
        // The guard has read it.
        let ours = params.into_iter().filter(|(name, _)| is_safe(&parts.method) || name != DRY_RUN);
        let list = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
        Ok(Self { given: ours.collect(), list })
    }
}

impl Params {
    fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = None;
        while let Some(at) = self.given.iter().position(|(given, _)| given == name) {
            if found.replace(self.given.swap_remove(at).1).is_some() {
                return Err(Problem::field(format!("/{name}"), "invalid", "must be given once"));
            }
        }
        Ok(found)
    }

    /// A parameter that is parsed.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|error| Problem::field(format!("/{name}"), "invalid", error.to_string()))
    }

    /// `tenant`: narrows a list, or says whose domain is meant.
    pub(crate) fn tenant(&mut self) -> Result<Option<TenantSlug>, Problem> {
        self.parsed("tenant", TenantSlug::parse)
    }

    /// `domain`: narrows a list.
    pub(crate) fn domain(&mut self) -> Result<Option<DomainName>, Problem> {
        self.parsed("domain", DomainName::parse)
    }

    /// `prefix`: narrows a list to what begins so.
    pub(crate) fn prefix(&mut self) -> Result<Option<String>, Problem> {
        self.text("prefix")
    }

    /// Some text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.parsed(name, |text| match text.chars().count() {
            0 => Err("must not be empty"),
            count if count > 255 => Err("must have at most 255 characters"),
            _ if text.chars().any(char::is_control) => Err("must have no control characters"),
            _ => Ok(text.to_owned()),
        })
    }

    /// `cascade`: deletes with what depends on it.
    pub(crate) fn cascade(&mut self) -> Result<bool, Problem> {
        Ok(self.parsed("cascade", one_of(BOOLEAN))?.unwrap_or_default())
    }

    /// A time (RFC 3339).
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        self.parsed(name, moment)
    }

    /// `limit` and `cursor`, and `sort` where the list has a choice.
    pub(crate) fn page(&mut self) -> Result<PageRequest, Problem> {
        let limit = match self.take("limit")? {
            None => DEFAULT_LIMIT,
            Some(text) => text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                Problem::field("/limit", "out_of_range", format!("must be an integer between 1 and {MAX_LIMIT}"))
            })?,
        };
        let (mut list, orders) = (self.list.clone(), orders::of(&self.list));
        let sort = if orders.is_empty() { None } else { self.parsed(SORT, one_of(&orders))? };
        // A cursor is good for one order.
        if let Some((word, _)) = orders.iter().find(|(_, order)| Some(*order) == sort) {
            list = format!("{list}?{SORT}={word}");
        }
        Ok(PageRequest { limit, cursor: self.take("cursor")?, list, sort })
    }
}

/// `If-Match` (RFC 9110 section 13.1.1): strong comparison, so a weak tag never matches.
pub(crate) struct IfMatch(pub(crate) Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let malformed = || Problem::with_detail(Kind::BadRequest, "If-Match must be * or a list of entity tags: \"3\"");
        let mut versions = Vec::new();
        for value in parts.headers.get_all(header::IF_MATCH) {
            let value = value.to_str().map_err(|_| malformed())?.trim();
            if value == "*" {
                return Ok(Self(Precondition::None));
            }
            let tags = entity_tags(value).ok_or_else(malformed)?;
            // A tag that is weak or none of ours matches nothing.
            versions.extend(tags.into_iter().filter_map(|(weak, tag)| tag.parse::<i64>().ok().filter(|_| !weak)));
        }
        let any = parts.headers.contains_key(header::IF_MATCH);
        Ok(Self(if any { Precondition::OneOf(versions) } else { Precondition::None }))
    }
}

/// A list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3), each with whether it is weak; `None`: it is none.
fn entity_tags(text: &str) -> Option<Vec<(bool, &str)>> {
    let mut tags = Vec::new();
    let mut rest = text.trim_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let weak = rest.strip_prefix("W/");
        let (tag, after) = weak.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|octet| octet.is_ascii_graphic()) {
            return None;
        }
        tags.push((weak.is_some(), tag));
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    if tags.is_empty() { None } else { Some(tags) }
}

/// A natural key in a path: one that cannot be is not found, like one that is not there.
fn key<T, E>(parsed: Result<T, E>) -> Result<T, Problem> {
    parsed.map_err(|_| Problem::new(Kind::NotFound))
}

/// CIDR; host bits are cut, as PostgreSQL's type wants it.
pub(crate) fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse::<IpNet>().map(|network| network.trunc()).map_err(|_| "must be a network: 192.0.2.0/24, 2001:db8::/32")
}

/// A tenant in a path.
pub(crate) fn slug(text: &str) -> Result<TenantSlug, Problem> {
    key(TenantSlug::parse(text))
}

/// A domain in a path.
pub(crate) fn domain_name(text: &str) -> Result<DomainName, Problem> {
    key(DomainName::parse(text))
}

/// An account in a path.
pub(crate) fn address(text: &str) -> Result<Address, Problem> {
    key(Address::parse(text))
}

/// An alias in a path.
pub(crate) fn alias_address(text: &str) -> Result<AliasAddress, Problem> {
    key(AliasAddress::parse(text))
}

/// A session in a path: `sess_` and 32 hexadecimal digits.
pub(crate) fn session(text: &str) -> Result<SessionUuid, Problem> {
    text.strip_prefix("sess_").and_then(SessionUuid::parse).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// An opaque id in a path: `PREFIX_N`.
pub(crate) fn opaque(text: &str, prefix: &str) -> Result<i64, Problem> {
    let number = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    // One spelling only: `+1` and `01` are not what was given out.
    number
        .and_then(|number| number.parse::<i64>().ok().filter(|id| id.to_string() == number))
        .ok_or_else(|| Problem::new(Kind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_quoted_and_may_have_commas() {
        assert_eq!(entity_tags(r#""3""#), Some(vec![(false, "3")]));
        assert_eq!(entity_tags(r#"W/"a,b" ,"3",, """#), Some(vec![(true, "a,b"), (false, "3"), (false, "")]));
        for malformed in ["", ",", "3", "\"3", "3\"", r#""3" "4""#, r#"w/"3""#, r#""3"x"#, "\"a b\""] {
            assert_eq!(entity_tags(malformed), None, "{malformed}");
        }
    }
}
