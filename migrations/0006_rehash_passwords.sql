-- A login that proved a password keeps it as the present release would: another hash, SCRAM's keys where the policy wants them.
SET LOCAL ROLE restante_definer;
-- Compare and swap: false when the password was changed or revoked in the meantime. The secret stays the same, so auth_version does.
CREATE FUNCTION restante.pop3_rehash_1(p_tenant integer, p_account bigint, p_credential bigint, p_old_verifier text, p_new_verifier text, p_scram256 bytea, p_scram1 bytea)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = restante, pg_catalog SET lock_timeout = '2s' AS $$
BEGIN
  UPDATE credentials c SET verifier = p_new_verifier, scram256 = coalesce(p_scram256, c.scram256), scram1 = coalesce(p_scram1, c.scram1)
   WHERE (c.tenant_id, c.account_id, c.credential_id) = (p_tenant, p_account, p_credential)
     AND c.kind = 1 AND c.revoked_at IS NULL AND c.verifier = p_old_verifier AND p_old_verifier <> '' AND p_new_verifier <> '';
  RETURN FOUND;
END $$;
GRANT EXECUTE ON FUNCTION restante.pop3_rehash_1 TO restante_pop3;
RESET ROLE;
