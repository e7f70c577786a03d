-- Lists in several orders; usage beside every limit, and thresholds of each of them; imports that limit deliveries.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;

-- Sessions under way, of the frontends that live.
ALTER TABLE usage_now ADD COLUMN sessions integer NOT NULL DEFAULT 0;
-- One level for each thing that has a limit. What was told before did not say of what it was: it is told anew.
DELETE FROM quota_levels;
ALTER TABLE quota_levels ADD COLUMN resource smallint NOT NULL,   -- 1 octets, 2 messages, 3 accounts, 4 domains, 5 deliveries, 6 sessions
  DROP CONSTRAINT quota_levels_pkey, ADD PRIMARY KEY (tenant_id, kind, id, resource);

ALTER TABLE job_tried ADD COLUMN max_hourly integer;

-- An index for each order of a list: of everything, of a tenant, of a domain. They end with what is unique, so that a page is a range.
CREATE INDEX tenants_created ON tenants (created_at, tenant_id);
CREATE INDEX domains_by_name ON domains (name, tenant_id);
DROP INDEX domains_name;                            -- the one before serves what it did
CREATE INDEX domains_created ON domains (created_at, domain_id);
CREATE INDEX domains_created_of ON domains (tenant_id, created_at, domain_id);
CREATE INDEX accounts_created ON accounts (created_at, account_id);
CREATE INDEX accounts_created_of ON accounts (tenant_id, created_at, account_id);
CREATE INDEX accounts_created_in ON accounts (tenant_id, domain_id, created_at, account_id);
DROP INDEX accounts_domain;                         -- the same
ALTER TABLE addresses ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX aliases_by_key ON addresses (local_key, tenant_id, domain_id) WHERE account_id IS NULL;
CREATE INDEX aliases_by_key_of ON addresses (tenant_id, local_key, domain_id) WHERE account_id IS NULL;
CREATE INDEX aliases_created ON addresses (created_at, domain_id, local_key) WHERE account_id IS NULL;
CREATE INDEX aliases_created_of ON addresses (tenant_id, created_at, domain_id, local_key) WHERE account_id IS NULL;
CREATE INDEX aliases_created_in ON addresses (tenant_id, domain_id, created_at, local_key) WHERE account_id IS NULL;
CREATE INDEX admins_created ON admins (created_at, admin_id);
CREATE INDEX admins_created_of ON admins (tenant_id, created_at, admin_id);
CREATE INDEX api_keys_by_label ON api_keys (label COLLATE "C", key_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_label_of ON api_keys (tenant_id, label COLLATE "C", key_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_created ON api_keys (created_at, key_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_created_of ON api_keys (tenant_id, created_at, key_id) WHERE revoked_at IS NULL;
CREATE INDEX webhooks_by_url ON webhooks (url COLLATE "C", webhook_id);   -- a tenant has few
CREATE INDEX webhooks_created ON webhooks (created_at, webhook_id);

-- The octets of each account as they were last looked at, for lists by size. Apart from maildrops, whose updates stay HOT because nothing
-- but their key is indexed: deliveries write nothing here, a worker does, now and then, what has changed.
CREATE TABLE account_octets (
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  domain_id     bigint NOT NULL,
  octets        bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, account_id),
  FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
INSERT INTO account_octets SELECT a.tenant_id, a.account_id, a.domain_id, m.live_octets
  FROM accounts a JOIN maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id);
CREATE INDEX account_octets_all ON account_octets (octets, account_id);
CREATE INDEX account_octets_of ON account_octets (tenant_id, octets, account_id);
CREATE INDEX account_octets_in ON account_octets (tenant_id, domain_id, octets, account_id);
ALTER TABLE account_octets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON account_octets TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant());
CREATE POLICY of_platform ON account_octets TO restante_platform USING (true) WITH CHECK (true);
CREATE POLICY of_owner ON account_octets TO restante_owner USING (true) WITH CHECK (true);
GRANT SELECT ON account_octets TO restante_admin, restante_platform;
GRANT SELECT, INSERT, UPDATE ON account_octets TO restante_worker;
GRANT ALL ON account_octets TO restante_definer;

SET LOCAL ROLE restante_definer;
-- As before, of each resource for itself, and of domains, deliveries in this hour and sessions too; the last two of domains and tenants
-- only. Since these go up and down all the time, a level of theirs falls an hour after it was reached at the earliest.
CREATE OR REPLACE FUNCTION worker_quota_levels_1() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE n integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('restante quota levels')) THEN RETURN 0; END IF;
  WITH full_of AS (
    SELECT t.tenant_id, 1::smallint AS kind, 0::bigint AS id, r.resource, r.used * 100.0 / nullif(r.most, 0) AS percent
      FROM tenants t JOIN usage_now u ON u.tenant_id = t.tenant_id AND u.domain_id = 0
     CROSS JOIN LATERAL (VALUES (1, u.octets, t.max_octets), (2, u.messages, t.max_messages), (3, u.accounts, t.max_accounts),
             (4, CASE WHEN t.max_domains > 0 THEN (SELECT count(*) FROM domains d WHERE d.tenant_id = t.tenant_id AND d.deleted_at IS NULL) END, t.max_domains),
             (5, CASE WHEN u.hour = date_trunc('hour', now()) THEN u.delivered - u.hour_base ELSE 0 END, t.max_hourly),
             (6, u.sessions, (t.policy #>> '{sessions,per_tenant}')::bigint)) r (resource, used, most)
     WHERE t.status <> 3 AND r.most IS NOT NULL
    UNION ALL
    SELECT d.tenant_id, 2, d.domain_id, r.resource, r.used * 100.0 / nullif(r.most, 0)
      FROM domains d JOIN tenants t ON t.tenant_id = d.tenant_id JOIN usage_now u ON u.tenant_id = d.tenant_id AND u.domain_id = d.domain_id
     CROSS JOIN LATERAL (VALUES (1, u.octets, d.max_octets), (2, u.messages, d.max_messages), (3, u.accounts, d.max_accounts),
             (5, CASE WHEN u.hour = date_trunc('hour', now()) THEN u.delivered - u.hour_base ELSE 0 END, d.max_hourly),
             (6, u.sessions, least((d.policy #>> '{sessions,per_domain}')::bigint, (t.policy #>> '{sessions,per_domain}')::bigint))) r (resource, used, most)
     WHERE d.deleted_at IS NULL AND r.most IS NOT NULL
    UNION ALL
    SELECT a.tenant_id, 3, a.account_id, r.resource, r.used * 100.0 / nullif(r.most, 0)
      FROM accounts a JOIN maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
     CROSS JOIN LATERAL (VALUES (1, m.live_octets, a.max_octets), (2, m.live_messages, a.max_messages)) r (resource, used, most)
     WHERE a.status <> 3 AND num_nonnulls(a.max_octets, a.max_messages) > 0 AND r.most IS NOT NULL),
  levels AS (SELECT f.*, CASE WHEN f.percent >= 100 THEN 100 ELSE 80 END::smallint AS level FROM full_of f WHERE f.percent >= 80),
  changed AS (
    SELECT coalesce(l.tenant_id, q.tenant_id) AS tenant_id, coalesce(l.kind, q.kind) AS kind, coalesce(l.id, q.id) AS id,
           coalesce(l.resource, q.resource)::smallint AS resource, q.percent AS was, l.level
      FROM levels l FULL JOIN quota_levels q ON (q.tenant_id, q.kind, q.id, q.resource) = (l.tenant_id, l.kind, l.id, l.resource)
     WHERE q.percent IS DISTINCT FROM l.level
       AND (q.percent IS NULL OR q.resource < 5 OR l.level > q.percent OR q.since < now() - interval '1 hour')),
  put AS (INSERT INTO quota_levels AS q (tenant_id, kind, id, resource, percent)
          SELECT c.tenant_id, c.kind, c.id, c.resource, c.level FROM changed c WHERE c.level IS NOT NULL
          ON CONFLICT (tenant_id, kind, id, resource) DO UPDATE SET percent = excluded.percent, since = now()),
  took AS (DELETE FROM quota_levels q USING changed c
            WHERE c.level IS NULL AND (q.tenant_id, q.kind, q.id, q.resource) = (c.tenant_id, c.kind, c.id, c.resource)),
  named AS (
    SELECT c.*, CASE c.kind
             WHEN 1 THEN (SELECT t.slug FROM tenants t WHERE t.tenant_id = c.tenant_id)
             WHEN 2 THEN (SELECT d.name FROM domains d WHERE d.tenant_id = c.tenant_id AND d.domain_id = c.id)
             ELSE (SELECT a.local_part || '@' || d.name FROM accounts a JOIN domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
                    WHERE a.tenant_id = c.tenant_id AND a.account_id = c.id) END AS name,
           jsonb_build_object('of', (ARRAY['tenant', 'domain', 'account'])[c.kind],
                              'resource', (ARRAY['octets', 'messages', 'accounts', 'domains', 'deliveries', 'sessions'])[c.resource]) AS what
      FROM changed c),
  told AS (INSERT INTO audit_events (tenant_id, actor, action, target, before, after)
           SELECT x.tenant_id, 'policy', 'quota.threshold', coalesce(x.name, '-'),
                  x.what || jsonb_build_object('percent', coalesce(x.was, 0)), x.what || jsonb_build_object('percent', coalesce(x.level, 0))
             FROM named x RETURNING 1)
  SELECT count(*) INTO n FROM told;
  RETURN n;
END $$;

-- As before, and its place among accounts by size.
CREATE OR REPLACE FUNCTION admin_create_account_1(p_tenant integer, p_domain bigint, p_local_part text, p_local_key text, p_max_octets bigint, p_max_messages integer, p_scram_salt bytea)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_account bigint;
BEGIN
  PERFORM admin_account_room_1(p_tenant, p_domain);
  INSERT INTO accounts (tenant_id, domain_id, local_part, max_octets, max_messages, scram_salt)
    VALUES (p_tenant, p_domain, p_local_part, p_max_octets, p_max_messages, p_scram_salt) RETURNING account_id INTO v_account;
  INSERT INTO addresses (tenant_id, domain_id, local_key, account_id) VALUES (p_tenant, p_domain, p_local_key, v_account);
  INSERT INTO maildrops (tenant_id, account_id) VALUES (p_tenant, v_account);
  INSERT INTO account_octets (tenant_id, account_id, domain_id) VALUES (p_tenant, v_account, p_domain);
  RETURN v_account;
END $$;

-- Of each webhook only so many deliveries wait: the oldest beyond that are dead letters. One that is being tried is not touched.
CREATE FUNCTION worker_webhooks_overflow_1(p_most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_dead bigint;
BEGIN
  WITH over AS (
    SELECT w.tenant_id, w.webhook_id,
           (SELECT q.delivery_id FROM webhook_deliveries q WHERE q.tenant_id = w.tenant_id AND q.webhook_id = w.webhook_id AND q.state = 0
             ORDER BY q.delivery_id DESC OFFSET p_most LIMIT 1) AS last,
           CASE WHEN w.claimed_until > clock_timestamp() THEN
             (SELECT q.delivery_id FROM webhook_deliveries q WHERE q.tenant_id = w.tenant_id AND q.webhook_id = w.webhook_id AND q.state = 0
                 AND q.next_at <= clock_timestamp() ORDER BY q.delivery_id LIMIT 1) END AS tried
      FROM webhooks w)
  UPDATE webhook_deliveries d SET state = 2, last_error = 'overflow'
    FROM over o
   WHERE o.last IS NOT NULL AND d.tenant_id = o.tenant_id AND d.webhook_id = o.webhook_id AND d.state = 0 AND d.delivery_id <= o.last
     AND d.delivery_id IS DISTINCT FROM o.tried;
  GET DIAGNOSTICS v_dead = ROW_COUNT;
  RETURN v_dead;
END $$;
GRANT EXECUTE ON FUNCTION worker_webhooks_overflow_1 TO restante_worker;

-- As worker_import_account_1, with a limit of deliveries in an hour.
CREATE FUNCTION worker_import_account_2(
  p_tenant integer, p_job bigint, p_address text, p_domain text, p_local_part text, p_local_key text, p_status smallint, p_max_octets bigint, p_max_messages integer, p_max_hourly integer,
  p_aliases text[], p_alias_domains text[], p_alias_keys text[], p_has_password boolean, p_verifier text, p_scram_salt bytea, p_scram256 bytea, p_scram1 bytea, p_after jsonb)
RETURNS TABLE (verdict smallint, item integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '10s' AS $$
#variable_conflict use_variable
DECLARE
  j jobs%ROWTYPE; r record; v_domain bigint; v_alias bigint; v_alias_domains bigint[] := '{}'; v_account bigint; v_known boolean := false; v_most integer;
  n integer := cardinality(p_alias_keys); i integer;
BEGIN
  SELECT * INTO j FROM jobs WHERE jobs.tenant_id = p_tenant AND jobs.job_id = p_job AND jobs.state = 1;
  IF NOT FOUND THEN RAISE EXCEPTION 'the job does not run' USING ERRCODE = '42501'; END IF;
  SELECT d.domain_id INTO v_domain FROM domains d WHERE d.tenant_id = p_tenant AND d.name = p_domain AND d.deleted_at IS NULL;
  IF v_domain IS NULL THEN RETURN QUERY SELECT 3::smallint, 0; RETURN; END IF;
  FOR i IN 1..n LOOP
    SELECT d.domain_id INTO v_alias FROM domains d WHERE d.tenant_id = p_tenant AND d.name = p_alias_domains[i] AND d.deleted_at IS NULL;
    IF v_alias IS NULL THEN RETURN QUERY SELECT 3::smallint, i; RETURN; END IF;
    v_alias_domains := v_alias_domains || v_alias;
  END LOOP;

  -- The account itself: in the directory, or made by an earlier line of a dry run.
  SELECT a.account_id, a.status, a.max_octets, a.max_messages, a.max_hourly INTO r
    FROM addresses x LEFT JOIN accounts a ON (a.tenant_id, a.account_id) = (x.tenant_id, x.account_id)
   WHERE x.tenant_id = p_tenant AND x.domain_id = v_domain AND x.local_key = p_local_key;
  v_known := FOUND;
  IF NOT v_known AND j.dry_run THEN
    SELECT NULL::bigint AS account_id, t.status, t.max_octets, t.max_messages, t.max_hourly INTO r
      FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_domain AND t.local_key = p_local_key;
    v_known := FOUND;
  END IF;
  IF v_known AND r.status IS NULL THEN RETURN QUERY SELECT 4::smallint, 0; RETURN; END IF;
  IF v_known AND (r.status, r.max_octets, r.max_messages, r.max_hourly) IS DISTINCT FROM (p_status, p_max_octets, p_max_messages, p_max_hourly) THEN
    RETURN QUERY SELECT 5::smallint, 0; RETURN;
  END IF;
  FOR i IN 1..n LOOP
    IF EXISTS (SELECT FROM alias_targets g WHERE g.tenant_id = p_tenant AND g.domain_id = v_alias_domains[i] AND g.local_key = p_alias_keys[i] AND g.target_id = r.account_id)
       OR EXISTS (SELECT FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_alias_domains[i] AND t.local_key = p_alias_keys[i]
                     AND t.of_domain = v_domain AND t.of_key = p_local_key AND t.status IS NULL) THEN
      CONTINUE;   -- leads there already, which an account that is new cannot have
    END IF;
    IF EXISTS (SELECT FROM addresses x WHERE x.tenant_id = p_tenant AND x.domain_id = v_alias_domains[i] AND x.local_key = p_alias_keys[i])
       OR EXISTS (SELECT FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_alias_domains[i] AND t.local_key = p_alias_keys[i])
       OR (v_alias_domains[i], p_alias_keys[i]) = (v_domain, p_local_key) THEN
      RETURN QUERY SELECT 4::smallint, i; RETURN;
    END IF;
    IF v_known THEN RETURN QUERY SELECT 6::smallint, i; RETURN; END IF;
  END LOOP;
  IF v_known THEN RETURN QUERY SELECT 2::smallint, 0; RETURN; END IF;

  -- Beside NULL, which is no limit, the other counts.
  IF EXISTS (SELECT FROM tenants t JOIN domains d ON d.tenant_id = t.tenant_id AND d.domain_id = v_domain
              WHERE t.tenant_id = p_tenant AND (p_max_octets > least(t.max_octets, d.max_octets) OR p_max_messages > least(t.max_messages, d.max_messages)
                                        OR p_max_hourly > least(t.max_hourly, d.max_hourly))) THEN
    RETURN QUERY SELECT 9::smallint, 0; RETURN;
  END IF;

  IF j.dry_run THEN
    SELECT d.max_accounts INTO v_most FROM domains d WHERE d.tenant_id = p_tenant AND d.domain_id = v_domain;
    IF v_most IS NOT NULL AND (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.domain_id = v_domain AND a.status <> 3)
                              + (SELECT count(*) FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_domain AND t.status IS NOT NULL) >= v_most THEN
      RETURN QUERY SELECT 7::smallint, 0; RETURN;
    END IF;
    SELECT t.max_accounts INTO v_most FROM tenants t WHERE t.tenant_id = p_tenant;
    IF v_most IS NOT NULL AND (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.status <> 3)
                              + (SELECT count(*) FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.status IS NOT NULL) >= v_most THEN
      RETURN QUERY SELECT 7::smallint, 0; RETURN;
    END IF;
    INSERT INTO job_tried VALUES (p_tenant, p_job, v_domain, p_local_key, v_domain, p_local_key, p_status, p_max_octets, p_max_messages, p_max_hourly);
    INSERT INTO job_tried SELECT p_tenant, p_job, u.d, u.k, v_domain, p_local_key FROM unnest(v_alias_domains, p_alias_keys) AS u(d, k) ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT 1::smallint, 0; RETURN;
  END IF;

  IF p_has_password AND p_verifier IS NULL THEN RETURN QUERY SELECT 8::smallint, 0; RETURN; END IF;
  BEGIN
    PERFORM set_config('restante.tenant_id', p_tenant::text, true);
    v_account := admin_create_account_1(p_tenant, v_domain, p_local_part, p_local_key, p_max_octets, p_max_messages, p_scram_salt);
    UPDATE accounts a SET status = p_status, max_hourly = p_max_hourly
     WHERE a.tenant_id = p_tenant AND a.account_id = v_account AND (a.status <> p_status OR p_max_hourly IS NOT NULL);
    IF p_verifier IS NOT NULL THEN
      INSERT INTO credentials (tenant_id, account_id, kind, verifier, scopes, scram256, scram1) VALUES (p_tenant, v_account, 1, p_verifier, 3, p_scram256, p_scram1);
    END IF;
    INSERT INTO audit_events (tenant_id, actor, action, target, address, request_id, after)
      VALUES (p_tenant, j.created_by, 'account.create', p_address, j.address, j.request_id, p_after);
    FOR i IN 1..n LOOP
      INSERT INTO addresses (tenant_id, domain_id, local_key) VALUES (p_tenant, v_alias_domains[i], p_alias_keys[i]);
      INSERT INTO alias_targets (tenant_id, domain_id, local_key, target_id) VALUES (p_tenant, v_alias_domains[i], p_alias_keys[i], v_account);
      INSERT INTO audit_events (tenant_id, actor, action, target, address, request_id, after)
        VALUES (p_tenant, j.created_by, 'alias.create', p_aliases[i], j.address, j.request_id, jsonb_build_object('targets', jsonb_build_array(p_address)));
    END LOOP;
  EXCEPTION
    -- Somebody else made it in this moment, or two aliases of the line are one.
    WHEN unique_violation THEN RETURN QUERY SELECT 4::smallint, 0; RETURN;
    WHEN SQLSTATE 'RS002' OR SQLSTATE 'RS003' THEN RETURN QUERY SELECT 7::smallint, 0; RETURN;
  END;
  RETURN QUERY SELECT 1::smallint, 0;
END $$;
GRANT EXECUTE ON FUNCTION worker_import_account_2 TO restante_worker;
RESET ROLE;
RESET search_path;
