-- Functions: the whole surface of the frontends. `_1` is the version: a release that needs another shape adds `_2`, the release
-- after it drops `_1`. One call is one round trip and one transaction. A frontend may call them for any tenant: they shrink what
-- a compromised or mistaken frontend can do, they do not make it harmless.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
GRANT SELECT (key_id, tenant_id, label, role, scopes, allowed_nets, expires_at, revoked_at, created_at) ON api_keys TO restante_admin, restante_platform;
GRANT INSERT, UPDATE (revoked_at, label) ON api_keys TO restante_admin, restante_platform;
GRANT SELECT ON catalog TO restante_admin, restante_platform;
GRANT INSERT, UPDATE, DELETE ON usage_now TO restante_worker;
-- Partitions are made and dropped by the owner of their tables; nobody else can.
CREATE FUNCTION worker_partition_1(p_table text, p_from date, p_to date) RETURNS boolean   -- true: made, false: was there
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
  part text := format('%s_%s', p_table, to_char(p_from, 'YYYYMMDD'));
  key text := CASE p_table WHEN 'expunged' THEN 'purge_day' WHEN 'sessions' THEN 'started_at' WHEN 'audit_events' THEN 'at' END;
BEGIN
  IF key IS NULL OR p_to <= p_from THEN RAISE EXCEPTION 'no such partition' USING ERRCODE = '22023'; END IF;
  IF to_regclass('restante.' || part) IS NOT NULL THEN RETURN false; END IF;
  PERFORM pg_advisory_xact_lock(hashtext('restante partitions'));
  -- Looked up by a snapshot taken now: the catalog cache may not know yet what another worker just committed.
  IF EXISTS (SELECT FROM pg_class c WHERE c.relname = part AND c.relnamespace = 'restante'::regnamespace) THEN RETURN false; END IF;
  -- Who inserts waits here and then sees the new partition. Without it an insert on its way to the default partition would fail:
  -- attaching narrows what the default may hold. A lock that is not had in time is tried for again in the next round.
  EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', p_table);
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, p_table);
  EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
  EXECUTE format('CREATE POLICY of_tenant ON %I TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant())', part);
  EXECUTE format('CREATE POLICY of_platform ON %I TO restante_platform USING (true) WITH CHECK (true)', part);
  EXECUTE format('CREATE POLICY of_owner ON %I TO restante_owner USING (true) WITH CHECK (true)', part);
  -- What the default partition holds of these days moves first: attaching fails while it is there.
  EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                 p_table || '_default', key, p_from, key, p_to, part);
  EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_table, part, p_from, p_to);
  RETURN true;
END $$;
-- Drops the partitions of `expunged` for days before p_before that are empty; answers how many.
CREATE FUNCTION worker_drop_purged_1(p_before date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
DECLARE part text; filled boolean; dropped integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('restante partitions'));
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'restante.expunged'::regclass AND c.relname ~ '^expunged_[0-9]{8}$' AND c.relname < 'expunged_' || to_char(p_before, 'YYYYMMDD')
  LOOP
    -- The parent first, as everybody else takes them.
    LOCK TABLE expunged IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', part) INTO filled;
    IF NOT filled THEN EXECUTE format('DROP TABLE %I', part); dropped := dropped + 1; END IF;
  END LOOP;
  RETURN dropped;
END $$;
GRANT EXECUTE ON FUNCTION worker_partition_1, worker_drop_purged_1 TO restante_worker;
RESET ROLE;

ALTER DEFAULT PRIVILEGES FOR ROLE restante_definer REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
SET LOCAL ROLE restante_definer;

