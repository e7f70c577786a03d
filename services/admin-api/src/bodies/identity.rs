//! People: administrators, their sign-ins, what they sign in with.

use chrono::{DateTime, Utc};
use directory::{Admin, AdminStatus, Jwks, Me, Principal, SignInMethod, SignInSession};
use serde::Serialize;
use utoipa::ToSchema;

use super::{RoleWord, Status};

/// An administrator: never with a secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Admin)]
pub struct AdminBody {
    /// Opaque.
    #[schema(examples("adm_7"))]
    id: String,
    /// What they sign in with.
    #[schema(examples("carol@acme.test"))]
    name: String,
    /// For people.
    #[schema(examples("Carol"))]
    display_name: String,
    /// Whose they are; null: the platform's.
    #[schema(examples("acme"))]
    tenant: Option<String>,
    /// What they may do.
    role: RoleWord,
    /// A domain-admin's domains; empty for others.
    domains: Vec<String>,
    /// Suspended, they cannot sign in.
    status: Status,
    /// Whether they have a password; without one, only an issuer signs them in.
    has_password: bool,
    /// Whether their password needs a one-time code besides.
    has_totp: bool,
    /// When they were made.
    created_at: DateTime<Utc>,
    /// When they last signed in.
    signed_in_at: Option<DateTime<Utc>>,
}

/// `POST /v1/admins`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "carol@acme.test", "display_name": "Carol", "role": "tenant-admin", "tenant": "acme", "password": "correct horse"}))]
pub struct AdminNew {
    /// An address without a subaddress, unique for the service. A tenant's own caller chooses it in a verified domain of the tenant.
    #[schema(examples("carol@acme.test"))]
    pub name: String,
    /// For people; default: the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("Carol"), min_length = 1, max_length = 200, required = false)]
    pub display_name: Option<String>,
    /// Whose they are; a tenant's own caller may leave it out. Without it, the platform makes its own: platform-admin, helpdesk, auditor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme"), required = false)]
    pub tenant: Option<String>,
    /// No greater than the caller's own.
    pub role: RoleWord,
    /// A domain-admin's domains, of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme.test"), max_items = 1000, required = false)]
    pub domains: Option<Vec<String>>,
    /// Without one, only an issuer signs them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 8, max_length = 1024, required = false, write_only)]
    pub password: Option<String>,
}

/// `PATCH /v1/admins/{id}` (RFC 7396).
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "helpdesk"}))]
pub struct AdminPatch {
    /// What they sign in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub display_name: Option<String>,
    /// No greater than the caller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<RoleWord>,
    /// Null: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 1000)]
    pub domains: Option<Vec<String>>,
    /// Suspend or resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
}

/// `PUT /v1/admins/{id}/password`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse"}))]
pub struct AdminPasswordSet {
    /// At least 8 characters, at most 1024 octets, no control characters.
    #[schema(min_length = 8, max_length = 1024, write_only)]
    pub password: String,
}

/// `PUT /v1/me/password`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"current_password": "correct horse", "new_password": "battery staple"}))]
pub struct OwnPasswordSet {
    /// The one in force.
    #[schema(max_length = 1024, write_only)]
    pub current_password: String,
    /// At least 8 characters, at most 1024 octets, no control characters.
    #[schema(min_length = 8, max_length = 1024, write_only)]
    pub new_password: String,
}

/// The caller's own password: what a session alone may not change needs it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse"}))]
pub struct OwnPassword {
    /// The one in force.
    #[schema(max_length = 1024, write_only)]
    pub password: String,
}

/// `PUT /v1/me/totp`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "123456"}))]
pub struct TotpConfirm {
    /// What the authenticator shows.
    #[schema(write_only)]
    pub code: String,
}

/// A secret for an authenticator.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TotpOffered {
    /// In base32, for typing. Shown this once.
    #[schema(examples("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"))]
    secret: String,
    /// For a QR code. Shown this once.
    #[schema(examples(
        "otpauth://totp/Restante:carol%40acme.test?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Restante"
    ))]
    otpauth_uri: String,
}

