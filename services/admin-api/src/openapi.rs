//! The OpenAPI document, generated from the handlers.

mod examples;
mod finish;

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, RefOr, Response, ResponseBuilder, Type};
use utoipa::{IntoResponses, OpenApi as _, ToSchema};

use crate::bodies::Existence;
use crate::guard::{DRY_RUN, DRY_RUN_TYPE, DryRun, EffectBody, is_safe, is_tried_by_a_job};
use crate::permissions::{Needs, needs};
use crate::problem::ProblemBody;

/// What holds for the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Restante admin API",
        description = "Tenants, domains, accounts, aliases, credentials and keys of a Restante service.\n\n\
            **Authentication**: `Authorization: Bearer rsk-…`, an API key. A platform-admin's key reaches everything, a \
            tenant-admin's key one tenant: what lies outside is answered exactly like what does not exist.\n\n\
            **Problems**: every refusal and failure is `application/problem+json` (RFC 9457) with a stable `type`; 422 names \
            every faulty field with a JSON pointer. Unknown fields and query parameters are refused.\n\n\
            **Lists** answer `{\"items\": […], \"next_cursor\": …}`; `limit` is 1 to 500 (default 100), `cursor` is the last \
            page's `next_cursor`, null on the last page.\n\n\
            **Versions**: tenants, domains, accounts and aliases have an `ETag`; a change with `If-Match` is refused (412) when \
            it is not the current one.\n\n\
            **Changes** are JSON merge patches (RFC 7396): a field left out stays, null removes.\n\n\
            **`Idempotency-Key`** on any POST: the same request again, within a day, is answered as the first was (without \
            secrets, and with `Idempotency-Replayed: true`) and nothing is done twice.\n\n\
            **Trials**: any change with `?dry_run=true` is judged as it would be and does nothing; it answers 200 with the status \
            and body that the change would have answered, and its effects as the audit trail would have them.\n\n\
            **Permissions**: each operation names what it needs in `x-permission`; a key's role, and its scopes if it has some, \
            must have it. Nobody reads mail itself (`messages:raw`) without that scope.\n\n\
            Times are RFC 3339 in UTC. Octets are integers and count a message as RETR sends it, before dot-stuffing.",
    ),
    security(("api_key" = [])),
    components(schemas(ProblemBody, DryRun, EffectBody, Existence)),
    tags(
        (name = "tenants", description = "The operator's customers"),
        (name = "overview", description = "How things stand"),
        (name = "search", description = "Everything by the beginning of its name"),
        (name = "domains", description = "Names under which accounts lie"),
        (name = "accounts", description = "One login and one maildrop each"),
        (name = "credentials", description = "What accounts prove themselves with"),
        (name = "messages", description = "What maildrops hold, and what was expunged from them"),
        (name = "sessions", description = "Who is connected, who fetched, expunged or was refused, and what is the matter"),
        (name = "aliases", description = "Further addresses of accounts"),
        (name = "admins", description = "People who administer"),
        (name = "sign-in", description = "How people prove themselves, and for how long"),
        (name = "oidc", description = "Issuers that sign people in"),
        (name = "me", description = "Who asks"),
        (name = "imports", description = "Accounts by the thousand, and maildrops of other servers: jobs"),
        (name = "api-keys", description = "What callers of this API prove themselves with"),
        (name = "audit-events", description = "Who did what to what"),
        (name = "webhooks", description = "Where events are told"),
    )
)]
pub(crate) struct Document;

/// The document without running anything: `restante openapi` prints it.
pub fn document() -> Value {
    finished(&typed())
}

pub(crate) fn typed() -> OpenApi {
    complete(crate::v1::router().into_openapi())
}

/// The document as it is served.
pub(crate) fn finished(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    // What it lacks is told to those who test it.
    drop(finish::finish(&mut document));
    document
}

/// Adds what the handlers cannot say.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key: rsk-…")).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some("Makes the request safe to repeat"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(255))))
        .build();
    for (path, item) in &mut document.paths.paths {
        // Who signs in is not proved yet: there is nobody whose key it would be.
        let Some(post) = item.post.as_mut().filter(|_| needs(&Method::POST, path) != Some(Needs::Nobody)) else {
            continue;
        };
        post.parameters.get_or_insert_default().push(RefOr::T(key.clone()));
    }
    for (path, item) in &mut document.paths.paths {
        let all = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in all {
            if let Some(operation) = operation {
                if let Some(sort) = crate::orders::parameter(path).filter(|_| method == Method::GET) {
                    operation.parameters.get_or_insert_default().push(RefOr::T(sort));
                }
                say_what_it_needs(operation, needs(&method, path));
                // An import says itself what its trial is.
                if !is_safe(&method) && !is_tried_by_a_job(&method, path) && needs(&method, path) != Some(Needs::Nobody)
                {
                    may_be_tried(operation);
                }
            }
        }
    }
    document
}

