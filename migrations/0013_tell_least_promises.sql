-- What CAPA has to say before login (RFC 2449 sections 6.5 and 6.7): the longest LOGIN-DELAY and the shortest EXPIRE that any account may
-- have. Asked by every frontend once a minute, so the accounts with a policy of their own on it are indexed.
SET LOCAL ROLE restante_owner;
SET LOCAL search_path = restante, pg_catalog;
CREATE INDEX accounts_expire_days ON accounts ((policy -> 'expire_days')) WHERE policy ? 'expire_days';
CREATE INDEX accounts_login_delay ON accounts ((policy -> 'login_delay_seconds')) WHERE policy ? 'login_delay_seconds';
SET LOCAL ROLE restante_definer;
CREATE FUNCTION pop3_promises_1() RETURNS TABLE (login_delay_seconds integer, expire_days integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = restante, pg_catalog AS $$
  WITH policies AS (
    SELECT t.policy FROM tenants t WHERE t.status <> 3
    UNION ALL SELECT d.policy FROM domains d WHERE d.policy ?| ARRAY['expire_days', 'login_delay_seconds']
    UNION ALL SELECT a.policy FROM accounts a WHERE a.policy ? 'expire_days' AND a.status <> 3
    UNION ALL SELECT a.policy FROM accounts a WHERE a.policy ? 'login_delay_seconds' AND a.status <> 3)
  SELECT coalesce(max((p.policy ->> 'login_delay_seconds')::integer), 0),
         min((p.policy ->> 'expire_days')::integer) FILTER (WHERE jsonb_typeof(p.policy -> 'expire_days') = 'number')
    FROM policies p
$$;
GRANT EXECUTE ON FUNCTION pop3_promises_1 TO restante_pop3;
RESET ROLE;
RESET search_path;
