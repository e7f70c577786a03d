-- Expiry by policy (RFC 2449 section 6.7): what an account keeps for so many days only is expunged when they are over, restorable
-- like what a session expunged.
SET LOCAL ROLE restante_definer;
SET LOCAL search_path = restante, pg_catalog;

-- Expunges some of what is over its days in one maildrop, the oldest first: what p_batch oldest messages hold of it. The policy is
-- read here, under the maildrop's lock, so that nobody can expire what no policy lets expire; for an account or a tenant that is
-- suspended nothing does, since its owner cannot fetch it. The age is that of the guid: when this service received the message,
-- whatever the message or another server says. One session's row and an audit event for what was expunged, to undo it by.
-- No row: the maildrop is busy. Less than p_batch: there is no more for now.
CREATE FUNCTION worker_expire_1(p_tenant integer, p_account bigint, p_session uuid, p_started timestamptz, p_batch integer)
RETURNS TABLE (expired integer, expired_octets bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
DECLARE n integer := 0; gone_octets bigint := 0; days text; retention integer; address text; oldest uuid;
BEGIN
  PERFORM 1 FROM maildrops m WHERE m.tenant_id = p_tenant AND m.account_id = p_account FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT coalesce(a.policy ->> 'expire_days', d.policy ->> 'expire_days', t.policy ->> 'expire_days'),
         coalesce((t.policy ->> 'retention_days')::integer, 7), a.local_part || '@' || d.name
    INTO days, retention, address
    FROM accounts a
    JOIN domains d ON (d.tenant_id, d.domain_id) = (a.tenant_id, a.domain_id)
    JOIN tenants t ON t.tenant_id = a.tenant_id
   WHERE a.tenant_id = p_tenant AND a.account_id = p_account AND a.status = 1 AND t.status = 1;
  IF days ~ '^[1-9][0-9]{0,5}$' THEN
    -- A guid begins with the milliseconds of its time, in 48 bits.
    oldest := rpad(lpad(to_hex(greatest(0, floor(extract(epoch FROM clock_timestamp() - make_interval(days => days::integer)) * 1000))::bigint), 12, '0'), 32, '0')::uuid;
    -- In the maildrop's order, which is that of the guids but for moments: where nothing is over its days, one batch is read.
    WITH due AS (SELECT x.uid FROM (SELECT m.uid, m.guid FROM messages m WHERE m.tenant_id = p_tenant AND m.account_id = p_account ORDER BY m.uid LIMIT p_batch) x
                  WHERE x.guid < oldest),
    gone AS (DELETE FROM messages m USING due WHERE m.tenant_id = p_tenant AND m.account_id = p_account AND m.uid = due.uid RETURNING m.*),
    kept AS (INSERT INTO expunged SELECT gone.*, clock_timestamp(), p_session, (clock_timestamp() AT TIME ZONE 'UTC')::date + retention + 1 FROM gone RETURNING octets)
    SELECT count(*), coalesce(sum(octets), 0) INTO n, gone_octets FROM kept;
  END IF;
  IF n > 0 THEN
    UPDATE maildrops m SET shape = m.shape + 1, live_messages = m.live_messages - n, live_octets = m.live_octets - gone_octets,
                           kept_messages = m.kept_messages + n, kept_octets = m.kept_octets + gone_octets
     WHERE m.tenant_id = p_tenant AND m.account_id = p_account;
    -- Mechanism 0 and outcome 2: no client, a policy.
    INSERT INTO sessions AS s (tenant_id, session_uuid, account_id, started_at, ended_at, address, mechanism, tls, outcome, fetched, fetched_octets, expunged)
      VALUES (p_tenant, p_session, p_account, p_started, clock_timestamp(), '0.0.0.0', 0, 0, 2, 0, 0, n)
      ON CONFLICT (tenant_id, session_uuid, started_at) DO UPDATE SET ended_at = excluded.ended_at, expunged = s.expunged + excluded.expunged;
    INSERT INTO audit_events (tenant_id, actor, action, target, after)
      VALUES (p_tenant, 'policy', 'account.expire', address,
              jsonb_build_object('expire_days', days::integer, 'messages', n, 'octets', gone_octets, 'session', p_session));
  END IF;
  RETURN QUERY SELECT n, gone_octets;
END $$;
GRANT EXECUTE ON FUNCTION worker_expire_1 TO restante_worker;
RESET ROLE;
RESET search_path;
