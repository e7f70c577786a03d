//! Invariant 4, where the database itself holds it: a tenant's transaction sees and changes nothing of another tenant,
//! whatever the query says, and the frontends' roles reach no table.

use directory::{AliasAddress, Error, NewApiKey, PageRequest, Precondition, Role};
use runtime::database::DbRole;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::admins::{make, sign_in};
use crate::support::{World, address, domain, of, platform, slug};

/// Every table with a tenant in it that the role admin may read.
const TABLES: [&str; 31] = [
    "tenants",
    "domains",
    "accounts",
    "addresses",
    "alias_targets",
    "credentials",
    "credential_use",
    "device_views",
    "maildrops",
    "messages",
    "message_extras",
    "expunged",
    "sessions",
    "live_sessions",
    "login_refusals",
    "transcripts",
    "leases",
    "login_times",
    "audit_events",
    "usage_now",
    "activity_sums",
    "account_octets",
    "api_keys",
    "idempotency",
    "jobs",
    "admins",
    "admin_recovery_codes",
    "admin_identities",
    "admin_sessions",
    "oidc_issuers",
    "api_key_use",
];

async fn two_tenants(world: &World) -> (directory::Tenant, directory::Tenant) {
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    for name in ["alice@acme.test", "gus@globex.test"] {
        world.account(name, Some("correct horse")).await;
    }
    world.alias("info@acme.test", &["alice@acme.test"]).await;
    world.alias("info@globex.test", &["gus@globex.test"]).await;
    for (name, tenant) in [("carol@acme.test", &acme), ("gina@globex.test", &globex)] {
        let admin = make(&world.admin, &platform(), name, Role::TenantAdmin, Some(tenant.slug.as_str())).await;
        sign_in(&world.admin, name).await;
        let key = world.admin.create_api_key(&of(tenant.id), NewApiKey::new("ci", Role::Auditor)).await.unwrap();
        world.admin.authenticate(&key.secret, None, Uuid::nil()).await.unwrap().unwrap();
        let superuser = world.database.superuser().await;
        for statement in [
            "INSERT INTO restante.admin_recovery_codes VALUES ($1, $2, 'x')",
            "INSERT INTO restante.admin_identities (tenant_id, admin_id, issuer, subject) VALUES ($1, $2, 'https://id.test', 'x')",
            "INSERT INTO restante.oidc_issuers (tenant_id, issuer, client_id, rules) VALUES ($1, 'https://id.test', $2::bigint::text, '{}')",
        ] {
            sqlx::query(statement).bind(tenant.id.0).bind(admin.id).execute(&superuser).await.unwrap();
        }
    }
    (acme, globex)
}

#[tokio::test]
async fn the_database_shows_a_tenant_its_own_rows_only() {
    let world = World::new().await;
    let (acme, globex) = two_tenants(&world).await;
    let pool = world.database.pool(DbRole::Admin).await;
    for table in TABLES {
        let count =
            || AssertSqlSafe(format!("SELECT count(*), count(*) FILTER (WHERE tenant_id = $1) FROM restante.{table}"));
        // No tenant set: nothing at all.
        let row = sqlx::query(count()).bind(acme.id.0).fetch_one(&pool).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 0, "{table} without a tenant");
        let mut tx = pool.begin().await.unwrap();
        sqlx::query("SELECT set_config('restante.tenant_id', $1, true)")
            .bind(globex.id.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let row = sqlx::query(count()).bind(acme.id.0).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(row.get::<i64, _>(1), 0, "{table}: rows of another tenant");
    }
}

