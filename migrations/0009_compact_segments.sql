-- Compaction: which segments were made by it or are being compacted; where a message lies now; the steps that go over everything.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
ALTER TABLE segments
  ADD COLUMN compacted boolean NOT NULL DEFAULT false,  -- made by compaction: compacted again only when thin
  ADD COLUMN claimed_until timestamptz;                 -- a worker compacts or deletes it until then, or found it unfit
-- Small segments of deliveries, merged once they are old enough. In no index: refs, whose updates stay HOT.
CREATE INDEX segments_small ON segments (created_at) WHERE state = 1 AND NOT compacted AND octets < 1048576;
-- Passes over everything, in slices: any worker claims the next slice, `progress.at` is where it begins.
INSERT INTO jobs (tenant_id, kind, payload) VALUES (0, 'reconcile', '{}'), (0, 'orphans', '{}');

-- As before, but for the lock: a QUIT reads `sessions` before it writes there, and met a deadlock.
CREATE OR REPLACE FUNCTION worker_partition_1(p_table text, p_from date, p_to date) RETURNS boolean   -- true: made, false: was there
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
  -- Who reads or inserts waits here and then sees the new partition. A weaker lock would let in who has read the default partition
  -- and inserts then: he waits for us, and we for him.
  EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', p_table);
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

SET LOCAL ROLE restante_definer;
-- Where messages lie now: asked when a session finds no object where its snapshot says. What was expunged meanwhile is still in
-- that snapshot. A message that is not in the answer is purged.
CREATE FUNCTION pop3_locate_1(p_tenant integer, p_account bigint, p_uids bigint[])
RETURNS TABLE (uid bigint, segment_uuid uuid, frame_offset integer, frame_len integer, head_len integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT p.uid, s.segment_uuid, p.frame_offset, p.frame_len, p.head_len
    FROM (SELECT m.uid, m.segment_id, m.frame_offset, m.frame_len, m.head_len FROM messages m
           WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND m.uid = ANY (p_uids)
          UNION ALL
          SELECT x.uid, x.segment_id, x.frame_offset, x.frame_len, x.head_len FROM expunged x
           WHERE x.tenant_id = p_tenant AND x.account_id = p_account AND x.uid = ANY (p_uids)) p
    JOIN segments s ON s.segment_id = p.segment_id
$$;
CREATE FUNCTION admin_locate_1(p_tenant integer, p_account bigint, p_uids bigint[])
RETURNS TABLE (uid bigint, segment_uuid uuid, frame_offset integer, frame_len integer, head_len integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  PERFORM assert_tenant(p_tenant);
  RETURN QUERY SELECT l.uid, l.segment_uuid, l.frame_offset, l.frame_len, l.head_len FROM pop3_locate_1(p_tenant, p_account, p_uids) l;
END $$;
GRANT EXECUTE ON FUNCTION pop3_locate_1 TO restante_pop3;
GRANT EXECUTE ON FUNCTION admin_locate_1 TO restante_admin;
GRANT EXECUTE ON FUNCTION tenant_key_1 TO restante_worker;   -- META of a frame that moves is written anew
RESET ROLE;
RESET search_path;
