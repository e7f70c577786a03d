-- Tables, row-level security and grants. Lock order of every transaction: segments' insert (a delivery's own new uuid only), then
-- maildrops (by tenant_id, account_id), then messages/expunged, then segments (by segment_id).
CREATE SCHEMA restante AUTHORIZATION restante_owner;
GRANT USAGE ON SCHEMA restante TO restante_definer, restante_pop3, restante_lmtp, restante_admin, restante_platform, restante_worker;
GRANT CREATE ON SCHEMA restante TO restante_definer;
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
ALTER DEFAULT PRIVILEGES FOR ROLE restante_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;  -- (IN SCHEMA would be a no-op: it can only add)

-- The tenant of this transaction. Unset or '' (what a GUC becomes after SET LOCAL ends) is NULL: every policy then refuses.
CREATE FUNCTION current_tenant() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT nullif(pg_catalog.current_setting('restante.tenant_id', true), '')::integer $$;

-- ---- the catalog itself -----------------------------------------------------------------------------------------
CREATE TABLE catalog (                    -- one row
  one          boolean PRIMARY KEY DEFAULT true CHECK (one),
  incarnation  uuid NOT NULL,             -- changed by `restante recover` after any restore: processes flush every cache
  sweep_state  smallint NOT NULL DEFAULT 1 CHECK (sweep_state IN (0,1)), -- 0: no object is deleted, by anybody
  schema_min   integer NOT NULL           -- oldest program version that may run on this schema
);

-- ---- who --------------------------------------------------------------------------------------------------------
CREATE TABLE tenants (
  tenant_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slug          text COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  display_name  text NOT NULL CHECK (length(display_name) <= 200),
  status        smallint NOT NULL DEFAULT 1,        -- 1 active, 2 suspended (no login, delivery 4xx), 3 deleted
  policy        jsonb NOT NULL DEFAULT '{}',        -- checked by code against a versioned type; unknown keys refused
  max_octets    bigint, max_accounts integer, max_domains integer,   -- NULL: no limit
  row_version   bigint NOT NULL DEFAULT 1,          -- ETag
  created_at    timestamptz NOT NULL DEFAULT now(),
  deleted_at    timestamptz
);

CREATE TABLE tenant_keys (                -- copy of each row is an object `v1/key/<tenant>/<version>`, written first
  tenant_id     integer NOT NULL REFERENCES tenants,
  key_version   integer NOT NULL,
  state         smallint NOT NULL DEFAULT 1,        -- 1 current, 2 decrypt only, 3 erased (wrapped is NULL)
  master_key_id text NOT NULL,
  wrapped       bytea,                              -- AES-256-GCM(master, nonce12, dek32), aad = tenant_id || key_version
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, key_version)
);
CREATE UNIQUE INDEX tenant_keys_current ON tenant_keys (tenant_id) WHERE state = 1;

CREATE TABLE domains (
  tenant_id     integer NOT NULL REFERENCES tenants,
  domain_id     bigint GENERATED ALWAYS AS IDENTITY,
  name          text COLLATE "C" NOT NULL CHECK (name = lower(name) AND length(name) <= 253),  -- A-labels
  challenge     text NOT NULL,                      -- value of the TXT record
  verified_at   timestamptz,                        -- NULL: no mail, no login; does not occupy the name
  policy        jsonb NOT NULL DEFAULT '{}',
  row_version   bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, domain_id),
  UNIQUE (tenant_id, name)
);
CREATE TABLE domain_owners (              -- the global look-up (copied to every cell); a row only for a proved domain
  name          text COLLATE "C" PRIMARY KEY,
  tenant_id     integer NOT NULL,
  domain_id     bigint NOT NULL,
  FOREIGN KEY (tenant_id, domain_id) REFERENCES domains ON DELETE CASCADE
);

