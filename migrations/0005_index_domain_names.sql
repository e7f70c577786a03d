-- A platform administrator names a domain without its tenant: the look-up must not read every tenant's domains.
SET LOCAL ROLE restante_owner;
CREATE INDEX domains_name ON restante.domains (name);
RESET ROLE;
