-- The support desk: who is connected now, who was refused and why, what a session said (redacted), and how sessions ended.
-- Frontends report in batches, a call every few seconds a process: a poll that finds nothing still writes nothing of its own.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;

-- Rows of live frontends only; a row is written when a session is some seconds old, and when what it fetched has changed.
ALTER TABLE live_sessions
  ADD COLUMN mechanism smallint NOT NULL DEFAULT 0, ADD COLUMN tls smallint NOT NULL DEFAULT 0,
  ADD COLUMN client text, ADD COLUMN server_name text,
  ADD COLUMN fetched integer NOT NULL DEFAULT 0, ADD COLUMN fetched_octets bigint NOT NULL DEFAULT 0;
DROP INDEX live_sessions_account;
CREATE INDEX live_sessions_account ON live_sessions (tenant_id, account_id, session_uuid);
CREATE INDEX live_sessions_frontend ON live_sessions (frontend_uuid);
-- What a frontend shows in TLS.
ALTER TABLE frontends ADD COLUMN certificate_names text[], ADD COLUMN certificate_expires_at timestamptz;

ALTER TABLE sessions
  ADD COLUMN ended text,                            -- how exactly it ended, in the driver's word; NULL: written by a release that did not tell
  ADD COLUMN last_error text,                       -- the last -ERR that the client saw, as it saw it
  ADD COLUMN server_name text;                      -- the name it asked for in TLS

-- Until when sessions that begin are written down.
ALTER TABLE accounts ADD COLUMN transcribe_until timestamptz;

-- Logins that were refused, of accounts that there are: one row for an account, minute, network and reason, so that who guesses raises a
-- counter. An account that has many rows of a day gets no more of them: the rest counts in one row, of that day and all networks.
CREATE TABLE login_refusals (
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  minute        timestamptz NOT NULL,
  network       cidr NOT NULL,                      -- a /24 of IPv4, a /48 of IPv6; 0.0.0.0/0: several
  reason        smallint NOT NULL,                  -- by number; the program names them
  attempts      integer NOT NULL,
  secrets       integer NOT NULL,                   -- of them, those with a secret that was not seen before from there
  first_at      timestamptz NOT NULL, last_at timestamptz NOT NULL,
  -- of the last one:
  address       inet NOT NULL, mechanism smallint NOT NULL, tls smallint NOT NULL,
  credential_id bigint,                             -- the one that it would have been, where that is known
  client text, server_name text, told text,         -- told: the -ERR, as the client saw it
  PRIMARY KEY (tenant_id, account_id, minute, network, reason)
) WITH (fillfactor = 80);
-- Rows come in the order of their time: what is old lies together.
CREATE INDEX login_refusals_minute ON login_refusals USING brin (minute) WITH (pages_per_range = 16);

-- What sessions said, without secrets and without mail.
CREATE TABLE transcripts (
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  session_uuid  uuid NOT NULL,
  started_at    timestamptz NOT NULL, ended_at timestamptz NOT NULL,
  address       inet NOT NULL, tls smallint NOT NULL, client text,
  ended         text NOT NULL,
  truncated     boolean NOT NULL,
  octets        integer NOT NULL,
  entries       jsonb NOT NULL,
  PRIMARY KEY (tenant_id, account_id, session_uuid)
);
CREATE INDEX transcripts_ended ON transcripts (ended_at);

DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['login_refusals', 'transcripts'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY of_tenant ON %I TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant())', t);
    EXECUTE format('CREATE POLICY of_platform ON %I TO restante_platform USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY of_owner ON %I TO restante_owner USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
GRANT SELECT ON login_refusals, leases, login_times, frontends TO restante_admin, restante_platform;
GRANT SELECT, DELETE ON transcripts TO restante_admin, restante_platform;
GRANT ALL ON login_refusals, transcripts TO restante_definer;

-- Forgets what is old: sessions by their days (never while what they expunged can be restored), refusals, transcripts. Answers how many
-- rows and partitions went; as many rows of each kind as p_batch says.
CREATE FUNCTION worker_forget_1(p_activity_days integer, p_transcript_days integer, p_batch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE part text; gone integer := 0; v_some integer; v_first date;
BEGIN
  IF p_activity_days < 1 OR p_transcript_days < 1 THEN RAISE EXCEPTION 'at least a day' USING ERRCODE = '22023'; END IF;
  DELETE FROM login_refusals WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM login_refusals r WHERE r.minute < clock_timestamp() - make_interval(days => p_activity_days) LIMIT p_batch));
  GET DIAGNOSTICS v_some = ROW_COUNT; gone := gone + v_some;
  DELETE FROM transcripts WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM transcripts x WHERE x.ended_at < clock_timestamp() - make_interval(days => p_transcript_days) LIMIT p_batch));
  GET DIAGNOSTICS v_some = ROW_COUNT; gone := gone + v_some;
  SELECT current_date - greatest(p_activity_days, max(coalesce((t.policy ->> 'retention_days')::integer, 7)) + 2) INTO v_first FROM tenants t;
  v_first := coalesce(v_first, current_date - p_activity_days);
  PERFORM pg_advisory_xact_lock(hashtext('restante partitions'));
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'restante.sessions'::regclass AND c.relname ~ '^sessions_[0-9]{8}$' AND c.relname < 'sessions_' || to_char(v_first, 'YYYYMMDD')
               ORDER BY 1 LIMIT 10
  LOOP
    LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('DROP TABLE %I', part);
    gone := gone + 1;
  END LOOP;
  DELETE FROM sessions_default WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM sessions_default s WHERE s.started_at < v_first LIMIT p_batch));
  GET DIAGNOSTICS v_some = ROW_COUNT;
  RETURN gone + v_some;
END $$;
GRANT EXECUTE ON FUNCTION worker_forget_1 TO restante_worker;
RESET ROLE;

