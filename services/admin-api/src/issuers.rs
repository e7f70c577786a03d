//! The way to issuers that sign administrators in: the one way out to addresses that tenants choose.

use std::time::Duration;

use directory::{IssuerHttp, JwksFuture};
use mail_types::Secret;
use net::egress::{Bounds, Egress};

/// What an answer of an issuer may take: somebody waits in front of a browser.
const BOUNDS: Bounds = Bounds { octets: 64 * 1024, time: Duration::from_secs(8) };

/// Asks issuers through [`net::egress`].
#[derive(Debug)]
pub struct Issuers(Egress);

impl Issuers {
    /// By this way out.
    pub fn new(egress: Egress) -> Self {
        Self(egress)
    }
}

impl IssuerHttp for Issuers {
    fn get<'a>(&'a self, url: &'a str) -> JwksFuture<'a> {
        Box::pin(async move { Ok(self.0.get(url, BOUNDS).await?) })
    }

    fn post_form<'a>(&'a self, url: &'a str, authorization: Option<&'a Secret>, form: &'a Secret) -> JwksFuture<'a> {
        Box::pin(async move {
            let authorization = authorization.and_then(Secret::expose_str);
            Ok(self.0.post_form(url, authorization, form.expose_str().unwrap_or_default(), BOUNDS).await?)
        })
    }
}
