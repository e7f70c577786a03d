-- What recovery and checks go by: marks that tell a restored database, what was verified when, and the renewal of verifiers
-- under a new master key.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
-- A mark is counted up here, in a commit, and then written to the bucket: a database whose count is behind the bucket's was restored.
ALTER TABLE catalog
  ADD COLUMN mark        bigint NOT NULL DEFAULT 0,
  ADD COLUMN mark_token  uuid,                      -- of that very mark: equal counts of two histories differ in it
  ADD COLUMN marked_at   timestamptz,               -- after a restore: about the moment that was restored
  ADD COLUMN stopped_why text;                      -- why sweep_state is 0
ALTER TABLE segments
  ADD COLUMN verified_at timestamptz,               -- when every frame of it was last read and compared
  ADD COLUMN damage      text,                      -- what was found then; NULL: nothing
  ADD COLUMN adopted_at  timestamptz;               -- `restante recover` found it without a row
CREATE INDEX segments_to_verify ON segments ((coalesce(verified_at, created_at))) WHERE state = 1;
CREATE INDEX segments_damaged ON segments (segment_id) WHERE damage IS NOT NULL;
RESET ROLE;

SET LOCAL ROLE restante_definer;
-- Where this database stands, to be compared with the mark in the bucket.
CREATE FUNCTION catalog_standing_1()
RETURNS TABLE (incarnation uuid, sweep_state smallint, stopped_why text, mark bigint, mark_token uuid, marked_at timestamptz,
               system text, timeline bigint, lsn bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT c.incarnation, c.sweep_state, c.stopped_why, c.mark, c.mark_token, c.marked_at, s.system_identifier::text,
         ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint, (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint
    FROM catalog c, pg_control_system() s
$$;
-- From now on nothing is deleted by anybody, until `restante recover` ran. Anyone who finds the database restored may say so.
CREATE FUNCTION catalog_stop_1(p_incarnation uuid, p_why text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  UPDATE catalog c SET sweep_state = 0, stopped_why = left(p_why, 500) WHERE c.incarnation = p_incarnation AND c.sweep_state = 1;
  RETURN FOUND;
END $$;
-- The next mark; no row where another worker was first, or sweeping is stopped. The position is one that this very commit makes
-- safe: it is on every synchronous standby before the mark reaches the bucket.
CREATE FUNCTION worker_mark_1(p_incarnation uuid, p_mark bigint)
RETURNS TABLE (mark bigint, mark_token uuid, system text, timeline bigint, lsn bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
  UPDATE catalog c SET mark = p_mark + 1, mark_token = gen_random_uuid(), marked_at = clock_timestamp()
   WHERE c.incarnation = p_incarnation AND c.mark = p_mark AND c.sweep_state = 1
  RETURNING c.mark, c.mark_token, (SELECT s.system_identifier::text FROM pg_control_system() s),
            ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint, (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint
$$;
GRANT EXECUTE ON FUNCTION catalog_standing_1 TO restante_pop3, restante_lmtp, restante_admin, restante_worker, restante_owner;
GRANT EXECUTE ON FUNCTION catalog_stop_1 TO restante_pop3, restante_lmtp, restante_admin, restante_worker;
GRANT EXECUTE ON FUNCTION worker_mark_1 TO restante_worker;

-- As in 0003, but `timeline` also names the server's run: a list that a process holds is of one history, and no database can be
-- restored under it without a start of its server.
CREATE OR REPLACE FUNCTION pop3_login_1(p_domain text, p_local_key text)
RETURNS TABLE (
  tenant_id integer, account_id bigint, local_part text, tenant_status smallint, account_status smallint, auth_version bigint,
  tenant_policy jsonb, domain_policy jsonb, account_policy jsonb,
  shape bigint, next_uid bigint, live_messages integer, live_octets bigint, incarnation uuid, timeline text,
  credential_ids bigint[], kinds smallint[], verifiers text[], scopes smallint[], allowed_nets text[], expires_at timestamptz[],
  policies jsonb[], scram_salt bytea, scram_iterations integer, scram256 bytea[], scram1 bytea[], sealed bytea[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT a.tenant_id, a.account_id, a.local_part, t.status, a.status, a.auth_version, t.policy, d.policy, a.policy,
         m.shape, m.next_uid, m.live_messages, m.live_octets, k.incarnation,
         left(pg_walfile_name(pg_current_wal_lsn()), 8) || '@' || extract(epoch FROM pg_postmaster_start_time())::text,
         c.ids, c.kinds, c.verifiers, c.scopes, c.nets, c.expire, c.policies, a.scram_salt, a.scram_iterations, c.scram256, c.scram1, c.sealed
    FROM catalog k
    LEFT JOIN domain_owners o ON o.name = p_domain
    LEFT JOIN domains d ON (d.tenant_id, d.domain_id) = (o.tenant_id, o.domain_id)
    LEFT JOIN tenants t ON t.tenant_id = o.tenant_id
    LEFT JOIN addresses r ON (r.tenant_id, r.domain_id, r.local_key) = (o.tenant_id, o.domain_id, p_local_key) AND r.account_id IS NOT NULL AND p_local_key <> ''
    LEFT JOIN accounts a ON (a.tenant_id, a.account_id) = (r.tenant_id, r.account_id)
    LEFT JOIN maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
    LEFT JOIN LATERAL (
      SELECT array_agg(x.credential_id ORDER BY x.credential_id) ids, array_agg(x.kind ORDER BY x.credential_id) kinds,
             array_agg(x.verifier ORDER BY x.credential_id) verifiers, array_agg(x.scopes ORDER BY x.credential_id) scopes,
             array_agg(array_to_string(x.allowed_nets, ',') ORDER BY x.credential_id) nets, array_agg(x.expires_at ORDER BY x.credential_id) expire,
             array_agg(x.policy ORDER BY x.credential_id) policies, array_agg(x.scram256 ORDER BY x.credential_id) scram256,
             array_agg(x.scram1 ORDER BY x.credential_id) scram1, array_agg(x.sealed ORDER BY x.credential_id) sealed
        FROM credentials x
       WHERE x.tenant_id = a.tenant_id AND x.account_id = a.account_id AND x.revoked_at IS NULL) c ON true
$$;

-- An app password that was proved in clear moves to the current master key's pepper. Compare and swap, as pop3_rehash_1.
CREATE FUNCTION pop3_renew_app_password_1(p_tenant integer, p_account bigint, p_credential bigint, p_old_verifier text, p_new_verifier text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  UPDATE credentials c SET verifier = p_new_verifier
   WHERE (c.tenant_id, c.account_id, c.credential_id) = (p_tenant, p_account, p_credential)
     AND c.kind IN (2, 3) AND c.revoked_at IS NULL AND c.verifier = p_old_verifier AND p_old_verifier <> '' AND p_new_verifier <> '';
  RETURN FOUND;
END $$;
GRANT EXECUTE ON FUNCTION pop3_renew_app_password_1 TO restante_pop3;
RESET ROLE;
RESET search_path;
