//! The web console: files that were built before this crate was, packed into it (`build.rs`), and served where no other route is. Its
//! pages have addresses of their own, which all answer the one page there is; what it shows, it asks the API for.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use flate2::read::GzDecoder;
use mail_types::Random;
use sha2::{Digest as _, Sha256};

use crate::AppState;
use crate::problem::{Kind, Problem};

/// The page. Where it has this, its nonce goes.
const PAGE: &str = "index.html";
const NONCE: &str = "__CSP_NONCE__";
/// Files whose name has a hash of what they hold: another build has others.
const HASHED: &str = "assets/";

/// First segments of paths that are no page's: whoever asks for something there that is not there is told so.
const OTHERS: [&str; 9] =
    ["v1", "docs", "problems", "mail", ".well-known", "autodiscover", "profile.mobileconfig", "healthz", "readyz"];

/// Media types by the end of a name.
const MEDIA_TYPES: [(&str, &str); 12] = [
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".json", "application/json"),
    (".webmanifest", "application/manifest+json"),
    (".svg", "image/svg+xml"),
    (".png", "image/png"),
    (".ico", "image/x-icon"),
    (".webp", "image/webp"),
    (".woff2", "font/woff2"),
    (".woff", "font/woff"),
    (".txt", "text/plain; charset=utf-8"),
];

/// A file as it was built.
#[derive(Debug, Clone, Copy)]
pub struct ConsoleFile {
    /// Its path: `assets/index-BkR3.js`.
    pub name: &'static str,
    /// Whether the octets are gzip's (RFC 1952).
    pub is_packed: bool,
    /// What it holds.
    pub octets: &'static [u8],
}

static EMBEDDED: &[ConsoleFile] = &include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// The console. Clones are the same.
#[derive(Debug, Clone)]
pub struct Console(Arc<Files>);

#[derive(Debug)]
struct Files {
    page: Option<&'static str>,
    others: HashMap<&'static str, Served>,
}

#[derive(Debug)]
struct Served {
    file: ConsoleFile,
    media_type: &'static str,
    /// Weak (RFC 9110 section 8.8.1): packed or not, it is the same file.
    tag: HeaderValue,
}

/// The Content-Security-Policy of an answer, where it is not that of all.
#[derive(Debug, Clone)]
pub(crate) struct PagePolicy(pub(crate) HeaderValue);

impl Console {
    /// The one that this program was built with; without its files, if it was built without.
    pub fn embedded() -> Self {
        Self::of(EMBEDDED)
    }

    /// One of these files.
    pub fn of(files: &[ConsoleFile]) -> Self {
        let page = files.iter().find(|file| file.name == PAGE && !file.is_packed);
        let page = page.and_then(|file| std::str::from_utf8(file.octets).ok());
        let others = files.iter().filter(|file| file.name != PAGE);
        Self(Arc::new(Files { page, others: others.map(|file| (file.name, Served::new(*file))).collect() }))
    }

    /// What a path means; `None`: nothing.
    fn answer(&self, path: &str, headers: &HeaderMap, random: &dyn Random) -> Option<Response> {
        let Some(page) = self.0.page else {
            return (path == "/").then(|| Redirect::temporary("/docs/").into_response());
        };
        let name = path.strip_prefix('/')?;
        if OTHERS.contains(&name.split('/').next().unwrap_or_default()) {
            return None;
        }
        if let Some(served) = self.0.others.get(name) {
            return served.answer(headers);
        }
        let is_page = path == "/" || name == PAGE || (wants_page(headers) && !name.starts_with(HASHED));
        is_page.then(|| answer_page(page, random))
    }
}

/// The service behind all routes.
pub(crate) async fn serve(State(state): State<AppState>, request: Request) -> Response {
    let is_asked = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let answer = is_asked.then(|| state.console.answer(request.uri().path(), request.headers(), &*state.random));
    answer.flatten().unwrap_or_else(|| Problem::new(Kind::NotFound).into_response())
}

/// Whether a browser wants to show what it asks for, rather than a script or a page to use it.
fn wants_page(headers: &HeaderMap) -> bool {
    lists(headers, header::ACCEPT, "text/html")
}

/// The page, its scripts its own, its styles its own and those that it makes itself, which carry the nonce.
fn answer_page(page: &str, random: &dyn Random) -> Response {
    let nonce = format!("{:032x}", u128::from_be_bytes(random.octets16()));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; \
         img-src 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    let mut response = page.replace(NONCE, &nonce).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.extensions_mut().insert(PagePolicy(policy));
    }
    response
}

impl Served {
    fn new(file: ConsoleFile) -> Self {
        let known = MEDIA_TYPES.iter().find(|(end, _)| file.name.ends_with(end));
        let hash: String = Sha256::digest(file.octets).iter().take(16).map(|octet| format!("{octet:02x}")).collect();
        // Nothing that a header could not hold is in it.
        let tag = HeaderValue::from_str(&format!("W/\"{hash}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { file, media_type: known.map_or("application/octet-stream", |(_, media_type)| media_type), tag }
    }

    fn answer(&self, asked: &HeaderMap) -> Option<Response> {
        let keep = if self.file.name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let keep = HeaderValue::from_static(keep);
        let mut response = if self.is_known(asked) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if !self.file.is_packed {
            Body::from(self.file.octets).into_response()
        } else if lists(asked, header::ACCEPT_ENCODING, "gzip") {
            let encoding = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            ([encoding], Body::from(self.file.octets)).into_response()
        } else {
            let mut whole = Vec::new();
            GzDecoder::new(self.file.octets).read_to_end(&mut whole).ok()?;
            Body::from(whole).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::CACHE_CONTROL, keep);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        Some(response)
    }

    /// Whether who asks has it already (RFC 9110 section 13.1.2).
    fn is_known(&self, asked: &HeaderMap) -> bool {
        let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let ours = self.tag.to_str().map(strong).unwrap_or_default();
        let given = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        given.flat_map(|tags| tags.split(',')).any(|tag| tag.trim() == "*" || strong(tag) == ours)
    }
}

/// Whether a list of a header has a word that is not refused by a weight of 0.
fn lists(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let given = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|list| list.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_word = parts.next().is_some_and(|it| it.eq_ignore_ascii_case(word));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse::<f32>().ok());
        is_word && weight.is_none_or(|weight| weight > 0.0)
    })
}