/// Recovery codes, each for one sign-in in place of a one-time code.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"recovery_codes": ["0123-4567-89ab-cdef", "1234-5678-9abc-def0", "2345-6789-abcd-ef01", "3456-789a-bcde-f012",
    "4567-89ab-cdef-0123", "5678-9abc-def0-1234", "6789-abcd-ef01-2345", "789a-bcde-f012-3456", "89ab-cdef-0123-4567",
    "9abc-def0-1234-5678"]}))]
pub struct RecoveryCodes {
    /// Shown this once.
    #[schema(min_items = 10, max_items = 10)]
    recovery_codes: Vec<String>,
}

/// `POST /v1/sign-in`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "carol@acme.test", "password": "correct horse", "totp": "123456"}))]
pub struct SignInNew {
    /// As it was made; upper and lower case are one.
    pub name: String,
    /// The password.
    #[schema(write_only)]
    pub password: String,
    /// The code that the authenticator shows, where one is set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, write_only)]
    pub totp: Option<String>,
    /// One of the recovery codes, in place of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, write_only)]
    pub recovery_code: Option<String>,
    /// Where the refresh token is to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub keep: Option<KeepWord>,
}

/// Where a browser keeps a refresh token.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Keep)]
pub enum KeepWord {
    /// In a cookie that no script sees: the answer has none then. It authenticates nothing but a refresh, by a page of this origin.
    Cookie,
}

/// How people can sign in.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = SignInMethods)]
pub struct SignInMethodsBody {
    /// By a name and a password.
    #[schema(examples(true))]
    pub(crate) password: bool,
    /// By an issuer: `GET /v1/sign-in/oidc` begins it.
    #[schema(examples(true))]
    pub(crate) oidc: bool,
}

/// `POST /v1/sign-in/refresh`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum RefreshNew {
    /// A token.
    Token(RefreshByToken),
    /// The one that a cookie keeps.
    Cookie(RefreshByCookie),
}

/// A refresh by a cookie, by a page of this origin.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshByCookie {
    /// Where the token is kept, and the next one is to be.
    pub keep: KeepWord,
}

/// A refresh by the token itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "rsf-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}))]
pub struct RefreshByToken {
    /// The last one given out.
    #[schema(write_only)]
    pub refresh_token: String,
}

/// What a sign-in gives.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Tokens)]
pub struct TokensBody {
    /// For `Authorization: Bearer`: a JWT.
    #[schema(examples("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZG1fNyJ9.c2lnbmF0dXJl"))]
    pub(crate) access_token: String,
    /// Always `Bearer`.
    #[schema(examples("Bearer"))]
    pub(crate) token_type: &'static str,
    /// How long that holds, seconds.
    #[schema(examples(300))]
    pub(crate) expires_in: u32,
    /// For the next ones, once. Left out where a cookie keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        examples("rsf-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        required = false,
        nullable = false
    )]
    pub(crate) refresh_token: Option<String>,
}

/// `POST /v1/sign-out`.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"everywhere": true}))]
pub struct SignOut {
    /// All sign-ins, not only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, default = false)]
    pub everywhere: Option<bool>,
}

/// What a sign-out came to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SignedOut {
    /// Sign-ins that ended.
    #[schema(examples(1))]
    pub(crate) ended: u64,
}

/// What a sign-in was proved by.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignInMethodWord {
    /// The password.
    Password,
    /// The password and a one-time code.
    PasswordTotp,
    /// The password and a recovery code.
    PasswordRecoveryCode,
    /// An issuer.
    Oidc,
}

