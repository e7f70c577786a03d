//! Limits of accounts, domains and tenants on what is delivered, and what the audit trail says when they fill.

use serde_json::json;

use crate::support::{config, world};

const TO_ALICE: &str = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nRSET\r\n";
const DELIVER: &str = "MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nDATA\r\n";

#[tokio::test]
async fn deliveries_of_an_hour_are_limited_at_each_level() {
    let world = world(config()).await;
    let mut client = world.greeted().await;
    for _ in 0..2 {
        client.codes(DELIVER, 3).await;
        assert_eq!(client.codes("x\r\n.\r\n", 1).await, ["250 2.0.0"]);
    }
    let sweeper = world.sweeper().await;
    let set = async |table: &str, most: &str| {
        world.owner(&format!("UPDATE restante.{table} SET max_hourly = {most}")).await;
    };
    let refused = ["250 2.1.0", "450 4.2.1", "250 2.0.0"];
    let taken = ["250 2.1.0", "250 2.1.5", "250 2.0.0"];
    // An account's are counted exactly, at once.
    set("accounts", "2").await;
    assert_eq!(client.codes(TO_ALICE, 3).await, refused);
    set("accounts", "3").await;
    assert_eq!(client.codes(TO_ALICE, 3).await, taken);
    // A domain's and a tenant's by the sums.
    sweeper.roll_up_usage().await.unwrap();
    for table in ["domains", "tenants"] {
        set(table, "2").await;
        assert_eq!(client.codes(TO_ALICE, 3).await, refused, "{table}");
        set(table, "3").await;
        assert_eq!(client.codes(TO_ALICE, 3).await, taken, "{table}");
    }
    // The next hour begins at nothing.
    set("tenants", "2").await;
    world.owner("UPDATE restante.usage_now SET hour = hour - interval '1 hour'").await;
    assert_eq!(client.codes(TO_ALICE, 3).await, taken);
    client.codes(DELIVER, 3).await;
    assert_eq!(client.codes("x\r\n.\r\n", 1).await, ["250 2.0.0"]);
    sweeper.roll_up_usage().await.unwrap();
    let counted = "SELECT delivered - hour_base FROM restante.usage_now u JOIN restante.tenants t USING (tenant_id)
                    WHERE u.domain_id = 0 AND t.slug = 'acme'";
    assert_eq!(world.number(counted).await, 1, "what came before does not count");
}

#[tokio::test]
async fn sums_of_a_domain_and_a_tenant_are_enforced_and_thresholds_are_told_once() {
    let world = world(config()).await;
    let mut client = world.greeted().await;
    client.codes(DELIVER, 3).await;
    assert_eq!(client.codes("x\r\n.\r\n", 1).await, ["250 2.0.0"]);
    let sweeper = world.sweeper().await;
    sweeper.roll_up_usage().await.unwrap();
    for (table, limit) in
        [("domains", "max_messages"), ("tenants", "max_messages"), ("domains", "max_octets"), ("tenants", "max_octets")]
    {
        world.owner(&format!("UPDATE restante.{table} SET {limit} = 1")).await;
        assert_eq!(client.codes(TO_ALICE, 3).await, ["250 2.1.0", "552 5.2.2", "250 2.0.0"], "{table} {limit}");
        world.owner(&format!("UPDATE restante.{table} SET {limit} = NULL")).await;
    }
    world.owner("UPDATE restante.accounts SET max_octets = NULL, max_messages = 1 WHERE local_part = 'alice'").await;
    world.owner("UPDATE restante.tenants SET max_accounts = 5 WHERE slug = 'acme'").await;
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 1, "alice; two of five accounts are not 80 %");
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 0, "once");
    world.owner("UPDATE restante.accounts SET max_messages = 2 WHERE local_part = 'alice'").await;
    assert_eq!(sweeper.tell_quota_levels().await.unwrap(), 1, "and when it is over");
    let told =
        "SELECT jsonb_agg(jsonb_build_array(target, before ->> 'percent', after ->> 'percent') ORDER BY event_id)
                  FROM restante.audit_events WHERE action = 'quota.threshold'";
    assert_eq!(world.json(told).await, json!([["alice@acme.test", "0", "100"], ["alice@acme.test", "100", "0"]]));
}
