-- Claims of domains that are proved by the DNS, forgotten when they are old, and names that go from one tenant to another.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
ALTER TABLE domains ADD COLUMN claimed_at timestamptz NOT NULL DEFAULT now();   -- since when it is a claim; with verified_at set it says nothing
CREATE INDEX domains_claimed ON domains (claimed_at) WHERE verified_at IS NULL;
-- Whether a domain has accounts, deleted ones included: asked before it is deleted, forgotten or given away.
CREATE INDEX accounts_domain ON accounts (tenant_id, domain_id);

SET LOCAL ROLE restante_definer;
-- Whether mail clients may be told how to reach this domain. Nobody is named: not the tenant, not whether it is suspended.
CREATE FUNCTION admin_hosted_domain_1(p_name text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT EXISTS (SELECT FROM domain_owners o JOIN tenants t ON t.tenant_id = o.tenant_id WHERE o.name = p_name AND t.status <> 3)
$$;

-- Takes a name away from the tenant that has it, if nothing lies in its domain; what is left there is a claim. No row: nobody has it,
-- or p_for itself. `freed` false: there are accounts (deleted ones that can be restored included) or aliases.
CREATE FUNCTION platform_free_domain_1(p_name text, p_for integer)
RETURNS TABLE (tenant_id integer, freed boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
#variable_conflict use_column
DECLARE v_tenant integer; v_domain bigint;
BEGIN
  SELECT o.tenant_id, o.domain_id INTO v_tenant, v_domain FROM domain_owners o WHERE o.name = p_name FOR UPDATE;
  IF v_tenant IS NULL OR v_tenant = p_for THEN RETURN; END IF;
  -- Whoever makes an account or alias there holds a share of this row to his commit, and the next statement sees it.
  PERFORM FROM domains d WHERE d.tenant_id = v_tenant AND d.domain_id = v_domain FOR UPDATE;
  IF EXISTS (SELECT FROM accounts a WHERE a.tenant_id = v_tenant AND a.domain_id = v_domain)
     OR EXISTS (SELECT FROM addresses a WHERE a.tenant_id = v_tenant AND a.domain_id = v_domain) THEN
    RETURN QUERY SELECT v_tenant, false;
    RETURN;
  END IF;
  DELETE FROM domain_owners o WHERE o.name = p_name;
  UPDATE domains d SET verified_at = NULL, claimed_at = now(), row_version = d.row_version + 1 WHERE d.tenant_id = v_tenant AND d.domain_id = v_domain;
  RETURN QUERY SELECT v_tenant, true;
END $$;

-- Forgets claims that nobody proved for so many days and in which nothing lies, with an audit event each; answers how many.
CREATE FUNCTION worker_expire_claims_1(p_days integer, p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
DECLARE v_gone integer;
BEGIN
  WITH due AS (
    SELECT d.tenant_id, d.domain_id FROM domains d
     WHERE d.verified_at IS NULL AND d.claimed_at < now() - make_interval(days => p_days)
       AND NOT EXISTS (SELECT FROM accounts a WHERE a.tenant_id = d.tenant_id AND a.domain_id = d.domain_id)
       AND NOT EXISTS (SELECT FROM addresses a WHERE a.tenant_id = d.tenant_id AND a.domain_id = d.domain_id)
     ORDER BY d.claimed_at LIMIT p_most FOR UPDATE SKIP LOCKED),
  gone AS (
    DELETE FROM domains d USING due WHERE d.tenant_id = due.tenant_id AND d.domain_id = due.domain_id
    RETURNING d.tenant_id, d.name, d.policy, d.claimed_at)
  INSERT INTO audit_events (tenant_id, actor, action, target, before)
    SELECT g.tenant_id, 'worker', 'domain.expire', g.name, jsonb_build_object('verified_at', NULL, 'claimed_at', g.claimed_at, 'policy', g.policy) FROM gone g;
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  RETURN v_gone;
END $$;
GRANT EXECUTE ON FUNCTION admin_hosted_domain_1 TO restante_admin;
GRANT EXECUTE ON FUNCTION platform_free_domain_1 TO restante_platform;
GRANT EXECUTE ON FUNCTION worker_expire_claims_1 TO restante_worker;
RESET ROLE;
RESET search_path;
