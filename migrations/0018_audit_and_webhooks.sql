-- The audit log: searched, kept for as long as policy says, and told to webhooks in the transaction of the change.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
CREATE INDEX audit_events_time ON audit_events (tenant_id, at, event_id);
CREATE INDEX audit_events_target ON audit_events (tenant_id, target, at, event_id);
CREATE INDEX audit_events_actor ON audit_events (tenant_id, actor, at, event_id);
CREATE INDEX audit_events_all ON audit_events (at, event_id);
-- Functions write there and change nothing either: what is swept is swept by the owner's own function, below.
REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON audit_events, audit_events_default FROM restante_definer;

CREATE TABLE webhooks (
  tenant_id     integer NOT NULL,                   -- 0: the platform's own, which is told of every tenant
  webhook_id    bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  url           text NOT NULL CHECK (length(url) <= 2000),
  description   text NOT NULL DEFAULT '' CHECK (length(description) <= 200),
  events        text[] NOT NULL,                    -- 'account.create', 'account.*', '*'; checked by code
  enabled       boolean NOT NULL DEFAULT true,
  sealed        bytea,                              -- the secret under the master key; NULL only inside the transaction that makes it
  old_sealed    bytea, old_until timestamptz,       -- the one before, with which is signed too until then
  failing_since timestamptz,                        -- NULL: the last try was taken
  failures      integer NOT NULL DEFAULT 0,         -- tries in a row that were not taken
  rest_until    timestamptz,                        -- not tried before, after such
  served_at     timestamptz,                        -- last claimed: who waited longest is next
  claimed_by    uuid, claimed_until timestamptz,    -- one delivery at a time, by whichever worker
  row_version   bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, webhook_id)
) WITH (fillfactor = 70);
CREATE TABLE webhook_deliveries (         -- outbox, log and dead letters
  tenant_id     integer NOT NULL,
  webhook_id    bigint NOT NULL,
  delivery_id   bigint GENERATED ALWAYS AS IDENTITY,
  event_uuid    uuid NOT NULL,                      -- the same for all webhooks that are told, and at every try
  event_type    text NOT NULL,
  payload       jsonb NOT NULL,                     -- as text the body, the same at every try
  state         smallint NOT NULL DEFAULT 0 CHECK (state IN (0,1,2)),   -- 0 due, 1 delivered, 2 dead
  attempts      smallint NOT NULL DEFAULT 0,        -- since it was made, or asked for again
  next_at       timestamptz NOT NULL DEFAULT now(),
  last_at       timestamptz, response_code smallint, last_error text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, webhook_id, delivery_id),
  FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE state = 0;
CREATE INDEX webhook_deliveries_queue ON webhook_deliveries (tenant_id, webhook_id, delivery_id) WHERE state = 0;
CREATE INDEX webhook_deliveries_made ON webhook_deliveries (created_at);

DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['webhooks', 'webhook_deliveries'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY of_tenant ON %I TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant())', t);
    EXECUTE format('CREATE POLICY of_platform ON %I TO restante_platform USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY of_owner ON %I TO restante_owner USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
-- All but the secrets.
GRANT SELECT (tenant_id, webhook_id, url, description, events, enabled, old_until, failing_since, row_version, created_at),
      INSERT (tenant_id, url, description, events, enabled),
      UPDATE (url, description, events, enabled, failing_since, failures, rest_until, row_version),
      DELETE ON webhooks TO restante_admin, restante_platform;
GRANT SELECT, INSERT (tenant_id, webhook_id, event_uuid, event_type, payload), UPDATE (state, attempts, next_at)
      ON webhook_deliveries TO restante_admin, restante_platform;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_deliveries TO restante_definer;

-- Takes away what is older than its tenant keeps it: the days of the tenant's policy, and p_least_days at least. Whole months where
-- nobody keeps them longer, else rows, p_most of them at a time. The owner's, since nobody else may, and only he can drop a partition.
CREATE FUNCTION worker_sweep_audit_1(p_least_days integer, p_most integer) RETURNS TABLE (deleted integer, dropped integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE part text; v_longer integer[]; v_kept boolean; v_gone integer; v_least interval := make_interval(days => p_least_days);
BEGIN
  deleted := 0; dropped := 0;
  PERFORM pg_advisory_xact_lock(hashtext('restante partitions'));
  v_longer := ARRAY(SELECT t.tenant_id FROM tenants t WHERE (t.policy ->> 'audit_days')::integer > p_least_days);
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'restante.audit_events'::regclass
                 AND (c.relname = 'audit_events_default'
                      OR c.relname ~ '^audit_events_[0-9]{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') + interval '1 month' <= now() - v_least)
               ORDER BY c.relname
  LOOP
    IF part <> 'audit_events_default' THEN
      EXECUTE format('SELECT EXISTS (SELECT FROM unnest($1) l(tenant_id) JOIN tenants t ON t.tenant_id = l.tenant_id
                       WHERE EXISTS (SELECT FROM %I a WHERE a.tenant_id = t.tenant_id AND a.at >= now() - make_interval(days => (t.policy ->> ''audit_days'')::integer)))', part)
        INTO v_kept USING v_longer;
      IF NOT v_kept THEN
        -- The parent first, as everybody else takes them.
        LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('DROP TABLE %I', part);
        dropped := dropped + 1;
        CONTINUE;
      END IF;
    END IF;
    EXECUTE format('DELETE FROM %1$I WHERE ctid = ANY (ARRAY(SELECT a.ctid FROM %1$I a
                     WHERE a.at < now() - $1 AND (a.tenant_id <> ALL ($2)
                           OR a.at < now() - (SELECT make_interval(days => (t.policy ->> ''audit_days'')::integer) FROM tenants t WHERE t.tenant_id = a.tenant_id))
                     LIMIT $3))', part)
      USING v_least, v_longer, p_most - deleted;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    deleted := deleted + v_gone;
    EXIT WHEN deleted >= p_most;
  END LOOP;
  RETURN NEXT;