SET LOCAL ROLE restante_definer;
-- As pop3_login_1, and whether the account's sessions are written down.
CREATE FUNCTION pop3_login_2(p_domain text, p_local_key text)
RETURNS TABLE (
  tenant_id integer, account_id bigint, local_part text, tenant_status smallint, account_status smallint, auth_version bigint,
  tenant_policy jsonb, domain_policy jsonb, account_policy jsonb,
  shape bigint, next_uid bigint, live_messages integer, live_octets bigint, incarnation uuid, timeline text,
  credential_ids bigint[], kinds smallint[], verifiers text[], scopes smallint[], allowed_nets text[], expires_at timestamptz[],
  policies jsonb[], scram_salt bytea, scram_iterations integer, scram256 bytea[], scram1 bytea[], sealed bytea[], transcribe boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT a.tenant_id, a.account_id, a.local_part, t.status, a.status, a.auth_version, t.policy, d.policy, a.policy,
         m.shape, m.next_uid, m.live_messages, m.live_octets, k.incarnation,
         left(pg_walfile_name(pg_current_wal_lsn()), 8) || '@' || extract(epoch FROM pg_postmaster_start_time())::text,
         c.ids, c.kinds, c.verifiers, c.scopes, c.nets, c.expire, c.policies, a.scram_salt, a.scram_iterations, c.scram256, c.scram1, c.sealed,
         coalesce(a.transcribe_until > clock_timestamp(), false)
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

-- As pop3_quit_1, and how the session ended (in the driver's word), the last -ERR, the name asked for in TLS.
CREATE FUNCTION pop3_quit_2(
  p_tenant integer, p_account bigint, p_session uuid, p_credential bigint, p_started timestamptz, p_address inet, p_mechanism smallint,
  p_tls smallint, p_outcome smallint, p_fetched integer, p_fetched_octets bigint, p_client text, p_uids bigint[],
  p_fence bigint, p_seen int8multirange, p_hidden int8multirange, p_ended text, p_error text, p_server_name text)
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
  INSERT INTO sessions (tenant_id, session_uuid, account_id, credential_id, started_at, ended_at, address, mechanism, tls, outcome, fetched, fetched_octets, expunged, client,
                        ended, last_error, server_name)
  VALUES (p_tenant, p_session, p_account, p_credential, p_started, clock_timestamp(), p_address, p_mechanism, p_tls, p_outcome, p_fetched, p_fetched_octets, n, p_client,
          p_ended, p_error, p_server_name);
  RETURN n;
END $$;

-- What a frontend reports every few seconds: sessions that are some seconds old (`live`: new ones and those whose counts changed; `gone`:
-- reported before, over now), credentials that logged in (`uses`), refusals, and what it shows in TLS. Answers how many rows it has (if they
-- are not as many as it thinks, the unlogged table was emptied by a crash, and it reports all again) and which sessions are to end: those
-- whose end an administrator asked for, and those whose account, tenant or credential is not served any more.
CREATE FUNCTION pop3_report_1(p_frontend uuid, p_report jsonb)
RETURNS TABLE (held integer, ending uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  IF p_report ? 'certificate' THEN
    UPDATE frontends f SET certificate_names = ARRAY(SELECT jsonb_array_elements_text(p_report #> '{certificate,names}')),
                           certificate_expires_at = to_timestamp((p_report #>> '{certificate,expires}')::bigint / 1000.0)
     WHERE f.frontend_uuid = p_frontend;
  END IF;
  -- A frontend that does not beat has no sessions. One of the living says so; its leases are free without that.
  IF pg_try_advisory_xact_lock(hashtext('restante dead frontends')) THEN
    DELETE FROM live_sessions l USING frontends f
     WHERE f.frontend_uuid = l.frontend_uuid AND f.frontend_uuid <> p_frontend AND f.beat_at < clock_timestamp() - interval '15 seconds';
    DELETE FROM frontends f WHERE f.frontend_uuid <> p_frontend AND f.beat_at < clock_timestamp() - interval '1 day';
  END IF;
  INSERT INTO live_sessions AS l (session_uuid, frontend_uuid, tenant_id, account_id, credential_id, address, started_at, mechanism, tls, client, server_name, fetched, fetched_octets)
    SELECT s.session, p_frontend, s.tenant, s.account, nullif(s.credential, 0), s.address, to_timestamp(s.started / 1000.0), s.mechanism, s.tls, s.client, s.server_name,
           s.fetched, s.fetched_octets
      FROM jsonb_to_recordset(p_report -> 'live') AS s(session uuid, tenant integer, account bigint, credential bigint, address inet, started bigint,
           mechanism smallint, tls smallint, client text, server_name text, fetched integer, fetched_octets bigint)
    ON CONFLICT (session_uuid) DO UPDATE SET fetched = excluded.fetched, fetched_octets = excluded.fetched_octets, client = excluded.client
     WHERE l.frontend_uuid = p_frontend;
  DELETE FROM live_sessions l USING jsonb_array_elements_text(p_report -> 'gone') AS g(session)
   WHERE l.session_uuid = g.session::uuid AND l.frontend_uuid = p_frontend;
  INSERT INTO credential_use AS u (tenant_id, account_id, credential_id, last_at, last_address, logins)
    SELECT s.tenant, s.account, s.credential, to_timestamp(s.last / 1000.0), s.address, s.logins
      FROM jsonb_to_recordset(p_report -> 'uses') AS s(tenant integer, account bigint, credential bigint, last bigint, address inet, logins bigint)
     ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, account_id, credential_id) DO UPDATE
      SET last_address = CASE WHEN excluded.last_at >= u.last_at THEN excluded.last_address ELSE u.last_address END,
          last_at = greatest(u.last_at, excluded.last_at), logins = u.logins + excluded.logins;
  -- Who was refused before the account was looked up is named by the address; what leads to no account is nobody's.
  INSERT INTO login_refusals AS r (tenant_id, account_id, minute, network, reason, attempts, secrets, first_at, last_at, address, mechanism, tls, credential_id, client, server_name, told)
    SELECT x.tenant_id, x.account_id, x.minute, x.network, x.reason, sum(x.attempts), sum(x.secrets), min(x.first_at), max(x.last_at),
           (array_agg(x.address ORDER BY x.last_at DESC))[1], (array_agg(x.mechanism ORDER BY x.last_at DESC))[1], (array_agg(x.tls ORDER BY x.last_at DESC))[1],
           (array_agg(x.credential ORDER BY x.last_at DESC))[1], (array_agg(x.client ORDER BY x.last_at DESC))[1],
           (array_agg(x.server_name ORDER BY x.last_at DESC))[1], (array_agg(x.told ORDER BY x.last_at DESC))[1]
      FROM (
        SELECT a.tenant_id, a.account_id, s.reason, s.attempts, s.secrets, s.address, s.mechanism, s.tls, s.credential, s.client, s.server_name, s.told,
               to_timestamp(s.first / 1000.0) AS first_at, to_timestamp(s.last / 1000.0) AS last_at,
               date_trunc(CASE WHEN f.is_full THEN 'day' ELSE 'minute' END, to_timestamp(s.first / 1000.0), 'UTC') AS minute,
               CASE WHEN f.is_full THEN '0.0.0.0/0' ELSE s.network END AS network
          FROM jsonb_to_recordset(p_report -> 'refusals') AS s(tenant integer, account bigint, domain text, local_key text, reason smallint, attempts integer, secrets integer,
               first bigint, last bigint, network cidr, address inet, mechanism smallint, tls smallint, credential bigint, client text, server_name text, told text)
          LEFT JOIN domain_owners o ON s.account IS NULL AND o.name = s.domain
          LEFT JOIN addresses d ON (d.tenant_id, d.domain_id, d.local_key) = (o.tenant_id, o.domain_id, s.local_key) AND s.local_key <> ''
          JOIN accounts a ON (a.tenant_id, a.account_id) = (coalesce(s.tenant, d.tenant_id), coalesce(s.account, d.account_id))
         CROSS JOIN LATERAL (
           SELECT count(*) >= (p_report ->> 'refusal_rows')::integer AS is_full FROM (
             SELECT FROM login_refusals c WHERE c.tenant_id = a.tenant_id AND c.account_id = a.account_id
                AND c.minute >= date_trunc('day', to_timestamp(s.first / 1000.0), 'UTC') LIMIT (p_report ->> 'refusal_rows')::integer) y) f
      ) x
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, account_id, minute, network, reason) DO UPDATE
      SET attempts = r.attempts + excluded.attempts, secrets = r.secrets + excluded.secrets,
          first_at = least(r.first_at, excluded.first_at), last_at = greatest(r.last_at, excluded.last_at),
          address = excluded.address, mechanism = excluded.mechanism, tls = excluded.tls, credential_id = excluded.credential_id,
          client = excluded.client, server_name = excluded.server_name, told = excluded.told;
  RETURN QUERY
    SELECT (SELECT count(*)::integer FROM live_sessions l WHERE l.frontend_uuid = p_frontend),
           ARRAY(SELECT l.session_uuid FROM live_sessions l
                   LEFT JOIN tenants t ON t.tenant_id = l.tenant_id
                   LEFT JOIN accounts a ON (a.tenant_id, a.account_id) = (l.tenant_id, l.account_id)
                   LEFT JOIN credentials c ON (c.tenant_id, c.account_id, c.credential_id) = (l.tenant_id, l.account_id, l.credential_id)
                  WHERE l.frontend_uuid = p_frontend
                    AND (l.end_asked OR t.status IS DISTINCT FROM 1 OR a.status IS DISTINCT FROM 1
                         OR l.credential_id IS NOT NULL AND (c.credential_id IS NULL OR c.revoked_at IS NOT NULL)));
END $$;

-- Keeps what a session said, while the account has room for it; false where it has not, or where nobody wants it any more.
CREATE FUNCTION pop3_transcript_1(
  p_tenant integer, p_account bigint, p_session uuid, p_started timestamptz, p_address inet, p_tls smallint, p_client text, p_ended text,
  p_truncated boolean, p_octets integer, p_entries jsonb, p_most_octets bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  -- One after the other: two must not both be the last that fits.
  PERFORM pg_advisory_xact_lock(hashtext('restante transcripts'), hashint8(p_account));
  IF NOT EXISTS (SELECT FROM accounts a WHERE a.tenant_id = p_tenant AND a.account_id = p_account AND a.status <> 3 AND a.transcribe_until >= p_started) THEN RETURN false; END IF;
  IF p_octets + (SELECT coalesce(sum(x.octets), 0) FROM transcripts x WHERE x.tenant_id = p_tenant AND x.account_id = p_account) > p_most_octets THEN RETURN false; END IF;
  INSERT INTO transcripts (tenant_id, account_id, session_uuid, started_at, ended_at, address, tls, client, ended, truncated, octets, entries)
    VALUES (p_tenant, p_account, p_session, p_started, clock_timestamp(), p_address, p_tls, p_client, p_ended, p_truncated, p_octets, p_entries)
    ON CONFLICT DO NOTHING;
  RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION pop3_login_2, pop3_quit_2, pop3_report_1, pop3_transcript_1 TO restante_pop3;
RESET ROLE;
RESET search_path;
