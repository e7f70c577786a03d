-- Limits of domains, of messages and of deliveries in an hour; lists by prefix; deletion of what lies beneath, its restoration, and
-- its erasure when the retention has passed.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;

-- NULL: no limit.
ALTER TABLE tenants ADD COLUMN max_messages bigint, ADD COLUMN max_hourly integer;
ALTER TABLE domains ADD COLUMN max_octets bigint, ADD COLUMN max_messages bigint, ADD COLUMN max_accounts integer, ADD COLUMN max_hourly integer,
                    ADD COLUMN deleted_at timestamptz;     -- deleted with what lies in it: it has no name until it is restored
ALTER TABLE accounts ADD COLUMN max_hourly integer;
GRANT SELECT (max_messages, max_hourly, deleted_at) ON tenants TO restante_admin;

-- What was delivered since the hour began is delivered - hour_base.
ALTER TABLE usage_now ADD COLUMN delivered bigint NOT NULL DEFAULT 0, ADD COLUMN hour timestamptz NOT NULL DEFAULT 'epoch', ADD COLUMN hour_base bigint NOT NULL DEFAULT 0;

-- Addresses by the beginning of their local part, in one tenant and anywhere.
CREATE INDEX addresses_by_key ON addresses (tenant_id, local_key, domain_id);
CREATE INDEX addresses_anywhere ON addresses (local_key, tenant_id, domain_id);
-- Few aliases among many accounts are listed without looking at these.
CREATE INDEX addresses_aliases ON addresses (tenant_id, domain_id, local_key) WHERE account_id IS NULL;
CREATE INDEX accounts_deleted ON accounts (tenant_id, account_id) WHERE status = 3;
CREATE INDEX domains_deleted ON domains (tenant_id, domain_id) WHERE deleted_at IS NOT NULL;

-- How full what has a quota was when it was last looked at: a row where it is 80 % or more, so that each threshold is told once.
CREATE TABLE quota_levels (
  tenant_id     integer NOT NULL,
  kind          smallint NOT NULL,                  -- 1 the tenant, 2 a domain, 3 an account
  id            bigint NOT NULL,                    -- 0, domain_id, account_id
  percent       smallint NOT NULL,                  -- 80 or 100
  since         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, kind, id)
);
ALTER TABLE quota_levels ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota_levels FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON quota_levels TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant());
CREATE POLICY of_platform ON quota_levels TO restante_platform USING (true) WITH CHECK (true);
CREATE POLICY of_owner ON quota_levels TO restante_owner USING (true) WITH CHECK (true);
GRANT SELECT ON quota_levels TO restante_admin, restante_platform;
GRANT SELECT, INSERT, UPDATE, DELETE ON quota_levels TO restante_worker;
GRANT ALL ON quota_levels TO restante_definer;

SET LOCAL ROLE restante_definer;

-- As before, and at most the domain's max_accounts.
CREATE OR REPLACE FUNCTION admin_create_account_1(p_tenant integer, p_domain bigint, p_local_part text, p_local_key text, p_max_octets bigint, p_max_messages integer, p_scram_salt bytea)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_account bigint;
BEGIN
  PERFORM admin_account_room_1(p_tenant, p_domain);
  INSERT INTO accounts (tenant_id, domain_id, local_part, max_octets, max_messages, scram_salt)
    VALUES (p_tenant, p_domain, p_local_part, p_max_octets, p_max_messages, p_scram_salt) RETURNING account_id INTO v_account;
  INSERT INTO addresses (tenant_id, domain_id, local_key, account_id) VALUES (p_tenant, p_domain, p_local_key, v_account);
  INSERT INTO maildrops (tenant_id, account_id) VALUES (p_tenant, v_account);
  RETURN v_account;
END $$;

