//! A database with two tenants, and the directory as each role uses it.

use std::sync::Arc;

use directory::{
    AccountChange, AliasAddress, Caller, Directory, DomainChange, NewAccount, NewAlias, NewDomain, NewTenant, Policy,
    PolicyChange, Precondition, Quota, Reach, Role, Settings, Tenant, TenantChange,
};
use mail_types::{Address, DomainName, Secret, SystemClock, SystemRandom, TenantId, TenantSlug};
use runtime::database::DbRole;
use runtime::keys::MasterKeys;
use testkit::{FakeClock, TestDatabase};
use uuid::Uuid;

pub(crate) const MASTER_KEY: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    /// Under the role admin.
    pub(crate) admin: Directory,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = testkit::database().await;
        let admin = directory(&database, DbRole::Admin).await;
        Self { database, admin }
    }

    /// The directory as another role uses it.
    pub(crate) async fn under(&self, role: DbRole) -> Directory {
        directory(&self.database, role).await
    }

    /// The same with a clock that tests move.
    pub(crate) async fn at(&self, role: DbRole, clock: FakeClock) -> Directory {
        self.with(role, clock, Settings::default()).await
    }

    /// The same with settings of the test's own.
    pub(crate) async fn with(&self, role: DbRole, clock: FakeClock, settings: Settings) -> Directory {
        let keys = MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap();
        let pool = self.database.pool(role).await;
        Directory::new(pool, keys, Arc::new(clock), Arc::new(SystemRandom), settings)
    }

    pub(crate) async fn set_tenant_policy(&self, tenant: &Tenant, policy: PolicyChange) {
        let change = TenantChange { policy, ..TenantChange::default() };
        self.admin.change_tenant(&platform(), &tenant.slug, change, &Precondition::None).await.unwrap();
    }

    pub(crate) async fn set_domain_policy(&self, name: &str, policy: PolicyChange) {
        let (name, change) = (domain(name), DomainChange { policy, ..DomainChange::default() });
        self.admin.change_domain(&platform(), &name, None, change, &Precondition::None).await.unwrap();
    }

    pub(crate) async fn set_account_policy(&self, of: &str, policy: PolicyChange) {
        let change = AccountChange { policy, ..AccountChange::default() };
        self.admin.change_account(&platform(), &address(of), change, &Precondition::None).await.unwrap();
    }

    /// A tenant with one domain, `SLUG.test`.
    pub(crate) async fn tenant(&self, slug: &str) -> Tenant {
        let new = NewTenant {
            slug: self::slug(slug),
            name: slug.to_owned(),
            quota: Quota::default(),
            policy: Policy::default(),
        };
        let tenant = self.admin.create_tenant(&platform(), new).await.unwrap();
        self.domain(&tenant, &format!("{slug}.test")).await;
        tenant
    }

    pub(crate) async fn domain(&self, tenant: &Tenant, name: &str) {
        let new = NewDomain {
            name: domain(name),
            tenant: Some(tenant.slug.clone()),
            policy: Policy::default(),
            quota: directory::Quota::default(),
        };
        self.admin.create_domain(&platform(), new).await.unwrap();
    }

    pub(crate) async fn account(&self, address: &str, password: Option<&str>) -> directory::Account {
        let new = NewAccount {
            address: self::address(address),
            password: password.map(Secret::from),
            quota: Quota::default(),
        };
        self.admin.create_account(&platform(), new).await.unwrap()
    }

    pub(crate) async fn alias(&self, alias: &str, targets: &[&str]) {
        let new = NewAlias {
            address: AliasAddress::parse(alias).unwrap(),
            targets: targets.iter().map(|target| address(target)).collect(),
        };
        self.admin.create_alias(&platform(), new).await.unwrap();
    }
}

async fn directory(database: &TestDatabase, role: DbRole) -> Directory {
    let keys = MasterKeys::parse(&Secret::from(MASTER_KEY)).unwrap();
    let pool = database.pool(role).await;
    Directory::new(pool, keys, Arc::new(SystemClock), Arc::new(SystemRandom), Settings::default())
}

pub(crate) fn platform() -> Caller {
    Caller::service("test", Uuid::nil())
}

pub(crate) fn of(tenant: TenantId) -> Caller {
    Caller::new(Reach::Tenant(tenant), Role::TenantAdmin, format!("tenant-{tenant}"), None, Uuid::nil())
}

pub(crate) fn slug(text: &str) -> TenantSlug {
    TenantSlug::parse(text).unwrap()
}

pub(crate) fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}
