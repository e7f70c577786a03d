//! What each operation of the API needs: one row an operation. The guard in front of the handlers looks here ([`crate::guard`]); an
//! operation without a row is refused for everybody, and the document says of each what it needs.

use axum::http::Method;
use directory::Permission;

use crate::v1::oidc::CALLBACK;

/// What an operation needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: the request proves itself, or there is nothing to protect.
    Nobody,
    /// Any proved caller: it concerns itself only.
    Anybody,
    /// A person who signed in: it concerns how they do.
    Person,
    /// A caller whose role and scopes have the permission.
    A(Permission),
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

use Needs::{A, Anybody, Nobody, Person};
use Permission as P;

/// The table. Paths are as in the document.
pub(crate) const OPERATIONS: &[(Method, &str, Needs)] = &[
    (POST, "/v1/tenants", A(P::TenantsWrite)),
    (GET, "/v1/tenants", A(P::TenantsRead)),
    (GET, "/v1/tenants/{slug}", A(P::TenantsRead)),
    (PATCH, "/v1/tenants/{slug}", A(P::TenantsWrite)),
    (DELETE, "/v1/tenants/{slug}", A(P::TenantsWrite)),
    (POST, "/v1/tenants/{slug}/restore", A(P::TenantsWrite)),
    (GET, "/v1/tenants/{slug}/usage", A(P::UsageRead)),
    (GET, "/v1/tenants/{slug}/export", A(P::JobsWrite)),
    (POST, "/v1/domains", A(P::DomainsWrite)),
    (GET, "/v1/domains", A(P::DomainsRead)),
    (GET, "/v1/domains/{name}", A(P::DomainsRead)),
    (PATCH, "/v1/domains/{name}", A(P::DomainsWrite)),
    (DELETE, "/v1/domains/{name}", A(P::DomainsWrite)),
    (POST, "/v1/domains/{name}/verify", A(P::DomainsWrite)),
    (POST, "/v1/domains/{name}/restore", A(P::DomainsWrite)),
    (GET, "/v1/domains/{name}/dns", A(P::DomainsRead)),
    (GET, "/v1/domains/{name}/usage", A(P::UsageRead)),
    (POST, "/v1/accounts", A(P::AccountsWrite)),
    (GET, "/v1/accounts", A(P::AccountsRead)),
    (GET, "/v1/accounts/{address}", A(P::AccountsRead)),
    (PATCH, "/v1/accounts/{address}", A(P::AccountsWrite)),
    (DELETE, "/v1/accounts/{address}", A(P::AccountsWrite)),
    (POST, "/v1/accounts/{address}/restore", A(P::AccountsWrite)),
    (GET, "/v1/accounts/{address}/usage", A(P::UsageRead)),
    (PUT, "/v1/accounts/{address}/password", A(P::CredentialsWrite)),
    (DELETE, "/v1/accounts/{address}/password", A(P::CredentialsWrite)),
    (POST, "/v1/accounts/{address}/app-passwords", A(P::CredentialsWrite)),
    (GET, "/v1/accounts/{address}/app-passwords", A(P::CredentialsRead)),
    (GET, "/v1/accounts/{address}/app-passwords/{id}", A(P::CredentialsRead)),
    (DELETE, "/v1/accounts/{address}/app-passwords/{id}", A(P::CredentialsWrite)),
    (POST, "/v1/accounts/{address}/messages", A(P::MessagesDeliver)),
    (GET, "/v1/accounts/{address}/messages", A(P::MessagesRead)),
    (GET, "/v1/accounts/{address}/messages/{unique_id}", A(P::MessagesRead)),
    (GET, "/v1/accounts/{address}/messages/{unique_id}/raw", A(P::MessagesRaw)),
    (GET, "/v1/accounts/{address}/messages/expunged", A(P::MessagesRead)),
    (POST, "/v1/accounts/{address}/messages/restore", A(P::MessagesRestore)),
    (GET, "/v1/accounts/{address}/sessions", A(P::SessionsRead)),
    (POST, "/v1/accounts/{address}/sessions/{id}/undo", A(P::MessagesRestore)),
    (GET, "/v1/live-sessions", A(P::SessionsRead)),
    (DELETE, "/v1/live-sessions/{id}", A(P::SessionsWrite)),
    (GET, "/v1/accounts/{address}/live-sessions", A(P::SessionsRead)),
    (DELETE, "/v1/accounts/{address}/live-sessions", A(P::SessionsWrite)),
    (GET, "/v1/accounts/{address}/activity", A(P::ActivityRead)),
    (GET, "/v1/accounts/{address}/diagnose", A(P::ActivityRead)),
    (POST, "/v1/accounts/{address}/transcripts", A(P::TranscriptsWrite)),
    (GET, "/v1/accounts/{address}/transcripts", A(P::TranscriptsRead)),
    (DELETE, "/v1/accounts/{address}/transcripts", A(P::TranscriptsWrite)),
    (GET, "/v1/accounts/{address}/transcripts/{id}", A(P::TranscriptsRead)),
    (DELETE, "/v1/accounts/{address}/transcripts/{id}", A(P::TranscriptsWrite)),
    (GET, "/v1/search", A(P::AccountsRead)),
    (GET, "/v1/overview", A(P::UsageRead)),
    (POST, "/v1/aliases", A(P::AliasesWrite)),
    (GET, "/v1/aliases", A(P::AliasesRead)),
    (GET, "/v1/aliases/{address}", A(P::AliasesRead)),
    (PATCH, "/v1/aliases/{address}", A(P::AliasesWrite)),
    (DELETE, "/v1/aliases/{address}", A(P::AliasesWrite)),
    (POST, "/v1/imports", A(P::JobsWrite)),
    (GET, "/v1/imports", A(P::JobsRead)),
    (GET, "/v1/imports/{id}", A(P::JobsRead)),
    (GET, "/v1/imports/{id}/errors", A(P::JobsRead)),
    (GET, "/v1/imports/{id}/accounts", A(P::JobsRead)),
    (POST, "/v1/imports/{id}/cancel", A(P::JobsWrite)),
    (POST, "/v1/api-keys", A(P::ApiKeysWrite)),
    (GET, "/v1/api-keys", A(P::ApiKeysRead)),
    (GET, "/v1/api-keys/{id}", A(P::ApiKeysRead)),
    (PATCH, "/v1/api-keys/{id}", A(P::ApiKeysWrite)),
    (DELETE, "/v1/api-keys/{id}", A(P::ApiKeysWrite)),
    (POST, "/v1/admins", A(P::AdminsWrite)),
    (GET, "/v1/admins", A(P::AdminsRead)),
    (GET, "/v1/admins/{id}", A(P::AdminsRead)),
    (PATCH, "/v1/admins/{id}", A(P::AdminsWrite)),
    (DELETE, "/v1/admins/{id}", A(P::AdminsWrite)),
    (PUT, "/v1/admins/{id}/password", A(P::AdminsWrite)),
    (GET, "/v1/tenants/{slug}/oidc", A(P::AdminsRead)),
    (PUT, "/v1/tenants/{slug}/oidc", A(P::AdminsWrite)),
    (DELETE, "/v1/tenants/{slug}/oidc", A(P::AdminsWrite)),
    (GET, "/v1/oidc", A(P::AdminsRead)),
    (PUT, "/v1/oidc", A(P::AdminsWrite)),
    (DELETE, "/v1/oidc", A(P::AdminsWrite)),
    (GET, "/v1/sign-in/oidc", Nobody),
    (GET, CALLBACK, Nobody),
    (POST, "/v1/sign-in/code", Nobody),
    (GET, "/v1/sign-in/methods", Nobody),
    (POST, "/v1/sign-in", Nobody),
    (POST, "/v1/sign-in/refresh", Nobody),
    (POST, "/v1/sign-out", Person),
    (GET, "/v1/jwks.json", Nobody),
    (GET, "/v1/sessions", Anybody),
    (DELETE, "/v1/sessions/{id}", Anybody),
    (GET, "/v1/me", Anybody),
    (PUT, "/v1/me/password", Person),
    (POST, "/v1/me/totp", Person),
    (PUT, "/v1/me/totp", Person),
    (POST, "/v1/me/totp/remove", Person),
    (POST, "/v1/me/totp/recovery-codes", Person),
    (DELETE, "/v1/admins/{id}/totp", A(P::AdminsWrite)),
    (GET, "/v1/audit-events", A(P::AuditRead)),
    (GET, "/v1/audit-events/export", A(P::AuditRead)),
    (POST, "/v1/webhooks", A(P::WebhooksWrite)),
    (GET, "/v1/webhooks", A(P::WebhooksRead)),
    (GET, "/v1/webhooks/{id}", A(P::WebhooksRead)),
    (PATCH, "/v1/webhooks/{id}", A(P::WebhooksWrite)),
    (DELETE, "/v1/webhooks/{id}", A(P::WebhooksWrite)),
    (POST, "/v1/webhooks/{id}/rotate-secret", A(P::WebhooksWrite)),
    (POST, "/v1/webhooks/{id}/test", A(P::WebhooksWrite)),
    (GET, "/v1/webhooks/{id}/deliveries", A(P::WebhooksRead)),
    (GET, "/v1/webhooks/{id}/deliveries/{delivery}", A(P::WebhooksRead)),
    (POST, "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", A(P::WebhooksWrite)),
];

/// What an operation needs; `None`: there is no such operation.
pub(crate) fn needs(method: &Method, path: &str) -> Option<Needs> {
    // HEAD is answered by the handler of GET (RFC 9110 section 9.3.2).
    let method = if *method == Method::HEAD { &GET } else { method };
    OPERATIONS.iter().find(|(of, at, _)| of == method && *at == path).map(|(_, _, needs)| *needs)
}

/// Whether an operation takes query parameters that it does not know: issuers send people back with some of their own.
pub(crate) fn takes_any_query(path: &str) -> bool {
    path == CALLBACK
}

/// Whether any operation has this path.
pub(crate) fn knows(path: &str) -> bool {
    OPERATIONS.iter().any(|(_, at, _)| *at == path)
}