/// A sign-in under way.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SignInSession)]
pub struct SignInSessionBody {
    /// Opaque.
    #[schema(examples("sess_0123456789abcdef0123456789abcdef"))]
    id: String,
    /// Whose.
    #[schema(examples("adm_7"))]
    admin: String,
    /// What they sign in with.
    #[schema(examples("carol@acme.test"))]
    name: String,
    /// Whose they are; null: the platform's.
    tenant: Option<String>,
    /// What it was proved by.
    method: SignInMethodWord,
    /// When it began.
    began_at: DateTime<Utc>,
    /// When it was last refreshed.
    refreshed_at: DateTime<Utc>,
    /// When it ends if it is not refreshed before.
    ends_at: DateTime<Utc>,
    /// From where.
    #[schema(examples("192.0.2.1"))]
    address: Option<String>,
    /// What the client called itself.
    client: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

/// Who asks.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Me)]
pub struct MeBody {
    /// `adm_…` for a person, `key_…` for a key.
    #[schema(examples("adm_7"))]
    id: String,
    /// What a person signs in with, or what the key was made for.
    #[schema(examples("carol@acme.test"))]
    name: String,
    /// Of a person.
    display_name: Option<String>,
    /// What they may do.
    role: RoleWord,
    /// Where; null: in all of the service.
    tenant: Option<String>,
    /// In which domains only; null: in all.
    domains: Option<Vec<String>>,
    /// All that they may do, in the words of scopes.
    #[schema(examples("accounts:read"))]
    permissions: Vec<String>,
    /// A person's sign-in.
    session: Option<String>,
    /// Whether a person's password needs a one-time code besides.
    has_totp: bool,
    /// Whether a person has a password.
    has_password: bool,
}

/// A public key (RFC 7517, RFC 8037).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Jwk)]
pub struct JwkBody {
    #[schema(examples("OKP"))]
    kty: &'static str,
    #[schema(examples("Ed25519"))]
    crv: &'static str,
    #[schema(examples("sig"))]
    r#use: &'static str,
    #[schema(examples("EdDSA"))]
    alg: &'static str,
    /// As tokens name it.
    #[schema(examples("4f7c8e1b2d4f60a1b2c3d4e5f6071829"))]
    kid: String,
    /// The 32 octets, base64url.
    #[schema(examples("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))]
    x: String,
}

/// What access tokens are verified with.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Jwks)]
pub struct JwksBody {
    /// The one that signs now first.
    keys: Vec<JwkBody>,
}

impl From<Admin> for AdminBody {
    fn from(admin: Admin) -> Self {
        Self {
            id: format!("adm_{}", admin.id),
            name: admin.name,
            display_name: admin.display_name,
            tenant: admin.tenant.map(|tenant| tenant.to_string()),
            role: admin.role.into(),
            domains: admin.domains.iter().map(ToString::to_string).collect(),
            status: match admin.status {
                AdminStatus::Active => Status::Active,
                AdminStatus::Suspended => Status::Suspended,
            },
            has_password: admin.has_password,
            has_totp: admin.has_totp,
            created_at: admin.created_at,
            signed_in_at: admin.signed_in_at,
        }
    }
}

impl From<SignInSession> for SignInSessionBody {
    fn from(session: SignInSession) -> Self {
        Self {
            id: format!("sess_{}", session.session),
            admin: format!("adm_{}", session.admin),
            name: session.name,
            tenant: session.tenant.map(|tenant| tenant.to_string()),
            method: match session.method {
                SignInMethod::Password => SignInMethodWord::Password,
                SignInMethod::PasswordAndTotp => SignInMethodWord::PasswordTotp,
                SignInMethod::PasswordAndRecoveryCode => SignInMethodWord::PasswordRecoveryCode,
                SignInMethod::Oidc => SignInMethodWord::Oidc,
            },
            began_at: session.began_at,
            refreshed_at: session.refreshed_at,
            ends_at: session.ends_at,
            address: session.address.map(|address| address.to_string()),
            client: session.client,
            current: session.is_current,
        }
    }
}

impl From<Me> for MeBody {
    fn from(me: Me) -> Self {
        let (id, session) = match me.principal {
            Principal::Admin(signed_in) => {
                (format!("adm_{}", signed_in.admin), Some(format!("sess_{}", signed_in.session)))
            }
            Principal::ApiKey(id) => (format!("key_{id}"), None),
            Principal::Service => ("service".to_owned(), None),
        };
        Self {
            id,
            name: me.name,
            display_name: me.display_name,
            role: me.role.into(),
            tenant: me.tenant.map(|tenant| tenant.to_string()),
            domains: me.domains.map(|domains| domains.iter().map(ToString::to_string).collect()),
            permissions: me.permissions.iter().map(ToString::to_string).collect(),
            session,
            has_totp: me.has_totp,
            has_password: me.has_password,
        }
    }
}

impl From<Jwks> for JwksBody {
    fn from(jwks: Jwks) -> Self {
        let key = |(kid, x)| JwkBody { kty: "OKP", crv: "Ed25519", r#use: "sig", alg: "EdDSA", kid, x };
        Self { keys: jwks.keys.into_iter().map(key).collect() }
    }
}
