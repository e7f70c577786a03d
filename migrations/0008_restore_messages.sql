-- Undelete: expunged messages come back to their old place, with their old unique-id.
SET LOCAL ROLE restante_definer;
-- Moves rows from `expunged` back to `messages`: uid, guid and extras as they were, so order and unique-id are as they were; refs of
-- segments stay, since either table counts. Exactly one selection: unique-ids (p_unique_ids as shown, p_guids those of them that may be
-- ours), what was expunged from p_since on and before p_until (NULL: until now), or what one session expunged.
-- Verdicts: 1 restored (0 messages where nothing of it is expunged: a repeat is a no-op), 3 it does not fit into the quota of the account
-- or its tenant and nothing was restored, 4 no such account. The figures are of what was restored, or does not fit.
-- The audit event is written here, in the transaction of the change. Lock order as everywhere: maildrop, messages and expunged.
CREATE FUNCTION restante.admin_restore_1(
  p_tenant integer, p_account bigint, p_guids uuid[], p_unique_ids text[], p_since timestamptz, p_until timestamptz, p_session uuid,
  p_actor text, p_target text, p_address inet, p_request uuid)
RETURNS TABLE (verdict smallint, messages integer, octets bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '10s' AS $$
#variable_conflict use_column
DECLARE v_messages integer; v_octets bigint; v_uids bigint[]; v_days date[]; v_fits boolean; v_views boolean;
BEGIN
  PERFORM assert_tenant(p_tenant);
  -- Whoever moves a row of this maildrop waits here: what is selected now is there until the end.
  PERFORM 1 FROM maildrops m JOIN accounts a ON (a.tenant_id, a.account_id) = (m.tenant_id, m.account_id) AND a.status IN (1, 2)
    WHERE m.tenant_id = p_tenant AND m.account_id = p_account FOR UPDATE OF m;
  IF NOT FOUND THEN RETURN QUERY SELECT 4::smallint, 0, 0::bigint; RETURN; END IF;

  -- At once what deleting needs: whoever makes a partition meanwhile waits for the table, and would wait for us for ever if we read it
  -- now and asked for more later.
  LOCK TABLE ONLY expunged IN ROW EXCLUSIVE MODE;
  SELECT count(*), coalesce(sum(x.octets), 0), array_agg(x.uid), array_agg(DISTINCT x.purge_day) INTO v_messages, v_octets, v_uids, v_days
    FROM expunged x
    LEFT JOIN message_extras e ON p_unique_ids IS NOT NULL AND (e.tenant_id, e.account_id, e.uid) = (x.tenant_id, x.account_id, x.uid)
   WHERE x.tenant_id = p_tenant AND x.account_id = p_account
     AND (x.session_uuid = p_session
          OR x.expunged_at >= p_since AND (p_until IS NULL OR x.expunged_at < p_until)
          OR CASE WHEN e.legacy_id IS NULL THEN x.guid = ANY (p_guids) ELSE e.legacy_id = ANY (p_unique_ids) END);
  IF v_messages = 0 THEN RETURN QUERY SELECT 1::smallint, 0, 0::bigint; RETURN; END IF;

  -- The account's quota exactly, its tenant's by the latest sums, as for a delivery.
  SELECT coalesce(m.live_octets + v_octets <= a.max_octets, true) AND coalesce(m.live_messages + v_messages <= a.max_messages, true)
         AND coalesce(u.octets + v_octets <= t.max_octets, true) INTO v_fits
    FROM maildrops m
    JOIN accounts a ON (a.tenant_id, a.account_id) = (m.tenant_id, m.account_id)
    JOIN tenants t ON t.tenant_id = m.tenant_id
    LEFT JOIN usage_now u ON u.tenant_id = m.tenant_id AND u.domain_id = 0
   WHERE m.tenant_id = p_tenant AND m.account_id = p_account;
  IF NOT v_fits THEN RETURN QUERY SELECT 3::smallint, v_messages, v_octets; RETURN; END IF;

  -- A device that sees what it has not fetched yet gets back what its own session fetched and expunged.
  v_views := EXISTS (SELECT FROM device_views v WHERE v.tenant_id = p_tenant AND v.account_id = p_account);
  -- The days say which partitions are looked into.
  WITH back AS (DELETE FROM expunged x WHERE x.tenant_id = p_tenant AND x.account_id = p_account AND x.purge_day = ANY (v_days) AND x.uid = ANY (v_uids) RETURNING x.*),
  by_session AS (SELECT b.session_uuid, range_agg(int8range(b.uid, b.uid, '[]')) AS uids FROM back b WHERE v_views GROUP BY b.session_uuid),
  by_device AS (SELECT s.credential_id, range_agg(b.uids) AS uids FROM by_session b
                 CROSS JOIN LATERAL (SELECT y.credential_id FROM sessions y WHERE y.tenant_id = p_tenant AND y.session_uuid = b.session_uuid LIMIT 1) s
                 GROUP BY s.credential_id),
  unseen AS (UPDATE device_views v SET seen = v.seen - d.uids FROM by_device d
              WHERE v.tenant_id = p_tenant AND v.account_id = p_account AND v.credential_id = d.credential_id),
  live AS (INSERT INTO messages (tenant_id, octets, account_id, uid, segment_id, guid, frame_offset, frame_len, head_len, traits)
           SELECT b.tenant_id, b.octets, b.account_id, b.uid, b.segment_id, b.guid, b.frame_offset, b.frame_len, b.head_len, b.traits FROM back b
           RETURNING octets)
  SELECT count(*), coalesce(sum(live.octets), 0) INTO v_messages, v_octets FROM live;
  UPDATE maildrops m SET shape = m.shape + 1, live_messages = m.live_messages + v_messages, live_octets = m.live_octets + v_octets,
                         kept_messages = m.kept_messages - v_messages, kept_octets = m.kept_octets - v_octets
   WHERE m.tenant_id = p_tenant AND m.account_id = p_account;
  INSERT INTO audit_events (tenant_id, actor, action, target, address, request_id, after)
  VALUES (p_tenant, p_actor, 'message.restore', p_target, p_address, p_request,
          jsonb_strip_nulls(jsonb_build_object('unique_ids', p_unique_ids, 'since', p_since, 'until', p_until,
                                               'session', 'sess_' || replace(p_session::text, '-', ''), 'messages', v_messages, 'octets', v_octets)));
  RETURN QUERY SELECT 1::smallint, v_messages, v_octets;
END $$;
GRANT EXECUTE ON FUNCTION restante.admin_restore_1 TO restante_admin, restante_platform;
RESET ROLE;