END $$;
GRANT EXECUTE ON FUNCTION worker_sweep_audit_1 TO restante_worker;

SET LOCAL ROLE restante_definer;
-- Queues an event for the webhooks of its tenant and of the platform that want it. Called with every audit event, and by whatever else
-- has something to tell (quotas, security). One look where there is no webhook. What is done to messages is never told.
CREATE FUNCTION webhook_event(p_tenant integer, p_type text, p_at timestamptz, p_data jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_event uuid := gen_random_uuid();
BEGIN
  INSERT INTO webhook_deliveries (tenant_id, webhook_id, event_uuid, event_type, payload)
  SELECT w.tenant_id, w.webhook_id, v_event, p_type,
         jsonb_build_object('id', 'evt_' || replace(v_event::text, '-', ''), 'type', p_type,
                            'created_at', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                            'tenant', (SELECT t.slug FROM tenants t WHERE t.tenant_id = p_tenant), 'data', p_data)
    FROM webhooks w
   WHERE w.tenant_id IN (p_tenant, 0) AND w.enabled AND p_type NOT LIKE 'message.%'
     AND EXISTS (SELECT FROM unnest(w.events) e WHERE e IN (p_type, '*') OR right(e, 2) = '.*' AND starts_with(p_type, left(e, -1)));
END $$;
CREATE FUNCTION audit_told() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM webhooks w WHERE w.tenant_id IN (NEW.tenant_id, 0) AND w.enabled) THEN
    PERFORM webhook_event(NEW.tenant_id, NEW.action, NEW.at,
                          jsonb_build_object('actor', NEW.actor, 'target', NEW.target, 'address', host(NEW.address), 'request_id', NEW.request_id,
                                             'before', NEW.before, 'after', NEW.after));
  END IF;
  RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION audit_told TO restante_owner;

-- Keeps a webhook's secret, and the one before for as long as it is still signed with.
CREATE FUNCTION admin_seal_webhook_1(p_tenant integer, p_webhook bigint, p_sealed bytea, p_old_until timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  PERFORM assert_tenant(p_tenant);
  UPDATE webhooks w SET old_sealed = w.sealed, old_until = CASE WHEN w.sealed IS NULL THEN NULL ELSE p_old_until END, sealed = p_sealed,
                        row_version = w.row_version + CASE WHEN w.sealed IS NULL THEN 0 ELSE 1 END
   WHERE w.tenant_id = p_tenant AND w.webhook_id = p_webhook;
END $$;

-- The next deliveries that are due, one of each endpoint and the oldest of it, of each tenant in turn and of those that waited longest.
-- Each endpoint is then this claim's for p_seconds: no transaction is open while it is spoken with, and if nobody says how it went,
-- another worker takes it up again.
CREATE FUNCTION worker_webhooks_claim_1(p_claim uuid, p_seconds integer, p_most integer)
RETURNS TABLE (tenant_id integer, webhook_id bigint, delivery_id bigint, event_uuid uuid, event_type text, body text, attempts smallint, url text,
               sealed bytea, old_sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
#variable_conflict use_column
DECLARE v_now timestamptz := clock_timestamp();
BEGIN
  IF NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.state = 0 AND d.next_at <= v_now) THEN RETURN; END IF;
  RETURN QUERY
  WITH due AS (
    SELECT w.tenant_id, w.webhook_id, w.served_at, row_number() OVER (PARTITION BY w.tenant_id ORDER BY w.served_at NULLS FIRST, w.webhook_id) AS turn
      FROM webhooks w
     WHERE w.enabled AND coalesce(w.claimed_until < v_now, true) AND coalesce(w.rest_until <= v_now, true)
       AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.webhook_id AND d.state = 0 AND d.next_at <= v_now)),
  taken AS (
    SELECT w.tenant_id, w.webhook_id FROM webhooks w JOIN due ON (due.tenant_id, due.webhook_id) = (w.tenant_id, w.webhook_id)
     WHERE w.enabled AND coalesce(w.claimed_until < v_now, true)
     ORDER BY due.turn, due.served_at NULLS FIRST LIMIT p_most FOR UPDATE OF w SKIP LOCKED),
  claimed AS (
    UPDATE webhooks w SET claimed_by = p_claim, claimed_until = v_now + make_interval(secs => p_seconds), served_at = v_now
      FROM taken t WHERE (w.tenant_id, w.webhook_id) = (t.tenant_id, t.webhook_id)
    RETURNING w.tenant_id, w.webhook_id, w.url, w.sealed, CASE WHEN w.old_until > v_now THEN w.old_sealed END AS old_sealed)
  SELECT c.tenant_id, c.webhook_id, d.delivery_id, d.event_uuid, d.event_type, d.payload::text, d.attempts, c.url, c.sealed, c.old_sealed
    FROM claimed c
    CROSS JOIN LATERAL (SELECT * FROM webhook_deliveries d
                         WHERE d.tenant_id = c.tenant_id AND d.webhook_id = c.webhook_id AND d.state = 0 AND d.next_at <= v_now
                         ORDER BY d.delivery_id LIMIT 1) d;
