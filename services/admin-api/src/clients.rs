//! The settings that mail clients ask for by themselves: Thunderbird's autoconfig, Outlook's autodiscover, a profile for Apple Mail.
//! They are served without a key for every domain that the service hosts, and are the same for all of its addresses: nobody learns
//! from them whether an account exists, nor anything of a domain that is not hosted.
//!
//! Where others were found wanting: a request without an address is answered by its `Host` (Thunderbird on Android sends none), GET is
//! answered like POST, and TLS from the first octet is called `SSL`, since Outlook takes `TLS` for STARTTLS.

mod apple;
mod outlook;
mod thunderbird;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use mail_types::{Address, DomainName};
use net::Peer;

use crate::AppState;
use crate::extract::read_body;
use crate::problem::{Kind, Problem};
use crate::rate::AddressBound;

/// What the handlers work with.
#[derive(Clone)]
struct Clients {
    app: AppState,
    rate: Arc<AddressBound>,
}

const MINUTE: Duration = Duration::from_secs(60);
/// How long settings may be kept by whoever asked.
const KEEP: &str = "public, max-age=3600";
const XML: &str = "text/xml; charset=utf-8";

/// The routes; not under `/v1`, and in the form that the clients know.
pub(crate) fn router(app: AppState) -> Router {
    let (quota, most) = (app.config.client_settings_per_minute, app.config.rate_limit.remembered);
    let rate = Arc::new(AddressBound::new("client_settings", quota, MINUTE, most, app.clock.monotonic()));
    let clients = Clients { app, rate };
    Router::new()
        .route("/mail/config-v1.1.xml", get(autoconfig))
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(autoconfig))
        .route("/autodiscover/autodiscover.xml", get(autodiscover).post(autodiscover))
        .route("/autodiscover/autodiscover.json", get(autodiscover_v2))
        .route("/autodiscover/autodiscover.json/v1.0/{address}", get(autodiscover_v2_of))
        .route("/profile.mobileconfig", get(profile))
        .route_layer(from_fn_with_state(clients.clone(), limit))
        .with_state(clients)
}

/// Outlook writes its path in every case there is.
pub(crate) async fn in_lower_case(mut request: Request) -> Request {
    let path = request.uri().path();
    let is_ours = path.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("/autodiscover/"));
    if !is_ours || !path.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return request;
    }
    // The address in a path may keep its case: what is asked of it is its domain.
    let lower = path.to_ascii_lowercase();
    let with_query = match request.uri().query() {
        Some(query) => format!("{lower}?{query}"),
        None => lower,
    };
    if let Ok(uri) = with_query.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

async fn limit(State(clients): State<Clients>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<Peer>().and_then(|peer| peer.address);
    match clients.rate.take(address, clients.app.clock.monotonic()) {
        Ok(_) => next.run(request).await,
        Err(rate) => {
            let mut refused = Problem::new(Kind::RateLimited).into_response();
            rate.write(refused.headers_mut());
            refused
        }
    }
}

/// The query, with names in lower case; what is unknown is let be: clients send all sorts of things.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn of(uri: &Uri) -> Self {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).unwrap_or_default();
        Self(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

impl Clients {
    /// The hosted domain that is meant: of the address if there is one, else of the host that was asked. All others are alike.
    async fn domain(&self, address: Option<&Address>, headers: &HeaderMap) -> Result<DomainName, Problem> {
        let candidates = match address {
            Some(address) => vec![address.domain.clone()],
            None => hosts(headers),
        };
        for domain in candidates {
            if self.app.directory.hosts(&domain).await? {
                return Ok(domain);
            }
        }
        Err(Problem::new(Kind::NotFound))
    }
}

/// The domains that a request's `Host` may stand for.
fn hosts(headers: &HeaderMap) -> Vec<DomainName> {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let inner = name.strip_prefix("autoconfig.").or_else(|| name.strip_prefix("autodiscover."));
    inner.into_iter().chain([name.as_str()]).filter_map(|name| DomainName::parse(name).ok()).collect()
}

/// An address, if it is one: a placeholder that a client did not fill in is none.
fn address(text: Option<&str>) -> Option<Address> {
    Address::parse(text?.trim()).ok()
}

fn answer(content_type: &'static str, cache: Option<&'static str>, body: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    if let Some(cache) = cache {
        response.headers_mut().insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static(cache));
    }
    response
}

/// Thunderbird: by `emailaddress`, or by the host.
async fn autoconfig(State(clients): State<Clients>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let address = address(Asked::of(&uri).get("emailaddress"));
    let domain = clients.domain(address.as_ref(), &headers).await?;
    let body = thunderbird::config(&clients.app.publish, &domain).ok_or_else(|| Problem::new(Kind::NotFound))?;
    Ok(answer(XML, Some(KEEP), body))
}

/// Outlook: the address is in the body of a POST; a GET is answered by its host, or by `Email`.
async fn autodiscover(State(clients): State<Clients>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let octets = read_body(body, clients.app.config.max_body_octets).await?;
    let asked = if octets.is_empty() {
        outlook::Asked { address: Asked::of(&parts.uri).get("email").map(str::to_owned), schema: None }
    } else {
        outlook::read(&octets).map_err(|detail| Problem::with_detail(Kind::BadRequest, detail))?
    };
    if asked.schema.is_some_and(|schema| schema != outlook::SCHEMA) {
        return Err(Problem::new(Kind::NotFound));
    }
    let address = address(asked.address.as_deref());
    clients.domain(address.as_ref(), &parts.headers).await?;
    let body = outlook::settings(&clients.app.publish, address.as_ref());
    Ok(answer(XML, None, body.ok_or_else(|| Problem::new(Kind::NotFound))?))
}

/// Outlook, version 2: where version 1 is.
async fn autodiscover_v2(State(clients): State<Clients>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let asked = Asked::of(&uri);
    clients.where_v1_is(asked.get("email"), asked.get("protocol"), &headers).await
}

async fn autodiscover_v2_of(
    State(clients): State<Clients>,
    Path(address): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    clients.where_v1_is(Some(&address), Asked::of(&uri).get("protocol"), &headers).await
}

impl Clients {
    async fn where_v1_is(
        &self,
        email: Option<&str>,
        protocol: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let asked_host = hosts(headers).into_iter().next_back();
        self.domain(address(email).as_ref(), headers).await?;
        let host = self.app.publish.autoconfig_host.clone().or(asked_host);
        let host = host.filter(|_| !self.app.publish.pop3().is_empty()).ok_or_else(|| Problem::new(Kind::NotFound))?;
        if !protocol.unwrap_or_default().eq_ignore_ascii_case("AutodiscoverV1") {
            return Err(Problem::with_detail(Kind::BadRequest, "Protocol must be AutodiscoverV1"));
        }
        Ok(answer("application/json; charset=utf-8", None, outlook::where_v1_is(&host)))
    }
}

/// Apple Mail: a profile with one account.
async fn profile(State(clients): State<Clients>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let address = address(Asked::of(&uri).get("emailaddress"))
        .ok_or_else(|| Problem::with_detail(Kind::BadRequest, "emailaddress must be an address"))?;
    clients.domain(Some(&address), &headers).await?;
    let body = apple::profile(&clients.app.publish, &address).ok_or_else(|| Problem::new(Kind::NotFound))?;
    Ok(answer("application/x-apple-aspen-config", None, body))
}
