-- People who administer: their sign-in sessions, the keys that sign their access tokens, the issuers that they may sign in with; and of API
-- keys the domains, the version and the last use.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;

CREATE TABLE admins (
  admin_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id     integer REFERENCES tenants,         -- NULL: the platform's
  name          text COLLATE "C" NOT NULL UNIQUE CHECK (length(name) <= 320),   -- what they sign in with, as addresses are compared
  display_name  text NOT NULL CHECK (length(display_name) <= 200),
  role          smallint NOT NULL,
  domains       text[],                             -- of a domain-admin
  status        smallint NOT NULL DEFAULT 1,        -- 1 active, 2 suspended
  password      text,                               -- PHC string; NULL: none
  totp          bytea,                              -- the secret in force, sealed under the master key
  totp_offered  bytea,                              -- one that was shown and not confirmed yet, sealed
  totp_step     bigint NOT NULL DEFAULT 0,          -- the last time step whose code was taken: each counts once
  totp_failures integer NOT NULL DEFAULT 0,         -- codes tried with the right password since the last right one
  totp_failed_at timestamptz,
  auth_version  bigint NOT NULL DEFAULT 1,          -- grows when what an access token says of its bearer is no longer so
  row_version   bigint NOT NULL DEFAULT 1,          -- ETag
  created_at    timestamptz NOT NULL DEFAULT now(),
  signed_in_at  timestamptz,
  has_password  boolean NOT NULL GENERATED ALWAYS AS (password IS NOT NULL) STORED,   -- all that may be read of these
  has_totp      boolean NOT NULL GENERATED ALWAYS AS (totp IS NOT NULL) STORED,
  CHECK (tenant_id IS NULL OR role <> 1),
  CHECK (tenant_id IS NOT NULL OR role IN (1, 4, 5))
);
CREATE INDEX admins_tenant ON admins (tenant_id, name);
CREATE TABLE admin_recovery_codes (       -- sha-256 of 80 random bits; a row goes when its code is used
  tenant_id     integer,
  admin_id      bigint NOT NULL REFERENCES admins ON DELETE CASCADE,
  code_hash     bytea NOT NULL,
  PRIMARY KEY (admin_id, code_hash)
);
CREATE TABLE admin_identities (           -- whom an issuer calls whom; an issuer of one tenant never speaks for another's people
  tenant_id     integer,
  admin_id      bigint NOT NULL REFERENCES admins ON DELETE CASCADE,
  issuer        text COLLATE "C" NOT NULL,
  subject       text COLLATE "C" NOT NULL,
  linked_at     timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (tenant_id, issuer, subject)
);
CREATE INDEX admin_identities_admin ON admin_identities (admin_id);
CREATE TABLE admin_sessions (             -- one a sign-in: the family of its refresh tokens
  session_id    uuid PRIMARY KEY,
  tenant_id     integer,
  admin_id      bigint NOT NULL REFERENCES admins ON DELETE CASCADE,
  generation    bigint NOT NULL DEFAULT 1,          -- of the refresh token in force; one of an earlier generation was used twice
  method        smallint NOT NULL,                  -- 1 password, 2 and a code, 3 and a recovery code, 4 an issuer
  began_at      timestamptz NOT NULL DEFAULT now(),
  refreshed_at  timestamptz NOT NULL DEFAULT now(),
  idle_until    timestamptz NOT NULL,
  ends_at       timestamptz NOT NULL,
  ended_at      timestamptz,
  address       inet,
  client        text CHECK (length(client) <= 200)
) WITH (fillfactor = 70);
CREATE INDEX admin_sessions_admin ON admin_sessions (admin_id, began_at);
CREATE TABLE signing_keys (               -- Ed25519; read and made through functions only
  key_id        text PRIMARY KEY,
  public_key    bytea NOT NULL,
  sealed        bytea NOT NULL,                     -- the private part, under the master key
  created_at    timestamptz NOT NULL DEFAULT now(),
  retired_at    timestamptz                         -- when the next one was made: it signs nothing any more
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys ((true)) WHERE retired_at IS NULL;
CREATE TABLE oidc_issuers (               -- whom a tenant, or the platform, lets sign its people in
  tenant_id     integer REFERENCES tenants,
  issuer        text COLLATE "C" NOT NULL,
  client_id     text NOT NULL,
  client_secret bytea,                              -- sealed; NULL: a public client
  has_client_secret boolean NOT NULL GENERATED ALWAYS AS (client_secret IS NOT NULL) STORED,
  rules         jsonb NOT NULL,                     -- who may sign in as what; checked by code
  row_version   bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (tenant_id)
);
CREATE TABLE oidc_codes (                 -- a sign-in that an issuer has answered: to be exchanged once, within a minute
  code_hash     bytea PRIMARY KEY,
  state_hash    bytea NOT NULL UNIQUE,              -- the request that it answers: each is answered once
  tenant_id     integer,
  admin_id      bigint NOT NULL REFERENCES admins ON DELETE CASCADE,
  expires_at    timestamptz NOT NULL,               -- of the code
  forget_at     timestamptz NOT NULL,               -- of the request
  used_at       timestamptz
);
CREATE TABLE api_key_use (                -- apart from the key: written at most once a minute
  key_id        bigint PRIMARY KEY REFERENCES api_keys (key_id),
  tenant_id     integer,
  last_at       timestamptz NOT NULL,
  last_address  inet
) WITH (fillfactor = 50);
ALTER TABLE api_keys
  ALTER COLUMN scopes DROP NOT NULL,                -- NULL, or none at all as the release before writes it: all that the role has
  ADD COLUMN domains text[],
  ADD COLUMN row_version bigint NOT NULL DEFAULT 1;

DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['admins', 'admin_recovery_codes', 'admin_identities', 'admin_sessions', 'oidc_issuers', 'oidc_codes', 'api_key_use']
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY of_tenant ON %I TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant())', t);
    EXECUTE format('CREATE POLICY of_platform ON %I TO restante_platform USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY of_owner ON %I TO restante_owner USING (true) WITH CHECK (true)', t);
  END LOOP;