END $$;

-- How a delivery went: taken; to be tried again after p_retry seconds; or dead (NULL). The endpoint rests p_rest seconds after a try that
-- was not taken. One that took nothing for p_disable_days is switched off, with an audit event; answers whether it was.
CREATE FUNCTION worker_webhooks_done_1(p_claim uuid, p_tenant integer, p_webhook bigint, p_delivery bigint, p_taken boolean, p_code smallint,
                                       p_error text, p_retry double precision, p_rest double precision, p_disable_days integer)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_now timestamptz := clock_timestamp(); v_since timestamptz;
BEGIN
  UPDATE webhook_deliveries d
     SET attempts = least(d.attempts + 1, 32767), last_at = v_now, response_code = p_code, last_error = p_error,
         state = CASE WHEN p_taken THEN 1 WHEN p_retry IS NULL THEN 2 ELSE 0 END,
         next_at = CASE WHEN p_taken OR p_retry IS NULL THEN d.next_at ELSE v_now + make_interval(secs => p_retry) END
   WHERE d.tenant_id = p_tenant AND d.webhook_id = p_webhook AND d.delivery_id = p_delivery AND d.state = 0;
  UPDATE webhooks w
     SET claimed_until = CASE WHEN w.claimed_by = p_claim THEN NULL ELSE w.claimed_until END,
         failing_since = CASE WHEN p_taken THEN NULL ELSE coalesce(w.failing_since, v_now) END,
         failures = CASE WHEN p_taken THEN 0 ELSE least(w.failures + 1, 1000000) END,
         rest_until = CASE WHEN p_taken THEN NULL ELSE v_now + make_interval(secs => least(p_rest * least(w.failures, 20), 60)) END
   WHERE w.tenant_id = p_tenant AND w.webhook_id = p_webhook
  RETURNING w.failing_since INTO v_since;
  IF v_since IS NULL OR v_since > v_now - make_interval(days => p_disable_days) THEN RETURN false; END IF;
  UPDATE webhooks w SET enabled = false, row_version = w.row_version + 1 WHERE w.tenant_id = p_tenant AND w.webhook_id = p_webhook AND w.enabled;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO audit_events (tenant_id, actor, action, target, before, after)
  VALUES (p_tenant, 'worker', 'webhook.disable', 'hook_' || p_webhook, '{"enabled": true}', jsonb_build_object('enabled', false, 'failing_since', v_since));
  RETURN true;
END $$;

-- Forgets deliveries that were made so many days ago.
CREATE FUNCTION worker_webhooks_forget_1(p_days integer, p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_gone integer;
BEGIN
  DELETE FROM webhook_deliveries d WHERE (d.tenant_id, d.webhook_id, d.delivery_id) IN (
    SELECT o.tenant_id, o.webhook_id, o.delivery_id FROM webhook_deliveries o
     WHERE o.created_at < now() - make_interval(days => p_days) ORDER BY o.created_at LIMIT p_most);
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  RETURN v_gone;
END $$;
GRANT EXECUTE ON FUNCTION admin_seal_webhook_1 TO restante_admin, restante_platform;
GRANT EXECUTE ON FUNCTION worker_webhooks_claim_1, worker_webhooks_done_1, worker_webhooks_forget_1 TO restante_worker;

SET LOCAL ROLE restante_owner;
-- Of the table itself: partitions get it when they are attached.
CREATE TRIGGER audit_told AFTER INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_told();
RESET ROLE;
RESET search_path;