#[tokio::test]
async fn the_database_refuses_to_change_another_tenants_rows() {
    let world = World::new().await;
    let (acme, globex) = two_tenants(&world).await;
    let pool = world.database.pool(DbRole::Admin).await;
    let begin = async || {
        let mut tx = pool.begin().await.unwrap();
        sqlx::query("SELECT set_config('restante.tenant_id', $1, true)")
            .bind(globex.id.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        tx
    };
    for statement in [
        "UPDATE restante.accounts SET status = 2 WHERE tenant_id = $1",
        "UPDATE restante.credentials SET verifier = '' WHERE tenant_id = $1",
        "DELETE FROM restante.alias_targets WHERE tenant_id = $1",
        "UPDATE restante.domains SET policy = '{}' WHERE tenant_id = $1",
        "UPDATE restante.admins SET status = 2 WHERE tenant_id = $1",
        "UPDATE restante.admin_sessions SET ended_at = now() WHERE tenant_id = $1",
        "UPDATE restante.api_keys SET revoked_at = now() WHERE tenant_id = $1",
        "DELETE FROM restante.admins WHERE tenant_id = $1",
        "DELETE FROM restante.admin_recovery_codes WHERE tenant_id = $1",
        "DELETE FROM restante.admin_identities WHERE tenant_id = $1",
        "DELETE FROM restante.oidc_issuers WHERE tenant_id = $1",
    ] {
        let mut tx = begin().await;
        let done = sqlx::query(statement).bind(acme.id.0).execute(&mut *tx).await.unwrap();
        assert_eq!(done.rows_affected(), 0, "{statement}");
    }
    for statement in [
        "INSERT INTO restante.domains (tenant_id, name, challenge) VALUES ($1, 'x.test', '')",
        "UPDATE restante.domains SET tenant_id = $1",
        "INSERT INTO restante.api_keys (key_hash, tenant_id, label, role, scopes) VALUES ('x', $1, '', 2, '{}')",
        "INSERT INTO restante.admins (tenant_id, name, display_name, role) VALUES ($1, 'x@x.test', 'x', 2)",
        "INSERT INTO restante.admin_identities (tenant_id, admin_id, issuer, subject) VALUES ($1, 1, 'x', 'x')",
        "INSERT INTO restante.oidc_issuers (tenant_id, issuer, client_id, rules) VALUES ($1, 'x', 'x', '{}')",
        "INSERT INTO restante.audit_events (tenant_id, actor, action, target) VALUES ($1, '', '', '')",
        "SELECT restante.admin_create_account_1($1, 1, 'x', 'x', NULL, NULL, '')",
        "SELECT restante.admin_verify_domain_1($1, 1)",
        "SELECT * FROM restante.lmtp_resolve_1('acme.test', 'alice', $1)",
    ] {
        let mut tx = begin().await;
        let refused = sqlx::query(statement).bind(acme.id.0).execute(&mut *tx).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused}");
    }
    // A platform key cannot be made by a tenant's transaction either.
    let mut tx = begin().await;
    let platform_key = "INSERT INTO restante.api_keys (key_hash, label, role, scopes) VALUES ('x', '', 1, '{}')";
    assert!(sqlx::query(platform_key).execute(&mut *tx).await.is_err());
    for statement in [
        "INSERT INTO restante.admins (name, display_name, role) VALUES ('x@x.test', 'x', 1)",
        "INSERT INTO restante.oidc_issuers (issuer, client_id, rules) VALUES ('x', 'x', '{}')",
        "UPDATE restante.admins SET tenant_id = NULL",
    ] {
        let mut tx = begin().await;
        let refused = sqlx::query(statement).execute(&mut *tx).await.unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code()).map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn the_frontends_reach_no_table() {
    let world = World::new().await;
    two_tenants(&world).await;
    for role in [DbRole::Pop3, DbRole::Lmtp] {
        let pool = world.database.pool(role).await;
        for table in TABLES.iter().chain(&["tenant_keys", "segments", "domain_owners"]) {
            let refused =
                sqlx::query(AssertSqlSafe(format!("SELECT FROM restante.{table}"))).execute(&pool).await.unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code()).map(|code| code.to_string());
            assert_eq!(code.as_deref(), Some("42501"), "{role:?} {table}");
        }
    }
}

#[tokio::test]
async fn a_tenants_caller_finds_nothing_of_another() {
    let world = World::new().await;
    let (_, globex) = two_tenants(&world).await;
    let (admin, gus) = (&world.admin, of(globex.id));
    let (any, all) = (Precondition::None, PageRequest::default());
    let alice = address("alice@acme.test");
    let info = AliasAddress::parse("info@acme.test").unwrap();
    fn not_found<T: std::fmt::Debug>(result: directory::Result<T>) {
        assert!(matches!(result, Err(Error::NotFound)), "{result:?}");
    }
    not_found(admin.tenant(&gus, &slug("acme")).await);
    not_found(admin.delete_tenant(&gus, &slug("acme"), false, &any).await);
    not_found(admin.domain(&gus, &domain("acme.test"), None).await);
    not_found(admin.domain(&gus, &domain("acme.test"), Some(&slug("acme"))).await);
    not_found(admin.delete_domain(&gus, &domain("acme.test"), None, false, &any).await);
    not_found(admin.account(&gus, &alice).await);
    not_found(admin.delete_account(&gus, &alice, false, &any).await);
    not_found(admin.account_usage(&gus, &alice).await);
    not_found(admin.app_passwords(&gus, &alice).await);
    not_found(admin.alias(&gus, &info).await);
    not_found(admin.delete_alias(&gus, &info, &any).await);

    // A claim of another tenant's domain occupies nothing, and leads to nothing of the other's.
    let claim = directory::NewDomain {
        name: domain("acme.test"),
        tenant: None,
        policy: directory::Policy::default(),
        quota: directory::Quota::default(),
    };
    admin.create_domain(&gus, claim).await.unwrap();
    not_found(admin.account(&gus, &alice).await);
    let vouched =
        admin.vouch_for_domain(&crate::support::platform(), &domain("acme.test"), Some(&slug("globex")), &any).await;
    assert!(matches!(vouched, Err(Error::InUse(_))));
    assert_eq!(admin.tenants(&gus, &directory::TenantFilter::default(), &all).await.unwrap().items.len(), 1);
    assert_eq!(admin.accounts(&gus, &directory::AccountFilter::default(), &all).await.unwrap().items.len(), 1);
    let acmes = directory::AccountFilter { tenant: Some(slug("acme")), ..directory::AccountFilter::default() };
    assert_eq!(admin.accounts(&gus, &acmes, &all).await.unwrap().items.len(), 0);
}
