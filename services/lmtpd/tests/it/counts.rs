//! What was delivered and refused is counted, of the domain, the tenant and the service: exactly.

use serde_json::json;

use crate::support::{config, world};

#[tokio::test]
async fn deliveries_and_refusals_are_counted_once_in_each_sum() {
    let mut world = world(config()).await;
    let sweeper = world.sweeper().await;
    let mut client = world.greeted().await;
    for _ in 0..2 {
        client.codes("MAIL FROM:<>\r\nRCPT TO:<alice@acme.test>\r\nRCPT TO:<bob@GLOBEX.test>\r\nDATA\r\n", 4).await;
        assert_eq!(client.codes("x\r\n.\r\n", 2).await, ["250 2.0.0"; 2]);
        sweeper.roll_up_usage().await.unwrap();
    }
    sweeper.roll_up_usage().await.unwrap();
    // Refused at once: somebody who is not there, and of nobody's domain.
    for (to, code) in
        [("nobody@acme.test", "550 5.1.1"), ("nobody@GLOBEX.test", "550 5.1.1"), ("x@nowhere.test", "550 5.1.1")]
    {
        let codes = client.codes(&format!("MAIL FROM:<>\r\nRCPT TO:<{to}>\r\nRSET\r\n"), 3).await;
        assert_eq!(codes, ["250 2.1.0", code, "250 2.0.0"], "{to}");
    }
    // Refused at its end: over quota by then.
    client.codes("MAIL FROM:<>\r\nRCPT TO:<full@acme.test>\r\nDATA\r\n", 3).await;
    let long = format!("{}\r\n.\r\n", "x".repeat(600));
    assert_eq!(client.codes(&long, 1).await, ["552 5.2.2"]);
    world.shutdown.begin_drain();
    drop(client);
    (&mut world.served).await.unwrap().unwrap();

    let sums = "SELECT jsonb_agg(s ORDER BY s.step, s.slug, s.domain, s.kind) FROM (
                  SELECT s.step, coalesce(t.slug, '') AS slug, coalesce(d.name, '') AS domain, s.kind, sum(s.count) AS count
                    FROM restante.activity_sums s LEFT JOIN restante.tenants t USING (tenant_id) LEFT JOIN restante.domains d USING (tenant_id, domain_id)
                   GROUP BY 1, 2, 3, 4) s";
    let mut expected = Vec::new();
    for step in [1, 60] {
        let of = |slug: &str, domain: &str, kind: i32, count: i32| json!({"step": step, "slug": slug, "domain": domain, "kind": kind, "count": count});
        expected.extend([of("", "", 3, 4), of("", "", 4, 3)]);
        for (slug, domain, refused) in [("acme", "acme.test", 2), ("globex", "globex.test", 1)] {
            for domain in ["", domain] {
                expected.extend([of(slug, domain, 3, 2), of(slug, domain, 4, refused)]);
            }
        }
    }
    assert_eq!(world.json(sums).await, json!(expected));
    assert_eq!(world.number("SELECT count(*) FROM restante.frontends WHERE role = 'lmtp'").await, 1, "it beats");
}
