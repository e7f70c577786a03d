-- The tenants' data keys: asked for by frontends, made by whoever delivers first. Wrapped: without the master key they say nothing.
SET LOCAL ROLE restante_definer;
SET LOCAL search_path = restante, pg_catalog;
-- The current key, or the one of a version. `wrapped` is NULL once it is erased.
CREATE FUNCTION tenant_key_1(p_tenant integer, p_version integer) RETURNS TABLE (key_version integer, master_key_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  SELECT k.key_version, k.master_key_id, k.wrapped FROM tenant_keys k
   WHERE k.tenant_id = p_tenant AND (k.key_version = p_version OR (p_version IS NULL AND k.state = 1))
$$;
-- Only where the tenant has no key at all: a tenant whose key was erased gets no new one by a delivery.
CREATE FUNCTION tenant_key_make_1(p_tenant integer, p_version integer, p_master_key_id text, p_wrapped bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  INSERT INTO tenant_keys (tenant_id, key_version, master_key_id, wrapped)
    SELECT t.tenant_id, p_version, p_master_key_id, p_wrapped FROM tenants t
     WHERE t.tenant_id = p_tenant AND NOT EXISTS (SELECT FROM tenant_keys k WHERE k.tenant_id = p_tenant)
    ON CONFLICT DO NOTHING
$$;
CREATE FUNCTION admin_tenant_key_1(p_tenant integer, p_version integer) RETURNS TABLE (key_version integer, master_key_id text, wrapped bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  PERFORM assert_tenant(p_tenant);
  RETURN QUERY SELECT k.key_version, k.master_key_id, k.wrapped FROM tenant_key_1(p_tenant, p_version) k;
END $$;
CREATE FUNCTION admin_tenant_key_make_1(p_tenant integer, p_version integer, p_master_key_id text, p_wrapped bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
BEGIN
  PERFORM assert_tenant(p_tenant);
  PERFORM tenant_key_make_1(p_tenant, p_version, p_master_key_id, p_wrapped);
END $$;
GRANT EXECUTE ON FUNCTION tenant_key_1 TO restante_pop3, restante_lmtp;
GRANT EXECUTE ON FUNCTION tenant_key_make_1 TO restante_lmtp;
GRANT EXECUTE ON FUNCTION admin_tenant_key_1, admin_tenant_key_make_1 TO restante_admin;
RESET ROLE;
RESET search_path;