CREATE TABLE accounts (                   -- cold
  tenant_id     integer NOT NULL,
  account_id    bigint GENERATED ALWAYS AS IDENTITY,
  domain_id     bigint NOT NULL,
  local_part    text COLLATE "C" NOT NULL,          -- as shown
  status        smallint NOT NULL DEFAULT 1,        -- 1 active, 2 suspended, 3 deleted (restorable)
  auth_version  bigint NOT NULL DEFAULT 1,          -- grows with any change of credentials, status or login policy
  max_octets    bigint, max_messages integer,
  policy        jsonb,
  scram_salt    bytea NOT NULL,                     -- one per account: SCRAM sends it before it knows the credential
  scram_iterations integer NOT NULL DEFAULT 4096,
  row_version   bigint NOT NULL DEFAULT 1,
  created_at    timestamptz NOT NULL DEFAULT now(),
  deleted_at    timestamptz,
  PRIMARY KEY (tenant_id, account_id),
  FOREIGN KEY (tenant_id, domain_id) REFERENCES domains
);
CREATE TABLE addresses (                  -- ONE name space: an alias can never shadow an account, RCPT is one look-up
  tenant_id     integer NOT NULL,
  domain_id     bigint NOT NULL,
  local_key     text COLLATE "C" NOT NULL,          -- normalised (NFC, case-folded, subaddress cut); '' is the catch-all
  account_id    bigint,                             -- the account's own address; NULL for an alias
  row_version   bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant_id, domain_id, local_key),
  FOREIGN KEY (tenant_id, domain_id) REFERENCES domains,
  FOREIGN KEY (tenant_id, account_id) REFERENCES accounts
);
CREATE UNIQUE INDEX addresses_account ON addresses (tenant_id, account_id) WHERE account_id IS NOT NULL;
CREATE TABLE alias_targets (
  tenant_id     integer NOT NULL,
  domain_id     bigint NOT NULL,
  local_key     text COLLATE "C" NOT NULL,
  target_id     bigint NOT NULL,                    -- accounts of the same tenant only; at most 100 (checked by code)
  PRIMARY KEY (tenant_id, domain_id, local_key, target_id),
  FOREIGN KEY (tenant_id, domain_id, local_key) REFERENCES addresses ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, target_id) REFERENCES accounts
);
CREATE INDEX alias_targets_of ON alias_targets (tenant_id, target_id);

CREATE TABLE credentials (
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  credential_id bigint GENERATED ALWAYS AS IDENTITY,
  kind          smallint NOT NULL,                  -- 1 password, 2 app password, 3 legacy app password (recoverable, sealed)
  label         text NOT NULL DEFAULT '',
  verifier      text NOT NULL,                      -- 1: PHC or crypt(3) string as imported; 2 and 3: 'k<id>$' || hex hmac-sha256(pepper of master key id, token)
  sealed        bytea,                              -- kind 3 only: the secret under the master key, for CRAM-MD5/APOP
  scram256      bytea,                              -- StoredKey 32 | ServerKey 32; never for kind 1 unless policy says so
  scram1        bytea,                              -- StoredKey 20 | ServerKey 20, the same way
  scopes        smallint NOT NULL DEFAULT 1,        -- bit 0 read, bit 1 expunge
  allowed_nets  cidr[],
  policy        jsonb,                              -- what this device sees and what its DELE does; NULL: as the account
  expires_at    timestamptz,
  revoked_at    timestamptz,
  created_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, account_id, credential_id),
  FOREIGN KEY (tenant_id, account_id) REFERENCES accounts
);
CREATE TABLE credential_use (             -- hot, apart: written in batches, at most once an hour a credential
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  credential_id bigint NOT NULL,
  last_at       timestamptz NOT NULL,
  last_address  inet NOT NULL,
  logins        bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, account_id, credential_id)
) WITH (fillfactor = 70);
CREATE TABLE login_times (                -- only where a LOGIN-DELAY is set: the one write of such a login
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  last_at       timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, account_id)
) WITH (fillfactor = 50);
CREATE TABLE device_views (               -- only for credentials whose view is per device; written at QUIT, with the expunge
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  credential_id bigint NOT NULL,
  seen          int8multirange NOT NULL DEFAULT '{}',   -- uids fetched (RETR complete) in sessions that ended with QUIT
  hidden        int8multirange NOT NULL DEFAULT '{}',   -- uids this device deleted
  PRIMARY KEY (tenant_id, account_id, credential_id)
) WITH (fillfactor = 70);

