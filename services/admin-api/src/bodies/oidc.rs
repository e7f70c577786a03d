//! Issuers that sign people in.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use directory::{OidcIssuer, RequiredClaim, RoleClaim};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{Object, ObjectBuilder, Ref};

use super::{KeepWord, RoleWord};

/// An issuer that signs people in: never with the secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OidcIssuer)]
pub struct OidcIssuerBody {
    /// Its identifier.
    #[schema(examples("https://id.acme.test"))]
    issuer: String,
    /// Who we are to it.
    #[schema(examples("restante"))]
    client_id: String,
    /// Whether we have a secret to prove that with.
    has_client_secret: bool,
    /// Where the verified e-mail address of somebody new has to lie.
    allowed_domains: Vec<String>,
    /// What the claims of everybody have to say; null: nothing besides.
    required_claim: Option<RequiredClaimBody>,
    /// What somebody new becomes; null: nobody is made.
    default_role: Option<RoleWord>,
    /// Where the claims say the role; null: roles are as they were given here.
    role_claim: Option<RoleClaimBody>,
    /// Asked for besides `openid email profile`.
    #[schema(examples("groups"))]
    extra_scopes: Vec<String>,
    /// What the issuer has to know as this client's redirect URI; null: `admin.public_url` is not set, and nobody can sign in so.
    #[schema(examples("https://admin.example.com/v1/sign-in/oidc/callback"))]
    redirect_uri: Option<String>,
    /// When it was first set.
    created_at: DateTime<Utc>,
}

/// A claim that has to be this, or a list with this in it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequiredClaim)]
pub struct RequiredClaimBody {
    /// Its name.
    #[schema(examples("groups"), min_length = 1, max_length = 1000)]
    pub name: String,
    /// What it has to be or hold.
    #[schema(examples("mail-admins"), min_length = 1, max_length = 1000)]
    pub value: String,
}

/// A claim that says the role: of several values the greatest counts.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoleClaim)]
pub struct RoleClaimBody {
    /// Its name.
    #[schema(examples("groups"), min_length = 1, max_length = 1000)]
    pub name: String,
    /// What its values mean.
    #[schema(schema_with = meanings)]
    pub roles: BTreeMap<String, RoleWord>,
}

/// From values of a claim to roles, for the document.
fn meanings() -> Object {
    ObjectBuilder::new()
        .additional_properties(Some(Ref::from_schema_name(RoleWord::name())))
        .min_properties(Some(1))
        .max_properties(Some(100))
        .examples([serde_json::json!({"mail-admins": "tenant-admin"})])
        .build()
}

/// `PUT /v1/tenants/{slug}/oidc`, `PUT /v1/oidc`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"issuer": "https://id.acme.test", "client_id": "restante", "client_secret": "…", "allowed_domains": ["acme.test"],
    "default_role": "auditor"}))]
pub struct OidcIssuerSet {
    /// Its identifier, exactly as it names itself: an https URL.
    #[schema(examples("https://id.acme.test"), min_length = 1, max_length = 1000)]
    pub issuer: String,
    /// Who we are to it.
    #[schema(examples("restante"), min_length = 1, max_length = 1000)]
    pub client_id: String,
    /// Left out, the one before stays if issuer and client do; null: there is none (a public client).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1000, required = false, write_only)]
    pub client_secret: Option<String>,
    /// Where the verified e-mail address of somebody new has to lie; needed with `default_role`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme.test"), max_items = 100, required = false)]
    pub allowed_domains: Option<Vec<String>>,
    /// What the claims of everybody have to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub required_claim: Option<RequiredClaimBody>,
    /// What somebody new becomes; default: nobody is made. No domain-admin, and a platform-admin only at the platform's issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub default_role: Option<RoleWord>,
    /// Where the claims say the role, at each sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub role_claim: Option<RoleClaimBody>,
    /// Asked for besides `openid email profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("groups"), max_items = 10, required = false)]
    pub extra_scopes: Option<Vec<String>>,
}

/// `POST /v1/sign-in/code`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk"}))]
pub struct SignInCode {
    /// What the callback gave, after `#code=`.
    #[schema(write_only)]
    pub code: String,
    /// Where the refresh token is to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub keep: Option<KeepWord>,
}

impl OidcIssuerBody {
    /// With where the issuer is to send people back to.
    pub(crate) fn new(issuer: OidcIssuer, redirect_uri: Option<String>) -> Self {
        let rules = issuer.rules;
        Self {
            issuer: issuer.issuer,
            client_id: issuer.client_id,
            has_client_secret: issuer.has_client_secret,
            allowed_domains: rules.allowed_domains.iter().map(ToString::to_string).collect(),
            required_claim: rules.required_claim.map(|RequiredClaim { name, value }| RequiredClaimBody { name, value }),
            default_role: rules.default_role.map(RoleWord::from),
            role_claim: rules.role_claim.map(|RoleClaim { name, roles }| RoleClaimBody {
                name,
                roles: roles.into_iter().map(|(value, role)| (value, role.into())).collect(),
            }),
            extra_scopes: rules.extra_scopes,
            redirect_uri,
            created_at: issuer.created_at,
        }
    }
}