-- Raises where one account more would be one too many: RS002 of the tenant, RS003 of the domain.
CREATE FUNCTION admin_account_room_1(p_tenant integer, p_domain bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_tenant integer; v_domain integer;
BEGIN
  PERFORM assert_tenant(p_tenant);
  SELECT t.max_accounts INTO v_tenant FROM tenants t WHERE t.tenant_id = p_tenant FOR SHARE;
  SELECT d.max_accounts INTO v_domain FROM domains d WHERE d.tenant_id = p_tenant AND d.domain_id = p_domain FOR SHARE;
  IF v_tenant IS NULL AND v_domain IS NULL THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock(hashtext('restante accounts'), p_tenant);   -- two creations must not both be the last that fits
  IF (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.status <> 3) >= v_tenant THEN
    RAISE EXCEPTION 'the tenant has its most accounts' USING ERRCODE = 'RS002';
  END IF;
  IF (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.domain_id = p_domain AND a.status <> 3) >= v_domain THEN
    RAISE EXCEPTION 'the domain has its most accounts' USING ERRCODE = 'RS003';
  END IF;
END $$;

-- A domain that is deleted gives its name free.
CREATE FUNCTION admin_release_domain_1(p_tenant integer, p_domain bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  PERFORM assert_tenant(p_tenant);
  DELETE FROM domain_owners o WHERE o.tenant_id = p_tenant AND o.domain_id = p_domain;
END $$;
GRANT EXECUTE ON FUNCTION admin_account_room_1, admin_release_domain_1 TO restante_admin, restante_platform;

-- As before, and by the domain's limits and those of an hour too. Verdict 7: more deliveries in this hour than there may be. A tenant's
-- and a domain's hours are the clock's, by the latest sums; an account's is the last one, counted exactly.
CREATE OR REPLACE FUNCTION lmtp_resolve_1(p_domain text, p_local_key text, p_octets bigint)
RETURNS TABLE (verdict smallint, tenant_id integer, account_ids bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_tenant integer; v_domain bigint; v_key text; v_account bigint; v_policy jsonb; v_ids bigint[]; v_over boolean; v_status smallint; v_defer boolean;
  v_limited boolean; v_fast boolean;
BEGIN
  SELECT o.tenant_id, o.domain_id, r.local_key, r.account_id, t.status, t.policy || d.policy,
         num_nonnulls(t.max_octets, t.max_messages, t.max_hourly, d.max_octets, d.max_messages, d.max_hourly) > 0
    INTO v_tenant, v_domain, v_key, v_account, v_status, v_policy, v_limited
    FROM domain_owners o
    JOIN tenants t ON t.tenant_id = o.tenant_id
    JOIN domains d ON (d.tenant_id, d.domain_id) = (o.tenant_id, o.domain_id)
    JOIN addresses r ON (r.tenant_id, r.domain_id) = (o.tenant_id, o.domain_id) AND r.local_key IN (p_local_key, '')
   WHERE o.name = p_domain ORDER BY r.local_key DESC LIMIT 1;     -- '' is the catch-all: only where nothing else fits
  IF NOT FOUND OR v_status = 3 THEN RETURN QUERY SELECT 4::smallint, NULL::integer, NULL::bigint[]; RETURN; END IF;
  SELECT array_agg(a.account_id ORDER BY a.account_id),
         bool_or(coalesce(a.max_octets < m.live_octets + greatest(p_octets, 1), false) OR coalesce(a.max_messages < m.live_messages + 1, false)),
         bool_or(coalesce(a.policy ->> 'over_quota', v_policy ->> 'over_quota', 'reject') = 'defer'),
         bool_or(a.max_hourly IS NOT NULL AND account_is_fast(v_tenant, a.account_id, m.next_uid, a.max_hourly))
    INTO v_ids, v_over, v_defer, v_fast
    FROM accounts a JOIN maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
   WHERE a.tenant_id = v_tenant AND a.status IN (1, 2)
     AND a.account_id IN (SELECT v_account WHERE v_account IS NOT NULL
                          UNION ALL SELECT x.target_id FROM alias_targets x WHERE (x.tenant_id, x.domain_id, x.local_key) = (v_tenant, v_domain, v_key));
  IF v_ids IS NULL THEN RETURN QUERY SELECT 4::smallint, NULL::integer, NULL::bigint[]; RETURN; END IF;
  IF v_status <> 1 THEN RETURN QUERY SELECT 5::smallint, v_tenant, NULL::bigint[]; RETURN; END IF;
  IF NOT v_over AND v_limited THEN
    -- The domain is that of the address, which is where the mail comes in.
    SELECT coalesce(bool_or(u.octets + greatest(p_octets, 1) > l.octets OR u.messages + 1 > l.messages), false),
           v_fast OR coalesce(bool_or(u.hour = date_trunc('hour', now()) AND u.delivered - u.hour_base >= l.hourly), false)
      INTO v_over, v_fast
      FROM (SELECT 0::bigint, t.max_octets, t.max_messages, t.max_hourly FROM tenants t WHERE t.tenant_id = v_tenant
            UNION ALL SELECT d.domain_id, d.max_octets, d.max_messages, d.max_hourly FROM domains d WHERE (d.tenant_id, d.domain_id) = (v_tenant, v_domain))
           AS l (id, octets, messages, hourly)
      JOIN usage_now u ON u.tenant_id = v_tenant AND u.domain_id = l.id;
  END IF;
  IF v_over THEN RETURN QUERY SELECT (CASE WHEN v_defer THEN 6 ELSE 3 END)::smallint, v_tenant, NULL::bigint[]; RETURN; END IF;
  IF v_fast THEN RETURN QUERY SELECT 7::smallint, v_tenant, NULL::bigint[]; RETURN; END IF;
  RETURN QUERY SELECT 1::smallint, v_tenant, v_ids;
END $$;

-- Whether an account received as many messages in the last hour as it may: the one p_most before the next is young. A guid begins with
-- the milliseconds of its time. What was purged meanwhile is not counted; an hour is never a day.
CREATE FUNCTION account_is_fast(p_tenant integer, p_account bigint, p_next_uid bigint, p_most integer) RETURNS boolean
LANGUAGE sql STABLE SET search_path = restante, pg_catalog AS $$
  SELECT count(*) >= p_most FROM (
    SELECT m.guid FROM messages m WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND m.uid >= p_next_uid - p_most
    UNION ALL SELECT x.guid FROM expunged x WHERE x.tenant_id = p_tenant AND x.account_id = p_account AND x.uid >= p_next_uid - p_most) g
   WHERE g.guid >= rpad(lpad(to_hex((floor(extract(epoch FROM now() - interval '1 hour') * 1000))::bigint), 12, '0'), 32, '0')::uuid
$$;

-- Erases some of an account that is deleted, or whose domain is, once the retention has passed: its messages go to the purge, and when
-- that has taken them the account's rows go too. 0: not due, busy, or the purge has to come first; 1: there is more;
-- 2: it is gone.
CREATE FUNCTION worker_erase_account_1(p_tenant integer, p_account bigint, p_batch integer) RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
DECLARE n integer; gone_octets bigint; v_domain bigint; today date := (clock_timestamp() AT TIME ZONE 'UTC')::date; t text;
BEGIN
  PERFORM 1 FROM maildrops m WHERE m.tenant_id = p_tenant AND m.account_id = p_account FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  SELECT a.domain_id INTO v_domain
    FROM accounts a JOIN domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id) JOIN tenants t ON t.tenant_id = a.tenant_id
   WHERE a.tenant_id = p_tenant AND a.account_id = p_account AND (a.status = 3 OR d.deleted_at IS NOT NULL)
     AND least(CASE WHEN a.status = 3 THEN a.deleted_at END, d.deleted_at)
         < clock_timestamp() - make_interval(days => coalesce((t.policy ->> 'retention_days')::integer, 7))
     FOR UPDATE OF a;
  IF NOT FOUND THEN RETURN 0; END IF;

  LOCK TABLE ONLY expunged IN ROW EXCLUSIVE MODE;
  WITH due AS (SELECT m.uid FROM messages m WHERE m.tenant_id = p_tenant AND m.account_id = p_account ORDER BY m.uid LIMIT p_batch),
  gone AS (DELETE FROM messages m USING due WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND m.uid = due.uid RETURNING m.*),
  kept AS (INSERT INTO expunged SELECT gone.*, clock_timestamp(), '00000000-0000-0000-0000-000000000000', today FROM gone RETURNING octets)
  SELECT count(*), coalesce(sum(octets), 0) INTO n, gone_octets FROM kept;
  IF n > 0 THEN
    UPDATE maildrops m SET shape = m.shape + 1, live_messages = m.live_messages - n, live_octets = m.live_octets - gone_octets,
                           kept_messages = m.kept_messages + n, kept_octets = m.kept_octets + gone_octets
     WHERE m.tenant_id = p_tenant AND m.account_id = p_account;
    RETURN 1;
  END IF;
  UPDATE expunged x SET purge_day = today WHERE x.tenant_id = p_tenant AND x.account_id = p_account AND x.purge_day > today;
  IF EXISTS (SELECT FROM maildrops m WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND (m.live_messages > 0 OR m.kept_messages > 0)) THEN
    RETURN 0;
  END IF;
  -- Whatever else is kept of an account: every table that names one, but what happened (sessions and the audit trail end by their age).
  FOR t IN SELECT c.oid::regclass::text FROM pg_attribute x JOIN pg_class c ON c.oid = x.attrelid
            WHERE x.attname = 'account_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'restante'::regnamespace
              AND c.relname NOT IN ('accounts', 'addresses', 'maildrops', 'messages', 'expunged', 'sessions') LOOP
    EXECUTE format('DELETE FROM %s WHERE tenant_id = $1 AND account_id = $2', t) USING p_tenant, p_account;
  END LOOP;
  DELETE FROM alias_targets x WHERE x.tenant_id = p_tenant AND x.target_id = p_account;
  DELETE FROM addresses x WHERE x.tenant_id = p_tenant AND x.account_id = p_account;
  DELETE FROM quota_levels x WHERE x.tenant_id = p_tenant AND x.kind = 3 AND x.id = p_account;
  DELETE FROM maildrops x WHERE x.tenant_id = p_tenant AND x.account_id = p_account;
  DELETE FROM accounts x WHERE x.tenant_id = p_tenant AND x.account_id = p_account;
  RETURN 2;
END $$;

-- Erases the domains that were deleted, once the retention has passed and no account is left in them; how many.
CREATE FUNCTION worker_erase_domains_1(p_batch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
DECLARE d record; n integer := 0;
BEGIN
  FOR d IN SELECT x.tenant_id, x.domain_id FROM domains x JOIN tenants t ON t.tenant_id = x.tenant_id
            WHERE x.deleted_at < clock_timestamp() - make_interval(days => coalesce((t.policy ->> 'retention_days')::integer, 7))
              AND NOT EXISTS (SELECT FROM accounts a WHERE a.tenant_id = x.tenant_id AND a.domain_id = x.domain_id)
            ORDER BY x.tenant_id, x.domain_id LIMIT p_batch FOR UPDATE OF x SKIP LOCKED LOOP
    DELETE FROM addresses r WHERE r.tenant_id = d.tenant_id AND r.domain_id = d.domain_id;
    DELETE FROM quota_levels q WHERE q.tenant_id = d.tenant_id AND q.kind = 2 AND q.id = d.domain_id;
    DELETE FROM domains x WHERE x.tenant_id = d.tenant_id AND x.domain_id = d.domain_id;
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- Tells of what has become 80 % or 100 % full of its quota since it was last looked at, or is no longer, in the audit trail.
-- The figures of domains and tenants are the latest sums. How many were told.
CREATE FUNCTION worker_quota_levels_1() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE n integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('restante quota levels')) THEN RETURN 0; END IF;
  WITH full_of AS (
    SELECT t.tenant_id, 1::smallint AS kind, 0::bigint AS id, t.slug AS target,
           greatest(u.octets * 100.0 / nullif(t.max_octets, 0), u.messages * 100.0 / nullif(t.max_messages, 0), u.accounts * 100.0 / nullif(t.max_accounts, 0)) AS percent
      FROM tenants t JOIN usage_now u ON u.tenant_id = t.tenant_id AND u.domain_id = 0
     WHERE t.status <> 3 AND num_nonnulls(t.max_octets, t.max_messages, t.max_accounts) > 0
    UNION ALL
    SELECT d.tenant_id, 2, d.domain_id, d.name,
           greatest(u.octets * 100.0 / nullif(d.max_octets, 0), u.messages * 100.0 / nullif(d.max_messages, 0), u.accounts * 100.0 / nullif(d.max_accounts, 0))
      FROM domains d JOIN usage_now u ON u.tenant_id = d.tenant_id AND u.domain_id = d.domain_id
     WHERE d.deleted_at IS NULL AND num_nonnulls(d.max_octets, d.max_messages, d.max_accounts) > 0
    UNION ALL
    SELECT a.tenant_id, 3, a.account_id, a.local_part || '@' || d.name,
           greatest(m.live_octets * 100.0 / nullif(a.max_octets, 0), m.live_messages * 100.0 / nullif(a.max_messages, 0))
      FROM accounts a JOIN maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
      JOIN domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
     WHERE a.status <> 3 AND num_nonnulls(a.max_octets, a.max_messages) > 0),
  levels AS (SELECT f.*, CASE WHEN f.percent >= 100 THEN 100 ELSE 80 END::smallint AS level FROM full_of f WHERE f.percent >= 80),
  changed AS (
    SELECT coalesce(l.tenant_id, q.tenant_id) AS tenant_id, coalesce(l.kind, q.kind) AS kind, coalesce(l.id, q.id) AS id, l.target, q.percent AS was, l.level
      FROM levels l FULL JOIN quota_levels q ON (q.tenant_id, q.kind, q.id) = (l.tenant_id, l.kind, l.id)
     WHERE q.percent IS DISTINCT FROM l.level),
  put AS (INSERT INTO quota_levels AS q (tenant_id, kind, id, percent) SELECT c.tenant_id, c.kind, c.id, c.level FROM changed c WHERE c.level IS NOT NULL
          ON CONFLICT (tenant_id, kind, id) DO UPDATE SET percent = excluded.percent, since = now()),
  took AS (DELETE FROM quota_levels q USING changed c WHERE c.level IS NULL AND (q.tenant_id, q.kind, q.id) = (c.tenant_id, c.kind, c.id)),
  named AS (SELECT c.*, coalesce(c.target, f.target) AS name FROM changed c LEFT JOIN full_of f ON (f.tenant_id, f.kind, f.id) = (c.tenant_id, c.kind, c.id)),
  told AS (INSERT INTO audit_events (tenant_id, actor, action, target, before, after)
           SELECT x.tenant_id, 'policy', 'quota.threshold', coalesce(x.name, '-'),
                  jsonb_build_object('of', CASE x.kind WHEN 1 THEN 'tenant' WHEN 2 THEN 'domain' ELSE 'account' END, 'percent', coalesce(x.was, 0)),
                  jsonb_build_object('of', CASE x.kind WHEN 1 THEN 'tenant' WHEN 2 THEN 'domain' ELSE 'account' END, 'percent', coalesce(x.level, 0))
             FROM named x RETURNING 1)
  SELECT count(*) INTO n FROM told;
  RETURN n;
END $$;
GRANT EXECUTE ON FUNCTION worker_erase_account_1, worker_erase_domains_1, worker_quota_levels_1 TO restante_worker;
RESET ROLE;
RESET search_path;
