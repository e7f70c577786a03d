-- What happened in a minute and in an hour, of a domain, a tenant and the service: sums, so that an overview costs the same however many
-- accounts there are; accounts that are suspended, in the sums of usage; what is fullest, found by an index; how the service is.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;

ALTER TABLE usage_now ADD COLUMN suspended integer NOT NULL DEFAULT 0;
CREATE INDEX quota_levels_fullest ON quota_levels (kind, percent DESC, since DESC);

-- Frontends add what they counted every few seconds, and the roll-up of usage what was delivered: nobody who logs in or delivers writes here.
CREATE TABLE activity_sums (
  tenant_id     integer NOT NULL, domain_id bigint NOT NULL,      -- domain 0: the tenant; tenant 0: the service
  step          smallint NOT NULL,                  -- minutes: 1 or 60
  at            timestamptz NOT NULL,               -- where the minute or the hour begins
  kind          smallint NOT NULL,                  -- 1 logins, 2 refused logins, 3 deliveries (imports too), 4 recipients that LMTP refused
  reason        smallint NOT NULL,                  -- of a refused login, as in login_refusals; 0: of anything else
  count         bigint NOT NULL,
  PRIMARY KEY (tenant_id, domain_id, step, at, kind, reason)
) WITH (fillfactor = 70);
CREATE INDEX activity_sums_old ON activity_sums (step, at);
ALTER TABLE activity_sums ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON activity_sums TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant());
CREATE POLICY of_platform ON activity_sums TO restante_platform USING (true) WITH CHECK (true);
CREATE POLICY of_owner ON activity_sums TO restante_owner USING (true) WITH CHECK (true);
GRANT SELECT ON activity_sums TO restante_admin, restante_platform;
GRANT ALL ON activity_sums TO restante_definer;
GRANT EXECUTE ON FUNCTION worker_forget_1 TO restante_definer;
RESET ROLE;

