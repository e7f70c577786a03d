-- The database roles. Roles belong to the whole cluster: another database of it may have made them already, and may be
-- making them at this very moment (advisory locks do not reach across databases), so each step is checked and its race caught.
-- BYPASSRLS needs a superuser on PostgreSQL 15; where the migrating user is none, an administrator runs this file first.
DO $$
DECLARE
  step text;
BEGIN
  FOREACH step IN ARRAY ARRAY[
    'CREATE ROLE restante_owner    NOLOGIN',                 -- owns every table; only `restante migrate` acts as it
    'CREATE ROLE restante_definer  NOLOGIN BYPASSRLS',       -- owns the SECURITY DEFINER functions, nothing else
    'CREATE ROLE restante_pop3     LOGIN NOINHERIT',         -- may call pop3_* only: no grant on any table
    'CREATE ROLE restante_lmtp     LOGIN NOINHERIT',         -- may call lmtp_* only: no grant on any table
    'CREATE ROLE restante_admin    LOGIN NOINHERIT',         -- tables, under row-level security
    'CREATE ROLE restante_platform NOLOGIN',                 -- asked for in a platform-admin's requests only
    'CREATE ROLE restante_worker   LOGIN BYPASSRLS NOINHERIT', -- the tables it sweeps; never credentials or keys
    'GRANT restante_platform TO restante_admin'              -- NOINHERIT: has to ask for it, in the transaction
  ] LOOP
    BEGIN
      IF step LIKE 'CREATE ROLE%' AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = split_part(step, ' ', 3)) THEN
        CONTINUE;
      END IF;
      IF step LIKE 'GRANT%' AND pg_catalog.pg_has_role('restante_admin', 'restante_platform', 'MEMBER') THEN
        CONTINUE;
      END IF;
      EXECUTE step;
    EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN
      NULL; -- made by another database's migration between the look and the step
    END;
  END LOOP;
END $$;
