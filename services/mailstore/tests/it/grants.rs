use runtime::database::DbRole;

use crate::world::World;

/// All that the frontends' roles may do. A grant that is not here is a mistake, wherever it comes from.
const FUNCTIONS: &[(&str, &[&str])] = &[
    (
        "restante_pop3",
        &[
            "catalog_1",
            "catalog_standing_1",
            "catalog_stop_1",
            "frontend_beat_1",
            "pop3_lease_1",
            "pop3_list_1",
            "pop3_locate_1",
            "pop3_login_1",
            "pop3_login_2",
            "pop3_login_time_1",
            "pop3_promises_1",
            "pop3_quit_1",
            "pop3_quit_2",
            "pop3_rehash_1",
            "pop3_renew_app_password_1",
            "pop3_report_1",
            "pop3_report_2",
            "pop3_transcript_1",
            "pop3_unlease_1",
            "pop3_view_1",
            "tenant_key_1",
        ],
    ),
    (
        "restante_lmtp",
        &[
            "catalog_1",
            "catalog_standing_1",
            "catalog_stop_1",
            "frontend_beat_1",
            "lmtp_deliver_1",
            "lmtp_report_1",
            "lmtp_resolve_1",
            "tenant_key_1",
            "tenant_key_make_1",
        ],
    ),
    (
        "restante_worker",
        &[
            "catalog_1",
            "catalog_standing_1",
            "catalog_stop_1",
            "count_activity_1",
            "frontend_beat_1",
            "pop3_locate_1",
            "tenant_key_1",
            "tenant_key_make_1",
            "worker_account_1",
            "worker_drop_purged_1",
            "worker_erase_account_1",
            "worker_erase_domains_1",
            "worker_expire_1",
            "worker_expire_claims_1",
            "worker_forget_1",
            "worker_forget_2",
            "worker_import_1",
            "worker_import_account_1",
            "worker_import_account_2",
            "worker_import_known_1",
            "worker_job_creator_1",
            "worker_known_addresses_1",
            "worker_mark_1",
            "worker_partition_1",
            "worker_quota_levels_1",
            "worker_sweep_audit_1",
            "worker_webhooks_claim_1",
            "worker_webhooks_done_1",
            "worker_webhooks_forget_1",
            "worker_webhooks_overflow_1",
        ],
    ),
];

#[tokio::test]
async fn frontends_may_call_their_functions_and_touch_no_table() {
    let world = World::new().await;
    for (role, expected) in FUNCTIONS {
        let granted: Vec<String> = sqlx::query_scalar(
            "SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'restante'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE') ORDER BY 1",
        )
        .bind(role)
        .fetch_all(&world.superuser)
        .await
        .unwrap();
        assert_eq!(&granted, expected, "functions of {role}");
    }
    for role in ["restante_pop3", "restante_lmtp"] {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'restante'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') \
             AND (CASE WHEN c.relkind = 'S' THEN has_sequence_privilege($1, c.oid, 'USAGE, SELECT, UPDATE') \
                       ELSE has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE') END)",
        )
        .bind(role)
        .fetch_all(&world.superuser)
        .await
        .unwrap();
        assert!(tables.is_empty(), "{role} may touch {tables:?}");
    }
    let worker = world.database.pool(DbRole::Worker).await;
    for secret in ["SELECT verifier FROM restante.credentials", "SELECT key_hash FROM restante.api_keys"] {
        let error = sqlx::query(sqlx::AssertSqlSafe(secret)).execute(&worker).await.unwrap_err();
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{secret}");
    }
}

/// The audit log grows, and nobody who serves can do anything else to it; nor can the functions that write there. What is too old is
/// taken away by one function of the owner.
#[tokio::test]
async fn the_audit_log_is_only_appended_to() {
    let world = World::new().await;
    world.sweeper(mailstore::SweepSettings::default()).await.sweep().await.unwrap();
    let roles = ["admin", "platform", "worker", "pop3", "lmtp", "definer"].map(|role| format!("restante_{role}"));
    let may: Vec<String> = sqlx::query_scalar(
        "SELECT r.role || ' ' || p.privilege || ' ' || c.relname FROM unnest($1) r(role), pg_class c, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) p(privilege) \
          WHERE (c.oid = 'restante.audit_events'::regclass OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'restante.audit_events'::regclass)) \
            AND (has_table_privilege(r.role, c.oid, p.privilege) OR p.privilege = 'UPDATE' AND has_any_column_privilege(r.role, c.oid, 'UPDATE'))",
    )
    .bind(roles.as_slice())
    .fetch_all(&world.superuser)
    .await
    .unwrap();
    assert!(may.is_empty(), "{may:?}");
    let partitions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_inherits WHERE inhparent = 'restante.audit_events'::regclass")
            .fetch_one(&world.superuser)
            .await
            .unwrap();
    assert!(partitions >= 3, "the months of {partitions} partitions were looked at");
    for role in [DbRole::Admin, DbRole::Worker] {
        let pool = world.database.pool(role).await;
        let drop = "DROP TABLE restante.audit_events_default";
        for change in [
            "DELETE FROM restante.audit_events",
            "UPDATE restante.audit_events SET actor = ''",
            "TRUNCATE restante.audit_events",
            drop,
        ] {
            let error = sqlx::query(sqlx::AssertSqlSafe(change)).execute(&pool).await.unwrap_err();
            assert_eq!(
                error.as_database_error().and_then(|e| e.code()).as_deref(),
                Some("42501"),
                "{role:?}: {change}"
            );
        }
    }
}

#[tokio::test]
async fn every_table_of_a_tenant_has_forced_row_level_security_and_a_policy() {
    let world = World::new().await;
    // Partitions made later are tables too.
    world
        .sweeper(mailstore::SweepSettings { partitions_ahead_days: 2, ..Default::default() })
        .await
        .sweep()
        .await
        .unwrap();
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'restante'::regnamespace AND c.relkind IN ('r', 'p') \
         AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) \
         AND NOT (c.relrowsecurity AND c.relforcerowsecurity \
                  AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND 'restante_admin'::regrole = ANY (p.polroles)))",
    )
    .fetch_all(&world.superuser)
    .await
    .unwrap();
    assert!(open.is_empty(), "without row-level security: {open:?}");
}
