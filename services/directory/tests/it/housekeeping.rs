//! What the worker does for the directory.

use directory::{Housekeeper, NewDomain, PageRequest, Policy, Settings};
use runtime::database::DbRole;

use crate::support::{World, domain, of};

#[tokio::test]
async fn old_claims_are_forgotten_and_nothing_else() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let own = of(acme.id);
    let claim = |name: &str| NewDomain { name: domain(name), tenant: None, policy: Policy::default(), quota: directory::Quota::default() };
    for name in ["new.test", "old.test", "used.test"] {
        world.admin.create_domain(&own, claim(name)).await.unwrap();
    }
    world.account("alice@used.test", None).await;
    let owner = world.database.pool(DbRole::Owner).await;
    sqlx::query("UPDATE restante.domains SET claimed_at = now() - interval '8 days' WHERE name <> 'new.test'")
        .execute(&owner)
        .await
        .unwrap();
    let worker = world.database.pool(DbRole::Worker).await;
    let keeper = |claim_days| Housekeeper::new(worker.clone(), &Settings { claim_days, ..Settings::default() });
    assert_eq!(keeper(9).expire_claims().await.unwrap(), 0);
    assert_eq!(keeper(u32::MAX).expire_claims().await.unwrap(), 0);
    assert_eq!(keeper(7).expire_claims().await.unwrap(), 1);
    let left = world.admin.domains(&own, &directory::DomainFilter::default(), &PageRequest::default()).await.unwrap();
    let names: Vec<_> = left.items.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["acme.test", "new.test", "used.test"]);
    let told: (String, String) = sqlx::query_as(
        "SELECT actor, target FROM restante.audit_events WHERE tenant_id = $1 AND action = 'domain.expire'",
    )
    .bind(acme.id.0)
    .fetch_one(&owner)
    .await
    .unwrap();
    assert_eq!(told, ("worker".to_owned(), "old.test".to_owned()));
}