END $$;

-- No secret is readable: neither password nor sealed octets; they are set, and read by the functions below alone.
GRANT SELECT (admin_id, tenant_id, name, display_name, role, domains, status, auth_version, row_version, created_at, signed_in_at, has_password, has_totp),
      INSERT (tenant_id, name, display_name, role, domains, status, password),
      UPDATE (name, display_name, role, domains, status, password, totp, totp_offered, totp_step, totp_failures, totp_failed_at, auth_version, row_version),
      DELETE ON admins TO restante_admin, restante_platform;
GRANT SELECT (tenant_id, admin_id), INSERT, DELETE ON admin_recovery_codes TO restante_admin, restante_platform;
GRANT SELECT, INSERT, DELETE ON admin_identities TO restante_admin, restante_platform;
GRANT SELECT, UPDATE (ended_at) ON admin_sessions TO restante_admin, restante_platform;
GRANT SELECT (tenant_id, issuer, client_id, has_client_secret, rules, row_version, created_at),
      INSERT (tenant_id, issuer, client_id, client_secret, rules), UPDATE (issuer, client_id, client_secret, rules, row_version), DELETE
      ON oidc_issuers TO restante_admin, restante_platform;
GRANT INSERT ON oidc_codes TO restante_admin, restante_platform;
GRANT SELECT ON api_key_use TO restante_admin, restante_platform;
GRANT SELECT (domains, row_version), UPDATE (row_version, allowed_nets, expires_at) ON api_keys TO restante_admin, restante_platform;
GRANT ALL ON admins, admin_recovery_codes, admin_identities, admin_sessions, signing_keys, oidc_issuers, oidc_codes, api_key_use TO restante_definer;
RESET ROLE;