-- Which catalog this is, and the oldest program that may run on it: asked once by every process.
CREATE FUNCTION catalog_1() RETURNS TABLE (incarnation uuid, schema_min integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$ SELECT c.incarnation, c.schema_min FROM catalog c $$;
GRANT EXECUTE ON FUNCTION catalog_1 TO restante_pop3, restante_lmtp, restante_admin, restante_worker;

-- ---- pop3 -------------------------------------------------------------------------------------------------------
-- Login in one round trip: always one row. An unknown address yields NULLs at the same cost.
CREATE FUNCTION pop3_login_1(p_domain text, p_local_key text)
RETURNS TABLE (
  tenant_id integer, account_id bigint, local_part text, tenant_status smallint, account_status smallint, auth_version bigint,
  tenant_policy jsonb, domain_policy jsonb, account_policy jsonb,
  shape bigint, next_uid bigint, live_messages integer, live_octets bigint, incarnation uuid, timeline text,
  credential_ids bigint[], kinds smallint[], verifiers text[], scopes smallint[], allowed_nets text[], expires_at timestamptz[],
  policies jsonb[], scram_salt bytea, scram_iterations integer, scram256 bytea[], scram1 bytea[], sealed bytea[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT a.tenant_id, a.account_id, a.local_part, t.status, a.status, a.auth_version, t.policy, d.policy, a.policy,
         m.shape, m.next_uid, m.live_messages, m.live_octets, k.incarnation, left(pg_walfile_name(pg_current_wal_lsn()), 8),
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

-- The scan listing after a known uid (0: all of it), in no particular order: the process sorts.
CREATE FUNCTION pop3_list_1(p_tenant integer, p_account bigint, p_after_uid bigint)
RETURNS TABLE (uid bigint, octets integer, guid uuid, segment_uuid uuid, frame_offset integer, frame_len integer, head_len integer, traits smallint,
               legacy_id text, prefix text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT m.uid, m.octets, m.guid, s.segment_uuid, m.frame_offset, m.frame_len, m.head_len, m.traits, e.legacy_id, e.prefix
    FROM messages m
    JOIN segments s ON s.segment_id = m.segment_id
    LEFT JOIN message_extras e ON m.traits < 0 AND (e.tenant_id, e.account_id, e.uid) = (m.tenant_id, m.account_id, m.uid)
   WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND m.uid > p_after_uid
$$;

-- Whether a login is far enough from the last one, which it notes: for accounts with a LOGIN-DELAY only.
CREATE FUNCTION pop3_login_time_1(p_tenant integer, p_account bigint, p_delay_seconds integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  INSERT INTO login_times AS l (tenant_id, account_id, last_at) VALUES (p_tenant, p_account, clock_timestamp())
    ON CONFLICT (tenant_id, account_id) DO UPDATE SET last_at = clock_timestamp() WHERE l.last_at <= clock_timestamp() - make_interval(secs => p_delay_seconds);
  RETURN FOUND;
END $$;

-- What a device has fetched and hidden; for credentials with a view of their own only. No row: nothing yet.
CREATE FUNCTION pop3_view_1(p_tenant integer, p_account bigint, p_credential bigint)
RETURNS TABLE (seen text, hidden text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT v.seen::text, v.hidden::text FROM device_views v WHERE (v.tenant_id, v.account_id, v.credential_id) = (p_tenant, p_account, p_credential)
$$;

-- A frontend is alive for 15 seconds after each beat, by the database's clock. Answers how many of its role are alive.
CREATE FUNCTION frontend_beat_1(p_frontend uuid, p_role text, p_address text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  INSERT INTO frontends AS f (frontend_uuid, role, address, beat_at) VALUES (p_frontend, p_role, p_address, clock_timestamp())
    ON CONFLICT (frontend_uuid) DO UPDATE SET beat_at = clock_timestamp();
  RETURN (SELECT count(*) FROM frontends f WHERE f.role = p_role AND f.beat_at >= clock_timestamp() - interval '15 seconds');
END $$;

-- Exclusive access: the fence of a new lease, or NULL while a live frontend's session holds one.
CREATE FUNCTION pop3_lease_1(p_tenant integer, p_account bigint, p_frontend uuid, p_session uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
DECLARE v_fence bigint;
BEGIN
  INSERT INTO leases AS l (tenant_id, account_id, frontend_uuid, session_uuid, fence) VALUES (p_tenant, p_account, p_frontend, p_session, nextval('fences'))
    ON CONFLICT (tenant_id, account_id) DO UPDATE SET frontend_uuid = p_frontend, session_uuid = p_session, fence = nextval('fences')
    WHERE NOT EXISTS (SELECT FROM frontends f WHERE f.frontend_uuid = l.frontend_uuid AND f.beat_at >= clock_timestamp() - interval '15 seconds')
       OR l.session_uuid = p_session
    RETURNING l.fence INTO v_fence;
  RETURN v_fence;
END $$;
CREATE FUNCTION pop3_unlease_1(p_tenant integer, p_account bigint, p_fence bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  DELETE FROM leases l WHERE (l.tenant_id, l.account_id, l.fence) = (p_tenant, p_account, p_fence)
$$;

-- UPDATE state: the session's row, the expunge and the device's view in one transaction. A repeat with the same session is a no-op
-- with the same answer: how many messages were expunged. Messages that another session expunged first are not counted. With a fence,
-- only while the lease is still this session's and its frontend is alive (else RS003). p_seen and p_hidden: what the device fetched
-- and deleted, as multiranges of uids; NULL where it has no view of its own.
CREATE FUNCTION pop3_quit_1(
  p_tenant integer, p_account bigint, p_session uuid, p_credential bigint, p_started timestamptz, p_address inet, p_mechanism smallint,
  p_tls smallint, p_outcome smallint, p_fetched integer, p_fetched_octets bigint, p_client text, p_uids bigint[],
  p_fence bigint, p_seen int8multirange, p_hidden int8multirange)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '20s' AS $$
DECLARE n integer := 0; gone_octets bigint := 0; earlier integer; retention integer;
BEGIN
  -- The lease's row, then the maildrop's (lock order), which also makes a repeat wait for the call it repeats.
  IF p_fence IS NOT NULL THEN
    PERFORM 1 FROM leases l WHERE (l.tenant_id, l.account_id, l.fence) = (p_tenant, p_account, p_fence)
      AND EXISTS (SELECT FROM frontends f WHERE f.frontend_uuid = l.frontend_uuid AND f.beat_at >= clock_timestamp() - interval '15 seconds') FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'RS003'; END IF;
  END IF;
  PERFORM 1 FROM maildrops m WHERE m.tenant_id = p_tenant AND m.account_id = p_account FOR UPDATE;
  SELECT s.expunged INTO earlier FROM sessions s WHERE s.tenant_id = p_tenant AND s.session_uuid = p_session AND s.started_at = p_started;
  IF FOUND THEN RETURN earlier; END IF;
  IF cardinality(p_uids) > 0 THEN
    SELECT coalesce((t.policy ->> 'retention_days')::integer, 7) INTO retention FROM tenants t WHERE t.tenant_id = p_tenant;
    WITH gone AS (DELETE FROM messages m WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND m.uid = ANY (p_uids) RETURNING m.*),
    kept AS (INSERT INTO expunged SELECT gone.*, clock_timestamp(), p_session, (clock_timestamp() AT TIME ZONE 'UTC')::date + retention + 1 FROM gone RETURNING octets)
    SELECT count(*), coalesce(sum(octets), 0) INTO n, gone_octets FROM kept;
    IF n > 0 THEN
      UPDATE maildrops m SET shape = m.shape + 1, live_messages = m.live_messages - n, live_octets = m.live_octets - gone_octets,
                             kept_messages = m.kept_messages + n, kept_octets = m.kept_octets + gone_octets
       WHERE m.tenant_id = p_tenant AND m.account_id = p_account;
    END IF;
  END IF;
  IF p_seen IS NOT NULL OR p_hidden IS NOT NULL THEN
    INSERT INTO device_views AS v (tenant_id, account_id, credential_id, seen, hidden)
      VALUES (p_tenant, p_account, p_credential, coalesce(p_seen, '{}'), coalesce(p_hidden, '{}'))
      ON CONFLICT (tenant_id, account_id, credential_id) DO UPDATE SET seen = v.seen + excluded.seen, hidden = v.hidden + excluded.hidden;
  END IF;
  INSERT INTO sessions (tenant_id, session_uuid, account_id, credential_id, started_at, ended_at, address, mechanism, tls, outcome, fetched, fetched_octets, expunged, client)
  VALUES (p_tenant, p_session, p_account, p_credential, p_started, clock_timestamp(), p_address, p_mechanism, p_tls, p_outcome, p_fetched, p_fetched_octets, n, p_client);
  RETURN n;
END $$;

-- ---- lmtp -------------------------------------------------------------------------------------------------------
-- What a recipient's address leads to. Verdicts: 1 known, 3 over quota, 4 unknown, 5 tenant suspended, 6 over quota and the policy says defer.
-- p_octets: what the sender declared, 0 if nothing.
CREATE FUNCTION lmtp_resolve_1(p_domain text, p_local_key text, p_octets bigint)
RETURNS TABLE (verdict smallint, tenant_id integer, account_ids bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_tenant integer; v_domain bigint; v_key text; v_account bigint; v_policy jsonb; v_ids bigint[]; v_over boolean; v_status smallint; v_max bigint; v_defer boolean;
BEGIN
  SELECT o.tenant_id, o.domain_id, r.local_key, r.account_id, t.status, t.max_octets, t.policy || d.policy
    INTO v_tenant, v_domain, v_key, v_account, v_status, v_max, v_policy
    FROM domain_owners o
    JOIN tenants t ON t.tenant_id = o.tenant_id
    JOIN domains d ON (d.tenant_id, d.domain_id) = (o.tenant_id, o.domain_id)
    JOIN addresses r ON (r.tenant_id, r.domain_id) = (o.tenant_id, o.domain_id) AND r.local_key IN (p_local_key, '')
   WHERE o.name = p_domain ORDER BY r.local_key DESC LIMIT 1;     -- '' is the catch-all: only where nothing else fits
  IF NOT FOUND OR v_status = 3 THEN RETURN QUERY SELECT 4::smallint, NULL::integer, NULL::bigint[]; RETURN; END IF;
  SELECT array_agg(a.account_id ORDER BY a.account_id),
         bool_or(coalesce(a.max_octets < m.live_octets + greatest(p_octets, 1), false) OR coalesce(a.max_messages < m.live_messages + 1, false)),
         bool_or(coalesce(a.policy ->> 'over_quota', v_policy ->> 'over_quota', 'reject') = 'defer')
    INTO v_ids, v_over, v_defer
    FROM accounts a JOIN maildrops m ON (m.tenant_id, m.account_id) = (a.tenant_id, a.account_id)
   WHERE a.tenant_id = v_tenant AND a.status IN (1, 2)
     AND a.account_id IN (SELECT v_account WHERE v_account IS NOT NULL
                          UNION ALL SELECT x.target_id FROM alias_targets x WHERE (x.tenant_id, x.domain_id, x.local_key) = (v_tenant, v_domain, v_key));
  IF v_ids IS NULL THEN RETURN QUERY SELECT 4::smallint, NULL::integer, NULL::bigint[]; RETURN; END IF;
  IF v_status <> 1 THEN RETURN QUERY SELECT 5::smallint, v_tenant, NULL::bigint[]; RETURN; END IF;
  IF NOT v_over AND v_max IS NOT NULL THEN
    SELECT u.octets + greatest(p_octets, 1) > v_max INTO v_over FROM usage_now u WHERE u.tenant_id = v_tenant AND u.domain_id = 0;
  END IF;
  IF v_over THEN RETURN QUERY SELECT (CASE WHEN v_defer THEN 6 ELSE 3 END)::smallint, v_tenant, NULL::bigint[]; RETURN; END IF;
  RETURN QUERY SELECT 1::smallint, v_tenant, v_ids;
END $$;

-- Commits copies of one segment. Results: 1 stored, 2 busy (call again, same segment), 3 over quota, 4 no such account, 5 tenant suspended,
-- 6 over quota and the policy says defer. A repeated call (a lost answer) finds its guids and answers 1 without storing twice.
-- Quota counts every recipient of the call, those refused included: after a refusal the caller asks again, one recipient at a time.
CREATE FUNCTION lmtp_deliver_1(
  p_segment uuid, p_octets integer,
  p_ord integer[], p_rcpt integer[], p_tenant integer[], p_account bigint[], p_guid uuid[],
  p_octs integer[], p_off integer[], p_len integer[], p_head integer[], p_traits smallint[], p_prefix text[])
RETURNS TABLE (ord integer, result smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE seg bigint; st smallint; existed boolean := false;
BEGIN
  -- Waits for a call for the same segment that is still under way.
  INSERT INTO segments (segment_uuid, state, refs, octets) VALUES (p_segment, 1, 0, p_octets) ON CONFLICT (segment_uuid) DO NOTHING RETURNING segment_id, state INTO seg, st;
  IF seg IS NULL THEN
    SELECT s.segment_id, s.state INTO seg, st FROM segments s WHERE s.segment_uuid = p_segment FOR UPDATE;
    existed := true;
  END IF;
  IF st IS DISTINCT FROM 1 THEN RAISE EXCEPTION 'segment condemned' USING ERRCODE = 'RS001'; END IF;
  RETURN QUERY
  WITH r AS (SELECT * FROM unnest(p_ord, p_rcpt, p_tenant, p_account, p_guid, p_octs, p_off, p_len, p_head, p_traits, p_prefix)
                         AS u(ord, rcpt, tenant_id, account_id, guid, octets, off, len, head, traits, prefix)),
  already AS (SELECT m.guid FROM messages m WHERE existed AND m.segment_id = seg UNION ALL SELECT x.guid FROM expunged x WHERE existed AND x.segment_id = seg),
  fresh AS (SELECT * FROM r WHERE NOT EXISTS (SELECT FROM already WHERE already.guid = r.guid)),
  locked AS (SELECT m.* FROM maildrops m WHERE (m.tenant_id, m.account_id) IN (SELECT f.tenant_id, f.account_id FROM fresh f)
              ORDER BY m.tenant_id, m.account_id FOR UPDATE SKIP LOCKED),
  judged AS (SELECT f.*, l.next_uid, CASE
                 WHEN a.account_id IS NULL OR t.tenant_id IS NULL OR d.account_id IS NULL THEN 4
                 WHEN t.status <> 1 THEN 5
                 WHEN l.account_id IS NULL THEN 2
                 WHEN a.max_octets < l.live_octets + sum(f.octets) OVER w OR a.max_messages < l.live_messages + count(*) OVER w
                   THEN CASE WHEN coalesce(a.policy ->> 'over_quota', dm.policy ->> 'over_quota', t.policy ->> 'over_quota') = 'defer' THEN 6 ELSE 3 END
                 ELSE 1 END AS verdict
             FROM fresh f LEFT JOIN locked l USING (tenant_id, account_id)
             LEFT JOIN maildrops d ON (d.tenant_id, d.account_id) = (f.tenant_id, f.account_id)
             LEFT JOIN accounts a ON (a.tenant_id, a.account_id) = (f.tenant_id, f.account_id) AND a.status IN (1, 2)
             LEFT JOIN domains dm ON (dm.tenant_id, dm.domain_id) = (a.tenant_id, a.domain_id)
             LEFT JOIN tenants t ON t.tenant_id = f.tenant_id
             WINDOW w AS (PARTITION BY f.tenant_id, f.account_id ORDER BY f.ord)),
  whole AS (SELECT j.*, max(CASE WHEN verdict = 1 THEN 0 ELSE verdict END) OVER (PARTITION BY j.rcpt) AS bad FROM judged j),   -- a RCPT is all of its targets or none
  num AS (SELECT w.*, w.next_uid + row_number() OVER (PARTITION BY w.tenant_id, w.account_id ORDER BY w.ord) - 1 AS uid FROM whole w WHERE w.bad = 0),
  ins AS (INSERT INTO messages (tenant_id, octets, account_id, uid, segment_id, guid, frame_offset, frame_len, head_len, traits)
          SELECT num.tenant_id, num.octets, num.account_id, num.uid, seg, num.guid, num.off, num.len, num.head, num.traits FROM num RETURNING 1),
  ext AS (INSERT INTO message_extras (tenant_id, account_id, uid, prefix) SELECT num.tenant_id, num.account_id, num.uid, num.prefix FROM num WHERE num.prefix IS NOT NULL RETURNING 1),
  cnt AS (UPDATE maildrops m SET next_uid = m.next_uid + c.n, live_messages = m.live_messages + c.n, live_octets = m.live_octets + c.o
            FROM (SELECT num.tenant_id, num.account_id, count(*)::integer n, sum(num.octets) o FROM num GROUP BY 1, 2) c
           WHERE (m.tenant_id, m.account_id) = (c.tenant_id, c.account_id) RETURNING 1),
  ref AS (UPDATE segments s SET refs = s.refs + (SELECT count(*) FROM num) WHERE s.segment_id = seg AND EXISTS (SELECT FROM num) RETURNING 1)
  SELECT whole.ord, (CASE WHEN bad = 0 THEN 1 ELSE bad END)::smallint FROM whole
  UNION ALL SELECT r.ord, 1::smallint FROM r WHERE NOT EXISTS (SELECT FROM fresh f WHERE f.ord = r.ord)
  ORDER BY 1;
END $$;

-- ---- admin ------------------------------------------------------------------------------------------------------
-- Each refuses unless its tenant is the transaction's (restante.tenant_id), so a mistaken caller cannot reach past its tenant.
CREATE FUNCTION assert_tenant(p_tenant integer) RETURNS void LANGUAGE plpgsql STABLE SET search_path = restante, pg_catalog AS $$
BEGIN
  IF p_tenant IS NULL OR p_tenant IS DISTINCT FROM current_tenant() THEN RAISE EXCEPTION 'another tenant' USING ERRCODE = '42501'; END IF;
END $$;

-- Who a key belongs to, asked before a tenant is known. No row: no such key, revoked or expired.
CREATE FUNCTION admin_key_1(p_hash bytea)
RETURNS TABLE (key_id bigint, tenant_id integer, tenant_slug text, tenant_status smallint, label text, role smallint, scopes text[], allowed_nets text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT k.key_id, k.tenant_id, t.slug, t.status, k.label, k.role, k.scopes, array_to_string(k.allowed_nets, ',')
    FROM api_keys k LEFT JOIN tenants t ON t.tenant_id = k.tenant_id
   WHERE k.key_hash = p_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;

-- An account, its address and its maildrop in one step; at most the tenant's max_accounts. The caller has checked the domain.
CREATE FUNCTION admin_create_account_1(p_tenant integer, p_domain bigint, p_local_part text, p_local_key text, p_max_octets bigint, p_max_messages integer, p_scram_salt bytea)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_account bigint; v_max integer;
BEGIN
  PERFORM assert_tenant(p_tenant);
  SELECT t.max_accounts INTO v_max FROM tenants t WHERE t.tenant_id = p_tenant FOR SHARE;
  IF v_max IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('restante accounts'), p_tenant);   -- two creations must not both be the last that fits
    IF (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.status <> 3) >= v_max THEN
      RAISE EXCEPTION 'the tenant has its most accounts' USING ERRCODE = 'RS002';
    END IF;
  END IF;
  INSERT INTO accounts (tenant_id, domain_id, local_part, max_octets, max_messages, scram_salt)
    VALUES (p_tenant, p_domain, p_local_part, p_max_octets, p_max_messages, p_scram_salt) RETURNING account_id INTO v_account;
  INSERT INTO addresses (tenant_id, domain_id, local_key, account_id) VALUES (p_tenant, p_domain, p_local_key, v_account);
  INSERT INTO maildrops (tenant_id, account_id) VALUES (p_tenant, v_account);
  RETURN v_account;
END $$;

-- A proved (or vouched-for) domain gets its name; true: has it now, false: another tenant or claim has it.
CREATE FUNCTION admin_verify_domain_1(p_tenant integer, p_domain bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_name text; v_owner bigint;
BEGIN
  PERFORM assert_tenant(p_tenant);
  SELECT d.name INTO v_name FROM domains d WHERE d.tenant_id = p_tenant AND d.domain_id = p_domain FOR UPDATE;
  IF v_name IS NULL THEN RETURN false; END IF;
  INSERT INTO domain_owners (name, tenant_id, domain_id) VALUES (v_name, p_tenant, p_domain) ON CONFLICT (name) DO NOTHING;
  SELECT o.domain_id INTO v_owner FROM domain_owners o WHERE o.name = v_name AND o.tenant_id = p_tenant;
  IF v_owner IS DISTINCT FROM p_domain THEN RETURN false; END IF;
  UPDATE domains d SET verified_at = coalesce(d.verified_at, now()), row_version = d.row_version + 1 WHERE d.tenant_id = p_tenant AND d.domain_id = p_domain AND d.verified_at IS NULL;
  RETURN true;
END $$;

-- Delivery through the API: one tenant's recipients only.
CREATE FUNCTION admin_deliver_1(
  p_segment uuid, p_octets integer,
  p_ord integer[], p_rcpt integer[], p_tenant integer[], p_account bigint[], p_guid uuid[],
  p_octs integer[], p_off integer[], p_len integer[], p_head integer[], p_traits smallint[], p_prefix text[])
RETURNS TABLE (ord integer, result smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  PERFORM assert_tenant(u) FROM unnest(p_tenant) AS u;
  RETURN QUERY SELECT d.ord, d.result FROM lmtp_deliver_1(p_segment, p_octets, p_ord, p_rcpt, p_tenant, p_account, p_guid, p_octs, p_off, p_len, p_head, p_traits, p_prefix) d;
END $$;

GRANT EXECUTE ON FUNCTION pop3_login_1, pop3_login_time_1, pop3_list_1, pop3_view_1, pop3_lease_1, pop3_unlease_1, pop3_quit_1 TO restante_pop3;
GRANT EXECUTE ON FUNCTION frontend_beat_1 TO restante_pop3, restante_lmtp;
GRANT EXECUTE ON FUNCTION lmtp_resolve_1, lmtp_deliver_1 TO restante_lmtp;
GRANT EXECUTE ON FUNCTION admin_key_1, admin_create_account_1, admin_verify_domain_1, admin_deliver_1 TO restante_admin, restante_platform;
RESET ROLE;
RESET search_path;
