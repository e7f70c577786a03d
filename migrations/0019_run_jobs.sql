-- Jobs of tenants: imports of accounts and migrations of maildrops. What a job still has to do is its chunks: a worker claims one, works
-- without a transaction, and takes it away in the transaction that writes what it came to. So any number of workers may work, each may
-- die at any moment, and nothing is done twice.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
ALTER TABLE jobs                                    -- state, further: 4 cancelled, 5 its body is still being received
  ADD COLUMN dry_run    boolean NOT NULL DEFAULT false,
  ADD COLUMN created_by text,                       -- whose rights are judged when it runs; NULL: the service's own
  ADD COLUMN address    inet,                       -- from where, for the audit trail
  ADD COLUMN request_id uuid,
  ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN started_at timestamptz,
  ADD COLUMN ended_at   timestamptz,
  ADD COLUMN total      integer NOT NULL DEFAULT 0, -- lines
  ADD COLUMN made       integer NOT NULL DEFAULT 0, -- of them
  ADD COLUMN unchanged  integer NOT NULL DEFAULT 0,
  ADD COLUMN failed     integer NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX jobs_id ON jobs (job_id);
CREATE TABLE job_chunks (                           -- lines that are still to be done; people's passwords are in them
  tenant_id     integer NOT NULL,
  job_id        bigint NOT NULL,
  chunk         integer NOT NULL,
  first_line    integer NOT NULL,                   -- counted from 1
  sealed        bytea NOT NULL,                     -- the lines, under the master key
  claimed_by    uuid,                               -- one claim, not one worker: a claim that ended cannot come back
  claimed_until timestamptz,
  attempts      smallint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, job_id, chunk),
  FOREIGN KEY (tenant_id, job_id) REFERENCES jobs ON DELETE CASCADE
);
CREATE TABLE job_errors (
  tenant_id     integer NOT NULL,
  job_id        bigint NOT NULL,
  line          integer NOT NULL,
  nth           smallint NOT NULL,
  pointer text NOT NULL, code text NOT NULL, detail text NOT NULL,
  PRIMARY KEY (tenant_id, job_id, line, nth),
  FOREIGN KEY (tenant_id, job_id) REFERENCES jobs ON DELETE CASCADE
);
CREATE TABLE job_tried (                            -- names that a dry run would have made by now
  tenant_id     integer NOT NULL,
  job_id        bigint NOT NULL,
  domain_id     bigint NOT NULL,
  local_key     text COLLATE "C" NOT NULL,
  of_domain     bigint NOT NULL,                    -- the account that it leads to; itself
  of_key        text COLLATE "C" NOT NULL,
  status smallint, max_octets bigint, max_messages integer,
  PRIMARY KEY (tenant_id, job_id, domain_id, local_key),
  FOREIGN KEY (tenant_id, job_id) REFERENCES jobs ON DELETE CASCADE
);
CREATE TABLE job_accounts (                         -- how far a migration is with each account
  tenant_id     integer NOT NULL,
  job_id        bigint NOT NULL,
  line          integer NOT NULL,
  address       text NOT NULL,
  listed bigint NOT NULL, known bigint NOT NULL, imported bigint NOT NULL, skipped bigint NOT NULL, octets bigint NOT NULL,
  at            timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, job_id, line),
  FOREIGN KEY (tenant_id, job_id) REFERENCES jobs ON DELETE CASCADE
) WITH (fillfactor = 70);
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['job_chunks', 'job_errors', 'job_tried', 'job_accounts'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY of_tenant ON %I TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant())', t);
    EXECUTE format('CREATE POLICY of_platform ON %I TO restante_platform USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY of_owner ON %I TO restante_owner USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;
GRANT SELECT (tenant_id, job_id, chunk), INSERT, DELETE ON job_chunks TO restante_admin, restante_platform;
GRANT SELECT (tenant_id, job_id), DELETE ON job_tried TO restante_admin, restante_platform;
GRANT SELECT ON job_errors, job_accounts TO restante_admin, restante_platform;
GRANT SELECT, UPDATE, DELETE ON job_chunks TO restante_worker;
GRANT SELECT, INSERT, DELETE ON job_errors TO restante_worker;
GRANT SELECT, INSERT, UPDATE ON job_accounts TO restante_worker;
GRANT SELECT (tenant_id, job_id), DELETE ON job_tried TO restante_worker;
GRANT ALL ON job_chunks, job_errors, job_tried, job_accounts TO restante_definer;
RESET ROLE;

SET LOCAL ROLE restante_definer;
SET LOCAL search_path = restante, pg_catalog;
-- What the creator of a job may do now. No row: nothing any more.
CREATE FUNCTION worker_job_creator_1(p_actor text) RETURNS TABLE (tenant_id integer, role smallint, scopes text[], domains text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  IF p_actor ~ '^api-key:[0-9]{1,18}$' THEN
    RETURN QUERY SELECT k.tenant_id, k.role, k.scopes, k.domains
      FROM api_keys k LEFT JOIN tenants t ON t.tenant_id = k.tenant_id
     WHERE k.key_id = split_part(p_actor, ':', 2)::bigint AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
       AND t.status IS DISTINCT FROM 3;
  ELSIF p_actor ~ '^admin:[0-9]{1,18}$' THEN        -- a person (0015), signed in or not: their job goes on overnight
    RETURN QUERY SELECT a.tenant_id, a.role, NULL::text[], a.domains
      FROM admins a LEFT JOIN tenants t ON t.tenant_id = a.tenant_id
     WHERE a.admin_id = split_part(p_actor, ':', 2)::bigint AND a.status = 1 AND t.status IS DISTINCT FROM 3;
  END IF;
END $$;

-- Which of these addresses an account or alias of the tenant has already: their places in the arrays.
CREATE FUNCTION worker_known_addresses_1(p_tenant integer, p_domains text[], p_keys text[]) RETURNS TABLE (ord integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT u.ord::integer FROM unnest(p_domains, p_keys) WITH ORDINALITY AS u(name, key, ord)
    JOIN domains d ON d.tenant_id = p_tenant AND d.name = u.name
    JOIN addresses r ON (r.tenant_id, r.domain_id, r.local_key) = (p_tenant, d.domain_id, u.key)
$$;

-- One line of an import: an account with its password's verifier (already hashed) and its aliases, all or none, and what the audit trail
-- says of them. What is there already is never changed. Verdicts (item: which alias, from 1; 0: the account): 1 made, 2 there as the line
-- says, 3 no such domain, 4 the name is an account's or alias's, 5 the account is there with another quota or status, 6 the account is
-- there without this alias, 7 the tenant or the domain has its most accounts, 8 its password was not hashed, since it was there a moment ago,
-- 9 its quota is larger than the domain's or the tenant's.
CREATE FUNCTION worker_import_account_1(
  p_tenant integer, p_job bigint, p_address text, p_domain text, p_local_part text, p_local_key text, p_status smallint, p_max_octets bigint, p_max_messages integer,
  p_aliases text[], p_alias_domains text[], p_alias_keys text[], p_has_password boolean, p_verifier text, p_scram_salt bytea, p_scram256 bytea, p_scram1 bytea, p_after jsonb)
RETURNS TABLE (verdict smallint, item integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '10s' AS $$
#variable_conflict use_variable
DECLARE
  j jobs%ROWTYPE; r record; v_domain bigint; v_alias bigint; v_alias_domains bigint[] := '{}'; v_account bigint; v_known boolean := false; v_most integer;
  n integer := cardinality(p_alias_keys); i integer;
BEGIN
  SELECT * INTO j FROM jobs WHERE jobs.tenant_id = p_tenant AND jobs.job_id = p_job AND jobs.state = 1;
  IF NOT FOUND THEN RAISE EXCEPTION 'the job does not run' USING ERRCODE = '42501'; END IF;
  SELECT d.domain_id INTO v_domain FROM domains d WHERE d.tenant_id = p_tenant AND d.name = p_domain AND d.deleted_at IS NULL;
  IF v_domain IS NULL THEN RETURN QUERY SELECT 3::smallint, 0; RETURN; END IF;
  FOR i IN 1..n LOOP
    SELECT d.domain_id INTO v_alias FROM domains d WHERE d.tenant_id = p_tenant AND d.name = p_alias_domains[i] AND d.deleted_at IS NULL;
    IF v_alias IS NULL THEN RETURN QUERY SELECT 3::smallint, i; RETURN; END IF;
    v_alias_domains := v_alias_domains || v_alias;
  END LOOP;

  -- The account itself: in the directory, or made by an earlier line of a dry run.
  SELECT a.account_id, a.status, a.max_octets, a.max_messages INTO r
    FROM addresses x LEFT JOIN accounts a ON (a.tenant_id, a.account_id) = (x.tenant_id, x.account_id)
   WHERE x.tenant_id = p_tenant AND x.domain_id = v_domain AND x.local_key = p_local_key;
  v_known := FOUND;
  IF NOT v_known AND j.dry_run THEN
    SELECT NULL::bigint AS account_id, t.status, t.max_octets, t.max_messages INTO r
      FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_domain AND t.local_key = p_local_key;
    v_known := FOUND;
  END IF;
  IF v_known AND r.status IS NULL THEN RETURN QUERY SELECT 4::smallint, 0; RETURN; END IF;
  IF v_known AND (r.status, coalesce(r.max_octets, -1), coalesce(r.max_messages, -1)) <> (p_status, coalesce(p_max_octets, -1), coalesce(p_max_messages, -1)) THEN
    RETURN QUERY SELECT 5::smallint, 0; RETURN;
  END IF;
  FOR i IN 1..n LOOP
    IF EXISTS (SELECT FROM alias_targets g WHERE g.tenant_id = p_tenant AND g.domain_id = v_alias_domains[i] AND g.local_key = p_alias_keys[i] AND g.target_id = r.account_id)
       OR EXISTS (SELECT FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_alias_domains[i] AND t.local_key = p_alias_keys[i]
                     AND t.of_domain = v_domain AND t.of_key = p_local_key AND t.status IS NULL) THEN
      CONTINUE;   -- leads there already, which an account that is new cannot have
    END IF;
    IF EXISTS (SELECT FROM addresses x WHERE x.tenant_id = p_tenant AND x.domain_id = v_alias_domains[i] AND x.local_key = p_alias_keys[i])
       OR EXISTS (SELECT FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_alias_domains[i] AND t.local_key = p_alias_keys[i])
       OR (v_alias_domains[i], p_alias_keys[i]) = (v_domain, p_local_key) THEN
      RETURN QUERY SELECT 4::smallint, i; RETURN;
    END IF;
    IF v_known THEN RETURN QUERY SELECT 6::smallint, i; RETURN; END IF;
  END LOOP;
  IF v_known THEN RETURN QUERY SELECT 2::smallint, 0; RETURN; END IF;

  -- Beside NULL, which is no limit, the other counts.
  IF EXISTS (SELECT FROM tenants t JOIN domains d ON d.tenant_id = t.tenant_id AND d.domain_id = v_domain
              WHERE t.tenant_id = p_tenant AND (p_max_octets > least(t.max_octets, d.max_octets) OR p_max_messages > least(t.max_messages, d.max_messages))) THEN
    RETURN QUERY SELECT 9::smallint, 0; RETURN;
  END IF;

  IF j.dry_run THEN
    SELECT d.max_accounts INTO v_most FROM domains d WHERE d.tenant_id = p_tenant AND d.domain_id = v_domain;
    IF v_most IS NOT NULL AND (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.domain_id = v_domain AND a.status <> 3)
                              + (SELECT count(*) FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.domain_id = v_domain AND t.status IS NOT NULL) >= v_most THEN
      RETURN QUERY SELECT 7::smallint, 0; RETURN;
    END IF;
    SELECT t.max_accounts INTO v_most FROM tenants t WHERE t.tenant_id = p_tenant;
    IF v_most IS NOT NULL AND (SELECT count(*) FROM accounts a WHERE a.tenant_id = p_tenant AND a.status <> 3)
                              + (SELECT count(*) FROM job_tried t WHERE t.tenant_id = p_tenant AND t.job_id = p_job AND t.status IS NOT NULL) >= v_most THEN
      RETURN QUERY SELECT 7::smallint, 0; RETURN;
    END IF;
    INSERT INTO job_tried VALUES (p_tenant, p_job, v_domain, p_local_key, v_domain, p_local_key, p_status, p_max_octets, p_max_messages);
    INSERT INTO job_tried SELECT p_tenant, p_job, u.d, u.k, v_domain, p_local_key FROM unnest(v_alias_domains, p_alias_keys) AS u(d, k) ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT 1::smallint, 0; RETURN;
  END IF;

  IF p_has_password AND p_verifier IS NULL THEN RETURN QUERY SELECT 8::smallint, 0; RETURN; END IF;
  BEGIN
    PERFORM set_config('restante.tenant_id', p_tenant::text, true);
    v_account := admin_create_account_1(p_tenant, v_domain, p_local_part, p_local_key, p_max_octets, p_max_messages, p_scram_salt);
    UPDATE accounts a SET status = p_status WHERE a.tenant_id = p_tenant AND a.account_id = v_account AND a.status <> p_status;
    IF p_verifier IS NOT NULL THEN
      INSERT INTO credentials (tenant_id, account_id, kind, verifier, scopes, scram256, scram1) VALUES (p_tenant, v_account, 1, p_verifier, 3, p_scram256, p_scram1);
    END IF;
    INSERT INTO audit_events (tenant_id, actor, action, target, address, request_id, after)
      VALUES (p_tenant, j.created_by, 'account.create', p_address, j.address, j.request_id, p_after);
    FOR i IN 1..n LOOP
      INSERT INTO addresses (tenant_id, domain_id, local_key) VALUES (p_tenant, v_alias_domains[i], p_alias_keys[i]);
      INSERT INTO alias_targets (tenant_id, domain_id, local_key, target_id) VALUES (p_tenant, v_alias_domains[i], p_alias_keys[i], v_account);
      INSERT INTO audit_events (tenant_id, actor, action, target, address, request_id, after)
        VALUES (p_tenant, j.created_by, 'alias.create', p_aliases[i], j.address, j.request_id, jsonb_build_object('targets', jsonb_build_array(p_address)));
    END LOOP;
  EXCEPTION
    -- Somebody else made it in this moment, or two aliases of the line are one.
    WHEN unique_violation THEN RETURN QUERY SELECT 4::smallint, 0; RETURN;
    WHEN SQLSTATE 'RS002' OR SQLSTATE 'RS003' THEN RETURN QUERY SELECT 7::smallint, 0; RETURN;
  END;
  RETURN QUERY SELECT 1::smallint, 0;
END $$;
GRANT EXECUTE ON FUNCTION worker_job_creator_1, worker_known_addresses_1, worker_import_account_1 TO restante_worker;
RESET ROLE;
RESET search_path;
