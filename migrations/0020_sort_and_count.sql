-- Usage beside every limit, and thresholds of each of them.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;

-- Sessions under way, of the frontends that live.
ALTER TABLE usage_now ADD COLUMN sessions integer NOT NULL DEFAULT 0;
-- One level for each thing that has a limit. What was told before did not say of what it was: it is told anew.
DELETE FROM quota_levels;
ALTER TABLE quota_levels ADD COLUMN resource smallint NOT NULL,   -- 1 octets, 2 messages, 3 accounts, 4 domains, 5 deliveries, 6 sessions
  DROP CONSTRAINT quota_levels_pkey, ADD PRIMARY KEY (tenant_id, kind, id, resource);

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
RESET ROLE;
RESET search_path;
