//! What the worker does for the directory.

use directory::{AuditSwept, Housekeeper, NewDomain, PageRequest, Policy, PolicyChange, Settings};
use runtime::database::DbRole;

use crate::support::{World, domain, of};

#[tokio::test]
async fn old_claims_are_forgotten_and_nothing_else() {
    let world = World::new().await;
    let acme = world.tenant("acme").await;
    let own = of(acme.id);
    let claim = |name: &str| NewDomain {
        name: domain(name),
        tenant: None,
        policy: Policy::default(),
        quota: directory::Quota::default(),
    };
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

#[tokio::test]
async fn the_audit_log_is_kept_for_as_long_as_policy_says() {
    let world = World::new().await;
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let policy = |days| PolicyChange { audit_days: Some(days), ..PolicyChange::default() };
    world.set_tenant_policy(&globex, policy(Some(600))).await;
    // Shorter than the operator's least counts for nothing.
    world.set_tenant_policy(&acme, policy(Some(10))).await;
    let owner = world.database.pool(DbRole::Owner).await;
    let worker = world.database.pool(DbRole::Worker).await;
    for ago in [500, 300] {
        sqlx::query("SELECT restante.worker_partition_1('audit_events', m::date, (m + interval '1 month')::date) FROM date_trunc('month', now() - make_interval(days => $1)) m")
            .bind(ago)
            .execute(&worker)
            .await
            .unwrap();
        for tenant in [0, acme.id.0, globex.id.0] {
            let insert = "INSERT INTO restante.audit_events (tenant_id, at, actor, action, target) VALUES ($1, now() - make_interval(days => $2), 'x', 'test.old', '')";
            sqlx::query(insert).bind(tenant).bind(ago).execute(&owner).await.unwrap();
        }
    }
    // Of a month that never had a partition.
    let insert = "INSERT INTO restante.audit_events (tenant_id, at, actor, action, target) VALUES ($1, now() - interval '3 years', 'x', 'test.old', '')";
    sqlx::query(insert).bind(globex.id.0).execute(&owner).await.unwrap();
    let left = async || {
        let rows: Vec<(i32, i32)> = sqlx::query_as(
            "SELECT tenant_id, extract(day FROM now() - at)::integer FROM restante.audit_events WHERE action = 'test.old' ORDER BY 2, 1",
        )
        .fetch_all(&owner)
        .await
        .unwrap();
        rows
    };
    let keeper = Housekeeper::new(worker, &Settings { audit_days: 400, ..Settings::default() });
    assert_eq!(keeper.sweep_audit().await.unwrap(), AuditSwept { events: 3, months: 0 });
    let (a, g) = (acme.id.0, globex.id.0);
    assert_eq!(left().await, [(0, 300), (a, 300), (g, 300), (g, 500)]);
    assert_eq!(keeper.sweep_audit().await.unwrap(), AuditSwept::default());
    world.set_tenant_policy(&globex, policy(None)).await;
    assert_eq!(keeper.sweep_audit().await.unwrap(), AuditSwept { events: 0, months: 1 });
    assert_eq!(left().await, [(0, 300), (a, 300), (g, 300)]);
    let lasting: i64 = sqlx::query_scalar("SELECT count(*) FROM restante.audit_events WHERE action <> 'test.old'")
        .fetch_one(&owner)
        .await
        .unwrap();
    assert!(lasting >= 4);
}
