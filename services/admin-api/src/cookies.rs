//! The cookies of browsers that sign in. None of them authenticates a request: each is taken by one operation, which exchanges it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::Config;
use crate::problem::{Kind, Problem};

/// A cookie: scripts never see it.
pub(crate) struct Cookie {
    name: &'static str,
    /// Where it is sent.
    path: &'static str,
    same_site: &'static str,
}

/// Binds a sign-in at an issuer to its browser. Lax: it comes along when the issuer sends the browser back, which is a navigation.
pub(crate) const AT_ISSUER: Cookie = Cookie { name: "restante-sign-in", path: "/v1/sign-in", same_site: "Lax" };

/// The refresh token of a browser that had it kept.
pub(crate) const REFRESH: Cookie = Cookie { name: "restante-refresh", path: "/v1", same_site: "Strict" };

/// What a page is to the one that it asks (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Cookie {
    /// What a browser sent.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<String> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name).map(|(_, value)| value.to_owned())
    }

    /// Has it kept for so many seconds.
    pub(crate) fn set(&self, response: &mut Response, value: &str, seconds: u32, secure: bool) {
        let Self { name, path, same_site } = self;
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }

    /// Has it forgotten.
    pub(crate) fn clear(&self, response: &mut Response, secure: bool) {
        self.set(response, "", 0, secure);
    }
}

/// Whether a cookie is to be sent over TLS only: browsers find us there, or the page that asks came from there. What speaks TLS stands
/// before this service, which does not see it itself.
pub(crate) fn is_secure(config: &Config, headers: &HeaderMap) -> bool {
    let is_https = |url: &str| url.starts_with("https://");
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    config.public_url.as_deref().is_some_and(is_https) || origin.is_some_and(is_https)
}

/// Refuses a page of another origin. Browsers say which it is; what says nothing is none, or too old to.
pub(crate) fn require_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(SEC_FETCH_SITE) {
        None => Ok(()),
        Some(site) if site == "same-origin" => Ok(()),
        Some(_) => Err(Problem::with_detail(Kind::Forbidden, "a cookie is kept for pages of this origin only")),
    }
}