SET LOCAL ROLE restante_definer;
-- Whom a name belongs to, asked before anybody is proved. No row: nobody.
CREATE FUNCTION admin_sign_in_1(p_name text)
RETURNS TABLE (admin_id bigint, tenant_id integer, tenant_status smallint, name text, role smallint, status smallint, password text,
               totp bytea, totp_offered bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT a.admin_id, a.tenant_id, t.status, a.name, a.role, a.status, a.password, a.totp, a.totp_offered
    FROM admins a LEFT JOIN tenants t ON t.tenant_id = a.tenant_id
   WHERE a.name = p_name
$$;
-- Whether a code may be tried now; counts the try as a failure, which a right code takes back. After p_free failures in a row each next
-- try waits twice as long: whoever knows a password and guesses codes, from however many places and at once, gets few tries.
CREATE FUNCTION admin_totp_try_1(p_admin bigint, p_free integer, p_first integer, p_longest integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  UPDATE admins a SET totp_failures = a.totp_failures + 1, totp_failed_at = clock_timestamp()
   WHERE a.admin_id = p_admin
     AND (a.totp_failures < p_free
          OR a.totp_failed_at < clock_timestamp() - make_interval(secs => least(p_longest, p_first * 2.0 ^ least(a.totp_failures - p_free, 30))));
  RETURN FOUND;
END $$;
-- Takes the code of a time step; false: that step, or a later one, was taken before.
CREATE FUNCTION admin_totp_step_1(p_admin bigint, p_step bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  UPDATE admins a SET totp_step = p_step, totp_failures = 0 WHERE a.admin_id = p_admin AND a.totp_step < p_step;
  RETURN FOUND;
END $$;
-- Takes a recovery code; false: there is no such, or it was taken.
CREATE FUNCTION admin_recovery_code_1(p_admin bigint, p_hash bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  DELETE FROM admin_recovery_codes c WHERE c.admin_id = p_admin AND c.code_hash = p_hash;
  IF FOUND THEN UPDATE admins a SET totp_failures = 0 WHERE a.admin_id = p_admin; END IF;
  RETURN FOUND;
END $$;
-- Begins a session for whoever was proved: with the password that is still the one (p_password), or by an issuer (NULL). No row: in the
-- meantime it changed, or its bearer may not sign in. At most p_most live sessions: the oldest ends.
CREATE FUNCTION admin_session_begin_1(p_session uuid, p_admin bigint, p_password text, p_method smallint, p_idle integer, p_whole integer, p_most integer,
                                      p_address inet, p_client text)
RETURNS TABLE (tenant_id integer, role smallint, auth_version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE v_now timestamptz := clock_timestamp(); v_tenant integer; v_role smallint; v_version bigint;
BEGIN
  UPDATE admins a SET signed_in_at = v_now
   WHERE a.admin_id = p_admin AND a.status = 1 AND (p_password IS NULL OR a.password = p_password)
     AND NOT EXISTS (SELECT FROM tenants t WHERE t.tenant_id = a.tenant_id AND t.status = 3)
  RETURNING a.tenant_id, a.role, a.auth_version INTO v_tenant, v_role, v_version;
  IF NOT FOUND THEN RETURN; END IF;
  -- Nobody else sweeps: who signs in does it for itself.
  DELETE FROM admin_sessions s WHERE s.admin_id = p_admin AND (s.ends_at < v_now OR s.idle_until < v_now OR s.ended_at < v_now - interval '1 day');
  UPDATE admin_sessions s SET ended_at = v_now
   WHERE s.session_id IN (SELECT x.session_id FROM admin_sessions x WHERE x.admin_id = p_admin AND x.ended_at IS NULL
                           ORDER BY x.began_at DESC OFFSET greatest(p_most, 1) - 1);
  INSERT INTO admin_sessions (session_id, tenant_id, admin_id, method, began_at, refreshed_at, idle_until, ends_at, address, client)
    VALUES (p_session, v_tenant, p_admin, p_method, v_now, v_now, v_now + make_interval(secs => least(p_idle, p_whole)),
            v_now + make_interval(secs => p_whole), p_address, left(p_client, 200));
  RETURN QUERY SELECT v_tenant, v_role, v_version;
END $$;
-- Who a session belongs to, asked before a tenant is known, by each request with an access token. No row: it ended.
CREATE FUNCTION admin_session_1(p_session uuid)
RETURNS TABLE (admin_id bigint, tenant_id integer, name text, role smallint, domains text[], auth_version bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT a.admin_id, a.tenant_id, a.name, a.role, a.domains, a.auth_version
    FROM admin_sessions s JOIN admins a ON a.admin_id = s.admin_id LEFT JOIN tenants t ON t.tenant_id = a.tenant_id
   WHERE s.session_id = p_session AND s.ended_at IS NULL AND s.ends_at > clock_timestamp() AND a.status = 1 AND t.status IS DISTINCT FROM 3
$$;
-- Spends a refresh token. result 1: the next generation is in force; 2: this one was spent before, and the session has ended now;
-- no row: there is no such session, or it ended.
CREATE FUNCTION admin_refresh_1(p_session uuid, p_generation bigint, p_idle integer)
RETURNS TABLE (result smallint, admin_id bigint, tenant_id integer, name text, role smallint, auth_version bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE v_now timestamptz; v_generation bigint; v_result smallint := 1;
BEGIN
  SELECT s.generation INTO v_generation FROM admin_sessions s WHERE s.session_id = p_session FOR UPDATE;
  v_now := clock_timestamp();
  IF p_generation < v_generation THEN
    v_result := 2;
    UPDATE admin_sessions s SET ended_at = v_now WHERE s.session_id = p_session AND s.ended_at IS NULL AND s.ends_at > v_now AND s.idle_until > v_now;
  ELSE
    UPDATE admin_sessions s SET generation = s.generation + 1, refreshed_at = v_now, idle_until = least(v_now + make_interval(secs => p_idle), s.ends_at)
     WHERE s.session_id = p_session AND s.generation = p_generation AND s.ended_at IS NULL AND s.ends_at > v_now AND s.idle_until > v_now;
  END IF;
  IF NOT FOUND THEN RETURN; END IF;
  RETURN QUERY SELECT v_result, a.admin_id, a.tenant_id, a.name, a.role, a.auth_version
    FROM admin_sessions s JOIN admins a ON a.admin_id = s.admin_id LEFT JOIN tenants t ON t.tenant_id = a.tenant_id
   WHERE s.session_id = p_session AND (v_result = 2 OR (a.status = 1 AND t.status IS DISTINCT FROM 3));
END $$;
-- The keys that tokens may be signed with, and those that may have signed one that still holds; the newest first.
CREATE FUNCTION admin_signing_keys_1(p_keep integer)
RETURNS TABLE (key_id text, public_key bytea, sealed bytea, age_seconds double precision, retired boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT k.key_id, k.public_key, k.sealed, extract(epoch FROM clock_timestamp() - k.created_at)::double precision, k.retired_at IS NOT NULL
    FROM signing_keys k
   WHERE k.retired_at IS NULL OR k.retired_at > clock_timestamp() - make_interval(secs => p_keep)
   ORDER BY k.retired_at DESC NULLS FIRST
$$;
-- A new key in place of the one named (NULL: there is none); false: another was first.
CREATE FUNCTION admin_signing_key_make_1(p_before text, p_key text, p_public bytea, p_sealed bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('restante signing keys'));
  IF p_before IS DISTINCT FROM (SELECT k.key_id FROM signing_keys k WHERE k.retired_at IS NULL) THEN RETURN false; END IF;
  DELETE FROM signing_keys k WHERE k.retired_at < clock_timestamp() - interval '1 day';   -- no token holds for so long
  UPDATE signing_keys k SET retired_at = clock_timestamp() WHERE k.retired_at IS NULL;
  INSERT INTO signing_keys (key_id, public_key, sealed, created_at) VALUES (p_key, p_public, p_sealed, clock_timestamp());
  RETURN true;
END $$;
-- The issuer of a tenant, by its slug, or of the platform (NULL), with its sealed secret: asked before anybody is proved.
CREATE FUNCTION admin_oidc_issuer_1(p_slug text)
RETURNS TABLE (tenant_id integer, issuer text, client_id text, client_secret bytea, rules jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT o.tenant_id, o.issuer, o.client_id, o.client_secret, o.rules
    FROM oidc_issuers o LEFT JOIN tenants t ON t.tenant_id = o.tenant_id
   WHERE t.slug IS NOT DISTINCT FROM p_slug AND t.status IS DISTINCT FROM 3
$$;
-- Spends the code of an answered sign-in, shown by the browser that asked for it; no row: there is no such, it is too old, or it was spent.
CREATE FUNCTION admin_oidc_code_1(p_hash bytea, p_state bytea) RETURNS TABLE (name text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM oidc_codes c WHERE c.forget_at < clock_timestamp();
  RETURN QUERY WITH spent AS (
      UPDATE oidc_codes c SET used_at = clock_timestamp()
       WHERE c.code_hash = p_hash AND c.state_hash = p_state AND c.used_at IS NULL AND c.expires_at > clock_timestamp() RETURNING c.admin_id)
    SELECT a.name FROM spent JOIN admins a USING (admin_id);
END $$;
-- As admin_key_1, with the domains and the version.
CREATE FUNCTION admin_key_2(p_hash bytea)
RETURNS TABLE (key_id bigint, tenant_id integer, tenant_status smallint, label text, role smallint, scopes text[], domains text[], allowed_nets text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT k.key_id, k.tenant_id, t.status, k.label, k.role, k.scopes, k.domains, array_to_string(k.allowed_nets, ',')
    FROM api_keys k LEFT JOIN tenants t ON t.tenant_id = k.tenant_id
   WHERE k.key_hash = p_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;
-- Notes that a key was used: at most once a minute, whoever asks.
CREATE FUNCTION admin_key_used_1(p_key bigint, p_address inet) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '100ms' AS $$
  INSERT INTO api_key_use AS u (key_id, tenant_id, last_at, last_address)
    SELECT k.key_id, k.tenant_id, clock_timestamp(), p_address FROM api_keys k WHERE k.key_id = p_key
    ON CONFLICT (key_id) DO UPDATE SET last_at = excluded.last_at, last_address = excluded.last_address
      WHERE u.last_at < excluded.last_at - interval '1 minute'
$$;
GRANT EXECUTE ON FUNCTION admin_sign_in_1, admin_totp_try_1, admin_totp_step_1, admin_recovery_code_1, admin_session_begin_1, admin_session_1,
  admin_refresh_1, admin_signing_keys_1, admin_signing_key_make_1, admin_oidc_issuer_1, admin_oidc_code_1, admin_key_2, admin_key_used_1
  TO restante_admin, restante_platform;
RESET ROLE;
RESET search_path;
