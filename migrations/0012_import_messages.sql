-- Import: messages of another server, with its unique-ids and in its order, by `restante import` (role worker).
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
-- What was imported, so that an import that is run again takes nothing twice, not even what was expunged since.
CREATE TABLE import_seen (
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  source_key    uuid NOT NULL,                      -- 128 bits of a SHA-256: the kind of source and what the message is called there
  digest        uuid NOT NULL,                      -- 128 bits of the SHA-256 of the octets
  uid           bigint NOT NULL,                    -- the message that it became
  PRIMARY KEY (tenant_id, account_id, source_key)
);
ALTER TABLE import_seen ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON import_seen TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant());
CREATE POLICY of_platform ON import_seen TO restante_platform USING (true) WITH CHECK (true);
CREATE POLICY of_owner ON import_seen TO restante_owner USING (true) WITH CHECK (true);
GRANT SELECT, DELETE ON import_seen TO restante_worker;
GRANT ALL ON import_seen TO restante_definer;
RESET ROLE;

SET LOCAL ROLE restante_definer;
SET LOCAL search_path = restante, pg_catalog;
-- The account of an address of its own; no alias and no catch-all leads to it here. No row: there is none.
CREATE FUNCTION worker_account_1(p_domain text, p_local_key text) RETURNS TABLE (tenant_id integer, account_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT a.tenant_id, a.account_id
    FROM domain_owners o
    JOIN addresses r ON (r.tenant_id, r.domain_id, r.local_key) = (o.tenant_id, o.domain_id, p_local_key) AND r.account_id IS NOT NULL AND p_local_key <> ''
    JOIN accounts a ON (a.tenant_id, a.account_id) = (r.tenant_id, r.account_id) AND a.status IN (1, 2)
   WHERE o.name = p_domain
$$;

-- Where messages that are about to be imported stand: 0 new, 2 here already (what is known of it by its unique-id and octets only is
-- noted under its key too), 7 its unique-id is another message's. p_legacy_guid: what p_legacy is if it is one of our own unique-ids.
CREATE FUNCTION worker_import_known_1(p_tenant integer, p_account bigint, p_ord integer[], p_key uuid[], p_digest uuid[], p_legacy text[], p_legacy_guid uuid[])
RETURNS TABLE (ord integer, result smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '20s' AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH r AS (SELECT * FROM unnest(p_ord, p_key, p_digest, p_legacy, p_legacy_guid) AS u(ord, source_key, digest, legacy, legacy_guid)),
  own AS (SELECT l.guid FROM messages l WHERE (l.tenant_id, l.account_id) = (p_tenant, p_account) AND l.guid = ANY (p_legacy_guid)
          UNION ALL SELECT x.guid FROM expunged x WHERE (x.tenant_id, x.account_id) = (p_tenant, p_account) AND x.guid = ANY (p_legacy_guid)),
  found AS (SELECT r.*, s.uid AS seen_uid, e.uid AS legacy_uid, w.guid AS own_guid
              FROM r LEFT JOIN import_seen s ON (s.tenant_id, s.account_id, s.source_key) = (p_tenant, p_account, r.source_key)
                     LEFT JOIN message_extras e ON (e.tenant_id, e.account_id, e.legacy_id) = (p_tenant, p_account, r.legacy)
                     LEFT JOIN own w ON w.guid = r.legacy_guid),
  same AS (SELECT f.ord, f.source_key, f.digest, f.legacy_uid FROM found f
            WHERE f.seen_uid IS NULL AND f.legacy_uid IS NOT NULL
              AND (f.legacy_uid, f.digest) IN (SELECT s.uid, s.digest FROM import_seen s WHERE (s.tenant_id, s.account_id) = (p_tenant, p_account))),
  noted AS (INSERT INTO import_seen (tenant_id, account_id, source_key, digest, uid)
            SELECT p_tenant, p_account, same.source_key, same.digest, same.legacy_uid FROM same ON CONFLICT DO NOTHING)
  SELECT f.ord, (CASE WHEN f.seen_uid IS NOT NULL OR f.ord IN (SELECT same.ord FROM same) THEN 2
                      WHEN f.legacy_uid IS NOT NULL OR f.own_guid IS NOT NULL THEN 7 ELSE 0 END)::smallint
    FROM found f ORDER BY 1;
END $$;

-- Commits the messages of one segment to one maildrop, in their order, as one transaction. Results: 1 stored, 2 here already, 3 over quota
-- (it and all after it), 4 no such account, 5 tenant suspended, 7 its unique-id is another message's. A repeated call (a lost answer) finds
-- what it has by the keys and answers 1 without storing twice.
CREATE FUNCTION worker_import_1(
  p_tenant integer, p_account bigint, p_segment uuid, p_octets integer, p_over_quota boolean,
  p_ord integer[], p_guid uuid[], p_octs integer[], p_off integer[], p_len integer[], p_head integer[], p_traits smallint[],
  p_legacy text[], p_received timestamptz[], p_key uuid[], p_digest uuid[])
RETURNS TABLE (ord integer, result smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '10s' AS $$
#variable_conflict use_column
DECLARE seg bigint; st smallint; d maildrops%ROWTYPE; v_status smallint; v_octets bigint; v_messages integer; v_of_tenant bigint; v_used bigint;
BEGIN
  PERFORM assert_young(p_segment);
  -- The maildrop first: deliveries, expunges and other imports, a call that this one repeats included, wait here for each other.
  SELECT m.* INTO d FROM maildrops m WHERE (m.tenant_id, m.account_id) = (p_tenant, p_account) FOR UPDATE;
  SELECT t.status, a.max_octets, a.max_messages, t.max_octets INTO v_status, v_octets, v_messages, v_of_tenant
    FROM accounts a JOIN tenants t ON t.tenant_id = a.tenant_id WHERE (a.tenant_id, a.account_id) = (p_tenant, p_account) AND a.status IN (1, 2);
  IF d.account_id IS NULL OR v_status IS NULL OR v_status = 3 THEN RETURN QUERY SELECT u, 4::smallint FROM unnest(p_ord) AS u; RETURN; END IF;
  IF v_status <> 1 THEN RETURN QUERY SELECT u, 5::smallint FROM unnest(p_ord) AS u; RETURN; END IF;
  SELECT u.octets INTO v_used FROM usage_now u WHERE u.tenant_id = p_tenant AND u.domain_id = 0;
  INSERT INTO segments (segment_uuid, state, refs, octets) VALUES (p_segment, 1, 0, p_octets) ON CONFLICT (segment_uuid) DO NOTHING RETURNING segment_id, state INTO seg, st;
  IF seg IS NULL THEN
    SELECT s.segment_id, s.state INTO seg, st FROM segments s WHERE s.segment_uuid = p_segment FOR UPDATE;
  END IF;
  IF st IS DISTINCT FROM 1 THEN RAISE EXCEPTION 'segment condemned' USING ERRCODE = 'RS001'; END IF;
  RETURN QUERY
  WITH r AS (SELECT u.*, CASE WHEN g.guid = u.guid THEN 1 WHEN s.uid IS NOT NULL THEN 2 WHEN e.uid IS NOT NULL THEN 7 END AS known
               FROM unnest(p_ord, p_guid, p_octs, p_off, p_len, p_head, p_traits, p_legacy, p_received, p_key, p_digest)
                    AS u(ord, guid, octets, off, len, head, traits, legacy, received, source_key, digest)
               LEFT JOIN import_seen s ON (s.tenant_id, s.account_id, s.source_key) = (p_tenant, p_account, u.source_key)
               LEFT JOIN messages g ON (g.tenant_id, g.account_id, g.uid) = (p_tenant, p_account, s.uid)
               LEFT JOIN message_extras e ON (e.tenant_id, e.account_id, e.legacy_id) = (p_tenant, p_account, u.legacy)),
  judged AS (SELECT r.*, NOT p_over_quota AND (
                      coalesce(v_octets < d.live_octets + sum(r.octets) OVER w, false) OR coalesce(v_messages < d.live_messages + count(*) OVER w, false)
                      OR coalesce(v_of_tenant < greatest(coalesce(v_used, 0), d.live_octets) + sum(r.octets) OVER w, false)) AS over
               FROM r WHERE r.known IS NULL WINDOW w AS (ORDER BY r.ord)),
  num AS (SELECT j.*, d.next_uid + row_number() OVER (ORDER BY j.ord) - 1 AS uid FROM judged j WHERE NOT j.over),
  ins AS (INSERT INTO messages (tenant_id, octets, account_id, uid, segment_id, guid, frame_offset, frame_len, head_len, traits)
          SELECT p_tenant, n.octets, p_account, n.uid, seg, n.guid, n.off, n.len, n.head, n.traits FROM num n RETURNING 1),
  ext AS (INSERT INTO message_extras (tenant_id, account_id, uid, legacy_id, received_at)
          SELECT p_tenant, p_account, n.uid, n.legacy, n.received FROM num n WHERE n.legacy IS NOT NULL OR n.received IS NOT NULL RETURNING 1),
  see AS (INSERT INTO import_seen (tenant_id, account_id, source_key, digest, uid) SELECT p_tenant, p_account, n.source_key, n.digest, n.uid FROM num n RETURNING 1),
  cnt AS (UPDATE maildrops m SET next_uid = m.next_uid + c.n, shape = m.shape + 1, live_messages = m.live_messages + c.n, live_octets = m.live_octets + c.o
            FROM (SELECT count(*)::integer n, sum(num.octets) o FROM num) c WHERE c.n > 0 AND (m.tenant_id, m.account_id) = (p_tenant, p_account) RETURNING 1),
  ref AS (UPDATE segments s SET refs = s.refs + (SELECT count(*) FROM num) WHERE s.segment_id = seg AND EXISTS (SELECT FROM num) RETURNING 1)
  SELECT r.ord, r.known::smallint FROM r WHERE r.known IS NOT NULL
  UNION ALL SELECT j.ord, (CASE WHEN j.over THEN 3 ELSE 1 END)::smallint FROM judged j
  ORDER BY 1;
END $$;
GRANT EXECUTE ON FUNCTION worker_account_1, worker_import_known_1, worker_import_1, tenant_key_1, tenant_key_make_1 TO restante_worker;
GRANT EXECUTE ON FUNCTION pop3_locate_1 TO restante_worker;   -- an export reads on where compaction has moved what it reads
RESET ROLE;
RESET search_path;
