-- A commit names its segment, and the segment's name says when it was made (UUIDv7). One that comes half a day later is refused: what
-- a sweep may have condemned, deleted and forgotten meanwhile (never anything younger than a day) must not become a row again.
SET LOCAL ROLE restante_definer;
SET LOCAL search_path = restante, pg_catalog;
CREATE FUNCTION assert_young(p_segment uuid) RETURNS void LANGUAGE plpgsql SET search_path = restante, pg_catalog AS $$
DECLARE made timestamptz := to_timestamp(('x0000' || left(replace(p_segment::text, '-', ''), 12))::bit(64)::bigint / 1000.0);
BEGIN
  IF made < clock_timestamp() - interval '12 hours' THEN
    RAISE EXCEPTION 'the segment is too old to be committed' USING ERRCODE = 'RS001';
  END IF;
END $$;
CREATE OR REPLACE FUNCTION lmtp_deliver_1(
  p_segment uuid, p_octets integer,
  p_ord integer[], p_rcpt integer[], p_tenant integer[], p_account bigint[], p_guid uuid[],
  p_octs integer[], p_off integer[], p_len integer[], p_head integer[], p_traits smallint[], p_prefix text[])
RETURNS TABLE (ord integer, result smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE seg bigint; st smallint; existed boolean := false;
BEGIN
  PERFORM assert_young(p_segment);
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
RESET ROLE;
RESET search_path;