-- ---- what -------------------------------------------------------------------------------------------------------
CREATE TABLE maildrops (                  -- hot, narrow; no index but the key, so that every update is HOT
  tenant_id     integer NOT NULL,
  live_messages integer NOT NULL DEFAULT 0,
  account_id    bigint NOT NULL,
  next_uid      bigint NOT NULL DEFAULT 1,          -- order only; never shown to a client
  shape         bigint NOT NULL DEFAULT 1,          -- grows when anything but an append happens: expunge, restore, compaction, import
  live_octets   bigint NOT NULL DEFAULT 0,
  kept_messages integer NOT NULL DEFAULT 0,         -- expunged, not purged
  kept_octets   bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, account_id),
  FOREIGN KEY (tenant_id, account_id) REFERENCES accounts
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE segments (                   -- of the store, not of a tenant: holds no tenant data, only counts
  segment_id    bigint GENERATED ALWAYS AS IDENTITY (CACHE 32) PRIMARY KEY,
  segment_uuid  uuid NOT NULL UNIQUE,               -- UUIDv7, low 20 bits 0; the object key is a function of it; caches are keyed by it
  state         smallint NOT NULL,                  -- 1 live, 2 empty, 3 deleting, 9 condemned orphan (a late commit must fail)
  refs          integer NOT NULL,                   -- rows of messages and expunged that name it (not frames)
  octets        integer NOT NULL,                   -- of the object
  dead_octets   integer NOT NULL DEFAULT 0,         -- of frames that no row names (an estimate until fsck)
  created_at    timestamptz NOT NULL DEFAULT now(), -- database clock
  state_at      timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX segments_to_delete  ON segments (state_at) WHERE state <> 1;
CREATE INDEX segments_to_compact ON segments (created_at) WHERE state = 1 AND dead_octets > octets / 2;

CREATE TABLE messages (                   -- live messages only. No NULLs: with 9+ columns a null bitmap costs 8 octets a row
  tenant_id     integer NOT NULL,
  octets        integer NOT NULL,                   -- as sent by RETR, before stuffing, the shared frame's Delivered-To line included
  account_id    bigint NOT NULL,
  uid           bigint NOT NULL,                    -- order of commit in the maildrop (assigned under its row lock)
  segment_id    bigint NOT NULL,
  guid          uuid NOT NULL,                      -- origin segment | ordinal: known before the PUT, so also in the segment.
                                                    -- It is the unique-id, and its 48-bit time is the time received
  frame_offset  integer NOT NULL,
  frame_len     integer NOT NULL,
  head_len      integer NOT NULL,                   -- frame header + meta + head, stored: what TOP n 0 reads
  traits        smallint NOT NULL,                  -- bits of the frame, and bit 15: has a row in message_extras
  PRIMARY KEY (tenant_id, account_id, uid)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- No foreign keys (fsck proves the references). The index is for compaction and fsck; equal neighbours deduplicate.
CREATE INDEX messages_segment ON messages (segment_id);
CREATE TABLE message_extras (             -- only for frames shared by several recipients, and for imported mail; follows its message
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  uid           bigint NOT NULL,
  prefix        text,                               -- this copy's own first lines (Return-Path, Delivered-To), counted in octets
  legacy_id     text COLLATE "C" CHECK (legacy_id ~ '^[!-~]{1,70}$'),   -- the old server's unique-id
  received_at   timestamptz,                        -- the old server's date
  PRIMARY KEY (tenant_id, account_id, uid)
);
CREATE UNIQUE INDEX message_extras_legacy ON message_extras (tenant_id, account_id, legacy_id) WHERE legacy_id IS NOT NULL;

CREATE TABLE expunged (                   -- moved here by DELETE .. RETURNING / INSERT: the live list never wades through it
  LIKE messages,
  expunged_at   timestamptz NOT NULL,               -- clock_timestamp() of the database
  session_uuid  uuid NOT NULL,                      -- "undo this session"
  purge_day     date NOT NULL,                      -- expunged_at + retention then in force, rounded up
  PRIMARY KEY (tenant_id, account_id, uid, purge_day)
) PARTITION BY RANGE (purge_day);         -- a day is purged by adjusting segments.refs in batches, then DROP PARTITION: no vacuum
CREATE INDEX expunged_session ON expunged (tenant_id, session_uuid);
CREATE INDEX expunged_segment ON expunged (segment_id);
CREATE TABLE expunged_default PARTITION OF expunged DEFAULT;   -- catches long holds; the worker makes 40 days ahead

-- ---- sessions, leases, work -------------------------------------------------------------------------------------
CREATE TABLE frontends (
  frontend_uuid uuid PRIMARY KEY,
  role          text NOT NULL, address text NOT NULL,
  started_at    timestamptz NOT NULL DEFAULT now(),
  beat_at       timestamptz NOT NULL DEFAULT now()   -- database clock only
) WITH (fillfactor = 50);
CREATE SEQUENCE fences;
CREATE TABLE leases (                     -- exclusive maildrops only
  tenant_id     integer NOT NULL,
  account_id    bigint NOT NULL,
  frontend_uuid uuid NOT NULL,
  session_uuid  uuid NOT NULL,
  fence         bigint NOT NULL,                    -- expunge names it and locks this row in the same transaction
  PRIMARY KEY (tenant_id, account_id)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE live_sessions (     -- a view for people; nothing depends on it; rows appear after 10 s
  session_uuid  uuid PRIMARY KEY,
  frontend_uuid uuid NOT NULL,
  tenant_id     integer NOT NULL, account_id bigint NOT NULL, credential_id bigint,
  address       inet NOT NULL, started_at timestamptz NOT NULL,
  end_asked     boolean NOT NULL DEFAULT false      -- read by the frontend with its heartbeat
);
CREATE INDEX live_sessions_account ON live_sessions (tenant_id, account_id);
CREATE TABLE sessions (                   -- sessions that fetched, expunged or failed; empty polls only count in credential_use
  tenant_id     integer NOT NULL,
  session_uuid  uuid NOT NULL,
  account_id    bigint, credential_id bigint,
  started_at    timestamptz NOT NULL, ended_at timestamptz NOT NULL,
  address       inet NOT NULL, mechanism smallint NOT NULL, tls smallint NOT NULL,
  outcome       smallint NOT NULL,
  fetched       integer NOT NULL, fetched_octets bigint NOT NULL, expunged integer NOT NULL,
  client        text,
  PRIMARY KEY (tenant_id, session_uuid, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX sessions_account ON sessions (tenant_id, account_id, started_at DESC);
CREATE TABLE sessions_default PARTITION OF sessions DEFAULT;

CREATE TABLE jobs (
  tenant_id     integer NOT NULL,                   -- 0: of the whole service
  job_id        bigint GENERATED ALWAYS AS IDENTITY,
  kind          text NOT NULL, payload jsonb NOT NULL, progress jsonb,
  state         smallint NOT NULL DEFAULT 0,        -- 0 due, 1 claimed, 2 done, 3 failed
  run_at        timestamptz NOT NULL DEFAULT now(),
  claimed_by    uuid, claimed_until timestamptz,    -- claim is a short transaction; no transaction is open while the job works
  attempts      smallint NOT NULL DEFAULT 0,
  last_error    text,
  PRIMARY KEY (tenant_id, job_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX jobs_due ON jobs (run_at) WHERE state < 2;

-- ---- administration ---------------------------------------------------------------------------------------------
CREATE TABLE api_keys (                   -- global look-up
  key_hash      bytea PRIMARY KEY,                  -- sha-256 of 32 random octets
  tenant_id     integer,                            -- NULL: platform
  key_id        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  label text NOT NULL, role smallint NOT NULL, scopes text[] NOT NULL, allowed_nets cidr[],
  expires_at timestamptz, revoked_at timestamptz, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE idempotency (
  principal     text NOT NULL, idem_key text NOT NULL CHECK (length(idem_key) <= 255),
  tenant_id     integer,
  request_hash  bytea NOT NULL,                     -- method, path, body: another request with the key is 422
  status        smallint,                           -- NULL while the first is under way: a second gets 409
  response      bytea,                              -- never holds a secret: "shown once" values are replayed as absent
  expires_at    timestamptz NOT NULL,
  PRIMARY KEY (principal, idem_key)
);
CREATE TABLE audit_events (               -- INSERT only, for every role that serves
  tenant_id     integer NOT NULL,
  event_id      bigint GENERATED ALWAYS AS IDENTITY,
  at            timestamptz NOT NULL DEFAULT now(),
  actor text NOT NULL, action text NOT NULL, target text NOT NULL,
  address inet, request_id uuid, before jsonb, after jsonb,
  PRIMARY KEY (tenant_id, event_id, at)
) PARTITION BY RANGE (at);
CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;
CREATE TABLE usage_now (                  -- tenant and domain sums: rolled up from maildrops, never a hot row
  tenant_id     integer NOT NULL, domain_id bigint NOT NULL,      -- domain 0: the tenant
  accounts integer NOT NULL, messages bigint NOT NULL, octets bigint NOT NULL, kept_octets bigint NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, domain_id)
) WITH (fillfactor = 50);

-- ---- row-level security: every table with tenant_id, forced on its owner too ---------------------------------------
DO $$ DECLARE t regclass; BEGIN
  FOR t IN SELECT a.attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE a.attname = 'tenant_id' AND c.relkind IN ('r','p') AND c.relnamespace = 'restante'::regnamespace
  LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY of_tenant ON %s TO restante_admin USING (tenant_id = restante.current_tenant()) WITH CHECK (tenant_id = restante.current_tenant())', t);
    EXECUTE format('CREATE POLICY of_platform ON %s TO restante_platform USING (true) WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY of_owner ON %s TO restante_owner USING (true) WITH CHECK (true)', t);  -- migrations, foreign keys
  END LOOP;
END $$;

INSERT INTO catalog (incarnation, schema_min) VALUES (gen_random_uuid(), 1);

-- ---- grants (what is not here is refused) ---------------------------------------------------------------------------
GRANT SELECT, INSERT, UPDATE, DELETE ON domains, accounts, addresses, alias_targets, credentials, device_views TO restante_admin, restante_platform;
GRANT SELECT (tenant_id, slug, display_name, status, policy, max_octets, max_accounts, max_domains, row_version, created_at) ON tenants TO restante_admin;
GRANT SELECT, INSERT, UPDATE ON tenants, tenant_keys TO restante_platform;
GRANT SELECT ON messages, message_extras, expunged, maildrops, sessions, live_sessions, usage_now, credential_use TO restante_admin, restante_platform;
GRANT UPDATE (end_asked) ON live_sessions TO restante_admin, restante_platform;
GRANT SELECT, INSERT ON audit_events TO restante_admin, restante_platform;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs, idempotency TO restante_admin, restante_platform;
GRANT SELECT, INSERT, UPDATE, DELETE ON segments, messages, message_extras, expunged, maildrops, jobs, usage_now, live_sessions, leases, frontends TO restante_worker;
GRANT SELECT ON catalog, tenants, domains, accounts, tenant_keys TO restante_worker;
GRANT SELECT, INSERT ON sessions, audit_events TO restante_worker;
GRANT ALL ON ALL TABLES IN SCHEMA restante TO restante_definer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA restante TO restante_definer, restante_worker;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA restante FROM PUBLIC;
GRANT EXECUTE ON FUNCTION current_tenant() TO restante_admin, restante_platform, restante_definer;
RESET ROLE;
RESET search_path;