SET LOCAL ROLE restante_definer;
-- Adds counts of domains, to the domain's, the tenant's and the service's sums. All who do lock rows in one order, the shared ones last.
CREATE FUNCTION count_activity_1(p_counts jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
  INSERT INTO activity_sums AS s (tenant_id, domain_id, step, at, kind, reason, count)
  SELECT o.tenant_id, o.domain_id, t.step, date_trunc(t.word, x.at, 'UTC'), x.kind, x.reason, sum(x.count)
    FROM jsonb_to_recordset(p_counts) AS x(tenant integer, domain bigint, at timestamptz, kind smallint, reason smallint, count bigint)
   CROSS JOIN LATERAL (SELECT x.tenant, x.domain UNION SELECT x.tenant, 0 UNION SELECT 0, 0) AS o(tenant_id, domain_id)
   CROSS JOIN (VALUES (1::smallint, 'minute'), (60::smallint, 'hour')) AS t(step, word)
   WHERE x.count > 0
   GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1 DESC, 2 DESC, 3, 4, 5, 6
  ON CONFLICT (tenant_id, domain_id, step, at, kind, reason) DO UPDATE SET count = s.count + excluded.count
$$;

-- As pop3_report_1, and logins by domain and minute (`logins`): these and the refusals are counted.
CREATE FUNCTION pop3_report_2(p_frontend uuid, p_report jsonb)
RETURNS TABLE (held integer, ending uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  RETURN QUERY SELECT r.held, r.ending FROM pop3_report_1(p_frontend, p_report) r;
  PERFORM count_activity_1(coalesce(jsonb_agg(c), '[]')) FROM (
    SELECT o.tenant_id AS tenant, o.domain_id AS domain, to_timestamp(s.at / 1000.0) AS at, 1 AS kind, 0 AS reason, s.count
      FROM jsonb_to_recordset(p_report -> 'logins') AS s(domain text, at bigint, count bigint)
      JOIN domain_owners o ON o.name = s.domain
    UNION ALL
    SELECT a.tenant_id, a.domain_id, to_timestamp(s.first / 1000.0), 2, s.reason, s.attempts
      FROM jsonb_to_recordset(p_report -> 'refusals') AS s(tenant integer, account bigint, domain text, local_key text, reason integer, attempts bigint, first bigint)
      LEFT JOIN domain_owners o ON s.account IS NULL AND o.name = s.domain
      LEFT JOIN addresses d ON (d.tenant_id, d.domain_id, d.local_key) = (o.tenant_id, o.domain_id, s.local_key) AND s.local_key <> ''
      JOIN accounts a ON (a.tenant_id, a.account_id) = (coalesce(s.tenant, d.tenant_id), coalesce(s.account, d.account_id))) c;
END $$;
GRANT EXECUTE ON FUNCTION pop3_report_2 TO restante_pop3;

-- What a frontend of LMTP reports every few seconds: recipients that it refused, by domain and minute.
CREATE FUNCTION lmtp_report_1(p_refused jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
  SELECT count_activity_1(coalesce(jsonb_agg(jsonb_build_object('tenant', o.tenant_id, 'domain', o.domain_id, 'at', to_timestamp(s.at / 1000.0), 'kind', 4, 'reason', 0, 'count', s.count)), '[]'))
    FROM jsonb_to_recordset(p_refused) AS s(domain text, at bigint, count bigint)
    JOIN domain_owners o ON o.name = s.domain
$$;
GRANT EXECUTE ON FUNCTION lmtp_report_1 TO restante_lmtp;
GRANT EXECUTE ON FUNCTION count_activity_1 TO restante_worker;
-- Every process is known to live by its beat, whatever its role.
GRANT EXECUTE ON FUNCTION frontend_beat_1 TO restante_worker, restante_admin;

-- How the service is, for those who operate it. Everything is counted to a bound, along an index.
CREATE FUNCTION admin_health_1()
RETURNS TABLE (due_jobs bigint, oldest_job timestamptz, due_webhooks bigint, oldest_webhook timestamptz, to_delete bigint, oldest_to_delete timestamptz,
               oldest_verified timestamptz, damaged bigint, purge_is_late boolean, stopped_why text, processes jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog SET timezone = 'UTC' AS $$
  SELECT j.n, j.oldest, w.n, w.oldest, s.n, s.oldest,
         (SELECT min(coalesce(x.verified_at, x.created_at)) FROM segments x WHERE x.state = 1),
         (SELECT count(*) FROM (SELECT FROM segments x WHERE x.damage IS NOT NULL LIMIT 1000) d),
         EXISTS (SELECT FROM expunged x WHERE x.purge_day < (clock_timestamp() AT TIME ZONE 'UTC')::date - 1),
         (SELECT coalesce(c.stopped_why, '') FROM catalog c WHERE c.sweep_state <> 1),
         (SELECT coalesce(jsonb_agg(f), '[]') FROM (
            SELECT f.role, count(*) FILTER (WHERE f.beat_at >= clock_timestamp() - interval '15 seconds') AS alive, max(f.beat_at) AS last_beat,
                   min(f.certificate_expires_at) FILTER (WHERE f.beat_at >= clock_timestamp() - interval '15 seconds') AS certificate
              FROM frontends f GROUP BY f.role) f)
    FROM (SELECT count(*) AS n, min(x.run_at) AS oldest FROM (SELECT q.run_at FROM jobs q WHERE q.state = 0 AND q.state < 2 AND q.run_at <= clock_timestamp() ORDER BY q.run_at LIMIT 1000) x) j,
         (SELECT count(*) AS n, min(x.next_at) AS oldest FROM (SELECT q.next_at FROM webhook_deliveries q WHERE q.state = 0 AND q.next_at <= clock_timestamp() ORDER BY q.next_at LIMIT 1000) x) w,
         (SELECT count(*) AS n, min(x.state_at) AS oldest FROM (SELECT q.state_at FROM segments q WHERE q.state <> 1 ORDER BY q.state_at LIMIT 1000) x) s
$$;
GRANT EXECUTE ON FUNCTION admin_health_1 TO restante_admin, restante_platform;

-- As worker_forget_1, and sums: minutes after three hours, hours by the days of activity.
CREATE FUNCTION worker_forget_2(p_activity_days integer, p_transcript_days integer, p_batch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE gone integer; v_some integer;
BEGIN
  gone := worker_forget_1(p_activity_days, p_transcript_days, p_batch);
  DELETE FROM activity_sums WHERE ctid = ANY (ARRAY(
    SELECT s.ctid FROM activity_sums s WHERE s.step = 1 AND s.at < clock_timestamp() - interval '3 hours' LIMIT p_batch));
  GET DIAGNOSTICS v_some = ROW_COUNT; gone := gone + v_some;
  DELETE FROM activity_sums WHERE ctid = ANY (ARRAY(
    SELECT s.ctid FROM activity_sums s WHERE s.step = 60 AND s.at < clock_timestamp() - make_interval(days => p_activity_days) LIMIT p_batch));
  GET DIAGNOSTICS v_some = ROW_COUNT;
  RETURN gone + v_some;
END $$;
GRANT EXECUTE ON FUNCTION worker_forget_2 TO restante_worker;
RESET ROLE;
RESET search_path;