/// `x-permission`: what a caller's role and scopes must have.
fn say_what_it_needs(operation: &mut Operation, needs: Option<Needs>) {
    let word = match needs {
        Some(Needs::A(permission)) => permission.as_str(),
        Some(Needs::Anybody) => "any",
        Some(Needs::Person) => "person",
        Some(Needs::Nobody) => {
            operation.security = Some(Vec::new());
            "none"
        }
        None => return,
    };
    operation.extensions.get_or_insert_default().insert("x-permission".to_owned(), word.into());
}

/// Every change can be tried.
fn may_be_tried(operation: &mut Operation) {
    let parameter = ParameterBuilder::new()
        .name(DRY_RUN)
        .parameter_in(ParameterIn::Query)
        .description(Some("Only try it: answers what the change would do, and does nothing"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
    let tried = Content::new(Some(RefOr::Ref(utoipa::openapi::Ref::from_schema_name(DryRun::name()))));
    let responses = &mut operation.responses.responses;
    let ok = responses.entry("200".to_owned()).or_insert_with(|| {
        RefOr::T(ResponseBuilder::new().description("With dry_run: what the change would do").build())
    });
    if let RefOr::T(ok) = ok {
        ok.content.insert(DRY_RUN_TYPE.to_owned(), RefOr::T(tried));
    }
}

/// The document that the router of `v1` begins with.
pub(crate) fn base() -> OpenApi {
    Document::openapi()
}

/// The problems that any call may answer.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let of = |status: &str, description: &str| {
            let schema = RefOr::Ref(utoipa::openapi::Ref::from_schema_name(ProblemBody::name()));
            let content = Content::new(Some(schema));
            let response =
                ResponseBuilder::new().description(description).content("application/problem+json", content).build();
            (status.to_owned(), RefOr::T(response))
        };
        BTreeMap::from([
            of("400", "not-json, bad-request"),
            of("401", "unauthorized; sign-in-refused"),
            of("403", "forbidden: the role of the key does not allow it"),
            of("404", "not-found: it does not exist, or the key does not reach it"),
            of("409", "duplicate, in-use, limit-reached, over-quota, suspended, unproved, operator-decides, under-way"),
            of("412", "precondition-failed: If-Match names another version"),
            of("413", "too-large"),
            of("415", "unsupported-media-type"),
            of("422", "invalid: errors names every faulty field"),
            of("429", "slowed-down: too many failures before this one"),
            of("503", "unavailable: try again after Retry-After"),
        ])
    }
}

/// A page of a list, for the document.
macro_rules! page_schema {
    ($($name:ident of $item:ty),+ $(,)?) => {$(
        #[doc = concat!("A page of the list.")]
        #[derive(Debug, serde::Serialize, ToSchema)]
        pub(crate) struct $name {
            /// In the list's order.
            items: Vec<$item>,
            /// Where the next page begins; null on the last one.
            next_cursor: Option<String>,
        }
    )+};
}

page_schema! {
    TenantList of crate::bodies::TenantBody,
    DomainList of crate::bodies::DomainBody,
    AccountList of crate::bodies::AccountBody,
    AppPasswordList of crate::bodies::AppPasswordBody,
    AliasList of crate::bodies::AliasBody,
    ApiKeyList of crate::bodies::ApiKeyBody,
    AdminList of crate::bodies::AdminBody,
    SignInSessionList of crate::bodies::SignInSessionBody,
    MessageList of crate::bodies::MessageBody,
    ExpungedList of crate::bodies::ExpungedBody,
    SessionList of crate::bodies::SessionBody,
    LiveSessionList of crate::bodies::LiveSessionBody,
    ActivityList of crate::bodies::ActivityBody,
    AuditEventList of crate::bodies::AuditEventBody,
    WebhookList of crate::bodies::WebhookBody,
    WebhookDeliveryList of crate::bodies::WebhookDeliveryBody,
    ImportList of crate::bodies::ImportBody,
    ImportErrorList of crate::bodies::ImportErrorBody,
    MigratedAccountList of crate::bodies::MigratedAccountBody,
}

/// `limit` and `cursor`.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 100)]
    #[expect(dead_code, reason = "only the document's")]
    limit: Option<u32>,
    /// The last page's `next_cursor`.
    #[expect(dead_code, reason = "only the document's")]
    cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_openapi_3_1_and_whole() {
        let json = document();
        assert_eq!(json["openapi"], "3.1.0");
        for path in [
            "/v1/tenants",
            "/v1/tenants/{slug}",
            "/v1/domains/{name}/verify",
            "/v1/accounts/{address}/messages",
            "/v1/accounts/{address}/messages/restore",
            "/v1/accounts/{address}/sessions/{id}/undo",
            "/v1/aliases/{address}",
            "/v1/api-keys/{id}",
        ] {
            assert!(json["paths"][path].is_object(), "{path}");
        }
        assert_eq!(json["components"]["securitySchemes"]["api_key"]["scheme"], "bearer");
        // Every reference leads somewhere.
        let text = json.to_string();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(json["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
